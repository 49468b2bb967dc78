//! REPORT SUPPORTED OPERATION CODES (SPC-4 6.35), all of it from the table that commands are dispatched
//! by.

use crate::LogicalUnit;
use crate::cdb::{Field, VARIABLE_LENGTH};
use crate::command_table::{COMMANDS, Command};
use crate::running::{Outcome, Running};
use crate::sense::Sense;

pub(crate) const ALLOCATION_LENGTH: Field = Field { byte: 6, width: 4 };

/// The longest answer in bytes: all commands, with timeouts.
pub(crate) const MOST: u32 = 4 + 20 * 256;

/// Command timeouts descriptor (SPC-4 6.35.4): its length and no promises.
const TIMEOUTS: [u8; 12] = [0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

const REQUESTED_OPERATION_CODE: usize = 3;
const REQUESTED_SERVICE_ACTION: Field = Field { byte: 4, width: 2 };

pub(crate) fn supported_operation_codes(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let cdb = command.cdb;
    let with_timeouts = cdb.bit(2, 7);
    let code = cdb.byte(REQUESTED_OPERATION_CODE);
    let service_action = cdb.number(REQUESTED_SERVICE_ACTION);
    let has_service_actions =
        offered(unit).any(|row| row.operation_code == code && row.service_action.is_some());
    let supported = offered(unit).any(|row| row.operation_code == code);
    let refused = Sense::invalid_cdb(REQUESTED_OPERATION_CODE, None);
    let requested = match cdb.byte(2) & 0b111 {
        0b000 => {
            command.respond(&all_commands(unit, with_timeouts), ALLOCATION_LENGTH);
            return Ok(());
        }
        0b001 if has_service_actions => return Err(refused.into()),
        0b001 => find(unit, code, None),
        0b010 if supported && !has_service_actions => return Err(refused.into()),
        0b010 => find(unit, code, Some(service_action)),
        0b011 if has_service_actions => find(unit, code, Some(service_action)),
        0b011 if service_action == 0 => find(unit, code, None),
        0b011 => None,
        _ => return Err(Sense::invalid_cdb(2, 2).into()),
    };
    command.respond(&one_command(requested, with_timeouts), ALLOCATION_LENGTH);
    Ok(())
}

/// The commands that this disk has.
fn offered(unit: &LogicalUnit) -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().filter(|row| unit.offers(row))
}

fn find(unit: &LogicalUnit, code: u8, service_action: Option<u64>) -> Option<&'static Command> {
    offered(unit)
        .find(|row| row.operation_code == code && row.service_action.map(u64::from) == service_action)
}

fn all_commands(unit: &LogicalUnit, with_timeouts: bool) -> Vec<u8> {
    let mut descriptors = Vec::new();
    for row in offered(unit) {
        let [length_high, length_low] = (row.usage.len() as u16).to_be_bytes();
        let service_action = row.service_action.unwrap_or(0);
        // SERVACTV, CTDP.
        let flags = u8::from(row.service_action.is_some()) | u8::from(with_timeouts) << 1;
        let code = row.operation_code;
        descriptors.extend([code, 0, 0, service_action, 0, flags, length_high, length_low]);
        if with_timeouts {
            descriptors.extend(TIMEOUTS);
        }
    }
    let length = (descriptors.len() as u32).to_be_bytes();
    [&length, &descriptors[..]].concat()
}

fn one_command(row: Option<&Command>, with_timeouts: bool) -> Vec<u8> {
    let Some(row) = row else {
        // SUPPORT 001b: not supported.
        return vec![0, 0x01, 0, 0];
    };
    let [length_high, length_low] = (row.usage.len() as u16).to_be_bytes();
    // CTDP, and SUPPORT 011b: supported as the standard says.
    let mut data = vec![0, u8::from(with_timeouts) << 7 | 0x03, length_high, length_low];
    data.extend(row.usage);
    data[4] = row.operation_code;
    // The service action stands there as it is, the rest is what is looked at (SPC-4 6.35.3).
    if let Some(action) = row.service_action {
        let usage = &mut data[4..];
        match row.operation_code {
            VARIABLE_LENGTH => usage[8..10].copy_from_slice(&u16::from(action).to_be_bytes()),
            _ => usage[1] = usage[1] & !0x1f | action,
        }
    }
    if with_timeouts {
        data.extend(TIMEOUTS);
    }
    data
}
