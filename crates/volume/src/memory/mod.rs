//! A volume in memory, as sparse as a file: only pages that were written take space.

mod files;
mod room;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::range;
use crate::{Allocation, Durability, ErrorKind, Health, Mapping, Result, Space, Volume, VolumeError};
pub use files::MemoryFiles;
use room::Room;
pub use room::half_of_memory;

/// Bytes in a page.
const PAGE: u64 = 4096;

/// The most bytes that are written in one piece.
const ATOMIC_LIMIT: u64 = 1 << 20;

type Page = [u8; PAGE as usize];

type Pages = BTreeMap<u64, Box<Page>>;

/// A disk in memory, gone with the process. For tests, and for disks whose content nobody needs tomorrow.
#[derive(Debug)]
pub struct MemoryVolume {
    capacity: u64,
    room: Arc<Room>,
    pages: RwLock<Pages>,
}

/// The part of a range that lies in one page.
struct Piece {
    page: u64,
    start: usize,
    length: usize,
}

impl MemoryVolume {
    /// A volume of `capacity` bytes, all of it a hole.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self::in_room(capacity, Arc::new(Room::new(u64::MAX)))
    }

    /// A volume of `capacity` bytes of which only `limit` bytes, rounded up to pages of 4096, can hold data
    /// at one time: further writes fail with [`ErrorKind::NoSpace`].
    #[must_use]
    pub fn with_limit(capacity: u64, limit: u64) -> Self {
        Self::in_room(capacity, Arc::new(Room::new(limit.div_ceil(PAGE))))
    }

    /// A volume that shares the room for its pages with others.
    fn in_room(capacity: u64, room: Arc<Room>) -> Self {
        Self { capacity, room, pages: RwLock::default() }
    }

    /// Bytes of memory that hold data, in pages of 4096.
    #[must_use]
    pub fn allocated(&self) -> u64 {
        count(&self.reading()) * PAGE
    }

    fn reading(&self) -> RwLockReadGuard<'_, Pages> {
        self.pages.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> RwLockWriteGuard<'_, Pages> {
        self.pages.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn page<'pages>(&self, pages: &'pages mut Pages, number: u64) -> Result<&'pages mut Page> {
        match pages.entry(number) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(_) if !self.room.take(1) => Err(self.full()),
            Entry::Vacant(entry) => Ok(entry.insert(Box::new([0; PAGE as usize]))),
        }
    }

    fn full(&self) -> VolumeError {
        let message = format!("there is no room in memory for more than {} pages of data", self.room.most());
        VolumeError::new(ErrorKind::NoSpace, message)
    }

    /// Puts data at a place, already checked.
    fn fill(&self, pages: &mut Pages, offset: u64, data: &[u8]) -> Result<()> {
        let mut rest = data;
        for piece in pieces(offset, range::length_of(data)) {
            let (part, after) = rest.split_at(piece.length);
            piece.within(self.page(pages, piece.page)?).copy_from_slice(part);
            rest = after;
        }
        Ok(())
    }
}

fn count(pages: &Pages) -> u64 {
    pages.len() as u64
}

/// Cuts a range, already checked, at the borders of pages.
fn pieces(offset: u64, length: u64) -> impl Iterator<Item = Piece> {
    let end = offset + length;
    let mut at = offset;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let start = at % PAGE;
        let length = (PAGE - start).min(end - at);
        let piece = Piece { page: at / PAGE, start: start as usize, length: length as usize };
        at += length;
        Some(piece)
    })
}

impl Piece {
    fn within<'page>(&self, page: &'page mut Page) -> &'page mut [u8] {
        &mut page[self.start..self.start + self.length]
    }
}

impl Volume for MemoryVolume {
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn health(&self) -> Health {
        Health::Good
    }

    fn failed_flushes(&self) -> u64 {
        0
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let length = range::length_of(buffer);
        range::check(self.capacity, offset, length)?;
        let pages = self.reading();
        let mut rest = buffer;
        for piece in pieces(offset, length) {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(piece.length);
            match pages.get(&piece.page) {
                Some(page) => part.copy_from_slice(&page[piece.start..piece.start + piece.length]),
                None => part.fill(0),
            }
            rest = after;
        }
        Ok(())
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        self.read(offset, buffer).map(|()| true)
    }

    fn write(&self, offset: u64, data: &[u8], _durability: Durability) -> Result<()> {
        range::check(self.capacity, offset, range::length_of(data))?;
        self.fill(&mut self.writing(), offset, data)
    }

    /// Nothing here survives power loss, so that nothing is torn by it.
    fn atomic_limit(&self) -> u64 {
        ATOMIC_LIMIT
    }

    fn write_atomic(&self, offset: u64, data: &[u8]) -> Result<()> {
        range::check_atomic(ATOMIC_LIMIT, data)?;
        range::check(self.capacity, offset, range::length_of(data))?;
        let mut pages = self.writing();
        let missing = pieces(offset, range::length_of(data)).filter(|piece| !pages.contains_key(&piece.page));
        let missing: Vec<u64> = missing.map(|piece| piece.page).collect();
        if !self.room.take(missing.len() as u64) {
            return Err(self.full());
        }
        pages.extend(missing.into_iter().map(|page| (page, Box::new([0; PAGE as usize]))));
        self.fill(&mut pages, offset, data)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn deallocate(&self, offset: u64, length: u64) -> Result<()> {
        range::check(self.capacity, offset, length)?;
        let end = offset + length;
        let mut pages = self.writing();
        // The pages that exist are walked, not the range: it may be as long as the disk.
        let touched: Vec<u64> =
            pages.range(offset / PAGE..end.div_ceil(PAGE)).map(|(&number, _)| number).collect();
        for number in touched {
            let first = number * PAGE;
            let from = offset.max(first);
            let to = end.min(first.saturating_add(PAGE));
            if from >= to {
                continue;
            }
            // A page at the end of the disk may be whole with fewer bytes.
            if from == first && to == self.capacity.min(first.saturating_add(PAGE)) {
                pages.remove(&number);
                self.room.give_back(1);
            } else if let Some(page) = pages.get_mut(&number) {
                page[(from - first) as usize..(to - first) as usize].fill(0);
            }
        }
        Ok(())
    }

    fn write_zeroes(
        &self,
        offset: u64,
        length: u64,
        allocation: Allocation,
        _durability: Durability,
    ) -> Result<()> {
        if allocation == Allocation::Release {
            return self.deallocate(offset, length);
        }
        range::check(self.capacity, offset, length)?;
        let mut pages = self.writing();
        for piece in pieces(offset, length) {
            piece.within(self.page(&mut pages, piece.page)?).fill(0);
        }
        Ok(())
    }

    fn mapping(&self, offset: u64) -> Result<Mapping> {
        range::check_byte(self.capacity, offset)?;
        let pages = self.reading();
        let here = offset / PAGE;
        let mut following = pages.range(here..).map(|(&number, _)| number);
        let allocated = pages.contains_key(&here);
        let next = if allocated {
            let run = following.zip(here..).take_while(|(number, expected)| number == expected).count();
            Some(here + run as u64)
        } else {
            following.next()
        };
        let end = next.map_or(self.capacity, |page| page.saturating_mul(PAGE).min(self.capacity));
        Ok(Mapping { allocated, length: end - offset })
    }

    fn space(&self) -> Result<Option<Space>> {
        let used = self.allocated();
        // More than the whole disk takes nobody could use.
        let whole = self.capacity.div_ceil(PAGE).saturating_mul(PAGE);
        let available = self.room.left().saturating_mul(PAGE).min(whole.saturating_sub(used));
        Ok(Some(Space { used, available }))
    }
}

impl Drop for MemoryVolume {
    fn drop(&mut self) {
        self.room.give_back(count(&self.reading()));
    }
}
