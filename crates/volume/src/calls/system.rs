//! The calls as the operating system answers them.

use std::io::IoSliceMut;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    Advice, AtFlags, FallocateFlags, FileType, FlockOperation, Mode, OFlags, SeekFrom, Stat, StatxFlags,
};
use rustix::io::{Errno, ReadWriteFlags};

use crate::Space;

use super::direct::DirectFile;
use super::{
    Access, FileCalls, FileIdentity, FileKind, FileStatus, Lock, OpenFile, SpaceChange, uninterrupted,
};

/// What direct reads and writes are multiples of where the system does not tell, in bytes.
const PAGE: u32 = 4096;

/// The operating system's own files.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemCalls;

#[derive(Debug)]
struct SystemFile(OwnedFd);

impl Access {
    fn flags(self) -> OFlags {
        let flags = match self {
            Self::Read => OFlags::RDONLY,
            Self::ReadWrite => OFlags::RDWR,
            Self::ReadWriteDevice => OFlags::RDWR | OFlags::EXCL,
            Self::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW,
        };
        flags | OFlags::CLOEXEC
    }
}

impl From<FileType> for FileKind {
    fn from(file_type: FileType) -> Self {
        match file_type {
            FileType::RegularFile => Self::Regular,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Directory => Self::Directory,
            _ => Self::Other,
        }
    }
}

impl From<&Stat> for FileIdentity {
    fn from(status: &Stat) -> Self {
        match FileType::from_raw_mode(status.st_mode).into() {
            kind @ FileKind::BlockDevice => Self { kind, device: status.st_rdev, inode: 0 },
            kind => Self { kind, device: status.st_dev, inode: status.st_ino },
        }
    }
}

impl FileCalls for SystemCalls {
    fn identify(&self, path: &Path) -> Result<FileIdentity, Errno> {
        let status = uninterrupted(|| rustix::fs::stat(path))?;
        Ok((&status).into())
    }

    fn device_names(&self, identity: FileIdentity) -> Vec<String> {
        identity.device_names()
    }

    fn is_read_only_device(&self, identity: FileIdentity) -> bool {
        identity.is_read_only_device()
    }

    fn open(&self, path: &Path, access: Access) -> Result<Box<dyn OpenFile>, Errno> {
        let mode = Mode::RUSR | Mode::WUSR;
        let file = uninterrupted(|| rustix::fs::open(path, access.flags(), mode))?;
        Ok(Box::new(SystemFile(file)))
    }

    fn open_direct(&self, path: &Path, access: Access) -> Result<Box<dyn OpenFile>, Errno> {
        let mode = Mode::RUSR | Mode::WUSR;
        let file = uninterrupted(|| rustix::fs::open(path, access.flags(), mode))?;
        match past_the_cache(&file) {
            Ok((block, memory)) => Ok(Box::new(DirectFile::new(Box::new(SystemFile(file)), block, memory))),
            Err(errno) => {
                if access == Access::CreateNew {
                    // What can't be removed is of no harm: it is empty.
                    let _ = self.remove(path);
                }
                Err(errno)
            }
        }
    }

    fn create_directory(&self, path: &Path) -> Result<(), Errno> {
        rustix::fs::mkdir(path, Mode::RWXU)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        rustix::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<(), Errno> {
        rustix::fs::unlink(path)
    }

    fn synchronize_directory(&self, path: &Path) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = uninterrupted(|| rustix::fs::open(path, flags, Mode::empty()))?;
        rustix::fs::fsync(&directory)
    }

    fn takes_files(&self, directory: &Path) -> bool {
        rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_ok()
    }
}

/// From now on the file is read and written past the cache, in multiples of so many bytes, from memory at multiples of
/// so many.
fn past_the_cache(file: &OwnedFd) -> Result<(u32, u32), Errno> {
    // An open with O_CREAT and O_DIRECT may make a file and fail.
    rustix::fs::fcntl_setfl(file, rustix::fs::fcntl_getfl(file)? | OFlags::DIRECT)?;
    let told = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok();
    let told = told.filter(|told| told.stx_mask & StatxFlags::DIOALIGN.bits() != 0);
    match told.map(|told| (told.stx_dio_offset_align, told.stx_dio_mem_align)) {
        Some((0, _)) => Err(Errno::INVAL),
        Some((block, memory)) => Ok((block, memory.max(1))),
        None => Ok((rustix::fs::ioctl_blksszget(file).unwrap_or(PAGE), PAGE)),
    }
}

impl OpenFile for SystemFile {
    fn status(&self) -> Result<FileStatus, Errno> {
        let status = rustix::fs::fstat(&self.0)?;
        let identity = FileIdentity::from(&status);
        let length = match identity.kind {
            FileKind::BlockDevice => rustix::fs::seek(&self.0, SeekFrom::End(0))?,
            _ => u64::try_from(status.st_size).unwrap_or(0),
        };
        Ok(FileStatus { identity, length })
    }

    fn lock(&self, lock: Lock) -> Result<(), Errno> {
        let operation = match lock {
            Lock::Shared => FlockOperation::NonBlockingLockShared,
            Lock::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        rustix::fs::flock(&self.0, operation)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        rustix::io::pread(&self.0, buffer, offset)
    }

    fn read_at_without_waiting(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        rustix::io::preadv2(&self.0, &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize, Errno> {
        rustix::io::pwrite(&self.0, data, offset)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn copy_range(
        &self,
        mut offset: u64,
        to: &dyn OpenFile,
        mut position: u64,
        length: u64,
    ) -> Result<u64, Errno> {
        let to = to.descriptor().ok_or(Errno::OPNOTSUPP)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        rustix::fs::copy_file_range(&self.0, Some(&mut offset), to, Some(&mut position), length)
            .map(|count| count as u64)
    }

    fn synchronize_data(&self) -> Result<(), Errno> {
        rustix::fs::fdatasync(&self.0)
    }

    fn synchronize(&self) -> Result<(), Errno> {
        rustix::fs::fsync(&self.0)
    }

    fn set_length(&self, length: u64) -> Result<(), Errno> {
        rustix::fs::ftruncate(&self.0, length)
    }

    fn change_space(&self, change: SpaceChange, offset: u64, length: u64) -> Result<(), Errno> {
        let flags = match change {
            SpaceChange::PunchHole => FallocateFlags::PUNCH_HOLE,
            SpaceChange::ZeroRange => FallocateFlags::ZERO_RANGE,
        };
        rustix::fs::fallocate(&self.0, flags | FallocateFlags::KEEP_SIZE, offset, length)
    }

    fn forget_cached(&self, offset: u64, length: u64) -> Result<(), Errno> {
        // A length of 0 would mean all that follows.
        let Some(length) = NonZeroU64::new(length) else { return Ok(()) };
        rustix::fs::fadvise(&self.0, offset, Some(length), Advice::DontNeed)
    }

    fn space(&self) -> Result<Space, Errno> {
        let status = rustix::fs::fstat(&self.0)?;
        let answer = uninterrupted(|| rustix::fs::fstatvfs(&self.0))?;
        Ok(Space {
            // Of 512 bytes each, whatever the file system's own are.
            used: u64::try_from(status.st_blocks).unwrap_or(0).saturating_mul(512),
            available: answer.f_bavail.saturating_mul(answer.f_frsize),
        })
    }

    fn seek_data(&self, offset: u64) -> Result<u64, Errno> {
        rustix::fs::seek(&self.0, SeekFrom::Data(offset))
    }

    fn seek_hole(&self, offset: u64) -> Result<u64, Errno> {
        rustix::fs::seek(&self.0, SeekFrom::Hole(offset))
    }
}
