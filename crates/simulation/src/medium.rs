//! A disk in memory whose cache forgets.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use timedisk_volume::{Allocation, Durability, ErrorKind, Health, Mapping, Result, Volume, VolumeError};

use crate::SECTOR;
use crate::random::Random;

/// A volume of sectors. What was written and not flushed may be there after a power cut or not, each sector for itself.
#[derive(Debug)]
pub(crate) struct Medium {
    state: Mutex<State>,
    capacity: u64,
}

#[derive(Debug)]
struct State {
    cache: Vec<u8>,
    medium: Vec<u8>,
    /// What each sector has been since it last was on the medium for sure.
    unsettled: BTreeMap<usize, Vec<Vec<u8>>>,
}

impl Medium {
    pub(crate) fn new(sectors: u64) -> Medium {
        let zeros = vec![0; sectors as usize * SECTOR];
        let state = State { cache: zeros.clone(), medium: zeros, unsettled: BTreeMap::new() };
        Medium { state: Mutex::new(state), capacity: sectors * SECTOR as u64 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power goes and comes back.
    pub(crate) fn cut_power(&self, random: &mut Random) {
        let mut state = self.state();
        for (sector, versions) in std::mem::take(&mut state.unsettled) {
            let kept = random.below(versions.len() as u64 + 1) as usize;
            if let Some(version) = versions.get(kept) {
                state.medium[sector * SECTOR..][..SECTOR].copy_from_slice(version);
            }
        }
        state.cache = state.medium.clone();
    }

    fn check(&self, offset: u64, length: usize) -> Result<()> {
        match offset.checked_add(length as u64) {
            Some(end) if end <= self.capacity => Ok(()),
            _ => Err(VolumeError::new(ErrorKind::OutOfRange, "not within the disk")),
        }
    }
}

impl State {
    fn write(&mut self, offset: u64, data: &[u8], durability: Durability) {
        let start = offset as usize;
        assert!(start.is_multiple_of(SECTOR) && data.len().is_multiple_of(SECTOR), "whole sectors");
        self.cache[start..start + data.len()].copy_from_slice(data);
        for (place, sector) in data.chunks(SECTOR).enumerate() {
            let number = start / SECTOR + place;
            match durability {
                Durability::Volatile => self.unsettled.entry(number).or_default().push(sector.to_vec()),
                Durability::Durable => {
                    self.unsettled.remove(&number);
                    self.medium[number * SECTOR..][..SECTOR].copy_from_slice(sector);
                }
            }
        }
    }
}

impl Volume for Medium {
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
        self.check(offset, buffer.len())?;
        let state = self.state();
        buffer.copy_from_slice(&state.cache[offset as usize..][..buffer.len()]);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8], durability: Durability) -> Result<()> {
        self.check(offset, data.len())?;
        self.state().write(offset, data, durability);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        let mut state = self.state();
        state.unsettled.clear();
        state.medium = state.cache.clone();
        Ok(())
    }

    fn deallocate(&self, offset: u64, length: u64) -> Result<()> {
        self.write_zeroes(offset, length, Allocation::Release, Durability::Volatile)
    }

    fn write_zeroes(&self, offset: u64, length: u64, _: Allocation, durability: Durability) -> Result<()> {
        self.check(offset, length as usize)?;
        self.state().write(offset, &vec![0; length as usize], durability);
        Ok(())
    }

    fn mapping(&self, offset: u64) -> Result<Mapping> {
        Ok(Mapping { allocated: true, length: self.capacity.saturating_sub(offset) })
    }
}
