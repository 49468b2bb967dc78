//! What a service is to run, and what it needs of the machine.

use std::collections::BTreeSet;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use timedisk_config::{Configuration, Options, Source};

use super::kinds::quoted_for_systemd;

/// A daemon as a service manager runs it.
#[derive(Debug)]
pub(super) struct Unit {
    /// Absolute.
    pub(super) program: String,
    pub(super) targets: String,
    pub(super) auths: Option<String>,
    pub(super) state: String,
    pub(super) listen: Vec<String>,
    images: Vec<PathBuf>,
}

/// Where systemd keeps the state of services.
const STATES: &str = "/var/lib/";

impl Unit {
    /// Reads the file of targets, where there is one already, for what its disks need.
    pub(super) fn new(
        program: &Path,
        targets: &Path,
        auths: Option<&Path>,
        state: &Path,
        listen: Vec<String>,
    ) -> Unit {
        let shown = |path: &Path| path.display().to_string();
        Unit {
            program: shown(program),
            targets: shown(targets),
            auths: auths.map(shown),
            state: shown(state),
            listen,
            images: images(targets),
        }
    }

    /// The words of the command.
    pub(super) fn command(&self) -> Vec<String> {
        let words = [&self.program, "serve", "-f", &self.targets, "--state", &self.state];
        let mut words: Vec<String> = words.map(str::to_owned).to_vec();
        words.extend(self.auths.iter().flat_map(|auths| ["--auths".to_owned(), auths.clone()]));
        words.extend(self.listen.iter().flat_map(|address| ["--listen".to_owned(), address.clone()]));
        words
    }

    /// For `StateDirectory=`, below systemd's own directory.
    pub(super) fn state_name(&self) -> String {
        self.state.strip_prefix(STATES).filter(|name| !name.is_empty()).unwrap_or("timedisk").to_owned()
    }

    fn is_device(path: &Path) -> bool {
        path.starts_with("/dev")
            || std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_block_device())
    }

    fn folders(&self) -> BTreeSet<PathBuf> {
        let files = self.images.iter().filter(|path| !Unit::is_device(path));
        files.filter_map(|path| path.parent()).map(Path::to_path_buf).collect()
    }

    /// Directories that images are made and kept in; one that is missing must not keep the service from its start.
    pub(super) fn writable(&self) -> String {
        let mut folders: Vec<String> = self
            .folders()
            .iter()
            .map(|folder| quoted_for_systemd(&format!("-{}", folder.display())))
            .collect();
        if !self.state.starts_with(STATES) {
            folders.push(quoted_for_systemd(&format!("-{}", self.state)));
        }
        match folders.is_empty() {
            true => "#ReadWritePaths=/srv".to_owned(),
            false => format!("ReadWritePaths={}", folders.join(" ")),
        }
    }

    /// No devices at all, or those that are disks.
    pub(super) fn devices(&self) -> String {
        let devices: Vec<&PathBuf> = self.images.iter().filter(|path| Unit::is_device(path)).collect();
        if devices.is_empty() {
            return "PrivateDevices=yes".to_owned();
        }
        let allowed = devices.iter().map(|path| format!("DeviceAllow={} rw", path.display()));
        std::iter::once("DevicePolicy=closed".to_owned()).chain(allowed).collect::<Vec<String>>().join("\n")
    }

    fn any_below(&self, roots: &[&str]) -> bool {
        self.folders().iter().any(|folder| roots.iter().any(|root| folder.starts_with(root)))
    }

    /// Homes are out of sight, unless an image is in one.
    pub(super) fn protect_home(&self) -> &'static str {
        if self.any_below(&["/home", "/root", "/run/user"]) { "read-only" } else { "yes" }
    }

    /// The tutorial's image is in /tmp.
    pub(super) fn private_tmp(&self) -> &'static str {
        if self.any_below(&["/tmp", "/var/tmp"]) { "no" } else { "yes" }
    }
}

/// Files of the extents in a file of targets; none where it can't be read or has mistakes, which are said when it is
/// served.
fn images(targets: &Path) -> Vec<PathBuf> {
    let Ok(text) = std::fs::read_to_string(targets) else { return Vec::new() };
    let name = targets.display().to_string();
    let outcome =
        Configuration::parse(Source { name: &name, text: &text }, None, &Options::default(), &|path| {
            std::fs::metadata(path).ok().map(|metadata| metadata.len())
        });
    let extents = outcome.configuration.map(|configuration| configuration.extents).unwrap_or_default();
    extents.into_iter().map(|extent| PathBuf::from(extent.path)).collect()
}
