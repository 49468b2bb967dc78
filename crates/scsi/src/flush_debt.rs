//! Commands that have done all but make their data last: many of them share one flush.

use std::sync::Arc;

use timedisk_volume::{ErrorKind, Volume};

use crate::device_server::check_condition;
use crate::traffic::Effect;
use crate::{Completion, LogicalUnit, Status};

/// A command that was carried out, but perhaps for a flush.
#[derive(Debug)]
#[must_use]
pub enum Begun {
    /// It has ended.
    Ended(Completion),
    /// It ends with the next flush.
    OwesFlush(FlushDebt),
}

/// What a command has promised to make last before it ends.
#[derive(Debug)]
#[must_use]
pub struct FlushDebt {
    pub(crate) owed: Owed,
    pub(crate) unit: Arc<LogicalUnit>,
    pub(crate) effect: Effect,
    pub(crate) data_in: u64,
    pub(crate) data_out: u64,
}

/// The storage that is to be flushed, as it was before the command wrote to it.
#[derive(Debug)]
pub(crate) struct Owed {
    volume: Arc<dyn Volume>,
    failed_flushes: u64,
}

impl Owed {
    /// To be asked for before the first write.
    pub(crate) fn new(volume: Arc<dyn Volume>) -> Self {
        Owed { failed_flushes: volume.failed_flushes(), volume }
    }

    pub(crate) fn volume(&self) -> &Arc<dyn Volume> {
        &self.volume
    }

    /// What a flush that began after the writes means to them.
    fn settled(&self, flushed: Result<(), ErrorKind>) -> Result<(), ErrorKind> {
        // One that failed in between may have been that of this command's data, and a later one does not know of it.
        let lost = self.volume.failed_flushes() != self.failed_flushes;
        if lost { flushed.and(Err(ErrorKind::FlushFailed)) } else { flushed }
    }

    /// Flushes at once.
    pub(crate) fn pay(&self) -> Result<(), ErrorKind> {
        self.settled(self.volume.flush().map_err(|error| error.kind))
    }
}

impl FlushDebt {
    /// What is to be flushed. Debts with the same can be paid by the same flush.
    pub fn volume(&self) -> &Arc<dyn Volume> {
        &self.owed.volume
    }

    /// How the command ends after a flush that began when it had been begun, and that ended like this.
    pub fn settle(self, flushed: Result<(), ErrorKind>) -> Completion {
        match self.owed.settled(flushed) {
            Ok(()) => {
                self.unit.counters().count(self.effect, self.data_in, self.data_out);
                let (data_in, data_out) = (self.data_in, self.data_out);
                Completion { status: Status::Good, sense: Vec::new(), data_in, data_out }
            }
            Err(kind) => check_condition(&kind.into(), self.data_out),
        }
    }
}
