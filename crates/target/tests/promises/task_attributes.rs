//! ORDERED and HEAD OF QUEUE hold among the commands of all sessions of a disk (SAM-5 8.9).

use std::sync::Arc;
use std::time::{Duration, Instant};

use timedisk_volume::{HeldVolume, MemoryVolume, Operation};

use super::wire::{Initiator, Lab, PATIENCE, Scsi, block, held, open_target};

const ABORT_TASK: u8 = 1;

/// What is "at once", on a machine that has other things to do.
const AT_ONCE: Duration = Duration::from_secs(3);

struct Trio {
    volume: Arc<HeldVolume<MemoryVolume>>,
    first: Initiator,
    second: Initiator,
    third: Initiator,
    _lab: Lab,
}

/// Three sessions of one disk, the first of which has a write under way that does not end.
fn with_a_stuck_write() -> (Trio, u32) {
    let volume = held(1 << 20);
    let lab = Lab::new(vec![open_target("disk", Arc::clone(&volume))]);
    let mut first = lab.session("disk", &[]);
    let (second, third) = (lab.session("disk", &[]), lab.session("disk", &[]));
    volume.hold(Operation::Write);
    let write = first.start(&Scsi::write(3, &block(1)));
    assert!(volume.await_waiting(1, PATIENCE));
    (Trio { volume, first, second, third, _lab: lab }, write)
}

/// Whether the command is still under way, some time after it was sent.
fn waits(initiator: &mut Initiator, tag: u32) -> bool {
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(10));
        initiator.check_alive();
    }
    !initiator.has_ended(tag)
}

#[test]
fn an_ordered_command_starts_when_the_older_ones_of_others_have_ended_and_holds_back_the_newer() {
    let (mut trio, write) = with_a_stuck_write();
    let Trio { volume, first, second, third, .. } = &mut trio;
    volume.hold(Operation::Flush);
    let ordered = second.start(&Scsi::flush().ordered());
    assert!(waits(second, ordered) && volume.waiting() == 1, "it has begun beside the write");
    let read = third.start(&Scsi::read(3, 1));
    assert!(waits(third, read), "it has overtaken the ordered one");
    third.run(&Scsi::inquiry()).good();
    volume.release(Operation::Write);
    first.finish(write).good();
    assert!(volume.await_waiting(1, PATIENCE), "the flush begins");
    assert!(waits(third, read), "it has begun beside the ordered one");
    let other = first.start(&Scsi::write(9, &block(9)));
    assert!(waits(first, other), "nor does one begin that comes while it runs");
    volume.release(Operation::Flush);
    second.finish(ordered).good();
    assert_eq!(third.finish(read).good(), block(1));
    first.finish(other).good();
}

#[test]
fn what_is_head_of_queue_waits_for_nobody_and_others_wait_for_it() {
    let (mut trio, write) = with_a_stuck_write();
    let Trio { volume, first, second, third, .. } = &mut trio;
    let ordered = second.start(&Scsi::write(4, &block(2)).ordered());
    assert!(waits(second, ordered));
    assert_eq!(third.run(&Scsi::read(4, 1).head_of_queue()).good(), block(0));
    volume.hold(Operation::Read);
    let head = third.start(&Scsi::read(4, 1).head_of_queue());
    assert!(volume.await_waiting(2, PATIENCE), "it begins beside the write");
    volume.release(Operation::Write);
    first.finish(write).good();
    let simple = first.start(&Scsi::write(5, &block(5)));
    assert!(waits(second, ordered) && waits(first, simple), "they have overtaken it");
    volume.release_all();
    assert_eq!(third.finish(head).good(), block(0));
    second.finish(ordered).good();
    first.finish(simple).good();
}

#[test]
fn simple_commands_alone_wait_for_what_is_head_of_queue_too() {
    let (mut trio, write) = with_a_stuck_write();
    let Trio { volume, first, second, third, .. } = &mut trio;
    volume.hold(Operation::Read);
    let head = second.start(&Scsi::read(4, 1).head_of_queue());
    assert!(volume.await_waiting(2, PATIENCE));
    let flush = third.start(&Scsi::flush());
    assert!(waits(third, flush));
    volume.release(Operation::Read);
    second.finish(head).good();
    third.finish(flush).good();
    volume.release_all();
    first.finish(write).good();
}

#[test]
fn an_ordered_command_that_is_aborted_holds_back_nobody() {
    let (mut trio, write) = with_a_stuck_write();
    let Trio { volume, first, second, third, .. } = &mut trio;
    let ordered = second.start(&Scsi::flush().ordered());
    second.check_alive();
    let read = third.start(&Scsi::read(0, 1));
    assert!(waits(third, read));
    let began = Instant::now();
    assert_eq!(second.manage(ABORT_TASK, ordered, second.cmd_sn.wrapping_sub(1)), 0);
    assert_eq!(third.finish(read).good(), block(0));
    assert!(began.elapsed() < AT_ONCE);
    let ordered = second.start(&Scsi::flush().ordered());
    assert!(waits(second, ordered));
    second.run(&Scsi::inquiry().head_of_queue()).good();
    volume.release_all();
    first.finish(write).good();
    second.finish(ordered).good();
}

#[test]
fn an_ordered_command_whose_session_is_gone_holds_back_nobody() {
    let (mut trio, _) = with_a_stuck_write();
    trio.second.start(&Scsi::flush().ordered());
    trio.second.check_alive();
    let read = trio.third.start(&Scsi::read(0, 1));
    assert!(waits(&mut trio.third, read));
    drop(trio.second);
    assert_eq!(trio.third.finish(read).good(), block(0));
    trio.volume.release_all();
}

#[test]
fn there_is_no_auto_contingent_allegiance() {
    let lab = Lab::memory(1 << 20);
    let mut initiator = lab.session("disk", &[]);
    let aca = |scsi: Scsi| Scsi { attribute: 4, ..scsi };
    assert_eq!(initiator.run(&aca(Scsi::test_unit_ready())).condition(), (0x05, 0x49, 0x00));
    assert_eq!(initiator.run(&aca(Scsi::write(0, &block(1)))).condition(), (0x05, 0x49, 0x00));
    let naca = Scsi::none(&[0, 0, 0, 0, 0, 0x04]);
    assert_eq!(initiator.run(&naca).condition(), (0x05, 0x24, 0x00));
    let standard = initiator.run(&Scsi::inquiry()).good();
    assert_eq!(standard[3] & 0x20, 0, "NORMACA");
    assert_eq!(initiator.run(&Scsi::read(0, 1)).good(), block(0), "it was not written");
}
