//! What is kept of copies: that they are under way, and how they have ended (SPC-4 5.17.4).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rod::TOKEN_LENGTH;
use crate::NexusId;
use crate::running::{Outcome, Stop};
use crate::sense::{COPY_CANCELLED, OPERATION_IN_PROGRESS};

/// Results that are kept for a nexus, until others push them out.
pub(crate) const KEPT: usize = 16;

/// How a copy has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ending {
    #[default]
    Good,
    /// COPY OPERATION ABORT has ended it.
    Cancelled,
    /// With CHECK CONDITION.
    Failed([u8; 18]),
    /// With another status.
    Refused(u8),
}

impl Ending {
    fn of(outcome: &Outcome) -> Ending {
        match outcome {
            Ok(()) => Ending::Good,
            Err(Stop::Sense(sense)) if *sense.condition == COPY_CANCELLED => Ending::Cancelled,
            Err(Stop::Sense(sense)) => Ending::Failed(sense.fixed()),
            Err(Stop::Conflict) => Ending::Refused(crate::Status::ReservationConflict as u8),
            Err(Stop::Busy | Stop::WouldWait) => Ending::Refused(crate::Status::Busy as u8),
        }
    }
}

/// What a copy has come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// Segment or range descriptors that were seen to.
    pub(crate) segments: u16,
    /// Bytes that EXTENDED COPY has written; blocks that the others have written, or made a token for.
    pub(crate) count: u64,
    /// The token that was made.
    pub(crate) token: Option<[u8; TOKEN_LENGTH]>,
}

/// A copy by its LIST IDENTIFIER; those of one byte are the first 256 of those of four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    nexus: NexusId,
    identifier: u32,
}

/// A copy that has ended.
#[derive(Clone, Debug)]
pub(crate) struct CopyResult {
    name: Name,
    /// Of the command.
    pub(crate) service_action: u8,
    pub(crate) ending: Ending,
    pub(crate) kept: Kept,
}

#[derive(Debug)]
struct Running {
    name: Name,
    service_action: u8,
    cancel: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct State {
    running: Vec<Running>,
    results: Vec<CopyResult>,
}

/// The copies that a logical unit was asked for.
#[derive(Debug, Default)]
pub(crate) struct Copies(Mutex<State>);

/// What is known of a copy.
#[derive(Debug)]
pub(crate) enum Known {
    /// It is under way, by this service action.
    Underway(u8),
    Ended(Box<CopyResult>),
}

/// A copy that is under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Underway<'a> {
    copies: &'a Copies,
    name: Name,
    service_action: u8,
    cancel: Arc<AtomicBool>,
}

impl Copies {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a copy; what was kept under its name is forgotten.
    pub(super) fn begin(
        &self,
        nexus: NexusId,
        identifier: u32,
        service_action: u8,
    ) -> Result<Underway<'_>, Stop> {
        let name = Name { nexus, identifier };
        let mut state = self.state();
        if state.running.iter().any(|running| running.name == name) {
            return Err((&OPERATION_IN_PROGRESS).into());
        }
        state.results.retain(|result| result.name != name);
        let cancel = Arc::new(AtomicBool::new(false));
        state.running.push(Running { name, service_action, cancel: Arc::clone(&cancel) });
        Ok(Underway { copies: self, name, service_action, cancel })
    }

    pub(crate) fn leave(&self, nexus: NexusId) {
        self.state().results.retain(|result| result.name.nexus != nexus);
    }

    pub(super) fn find(&self, nexus: NexusId, identifier: u32) -> Option<Known> {
        let name = Name { nexus, identifier };
        let state = self.state();
        let running = state.running.iter().find(|running| running.name == name);
        let running = running.map(|running| Known::Underway(running.service_action));
        let ended = || state.results.iter().find(|result| result.name == name).cloned();
        running.or_else(|| ended().map(|result| Known::Ended(Box::new(result))))
    }

    /// Forgets how a copy has ended.
    pub(super) fn forget(&self, nexus: NexusId, identifier: u32) {
        let name = Name { nexus, identifier };
        self.state().results.retain(|result| result.name != name);
    }

    /// Has a copy end where it can; `false` where none of this name is under way.
    pub(super) fn cancel(&self, nexus: NexusId, identifier: u32) -> bool {
        let name = Name { nexus, identifier };
        let state = self.state();
        let running = state.running.iter().find(|running| running.name == name);
        running.is_some_and(|running| {
            running.cancel.store(true, Ordering::Release);
            true
        })
    }
}

impl Underway<'_> {
    /// Set once it is to end.
    pub(super) fn cancel(&self) -> &AtomicBool {
        &self.cancel
    }

    /// It has ended like this.
    pub(super) fn end(self, outcome: &Outcome, kept: Kept) {
        let Underway { name, service_action, .. } = self;
        let result = CopyResult { name, service_action, ending: Ending::of(outcome), kept };
        let mut state = self.copies.state();
        let own = |result: &CopyResult| result.name.nexus == name.nexus;
        if state.results.iter().filter(|result| own(result)).count() >= KEPT
            && let Some(oldest) = state.results.iter().position(own)
        {
            state.results.remove(oldest);
        }
        state.results.push(result);
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.copies.state().running.retain(|running| running.name != self.name);
    }
}
