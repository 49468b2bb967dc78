//! ORWRITE(16) and ORWRITE(32) (SBC-5 4.27, 5.10, 5.11): bits are set in blocks, as one step; or cleared, and a new
//! generation of such steps begins.

use std::sync::{PoisonError, RwLock};

use timedisk_volume::Durability;

use crate::LogicalUnit;
use crate::cdb::{Cdb, Field, VARIABLE_LENGTH};
use crate::limits::CHUNK;
use crate::read_write::{self, whole_blocks};
use crate::running::{Outcome, Running};
use crate::sense::{ORWRITE_GENERATION_DOES_NOT_MATCH, Sense};

const EXPECTED_GENERATION: Field = Field { byte: 20, width: 4 };
const NEW_GENERATION: Field = Field { byte: 24, width: 4 };

/// The generations of a logical unit, kept until the process ends. Who sets bits shares them; who begins a new one has
/// them alone.
#[derive(Debug, Default)]
pub(crate) struct Generations(RwLock<State>);

#[derive(Debug)]
struct State {
    current: u64,
    previous: u64,
    /// What becomes of steps of other generations.
    policy: u8,
}

impl Default for State {
    fn default() -> Self {
        State { current: 0, previous: 0, policy: 0x7 }
    }
}

/// What becomes of a step that sets bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Perform,
    Discard,
    Refuse,
}

/// For steps of the previous generation, and of any other, by policy (SBC-5 table 29); `None` for reserved ones.
fn verdicts(policy: u8) -> Option<(Verdict, Verdict)> {
    use Verdict::{Discard, Perform, Refuse};
    match policy {
        0x0 => Some((Perform, Refuse)),
        0x2 => Some((Discard, Refuse)),
        0x3 => Some((Perform, Perform)),
        0x5 => Some((Discard, Discard)),
        0x7 => Some((Refuse, Refuse)),
        _ => None,
    }
}

impl State {
    fn verdict(&self, expected: u64) -> Verdict {
        let (previous, other) = verdicts(self.policy).unwrap_or((Verdict::Refuse, Verdict::Refuse));
        match expected {
            _ if expected == self.current => Verdict::Perform,
            _ if expected == self.previous => previous,
            _ => other,
        }
    }
}

/// BMOP: whether bits are cleared rather than set; and PREVIOUS GENERATION PROCESSING, if they are.
fn operation(cdb: Cdb<'_>) -> Result<Option<u8>, Sense> {
    let (operation, policy) = (cdb.byte(2) & 0x07, cdb.byte(3) & 0x0f);
    match operation {
        _ if cdb.operation_code() != Some(VARIABLE_LENGTH) => Ok(None),
        0b000 => Ok(None),
        0b001 if verdicts(policy).is_some() => Ok(Some(policy)),
        0b001 => Err(Sense::invalid_cdb(3, 3)),
        _ => Err(Sense::invalid_cdb(2, 2)),
    }
}

/// Bytes of Data-Out that the command takes.
pub(crate) fn data_out(unit: &LogicalUnit, cdb: Cdb<'_>) -> Result<u64, Sense> {
    operation(cdb)?;
    Ok(read_write::extent(unit, cdb)?.bytes())
}

pub(crate) fn or_write(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let cdb = command.cdb;
    let clears = operation(cdb)?;
    // The shorter command is of generation 0.
    let is_long = cdb.operation_code() == Some(VARIABLE_LENGTH);
    let expected = if is_long { cdb.number(EXPECTED_GENERATION) } else { 0 };
    command.check_plan(0, data_out(unit, cdb)?)?;
    command.wait()?;
    let Some(policy) = clears else {
        let state = unit.generations().0.read().unwrap_or_else(PoisonError::into_inner);
        return match state.verdict(expected) {
            Verdict::Perform => combine(unit, command, |byte, bits| byte | bits),
            Verdict::Discard => Ok(()),
            Verdict::Refuse => Err((&ORWRITE_GENERATION_DOES_NOT_MATCH).into()),
        };
    };
    let mut state = unit.generations().0.write().unwrap_or_else(PoisonError::into_inner);
    if expected != state.current {
        return Err((&ORWRITE_GENERATION_DOES_NOT_MATCH).into());
    }
    combine(unit, command, |byte, bits| byte & bits)?;
    *state = State { current: cdb.number(NEW_GENERATION), previous: state.current, policy };
    Ok(())
}

fn combine(unit: &LogicalUnit, command: &mut Running<'_>, mix: fn(u8, u8) -> u8) -> Outcome {
    let extent = read_write::extent(unit, command.cdb)?;
    let data = whole_blocks(unit, command.data_out, &extent);
    if data.is_empty() {
        return Ok(());
    }
    read_write::change(unit, command, |volume| {
        let mut buffer = vec![0; data.len().min(CHUNK)];
        let mut offset = extent.offset();
        for piece in data.chunks(CHUNK) {
            let (mixed, _) = buffer.split_at_mut(piece.len());
            volume.read(offset, mixed)?;
            mixed.iter_mut().zip(piece).for_each(|(byte, bits)| *byte = mix(*byte, *bits));
            volume.write(offset, mixed, Durability::Volatile)?;
            offset += piece.len() as u64;
        }
        Ok(())
    })
}
