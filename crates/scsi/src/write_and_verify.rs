//! WRITE AND VERIFY in all lengths (SBC-3 5.38 to 5.41).

use timedisk_volume::Durability;

use crate::LogicalUnit;
use crate::cdb::Cdb;
use crate::logical_unit::Extent;
use crate::read_write::{self, whole_blocks};
use crate::running::{Outcome, Running};
use crate::sense::Sense;
use crate::verify;

/// The blocks that the command writes, if it can be carried out at all, and whether they are compared
/// with what was sent (BYTCHK).
fn extent(unit: &LogicalUnit, cdb: Cdb<'_>) -> Result<(Extent, bool), Sense> {
    let extent = read_write::extent(unit, cdb)?;
    // Unlike VERIFY, this compares with one block for all in no case: 11b is reserved.
    match cdb.byte_check() {
        0b00 => Ok((extent, false)),
        0b01 => Ok((extent, true)),
        _ => Err(Sense::invalid_cdb(cdb.flags_byte(), 2)),
    }
}

/// Bytes of Data-Out that the command takes.
pub(crate) fn data_out(unit: &LogicalUnit, cdb: Cdb<'_>) -> Result<u64, Sense> {
    Ok(extent(unit, cdb)?.0.bytes())
}

/// The medium is what is verified, so the write is durable whatever the write cache is set to.
pub(crate) fn write_and_verify(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let (extent, compare) = extent(unit, command.cdb)?;
    command.check_plan(0, extent.bytes())?;
    let data = whole_blocks(unit, command.data_out, &extent);
    command.wait()?;
    if data.is_empty() {
        return Ok(());
    }
    unit.volume()?.write(extent.offset(), data, Durability::Durable)?;
    let expected = compare.then_some(data);
    verify::compare(unit, extent.offset(), data.len() as u64, expected)
}
