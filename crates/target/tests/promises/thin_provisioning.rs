//! Space that runs out under a disk: who is told, when, and what it costs others to ask.

use std::sync::Arc;

use timedisk_volume::{MemoryVolume, Operation};

use super::wire::{Initiator, Lab, PATIENCE, Scsi, held, open_target};

const MIB: u64 = 1 << 20;
const BLOCKS: u64 = MIB / 512;

/// LOG SENSE of the logical block provisioning page.
fn log() -> Scsi {
    Scsi::input(&[0x4d, 0, 0x4c, 0, 0, 0, 0, 0, 64, 0], 64)
}

/// MODE SELECT(6): a threshold of the available resources, in MiB.
fn threshold(available: u8) -> Scsi {
    let mut list = [0; 44];
    (list[4], list[5], list[7]) = (0x5c, 0x02, 36);
    (list[20], list[21], list[27]) = (0x80, 1, available);
    (list[28], list[29]) = (0x01, 2);
    (list[36], list[37]) = (0x08, 3);
    Scsi::output(&[0x15, 0x10, 0, 0, 44, 0], &list)
}

fn is_ready(initiator: &mut Initiator) -> bool {
    let reply = initiator.run(&Scsi::test_unit_ready());
    assert!(reply.status == 0 || reply.condition() == (0x06, 0x38, 0x07), "{reply:?}");
    reply.status == 0
}

#[test]
fn who_wishes_is_told_once_before_a_disk_is_full_and_no_write_says_so() {
    let lab = Lab::new(vec![open_target("disk", MemoryVolume::with_limit(64 * MIB, 8 * MIB))]);
    let (mut writer, mut other) = (lab.session("disk", &[]), lab.session("disk", &[]));
    writer.run(&threshold(2)).good();
    assert_eq!(
        other.run(&Scsi::test_unit_ready()).condition(),
        (0x06, 0x2a, 0x01),
        "mode parameters changed"
    );
    for written in 1..=8 {
        writer.run(&Scsi::write(written * BLOCKS, &vec![7; MIB as usize])).good();
        let count = writer.run(&log());
        // The log page would be the first to be told.
        match written {
            6 => assert_eq!(count.condition(), (0x06, 0x38, 0x07)),
            _ => assert_eq!(count.good()[8..12], (8 - written as u32).to_be_bytes()),
        }
        assert_eq!(is_ready(&mut other), written != 6, "after {written} MiB");
        assert!(is_ready(&mut writer));
    }
    let full = writer.run(&Scsi::write(10 * BLOCKS, &vec![7; MIB as usize]));
    assert_eq!(full.condition(), (0x07, 0x27, 0x07));
    assert!(is_ready(&mut writer) && is_ready(&mut other));
    assert_eq!(writer.run(&Scsi::read(BLOCKS, 1)).good(), [7; 512], "reads go on");
}

#[test]
fn a_file_system_that_does_not_tell_keeps_nobody_but_who_asked() {
    let volume = held(MIB);
    let lab = Lab::new(vec![open_target("disk", Arc::clone(&volume))]);
    let mut initiator = lab.session("disk", &[]);
    volume.hold(Operation::Read);
    let tag = initiator.start(&log());
    assert!(volume.await_waiting(1, PATIENCE));
    initiator.check_alive();
    initiator.run(&Scsi::inquiry()).good();
    let statistics = Scsi::input(&[0x4d, 0, 0x59, 0, 0, 0, 0, 0, 96, 0], 96);
    assert_eq!(initiator.run(&statistics).good().len(), 96, "other logs are told");
    lab.session("disk", &[]).run(&Scsi::inquiry()).good();
    volume.release_all();
    initiator.follow(tag, 0);
    assert_eq!(initiator.finish(tag).good()[..4], [0x0c, 0, 0, 36]);
}
