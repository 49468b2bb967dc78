//! Third-party copies (SPC-4 5.17): blocks are copied between logical units without passing through the initiator, and
//! only between those that this very nexus may read and write.

mod list;
pub(crate) mod page;
pub(crate) mod populate_token;
mod ranges;
pub(crate) mod results;
pub(crate) mod rod;
mod segment;
pub(crate) mod status;
mod token;
mod transfer;
pub(crate) mod write_using_token;

use std::sync::Arc;

use crate::cdb::{Cdb, Field};
use crate::running::{Outcome, Running, Stop};
use crate::sense::{PARAMETER_LIST_LENGTH_ERROR, Sense, SenseKey};
use crate::{DeviceServer, LogicalUnit};
use list::List;
use results::Kept;
use transfer::Transfer;

const OPERATION_CODE: u8 = 0x83;

/// Service actions that copy.
pub(crate) const SERVICE_ACTION_COPY: u8 = 0x00;
pub(crate) const SERVICE_ACTION_COPY_LONG: u8 = 0x01;
pub(crate) const SERVICE_ACTION_POPULATE: u8 = 0x10;
pub(crate) const SERVICE_ACTION_WRITE: u8 = 0x11;

const PARAMETER_LIST_LENGTH: Field = Field { byte: 10, width: 4 };

/// LIST IDENTIFIER of POPULATE TOKEN and WRITE USING TOKEN.
const LIST_IDENTIFIER: Field = Field { byte: 6, width: 4 };

/// Bytes that one segment descriptor may copy.
pub(crate) const MOST_BYTES: u64 = 64 << 20;

/// Bytes of Data-Out that the command takes.
pub(crate) fn data_out(_: &LogicalUnit, cdb: Cdb<'_>) -> Result<u64, Sense> {
    match cdb.number(PARAMETER_LIST_LENGTH) {
        length if length <= list::MOST_BYTES => Ok(length),
        _ => Err((&PARAMETER_LIST_LENGTH_ERROR).into()),
    }
}

/// What is asked of the copy manager; it has five bits.
fn service_action(cdb: Cdb<'_>) -> u8 {
    cdb.byte(1) & 0x1f
}

/// The logical units that a copy reads or writes; none where the command will be refused.
pub(crate) fn parties(server: &DeviceServer, cdb: Cdb<'_>, data_out: &[u8]) -> Option<Vec<Arc<LogicalUnit>>> {
    match (cdb.operation_code()?, service_action(cdb)) {
        (OPERATION_CODE, SERVICE_ACTION_COPY | SERVICE_ACTION_COPY_LONG) => {
            let list = read(cdb, data_out);
            let named = list.iter().flat_map(|list| &list.units);
            Some(named.filter_map(|named| segment::unit(server, named)).cloned().collect())
        }
        (OPERATION_CODE, SERVICE_ACTION_WRITE) => {
            Some(write_using_token::party(server, data_out).into_iter().collect())
        }
        _ => None,
    }
}

/// The iSCSI name of the initiator that has sent the command.
fn initiator(unit: &LogicalUnit, command: &Running<'_>) -> Option<String> {
    unit.reservations().initiator(command.nexus)
}

/// Refuses a list whose first field, its own length, says less than has to be there, or more than is.
fn check_data_length(list: &[u8], least: u16) -> Outcome {
    let length = list.first_chunk().map(|length| u16::from_be_bytes(*length));
    match length.ok_or(&PARAMETER_LIST_LENGTH_ERROR)? {
        length if length < least => Err(Sense::invalid_parameter(0, None).into()),
        length if usize::from(length) + 2 > list.len() => Err((&PARAMETER_LIST_LENGTH_ERROR).into()),
        _ => Ok(()),
    }
}

fn read(cdb: Cdb<'_>, list: &[u8]) -> Result<List, Stop> {
    match service_action(cdb) {
        SERVICE_ACTION_COPY => List::read_short(list),
        _ => List::read_long(list),
    }
}

/// Says in which segment a copy was aborted (SPC-4 5.17.7.4).
fn in_segment(stop: Stop, segment: u16) -> Stop {
    match stop {
        Stop::Sense(sense) if sense.condition.key == SenseKey::CopyAborted => {
            Stop::Sense(sense.with_command_specific(segment.into()))
        }
        stop => stop,
    }
}

/// EXTENDED COPY (SPC-4 6.4, 6.5).
pub(crate) fn extended_copy(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let bytes = command.parameter_list(PARAMETER_LIST_LENGTH)?;
    if bytes.is_empty() {
        return Ok(());
    }
    let list = read(command.cdb, bytes)?;
    segment::check_lengths(command, &list)?;
    command.wait()?;
    let begin = |identifier| unit.copies().begin(command.nexus, identifier, service_action(command.cdb));
    let underway = list.identifier.map(begin).transpose()?;
    let mut transfer = Transfer::new(command);
    if let Some(underway) = &underway {
        transfer = transfer.until(underway.cancel());
    }
    let mut segments = 0;
    let copied = list.segments.iter().try_for_each(|segment| {
        segment::copy(&mut transfer, command, &list, segment).map_err(|stop| in_segment(stop, segments))?;
        segments += 1;
        Ok(())
    });
    let count = transfer.written();
    let outcome = transfer.end(copied);
    if let Some(underway) = underway {
        underway.end(&outcome, Kept { segments, count, token: None });
    }
    outcome
}
