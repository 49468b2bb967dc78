//! What can go wrong under a disk. The kind picks the sense code; the rest is for people.

use std::path::PathBuf;

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
    /// The device or file system failed to read.
    ReadFailed,
    /// The device or file system failed to write.
    WriteFailed,
    /// Another process uses the file.
    Locked,
    /// The file can't be opened or created as asked.
    CannotOpen,
    /// The file beside the image that holds the disk's identity is damaged or of a newer version.
    BadState,
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
    pub source: Option<std::io::Error>,
}
