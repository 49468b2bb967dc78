//! Where a connection lies while its thread works for a disk, for another thread to go on with if that takes long.
//!
//! Writing to the system's cache takes microseconds, and handing it to another thread takes more than that: so the
//! connection's own thread does it. But once in a while the system lets a write wait, for seconds if need be, and pings
//! and aborts must not wait with it. So the thread puts the connection down first, where the lookout can find it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::connection::{self, Serving};
use crate::control::Control;

/// A connection that lies for so long is taken up by another thread.
const PATIENCE: Duration = Duration::from_millis(50);

/// How often the lookout looks, while connections are laid down.
const TICK: Duration = Duration::from_millis(10);

/// Looks without anything to see, before it sleeps.
const QUIET_TICKS: u32 = 100;

/// How often a sleeping lookout sees whether the house still stands.
const SLEEP: Duration = Duration::from_secs(1);

/// A place for one connection.
#[derive(Default)]
pub(crate) struct Berth {
    slot: Mutex<Option<Box<Serving>>>,
    /// Milliseconds of the lookout's clock, plus one; 0 where nothing lies.
    since: AtomicU64,
}

impl std::fmt::Debug for Berth {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Berth").field("since", &self.since).finish_non_exhaustive()
    }
}

impl Berth {
    fn slot(&self) -> MutexGuard<'_, Option<Box<Serving>>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lay(&self, serving: Box<Serving>, now: u64) {
        *self.slot() = Some(serving);
        self.since.store(now + 1, Ordering::SeqCst);
    }

    /// The connection, unless another thread goes on with it.
    pub(crate) fn take_up(&self) -> Option<Box<Serving>> {
        self.since.store(0, Ordering::SeqCst);
        self.slot().take()
    }

    fn lies_since_before(&self, time: u64) -> bool {
        let since = self.since.load(Ordering::SeqCst);
        since != 0 && since <= time
    }
}

/// Sees to it that no connection lies in its berth for long.
#[derive(Debug)]
pub(crate) struct Lookout {
    clock: Instant,
    laid: AtomicU64,
    asleep: AtomicBool,
    watched: Mutex<Vec<Weak<Control>>>,
    wake: Condvar,
}

impl Lookout {
    /// A lookout with a thread of its own, which ends when nobody has the lookout any more.
    pub(crate) fn start() -> std::io::Result<Arc<Lookout>> {
        let lookout = Arc::new(Lookout {
            clock: Instant::now(),
            laid: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            watched: Mutex::default(),
            wake: Condvar::new(),
        });
        let weak = Arc::downgrade(&lookout);
        std::thread::Builder::new().name("lookout".to_owned()).spawn(move || look_out(&weak))?;
        Ok(lookout)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    fn watched(&self) -> MutexGuard<'_, Vec<Weak<Control>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the connection may be laid down.
    pub(crate) fn watch(&self, control: &Arc<Control>) {
        let mut watched = self.watched();
        watched.retain(|control| control.strong_count() > 0);
        watched.push(Arc::downgrade(control));
    }

    /// Lays a connection in its berth.
    pub(crate) fn lay(&self, control: &Control, serving: Box<Serving>) {
        control.berth.lay(serving, self.now());
        self.laid.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            let _watched = self.watched();
            self.wake.notify_one();
        }
    }

    /// Gives the connections that have lain for too long to threads of their own.
    fn look(&self) {
        let Some(time) = self.now().checked_sub(PATIENCE.as_millis() as u64) else { return };
        let late: Vec<Arc<Control>> = {
            let watched = self.watched();
            let controls = watched.iter().filter_map(Weak::upgrade);
            controls.filter(|control| control.berth.lies_since_before(time)).collect()
        };
        for control in late {
            let thread = std::thread::Builder::new().name("client taken over".to_owned());
            // Without a thread it lies on, and is looked at again.
            if let Err(error) = thread.spawn(move || connection::take_over(&control)) {
                tracing::error!("no thread for a connection whose disk is slow: {error}");
            }
        }
    }

    fn sleep(&self) {
        let laid = self.laid.load(Ordering::SeqCst);
        self.asleep.store(true, Ordering::SeqCst);
        let watched = self.watched();
        if self.laid.load(Ordering::SeqCst) == laid {
            drop(self.wake.wait_timeout(watched, SLEEP));
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

fn look_out(lookout: &Weak<Lookout>) {
    let (mut seen, mut quiet) = (0, 0);
    while let Some(lookout) = lookout.upgrade() {
        let laid = lookout.laid.load(Ordering::SeqCst);
        quiet = if laid == seen { quiet + 1 } else { 0 };
        seen = laid;
        lookout.look();
        match quiet < QUIET_TICKS {
            true => {
                drop(lookout);
                std::thread::sleep(TICK);
            }
            false => lookout.sleep(),
        }
    }
}
