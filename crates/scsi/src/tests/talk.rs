//! What is asked of a disk besides its blocks: ports, functions, logs, tests, an echo.

use super::*;

#[test]
fn the_only_port_group_is_active_and_optimized() {
    let bench = Bench::new();
    let group = [0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1];
    let short = bench.good(&[0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0]);
    assert_eq!(short, [&[0, 0, 0, 12][..], &group].concat());
    let extended = bench.good(&[0xa3, 0x2a, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0]);
    assert_eq!(extended, [&[0, 0, 0, 16, 0x10, 0, 0, 0][..], &group].concat());
    let other = [0xa3, 0x4a, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0];
    assert_eq!((bench.refused(&other), bench.pointed_at(&other, &[])), (INVALID_FIELD, (1, Some(7))));
}

#[test]
fn the_task_management_functions_are_told() {
    let bench = Bench::new();
    assert_eq!(bench.good(&[0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0]), [0xda, 0, 0, 0]);
    let extended = bench.good(&[0xa3, 0x0d, 0x80, 0, 0, 0, 0, 0, 0, 64, 0, 0]);
    assert_eq!(extended, [&[0xda, 0, 0, 12][..], &[0; 12]].concat());
}

#[test]
fn functions_and_version_follow_the_protocol_level() {
    for (level, functions) in [(0, [0xda, 0]), (1, [0xda, 0]), (2, [0xde, 0x07])] {
        let mut bench = Bench::new();
        bench.server = bench.server.at_protocol_level(level);
        assert_eq!(bench.good(&[0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0])[..2], functions);
        let version = bench.good(&[0x12, 0, 0, 0, 96, 0])[64..66].to_vec();
        assert_eq!(version, [0x09, 0x60 + level], "the version descriptor of iSCSI");
    }
}

fn log(page: u8, subpage: u8) -> [u8; 10] {
    [0x4d, 0, 0x40 | page, subpage, 0, 0, 0, 1, 0, 0]
}

#[test]
fn logs_count_commands_and_blocks() {
    let bench = Bench::new();
    assert_eq!(bench.good(&log(0, 0)), [0, 0, 0, 5, 0x00, 0x0c, 0x0e, 0x19, 0x2f]);
    assert_eq!(bench.good(&log(0, 0xff)), [0x40, 0xff, 0, 10, 0x00, 0, 0x0c, 0, 0x0e, 0, 0x19, 0, 0x2f, 0]);
    bench.good_with(&block_cdb(0x2a, 0, 0, 3), &[1; 3 * BLOCK]);
    bench.good(&block_cdb(0x28, 0, 0, 2));
    bench.good(&block_cdb(0x28, 0, 0, 5));
    let page = bench.good(&log(0x19, 0));
    assert_eq!((page.len(), &page[..8]), (96, &[0x19, 0, 0, 92, 0, 1, 3, 64][..]));
    let counts: Vec<u64> =
        page[8..40].chunks(8).map(|count| u64::from_be_bytes(count.try_into().unwrap())).collect();
    assert_eq!(counts, [2, 1, 3, 7], "reads, writes, blocks received, blocks transmitted");
    assert_eq!(
        (&page[40..72], &page[72..76], &page[84..88]),
        (&[0; 32][..], &[0, 2, 3, 8][..], &[0, 3, 3, 8][..])
    );
    assert_eq!(bench.good(&log(0x0e, 0)), [0x0e, 0, 0, 16, 0, 4, 3, 4, 0, 0, 0, 0, 0, 6, 3, 4, 0, 0, 0, 0]);
    assert_eq!(bench.good(&log(0x2f, 0)), [0x2f, 0, 0, 8, 0, 0, 3, 4, 0, 0, 0xff, 0]);
    for (cdb, at) in [
        (log(0x0d, 0), (2, Some(5))),
        (log(0x19, 1), (3, None)),
        ([0x4d, 1, 0x40, 0, 0, 0, 0, 1, 0, 0], (1, Some(0))),
        ([0x4d, 0, 0x00, 0, 0, 0, 0, 1, 0, 0], (2, Some(7))),
    ] {
        assert_eq!((bench.refused(&cdb), bench.pointed_at(&cdb, &[])), (INVALID_FIELD, at));
    }
}

#[test]
fn a_disk_whose_flush_has_failed_says_so_when_it_is_tested() {
    let bench = Bench::new();
    bench.good(&[0x1d, 0x04, 0, 0, 0, 0]);
    bench.good(&[0x1d, 0x10, 0, 0, 0, 0]);
    bench.volume.is_failed.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(bench.refused(&[0x1d, 0x04, 0, 0, 0, 0]), (0x04, 0x3e, 0x03));
    assert_eq!(bench.good(&log(0x2f, 0))[8..10], [0x5d, 0]);
    assert_eq!(bench.pointed_at(&[0x1d, 0x20, 0, 0, 0, 0], &[]), (1, Some(7)));
    assert_eq!(bench.pointed_at(&[0x1d, 0x04, 0, 0, 1, 0], &[]), (3, None));
}

#[test]
fn each_client_has_an_echo_of_its_own() {
    let bench = Bench::new();
    let write = |length: u8| [0x3b, 0x0a, 0, 0, 0, 0, 0, length, 0, 0];
    let read = [0x3c, 0x0a, 0, 0, 0, 0, 0, 0x20, 0, 0];
    assert_eq!(bench.good(&[0x3c, 0x0b, 0, 0, 0, 0, 0, 0, 4, 0]), [0, 0, 0x10, 0]);
    assert_eq!(bench.refused(&read), (0x05, 0x2c, 0x00));
    let data: Vec<u8> = (0..4096).map(|at| (at % 253) as u8).collect();
    bench.good_with(&write(0x10), &data);
    assert_eq!(bench.good(&read), data);
    assert_eq!(triple(&bench.run(OTHER, LUN, &read, &[], 8192).done), (0x05, 0x2c, 0x00));
    bench.good_with(&write(1), &data[..256]);
    assert_eq!(bench.good(&read), data[..256]);
    assert_eq!(bench.refused_with(&write(1), &data[..255]), LIST_LENGTH);
    assert_eq!(bench.pointed_at(&write(0x11), &[]), (6, None));
    for mode in [0x00, 0x02, 0x05, 0x1f] {
        assert_eq!(bench.pointed_at(&[0x3b, mode, 0, 0, 0, 0, 0, 1, 0, 0], &data[..256]), (1, Some(4)));
        assert_eq!(bench.pointed_at(&[0x3c, mode, 0, 0, 0, 0, 0, 1, 0, 0], &[]), (1, Some(4)));
    }
    bench.server.nexus_lost(NEXUS);
    assert_eq!(bench.refused(&read), (0x05, 0x2c, 0x00));
}

fn label(set: bool, kind: u8, length: u16) -> [u8; 12] {
    let [high, low] = length.to_be_bytes();
    let (code, action) = if set { (0xa4, 0x06) } else { (0xa3, 0x05) };
    [code, action, 0, 0, 0, 0, 0, 0, high, low, kind << 1, 0]
}

#[test]
fn a_label_is_kept_and_others_are_told_when_it_changes() {
    let bench = Bench::new();
    assert_eq!(bench.good(&label(false, 0x7f, 255)), [0, 0, 0, 8, 0, 0, 0, 64, 4, 0, 1, 0]);
    bench.server.nexus_established(OTHER, "iqn.x,i,0x2");
    bench.run(OTHER, LUN, &[0; 6], &[], 0);
    for (kind, value) in [(0, &b"\x00\xffrack 7"[..]), (2, "Kästchen\0".as_bytes())] {
        assert_eq!(bench.good(&label(false, kind, 255)), [0; 4]);
        bench.good_with(&label(true, kind, value.len() as u16), value);
        assert_eq!(bench.good(&label(false, kind, 255))[4..], *value);
        assert_eq!(triple(&bench.run(OTHER, LUN, &[0; 6], &[], 0).done), (0x06, 0x3f, 0x05));
        bench.good_with(&label(true, kind, 0), &[]);
        assert_eq!(bench.good(&label(false, kind, 255)), [0; 4], "taken off again");
        bench.run(OTHER, LUN, &[0; 6], &[], 0);
    }
    assert_eq!(bench.refused_with(&label(true, 2, 3), b"abc"), INVALID_PARAMETER, "no end");
    for (kind, most) in [(0, 64), (2, 256)] {
        assert_eq!(bench.refused_with(&label(true, kind, most + 1), &vec![0; 257]), LIST_LENGTH);
        bench.good_with(&label(true, kind, most), &vec![0; most.into()]);
        assert_eq!(bench.refused_with(&label(true, kind, 4), &[0; 3]), LIST_LENGTH);
    }
    for set in [false, true] {
        assert_eq!(bench.pointed_at(&label(set, 1, 4), &[0; 4]), (10, Some(7)));
    }
}
