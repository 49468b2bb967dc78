//! REPORT TIMESTAMP and SET TIMESTAMP (SPC-4 5.2, 6.37, 6.46): what time it is to the logical unit.

use std::sync::{Mutex, PoisonError};

use crate::cdb::{Cdb, Field};
use crate::running::{Outcome, Running};
use crate::sense::{PARAMETER_LIST_LENGTH_ERROR, Sense, TIMESTAMP_CHANGED};
use crate::{LogicalUnit, NexusId};

/// Tells the time: milliseconds since the beginning of 1970, UTC. It answers at once.
pub type Clock = fn() -> u64;

/// Both lengths stand in the same place.
pub(crate) const LENGTH: Field = Field { byte: 6, width: 4 };

/// Bytes of the parameter data of both.
pub(crate) const PARAMETERS: u32 = 12;

/// TIMESTAMP has 48 bits.
const MASK: u64 = (1 << 48) - 1;

/// TIMESTAMP ORIGIN.
const SET_BY_COMMAND: u8 = 0b010;
const SET_OTHERWISE: u8 = 0b011;

/// How far a client has put the time of a logical unit ahead of the clock, if one has. It counts until the end of the
/// process: after that, the clock knows better.
#[derive(Debug, Default)]
pub(crate) struct Timestamp(Mutex<Option<u64>>);

impl Timestamp {
    fn ahead(&self) -> Option<u64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, unit: &LogicalUnit, nexus: NexusId, ahead: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        unit.attentions().establish_for_others(nexus, &TIMESTAMP_CHANGED);
    }
}

pub(crate) fn report_timestamp(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let now = command.server.now();
    let (time, origin) = match unit.timestamp().ahead() {
        Some(ahead) => (now.wrapping_add(ahead), SET_BY_COMMAND),
        None => (now, SET_OTHERWISE),
    };
    let [_, _, time @ ..] = (time & MASK).to_be_bytes();
    let data = [&[0, PARAMETERS as u8 - 2, origin, 0], &time[..], &[0, 0]].concat();
    command.respond(&data, LENGTH);
    Ok(())
}

/// Bytes of Data-Out that SET TIMESTAMP takes: none, or those of the parameter data.
pub(crate) fn data_out(_: &LogicalUnit, cdb: Cdb<'_>) -> Result<u64, Sense> {
    match cdb.number(LENGTH) {
        length if length == 0 || length == PARAMETERS.into() => Ok(length),
        _ => Err((&PARAMETER_LIST_LENGTH_ERROR).into()),
    }
}

pub(crate) fn set_timestamp(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    if data_out(unit, command.cdb)? == 0 {
        return Ok(());
    }
    let list = command.parameter_list(LENGTH)?;
    let time = list.iter().skip(4).take(6).fold(0, |time, byte| time << 8 | u64::from(*byte));
    unit.timestamp().set(unit, command.nexus, time.wrapping_sub(command.server.now()));
    Ok(())
}
