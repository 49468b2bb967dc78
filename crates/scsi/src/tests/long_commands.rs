//! Commands of 32 bytes: what their shorter forms do, with the fields elsewhere.

use super::*;

/// Operation code of the form of 16 bytes, service action of that of 32.
const PAIRS: [(u8, u8); 5] = [(0x88, 0x09), (0x8f, 0x0a), (0x8a, 0x0b), (0x8e, 0x0c), (0x93, 0x0d)];

/// A disk with something on it.
fn patterned() -> Bench {
    let bench = Bench::new();
    let pattern: Vec<u8> = (0..16 * BLOCK).map(|at| (at / BLOCK + at % 7) as u8).collect();
    bench.good_with(&block_cdb(0x8a, 0, 0, 16), &pattern);
    bench
}

#[test]
fn every_flag_means_the_same_in_32_bytes_as_in_16() {
    for (code, action) in PAIRS {
        for flags in 0..=255 {
            for (lba, blocks) in [(0, 1), (3, 5), (9, 0), (BLOCKS, 1), (BLOCKS - 1, 2), (u64::MAX, 1)] {
                let cdbs = [block_cdb(code, flags, lba, blocks), long_cdb(action, flags, lba, blocks)];
                let [short, long] = cdbs.map(|cdb| {
                    let bench = patterned();
                    let plan = bench.server.plan(LUN, &cdb);
                    let reply = bench.send(&cdb, &vec![0x5a; plan.data_out as usize]);
                    let after = bench.good(&block_cdb(0x88, 0, 0, 16));
                    let mut sense = reply.done.sense;
                    if sense.get(15).is_some_and(|valid| valid & 0x80 != 0) {
                        // Both point at the flags, or at the length.
                        let flags_at = if cdb[0] == 0x7f { 10 } else { 1 };
                        sense[17] = if sense[17] == flags_at { 1 } else { 0 };
                    }
                    (plan, reply.done.status, sense, reply.data, after)
                });
                assert_eq!(short, long, "{code:x} {flags:x} {lba} {blocks}");
            }
        }
    }
}

#[test]
fn the_tags_that_are_expected_make_no_difference() {
    let bench = patterned();
    let mut cdb = long_cdb(0x09, 0, 3, 2);
    let data = bench.good(&cdb);
    cdb[20..28].fill(0xff);
    // GROUP NUMBER.
    cdb[6] = 0x1f;
    assert_eq!(bench.good(&cdb), data);
}

#[test]
fn the_length_that_a_cdb_names_is_its_own() {
    let bench = patterned();
    for action in [0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x12] {
        let cdb = long_cdb(action, 0, 0, 1);
        for named in (0..=255).filter(|named| *named != 24) {
            let mut wrong = cdb.clone();
            wrong[7] = named;
            assert_eq!(bench.pointed_at(&wrong, &[]), (7, None));
            assert_eq!(bench.server.plan(LUN, &wrong), bench.server.plan(LUN, &[0xff; 16]), "nothing moves");
        }
        for length in 10..=260 {
            let mut cut = cdb.clone();
            cut.resize(length, 0);
            match length {
                0..32 => assert_eq!(bench.pointed_at(&cut, &[]), (length as u16, None)),
                32 => assert_ne!(bench.server.plan(LUN, &cut), bench.server.plan(LUN, &[0xff; 16])),
                _ => {
                    assert_eq!(bench.pointed_at(&cut, &[]), (7, None));
                    // Neither does a length that fits how it came make it another command.
                    cut[7] = u8::try_from(length - 8).unwrap();
                    assert_eq!(bench.pointed_at(&cut, &[]), (7, None));
                }
            }
        }
    }
}

#[test]
fn a_long_write_keeps_its_promises() {
    let bench = Bench::new();
    bench.good_with(&long_cdb(0x0b, 0, 0, 1), &[1; BLOCK]);
    assert!(!bench.volume.all_lasts());
    bench.good_with(&long_cdb(0x0b, 0x08, 0, 1), &[1; BLOCK]);
    assert!(bench.volume.all_lasts(), "FUA");
    bench.server.unit(LUN).unwrap().set_read_only(true);
    for action in [0x0b, 0x0c, 0x0d] {
        assert_eq!(bench.refused(&long_cdb(action, 0, 0, 1)), (0x07, 0x27, 0x00));
    }
    let traffic = bench.server.unit(LUN).unwrap().counters().traffic();
    assert_eq!((traffic.writes, traffic.written_bytes), (2, 2 * BLOCK as u64));
}
