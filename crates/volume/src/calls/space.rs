//! How much room a file system has left.

use std::path::Path;

use rustix::io::Errno;

use super::{directory_of, uninterrupted};
use crate::{ErrorKind, Result, VolumeError};

/// Bytes that an ordinary user can still write to the file system that holds `path`, or that will hold it
/// if it does not exist yet.
///
/// # Errors
/// [`ErrorKind::CannotOpen`] where the file system can't be asked.
pub fn available_space(path: &Path) -> Result<u64> {
    let mut asked = path;
    loop {
        match uninterrupted(|| rustix::fs::statvfs(asked)) {
            Ok(answer) => return Ok(answer.f_bavail.saturating_mul(answer.f_frsize)),
            Err(Errno::NOENT) if directory_of(asked) != asked => asked = directory_of(asked),
            Err(errno) => {
                let message = format!("can't ask how much space is left for {}", path.display());
                return Err(VolumeError::new(ErrorKind::CannotOpen, message).at(path).caused_by(errno));
            }
        }
    }
}
