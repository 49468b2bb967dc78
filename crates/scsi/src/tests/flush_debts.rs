//! Commands that leave their flush to the caller.

use std::sync::atomic::Ordering::SeqCst;

use super::*;
use crate::{Begun, FlushDebt};

fn owed(bench: &Bench, cdb: &[u8], data_out: &[u8]) -> FlushDebt {
    match bench.server.begin(NEXUS, LUN, cdb, bench.server.plan(LUN, cdb), data_out, &mut []) {
        Begun::OwesFlush(debt) => debt,
        Begun::Ended(done) => panic!("{done:?}"),
    }
}

fn fua(lba: u64) -> [u8; 16] {
    let cdb = block_cdb(0x8a, 0x08, lba, 1);
    std::array::from_fn(|at| cdb.get(at).copied().unwrap_or(0))
}

#[test]
fn many_writes_share_one_flush_and_count_only_once_it_has_succeeded() {
    let bench = Bench::new();
    let synchronize = block_cdb(0x35, 0, 0, 0);
    let mut debts: Vec<_> = (0..32).map(|lba| owed(&bench, &fua(lba), &[7; BLOCK])).collect();
    debts.push(owed(&bench, &synchronize, &[]));
    let traffic = || bench.server.unit(LUN).unwrap().counters().traffic();
    assert_eq!((bench.volume.flushes.load(SeqCst), traffic().writes, traffic().flushes), (0, 0, 0));
    let flushed = debts[0].volume().flush().map_err(|error| error.kind);
    for debt in debts {
        assert_eq!(debt.settle(flushed).status, Status::Good);
    }
    assert_eq!((bench.volume.flushes.load(SeqCst), traffic().writes, traffic().flushes), (1, 32, 1));
    assert_eq!(bench.good(&block_cdb(0x88, 0, 31, 1)), [7; BLOCK]);
}

#[test]
fn a_flush_that_fails_is_the_failure_of_all_that_owe_it() {
    let bench = Bench::new();
    let debts = [owed(&bench, &fua(0), &[7; BLOCK]), owed(&bench, &fua(1), &[7; BLOCK])];
    bench.volume.fail(timedisk_volume::ErrorKind::FlushFailed);
    let flushed = debts[0].volume().flush().map_err(|error| error.kind);
    for debt in debts {
        assert_eq!(triple(&debt.settle(flushed)), (0x03, 0x0c, 0x00));
    }
}

#[test]
fn a_good_flush_does_not_cover_up_one_that_failed_after_the_write() {
    let bench = Bench::new();
    let before = owed(&bench, &fua(0), &[7; BLOCK]);
    // Another's flush fails, and that is accepted, before the one of this command.
    bench.volume.failed_flushes.store(1, SeqCst);
    let after = owed(&bench, &fua(1), &[7; BLOCK]);
    let flushed = after.volume().flush().map_err(|error| error.kind);
    assert_eq!(triple(&before.settle(flushed)), (0x03, 0x0c, 0x00));
    assert_eq!(after.settle(flushed).status, Status::Good);
}
