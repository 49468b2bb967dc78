//! What a disk must not forget, in the state files of all that it is made of, where any of them may be the one that is
//! left.

use std::sync::Arc;

use timedisk_volume::{DiskState, VolumeError};

/// Under this name in the state files of a mirrored disk: its serial number and NAA identifier, whichever member it
/// began with.
const IDENTITY: &str = "identity";

/// Names that are one file's own: who it is to its mirror, and to its disk, and what device it is.
const OWN: [&str; 3] = ["mirror", "layout", "device"];

/// State files that say the same, the one that is up to date first.
#[derive(Clone, Debug)]
pub(super) struct Memory(Vec<Arc<DiskState>>);

impl Memory {
    pub(super) fn new(states: impl Iterator<Item = Arc<DiskState>>) -> Memory {
        let mut different: Vec<Arc<DiskState>> = Vec::new();
        for state in states {
            if !different.iter().any(|other| Arc::ptr_eq(other, &state)) {
                different.push(state);
            }
        }
        Memory(different)
    }

    pub(super) fn first(&self) -> Option<Arc<DiskState>> {
        self.0.first().cloned()
    }

    pub(super) fn load(&self, key: &str) -> Option<String> {
        self.0.first()?.setting(key)
    }

    /// Saves it wherever that can be done; one place is enough.
    pub(super) fn save(&self, key: &str, value: &str) -> Result<(), VolumeError> {
        let mut saved = false;
        let mut outcome = Ok(());
        for state in &self.0 {
            match state.set_setting(key, value) {
                Ok(()) => saved = true,
                Err(error) => {
                    if self.0.len() > 1 {
                        tracing::warn!("{key} can't be saved in {}: {error}", state.path().display());
                    }
                    outcome = Err(error);
                }
            }
        }
        if saved { Ok(()) } else { outcome }
    }

    /// Lets all say what the first says, and who the disk is.
    pub(super) fn agree(&self) -> anyhow::Result<()> {
        let Some((first, others)) = self.0.split_first() else { return Ok(()) };
        if first.setting(IDENTITY).is_none() {
            let (serial, naa) = identity_of(first);
            first.set_setting(IDENTITY, &format!("{serial} {:016x}", u64::from_be_bytes(naa)))?;
        }
        let is_own = |key: &str| OWN.iter().any(|own| key == *own || key.starts_with(&format!("{own}.")));
        let settings = first.settings().into_iter().filter(|(key, _)| !is_own(key));
        for (key, value) in settings {
            for other in others {
                if let Err(error) = other.set_setting(&key, &value) {
                    tracing::warn!("{key} can't be saved in {}: {error}", other.path().display());
                }
            }
        }
        Ok(())
    }

    /// Remembers the bytes that clients see.
    pub(super) fn note_served(&self, capacity: u64) -> Result<(), VolumeError> {
        self.0.iter().map(|state| state.note_served(capacity)).fold(Ok(()), Result::and)
    }
}

/// The serial number and NAA identifier of the disk that this is the state of.
pub(super) fn identity_of(state: &DiskState) -> (String, [u8; 8]) {
    let noted = state.setting(IDENTITY).and_then(|text| {
        let (serial, naa) = text.split_once(' ')?;
        Some((serial.to_owned(), u64::from_str_radix(naa, 16).ok()?.to_be_bytes()))
    });
    noted.unwrap_or_else(|| (state.serial().to_owned(), state.naa()))
}
