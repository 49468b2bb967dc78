//! Commands that work at other disks than their own, too (third-party copies, SPC-4 5.17): each of these has them on
//! its books, so that nobody takes one away, or begins something behind one that was aborted, before they have ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use timedisk_iscsi::full_feature::{Attribute, TaskId};
use timedisk_scsi::NexusId;

use super::{Executor, Running};

/// What a command has to do elsewhere.
#[derive(Debug)]
pub(crate) struct Errand {
    recall: AtomicBool,
    /// The other disks.
    parties: Vec<Arc<Executor>>,
}

/// A command at another disk, until it is dropped.
#[derive(Debug)]
pub(crate) struct Visit {
    executor: Arc<Executor>,
    nexus: NexusId,
    id: TaskId,
}

impl Errand {
    /// `parties` may have a disk more than once, and the command's own, too.
    pub(crate) fn new(own: &Arc<Executor>, parties: impl Iterator<Item = Arc<Executor>>) -> Arc<Errand> {
        let mut others: Vec<Arc<Executor>> = Vec::new();
        for party in parties {
            if !Arc::ptr_eq(&party, own) && !others.iter().any(|other| Arc::ptr_eq(other, &party)) {
                others.push(party);
            }
        }
        Arc::new(Errand { recall: AtomicBool::new(false), parties: others })
    }

    /// Set once the command is to stop.
    pub(crate) fn recall(&self) -> &AtomicBool {
        &self.recall
    }

    /// Puts the command on the books of all disks that it works at. `None` where one has to wait for the end of a
    /// command that was abandoned.
    pub(crate) fn visit(self: &Arc<Self>, nexus: NexusId, id: TaskId) -> Option<Vec<Visit>> {
        self.parties.iter().map(|party| party.admit(nexus, id, self)).collect()
    }

    /// Nobody waits for the command any more: it is in the way everywhere.
    pub(super) fn abandon(&self, nexus: NexusId, id: TaskId) {
        self.parties.iter().for_each(|party| party.abandon(nexus, id));
    }
}

impl Executor {
    fn admit(self: &Arc<Self>, nexus: NexusId, id: TaskId, errand: &Arc<Errand>) -> Option<Visit> {
        let mut state = self.state();
        if self.has_abandoned() {
            return None;
        }
        let (attribute, errand) = (Attribute::Simple, Some(Arc::clone(errand)));
        let (abandoned, is_in_the_way, is_visit) = (false, true, true);
        state.running.push(Running { nexus, id, attribute, abandoned, is_in_the_way, errand, is_visit });
        Some(Visit { executor: Arc::clone(self), nexus, id })
    }

    /// Ends what commands of this nexus do here for another disk.
    pub(crate) fn abandon_visits(&self, nexus: NexusId) {
        self.abandon_where(|job| job.nexus == nexus && job.is_visit);
    }
}

impl Running {
    /// Tells the command that it is to stop. What it does elsewhere is answered where this is its own disk.
    pub(super) fn recall(&self) -> Option<(Arc<Errand>, NexusId, TaskId)> {
        let errand = self.errand.as_ref()?;
        errand.recall.store(true, Ordering::Release);
        (!self.is_visit).then(|| (Arc::clone(errand), self.nexus, self.id))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let executor = &self.executor;
        let mut state = executor.state();
        let is_this =
            |running: &Running| running.is_visit && (running.nexus, running.id) == (self.nexus, self.id);
        let position = state.running.iter().position(is_this);
        let visit = position.map(|position| state.running.swap_remove(position));
        if visit.is_some_and(|visit| visit.abandoned) {
            executor.end_abandoned();
        }
        executor.tell_of_rest(&state);
    }
}
