//! A volume with a sum of each of its blocks, so that what was changed beneath it is noticed when it is read.
//!
//! The sums (CRC32C of 4096 bytes) lie in a file of their own ([`sums`]); the volume below stays as it is. What keeps
//! the two together over a crash is one rule: a region is *marked* in that file, durably, before anything in it is
//! written, and loses its mark only when its data and its sums are durable and nobody writes there. So
//!
//! - a region without a mark has the sums of its data: a block that differs was changed by something else;
//! - of a marked region nothing is known after a crash. Its sums are made anew from its data when it is first used.
//!   The data are what the volume below has promised: what was flushed is there, so sums of it are as good as the old
//!   ones.
//!
//! Sums need no flush of their own for a write or a flush to last, only the marks do, once for each region. While
//! timedisk runs, the sums of marked regions count as well: they are written with the data, block by block, under one
//! exclusion.
//!
//! What it can't tell: which data a block had that was damaged in a region that was marked when the power went; and
//! whether somebody else has changed the image while timedisk did not run, but for the stamp ([`SumsOptions::stamp`])
//! that was written when it was closed: if that is another, all sums are made anew.

mod sums;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bits::Bits;
use crate::ranges::{Range, Ranges};
use crate::{Allocation, Durability, ErrorKind, Health, Mapping, Result, Space, Volume, VolumeError, range};
use sums::{BLOCK, Sums};
pub use sums::{Found, SumsOptions};

/// With so many marks it is time to take some away.
const MANY_MARKS: usize = 256;

/// Bytes that are read at once where sums are made anew.
const PIECE: u64 = 1 << 20;

/// A volume whose reads are compared with sums.
pub struct ChecksummedVolume {
    inner: Arc<dyn Volume>,
    sums: Sums,
    ranges: Ranges,
    marks: Mutex<Marks>,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Marks {
    /// As they are in the file.
    marked: Bits,
    /// Those of them whose sums say nothing.
    unknown: Bits,
    /// Counts writes that have ended.
    sequence: u64,
    /// Of each region that was written since its mark was set, the last write.
    touched: HashMap<u64, u64>,
}

impl std::fmt::Debug for ChecksummedVolume {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { inner, sums, .. } = self;
        formatter
            .debug_struct("ChecksummedVolume")
            .field("inner", inner)
            .field("sums", sums)
            .finish_non_exhaustive()
    }
}

/// A range of whole blocks, the last of which the volume's end may cut.
#[derive(Clone, Copy, Debug)]
struct Blocks {
    start: u64,
    end: u64,
}

impl Blocks {
    fn length(self) -> usize {
        // A buffer of this length is about to be made, or is there.
        usize::try_from(self.end - self.start).unwrap_or(usize::MAX)
    }

    fn first(self) -> u64 {
        self.start / BLOCK
    }
}

impl ChecksummedVolume {
    /// Puts the sums of a file over a volume; makes the file if there is none. Says how the sums were found.
    ///
    /// # Errors
    /// The file can't be opened, read, made or written, or is none of sums.
    pub fn open(inner: Arc<dyn Volume>, options: SumsOptions) -> Result<(Self, Found)> {
        let (sums, marked, found) = Sums::open(inner.capacity(), inner.is_read_only(), options)?;
        let marks = Marks { unknown: marked.clone(), marked, sequence: 0, touched: HashMap::new() };
        let (ranges, closed) = (Ranges::default(), AtomicBool::new(false));
        Ok((Self { inner, sums, ranges, marks: Mutex::new(marks), closed }, found))
    }

    /// How many of its regions are without sums until they are used, and how many there are.
    pub fn unknown_regions(&self) -> (u64, u64) {
        let marks = self.marks();
        (marks.unknown.total(), marks.unknown.count())
    }

    /// Reads all, and says at which bytes blocks begin that are not what was written. `progress` gets the bytes that
    /// were read, and says whether to go on.
    ///
    /// # Errors
    /// The volume below can't be read, or the sums can't.
    pub fn verify(&self, mut progress: impl FnMut(u64) -> bool) -> Result<Vec<u64>> {
        let mut damaged = Vec::new();
        let mut at = 0;
        let mut buffer = vec![0; usize::try_from(PIECE).unwrap_or(usize::MAX)];
        while at < self.capacity() {
            let end = (at + PIECE).min(self.capacity());
            let blocks = Blocks { start: at, end };
            let part = buffer.get_mut(..blocks.length()).unwrap_or_default();
            let _hold = self.hold_known(blocks)?;
            self.inner.read(at, part)?;
            damaged.extend(self.damaged(blocks, part)?);
            at = end;
            if !progress(at) {
                break;
            }
        }
        Ok(damaged)
    }

    /// Makes all last, and takes the marks away. Nothing can be written after it.
    ///
    /// # Errors
    /// A flush has failed, or the file can't be written; then more is made anew at the next start, and nothing is lost.
    pub fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) || self.inner.is_read_only() {
            return Ok(());
        }
        self.tidy(u64::MAX)?;
        self.sums.say_closed()
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn region(&self) -> u64 {
        self.sums.region()
    }

    /// The blocks that a range touches.
    fn blocks(&self, offset: u64, length: u64) -> Blocks {
        let end = (offset + length).next_multiple_of(BLOCK).min(self.capacity());
        Blocks { start: offset - offset % BLOCK, end }
    }

    fn regions(&self, blocks: Blocks) -> std::ops::RangeInclusive<u64> {
        blocks.start / self.region()..=blocks.end.saturating_sub(1).max(blocks.start) / self.region()
    }

    /// Takes blocks for oneself, in regions whose sums are known.
    fn hold_known(&self, blocks: Blocks) -> Result<Range<'_>> {
        loop {
            let hold = self.ranges.take(blocks.start, blocks.end - blocks.start);
            let unknown = {
                let marks = self.marks();
                self.regions(blocks).find(|region| marks.unknown.get(*region))
            };
            match unknown {
                None => return Ok(hold),
                Some(_) if self.inner.is_read_only() => return Ok(hold),
                Some(region) => {
                    drop(hold);
                    self.make_anew(region)?;
                }
            }
        }
    }

    /// Makes the sums of a region out of its data.
    fn make_anew(&self, region: u64) -> Result<()> {
        let start = region * self.region();
        let end = (start + self.region()).min(self.capacity());
        let _hold = self.ranges.take(start, end - start);
        if !self.marks().unknown.get(region) {
            return Ok(());
        }
        let mut at = start;
        let mut buffer = Vec::new();
        while at < end {
            let mapping = self.inner.mapping(at)?;
            let hole = (at + mapping.length).min(end) / BLOCK * BLOCK;
            if !mapping.allocated && hole > at {
                self.sums.forget(Blocks { start: at, end: hole })?;
                at = hole;
                continue;
            }
            let blocks = Blocks { start: at, end: (at + PIECE).min(end) };
            buffer.resize(blocks.length(), 0);
            self.inner.read(at, &mut buffer)?;
            self.sums.write(blocks.first(), &sums::of(&buffer))?;
            at = blocks.end;
        }
        self.marks().unknown.clear(region);
        Ok(())
    }

    /// Where blocks begin that do not fit their sums, in regions whose sums are known.
    fn damaged(&self, blocks: Blocks, data: &[u8]) -> Result<Vec<u64>> {
        let expected = self.sums.read(blocks.first(), data.len().div_ceil(BLOCK as usize))?;
        let found = sums::of(data);
        if found == expected {
            return Ok(Vec::new());
        }
        let marks = self.marks();
        let differing = (blocks.first()..).zip(found.iter().zip(&expected)).filter(|(_, (a, b))| a != b);
        let starts = differing.map(|(block, _)| block * BLOCK);
        Ok(starts.filter(|start| !marks.unknown.get(start / self.region())).collect())
    }

    /// Fills a buffer with whole blocks that are held, and compares them.
    fn read_blocks(&self, blocks: Blocks, buffer: &mut [u8]) -> Result<()> {
        self.inner.read(blocks.start, buffer)?;
        match self.damaged(blocks, buffer)?.as_slice() {
            [] => Ok(()),
            [first, ..] => Err(self.damage(*first)),
        }
    }

    fn damage(&self, at: u64) -> VolumeError {
        let message = format!(
            "the block at byte {at} is not what was written there: something else has changed it ({})",
            self.sums.path().display()
        );
        VolumeError::new(ErrorKind::ReadFailed, message).at(self.sums.path())
    }

    /// Marks regions, durably.
    fn mark(&self, blocks: Blocks) -> Result<()> {
        let mut marks = self.marks();
        let new: Vec<u64> = self.regions(blocks).filter(|region| !marks.marked.get(*region)).collect();
        let (Some(first), Some(last)) = (new.first(), new.last()) else { return Ok(()) };
        let mut after = marks.marked.clone();
        new.iter().for_each(|region| after.set(*region));
        let bytes = Bits::byte_of(*first)..=Bits::byte_of(*last);
        self.sums.write_marks(*bytes.start(), after.bytes().get(bytes).unwrap_or_default(), true)?;
        marks.marked = after;
        Ok(())
    }

    /// Does a change of a range, and brings the sums up to date. `data` are what is there then.
    fn change(
        &self,
        offset: u64,
        length: u64,
        data: Option<&[u8]>,
        act: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        if length == 0 {
            return act();
        }
        if self.closed.load(Ordering::SeqCst) {
            return Err(VolumeError::new(ErrorKind::WriteFailed, "the volume is closed"));
        }
        let blocks = self.blocks(offset, length);
        let _hold = self.hold_known(blocks)?;
        let (head, tail) = self.edges(offset, length, blocks)?;
        self.mark(blocks)?;
        let acted = act();
        let summed = acted.as_ref().map_err(|_| ()).and_then(|()| {
            let summed = match data {
                Some(data) => self.sum_data(blocks, &head, data, &tail),
                None => self.sum_zeros(blocks, &head, &tail),
            };
            summed.map_err(|_| ())
        });
        let mut marks = self.marks();
        marks.sequence += 1;
        let sequence = marks.sequence;
        for region in self.regions(blocks) {
            marks.touched.insert(region, sequence);
            if summed.is_err() {
                // What is there now is for the next one who comes to find out.
                marks.unknown.set(region);
            }
        }
        acted
    }

    /// What lies beside a range in its first and its last block; compared with the sums.
    fn edges(&self, offset: u64, length: u64, blocks: Blocks) -> Result<(Vec<u8>, Vec<u8>)> {
        let end = offset + length;
        let (before, after) = (offset - blocks.start, blocks.end - end);
        let whole = |start: u64| -> Result<Vec<u8>> {
            let block = Blocks { start, end: (start + BLOCK).min(self.capacity()) };
            let mut bytes = vec![0; block.length()];
            self.read_blocks(block, &mut bytes)?;
            Ok(bytes)
        };
        let cut = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let head = match before {
            0 => Vec::new(),
            _ => whole(blocks.start)?.get(..cut(before)).unwrap_or_default().to_vec(),
        };
        let tail = match after {
            0 => Vec::new(),
            _ => {
                let last = end - end % BLOCK;
                whole(last)?.get(cut(end - last)..).unwrap_or_default().to_vec()
            }
        };
        Ok((head, tail))
    }

    fn sum_data(&self, blocks: Blocks, head: &[u8], data: &[u8], tail: &[u8]) -> Result<()> {
        let found = match (head, tail) {
            ([], []) => sums::of(data),
            _ => sums::of(&[head, data, tail].concat()),
        };
        self.sums.write(blocks.first(), &found)
    }

    /// The range between head and tail is zeros now.
    fn sum_zeros(&self, blocks: Blocks, head: &[u8], tail: &[u8]) -> Result<()> {
        let (mut start, mut end) = (blocks.start, blocks.end);
        if !head.is_empty() {
            start = (start + BLOCK).min(end);
        }
        if !tail.is_empty() && end > start {
            end = (end - 1) / BLOCK * BLOCK;
        }
        if end > start {
            self.sums.forget(Blocks { start, end })?;
        }
        let edge = |block: Blocks, bytes: &[u8], at_end: bool| -> Result<()> {
            let mut whole = vec![0; block.length()];
            let place = if at_end { whole.len() - bytes.len() } else { 0 };
            whole.iter_mut().skip(place).zip(bytes).for_each(|(byte, kept)| *byte = *kept);
            self.sums.write(block.first(), &sums::of(&whole))
        };
        let first = Blocks { start: blocks.start, end: (blocks.start + BLOCK).min(blocks.end) };
        let last = Blocks { start: (blocks.end - 1) / BLOCK * BLOCK, end: blocks.end };
        match (head, tail) {
            ([], []) => Ok(()),
            (head, tail) if first.start == last.start => {
                let mut whole = vec![0; first.length()];
                let place = whole.len() - tail.len();
                whole.iter_mut().zip(head).for_each(|(byte, kept)| *byte = *kept);
                whole.iter_mut().skip(place).zip(tail).for_each(|(byte, kept)| *byte = *kept);
                self.sums.write(first.first(), &sums::of(&whole))
            }
            (head, tail) => {
                if !head.is_empty() {
                    edge(first, head, false)?;
                }
                if !tail.is_empty() {
                    edge(last, tail, true)?;
                }
                Ok(())
            }
        }
    }

    /// Takes marks away from regions that nobody has written since before the flush that this begins with, at most so
    /// many.
    fn tidy(&self, most: u64) -> Result<()> {
        let since = self.marks().sequence;
        self.inner.flush()?;
        if self.inner.health() != Health::Good {
            return Ok(());
        }
        self.sums.synchronize()?;
        let idle: Vec<u64> = {
            let marks = self.marks();
            marks.marked.set_from(0).filter(|region| !marks.unknown.get(*region)).collect()
        };
        for region in idle.into_iter().take(usize::try_from(most).unwrap_or(usize::MAX)) {
            let Some(_hold) = self.ranges.try_take(region * self.region(), self.region()) else { continue };
            let mut marks = self.marks();
            let is_idle = marks.touched.get(&region).is_none_or(|touched| *touched <= since);
            if is_idle && !marks.unknown.get(region) {
                marks.marked.clear(region);
                marks.touched.remove(&region);
                let byte = Bits::byte_of(region);
                self.sums.write_marks(
                    byte,
                    marks.marked.bytes().get(byte..=byte).unwrap_or_default(),
                    false,
                )?;
            }
        }
        Ok(())
    }
}

impl Drop for ChecksummedVolume {
    fn drop(&mut self) {
        // What fails here is made anew at the next start.
        let _ = self.close();
    }
}

impl Volume for ChecksummedVolume {
    /// As it was when this was opened: what grows below it is opened anew.
    fn capacity(&self) -> u64 {
        self.sums.capacity()
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    fn health(&self) -> Health {
        self.inner.health()
    }

    fn failed_flushes(&self) -> u64 {
        self.inner.failed_flushes()
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        range::check(self.capacity(), offset, range::length_of(buffer))?;
        if buffer.is_empty() {
            return Ok(());
        }
        let blocks = self.blocks(offset, range::length_of(buffer));
        let _hold = self.hold_known(blocks)?;
        if blocks.length() == buffer.len() {
            return self.read_blocks(blocks, buffer);
        }
        let mut whole = vec![0; blocks.length()];
        self.read_blocks(blocks, &mut whole)?;
        let start = usize::try_from(offset - blocks.start).unwrap_or(usize::MAX);
        buffer.iter_mut().zip(whole.iter().skip(start)).for_each(|(to, from)| *to = *from);
        Ok(())
    }

    fn writes_wait(&self) -> bool {
        self.inner.writes_wait()
    }

    fn write(&self, offset: u64, data: &[u8], durability: Durability) -> Result<()> {
        range::check(self.capacity(), offset, range::length_of(data))?;
        self.change(offset, range::length_of(data), Some(data), || self.inner.write(offset, data, durability))
    }

    fn atomic_limit(&self) -> u64 {
        self.inner.atomic_limit()
    }

    fn write_atomic(&self, offset: u64, data: &[u8]) -> Result<()> {
        range::check(self.capacity(), offset, range::length_of(data))?;
        self.change(offset, range::length_of(data), Some(data), || self.inner.write_atomic(offset, data))
    }

    fn flush(&self) -> Result<()> {
        let are_many = self.marks().touched.len() > MANY_MARKS;
        match are_many {
            true => self.tidy(u64::MAX),
            false => self.inner.flush(),
        }
    }

    fn deallocate(&self, offset: u64, length: u64) -> Result<()> {
        range::check(self.capacity(), offset, length)?;
        self.change(offset, length, None, || self.inner.deallocate(offset, length))
    }

    fn write_zeroes(
        &self,
        offset: u64,
        length: u64,
        allocation: Allocation,
        durability: Durability,
    ) -> Result<()> {
        range::check(self.capacity(), offset, length)?;
        self.change(offset, length, None, || self.inner.write_zeroes(offset, length, allocation, durability))
    }

    fn erase_leftovers(&self) -> Result<()> {
        self.inner.erase_leftovers()
    }

    fn mapping(&self, offset: u64) -> Result<Mapping> {
        self.inner.mapping(offset)
    }

    fn space(&self) -> Result<Option<Space>> {
        self.inner.space()
    }
}
