//! What clients are told of their copies (SPC-4 6.23 to 6.26, 6.30), and COPY OPERATION ABORT (SPC-4 6.3).

use super::results::{CopyResult, Ending, Known};
use super::rod::TOKEN_LENGTH;
use super::token::MANAGEMENT_LENGTH;
use super::{SERVICE_ACTION_POPULATE, SERVICE_ACTION_WRITE, initiator};
use crate::LogicalUnit;
use crate::cdb::Field;
use crate::running::{Outcome, Running};
use crate::sense::Sense;

pub(crate) const ALLOCATION_LENGTH: Field = Field { byte: 10, width: 4 };

/// The longest answers in bytes: to COPY STATUS, to what asks for a token, and to what asks for all of them.
pub(crate) const MOST: u32 = 64;
pub(crate) const MOST_TOKEN: u32 = 1024;
pub(crate) const MOST_OF_TOKENS: u32 = 8 + 64 * MANAGEMENT_LENGTH as u32;

/// LIST IDENTIFIER of one byte, and of four.
const SHORT_IDENTIFIER: usize = 2;
const LIST_IDENTIFIER: Field = Field { byte: 2, width: 4 };

/// COPY OPERATION STATUS.
const COMPLETED: u8 = 0x01;
const COMPLETED_WITH_ERRORS: u8 = 0x02;
const IN_PROGRESS: u8 = 0x11;
const TERMINATED: u8 = 0x60;

/// TRANSFER COUNT UNITS.
const BYTES: u8 = 0x00;
const BLOCKS: u8 = 0xf1;

/// ESTIMATED STATUS UPDATE DELAY in milliseconds while a copy is under way, and where nothing will change any more.
const SOON: u32 = 100;
const NEVER: u32 = u32::MAX;

/// AVAILABLE DATA, and what that counts.
pub(super) fn available(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

/// RECEIVE COPY RESULTS, COPY STATUS: what has ended is told once.
pub(crate) fn copy_status(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let identifier = u32::from(command.cdb.byte(SHORT_IDENTIFIER));
    let known = unit.copies().find(command.nexus, identifier);
    let (status, segments) = match known.ok_or(Sense::invalid_cdb(SHORT_IDENTIFIER, None))? {
        Known::Underway(_) => (0x00, 0),
        Known::Ended(result) => {
            unit.copies().forget(command.nexus, identifier);
            let status = if result.ending == Ending::Good { COMPLETED } else { COMPLETED_WITH_ERRORS };
            (status, result.kept.segments)
        }
    };
    let [high, low] = segments.to_be_bytes();
    // TRANSFER COUNT: nothing has moved through the initiator.
    command.respond(&available(&[status, high, low, 0, 0, 0, 0, 0]), ALLOCATION_LENGTH);
    Ok(())
}

/// What is the same in all answers for list identifiers of four bytes, after AVAILABLE DATA.
fn body(known: &Known) -> Vec<u8> {
    let (action, status, delay, completion, sense, count, segments) = match known {
        Known::Underway(action) => (*action, IN_PROGRESS, SOON, 0, &[][..], 0, 0),
        Known::Ended(result) => {
            let CopyResult { service_action, ending, kept, .. } = &**result;
            let (status, completion, sense) = match ending {
                Ending::Good => (COMPLETED, 0x00, &[][..]),
                Ending::Cancelled => (TERMINATED, 0x02, &[][..]),
                Ending::Failed(sense) => (COMPLETED_WITH_ERRORS, 0x02, &sense[..]),
                Ending::Refused(status) => (COMPLETED_WITH_ERRORS, *status, &[][..]),
            };
            (*service_action, status, NEVER, completion, sense, kept.count, kept.segments)
        }
    };
    let mut body = vec![action, status, 0, 0];
    body.extend(delay.to_be_bytes());
    let units = if is_of_token(action) { BLOCKS } else { BYTES };
    // The field for sense data is as long as they are, in fours.
    let room = sense.len().next_multiple_of(4);
    body.extend([completion, room as u8, sense.len() as u8, units]);
    body.extend(count.to_be_bytes());
    body.extend(segments.to_be_bytes());
    body.extend([0; 6]);
    body.extend(sense);
    body.resize(body.len().next_multiple_of(4), 0);
    body
}

fn is_of_token(service_action: u8) -> bool {
    [SERVICE_ACTION_POPULATE, SERVICE_ACTION_WRITE].contains(&service_action)
}

fn known(unit: &LogicalUnit, command: &Running<'_>) -> Result<Known, Sense> {
    let identifier = command.cdb.number(LIST_IDENTIFIER) as u32;
    let known = unit.copies().find(command.nexus, identifier);
    known.ok_or(Sense::invalid_cdb(LIST_IDENTIFIER.byte, None))
}

/// RECEIVE COPY STATUS(LID4); it can be asked for again.
pub(crate) fn long_copy_status(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let body = body(&known(unit, command)?);
    command.respond(&available(&body), ALLOCATION_LENGTH);
    Ok(())
}

/// RECEIVE ROD TOKEN INFORMATION; it can be asked for again, until the list identifier is used anew.
pub(crate) fn rod_token_information(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let known = known(unit, command)?;
    let action = match &known {
        Known::Underway(action) => *action,
        Known::Ended(result) => result.service_action,
    };
    if !is_of_token(action) {
        return Err(Sense::invalid_cdb(LIST_IDENTIFIER.byte, None).into());
    }
    let mut body = body(&known);
    let token = match &known {
        Known::Ended(result) => result.kept.token,
        Known::Underway(_) => None,
    };
    // ROD TOKEN DESCRIPTORS LENGTH; before each token, which descriptor it was made for: there are none.
    match token {
        Some(token) => {
            body.extend((2 + TOKEN_LENGTH as u32).to_be_bytes());
            body.extend([0; 2]);
            body.extend(token);
        }
        None => body.extend([0; 4]),
    }
    command.respond(&available(&body), ALLOCATION_LENGTH);
    Ok(())
}

/// REPORT ALL ROD TOKENS: those of the initiator that asks, without what it takes to use them.
pub(crate) fn all_rod_tokens(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let owner = initiator(unit, command);
    let now = command.server.surroundings().map(|surroundings| surroundings.uptime());
    let rods = owner.zip(now).map(|(owner, now)| unit.rods().of(&owner, now)).unwrap_or_default();
    let mut body = vec![0; 4];
    rods.iter().for_each(|rod| body.extend(&rod.token[..MANAGEMENT_LENGTH]));
    command.respond(&available(&body), ALLOCATION_LENGTH);
    Ok(())
}

/// COPY OPERATION ABORT: the copy ends with its next step.
pub(crate) fn copy_operation_abort(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let identifier = command.cdb.number(LIST_IDENTIFIER) as u32;
    match unit.copies().cancel(command.nexus, identifier) {
        true => Ok(()),
        false => Err(Sense::invalid_cdb(LIST_IDENTIFIER.byte, None).into()),
    }
}
