//! A disk as it is typed: `PATH[:SIZE][,KEY=VALUE]...`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use timedisk_config::{AccessList, Length, Options};

use super::{Chap, Disk, Layout, Origin, Part, Plan, USUAL_PHYSICAL_BLOCK};

impl Plan {
    /// Adds a disk as it was typed.
    pub(super) fn add_typed(&mut self, text: &str, options: &Options) -> anyhow::Result<()> {
        let disk = self.typed_disk(text, options).with_context(|| format!("--disk {text}"))?;
        self.disks.push(disk);
        Ok(())
    }

    fn typed_disk(&self, text: &str, options: &Options) -> anyhow::Result<Disk> {
        let (place, settings) = split_settings(text);
        let (path, length) = match place.rsplit_once(':') {
            Some((path, size)) if size.starts_with(|first: char| first.is_ascii_digit()) => {
                (path, at_least(Path::new(path), timedisk_config::parse_size(size)?))
            }
            _ => (place, Length::WholeFile),
        };
        if path.is_empty() {
            bail!("there is no path; write PATH or PATH:SIZE");
        }
        check_memory(path, length)?;
        if length == Length::WholeFile && !Path::new(path).exists() {
            bail!("{path} does not exist; to have it made, say how large: {path}:100GB");
        }
        let name = self.free_name();
        let mut disk = Disk {
            iqn: format!("{}:{name}", options.iqn_base),
            name,
            lun: 0,
            parts: vec![Part {
                path: PathBuf::from(path),
                start: 0,
                length,
                direct: false,
                checksum: false,
                qcow2: false,
                written: None,
            }],
            layout: Layout::Part(0),
            read_only: false,
            access: AccessList::everyone(),
            chap: None,
            block_length: options.block_length,
            physical_block_length: options.block_length.max(USUAL_PHYSICAL_BLOCK),
            serial: None,
            origin: Origin::Typed,
            portals: Vec::new(),
            explicit: false,
        };
        let (mut asks_for_chap, mut users) = (None, None);
        for (key, value) in settings {
            match (key, value) {
                ("ro", "yes") => disk.read_only = true,
                ("ro", "no") => disk.read_only = false,
                ("direct", "yes" | "no") => {
                    disk.parts.iter_mut().for_each(|part| part.direct = value == "yes");
                }
                ("checksum", "yes" | "no") => {
                    disk.parts.iter_mut().for_each(|part| part.checksum = value == "yes");
                }
                ("format", "raw") => {}
                ("format", "qcow2") => disk.parts.iter_mut().for_each(|part| part.qcow2 = true),
                ("physical", "512") if disk.block_length == 512 => disk.physical_block_length = 512,
                ("physical", "4096") => disk.physical_block_length = disk.block_length.max(4096),
                ("auth", "chap") => asks_for_chap = Some(true),
                ("auth", "none") => asks_for_chap = Some(false),
                ("users", names) => {
                    users = Some(names.split(',').map(str::to_string).collect::<Vec<String>>())
                }
                ("iqn", iqn) => disk.iqn = timedisk_config::iscsi_name(iqn)?,
                ("ro", _) => bail!("ro={value}: write ro=yes or ro=no"),
                ("direct", _) => bail!("direct={value}: write direct=yes or direct=no"),
                ("auth", _) => bail!("auth={value}: write auth=chap or auth=none"),
                ("checksum", _) => bail!("checksum={value}: write checksum=yes or checksum=no"),
                ("format", _) => bail!("format={value}: write format=raw or format=qcow2"),
                ("physical", _) => {
                    bail!("physical={value}: write physical=4096, or physical=512 for blocks of 512")
                }
                _ => bail!(
                    "there is no key {key:?}; known are ro, auth, users, iqn, direct, checksum, physical, format"
                ),
            }
        }
        if disk.is_in_memory() && disk.parts.iter().any(|part| part.checksum) {
            bail!("what is in memory is gone before sums of it are of use; leave checksum=yes out");
        }
        if let Some(part) = disk.parts.iter().find(|part| part.qcow2) {
            let is_plain = !part.direct && !part.checksum && part.length == Length::WholeFile;
            if !disk.read_only || !is_plain || disk.is_in_memory() {
                bail!(
                    "an image in QEMU's format is only read, as a whole: write {},format=qcow2,ro=yes",
                    place
                );
            }
        }
        disk.chap = self.typed_chap(asks_for_chap, users)?;
        Ok(disk)
    }

    /// The first of target0, target1, ... that no disk has.
    fn free_name(&self) -> String {
        let names = (self.disks.len()..).map(|number| format!("target{number}"));
        let mut free = names.filter(|name| self.disks.iter().all(|disk| disk.name != *name));
        free.next().unwrap_or_default()
    }

    fn typed_chap(&self, asked: Option<bool>, users: Option<Vec<String>>) -> anyhow::Result<Option<Chap>> {
        if asked.unwrap_or(users.is_some()) {
            let known = || self.users.iter().map(|(name, _)| name.clone()).collect::<Vec<String>>();
            let users = users.unwrap_or_else(known);
            if users.is_empty() {
                bail!("CHAP is asked for, and there are no users; name a file of them with --auths FILE");
            }
            if let Some(unknown) = users.iter().find(|name| !known().contains(name)) {
                bail!("the user {unknown:?} is not in the file of users (--auths FILE)");
            }
            return Ok(Some(Chap { users, own: None }));
        }
        if users.is_some() {
            bail!("users= goes with auth=chap");
        }
        Ok(None)
    }
}

/// A disk in memory is `memory:/NAME:SIZE`. What is nearly that is no file by mistake.
fn check_memory(path: &str, length: Length) -> anyhow::Result<()> {
    let name = path.strip_prefix("memory:/").unwrap_or_default();
    match path {
        "memory" => {
            bail!("write memory:/NAME:SIZE for a disk in memory, or ./memory for a file of that name")
        }
        _ if !path.starts_with("memory:") => Ok(()),
        _ if name.is_empty() || name.contains('/') || name.contains(':') => {
            bail!("write memory:/NAME:SIZE for a disk in memory, or ./{path} for a file of that name")
        }
        _ if length == Length::WholeFile => bail!("say how large the disk in memory is to be: {path}:1GB"),
        _ => Ok(()),
    }
}

/// So many bytes, or the whole of a file that is longer: no size that is typed ever cuts one.
pub(super) fn at_least(path: &Path, bytes: u64) -> Length {
    let longer = |metadata: std::fs::Metadata| metadata.is_file() && metadata.len() > bytes;
    if std::fs::metadata(path).is_ok_and(longer) { Length::WholeFile } else { Length::Bytes(bytes) }
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

    fn options() -> Options {
        Options { iqn_base: "iqn.x".into(), ..Options::default() }
    }

    fn typed(text: &str) -> anyhow::Result<Disk> {
        let plan = Plan {
            users: vec![("anna".into(), vec![1; 12]), ("bert".into(), vec![2; 12])],
            ..Plan::default()
        };
        plan.typed_disk(text, &options())
    }

    #[test]
    fn a_disk_is_a_path_a_size_and_settings() {
        let disk = typed("/a b,c/d:e.img:4TB,ro=yes,iqn=iqn.2026-01.org:Z").unwrap();
        assert_eq!(disk.parts[0].path, PathBuf::from("/a b,c/d:e.img"));
        assert_eq!(disk.parts[0].length, Length::Bytes(4 << 40));
        assert_eq!((disk.iqn.as_str(), disk.read_only), ("iqn.2026-01.org:z", true));
        let whole = typed("/dev/null").unwrap();
        assert_eq!((whole.parts[0].length, whole.iqn.as_str()), (Length::WholeFile, "iqn.x:target0"));
        assert!(typed("/no/such/file").is_err());
    }

    #[test]
    fn a_disk_in_memory_has_a_name_and_a_size() {
        let disk = typed("memory:/scratch:1GB,iqn=iqn.2026-01.org:z").unwrap();
        assert_eq!(
            (disk.path(), disk.parts[0].length),
            (Path::new("memory:/scratch"), Length::Bytes(1 << 30))
        );
        assert!(disk.is_in_memory());
        for text in
            ["memory:1GB", "memory::1GB", "memory:/:1GB", "memory:/a", "memory:/a/b:1GB", "memory:a:1GB"]
        {
            assert!(format!("{:#}", typed(text).unwrap_err()).contains("in memory"), "{text}");
        }
        assert!(!typed("./memory:1GB").unwrap().is_in_memory());
    }

    #[test]
    fn users_are_those_named_or_else_all() {
        assert_eq!(typed("/dev/null").unwrap().chap, None);
        assert_eq!(typed("/dev/null,auth=chap").unwrap().chap.unwrap().users, ["anna", "bert"]);
        assert_eq!(typed("/dev/null,users=bert").unwrap().chap.unwrap().users, ["bert"]);
        assert_eq!(
            typed("/dev/null,auth=chap,users=bert,anna,ro=yes").unwrap().chap.unwrap().users,
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
