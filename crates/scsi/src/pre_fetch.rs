//! PRE-FETCH(10) and PRE-FETCH(16) (SBC-3 5.7, 5.8): blocks that will be read soon.

use crate::LogicalUnit;
use crate::limits;
use crate::running::{Outcome, Running};
use crate::verify;

/// Reads the blocks, or the first of them, so that the system has them at hand. The status is GOOD and never CONDITION
/// MET, for nobody promises that they stay there. No blocks means all up to the end of the disk.
pub(crate) fn pre_fetch(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let range = command.cdb.block_range();
    let extent = unit.extent(range)?;
    command.wait()?;
    let rest = (unit.blocks() - extent.lba) * unit.block_length();
    let wanted = if extent.blocks == 0 { rest } else { extent.bytes() };
    verify::compare(unit, extent.offset(), wanted.min(limits::PRE_FETCH), None)
}
