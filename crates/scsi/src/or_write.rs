//! ORWRITE(16) (SBC-3 5.9): bits are set in blocks, as one step.

use timedisk_volume::Durability;

use crate::LogicalUnit;
use crate::limits::CHUNK;
use crate::read_write::{self, whole_blocks};
use crate::running::{Outcome, Running};

pub(crate) fn or_write(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let extent = read_write::extent(unit, command.cdb)?;
    command.check_plan(0, extent.bytes())?;
    let data = whole_blocks(unit, command.data_out, &extent);
    command.wait()?;
    if data.is_empty() {
        return Ok(());
    }
    read_write::change(unit, command, |volume| {
        let mut buffer = vec![0; data.len().min(CHUNK)];
        let mut offset = extent.offset();
        for piece in data.chunks(CHUNK) {
            let (mixed, _) = buffer.split_at_mut(piece.len());
            volume.read(offset, mixed)?;
            mixed.iter_mut().zip(piece).for_each(|(byte, bits)| *byte |= bits);
            volume.write(offset, mixed, Durability::Volatile)?;
            offset += piece.len() as u64;
        }
        Ok(())
    })
}
