//! What happens between a command's coming and its start must lose nothing and hold nobody up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use timedisk_iscsi::pdu::{Response, layout};
use timedisk_scsi::Absence;
use timedisk_target::{Disk, Target};
use timedisk_volume::{MemoryVolume, Operation};

use super::wire::{BLOCK, Lab, PATIENCE, Scsi, block, held, limits, mount, open_target, unit};

fn target(disk: &Arc<Disk>) -> Target {
    Target { mounts: vec![mount(0, disk, |_| true)], ..open_target("disks", MemoryVolume::new(512)) }
}

/// A write whose command comes while the disk is away, and whose data come when it is back.
#[test]
fn a_write_is_not_acknowledged_without_having_been_written() {
    let disk = Disk::new("disk", unit("disk", MemoryVolume::new(1 << 20)));
    let lab = Lab::new(vec![target(&disk)]);
    let mut initiator = lab.session("disks", &[("ImmediateData", "No"), ("InitialR2T", "No")]);
    let volume = disk.take(Absence::Exchange, Instant::now() + PATIENCE).unwrap().unwrap();
    let tag = initiator.tag();
    let mut command = initiator.command(tag, &Scsi::write(0, &block(9)), &[]);
    command.header[1] &= !0x80; // unsolicited data follow
    initiator.send(&command);
    initiator.check_alive();
    disk.unit().medium().put(volume);
    initiator.follow(tag, 0);
    let data = initiator.data_out(tag, 0xffff_ffff, 0, 0, &block(9));
    initiator.send(&data);
    let reply = initiator.finish(tag);
    let read = initiator.run(&Scsi::read(0, 1)).good();
    assert!(reply.status != 0 || read == block(9), "{reply:?}, and on the disk is {:?}...", &read[..4]);
}

/// The same with a command whose immediate data are slow, and for a read-only disk that is made writable.
#[test]
fn a_write_to_a_disk_that_becomes_writable_is_not_lost() {
    let disk = Disk::new("disk", unit("disk", MemoryVolume::new(1 << 20)));
    let lab = Lab::new(vec![target(&disk)]);
    let mut initiator = lab.session("disks", &[]);
    disk.unit().set_read_only(true);
    let tag = initiator.tag();
    let bytes = initiator.command(tag, &Scsi::write(0, &block(9)), &block(9)).encode(Default::default());
    initiator.send_bytes(&bytes[..100]);
    std::thread::sleep(Duration::from_millis(200));
    disk.unit().set_read_only(false);
    initiator.send_bytes(&bytes[100..]);
    initiator.follow(tag, 0);
    let reply = initiator.finish(tag);
    let read = initiator.run(&Scsi::read(0, 1)).good();
    assert!(reply.status != 0 || read == block(9), "{reply:?}, and on the disk is {:?}...", &read[..4]);
}

/// LOGICAL UNIT RESET by one that writes LUN 0 in flat space addressing.
#[test]
fn a_reset_ends_the_tasks_of_others_however_it_names_the_unit() {
    let volume = held(1 << 20);
    let disk = Disk::new("disk", unit("disk", Arc::clone(&volume)));
    let lab = Lab::new(vec![target(&disk)]);
    let (mut victim, mut other) = (lab.session("disks", &[]), lab.session("disks", &[]));
    volume.hold(Operation::Flush);
    victim.start(&Scsi::flush());
    assert!(volume.await_waiting(1, PATIENCE));
    let mut reset = other.task_management(5, 0xffff_ffff, 0);
    reset.header[8] = 0x40;
    other.send(&reset);
    let answer = other.expect(Response::TaskManagement);
    assert_eq!(layout::ShortResponse::of(&answer.header).response, 0);
    volume.release_all();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(lab.server().sessions().iter().map(|session| session.in_flight).max(), Some(0));
}

/// Unsolicited data that never come.
#[test]
fn who_announces_unsolicited_data_and_sends_none_keeps_no_memory_from_others() {
    const MIB: usize = 1 << 20;
    let disk = open_target("disk", MemoryVolume::new(64 << 20));
    let lab = Lab::with(vec![disk], vec![], limits(32 * MIB, 16 * MIB));
    let offers = [("ImmediateData", "No"), ("InitialR2T", "No")];
    let mut stingy: Vec<_> = (0..2).map(|_| lab.session("disk", &offers)).collect();
    for session in &mut stingy {
        for number in 0..4 {
            let tag = session.tag();
            let mut command = session.command(tag, &Scsi::write(number, &vec![0; 4 * MIB]), &[]);
            command.header[1] &= !0x80;
            session.send(&command);
        }
        session.check_alive();
    }
    lab.session("disk", &[]).run(&Scsi::read(0, 4 * MIB / BLOCK)).good();
}
