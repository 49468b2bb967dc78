//! Who may use a logical unit: persistent reservations (SPC-4 5.13) and those of RESERVE(6) (SPC-2 5.5).

mod admission;
pub(crate) mod persistent_in;
pub(crate) mod persistent_out;
mod port;
pub(crate) mod reserve;
mod saved;
mod state;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::running::{Outcome, Stop};
use crate::sense::{Condition, INTERNAL_TARGET_FAILURE, REGISTRATIONS_PREEMPTED};
use crate::unit_attention::UnitAttentions;
use crate::{NexusId, SettingsStore};

pub(crate) use admission::{Admission, admission};
pub(crate) use port::target_port;
#[cfg(test)]
pub(crate) use port::transport_id;
use port::{Nexus, Port};
use state::State;

/// The reservations of one logical unit.
#[derive(Debug)]
pub(crate) struct Reservations {
    /// Whether there are any: mostly not, and then nothing else is looked at.
    is_in_use: AtomicBool,
    /// Short looks only.
    current: Mutex<Current>,
    /// Held by who changes what is reserved, while that is saved too.
    changing: Mutex<()>,
    /// Whose commands are to be aborted (PREEMPT AND ABORT).
    preempted: Mutex<Vec<Preempted>>,
}

#[derive(Debug, Default)]
struct Current {
    state: State,
    /// Of RESERVE(6).
    reserved_by: Option<NexusId>,
    /// Who is logged in.
    nexuses: Vec<(NexusId, Port)>,
}

impl Current {
    fn port(&self, nexus: NexusId) -> Option<&Port> {
        self.nexuses.iter().find(|(known, _)| *known == nexus).map(|(_, port)| port)
    }
}

/// A nexus whose commands are to be aborted, and who wants that.
#[derive(Debug)]
struct Preempted {
    by: NexusId,
    victim: NexusId,
}

/// What the changes of a command mean to others.
type Told = Vec<(Nexus, &'static Condition)>;

impl Reservations {
    /// As they were saved.
    pub(crate) fn new(settings: Option<&dyn SettingsStore>) -> Self {
        let state = settings.and_then(|settings| settings.load(saved::KEY)).map(|text| saved::read(&text));
        let state = state.unwrap_or_default();
        let is_in_use = AtomicBool::new(!state.registrants.is_empty());
        let current = Mutex::new(Current { state, ..Current::default() });
        Reservations { is_in_use, current, changing: Mutex::new(()), preempted: Mutex::default() }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_use(&self, current: &Current) {
        let is_in_use = current.reserved_by.is_some() || !current.state.registrants.is_empty();
        self.is_in_use.store(is_in_use, Ordering::Release);
    }

    /// A nexus with this initiator port and target is there.
    pub(crate) fn join(&self, nexus: NexusId, initiator_port: &str, target: &str) {
        let port = Port { initiator: initiator_port.to_owned(), target: Some(target.to_owned()) };
        let mut current = self.current();
        current.nexuses.retain(|(known, _)| *known != nexus);
        current.nexuses.push((nexus, port));
    }

    /// It is no more. What it registered stays (SPC-4 5.13.5), what it reserved with RESERVE(6) does not.
    pub(crate) fn leave(&self, nexus: NexusId) {
        let mut current = self.current();
        current.nexuses.retain(|(known, _)| *known != nexus);
        if current.reserved_by == Some(nexus) {
            current.reserved_by = None;
        }
        self.note_use(&current);
    }

    /// The iSCSI name of who is at the other end of a nexus.
    pub(crate) fn initiator(&self, nexus: NexusId) -> Option<String> {
        let current = self.current();
        let (name, _) = current.port(nexus)?.initiator.split_once(",i,")?;
        Some(name.to_owned())
    }

    /// The logical unit was reset.
    pub(crate) fn reset(&self) {
        let mut current = self.current();
        current.reserved_by = None;
        self.note_use(&current);
    }

    /// Refuses a command of a nexus that is shut out.
    pub(crate) fn check(&self, nexus: NexusId, admission: Admission) -> Outcome {
        if !self.is_in_use.load(Ordering::Acquire) {
            return Ok(());
        }
        let current = self.current();
        let is_reserved = current.reserved_by.is_some_and(|owner| owner != nexus);
        let is_shut_out = match admission {
            Admission::Own => false,
            _ => is_reserved || current.state.shuts_out(current.port(nexus), admission),
        };
        if is_shut_out { Err(Stop::Conflict) } else { Ok(()) }
    }

    fn preempted(&self) -> MutexGuard<'_, Vec<Preempted>> {
        self.preempted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose commands are to be aborted for this nexus; they are named once.
    pub(crate) fn take_preempted(&self, by: NexusId) -> Vec<NexusId> {
        self.preempted().extract_if(.., |one| one.by == by).map(|one| one.victim).collect()
    }

    /// Changes what is registered and reserved, if it can be saved where that was asked for, and tells those whom it
    /// concerns.
    fn change(
        &self,
        nexus: NexusId,
        settings: Option<&dyn SettingsStore>,
        attentions: &UnitAttentions,
        aborts: bool,
        make: impl FnOnce(&mut State, &Port) -> Result<Told, Stop>,
    ) -> Outcome {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, port) = {
            let current = self.current();
            if current.reserved_by.is_some() {
                return Err(Stop::Conflict);
            }
            let port = current.port(nexus).cloned().ok_or(Stop::Conflict)?;
            (current.state.clone(), port)
        };
        let mut state = before.clone();
        let told = make(&mut state, &port)?;
        if let Some(text) = saved::difference(&before, &state) {
            let saved =
                settings.ok_or_else(String::new).and_then(|settings| settings.save(saved::KEY, &text));
            // What can't be promised to last is not promised.
            saved.map_err(|_| Stop::from(&INTERNAL_TARGET_FAILURE))?;
        }
        let mut current = self.current();
        current.state = state;
        self.note_use(&current);
        for (known, port) in current.nexuses.iter().filter(|(known, _)| *known != nexus) {
            for (_, condition) in told.iter().filter(|(concerned, _)| concerned.is(port)) {
                attentions.establish(*known, condition);
                if aborts && **condition == REGISTRATIONS_PREEMPTED {
                    self.preempted().push(Preempted { by: nexus, victim: *known });
                }
            }
        }
        Ok(())
    }
}
