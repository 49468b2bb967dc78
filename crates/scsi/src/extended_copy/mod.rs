//! Third-party copies (SPC-4 5.17): blocks are copied between logical units without passing through the initiator, and
//! only between those that this very nexus may read and write.

mod list;
pub(crate) mod results;
mod segment;
mod transfer;

use std::sync::Arc;

use crate::cdb::{Cdb, Field};
use crate::running::{Outcome, Running};
use crate::sense::{PARAMETER_LIST_LENGTH_ERROR, Sense};
use crate::{DeviceServer, LogicalUnit};
use list::List;
use results::CopyResult;
use transfer::Transfer;

const OPERATION_CODE: u8 = 0x83;

const PARAMETER_LIST_LENGTH: Field = Field { byte: 10, width: 4 };

/// Bytes that one segment descriptor may copy.
pub(crate) const MOST_BYTES: u64 = 64 << 20;

/// Bytes of Data-Out that the command takes.
pub(crate) fn data_out(_: &LogicalUnit, cdb: Cdb<'_>) -> Result<u64, Sense> {
    match cdb.number(PARAMETER_LIST_LENGTH) {
        length if length <= list::MOST_BYTES => Ok(length),
        _ => Err((&PARAMETER_LIST_LENGTH_ERROR).into()),
    }
}

/// The logical units that a copy reads or writes; none where the command will be refused.
pub(crate) fn parties(server: &DeviceServer, cdb: Cdb<'_>, data_out: &[u8]) -> Option<Vec<Arc<LogicalUnit>>> {
    if cdb.operation_code() != Some(OPERATION_CODE) {
        return None;
    }
    let list = List::read(data_out);
    let named = list.iter().flat_map(|list| &list.units);
    Some(named.filter_map(|named| segment::unit(server, named)).cloned().collect())
}

/// EXTENDED COPY (SPC-4 6.4) with list identifiers of one byte (LID1).
pub(crate) fn extended_copy(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let bytes = command.parameter_list(PARAMETER_LIST_LENGTH)?;
    if bytes.is_empty() {
        return Ok(());
    }
    let list = List::read(bytes)?;
    segment::check_lengths(command.server, &list)?;
    command.wait()?;
    let mut transfer = Transfer::new(command);
    let mut done = 0;
    let copied = list.segments.iter().try_for_each(|segment| {
        segment::copy(&mut transfer, command.server, &list, segment)?;
        done += 1;
        Ok(())
    });
    let outcome = transfer.end(copied);
    if let Some(identifier) = list.identifier {
        let is_good = outcome.is_ok();
        unit.copies().keep(CopyResult { nexus: command.nexus, identifier, is_good, segments: done });
    }
    outcome
}
