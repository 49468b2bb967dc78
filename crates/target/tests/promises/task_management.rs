//! Aborts and resets leave a session's numbers and its next commands in order.

use std::sync::Arc;
use std::time::Duration;

use timedisk_iscsi::pdu::{NO_TAG, Response};
use timedisk_volume::{FileVolume, Length, MemoryVolume, OpenOptions, Operation};

use super::wire::{BLOCK, Lab, Scsi, block, held, open_target};

const ABORT_TASK: u8 = 1;
const LOGICAL_UNIT_RESET: u8 = 5;
const TARGET_COLD_RESET: u8 = 7;
const QUERY_TASK: u8 = 9;
const QUERY_TASK_SET: u8 = 10;
const NEXUS_RESET: u8 = 11;
const QUERY_ASYNCHRONOUS_EVENT: u8 = 12;
const TASK_DOES_NOT_EXIST: u8 = 1;
const NOT_SUPPORTED: u8 = 5;
const SUCCEEDED: u8 = 7;

#[test]
fn a_reset_while_a_commands_data_come_uses_up_its_number() {
    let lab = Lab::memory(1 << 20);
    let mut other = lab.session("disk", &[]);
    for _ in 0..20 {
        let mut writer = lab.session("disk", &[]);
        let tag = writer.tag();
        let write = writer.command(tag, &Scsi::write(0, &[1; 8 * BLOCK]), &[1; 8 * BLOCK]);
        let bytes = write.encode(Default::default());
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        writer.send_bytes(first);
        other.check_alive();
        assert_eq!(other.manage(LOGICAL_UNIT_RESET, 0, 0), 0);
        assert_eq!(other.run(&Scsi::test_unit_ready()).condition().0, 0x06);
        writer.send_bytes(rest);
        writer.follow(tag, 0);
        writer.check_alive();
        // It is told of the reset (unless the write was, where that came after it), and nothing waits for
        // ever.
        writer.run(&Scsi::test_unit_ready());
        writer.run(&Scsi::write(0, &block(2))).good();
        assert_eq!(writer.run(&Scsi::read(0, 1)).good(), block(2));
    }
}

#[test]
fn an_abort_of_what_was_never_sent_uses_up_no_number() {
    let lab = Lab::memory(1 << 20);
    let mut initiator = lab.session("disk", &[]);
    for ahead in 0..4 {
        let number = initiator.cmd_sn.wrapping_add(ahead);
        assert_eq!(initiator.manage(ABORT_TASK, 0x9999, number), TASK_DOES_NOT_EXIST);
    }
    initiator.run(&Scsi::write(0, &block(1))).good();
    assert_eq!(initiator.run(&Scsi::read(0, 1)).good(), block(1));
}

#[test]
fn an_abort_fills_the_gap_that_a_lost_command_left() {
    let lab = Lab::memory(1 << 20);
    let mut initiator = lab.session("disk", &[]);
    let tag = initiator.tag();
    // Never sent: as if it were lost on its way.
    let _ = initiator.command(tag, &Scsi::write(0, &block(1)), &block(1));
    let lost = initiator.cmd_sn.wrapping_sub(1);
    let follower = initiator.start(&Scsi::read(0, 1));
    initiator.check_alive();
    assert!(!initiator.has_ended(follower), "it has overtaken the command before it");
    assert_eq!(initiator.manage(ABORT_TASK, tag, lost), 0);
    assert_eq!(initiator.finish(follower).good(), block(0));
}

#[test]
fn an_aborted_write_is_done_before_the_answer_or_never() {
    let directory = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(directory.path().join("image"), Length::Bytes(1 << 20));
    let lab = Lab::new(vec![open_target("disk", FileVolume::open(options).unwrap())]);
    let mut initiator = lab.session("disk", &[]);
    for round in 1..50 {
        let (write_tag, read_tag) = (initiator.tag(), initiator.tag());
        let new = block(round);
        let write = initiator.command(write_tag, &Scsi::write(0, &new), &new);
        let abort = initiator.task_management(ABORT_TASK, write_tag, initiator.cmd_sn.wrapping_sub(1));
        let read = initiator.command(read_tag, &Scsi::read(0, 1), &[]);
        let wire: Vec<u8> =
            [write, abort, read].iter().flat_map(|pdu| pdu.encode(Default::default())).collect();
        initiator.follow(read_tag, 0);
        initiator.follow(write_tag, 0);
        initiator.send_bytes(&wire);
        let read = initiator.finish(read_tag).good();
        assert_eq!(initiator.run(&Scsi::read(0, 1)).good(), read, "round {round}: it was done after its end");
    }
}

#[test]
fn what_was_reserved_is_free_when_the_logout_is_answered() {
    let lab = Lab::memory(1 << 20);
    let mut stays = lab.session("disk", &[]);
    for round in 0..100 {
        let mut leaves = lab.session("disk", &[]);
        leaves.run(&Scsi::none(&[0x16, 0, 0, 0, 0, 0])).good();
        assert_eq!(stays.run(&Scsi::test_unit_ready()).status, 0x18, "RESERVATION CONFLICT");
        let logout = leaves.logout();
        leaves.send(&logout);
        leaves.expect(Response::Logout);
        assert_eq!(stays.run(&Scsi::test_unit_ready()).status, 0, "round {round}");
    }
}

#[test]
fn a_cold_reset_ends_every_connection_to_the_target() {
    let lab = Lab::new(vec![
        open_target("disk", MemoryVolume::new(1 << 20)),
        open_target("other", MemoryVolume::new(1 << 20)),
    ]);
    let (mut first, mut second) = (lab.session("disk", &[]), lab.session("disk", &[]));
    let mut elsewhere = lab.session("other", &[]);
    assert_eq!(first.manage(TARGET_COLD_RESET, 0, 0), 0);
    first.await_close();
    second.await_close();
    elsewhere.check_alive();
    let mut again = lab.session("disk", &[]);
    assert_eq!(again.run(&Scsi::read(0, 1)).good(), block(0));
}

const NEWER: &[(&str, &str)] = &[("iSCSIProtocolLevel", "2")];

#[test]
fn who_agrees_on_rfc_7144_may_ask_for_tasks_and_events() {
    let volume = held(1 << 20);
    let lab = Lab::new(vec![open_target("disk", Arc::clone(&volume))]);
    let (mut newer, mut older) = (lab.session("disk", NEWER), lab.session("disk", &[]));
    assert_eq!(newer.run(&Scsi::input(&[0x12, 0, 0, 0, 96, 0], 96)).good()[64..66], [0x09, 0x62]);
    assert_eq!(older.run(&Scsi::input(&[0x12, 0, 0, 0, 96, 0], 96)).good()[64..66], [0x09, 0x61]);
    volume.hold(Operation::Write);
    let tag = newer.start(&Scsi::write(0, &block(1)));
    let number = newer.cmd_sn.wrapping_sub(1);
    assert!(volume.await_waiting(1, Duration::from_secs(10)));
    assert_eq!(newer.ask_about(QUERY_TASK, tag, number).0, SUCCEEDED);
    assert_eq!(newer.ask_about(QUERY_TASK_SET, NO_TAG, 0).0, SUCCEEDED);
    assert_eq!(newer.ask_about(QUERY_ASYNCHRONOUS_EVENT, NO_TAG, 0), (0, [0; 3]));
    for function in [QUERY_TASK, QUERY_TASK_SET, NEXUS_RESET, QUERY_ASYNCHRONOUS_EVENT] {
        assert_eq!(older.ask_about(function, NO_TAG, 0).0, NOT_SUPPORTED, "not agreed on");
    }
    volume.release_all();
    newer.finish(tag).good();
    assert_eq!(newer.ask_about(QUERY_TASK_SET, NO_TAG, 0).0, 0);
    assert_eq!(older.manage(LOGICAL_UNIT_RESET, 0, 0), 0);
    assert_eq!(newer.ask_about(QUERY_ASYNCHRONOUS_EVENT, NO_TAG, 0), (SUCCEEDED, [0x16, 0x29, 0x03]));
    assert_eq!(newer.run(&Scsi::test_unit_ready()).condition(), (0x06, 0x29, 0x03));
    assert_eq!(newer.ask_about(QUERY_ASYNCHRONOUS_EVENT, NO_TAG, 0).0, 0);
}

#[test]
fn a_reset_of_the_nexus_ends_its_session_and_what_it_reserved_and_no_other() {
    let lab = Lab::memory(1 << 20);
    let (mut first, mut second) = (lab.session("disk", NEWER), lab.session("disk", &[]));
    first.run(&Scsi::none(&[0x16, 0, 0, 0, 0, 0])).good();
    assert_eq!(second.run(&Scsi::read(0, 1)).status, 0x18, "it is reserved");
    assert_eq!(first.ask_about(NEXUS_RESET, NO_TAG, 0).0, 0);
    assert_eq!(second.run(&Scsi::read(0, 1)).good(), block(0));
    first.await_close();
    second.check_alive();
}

/// PERSISTENT RESERVE OUT with keys.
pub(super) fn reserve_out(action: u8, kind: u8, key: u64, new: u64) -> Scsi {
    let list = [&key.to_be_bytes()[..], &new.to_be_bytes(), &[0; 8]].concat();
    Scsi::output(&[0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0], &list)
}

#[test]
fn who_is_preempted_and_aborted_gets_no_answer_to_what_he_sent_before() {
    const REGISTER: u8 = 0;
    const PREEMPT_AND_ABORT: u8 = 5;
    let volume = held(1 << 20);
    let lab = Lab::new(vec![open_target("disk", Arc::clone(&volume))]);
    let (mut winner, mut loser) = (lab.session("disk", &[]), lab.session("disk", &[]));
    winner.run(&reserve_out(REGISTER, 0, 0, 1)).good();
    loser.run(&reserve_out(REGISTER, 0, 0, 2)).good();
    volume.hold(Operation::Write);
    let lost = loser.start(&Scsi::write(0, &block(7)));
    assert!(volume.await_waiting(1, Duration::from_secs(10)));
    winner.run(&reserve_out(PREEMPT_AND_ABORT, 1, 1, 2)).good();
    volume.release_all();
    assert_eq!(loser.run(&Scsi::test_unit_ready()).condition(), (0x06, 0x2a, 0x05));
    assert!(!loser.has_ended(lost));
    // The write that could not be taken back is over before anything that came later.
    assert_eq!(winner.run(&Scsi::read(0, 1)).good(), block(7));
}
