//! A disk that is open: the files under it, and the logical unit on top.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use timedisk_config::{Length, format_size};
use timedisk_scsi::{BlockFormat, Identity, LogicalUnit, SettingsStore};
use timedisk_target::Disk as Served;
use timedisk_volume::{ConcatenatedVolume, DiskState, FileVolume, Health, ImageFiles, OpenOptions, Volume};

use crate::plan::{Disk, Origin, Part};

/// Bytes of a block below the logical ones: reads and writes of less cost the file system a detour.
const PHYSICAL_BLOCK: u32 = 4096;

/// Opens files for disks.
#[derive(Clone, Debug)]
pub(super) struct Opener {
    pub(super) files: ImageFiles,
    /// Where state goes that can't be beside an image.
    pub(super) state: Option<PathBuf>,
    /// Whether a disk may have fewer bytes than it had before.
    pub(super) allow_shrink: bool,
}

/// The files under a disk, as one volume.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) files: Vec<Arc<FileVolume>>,
    pub(super) volume: Arc<dyn Volume>,
    /// Files that were not there before.
    pub(super) made: Vec<PathBuf>,
}

impl Stack {
    /// Whose identity and memory the disk has: the first file's.
    pub(super) fn state(&self) -> Option<&Arc<DiskState>> {
        self.files.first().map(|file| file.state())
    }
}

impl Opener {
    /// Opens the files of a disk, and makes those that are not there; but not those of `served`, which were and have to
    /// be. Every message names the disk and says what to do.
    pub(super) fn stack(&self, disk: &Disk, served: &[Part]) -> anyhow::Result<Stack> {
        let mut made = Vec::new();
        let result = self.try_stack(disk, served, &mut made);
        if result.is_err() {
            remove(&made);
        }
        result.with_context(|| format!("the disk of {}", disk.name))
    }

    fn try_stack(&self, disk: &Disk, served: &[Part], made: &mut Vec<PathBuf>) -> anyhow::Result<Stack> {
        let mut files: Vec<Arc<FileVolume>> = Vec::new();
        for part in &disk.parts {
            let is_new = std::fs::symlink_metadata(&part.path).is_err();
            let state = state_beside(&part.path);
            anyhow::ensure!(
                !is_new || !state.exists(),
                "{} is not there, and {} says that it was served before. Bring it back (is its file system mounted?), \
                 or remove the latter to have an empty disk made",
                part.path.display(),
                state.display()
            );
            let create = !served.iter().any(|before| before.path == part.path);
            let file = self.files.open(OpenOptions { create, ..self.options(disk, part) })?;
            if is_new {
                made.push(part.path.clone());
            }
            files.push(Arc::new(file));
        }
        let volumes = files.iter().map(|file| Arc::clone(file) as Arc<dyn Volume>);
        let mut volumes: Vec<Arc<dyn Volume>> = volumes.collect();
        let volume = match volumes.len() {
            1 => volumes.remove(0),
            _ => Arc::new(ConcatenatedVolume::new(volumes)?) as Arc<dyn Volume>,
        };
        let stack = Stack { files, volume, made: std::mem::take(made) };
        anyhow::ensure!(stack.volume.capacity() > 0, "{} holds not even one block", disk.path().display());
        self.check_shrinking(&stack).inspect_err(|_| *made = stack.made.clone())?;
        self.tell_of_failure(disk, &stack);
        tell_of_surplus(disk, &stack);
        Ok(stack)
    }

    fn options(&self, disk: &Disk, part: &Part) -> OpenOptions {
        OpenOptions {
            start: part.start,
            read_only: disk.read_only,
            create_parents: disk.origin == Origin::Default,
            block_length: disk.block_length,
            state_directory: self.state.clone(),
            ..OpenOptions::new(&part.path, length(part.length))
        }
    }

    /// A file system on a disk that lost its end is lost as well.
    fn check_shrinking(&self, stack: &Stack) -> anyhow::Result<()> {
        let (Some(state), capacity) = (stack.state(), stack.volume.capacity()) else { return Ok(()) };
        let before = state.last_served().filter(|before| *before > capacity && !self.allow_shrink);
        let Some(before) = before else { return Ok(()) };
        anyhow::bail!(
            "it had {} when it was last served, and now would have {}: what is on it would lose its end. Say the \
             larger length, or add --allow-shrink if that is meant",
            format_size(before),
            format_size(capacity)
        )
    }

    fn tell_of_failure(&self, disk: &Disk, stack: &Stack) {
        for file in stack.files.iter().filter(|file| file.health() == Health::FlushFailed) {
            let reason = file.state().flush_failure().unwrap_or_default();
            tracing::error!(
                "{}: an earlier flush of {} failed ({reason}): what was written before may be lost. It is served, but \
                 takes no writes. Check what is on it, then copy it to a new file, or take it as it is with: timedisk \
                 disk accept-loss {}",
                disk.name,
                file.path().display(),
                disk.name
            );
        }
    }

    /// A logical unit on a stack.
    pub(super) fn serve(&self, disk: &Disk, stack: &Stack) -> anyhow::Result<Arc<Served>> {
        let state = stack.state().context("a disk has at least one file")?;
        if let Err(error) = state.note_served(stack.volume.capacity()) {
            tracing::warn!("{}: its size can't be kept in mind: {error}", disk.name);
        }
        let identity = Identity {
            vendor: "timedisk".into(),
            product: "sparse disk".into(),
            revision: env!("CARGO_PKG_VERSION").chars().take(4).collect(),
            serial: disk.serial.clone().unwrap_or_else(|| state.serial().to_string()),
            naa: disk.serial.as_deref().map_or(state.naa(), naa_of),
        };
        let block = disk.block_length;
        let format = BlockFormat { logical_length: block, physical_length: PHYSICAL_BLOCK.max(block) };
        let saved = Arc::new(Saved(Arc::clone(state)));
        let unit = LogicalUnit::new(Arc::clone(&stack.volume), identity, format, Some(saved));
        unit.set_read_only(disk.read_only);
        Ok(Served::new(disk.name.clone(), Arc::new(unit)))
    }
}

/// For the reader of a volume.
pub(super) fn length(length: Length) -> timedisk_volume::Length {
    match length {
        Length::Bytes(bytes) => timedisk_volume::Length::Bytes(bytes),
        Length::WholeFile => timedisk_volume::Length::WholeFile,
    }
}

/// A locally assigned NAA identifier (SPC-4 7.8.6.6.5) that goes with a serial number that people choose: the same
/// one each time, and on each machine.
fn naa_of(serial: &str) -> [u8; 8] {
    use sha2::Digest;
    let hash = sha2::Sha256::digest(serial.as_bytes());
    let mut naa = [0; 8];
    naa.iter_mut().zip(hash).for_each(|(byte, hashed)| *byte = hashed);
    naa[0] = 0x30 | naa[0] & 0x0f;
    naa
}

/// NetBSD's daemon writes a block after the end of each extent when it starts a second time.
fn tell_of_surplus(disk: &Disk, stack: &Stack) {
    for file in &stack.files {
        if file.surplus().ok() == Some(u64::from(disk.block_length)) {
            tracing::warn!(
                "{}: {} is longer than the disk by one block, as NetBSD's daemon leaves it; the block is not served. \
                 If NetBSD served several extents of this file, the first block of each but the first may be lost",
                disk.name,
                file.path().display()
            );
        }
    }
}

/// Takes back files that were made for what did not come about, with their state.
pub(super) fn remove(made: &[PathBuf]) {
    for path in made {
        let state = state_beside(path);
        for path in [path, &state] {
            // What is not there need not be removed; what can't be is of no harm: it is sparse.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn state_beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".timedisk");
    name.into()
}

/// Saved mode parameters live in the state file.
struct Saved(Arc<DiskState>);

impl SettingsStore for Saved {
    fn load(&self, key: &str) -> Option<String> {
        self.0.setting(key)
    }

    fn save(&self, key: &str, value: &str) -> Result<(), String> {
        self.0.set_setting(key, value).map_err(|error| error.to_string())
    }
}
