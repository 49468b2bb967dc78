//! Where the state file of an image is.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::calls::{FileCalls, FileKind};
use crate::{DiskState, ErrorKind, Result, VolumeError};

/// What is added to the image's name, after the start.
const SUFFIX: &str = ".timedisk";

/// So many characters of the image's name, of at most 4 bytes each, go into a name elsewhere; names end at
/// 255 bytes.
const NAME_KEPT: usize = 32;

/// Opens the state file of `image` where it is, or makes it where it can be.
pub(super) fn open(
    calls: Arc<dyn FileCalls>,
    image: &Path,
    start: u64,
    fallback: Option<&Path>,
) -> Result<DiskState> {
    let places = Places::of(&*calls, image, start, fallback)?;
    if let Some(state) = places.find(&calls, start)? {
        return Ok(state);
    }
    let Places { beside, elsewhere } = places;
    let Some(beside) = beside else {
        let path = elsewhere.ok_or_else(|| nowhere(image, "is a block device"))?;
        return DiskState::create(calls, &path, start);
    };
    match DiskState::create(Arc::clone(&calls), &beside, start) {
        Err(error) if is_refused(&error) => {
            let path = elsewhere.ok_or_else(|| nowhere(image, "is in a directory that can't be written"))?;
            DiskState::create(calls, &path, start)
        }
        result => result,
    }
}

/// Where a state file may be.
pub(super) struct Places {
    /// Beside the image; not for a block device.
    beside: Option<PathBuf>,
    /// In the state directory, if there is one.
    elsewhere: Option<PathBuf>,
}

impl Places {
    pub(super) fn of(
        calls: &dyn FileCalls,
        image: &Path,
        start: u64,
        fallback: Option<&Path>,
    ) -> Result<Self> {
        let ending = if start == 0 { SUFFIX.to_owned() } else { format!(".{start}{SUFFIX}") };
        let elsewhere = match fallback {
            Some(directory) => Some(directory.join(name_elsewhere(image, &ending)?)),
            None => None,
        };
        let is_device = calls.identify(image).is_ok_and(|identity| identity.kind == FileKind::BlockDevice);
        let mut name = OsString::from(image);
        name.push(&ending);
        Ok(Self { beside: (!is_device).then(|| name.into()), elsewhere })
    }

    /// The state where it is, if there is any.
    pub(super) fn find(&self, calls: &Arc<dyn FileCalls>, start: u64) -> Result<Option<DiskState>> {
        for path in [&self.beside, &self.elsewhere].into_iter().flatten() {
            if let Some(state) = DiskState::load(Arc::clone(calls), path, start)? {
                return Ok(Some(state));
            }
        }
        Ok(None)
    }
}

/// A name for the state file that tells a person which image it belongs to, and images of equal names apart.
/// Symbolic links are not followed: that is what keeps names like /dev/disk/by-id/… stable.
pub(super) fn name_elsewhere(image: &Path, ending: &str) -> Result<OsString> {
    let absolute = std::path::absolute(image).map_err(|error| {
        let message = format!("can't tell in which directory {} is", image.display());
        VolumeError::new(ErrorKind::CannotOpen, message).at(image).caused_by(error)
    })?;
    let whole = absolute.as_os_str().as_bytes();
    let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, whole);
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let kept: String = name.chars().take(NAME_KEPT).collect();
    Ok(format!("{kept}-{checksum:016x}{ending}").into())
}

fn is_refused(error: &VolumeError) -> bool {
    let kind = error.source.as_ref().map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem))
}

fn nowhere(image: &Path, why: &str) -> VolumeError {
    let message = format!(
        "{} {why}, so the disk's state file can't be beside it: name a state directory with --state",
        image.display()
    );
    VolumeError::new(ErrorKind::CannotOpen, message).at(image)
}
