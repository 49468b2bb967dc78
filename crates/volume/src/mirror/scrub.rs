//! Comparing the members, and making those like the first that differ. The first member that can be read is taken to be
//! right; one that is kept with sums can only be read where it is.

use std::sync::{MutexGuard, PoisonError};

use super::member::Active;
use super::resync::CHUNK;
use super::{MirrorVolume, io, lane};
use crate::{Health, Result, Volume};

/// How far a comparison is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scrub {
    pub(super) wanted: bool,
    /// Bytes that were compared.
    pub(super) done: Option<u64>,
    /// Bytes of the parts that differed.
    pub(super) repaired: u64,
}

impl MirrorVolume {
    /// Asks for a comparison, from the start.
    pub fn start_scrub(&self) {
        *self.scrub() = Scrub { wanted: true, done: Some(0), repaired: 0 };
    }

    /// Whether one was asked for that has not ended.
    pub fn is_scrubbing(&self) -> bool {
        self.scrub().wanted
    }

    pub(super) fn scrub_state(&self) -> Scrub {
        *self.scrub()
    }

    fn scrub(&self) -> MutexGuard<'_, Scrub> {
        self.scrub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compares the next part, if that was asked for. Answers whether there is more.
    ///
    /// # Errors
    /// A member had to be dropped, and that could not be written down.
    pub fn scrub_step(&self) -> Result<bool> {
        let state = self.scrub_state();
        let at = state.done.unwrap_or(0);
        if !state.wanted || self.health() != Health::Good {
            return Ok(false);
        }
        let length = CHUNK.min(self.capacity.saturating_sub(at));
        let repaired = if length > 0 { self.compare(at, length)? } else { 0 };
        let mut scrub = self.scrub();
        if scrub.done == Some(at) {
            scrub.done = Some(at + length);
            scrub.repaired += repaired;
            scrub.wanted = at + length < self.capacity;
        }
        let Scrub { wanted, repaired, .. } = *scrub;
        drop(scrub);
        if !wanted {
            self.tell(&format!(
                "the members of the mirror were compared; {repaired} bytes had to be repaired"
            ));
        }
        Ok(wanted)
    }

    /// Compares a part; answers how many bytes were repaired.
    fn compare(&self, offset: u64, length: u64) -> Result<u64> {
        let _alone = self.ranges.take(offset, length);
        if self.closed.load(std::sync::atomic::Ordering::SeqCst) {
            return Ok(0);
        }
        let readers = {
            let shared = self.shared();
            // What is to be resynced anyway need not be compared.
            if shared.readers_differ(self.regions(offset, length)) { Vec::new() } else { shared.readable() }
        };
        self.compare_members(offset, length, &readers)
    }

    fn compare_members(&self, offset: u64, length: u64, readers: &[Active]) -> Result<u64> {
        let mut right: Option<Vec<u8>> = None;
        let mut wrong: Vec<Active> = Vec::new();
        let length_in_memory = usize::try_from(length).unwrap_or(0);
        let calls = readers.iter().map(|active| {
            active.call(move |active| {
                let mut data = vec![0; length_in_memory];
                active.volume.read(offset, &mut data).map(|()| data)
            })
        });
        let found = lane::together(calls.collect(), false);
        for (active, found) in readers.iter().zip(found) {
            match (found, &right) {
                (Ok(data), None) => right = Some(data),
                (Ok(data), Some(right)) if *right == data => {}
                _ => wrong.push(active.clone()),
            }
        }
        if wrong.is_empty() {
            return Ok(0);
        }
        let Some(right) = right else {
            // No member has all of it. Perhaps each part of it is on some member.
            let half =
                io::halfway(offset, usize::try_from(length).unwrap_or(0)).filter(|_| readers.len() > 1);
            let Some(half) = half.map(|half| half as u64) else {
                self.tell(&format!("no member can be read at byte {offset}"));
                return Ok(0);
            };
            let front = self.compare_members(offset, half, readers)?;
            return Ok(front + self.compare_members(offset + half, length - half, readers)?);
        };
        let names: Vec<String> = {
            let shared = self.shared();
            wrong.iter().filter_map(|a| Some(shared.members.get(a.index)?.name.clone())).collect()
        };
        let names = names.join(" and ");
        if self.read_only {
            self.tell(&format!("{names} differs from the first member at byte {offset}"));
            return Ok(length);
        }
        self.mark(offset, length)?;
        self.write_to(offset, &right, &wrong)?;
        self.touch(offset, length);
        self.tell(&format!("{names} differed from the first member at byte {offset}, and was made like it"));
        Ok(length)
    }
}
