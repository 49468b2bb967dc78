//! COMPARE AND WRITE, ORWRITE, and what else reads blocks before anybody asks for them.

use std::sync::atomic::Ordering::SeqCst;

use super::*;

const MISCOMPARE: (u8, u8, u8) = (0x0e, 0x1d, 0x00);

fn compare_and_write(flags: u8, lba: u64, blocks: u8) -> [u8; 16] {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1], cdb[13]) = (0x89, flags, blocks);
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    cdb
}

fn filled(byte: u8, blocks: usize) -> Vec<u8> {
    vec![byte; blocks * BLOCK]
}

#[test]
fn blocks_are_written_if_they_are_what_they_should_be() {
    for (lba, blocks) in [(0, 1), (7, 3), (BLOCKS - 255, 255)] {
        let bench = Bench::new();
        let count = usize::from(blocks);
        let read = block_cdb(0x88, 0, lba, blocks.into());
        bench.good_with(&compare_and_write(0, lba, blocks), &[filled(0, count), filled(1, count)].concat());
        assert_eq!(bench.good(&read), filled(1, count));
        let stale = [filled(0, count), filled(2, count)].concat();
        assert_eq!(bench.refused_with(&compare_and_write(0, lba, blocks), &stale), MISCOMPARE);
        assert_eq!(bench.good(&read), filled(1, count), "nothing is written");
    }
}

#[test]
fn the_first_byte_that_differs_is_named() {
    let bench = Bench::new();
    for at in [0, 1, 511, 512, 1023] {
        let mut data = filled(0, 4);
        data[at] = 1;
        data[1023] = 1;
        let sense = bench.send(&compare_and_write(0, 3, 2), &data).done.sense;
        assert_eq!(sense[0], 0xf0);
        assert_eq!(u32::from_be_bytes(sense[3..7].try_into().unwrap()) as usize, at);
    }
}

#[test]
fn data_of_another_length_are_refused() {
    let bench = Bench::new();
    for (blocks, sent) in [(1, 0), (1, 1), (1, 3), (1, 4), (3, 4), (2, 2)] {
        let refused = bench.refused_with(&compare_and_write(0, 0, blocks), &filled(0, sent));
        assert_eq!(refused, INVALID_FIELD, "{blocks} {sent}");
    }
    // The transport gathers more than is needed, so that too much is seen.
    assert!(bench.server.plan(LUN, &compare_and_write(0, 0, 1)).data_out as usize > 2 * BLOCK);
    assert_eq!(bench.send(&compare_and_write(0, 0, 0), &[]).done.status, Status::Good);
    assert_eq!(bench.refused_with(&compare_and_write(0, BLOCKS, 1), &filled(0, 2)), OUT_OF_RANGE);
    assert_eq!(bench.refused_with(&compare_and_write(0x20, 0, 1), &filled(0, 2)), INVALID_FIELD);
}

#[test]
fn forced_steps_are_on_the_medium_before_they_end() {
    let bench = Bench::new();
    bench.good_with(&compare_and_write(0, 0, 1), &filled(0, 2));
    assert!(!bench.volume.all_lasts());
    bench.good_with(&compare_and_write(0x08, 0, 1), &filled(0, 2));
    assert!(bench.volume.all_lasts());
    bench.good_with(&block_cdb(0x8b, 0, 0, 1), &filled(1, 1));
    assert!(!bench.volume.all_lasts());
    bench.good_with(&block_cdb(0x8b, 0x08, 0, 1), &filled(1, 1));
    assert!(bench.volume.all_lasts());
}

#[test]
fn bits_are_set_and_none_cleared() {
    let bench = Bench::with(Probe::new(4 << 20), 512);
    let blocks = 1025;
    let lows: Vec<u8> = (0..blocks * BLOCK).map(|at| (at % 16) as u8).collect();
    let highs: Vec<u8> = (0..blocks * BLOCK).map(|at| (at % 13 * 16) as u8).collect();
    bench.good_with(&block_cdb(0x8a, 0, 5, blocks as u32), &lows);
    bench.good_with(&block_cdb(0x8b, 0, 5, blocks as u32), &highs);
    let both: Vec<u8> = lows.iter().zip(&highs).map(|(low, high)| low | high).collect();
    assert_eq!(bench.good(&block_cdb(0x88, 0, 5, blocks as u32)), both);
    assert_eq!(bench.refused(&block_cdb(0x8b, 0, 8192, 1)), OUT_OF_RANGE);
    assert_eq!(bench.refused(&block_cdb(0x8b, 0x40, 0, 1)), INVALID_FIELD);
}

#[test]
fn blocks_that_will_be_read_soon_are_read() {
    let bench = Bench::new();
    let fetched = |code: u8, flags: u8, lba: u64, blocks: u32| {
        bench.volume.bytes_read.store(0, SeqCst);
        assert!(bench.good(&block_cdb(code, flags, lba, blocks)).is_empty());
        bench.volume.bytes_read.load(SeqCst) / BLOCK
    };
    for code in [0x34, 0x90] {
        assert_eq!(fetched(code, 0, 5, 7), 7);
        assert_eq!(fetched(code, 0x02, BLOCKS - 2, 2), 2, "at once, and all the same");
        assert_eq!(fetched(code, 0, BLOCKS - 3, 0), 3, "up to the end");
        assert_eq!(bench.refused(&block_cdb(code, 0, BLOCKS, 1)), OUT_OF_RANGE);
        assert_eq!(bench.refused(&block_cdb(code, 0, BLOCKS + 1, 0)), OUT_OF_RANGE);
    }
    let large = Bench::with(Probe::new(64 << 20), 512);
    large.good(&block_cdb(0x90, 0, 0, 0));
    assert_eq!(large.volume.bytes_read.load(SeqCst), 16 << 20);
}

#[test]
fn there_are_no_defects() {
    let bench = Bench::new();
    assert_eq!(bench.good(&[0x37, 0, 0x1d, 0, 0, 0, 0, 0, 255, 0]), [0, 0x1d, 0, 0]);
    assert_eq!(bench.good(&[0xb7, 0x0d, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0]), [0, 0x0d, 0, 0, 0, 0, 0, 0]);
}

/// ORWRITE(32) of one block, and what came of it: GOOD, or that the generation does not match.
fn generation(bench: &Bench, clears: Option<u8>, expected: u32, new: u32, bits: u8) -> bool {
    let mut cdb = long_cdb(0x0e, 0, 5, 1);
    (cdb[2], cdb[3]) = (u8::from(clears.is_some()), clears.unwrap_or(0));
    cdb[20..24].copy_from_slice(&expected.to_be_bytes());
    cdb[24..28].copy_from_slice(&new.to_be_bytes());
    let done = bench.send(&cdb, &[bits; BLOCK]).done;
    assert!(done.status == Status::Good || triple(&done) == (0x05, 0x2c, 0x0c), "{done:x?}");
    done.status == Status::Good
}

#[test]
fn bits_of_another_generation_are_set_or_not_as_the_policy_says() {
    // Policy; of the previous generation and of any other: whether it ends with GOOD, and whether bits are set.
    let table = [
        (0x0, (true, true), (false, false)),
        (0x2, (true, false), (false, false)),
        (0x3, (true, true), (true, true)),
        (0x5, (true, false), (true, false)),
        (0x7, (false, false), (false, false)),
    ];
    for (policy, previous, other) in table {
        let bench = Bench::new();
        let byte = || bench.good(&block_cdb(0x28, 0, 5, 1))[0];
        bench.good_with(&block_cdb(0x8b, 0, 5, 1), &[0xf0; BLOCK]);
        assert!(!generation(&bench, None, 1, 0, 0x01), "at first, only generation 0 is taken");
        assert!(!generation(&bench, Some(policy), 1, 2, 0), "nor does another begin a new one");
        assert_eq!(byte(), 0xf0);
        assert!(generation(&bench, Some(policy), 0, 9, 0x30));
        assert_eq!(byte(), 0x30, "cleared");
        assert!(generation(&bench, None, 9, 0, 0x01));
        for (expected, bits, (is_good, is_set)) in [(0, 0x02, previous), (77, 0x04, other)] {
            let before = byte();
            assert_eq!(generation(&bench, None, expected, 0, bits), is_good, "{policy} {expected}");
            assert_eq!(byte(), if is_set { before | bits } else { before }, "{policy} {expected}");
        }
        // The shorter command is of generation 0, which is the previous one.
        let short = bench.send(&block_cdb(0x8b, 0, 5, 1), &[0x08; BLOCK]).done;
        assert_eq!((short.status == Status::Good, byte() & 0x08 != 0), previous);
        bench.server.reset_unit(LUN);
        assert!(generation(&bench, None, 9, 0, 0), "a reset of the logical unit leaves it as it is");
    }
}

#[test]
fn a_generation_that_could_not_be_begun_has_not_begun() {
    let bench = Bench::new();
    for policy in [1, 4, 6, 8, 15] {
        let mut cdb = long_cdb(0x0e, 0, 5, 1);
        (cdb[2], cdb[3]) = (1, policy);
        assert_eq!(bench.pointed_at(&cdb, &[0; BLOCK]), (3, Some(3)));
    }
    let mut cdb = long_cdb(0x0e, 0, 5, 1);
    cdb[2] = 2;
    assert_eq!(bench.pointed_at(&cdb, &[0; BLOCK]), (2, Some(2)));
    (cdb[2], cdb[27]) = (1, 9);
    bench.volume.fail(timedisk_volume::ErrorKind::WriteFailed);
    assert_eq!(bench.refused_with(&cdb, &[0; BLOCK]), (0x03, 0x0c, 0x00));
    *bench.volume.error.lock().unwrap() = None;
    assert!(generation(&bench, None, 0, 0, 1));
    assert!(!generation(&bench, None, 9, 0, 1));
}
