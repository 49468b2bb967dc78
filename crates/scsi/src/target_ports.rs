//! REPORT TARGET PORT GROUPS (SPC-4 6.37) and REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 6.36): how a logical
//! unit is reached, and what the ways there can do.

use crate::LogicalUnit;
use crate::cdb::Field;
use crate::running::{Outcome, Running};
use crate::sense::Sense;

pub(crate) const ALLOCATION_LENGTH: Field = Field { byte: 6, width: 4 };

/// The longest answers in bytes.
pub(crate) const MOST_GROUPS: u32 = 32;
pub(crate) const MOST_FUNCTIONS: u32 = 16;

/// RELATIVE TARGET PORT IDENTIFIER of the only port that a target has.
pub(crate) const PORT: u16 = 1;

/// AO_SUP: the port group is always active and optimized.
const ALWAYS_OPTIMIZED: u8 = 0x01;

pub(crate) fn report_target_port_groups(_: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let mut data = match command.cdb.byte(1) >> 5 {
        0 => vec![0; 4],
        // The extended header: its format, and no time that a transition takes.
        1 => vec![0, 0, 0, 0, 0x10, 0, 0, 0],
        _ => return Err(Sense::invalid_cdb(1, 7).into()),
    };
    let group = command.server.portal_group_tag().to_be_bytes();
    data.extend([0, ALWAYS_OPTIMIZED, group[0], group[1], 0, 0, 0, 1]);
    data.extend([0, 0]);
    data.extend(PORT.to_be_bytes());
    let length = (data.len() - 4) as u32;
    data[..4].copy_from_slice(&length.to_be_bytes());
    command.respond(&data, ALLOCATION_LENGTH);
    Ok(())
}

/// ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET; and TARGET RESET, which newer standards don't know.
const FUNCTIONS: u8 = 0x80 | 0x40 | 0x10 | 0x08 | 0x02;

pub(crate) fn report_supported_task_management_functions(
    _: &LogicalUnit,
    command: &mut Running<'_>,
) -> Outcome {
    // REPD asks for times, too: no promises.
    let data = match command.cdb.bit(2, 7) {
        false => vec![FUNCTIONS, 0, 0, 0],
        true => [&[FUNCTIONS, 0, 0, 12][..], &[0; 12]].concat(),
    };
    command.respond(&data, ALLOCATION_LENGTH);
    Ok(())
}
