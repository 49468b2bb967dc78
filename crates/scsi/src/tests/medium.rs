//! READ, WRITE, VERIFY and SYNCHRONIZE CACHE.

use std::sync::atomic::Ordering::SeqCst;

use super::*;

const READS: [u8; 4] = [0x08, 0x28, 0xa8, 0x88];
const WRITES: [u8; 4] = [0x0a, 0x2a, 0xaa, 0x8a];
const VERIFIES: [u8; 3] = [0x2f, 0xaf, 0x8f];
const WRITES_AND_VERIFIES: [u8; 3] = [0x2e, 0xae, 0x8e];
const SYNCHRONIZES: [u8; 2] = [0x35, 0x91];

fn pattern(blocks: usize) -> Vec<u8> {
    (0..blocks * BLOCK).map(|at| (at % 251) as u8).collect()
}

#[test]
fn what_is_written_by_any_command_is_read_by_any() {
    for write in [&WRITES[..], &WRITES_AND_VERIFIES].concat() {
        let bench = Bench::new();
        let data = pattern(3);
        bench.good_with(&block_cdb(write, 0, 5, 3), &data);
        for read in READS {
            assert_eq!(bench.good(&block_cdb(read, 0, 5, 3)), data);
            let around = bench.good(&block_cdb(read, 0, 4, 5));
            assert_eq!(around[..BLOCK], [0; BLOCK]);
            assert_eq!(around[4 * BLOCK..], [0; BLOCK]);
        }
    }
}

#[test]
fn the_plan_says_how_much_moves() {
    let bench = Bench::new();
    for code in READS {
        let plan = bench.server.plan(LUN, &block_cdb(code, 0, 0, 3));
        assert_eq!((plan.data_in, plan.data_out, plan.wait), (1536, 0, crate::Wait::Read));
    }
    for code in [&WRITES[..], &WRITES_AND_VERIFIES].concat() {
        let plan = bench.server.plan(LUN, &block_cdb(code, 0, 0, 3));
        assert_eq!((plan.data_in, plan.data_out), (0, 1536));
    }
    for code in WRITES {
        assert_eq!(bench.server.plan(LUN, &block_cdb(code, 0, 0, 3)).wait, crate::Wait::Cache);
    }
    for (code, expected) in [(0x28, crate::Wait::Long), (0x2a, crate::Wait::Flush)] {
        assert_eq!(bench.server.plan(LUN, &block_cdb(code, 0x08, 0, 3)).wait, expected, "with FUA");
    }
    bench.volume.writes_wait.store(true, SeqCst);
    for (fua, expected) in [(0, crate::Wait::Long), (0x08, crate::Wait::Flush)] {
        assert_eq!(bench.server.plan(LUN, &block_cdb(0x2a, fua, 0, 3)).wait, expected, "past the cache");
    }
    let six = bench.server.plan(LUN, &block_cdb(0x08, 0, 0, 0));
    assert_eq!(six.data_in as usize, 256 * BLOCK);
    for (flags, expected) in [(0, 0), (2, 1536), (6, 512), (4, 0)] {
        let plan = bench.server.plan(LUN, &block_cdb(0x2f, flags, 0, 3));
        assert_eq!(plan.data_out, expected, "{flags}");
    }
    for (flags, expected) in [(0, 1536), (2, 1536), (6, 0), (4, 0)] {
        let plan = bench.server.plan(LUN, &block_cdb(0x2e, flags, 0, 3));
        assert_eq!(plan.data_out, expected, "{flags}");
    }
}

#[test]
fn ranges_end_at_the_end_of_the_disk() {
    let bench = Bench::new();
    for code in [&READS[..], &WRITES, &VERIFIES, &WRITES_AND_VERIFIES, &SYNCHRONIZES].concat() {
        for (lba, blocks) in [(BLOCKS - 1, 2), (BLOCKS, 1), (BLOCKS + 1, 1), (0x1f_ffff, 1)] {
            let cdb = block_cdb(code, 0, lba, blocks);
            assert_eq!(bench.refused(&cdb), OUT_OF_RANGE, "{cdb:x?}");
            let plan = bench.server.plan(LUN, &cdb);
            assert_eq!((plan.data_in, plan.data_out), (0, 0));
        }
        let last = block_cdb(code, 0, BLOCKS - 1, 1);
        bench.good_with(&last, &[0; BLOCK]);
        if code > 0x1f {
            bench.good(&block_cdb(code, 0, BLOCKS, 0));
            assert_eq!(bench.refused(&block_cdb(code, 0, BLOCKS + 1, 0)), OUT_OF_RANGE);
            assert_eq!(bench.refused(&block_cdb(code, 0, 0xffff_ffff, 0)), OUT_OF_RANGE);
        }
    }
    assert_eq!(bench.refused(&block_cdb(0x88, 0, u64::MAX, 1)), OUT_OF_RANGE);
    assert_eq!(bench.refused(&block_cdb(0x91, 0, u64::MAX, u32::MAX)), OUT_OF_RANGE);
}

#[test]
fn no_blocks_move_where_none_are_asked_for() {
    let bench = Bench::new();
    for code in [0x28, 0x2a, 0xa8, 0xaa, 0x88, 0x8a, 0x2f, 0x2e, 0xae, 0x8e] {
        let reply = bench.send(&block_cdb(code, 0, 7, 0), &[]);
        assert_eq!((reply.done.status, reply.done.data_in, reply.done.data_out), (Status::Good, 0, 0));
    }
}

#[test]
fn protection_information_is_refused() {
    let bench = Bench::new();
    for code in [0x28, 0x2a, 0xa8, 0xaa, 0x88, 0x8a, 0x2f, 0xaf, 0x8f, 0x2e, 0xae, 0x8e, 0x41, 0x93] {
        for protect in 1..8 {
            let cdb = block_cdb(code, protect << 5, 0, 1);
            assert_eq!(bench.refused_with(&cdb, &[0; BLOCK]), INVALID_FIELD);
            assert_eq!(bench.pointed_at(&cdb, &[0; BLOCK]), (1, Some(7)));
            assert_eq!(bench.server.plan(LUN, &cdb).data_out, 0);
        }
    }
}

#[test]
fn transfers_have_a_limit() {
    let bench = Bench::with(Probe::new(64 << 20), 512);
    let most = 8 << 20 >> 9;
    for (code, byte) in
        [(0x28, 7), (0xa8, 6), (0x88, 10), (0xaa, 6), (0x8a, 10), (0x8f, 10), (0xae, 6), (0x8e, 10)]
    {
        let plan = bench.server.plan(LUN, &block_cdb(code, 0x02, 0, most));
        assert_eq!(plan.data_in.max(plan.data_out), 8 << 20);
        let cdb = block_cdb(code, 0, 0, most + 1);
        assert_eq!(bench.server.plan(LUN, &cdb).data_out, 0);
        assert_eq!(bench.refused(&cdb), INVALID_FIELD);
        assert_eq!(bench.pointed_at(&cdb, &[]), (byte, None));
    }
}

#[test]
fn only_whole_blocks_that_came_are_written() {
    let bench = Bench::new();
    let ones = vec![1; 3 * BLOCK];
    for (sent, written) in [(0, 0), (200, 0), (BLOCK, 1), (BLOCK + 10, 1), (3 * BLOCK, 2)] {
        bench.good_with(&block_cdb(0x2a, 0, 0, 3), &[0; 3 * BLOCK]);
        let reply = bench.send(&block_cdb(0x2a, 0, 0, 2), &ones[..sent]);
        assert_eq!((reply.done.status, reply.done.data_out), (Status::Good, 1024));
        let now = bench.good(&block_cdb(0x28, 0, 0, 3));
        assert!(now[..written * BLOCK].iter().all(|byte| *byte == 1));
        assert!(now[written * BLOCK..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn a_read_fills_the_room_there_is_and_says_how_much_it_had() {
    let bench = Bench::new();
    bench.good_with(&block_cdb(0x2a, 0, 0, 2), &pattern(2));
    for room in [0, 1, 200, 512, 600, 1024, 5000] {
        let reply = bench.run(NEXUS, LUN, &block_cdb(0x28, 0, 0, 2), &[], room);
        assert_eq!((reply.done.status, reply.done.data_in), (Status::Good, 1024));
        assert_eq!(reply.data, pattern(2)[..room.min(1024)]);
    }
}

#[test]
fn reads_at_hand_are_served_at_once_and_others_wait() {
    let bench = Bench::new();
    bench.good_with(&block_cdb(0x2a, 0, 0, 1), &pattern(1));
    let mut data = vec![0; BLOCK];
    let now = |flags, data: &mut [u8]| {
        let cdb = block_cdb(0x28, flags, 0, 1);
        bench.server.execute_now(NEXUS, LUN, &cdb, bench.server.plan(LUN, &cdb), &[], data)
    };
    assert_eq!(now(0, &mut data), None);
    bench.volume.cached.store(true, SeqCst);
    assert_eq!(now(0, &mut data).unwrap().data_in, 512);
    assert_eq!(data, pattern(1));
    // FUA asks for the medium.
    assert_eq!(now(0x08, &mut data), None);
}

#[test]
fn a_forced_read_has_the_medium_written_first() {
    let bench = Bench::new();
    bench.good(&block_cdb(0x28, 0x10, 0, 1));
    assert_eq!(bench.volume.flushes.load(SeqCst), 0);
    bench.good(&block_cdb(0x28, 0x18, 0, 1));
    assert_eq!(bench.volume.flushes.load(SeqCst), 1);
}

#[test]
fn synchronize_cache_flushes_with_immed_too() {
    let bench = Bench::new();
    for (at, flags) in [0, 2].into_iter().enumerate() {
        for (code, count) in [(0x35, 1), (0x91, 2)] {
            bench.good(&block_cdb(code, flags, 0, 0));
            assert_eq!(bench.volume.flushes.load(SeqCst), 2 * at + count);
        }
    }
}

#[test]
fn stopping_flushes_and_keeps_the_disk_ready() {
    let bench = Bench::new();
    let start_stop = |byte| bench.send(&[0x1b, 0, 0, 0, byte, 0], &[]).done;
    for (byte, flushes) in [(0x01, 0), (0x00, 1), (0x04, 1), (0x20, 2), (0x30, 3), (0x10, 3)] {
        assert_eq!(start_stop(byte).status, Status::Good, "{byte:x}");
        assert_eq!(bench.volume.flushes.load(SeqCst), flushes, "{byte:x}");
        bench.good(&[0; 6]);
    }
    assert_eq!(triple(&start_stop(0x02)), INVALID_FIELD);
    assert_eq!(triple(&start_stop(0x40)), INVALID_FIELD);
    bench.good(&[0x1e, 0, 0, 0, 1, 0]);
}

#[test]
fn verify_compares_and_says_where_it_differs() {
    let blocks = 600;
    let bench = Bench::new();
    bench.good_with(&block_cdb(0x8a, 0, 9, blocks), &pattern(blocks as usize));
    for code in VERIFIES {
        let each = block_cdb(code, 0x02, 9, blocks);
        let mut data = pattern(blocks as usize);
        bench.good_with(&each, &data);
        for at in [0, 511, 512, 262_143, 262_144, data.len() - 1] {
            data[at] ^= 0x20;
            let done = bench.send(&each, &data).done;
            assert_eq!(triple(&done), (0x0e, 0x1d, 0x00));
            assert_eq!(done.sense[0], 0xf0);
            assert_eq!(done.sense[3..7], (at as u32).to_be_bytes());
            // Without BYTCHK there is nothing to compare with.
            bench.good(&block_cdb(code, 0, 9, blocks));
            data[at] ^= 0x20;
        }
        // What did not come is not compared.
        bench.good_with(&each, &data[..BLOCK + 7]);
        assert_eq!(bench.refused(&block_cdb(code, 0x04, 9, 1)), INVALID_FIELD);
    }
}

#[test]
fn verify_compares_every_block_with_one() {
    let bench = Bench::new();
    let block = &pattern(1)[..];
    bench.good_with(&block_cdb(0x41, 0, 0, 1000), block);
    for code in VERIFIES {
        let same = block_cdb(code, 0x06, 0, 1000);
        bench.good_with(&same, block);
        bench.good_with(&block_cdb(code, 0x06, 0, 0), &[]);
        let done = bench.send(&block_cdb(code, 0x06, 0, 1001), block).done;
        assert_eq!(triple(&done), (0x0e, 0x1d, 0x00));
        assert_eq!(done.sense[3..7], [0, 0, 0, 1]);
    }
}

#[test]
fn what_is_written_and_verified_is_on_the_medium_first() {
    for code in WRITES_AND_VERIFIES {
        let bench = Bench::new();
        for (at, flags) in [0, 0x02, 0x10, 0x12].into_iter().enumerate() {
            bench.good_with(&block_cdb(code, flags, 5, 600), &pattern(600));
            assert_eq!(bench.volume.durable_writes.load(SeqCst), at + 1);
            assert_eq!(bench.volume.bytes_read.load(SeqCst), (at + 1) * 600 * BLOCK);
        }
        assert_eq!(bench.good(&block_cdb(0x88, 0, 5, 600)), pattern(600));
    }
}

#[test]
fn a_medium_that_holds_something_else_is_noticed_if_it_is_to_be_compared() {
    for code in WRITES_AND_VERIFIES {
        let bench = Bench::new();
        bench.volume.lies_at.store(7 * BLOCK + 3, SeqCst);
        let done = bench.send(&block_cdb(code, 0x02, 5, 4), &pattern(4)).done;
        assert_eq!(triple(&done), (0x0e, 0x1d, 0x00));
        assert_eq!(done.sense[3..7], (2 * BLOCK as u32 + 3).to_be_bytes());
        bench.good_with(&block_cdb(code, 0, 5, 4), &pattern(4));
        bench.good_with(&block_cdb(code, 0x02, 8, 1), &pattern(1));
    }
}

#[test]
fn a_write_and_verify_with_another_byte_check_writes_nothing() {
    for code in WRITES_AND_VERIFIES {
        let bench = Bench::new();
        for flags in [0x04, 0x06] {
            let cdb = block_cdb(code, flags, 0, 1);
            assert_eq!(bench.pointed_at(&cdb, &pattern(1)), (1, Some(2)));
        }
        bench.good_with(&block_cdb(code, 0x02, 0, 2), &pattern(2)[..BLOCK + 7]);
        let now = bench.good(&block_cdb(0x28, 0, 0, 2));
        assert_eq!(now[..BLOCK], pattern(1));
        assert_eq!(now[BLOCK..], [0; BLOCK]);
        let cdb = block_cdb(code, 0, 0, 1);
        let mut none = [];
        let prompt =
            bench.server.execute_now(NEXUS, LUN, &cdb, bench.server.plan(LUN, &cdb), &pattern(1), &mut none);
        assert_eq!(prompt, None);
        bench.server.unit(LUN).unwrap().set_read_only(true);
        assert_eq!(bench.refused_with(&cdb, &pattern(1)), (0x07, 0x27, 0x00));
    }
}
