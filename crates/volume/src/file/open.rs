//! How a file becomes an extent: found or made, locked, long enough.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use rustix::io::Errno;

use super::atomic::Redo;
use super::claims::{Member, Range};
use super::images::OpenFiles;
use super::{FileVolume, Length, OpenOptions, extent::Extent, shared::SharedFile};
use crate::calls::{Access, FileCalls, FileIdentity, FileKind, FileStatus, Lock, OpenFile, directory_of};
use crate::redo::RedoRecord;
use crate::{DiskState, ErrorKind, Result, VolumeError};

/// Under this name in a state file: which device the disk is on, by the names that its maker gave it.
const DEVICE: &str = "device";

/// One name in common is enough: another release of the system may tell fewer, or others.
const BETWEEN_NAMES: &str = "; ";

/// The last position that a file can have (off_t).
const LAST_POSITION: u64 = i64::MAX as u64;

/// Opens an extent of a file that is in `open`, or else of one that is opened and locked for it.
pub(super) fn volume(
    calls: &Arc<dyn FileCalls>,
    open: &OpenFiles,
    options: &OpenOptions,
) -> Result<FileVolume> {
    let path = options.path.as_path();
    check_options(options)?;
    let (shared, made) = match calls.identify(path) {
        Ok(identity) => (existing(&**calls, open, options, identity)?, false),
        Err(Errno::NOENT) => {
            let file: Arc<dyn OpenFile> = make(&**calls, options)?.into();
            (locked_file(&**calls, options, file)?, true)
        }
        Err(errno) => return Err(system(path, "can't look at", errno)),
    };
    let fitted = fit(&**calls, options, &shared, made).and_then(|(capacity, end)| {
        let fallback = options.state_directory.as_deref();
        let state = DiskState::open_with(Arc::clone(calls), path, options.start, fallback)?;
        // Before anything is written to a device that may be another one.
        check_device(&**calls, path, shared.identity(), &state)?;
        let record = RedoRecord::open(Arc::clone(calls), &state, options.read_only);
        if record.is_err() && state.is_new() {
            let _ = calls.remove(state.path());
        }
        let record = record?;
        Ok((capacity, end, state, record))
    });
    if made && fitted.is_err() {
        // An image without a disk is of no use to anyone; the first error is the one to tell.
        remove(&**calls, path, shared.identity());
    }
    let (capacity, end, state, record) = fitted?;
    let made = Made { image: made, state: state.is_new().then(|| state.path().to_owned()) };
    let mut claims = shared.claims();
    let state = claims.state(state);
    let member = Arc::new(Member::new(options.start, capacity, options.read_only, state));
    claims.add(Arc::clone(&member), end);
    drop(claims);
    let file = if options.read_only { shared.first() } else { shared.file() };
    let extent = Extent::new(Arc::clone(file), path.to_owned(), Arc::clone(&member));
    let redo = Redo::new(record);
    let (calls, block_length) = (Arc::clone(calls), options.block_length);
    let mut volume = FileVolume { extent, member, shared, block_length, calls, made, redo, recovery: None };
    match volume.recover() {
        Ok(recovery) => volume.recovery = recovery,
        Err(error) => {
            volume.take_back();
            return Err(error);
        }
    }
    Ok(volume)
}

/// What was not there before a volume was opened.
#[derive(Debug)]
pub(super) struct Made {
    image: bool,
    /// Its state file.
    state: Option<PathBuf>,
}

impl FileVolume {
    /// The file that is open, whatever its path leads to by now.
    pub fn identity(&self) -> FileIdentity {
        self.shared.identity()
    }

    /// Whether its file was made when it was opened, so that there is nothing in it.
    pub fn is_new(&self) -> bool {
        self.made.image
    }

    /// Whether `path` leads to the file that is open.
    pub fn is_at(&self, path: &Path) -> bool {
        self.calls.identify(path).is_ok_and(|identity| identity == self.identity())
    }

    /// Removes what opening this volume made: the image, unless another is in its place by now, and the state file. Its
    /// lock is held until it is dropped, so that nobody else has begun to use it.
    pub fn take_back(&self) {
        if let Some(state) = &self.made.state {
            // What can't be removed is of no harm: it says who a disk is that nobody has seen.
            let _ = self.calls.remove(state);
        }
        if self.made.image {
            remove(&*self.calls, self.path(), self.identity());
        }
    }
}

/// Removes a file that was made in vain, unless the path leads to another by now.
fn remove(calls: &dyn FileCalls, path: &Path, identity: FileIdentity) {
    if calls.identify(path) == Ok(identity) {
        // What can't be removed is of no harm: it is sparse.
        let _ = calls.remove(path);
    }
}

/// Refuses a device that has taken the path of another: the state file, which knows a device by its path, is not its.
fn check_device(calls: &dyn FileCalls, path: &Path, identity: FileIdentity, state: &DiskState) -> Result<()> {
    let names = calls.device_names(identity);
    let now = names.join(BETWEEN_NAMES);
    let before = state.setting(DEVICE);
    let is_same = |before: &str| before.split(BETWEEN_NAMES).any(|name| names.iter().any(|now| now == name));
    match before.filter(|before| !is_same(before)) {
        // A system that tells more of it than the last one did.
        None if !names.is_empty() => state.set_setting(DEVICE, &now),
        None => Ok(()),
        Some(_) if names.is_empty() => Ok(()),
        Some(before) => {
            let sentence = format!(
                "is another device now ({now}, not {before}), as devices change their names when others come and go: \
                 give the link in /dev/disk/by-id that leads to the one that is meant. If this one shall be a disk of \
                 its own, move {} away",
                state.path().display()
            );
            Err(refusal(path, &sentence))
        }
    }
}

fn check_options(options: &OpenOptions) -> Result<()> {
    let length = match options.length {
        Length::Bytes(length) => length,
        Length::WholeFile => 0,
    };
    if end_of(options.start, length).is_none() {
        let sentence =
            format!("can't hold {length} bytes from byte {}: files end at 2^63 bytes", options.start);
        return Err(refusal(&options.path, &sentence));
    }
    Ok(())
}

/// Where `length` bytes from `start` end, if a file can be so long.
pub(super) fn end_of(start: u64, length: u64) -> Option<u64> {
    start.checked_add(length).filter(|&end| end <= LAST_POSITION)
}

/// The file of that identity, open and locked as the options need it.
fn existing(
    calls: &dyn FileCalls,
    open: &OpenFiles,
    options: &OpenOptions,
    identity: FileIdentity,
) -> Result<Arc<SharedFile>> {
    let known = |identity| open.get(&identity).and_then(Weak::upgrade);
    if let Some(shared) = known(identity) {
        if options.direct != shared.block().is_some() {
            let sentence =
                "has several extents, and only some with direct=yes: give it to all of them or to none";
            return Err(refusal(&options.path, sentence));
        }
        if !options.read_only && !shared.is_writable() {
            add_writer(calls, options, &shared)?;
        }
        return Ok(shared);
    }
    let file: Arc<dyn OpenFile> = open_file(calls, options, identity)?.into();
    locked_file(calls, options, file)
}

/// Opens for writing what only readers have had so far.
fn add_writer(calls: &dyn FileCalls, options: &OpenOptions, shared: &SharedFile) -> Result<()> {
    let path = options.path.as_path();
    let file = open_file(calls, options, shared.identity())?;
    let status = file.status().map_err(|errno| system(path, "can't look at", errno))?;
    if status.identity != shared.identity() {
        return Err(refusal(path, "was replaced by another file just now: try again"));
    }
    // The lock belongs to the open file that the readers use. To make it exclusive is to give it up and
    // take another, so where that fails the old one has to be taken back.
    if let Err(error) = lock(path, &**shared.first(), Lock::Exclusive) {
        lock(path, &**shared.first(), Lock::Shared)?;
        return Err(error);
    }
    shared.write_through(file.into());
    Ok(())
}

pub(super) fn open_file(
    calls: &dyn FileCalls,
    options: &OpenOptions,
    identity: FileIdentity,
) -> Result<Box<dyn OpenFile>> {
    let path = options.path.as_path();
    let unwritable = "can't be written: allow it to this user, or serve it read-only";
    if !options.read_only && calls.is_read_only_device(identity) {
        return Err(refusal(path, unwritable));
    }
    let access = match (identity.kind, options.read_only) {
        (FileKind::Directory, _) => return Err(refusal(path, "is a directory: name a file in it")),
        (FileKind::Other, _) => return Err(refusal(path, "is neither a file nor a block device")),
        (_, true) => Access::Read,
        (FileKind::Regular, false) => Access::ReadWrite,
        (FileKind::BlockDevice, false) => Access::ReadWriteDevice,
    };
    open_as(calls, options, access).map_err(|errno| match errno {
        Errno::INVAL | Errno::OPNOTSUPP if options.direct => not_direct(path, errno),
        Errno::BUSY => locked(path, "is mounted or otherwise in use: unmount it, or stop what uses it"),
        Errno::ACCESS | Errno::PERM | Errno::ROFS if !options.read_only => {
            refusal(path, unwritable).caused_by(errno)
        }
        _ => system(path, "can't open", errno),
    })
}

fn open_as(
    calls: &dyn FileCalls,
    options: &OpenOptions,
    access: Access,
) -> std::result::Result<Box<dyn OpenFile>, Errno> {
    if options.direct { calls.open_direct(&options.path, access) } else { calls.open(&options.path, access) }
}

fn not_direct(path: &Path, errno: Errno) -> VolumeError {
    refusal(path, "can't be used with direct=yes: its file system has no direct I/O. Leave that out")
        .caused_by(errno)
}

fn make(calls: &dyn FileCalls, options: &OpenOptions) -> Result<Box<dyn OpenFile>> {
    let path = options.path.as_path();
    if options.read_only || !options.create {
        return Err(refusal(path, "does not exist"));
    }
    if options.length == Length::WholeFile {
        return Err(refusal(path, "does not exist: say how long the new disk is to be"));
    }
    if is_among_devices(path) {
        return Err(refusal(path, "does not exist, and no file is made among the devices: is it attached?"));
    }
    if options.create_parents {
        make_directories(calls, directory_of(path))?;
    }
    open_as(calls, options, Access::CreateNew).map_err(|errno| match errno {
        Errno::INVAL | Errno::OPNOTSUPP if options.direct => not_direct(path, errno),
        Errno::NOENT => {
            let directory = directory_of(path).display();
            refusal(path, &format!("can't be made: its directory {directory} does not exist; make it first"))
        }
        Errno::EXIST => refusal(path, "is a link that leads nowhere, or was made by another just now"),
        _ => system(path, "can't make", errno),
    })
}

/// Whether a name in the directory is a device's. What is in /dev/shm are files.
fn is_among_devices(path: &Path) -> bool {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.starts_with("/dev") && !absolute.starts_with("/dev/shm")
}

fn make_directories(calls: &dyn FileCalls, directory: &Path) -> Result<()> {
    match calls.identify(directory) {
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

/// Locks a file that was just opened.
fn locked_file(
    calls: &dyn FileCalls,
    options: &OpenOptions,
    file: Arc<dyn OpenFile>,
) -> Result<Arc<SharedFile>> {
    let path = options.path.as_path();
    lock(path, &*file, if options.read_only { Lock::Shared } else { Lock::Exclusive })?;
    let identity = file.status().map_err(|errno| system(path, "can't look at", errno))?.identity;
    if !matches!(identity.kind, FileKind::Regular | FileKind::BlockDevice) {
        return Err(refusal(path, "is neither a file nor a block device"));
    }
    // Whoever had the lock before may have removed the file, and what is written to it would go with it.
    if calls.identify(path) != Ok(identity) {
        return Err(refusal(path, "was replaced or removed just now: try again"));
    }
    Ok(Arc::new(SharedFile::new(identity, file, options.read_only)))
}

pub(super) fn lock(path: &Path, file: &dyn OpenFile, lock: Lock) -> Result<()> {
    file.lock(lock).map_err(|errno| match errno {
        Errno::WOULDBLOCK => {
            locked(path, "is in use by another timedisk or another disk here: stop it, or use another file")
        }
        _ => system(path, "can't lock", errno),
    })
}

/// Finds room for the extent, extends the file if need be, and returns the capacity and the end of what is
/// claimed.
fn fit(calls: &dyn FileCalls, options: &OpenOptions, shared: &SharedFile, made: bool) -> Result<(u64, u64)> {
    let path = options.path.as_path();
    let status = shared.status().map_err(|errno| system(path, "can't look at", errno))?;
    let length = match options.length {
        Length::Bytes(length) => length,
        Length::WholeFile => status.length.saturating_sub(options.start),
    };
    let capacity = whole_blocks(length, options.block_length);
    if capacity == 0 {
        let sentence = format!(
            "has no room for a disk: {length} bytes from byte {} is less than one block of {}",
            options.start, options.block_length
        );
        return Err(refusal(path, &sentence));
    }
    let range = Range { start: options.start, end: options.start + length, read_only: options.read_only };
    if let Some(other) = shared.claims().against(range, None) {
        return Err(overlap(path, range, other));
    }
    if let Some(sentence) = ends_within_a_block(shared, status.length.max(range.end)) {
        return Err(refusal(path, &format!("can't be served {sentence}")));
    }
    extend(options, shared, status, range.end)?;
    if made || status.length < range.end {
        let directory = directory_of(path);
        calls
            .synchronize_directory(directory)
            .map_err(|errno| system(directory, "can't synchronize", errno))?;
    }
    Ok((capacity, range.end))
}

/// Why a file can't have that length, if it is read and written past the cache, where there are whole blocks only.
pub(super) fn ends_within_a_block(shared: &SharedFile, length: u64) -> Option<String> {
    let block = shared.block().filter(|block| !length.is_multiple_of(*block))?;
    Some(format!(
        "with direct=yes: it would have {length} bytes, and the length has to be a multiple of {block}. Make it so, or \
         leave direct=yes out"
    ))
}

/// What of `length` bytes is whole blocks.
pub(super) fn whole_blocks(length: u64, block_length: u32) -> u64 {
    length - length.checked_rem(u64::from(block_length)).unwrap_or(0)
}

/// Makes the file `end` bytes long if it is shorter, without taking space. It is never made shorter.
fn extend(options: &OpenOptions, shared: &SharedFile, status: FileStatus, end: u64) -> Result<()> {
    if status.length >= end {
        return Ok(());
    }
    let path = options.path.as_path();
    let is_device = status.identity.kind == FileKind::BlockDevice;
    if options.read_only || is_device {
        let why = if options.read_only { "a read-only disk is" } else { "block devices are" };
        let sentence =
            format!("has {} bytes, fewer than the {end} asked for, and {why} not extended", status.length);
        return Err(refusal(path, &sentence));
    }
    lengthen(path, shared, end, ErrorKind::CannotOpen)
}

/// Makes the file `end` bytes long if it is shorter, so that the length survives power loss.
/// `kind` is what it is if it can't be.
pub(super) fn lengthen(path: &Path, shared: &SharedFile, end: u64, kind: ErrorKind) -> Result<()> {
    shared.lengthen(end).map_err(|errno| {
        let message = format!(
            "can't make a file of {end} bytes (is that more than the file system takes?): {}",
            path.display()
        );
        VolumeError::new(kind.unless_no_space(errno), message).at(path).caused_by(errno)
    })?;
    shared.flush_all().map_err(|reason| {
        let message = format!("the length of {} can't be made to last ({reason})", path.display());
        VolumeError::new(ErrorKind::FlushFailed, message).at(path)
    })
}

pub(super) fn overlap(path: &Path, asked: Range, other: Range) -> VolumeError {
    let message = format!(
        "bytes {} to {} of {} are asked for, but bytes {} to {} of it are another disk: disks of one file must \
         not overlap, unless all of them are read-only",
        asked.start,
        asked.end.saturating_sub(1),
        path.display(),
        other.start,
        other.end.saturating_sub(1)
    );
    VolumeError::new(ErrorKind::Overlap, message).at(path)
}

fn refusal(path: &Path, sentence: &str) -> VolumeError {
    VolumeError::new(ErrorKind::CannotOpen, format!("{} {sentence}", path.display())).at(path)
}

fn locked(path: &Path, sentence: &str) -> VolumeError {
    VolumeError::new(ErrorKind::Locked, format!("{} {sentence}", path.display())).at(path)
}

pub(super) fn system(path: &Path, what: &str, errno: Errno) -> VolumeError {
    let kind = ErrorKind::CannotOpen.unless_no_space(errno);
    VolumeError::new(kind, format!("{what} {}", path.display())).at(path).caused_by(errno)
}
