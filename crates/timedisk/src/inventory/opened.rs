//! A disk that is open: the files under it, and the logical unit on top.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use timedisk_config::{Length, format_size};
use timedisk_scsi::{BlockFormat, Identity, LogicalUnit, SettingsStore};
use timedisk_target::Disk as Served;
use timedisk_volume::{
    ConcatenatedVolume, DiskState, FileVolume, Health, ImageFiles, MemoryFiles, OpenOptions, Recovery,
    ViewedVolume, Volume,
};

use super::memory::{Memory, identity_of};
use super::mirrors::{Builder, Leg, Mirror, remove_all};
use super::remembered;
use super::sums::AllSums;
use crate::plan::{Disk, Origin, Part};
use crate::qcow2::Qcow2Volume;

/// Opens files for disks.
#[derive(Clone, Debug)]
pub(super) struct Opener {
    pub(super) files: ImageFiles,
    /// Those of the files that are in memory.
    pub(super) memory: MemoryFiles,
    /// Where state goes that can't be beside an image.
    pub(super) state: Option<PathBuf>,
    /// Of the files that have sums.
    pub(super) sums: AllSums,
    /// Whether a disk may have fewer bytes than it had before.
    pub(super) allow_shrink: bool,
}

/// The files under a disk, as one volume.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) files: Vec<Arc<FileVolume>>,
    /// Nobody above has it otherwise than so, or points of it would miss changes.
    pub(super) volume: Arc<ViewedVolume>,
    pub(super) mirrors: Vec<Mirror>,
    /// The state that is up to date, if it is not the first file's.
    trusted: Option<Arc<DiskState>>,
    /// Files that were made for mirrors that are new.
    leftovers: Vec<PathBuf>,
}

impl Stack {
    /// Whose identity and memory the disk has: the first file's, or that of the mirror's member that counts.
    pub(super) fn state(&self) -> Option<&Arc<DiskState>> {
        self.trusted.as_ref().or_else(|| self.files.first().map(|file| file.state()))
    }

    /// Everything that remembers for the disk, that which is up to date first.
    pub(super) fn memory(&self) -> Memory {
        let others = match self.mirrors.is_empty() {
            true => Vec::new(),
            false => self.files.iter().map(|file| Arc::clone(file.state())).collect(),
        };
        Memory::new(self.state().cloned().into_iter().chain(others))
    }

    /// Gives it up, and what was made for it.
    pub(super) fn take_back(self) {
        let Stack { files, volume, mirrors, leftovers, .. } = self;
        // Or they would write down later that they were closed.
        mirrors.iter().for_each(|mirror| mirror.volume.close());
        drop((volume, mirrors));
        files.iter().for_each(|file| file.take_back());
        remove_all(&leftovers);
    }
}

impl Opener {
    /// Opens the files of a disk, and makes those that are not there; but not those of `served`, which were and have to
    /// be. Every message names the disk and says what to do.
    pub(super) fn stack(&self, disk: &Disk, served: &[Part]) -> anyhow::Result<Stack> {
        if disk.layout.has_mirror() {
            let stack = self.mirrored(disk, !served.is_empty());
            return stack.with_context(|| format!("the disk of {}", disk.name));
        }
        let mut files = Vec::new();
        let result = self.open(disk, served, &mut files).and_then(|()| self.stack_up(disk, served, &files));
        if result.is_err() {
            files.iter().for_each(|file| file.take_back());
        }
        result.with_context(|| format!("the disk of {}", disk.name))
    }

    fn open(&self, disk: &Disk, served: &[Part], files: &mut Vec<Arc<FileVolume>>) -> anyhow::Result<()> {
        for part in &disk.parts {
            let state = state_beside(part);
            anyhow::ensure!(
                !is_missing(part) || !state.exists(),
                "{} is not there, and {} says that it was served before. Bring it back (is its file system mounted?), \
                 or remove the latter to have an empty disk made",
                part.path.display(),
                state.display()
            );
            let create = !served.iter().any(|before| before.path == part.path);
            files.push(Arc::new(self.files.open(OpenOptions { create, ..self.options(disk, part) })?));
        }
        Ok(())
    }

    fn stack_up(&self, disk: &Disk, served: &[Part], files: &[Arc<FileVolume>]) -> anyhow::Result<Stack> {
        let volumes = files.iter().zip(&disk.parts).map(|(file, part)| self.over(disk, file, part));
        let mut volumes: Vec<Arc<dyn Volume>> = volumes.collect::<anyhow::Result<_>>()?;
        let volume = match volumes.len() {
            1 => volumes.remove(0),
            _ => Arc::new(ConcatenatedVolume::new(volumes)?) as Arc<dyn Volume>,
        };
        let stack = Stack {
            files: files.to_vec(),
            volume: ViewedVolume::new(volume),
            mirrors: Vec::new(),
            trusted: None,
            leftovers: Vec::new(),
        };
        anyhow::ensure!(stack.volume.capacity() > 0, "{} holds not even one block", disk.path().display());
        match disk.is_qcow2() {
            // Its file may be of any length.
            true => remembered::check_length(stack.state(), stack.volume.capacity(), self.allow_shrink)?,
            false => remembered::check(&stack.files, self.allow_shrink)?,
        }
        self.tell_of_failure(disk, &stack);
        tell_of_recovery(disk, &stack);
        tell_of_surplus(disk, &stack);
        if disk.is_in_memory() && served.is_empty() {
            tell_of_memory(disk, &stack);
        }
        Ok(stack)
    }

    /// The disk's bytes in a file of it: the file's own, with sums of them or without, or those of an image in it.
    fn over(&self, disk: &Disk, file: &Arc<FileVolume>, part: &Part) -> anyhow::Result<Arc<dyn Volume>> {
        if part.qcow2 {
            let inner = Arc::clone(file) as Arc<dyn Volume>;
            return Ok(Qcow2Volume::open(&part.path, inner, disk.block_length)?);
        }
        self.sums.over(&disk.name, file, part)
    }

    fn mirrored(&self, disk: &Disk, served: bool) -> anyhow::Result<Stack> {
        let Leg { volume, files, mirrors, trusted, leftovers, .. } =
            Builder::new(self, disk).whole(served)?;
        let volume = ViewedVolume::new(volume);
        let stack = Stack { files, volume, mirrors, trusted: Some(trusted), leftovers };
        let remembered = remembered::check_length(stack.state(), stack.volume.capacity(), self.allow_shrink);
        let result = remembered.and_then(|()| match disk.read_only {
            true => Ok(()),
            false => stack.memory().agree(),
        });
        if let Err(error) = result {
            stack.take_back();
            return Err(error);
        }
        self.tell_of_failure(disk, &stack);
        tell_of_recovery(disk, &stack);
        tell_of_surplus(disk, &stack);
        Ok(stack)
    }

    pub(super) fn options(&self, disk: &Disk, part: &Part) -> OpenOptions {
        OpenOptions {
            start: part.start,
            read_only: disk.read_only,
            direct: part.direct,
            create_parents: disk.origin == Origin::Default,
            block_length: disk.block_length,
            state_directory: self.state.clone(),
            ..OpenOptions::new(&part.path, length(part.length))
        }
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

    /// A logical unit on a stack, and where its saved parameters go.
    pub(super) fn serve(&self, disk: &Disk, stack: &Stack) -> anyhow::Result<(Arc<Served>, Arc<Saved>)> {
        let state = stack.state().context("a disk has at least one file")?;
        let identity = Identity {
            vendor: "timedisk".into(),
            product: "sparse disk".into(),
            revision: env!("CARGO_PKG_VERSION").chars().take(4).collect(),
            serial: disk.serial.clone().unwrap_or_else(|| identity_of(state).0),
            naa: disk.serial.as_deref().map_or(identity_of(state).1, naa_of),
        };
        let block = disk.block_length;
        let format = BlockFormat { logical_length: block, physical_length: disk.physical_block_length };
        let saved = Arc::new(Saved(Mutex::new(Some(stack.memory()))));
        let store: Arc<dyn SettingsStore> = Arc::<Saved>::clone(&saved);
        let unit = LogicalUnit::new(Arc::<ViewedVolume>::clone(&stack.volume), identity, format, Some(store));
        unit.set_read_only(disk.read_only);
        Ok((Served::new(disk.name.clone(), Arc::new(unit)), saved))
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

/// What has become of an atomic write that was under way when the power went, or timedisk was killed.
fn tell_of_recovery(disk: &Disk, stack: &Stack) {
    for file in &stack.files {
        match file.recovery() {
            Some(Recovery::Redone { offset, length }) => tracing::warn!(
                "{}: an atomic write of {length} bytes at byte {offset} of {} had been cut off; it was written again, \
                 and all of it is there now",
                disk.name,
                file.path().display()
            ),
            Some(Recovery::Dropped) => tracing::warn!(
                "{}: an atomic write had been cut off before it reached {}; nothing of it is there",
                disk.name,
                file.path().display()
            ),
            None => {}
        }
    }
}

/// NetBSD's daemon writes a block after the end of each extent when it starts a second time.
fn tell_of_surplus(disk: &Disk, stack: &Stack) {
    for file in stack.files.iter().filter(|_| !disk.is_qcow2()) {
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

/// The most important thing about a disk in memory.
fn tell_of_memory(disk: &Disk, stack: &Stack) {
    let capacity = stack.volume.capacity();
    let space = stack.volume.space().ok().flatten();
    let room = space.map_or(capacity, |space| space.used + space.available);
    tracing::warn!(
        "{} IS IN MEMORY: all that is written to it is gone when timedisk ends, or is restarted, or crashes",
        disk.name
    );
    if room < capacity {
        tracing::warn!(
            "no space for all of it: {} has {}, and disks in memory may take {} together; after that, writes fail",
            disk.name,
            format_size(capacity),
            format_size(room)
        );
    }
}

pub(super) fn is_missing(part: &Part) -> bool {
    std::fs::symlink_metadata(&part.path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

pub(super) fn state_beside(part: &Part) -> PathBuf {
    let mut name = part.path.as_os_str().to_owned();
    match part.start {
        0 => name.push(".timedisk"),
        start => name.push(format!(".{start}.timedisk")),
    }
    name.into()
}

/// Saved mode parameters live in the state file of the disk as it is open now: there is one copy of it in memory, or
/// one would undo what the other has written.
#[derive(Debug)]
pub(super) struct Saved(Mutex<Option<Memory>>);

impl Saved {
    /// From now on they are in this memory; nowhere while the disk is away.
    pub(super) fn live_in(&self, memory: Option<Memory>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = memory;
    }

    /// The state that is up to date.
    pub(super) fn first(&self) -> Option<Arc<DiskState>> {
        self.memory()?.first()
    }

    fn memory(&self) -> Option<Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl SettingsStore for Saved {
    fn load(&self, key: &str) -> Option<String> {
        self.memory()?.load(key)
    }

    fn save(&self, key: &str, value: &str) -> Result<(), String> {
        let memory = self.memory().ok_or("the disk is offline")?;
        memory.save(key, value).map_err(|error| error.to_string())
    }
}
