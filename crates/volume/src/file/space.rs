//! Holes and zeros: what part of the extent takes space.

use rustix::io::Errno;

use super::extent::Extent;
use crate::calls::{FileKind, SpaceChange, uninterrupted};
use crate::{ErrorKind, Mapping, Result, Space};

/// Zeros are written in pieces of so many bytes where the file system can't make them itself.
const CHUNK: usize = 256 * 1024;

static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// Between two questions about one place, others may change it; after so many the answer is "data".
const MOST_QUESTIONS: usize = 4;

/// What a place is said to be at least, in bytes, if others keep changing it.
const UNSETTLED: u64 = 512;

impl Extent {
    /// Makes the range a hole, or zeros where there can be none.
    pub(super) fn punch(&self, offset: u64, length: u64) -> Result<()> {
        if self.change_space(SpaceChange::PunchHole, offset, length)? {
            return Ok(());
        }
        let end = offset + length;
        let mut at = offset;
        while at < end {
            let mapping = self.mapping(at)?;
            let part = mapping.length.min(end - at);
            // What is a hole already reads as zeros, and stays a hole.
            if mapping.allocated {
                self.write_zeros(at, part)?;
            }
            at += part;
        }
        Ok(())
    }

    /// Makes the range zeros that have space.
    pub(super) fn zero(&self, offset: u64, length: u64) -> Result<()> {
        if self.change_space(SpaceChange::ZeroRange, offset, length)? {
            return Ok(());
        }
        self.write_zeros(offset, length)
    }

    /// Whether the file system could do it. (A block device refuses what is not whole blocks with EINVAL.)
    fn change_space(&self, change: SpaceChange, offset: u64, length: u64) -> Result<bool> {
        if length == 0 {
            return Ok(true);
        }
        let at = self.position(offset);
        match uninterrupted(|| self.file.change_space(change, at, length)) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(false),
            Err(errno) => Err(self.failure(ErrorKind::WriteFailed, "make zeros in", at, errno)),
        }
    }

    fn write_zeros(&self, offset: u64, length: u64) -> Result<()> {
        let end = offset + length;
        let mut at = offset;
        while at < end {
            let part = (end - at).min(CHUNK as u64);
            self.write(at, &ZEROS[..part as usize])?;
            at += part;
        }
        Ok(())
    }

    /// What the file takes and could take. A block device has its space already.
    pub(super) fn space(&self, kind: FileKind) -> Result<Option<Space>> {
        if kind == FileKind::BlockDevice {
            return Ok(None);
        }
        match uninterrupted(|| self.file.space()) {
            Ok(space) => Ok(Some(Space { used: space.used.min(self.capacity()), ..space })),
            Err(errno) => Err(self.failure(ErrorKind::ReadFailed, "ask for the space of", 0, errno)),
        }
    }

    /// What is at an offset, which is less than the capacity.
    pub(super) fn mapping(&self, offset: u64) -> Result<Mapping> {
        let at = self.position(offset);
        let end = self.position(self.capacity());
        let upto = |allocated: bool, stop: u64| Mapping { allocated, length: stop.min(end) - at };
        for _ in 0..MOST_QUESTIONS {
            match uninterrupted(|| self.file.seek_data(at)) {
                Ok(data) if data > at => return Ok(upto(false, data)),
                Ok(_) => {}
                // No data from here on, as far as the file goes.
                Err(Errno::NXIO) => {
                    let length = uninterrupted(|| self.file.status()).map(|status| status.length);
                    return match length {
                        Ok(length) if length > at => Ok(upto(false, length)),
                        // Somebody has made it shorter. It is no hole, which would count as zeros: reading says so.
                        Ok(_) => Ok(upto(true, end)),
                        Err(errno) => {
                            Err(self.failure(ErrorKind::ReadFailed, "ask for the length of", at, errno))
                        }
                    };
                }
                Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(upto(true, end)),
                Err(errno) => {
                    return Err(self.failure(ErrorKind::ReadFailed, "ask for the holes of", at, errno));
                }
            }
            match uninterrupted(|| self.file.seek_hole(at)) {
                Ok(hole) if hole > at => return Ok(upto(true, hole)),
                // It has become a hole in between; or the file was cut off here, and then the next round
                // says so.
                Ok(_) | Err(Errno::NXIO) => {}
                Err(errno) => {
                    return Err(self.failure(ErrorKind::ReadFailed, "ask for the holes of", at, errno));
                }
            }
        }
        Ok(upto(true, at + UNSETTLED))
    }
}
