//! What clients do to a mirror.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::commit::Failed;
use super::member::Active;
use super::{MirrorVolume, Role, lane};
use crate::{Durability, ErrorKind, Health, Mapping, Result, Volume, VolumeError, range};

/// Reads of so many bytes beside each other go to the same member, so that it reads ahead for them.
const STRIPE: u64 = 1 << 20;

impl MirrorVolume {
    /// Makes a change to a range on all members. It is good if one that is in has made it, and it is written down that
    /// those are out that have not.
    pub(super) fn change(
        &self,
        offset: u64,
        length: u64,
        change: impl Fn(&dyn Volume) -> Result<()> + Send + Sync + 'static,
    ) -> Result<()> {
        self.count_call();
        range::check(self.capacity, offset, length)?;
        if self.read_only {
            return Err(VolumeError::new(ErrorKind::ReadOnly, "the mirror is served read-only"));
        }
        if length == 0 {
            return Ok(());
        }
        let _alone = self.ranges.take(offset, length);
        if self.closed.load(Ordering::SeqCst) {
            return Err(VolumeError::new(ErrorKind::WriteFailed, "the mirror is closed"));
        }
        self.check_promises()?;
        self.mark(offset, length)?;
        let members = self.shared().active();
        let change = Arc::new(change);
        let call = |active: &Active| {
            let change = Arc::clone(&change);
            active.call(move |active| change(&*active.volume).and_then(|()| check_lasts(active)))
        };
        let outcomes = lane::together(members.iter().map(call).collect(), false);
        let result = self.judge(&members, outcomes, Some((offset, length)));
        self.touch(offset, length);
        result
    }

    /// Flushes all members at once.
    pub(super) fn flush_members(&self) -> Result<()> {
        self.check_promises()?;
        let members = self.shared().active();
        let flush = |active: &Active| active.volume.flush().and_then(|()| check_lasts(active));
        let outcomes = lane::together(members.iter().map(|active| active.call(flush)).collect(), false);
        self.judge(&members, outcomes, None)
    }

    /// What all members together have done. Who failed is dropped; if nobody who is in has done it, it has failed, and
    /// in that range they may differ.
    fn judge(&self, members: &[Active], outcomes: Vec<Result<()>>, range: Option<(u64, u64)>) -> Result<()> {
        let in_order = members.iter().zip(&outcomes);
        let done = in_order.clone().any(|(active, outcome)| active.role == Role::In && outcome.is_ok());
        if done && outcomes.iter().all(Result::is_ok) {
            return self.commit_what_is_due();
        }
        let failed = members.iter().zip(outcomes);
        let failed = failed.filter_map(|(active, outcome)| Some(active.failed(outcome.err()?)));
        let failed: Vec<Failed> = failed.collect();
        if done {
            return self.drop_members(failed).and_then(|()| self.commit_what_is_due());
        }
        let failed_flush = failed.iter().any(|failed| failed.error.kind == ErrorKind::FlushFailed);
        if let Some((offset, length)) = range.filter(|_| !failed_flush) {
            self.shared().differ_in(self.regions(offset, length));
        } else {
            let mut shared = self.shared();
            let marked: Vec<u64> = shared.marked.set_from(0).collect();
            shared.differ_in(marked.into_iter());
            drop(shared);
            self.failures.fetch_add(1, Ordering::SeqCst);
            self.flush_failed.store(true, Ordering::SeqCst);
        }
        let first = failed.into_iter().next().map(|failed| failed.error);
        Err(first.unwrap_or_else(|| VolumeError::new(ErrorKind::WriteFailed, "the mirror has no member")))
    }

    /// Refuses what can't be promised. After the loss of a failed flush is accepted, nobody knows what was lost where.
    fn check_promises(&self) -> Result<()> {
        if self.flush_failed.load(Ordering::SeqCst) {
            let mut shared = self.shared();
            if !shared.all_in_are_healthy() {
                let message = "flushes of all members of the mirror failed: what was written since the last good \
                               flush may be lost, so the disk refuses writes until `timedisk disk accept-loss`";
                return Err(VolumeError::new(ErrorKind::FlushFailed, message));
            }
            let marked: Vec<u64> = shared.marked.set_from(0).collect();
            shared.differ_in(marked.into_iter());
            for member in shared.members.iter_mut().filter(|member| member.role == Role::In) {
                member.failures_before = member.volume.as_ref().map_or(0, |volume| volume.failed_flushes());
            }
            self.flush_failed.store(false, Ordering::SeqCst);
        }
        self.commit_what_is_due()
    }

    /// Marks the regions of a range beside all members, durably, where they are not. The range is taken.
    pub(super) fn mark(&self, offset: u64, length: u64) -> Result<()> {
        let regions = self.regions(offset, length);
        let is_marked = |marked: &super::Bits| regions.clone().all(|region| marked.get(region));
        if is_marked(&self.shared().marked) {
            return Ok(());
        }
        let mut journal = self.journal();
        let (mut marked, members) = {
            let shared = self.shared();
            (shared.marked.clone(), shared.active())
        };
        if is_marked(&marked) {
            return Ok(());
        }
        regions.clone().for_each(|region| marked.set(region));
        let first = super::Bits::byte_of(*regions.start());
        let last = super::Bits::byte_of(*regions.end());
        let bytes: Arc<[u8]> = marked.bytes().get(first..=last).unwrap_or_default().into();
        let failed = journal.each(&members, |_| {
            let bytes = Arc::clone(&bytes);
            move |record| record.write_bits(first, &bytes, true)
        });
        if !failed.is_empty() {
            self.drop_locked(&mut journal, failed)?;
        }
        let mut shared = self.shared();
        regions.for_each(|region| shared.marked.set(region));
        Ok(())
    }

    /// Remembers when the range was written.
    pub(super) fn touch(&self, offset: u64, length: u64) {
        let mut shared = self.shared();
        shared.sequence += 1;
        let sequence = shared.sequence;
        for region in self.regions(offset, length) {
            shared.touched.insert(region, sequence);
        }
    }

    /// The members that may be asked for a range, the best first; whether they have to be made alike before.
    fn readers(&self, offset: u64, length: u64) -> (Vec<Active>, bool) {
        let shared = self.shared();
        let mut readers = shared.readable();
        if shared.readers_differ(self.regions(offset, length.max(1))) {
            return (readers, !self.read_only);
        }
        drop(shared);
        // While somebody writes there, one member alone is asked, or a later read might return older data.
        if readers.len() > 1 && !self.ranges.is_taken(offset, length) {
            let turn = usize::try_from(offset / STRIPE).unwrap_or(0) % readers.len();
            readers.rotate_left(turn);
        }
        // Whoever has lost what was written is asked last.
        readers.sort_by_key(Active::has_lost);
        (readers, false)
    }

    /// Whether members may differ in a range, and it is not written down yet who is out: the next start might believe
    /// one that has older data than is read now.
    fn is_unsettled(&self, offset: u64, length: u64) -> bool {
        let shared = self.shared();
        shared.unsaved && self.regions(offset, length.max(1)).any(|region| shared.marked.get(region))
    }

    pub(super) fn read_somewhere(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        if self.is_unsettled(offset, range::length_of(buffer)) {
            self.commit_what_is_due()?;
        }
        let (readers, differ) = self.readers(offset, range::length_of(buffer));
        if differ {
            return self.read_where_they_differ(offset, buffer);
        }
        match (self.ask(&readers, reading(offset, buffer.len())), halfway(offset, buffer.len())) {
            (Ok((data, good, bad)), _) => {
                buffer.copy_from_slice(&data);
                if bad.is_empty() { Ok(()) } else { self.repair(offset, buffer, &good, bad) }
            }
            // No member has all of it. Perhaps each part of it is on some member.
            (Err(_), Some(half)) if readers.len() > 1 => {
                let (front, back) = buffer.split_at_mut(half);
                let middle = offset + range::length_of(front);
                self.read_somewhere(offset, front)?;
                self.read_somewhere(middle, back)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Asks members until one has answered; answers what, which, and who could not. Who does not answer in time is
    /// dropped.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        readers: &[Active],
        what: impl Fn(&dyn Volume) -> Result<T> + Send + Sync + 'static,
    ) -> Result<(T, Active, Vec<Active>)> {
        let what = Arc::new(what);
        let call = |active: &Active| {
            let what = Arc::clone(&what);
            active.call(move |active| what(&*active.volume))
        };
        let asked = lane::in_turn(readers.iter().map(call).collect());
        let mut bad = Vec::new();
        for (index, error) in &asked.failed {
            let Some(active) = readers.get(*index) else { continue };
            self.note_bad_read(active, error);
            bad.push(active.clone());
        }
        let answer = asked.answer.and_then(|(index, answer)| Some((answer, readers.get(index)?.clone())));
        let Some((answer, good)) = answer else {
            let first = asked.failed.into_iter().chain(asked.hung).next().map(|(_, error)| error);
            let nobody = || VolumeError::new(ErrorKind::ReadFailed, "the mirror has no member");
            return Err(first.unwrap_or_else(nobody));
        };
        let hung =
            asked.hung.into_iter().filter_map(|(index, error)| Some(readers.get(index)?.failed(error)));
        let hung: Vec<Failed> = hung.collect();
        if !hung.is_empty() && !self.read_only {
            self.drop_members(hung)?;
        }
        Ok((answer, good, bad))
    }

    fn note_bad_read(&self, active: &Active, error: &VolumeError) {
        let mut shared = self.shared();
        let Some(member) = shared.members.get_mut(active.index) else { return };
        member.read_errors += 1;
        let (name, count) = (member.name.clone(), member.read_errors);
        drop(shared);
        // The first few, and then ever fewer.
        if count.is_power_of_two() {
            self.tell(&format!(
                "{name} can't be read ({count} times by now): {}",
                super::commit::in_full(error)
            ));
        }
    }

    /// Writes what one member has to those that could not read it. It is read again, for it may have been changed.
    fn repair(&self, offset: u64, buffer: &mut [u8], good: &Active, bad: Vec<Active>) -> Result<()> {
        if self.read_only {
            return Ok(());
        }
        let length = range::length_of(buffer);
        let alone = self.ranges.take(offset, length);
        let readers = self.shared().readable();
        let is_still =
            |member: &Active| readers.iter().any(|r| (r.index, r.life) == (member.index, member.life));
        if !is_still(good) {
            // It was dropped meanwhile, and may have missed a write since.
            drop(alone);
            return self.read_somewhere(offset, buffer);
        }
        let (data, ..) = self.ask(std::slice::from_ref(good), reading(offset, buffer.len()))?;
        buffer.copy_from_slice(&data);
        let is_shut = self.closed.load(Ordering::SeqCst) || self.flush_failed.load(Ordering::SeqCst);
        if is_shut || self.mark(offset, length).is_err() {
            // What was read is good all the same.
            return Ok(());
        }
        let bad: Vec<Active> = bad.into_iter().filter(is_still).collect();
        self.write_to(offset, buffer, &bad)?;
        self.touch(offset, length);
        Ok(())
    }

    /// Writes to some members. Who can't take it is dropped.
    pub(super) fn write_to(&self, offset: u64, data: &[u8], members: &[Active]) -> Result<()> {
        let data: Arc<[u8]> = data.into();
        let call = |active: &Active| {
            let data = Arc::clone(&data);
            active.call(move |active| {
                active.volume.write(offset, &data, Durability::Volatile).and_then(|()| check_lasts(active))
            })
        };
        // The data are from a member that is in.
        let results = lane::together(members.iter().map(call).collect(), true);
        let failed = members.iter().zip(results);
        let failed: Vec<Failed> =
            failed.filter_map(|(active, result)| Some(active.failed(result.err()?))).collect();
        if failed.is_empty() { Ok(()) } else { self.drop_members(failed) }
    }

    /// After a crash members may differ where something was being written. What is read there once must be read there
    /// ever after, whoever fails: so the others get it first.
    fn read_where_they_differ(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let length = range::length_of(buffer);
        let _alone = self.ranges.take(offset, length);
        let mut readers = self.shared().readable();
        readers.sort_by_key(Active::has_lost);
        let (data, good, _) = self.ask(&readers, reading(offset, buffer.len()))?;
        buffer.copy_from_slice(&data);
        if !self.closed.load(Ordering::SeqCst) {
            readers.retain(|reader| reader.index != good.index);
            self.write_to(offset, buffer, &readers)?;
            self.touch(offset, length);
        }
        Ok(())
    }

    pub(super) fn read_at_hand(&self, offset: u64, buffer: &mut [u8]) -> bool {
        if self.is_unsettled(offset, range::length_of(buffer)) {
            return false;
        }
        let (readers, differ) = self.readers(offset, range::length_of(buffer));
        let first = readers.first().filter(|first| !differ && !first.lane.is_hung());
        first.is_some_and(|active| active.volume.read_cached(offset, buffer).unwrap_or(false))
    }

    pub(super) fn mapping_somewhere(&self, offset: u64) -> Result<Mapping> {
        let readers = self.shared().readable();
        let (mapping, ..) = self.ask(&readers, move |volume| volume.mapping(offset))?;
        // A member may be longer.
        Ok(Mapping { length: mapping.length.min(self.capacity - offset), ..mapping })
    }
}

/// Reads into a buffer of its own, which may be filled when nobody wants it any more.
fn reading(offset: u64, length: usize) -> impl Fn(&dyn Volume) -> Result<Vec<u8>> + Send + Sync + 'static {
    move |volume| {
        let mut data = vec![0; length];
        volume.read(offset, &mut data).map(|()| data)
    }
}

/// Where to part a range that no member has whole; `None` if it is not worth it any more.
pub(super) fn halfway(offset: u64, length: usize) -> Option<usize> {
    const LEAST: u64 = 4096;
    let end = offset + length as u64;
    let middle = (offset + length as u64 / 2).next_multiple_of(LEAST);
    let middle = if middle < end { middle } else { middle.saturating_sub(LEAST) };
    usize::try_from(middle.checked_sub(offset)?).ok().filter(|half| *half > 0)
}

/// A member that has lost what was written to it has failed, whoever flushed it, and even if that was accepted since.
fn check_lasts(active: &Active) -> Result<()> {
    if active.has_lost() || active.volume.health() != Health::Good {
        return Err(VolumeError::new(ErrorKind::FlushFailed, "a flush of it has failed"));
    }
    Ok(())
}
