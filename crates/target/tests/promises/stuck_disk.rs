//! A disk that does not answer holds up nobody but those who wait for its data.

use std::sync::Arc;
use std::time::{Duration, Instant};

use timedisk_volume::{HeldVolume, MemoryVolume, Operation, Volume};

use super::wire::{BLOCK, Initiator, Lab, PATIENCE, Scsi, block, held, open_target};

/// What is "at once", on a machine that has other things to do.
const AT_ONCE: Duration = Duration::from_secs(3);

const ABORT_TASK: u8 = 1;
const LOGICAL_UNIT_RESET: u8 = 5;

fn stuck_and_well() -> (Arc<HeldVolume<MemoryVolume>>, Lab) {
    let volume = held(1 << 20);
    let well = open_target("well", MemoryVolume::new(1 << 20));
    (Arc::clone(&volume), Lab::new(vec![open_target("stuck", volume), well]))
}

#[track_caller]
fn at_once<T>(act: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = act();
    assert!(begin.elapsed() < AT_ONCE, "it took {:?}", begin.elapsed());
    result
}

/// Sends a command that gets stuck in this operation.
fn start_stuck(volume: &HeldVolume<MemoryVolume>, initiator: &mut Initiator, operation: Operation) -> u32 {
    volume.hold(operation);
    let tag = initiator.start(&match operation {
        Operation::Read => Scsi::read(3, 1),
        Operation::Write => Scsi::write(3, &block(1)),
        Operation::Flush => Scsi::flush(),
    });
    assert!(volume.await_waiting(1, PATIENCE));
    tag
}

#[test]
fn pings_aborts_resets_logins_and_other_disks_do_not_wait_for_a_stuck_one() {
    for operation in [Operation::Read, Operation::Write, Operation::Flush] {
        let (volume, lab) = stuck_and_well();
        let mut first = lab.session("stuck", &[]);
        let mut second = lab.session("stuck", &[]);
        let mut elsewhere = lab.session("well", &[]);
        let tag = start_stuck(&volume, &mut first, operation);
        at_once(|| first.check_alive());
        at_once(|| second.run(&Scsi::inquiry())).good();
        at_once(|| elsewhere.run(&Scsi::write(0, &block(9)))).good();
        assert_eq!(at_once(|| elsewhere.run(&Scsi::read(0, 1))).good(), block(9));
        assert_eq!(at_once(|| first.manage(ABORT_TASK, tag, first.cmd_sn.wrapping_sub(1))), 0);
        at_once(|| second.run(&Scsi::inquiry())).good();
        assert_eq!(at_once(|| second.manage(LOGICAL_UNIT_RESET, 0, 0)), 0);
        at_once(|| lab.session("stuck", &[]).run(&Scsi::inquiry())).good();
        at_once(|| elsewhere.run(&Scsi::flush())).good();
        volume.release_all();
        // Both are told of the reset; then the disk works as before.
        for initiator in [&mut first, &mut second] {
            assert_eq!(initiator.run(&Scsi::test_unit_ready()).condition().0, 0x06);
            initiator.run(&Scsi::write(7, &block(7))).good();
            assert_eq!(initiator.run(&Scsi::read(7, 1)).good(), block(7));
        }
    }
}

#[test]
fn an_initiator_that_comes_back_takes_over_at_once_and_no_late_write_lands_on_its_own() {
    let (volume, lab) = stuck_and_well();
    let mut old = lab.session("stuck", &[]);
    start_stuck(&volume, &mut old, Operation::Write);
    // A second one that is not overwritten later: it may land or not, but not after the new session's read.
    old.start(&Scsi::write(4, &block(1)));
    assert!(volume.await_waiting(2, PATIENCE));
    let mut new = Initiator::connect(lab.address);
    (new.name, new.isid) = (old.name.clone(), old.isid);
    at_once(|| new.log_in(Some("stuck"), &[])).unwrap();
    at_once(|| old.await_close());
    assert_eq!(at_once(|| new.run(&Scsi::test_unit_ready())).condition().0, 0x06);
    at_once(|| new.run(&Scsi::inquiry())).good();
    let write = new.start(&Scsi::write(3, &block(2)));
    at_once(|| new.check_alive());
    assert!(!new.has_ended(write) && volume.waiting() == 2, "the new write has to wait for the old ones");
    volume.release_all();
    new.finish(write).good();
    assert_eq!(new.run(&Scsi::read(3, 1)).good(), block(2));
    let mut raw = [0; BLOCK];
    volume.inner().read(3 * BLOCK as u64, &mut raw).unwrap();
    assert_eq!(raw, block(2));
}

#[test]
fn no_aborted_write_lands_on_a_later_one() {
    let (volume, lab) = stuck_and_well();
    let mut initiator = lab.session("stuck", &[]);
    let aborted = start_stuck(&volume, &mut initiator, Operation::Write);
    assert_eq!(initiator.manage(ABORT_TASK, aborted, initiator.cmd_sn.wrapping_sub(1)), 0);
    let later = initiator.start(&Scsi::write(3, &block(2)));
    initiator.check_alive();
    assert!(!initiator.has_ended(later) && volume.waiting() == 1);
    volume.release_all();
    initiator.finish(later).good();
    assert_eq!(initiator.run(&Scsi::read(3, 1)).good(), block(2));
}

#[test]
fn commands_that_were_queued_behind_a_stuck_one_can_be_aborted() {
    let (volume, lab) = stuck_and_well();
    let mut initiator = lab.session("stuck", &[]);
    let stuck = start_stuck(&volume, &mut initiator, Operation::Write);
    assert_eq!(initiator.manage(ABORT_TASK, stuck, initiator.cmd_sn.wrapping_sub(1)), 0);
    let queued = initiator.start(&Scsi::write(5, &block(5)));
    initiator.check_alive();
    assert_eq!(at_once(|| initiator.manage(ABORT_TASK, queued, initiator.cmd_sn.wrapping_sub(1))), 0);
    volume.release_all();
    assert_eq!(initiator.run(&Scsi::read(5, 1)).good(), block(0), "it was never carried out");
}

#[test]
fn a_shutdown_names_the_stuck_disk_and_is_in_time() {
    let (volume, lab) = stuck_and_well();
    let mut initiator = lab.session("stuck", &[]);
    start_stuck(&volume, &mut initiator, Operation::Write);
    let stuck = at_once(|| lab.shutdown(Duration::from_millis(200))).unwrap_err();
    assert_eq!(stuck.disks, ["stuck"]);
    volume.release_all();
}

#[test]
fn a_shutdown_waits_for_what_runs_and_answers_it() {
    let (volume, lab) = stuck_and_well();
    let mut initiator = lab.session("stuck", &[]);
    let tag = start_stuck(&volume, &mut initiator, Operation::Write);
    let stopping = std::thread::spawn(move || lab.shutdown(PATIENCE));
    initiator.expect(timedisk_iscsi::pdu::Response::AsyncMessage);
    volume.release_all();
    initiator.finish(tag).good();
    initiator.await_close();
    stopping.join().unwrap().unwrap();
    let mut raw = [0; BLOCK];
    volume.inner().read(3 * BLOCK as u64, &mut raw).unwrap();
    assert_eq!(raw, block(1));
}
