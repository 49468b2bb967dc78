//! The system calls under a volume, as an interface: whatever touches a file goes through here, in order,
//! so that a test can count the calls, make them fail, and replay what a power cut would have left.

mod device;
mod direct;
mod space;
mod system;

#[cfg(test)]
pub(crate) mod double;
#[cfg(test)]
pub(crate) mod power;

use std::fmt::Debug;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::io::Errno;

use crate::Space;

pub use device::Partition;
pub use space::available_space;
pub use system::SystemCalls;

/// The calls that take a path. Errors are the system's own, uninterpreted.
pub trait FileCalls: Send + Sync + Debug {
    /// What is at `path`, symbolic links followed, and which of its kind.
    fn identify(&self, path: &Path) -> Result<FileIdentity, Errno>;

    /// The names that stay with a block device, whatever path leads to it.
    fn device_names(&self, identity: FileIdentity) -> Vec<String> {
        let _ = identity;
        Vec::new()
    }

    /// Whether it is a block device that takes no writes, even if it can be opened for them.
    fn is_read_only_device(&self, identity: FileIdentity) -> bool {
        let _ = identity;
        false
    }

    /// Opens a file.
    fn open(&self, path: &Path, access: Access) -> Result<Box<dyn OpenFile>, Errno>;

    /// Opens a file that is read and written past the system's cache; `INVAL` or `OPNOTSUPP` where its file system does
    /// not take that.
    fn open_direct(&self, path: &Path, access: Access) -> Result<Box<dyn OpenFile>, Errno> {
        let _ = (path, access);
        Err(Errno::OPNOTSUPP)
    }

    /// Makes one directory, with mode 0700.
    fn create_directory(&self, path: &Path) -> Result<(), Errno>;

    /// Renames a file over another.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), Errno>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> Result<(), Errno>;

    /// Makes the names in a directory survive power loss.
    fn synchronize_directory(&self, path: &Path) -> Result<(), Errno>;

    /// Whether files can be made in a directory, as far as can be told without making one.
    fn takes_files(&self, directory: &Path) -> bool;
}

/// The calls on an open file. None of them but those that say so depends on, or moves, a position in the
/// file.
pub trait OpenFile: Send + Sync + Debug {
    /// Which file it is, and how long.
    fn status(&self) -> Result<FileStatus, Errno>;

    /// Takes a lock that lasts as long as the file is open; `WOULDBLOCK` where another opener holds it.
    fn lock(&self, lock: Lock) -> Result<(), Errno>;

    /// Of a file that is read and written past the system's cache, the bytes that its length is to be a multiple of.
    fn block(&self) -> Option<u64> {
        None
    }

    /// pread(2): at most `buffer.len()` bytes from `offset`; 0 at the end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno>;

    /// preadv2(2) with RWF_NOWAIT: like [`read_at`](Self::read_at), but `AGAIN` instead of waiting.
    fn read_at_without_waiting(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno>;

    /// pwrite(2).
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize, Errno>;

    /// The descriptor, for calls that take two; `None` where there is none.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// copy_file_range(2): at most `length` bytes from `offset` to `position` of another file, or of this one. The file
    /// system shares the blocks where it can. 0 at the end of this file.
    fn copy_range(&self, offset: u64, to: &dyn OpenFile, position: u64, length: u64) -> Result<u64, Errno> {
        let _ = (offset, to, position, length);
        Err(Errno::OPNOTSUPP)
    }

    /// fdatasync(2).
    fn synchronize_data(&self) -> Result<(), Errno>;

    /// fsync(2).
    fn synchronize(&self) -> Result<(), Errno>;

    /// ftruncate(2).
    fn set_length(&self, length: u64) -> Result<(), Errno>;

    /// fallocate(2), never changing the length of the file.
    fn change_space(&self, change: SpaceChange, offset: u64, length: u64) -> Result<(), Errno>;

    /// posix_fadvise(2) with POSIX_FADV_DONTNEED: reads of the range should ask the device again.
    fn forget_cached(&self, offset: u64, length: u64) -> Result<(), Errno>;

    /// fstat(2) and fstatvfs(2): the bytes that the file takes, and those that an ordinary user can still write to its
    /// file system.
    fn space(&self) -> Result<Space, Errno>;

    /// lseek(2) with SEEK_DATA: the first data at or after `offset`; `NXIO` where there is none.
    /// Moves the position that nothing else uses.
    fn seek_data(&self, offset: u64) -> Result<u64, Errno>;

    /// lseek(2) with SEEK_HOLE: the first hole at or after `offset`; the end of the file counts as one.
    /// Moves the position that nothing else uses.
    fn seek_hole(&self, offset: u64) -> Result<u64, Errno>;
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For reading.
    Read,
    /// For reading and writing.
    ReadWrite,
    /// A block device for reading and writing, refused with `BUSY` if it is mounted or otherwise in use.
    ReadWriteDevice,
    /// A new file of mode 0600, for reading and writing; refused with `EXIST` if the name is taken.
    CreateNew,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// Something that can't hold a disk: a pipe, a socket, a character device.
    Other,
}

/// What tells one file from another, whatever names it goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// What it is.
    pub kind: FileKind,
    /// The device that it lies on; of a block device, the device that it is.
    pub device: u64,
    /// Its number on that device; 0 for a block device, so that all nodes of one device are the same.
    pub inode: u64,
}

/// Which file it is, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// Which file it is.
    pub identity: FileIdentity,
    /// Length in bytes; of a block device, its size.
    pub length: u64,
}

/// Who else may have the file open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Others that only read.
    Shared,
    /// Nobody.
    Exclusive,
}

/// What fallocate(2) is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceChange {
    /// Make the range a hole.
    PunchHole,
    /// Make the range read as zeros, with space allocated for it.
    ZeroRange,
}

/// The directory that holds the name `path`.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    }
}

/// Writes all of `data`, from `offset` on.
pub(crate) fn write_all(file: &dyn OpenFile, offset: u64, data: &[u8]) -> Result<(), Errno> {
    let mut rest = data;
    let mut at = offset;
    while !rest.is_empty() {
        let count = uninterrupted(|| file.write_at(at, rest))?;
        if count == 0 {
            return Err(Errno::IO);
        }
        rest = rest.get(count..).unwrap_or_default();
        at += count as u64;
    }
    Ok(())
}

/// Repeats a call that a signal broke off. Not for fsync: what an interrupted one has done is not known.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}
