//! What changes all of the medium, and goes on when its command has ended, over restarts too: SANITIZE (SBC-4 4.11) and
//! FORMAT UNIT (SBC-4 4.35).

pub(crate) mod format_unit;
mod operation;
pub(crate) mod sanitize;
mod saved;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use timedisk_volume::Volume;

use crate::command_table::Command;
use crate::reservations::Admission;
use crate::running::{Outcome, Running};
use crate::sense::{
    Condition, FORMAT_COMMAND_FAILED, FORMAT_IN_PROGRESS, INTERNAL_TARGET_FAILURE, MEDIUM_FORMAT_CORRUPTED,
    SANITIZE_FAILED, SANITIZE_IN_PROGRESS, Sense,
};
use crate::{LogicalUnit, SettingsStore, Wait};

use operation::{Operation, Purpose};

/// What has become of an overhaul so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overhauled {
    /// A part is done, and there is more to do.
    Partly,
    /// It can't go on now: the volume is away.
    NotNow,
    /// There is nothing left to do.
    Done,
    /// It has failed.
    Failed,
}

/// How an overhaul is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverhaulState {
    /// It goes on, and has done so much of a hundred.
    GoesOn(u8),
    /// It has failed: the medium can't be used until it is overhauled anew, or, if that was admitted, left as it is.
    Failed,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    None,
    GoesOn(Operation),
    Failed(Purpose),
}

/// The overhaul of one logical unit.
#[derive(Debug)]
pub(crate) struct Overhaul {
    /// Whether there is any: mostly not, and then nothing else is looked at.
    is_in_force: AtomicBool,
    /// It is to go on in another life only.
    is_halted: AtomicBool,
    state: Mutex<State>,
    /// Held by who does a part of it.
    at_work: Mutex<()>,
}

/// The sense of who asks for something else meanwhile, or after it has failed.
fn in_progress(purpose: Purpose) -> &'static Condition {
    match purpose {
        Purpose::Sanitize { .. } => &SANITIZE_IN_PROGRESS,
        Purpose::Format => &FORMAT_IN_PROGRESS,
    }
}

fn failed(purpose: Purpose) -> &'static Condition {
    match purpose {
        Purpose::Sanitize { .. } => &SANITIZE_FAILED,
        Purpose::Format => &MEDIUM_FORMAT_CORRUPTED,
    }
}

/// Whether a command needs nothing that an overhaul takes away: it tells what the logical unit is, or what it is set to
/// (SBC-4 4.11.2 has a shorter list).
fn is_indifferent(command: &Command) -> bool {
    let traits = &command.traits;
    traits.wait == Wait::Nothing && !traits.medium && traits.shut_out != Admission::Never
}

impl Overhaul {
    /// As it was saved.
    pub(crate) fn new(settings: Option<&dyn SettingsStore>) -> Self {
        let text = settings.and_then(|settings| settings.load(saved::KEY));
        let state = text.as_deref().map(saved::read).unwrap_or_default();
        Overhaul {
            is_in_force: AtomicBool::new(state != State::None),
            is_halted: AtomicBool::new(false),
            state: Mutex::new(state),
            at_work: Mutex::new(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        self.is_in_force.store(state != State::None, Ordering::Release);
        *self.state() = state;
    }

    /// Whether there is more to do.
    pub(crate) fn goes_on(&self) -> bool {
        self.is_in_force.load(Ordering::Acquire) && matches!(*self.state(), State::GoesOn(_))
    }

    pub(crate) fn halt(&self) {
        self.is_halted.store(true, Ordering::Release);
    }

    /// Refuses what can't be done meanwhile, or after it has failed.
    pub(crate) fn check(&self, command: &Command) -> Outcome {
        if !self.is_in_force.load(Ordering::Acquire) || is_indifferent(command) {
            return Ok(());
        }
        match &*self.state() {
            State::None => Ok(()),
            // It is for these to know whether they can mend it.
            State::Failed(_) if command.traits.wait == Wait::Overhaul => Ok(()),
            state => state.sense().map_or(Ok(()), |sense| Err(sense.into())),
        }
    }

    /// The state, for who asks for it.
    pub(crate) fn sense(&self) -> Option<Sense> {
        self.is_in_force.load(Ordering::Acquire).then(|| self.state().sense()).flatten()
    }

    pub(crate) fn for_people(&self) -> Option<OverhaulState> {
        match &*self.state() {
            State::None => None,
            State::GoesOn(operation) => {
                let percent = (u32::from(operation.progress()) * 100) >> 16;
                Some(OverhaulState::GoesOn(percent as u8))
            }
            State::Failed(_) => Some(OverhaulState::Failed),
        }
    }

    fn purpose_that_failed(&self) -> Option<Purpose> {
        match *self.state() {
            State::Failed(purpose) => Some(purpose),
            _ => None,
        }
    }
}

impl State {
    fn so_far(&self) -> Overhauled {
        match self {
            State::None => Overhauled::Done,
            State::GoesOn(_) => Overhauled::Partly,
            State::Failed(_) => Overhauled::Failed,
        }
    }

    fn sense(&self) -> Option<Sense> {
        match self {
            State::None => None,
            State::GoesOn(operation) => {
                Some(Sense::from(in_progress(operation.purpose)).with_progress(operation.progress()))
            }
            State::Failed(purpose) => Some(failed(*purpose).into()),
        }
    }
}

/// Begins an overhaul; without IMMED it is carried on until it is over.
fn begin(unit: &LogicalUnit, command: &Running<'_>, operation: Operation, immediately: bool) -> Outcome {
    let purpose = operation.purpose;
    command.wait()?;
    {
        // Whoever is at a block now is let finish; whoever comes later finds the overhaul.
        let _turn = unit.overlap().own(0..u64::MAX);
        unit.rods().revoke(0..u64::MAX);
        unit.volume()?;
        save(unit, &State::GoesOn(operation.clone())).map_err(|()| &INTERNAL_TARGET_FAILURE)?;
        unit.overhaul().set(State::GoesOn(operation));
    }
    if immediately {
        return Ok(());
    }
    loop {
        let condition = match (carry_on(unit), purpose) {
            (Overhauled::Partly, _) => continue,
            (Overhauled::Done, _) => return Ok(()),
            (Overhauled::NotNow, _) => in_progress(purpose),
            (Overhauled::Failed, Purpose::Sanitize { .. }) => &SANITIZE_FAILED,
            (Overhauled::Failed, Purpose::Format) => &FORMAT_COMMAND_FAILED,
        };
        return Err(condition.into());
    }
}

/// Saves a state, where states are saved.
fn save(unit: &LogicalUnit, state: &State) -> Result<(), ()> {
    let Some(settings) = unit.settings() else { return Ok(()) };
    settings.save(saved::KEY, &saved::write(state)).map_err(drop)
}

/// Does a part of the overhaul that takes a moment, if there is one.
pub(crate) fn carry_on(unit: &LogicalUnit) -> Overhauled {
    let overhaul = unit.overhaul();
    let _at_work = overhaul.at_work.lock().unwrap_or_else(PoisonError::into_inner);
    let state = overhaul.state().clone();
    let State::GoesOn(mut operation) = state else { return state.so_far() };
    if overhaul.is_halted.load(Ordering::Acquire) {
        return Overhauled::NotNow;
    }
    let Ok(volume) = unit.volume() else { return Overhauled::NotNow };
    let after = match do_part(unit, &volume, &mut operation) {
        Ok(()) if operation.is_over() => match save(unit, &State::None) {
            Ok(()) => State::None,
            // In its next life the disk would begin anew, over what is written from now on.
            Err(()) => State::Failed(operation.purpose),
        },
        Ok(()) => State::GoesOn(operation),
        Err(()) => {
            let state = State::Failed(operation.purpose);
            // If that can't be saved either, it is tried once more in the next life.
            let _ = save(unit, &state);
            state
        }
    };
    let so_far = after.so_far();
    overhaul.set(after);
    so_far
}

fn do_part(unit: &LogicalUnit, volume: &Arc<dyn Volume>, operation: &mut Operation) -> Result<(), ()> {
    let end = unit.blocks() * unit.block_length();
    let is_milestone = operation.carry_on(&**volume, end, unit.block_length()).map_err(drop)?;
    if is_milestone {
        // Only what lasts counts as done.
        volume.flush().map_err(drop)?;
        if !operation.is_over() {
            save(unit, &State::GoesOn(operation.clone()))?;
        }
    }
    Ok(())
}
