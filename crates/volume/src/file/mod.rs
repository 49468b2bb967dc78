//! A volume in a file: one extent of a sparse file or of a block device.

mod accept;
mod atomic;
mod claims;
mod commit;
mod extent;
mod growth;
mod images;
mod open;
mod shared;
mod space;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::calls::{FileCalls, FileKind};
use crate::{
    Allocation, DiskState, Durability, ErrorKind, Health, Lent, Mapping, Result, Space, Volume, VolumeError,
    range,
};
pub use accept::{accept_loss_offline, accept_loss_offline_with};
pub use atomic::Recovery;
use atomic::Redo;
use claims::Member;
use extent::Extent;
pub use growth::Growth;
pub use images::ImageFiles;
use open::Made;
use shared::SharedFile;

/// What to open, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// The image, or a block device.
    pub path: PathBuf,
    /// Where in the file the volume begins, in bytes.
    pub start: u64,
    /// How long the volume is.
    pub length: Length,
    /// Whether writes are refused. Then the file is neither made nor extended.
    pub read_only: bool,
    /// Whether to make the file if there is none.
    pub create: bool,
    /// Whether to make the directories above it too.
    pub create_parents: bool,
    /// Whether it is read and written past the system's cache (O_DIRECT). The same for all extents of a file.
    pub direct: bool,
    /// The capacity is rounded down to a multiple of so many bytes.
    pub block_length: u32,
    /// Where the state file goes if it can't be beside the image; see [`DiskState::open`].
    pub state_directory: Option<PathBuf>,
}

/// How long a volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many bytes.
    Bytes(u64),
    /// From the start to the end of the file as it is now.
    WholeFile,
}

impl OpenOptions {
    /// The extent of `length` from the beginning of `path`: read-write, of 512-byte blocks, made if there
    /// is none, in a directory that exists.
    pub fn new(path: impl Into<PathBuf>, length: Length) -> Self {
        Self {
            path: path.into(),
            start: 0,
            length,
            read_only: false,
            create: true,
            create_parents: false,
            direct: false,
            block_length: 512,
            state_directory: None,
        }
    }
}

/// A volume in one extent of a sparse file or a block device.
///
/// The file is locked for as long as one of its volumes lives: those that are read-only share it with
/// other readers, any other shares it with nobody but other extents of the file that were opened through
/// the same [`ImageFiles`]. Opening writes no data into the file; it makes it or extends it, sparse.
#[derive(Debug)]
pub struct FileVolume {
    extent: Extent,
    member: Arc<Member>,
    shared: Arc<SharedFile>,
    block_length: u32,
    calls: Arc<dyn FileCalls>,
    made: Made,
    redo: Redo,
    recovery: Option<Recovery>,
}

impl FileVolume {
    /// Opens a file of which no other extent is served by this process; see [`ImageFiles::open`].
    ///
    /// # Errors
    /// As [`ImageFiles::open`]; and [`ErrorKind::Locked`] if this process has the file open otherwise.
    pub fn open(options: OpenOptions) -> Result<Self> {
        ImageFiles::new().open(options)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.extent.path()
    }

    /// Where in the file it begins, in bytes.
    pub fn start(&self) -> u64 {
        self.member.start
    }

    /// Who the disk is, and what it must not forget.
    pub fn state(&self) -> &Arc<DiskState> {
        &self.member.state
    }

    /// Bytes of the file after the last of its extents that are open, as they were asked for; 0 for a block
    /// device. A file that another program has served may have some: NetBSD's iscsi-target makes a file one
    /// block longer than its extent, with a copy of the last block, when it is started a second time.
    ///
    /// # Errors
    /// [`ErrorKind::ReadFailed`] if the system can't tell the length of the file.
    pub fn surplus(&self) -> Result<u64> {
        let status = self.shared.status().map_err(|errno| {
            let message = format!("can't ask how long {} is", self.path().display());
            VolumeError::new(ErrorKind::ReadFailed, message).at(self.path()).caused_by(errno)
        })?;
        match status.identity.kind {
            FileKind::BlockDevice => Ok(0),
            _ => Ok(status.length.saturating_sub(self.shared.claims().end())),
        }
    }

    /// Makes a change to a range, if the disk takes changes. It is told how many flushes have failed before it.
    fn change(
        &self,
        offset: u64,
        length: u64,
        durability: Durability,
        change: impl FnOnce(u64) -> Result<()>,
    ) -> Result<()> {
        range::check(self.extent.capacity(), offset, length)?;
        if self.member.read_only {
            let message = format!("{} is served read-only", self.path().display());
            return Err(VolumeError::new(ErrorKind::ReadOnly, message).at(self.path()));
        }
        let seen = self.check_promises()?;
        self.settle()?;
        change(seen)?;
        match durability {
            Durability::Durable => self.commit(seen),
            Durability::Volatile => self.check_since(seen),
        }
    }

    /// Refuses to promise what was going on while a flush failed, even if the loss has been accepted by
    /// now: nobody knew of it when it was.
    fn check_since(&self, seen: u64) -> Result<()> {
        if self.shared.failures() > seen {
            return Err(self.flush_failed("while this was written"));
        }
        Ok(())
    }

    /// How many flushes of the file have failed so far, unless the last one still counts for this disk.
    fn check_promises(&self) -> Result<u64> {
        // Failures are counted after the disk learns of them, so this order misses none.
        let seen = self.shared.failures();
        self.member.failure().map_or(Ok(seen), |reason| Err(self.flush_failed(&reason)))
    }

    fn commit(&self, seen: u64) -> Result<()> {
        self.shared.flush(seen).map_err(|reason| self.flush_failed(&reason))
    }

    fn flush_failed(&self, reason: &str) -> VolumeError {
        let message = format!(
            "a flush of {} failed ({reason}): what was written since the last good flush may be lost, so the \
             disk refuses writes until `timedisk disk accept-loss`",
            self.path().display()
        );
        VolumeError::new(ErrorKind::FlushFailed, message).at(self.path())
    }
}

impl Volume for FileVolume {
    fn capacity(&self) -> u64 {
        self.extent.capacity()
    }

    fn is_read_only(&self) -> bool {
        self.member.read_only
    }

    fn health(&self) -> Health {
        if self.member.failure().is_some() { Health::FlushFailed } else { Health::Good }
    }

    fn failed_flushes(&self) -> u64 {
        self.shared.failures()
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        range::check(self.extent.capacity(), offset, range::length_of(buffer))?;
        if self.redo.is_torn(offset, range::length_of(buffer)) {
            self.settle()?;
        }
        self.extent.read(offset, buffer)
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        range::check(self.extent.capacity(), offset, range::length_of(buffer))?;
        let is_torn = self.redo.is_torn(offset, range::length_of(buffer));
        Ok(!is_torn && self.extent.read_cached(offset, buffer))
    }

    fn tells_what_is_cached(&self) -> bool {
        self.extent.tells_what_is_cached()
    }

    fn writes_wait(&self) -> bool {
        self.shared.block().is_some()
    }

    fn lend(&self, offset: u64, length: u64) -> Result<Option<Lent>> {
        range::check(self.extent.capacity(), offset, length)?;
        if self.redo.is_torn(offset, length) {
            self.settle()?;
        }
        Ok(Some(self.extent.lend(offset, length)))
    }

    fn copy_from(&self, lent: &Lent, offset: u64) -> Result<u64> {
        let mut copied = 0;
        self.change(offset, lent.length, Durability::Volatile, |_| {
            copied = self.extent.copy_from(lent, offset);
            Ok(())
        })?;
        Ok(copied)
    }

    fn write(&self, offset: u64, data: &[u8], durability: Durability) -> Result<()> {
        self.change(offset, range::length_of(data), durability, |_| self.extent.write(offset, data))
    }

    /// By way of the redo record beside the state file; 0 where there can be none.
    fn atomic_limit(&self) -> u64 {
        self.redo.limit()
    }

    fn write_atomic(&self, offset: u64, data: &[u8]) -> Result<()> {
        range::check_atomic(self.redo.limit(), data)?;
        self.change(offset, range::length_of(data), Durability::Volatile, |seen| {
            if data.is_empty() { Ok(()) } else { self.put_whole(offset, data, seen) }
        })
    }

    fn flush(&self) -> Result<()> {
        let seen = self.check_promises()?;
        if self.member.read_only {
            // Nothing was written, so nothing needs to be asked of the device.
            return Ok(());
        }
        self.commit(seen)
    }

    fn deallocate(&self, offset: u64, length: u64) -> Result<()> {
        self.change(offset, length, Durability::Volatile, |_| self.extent.punch(offset, length))
    }

    fn write_zeroes(
        &self,
        offset: u64,
        length: u64,
        allocation: Allocation,
        durability: Durability,
    ) -> Result<()> {
        self.change(offset, length, durability, |_| match allocation {
            Allocation::Release => self.extent.punch(offset, length),
            Allocation::Keep => self.extent.zero(offset, length),
        })
    }

    /// Those of the redo record.
    fn erase_leftovers(&self) -> Result<()> {
        self.change(0, 0, Durability::Volatile, |_| self.erase_record())
    }

    fn mapping(&self, offset: u64) -> Result<Mapping> {
        range::check_byte(self.extent.capacity(), offset)?;
        self.extent.mapping(offset)
    }

    fn space(&self) -> Result<Option<Space>> {
        self.extent.space(self.shared.identity().kind)
    }
}

impl Drop for FileVolume {
    fn drop(&mut self) {
        self.shared.leave(&self.member);
    }
}
