//! WRITE SAME in all lengths (SBC-3 5.42 to 5.44).

use timedisk_volume::{Allocation, Durability};

use crate::LogicalUnit;
use crate::cdb::Cdb;
use crate::limits;
use crate::logical_unit::Extent;
use crate::read_write::refuse_protection;
use crate::running::{Outcome, Running};
use crate::sense::{INVALID_FIELD_IN_CDB, Sense};

/// The blocks that the command writes, if it can be carried out at all.
fn extent(unit: &LogicalUnit, cdb: Cdb<'_>) -> Result<Extent, Sense> {
    refuse_protection(cdb)?;
    // ANCHOR, and the obsolete PBDATA and LBDATA, which would write more than the block.
    if let Some(bit) = [4, 2, 1].into_iter().find(|bit| cdb.flag(*bit)) {
        return Err(Sense::invalid_cdb(cdb.flags_byte(), bit));
    }
    let range = cdb.block_range();
    let extent = unit.extent(range)?;
    // Zero blocks would mean all up to the end of the disk. The Block Limits page says that they do not
    // (WSNZ).
    if extent.blocks == 0 || extent.blocks > limits::WRITE_SAME_BLOCKS {
        return Err(Sense::invalid_cdb(range.length_byte, None));
    }
    Ok(extent)
}

/// NDOB: there is no Data-Out Buffer, and zeros are meant. Only the longer commands have it.
fn no_data_out(cdb: Cdb<'_>) -> bool {
    cdb.operation_code() != Some(0x41) && cdb.flag(0)
}

/// Bytes of Data-Out that the command takes.
pub(crate) fn data_out(unit: &LogicalUnit, cdb: Cdb<'_>) -> Result<u64, Sense> {
    extent(unit, cdb)?;
    Ok(if no_data_out(cdb) { 0 } else { unit.block_length() })
}

/// Zeros give their space back, with UNMAP and without: they read the same, and the disk stays as sparse
/// as it can be. Other data are written, with UNMAP too, for unmapped blocks would not read like them
/// (SBC-3 4.7.3.4).
pub(crate) fn write_same(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let extent = extent(unit, command.cdb)?;
    let zeros = no_data_out(command.cdb);
    // A client whose idea of a block is another would get other blocks than it wants.
    if !zeros && command.data_out.len() as u64 != unit.block_length() {
        return Err((&INVALID_FIELD_IN_CDB).into());
    }
    command.wait()?;
    if zeros || command.data_out.iter().all(|byte| *byte == 0) {
        let (offset, length) = (extent.offset(), extent.bytes());
        let durability = unit.durability(false);
        unit.volume()?.write_zeroes(offset, length, Allocation::Release, durability)?;
        return Ok(());
    }
    write_pattern(unit, &extent, command.data_out)
}

fn write_pattern(unit: &LogicalUnit, extent: &Extent, block: &[u8]) -> Outcome {
    let length = extent.bytes();
    let chunk_length = length.min(limits::CHUNK as u64) as usize;
    let chunk = block.repeat(chunk_length / block.len().max(1));
    let mut done = 0;
    while done < length {
        let step = (length - done).min(chunk.len() as u64);
        let data = &chunk[..step as usize];
        unit.volume()?.write(extent.offset() + done, data, Durability::Volatile)?;
        done += step;
    }
    // One flush in the end is as good as one for each chunk.
    if unit.durability(false) == Durability::Durable {
        unit.volume()?.flush()?;
    }
    Ok(())
}
