//! The files that a process has open, each once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{FileVolume, OpenOptions, open, shared::SharedFile};
use crate::Result;
use crate::calls::{FileCalls, FileIdentity, SystemCalls};

/// Opens volumes, those of one file through one open file. Clones are the same.
///
/// Extents of one file that are opened through one `ImageFiles` share the file's lock and its flushes: a
/// flush that fails fails for all of them. The file is known by what it is, not by the path that led to
/// it, so links do not matter. Volumes of one file that are opened through two `ImageFiles` are in each
/// other's way as those of two processes are: the second is refused.
#[derive(Clone, Debug)]
pub struct ImageFiles {
    calls: Arc<dyn FileCalls>,
    open: Arc<Mutex<OpenFiles>>,
}

/// The files that are open now.
pub(super) type OpenFiles = HashMap<FileIdentity, Weak<SharedFile>>;

impl Default for ImageFiles {
    fn default() -> Self {
        Self::with_calls(Arc::new(SystemCalls))
    }
}

impl ImageFiles {
    /// None is open yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Like [`new`](Self::new), but all goes through `calls`.
    #[must_use]
    pub fn with_calls(calls: Arc<dyn FileCalls>) -> Self {
        Self { calls, open: Arc::default() }
    }

    /// Opens an extent: makes or extends the file where asked, locks it unless it is open here already, and
    /// opens the disk's [`DiskState`](crate::DiskState).
    ///
    /// # Errors
    /// [`ErrorKind::CannotOpen`](crate::ErrorKind::CannotOpen) where the file can't be used as asked,
    /// [`Locked`](crate::ErrorKind::Locked) where another has it,
    /// [`Overlap`](crate::ErrorKind::Overlap) where another volume from here has some of the same bytes and
    /// one of the two is not read-only, [`NoSpace`](crate::ErrorKind::NoSpace) where the file can't be as
    /// long, [`BadState`](crate::ErrorKind::BadState) for its state file or redo record, and
    /// [`FlushFailed`](crate::ErrorKind::FlushFailed) where the length of the file can't be made to last.
    pub fn open(&self, options: OpenOptions) -> Result<FileVolume> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let volume = open::volume(&self.calls, &open, &options)?;
        open.retain(|_, file| file.strong_count() > 0);
        open.insert(volume.shared.identity(), Arc::downgrade(&volume.shared));
        Ok(volume)
    }
}
