//! REPORT TIMESTAMP and SET TIMESTAMP.

use super::*;

const REPORT: [u8; 12] = [0xa3, 0x0f, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0];

const fn set(length: u8) -> [u8; 12] {
    [0xa4, 0x0f, 0, 0, 0, 0, 0, 0, 0, length, 0, 0]
}

/// Two nexuses, at this time.
fn at(clock: crate::Clock) -> Bench {
    let mut bench = Bench::new();
    bench.server = bench.server.with_clock(clock);
    for nexus in [NEXUS, OTHER] {
        bench.server.nexus_established(nexus, &format!("iqn.x,i,0x{}", nexus.0));
        bench.run(nexus, LUN, &[0; 6], &[], 0);
    }
    bench
}

#[test]
fn the_time_is_that_of_the_clock_until_a_client_sets_it() {
    let bench = at(|| 0x0102_0304_0506);
    assert_eq!(bench.good(&REPORT), [0, 10, 0b011, 0, 1, 2, 3, 4, 5, 6, 0, 0]);
    bench.good_with(&set(12), &[0xff, 0xff, 0xff, 0xff, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xff, 0xff]);
    assert_eq!(bench.good(&REPORT), [0, 10, 0b010, 0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0, 0]);
    assert_eq!(triple(&bench.run(OTHER, LUN, &[0; 6], &[], 0).done), (0x06, 0x2a, 0x10), "others are told");
    bench.good(&[0; 6]);
    bench.server.reset_unit(LUN);
    bench.run(NEXUS, LUN, &[0; 6], &[], 0);
    assert_eq!(bench.good(&REPORT)[2], 0b010, "a reset leaves it alone");
}

#[test]
fn time_goes_on_from_where_it_was_set() {
    let mut bench = at(|| 1000);
    bench.good_with(&set(12), &[0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0]);
    bench.server = bench.server.with_clock(|| 1500);
    assert_eq!(bench.good(&REPORT)[4..10], [0, 0, 0, 0, 1, 0xfb]);
    bench.server = bench.server.with_clock(|| 992);
    assert_eq!(bench.good(&REPORT)[4..10], [0xff; 6], "it has 48 bits, and may go back");
}

#[test]
fn a_time_comes_whole_or_not_at_all() {
    let bench = at(|| 5);
    bench.good(&set(0));
    for length in (1..=255).filter(|length| *length != 12) {
        assert_eq!(bench.refused_with(&set(length), &vec![1; length.into()]), LIST_LENGTH);
    }
    for sent in 0..12 {
        assert_eq!(bench.refused_with(&set(12), &[1; 12][..sent]), LIST_LENGTH);
    }
    assert_eq!(bench.good(&REPORT), [0, 10, 0b011, 0, 0, 0, 0, 0, 0, 5, 0, 0]);
}
