//! WRITE ATOMIC(16) (SBC-4 5.48): after a power cut all of the blocks are written, or none.

use crate::LogicalUnit;
use crate::cdb::{Cdb, Field};
use crate::logical_unit::Extent;
use crate::read_write::refuse_protection;
use crate::running::{Outcome, Running};
use crate::sense::{INVALID_FIELD_IN_CDB, Sense};

/// ATOMIC BOUNDARY; the Block Limits page says that there are none.
const BOUNDARY: Field = Field { byte: 10, width: 2 };

fn extent(unit: &LogicalUnit, cdb: Cdb<'_>) -> Result<Extent, Sense> {
    refuse_protection(cdb)?;
    if cdb.number(BOUNDARY) != 0 {
        return Err(Sense::invalid_cdb(BOUNDARY.byte, None));
    }
    let range = cdb.block_range();
    let extent = unit.extent(range)?;
    if extent.blocks > unit.atomic_blocks().into() {
        return Err(Sense::invalid_cdb(range.length_byte, None));
    }
    Ok(extent)
}

/// Bytes of Data-Out that the command takes.
pub(crate) fn data_out(unit: &LogicalUnit, cdb: Cdb<'_>) -> Result<u64, Sense> {
    Ok(extent(unit, cdb)?.bytes())
}

/// What is written in one piece lasts, with FUA or without.
pub(crate) fn write_atomic(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let extent = extent(unit, command.cdb)?;
    command.check_plan(0, extent.bytes())?;
    let length = usize::try_from(extent.bytes()).ok();
    // A part of the blocks is what nobody wants.
    let Some(data) = length.and_then(|length| command.data_out.get(..length)) else {
        return Err((&INVALID_FIELD_IN_CDB).into());
    };
    command.wait()?;
    match data.is_empty() {
        true => Ok(()),
        false => Ok(unit.volume()?.write_atomic(extent.offset(), data)?),
    }
}
