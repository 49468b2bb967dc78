//! What a logical unit is mounted on, and that it can be away for a while.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use timedisk_volume::Volume;

use crate::sense::{BECOMING_READY, Condition, OFFLINE};

/// A volume, or why there is none just now.
#[derive(Debug)]
pub struct Medium {
    state: RwLock<State>,
    /// In bytes, of the volume that was here last.
    last_capacity: AtomicU64,
    /// Likewise, the most that it wrote in one piece.
    last_atomic_limit: AtomicU64,
}

#[derive(Debug)]
enum State {
    Present(Arc<dyn Volume>),
    Absent(Absence),
}

/// Why there is no volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// An administrator has taken it away.
    Offline,
    /// It is being exchanged: clients are to try again at once.
    Exchange,
}

impl Medium {
    pub(crate) fn new(volume: Arc<dyn Volume>) -> Self {
        let last_capacity = AtomicU64::new(volume.capacity());
        let last_atomic_limit = AtomicU64::new(volume.atomic_limit());
        Medium { state: RwLock::new(State::Present(volume)), last_capacity, last_atomic_limit }
    }

    /// The volume, if it is there.
    pub fn present(&self) -> Option<Arc<dyn Volume>> {
        match &*self.state() {
            State::Present(volume) => Some(Arc::clone(volume)),
            State::Absent(_) => None,
        }
    }

    /// Why it is not there, if it is not.
    pub fn absence(&self) -> Option<Absence> {
        match &*self.state() {
            State::Present(_) => None,
            State::Absent(absence) => Some(*absence),
        }
    }

    /// Takes the volume away: commands that come from now on find the logical unit not ready. Those that run have the
    /// volume still.
    pub fn take(&self, absence: Absence) -> Option<Arc<dyn Volume>> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Absent(absence)) {
            State::Present(volume) => {
                self.last_capacity.store(volume.capacity(), Ordering::Relaxed);
                self.last_atomic_limit.store(volume.atomic_limit(), Ordering::Relaxed);
                Some(volume)
            }
            State::Absent(_) => None,
        }
    }

    /// Puts a volume in its place.
    pub fn put(&self, volume: Arc<dyn Volume>) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State::Present(volume);
    }

    /// In bytes; while there is no volume, what it was before.
    pub fn capacity(&self) -> u64 {
        match &*self.state() {
            State::Present(volume) => volume.capacity(),
            State::Absent(_) => self.last_capacity.load(Ordering::Relaxed),
        }
    }

    /// The most bytes that are written in one piece, 0 if none are; while there is no volume, what it was before.
    pub(crate) fn atomic_limit(&self) -> u64 {
        match &*self.state() {
            State::Present(volume) => volume.atomic_limit(),
            State::Absent(_) => self.last_atomic_limit.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn volume(&self) -> Result<Arc<dyn Volume>, &'static Condition> {
        match &*self.state() {
            State::Present(volume) => Ok(Arc::clone(volume)),
            State::Absent(absence) => Err(absence.condition()),
        }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Absence {
    pub(crate) fn condition(self) -> &'static Condition {
        match self {
            Absence::Offline => &OFFLINE,
            Absence::Exchange => &BECOMING_READY,
        }
    }
}
