//! A volume in a file: one extent of a sparse file or of a block device.

mod commit;
mod extent;
mod open;
mod space;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{
    Allocation, DiskState, Durability, ErrorKind, FileCalls, Health, Mapping, Result, SystemCalls, Volume,
    VolumeError, range,
};
use commit::GroupCommit;
use extent::Extent;

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
            block_length: 512,
            state_directory: None,
        }
    }
}

/// A volume in one extent of a sparse file or a block device.
///
/// The file is locked for as long as the volume lives: one that is read-only shares it with other readers,
/// any other shares it with nobody. Opening writes no data into the file; it makes it or extends it,
/// sparse.
#[derive(Debug)]
pub struct FileVolume {
    extent: Extent,
    read_only: bool,
    commit: GroupCommit,
    state: Arc<DiskState>,
}

impl FileVolume {
    /// Opens the file, makes or extends it where asked, locks it, and opens its [`DiskState`].
    ///
    /// # Errors
    /// [`ErrorKind::CannotOpen`] where the file can't be used as asked, [`ErrorKind::Locked`] where another
    /// has it, [`ErrorKind::NoSpace`] where it can't be as long, [`ErrorKind::BadState`] for its state
    /// file.
    pub fn open(options: OpenOptions) -> Result<Self> {
        Self::open_with(Arc::new(SystemCalls), options)
    }

    /// Like [`open`](Self::open), through `calls`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(calls: Arc<dyn FileCalls>, options: OpenOptions) -> Result<Self> {
        let extent = open::extent(&*calls, &options)?;
        let state = DiskState::open_with(calls, &options.path, options.state_directory.as_deref())?;
        let commit = GroupCommit::new(state.flush_failure());
        Ok(Self { extent, read_only: options.read_only, commit, state: Arc::new(state) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.extent.path()
    }

    /// Who the disk is, and what it must not forget.
    pub fn state(&self) -> &Arc<DiskState> {
        &self.state
    }

    fn check_change(&self, offset: u64, length: u64) -> Result<()> {
        range::check(self.extent.capacity(), offset, length)?;
        if self.read_only {
            let message = format!("{} is served read-only", self.path().display());
            return Err(VolumeError::new(ErrorKind::ReadOnly, message).at(self.path()));
        }
        self.commit.failure().map_or(Ok(()), |reason| Err(self.flush_failed(reason)))
    }

    fn commit(&self) -> Result<()> {
        self.commit.flush(|| self.synchronize()).map_err(|reason| self.flush_failed(&reason))
    }

    fn commit_if(&self, durability: Durability) -> Result<()> {
        match durability {
            Durability::Durable => self.commit(),
            Durability::Volatile => Ok(()),
        }
    }

    /// One fdatasync(2). A failure is written into the state file before anyone hears of it; it is never
    /// retried, because the system reports the loss of written data once and then forgets it.
    fn synchronize(&self) -> std::result::Result<(), String> {
        self.extent.synchronize().map_err(|errno| {
            let reason = errno.to_string();
            match self.state.mark_flush_failed(&reason) {
                Ok(()) => reason,
                Err(error) => {
                    format!("{reason}; and it can't be written down for the next start: {error}")
                }
            }
        })
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
        self.read_only
    }

    fn health(&self) -> Health {
        if self.commit.failure().is_some() { Health::FlushFailed } else { Health::Good }
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        range::check(self.extent.capacity(), offset, range::length_of(buffer))?;
        self.extent.read(offset, buffer)
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        range::check(self.extent.capacity(), offset, range::length_of(buffer))?;
        Ok(self.extent.read_cached(offset, buffer))
    }

    fn write(&self, offset: u64, data: &[u8], durability: Durability) -> Result<()> {
        self.check_change(offset, range::length_of(data))?;
        self.extent.write(offset, data)?;
        self.commit_if(durability)
    }

    fn flush(&self) -> Result<()> {
        if self.read_only && self.commit.failure().is_none() {
            // Nothing was written, so nothing needs to be asked of the device.
            return Ok(());
        }
        self.commit()
    }

    fn deallocate(&self, offset: u64, length: u64) -> Result<()> {
        self.check_change(offset, length)?;
        self.extent.punch(offset, length)
    }

    fn write_zeroes(
        &self,
        offset: u64,
        length: u64,
        allocation: Allocation,
        durability: Durability,
    ) -> Result<()> {
        self.check_change(offset, length)?;
        match allocation {
            Allocation::Release => self.extent.punch(offset, length)?,
            Allocation::Keep => self.extent.zero(offset, length)?,
        }
        self.commit_if(durability)
    }

    fn mapping(&self, offset: u64) -> Result<Mapping> {
        range::check_byte(self.extent.capacity(), offset)?;
        self.extent.mapping(offset)
    }
}
