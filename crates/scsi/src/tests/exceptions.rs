//! Who is told that a disk may fail, and how.

use std::sync::atomic::Ordering::SeqCst;

use super::*;

const PREDICTED: (u8, u8, u8) = (0x06, 0x5d, 0x00);

/// A disk that is used by two nexuses.
fn shared() -> Bench {
    let bench = Bench::new();
    for nexus in [NEXUS, OTHER] {
        bench.server.nexus_established(nexus, &format!("iqn.x,i,0x{}", nexus.0));
        bench.run(nexus, LUN, &[0; 6], &[], 0);
    }
    bench
}

/// MODE SELECT(6) of the informational exceptions control page.
fn select(bench: &Bench, disabled: bool, method: u8) {
    let page = [0, 0, 0, 0, 0x1c, 10, if disabled { 0x08 } else { 0 }, method, 0, 0, 0, 0, 0, 0, 0, 0];
    bench.good_with(&[0x15, 0x11, 0, 0, 16, 0], &page);
    // The other one is told that they are others.
    bench.run(OTHER, LUN, &[0; 6], &[], 0);
}

/// What TEST UNIT READY tells each of the two.
fn told(bench: &Bench) -> [bool; 2] {
    [NEXUS, OTHER].map(|nexus| {
        let done = bench.run(nexus, LUN, &[0; 6], &[], 0).done;
        let is_told = done.status != Status::Good;
        assert!(!is_told || triple(&done) == PREDICTED, "{done:?}");
        is_told
    })
}

fn degrade(bench: &Bench, is_degraded: bool) {
    bench.volume.is_degraded.store(is_degraded, SeqCst);
}

fn logged(bench: &Bench) -> [u8; 2] {
    let page = bench.good(&[0x4d, 0, 0x6f, 0, 0, 0, 0, 1, 0, 0]);
    [page[8], page[9]]
}

#[test]
fn the_log_page_says_it_and_nobody_else_is_told_who_has_not_asked() {
    let bench = shared();
    assert_eq!(logged(&bench), [0, 0]);
    degrade(&bench, true);
    assert_eq!(logged(&bench), [0x5d, 0]);
    assert_eq!(told(&bench), [false; 2]);
    assert_eq!(bench.good(&[0x03, 0, 0, 0, 252, 0])[2] & 0x0f, 0);
    assert_eq!(bench.good(&[0x03, 0, 0, 0, 252, 0])[12], 0);
    degrade(&bench, false);
    assert_eq!(logged(&bench), [0, 0]);
}

#[test]
fn with_unit_attentions_each_nexus_is_told_once_for_each_time() {
    let bench = shared();
    select(&bench, false, 2);
    assert_eq!(told(&bench), [false; 2]);
    degrade(&bench, true);
    // Never as the status of a command that writes.
    bench.good_with(&block_cdb(0x8a, 0, 0, 1), &[1; BLOCK]);
    assert_eq!(told(&bench), [true; 2]);
    assert_eq!(told(&bench), [false; 2]);
    degrade(&bench, false);
    assert_eq!(told(&bench), [false; 2]);
    degrade(&bench, true);
    assert_eq!(told(&bench), [true; 2]);
    select(&bench, true, 2);
    degrade(&bench, false);
    assert_eq!(told(&bench), [false; 2]);
    degrade(&bench, true);
    assert_eq!(told(&bench), [false; 2], "DEXCPT");
}

#[test]
fn on_request_it_is_said_as_often_as_it_is_asked_for() {
    let bench = shared();
    select(&bench, false, 6);
    let asked = || {
        let sense = bench.good(&[0x03, 0, 0, 0, 252, 0]);
        (sense[2] & 0x0f, sense[12], sense[13])
    };
    assert_eq!(asked(), (0, 0, 0));
    degrade(&bench, true);
    assert_eq!((asked(), asked()), ((0, 0x5d, 0), (0, 0x5d, 0)));
    assert_eq!(told(&bench), [false; 2]);
    bench.volume.is_degraded.store(false, SeqCst);
    bench.volume.is_failed.store(true, SeqCst);
    assert_eq!(asked(), (0, 0x5d, 0), "so is a flush that has failed");
}

#[test]
fn other_methods_are_refused() {
    let bench = shared();
    for method in [1, 3, 4, 5, 7, 0x0f] {
        let page = [0, 0, 0, 0, 0x1c, 10, 0, method, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(bench.pointed_at(&[0x15, 0x10, 0, 0, 16, 0], &page), (7, Some(3)), "{method}");
    }
}
