//! What goes on at a disk when its command has ended (SANITIZE, FORMAT UNIT): on a thread of its own, a part at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use timedisk_scsi::Overhauled;

use super::Executor;

/// How long until it is tried again, if it can't go on.
const AGAIN: Duration = Duration::from_millis(500);

impl Executor {
    /// Sees to it that what a command has begun, or an earlier life has left, comes to its end.
    pub(crate) fn see_to_overhaul(self: &Arc<Self>) {
        if !self.unit.is_overhauled() || self.overhauling.swap(true, Ordering::AcqRel) {
            return;
        }
        tracing::warn!("the disk {}: all that is on it is being erased, as a client has asked", self.name());
        let executor = Arc::downgrade(self);
        let thread = std::thread::Builder::new().name(format!("overhaul {}", self.name()));
        if let Err(error) = thread.spawn(move || go_on(&executor)) {
            tracing::error!("no thread for the disk {}; it goes on at the next start: {error}", self.name());
            self.overhauling.store(false, Ordering::Release);
        }
    }

    /// Does a part, during which the disk is not at rest. `None` for a defect.
    fn carry_overhaul_on(&self) -> Option<Overhauled> {
        self.state().at_overhaul = true;
        let outcome = catch_unwind(AssertUnwindSafe(|| self.unit.carry_overhaul_on()));
        let mut state = self.state();
        state.at_overhaul = false;
        self.tell_of_rest(&state);
        outcome.ok()
    }
}

fn go_on(executor: &Weak<Executor>) {
    while let Some(executor) = executor.upgrade() {
        match executor.carry_overhaul_on() {
            Some(Overhauled::Partly) => {}
            Some(Overhauled::NotNow) => {
                drop(executor);
                std::thread::sleep(AGAIN);
            }
            Some(Overhauled::Done) => {
                tracing::warn!("the disk {}: all that was on it is erased", executor.name());
                executor.overhauling.store(false, Ordering::Release);
                // The next one may have begun meanwhile.
                return executor.see_to_overhaul();
            }
            Some(Overhauled::Failed) => {
                tracing::error!(
                    "the disk {} could not be erased; it is of no use until it is",
                    executor.name()
                );
                executor.overhauling.store(false, Ordering::Release);
                return executor.see_to_overhaul();
            }
            None => return tracing::error!("a defect ended the erasing of the disk {}", executor.name()),
        }
    }
}
