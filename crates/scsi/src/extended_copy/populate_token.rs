//! POPULATE TOKEN (SBC-3 5.7): a token for blocks as they are now.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::ranges;
use super::results::Kept;
use super::rod::{Draft, Rod, TOKEN_LENGTH};
use super::token::{self, CHANGE_VULNERABLE, POINT_IN_TIME_ANY, POINT_IN_TIME_DEFAULT, SECRET_LENGTH};
use super::{LIST_IDENTIFIER, PARAMETER_LIST_LENGTH, SERVICE_ACTION_POPULATE, check_data_length, initiator};
use crate::LogicalUnit;
use crate::running::{Outcome, Running, Stop};
use crate::sense::{INSUFFICIENT_RESOURCES_FOR_TOKEN, PARAMETER_LIST_LENGTH_ERROR, Sense};

/// INACTIVITY TIMEOUT in seconds: the longest, and that of who does not care.
pub(crate) const MOST_INACTIVITY: u32 = 300;
pub(crate) const USUAL_INACTIVITY: u32 = 30;

/// The least that POPULATE TOKEN DATA LENGTH may say.
const LEAST: u16 = 0x1e;

const RANGES_AT: usize = 14;

/// IMMED changes nothing: making a token takes no longer than checking whether one can be made.
pub(crate) fn populate_token(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let list = command.parameter_list(PARAMETER_LIST_LENGTH)?;
    if list.is_empty() {
        return Ok(());
    }
    check_data_length(list, LEAST)?;
    let inactivity = inactivity(list)?;
    check_kind(list)?;
    let ranges = ranges::read(unit, list, RANGES_AT)?;
    command.wait()?;
    let identifier = command.cdb.number(LIST_IDENTIFIER) as u32;
    let underway = unit.copies().begin(command.nexus, identifier, SERVICE_ACTION_POPULATE)?;
    let (segments, blocks) = (ranges.len() as u16, ranges::blocks(&ranges));
    let made = make(unit, command, ranges, inactivity);
    let (outcome, token) = match made {
        Ok(token) => (Ok(()), Some(token)),
        Err(stop) => (Err(stop), None),
    };
    let (segments, count) = if outcome.is_ok() { (segments, blocks) } else { (0, 0) };
    underway.end(&outcome, Kept { segments, count, token });
    outcome
}

fn make(
    unit: &LogicalUnit,
    command: &Running<'_>,
    extents: Vec<Range<u64>>,
    inactivity: Duration,
) -> Result<[u8; TOKEN_LENGTH], Stop> {
    let refused = || Stop::from(&INSUFFICIENT_RESOURCES_FOR_TOKEN);
    let owner = initiator(unit, command).ok_or_else(refused)?;
    let surroundings = command.server.surroundings().ok_or_else(refused)?;
    let mut secret = [0; SECRET_LENGTH];
    if !surroundings.fill_unguessably(&mut secret) {
        return Err(refused());
    }
    let bytes = ranges::blocks(&extents) * unit.block_length();
    let token = token::token(command.server, unit, unit.rods().number(), bytes, &secret);
    // Writes that are under way come to their end before; those that come later see the token.
    let _turn = unit.overlap().own(0..u64::MAX);
    if let Some(sense) = unit.overhaul().sense() {
        return Err(sense.into());
    }
    let volume = Arc::downgrade(&unit.volume()?);
    let now = surroundings.uptime();
    let draft = Draft { owner, token, extents, volume, inactivity };
    unit.rods().keep(Arc::new(Rod::new(draft, now)), now)?;
    Ok(token)
}

fn inactivity(list: &[u8]) -> Result<Duration, Stop> {
    let seconds = number(list, 4).ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
    match seconds {
        0 => Ok(Duration::from_secs(USUAL_INACTIVITY.into())),
        seconds if seconds <= MOST_INACTIVITY => Ok(Duration::from_secs(seconds.into())),
        _ => Err(Sense::invalid_parameter(4, None).into()),
    }
}

/// With RTV, only what can be had is made.
fn check_kind(list: &[u8]) -> Outcome {
    let asks = list.get(2).is_some_and(|flags| flags & 0x02 != 0);
    let kind = number(list, 8).ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
    let known = [POINT_IN_TIME_DEFAULT, POINT_IN_TIME_ANY, CHANGE_VULNERABLE].contains(&kind);
    if asks && !known { Err(Sense::invalid_parameter(8, None).into()) } else { Ok(()) }
}

fn number(list: &[u8], at: usize) -> Option<u32> {
    list.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}
