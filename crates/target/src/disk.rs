//! A disk as the server has it: a logical unit with the threads that work for it.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use timedisk_scsi::{Absence, LogicalUnit};
use timedisk_volume::{Health, Volume, VolumeError};

use crate::execution::Executor;

/// A disk. It lives on while the targets around it change.
#[derive(Debug)]
pub struct Disk {
    executor: Arc<Executor>,
    /// The outcome of a last flush that nobody waits for any more, as it hangs.
    hanging: Mutex<Option<Receiver<timedisk_volume::Result<()>>>>,
}

/// A disk could not be brought to rest.
#[derive(Debug, thiserror::Error)]
pub enum Unrest {
    /// Commands that had begun did not end in time.
    #[error("commands on {0} did not end in time")]
    Stuck(String),
    /// They ended, and what was written was not known to last in time. The flush goes on.
    #[error("the last flush of {0} did not end in time; see to the storage under it")]
    FlushHangs(String),
    /// There is no thread for the flush.
    #[error("no thread for the last flush of {0}: {1}")]
    NoThread(String, io::Error),
    /// They ended, and what was written could not be made to last.
    #[error("the last flush of {0} failed: {1}")]
    Flush(String, VolumeError),
}

impl Disk {
    /// `name` is for people's logs. What an earlier life has left of a SANITIZE or FORMAT UNIT goes on.
    pub fn new(name: impl Into<String>, unit: Arc<LogicalUnit>) -> Arc<Disk> {
        let executor = Executor::new(name.into(), unit);
        executor.see_to_overhaul();
        Arc::new(Disk { executor, hanging: Mutex::default() })
    }

    /// What people call it.
    pub fn name(&self) -> String {
        self.executor.name()
    }

    /// Calls it something else.
    pub fn rename(&self, name: &str) {
        self.executor.rename(name);
    }

    /// The logical unit.
    pub fn unit(&self) -> &Arc<LogicalUnit> {
        self.executor.unit()
    }

    /// Commands that run on its threads or wait for them.
    pub fn in_flight(&self) -> usize {
        self.executor.in_flight()
    }

    pub(crate) fn executor(&self) -> &Arc<Executor> {
        &self.executor
    }

    /// Takes the volume away from clients, and hands it out once nothing runs on it and all that was written lasts.
    /// `None` where it was away already.
    ///
    /// # Errors
    /// Something did not end before `deadline`, or could not be flushed: then the volume is back in its place.
    pub fn take(&self, absence: Absence, deadline: Instant) -> Result<Option<Arc<dyn Volume>>, Unrest> {
        let Some(volume) = self.unit().medium().take(absence) else { return Ok(None) };
        let result = self.bring_to_rest(&volume, deadline);
        if let Err(unrest) = result {
            self.unit().medium().put(volume);
            return Err(unrest);
        }
        Ok(Some(volume))
    }

    /// Waits until nothing runs, then flushes: not past `deadline`, for a flush hangs as long as the storage does.
    pub(crate) fn bring_to_rest(&self, volume: &Arc<dyn Volume>, deadline: Instant) -> Result<(), Unrest> {
        if !self.executor.wait_for_rest(deadline) {
            return Err(Unrest::Stuck(self.name()));
        }
        if volume.is_read_only() {
            return Ok(());
        }
        let has_failed = volume.health() == Health::FlushFailed;
        match self.flush(volume, deadline) {
            // What it has lost is written down already, and keeping it here would bring nothing back.
            Err(Unrest::Flush(..)) if has_failed => Ok(()),
            result => result,
        }
    }

    /// Flushes on another thread; of these there is one at a time.
    fn flush(&self, volume: &Arc<dyn Volume>, deadline: Instant) -> Result<(), Unrest> {
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut hanging = self.hanging.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have begun before what was written last: how it ends says nothing about that.
        if let Some(earlier) = &*hanging
            && matches!(earlier.recv_timeout(left()), Err(RecvTimeoutError::Timeout))
        {
            return Err(Unrest::FlushHangs(self.name()));
        }
        let (sender, outcome) = sync_channel(1);
        let (name, volume) = (self.name(), Arc::clone(volume));
        let thread = std::thread::Builder::new().name(format!("flush {name}"));
        let flush = move || {
            let result = volume.flush();
            drop(volume);
            let _ = sender.send(result);
        };
        *hanging = None;
        thread.spawn(flush).map_err(|error| Unrest::NoThread(name, error))?;
        match outcome.recv_timeout(left()) {
            Ok(result) => result.map_err(|error| Unrest::Flush(self.name(), error)),
            Err(_) => {
                *hanging = Some(outcome);
                Err(Unrest::FlushHangs(self.name()))
            }
        }
    }
}
