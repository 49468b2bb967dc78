//! RECEIVE COPY RESULTS (SPC-4 6.23, 6.24), and the Third-Party Copy VPD page (SPC-4 7.8.17).

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::MOST_BYTES;
use super::list::{
    BLOCKS, BLOCKS_WITH_OFFSETS, IDENTIFICATION, MOST_DESCRIPTOR_BYTES, MOST_SEGMENTS, MOST_UNITS,
};
use crate::cdb::Field;
use crate::command_table::COMMANDS;
use crate::running::{Outcome, Running};
use crate::sense::Sense;
use crate::{LogicalUnit, NexusId};

pub(crate) const ALLOCATION_LENGTH: Field = Field { byte: 10, width: 4 };

/// The longest answer in bytes.
pub(crate) const MOST: u32 = 64;

const LIST_IDENTIFIER: usize = 2;

/// Results that are kept for those who may ask.
const KEPT: usize = 16;

/// How long they are kept at least, which is until others push them out: in seconds, no promise.
const HELD_DATA_LIMIT: u32 = 0;

/// Copies of one logical unit at once: each has a thread of its disk.
const CONCURRENT_COPIES: u8 = 8;

const DESCRIPTOR_TYPES: [u8; 3] = [IDENTIFICATION, BLOCKS, BLOCKS_WITH_OFFSETS];

/// How a copy has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CopyResult {
    pub(crate) nexus: NexusId,
    /// LIST IDENTIFIER.
    pub(crate) identifier: u8,
    pub(crate) is_good: bool,
    /// Segments that were copied.
    pub(crate) segments: u16,
}

/// How the last copies have ended that a logical unit was asked for.
#[derive(Debug, Default)]
pub(crate) struct Copies(Mutex<Vec<CopyResult>>);

impl Copies {
    fn results(&self) -> MutexGuard<'_, Vec<CopyResult>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep(&self, result: CopyResult) {
        let mut results = self.results();
        results.retain(|old| (old.nexus, old.identifier) != (result.nexus, result.identifier));
        if results.len() >= KEPT {
            results.remove(0);
        }
        results.push(result);
    }

    pub(crate) fn leave(&self, nexus: NexusId) {
        self.results().retain(|result| result.nexus != nexus);
    }

    /// What is known is told once.
    fn take(&self, nexus: NexusId, identifier: u8) -> Option<CopyResult> {
        let mut results = self.results();
        let at = results.iter().position(|one| (one.nexus, one.identifier) == (nexus, identifier))?;
        Some(results.remove(at))
    }
}

/// AVAILABLE DATA, and what that counts.
fn available(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

pub(crate) fn copy_status(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let identifier = command.cdb.byte(LIST_IDENTIFIER);
    let result = unit.copies().take(command.nexus, identifier);
    let result = result.ok_or(Sense::invalid_cdb(LIST_IDENTIFIER, None))?;
    let [high, low] = result.segments.to_be_bytes();
    let status = if result.is_good { 0x01 } else { 0x02 };
    // TRANSFER COUNT: nothing has moved through the initiator.
    command.respond(&available(&[status, high, low, 0, 0, 0, 0, 0]), ALLOCATION_LENGTH);
    Ok(())
}

pub(crate) fn operating_parameters(_: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    // SNLID: list identifiers need not be unique where no results are wanted.
    let mut body = vec![0x01, 0, 0, 0];
    body.extend(MOST_UNITS.to_be_bytes());
    body.extend(MOST_SEGMENTS.to_be_bytes());
    body.extend(MOST_DESCRIPTOR_BYTES.to_be_bytes());
    body.extend((MOST_BYTES as u32).to_be_bytes());
    // No inline data; HELD DATA LIMIT; no stream.
    body.extend([0; 4]);
    body.extend(HELD_DATA_LIMIT.to_be_bytes());
    body.extend([0; 6]);
    body.extend(u16::from(CONCURRENT_COPIES).to_be_bytes());
    // DATA SEGMENT GRANULARITY: a power of two, one byte.
    body.extend([CONCURRENT_COPIES, 0, 0, 0, 0, 0, 0, DESCRIPTOR_TYPES.len() as u8]);
    body.extend(DESCRIPTOR_TYPES);
    command.respond(&available(&body), ALLOCATION_LENGTH);
    Ok(())
}

/// A descriptor of the Third-Party Copy page, filled up to a multiple of four.
fn descriptor(kind: u16, mut body: Vec<u8>) -> Vec<u8> {
    body.resize(body.len().next_multiple_of(4), 0);
    [&kind.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), &body].concat()
}

/// Supported commands, parameter data, supported descriptors.
pub(crate) fn third_party_copy() -> Vec<u8> {
    let mut commands = Vec::new();
    for code in [0x83, 0x84] {
        let actions =
            COMMANDS.iter().filter(|row| row.operation_code == code).filter_map(|row| row.service_action);
        let actions: Vec<u8> = actions.collect();
        commands.extend([code, actions.len() as u8]);
        commands.extend(actions);
    }
    let mut parameters = vec![0; 4];
    parameters.extend(MOST_UNITS.to_be_bytes());
    parameters.extend(MOST_SEGMENTS.to_be_bytes());
    parameters.extend(MOST_DESCRIPTOR_BYTES.to_be_bytes());
    parameters.extend([0; 16]);
    let counted = |list: &[u8]| [&[list.len() as u8], list].concat();
    [
        descriptor(0x0001, counted(&commands)),
        descriptor(0x0004, parameters),
        descriptor(0x0008, counted(&DESCRIPTOR_TYPES)),
    ]
    .concat()
}
