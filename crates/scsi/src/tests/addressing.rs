//! What is answered at which LUN.

use super::*;

const EMPTY: [u8; 8] = [0, 7, 0, 0, 0, 0, 0, 0];

fn at(bench: &Bench, lun: [u8; 8], cdb: &[u8]) -> Reply {
    bench.run(NEXUS, lun, cdb, &[], usize::MAX)
}

#[test]
fn inquiry_of_a_lun_without_a_disk_says_so() {
    let bench = Bench::new();
    let reply = at(&bench, EMPTY, &[0x12, 0, 0, 0, 255, 0]);
    assert_eq!(reply.done.status, Status::Good);
    assert_eq!((reply.data.len(), reply.data[0]), (96, 0x7f));
    let pages = at(&bench, EMPTY, &[0x12, 1, 0, 0, 255, 0]);
    assert_eq!(pages.data, [0x7f, 0, 0, 1, 0]);
    let page = at(&bench, EMPTY, &[0x12, 1, 0x83, 0, 255, 0]);
    assert_eq!(triple(&page.done), INVALID_FIELD);
}

#[test]
fn lun_0_answers_even_where_there_is_no_disk_at_all() {
    let server = DeviceServer::new("iqn.2001-04.com.example:none", 1, vec![]);
    let mut data = [CANARY; 96];
    let done = server.execute(
        NEXUS,
        LUN,
        &[0x12, 0, 0, 0, 96, 0],
        server.plan(LUN, &[0x12, 0, 0, 0, 96, 0]),
        &[],
        &mut data,
    );
    assert_eq!((done.status, done.data_in, data[0]), (Status::Good, 96, 0x7f));
    let cdb = [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 96, 0, 0];
    let done = server.execute(NEXUS, LUN, &cdb, server.plan(LUN, &cdb), &[], &mut data);
    assert_eq!((done.status, done.data_in), (Status::Good, 8));
    assert_eq!(data[..8], [0; 8]);
}

#[test]
fn all_else_says_that_there_is_no_such_unit() {
    let bench = Bench::new();
    for cdb in [&[0u8; 6][..], &[0x28; 10], &[0xff; 16], &[0x1a; 6], &[]] {
        assert_eq!(triple(&at(&bench, EMPTY, cdb).done), NO_SUCH_UNIT, "{cdb:x?}");
        assert_eq!(bench.server.plan(EMPTY, cdb).data_out, 0);
    }
}

#[test]
fn request_sense_of_a_lun_without_a_disk_reports_it() {
    let reply = at(&Bench::new(), EMPTY, &[0x03, 0, 0, 0, 18, 0]);
    assert_eq!(reply.done.status, Status::Good);
    assert_eq!((reply.data[2], reply.data[12]), (0x05, 0x25));
}

#[test]
fn flat_and_peripheral_addressing_reach_the_same_disk() {
    let bench = Bench::new();
    for lun in [LUN, [0x40, 0, 0, 0, 0, 0, 0, 0]] {
        let reply = at(&bench, lun, &[0; 6]);
        assert_eq!(reply.done.status, Status::Good);
        assert!(bench.server.unit(lun).is_some());
    }
    assert!(bench.server.unit(EMPTY).is_none());
}

#[test]
fn report_luns_lists_all_disks_in_the_shortest_addressing() {
    let bench = Bench::new();
    let unit = bench.server.unit(LUN).unwrap();
    let luns = [300, 0, 5, 0x4000].map(|number| (number, unit.clone()));
    let server = DeviceServer::new("iqn.2001-04.com.example:many", 1, luns.to_vec());
    let numbers: Vec<_> = server.units().map(|(number, _)| number).collect();
    assert_eq!(numbers, [0, 5, 300]);
    for (select, lun, expected) in
        [(0, LUN, &[0, 24, 0, 0, 0, 0][..]), (2, EMPTY, &[0, 24]), (1, LUN, &[0, 0])]
    {
        let mut data = [CANARY; 64];
        let cdb = [0xa0, 0, select, 0, 0, 0, 0, 0, 0, 64, 0, 0];
        let done = server.execute(NEXUS, lun, &cdb, server.plan(lun, &cdb), &[], &mut data);
        assert_eq!(done.status, Status::Good);
        assert_eq!(&data[2..][..expected.len()], expected);
        if select != 1 {
            assert_eq!(done.data_in, 32);
            assert_eq!(data[8..16], [0; 8]);
            assert_eq!(data[16..24], [0, 5, 0, 0, 0, 0, 0, 0]);
            assert_eq!(data[24..32], [0x41, 0x2c, 0, 0, 0, 0, 0, 0]);
        }
    }
    let bad = [0xa0, 0, 3, 0, 0, 0, 0, 0, 0, 64, 0, 0];
    assert_eq!(bench.refused(&bad), INVALID_FIELD);
}
