//! Who a disk is and what it must not forget: the file `IMAGE.timedisk` beside the image, or
//! `IMAGE.START.timedisk` for a disk that does not begin where the image begins.

mod place;
pub(crate) mod store;
mod text;
mod witness;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{ErrorKind, FileCalls, Result, SystemCalls, VolumeError};
use text::{FLUSH_FAILED, LAST_SERVED, StateText};
pub use witness::FileWitness;

/// The state of one disk, read from its file and written back on every change.
///
/// A change is on stable storage when the call that makes it returns, and a crash leaves the old file or
/// the new one, never a mixture. The file is meant for one process at a time, which the lock on the image
/// sees to.
#[derive(Debug)]
pub struct DiskState {
    calls: Arc<dyn FileCalls>,
    path: PathBuf,
    serial: String,
    naa: [u8; 8],
    text: Mutex<StateText>,
    /// There was no file before.
    is_new: bool,
}

impl DiskState {
    /// Opens the state file of the disk that begins at byte `start` of `image`: `IMAGE.timedisk` beside it
    /// for the disk at 0, `IMAGE.START.timedisk` for another. Makes one, with a new identity, if there is
    /// none.
    ///
    /// For a block device, and where the image's directory can't be written, the file is in
    /// `fallback_directory` instead, under a name made from the image's path
    /// and the start.
    ///
    /// # Errors
    /// [`ErrorKind::BadState`] if the file is damaged, of a newer version, or of a disk with another start,
    /// and it is left as it is;
    /// [`ErrorKind::CannotOpen`] if it can't be read or made; [`ErrorKind::NoSpace`] if there is no room
    /// for it.
    pub fn open(image: &Path, start: u64, fallback_directory: Option<&Path>) -> Result<Self> {
        Self::open_with(Arc::new(SystemCalls), image, start, fallback_directory)
    }

    /// Like [`open`](Self::open), through `calls`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(
        calls: Arc<dyn FileCalls>,
        image: &Path,
        start: u64,
        fallback_directory: Option<&Path>,
    ) -> Result<Self> {
        place::open(calls, image, start, fallback_directory)
    }

    /// The state of the disk that begins at byte `start` of `image`, as [`open`](Self::open) would find it; `None`
    /// where there is none, and none is made.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn look_up(image: &Path, start: u64, fallback_directory: Option<&Path>) -> Result<Option<Self>> {
        Self::find(Arc::new(SystemCalls), image, start, fallback_directory)
    }

    /// Like [`open_with`](Self::open_with), but answers `None` where there is none.
    pub(crate) fn find(
        calls: Arc<dyn FileCalls>,
        image: &Path,
        start: u64,
        fallback_directory: Option<&Path>,
    ) -> Result<Option<Self>> {
        let places = place::Places::of(&*calls, image, start, fallback_directory)?;
        places.find(&calls, start)
    }

    /// The state in the file `path`, or `None` if there is no such file.
    fn load(calls: Arc<dyn FileCalls>, path: &Path, start: u64) -> Result<Option<Self>> {
        match store::read(&*calls, path)? {
            Some(bytes) => {
                let text = StateText::parse(&bytes).and_then(|text| text.of_disk_at(start));
                Self::from_text(calls, path, text).map(Some)
            }
            None => Ok(None),
        }
    }

    /// Makes the file `path` for a new disk at byte `start` of its image.
    fn create(calls: Arc<dyn FileCalls>, path: &Path, start: u64) -> Result<Self> {
        let random = getrandom::u64().map_err(|error| {
            let message =
                format!("the system gives no random bytes for the serial number in {}", path.display());
            VolumeError::new(ErrorKind::CannotOpen, message).at(path).caused_by(error)
        })?;
        let text = StateText::of_new_disk(random, start);
        store::replace(&*calls, path, &text.render())?;
        Ok(Self { is_new: true, ..Self::from_text(calls, path, Ok(text))? })
    }

    fn from_text(
        calls: Arc<dyn FileCalls>,
        path: &Path,
        text: std::result::Result<StateText, text::Unreadable>,
    ) -> Result<Self> {
        let identified = text.and_then(|text| {
            text.number(LAST_SERVED)?;
            Ok((text.serial()?, text.naa()?, text))
        });
        let (serial, naa, text) = identified.map_err(|unreadable| unreadable.error(path))?;
        Ok(Self { calls, path: path.to_owned(), serial, naa, text: Mutex::new(text), is_new: false })
    }

    /// Whether there was no file before this was opened.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    pub(crate) fn calls(&self) -> &Arc<dyn FileCalls> {
        &self.calls
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The serial number: 16 hexadecimal digits, the same for the life of the disk.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The NAA identifier, Locally Assigned (NAA 3h, SPC-4 7.8.6.6), the same for the life of the disk.
    pub fn naa(&self) -> [u8; 8] {
        self.naa
    }

    /// Why a flush failed, if one ever did.
    pub fn flush_failure(&self) -> Option<String> {
        self.text().value(FLUSH_FAILED).map(str::to_owned)
    }

    /// Remembers that a flush failed. The mark holds in this process even if it can't be written.
    ///
    /// # Errors
    /// Any of [`open`](Self::open)'s, if the file can't be written.
    pub fn mark_flush_failed(&self, reason: &str) -> Result<()> {
        let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut text = self.text();
        text.set(FLUSH_FAILED, &reason);
        store::replace(&*self.calls, &self.path, &text.render())
    }

    /// Forgets the failed flush: a person has accepted that what was written since the last good one may be
    /// lost. An open volume learns nothing from this.
    ///
    /// # Errors
    /// Any of [`open`](Self::open)'s, if the file can't be written.
    pub(crate) fn accept_loss(&self) -> Result<()> {
        self.change(|text| text.remove(FLUSH_FAILED))
    }

    /// The capacity in bytes that clients last saw, if it was ever noted.
    pub fn last_served(&self) -> Option<u64> {
        self.text().number(LAST_SERVED).ok().flatten()
    }

    /// Remembers the capacity in bytes that clients see from now on.
    ///
    /// # Errors
    /// Any of [`open`](Self::open)'s, and the old value stays.
    pub fn note_served(&self, capacity: u64) -> Result<()> {
        if self.last_served() == Some(capacity) {
            return Ok(());
        }
        self.change(|text| text.set(LAST_SERVED, &capacity.to_string()))
    }

    /// The saved value of a setting, such as `mode.caching.wce`.
    pub fn setting(&self, key: &str) -> Option<String> {
        self.text().value(key).map(str::to_owned)
    }

    /// All saved settings.
    pub fn settings(&self) -> Vec<(String, String)> {
        self.text().settings()
    }

    /// Saves a setting. Keys are lower-case letters, digits, `.`, `-` and `_`; values have no control
    /// characters.
    ///
    /// # Errors
    /// [`ErrorKind::BadState`] for a key or value that can't be written down; or any of
    /// [`open`](Self::open)'s, and the old value stays.
    pub fn set_setting(&self, key: &str, value: &str) -> Result<()> {
        if !text::is_setting(key) || value.chars().any(char::is_control) {
            let message = format!("{key:?}={value:?} can't be saved as a setting in {}", self.path.display());
            return Err(VolumeError::new(ErrorKind::BadState, message).at(&self.path));
        }
        if self.setting(key).as_deref() == Some(value) {
            return Ok(());
        }
        self.change(|text| text.set(key, value))
    }

    fn change(&self, change: impl FnOnce(&mut StateText)) -> Result<()> {
        let mut text = self.text();
        let mut changed = text.clone();
        change(&mut changed);
        store::replace(&*self.calls, &self.path, &changed.render())?;
        *text = changed;
        Ok(())
    }

    fn text(&self) -> MutexGuard<'_, StateText> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
