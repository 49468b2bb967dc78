//! What can be copied, and how much at a time: the Third-Party Copy VPD page (SPC-4 7.8.17, SBC-3 6.6.6), and RECEIVE
//! COPY RESULTS, OPERATING PARAMETERS (SPC-4 6.24).

use super::list::{
    BLOCKS, BLOCKS_WITH_OFFSETS, IDENTIFICATION, MOST_DESCRIPTOR_BYTES, MOST_SEGMENTS, MOST_UNITS, OWN_UNIT,
};
use super::populate_token::{MOST_INACTIVITY, USUAL_INACTIVITY};
use super::status::{ALLOCATION_LENGTH, available};
use super::token::{CHANGE_VULNERABLE, ZEROS};
use super::{MOST_BYTES, ranges};
use crate::LogicalUnit;
use crate::command_table::COMMANDS;
use crate::running::{Outcome, Running};

/// How long results are kept at least, which is until others push them out: in seconds, no promise.
const HELD_DATA_LIMIT: u32 = 0;

/// Copies of one logical unit at once: each has a thread of its disk.
const CONCURRENT_COPIES: u8 = 8;

const DESCRIPTOR_TYPES: [u8; 3] = [IDENTIFICATION, BLOCKS, BLOCKS_WITH_OFFSETS];

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

/// A descriptor of the page, filled up to a multiple of four.
fn descriptor(kind: u16, mut body: Vec<u8>) -> Vec<u8> {
    body.resize(body.len().next_multiple_of(4), 0);
    [&kind.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), &body].concat()
}

fn block_device_rod_limits(unit: &LogicalUnit) -> Vec<u8> {
    let blocks = |bytes: u64| (bytes / unit.block_length()).to_be_bytes();
    let mut limits = vec![0; 6];
    limits.extend(ranges::MOST.to_be_bytes());
    limits.extend(MOST_INACTIVITY.to_be_bytes());
    limits.extend(USUAL_INACTIVITY.to_be_bytes());
    limits.extend(blocks(ranges::MOST_BYTES));
    limits.extend(blocks(ranges::OPTIMAL_BYTES));
    limits
}

fn supported_commands() -> Vec<u8> {
    let mut commands = Vec::new();
    for code in [0x83, 0x84] {
        let actions =
            COMMANDS.iter().filter(|row| row.operation_code == code).filter_map(|row| row.service_action);
        let actions: Vec<u8> = actions.collect();
        commands.extend([code, actions.len() as u8]);
        commands.extend(actions);
    }
    counted(&commands)
}

fn counted(list: &[u8]) -> Vec<u8> {
    [&[list.len() as u8], list].concat()
}

fn parameter_data() -> Vec<u8> {
    let mut parameters = vec![0; 4];
    parameters.extend(MOST_UNITS.to_be_bytes());
    parameters.extend(MOST_SEGMENTS.to_be_bytes());
    parameters.extend(MOST_DESCRIPTOR_BYTES.to_be_bytes());
    parameters.extend([0; 16]);
    parameters
}

/// No tokens of other copy managers (REMOTE TOKENS), lifetimes only by inactivity, and what block devices add.
fn rod_token_features() -> Vec<u8> {
    let mut features = vec![0; 12];
    // MINIMUM and MAXIMUM TOKEN LIFETIME are not told; MAXIMUM TOKEN INACTIVITY TIMEOUT.
    features.extend([0; 8]);
    features.extend(MOST_INACTIVITY.to_be_bytes());
    features.extend([0; 18]);
    let mut blocks = vec![0, 0, 0, 44, 0, 0];
    // OPTIMAL LENGTH GRANULARITY in blocks; the rest in bytes.
    blocks.extend(1u16.to_be_bytes());
    for bytes in [ranges::MOST_BYTES, ranges::OPTIMAL_BYTES, ranges::OPTIMAL_BYTES, ranges::OPTIMAL_BYTES] {
        blocks.extend(bytes.to_be_bytes());
    }
    blocks.extend([0; 8]);
    features.extend((blocks.len() as u16).to_be_bytes());
    features.extend(blocks);
    features
}

fn supported_rod_types() -> Vec<u8> {
    const TOKEN_IN: u8 = 0x02;
    const TOKEN_OUT: u8 = 0x01;
    // The type that is made by itself comes first in PREFERENCE INDICATOR.
    let types = [(CHANGE_VULNERABLE, TOKEN_IN | TOKEN_OUT, 0x8000u16), (ZEROS, TOKEN_IN, 0)];
    let list = types.iter().flat_map(|(kind, flags, preference)| {
        let mut one = kind.to_be_bytes().to_vec();
        one.extend([*flags, 0]);
        one.extend(preference.to_be_bytes());
        one.extend([0; 56]);
        one
    });
    let list: Vec<u8> = list.collect();
    [&[0; 2][..], &(list.len() as u16).to_be_bytes(), &list].concat()
}

fn general_copy_operations() -> Vec<u8> {
    let mut general = u32::from(CONCURRENT_COPIES).to_be_bytes().to_vec();
    general.extend(u32::from(CONCURRENT_COPIES).to_be_bytes());
    general.extend((MOST_BYTES as u32).to_be_bytes());
    // DATA SEGMENT GRANULARITY: one byte. No inline data.
    general.extend([0; 20]);
    general
}

fn held_data() -> Vec<u8> {
    let mut held = HELD_DATA_LIMIT.to_be_bytes().to_vec();
    held.extend([0; 24]);
    held
}

/// The page without its header.
pub(crate) fn third_party_copy(unit: &LogicalUnit) -> Vec<u8> {
    [
        descriptor(0x0000, block_device_rod_limits(unit)),
        descriptor(0x0001, supported_commands()),
        descriptor(0x0004, parameter_data()),
        descriptor(0x0008, counted(&DESCRIPTOR_TYPES)),
        descriptor(0x000c, [2u16.to_be_bytes(), OWN_UNIT.to_be_bytes()].concat()),
        descriptor(0x0106, rod_token_features()),
        descriptor(0x0108, supported_rod_types()),
        descriptor(0x8001, general_copy_operations()),
        descriptor(0xc001, held_data()),
    ]
    .concat()
}
