//! Group commit: flushes that come together share one fdatasync(2).

#[cfg(test)]
mod tests;

use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// Lets one caller at a time synchronize, for all who came before it began.
///
/// Synchronizations are numbered. A flush that arrives while one runs waits for the next: the running one
/// may have passed its writes by. After one failure there is never another.
#[derive(Debug, Default)]
pub(super) struct GroupCommit {
    progress: Mutex<Progress>,
    changed: Condvar,
    failure: OnceLock<String>,
}

#[derive(Debug, Default)]
struct Progress {
    running: bool,
    started: u64,
    finished: u64,
}

impl GroupCommit {
    /// One that is fresh, or one that has failed in an earlier life.
    pub(super) fn new(failure: Option<String>) -> Self {
        let cell = OnceLock::new();
        if let Some(reason) = failure {
            // The cell is empty: nobody else has seen it.
            let _ = cell.set(reason);
        }
        Self { failure: cell, ..Self::default() }
    }

    /// Why nothing is promised any more, if that is so.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Returns when a synchronization that began after this call has succeeded. `synchronize` is called by
    /// one of those who wait; before it returns a failure it has made sure that it will not be forgotten.
    pub(super) fn flush(&self, synchronize: impl Fn() -> Result<(), String>) -> Result<(), String> {
        let mut progress = self.progress();
        let mine = progress.started + 1;
        loop {
            if progress.finished >= mine {
                return Ok(());
            }
            if let Some(reason) = self.failure() {
                return Err(reason.to_owned());
            }
            if progress.running {
                progress = self.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            progress.running = true;
            progress.started += 1;
            drop(progress);
            let result = synchronize();
            progress = self.progress();
            progress.running = false;
            match result {
                Ok(()) => progress.finished = progress.started,
                // Only one runs at a time, so the cell is empty.
                Err(reason) => drop(self.failure.set(reason)),
            }
            self.changed.notify_all();
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
