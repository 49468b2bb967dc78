//! What a service is to run, and what its disks are kept in.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use timedisk_config::{Extent, Options, Reading};

use crate::check::Files;

/// A daemon as a service manager runs it. All paths are absolute, and texts of one line.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) program: String,
    pub(super) targets: String,
    pub(super) auths: Option<String>,
    /// Whether the files are read as NetBSD's own daemon reads them.
    pub(super) netbsd_compat: bool,
    pub(super) state: String,
    pub(super) listen: Vec<(IpAddr, Option<u16>)>,
    pub(super) storage: Storage,
    /// What whoever installs it should know.
    pub(super) remarks: Vec<String>,
}

/// What the disks are kept in.
#[derive(Debug, Default)]
pub(super) struct Storage {
    /// Files, as the file of targets names them, and where links among them lead.
    pub(super) files: Vec<String>,
    /// Block devices, below `/dev`.
    pub(super) devices: Vec<String>,
}

/// A daemon as it was typed.
#[derive(Debug)]
pub(super) struct Typed<'a> {
    pub(super) program: &'a Path,
    pub(super) targets: &'a Path,
    pub(super) auths: Option<&'a Path>,
    pub(super) netbsd_compat: bool,
    pub(super) state: &'a Path,
    pub(super) listen: &'a [(IpAddr, Option<u16>)],
}

impl Unit {
    /// Reads the files that are to be served, where they are there already, for what their disks are kept in.
    ///
    /// # Errors
    /// A path can't stand in a unit file or a script.
    pub(super) fn new(typed: &Typed<'_>) -> anyhow::Result<Unit> {
        let mut unit = Unit {
            program: word(typed.program)?,
            targets: word(typed.targets)?,
            auths: typed.auths.map(word).transpose()?,
            netbsd_compat: typed.netbsd_compat,
            state: word(typed.state)?,
            listen: typed.listen.to_vec(),
            storage: Storage::default(),
            remarks: Vec::new(),
        };
        match images(typed) {
            Ok(images) => images.iter().try_for_each(|image| unit.keep_in(image))?,
            Err(error) => unit.remarks.push(format!(
                "{error:#}; so the unit does not let the daemon write images anywhere yet: install it again \
                 when that is mended"
            )),
        }
        Ok(unit)
    }

    /// The words of the command.
    pub(super) fn command(&self) -> Vec<String> {
        let words = [&self.program, "serve", "-f", &self.targets, "--state", &self.state];
        let mut words: Vec<String> = words.map(str::to_owned).to_vec();
        words.extend(self.auths.iter().flat_map(|auths| ["--auths".to_owned(), auths.clone()]));
        words.extend(self.netbsd_compat.then(|| "--netbsd-compat".to_owned()));
        words.extend(self.listen.iter().flat_map(|address| ["--listen".to_owned(), shown(*address)]));
        words
    }

    /// Everything that the daemon has to see.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        let own = [&self.program, &self.targets, &self.state];
        own.into_iter().chain(&self.auths).chain(&self.storage.files).map(Path::new)
    }

    fn keep_in(&mut self, image: &Path) -> anyhow::Result<()> {
        let leads_to = std::fs::canonicalize(image).ok();
        if let Some(device) = device(image, leads_to.as_deref()) {
            self.storage.devices.push(word(device)?);
            return Ok(());
        }
        self.storage.files.push(word(image)?);
        if let Some(file) = leads_to.filter(|file| file.parent() != image.parent()) {
            self.storage.files.push(word(&file)?);
        }
        let owned = [Some(image), image.parent()].into_iter().flatten();
        for path in owned.filter(|path| std::fs::metadata(path).is_ok_and(|metadata| !is_roots(&metadata))) {
            self.remarks.push(format!(
                "{} is not root's, and the service is a root that may use no more than root's own files; \
                 give it to root, or have the service run as its owner: `systemctl edit timedisk`, and \
                 User= below [Service]",
                path.display()
            ));
        }
        Ok(())
    }
}

/// A path as one word of a file of one line for each setting.
fn word(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("{} is not text (UTF-8)", path.display()))?;
    if text.contains(char::is_control) {
        bail!("there is a control character in {path:?}, which a service's file can't hold; rename it");
    }
    Ok(text.to_owned())
}

/// An address as `--listen` takes it.
pub(super) fn shown((ip, port): (IpAddr, Option<u16>)) -> String {
    port.map_or_else(|| ip.to_string(), |port| SocketAddr::new(ip, port).to_string())
}

/// The name below `/dev` of an image that is a block device. One that is not there may come with the
/// machine's start.
fn device<'a>(image: &'a Path, leads_to: Option<&'a Path>) -> Option<&'a Path> {
    let names = [Some(image), leads_to];
    let named = names.into_iter().flatten().find(|path| path.starts_with("/dev"))?;
    let is_device = match std::fs::metadata(image) {
        Ok(metadata) => metadata.file_type().is_block_device(),
        Err(_) => !image.starts_with("/dev/shm"),
    };
    is_device.then_some(named)
}

/// Whether a root without capabilities can write there.
fn is_roots(metadata: &std::fs::Metadata) -> bool {
    metadata.uid() == 0 || metadata.mode() & 0o002 != 0
}

/// Files of the extents. A relative path is below `/`, which is where services start.
fn images(typed: &Typed<'_>) -> anyhow::Result<Vec<PathBuf>> {
    let (targets, auths) = (typed.targets, typed.auths.map(Path::to_path_buf));
    let (files, _) = Files::read(targets, auths.as_ref())?;
    let reading = if typed.netbsd_compat { Reading::NetBsd } else { Reading::Strict };
    let outcome = files.parse(&Options { reading, ..Options::default() });
    let configuration = outcome
        .configuration
        .with_context(|| format!("there are mistakes (see `timedisk check -f {}`)", targets.display()))?;
    let in_files = |extent: &&Extent| typed.netbsd_compat || !extent.is_in_memory();
    let extents = configuration.extents.iter().filter(in_files);
    Ok(extents.map(|extent| Path::new("/").join(&extent.path)).collect())
}
