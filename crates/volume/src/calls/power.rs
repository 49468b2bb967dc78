//! A stand-in for tests: a small file system in memory whose power can be cut at any call, and whose calls can fail.
//!
//! What was not synchronized when the power goes is there or not, each sector and each name for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::io::Errno;

use super::{Access, FileCalls, FileIdentity, FileKind, FileStatus, Lock, OpenFile, SpaceChange};
use crate::Space;

const SECTOR: usize = 512;

/// One call writes no more, so that long writes can end in the middle.
const MOST: usize = 3 * SECTOR;

/// Clones are the same file system.
#[derive(Clone, Debug, Default)]
pub(crate) struct PowerCalls(Arc<Mutex<World>>);

#[derive(Debug, Default)]
struct World {
    names: BTreeMap<PathBuf, usize>,
    kept_names: BTreeMap<PathBuf, usize>,
    files: Vec<Content>,
    /// Calls that change something, so far.
    calls: usize,
    /// At this call the power goes.
    cut: Option<usize>,
    /// These calls fail.
    faults: Vec<usize>,
    noise: u64,
}

#[derive(Clone, Debug, Default)]
struct Content {
    seen: Vec<u8>,
    kept: Vec<u8>,
    /// Sectors that are not what is kept, as far as the system knows.
    dirty: BTreeSet<usize>,
}

impl Content {
    /// Makes a sector last.
    fn keep(&mut self, sector: usize) {
        let range = sector * SECTOR..((sector + 1) * SECTOR).min(self.seen.len());
        if self.kept.len() < range.end {
            self.kept.resize(range.end, 0);
        }
        self.kept[range.clone()].copy_from_slice(&self.seen[range]);
    }
}

#[allow(clippy::unwrap_used)]
impl PowerCalls {
    /// What chance decides depends on this number.
    pub(crate) fn with_noise(noise: u64) -> Self {
        let calls = Self::default();
        calls.world().noise = noise.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        calls
    }

    /// The power goes so many calls from now.
    pub(crate) fn cut_after(&self, calls: usize) {
        let mut world = self.world();
        world.cut = Some(world.calls + calls);
    }

    /// The call so many calls from now fails.
    pub(crate) fn fail_after(&self, calls: usize) {
        let mut world = self.world();
        let at = world.calls + calls;
        world.faults.push(at);
    }

    /// Calls that have changed something, so far.
    pub(crate) fn count(&self) -> usize {
        self.world().calls
    }

    pub(crate) fn has_power(&self) -> bool {
        self.world().has_power()
    }

    /// What there is when the power is back.
    pub(crate) fn after_the_cut(&self) -> Self {
        let mut before = self.world();
        let mut names = before.kept_names.clone();
        let seen = before.names.clone();
        for path in seen.keys().chain(names.clone().keys()) {
            if before.chance() {
                match seen.get(path) {
                    Some(&file) => names.insert(path.clone(), file),
                    None => names.remove(path),
                };
            }
        }
        let mut files = before.files.clone();
        for file in &mut files {
            for sector in std::mem::take(&mut file.dirty) {
                if before.chance() {
                    file.keep(sector);
                }
            }
            file.seen = file.kept.clone();
        }
        let noise = before.noise.rotate_left(9) | 1;
        let world = World { kept_names: names.clone(), names, files, noise, ..World::default() };
        Self(Arc::new(Mutex::new(world)))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

impl World {
    fn has_power(&self) -> bool {
        self.cut.is_none_or(|cut| self.calls <= cut)
    }

    fn chance(&mut self) -> bool {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        self.noise & 0x100 != 0
    }

    /// Counts a call that changes something. `false` if it is the last one, and begins only.
    fn count(&mut self) -> Result<bool, Errno> {
        if !self.has_power() {
            return Err(Errno::IO);
        }
        self.write_back();
        let now = self.calls;
        self.calls += 1;
        if self.faults.contains(&now) {
            return Err(Errno::NOSPC);
        }
        Ok(self.cut != Some(now))
    }

    /// The system writes back what it likes, when it likes.
    fn write_back(&mut self) {
        for number in 0..self.files.len() {
            for sector in self.files[number].dirty.clone() {
                if self.chance() && self.chance() {
                    self.files[number].keep(sector);
                    self.files[number].dirty.remove(&sector);
                }
            }
        }
    }

    fn file(&mut self, number: usize) -> Result<&mut Content, Errno> {
        self.files.get_mut(number).ok_or(Errno::BADF)
    }
}

/// The call is over, unless the power went meanwhile.
fn ended(whole: bool) -> Result<(), Errno> {
    if whole { Ok(()) } else { Err(Errno::IO) }
}

impl FileCalls for PowerCalls {
    fn identify(&self, path: &Path) -> Result<FileIdentity, Errno> {
        let number = *self.world().names.get(path).ok_or(Errno::NOENT)?;
        Ok(FileIdentity { kind: FileKind::Regular, device: 1, inode: number as u64 })
    }

    fn open(&self, path: &Path, access: Access) -> Result<Box<dyn OpenFile>, Errno> {
        let mut world = self.world();
        if !world.has_power() {
            return Err(Errno::IO);
        }
        let number = match (world.names.get(path).copied(), access) {
            (Some(_), Access::CreateNew) => return Err(Errno::EXIST),
            (Some(number), _) => number,
            (None, Access::CreateNew) => {
                let whole = world.count()?;
                let number = world.files.len();
                world.files.push(Content::default());
                world.names.insert(path.to_owned(), number);
                ended(whole)?;
                number
            }
            (None, _) => return Err(Errno::NOENT),
        };
        Ok(Box::new(PowerFile { calls: self.clone(), number }))
    }

    fn create_directory(&self, _: &Path) -> Result<(), Errno> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        let mut world = self.world();
        let whole = world.count()?;
        let number = world.names.remove(from).ok_or(Errno::NOENT)?;
        world.names.insert(to.to_owned(), number);
        ended(whole)
    }

    fn remove(&self, path: &Path) -> Result<(), Errno> {
        let mut world = self.world();
        if !world.names.contains_key(path) {
            return Err(Errno::NOENT);
        }
        let whole = world.count()?;
        world.names.remove(path);
        ended(whole)
    }

    fn synchronize_directory(&self, _: &Path) -> Result<(), Errno> {
        let mut world = self.world();
        let whole = world.count()?;
        if whole {
            world.kept_names = world.names.clone();
        }
        ended(whole)
    }

    fn takes_files(&self, directory: &Path) -> bool {
        directory != Path::new("/sealed")
    }
}

#[derive(Debug)]
struct PowerFile {
    calls: PowerCalls,
    number: usize,
}

impl PowerFile {
    fn synchronize_all(&self) -> Result<(), Errno> {
        let mut world = self.calls.world();
        let outcome = world.count();
        if !world.has_power() {
            return Err(Errno::IO);
        }
        let dirty = std::mem::take(&mut world.file(self.number)?.dirty);
        for sector in dirty {
            // After a failure the system holds all for written, whether it is or not.
            if outcome.is_ok() || world.chance() {
                world.file(self.number)?.keep(sector);
            }
        }
        let file = world.file(self.number)?;
        if outcome.is_ok() && file.kept.len() < file.seen.len() {
            file.kept.resize(file.seen.len(), 0);
        }
        outcome.map(|_| ())
    }
}

impl OpenFile for PowerFile {
    fn status(&self) -> Result<FileStatus, Errno> {
        let identity = FileIdentity { kind: FileKind::Regular, device: 1, inode: self.number as u64 };
        Ok(FileStatus { identity, length: self.calls.world().file(self.number)?.seen.len() as u64 })
    }

    fn lock(&self, _: Lock) -> Result<(), Errno> {
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut world = self.calls.world();
        if !world.has_power() {
            return Err(Errno::IO);
        }
        let seen = world.file(self.number)?.seen.get(offset as usize..).unwrap_or_default();
        let count = seen.len().min(buffer.len());
        buffer[..count].copy_from_slice(&seen[..count]);
        Ok(count)
    }

    fn read_at_without_waiting(&self, _: u64, _: &mut [u8]) -> Result<usize, Errno> {
        Err(Errno::OPNOTSUPP)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize, Errno> {
        let mut world = self.calls.world();
        let whole = world.count()?;
        let data = &data[..data.len().min(MOST)];
        let (start, end) = (offset as usize, offset as usize + data.len());
        let file = world.file(self.number)?;
        if file.seen.len() < end {
            file.seen.resize(end, 0);
        }
        file.seen[start..end].copy_from_slice(data);
        file.dirty.extend(start / SECTOR..end.div_ceil(SECTOR));
        ended(whole).map(|()| data.len())
    }

    fn synchronize_data(&self) -> Result<(), Errno> {
        self.synchronize_all()
    }

    fn synchronize(&self) -> Result<(), Errno> {
        self.synchronize_all()
    }

    fn set_length(&self, length: u64) -> Result<(), Errno> {
        let mut world = self.calls.world();
        let whole = world.count()?;
        world.file(self.number)?.seen.resize(length as usize, 0);
        ended(whole)
    }

    fn change_space(&self, _: SpaceChange, _: u64, _: u64) -> Result<(), Errno> {
        Err(Errno::OPNOTSUPP)
    }

    /// All that is clean is asked of the device again.
    fn forget_cached(&self, _: u64, _: u64) -> Result<(), Errno> {
        let mut world = self.calls.world();
        let file = world.file(self.number)?;
        for sector in 0..file.seen.len().div_ceil(SECTOR) {
            let range = sector * SECTOR..((sector + 1) * SECTOR).min(file.seen.len());
            if !file.dirty.contains(&sector) && range.end <= file.kept.len() {
                file.seen[range.clone()].copy_from_slice(&file.kept[range]);
            }
        }
        Ok(())
    }

    fn space(&self) -> Result<Space, Errno> {
        Err(Errno::OPNOTSUPP)
    }

    fn seek_data(&self, _: u64) -> Result<u64, Errno> {
        Err(Errno::OPNOTSUPP)
    }

    fn seek_hole(&self, _: u64) -> Result<u64, Errno> {
        Err(Errno::OPNOTSUPP)
    }
}
