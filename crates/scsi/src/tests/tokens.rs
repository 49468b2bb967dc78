//! POPULATE TOKEN, WRITE USING TOKEN, and what is told of tokens.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use super::*;
use crate::{Absence, Surroundings};

const TARGET: &str = "iqn.1994-04.org.netbsd.iscsi-target:target0";
const SECOND: [u8; 8] = [0, 1, 0, 0, 0, 0, 0, 0];
const SECOND_NAA: [u8; 8] = [0x3f, 9, 9, 9, 9, 9, 9, 9];
/// Another session of the same initiator as [`NEXUS`]; [`OTHER`] is of another.
const SIBLING: NexusId = NexusId(3);

const UNKNOWN: (u8, u8, u8) = (0x05, 0x23, 0x04);
const REVOKED: (u8, u8, u8) = (0x05, 0x23, 0x06);
const EXPIRED: (u8, u8, u8) = (0x05, 0x23, 0x07);
const DELETED: (u8, u8, u8) = (0x05, 0x23, 0x09);
const NO_RESOURCES: (u8, u8, u8) = (0x05, 0x55, 0x0d);

/// Bytes that differ each time, and a clock that is set by hand.
#[derive(Debug, Default)]
struct Clockwork {
    next: AtomicU8,
    seconds: AtomicU64,
    is_dry: std::sync::atomic::AtomicBool,
}

impl Surroundings for Clockwork {
    fn fill_unguessably(&self, buffer: &mut [u8]) -> bool {
        buffer.fill(self.next.fetch_add(1, SeqCst));
        !self.is_dry.load(SeqCst)
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(self.seconds.load(SeqCst))
    }
}

/// Two disks of one target; the second has blocks of 4096 bytes.
fn two() -> (Bench, Arc<Clockwork>) {
    let mut bench = Bench::with(Probe::new(1 << 20), 512);
    let format = BlockFormat { logical_length: 4096, physical_length: 4096 };
    let other = Identity { naa: SECOND_NAA, ..identity() };
    let second = LogicalUnit::new(Arc::new(Probe::new(1 << 20)), other, format, None);
    let first = Arc::clone(bench.server.unit(LUN).unwrap());
    let clockwork = Arc::new(Clockwork::default());
    let units = vec![(0, first), (1, Arc::new(second))];
    bench.server = DeviceServer::new(TARGET, 1, units).in_surroundings(clockwork.clone());
    for (nexus, port) in [(NEXUS, "iqn.a,i,0x1"), (SIBLING, "iqn.a,i,0x2"), (OTHER, "iqn.b,i,0x1")] {
        bench.server.nexus_established(nexus, port);
        [LUN, SECOND].iter().for_each(|lun| drop(bench.run(nexus, *lun, &[0; 6], &[], 0)));
    }
    bench.good_with(&block_cdb(0x8a, 0, 0, 64), &numbered(64));
    (bench, clockwork)
}

fn numbered(count: usize) -> Vec<u8> {
    (0..count).flat_map(|at| [&(1 + at as u64).to_be_bytes()[..], &[0x5a; BLOCK - 8]].concat()).collect()
}

fn cdb(action: u8, identifier: u32, length: usize) -> [u8; 16] {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1]) = (0x83, action);
    cdb[6..10].copy_from_slice(&identifier.to_be_bytes());
    cdb[10..14].copy_from_slice(&(length as u32).to_be_bytes());
    cdb
}

fn descriptors(ranges: &[(u64, u32)]) -> Vec<u8> {
    let mut list = (16 * ranges.len() as u16).to_be_bytes().to_vec();
    for (lba, blocks) in ranges {
        list.extend(lba.to_be_bytes());
        list.extend(blocks.to_be_bytes());
        list.extend([0; 4]);
    }
    list
}

fn with_length(rest: Vec<u8>) -> Vec<u8> {
    [&(rest.len() as u16).to_be_bytes()[..], &rest].concat()
}

fn populate_list(timeout: u32, ranges: &[(u64, u32)]) -> Vec<u8> {
    with_length([&[0; 2][..], &timeout.to_be_bytes(), &[0; 6], &descriptors(ranges)].concat())
}

fn write_list(flags: u8, offset: u64, token: &[u8], ranges: &[(u64, u32)]) -> Vec<u8> {
    let begin = [&[flags, 0, 0, 0, 0, 0][..], &offset.to_be_bytes(), token, &[0; 6]].concat();
    with_length([begin, descriptors(ranges)].concat())
}

fn information(bench: &Bench, nexus: NexusId, lun: [u8; 8], identifier: u32) -> Reply {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1], cdb[12]) = (0x84, 0x07, 4);
    cdb[2..6].copy_from_slice(&identifier.to_be_bytes());
    bench.run(nexus, lun, &cdb, &[], 4096)
}

/// A token for blocks of the first disk.
fn populate(bench: &Bench, nexus: NexusId, timeout: u32, ranges: &[(u64, u32)]) -> Vec<u8> {
    let list = populate_list(timeout, ranges);
    let done = bench.run(nexus, LUN, &cdb(0x10, 77, list.len()), &list, 0).done;
    assert_eq!(done.status, Status::Good, "{:x?}", done.sense);
    let told = information(bench, nexus, LUN, 77).data;
    assert_eq!((told.len(), &told[32..38]), (550, &[0, 0, 2, 2, 0, 0][..]));
    told[38..].to_vec()
}

fn write(bench: &Bench, nexus: NexusId, lun: [u8; 8], list: &[u8]) -> Completion {
    bench.run(nexus, lun, &cdb(0x11, 78, list.len()), list, 0).done
}

/// The token is used for the first block of the second disk.
fn used(bench: &Bench, token: &[u8]) -> Completion {
    write(bench, NEXUS, SECOND, &write_list(0, 0, token, &[(0, 1)]))
}

/// How Windows offloads a copy (ODX): POPULATE TOKEN, RECEIVE ROD TOKEN INFORMATION, WRITE USING TOKEN, RECEIVE ROD
/// TOKEN INFORMATION, with each list identifier known to its own disk only.
#[test]
fn the_sequence_of_windows_odx_copies_a_file_in_pieces_between_disks() {
    let (bench, _) = two();
    let list = populate_list(0, &[(8, 8), (32, 16)]);
    assert_eq!(bench.run(NEXUS, LUN, &cdb(0x10, 5, list.len()), &list, 0).done.status, Status::Good);
    let told = information(&bench, NEXUS, LUN, 5).data;
    assert_eq!(told[..4], [0, 0, 2, 34]);
    assert_eq!(told[4..8], [0x10, 0x01, 0, 0], "completed without errors");
    assert_eq!(told[12..16], [0, 0, 0, 0xf1], "GOOD, no sense data, in blocks");
    assert_eq!((&told[16..24], &told[24..26]), (&24u64.to_be_bytes()[..], &[0, 2][..]));
    let token = &told[38..];
    assert_eq!(token[..8], [0, 0x80, 0, 1, 0, 0, 1, 0xf8]);
    assert_eq!(token[16..32], [&[0xe4, 0, 0, 0, 1, 3, 0, 8][..], &identity().naa].concat());
    assert_eq!(token[48..64], (24 * BLOCK as u128).to_be_bytes());
    assert_eq!(token[96..100], [0, 0, 2, 0]);
    let data = write_list(0, 1, token, &[(7, 1), (9, 1)]);
    assert_eq!(bench.run(NEXUS, SECOND, &cdb(0x11, 5, data.len()), &data, 0).done.status, Status::Good);
    let told = information(&bench, NEXUS, SECOND, 5).data;
    assert_eq!((told.len(), &told[4..8], &told[16..24]), (36, &[0x11, 1, 0, 0][..], &2u64.to_be_bytes()[..]));
    let written = bench.run(NEXUS, SECOND, &block_cdb(0x88, 0, 7, 3), &[], usize::MAX).data;
    let source = numbered(64);
    let (first, second) = (&source[32 * BLOCK..40 * BLOCK], &source[40 * BLOCK..48 * BLOCK]);
    assert!(written == [first, &[0; 4096], second].concat());
    // Once more: what is told is told again, and the same token serves again.
    assert_eq!(information(&bench, NEXUS, LUN, 5).data[38..], *token);
    assert_eq!(used(&bench, token).status, Status::Good);
}

#[test]
fn a_token_is_revoked_by_what_changes_its_blocks_and_by_nothing_else() {
    let (bench, _) = two();
    let block = vec![9; BLOCK];
    let unmap = [&[0, 22, 0, 16, 0, 0, 0, 0][..], &9u64.to_be_bytes(), &[0, 0, 0, 1, 0, 0, 0, 0]].concat();
    let mut compare = block_cdb(0x89, 0, 9, 0);
    compare[13] = 1;
    let both = [&numbered(10)[9 * BLOCK..], &block[..]].concat();
    let copy = write_list(0, 0, &zeros(), &[(9, 1)]);
    let changes = [
        (compare, both),
        (block_cdb(0x2a, 0, 9, 1), block.clone()),
        (block_cdb(0x8b, 0, 9, 1), block.clone()),
        (block_cdb(0x93, 0, 9, 1), block.clone()),
        (block_cdb(0x2e, 0, 9, 1), block.clone()),
        (vec![0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], unmap),
        (cdb(0x11, 1, copy.len()).to_vec(), copy),
        (vec![0x48, 2, 0, 0, 0, 0, 0, 0, 0, 0], vec![]),
    ];
    for (change, data) in changes {
        let token = populate(&bench, NEXUS, 0, &[(8, 8)]);
        bench.good_with(&block_cdb(0x2a, 0, 7, 1), &block);
        bench.good_with(&block_cdb(0x2a, 0, 16, 1), &block);
        bench.good(&block_cdb(0x28, 0, 8, 8));
        assert_eq!(used(&bench, &token).status, Status::Good);
        bench.good_with(&change, &data);
        assert_eq!(triple(&used(&bench, &token)), REVOKED, "{change:x?}");
    }
    let token = populate(&bench, NEXUS, 0, &[(8, 8)]);
    let unit = bench.server.unit(LUN).unwrap();
    let volume = unit.medium().take(Absence::Exchange).unwrap();
    assert_eq!(triple(&used(&bench, &token)).0, 0x02);
    unit.medium().put(Arc::new(Probe::new(1 << 20)));
    assert_eq!(triple(&used(&bench, &token)), REVOKED, "another volume");
    drop(volume);
}

#[test]
fn a_token_is_for_its_initiator_and_for_where_both_disks_are_seen() {
    let (bench, clockwork) = two();
    let token = populate(&bench, NEXUS, 0, &[(8, 8)]);
    let list = write_list(0, 0, &token, &[(0, 1)]);
    assert_eq!(triple(&write(&bench, OTHER, SECOND, &list)), UNKNOWN, "another initiator's");
    assert_eq!(write(&bench, SIBLING, SECOND, &list).status, Status::Good);
    for at in [8, 15, 16, 63, 200, 511] {
        let mut guessed = token.clone();
        guessed[at] ^= 1;
        assert_eq!(triple(&used(&bench, &guessed)), UNKNOWN, "{at}");
    }
    // The second disk in a target that does not have the first.
    let second = Arc::clone(bench.server.unit(SECOND).unwrap());
    let elsewhere = DeviceServer::new("iqn.elsewhere", 1, vec![(1, second)]).in_surroundings(clockwork);
    let whole = cdb(0x11, 1, list.len());
    let plan = elsewhere.plan(SECOND, &whole);
    assert_eq!(triple(&elsewhere.execute(NEXUS, SECOND, &whole, plan, &list, &mut [])), UNKNOWN);
    // Whoever may not read one or write the other does neither with a token.
    let (reserve, release) = ([0x16, 0, 0, 0, 0, 0], [0x17, 0, 0, 0, 0, 0]);
    for lun in [LUN, SECOND] {
        bench.run(OTHER, lun, &reserve, &[], 0);
        assert_eq!(used(&bench, &token).status, Status::ReservationConflict);
        bench.run(OTHER, lun, &release, &[], 0);
    }
    bench.server.unit(SECOND).unwrap().set_read_only(true);
    assert_eq!(triple(&used(&bench, &token)), (0x07, 0x27, 0x00));
}

#[test]
fn tokens_end_when_they_are_not_used_when_they_are_deleted_and_when_there_are_too_many() {
    let (bench, clockwork) = two();
    let (usual, long) = (populate(&bench, NEXUS, 0, &[(8, 8)]), populate(&bench, NEXUS, 300, &[(8, 8)]));
    for now in [29, 58, 88] {
        clockwork.seconds.store(now, SeqCst);
        assert_eq!(used(&bench, &usual).status, Status::Good, "each use counts");
    }
    clockwork.seconds.store(119, SeqCst);
    assert_eq!(triple(&used(&bench, &usual)), EXPIRED);
    assert_eq!(used(&bench, &long).status, Status::Good);
    let deleting = write_list(2, 0, &long, &[(0, 1)]);
    assert_eq!(write(&bench, NEXUS, SECOND, &deleting).status, Status::Good);
    assert_eq!(triple(&used(&bench, &long)), DELETED);
    let theirs = populate(&bench, OTHER, 0, &[(0, 8)]);
    let many: Vec<_> = (0..17).map(|_| populate(&bench, NEXUS, 0, &[(8, 8)])).collect();
    assert_eq!(triple(&used(&bench, &many[0])), UNKNOWN, "the oldest has gone");
    assert_eq!(used(&bench, &many[1]).status, Status::Good);
    let list = write_list(0, 0, &theirs, &[(0, 1)]);
    assert_eq!(write(&bench, OTHER, SECOND, &list).status, Status::Good, "and nobody else's");
    for initiator in 10..60 {
        let nexus = NexusId(initiator);
        bench.server.nexus_established(nexus, &format!("iqn.{initiator},i,0x1"));
        bench.run(nexus, LUN, &[0; 6], &[], 0);
        let list = populate_list(0, &[(0, 1)]);
        let done = bench.run(nexus, LUN, &cdb(0x10, 1, list.len()), &list, 0).done;
        match initiator < 10 + 64 - 17 {
            true => assert_eq!(done.status, Status::Good),
            false => assert_eq!(triple(&done), NO_RESOURCES),
        }
    }
}

#[test]
fn without_randomness_or_a_name_there_is_no_token() {
    let (bench, clockwork) = two();
    let list = populate_list(0, &[(8, 8)]);
    clockwork.is_dry.store(true, SeqCst);
    assert_eq!(bench.refused_with(&cdb(0x10, 1, list.len()), &list), NO_RESOURCES);
    let told = information(&bench, NEXUS, LUN, 1).data;
    assert_eq!((told[5], told[12], told[13], told[14]), (0x02, 0x02, 20, 18));
    assert_eq!((told[34] & 0xf, told[44], told[45], &told[52..]), (0x05, 0x55, 0x0d, &[0; 4][..]));
    clockwork.is_dry.store(false, SeqCst);
    let nobody = bench.run(NexusId(9), LUN, &cdb(0x10, 1, list.len()), &list, 0).done;
    assert_eq!(triple(&nobody), NO_RESOURCES);
}

/// The block device zero ROD token.
fn zeros() -> Vec<u8> {
    let mut token = vec![0; 512];
    token[..8].copy_from_slice(&[0xff, 0xff, 0, 1, 0, 0, 1, 0xf8]);
    token
}

#[test]
fn the_zero_token_makes_holes_and_needs_no_making() {
    let (bench, _) = two();
    let data = write_list(0, 1 << 40, &zeros(), &[(0, 16), (32, 8)]);
    assert_eq!(write(&bench, NEXUS, LUN, &data).status, Status::Good);
    let expected = [&[0; 16 * BLOCK][..], &numbered(64)[16 * BLOCK..32 * BLOCK], &[0; 8 * BLOCK]].concat();
    assert!(bench.good(&block_cdb(0x88, 0, 0, 40)) == expected);
    assert_eq!(bench.volume.allocated(), (64 - 24) * BLOCK as u64);
    let change = |at: usize, value| {
        let mut token = zeros();
        token[at] = value;
        triple(&write(&bench, NEXUS, LUN, &write_list(0, 0, &token, &[(0, 1)])))
    };
    assert_eq!(change(7, 0xf7), (0x05, 0x23, 0x0a), "its length");
    assert_eq!(change(3, 2), (0x05, 0x23, 0x01), "its type");
}

#[test]
fn lists_of_ranges_that_make_no_sense_are_refused() {
    let (bench, _) = two();
    let token = populate(&bench, NEXUS, 0, &[(8, 8)]);
    type List = fn(&[u8], &[(u64, u32)]) -> Vec<u8>;
    let lists: [(u8, usize, List); 2] = [
        (0x10, 14, |_, ranges| populate_list(0, ranges)),
        (0x11, 534, |token, ranges| write_list(0, 0, token, ranges)),
    ];
    for (action, at, list) in lists {
        let refused = |list: &[u8]| bench.refused_with(&cdb(action, 1, list.len()), list);
        let good = list(&token, &[(8, 1)]);
        assert_eq!(bench.send(&cdb(action, 1, 0), &[]).done.status, Status::Good, "nothing to do");
        for length in [1, 2, at, good.len() - 1] {
            assert_eq!(refused(&good[..length]), LIST_LENGTH, "{action:x} {length}");
        }
        let changed = |at: usize, value: u8| {
            let mut bad = good.clone();
            bad[at] = value;
            refused(&bad)
        };
        assert_eq!(changed(1, 0x1d), INVALID_PARAMETER, "too short for a descriptor");
        assert_eq!(changed(at + 1, 8), INVALID_PARAMETER, "half a descriptor");
        assert_eq!(changed(at + 1, 32), LIST_LENGTH, "more than there are");
        assert_eq!(refused(&list(&token, &[(2047, 2)])), OUT_OF_RANGE);
        assert_eq!(refused(&list(&token, &[(u64::MAX, 1)])), OUT_OF_RANGE);
        assert_eq!(refused(&list(&token, &[(8, 2), (9, 2)])), INVALID_PARAMETER, "twice");
        assert_eq!(refused(&list(&token, &[(8, 0); 65])), (0x05, 0x26, 0x08));
    }
    let whole = populate_list(301, &[(8, 1)]);
    assert_eq!(bench.refused_with(&cdb(0x10, 1, whole.len()), &whole), INVALID_PARAMETER);
    assert_eq!(bench.pointed_at(&cdb(0x10, 1, whole.len()), &whole), (4, None));
    for (kind, is_known) in [(0x0080_0000u32, true), (0x0080_0001, true), (0x0080_ffff, true), (1, false)] {
        let mut asked = populate_list(0, &[(8, 1)]);
        asked[2] = 0x02;
        asked[8..12].copy_from_slice(&kind.to_be_bytes());
        let done = bench.send(&cdb(0x10, 1, asked.len()), &asked).done;
        assert_eq!(done.status == Status::Good, is_known, "{kind:x}");
    }
    // Past the end of the data nothing is written, not even the part that there is.
    for (offset, ranges) in [(9, &[(0, 1)][..]), (8, &[(0, 1)]), (0, &[(0, 9)]), (4, &[(0, 4), (20, 1)])] {
        let list = write_list(0, offset, &token, ranges);
        assert_eq!(bench.refused_with(&cdb(0x11, 1, list.len()), &list), INVALID_PARAMETER, "{offset}");
    }
    assert!(bench.good(&block_cdb(0x88, 0, 0, 64)) == numbered(64));
    let big = Bench::with(Probe::new(1 << 30), 512);
    let list = populate_list(0, &[(0, 1 << 18), (1 << 20, (1 << 18) + 1)]);
    assert_eq!(big.refused_with(&cdb(0x10, 1, list.len()), &list), INVALID_PARAMETER);
}

#[test]
fn what_is_told_of_tokens_is_told_to_their_initiator_and_does_not_give_them_away() {
    let (bench, _) = two();
    let all = [0x84, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0];
    assert_eq!(bench.good(&all), [0, 0, 0, 4, 0, 0, 0, 0]);
    let (first, second) = (populate(&bench, NEXUS, 0, &[(8, 8)]), populate(&bench, SIBLING, 0, &[(0, 8)]));
    populate(&bench, OTHER, 0, &[(0, 8)]);
    let told = bench.good(&all);
    assert_eq!((&told[..8], told.len()), (&[0, 0, 0, 196, 0, 0, 0, 0][..], 8 + 2 * 96));
    assert_eq!(told[8..], [&first[..96], &second[..96]].concat());
    assert_eq!(triple(&information(&bench, OTHER, LUN, 5).done), INVALID_FIELD, "never asked for");
    assert_eq!(triple(&information(&bench, NEXUS, SECOND, 77).done), INVALID_FIELD, "of another disk");
    bench.server.nexus_lost(NEXUS);
    assert_eq!(triple(&information(&bench, NEXUS, LUN, 77).done), INVALID_FIELD);
}

#[test]
fn a_copy_that_does_not_run_can_not_be_aborted() {
    let (bench, _) = two();
    assert_eq!(bench.refused(&[0x83, 0x1c, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), INVALID_FIELD);
}
