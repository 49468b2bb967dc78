//! Who has an image open.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use timedisk_volume::{FileCalls, FileIdentity, FileKind, Lock, SystemCalls};

use crate::commands::DaemonOptions;
use crate::control::DiskState;
use crate::sparse::{InUse, SparseFile};

/// How long a daemon has to say what it serves, where that only makes a message better.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who has it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Holder {
    /// Its process, where the system tells.
    pub(crate) process: Option<u32>,
    /// The disk that the daemon of the state directory serves from it.
    pub(crate) disk: Option<ServedDisk>,
}

/// A disk of a daemon.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ServedDisk {
    pub(crate) name: String,
    /// Where a client finds it.
    pub(crate) url: String,
    pub(crate) state: DiskState,
    pub(crate) sessions: u64,
}

impl Holder {
    /// Who has the image locked; `None` if nobody has. Where the system has no list of locks, it is locked for a
    /// moment.
    pub(crate) fn of(image: &Path, daemon: &DaemonOptions) -> anyhow::Result<Option<Holder>> {
        match lock(image) {
            Ok(()) => Ok(None),
            Err(error) if error.is::<InUse>() => Ok(Some(Holder::named(image, daemon))),
            Err(error) => Err(error),
        }
    }

    fn named(image: &Path, daemon: &DaemonOptions) -> Holder {
        Holder { process: process(image), disk: served(image, daemon) }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.process {
            Some(process) => write!(formatter, "process {process}")?,
            None => write!(formatter, "another process")?,
        }
        match &self.disk {
            Some(disk) => write!(formatter, ", which serves it as {} ({})", disk.name, disk.url),
            None => Ok(()),
        }
    }
}

/// An error for an image that somebody has: who, and what to do with the disk that it is, or with whoever has it.
pub(crate) fn in_use(
    error: anyhow::Error,
    daemon: &DaemonOptions,
    of_served: impl FnOnce(&ServedDisk) -> String,
) -> anyhow::Error {
    let Some(InUse(image)) = error.downcast_ref::<InUse>() else { return error };
    let holder = Holder::named(image, daemon);
    let advice = match &holder.disk {
        Some(disk) => of_served(disk),
        None => {
            "stop what uses it (of a timedisk with another state directory, name that with --state)".into()
        }
    };
    anyhow::anyhow!("{} is in use by {holder}: {advice}", image.display())
}

/// The disk that a daemon of ours serves from the image that an error says somebody has.
pub(crate) fn served_instead(error: &anyhow::Error, daemon: &DaemonOptions) -> Option<ServedDisk> {
    let InUse(image) = error.downcast_ref::<InUse>()?;
    served(image, daemon).filter(|disk| disk.state != DiskState::Offline)
}

/// Tries for both locks: a daemon that only reads shares its own.
fn lock(image: &Path) -> anyhow::Result<()> {
    match process(image) {
        Some(_) => Err(InUse(image.to_owned()).into()),
        None => SparseFile::open(image, false, Some(Lock::Exclusive)).map(drop),
    }
}

/// The process that has a flock(2) on a file, by Linux's list of them.
fn process(image: &Path) -> Option<u32> {
    let identity = SystemCalls.identify(image).ok()?;
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| holder_of(line, identity))
}

/// A line is `1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF`, the device in hexadecimal (proc_locks(5)). Of a device
/// it names the node, which is not known here.
fn holder_of(line: &str, identity: FileIdentity) -> Option<u32> {
    let mut words = line.split_whitespace().skip(1);
    if identity.kind != FileKind::Regular || words.next()? != "FLOCK" {
        return None;
    }
    let process = words.nth(2)?.parse().ok()?;
    let mut place = words.next()?.split(':');
    let mut hexadecimal = || u32::from_str_radix(place.next()?, 16).ok();
    let device = rustix::fs::makedev(hexadecimal()?, hexadecimal()?);
    let inode: u64 = place.next()?.parse().ok()?;
    (device == identity.device && inode == identity.inode).then_some(process)
}

/// The disk that the daemon serves from it, if a daemon runs and says so.
fn served(image: &Path, daemon: &DaemonOptions) -> Option<ServedDisk> {
    let identity = SystemCalls.identify(image).ok()?;
    let status = daemon.client_within(PATIENCE).ok()?.status().ok()?;
    let is_it = |path: &String| SystemCalls.identify(Path::new(path)).is_ok_and(|other| other == identity);
    let disk = status.disks.into_iter().find(|disk| disk.paths.iter().any(is_it))?;
    let address = status.listening.first().map_or("HOST", String::as_str);
    let url = format!("iscsi://{address}/{}/{}", disk.iqn, disk.lun);
    Some(ServedDisk { name: disk.name, url, state: disk.state, sessions: disk.sessions })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_file_is_found_in_the_systems_list() {
        let device = rustix::fs::makedev(0xfe, 0x01);
        let identity = FileIdentity { kind: FileKind::Regular, device, inode: 1234 };
        let of = |line| holder_of(line, identity);
        assert_eq!(of("1: FLOCK  ADVISORY  WRITE 4711 fe:01:1234 0 EOF"), Some(4711));
        assert_eq!(of("1: POSIX  ADVISORY  WRITE 4711 fe:01:1234 0 EOF"), None);
        assert_eq!(of("1: FLOCK  ADVISORY  WRITE 4711 fe:01:1235 0 EOF"), None);
        assert_eq!(of("1: -> FLOCK"), None);
        assert_eq!(of(""), None);
    }
}
