//! A command on its way through the device server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use timedisk_volume::VolumeError;

use crate::cdb::{Cdb, Field};
use crate::flush_debt::Owed;
use crate::sense::{Condition, Sense};
use crate::{DeviceServer, LogicalUnit, NexusId, Plan};

/// A command with what it needs, while its handler works on it.
pub(crate) struct Running<'a> {
    pub(crate) server: &'a DeviceServer,
    pub(crate) nexus: NexusId,
    /// The addressed logical unit, if there is one.
    pub(crate) unit: Option<&'a Arc<LogicalUnit>>,
    pub(crate) cdb: Cdb<'a>,
    pub(crate) data_out: &'a [u8],
    pub(crate) data_in: &'a mut [u8],
    /// Bytes that the command has to return, at first none.
    pub(crate) returned: u64,
    pub(crate) patience: Patience,
    /// Set once nobody waits for the command any more, or what it works at is taken from it.
    pub(crate) recall: Option<&'a AtomicBool>,
    /// What was planned before data moved. The logical unit may have been another then: away, smaller, protected.
    pub(crate) plan: Plan,
    /// What has to be flushed before the command ends.
    pub(crate) owed: Option<Owed>,
}

/// Whether a command may wait for the medium on this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It must come to an end at once, or else stop before it has any effect.
    Now,
    /// It takes the time that it takes.
    MayWait,
}

/// Why a handler stopped early.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// CHECK CONDITION.
    Sense(Sense),
    /// It must wait for the medium, and has had no effect so far.
    WouldWait,
    /// A reservation of another nexus forbids it.
    Conflict,
    /// Data moved for another state of the logical unit than it is in now: the client is to try again.
    Busy,
}

/// How a handler ends.
pub(crate) type Outcome = Result<(), Stop>;

impl From<Sense> for Stop {
    fn from(sense: Sense) -> Self {
        Stop::Sense(sense)
    }
}

impl From<&'static Condition> for Stop {
    fn from(condition: &'static Condition) -> Self {
        Stop::Sense(condition.into())
    }
}

impl From<VolumeError> for Stop {
    fn from(error: VolumeError) -> Self {
        Stop::Sense(error.kind.into())
    }
}

impl Running<'_> {
    /// Refuses to go on with data that were gathered, or room that was made, when less was planned than the command
    /// moves now. What did not come was not left out by the client.
    pub(crate) fn check_plan(&self, data_in: u64, data_out: u64) -> Outcome {
        let enough = data_in <= u64::from(self.plan.data_in) && data_out <= u64::from(self.plan.data_out);
        if enough { Ok(()) } else { Err(Stop::Busy) }
    }

    /// Whether it is to stop where it can.
    pub(crate) fn is_recalled(&self) -> bool {
        self.recall.is_some_and(|recall| recall.load(Ordering::Acquire))
    }

    /// From here on the command may wait; all that can be refused without has been refused.
    pub(crate) fn wait(&self) -> Outcome {
        match self.patience {
            Patience::Now => Err(Stop::WouldWait),
            Patience::MayWait => Ok(()),
        }
    }

    /// Returns parameter data, as much as the ALLOCATION LENGTH field admits (SPC-4 4.2.5.6).
    pub(crate) fn respond(&mut self, data: &[u8], allocation_length: Field) {
        let allocated = usize::try_from(self.cdb.number(allocation_length)).unwrap_or(usize::MAX);
        let data = &data[..data.len().min(allocated)];
        let fits = data.len().min(self.data_in.len());
        self.data_in[..fits].copy_from_slice(&data[..fits]);
        self.returned = data.len() as u64;
    }

    /// The parameter list of the length that the CDB claims, if it has come whole.
    pub(crate) fn parameter_list(&self, length: Field) -> Result<&[u8], Sense> {
        usize::try_from(self.cdb.number(length))
            .ok()
            .and_then(|length| self.data_out.get(..length))
            .ok_or_else(|| (&crate::sense::PARAMETER_LIST_LENGTH_ERROR).into())
    }
}
