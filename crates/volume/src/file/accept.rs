//! Going on after a failed flush, when a person has accepted that data may be lost.

use std::path::Path;
use std::sync::Arc;

use super::{FileVolume, Length, OpenOptions, open};
use crate::calls::{FileCalls, Lock, OpenFile, SystemCalls};
use crate::{DiskState, ErrorKind, Result, VolumeError, mirror_headers};

impl FileVolume {
    /// Takes writes again after a failed flush: a person has accepted that what was written since the last
    /// good one may be lost.
    ///
    /// After a failed fsync(2) the system holds what it could not write for clean: it tells of the loss
    /// once, goes on to show the lost data as long as they are in its cache, and never writes them. So this
    /// synchronizes once more, to see that it works, and drops the extent from the cache, so that clients
    /// read what the device has. Then the mark is taken out of the state file, and when that is on stable
    /// storage, writes are taken.
    ///
    /// It counts for this disk. Other extents of the file stay as they are: whose data they hold is for
    /// others to say.
    ///
    /// # Errors
    /// [`ErrorKind::NothingToAccept`] if no flush has failed; [`ErrorKind::FlushFailed`] if flushes still
    /// fail, which counts for every extent of the file; or any of [`DiskState::open`]'s if the state file
    /// can't be written. The disk goes on to refuse writes then.
    pub fn accept_loss(&self) -> Result<()> {
        if self.member.failure().is_none() {
            return Err(nothing(self.path()));
        }
        match self.shared.accept_loss(&self.member) {
            Ok(written) => written.and_then(|()| self.settle()),
            Err(reason) => Err(still_failing(self.path()).caused_by(std::io::Error::other(reason))),
        }
    }
}

/// Like [`FileVolume::accept_loss`], for the disk at byte `start` of `image`, when no daemon serves it.
/// Returns why the flush had failed. The file is locked meanwhile, and nothing is made that is not there.
///
/// `fallback_directory` is where the state file may be; see [`DiskState::open`].
///
/// # Errors
/// [`ErrorKind::Locked`] if a daemon serves the file: then it has to be told instead;
/// [`ErrorKind::NothingToAccept`] if no failed flush is marked; [`ErrorKind::FlushFailed`] if flushes still
/// fail; [`ErrorKind::CannotOpen`] if the file can't be opened, or is a member of a mirror, where what was lost
/// on it may be on another one; or any of [`DiskState::open`]'s.
pub fn accept_loss_offline(image: &Path, start: u64, fallback_directory: Option<&Path>) -> Result<String> {
    accept_loss_offline_with(Arc::new(SystemCalls), image, start, fallback_directory)
}

/// Like [`accept_loss_offline`], through `calls`.
///
/// # Errors
/// As [`accept_loss_offline`].
pub fn accept_loss_offline_with(
    calls: Arc<dyn FileCalls>,
    image: &Path,
    start: u64,
    fallback_directory: Option<&Path>,
) -> Result<String> {
    let file = open_alone(&*calls, image).map_err(|error| match error.kind {
        ErrorKind::Locked => {
            let message = format!(
                "{} is in use: if a timedisk serves it, leave it running and give `timedisk disk accept-loss` \
                 the state directory of that one (--state); or else stop what uses it",
                image.display()
            );
            VolumeError { message, ..error }
        }
        _ => error,
    })?;
    let state = DiskState::find(calls, image, start, fallback_directory)?;
    let marked = state.and_then(|state| state.flush_failure().map(|reason| (state, reason)));
    let (state, reason) = marked.ok_or_else(|| nothing(image))?;
    if !mirror_headers(&state).is_empty() {
        return Err(of_a_mirror(image));
    }
    file.synchronize_data().map_err(|errno| still_failing(image).caused_by(errno))?;
    if let Ok(status) = file.status() {
        // Advice, which the system may not take; nothing depends on it but what is read meanwhile.
        let _ = file.forget_cached(start, status.length.saturating_sub(start));
    }
    state.accept_loss()?;
    Ok(reason)
}

/// Opens the file so that no daemon can have it; for writing, if that is allowed.
fn open_alone(calls: &dyn FileCalls, image: &Path) -> Result<Box<dyn OpenFile>> {
    let writing = OpenOptions { create: false, ..OpenOptions::new(image, Length::WholeFile) };
    let reading = OpenOptions { read_only: true, ..writing.clone() };
    let identity = calls.identify(image).map_err(|errno| open::system(image, "can't look at", errno))?;
    let file = match open::open_file(calls, &writing, identity) {
        Err(error) if error.kind == ErrorKind::CannotOpen => open::open_file(calls, &reading, identity),
        result => result,
    }?;
    open::lock(image, &*file, Lock::Exclusive)?;
    Ok(file)
}

fn nothing(image: &Path) -> VolumeError {
    let message = format!("no flush of {} has failed, so there is no loss to accept", image.display());
    VolumeError::new(ErrorKind::NothingToAccept, message).at(image)
}

fn of_a_mirror(image: &Path) -> VolumeError {
    let message = format!(
        "{} is a member of a mirror, which may have on another member what was lost on this one: start the daemon that \
         serves the mirror, and tell that (`timedisk mirror status`, `timedisk disk accept-loss`)",
        image.display()
    );
    VolumeError::new(ErrorKind::CannotOpen, message).at(image)
}

fn still_failing(image: &Path) -> VolumeError {
    let message = format!(
        "{} still can't be flushed, so it goes on to refuse writes: mend or replace what it is stored on first",
        image.display()
    );
    VolumeError::new(ErrorKind::FlushFailed, message).at(image)
}
