//! READ CAPACITY(10) and READ CAPACITY(16) (SBC-3 5.15, 5.16).

use crate::LogicalUnit;
use crate::cdb::Field;
use crate::running::{Outcome, Running};

pub(crate) const ALLOCATION_LENGTH_16: Field = Field { byte: 10, width: 4 };

/// Bytes of READ CAPACITY(10) parameter data. The command has no allocation length.
pub(crate) const LENGTH_10: u32 = 8;

pub(crate) fn read_capacity_10(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    // All ones send the client to the longer command.
    let last = u32::try_from(last_block(unit)).unwrap_or(u32::MAX);
    let block_length = unit.block_length() as u32;
    let data = [last.to_be_bytes(), block_length.to_be_bytes()].concat();
    let fits = data.len().min(command.data_in.len());
    command.data_in[..fits].copy_from_slice(&data[..fits]);
    command.returned = u64::from(LENGTH_10);
    Ok(())
}

pub(crate) fn read_capacity_16(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let mut data = [0; 32];
    data[..8].copy_from_slice(&last_block(unit).to_be_bytes());
    data[8..12].copy_from_slice(&(unit.block_length() as u32).to_be_bytes());
    data[13] = unit.physical_exponent();
    // LBPME and LBPRZ; the first block is aligned.
    data[14] = 0x80 | 0x40;
    command.respond(&data, ALLOCATION_LENGTH_16);
    Ok(())
}

fn last_block(unit: &LogicalUnit) -> u64 {
    unit.blocks().saturating_sub(1)
}
