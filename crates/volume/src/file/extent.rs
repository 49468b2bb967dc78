//! Reads and writes within the part of a file that is the volume. Ranges are checked by the callers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use super::claims::Member;
use crate::calls::{OpenFile, uninterrupted};
use crate::{ErrorKind, Lent, Result, VolumeError};

/// Part of an open file.
#[derive(Debug)]
pub(super) struct Extent {
    pub(super) file: Arc<dyn OpenFile>,
    path: PathBuf,
    member: Arc<Member>,
    /// The file system has no RWF_NOWAIT: it need not be asked again.
    always_waits: AtomicBool,
}

impl Extent {
    /// The bytes of `member`; they end at a position that a file can have.
    pub(super) fn new(file: Arc<dyn OpenFile>, path: PathBuf, member: Arc<Member>) -> Self {
        Self { file, path, member, always_waits: AtomicBool::new(false) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn capacity(&self) -> u64 {
        self.member.capacity()
    }

    /// The position in the file of an offset in the volume.
    pub(super) fn position(&self, offset: u64) -> u64 {
        self.member.start + offset
    }

    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            let at = self.position(offset) + done as u64;
            let rest = &mut buffer[done..];
            match uninterrupted(|| self.file.read_at(at, rest)) {
                Ok(0) => return Err(self.ended(at)),
                Ok(count) => done += count,
                Err(errno) => return Err(self.failure(ErrorKind::ReadFailed, "read", at, errno)),
            }
        }
        Ok(())
    }

    /// Whether all of the buffer could be filled at once. Errors are left to the read that follows.
    pub(super) fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> bool {
        if self.always_waits.load(Ordering::Relaxed) {
            return false;
        }
        let at = self.position(offset);
        match uninterrupted(|| self.file.read_at_without_waiting(at, buffer)) {
            Ok(count) => count == buffer.len(),
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                self.always_waits.store(true, Ordering::Relaxed);
                false
            }
            Err(_) => false,
        }
    }

    /// Whether the file system has RWF_NOWAIT, as far as is known.
    pub(super) fn tells_what_is_cached(&self) -> bool {
        !self.always_waits.load(Ordering::Relaxed)
    }

    pub(super) fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.write_on(offset, data, &mut 0)
    }

    /// Writes what comes after the first `done` bytes of the data, and counts on.
    pub(super) fn write_on(&self, offset: u64, data: &[u8], done: &mut usize) -> Result<()> {
        while *done < data.len() {
            let at = self.position(offset) + *done as u64;
            match uninterrupted(|| self.file.write_at(at, &data[*done..])) {
                Ok(0) => return Err(self.failure(ErrorKind::WriteFailed, "write", at, Errno::IO)),
                Ok(count) => *done += count,
                Err(errno) => return Err(self.failure(ErrorKind::WriteFailed, "write", at, errno)),
            }
        }
        Ok(())
    }

    pub(super) fn lend(&self, offset: u64, length: u64) -> Lent {
        Lent { file: Arc::clone(&self.file), position: self.position(offset), length }
    }

    /// As many bytes as the system copies at once. It refuses what it can't do for many reasons (two file systems, a
    /// block device, ranges that overlap); what is wrong with either file is for a read and a write to tell.
    pub(super) fn copy_from(&self, lent: &Lent, offset: u64) -> u64 {
        let position = self.position(offset);
        let copy = || lent.file.copy_range(lent.position, &*self.file, position, lent.length);
        uninterrupted(copy).unwrap_or(0)
    }

    pub(super) fn failure(&self, kind: ErrorKind, what: &str, at: u64, errno: Errno) -> VolumeError {
        let kind = kind.unless_no_space(errno);
        let advice = match kind {
            ErrorKind::NoSpace => ": make room on its file system",
            _ => "",
        };
        let message = format!("can't {what} {} at byte {at}{advice}", self.path.display());
        VolumeError::new(kind, message).at(&self.path).caused_by(errno)
    }

    fn ended(&self, at: u64) -> VolumeError {
        let message = format!(
            "{} ends at byte {at}, within the disk, so something else has shortened the file: \
             bring it back from a backup, or restart to have zeros there",
            self.path.display()
        );
        VolumeError::new(ErrorKind::ReadFailed, message).at(&self.path)
    }
}
