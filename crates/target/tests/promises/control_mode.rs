//! What the control mode page says of commands that end because of another (SPC-4 7.5.8), and whom a reset reaches.

use std::sync::Arc;

use timedisk_target::Disk;
use timedisk_volume::{HeldVolume, MemoryVolume, Operation};

use super::task_management::reserve_out;
use super::wire::{Initiator, Lab, PATIENCE, Scsi, block, held, mount, open_target, unit};

const ABORT_TASK_SET: u8 = 2;
const CLEAR_TASK_SET: u8 = 4;
const LOGICAL_UNIT_RESET: u8 = 5;
const TARGET_WARM_RESET: u8 = 6;

const TASK_ABORTED: u8 = 0x40;
const RESERVATION_CONFLICT: u8 = 0x18;

const COMMANDS_CLEARED: (u8, u8, u8) = (0x06, 0x2f, 0x00);
const RESET: (u8, u8, u8) = (0x06, 0x29, 0x03);
const MODE_CHANGED: (u8, u8, u8) = (0x06, 0x2a, 0x01);

/// Bytes 3, 4 and 5 of the control mode page.
const QERR_ALL: [u8; 3] = [0x12, 0, 0];
const QERR_OWN: [u8; 3] = [0x16, 0, 0];
const INTERLOCK: [u8; 3] = [0x10, 0x30, 0];
const TAS: [u8; 3] = [0x10, 0, 0x40];
const QERR_ALL_AND_TAS: [u8; 3] = [0x12, 0, 0x40];

struct Scene {
    volume: Arc<HeldVolume<MemoryVolume>>,
    /// Has a write under way that does not end.
    victim: Initiator,
    write: u32,
    actor: Initiator,
    bystander: Initiator,
    _lab: Lab,
}

/// With these bytes of the control mode page, if any.
fn scene(control: Option<[u8; 3]>) -> Scene {
    let volume = held(1 << 20);
    let lab = Lab::new(vec![open_target("disk", Arc::clone(&volume))]);
    let mut sessions = [(); 3].map(|()| lab.session("disk", &[]));
    let [actor, ..] = &mut sessions;
    if let Some([a, b, c]) = control {
        let page = [0, 0, 0, 0, 0x0a, 10, 0x02, a, b, c, 0, 0, 0, 0, 0, 0];
        actor.run(&Scsi::output(&[0x15, 0x10, 0, 0, 16, 0], &page)).good();
        for other in &mut sessions[1..] {
            assert_eq!(other.run(&Scsi::test_unit_ready()).condition(), MODE_CHANGED);
            other.run(&Scsi::input(&[0x03, 0, 0, 0, 18, 0], 18)).good();
        }
    }
    let [actor, mut victim, bystander] = sessions;
    volume.hold(Operation::Write);
    let write = victim.start(&Scsi::write(3, &block(1)));
    assert!(volume.await_waiting(1, PATIENCE));
    Scene { volume, victim, write, actor, bystander, _lab: lab }
}

/// A command that is refused: what lies past the end.
fn past_the_end() -> Scsi {
    Scsi::read(1 << 30, 1)
}

#[test]
fn what_is_cleared_ends_without_a_word_and_only_its_initiator_is_told() {
    let Scene { volume, mut victim, write, mut actor, mut bystander, .. } = scene(None);
    assert_eq!(actor.manage(ABORT_TASK_SET, 0, 0), 0);
    victim.run(&Scsi::test_unit_ready()).good();
    assert_eq!(actor.manage(CLEAR_TASK_SET, 0, 0), 0);
    assert_eq!(victim.run(&Scsi::test_unit_ready()).condition(), COMMANDS_CLEARED);
    bystander.run(&Scsi::test_unit_ready()).good();
    actor.run(&Scsi::test_unit_ready()).good();
    volume.release_all();
    victim.run(&Scsi::read(3, 1)).good();
    assert!(!victim.has_ended(write));
}

#[test]
fn with_tas_what_is_cleared_ends_with_task_aborted_and_nothing_else_is_told() {
    let Scene { volume, mut victim, write, mut actor, mut bystander, .. } = scene(Some(TAS));
    assert_eq!(actor.manage(CLEAR_TASK_SET, 0, 0), 0);
    let reply = victim.finish(write);
    assert_eq!((reply.status, reply.sense.len()), (TASK_ABORTED, 0));
    for session in [&mut victim, &mut actor, &mut bystander] {
        session.run(&Scsi::test_unit_ready()).good();
    }
    volume.release_all();
    victim.run(&Scsi::read(3, 1)).good();
}

#[test]
fn with_tas_a_reset_is_told_of_twice_and_the_initiators_own_commands_end_without_a_word() {
    for function in [LOGICAL_UNIT_RESET, TARGET_WARM_RESET] {
        let Scene { volume, mut victim, write, mut actor, mut bystander, .. } = scene(Some(TAS));
        let own = actor.start(&Scsi::write(5, &block(5)));
        assert!(volume.await_waiting(2, PATIENCE));
        assert_eq!(actor.manage(function, 0, 0), 0);
        assert_eq!(victim.finish(write).status, TASK_ABORTED);
        for session in [&mut victim, &mut actor, &mut bystander] {
            assert_eq!(session.run(&Scsi::test_unit_ready()).condition(), RESET);
            session.run(&Scsi::test_unit_ready()).good();
        }
        volume.release_all();
        let page = actor.run(&Scsi::input(&[0x1a, 0x08, 0x0a, 0, 255, 0], 255)).good();
        assert_eq!(page[9], 0, "nothing was saved, so that the reset has cleared it");
        assert!(!actor.has_ended(own));
    }
}

#[test]
fn with_tas_who_is_preempted_and_aborted_is_answered() {
    const REGISTER: u8 = 0;
    const PREEMPT_AND_ABORT: u8 = 5;
    let Scene { volume, mut victim, write, mut actor, .. } = scene(Some(TAS));
    victim.run(&reserve_out(REGISTER, 0, 0, 2)).good();
    actor.run(&reserve_out(REGISTER, 0, 0, 1)).good();
    actor.run(&reserve_out(PREEMPT_AND_ABORT, 1, 1, 2)).good();
    assert_eq!(victim.finish(write).status, TASK_ABORTED);
    assert_eq!(victim.run(&Scsi::test_unit_ready()).condition(), (0x06, 0x2a, 0x05));
    volume.release_all();
}

#[test]
fn one_that_fails_ends_those_of_all_if_the_page_says_so() {
    for (control, told) in [(QERR_ALL, true), (QERR_ALL_AND_TAS, false)] {
        let Scene { volume, mut victim, write, mut actor, mut bystander, .. } = scene(Some(control));
        let own = actor.start(&Scsi::write(5, &block(5)));
        assert!(volume.await_waiting(2, PATIENCE));
        assert_eq!(actor.run(&past_the_end()).condition().1, 0x21);
        match told {
            true => assert_eq!(victim.run(&Scsi::test_unit_ready()).condition(), COMMANDS_CLEARED),
            false => assert_eq!(victim.finish(write).status, TASK_ABORTED),
        }
        for session in [&mut victim, &mut actor, &mut bystander] {
            session.run(&Scsi::test_unit_ready()).good();
        }
        volume.release_all();
        actor.run(&Scsi::read(5, 1)).good();
        assert!(!actor.has_ended(own));
    }
}

#[test]
fn one_that_fails_ends_those_of_its_own_session_if_the_page_says_so() {
    let Scene { volume, mut victim, write, mut actor, .. } = scene(Some(QERR_OWN));
    let own = actor.start(&Scsi::write(5, &block(5)));
    assert!(volume.await_waiting(2, PATIENCE));
    assert_eq!(actor.run(&past_the_end()).condition().1, 0x21);
    volume.release_all();
    victim.finish(write).good();
    actor.run(&Scsi::read(5, 1)).good();
    assert!(!actor.has_ended(own));
}

#[test]
fn one_that_fails_is_nothing_to_others_by_default() {
    let Scene { volume, mut victim, write, mut actor, .. } = scene(None);
    let own = actor.start(&Scsi::write(5, &block(5)));
    assert!(volume.await_waiting(2, PATIENCE));
    assert_eq!(actor.run(&past_the_end()).condition().1, 0x21);
    volume.release_all();
    victim.finish(write).good();
    actor.finish(own).good();
}

#[test]
fn a_conflict_leaves_an_interlocked_attention_if_the_page_says_so() {
    let Scene { volume, mut actor, mut bystander, .. } = scene(Some(INTERLOCK));
    volume.release_all();
    actor.run(&Scsi::none(&[0x16, 0, 0, 0, 0, 0])).good();
    assert_eq!(bystander.run(&Scsi::read(0, 1)).status, RESERVATION_CONFLICT);
    for _ in 0..2 {
        assert_eq!(bystander.run(&Scsi::test_unit_ready()).condition(), (0x06, 0x2c, 0x09));
    }
    let sense = bystander.run(&Scsi::input(&[0x03, 0, 0, 0, 18, 0], 18)).good();
    assert_eq!((sense[2], sense[12], sense[13]), (0x06, 0x2c, 0x09));
    assert_eq!(bystander.run(&Scsi::read(0, 1)).status, RESERVATION_CONFLICT);
}

#[test]
fn a_reset_releases_what_was_reserved() {
    for function in [LOGICAL_UNIT_RESET, TARGET_WARM_RESET] {
        let Scene { volume, mut actor, mut bystander, .. } = scene(None);
        volume.release_all();
        actor.run(&Scsi::none(&[0x16, 0, 0, 0, 0, 0])).good();
        assert_eq!(bystander.run(&Scsi::read(0, 1)).status, RESERVATION_CONFLICT);
        assert_eq!(bystander.manage(function, 0, 0), 0);
        assert_eq!(bystander.run(&Scsi::read(0, 1)).condition(), RESET);
        bystander.run(&Scsi::read(0, 1)).good();
    }
}

/// Two targets with one disk, at different places.
fn shared() -> (Arc<HeldVolume<MemoryVolume>>, Lab) {
    let volume = held(1 << 20);
    let disk = Disk::new("disk", unit("disk", Arc::clone(&volume)));
    let (mut one, mut two) =
        (open_target("one", MemoryVolume::new(1 << 20)), open_target("two", MemoryVolume::new(1 << 20)));
    one.mounts = vec![mount(0, &disk, |_| true)];
    two.mounts.push(mount(3, &disk, |_| true));
    (volume, Lab::new(vec![one, two]))
}

#[test]
fn a_reset_reaches_the_sessions_of_every_target_that_has_the_disk() {
    let (volume, lab) = shared();
    let (mut actor, mut victim) = (lab.session("one", &[]), lab.session("two", &[]));
    victim.run(&Scsi::test_unit_ready().at(3));
    volume.hold(Operation::Read);
    let read = victim.start(&Scsi::read(0, 1).at(3));
    assert!(volume.await_waiting(1, PATIENCE));
    assert_eq!(actor.manage(LOGICAL_UNIT_RESET, 0, 0), 0);
    volume.release_all();
    assert_eq!(victim.run(&Scsi::test_unit_ready().at(3)).condition(), RESET);
    victim.run(&Scsi::read(0, 1).at(3)).good();
    assert!(!victim.has_ended(read), "it was aborted");
    victim.run(&Scsi::test_unit_ready()).good();
    volume.hold(Operation::Read);
    let read = victim.start(&Scsi::read(0, 1).at(3));
    assert!(volume.await_waiting(1, PATIENCE));
    assert_eq!(actor.run(&Scsi::test_unit_ready()).condition(), RESET);
    assert_eq!(actor.manage(CLEAR_TASK_SET, 0, 0), 0);
    assert_eq!(victim.run(&Scsi::test_unit_ready().at(3)).condition(), COMMANDS_CLEARED);
    volume.release_all();
    victim.run(&Scsi::read(0, 1).at(3)).good();
    assert!(!victim.has_ended(read));
}
