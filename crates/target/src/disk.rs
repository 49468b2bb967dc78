//! A disk as the server has it: a logical unit with the threads that work for it.

use std::sync::Arc;
use std::time::Instant;

use timedisk_scsi::{Absence, LogicalUnit};
use timedisk_volume::{Volume, VolumeError};

use crate::execution::Executor;

/// A disk. It lives on while the targets around it change.
#[derive(Debug)]
pub struct Disk {
    executor: Arc<Executor>,
}

/// A disk could not be brought to rest.
#[derive(Debug, thiserror::Error)]
pub enum Unrest {
    /// Commands that had begun did not end in time.
    #[error("commands on {0} did not end in time")]
    Stuck(String),
    /// They ended, and what was written could not be made to last.
    #[error("the last flush of {0} failed: {1}")]
    Flush(String, VolumeError),
}

impl Disk {
    /// `name` is for people's logs.
    pub fn new(name: impl Into<String>, unit: Arc<LogicalUnit>) -> Arc<Disk> {
        Arc::new(Disk { executor: Executor::new(name.into(), unit) })
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
        let result = self.bring_to_rest(&*volume, deadline);
        if let Err(unrest) = result {
            self.unit().medium().put(volume);
            return Err(unrest);
        }
        Ok(Some(volume))
    }

    /// Waits until nothing runs, then flushes.
    pub(crate) fn bring_to_rest(&self, volume: &dyn Volume, deadline: Instant) -> Result<(), Unrest> {
        if !self.executor.wait_for_rest(deadline) {
            return Err(Unrest::Stuck(self.name()));
        }
        if volume.is_read_only() {
            return Ok(());
        }
        volume.flush().map_err(|error| Unrest::Flush(self.name(), error))
    }
}
