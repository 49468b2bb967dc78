//! COMPARE AND WRITE (SBC-3 5.2): blocks are written if they are what the initiator says, and nobody gets in between.

use timedisk_volume::Durability;

use crate::LogicalUnit;
use crate::cdb::Cdb;
use crate::logical_unit::Extent;
use crate::read_write;
use crate::running::{Outcome, Running};
use crate::sense::{INVALID_FIELD_IN_CDB, Sense};
use crate::verify;

/// The most blocks of one command: the field that counts them is one byte.
pub(crate) const MOST_BLOCKS: u8 = 255;

fn extent(unit: &LogicalUnit, cdb: Cdb<'_>) -> Result<Extent, Sense> {
    read_write::extent(unit, cdb)
}

/// Bytes of Data-Out that the command takes: what should be there, and what shall be.
pub(crate) fn data_out(unit: &LogicalUnit, cdb: Cdb<'_>) -> Result<u64, Sense> {
    Ok(extent(unit, cdb)?.bytes() * 2)
}

pub(crate) fn compare_and_write(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let extent = extent(unit, command.cdb)?;
    let data = command.data_out;
    // A client whose idea of a block, or of their number, is another would compare and write other blocks.
    if data.len() as u64 != extent.bytes() * 2 {
        return Err((&INVALID_FIELD_IN_CDB).into());
    }
    command.wait()?;
    if data.is_empty() {
        return Ok(());
    }
    let (expected, new) = data.split_at(data.len() / 2);
    verify::compare(unit, extent.offset(), extent.bytes(), Some(expected))?;
    read_write::change(unit, command, |volume| {
        Ok(volume.write(extent.offset(), new, Durability::Volatile)?)
    })
}
