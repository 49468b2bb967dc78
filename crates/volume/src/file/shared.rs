//! A file that is open once, for all the extents of it that are disks.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::io::Errno;

use super::claims::{Claims, Member};
use super::commit::GroupCommit;
use crate::calls::{FileIdentity, FileStatus, OpenFile};

/// An open file, its lock and its flushes.
///
/// The system says once for an open file that written data are lost, and does not say whose. So there is
/// one open file for all writers, and when it says so, it has been said to all.
#[derive(Debug)]
pub(super) struct SharedFile {
    identity: FileIdentity,
    /// Has the lock.
    first: Arc<dyn OpenFile>,
    /// The file open for writing: `first`, unless a writer came after readers.
    writing: OnceLock<Arc<dyn OpenFile>>,
    commit: GroupCommit,
    claims: Mutex<Claims>,
}

impl SharedFile {
    /// `first` is locked, exclusively if it is open for writing.
    pub(super) fn new(identity: FileIdentity, first: Arc<dyn OpenFile>, read_only: bool) -> Self {
        let writing = if read_only { OnceLock::new() } else { OnceLock::from(Arc::clone(&first)) };
        Self { identity, first, writing, commit: GroupCommit::default(), claims: Mutex::default() }
    }

    pub(super) fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// The bytes that the file's length has to be a multiple of, if it is read and written past the system's cache.
    pub(super) fn block(&self) -> Option<u64> {
        self.first.block()
    }

    /// The open file that has the lock; not all can write through it.
    pub(super) fn first(&self) -> &Arc<dyn OpenFile> {
        &self.first
    }

    /// Whether writers can use it.
    pub(super) fn is_writable(&self) -> bool {
        self.writing.get().is_some()
    }

    /// Writers use `file` from now on. The lock is exclusive.
    pub(super) fn write_through(&self, file: Arc<dyn OpenFile>) {
        // Files are opened one at a time, so nobody else has set it.
        let _ = self.writing.set(file);
    }

    /// The open file that can do most.
    pub(super) fn file(&self) -> &Arc<dyn OpenFile> {
        self.writing.get().unwrap_or(&self.first)
    }

    pub(super) fn status(&self) -> Result<FileStatus, Errno> {
        self.file().status()
    }

    /// Makes the file `end` bytes long if it is shorter; two who do so at once never shorten it. It lasts
    /// only after [`flush_all`](Self::flush_all).
    pub(super) fn lengthen(&self, end: u64) -> Result<(), Errno> {
        let _alone = self.claims();
        if self.status()?.length < end { self.file().set_length(end) } else { Ok(()) }
    }

    /// How many flushes of the file have failed; [`flush`](Self::flush) wants to know what was seen.
    pub(super) fn failures(&self) -> u64 {
        self.commit.failures()
    }

    /// One fdatasync(2), shared with others; see [`GroupCommit::flush`].
    pub(super) fn flush(&self, seen: u64) -> Result<(), String> {
        self.commit.flush(seen, || self.synchronize(|file| file.synchronize_data()))
    }

    /// One fsync(2), shared likewise: what the file is as well as what is in it.
    pub(super) fn flush_all(&self) -> Result<(), String> {
        self.commit.flush(self.failures(), || self.synchronize(|file| file.synchronize()))
    }

    /// One fdatasync(2), shared with nobody. If it succeeds, the member's mark is taken away, durably and
    /// then in memory, and the outcome of that is returned. No flush can fail meanwhile, so none is
    /// forgotten.
    pub(super) fn accept_loss(&self, member: &Member) -> Result<crate::Result<()>, String> {
        let mut written = Ok(());
        self.commit.alone(|| {
            self.synchronize(|file| file.synchronize_data())?;
            // Advice, which the system may not take.
            let _ = self.file().forget_cached(member.start, member.capacity());
            written = member.state.accept_loss();
            if written.is_ok() {
                self.claims().heal(&member.state);
            }
            Ok(())
        })?;
        Ok(written)
    }

    /// A failure is written into the state file of every extent before anyone hears of it; it is never
    /// retried, because the system reports the loss of written data once and then forgets it.
    fn synchronize(&self, call: impl FnOnce(&dyn OpenFile) -> Result<(), Errno>) -> Result<(), String> {
        let departed = self.claims().departed();
        match call(&**self.file()) {
            Ok(()) => {
                self.claims().forget(&departed);
                Ok(())
            }
            Err(errno) => Err(self.claims().fail(errno.to_string())),
        }
    }

    pub(super) fn leave(&self, member: &Arc<Member>) {
        self.claims().leave(member);
    }

    pub(super) fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
