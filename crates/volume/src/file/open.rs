//! How a file becomes an extent: found or made, locked, long enough.

use std::path::Path;

use rustix::io::Errno;

use super::{Length, OpenOptions, extent::Extent};
use crate::calls::{Access, FileCalls, FileKind, FileStatus, Lock, OpenFile, directory_of};
use crate::{ErrorKind, Result, VolumeError};

/// The last position that a file can have (off_t).
const LAST_POSITION: u64 = i64::MAX as u64;

/// Opens, locks and, where asked, makes or extends the file.
pub(super) fn extent(calls: &dyn FileCalls, options: &OpenOptions) -> Result<Extent> {
    let path = options.path.as_path();
    check_options(options)?;
    let (file, made) = match calls.kind(path) {
        Ok(kind) => (open_existing(calls, options, kind)?, false),
        Err(Errno::NOENT) => (make(calls, options)?, true),
        Err(errno) => return Err(system(path, "can't look at", errno)),
    };
    let capacity = lock_and_fit(calls, options, &*file, made);
    if made && capacity.is_err() {
        // An empty file is of no use to anyone; the first error is the one to tell.
        let _ = calls.remove(path);
    }
    Ok(Extent::new(file, path.to_owned(), options.start, capacity?))
}

fn check_options(options: &OpenOptions) -> Result<()> {
    let length = match options.length {
        Length::Bytes(length) => length,
        Length::WholeFile => 0,
    };
    if options.start.checked_add(length).is_none_or(|end| end > LAST_POSITION) {
        let sentence =
            format!("can't hold {length} bytes from byte {}: files end at 2^63 bytes", options.start);
        return Err(refusal(&options.path, &sentence));
    }
    Ok(())
}

fn open_existing(calls: &dyn FileCalls, options: &OpenOptions, kind: FileKind) -> Result<Box<dyn OpenFile>> {
    let path = options.path.as_path();
    let access = match (kind, options.read_only) {
        (FileKind::Directory, _) => return Err(refusal(path, "is a directory: name a file in it")),
        (FileKind::Other, _) => return Err(refusal(path, "is neither a file nor a block device")),
        (_, true) => Access::Read,
        (FileKind::Regular, false) => Access::ReadWrite,
        (FileKind::BlockDevice, false) => Access::ReadWriteDevice,
    };
    calls.open(path, access).map_err(|errno| match errno {
        Errno::BUSY => locked(path, "is mounted or otherwise in use: unmount it, or stop what uses it"),
        Errno::ACCESS | Errno::PERM | Errno::ROFS if !options.read_only => {
            refusal(path, "can't be written: allow it to this user, or serve it read-only").caused_by(errno)
        }
        _ => system(path, "can't open", errno),
    })
}

fn make(calls: &dyn FileCalls, options: &OpenOptions) -> Result<Box<dyn OpenFile>> {
    let path = options.path.as_path();
    if options.read_only || !options.create {
        return Err(refusal(path, "does not exist"));
    }
    if options.length == Length::WholeFile {
        return Err(refusal(path, "does not exist: say how long the new disk is to be"));
    }
    if options.create_parents {
        make_directories(calls, directory_of(path))?;
    }
    calls.open(path, Access::CreateNew).map_err(|errno| match errno {
        Errno::NOENT => {
            let directory = directory_of(path).display();
            refusal(path, &format!("can't be made: its directory {directory} does not exist; make it first"))
        }
        Errno::EXIST => refusal(path, "is a link that leads nowhere, or was made by another just now"),
        _ => system(path, "can't make", errno),
    })
}

fn make_directories(calls: &dyn FileCalls, directory: &Path) -> Result<()> {
    match calls.kind(directory) {
        Ok(_) => return Ok(()),
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(system(directory, "can't look at", errno)),
    }
    let above = directory_of(directory);
    if above != directory {
        make_directories(calls, above)?;
    }
    match calls.create_directory(directory) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(system(directory, "can't make", errno)),
    }
    calls.synchronize_directory(above).map_err(|errno| system(above, "can't synchronize", errno))
}

/// Locks the file, extends it if need be, and returns the capacity.
fn lock_and_fit(
    calls: &dyn FileCalls,
    options: &OpenOptions,
    file: &dyn OpenFile,
    made: bool,
) -> Result<u64> {
    let path = options.path.as_path();
    let lock = if options.read_only { Lock::Shared } else { Lock::Exclusive };
    file.lock(lock).map_err(|errno| match errno {
        Errno::WOULDBLOCK => {
            locked(path, "is in use by another timedisk or another disk here: stop it, or use another file")
        }
        _ => system(path, "can't lock", errno),
    })?;
    let status = file.status().map_err(|errno| system(path, "can't look at", errno))?;
    if !matches!(status.kind, FileKind::Regular | FileKind::BlockDevice) {
        return Err(refusal(path, "is neither a file nor a block device"));
    }
    let length = match options.length {
        Length::Bytes(length) => length,
        Length::WholeFile => status.length.saturating_sub(options.start),
    };
    let capacity = length - length.checked_rem(u64::from(options.block_length)).unwrap_or(0);
    if capacity == 0 {
        let sentence = format!(
            "has no room for a disk: {length} bytes from byte {} is less than one block of {}",
            options.start, options.block_length
        );
        return Err(refusal(path, &sentence));
    }
    extend(options, file, status, options.start + length)?;
    if made || status.length < options.start + length {
        let directory = directory_of(path);
        calls
            .synchronize_directory(directory)
            .map_err(|errno| system(directory, "can't synchronize", errno))?;
    }
    Ok(capacity)
}

/// Makes the file `end` bytes long if it is shorter, without taking space. It is never made shorter.
fn extend(options: &OpenOptions, file: &dyn OpenFile, status: FileStatus, end: u64) -> Result<()> {
    if status.length >= end {
        return Ok(());
    }
    let path = options.path.as_path();
    if options.read_only || status.kind == FileKind::BlockDevice {
        let why = if options.read_only { "a read-only disk is" } else { "block devices are" };
        let sentence =
            format!("has {} bytes, fewer than the {end} asked for, and {why} not extended", status.length);
        return Err(refusal(path, &sentence));
    }
    let extended = file.set_length(end).and_then(|()| file.synchronize());
    let extending = format!("can't make a file of {end} bytes (is that more than the file system takes?):");
    extended.map_err(|errno| system(path, &extending, errno))
}

fn refusal(path: &Path, sentence: &str) -> VolumeError {
    VolumeError::new(ErrorKind::CannotOpen, format!("{} {sentence}", path.display())).at(path)
}

fn locked(path: &Path, sentence: &str) -> VolumeError {
    VolumeError::new(ErrorKind::Locked, format!("{} {sentence}", path.display())).at(path)
}

fn system(path: &Path, what: &str, errno: Errno) -> VolumeError {
    let kind = ErrorKind::CannotOpen.unless_no_space(errno);
    VolumeError::new(kind, format!("{what} {}", path.display())).at(path).caused_by(errno)
}
