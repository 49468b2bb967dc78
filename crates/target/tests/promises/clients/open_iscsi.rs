//! open-iscsi, the initiator of Linux (open-iscsi/open-iscsi: usr/login.c, etc/iscsid.conf): its ladder of recovery,
//! from the abort of a task to a new login, and its pings, which go on while the disk is busy.

use std::sync::Arc;

use timedisk_target::{Authentication, Limits, Target, User};
use timedisk_volume::{MemoryVolume, Operation};

use super::script::{
    Heard, OPERATIONAL_TO_FULL, SECURITY_THEN_OPERATIONAL, SECURITY_TO_OPERATIONAL, connect, open_lab,
};
use crate::wire::{BLOCK, Initiator, Lab, PATIENCE, Scsi, assert_same, block, held, open_target};

const NAME: &str = "iqn.2016-04.com.open-iscsi:5e1f0c2a";
const WHO: [&str; 4] = [
    "InitiatorName=iqn.2016-04.com.open-iscsi:5e1f0c2a",
    "InitiatorAlias=host",
    "TargetName=iqn.2026-01.org.example:disk",
    "SessionType=Normal",
];
const USER: &str = "host";
const SECRET: &str = "sixteen byte key";
const NO_SUCH_TARGET: u16 = 0x0203;

const ABORT_TASK: u8 = 1;
const LOGICAL_UNIT_RESET: u8 = 5;
const TARGET_WARM_RESET: u8 = 6;
const COMPLETE: u8 = 0;

/// The defaults of iscsid.conf, in its order.
const OFFERS: [&str; 16] = [
    "HeaderDigest=None",
    "DataDigest=None",
    "DefaultTime2Wait=2",
    "DefaultTime2Retain=0",
    "IFMarker=No",
    "OFMarker=No",
    "ErrorRecoveryLevel=0",
    "InitialR2T=No",
    "ImmediateData=Yes",
    "MaxBurstLength=16776192",
    "FirstBurstLength=262144",
    "MaxOutstandingR2T=1",
    "MaxConnections=1",
    "DataPDUInOrder=Yes",
    "DataSequenceInOrder=Yes",
    "MaxRecvDataSegmentLength=262144",
];

/// It takes no other values of these keys for an answer.
const MUST: [(&str, &str); 3] =
    [("MaxOutstandingR2T", "1"), ("MaxConnections", "1"), ("ErrorRecoveryLevel", "0")];

/// Keys that its answer may have besides those that it has offered: any other ends the login.
const ALSO: [&str; 2] = ["TargetAlias", "TargetPortalGroupTag"];

/// Its ISID has a number of the session in it, which is another after the next boot.
fn dial(lab: &Lab, session: u8) -> Initiator {
    connect(lab.address, NAME, [0x00, 0x02, 0x3d, 0, 0, session], 1)
}

fn with_method(method: &str) -> Vec<&str> {
    [&WHO[..], &[method]].concat()
}

#[track_caller]
fn negotiate(host: &mut Initiator) -> Heard {
    let heard = host.enter(OPERATIONAL_TO_FULL, &OFFERS);
    for (key, value) in MUST {
        assert!(heard.get(key).is_none_or(|answer| answer == value), "{key}: {:?}", heard.get(key));
    }
    let known: Vec<&str> = OFFERS.iter().map(|offer| offer.split_once('=').unwrap().0).chain(ALSO).collect();
    for (key, value) in &heard.keys {
        assert!(known.contains(&key.as_str()), "it gives up at {key}={value}");
    }
    heard
}

fn boot(lab: &Lab, session: u8) -> Initiator {
    let mut host = dial(lab, session);
    let heard = host.say(SECURITY_TO_OPERATIONAL, &with_method("AuthMethod=None"));
    assert_eq!((heard.status(), heard.flags()), (0, SECURITY_TO_OPERATIONAL));
    negotiate(&mut host);
    host
}

fn guarded() -> Lab {
    let users = vec![USER.into()];
    let authentication = Authentication::Chap { users, own: None };
    let target = Target { authentication, ..open_target("disk", MemoryVolume::new(1 << 20)) };
    Lab::with(vec![target], vec![User { name: USER.into(), secret: SECRET.into() }], Limits::default())
}

#[test]
fn open_iscsi_logs_in_with_its_defaults_and_hears_no_key_that_it_does_not_know() {
    let lab = open_lab();
    let mut host = boot(&lab, 1);
    assert!(host.terms.immediate_data && !host.terms.initial_r2t, "its data may go unasked");
    host.become_ready(0, 4);
    let data: Vec<u8> = (0..2048 * BLOCK).map(|at| (at / 5) as u8).collect();
    host.run(&Scsi::write(0, &data)).good();
    assert_same(&host.run(&Scsi::read(0, 2048)).good(), &data);
}

#[test]
fn open_iscsi_fills_its_queue_of_32_while_the_disk_is_stuck() {
    let volume = held(1 << 20);
    let lab = Lab::new(vec![open_target("disk", Arc::clone(&volume))]);
    let mut host = boot(&lab, 1);
    host.become_ready(0, 4);
    volume.hold(Operation::Write);
    // None of them ends, so that only its pings tell it that the window has become wider.
    let mut start = |lba| {
        host.check_alive();
        host.start(&Scsi::write(lba, &block(lba as u8)))
    };
    let tags: Vec<u32> = (0..32).map(&mut start).collect();
    assert!(volume.await_waiting(1, PATIENCE));
    volume.release_all();
    for tag in tags {
        host.finish(tag).good();
    }
    for lba in 0..32 {
        assert_eq!(host.run(&Scsi::read(lba, 1)).good(), block(lba as u8));
    }
}

#[test]
fn open_iscsi_that_pings_while_an_fsync_takes_long_is_answered_each_time() {
    let volume = held(1 << 20);
    let lab = Lab::new(vec![open_target("disk", Arc::clone(&volume))]);
    let mut host = boot(&lab, 1);
    host.become_ready(0, 4);
    host.run(&Scsi::write(0, &block(1))).good();
    volume.hold(Operation::Flush);
    let fsync = host.start(&Scsi::flush());
    assert!(volume.await_waiting(1, PATIENCE));
    for _ in 0..6 {
        host.check_alive();
    }
    assert!(!host.has_ended(fsync), "nothing is acknowledged that does not last yet");
    volume.release_all();
    host.finish(fsync).good();
}

#[test]
fn open_iscsi_climbs_its_ladder_from_abort_to_login_while_the_disk_is_stuck() {
    let volume = held(1 << 20);
    let lab = Lab::new(vec![open_target("disk", Arc::clone(&volume))]);
    let mut host = boot(&lab, 1);
    host.become_ready(0, 4);
    volume.hold(Operation::Write);
    let tag = host.start(&Scsi::write(3, &block(1)));
    assert!(volume.await_waiting(1, PATIENCE));
    let number = host.cmd_sn.wrapping_sub(1);
    assert_eq!(host.manage(ABORT_TASK, tag, number), COMPLETE);
    assert_eq!(host.manage(LOGICAL_UNIT_RESET, 0, 0), COMPLETE);
    assert_eq!(host.manage(TARGET_WARM_RESET, 0, 0), COMPLETE);
    let mut again = boot(&lab, 1);
    host.await_close();
    again.check_alive();
    volume.release_all();
    again.become_ready(0, 8);
    again.run(&Scsi::write(3, &block(2))).good();
    assert_eq!(again.run(&Scsi::read(3, 1)).good(), block(2), "what was aborted comes not after it");
}

#[test]
fn open_iscsi_with_another_isid_after_a_boot_gets_a_session_beside_the_old_one() {
    let lab = open_lab();
    let mut before = boot(&lab, 1);
    before.become_ready(0, 4);
    let mut after = boot(&lab, 2);
    after.become_ready(0, 4);
    after.run(&Scsi::write(0, &block(2))).good();
    // It is another port: nothing of the old one is in its way, which may live, too.
    before.check_alive();
    assert_eq!(lab.server().sessions().len(), 2);
}

#[test]
fn open_iscsi_offers_lists_of_chap_algorithms_of_which_the_first_known_one_is_taken() {
    let lab = guarded();
    for (algorithms, chosen) in [("5", "5"), ("7,5", "7"), ("8,7,6,5", "8"), ("6,5", "6")] {
        let mut host = dial(&lab, 1);
        let heard = host.say(SECURITY_THEN_OPERATIONAL, &with_method("AuthMethod=CHAP"));
        assert_eq!((heard.status(), heard.get("AuthMethod")), (0, Some("CHAP")));
        let heard = host.say(SECURITY_THEN_OPERATIONAL, &[&format!("CHAP_A={algorithms}")]);
        assert_eq!((heard.status(), heard.get("CHAP_A")), (0, Some(chosen)), "of {algorithms}");
        let proof = format!("CHAP_R={}", heard.chap_response(SECRET));
        let heard = host.say(SECURITY_TO_OPERATIONAL, &[&format!("CHAP_N={USER}"), &proof]);
        assert_eq!((heard.status(), heard.flags()), (0, SECURITY_TO_OPERATIONAL));
        negotiate(&mut host);
        host.become_ready(0, 4);
    }
}

#[test]
fn open_iscsi_that_retries_a_missing_target_for_ever_is_told_not_found_each_time() {
    let lab = open_lab();
    let mut keys = with_method("AuthMethod=None");
    keys[2] = "TargetName=iqn.2026-01.org.example:missing";
    for _ in 0..50 {
        let mut host = dial(&lab, 1);
        assert_eq!(host.say(SECURITY_TO_OPERATIONAL, &keys).status(), NO_SUCH_TARGET);
        host.await_close();
    }
    boot(&lab, 1).become_ready(0, 4);
    assert_eq!(lab.server().sessions().len(), 1, "nothing is left of the others");
}
