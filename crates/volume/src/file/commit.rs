//! Group commit: flushes that come together share one fdatasync(2).

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Lets one caller at a time synchronize, for all who came before it began.
///
/// Synchronizations are numbered. A flush that arrives while one runs waits for the next: the running one
/// may have passed its writes by. Failures are counted: whoever has seen fewer of them than there are is
/// told, because the system tells of lost data once, and what was lost may have been theirs.
#[derive(Debug, Default)]
pub(super) struct GroupCommit {
    progress: Mutex<Progress>,
    changed: Condvar,
    /// How many have failed; changes with the progress locked.
    failures: AtomicU64,
}

#[derive(Debug, Default)]
struct Progress {
    running: bool,
    started: u64,
    finished: u64,
    /// How many wait for another's synchronization to end: often nobody, and waking nobody costs a system call.
    waiting: usize,
    /// Of the last failure.
    reason: String,
}

impl GroupCommit {
    /// How many synchronizations have failed.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::SeqCst)
    }

    /// Returns when a synchronization that began after this call has succeeded. Fails if more than `seen`
    /// have failed. `synchronize` is called by one of those who wait; before it returns a failure it has
    /// made sure that it will not be forgotten.
    pub(super) fn flush(
        &self,
        seen: u64,
        synchronize: impl Fn() -> Result<(), String>,
    ) -> Result<(), String> {
        let mut progress = self.progress();
        let mine = progress.started + 1;
        loop {
            if self.failures() > seen {
                return Err(progress.reason.clone());
            }
            if progress.finished >= mine {
                return Ok(());
            }
            progress =
                if progress.running { self.wait(progress) } else { self.run(progress, &synchronize).0 };
        }
    }

    /// Runs `synchronize` by itself, as soon as no other runs, whatever has failed before.
    pub(super) fn alone(&self, synchronize: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        let mut progress = self.progress();
        while progress.running {
            progress = self.wait(progress);
        }
        self.run(progress, synchronize).1
    }

    /// Marks one synchronization as running while `synchronize` is, and notes how it ended.
    fn run<'all>(
        &'all self,
        mut progress: MutexGuard<'all, Progress>,
        synchronize: impl FnOnce() -> Result<(), String>,
    ) -> (MutexGuard<'all, Progress>, Result<(), String>) {
        progress.running = true;
        progress.started += 1;
        drop(progress);
        let result = synchronize();
        progress = self.progress();
        progress.running = false;
        match &result {
            Ok(()) => progress.finished = progress.started,
            Err(reason) => {
                progress.reason.clone_from(reason);
                self.failures.fetch_add(1, Ordering::SeqCst);
            }
        }
        if progress.waiting > 0 {
            self.changed.notify_all();
        }
        (progress, result)
    }

    fn wait<'all>(&'all self, mut progress: MutexGuard<'all, Progress>) -> MutexGuard<'all, Progress> {
        progress.waiting += 1;
        progress = self.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
        progress.waiting -= 1;
        progress
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
