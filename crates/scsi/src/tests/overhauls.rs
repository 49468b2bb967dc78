//! SANITIZE and FORMAT UNIT: what they leave, who is let in meanwhile, and that they come to their end.

use timedisk_volume::{Durability, ErrorKind, Volume};

use super::*;
use crate::{Absence, Overhauled};

const IN_PROGRESS: (u8, u8, u8) = (0x02, 0x04, 0x1b);
const FORMATTING: (u8, u8, u8) = (0x02, 0x04, 0x04);
const FAILED: (u8, u8, u8) = (0x03, 0x31, 0x03);
const CORRUPTED: (u8, u8, u8) = (0x03, 0x31, 0x00);
const CAPACITY: u64 = 12 << 20;
const READY: [u8; 6] = [0; 6];

const IMMED: u8 = 0x80;
const AUSE: u8 = 0x20;
const OVERWRITE: u8 = 0x01;
const BLOCK_ERASE: u8 = 0x02;
const EXIT_FAILURE_MODE: u8 = 0x1f;

fn sanitize(flags: u8, length: usize) -> [u8; 10] {
    let [high, low] = (length as u16).to_be_bytes();
    [0x48, flags, 0, 0, 0, 0, 0, high, low, 0]
}

fn list(first: u8, pattern: &[u8]) -> Vec<u8> {
    let [high, low] = (pattern.len() as u16).to_be_bytes();
    [&[first, 0, high, low], pattern].concat()
}

fn overwrite(bench: &Bench, flags: u8, first: u8, pattern: &[u8]) -> Reply {
    let list = list(first, pattern);
    bench.send(&sanitize(OVERWRITE | flags, list.len()), &list)
}

/// A disk that takes some parts to go over, with `a` at its beginning and its end.
fn bench() -> Bench {
    let bench = Bench::with(Probe::new(CAPACITY), BLOCK as u32);
    for offset in [0, CAPACITY - BLOCK as u64] {
        bench.volume.write(offset, &[b'a'; BLOCK], Durability::Durable).unwrap();
    }
    bench
}

fn block_at(bench: &Bench, offset: u64) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    bench.volume.read(offset, &mut block).unwrap();
    block
}

/// The same disk after a restart.
fn again(bench: Bench) -> Bench {
    let format = BlockFormat { logical_length: BLOCK as u32, physical_length: 4096 };
    let unit = LogicalUnit::new(bench.volume.clone(), identity(), format, Some(bench.shelf.clone()));
    let server =
        DeviceServer::new("iqn.1994-04.org.netbsd.iscsi-target:target0", 1, vec![(0, Arc::new(unit))]);
    let Bench { volume, shelf, .. } = bench;
    Bench { server, volume, shelf }
}

fn finish(bench: &Bench) -> usize {
    let unit = bench.server.unit(LUN).unwrap();
    (0..1000).find(|_| unit.carry_overhaul_on() != Overhauled::Partly).unwrap()
}

#[test]
fn sanitizing_leaves_nothing_beside_the_medium_either() {
    let erased = |bench: &Bench| bench.volume.erasures.load(std::sync::atomic::Ordering::SeqCst) > 0;
    let (one, other, formatted) = (bench(), bench(), bench());
    assert_eq!(overwrite(&one, 0, 1, &[0xaa]).done.status, Status::Good);
    other.good(&sanitize(BLOCK_ERASE, 0));
    formatted.good(&[0x04, 0, 0, 0, 0, 0]);
    assert_eq!([&one, &other, &formatted].map(erased), [true, true, false]);
}

#[test]
fn overwriting_leaves_nothing_but_the_pattern() {
    let every_other =
        |byte: u8| (0..BLOCK).map(|at| if at % 3 == 0 { byte } else { 0x77 }).collect::<Vec<u8>>();
    for (first, expected) in [(1, 0xaa), (2, 0xaa), (0x81, 0xaa), (0x82, 0x55), (0x83, 0xaa)] {
        let bench = bench();
        assert_eq!(overwrite(&bench, 0, first, &[0xaa]).done.status, Status::Good);
        for offset in [0, CAPACITY / 2, CAPACITY - BLOCK as u64] {
            assert_eq!(block_at(&bench, offset), [expected; BLOCK], "{first:x}");
        }
        assert!(bench.volume.all_lasts());
        assert_eq!(bench.send(&READY, &[]).done.status, Status::Good);
        assert_eq!(bench.shelf.load("overhaul").as_deref(), Some(""), "there is nothing left to do");
    }
    let bench = bench();
    assert_eq!(overwrite(&bench, 0, 1, &[1, 0x77, 0x77]).done.status, Status::Good);
    assert_eq!(block_at(&bench, 5 * BLOCK as u64), every_other(1), "each block begins anew");
}

#[test]
fn erasing_leaves_holes_that_read_as_zeros() {
    let bench = bench();
    let durable = bench.volume.durable_writes.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(durable, 2);
    bench.good(&sanitize(BLOCK_ERASE, 0));
    assert_eq!((block_at(&bench, 0), bench.volume.allocated()), (vec![0; BLOCK], 0));
    assert!(bench.volume.all_lasts());
    assert_eq!(bench.good(&[0x12, 1, 0xb1, 0, 64, 0])[7] >> 6, 0x01, "WABEREQ: it can be read");
}

#[test]
fn erasing_writes_over_what_was_there_before_it_is_given_back() {
    let bench = bench();
    let unit = bench.server.unit(LUN).unwrap();
    bench.good(&sanitize(BLOCK_ERASE | IMMED, 0));
    let mut parts = 0;
    while block_at(&bench, CAPACITY - BLOCK as u64) != [0; BLOCK] {
        assert!(bench.volume.allocated() > 0, "given back as it was");
        assert_eq!(unit.carry_overhaul_on(), Overhauled::Partly);
        parts += 1;
    }
    assert!(parts > 1 && bench.volume.allocated() > 0);
    finish(&bench);
    assert_eq!(bench.volume.allocated(), 0);
}

#[test]
fn what_a_parameter_list_must_not_say() {
    let bench = bench();
    for length in (0..5).chain([BLOCK + 5]) {
        let refused = bench.refused_with(&sanitize(OVERWRITE, length), &vec![0; length]);
        assert_eq!(refused, INVALID_FIELD, "{length}");
    }
    for (first, pattern) in [(0, &[1; 4][..]), (0x21, &[1; 4]), (0x40, &[1; 4])] {
        assert_eq!(triple(&overwrite(&bench, 0, first, pattern).done), INVALID_PARAMETER, "{first}");
    }
    for claimed in [0, 3, 5, BLOCK as u16 + 4] {
        let mut wrong = list(1, &[1; 4]);
        wrong[2..4].copy_from_slice(&claimed.to_be_bytes());
        assert_eq!(
            bench.refused_with(&sanitize(OVERWRITE, wrong.len()), &wrong),
            INVALID_PARAMETER,
            "{claimed}"
        );
    }
    assert_eq!(bench.refused_with(&sanitize(OVERWRITE, 8), &[1, 0, 0]), LIST_LENGTH, "cut off");
    for action in [BLOCK_ERASE, EXIT_FAILURE_MODE] {
        assert_eq!(bench.refused_with(&sanitize(action, 8), &[0; 8]), INVALID_FIELD);
    }
    for action in [OVERWRITE, BLOCK_ERASE, EXIT_FAILURE_MODE] {
        for (byte, value) in [(1, 0x40), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1)] {
            let mut cdb = sanitize(action, if action == OVERWRITE { 8 } else { 0 });
            cdb[byte] |= value;
            assert_eq!(bench.refused_with(&cdb, &list(1, &[1; 4])), INVALID_FIELD, "{action:x} {byte}");
        }
    }
    for action in (0..=0x1f).filter(|action| ![1, 2, 0x1f].contains(action)) {
        assert_eq!(bench.refused(&sanitize(action, 0)), INVALID_FIELD, "{action:x}");
    }
    assert_eq!(block_at(&bench, 0), [b'a'; BLOCK]);
}

#[test]
fn meanwhile_the_disk_says_how_far_it_is_and_who_it_is() {
    let bench = bench();
    let unit = Arc::clone(bench.server.unit(LUN).unwrap());
    assert_eq!(overwrite(&bench, IMMED, 1, &[0; BLOCK]).done.status, Status::Good);
    let progress = || {
        let sense = bench.send(&READY, &[]).done.sense;
        assert_eq!((sense[2], sense[12], sense[13], sense[15]), (0x02, 0x04, 0x1b, 0x80));
        u16::from_be_bytes([sense[16], sense[17]])
    };
    let before = progress();
    assert_eq!(unit.carry_overhaul_on(), Overhauled::Partly);
    assert_eq!((before, progress()), (0, (65_536_u32 / 3) as u16));
    let polled = bench.good(&[0x03, 0, 0, 0, 18, 0]);
    assert_eq!((polled[2], polled[12], polled[13], polled[15]), (0x02, 0x04, 0x1b, 0x80));
    for (class, cdb, data) in reservations::commands() {
        let done = bench.send(&cdb, &data).done;
        let tells = matches!(
            cdb[0],
            0x03 | 0x12 | 0x1a | 0x3c | 0x4d | 0x5a | 0xa0 | 0xa3 // and nothing of the medium
        );
        assert_eq!(done.status == Status::Good, tells, "{class:?} {cdb:x?}: {done:?}");
        assert!(tells || triple(&done) == IN_PROGRESS, "{cdb:x?} {done:?}");
    }
    assert_eq!(triple(&overwrite(&bench, 0, 1, &[1]).done), IN_PROGRESS, "one at a time");
    assert_eq!(bench.refused(&sanitize(EXIT_FAILURE_MODE, 0)), IN_PROGRESS);
    bench.server.reset_unit(LUN);
    bench.server.nexus_lost(NEXUS);
    bench.server.nexus_established(NEXUS, "iqn.2026-01.org.example:client,i,0x1");
    while bench.good(&[0x03, 0, 0, 0, 18, 0])[2] == 0x06 {}
    assert_eq!(triple(&bench.send(&READY, &[]).done), IN_PROGRESS, "no reset ends it");
    finish(&bench);
    assert_eq!(bench.send(&READY, &[]).done.status, Status::Good);
    assert_eq!(block_at(&bench, 0), [0; BLOCK]);
}

#[test]
fn it_goes_on_after_a_restart_where_it_was() {
    let bench = bench();
    let unit = Arc::clone(bench.server.unit(LUN).unwrap());
    overwrite(&bench, IMMED, 0x82, &[0x0f]);
    for _ in 0..3 {
        assert_eq!(unit.carry_overhaul_on(), Overhauled::Partly, "the first pass");
    }
    assert_eq!(unit.carry_overhaul_on(), Overhauled::Partly, "the second has begun");
    unit.halt_overhaul();
    assert_eq!(unit.carry_overhaul_on(), Overhauled::NotNow);
    let bench = again(bench);
    assert_eq!(triple(&bench.send(&READY, &[]).done), IN_PROGRESS);
    assert!(bench.server.unit(LUN).unwrap().is_overhauled());
    assert_eq!(finish(&bench), 2, "three parts, and not the first pass again");
    assert_eq!(block_at(&bench, CAPACITY - BLOCK as u64), [0xf0; BLOCK]);
    let bench = again(bench);
    assert_eq!(bench.send(&READY, &[]).done.status, Status::Good);
    assert!(!bench.server.unit(LUN).unwrap().is_overhauled());
}

#[test]
fn it_waits_for_a_volume_that_is_away() {
    let bench = bench();
    let unit = Arc::clone(bench.server.unit(LUN).unwrap());
    overwrite(&bench, IMMED, 1, &[1]);
    let volume = unit.medium().take(Absence::Offline).unwrap();
    assert_eq!(unit.carry_overhaul_on(), Overhauled::NotNow);
    unit.medium().put(volume);
    finish(&bench);
    assert_eq!(block_at(&bench, 0), [1; BLOCK]);
}

#[test]
fn a_failure_is_left_only_as_was_agreed() {
    for may_be_left in [false, true] {
        let bench = bench();
        let flags = if may_be_left { AUSE } else { 0 };
        assert_eq!(overwrite(&bench, flags | IMMED, 1, &[1]).done.status, Status::Good);
        bench.volume.fail(ErrorKind::NoSpace);
        finish(&bench);
        let bench = again(bench);
        *bench.volume.error.lock().unwrap() = None;
        assert_eq!(triple(&bench.send(&READY, &[]).done), FAILED);
        assert_eq!(bench.refused(&block_cdb(0x28, 0, 0, 1)), FAILED);
        assert_eq!(bench.refused(&[0x04, 0, 0, 0, 0, 0]), FAILED, "a new format is not enough");
        let left = bench.send(&sanitize(EXIT_FAILURE_MODE, 0), &[]).done;
        if may_be_left {
            assert_eq!(left.status, Status::Good);
            assert_eq!(bench.good(&block_cdb(0x28, 0, CAPACITY / 512 - 1, 1)), [b'a'; BLOCK]);
            continue;
        }
        assert_eq!(triple(&left), FAILED);
        assert_eq!(triple(&overwrite(&bench, AUSE, 1, &[1]).done), INVALID_FIELD);
        assert_eq!(overwrite(&bench, 0, 1, &[1]).done.status, Status::Good);
        assert_eq!(bench.send(&READY, &[]).done.status, Status::Good);
    }
    let bench = bench();
    bench.volume.fail(ErrorKind::WriteFailed);
    assert_eq!(triple(&overwrite(&bench, 0, 1, &[1]).done), FAILED, "without IMMED it says so itself");
    let bench = self::bench();
    bench.good(&sanitize(EXIT_FAILURE_MODE, 0));
    assert_eq!(bench.send(&READY, &[]).done.status, Status::Good, "nothing had failed");
}

#[test]
fn who_may_not_write_may_not_sanitize() {
    let bench = bench();
    bench.server.unit(LUN).unwrap().set_read_only(true);
    for cdb in [&sanitize(BLOCK_ERASE, 0)[..], &[0x04, 0, 0, 0, 0, 0]] {
        assert_eq!(bench.refused(cdb), (0x07, 0x27, 0x00));
    }
    assert_eq!(block_at(&bench, 0), [b'a'; BLOCK]);
}

#[test]
fn formatting_gives_all_back() {
    for (flags, data) in [(0x00, &[][..]), (0x10, &[0, 0, 0, 0]), (0x30, &[0; 8]), (0x18, &[0, 0x80, 0, 0])] {
        let bench = bench();
        bench.good_with(&[0x04, flags, 0, 0, 0, 0], data);
        assert_eq!((block_at(&bench, 0), bench.volume.allocated()), (vec![0; BLOCK], 0));
    }
    let bench = bench();
    bench.good_with(&[0x04, 0x10, 0, 0, 0, 0], &[0, 0x82, 0, 0]);
    assert_eq!(triple(&bench.send(&READY, &[]).done), FORMATTING, "IMMED");
    finish(&bench);
    assert_eq!(block_at(&bench, 0), [0; BLOCK]);

    let bench = self::bench();
    for (flags, bit) in [(0x40, 7), (0x80, 7), (0x01, 2), (0x04, 2)] {
        assert_eq!(bench.pointed_at(&[0x04, flags, 0, 0, 0, 0], &[]), (1, Some(bit)));
    }
    assert_eq!(bench.refused(&[0x04, 0x20, 0, 0, 0, 0]), INVALID_FIELD, "LONGLIST without FMTDATA");
    assert_eq!(bench.refused_with(&[0x04, 0x10, 0, 0, 0, 0], &[0, 0, 0]), LIST_LENGTH);
    for data in [[1, 0, 0, 0], [0, 0x08, 0, 0], [0, 0x88, 0, 0], [0, 0x40, 0, 0], [0, 0, 0, 8]] {
        assert_eq!(bench.refused_with(&[0x04, 0x10, 0, 0, 0, 0], &data), INVALID_PARAMETER, "{data:?}");
    }
    assert_eq!(block_at(&bench, 0), [b'a'; BLOCK]);
}

#[test]
fn a_format_that_failed_is_mended_by_another() {
    let bench = bench();
    bench.volume.fail(ErrorKind::WriteFailed);
    assert_eq!(bench.refused(&[0x04, 0, 0, 0, 0, 0]), (0x03, 0x31, 0x01));
    *bench.volume.error.lock().unwrap() = None;
    assert_eq!(bench.refused(&block_cdb(0x28, 0, 0, 1)), CORRUPTED);
    bench.good(&[0x04, 0, 0, 0, 0, 0]);
    assert_eq!(bench.good(&block_cdb(0x28, 0, 0, 1)), [0; BLOCK]);
}
