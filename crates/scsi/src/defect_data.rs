//! READ DEFECT DATA(10) and READ DEFECT DATA(12) (SBC-3 5.14, 5.15): this medium has none.

use crate::LogicalUnit;
use crate::cdb::Field;
use crate::running::{Outcome, Running};

pub(crate) const ALLOCATION_LENGTH_10: Field = Field { byte: 7, width: 2 };
pub(crate) const ALLOCATION_LENGTH_12: Field = Field { byte: 6, width: 4 };

/// REQ_PLIST, REQ_GLIST and the format, which the answer repeats as what it gives.
const LISTS: u8 = 0x1f;

pub(crate) fn read_defect_data_10(_: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let lists = command.cdb.byte(2) & LISTS;
    command.respond(&[0, lists, 0, 0], ALLOCATION_LENGTH_10);
    Ok(())
}

pub(crate) fn read_defect_data_12(_: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let lists = command.cdb.byte(1) & LISTS;
    command.respond(&[0, lists, 0, 0, 0, 0, 0, 0], ALLOCATION_LENGTH_12);
    Ok(())
}
