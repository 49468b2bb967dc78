//! Reads a state file whole, and replaces it whole.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::calls::{Access, FileCalls, OpenFile, directory_of, uninterrupted, write_all};
use crate::{ErrorKind, Result, VolumeError};

/// No state file is longer, in bytes; what is longer is something else.
const LONGEST: usize = 1 << 20;

/// The content of the file `path`, or `None` if there is no such file.
pub(crate) fn read(calls: &dyn FileCalls, path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match calls.open(path, Access::Read) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(failure("read", path, errno)),
    };
    let content = read_all(&*file).map_err(|errno| failure("read", path, errno))?;
    if content.len() > LONGEST {
        let message =
            format!("{} is too long for the state of a disk: it is some other file", path.display());
        return Err(VolumeError::new(ErrorKind::BadState, message).at(path));
    }
    Ok(Some(content))
}

fn read_all(file: &dyn OpenFile) -> std::result::Result<Vec<u8>, Errno> {
    let mut content = Vec::new();
    let mut chunk = [0; 4096];
    while content.len() <= LONGEST {
        let count = uninterrupted(|| file.read_at(content.len() as u64, &mut chunk))?;
        if count == 0 {
            break;
        }
        content.extend(chunk.iter().take(count));
    }
    Ok(content)
}

/// Puts `content` into the place of the file `path`, so that a crash leaves the old one or the new one.
/// It survives power loss when this returns.
pub(crate) fn replace(calls: &dyn FileCalls, path: &Path, content: &[u8]) -> Result<()> {
    write_new(calls, path, content).map_err(|errno| failure("write", path, errno))
}

fn write_new(calls: &dyn FileCalls, path: &Path, content: &[u8]) -> std::result::Result<(), Errno> {
    let temporary = temporary_name(path);
    // What a crash has left there is nobody's; a fresh file has the right mode and is not someone's link.
    match calls.remove(&temporary) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    let file = calls.open(&temporary, Access::CreateNew)?;
    write_all(&*file, 0, content)?;
    file.synchronize()?;
    calls.rename(&temporary, path)?;
    calls.synchronize_directory(directory_of(path))
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".new");
    name.into()
}

fn failure(what: &str, path: &Path, errno: Errno) -> VolumeError {
    let message = format!("can't {what} the disk's state file {}", path.display());
    VolumeError::new(ErrorKind::CannotOpen.unless_no_space(errno), message).at(path).caused_by(errno)
}
