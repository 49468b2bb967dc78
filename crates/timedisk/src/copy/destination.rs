//! Where a copy goes: what must not be overwritten, what was begun earlier, and how it becomes whole.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use timedisk_config::format_size;
use timedisk_volume::Lock;

use super::Task;
use super::end::{End, Place, is_same_file};
use super::journal::Journal;
use super::remote::RemoteDisk;
use crate::image::{PARTIAL, in_use};
use crate::sparse::{InUse, SparseFile, synchronize_directory_of};
use crate::state_directory;

/// A destination that is open, and how far the copy to it is.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) end: End,
    pub(super) journal: Journal,
    finish: Option<Finish>,
}

/// A file gets its name when it is whole.
#[derive(Debug)]
struct Finish {
    partial: PathBuf,
    path: PathBuf,
    /// The file that it takes the place of, locked.
    replaced: Option<SparseFile>,
}

impl Destination {
    /// Opens it for a copy of `source`; goes on with what was begun, unless `--restart` was typed.
    pub(super) fn open(task: &Task<'_>, source: &End) -> anyhow::Result<Destination> {
        match &task.destination {
            Place::Path(path) if is_device(path) => Destination::device(task, path, source),
            Place::Path(path) => Destination::file(task, path, source),
            Place::Disk(name) => bail!("disk:{name} is only copied from; to it, by its iscsi:// URL"),
            Place::Url(url) => {
                let end = End::Disk(Box::new(RemoteDisk::open(url)?));
                Destination::in_place(task, end, source, format!("{:?}", url.to_string()))
            }
        }
    }

    fn device(task: &Task<'_>, path: &Path, source: &End) -> anyhow::Result<Destination> {
        let file = SparseFile::open(path, true, Some(Lock::Exclusive)).map_err(|error| {
            match error.is::<InUse>() {
                true => anyhow::anyhow!("{error}: unmount it, or stop what uses it"),
                false => error,
            }
        })?;
        let whole = std::fs::canonicalize(path)?;
        Destination::in_place(task, End::File(file), source, format!("{whole:?}"))
    }

    /// A disk or a device: what is on it goes at once.
    fn in_place(task: &Task<'_>, end: End, source: &End, place: String) -> anyhow::Result<Destination> {
        let shown = &task.destination;
        let (from, to) = (source.stamp()?, format!("{place}, {}", end.stamp()?));
        ensure!(from != end.stamp()?, "{shown} is the source itself");
        ensure!(
            source.length() <= end.length(),
            "{shown} has {}, and the source {}: it is too small",
            format_size(end.length()),
            format_size(source.length())
        );
        ensure!(task.typed.overwrite, "what is on {shown} would be lost: add --overwrite if that is meant");
        let path = journal_elsewhere(task, &place)?;
        if task.typed.restart {
            remove(&path)?;
        }
        let journal = match Journal::load(&path, &from, &to)? {
            Some(journal) => journal,
            None => Journal::begin(path, from, to)?,
        };
        Ok(Destination { end, journal, finish: None })
    }

    /// A file: it is written under another name, so that what has the name is always whole.
    fn file(task: &Task<'_>, typed: &Path, source: &End) -> anyhow::Result<Destination> {
        // A link is followed, else it would be replaced by the file.
        let path = std::fs::canonicalize(typed).unwrap_or_else(|_| typed.to_owned());
        let shown = path.display();
        let replaced = match path.symlink_metadata() {
            Ok(_) => Some(replaced(task, &path, source)?),
            Err(_) => None,
        };
        let (partial, journal_path) = (added(&path, PARTIAL), added(&path, ".timedisk-copy"));
        let (from, to) = (source.stamp()?, format!("{shown:?}"));
        if task.typed.restart {
            drop(open_partial(&partial)?);
            remove(&journal_path)?;
            remove(&partial)?;
        }
        let journal = Journal::load(&journal_path, &from, &to)?;
        let opened = open_partial(&partial)?;
        let (file, journal) = match (opened, journal) {
            (Some(file), Some(journal)) if file.length() == source.length() => (file, journal),
            (Some(_), Some(_)) => {
                bail!("{} has another length than the source: add --restart", partial.display())
            }
            (Some(_), None) => bail!(
                "{} is in the way, and nothing says of what it is a copy: add --restart to begin again",
                partial.display()
            ),
            (None, _) => {
                let file = SparseFile::create(&partial, source.length())?;
                (file, Journal::begin(journal_path, from, to)?)
            }
        };
        let finish = Some(Finish { partial, path, replaced });
        Ok(Destination { end: End::File(file), journal, finish })
    }

    /// Gives a file that is whole and on stable storage its name, and forgets that it was under way.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let Destination { end, journal, finish } = self;
        if let Some(finish) = finish {
            finish.run()?;
        }
        end.close();
        journal.remove()
    }
}

impl Finish {
    fn run(self) -> anyhow::Result<()> {
        let Finish { partial, path, replaced } = self;
        let failed = || format!("can't give {} its name {}", partial.display(), path.display());
        match &replaced {
            Some(_) => {
                take_over(&partial, &path)?;
                std::fs::rename(&partial, &path).with_context(failed)?;
            }
            None => match renameat_with(CWD, &partial, CWD, &path, RenameFlags::NOREPLACE) {
                // A file system without that: nobody else is likely to have made the file just now.
                Err(Errno::INVAL | Errno::NOSYS) if path.symlink_metadata().is_err() => {
                    std::fs::rename(&partial, &path).with_context(failed)?;
                }
                result => result.with_context(failed)?,
            },
        }
        synchronize_directory_of(&path)
    }
}

/// The file that a copy takes the place of, locked, so that nobody serves it.
fn replaced(task: &Task<'_>, path: &Path, source: &End) -> anyhow::Result<SparseFile> {
    let shown = path.display();
    ensure!(!is_same_file(source, path), "{shown} is the source itself");
    ensure!(
        task.typed.overwrite,
        "{shown} exists: choose another name, or add --overwrite to have it replaced"
    );
    SparseFile::open(path, true, Some(Lock::Exclusive)).map_err(|error| {
        in_use(error, &task.typed.daemon, |disk| {
            format!("copy to {} instead, or stop serving it and copy then", disk.url)
        })
    })
}

/// Owner and permissions of the file that is replaced: who could open it still can.
fn take_over(partial: &Path, path: &Path) -> anyhow::Result<()> {
    let failed = || format!("can't give {} the owner of {}", partial.display(), path.display());
    let (new, old) = (std::fs::metadata(partial)?, std::fs::metadata(path).with_context(failed)?);
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        std::os::unix::fs::chown(partial, Some(old.uid()), Some(old.gid())).with_context(failed)?;
    }
    std::fs::set_permissions(partial, old.permissions()).with_context(failed)
}

fn open_partial(partial: &Path) -> anyhow::Result<Option<SparseFile>> {
    if partial.symlink_metadata().is_err() {
        return Ok(None);
    }
    match SparseFile::open(partial, true, Some(Lock::Exclusive)) {
        Err(error) if error.is::<InUse>() => bail!("another copy writes to {} now", partial.display()),
        result => result.map(Some),
    }
}

fn is_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_block_device())
}

fn added(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Beside a disk of a target or a device there is no place: it is in the state directory.
fn journal_elsewhere(task: &Task<'_>, place: &str) -> anyhow::Result<PathBuf> {
    let directory = task.typed.daemon.directory()?.join("copies");
    state_directory::make(&directory)?;
    let digest = Sha256::digest(place.as_bytes());
    let name: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    Ok(directory.join(format!("{name}.copy")))
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("can't remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
