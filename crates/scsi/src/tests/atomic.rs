//! WRITE ATOMIC(16): what is refused of it, and that it is there only where the volume can do it.

use std::sync::atomic::Ordering::SeqCst;

use super::*;

const CODE: u8 = 0x9c;
const PROTECTED: (u8, u8, u8) = (0x07, 0x27, 0x00);

/// A disk whose volume writes so many bytes in one piece.
fn limited(bytes: u64, block: u32) -> Bench {
    let mut probe = Probe::new(BLOCKS * BLOCK as u64);
    probe.atomic_limit = bytes;
    Bench::with(probe, block)
}

fn limits(bench: &Bench) -> Vec<u32> {
    let data = bench.good(&[0x12, 1, 0xb0, 0, 255, 0]);
    data[44..64].chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect()
}

fn report(option: u8) -> [u8; 12] {
    [0xa3, 0x0c, option, CODE, 0, 0, 0, 0, 0xff, 0xff, 0, 0]
}

#[test]
fn blocks_are_written_in_one_piece_and_last() {
    let bench = Bench::new();
    for (at, (lba, blocks)) in [(0, 1), (7, 64), (BLOCKS - 64, 64)].into_iter().enumerate() {
        for flags in [0, 0x10, 0x08, 0x18] {
            let data: Vec<u8> = (0..blocks as usize * BLOCK).map(|byte| (byte % 255) as u8 ^ flags).collect();
            bench.good_with(&block_cdb(CODE, flags, lba, blocks), &data);
            assert_eq!(bench.good(&block_cdb(0x88, 0, lba, blocks)), data);
        }
        assert_eq!(bench.volume.atomic_writes.load(SeqCst), (at + 1) * 4);
    }
    assert!(bench.volume.all_lasts());
}

#[test]
fn no_blocks_at_all_are_no_error() {
    let bench = Bench::new();
    bench.good(&block_cdb(CODE, 0, 0, 0));
    bench.good(&block_cdb(CODE, 0, BLOCKS, 0));
    for lba in [BLOCKS + 1, 1 << 63, u64::MAX] {
        assert_eq!(bench.refused(&block_cdb(CODE, 0, lba, 0)), OUT_OF_RANGE);
    }
    assert_eq!(bench.volume.atomic_writes.load(SeqCst), 0);
}

#[test]
fn more_than_the_limit_is_refused_and_so_are_boundaries_and_protection() {
    let bench = Bench::new();
    let data = vec![1; 65 * BLOCK];
    let mut boundary = block_cdb(CODE, 0, 0, 8);
    boundary[11] = 8;
    let table = [
        (block_cdb(CODE, 0, 0, 65), (12, None)),
        (boundary, (10, None)),
        (block_cdb(CODE, 0x20, 0, 1), (1, Some(7))),
    ];
    for (cdb, field) in table {
        assert_eq!(bench.refused_with(&cdb, &data), INVALID_FIELD, "{cdb:x?}");
        assert_eq!(bench.pointed_at(&cdb, &data), field);
        assert_eq!(bench.server.plan(LUN, &cdb).data_out, 0);
    }
    // What lies beyond the end is told first.
    assert_eq!(bench.refused_with(&block_cdb(CODE, 0, BLOCKS - 1, 65), &data), OUT_OF_RANGE);
    assert_eq!(bench.volume.atomic_writes.load(SeqCst), 0);
}

#[test]
fn a_part_of_the_blocks_is_not_written() {
    let bench = Bench::new();
    for sent in [0, 1, BLOCK, 2 * BLOCK - 1] {
        assert_eq!(bench.refused_with(&block_cdb(CODE, 0, 0, 2), &vec![1; sent]), INVALID_FIELD);
    }
    assert_eq!(bench.volume.allocated(), 0);
}

#[test]
fn the_limits_are_told_in_blocks() {
    assert_eq!(limits(&limited(1 << 20, 512)), [2048, 0, 0, 0, 0]);
    assert_eq!(limits(&limited(1 << 20, 4096)), [256, 0, 0, 0, 0]);
    // Not more than MAXIMUM TRANSFER LENGTH.
    assert_eq!(limits(&limited(u64::MAX, 512)), [16384, 0, 0, 0, 0]);
}

#[test]
fn where_the_volume_can_not_do_it_there_is_no_such_command() {
    // What is less than a block is nothing.
    for bench in [limited(0, 512), limited(4095, 4096)] {
        assert_eq!(limits(&bench), [0; 5]);
        assert_eq!(bench.refused_with(&block_cdb(CODE, 0, 0, 1), &[1; BLOCK]), NO_SUCH_COMMAND);
        assert_eq!(bench.server.plan(LUN, &block_cdb(CODE, 0, 0, 1)).data_out, 0);
        for option in [1, 3] {
            assert_eq!(bench.good(&report(option)), [0, 1, 0, 0]);
        }
        let all = bench.good(&[0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0]);
        assert!(all[4..].chunks(8).all(|row| row[0] != CODE));
    }
    let supported = Bench::new().good(&report(1));
    assert_eq!((supported[1], supported[4], supported[5]), (3, CODE, 0x18));
}

#[test]
fn a_disk_that_is_away_keeps_its_limits() {
    let bench = Bench::new();
    let unit = bench.server.unit(LUN).unwrap();
    let volume = unit.medium().take(crate::Absence::Offline);
    assert_eq!(limits(&bench), [64, 0, 0, 0, 0]);
    assert_eq!(bench.refused_with(&block_cdb(CODE, 0, 0, 1), &[1; BLOCK]), (0x02, 0x04, 0x12));
    unit.medium().put(volume.unwrap());
    bench.good_with(&block_cdb(CODE, 0, 0, 1), &[1; BLOCK]);
}

#[test]
fn a_protected_disk_is_not_written_and_what_fails_is_told() {
    let bench = Bench::new();
    bench.server.unit(LUN).unwrap().set_read_only(true);
    assert_eq!(bench.refused_with(&block_cdb(CODE, 0, 0, 1), &[1; BLOCK]), PROTECTED);
    bench.server.unit(LUN).unwrap().set_read_only(false);
    bench.volume.fail(timedisk_volume::ErrorKind::NoSpace);
    assert_eq!(bench.refused_with(&block_cdb(CODE, 0, 0, 1), &[1; BLOCK]), (0x07, 0x27, 0x07));
}
