//! WRITE USING TOKEN (SBC-3 5.46): what a token stands for is written to blocks.

use std::ops::Range;
use std::sync::Arc;

use super::results::Kept;
use super::rod::{Rod, TOKEN_LENGTH};
use super::token::{self, Claimed};
use super::transfer::{Place, Transfer};
use super::{
    LIST_IDENTIFIER, PARAMETER_LIST_LENGTH, SERVICE_ACTION_WRITE, check_data_length, initiator, ranges,
};
use crate::running::{Outcome, Running, Stop};
use crate::sense::{PARAMETER_LIST_LENGTH_ERROR, Sense, TOKEN_UNKNOWN};
use crate::{DeviceServer, LogicalUnit};

/// The least that WRITE USING TOKEN DATA LENGTH may say.
const LEAST: u16 = 0x226;

const OFFSET_AT: usize = 8;
const TOKEN_AT: usize = 16;
const RANGES_AT: usize = 534;

/// Zeros that are written in one step.
const STEP_OF_ZEROS: u64 = 16 << 20;

/// What is written, and where it comes from.
enum Source {
    Zeros,
    Data(Arc<LogicalUnit>, Arc<Rod>),
}

fn claimed(list: &[u8]) -> Result<&[u8; TOKEN_LENGTH], Stop> {
    let token = list.get(TOKEN_AT..).and_then(|rest| rest.first_chunk());
    token.ok_or_else(|| (&PARAMETER_LIST_LENGTH_ERROR).into())
}

/// The logical unit that has what a token stands for, of those that the initiator has.
fn find(
    server: &DeviceServer,
    token: &[u8; TOKEN_LENGTH],
    owner: &str,
) -> Option<(Arc<LogicalUnit>, Arc<Rod>)> {
    server.units().find_map(|(_, unit)| Some((Arc::clone(unit), unit.rods().find(token, owner)?)))
}

/// The logical unit whose data the command writes, if a token of any initiator is meant.
pub(super) fn party(server: &DeviceServer, list: &[u8]) -> Option<Arc<LogicalUnit>> {
    let token = claimed(list).ok()?;
    server.units().map(|(_, unit)| unit).find(|unit| unit.rods().knows(token)).cloned()
}

fn source(unit: &LogicalUnit, command: &Running<'_>, list: &[u8]) -> Result<Source, Stop> {
    let token = match token::read(claimed(list)?)? {
        Claimed::Zeros => return Ok(Source::Zeros),
        Claimed::Data(token) => token,
    };
    let owner = initiator(unit, command).ok_or(&TOKEN_UNKNOWN)?;
    let (other, rod) = find(command.server, token, &owner).ok_or(&TOKEN_UNKNOWN)?;
    if let Some(surroundings) = command.server.surroundings() {
        rod.touch(surroundings.uptime());
    }
    match rod.invalidity() {
        Some(condition) => Err(condition.into()),
        None => Ok(Source::Data(other, rod)),
    }
}

/// IMMED changes nothing: the answer comes when all is written.
pub(crate) fn write_using_token(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let list = command.parameter_list(PARAMETER_LIST_LENGTH)?;
    if list.is_empty() {
        return Ok(());
    }
    check_data_length(list, LEAST)?;
    let source = source(unit, command, list)?;
    let ranges = ranges::read(unit, list, RANGES_AT)?;
    let deletes = list.get(2).is_some_and(|flags| flags & 0x02 != 0);
    let pieces = pieces(unit, &source, offset(unit, list)?, &ranges)?;
    command.wait()?;
    let identifier = command.cdb.number(LIST_IDENTIFIER) as u32;
    let underway = unit.copies().begin(command.nexus, identifier, SERVICE_ACTION_WRITE)?;
    let own = command.unit.ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
    let mut transfer = Transfer::new(command).until(underway.cancel());
    let copied = pieces.iter().try_for_each(|piece| write(&mut transfer, own, &source, piece));
    let count = transfer.written() / unit.block_length();
    let outcome = transfer.end(copied);
    if let Source::Data(_, rod) = &source
        && deletes
        && outcome.is_ok()
    {
        rod.delete();
    }
    let segments = if outcome.is_ok() { ranges.len() as u16 } else { 0 };
    underway.end(&outcome, Kept { segments, count, token: None });
    outcome
}

fn write(transfer: &mut Transfer<'_, '_>, own: &Arc<LogicalUnit>, source: &Source, piece: &Piece) -> Outcome {
    let to = Place { unit: Arc::clone(own), offset: piece.to };
    match source {
        Source::Zeros => {
            let steps = (0..piece.bytes).step_by(STEP_OF_ZEROS as usize);
            steps
                .map(|at| (at, STEP_OF_ZEROS.min(piece.bytes - at)))
                .try_for_each(|(at, length)| transfer.write_zeros(&to.after(at), length))
        }
        Source::Data(unit, rod) => {
            let from = Place { unit: Arc::clone(unit), offset: piece.from };
            transfer.copy_of(rod, &from, &to, piece.bytes)
        }
    }
}

/// OFFSET INTO ROD, in bytes; the field counts blocks of the logical unit that is written to.
fn offset(unit: &LogicalUnit, list: &[u8]) -> Result<u64, Stop> {
    let field =
        list.get(OFFSET_AT..).and_then(|rest| rest.first_chunk()).ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
    let bytes = u64::from_be_bytes(*field).checked_mul(unit.block_length());
    bytes.ok_or_else(|| Sense::invalid_parameter(OFFSET_AT, None).into())
}

/// A run of bytes that is one at both ends.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    from: u64,
    to: u64,
    bytes: u64,
}

/// How the ranges are filled. Nothing is written where the data do not reach to their end.
fn pieces(
    unit: &LogicalUnit,
    source: &Source,
    offset: u64,
    ranges: &[Range<u64>],
) -> Result<Vec<Piece>, Stop> {
    let in_bytes = |unit: &LogicalUnit, ranges: &[Range<u64>]| {
        let length = unit.block_length();
        ranges.iter().map(|range| range.start * length..range.end * length).collect::<Vec<_>>()
    };
    let to = in_bytes(unit, ranges);
    let from = match source {
        Source::Zeros => {
            let piece =
                |range: &Range<u64>| Piece { from: 0, to: range.start, bytes: range.end - range.start };
            return Ok(to.iter().map(piece).collect());
        }
        Source::Data(other, rod) => in_bytes(other, &rod.extents),
    };
    if offset > ranges::blocks(&from) {
        return Err(Sense::invalid_parameter(OFFSET_AT, None).into());
    }
    fill(&from, offset, &to).ok_or_else(|| Sense::invalid_parameter(RANGES_AT, None).into())
}

fn fill(from: &[Range<u64>], mut skip: u64, to: &[Range<u64>]) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut sources = from.iter().cloned();
    let mut source = 0..0;
    for range in to {
        let mut range = range.clone();
        while range.start < range.end {
            let passed = skip.min(source.end - source.start);
            source.start += passed;
            skip -= passed;
            if source.start == source.end {
                source = sources.next()?;
                continue;
            }
            let bytes = (source.end - source.start).min(range.end - range.start);
            pieces.push(Piece { from: source.start, to: range.start, bytes });
            source.start += bytes;
            range.start += bytes;
        }
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice::from_ref as one;

    #[test]
    fn ranges_are_filled_across_the_borders_of_either_end() {
        let piece = |from, to, bytes| Piece { from, to, bytes };
        let data = [10..20, 50..55];
        assert_eq!(fill(&data, 0, one(&(100..115))), Some(vec![piece(10, 100, 10), piece(50, 110, 5)]));
        assert_eq!(
            fill(&data, 8, &[100..101, 200..204, 300..300]),
            Some(vec![piece(18, 100, 1), piece(19, 200, 1), piece(50, 201, 3)])
        );
        assert_eq!(fill(&data, 12, one(&(0..3))), Some(vec![piece(52, 0, 3)]));
        assert_eq!(fill(&data, 12, one(&(0..4))), None, "past the end");
        assert_eq!(fill(&data, 15, &[]), Some(Vec::new()));
    }
}
