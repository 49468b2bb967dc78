//! Reading and writing past the system's cache (O_DIRECT), which takes whole blocks from aligned memory only: here any
//! bytes of any memory will do.
//!
//! Nothing goes through the cache for want of alignment, since what is in both would be one thing here and another
//! there. What is no whole block is read, changed and written, and nothing else changes that block meanwhile.

mod in_flight;
#[cfg(test)]
mod tests;

use rustix::io::Errno;

use super::{FileStatus, Lock, OpenFile, SpaceChange, uninterrupted};
use crate::Space;
use in_flight::InFlight;

/// The most bytes that are moved in one call by way of a buffer of our own.
const MOST: u64 = 256 * 1024;

/// A file that is open for direct reads and writes. All that change one file do so through one of these.
#[derive(Debug)]
pub(crate) struct DirectFile {
    file: Box<dyn OpenFile>,
    /// Positions and lengths are multiples of it.
    block: u64,
    /// Addresses in memory are.
    memory: usize,
    changes: InFlight,
}

/// Zeros in memory that begin at an aligned address.
struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    fn new(length: u64, alignment: usize) -> Self {
        let length = length as usize;
        let bytes = vec![0; length + alignment];
        let start = bytes.as_ptr().align_offset(alignment);
        Self { bytes, start, length }
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.length]
    }
}

impl DirectFile {
    /// Both alignments are powers of two, in bytes.
    pub(crate) fn new(file: Box<dyn OpenFile>, block: u32, memory: u32) -> Self {
        let (block, memory) = (block.next_power_of_two(), memory.next_power_of_two());
        Self { file, block: u64::from(block), memory: memory as usize, changes: InFlight::default() }
    }

    fn is_whole(&self, position: u64) -> bool {
        position.is_multiple_of(self.block)
    }

    /// Whether the system can have these as they are.
    fn is_aligned(&self, offset: u64, data: &[u8]) -> bool {
        self.is_whole(offset)
            && self.is_whole(data.len() as u64)
            && data.as_ptr().align_offset(self.memory) == 0
    }

    /// The whole blocks around a range, of which no more than [`MOST`] bytes are taken; and where the range ends then.
    fn blocks_around(&self, offset: u64, length: u64) -> Result<(u64, u64, u64), Errno> {
        let first = offset - offset % self.block;
        let end = offset.checked_add(length).ok_or(Errno::FBIG)?.min(first + MOST.max(self.block));
        Ok((first, end.checked_next_multiple_of(self.block).ok_or(Errno::FBIG)?, end))
    }

    /// Reads until the buffer is full or the file ends.
    fn fill(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut done = 0;
        while done < buffer.len() {
            let rest = &mut buffer[done..];
            match uninterrupted(|| self.file.read_at(offset + done as u64, rest))? {
                0 => break,
                count => done += count,
            }
            // What the file ends within is no whole block, and the next read would not be of one.
            if !self.is_whole(done as u64) {
                break;
            }
        }
        Ok(done)
    }

    fn write_whole(&self, offset: u64, data: &[u8]) -> Result<(), Errno> {
        super::write_all(&*self.file, offset, data)
    }

    /// Writes what is no whole blocks, or not in aligned memory.
    fn write_around(&self, offset: u64, data: &[u8]) -> Result<usize, Errno> {
        let (first, last, end) = self.blocks_around(offset, data.len() as u64)?;
        let (before, count) = ((offset - first) as usize, (end - offset) as usize);
        let (has_head, has_tail) = (offset != first, end != last);
        let _turn = self.changes.enter(first..last, has_head || has_tail);
        let mut whole = Aligned::new(last - first, self.memory);
        let buffer = whole.as_mut_slice();
        let block = self.block as usize;
        if has_head {
            self.fill(first, &mut buffer[..block])?;
        }
        let tail = buffer.len() - block;
        if has_tail && !(has_head && tail == 0) {
            self.fill(last - self.block, &mut buffer[tail..])?;
        }
        buffer[before..before + count].copy_from_slice(&data[..count]);
        self.write_whole(first, whole.as_slice())?;
        Ok(count)
    }
}

impl OpenFile for DirectFile {
    fn status(&self) -> Result<FileStatus, Errno> {
        self.file.status()
    }

    fn lock(&self, lock: Lock) -> Result<(), Errno> {
        self.file.lock(lock)
    }

    fn block(&self) -> Option<u64> {
        Some(self.block)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        if buffer.is_empty() || self.is_aligned(offset, buffer) {
            return self.file.read_at(offset, buffer);
        }
        let (first, last, end) = self.blocks_around(offset, buffer.len() as u64)?;
        let mut whole = Aligned::new(last - first, self.memory);
        let there = self.fill(first, whole.as_mut_slice())? as u64;
        let (from, to) = (offset - first, (end - first).min(there));
        let found = whole.as_slice().get(from as usize..to as usize).unwrap_or_default();
        buffer[..found.len()].copy_from_slice(found);
        Ok(found.len())
    }

    /// Nothing is in the cache.
    fn read_at_without_waiting(&self, _: u64, _: &mut [u8]) -> Result<usize, Errno> {
        Err(Errno::AGAIN)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize, Errno> {
        if data.is_empty() {
            return Ok(0);
        }
        if !self.is_aligned(offset, data) {
            return self.write_around(offset, data);
        }
        let end = offset.checked_add(data.len() as u64).ok_or(Errno::FBIG)?;
        let _turn = self.changes.enter(offset..end, false);
        self.file.write_at(offset, data)
    }

    fn synchronize_data(&self) -> Result<(), Errno> {
        self.file.synchronize_data()
    }

    fn synchronize(&self) -> Result<(), Errno> {
        self.file.synchronize()
    }

    /// A file that ended within a block could not be written to its end.
    fn set_length(&self, length: u64) -> Result<(), Errno> {
        if self.is_whole(length) { self.file.set_length(length) } else { Err(Errno::INVAL) }
    }

    fn change_space(&self, change: SpaceChange, offset: u64, length: u64) -> Result<(), Errno> {
        let end = offset.checked_add(length).ok_or(Errno::FBIG)?;
        let last = end.checked_next_multiple_of(self.block).ok_or(Errno::FBIG)?;
        let is_part = !self.is_whole(offset) || end != last;
        let _turn = self.changes.enter(offset - offset % self.block..last, is_part);
        self.file.change_space(change, offset, length)
    }

    fn forget_cached(&self, offset: u64, length: u64) -> Result<(), Errno> {
        self.file.forget_cached(offset, length)
    }

    fn space(&self) -> Result<Space, Errno> {
        self.file.space()
    }

    fn seek_data(&self, offset: u64) -> Result<u64, Errno> {
        self.file.seek_data(offset)
    }

    fn seek_hole(&self, offset: u64) -> Result<u64, Errno> {
        self.file.seek_hole(offset)
    }
}
