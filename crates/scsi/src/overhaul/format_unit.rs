//! FORMAT UNIT (SBC-4 5.4): every block is given back, and reads as zeros.

use super::begin;
use super::operation::{Method, Operation, Purpose};
use crate::LogicalUnit;
use crate::cdb::Cdb;
use crate::running::{Outcome, Running};
use crate::sense::{PARAMETER_LIST_LENGTH_ERROR, SANITIZE_FAILED, Sense};

/// FMTDATA, LONGLIST.
const HAS_LIST: u8 = 0x10;
const HAS_LONG_LIST: u8 = 0x20;

/// IMMED in the parameter list.
const IMMEDIATELY: u8 = 0x02;

/// Bytes of the parameter list that are taken: its header. There is nothing that could follow.
pub(crate) fn data_out(_: &LogicalUnit, cdb: Cdb<'_>) -> Result<u64, Sense> {
    let flags = cdb.byte(1);
    Ok(match (flags & HAS_LIST != 0, flags & HAS_LONG_LIST != 0) {
        (false, false) => 0,
        (true, false) => 4,
        (true, true) => 8,
        (false, true) => return Err(Sense::invalid_cdb(1, 5)),
    })
}

pub(crate) fn format_unit(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let cdb = command.cdb;
    // FMTPINFO: there is no protection information. DEFECT LIST FORMAT: of short block descriptors, and empty.
    for (mask, bit) in [(0xc0, 7), (0x07, 2)] {
        if cdb.byte(1) & mask != 0 {
            return Err(Sense::invalid_cdb(1, bit).into());
        }
    }
    let length = data_out(unit, cdb)? as usize;
    let list = command.data_out.get(..length).ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
    let immediately = check(list)?;
    if let Some(Purpose::Sanitize { .. }) = unit.overhaul().purpose_that_failed() {
        return Err((&SANITIZE_FAILED).into());
    }
    begin(unit, command, Operation::new(Purpose::Format, Method::Release), immediately)
}

/// Refuses a header that asks for what there is not; answers IMMED.
fn check(list: &[u8]) -> Result<bool, Sense> {
    let [protection, flags, rest @ ..] = list else { return Ok(false) };
    if protection & 0x07 != 0 {
        return Err(Sense::invalid_parameter(0, 2));
    }
    // Without FOV none of DPRY, DCRT, STPF and IP may be set; there is no pattern but zeros.
    let wrong = if flags & 0x80 != 0 { 0x08 } else { 0x78 };
    if flags & wrong != 0 {
        return Err(Sense::invalid_parameter(1, (flags & wrong).ilog2() as u8));
    }
    // P_I_INFORMATION and DEFECT LIST LENGTH.
    match rest.iter().position(|byte| *byte != 0) {
        Some(place) => Err(Sense::invalid_parameter(place + 2, None)),
        None => Ok(flags & IMMEDIATELY != 0),
    }
}
