//! What is to be served, from whichever place it was described in.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::Level;
use anyhow::{Context, bail};
use timedisk_config::{AccessList, Authentication, Configuration, Length};

use crate::check::{Files, count, options};
use crate::command_line::ServeOptions;
use crate::state_directory;

/// The default disk's size: that of the tutorial.
const DEFAULT_SIZE: u64 = 100 << 20;

/// A disk to be served, as a target of its own.
#[derive(Debug)]
pub(crate) struct Disk {
    /// What people call it.
    pub(crate) name: String,
    pub(crate) iqn: String,
    pub(crate) path: PathBuf,
    /// Bytes into the file.
    pub(crate) start: u64,
    pub(crate) length: Length,
    pub(crate) read_only: bool,
    pub(crate) access: AccessList,
    /// Users, where CHAP is asked for.
    pub(crate) chap: Option<Vec<String>>,
    pub(crate) create_parents: bool,
}

impl Disk {
    /// Who may see it.
    pub(crate) fn allows(&self) -> Arc<dyn Fn(IpAddr) -> bool + Send + Sync> {
        let access = self.access.clone();
        Arc::new(move |address| access.allows(address))
    }
}

/// What is to be served.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) disks: Vec<Disk>,
    /// CHAP users and their secrets.
    pub(crate) users: Vec<(String, Vec<u8>)>,
}

/// Gathers what was typed: a file of targets, single disks, or the default disk.
pub(crate) fn gather(typed: &ServeOptions) -> anyhow::Result<Plan> {
    let mut plan = Plan::default();
    let options = options(&typed.iqn_base, typed.block_length)?;
    if let Some(targets) = &typed.targets {
        let files = Files::read(targets, typed.auths.as_ref())?;
        let outcome = files.parse(&options);
        files.show(&outcome.notices, Level::WARNING);
        files.show(&outcome.mistakes, Level::ERROR);
        let Some(configuration) = outcome.configuration else { bail!(count(outcome.mistakes.len())) };
        plan.take(configuration);
    } else if let Some(auths) = &typed.auths {
        // No targets, only users: an empty file of targets gives them.
        let files = Files::read_users(auths)?;
        let outcome = files.parse(&options);
        let of_users = |remark: &&timedisk_config::Mistake| remark.file == timedisk_config::File::Auths;
        let mistakes: Vec<_> = outcome.mistakes.iter().filter(of_users).cloned().collect();
        files.show(&mistakes, Level::ERROR);
        if !mistakes.is_empty() {
            bail!(count(mistakes.len()));
        }
        plan.users = files.users(&options);
    }
    for text in &typed.disks {
        let disk = plan.typed_disk(text, &options.iqn_base).with_context(|| format!("--disk {text}"))?;
        plan.disks.push(disk);
    }
    if plan.disks.is_empty() {
        let state = state_directory::choose(typed.state.as_ref())?;
        plan.disks.push(default_disk(&state, &options.iqn_base));
    }
    plan.check_names()?;
    Ok(plan)
}

fn default_disk(state: &Path, iqn_base: &str) -> Disk {
    Disk {
        name: "target0".into(),
        iqn: format!("{iqn_base}:target0"),
        path: state.join("target0.img"),
        start: 0,
        length: Length::Bytes(DEFAULT_SIZE),
        read_only: false,
        access: AccessList::everyone(),
        chap: None,
        create_parents: true,
    }
}

impl Plan {
    fn take(&mut self, configuration: Configuration) {
        for target in &configuration.targets {
            let extents = target.extents.iter().filter_map(|index| configuration.extents.get(*index));
            self.disks.extend(extents.map(|extent| Disk {
                name: target.name.clone(),
                iqn: target.iqn.clone(),
                path: extent.path.clone().into(),
                start: extent.start,
                length: extent.length,
                read_only: target.read_only,
                access: target.access.clone(),
                chap: match &target.authentication {
                    Authentication::None => None,
                    Authentication::Chap { users } => Some(users.clone()),
                },
                create_parents: false,
            }));
        }
        let users = configuration.users.iter();
        self.users = users.map(|user| (user.name.clone(), user.secret.bytes().to_vec())).collect();
    }

    /// Reads `PATH[:SIZE][,KEY=VALUE]...`.
    fn typed_disk(&self, text: &str, iqn_base: &str) -> anyhow::Result<Disk> {
        let (place, settings) = split_settings(text);
        let (path, length) = match place.rsplit_once(':') {
            Some((path, size)) if size.starts_with(|first: char| first.is_ascii_digit()) => {
                (path, Length::Bytes(timedisk_config::parse_size(size)?))
            }
            _ => (place, Length::WholeFile),
        };
        if path.is_empty() {
            bail!("there is no path; write PATH or PATH:SIZE");
        }
        if length == Length::WholeFile && !Path::new(path).exists() {
            bail!("{path} does not exist; to have it made, say how large: {path}:100GB");
        }
        let name = format!("target{}", self.disks.len());
        let iqn = format!("{iqn_base}:{name}");
        let (path, access) = (PathBuf::from(path), AccessList::everyone());
        let (read_only, chap, start, create_parents) = (false, None, 0, false);
        let mut disk = Disk { name, iqn, path, start, length, read_only, access, chap, create_parents };
        let (mut asks_for_chap, mut users) = (None, None);
        for (key, value) in settings {
            match (key, value) {
                ("ro", "yes") => disk.read_only = true,
                ("ro", "no") => disk.read_only = false,
                ("auth", "chap") => asks_for_chap = Some(true),
                ("auth", "none") => asks_for_chap = Some(false),
                ("users", names) => {
                    users = Some(names.split(',').map(str::to_string).collect::<Vec<String>>())
                }
                ("iqn", iqn) => disk.iqn = timedisk_config::iscsi_name(iqn)?,
                ("ro", _) => bail!("ro={value}: write ro=yes or ro=no"),
                ("auth", _) => bail!("auth={value}: write auth=chap or auth=none"),
                _ => bail!("there is no key {key:?}; known are ro, auth, users, iqn"),
            }
        }
        disk.chap = self.chap(asks_for_chap, users)?;
        Ok(disk)
    }

    fn chap(&self, asked: Option<bool>, users: Option<Vec<String>>) -> anyhow::Result<Option<Vec<String>>> {
        if asked.unwrap_or(users.is_some()) {
            let known = || self.users.iter().map(|(name, _)| name.clone()).collect::<Vec<String>>();
            let users = users.unwrap_or_else(known);
            if users.is_empty() {
                bail!("CHAP is asked for, and there are no users; name a file of them with --auths FILE");
            }
            if let Some(unknown) = users.iter().find(|name| !known().contains(name)) {
                bail!("the user {unknown:?} is not in the file of users (--auths FILE)");
            }
            return Ok(Some(users));
        }
        if users.is_some() {
            bail!("users= goes with auth=chap");
        }
        Ok(None)
    }

    fn check_names(&self) -> anyhow::Result<()> {
        for (index, disk) in self.disks.iter().enumerate() {
            if self.disks.iter().take(index).any(|other| other.iqn == disk.iqn) {
                bail!("two disks would be called {}; name one with iqn=NAME", disk.iqn);
            }
        }
        Ok(())
    }
}

/// Cuts the settings off: from the first comma that a `key=` follows. A path may have other commas, and so may the
/// value of a setting, which goes on to the next `key=`.
fn split_settings(text: &str) -> (&str, Vec<(&str, &str)>) {
    let begins_setting = |rest: &str| {
        let key = rest.split_once('=').map_or("", |(key, _)| key);
        !key.is_empty() && key.chars().all(|letter| letter.is_ascii_lowercase())
    };
    let after = |position: usize| text.get(position + 1..).unwrap_or_default();
    let commas: Vec<usize> = text.match_indices(',').map(|(position, _)| position).collect();
    let mut begins = commas.into_iter().filter(|position| begins_setting(after(*position))).peekable();
    let place = begins.peek().and_then(|first| text.get(..*first)).unwrap_or(text);
    let mut settings = Vec::new();
    while let Some(begin) = begins.next() {
        let setting = text.get(begin + 1..begins.peek().copied().unwrap_or(text.len())).unwrap_or_default();
        settings.extend(setting.split_once('='));
    }
    (place, settings)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn typed(text: &str) -> anyhow::Result<Disk> {
        let plan = Plan {
            users: vec![("anna".into(), vec![1; 12]), ("bert".into(), vec![2; 12])],
            ..Plan::default()
        };
        plan.typed_disk(text, "iqn.x")
    }

    #[test]
    fn a_disk_is_a_path_a_size_and_settings() {
        let disk = typed("/a b,c/d:e.img:4TB,ro=yes,iqn=iqn.2026-01.org:Z").unwrap();
        assert_eq!(disk.path, PathBuf::from("/a b,c/d:e.img"));
        assert_eq!(disk.length, Length::Bytes(4 << 40));
        assert_eq!((disk.iqn.as_str(), disk.read_only), ("iqn.2026-01.org:z", true));
        let whole = typed("/dev/null").unwrap();
        assert_eq!((whole.length, whole.iqn.as_str()), (Length::WholeFile, "iqn.x:target0"));
        assert!(typed("/no/such/file").is_err());
    }

    #[test]
    fn users_are_those_named_or_else_all() {
        assert_eq!(typed("/dev/null").unwrap().chap, None);
        assert_eq!(typed("/dev/null,auth=chap").unwrap().chap.unwrap(), ["anna", "bert"]);
        assert_eq!(typed("/dev/null,users=bert").unwrap().chap.unwrap(), ["bert"]);
        assert_eq!(
            typed("/dev/null,auth=chap,users=bert,anna,ro=yes").unwrap().chap.unwrap(),
            ["bert", "anna"]
        );
        assert!(typed("/dev/null,users=carl").is_err());
        assert!(typed("/dev/null,users=bert,auth=none").is_err());
    }

    #[test]
    fn mistakes_are_named() {
        for text in ["", ":4T", "x:4XB", "x:0x10", "/dev/null,ro=maybe", "/dev/null,what=1"] {
            assert!(typed(text).is_err(), "{text}");
        }
    }
}
