//! Files in memory, so that whatever is made of files can be made of memory.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::{MemoryVolume, PAGE, Room};
use crate::calls::{
    Access, FileCalls, FileIdentity, FileKind, FileStatus, Lock, OpenFile, SpaceChange, SystemCalls,
};
use crate::{Allocation, Durability, ErrorKind, Space, Volume, VolumeError};

/// The directory that is in memory. No directory that a path should lead to is called so.
const DIRECTORY: &str = "memory:";

/// Files end here, as those of the system do (off_t).
const LONGEST: u64 = i64::MAX as u64;

/// The system's files, and in `memory:/` some that are gone with the last clone of this.
#[derive(Clone, Debug)]
pub struct MemoryFiles {
    names: Arc<Mutex<HashMap<PathBuf, Arc<Content>>>>,
    room: Arc<Room>,
}

#[derive(Debug)]
struct Content {
    identity: FileIdentity,
    pages: MemoryVolume,
    length: AtomicU64,
}

impl MemoryFiles {
    /// None yet. All of them together hold no more than `limit` bytes.
    #[must_use]
    pub fn with_limit(limit: u64) -> Self {
        Self { names: Arc::default(), room: Arc::new(Room::new(limit / PAGE)) }
    }

    /// Whether a path leads into memory.
    pub fn is_in_memory(path: &Path) -> bool {
        path.starts_with(DIRECTORY)
    }

    /// Which file a path into memory leads to, even before there is one; `None` for other paths.
    pub fn identity_of(path: &Path) -> Option<FileIdentity> {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        // No device of the system has this number.
        let identity = FileIdentity { kind: FileKind::Regular, device: u64::MAX, inode: hasher.finish() };
        Self::is_in_memory(path).then_some(identity)
    }

    /// Forgets the files whose paths do not begin as one that is wanted does. Who has one open goes on with it.
    pub fn keep_only(&self, is_wanted: impl Fn(&Path) -> bool) {
        self.names().retain(|path, _| is_wanted(path));
    }

    fn names(&self) -> MutexGuard<'_, HashMap<PathBuf, Arc<Content>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self, path: &Path) -> Result<Arc<Content>, Errno> {
        let identity = Self::identity_of(path).ok_or(Errno::NOENT)?;
        let pages = MemoryVolume::in_room(LONGEST, Arc::clone(&self.room));
        Ok(Arc::new(Content { identity, pages, length: AtomicU64::new(0) }))
    }
}

impl FileCalls for MemoryFiles {
    fn identify(&self, path: &Path) -> Result<FileIdentity, Errno> {
        match Self::is_in_memory(path) {
            true => self.names().get(path).map(|content| content.identity).ok_or(Errno::NOENT),
            false => SystemCalls.identify(path),
        }
    }

    fn device_names(&self, identity: FileIdentity) -> Vec<String> {
        SystemCalls.device_names(identity)
    }

    fn is_read_only_device(&self, identity: FileIdentity) -> bool {
        SystemCalls.is_read_only_device(identity)
    }

    fn open(&self, path: &Path, access: Access) -> Result<Box<dyn OpenFile>, Errno> {
        if !Self::is_in_memory(path) {
            return SystemCalls.open(path, access);
        }
        let mut names = self.names();
        let content = match (names.get(path), access) {
            (Some(_), Access::CreateNew) => return Err(Errno::EXIST),
            (Some(content), _) => Arc::clone(content),
            (None, Access::CreateNew) => {
                let content = self.make(path)?;
                names.insert(path.to_owned(), Arc::clone(&content));
                content
            }
            (None, _) => return Err(Errno::NOENT),
        };
        Ok(Box::new(MemoryFile(content)))
    }

    fn open_direct(&self, path: &Path, access: Access) -> Result<Box<dyn OpenFile>, Errno> {
        if Self::is_in_memory(path) { Err(Errno::OPNOTSUPP) } else { SystemCalls.open_direct(path, access) }
    }

    fn create_directory(&self, path: &Path) -> Result<(), Errno> {
        if Self::is_in_memory(path) { Err(Errno::EXIST) } else { SystemCalls.create_directory(path) }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        if !Self::is_in_memory(from) {
            return SystemCalls.rename(from, to);
        }
        let mut names = self.names();
        let content = names.remove(from).ok_or(Errno::NOENT)?;
        names.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), Errno> {
        match Self::is_in_memory(path) {
            true => self.names().remove(path).map(drop).ok_or(Errno::NOENT),
            false => SystemCalls.remove(path),
        }
    }

    fn synchronize_directory(&self, path: &Path) -> Result<(), Errno> {
        if Self::is_in_memory(path) { Ok(()) } else { SystemCalls.synchronize_directory(path) }
    }

    fn takes_files(&self, directory: &Path) -> bool {
        Self::is_in_memory(directory) || SystemCalls.takes_files(directory)
    }
}

#[derive(Debug)]
struct MemoryFile(Arc<Content>);

impl MemoryFile {
    fn length(&self) -> u64 {
        self.0.length.load(Ordering::Acquire)
    }
}

/// What the system would say.
fn errno(error: &VolumeError) -> Errno {
    match error.kind {
        ErrorKind::NoSpace => Errno::NOSPC,
        ErrorKind::OutOfRange => Errno::FBIG,
        _ => Errno::IO,
    }
}

impl OpenFile for MemoryFile {
    fn status(&self) -> Result<FileStatus, Errno> {
        Ok(FileStatus { identity: self.0.identity, length: self.length() })
    }

    /// No other process can have it.
    fn lock(&self, _: Lock) -> Result<(), Errno> {
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let count = (self.length().saturating_sub(offset)).min(buffer.len() as u64) as usize;
        let (wanted, _) = buffer.split_at_mut(count);
        self.0.pages.read(offset.min(LONGEST), wanted).map(|()| count).map_err(|error| errno(&error))
    }

    fn read_at_without_waiting(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize, Errno> {
        self.0.pages.write(offset, data, Durability::Volatile).map_err(|error| errno(&error))?;
        self.0.length.fetch_max(offset + data.len() as u64, Ordering::AcqRel);
        Ok(data.len())
    }

    fn synchronize_data(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn synchronize(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn set_length(&self, length: u64) -> Result<(), Errno> {
        if length > LONGEST {
            return Err(Errno::FBIG);
        }
        self.0.length.store(length, Ordering::Release);
        self.0.pages.deallocate(length, LONGEST - length).map_err(|error| errno(&error))
    }

    fn change_space(&self, change: SpaceChange, offset: u64, length: u64) -> Result<(), Errno> {
        let allocation = match change {
            SpaceChange::PunchHole => Allocation::Release,
            SpaceChange::ZeroRange => Allocation::Keep,
        };
        let changed = self.0.pages.write_zeroes(offset, length, allocation, Durability::Volatile);
        changed.map_err(|error| errno(&error))
    }

    fn forget_cached(&self, _: u64, _: u64) -> Result<(), Errno> {
        Ok(())
    }

    fn space(&self) -> Result<Space, Errno> {
        self.0.pages.space().map_err(|error| errno(&error))?.ok_or(Errno::OPNOTSUPP)
    }

    fn seek_data(&self, offset: u64) -> Result<u64, Errno> {
        self.seek(offset, true)?.filter(|data| *data < self.length()).ok_or(Errno::NXIO)
    }

    fn seek_hole(&self, offset: u64) -> Result<u64, Errno> {
        Ok(self.seek(offset, false)?.unwrap_or(u64::MAX).min(self.length()))
    }
}

impl MemoryFile {
    /// The first place from `offset` on that is data, or is none.
    fn seek(&self, offset: u64, data: bool) -> Result<Option<u64>, Errno> {
        if offset >= self.length() {
            return Err(Errno::NXIO);
        }
        let here = self.0.pages.mapping(offset).map_err(|error| errno(&error))?;
        let next = offset.saturating_add(here.length);
        Ok(if here.allocated == data { Some(offset) } else { Some(next).filter(|next| *next < LONGEST) })
    }
}
