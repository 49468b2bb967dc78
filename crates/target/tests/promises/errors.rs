//! What goes wrong under a disk reaches the initiator as what it is.

use std::sync::Arc;

use timedisk_volume::{ErrorKind, FailingVolume, MemoryVolume, Operation};

use super::wire::{BLOCK, Initiator, Lab, Scsi, block, open_target};

fn failing() -> (Arc<FailingVolume<MemoryVolume>>, Lab, Initiator) {
    let volume = Arc::new(FailingVolume::new(MemoryVolume::new(1 << 20)));
    let lab = Lab::new(vec![open_target("disk", Arc::clone(&volume))]);
    let mut initiator = lab.session("disk", &[]);
    initiator.run(&Scsi::write(0, &block(1))).good();
    (volume, lab, initiator)
}

#[test]
fn a_full_file_system_protects_the_disk_from_writes_and_reads_go_on() {
    let (volume, _lab, mut initiator) = failing();
    volume.fail_next(Operation::Write, 1, ErrorKind::NoSpace);
    // Space allocation failed write protect (SBC-3 4.7.3.6).
    assert_eq!(initiator.run(&Scsi::write(1, &block(2))).condition(), (0x07, 0x27, 0x07));
    assert_eq!(initiator.run(&Scsi::read(0, 2)).good(), [block(1), block(0)].concat());
    initiator.run(&Scsi::write(1, &block(2))).good();
    assert_eq!(initiator.run(&Scsi::read(0, 2)).good(), [block(1), block(2)].concat());
}

#[test]
fn after_a_failed_flush_nothing_is_promised_any_more_and_reads_go_on() {
    let (volume, _lab, mut initiator) = failing();
    volume.fail_next(Operation::Flush, 1, ErrorKind::FlushFailed);
    let flush = initiator.run(&Scsi::flush());
    assert_eq!(flush.condition().0, 0x03, "MEDIUM ERROR");
    assert_eq!(initiator.run(&Scsi::flush()).condition().0, 0x03, "a second flush does not make it good");
    assert_eq!(initiator.run(&Scsi::write(1, &block(2))).condition().0, 0x03);
    assert_eq!(initiator.run(&Scsi::read(0, 1)).good(), block(1));
}

#[test]
fn a_failed_read_is_a_medium_error_and_sends_no_data() {
    let (volume, _lab, mut initiator) = failing();
    volume.fail_next(Operation::Read, 1, ErrorKind::ReadFailed);
    let failed = initiator.run(&Scsi::read(0, 1));
    assert_eq!((failed.condition().0, failed.condition().1), (0x03, 0x11));
    assert_eq!((failed.data.len(), failed.residual), (0, BLOCK as u32));
    assert_eq!(initiator.run(&Scsi::read(0, 1)).good(), block(1));
}

#[test]
fn a_failed_write_is_an_error_and_leaves_the_session_as_it_was() {
    let (volume, _lab, mut initiator) = failing();
    volume.fail_next(Operation::Write, 1, ErrorKind::WriteFailed);
    assert_eq!(initiator.run(&Scsi::write(0, &block(9))).condition().0, 0x03);
    assert_eq!(initiator.run(&Scsi::read(0, 1)).good(), block(1));
}
