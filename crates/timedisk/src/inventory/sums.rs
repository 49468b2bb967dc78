//! Sums of the blocks of a file, where they are asked for (`checksum=yes`).

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use timedisk_volume::{ChecksummedVolume, DiskState, FileVolume, Found, SumsOptions, Volume};

use crate::plan::Part;

/// The file of a disk's sums: beside its state.
pub(crate) fn file_of(state: &DiskState) -> PathBuf {
    let mut name = OsString::from(state.path());
    name.push(".sums");
    name.into()
}

/// How long their closing may take at the end.
const TO_CLOSE: Duration = Duration::from_secs(5);

/// All that were opened, and perhaps are gone.
#[derive(Clone, Debug, Default)]
pub(super) struct AllSums(Arc<Mutex<Vec<Weak<ChecksummedVolume>>>>);

impl AllSums {
    fn all(&self) -> MutexGuard<'_, Vec<Weak<ChecksummedVolume>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file as it is to be served: with sums of its blocks, or without. People are told how they were found.
    pub(super) fn over(
        &self,
        disk: &str,
        file: &Arc<FileVolume>,
        part: &Part,
    ) -> anyhow::Result<Arc<dyn Volume>> {
        Ok(match open(disk, file, part)? {
            None => Arc::clone(file) as Arc<dyn Volume>,
            Some(volume) => {
                let mut all = self.all();
                all.retain(|other| other.strong_count() > 0);
                all.push(Arc::downgrade(&volume));
                volume
            }
        })
    }

    /// At the end, when nothing is written any more: so that at the next start all of them count. What takes too long
    /// is left, as after a crash.
    pub(super) fn close(&self) {
        let volumes: Vec<_> = self.all().drain(..).filter_map(|volume| volume.upgrade()).collect();
        if volumes.is_empty() {
            return;
        }
        let (done, is_done) = std::sync::mpsc::channel();
        let closing = std::thread::Builder::new().name("sums".into()).spawn(move || {
            let failed = volumes.iter().filter_map(|volume| volume.close().err()).next();
            // Who has waited long enough is not there any more.
            let _ = done.send(failed);
        });
        let ended = closing.is_ok().then(|| is_done.recv_timeout(TO_CLOSE).ok()).flatten();
        let why = match ended {
            Some(None) => return,
            Some(Some(error)) => error.to_string(),
            None => "it took too long".into(),
        };
        tracing::warn!(
            "sums could not be closed ({why}); those of what was written last are made anew at the next start"
        );
    }
}

fn open(disk: &str, file: &Arc<FileVolume>, part: &Part) -> anyhow::Result<Option<Arc<ChecksummedVolume>>> {
    let sums = file_of(file.state());
    if !part.checksum {
        if !file.is_read_only() && std::fs::remove_file(&sums).is_ok() {
            // They would soon be those of other data.
            tracing::info!(
                "{disk}: {} is served without sums of its blocks from now on",
                file.path().display()
            );
        }
        return Ok(None);
    }
    let path = file.path().to_owned();
    let identity = file.identity();
    // An image that was put in the place of this one is another, however timedisk ended.
    let identity = format!("{} {}:{}", file.state().serial(), identity.device, identity.inode);
    let mut options = SumsOptions::new(sums, identity);
    options.stamp = Box::new(move || stamp(&path));
    options.is_new = file.is_new();
    let (volume, found) = ChecksummedVolume::open(Arc::clone(file) as Arc<dyn Volume>, options)?;
    if !file.is_new() {
        tell(disk, &file.path().display().to_string(), found);
    }
    Ok(Some(Arc::new(volume)))
}

/// What changes when somebody else writes to a file. Of a device nothing does.
fn stamp(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    Some(format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec()))
}

fn tell(disk: &str, path: &str, found: Found) {
    match found {
        Found::Sound => {}
        Found::Made => tracing::info!("{disk}: sums of the blocks of {path} are made as they are used"),
        Found::Unsettled(regions) => tracing::info!(
            "{disk}: in {regions} regions of {path} sums of blocks are made anew as they are used: they were being \
             written when timedisk ended, or never used"
        ),
        Found::Changed => tracing::warn!(
            "{disk}: {path} was changed by something else since timedisk last served it, or is another file now. Sums \
             of its blocks are made anew as they are used; if nobody meant to change it, compare it with a copy"
        ),
    }
}
