//! Every field of every CDB at its ends: what is answered, what is pointed at, and that nothing else is returned.

use std::collections::HashSet;

use super::*;
use crate::cdb::{Cdb, Field};
use crate::command_table::{COMMANDS, Command, Transfer};
use crate::limits;
use crate::traffic::Effect;
use crate::{AccessState, PortGroup};

/// A CDB of the command that is carried out, as far as one can be without anything before it.
fn example(row: &Command) -> Vec<u8> {
    let mut cdb = blank(row);
    let length = cdb.len();
    match row.name {
        "READ BUFFER" => cdb[1] = 0x0b,
        "WRITE BUFFER" => (cdb[1], cdb[8]) = (0x0a, 4),
        "LOG SENSE" => (cdb[2], cdb[8]) = (0x40, 255),
        "MODE SENSE(6)" | "MODE SENSE(10)" => cdb[2] = 0x3f,
        "MODE SELECT(6)" | "MODE SELECT(10)" => cdb[1] = 0x10,
        name if name.starts_with("PERSISTENT RESERVE OUT") => (cdb[2], cdb[8]) = (0x01, 24),
        _ => {}
    }
    if row.traits.effect != Effect::None || row.name.starts_with("VERIFY") {
        let blocks = if row.name.contains("COMPARE") { 13 } else { Cdb::new(&cdb).block_range().length_byte };
        // The last byte of the length.
        let last = match (length, row.name) {
            (_, "UNMAP") => return cdb,
            (6, _) | (_, "COMPARE AND WRITE") => blocks,
            (10, _) => blocks + 1,
            _ => blocks + 3,
        };
        cdb[last] = 2;
    }
    if let Transfer::ParameterData { allocation_length, .. } = row.transfer {
        cdb[allocation_length.byte + allocation_length.width - 1] = 255;
    }
    cdb
}

/// A fresh disk that offers all commands.
fn bench() -> Bench {
    let bench = Bench::new();
    let unit = bench.server.unit(LUN).unwrap();
    let group = PortGroup { tag: 1, state: AccessState::ActiveOptimized, is_preferred: false };
    unit.set_port_groups(&[group], true).unwrap();
    assert!(COMMANDS.iter().all(|row| unit.offers(row)));
    bench
}

/// All that can be seen of a command on a fresh disk.
fn outcome(row: &Command, cdb: &[u8]) -> (crate::Plan, Completion, Vec<u8>, Vec<u8>) {
    let bench = bench();
    let plan = bench.server.plan(LUN, cdb);
    let fill = if row.traits.effect == Effect::Write { 0x5a } else { 0 };
    let mut data = vec![fill; plan.data_out as usize];
    if let (Transfer::ExactOut(_), Some(exact)) = (row.transfer, data.len().checked_sub(BLOCK)) {
        data.truncate(exact);
    }
    if row.name == "COMPARE AND WRITE" {
        // What should be there is.
        let half = data.len() / 2;
        data[..half].fill(0);
    }
    let reply = bench.send(cdb, &data);
    let after = bench.send(&block_cdb(0x28, 0, 0, 64), &[]).data;
    (plan, reply.done, reply.data, after)
}

/// Where INVALID FIELD IN CDB points at.
fn pointer(done: &Completion) -> Option<usize> {
    let sense = done.sense.get(12..18).filter(|sense| sense[0] == 0x24)?;
    (sense[3] & 0xc0 == 0xc0).then(|| usize::from(u16::from_be_bytes([sense[4], sense[5]])))
}

/// Whether a byte can be of a field that begins there and is not said to be looked at: it has to be zero.
fn is_field(row: &Command, start: usize, byte: usize) -> bool {
    start <= byte
        && byte < start + 8
        && (start == byte || row.usage[start..=byte].iter().all(|bits| *bits == 0))
}

/// Parts of the names of commands that are about something that was there before.
const ABOUT_WHAT_WAS: [&str; 5] = [
    "COPY STATUS",
    "TOKEN INFORMATION",
    "COPY OPERATION ABORT",
    "PERSISTENT RESERVE OUT",
    "SANITIZE, OVERWRITE",
];

#[test]
fn what_is_not_looked_at_makes_no_difference_or_is_refused_where_it_stands() {
    for row in COMMANDS {
        let cdb = example(row);
        let usual = outcome(row, &cdb);
        let stands_alone = !ABOUT_WHAT_WAS.iter().any(|part| row.name.contains(part));
        assert!(usual.1.status == Status::Good || !stands_alone, "{} {:x?}", row.name, usual.1);
        let control = if cdb[0] == 0x7f { 1 } else { cdb.len() - 1 };
        for bit in 8..cdb.len() * 8 {
            let (byte, mask) = (bit / 8, 0x80 >> (bit % 8));
            if row.usage[byte] & mask != 0 || (byte == control && mask == 0x04) {
                continue;
            }
            let mut other = cdb.clone();
            other[byte] ^= mask;
            let unusual = outcome(row, &other);
            let refused = pointer(&unusual.1).is_some_and(|at| is_field(row, at, byte));
            assert!(unusual == usual || refused, "{} {other:x?} {:x?}", row.name, unusual.1);
        }
    }
}

/// Of a byte: each bit, and the ends of fields of some bits.
const VALUES: [u8; 18] =
    [0, 1, 2, 3, 4, 7, 8, 0x0f, 0x10, 0x1f, 0x20, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xfe, 0xff];

#[test]
fn what_is_refused_of_a_cdb_is_looked_at() {
    for row in COMMANDS {
        let cdb = example(row);
        let control = if cdb[0] == 0x7f { 1 } else { cdb.len() - 1 };
        for byte in 1..cdb.len() {
            for value in VALUES {
                let mut other = cdb.clone();
                other[byte] = value;
                if crate::command_table::find(Cdb::new(&other)).map(|found| found.name) != Ok(row.name) {
                    continue;
                }
                let (_, done, ..) = outcome(row, &other);
                if done.status != Status::CheckCondition || done.sense[2] != 0x05 {
                    continue;
                }
                let refused = (done.sense[12], done.sense[13]);
                // Anything else than the CDB is wrong with lists and with what comes before a command.
                let known = [
                    (0x1a, 0),
                    (0x20, 0),
                    (0x21, 0),
                    (0x24, 0),
                    (0x26, 0),
                    (0x2c, 0),
                    (0x2c, 0x0c),
                    (0x39, 0),
                ];
                assert!(known.contains(&refused), "{} {other:x?} {done:x?}", row.name);
                if let Some(at) = pointer(&done) {
                    let is_known = row.usage.get(at).is_some_and(|bits| *bits != 0) || at == control;
                    assert!(is_known || is_field(row, at, byte), "{} {other:x?} points at {at}", row.name);
                }
            }
        }
    }
}

/// A command on blocks: how its CDB is made, bits of its address and of its length, bytes that it may move at most.
struct OnBlocks {
    cdb: fn(u64, u32) -> Vec<u8>,
    address: u32,
    length: u32,
    most: u64,
    /// Zero blocks: so many, or none at all, or a mistake.
    zero: Option<u64>,
}

const fn transfers(cdb: fn(u64, u32) -> Vec<u8>, address: u32, length: u32) -> OnBlocks {
    OnBlocks { cdb, address, length, most: limits::TRANSFER / BLOCK as u64, zero: Some(0) }
}

const fn repeats(cdb: fn(u64, u32) -> Vec<u8>, address: u32, length: u32) -> OnBlocks {
    OnBlocks { most: limits::WRITE_SAME_BLOCKS, zero: None, ..transfers(cdb, address, length) }
}

const fn free(cdb: fn(u64, u32) -> Vec<u8>, address: u32, length: u32) -> OnBlocks {
    OnBlocks { most: u64::MAX, ..transfers(cdb, address, length) }
}

fn compare_and_write(lba: u64, blocks: u32) -> Vec<u8> {
    let mut cdb = block_cdb(0x89, 0, lba, 0);
    cdb[13] = blocks as u8;
    cdb
}

const ON_BLOCKS: &[OnBlocks] = &[
    OnBlocks { zero: Some(256), ..transfers(|lba, blocks| block_cdb(0x08, 0, lba, blocks), 21, 8) },
    OnBlocks { zero: Some(256), ..transfers(|lba, blocks| block_cdb(0x0a, 0, lba, blocks), 21, 8) },
    transfers(|lba, blocks| block_cdb(0x28, 0, lba, blocks), 32, 16),
    transfers(|lba, blocks| block_cdb(0x2a, 0, lba, blocks), 32, 16),
    transfers(|lba, blocks| block_cdb(0x2e, 0, lba, blocks), 32, 16),
    transfers(|lba, blocks| block_cdb(0x2f, 2, lba, blocks), 32, 16),
    transfers(|lba, blocks| block_cdb(0x2f, 0, lba, blocks), 32, 16),
    transfers(|lba, blocks| block_cdb(0xa8, 0, lba, blocks), 32, 32),
    transfers(|lba, blocks| block_cdb(0xaa, 0, lba, blocks), 32, 32),
    transfers(|lba, blocks| block_cdb(0xae, 0, lba, blocks), 32, 32),
    transfers(|lba, blocks| block_cdb(0xaf, 2, lba, blocks), 32, 32),
    transfers(|lba, blocks| block_cdb(0x88, 0, lba, blocks), 64, 32),
    transfers(|lba, blocks| block_cdb(0x8a, 0, lba, blocks), 64, 32),
    transfers(|lba, blocks| block_cdb(0x8b, 0, lba, blocks), 64, 32),
    transfers(|lba, blocks| block_cdb(0x8e, 0, lba, blocks), 64, 32),
    transfers(|lba, blocks| block_cdb(0x8f, 2, lba, blocks), 64, 32),
    transfers(|lba, blocks| long_cdb(0x09, 0, lba, blocks), 64, 32),
    transfers(|lba, blocks| long_cdb(0x0a, 2, lba, blocks), 64, 32),
    transfers(|lba, blocks| long_cdb(0x0b, 0, lba, blocks), 64, 32),
    transfers(|lba, blocks| long_cdb(0x0c, 0, lba, blocks), 64, 32),
    transfers(|lba, blocks| long_cdb(0x0e, 0, lba, blocks), 64, 32),
    repeats(|lba, blocks| block_cdb(0x41, 0, lba, blocks), 32, 16),
    repeats(|lba, blocks| block_cdb(0x93, 1, lba, blocks), 64, 32),
    repeats(|lba, blocks| long_cdb(0x0d, 1, lba, blocks), 64, 32),
    transfers(compare_and_write, 64, 8),
    free(|lba, blocks| block_cdb(0x34, 0, lba, blocks), 32, 16),
    free(|lba, blocks| block_cdb(0x90, 0, lba, blocks), 64, 32),
    free(|lba, blocks| block_cdb(0x35, 0, lba, blocks), 32, 16),
    free(|lba, blocks| block_cdb(0x91, 0, lba, blocks), 64, 32),
];

/// Data of the length that the command wants at least to be carried out; none where it may be told of less.
fn data_of(cdb: &[u8]) -> Vec<u8> {
    match cdb[0] {
        0x41 => vec![0; BLOCK],
        0x89 => vec![0; 2 * BLOCK * usize::from(cdb[13])],
        _ => Vec::new(),
    }
}

#[test]
fn every_address_and_every_length_has_its_answer_at_their_ends() {
    let few = Bench::new();
    // More blocks than 32 bits can name.
    let many = Bench::with(Probe::new(1 << 42), BLOCK as u32);
    for command in ON_BLOCKS {
        let (address, length) = (u64::MAX >> (64 - command.address), u64::MAX >> (64 - command.length));
        for (bench, blocks) in [(&few, BLOCKS), (&many, 1_u64 << 33)] {
            let ends = [0, 1, 255, 256, command.most, length].map(|end: u64| end.min(length));
            let lengths: HashSet<u64> =
                ends.iter().flat_map(|end| [end.saturating_sub(1), *end, (*end + 1).min(length)]).collect();
            for named in lengths {
                let meant = if named == 0 { command.zero.unwrap_or(0) } else { named };
                let last = blocks.saturating_sub(meant);
                for lba in [0, 1, last.saturating_sub(1), last, last + 1, blocks, blocks + 1, address] {
                    let lba = lba.min(address);
                    let cdb = (command.cdb)(lba, named as u32);
                    let done = bench.run(NEXUS, LUN, &cdb, &data_of(&cdb), 0).done;
                    let is_on_disk = lba.checked_add(meant).is_some_and(|end| end <= blocks);
                    let is_too_much = meant > command.most || (named == 0 && command.zero.is_none());
                    let what = format!("{cdb:x?} on {blocks} blocks: {done:x?}");
                    match (is_on_disk, is_too_much) {
                        (false, _) => {
                            assert_eq!(triple(&done), OUT_OF_RANGE, "{what}");
                            // The first block that is not there, where fixed format has room for it.
                            let first = u32::try_from(lba.max(blocks)).ok();
                            let named = (done.sense[0] == 0xf0).then(|| &done.sense[3..7]);
                            assert_eq!(
                                named,
                                first.map(u32::to_be_bytes).as_ref().map(|told| &told[..]),
                                "{what}"
                            );
                        }
                        (true, true) => {
                            assert_eq!(triple(&done), INVALID_FIELD, "{what}");
                            let at = Cdb::new(&cdb).block_range().length_byte;
                            assert_eq!(pointer(&done), Some(at), "{what}");
                        }
                        (true, false) => assert_eq!(done.status, Status::Good, "{what}"),
                    }
                    let plan = bench.server.plan(LUN, &cdb);
                    assert!(done.status == Status::Good || (plan.data_in, plan.data_out) == (0, 0), "{what}");
                }
            }
        }
    }
}

/// Where a client may have written an allocation length.
fn allocation_length(cdb: &[u8]) -> Field {
    let row = COMMANDS.iter().find(|row| {
        row.operation_code == cdb[0]
            && row.service_action.is_none_or(|action| Cdb::new(cdb).service_action() == action.into())
    });
    match row.map(|row| row.transfer) {
        Some(Transfer::ParameterData { allocation_length, .. }) => allocation_length,
        // It is not known, or has none: as most others have theirs.
        _ => match cdb[0] >> 5 {
            0 => Field { byte: 4, width: 1 },
            1 | 2 => Field { byte: 7, width: 2 },
            5 => Field { byte: 6, width: 4 },
            _ => Field { byte: 10, width: 4 },
        },
    }
}

/// Bytes 2 and 3 that lead to other answers: pages, subpages, options.
fn choices(code: u8, action: u8) -> Vec<(u8, u8)> {
    let all = |first: &[u8], second: &[u8]| -> Vec<(u8, u8)> {
        first.iter().flat_map(|first| second.iter().map(|second| (*first, *second))).collect()
    };
    let every: Vec<u8> = (0..=255).collect();
    match (code, action) {
        (0x12, 0..=1) => all(&every, &[0]),
        (0x1a | 0x5a | 0x4d, 0 | 0x08 | 0x10) => all(&every, &[0, 1, 2, 0xff]),
        (0xa3, 0x0c) => all(&[0, 1, 2, 3, 0x80, 0x81, 0x82, 0x83], &every),
        _ => vec![(0, 0), (1, 0), (2, 0), (0xff, 0xff)],
    }
}

/// The answer where there is room for it all, and that no byte of it is what was there before.
fn answer(bench: &Bench, cdb: &[u8], asked: u64) -> Vec<u8> {
    let plan = bench.server.plan(LUN, cdb);
    assert!(u64::from(plan.data_in) <= asked, "{cdb:x?}");
    let answers = [0x00, CANARY].map(|canary| {
        let mut data = vec![canary; plan.data_in as usize + 16];
        let (room, _) = data.split_at_mut(plan.data_in as usize);
        let done = bench.server.execute(NEXUS, LUN, cdb, plan, &[], room);
        assert!(done.data_in <= asked, "{cdb:x?} {done:?}");
        let beyond = data.split_off(done.data_in as usize);
        assert!(beyond.iter().all(|byte| *byte == canary), "{cdb:x?} wrote more than it returned");
        (done.status, data)
    });
    assert_eq!(answers[0], answers[1], "{cdb:x?} returned what was there before");
    let [(_, data), _] = answers;
    data
}

#[test]
fn no_answer_is_longer_than_asked_for_nor_holds_what_was_there_before() {
    let bench = Bench::new();
    for code in (0..=255).filter(|code| !moves_blocks(*code)) {
        for action in 0..32 {
            for (second, third) in choices(code, action) {
                let mut cdb = match code {
                    0x7f => long_cdb(action, 0, 0, 0),
                    _ => block_cdb(code, action, 0, 0),
                };
                if code != 0x7f {
                    cdb[1..4].copy_from_slice(&[action, second, third]);
                }
                ask_for_every_length(&bench, &cdb);
            }
        }
    }
}

/// READ and its like return what is on the disk.
fn moves_blocks(code: u8) -> bool {
    COMMANDS.iter().any(|row| row.operation_code == code && matches!(row.transfer, Transfer::BlocksIn))
        && code != 0x7f
}

fn ask_for_every_length(bench: &Bench, cdb: &[u8]) {
    let field = allocation_length(cdb);
    let greatest = u64::MAX >> (64 - 8 * field.width);
    let with = |length: u64| {
        let mut cdb = cdb.to_vec();
        let bytes = length.to_be_bytes();
        cdb[field.byte..field.byte + field.width].copy_from_slice(&bytes[8 - field.width..]);
        cdb
    };
    let fixed =
        COMMANDS.iter().any(|row| row.operation_code == cdb[0] && matches!(row.transfer, Transfer::Fixed(_)));
    let asked = |length: u64| if fixed { u64::from(u32::MAX) } else { length };
    let whole = answer(bench, &with(greatest), asked(greatest));
    let length = whole.len() as u64;
    for allocated in [0, 1, length.saturating_sub(1), length, length + 1] {
        let allocated = allocated.min(greatest);
        let part = answer(bench, &with(allocated), asked(allocated));
        if length > 0 && !fixed {
            assert_eq!(part, whole[..part.len()], "{cdb:x?} asked for {allocated}");
            assert_eq!(part.len() as u64, allocated.min(length), "{cdb:x?} asked for {allocated}");
        }
    }
}
