//! Who has which bytes of a file: the extents of it that are open, and what each has promised.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::DiskState;

/// One extent of a file, as far as those that share the file need to know it.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) start: u64,
    pub(super) capacity: AtomicU64,
    pub(super) read_only: bool,
    pub(super) state: Arc<DiskState>,
    failure: RwLock<Option<String>>,
}

impl Member {
    /// One that has failed already if its state says so.
    pub(super) fn new(start: u64, capacity: u64, read_only: bool, state: Arc<DiskState>) -> Self {
        let failure = RwLock::new(state.flush_failure());
        Self { start, capacity: AtomicU64::new(capacity), read_only, state, failure }
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity.load(Ordering::Acquire)
    }

    /// Why nothing is promised any more, if that is so.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_failure(&self, failure: Option<String>) {
        *self.failure.write().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

/// A run of bytes of a file, and whether they may change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) read_only: bool,
}

impl Range {
    /// Readers may share bytes; a writer has its own.
    fn excludes(&self, other: &Self) -> bool {
        let both_read = self.read_only && other.read_only;
        !both_read && self.start < other.end && other.start < self.end
    }
}

#[derive(Debug)]
struct Claim {
    member: Arc<Member>,
    end: u64,
    /// Where it will end, while it grows.
    reserved: Option<u64>,
    /// The volume is closed, but what was written to it has not been synchronized since.
    departed: bool,
}

impl Claim {
    fn range(&self) -> Range {
        let end = self.reserved.map_or(self.end, |reserved| reserved.max(self.end));
        Range { start: self.member.start, end, read_only: self.member.read_only }
    }
}

/// The extents of one file.
#[derive(Debug, Default)]
pub(super) struct Claims(Vec<Claim>);

impl Claims {
    /// An extent that is open and can't be beside one of `range`, which is for `own` if that is open too.
    pub(super) fn against(&self, range: Range, own: Option<&Arc<Member>>) -> Option<Range> {
        let others = self.open().filter(|claim| !own.is_some_and(|own| Arc::ptr_eq(own, &claim.member)));
        others.map(Claim::range).find(|other| other.excludes(&range))
    }

    /// Where the last of the extents that are open ends.
    pub(super) fn end(&self) -> u64 {
        self.open().map(|claim| claim.end).max().unwrap_or(0)
    }

    /// Keeps the bytes up to `end` for a member that grows. Answers `false` if it is growing already.
    pub(super) fn reserve(&mut self, member: &Arc<Member>, end: u64) -> bool {
        let free = self.of(member).filter(|claim| claim.reserved.is_none());
        free.map(|claim| claim.reserved = Some(end)).is_some()
    }

    /// The member has grown.
    pub(super) fn extend(&mut self, member: &Arc<Member>, end: u64) {
        if let Some(claim) = self.of(member) {
            claim.end = end;
        }
    }

    /// The member grows no more.
    pub(super) fn release(&mut self, member: &Arc<Member>) {
        if let Some(claim) = self.of(member) {
            claim.reserved = None;
        }
    }

    /// The state of a disk that is there already, so that there is never a second copy of one file in
    /// memory; else the one given.
    pub(super) fn state(&self, fresh: DiskState) -> Arc<DiskState> {
        let known = self.0.iter().map(|claim| &claim.member.state).find(|state| state.path() == fresh.path());
        known.map_or_else(|| Arc::new(fresh), Arc::clone)
    }

    pub(super) fn add(&mut self, member: Arc<Member>, end: u64) {
        self.0.push(Claim { member, end, reserved: None, departed: false });
    }

    /// The volume is closed. It stays to be marked if its last writes turn out to be lost.
    pub(super) fn leave(&mut self, member: &Arc<Member>) {
        if member.read_only {
            self.0.retain(|claim| !Arc::ptr_eq(&claim.member, member));
        }
        if let Some(claim) = self.of(member) {
            claim.departed = true;
        }
    }

    /// Those that are closed and whose last writes are not synchronized.
    pub(super) fn departed(&self) -> Vec<Arc<Member>> {
        self.0.iter().filter(|claim| claim.departed).map(|claim| Arc::clone(&claim.member)).collect()
    }

    /// Those are synchronized now.
    pub(super) fn forget(&mut self, departed: &[Arc<Member>]) {
        self.0.retain(|claim| !departed.iter().any(|gone| Arc::ptr_eq(gone, &claim.member)));
    }

    /// Writes it into every state file that a flush of the file failed, and then makes it known. Returns
    /// the reason, with what else went wrong.
    pub(super) fn fail(&mut self, reason: String) -> String {
        let mut whole = reason.clone();
        for member in self.0.iter().map(|claim| &claim.member) {
            if let Err(error) = member.state.mark_flush_failed(&reason) {
                whole.push_str(&format!("; and it can't be written down for the next start: {error}"));
            }
        }
        for member in self.0.iter().map(|claim| &claim.member) {
            member.set_failure(Some(whole.clone()));
        }
        self.0.retain(|claim| !claim.departed);
        whole
    }

    /// The disk of that state promises again.
    pub(super) fn heal(&self, state: &Arc<DiskState>) {
        for claim in self.0.iter().filter(|claim| Arc::ptr_eq(&claim.member.state, state)) {
            claim.member.set_failure(None);
        }
    }

    fn of(&mut self, member: &Arc<Member>) -> Option<&mut Claim> {
        self.0.iter_mut().find(|claim| Arc::ptr_eq(&claim.member, member))
    }

    fn open(&self) -> impl Iterator<Item = &Claim> {
        self.0.iter().filter(|claim| !claim.departed)
    }
}
