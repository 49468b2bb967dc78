//! What was in a volume at a point and has been overwritten since.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::Scratch;
use crate::{ErrorKind, Mapping, Result, Volume, VolumeError};

/// Bytes that are kept together.
pub(super) const REGION: u64 = 64 * 1024;

/// Runs of holes that are remembered, each of which takes memory.
const MOST_HOLES: usize = 1 << 18;

/// What is kept for one view.
///
/// A region is kept before it is first changed, by whoever changes it, with no lock held while it is read. So what was
/// read is of the point if the region is still not kept afterwards: then nobody can have begun to change it.
#[derive(Debug)]
pub(super) struct Kept {
    capacity: u64,
    scratch: Scratch,
    regions: Mutex<Regions>,
    /// Why it can't be read any more.
    broken: OnceLock<String>,
}

#[derive(Debug, Default)]
struct Regions {
    /// By the number of the region, where it is in the scratch.
    data: BTreeMap<u64, u64>,
    /// Runs of regions that were holes: the first, and the one after the last.
    holes: BTreeMap<u64, u64>,
}

/// What a change puts where it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum New {
    Data,
    Zeros,
}

/// Where a region is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the volume still.
    Volume,
    Scratch(u64),
    /// Nowhere: it was a hole.
    Hole,
}

impl Regions {
    fn place(&self, region: u64) -> Place {
        if let Some(slot) = self.data.get(&region) {
            return Place::Scratch(*slot);
        }
        match self.holes.range(..=region).next_back() {
            Some((_, end)) if *end > region => Place::Hole,
            _ => Place::Volume,
        }
    }

    /// Adds those of a run that are not kept yet.
    fn add_holes(&mut self, run: Range<u64>) {
        for region in run {
            if self.place(region) == Place::Volume {
                self.add_hole(region..region + 1);
            }
        }
    }

    /// Where the next region after this one is that has been kept, as data or as a hole.
    fn next_kept(&self, region: u64) -> Option<u64> {
        let data = self.data.range(region + 1..).next().map(|(region, _)| *region);
        let hole = self.holes.range(region + 1..).next().map(|(region, _)| *region);
        data.into_iter().chain(hole).min()
    }

    fn add_hole(&mut self, mut run: Range<u64>) {
        if let Some(end) = self.holes.remove(&run.end) {
            run.end = end;
        }
        match self.holes.range_mut(..run.start).next_back() {
            Some((_, end)) if *end == run.start => *end = run.end,
            _ => drop(self.holes.insert(run.start, run.end)),
        }
    }
}

impl Kept {
    pub(super) fn new(capacity: u64, scratch: Scratch) -> Self {
        Kept { capacity, scratch, regions: Mutex::default(), broken: OnceLock::new() }
    }

    /// In bytes, at the point.
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// From now on it can't be read, for this reason. The first one counts.
    pub(super) fn end(&self, reason: &str) {
        if self.broken.set(reason.to_owned()).is_ok() {
            *self.regions() = Regions::default();
            self.scratch.clear();
        }
    }

    /// Fails if it can't be read any more.
    pub(super) fn check(&self) -> Result<()> {
        match self.broken.get() {
            None => Ok(()),
            Some(reason) => {
                let message = format!("the point of the disk is lost: {reason}; take another one");
                Err(VolumeError::new(ErrorKind::Broken, message))
            }
        }
    }

    /// Where a region is now. That it is in the volume holds until somebody keeps it.
    pub(super) fn place(&self, region: u64) -> Place {
        self.regions().place(region)
    }

    /// What a view has at a byte: that the volume has `mapping` there was found out before this is asked.
    pub(super) fn mapping(&self, at: u64, mapping: Mapping) -> Mapping {
        let (regions, region) = (self.regions(), at / REGION);
        let rest = (region + 1) * REGION - at;
        let end = match regions.place(region) {
            Place::Scratch(_) => return self.mapped(at, true, rest),
            Place::Hole => return self.mapped(at, false, rest),
            Place::Volume => regions.next_kept(region).map_or(u64::MAX, |next| next * REGION),
        };
        self.mapped(at, mapping.allocated, mapping.length.min(end - at))
    }

    fn mapped(&self, at: u64, allocated: bool, length: u64) -> Mapping {
        Mapping { allocated, length: length.min(self.capacity - at) }
    }

    /// Reads from a region that is in the scratch.
    pub(super) fn read_scratch(&self, slot: u64, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let read = self.scratch.read(slot, offset, buffer);
        // If it was lost meanwhile, that is what is wrong.
        self.check()?;
        read
    }

    /// Keeps what a change is about to overwrite. Whatever is wrong with that is the view's trouble, not the change's.
    pub(super) fn keep(&self, volume: &dyn Volume, offset: u64, length: u64, new: New) {
        let end = offset.saturating_add(length).min(self.capacity);
        if offset >= end || self.broken.get().is_some() {
            return;
        }
        if let Err(error) = self.keep_regions(volume, offset / REGION..end.div_ceil(REGION), new) {
            self.end(&error.to_string());
        }
    }

    fn keep_regions(&self, volume: &dyn Volume, run: Range<u64>, new: New) -> Result<()> {
        let mut region = run.start;
        while region < run.end && self.broken.get().is_none() {
            if self.place(region) != Place::Volume {
                region += 1;
                continue;
            }
            let holes = self.holes_at(volume, region..run.end)?;
            match (holes, new) {
                (0, _) => self.keep_data(volume, region)?,
                // They stay what they are to who reads them.
                (_, New::Zeros) => {}
                (_, New::Data) => self.keep_holes(region..region + holes)?,
            }
            region += holes.max(1);
        }
        Ok(())
    }

    /// How many regions from the beginning of a run on are holes.
    fn holes_at(&self, volume: &dyn Volume, run: Range<u64>) -> Result<u64> {
        let (start, end) = (run.start * REGION, (run.end * REGION).min(self.capacity));
        let mut at = start;
        while at < end {
            let mapping = volume.mapping(at)?;
            if mapping.allocated {
                return Ok((at - start) / REGION);
            }
            at = at.saturating_add(mapping.length.max(1));
        }
        Ok(run.end - run.start)
    }

    fn keep_holes(&self, run: Range<u64>) -> Result<()> {
        let mut regions = self.regions();
        if regions.holes.len() >= MOST_HOLES {
            return Err(VolumeError::new(
                ErrorKind::NoSpace,
                "too many holes of the disk have been written to",
            ));
        }
        regions.add_holes(run);
        Ok(())
    }

    fn keep_data(&self, volume: &dyn Volume, region: u64) -> Result<()> {
        let start = region * REGION;
        let mut data = vec![0; REGION.min(self.capacity - start) as usize];
        volume.read(start, &mut data)?;
        let slot = self.scratch.put(&data)?;
        let mut regions = self.regions();
        match regions.place(region) {
            // Else somebody else was quicker, and what was read may be newer.
            Place::Volume => drop(regions.data.insert(region, slot)),
            Place::Scratch(_) | Place::Hole => self.scratch.give_back(slot),
        }
        Ok(())
    }

    fn regions(&self) -> MutexGuard<'_, Regions> {
        self.regions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
