//! One volume kept on several members, each a copy of the others: what NetBSD's iscsi-target calls RAID1, with what
//! that lacks: it notices who misses what, and brings him up to date.
//!
//! - A region is *marked* beside all members, durably, before the first of them is written. Marks are taken away when
//!   all members have been flushed and nothing was written there for a while. After a crash only marked regions can
//!   differ; the first member counts, and the others are made like it.
//! - A member that fails is dropped: the others write down that it is out, under a new generation, before anybody is
//!   told that the write went well. While somebody is out, marks stay, so that he gets what he misses when he is back.
//! - A member that does not answer is dropped as one that fails, as soon as another has answered: see [`lane`].
//! - Who may be believed when a mirror is opened is for [`resolve`] to say.

mod commit;
mod header;
mod io;
mod lane;
mod member;
mod open;
mod record;
mod report;
mod resolve;
mod resync;
mod scrub;
mod tidy;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::bits::Bits;
use crate::ranges::Ranges;
use commit::Journal;
pub use header::{Header, Listed, Role};
use member::Shared;
pub use open::{MirrorMember, MirrorOptions, Tell};
pub use record::{FileRecord, MemberRecord, Witness, mirror_headers};
pub use report::{MemberReport, MirrorReport};
pub use resync::Resynced;

use crate::{Allocation, Durability, Health, Mapping, Result, Space, Volume, range};

/// A mirror has at most so many regions: their bits are to be written in a moment.
const MOST_REGIONS: u64 = 1 << 22;

/// A mirror that is made gets so many regions at most; it may grow later.
const USUAL_REGIONS: u64 = 1 << 18;

/// A volume kept on several members.
pub struct MirrorVolume {
    capacity: u64,
    region: u64,
    read_only: bool,
    /// Held while something is written down beside the members; taken before `shared`.
    journal: Mutex<Journal>,
    shared: Mutex<Shared>,
    ranges: Ranges,
    /// Flushes that have failed for all members.
    failures: AtomicU64,
    /// The last one has, and it was not accepted since.
    flush_failed: AtomicBool,
    /// Nothing is written any more.
    closed: AtomicBool,
    /// Calls of clients so far.
    calls: AtomicU64,
    scrub: Mutex<scrub::Scrub>,
    /// How long a member may take to answer.
    patience: Option<Duration>,
    tell: Tell,
}

impl std::fmt::Debug for MirrorVolume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MirrorVolume").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl MirrorVolume {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn regions(&self, offset: u64, length: u64) -> std::ops::RangeInclusive<u64> {
        let last = offset.saturating_add(length).saturating_sub(1);
        offset / self.region..=last / self.region
    }

    /// How many calls of clients there were: who does work in the background gives way to them.
    pub fn client_calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn count_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn tell(&self, words: &str) {
        (self.tell)(words);
    }
}

impl Volume for MirrorVolume {
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Good as long as one member is.
    fn health(&self) -> Health {
        let failed = self.flush_failed.load(Ordering::SeqCst) && !self.shared().all_in_are_healthy();
        if failed { Health::FlushFailed } else { Health::Good }
    }

    /// As long as a member is out, or about to be in.
    fn is_degraded(&self) -> bool {
        let is_whole = |member: &member::Member| {
            member.role == Role::In && member.volume.as_ref().is_some_and(|volume| !volume.is_degraded())
        };
        !self.shared().members.iter().all(is_whole)
    }

    /// Of a member that fails alone nobody hears: it is dropped.
    fn failed_flushes(&self) -> u64 {
        self.failures.load(Ordering::SeqCst)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.count_call();
        range::check(self.capacity, offset, range::length_of(buffer))?;
        self.read_somewhere(offset, buffer)
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        self.count_call();
        range::check(self.capacity, offset, range::length_of(buffer))?;
        Ok(self.read_at_hand(offset, buffer))
    }

    fn tells_what_is_cached(&self) -> bool {
        self.shared()
            .members
            .iter()
            .filter_map(|member| member.volume.as_ref())
            .all(|v| v.tells_what_is_cached())
    }

    fn writes_wait(&self) -> bool {
        self.shared().members.iter().filter_map(|member| member.volume.as_ref()).any(|v| v.writes_wait())
    }

    fn write(&self, offset: u64, data: &[u8], durability: Durability) -> Result<()> {
        // A call that does not return keeps its own copy.
        let bytes: Arc<[u8]> = data.into();
        self.change(offset, range::length_of(data), move |volume| volume.write(offset, &bytes, durability))
    }

    fn flush(&self) -> Result<()> {
        self.count_call();
        if self.read_only { Ok(()) } else { self.flush_members() }
    }

    fn deallocate(&self, offset: u64, length: u64) -> Result<()> {
        self.change(offset, length, move |volume| volume.deallocate(offset, length))
    }

    fn write_zeroes(
        &self,
        offset: u64,
        length: u64,
        allocation: Allocation,
        durability: Durability,
    ) -> Result<()> {
        self.change(offset, length, move |volume| volume.write_zeroes(offset, length, allocation, durability))
    }

    /// Of the members that are in or about to be; nobody reaches those that are out.
    fn erase_leftovers(&self) -> Result<()> {
        let active = self.shared().active();
        let calls = active.iter().map(|active| active.call(|active| active.volume.erase_leftovers()));
        lane::together(calls.collect(), false).into_iter().collect()
    }

    fn mapping(&self, offset: u64) -> Result<Mapping> {
        range::check_byte(self.capacity, offset)?;
        self.mapping_somewhere(offset)
    }

    /// What the member takes that takes most, and what is left for the one that has least.
    fn space(&self) -> Result<Option<Space>> {
        let mut whole: Option<Space> = None;
        let active = self.shared().active();
        let calls = active.iter().map(|active| active.call(|active| active.volume.space()));
        let spaces = lane::together(calls.collect(), false);
        for (_, space) in active.iter().zip(spaces).filter(|(active, _)| !active.lane.is_hung()) {
            let Some(space) = space? else { return Ok(None) };
            whole = Some(whole.map_or(space, |first| Space {
                used: first.used.max(space.used),
                available: first.available.min(space.available),
            }));
        }
        Ok(whole)
    }
}

impl Drop for MirrorVolume {
    fn drop(&mut self) {
        self.close();
    }
}
