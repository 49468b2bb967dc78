//! What the disk says of itself.

use super::*;

fn page(bench: &Bench, code: u8) -> Vec<u8> {
    bench.good(&[0x12, 1, code, 0x01, 0xff, 0])
}

#[test]
fn the_standard_data_name_the_standards() {
    let data = Bench::new().good(&[0x12, 0, 0, 0x02, 0, 0]);
    assert_eq!(data.len(), 96);
    assert_eq!(data[..8], [0x00, 0x00, 0x06, 0x12, 91, 0x18, 0, 0x02]);
    assert_eq!(&data[8..36], b"timediskdisk            0.1 ");
    assert_eq!(data[58..68], [0, 0xa0, 4, 0x60, 4, 0xc0, 9, 0x60, 0, 0]);
    assert_eq!(Bench::new().refused(&[0x12, 0, 0x80, 0, 255, 0]), INVALID_FIELD);
}

#[test]
fn letters_that_ascii_lacks_do_not_get_in() {
    let volume = Arc::new(Probe::new(1 << 20));
    let format = BlockFormat { logical_length: 512, physical_length: 4096 };
    let strange = Identity {
        vendor: "dïsk\n".into(),
        product: "much longer than sixteen letters".into(),
        ..identity()
    };
    let unit = LogicalUnit::new(volume, strange, format, None);
    let server = DeviceServer::new("iqn.x", 1, vec![(0, Arc::new(unit))]);
    let mut data = [0; 96];
    server.execute(
        NEXUS,
        LUN,
        &[0x12, 0, 0, 0, 96, 0],
        server.plan(LUN, &[0x12, 0, 0, 0, 96, 0]),
        &[],
        &mut data,
    );
    assert_eq!(&data[8..32], b"d?sk?   much longer than");
}

#[test]
fn the_list_of_pages_is_sorted_and_every_page_is_there() {
    let bench = Bench::new();
    let list = page(&bench, 0);
    assert_eq!(list, [0, 0, 0, 10, 0x00, 0x80, 0x83, 0x86, 0x87, 0x88, 0x8f, 0xb0, 0xb1, 0xb2]);
    for code in &list[4..] {
        let data = page(&bench, *code);
        assert_eq!((data[0], data[1]), (0, *code));
        assert_eq!(u16::from_be_bytes([data[2], data[3]]) as usize + 4, data.len());
    }
    assert_eq!(bench.pointed_at(&[0x12, 1, 0x85, 0, 255, 0], &[]), (2, None));
}

#[test]
fn the_designators_are_golden() {
    let bench = Bench::new();
    assert_eq!(page(&bench, 0x80), b"\0\x80\0\x109f86d081884c7d65");
    let mut golden = vec![0, 0x83, 0, 0];
    golden.extend([0x01, 0x03, 0, 8]);
    golden.extend([0x3f, 0x86, 0xd0, 0x81, 0x88, 0x4c, 0x7d, 0x65]);
    golden.extend([0x02, 0x01, 0, 24]);
    golden.extend(b"timedisk9f86d081884c7d65");
    golden.extend([0x03, 0x08, 0, 68]);
    golden.extend(b"iqn.1994-04.org.netbsd.iscsi-target:target0,L,0x3f86d081884c7d65");
    golden.extend([0; 4]);
    golden.extend([0x51, 0x94, 0, 4, 0, 0, 0, 1]);
    golden.extend([0x51, 0x95, 0, 4, 0, 0, 0, 1]);
    golden.extend([0x53, 0x98, 0, 56]);
    golden.extend(b"iqn.1994-04.org.netbsd.iscsi-target:target0,t,0x0001");
    golden.extend([0; 4]);
    golden.extend([0x53, 0xa8, 0, 44]);
    golden.extend(b"iqn.1994-04.org.netbsd.iscsi-target:target0\0");
    golden[3] = (golden.len() - 4) as u8;
    assert_eq!(page(&bench, 0x83), golden);
}

#[test]
fn the_limits_are_those_that_are_enforced() {
    let data = page(&Bench::new(), 0xb0);
    let number = |at: usize| u32::from_be_bytes(data[at..at + 4].try_into().unwrap());
    assert_eq!(data.len(), 64);
    assert_eq!(data[4..8], [0x01, 255, 0, 8]);
    assert_eq!(number(8), 16384);
    assert_eq!(number(12), 2048);
    assert_eq!((number(20), number(24)), (1 << 20, 256));
    assert_eq!((number(28), number(32)), (8, 0x8000_0000));
    assert_eq!((number(36), number(40)), (0, 1 << 15));
    let big = Bench::with(Probe::new(1 << 20), 8192);
    let data = page(&big, 0xb0);
    assert_eq!((data[7], data[31]), (1, 1));
    assert_eq!(data[8..12], [0, 0, 4, 0]);
    assert_eq!(data[36..44], (1_u64 << 15).to_be_bytes());
}

#[test]
fn a_thin_disk_that_does_not_rotate() {
    let bench = Bench::new();
    let characteristics = page(&bench, 0xb1);
    assert_eq!((characteristics.len(), &characteristics[..6]), (64, &[0, 0xb1, 0, 60, 0, 1][..]));
    assert_eq!(characteristics[8], 0x01, "VBULS");
    bench.good_with(&block_cdb(0x2f, 0x02, 0, 2), &[0; 2 * BLOCK]);
    assert_eq!(page(&bench, 0xb2), [0, 0xb2, 0, 4, 11, 0xe4, 2, 10]);
    assert_eq!(page(&Bench::with(Probe::new(1 << 20), 4096), 0xb2)[4], 8, "threshold sets of 1 MiB");
}

#[test]
fn capacity_is_told_in_both_forms() {
    let bench = Bench::new();
    assert_eq!(bench.good(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0]), [0, 0, 7, 0xff, 0, 0, 2, 0]);
    let mut cdb = [0; 16];
    (cdb[0], cdb[1], cdb[13]) = (0x9e, 0x10, 32);
    let mut golden = [0; 32];
    golden[6..8].copy_from_slice(&[7, 0xff]);
    (golden[10], golden[13], golden[14]) = (2, 3, 0xc0);
    assert_eq!(bench.good(&cdb), golden);
    let native = Bench::with(Probe::new(1 << 20), 4096);
    assert_eq!(native.good(&cdb)[13], 0);
}

#[test]
fn a_disk_too_large_for_the_short_form_says_so() {
    let bench = Bench::with(Probe::new((512 << 32) + 512), 512);
    let data = bench.good(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(data[..4], [0xff; 4]);
    let mut cdb = [0; 16];
    (cdb[0], cdb[1], cdb[13]) = (0x9e, 0x10, 32);
    assert_eq!(bench.good(&cdb)[..8], (1_u64 << 32).to_be_bytes());
}

#[test]
fn attributes_mode_pages_and_ports_are_told() {
    let bench = Bench::new();
    let extended = page(&bench, 0x86);
    assert_eq!((extended.len(), &extended[..7]), (64, &[0, 0x86, 0, 60, 0, 0x07, 0x01][..]));
    assert_eq!(extended[13], 18);
    assert_eq!(page(&bench, 0x87), [0, 0x87, 0, 4, 0x3f, 0xff, 0, 0]);
    let ports = page(&bench, 0x88);
    assert_eq!(ports[..16], [0, 0x88, 0, 72, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 60]);
    assert_eq!(ports[16..20], [0x53, 0x98, 0, 56]);
    assert!(ports[20..].starts_with(b"iqn.1994-04.org.netbsd.iscsi-target:target0,t,0x0001"));
}
