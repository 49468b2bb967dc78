//! Writing down who is what.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::lane::Call;
use super::member::{Active, Shared};
use super::{Bits, Header, Listed, MemberRecord, MirrorVolume, Role, Witness, lane};
use crate::{ErrorKind, Result, Volume, VolumeError};

/// What is written down, and where.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) mirror: u64,
    pub(super) generation: u64,
    pub(super) settled: u64,
    /// For each member, its record and what tells its file from one that was made anew.
    pub(super) records: Vec<(Option<Arc<dyn MemberRecord>>, String)>,
    pub(super) witnesses: Vec<Option<Box<dyn Witness>>>,
}

/// A member that could not be written, or not be written down.
pub(super) struct Failed {
    pub(super) index: usize,
    pub(super) life: u64,
    pub(super) error: VolumeError,
}

impl Journal {
    fn record(&self, index: usize) -> Option<Arc<dyn MemberRecord>> {
        self.records.get(index)?.0.clone()
    }

    /// Does something to the record of each of these, all at once; answers for whom it failed.
    pub(super) fn each<S: FnOnce(&dyn MemberRecord) -> Result<()> + Send + 'static>(
        &self,
        members: &[Active],
        save: impl Fn(usize) -> S,
    ) -> Vec<Failed> {
        let one = |active: &Active| {
            let (record, save) = (self.record(active.index), save(active.index));
            active.call(move |_| match record {
                Some(record) => save(&*record),
                None => Err(VolumeError::new(ErrorKind::WriteFailed, "it has no record")),
            })
        };
        let results = lane::together(members.iter().map(one).collect(), false);
        members
            .iter()
            .zip(results)
            .filter_map(|(active, result)| Some(active.failed(result.err()?)))
            .collect()
    }
}

impl MirrorVolume {
    pub(super) fn header(&self, journal: &Journal, shared: &Shared, clean: bool) -> Header {
        let listed = |member: &super::member::Member| Listed {
            id: member.id,
            place: member.place,
            role: member.role,
            floor: member.floor,
            left: member.left,
        };
        Header {
            mirror: journal.mirror,
            generation: journal.generation,
            settled: journal.settled,
            capacity: self.capacity,
            region: self.region,
            clean,
            own: 0,
            born: String::new(),
            members: shared.members.iter().map(listed).collect(),
        }
    }

    /// Saves the header beside each of these members.
    fn save(&self, journal: &Journal, members: &[Active], clean: bool) -> Vec<Failed> {
        let header = self.header(journal, &self.shared(), clean);
        journal.each(members, |index| {
            let own = header.members.get(index).map_or(0, |listed| listed.id);
            let born = journal.records.get(index).map(|(_, born)| born.clone()).unwrap_or_default();
            let header = Header { own, born, ..header.clone() };
            move |record| record.save_header(&header)
        })
    }

    /// Writes down, under a new generation, who is what now. Once this returns, whoever opens the mirror knows it. A
    /// member for whom it can't be written down is dropped; of those that are in, one stays.
    ///
    /// # Errors
    /// It could be written down for nobody who is in: then nothing may be promised.
    pub(super) fn commit(&self, journal: &mut Journal) -> Result<()> {
        loop {
            let before = self.shared().active();
            journal.generation += 1;
            let mut failed = self.save(journal, &before, false);
            if failed.is_empty() {
                // Before it counts, so that whoever is out now can't be taken for the last member.
                self.save_witnesses(journal, false);
                // All that are not out have this generation, so that older ones need not be believed any more.
                journal.settled = journal.generation;
                self.settle(journal.generation);
                failed = self.save(journal, &before, false);
            }
            if failed.is_empty() {
                break;
            }
            self.drop_failed(journal.generation, failed)?;
        }
        self.shared().unsaved = false;
        self.save_witnesses(journal, false);
        Ok(())
    }

    /// All that are not out have this generation; what they had before does not count any more.
    fn settle(&self, generation: u64) {
        for member in self.shared().members.iter_mut().filter(|member| member.role != Role::Out) {
            (member.floor, member.left) = (generation, generation);
        }
    }

    fn save_witnesses(&self, journal: &Journal, clean: bool) {
        let header = self.header(journal, &self.shared(), clean);
        for witness in journal.witnesses.iter().flatten() {
            if let Err(error) = witness.save_header(&header) {
                self.tell(&format!("what is known of the mirror could not be noted elsewhere too: {error}"));
            }
        }
    }

    /// Takes members out, in memory only, as long as one stays that is in.
    fn drop_failed(&self, generation: u64, failed: Vec<Failed>) -> Result<()> {
        let mut shared = self.shared();
        let is_failed =
            |active: &Active| failed.iter().any(|f| f.index == active.index && f.life == active.life);
        if shared.readable().iter().all(is_failed) {
            drop(shared);
            let first = failed.into_iter().next().map(|failed| failed.error);
            return Err(
                first.unwrap_or_else(|| VolumeError::new(ErrorKind::WriteFailed, "no member is left"))
            );
        }
        let mut told = Vec::new();
        for Failed { index, life, error } in failed {
            let reason = in_full(&error);
            if shared.drop_member(index, life, generation, &reason) {
                let name = shared.members.get(index).map(|member| member.name.clone()).unwrap_or_default();
                told.push(format!("the mirror goes on without {name}: {reason}"));
            }
        }
        drop(shared);
        told.iter().for_each(|words| self.tell(words));
        Ok(())
    }

    /// Takes members out, and returns when that is written down.
    ///
    /// # Errors
    /// They are all that are in, or it could not be written down.
    pub(super) fn drop_members(&self, failed: Vec<Failed>) -> Result<()> {
        let mut journal = self.journal();
        self.drop_locked(&mut journal, failed)
    }

    pub(super) fn drop_locked(&self, journal: &mut Journal, failed: Vec<Failed>) -> Result<()> {
        let indexes: Vec<(usize, u64)> = failed.iter().map(|failed| (failed.index, failed.life)).collect();
        self.drop_failed(journal.generation, failed)?;
        if self.shared().unsaved {
            self.commit(journal)?;
            self.tell_the_dropped(journal, &indexes);
        }
        Ok(())
    }

    /// A member that can still take it learns that it is out. Nothing depends on that.
    fn tell_the_dropped(&self, journal: &Journal, dropped: &[(usize, u64)]) {
        let shared = self.shared();
        let header = self.header(journal, &shared, false);
        let is_out = |(index, life): &&(usize, u64)| {
            shared.members.get(*index).is_some_and(|m| m.life == *life && m.role == Role::Out)
        };
        let dropped = dropped.iter().filter(is_out);
        let dropped =
            dropped.filter_map(|(index, _)| Some((*index, Arc::clone(&shared.members.get(*index)?.lane))));
        let dropped: Vec<_> = dropped.collect();
        drop(shared);
        for (index, lane) in dropped {
            let own = header.members.get(index).map_or(0, |listed| listed.id);
            let born = journal.records.get(index).map(|(_, born)| born.clone()).unwrap_or_default();
            if let Some(record) = journal.record(index) {
                let header = Header { own, born, ..header.clone() };
                let run = Box::new(move || record.save_header(&header));
                let _ = lane::together(vec![Call { lane, counts: false, run }], true);
            }
        }
    }

    /// Makes sure that it is written down who is out. To be called before the loss of a failed flush is accepted: else
    /// the next start might believe the member that has lost what others have.
    ///
    /// # Errors
    /// It could not be written down; then no loss is to be accepted.
    pub fn write_down(&self) -> Result<()> {
        if self.read_only { Ok(()) } else { self.commit_what_is_due() }
    }

    /// Makes sure that what was dropped in memory is written down.
    pub(super) fn commit_what_is_due(&self) -> Result<()> {
        if !self.shared().unsaved {
            return Ok(());
        }
        let mut journal = self.journal();
        if self.shared().unsaved { self.commit(&mut journal) } else { Ok(()) }
    }

    /// Saves all bits beside each of these members.
    pub(super) fn save_bits(journal: &Journal, members: &[Active], bits: &Bits) -> Vec<Failed> {
        let bits = Arc::new(bits.clone());
        journal.each(members, |_| {
            let bits = Arc::clone(&bits);
            move |record| record.save_bits(&bits)
        })
    }

    /// Ends the use of the mirror: where all is flushed, the next start need not compare anything. What is written
    /// later is refused.
    pub fn close(&self) {
        if self.read_only || self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        // Whoever is at it still has his range.
        let _all = self.ranges.take(0, u64::MAX);
        if self.health() != crate::Health::Good || self.flush_members().is_err() {
            return;
        }
        let journal = self.journal();
        let mut shared = self.shared();
        let active = shared.active();
        if shared.unsaved || shared.readers_differ(0..shared.marked.count()) {
            return;
        }
        if !shared.is_any_out() {
            let count = shared.marked.count();
            let mut marked = Bits::none(count);
            shared.members.iter().for_each(|member| marked.merge(&member.todo));
            shared.marked = marked;
        }
        let marked = shared.marked.clone();
        drop(shared);
        // What fails here is found as after a crash.
        if Self::save_bits(&journal, &active, &marked).is_empty() {
            let _ = self.save(&journal, &active, true);
            self.save_witnesses(&journal, true);
        }
    }
}

/// An error with the system's own word on it.
pub(super) fn in_full(error: &VolumeError) -> String {
    match &error.source {
        Some(source) => format!("{error} ({source})"),
        None => error.to_string(),
    }
}
