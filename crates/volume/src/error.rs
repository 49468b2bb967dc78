//! What can go wrong under a disk. The kind picks the sense code; the rest is for people.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

/// What went wrong, small enough to choose a sense code by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The range is not within the volume.
    OutOfRange,
    /// The volume is read-only by configuration.
    ReadOnly,
    /// The file system is full, or a quota or file size limit is reached.
    NoSpace,
    /// A flush failed, now or earlier, and nothing is promised any more.
    FlushFailed,
    /// No flush has failed, so there is no loss to accept.
    NothingToAccept,
    /// The device or file system failed to read.
    ReadFailed,
    /// The device or file system failed to write.
    WriteFailed,
    /// Another process uses the file.
    Locked,
    /// Another disk of this process has some of the same bytes.
    Overlap,
    /// The file can't be opened or created as asked.
    CannotOpen,
    /// A disk that is served was to become smaller.
    Shrinks,
    /// The file can't be made as long as asked.
    CannotGrow,
    /// The file beside the image that holds the disk's identity is damaged or of a newer version; or the one that
    /// holds an atomic write is of another disk, or can't be written into the image.
    BadState,
    /// Something else is under way that does not end; it may be tried again.
    Busy,
    /// What a view showed is not known any more.
    Broken,
}

/// An error of a volume: what, where, and the system's own word on it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct VolumeError {
    /// What went wrong.
    pub kind: ErrorKind,
    /// The file, where there is one.
    pub path: Option<PathBuf>,
    /// Says what was attempted, where, and what to do, in one sentence.
    pub message: String,
    /// The system's own error.
    #[source]
    pub source: Option<io::Error>,
}

impl VolumeError {
    /// An error that concerns no file. `message` says what was attempted and what to do, in one sentence.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, path: None, message: message.into(), source: None }
    }

    /// Names the file that the error is about.
    #[must_use]
    pub fn at(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Adds the system's own word on it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<io::Error>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl ErrorKind {
    /// [`NoSpace`](Self::NoSpace) for the errors that say so, else `self`.
    pub(crate) fn unless_no_space(self, errno: Errno) -> Self {
        match errno {
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Self::NoSpace,
            _ => self,
        }
    }
}
