//! EXTENDED COPY and its results.

use std::sync::atomic::Ordering::SeqCst;

use super::*;

const NOT_REACHABLE: (u8, u8, u8) = (0x0a, 0x0d, 0x02);
const INEXACT: (u8, u8, u8) = (0x0a, 0x26, 0x0a);

/// A parameter list: usage of the list identifier (7), descriptors of logical units, segments.
fn list(usage: u8, units: &[Vec<u8>], segments: &[Vec<u8>]) -> Vec<u8> {
    let (units, segments) = (units.concat(), segments.concat());
    let mut list = vec![7, usage << 3];
    list.extend((units.len() as u16).to_be_bytes());
    list.extend([0; 4]);
    list.extend((segments.len() as u32).to_be_bytes());
    list.extend([0; 4]);
    [list, units, segments].concat()
}

/// The same with an identifier of four bytes.
fn long_list(usage: u8, identifier: u32, units: &[Vec<u8>], segments: &[Vec<u8>]) -> Vec<u8> {
    let (units, segments) = (units.concat(), segments.concat());
    let mut list = vec![0; 48];
    (list[0], list[1], list[3], list[16]) = (1, usage << 3, 0x20, 0xff);
    list[20..24].copy_from_slice(&identifier.to_be_bytes());
    list[42..44].copy_from_slice(&(units.len() as u16).to_be_bytes());
    list[44..46].copy_from_slice(&(segments.len() as u16).to_be_bytes());
    [list, units, segments].concat()
}

fn long_cdb(length: usize) -> [u8; 16] {
    let mut long = cdb(length);
    long[1] = 1;
    long
}

fn unit(naa: [u8; 8], block: u32) -> Vec<u8> {
    let mut one = vec![0xe4, 0, 0, 0, 1, 3, 0, 8];
    one.extend(naa);
    one.extend([0; 12]);
    one.extend(block.to_be_bytes());
    one
}

fn own() -> Vec<u8> {
    unit(identity().naa, 512)
}

/// From descriptor and block to descriptor and block.
fn blocks(count: u16, from: (u16, u64), to: (u16, u64)) -> Vec<u8> {
    let mut one = vec![0x02, 0, 0, 24];
    one.extend(from.0.to_be_bytes());
    one.extend(to.0.to_be_bytes());
    one.extend([0, 0]);
    one.extend(count.to_be_bytes());
    one.extend(from.1.to_be_bytes());
    one.extend(to.1.to_be_bytes());
    one
}

/// The same in bytes, with offsets.
fn bytes(count: u32, from: (u64, u16), to: (u64, u16)) -> Vec<u8> {
    let mut one = vec![0x0a, 0, 0, 28, 0, 0, 0, 0];
    one.extend(count.to_be_bytes());
    one.extend(from.0.to_be_bytes());
    one.extend(to.0.to_be_bytes());
    one.extend(from.1.to_be_bytes());
    one.extend(to.1.to_be_bytes());
    one
}

fn cdb(length: usize) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[0] = 0x83;
    cdb[10..14].copy_from_slice(&(length as u32).to_be_bytes());
    cdb
}

fn copy(bench: &Bench, nexus: NexusId, list: &[u8]) -> Completion {
    bench.run(nexus, LUN, &cdb(list.len()), list, 0).done
}

fn copied(bench: &Bench, segments: &[Vec<u8>]) {
    copied_in(bench, 512, segments);
}

fn copied_in(bench: &Bench, block: u32, segments: &[Vec<u8>]) {
    let done = copy(bench, NEXUS, &list(3, &[unit(identity().naa, block)], segments));
    assert_eq!(done.status, Status::Good, "{:x?}", done.sense);
}

fn refused(bench: &Bench, list: &[u8]) -> (u8, u8, u8) {
    triple(&copy(bench, NEXUS, list))
}

const LONG_BLOCKS: [u8; 8] = [0x3f, 9, 9, 9, 9, 9, 9, 9];
const LONG: [u8; 8] = [0, 1, 0, 0, 0, 0, 0, 0];

/// A disk of blocks of 512 bytes at LUN 0, and one of 4096 at LUN 1.
fn short_and_long() -> Bench {
    let mut bench = Bench::new();
    let format = BlockFormat { logical_length: 4096, physical_length: 4096 };
    let other = Identity { naa: LONG_BLOCKS, ..identity() };
    let long = LogicalUnit::new(Arc::new(Probe::new(1 << 20)), other, format, None);
    let short = Arc::clone(bench.server.unit(LUN).unwrap());
    bench.server = DeviceServer::new("iqn.x", 1, vec![(0, short), (1, Arc::new(long))]);
    bench
}

fn changed(segment: &[u8], at: usize, value: u8) -> Vec<u8> {
    let mut segment = segment.to_vec();
    segment[at] = value;
    segment
}

fn numbered(from: u64, count: usize) -> Vec<u8> {
    (0..count).flat_map(|at| [&(from + at as u64).to_be_bytes()[..], &[0x5a; BLOCK - 8]].concat()).collect()
}

#[test]
fn blocks_are_copied_to_where_they_shall_be() {
    let bench = Bench::with(Probe::new(8 << 20), 512);
    bench.good_with(&block_cdb(0x8a, 0, 0, 2000), &numbered(1, 2000));
    for (from, to, count) in
        [(0, 4000, 2000), (5, 6, 1990), (6, 5, 1990), (0, 700, 1200), (9, 9, 9), (0, 0, 0)]
    {
        let before = bench.good(&block_cdb(0x88, 0, from, u32::from(count)));
        copied(&bench, &[blocks(count, (0, from), (0, to))]);
        let after = bench.good(&block_cdb(0x88, 0, to, u32::from(count)));
        assert!(before == after, "{count} from {from} to {to}");
    }
    let before = bench.good(&block_cdb(0x88, 0, 0, 4));
    copied(&bench, &[bytes(700, (0, 300), (8000, 1000)), bytes(0, (0, 0), (0, 0))]);
    let after = bench.good(&block_cdb(0x88, 0, 8000, 4));
    assert_eq!(after[1000..1700], before[300..1000]);
    assert_eq!((&after[..1000], &after[1700..]), (&[0; 1000][..], &[0; 348][..]));
}

#[test]
fn blocks_are_counted_at_the_end_that_the_descriptor_says() {
    const DC: u8 = 0x02;
    let bench = short_and_long();
    bench.good_with(&block_cdb(0x8a, 0, 0, 64), &numbered(1, 64));
    let units = [own(), unit(LONG_BLOCKS, 4096)];
    let read = |blocks| bench.run(NEXUS, LONG, &block_cdb(0x88, 0, 0, blocks), &[], usize::MAX).data;
    let two = blocks(2, (0, 0), (1, 0));
    assert_eq!(copy(&bench, NEXUS, &list(3, &units, &[changed(&two, 1, DC)])).status, Status::Good);
    assert!(read(3)[..2 * 4096] == numbered(1, 16) && read(3)[2 * 4096..] == [0; 4096]);
    // Back again: two of the destination's blocks are a quarter of one of the source's.
    let back = changed(&blocks(16, (1, 0), (0, 512)), 1, DC);
    assert_eq!(copy(&bench, NEXUS, &list(3, &units, &[back])).status, Status::Good);
    assert!(bench.good(&block_cdb(0x88, 0, 512, 16)) == numbered(1, 16));
    let whole = blocks(1, (1, 0), (0, 1024));
    assert_eq!(copy(&bench, NEXUS, &list(3, &units, &[whole])).status, Status::Good);
    assert!(bench.good(&block_cdb(0x88, 0, 1024, 9)) == [numbered(1, 8), vec![0; BLOCK]].concat());
}

#[test]
fn what_fills_no_block_is_refused_unless_it_is_padded_or_dropped() {
    const PAD: u8 = 0x04;
    const CAT: u8 = 0x01;
    let bench = short_and_long();
    let (short, long) = (own(), unit(LONG_BLOCKS, 4096));
    let padded = |one: &[u8]| changed(one, 28, PAD);
    let fill = |byte| {
        let cdb = block_cdb(0x8a, 0, 0, 3);
        assert_eq!(bench.run(NEXUS, LONG, &cdb, &[byte; 3 * 4096], 0).done.status, Status::Good);
    };
    let read = || bench.run(NEXUS, LONG, &block_cdb(0x88, 0, 0, 3), &[], usize::MAX).data;
    bench.good_with(&block_cdb(0x8a, 0, 0, 11), &[7; 11 * BLOCK]);
    let eleven = blocks(11, (0, 0), (1, 0));
    fill(9);
    assert_eq!(
        refused(&bench, &list(3, &[short.clone(), long.clone()], std::slice::from_ref(&eleven))),
        INEXACT
    );
    assert!(read() == [9; 3 * 4096], "nothing was copied");
    let catenated = list(3, &[short.clone(), long.clone()], &[changed(&eleven, 1, CAT)]);
    assert_eq!(refused(&bench, &catenated), INVALID_PARAMETER);
    for (units, copied, zeros) in [
        ([short.clone(), padded(&long)], 11 * BLOCK, 5 * BLOCK),
        ([padded(&short), padded(&long)], 11 * BLOCK, 5 * BLOCK),
        ([padded(&short), long.clone()], 8 * BLOCK, 0),
    ] {
        fill(9);
        let done = copy(&bench, NEXUS, &list(3, &units, std::slice::from_ref(&eleven)));
        assert_eq!(done.status, Status::Good, "{:x?}", done.sense);
        let rest = 3 * 4096 - copied - zeros;
        assert!(read() == [vec![7; copied], vec![0; zeros], vec![9; rest]].concat(), "{copied} {zeros}");
    }
    // Three short blocks out of a long one.
    let three = changed(&blocks(3, (1, 0), (0, 512)), 1, 0x02);
    fill(9);
    assert_eq!(
        refused(&bench, &list(3, &[short.clone(), long.clone()], std::slice::from_ref(&three))),
        INEXACT
    );
    let done = copy(&bench, NEXUS, &list(3, &[short, padded(&long)], &[three]));
    assert_eq!(done.status, Status::Good);
    let after = bench.good(&block_cdb(0x88, 0, 512, 4));
    assert!(after == [vec![9; 3 * BLOCK], vec![0; BLOCK]].concat());
}

#[test]
fn no_segment_is_longer_than_is_told_and_none_is_copied_beside_one_that_is() {
    let bench = Bench::with(Probe::new(80 << 20), 4096);
    bench.good_with(&block_cdb(0x8a, 0, 0, 1), &[7; 4096]);
    let most = ((64 << 20) / 4096u32) as u16;
    copied_in(&bench, 4096, &[blocks(most, (0, 0), (0, 0))]);
    for (long, at) in [(blocks(most + 1, (0, 0), (0, 0)), 10), (bytes((64 << 20) + 1, (0, 0), (0, 0)), 8)] {
        let data = list(3, &[unit(identity().naa, 4096)], &[blocks(1, (0, 0), (0, 5)), long]);
        assert_eq!(refused(&bench, &data), INVALID_PARAMETER);
        assert_eq!(bench.pointed_at(&cdb(data.len()), &data), (16 + 32 + 28 + at, None));
        assert_eq!(bench.good(&block_cdb(0x88, 0, 5, 1)), [0; 4096]);
    }
}

#[test]
fn a_flush_that_failed_under_a_copy_is_not_made_good_by_the_next() {
    let bench = Bench::new();
    bench.good_with(&[0x15, 0x10, 0, 0, 24, 0], &write_cache_off());
    bench.good_with(&block_cdb(0x2a, 0, 0, 1), &[1; BLOCK]);
    let data = list(3, &[own()], &[blocks(1, (0, 0), (0, 9))]);
    let flushes = bench.volume.flushes.load(SeqCst);
    assert_eq!(copy(&bench, NEXUS, &data).status, Status::Good);
    assert_eq!(bench.volume.flushes.load(SeqCst), flushes + 1);
    bench.volume.fails_a_flush_with_the_next_write.store(true, SeqCst);
    assert_eq!(refused(&bench, &data), (0x03, 0x0c, 0x00));
}

/// MODE SELECT data: the caching page without WCE.
fn write_cache_off() -> Vec<u8> {
    let mut page = vec![0; 24];
    (page[4], page[5]) = (0x08, 0x12);
    page
}

#[test]
fn holes_stay_holes() {
    let bench = Bench::with(Probe::new(8 << 20), 512);
    bench.good_with(&block_cdb(0x8a, 0, 8192, 1024), &vec![1; 1024 * BLOCK]);
    copied(&bench, &[blocks(1024, (0, 0), (0, 8192))]);
    assert_eq!(bench.volume.allocated(), 0);
}

#[test]
fn lists_that_make_no_sense_are_refused() {
    let bench = Bench::new();
    let good = list(3, &[own()], &[blocks(1, (0, 0), (0, 9))]);
    assert_eq!(bench.send(&cdb(0), &[]).done.status, Status::Good, "nothing to do");
    for length in [1, 15, 16, 47, 48, good.len() - 1] {
        assert_eq!(refused(&bench, &good[..length]), LIST_LENGTH, "{length}");
    }
    let changed = |at: usize, value: u8| {
        let mut bad = good.clone();
        bad[at] = value;
        refused(&bench, &bad)
    };
    assert_eq!(changed(1, 1 << 3), INVALID_PARAMETER, "LIST ID USAGE");
    assert_eq!(changed(15, 1), (0x05, 0x26, 0x0b), "inline data");
    assert_eq!(changed(16, 0xe0), (0x05, 0x26, 0x07), "a Fibre Channel port");
    assert_eq!(changed(17, 0x01), INVALID_PARAMETER, "a tape");
    assert_eq!(changed(20, 2), INVALID_PARAMETER, "an ASCII designator");
    assert_eq!(changed(21, 0x02), INVALID_PARAMETER, "an EUI-64");
    assert_eq!(changed(46, 8), INVALID_PARAMETER, "blocks of another length");
    assert_eq!(changed(48, 0x03), (0x05, 0x26, 0x09), "stream to stream");
    assert_eq!(changed(51, 23), INVALID_PARAMETER, "DESCRIPTOR LENGTH");
    assert_eq!(changed(53, 1), NOT_REACHABLE, "no such descriptor");
    assert_eq!(changed(31, 0), NOT_REACHABLE, "no such logical unit");
    assert_eq!(changed(68, 0xff), NOT_REACHABLE, "past the end");
    let many_units = list(3, &vec![own(); 17], &[blocks(1, (0, 0), (0, 9))]);
    assert_eq!(refused(&bench, &many_units), (0x05, 0x26, 0x06));
    let many = list(3, &[own()], &vec![blocks(1, (0, 0), (0, 9)); 65]);
    assert_eq!(refused(&bench, &many), (0x05, 0x26, 0x08));
    let long = list(3, &vec![own(); 17], &vec![blocks(1, (0, 0), (0, 9)); 130]);
    assert_eq!(refused(&bench, &long), LIST_LENGTH);
    for (from, to) in [(BLOCKS, 0), (0, BLOCKS), (u64::MAX, 0), (0, BLOCKS - 1)] {
        let past = list(3, &[own()], &[blocks(2, (0, from), (0, to))]);
        assert_eq!(refused(&bench, &past), NOT_REACHABLE);
    }
    let much = list(3, &[own()], &[bytes((64 << 20) + 1, (0, 0), (0, 0))]);
    assert_eq!(refused(&bench, &much), INVALID_PARAMETER);
}

#[test]
fn what_a_nexus_may_not_read_or_write_is_not_copied_for_it() {
    let bench = Bench::new();
    bench.good_with(&block_cdb(0x2a, 0, 0, 1), &[1; BLOCK]);
    let data = list(3, &[own()], &[blocks(1, (0, 0), (0, 9))]);
    bench.good(&[0x16, 0, 0, 0, 0, 0]);
    assert_eq!(copy(&bench, OTHER, &data).status, Status::ReservationConflict);
    bench.good(&[0x17, 0, 0, 0, 0, 0]);
    bench.server.unit(LUN).unwrap().set_read_only(true);
    assert_eq!(refused(&bench, &data), (0x07, 0x27, 0x00));
    bench.server.unit(LUN).unwrap().set_read_only(false);
    assert_eq!(bench.good(&block_cdb(0x28, 0, 9, 1)), [0; BLOCK]);
    assert_eq!(copy(&bench, OTHER, &data).status, Status::Good);
    // A logical unit of another target has a name that does not help.
    let other = list(3, &[own(), unit([0x3f, 1, 2, 3, 4, 5, 6, 7], 512)], &[blocks(1, (1, 0), (0, 9))]);
    assert_eq!(refused(&bench, &other), NOT_REACHABLE);
}

#[test]
fn results_are_told_once_and_to_who_has_copied() {
    let bench = Bench::new();
    let status = [0x84, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    assert_eq!(bench.refused(&status), INVALID_FIELD);
    let two = [blocks(1, (0, 0), (0, 9)), blocks(1, (0, 0), (1, 9))];
    assert_eq!(refused(&bench, &list(0, &[own()], &two)), NOT_REACHABLE);
    assert_eq!(triple(&bench.run(OTHER, LUN, &status, &[], 256).done), INVALID_FIELD);
    assert_eq!(bench.good(&status), [0, 0, 0, 8, 2, 0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(bench.refused(&status), INVALID_FIELD);
    assert_eq!(copy(&bench, NEXUS, &list(2, &[own()], &two[..1])).status, Status::Good);
    assert_eq!(bench.good(&status), [0, 0, 0, 8, 1, 0, 1, 0, 0, 0, 0, 0]);
    copied(&bench, &two[..1]);
    assert_eq!(bench.refused(&status), INVALID_FIELD, "not where they are not wanted");
}

#[test]
fn list_identifiers_may_have_four_bytes() {
    let bench = Bench::new();
    let long = |list: &[u8]| bench.send(&long_cdb(list.len()), list).done;
    let status = |identifier: u32| {
        let mut cdb = [0; 16];
        (cdb[0], cdb[1], cdb[13]) = (0x84, 5, 64);
        cdb[2..6].copy_from_slice(&identifier.to_be_bytes());
        cdb
    };
    bench.good_with(&block_cdb(0x8a, 0, 0, 8), &numbered(1, 8));
    assert_eq!(bench.refused(&status(0x0102_0304)), INVALID_FIELD);
    // From the logical unit that is named to the one that is asked.
    let good = long_list(2, 0x0102_0304, &[own()], &[blocks(8, (0, 0), (0xffff, 100))]);
    assert_eq!(long(&good).status, Status::Good);
    assert!(bench.good(&block_cdb(0x88, 0, 100, 8)) == numbered(1, 8));
    let mut expected = vec![0, 0, 0, 28, 1, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    expected.extend((8 * BLOCK as u64).to_be_bytes());
    expected.extend([0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bench.good(&status(0x0102_0304)), expected);
    assert_eq!(bench.good(&status(0x0102_0304)), expected, "it can be asked for again");
    // One of a copy that failed with its second segment.
    let two = [blocks(1, (0, 0), (0, 9)), blocks(1, (0, 0), (1, 9))];
    assert_eq!(triple(&long(&long_list(0, 8, &[own()], &two))), NOT_REACHABLE);
    let told = bench.good(&status(8));
    assert_eq!(told[40..44], [0, 0, 0, 1], "which segment");
    assert_eq!((told[5], told[12], told[13], told[14], told[25]), (2, 2, 20, 18, 1));
    assert_eq!((told[34], told[44], told[45], told.len()), (0x0a, 0x0d, 0x02, 52));
    assert_eq!(long(&long_list(3, 9, &[own()], &two[..1])).status, Status::Good);
    assert_eq!(bench.refused(&status(9)), INVALID_FIELD, "not where they are not wanted");
    for (at, value, condition) in [
        (0, 0, INVALID_PARAMETER),
        (1, 1 << 3, INVALID_PARAMETER),
        (3, 0x1f, INVALID_PARAMETER),
        (15, 0x02, INVALID_PARAMETER),
        (16, 0xfe, INVALID_PARAMETER),
        (43, 33, LIST_LENGTH),
        (45, 29, LIST_LENGTH),
        (47, 1, (0x05, 0x26, 0x0b)),
    ] {
        assert_eq!(triple(&long(&changed(&good, at, value))), condition, "{at}");
    }
    for length in [1, 16, 47, 48, good.len() - 1] {
        assert_eq!(triple(&long(&good[..length])), LIST_LENGTH, "{length}");
    }
    assert_eq!(bench.send(&long_cdb(0), &[]).done.status, Status::Good, "nothing to do");
}

#[test]
fn the_limits_are_those_that_are_told() {
    let bench = Bench::new();
    let told = bench.good(&[0x84, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(told.len(), 47);
    assert_eq!(told[..4], [0, 0, 0, 43]);
    assert_eq!(
        (&told[8..12], &told[12..16], &told[16..20]),
        (&[0, 16, 0, 64][..], &[0, 0, 16, 0][..], &[4, 0, 0, 0][..])
    );
    assert_eq!(told[43..], [3, 0xe4, 0x02, 0x0a]);
    let page = bench.good(&[0x12, 1, 0x8f, 2, 0, 0]);
    assert_eq!(usize::from(u16::from_be_bytes([page[2], page[3]])), page.len() - 4);
    let mut descriptors = Vec::new();
    let mut rest = &page[4..];
    while let Some((&[a, b, high, low], after)) = rest.split_first_chunk() {
        let (body, others) = after.split_at(usize::from(u16::from_be_bytes([high, low])));
        descriptors.push((u16::from_be_bytes([a, b]), body));
        rest = others;
    }
    let body = |kind| descriptors.iter().find(|(known, _)| *known == kind).unwrap().1;
    let lengths: Vec<_> = descriptors.iter().map(|(kind, body)| (*kind, body.len())).collect();
    let golden =
        [(0, 32), (1, 16), (4, 28), (8, 4), (12, 4), (0x106, 92), (0x108, 132), (0x8001, 32), (0xc001, 28)];
    assert_eq!(lengths, golden);
    assert_eq!(body(0)[6..20], [0, 64, 0, 0, 1, 44, 0, 0, 0, 30, 0, 0, 0, 0]);
    assert_eq!(body(0)[20..], [0, 8, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0]);
    assert_eq!(body(1), [14, 0x83, 5, 0, 1, 0x10, 0x11, 0x1c, 0x84, 5, 0, 3, 5, 7, 8, 0]);
    assert_eq!(body(12), [0, 2, 0xff, 0xff]);
    assert_eq!(body(8), [3, 0xe4, 0x02, 0x0a]);
    // Limits of ROD tokens in bytes; two types, of which one is made.
    assert_eq!(body(0x106)[20..24], [0, 0, 1, 44]);
    assert_eq!(body(0x106)[42..52], [0, 48, 0, 0, 0, 44, 0, 0, 0, 1]);
    assert_eq!(body(0x106)[52..60], (256u64 << 20).to_be_bytes());
    assert_eq!(body(0x108)[2..12], [0, 128, 0, 0x80, 0, 1, 3, 0, 0x80, 0]);
    assert_eq!(body(0x108)[68..76], [0xff, 0xff, 0, 1, 2, 0, 0, 0]);
    assert_eq!(body(0x8001)[..12], [0, 0, 0, 8, 0, 0, 0, 8, 4, 0, 0, 0]);
}

#[test]
fn what_a_port_group_leads_nobody_to_is_not_copied() {
    let bench = Bench::new();
    let format = BlockFormat { logical_length: 512, physical_length: 4096 };
    let other = Identity { naa: [0x3f, 0, 0, 0, 0, 0, 0, 1], ..identity() };
    let beyond = Arc::new(LogicalUnit::new(Arc::new(Probe::new(1 << 20)), other, format, None));
    let units = vec![(0, bench.server.unit(LUN).unwrap().clone()), (1, beyond.clone())];
    let bench = Bench { server: DeviceServer::new("iqn.x", 1, units), ..bench };
    let both = [own(), unit(beyond.identity().naa, 512)];
    let there = list(3, &both, &[blocks(4, (0, 0), (1, 0))]);
    let back = list(3, &both, &[blocks(4, (1, 0), (0, 0))]);
    let state = |state| {
        let group = crate::PortGroup { tag: 1, state, is_preferred: false };
        beyond.set_port_groups(&[group], false).unwrap();
    };
    state(crate::AccessState::Standby);
    assert_eq!((refused(&bench, &there), refused(&bench, &back)), ((2, 4, 0x0b), (2, 4, 0x0b)));
    state(crate::AccessState::ActiveNonOptimized);
    assert_eq!(copy(&bench, NEXUS, &there).status, Status::Good);
    assert_eq!(copy(&bench, NEXUS, &back).status, Status::Good);
}
