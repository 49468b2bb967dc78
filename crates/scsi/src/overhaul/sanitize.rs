//! SANITIZE (SBC-4 5.30).

use super::operation::{Method, Operation, Purpose};
use super::{State, begin, save};
use crate::LogicalUnit;
use crate::cdb::{Cdb, Field};
use crate::running::{Outcome, Running, Stop};
use crate::sense::{INTERNAL_TARGET_FAILURE, SANITIZE_FAILED, Sense};

pub(crate) const PARAMETER_LIST_LENGTH: Field = Field { byte: 7, width: 2 };

/// Bytes before the pattern.
const HEADER: usize = 4;

/// INITIALIZATION PATTERN LENGTH in the parameter list.
const PATTERN_LENGTH: usize = 2;

/// What is not understood may have been meant to change what is to be destroyed.
fn refuse_reserved(cdb: Cdb<'_>) -> Outcome {
    if cdb.bit(1, 6) {
        return Err(Sense::invalid_cdb(1, 6).into());
    }
    match (2..7).find(|byte| cdb.byte(*byte) != 0) {
        Some(byte) => Err(Sense::invalid_cdb(byte, None).into()),
        None => Ok(()),
    }
}

/// AUSE. A disk whose sanitizing failed, and was not to be left so, is sanitized in that way only (SBC-4 4.11.4).
fn purpose(unit: &LogicalUnit, cdb: Cdb<'_>) -> Result<Purpose, Stop> {
    let may_be_left = cdb.bit(1, 5);
    let may_not = Some(Purpose::Sanitize { may_be_left: false });
    if may_be_left && unit.overhaul().purpose_that_failed() == may_not {
        return Err(Sense::invalid_cdb(1, 5).into());
    }
    Ok(Purpose::Sanitize { may_be_left })
}

fn expect_no_parameters(cdb: Cdb<'_>) -> Outcome {
    refuse_reserved(cdb)?;
    match cdb.number(PARAMETER_LIST_LENGTH) {
        0 => Ok(()),
        _ => Err(Sense::invalid_cdb(PARAMETER_LIST_LENGTH.byte, None).into()),
    }
}

fn sanitize(unit: &LogicalUnit, command: &Running<'_>, method: Method) -> Outcome {
    let operation = Operation::new(purpose(unit, command.cdb)?, method);
    begin(unit, command, operation, command.cdb.bit(1, 7))
}

/// OVERWRITE: all is written with a pattern, some times.
pub(crate) fn overwrite(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    refuse_reserved(command.cdb)?;
    let length = command.cdb.number(PARAMETER_LIST_LENGTH);
    if length <= HEADER as u64 || length > HEADER as u64 + unit.block_length() {
        return Err(Sense::invalid_cdb(PARAMETER_LIST_LENGTH.byte, None).into());
    }
    let list = command.parameter_list(PARAMETER_LIST_LENGTH)?;
    let (header, pattern) = list.split_first_chunk::<HEADER>().ok_or(Sense::invalid_cdb(7, None))?;
    let (test, times) = (header[0] >> 5 & 0x03, header[0] & 0x1f);
    if test != 0 {
        return Err(Sense::invalid_parameter(0, 6).into());
    }
    if times == 0 {
        return Err(Sense::invalid_parameter(0, 4).into());
    }
    if usize::from(u16::from_be_bytes([header[2], header[3]])) != pattern.len() {
        return Err(Sense::invalid_parameter(PATTERN_LENGTH, None).into());
    }
    let method = Method::Overwrite { pattern: pattern.to_vec(), times, inverts: header[0] & 0x80 != 0 };
    sanitize(unit, command, method)
}

/// BLOCK ERASE: no block holds anything after.
pub(crate) fn block_erase(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    expect_no_parameters(command.cdb)?;
    sanitize(unit, command, Method::Erase)
}

/// EXIT FAILURE MODE: the disk is used as it is, if that was admitted beforehand. Where nothing failed there is nothing
/// to leave.
pub(crate) fn exit_failure_mode(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    expect_no_parameters(command.cdb)?;
    match unit.overhaul().purpose_that_failed() {
        None | Some(Purpose::Format) => return Ok(()),
        Some(Purpose::Sanitize { may_be_left: false }) => return Err((&SANITIZE_FAILED).into()),
        Some(Purpose::Sanitize { may_be_left: true }) => {}
    }
    command.wait()?;
    save(unit, &State::None).map_err(|()| &INTERNAL_TARGET_FAILURE)?;
    unit.overhaul().set(State::None);
    Ok(())
}
