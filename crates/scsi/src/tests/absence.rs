//! A disk that is away for a while, that changes its size or its protection, or that others stand beside.

use std::sync::Arc;

use timedisk_volume::{MemoryVolume, Volume};

use super::{BLOCK, BLOCKS, Bench, LUN, NEXUS, OTHER, block_cdb, identity, triple};
use crate::{Absence, Attention, BlockFormat, DeviceServer, LogicalUnit, Status};

const OFFLINE: (u8, u8, u8) = (0x02, 0x04, 0x12);
const BECOMING_READY: (u8, u8, u8) = (0x02, 0x04, 0x01);
const POWER_ON: (u8, u8, u8) = (0x06, 0x29, 0x00);
const LUNS_CHANGED: (u8, u8, u8) = (0x06, 0x3f, 0x0e);
const TEST_UNIT_READY: [u8; 6] = [0; 6];

fn unit() -> Arc<LogicalUnit> {
    let format = BlockFormat { logical_length: BLOCK as u32, physical_length: 4096 };
    Arc::new(LogicalUnit::new(Arc::new(MemoryVolume::new(1 << 20)), identity(), format, None))
}

fn server(units: &[(u16, &Arc<LogicalUnit>)]) -> DeviceServer {
    let units = units.iter().map(|(lun, unit)| (*lun, Arc::clone(unit))).collect();
    DeviceServer::new("iqn.1994-04.org.netbsd.iscsi-target:target0", 1, units)
}

fn test_unit_ready(server: &DeviceServer, lun: u8) -> Result<(), (u8, u8, u8)> {
    let lun = [0, lun, 0, 0, 0, 0, 0, 0];
    let plan = server.plan(lun, &TEST_UNIT_READY);
    let done = server.execute(NEXUS, lun, &TEST_UNIT_READY, plan, &[], &mut []);
    if done.status == Status::Good { Ok(()) } else { Err(triple(&done)) }
}

#[test]
fn a_disk_that_is_away_is_not_ready_and_still_says_who_it_is() {
    let bench = Bench::new();
    let unit = Arc::clone(bench.server.unit(LUN).unwrap());
    let volume = unit.medium().take(Absence::Offline).unwrap();
    let sync = [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let capacity = [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for cdb in [&TEST_UNIT_READY[..], &sync, &capacity, &block_cdb(0x28, 0, 0, 1), &block_cdb(0x2a, 0, 0, 1)]
    {
        assert_eq!(bench.refused(cdb), OFFLINE, "{cdb:x?}");
    }
    assert_eq!(
        bench.server.plan(LUN, &block_cdb(0x2a, 0, 0, 1)).data_out,
        0,
        "no data are asked for in vain"
    );
    assert_eq!(bench.good(&[0x12, 0, 0, 0, 36, 0])[0], 0, "a disk, and connected");
    assert_eq!(bench.good(&[0x1a, 0, 0x3f, 0, 255, 0])[3], 8);
    assert_eq!(bench.good(&[0x1b, 0, 0, 0, 0, 0]), [], "a client that shuts down is not held up");
    unit.medium().put(volume);
    bench.good(&TEST_UNIT_READY);
    assert_eq!(
        unit.medium().take(Absence::Exchange).map(|volume| volume.capacity()),
        Some(unit.blocks() * 512)
    );
    assert_eq!(bench.refused(&TEST_UNIT_READY), BECOMING_READY);
    assert_eq!(unit.blocks(), BLOCKS);
}

#[test]
fn every_nexus_is_told_of_a_new_size_once() {
    let bench = Bench::new();
    let unit = bench.server.unit(LUN).unwrap();
    for nexus in [NEXUS, OTHER] {
        bench.server.nexus_established(nexus, "iqn.x,i,0x0");
        assert_eq!(triple(&bench.run(nexus, LUN, &TEST_UNIT_READY, &[], 0).done), POWER_ON);
    }
    unit.tell(Attention::CapacityChanged);
    for nexus in [NEXUS, OTHER] {
        assert_eq!(triple(&bench.run(nexus, LUN, &TEST_UNIT_READY, &[], 0).done), (0x06, 0x2a, 0x09));
        assert_eq!(bench.run(nexus, LUN, &TEST_UNIT_READY, &[], 0).done.status, Status::Good);
    }
    assert_eq!(Attention::CapacityChanged.sense()[12..14], [0x2a, 0x09]);
}

#[test]
fn protection_can_come_and_go() {
    let bench = Bench::new();
    let unit = bench.server.unit(LUN).unwrap();
    let write = block_cdb(0x2a, 0, 0, 1);
    bench.good_with(&write, &[1; BLOCK]);
    unit.set_read_only(true);
    assert_eq!(bench.refused_with(&write, &[2; BLOCK]), (0x07, 0x27, 0x00));
    assert_ne!(bench.good(&[0x1a, 0, 0x3f, 0, 255, 0])[2] & 0x80, 0, "WP");
    unit.set_read_only(false);
    bench.good_with(&write, &[3; BLOCK]);
}

#[test]
fn a_nexus_that_goes_on_is_told_of_new_and_lost_neighbours() {
    let (first, second, third) = (unit(), unit(), unit());
    let before = server(&[(0, &first), (1, &second)]);
    before.nexus_established(NEXUS, "iqn.x,i,0x0");
    assert_eq!(test_unit_ready(&before, 0), Err(POWER_ON));
    assert_eq!(test_unit_ready(&before, 1), Err(POWER_ON));
    let same = server(&[(0, &first), (1, &second)]);
    assert!(!same.succeed(&before, NEXUS, "iqn.x,i,0x1"));
    assert_eq!(test_unit_ready(&same, 0), Ok(()), "nothing has changed");
    let after = server(&[(0, &first), (2, &third)]);
    assert!(after.succeed(&same, NEXUS, "iqn.x,i,0x1"));
    assert_eq!(test_unit_ready(&after, 0), Err(LUNS_CHANGED));
    assert_eq!(test_unit_ready(&after, 0), Ok(()));
    assert_eq!(test_unit_ready(&after, 1), Err((0x05, 0x25, 0x00)));
    assert_eq!(test_unit_ready(&after, 2), Err(POWER_ON));
    second.tell(Attention::CapacityChanged);
    let moved = server(&[(0, &third), (2, &first)]);
    assert!(moved.succeed(&after, NEXUS, "iqn.x,i,0x1"));
    assert_eq!(test_unit_ready(&moved, 0), Err(LUNS_CHANGED), "another disk at the same place");
}

#[test]
fn what_a_disk_did_is_counted() {
    let bench = Bench::new();
    bench.good_with(&block_cdb(0x2a, 0, 0, 3), &[1; 3 * BLOCK]);
    bench.good(&block_cdb(0x28, 0, 0, 2));
    bench.good(&[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bench.refused(&block_cdb(0x28, 0, BLOCKS, 1));
    let traffic = bench.server.unit(LUN).unwrap().counters().traffic();
    assert_eq!((traffic.reads, traffic.read_bytes), (1, 2 * BLOCK as u64));
    assert_eq!((traffic.writes, traffic.written_bytes), (1, 3 * BLOCK as u64));
    assert_eq!(traffic.flushes, 1);
}

/// Data move between the plan and the execution; the disk may have become another meanwhile.
#[test]
fn a_disk_that_comes_back_while_data_move_loses_none_of_them() {
    let write = block_cdb(0x2a, 0, 0, 1);
    let unmap = [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0];
    let capacity = [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for cdb in [
        &write[..],
        &block_cdb(0x28, 0, 0, 1),
        &block_cdb(0x2e, 0, 0, 1),
        &block_cdb(0x2f, 2, 0, 1),
        &unmap,
        &capacity,
    ] {
        let bench = Bench::new();
        let unit = bench.server.unit(LUN).unwrap();
        let volume = unit.medium().take(Absence::Exchange).unwrap();
        let plan = bench.server.plan(LUN, cdb);
        unit.medium().put(volume);
        let done = bench.server.execute(NEXUS, LUN, cdb, plan, &[], &mut []);
        assert_eq!(done.status, Status::Busy, "{cdb:x?}");
        let plan = bench.server.plan(LUN, &write);
        unit.set_read_only(true);
        assert_eq!(bench.server.plan(LUN, &write).data_out, 0);
        let protected = bench.server.plan(LUN, &write);
        unit.set_read_only(false);
        let done = bench.server.execute(NEXUS, LUN, &write, protected, &[], &mut []);
        assert_eq!(done.status, Status::Busy, "a disk that was protected when the data came");
        assert_eq!(bench.server.execute(NEXUS, LUN, &write, plan, &[7; BLOCK], &mut []).status, Status::Good);
    }
}
