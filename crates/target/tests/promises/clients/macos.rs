//! Initiators of macOS. Of jherskovic/iSCSI (Sources/iSCSIKit: Negotiation, Session) and iscsi-osx/iSCSIInitiator
//! (Source/User/iscsid/iSCSISession.c) the words are from their sources; of globalSAN and ATTO's Xtend SAN, which are
//! closed, only what their users have told.

use std::time::Duration;

use timedisk_iscsi::full_feature::PingTimes;
use timedisk_iscsi::pdu::{NO_TAG, Response, layout};
use timedisk_target::Limits;
use timedisk_volume::{MemoryVolume, Operation};

use super::script::{
    Heard, OPERATIONAL_TO_FULL, SECURITY_TO_OPERATIONAL, capacity, connect, open_lab, read_page,
};
use crate::wire::{BLOCK, Initiator, Lab, PATIENCE, Scsi, block, held, open_target};

const NAME: &str = "iqn.2026-01.com.example:mac";
const TARGET: &str = "TargetName=iqn.2026-01.org.example:disk";

/// With FSKit, in user space: 1 MiB at once.
const FSKIT: [&str; 8] = [
    "HeaderDigest=CRC32C,None",
    "DataDigest=CRC32C,None",
    "MaxRecvDataSegmentLength=262144",
    "InitialR2T=No",
    "ImmediateData=Yes",
    "MaxBurstLength=1048576",
    "FirstBurstLength=1048576",
    "MaxOutstandingR2T=1",
];

/// Of the kernel extension: the standard's defaults, all of them.
const KEXT: [&str; 14] = [
    "HeaderDigest=None",
    "DataDigest=None",
    "MaxConnections=1",
    "InitialR2T=Yes",
    "ImmediateData=Yes",
    "MaxBurstLength=262144",
    "FirstBurstLength=65536",
    "MaxOutstandingR2T=1",
    "DataPDUInOrder=Yes",
    "DataSequenceInOrder=Yes",
    "DefaultTime2Wait=2",
    "DefaultTime2Retain=20",
    "ErrorRecoveryLevel=0",
    "MaxRecvDataSegmentLength=8192",
];

/// Without the answers to these it gives up.
const KEXT_NEEDS: [&str; 3] = ["DefaultTime2Wait", "DefaultTime2Retain", "ErrorRecoveryLevel"];

fn dial(lab: &Lab, session: u8) -> Initiator {
    connect(lab.address, NAME, [0x80, 0x11, 0x22, 0x33, 0x44, session], 0)
}

fn introduce(mac: &mut Initiator, keys: &[&str]) -> Heard {
    let who = format!("InitiatorName={NAME}");
    let heard = mac.say(SECURITY_TO_OPERATIONAL, &[&[&*who], keys].concat());
    assert_eq!((heard.status(), heard.flags()), (0, SECURITY_TO_OPERATIONAL));
    heard
}

fn fskit(lab: &Lab, session: u8) -> Initiator {
    let mut mac = dial(lab, session);
    let heard = introduce(&mut mac, &["SessionType=Normal", TARGET, "AuthMethod=None"]);
    let first = layout::LoginResponse::of(&heard.pdu.header).stat_sn.get();
    let heard = mac.enter(OPERATIONAL_TO_FULL, &FSKIT);
    let second = layout::LoginResponse::of(&heard.pdu.header).stat_sn.get();
    assert_eq!(second, first.wrapping_add(1), "else it takes it for a violation of the protocol");
    assert_eq!((heard.get("HeaderDigest"), heard.get("DataDigest")), (Some("CRC32C"), Some("CRC32C")));
    mac
}

fn kext(lab: &Lab) -> Initiator {
    let mut mac = dial(lab, 9);
    mac.answers_pings = false;
    introduce(&mut mac, &[TARGET, "SessionType=Normal", "AuthMethod=None"]);
    let heard = mac.enter(OPERATIONAL_TO_FULL, &KEXT);
    for key in KEXT_NEEDS {
        assert!(heard.get(key).is_some_and(|value| value.parse::<u16>().is_ok()), "{key} is not answered");
    }
    mac
}

/// WRITE(16) with FUA: no barrier of the file system reaches it, so that each write has to last.
fn durable(lba: u64, data: &[u8]) -> Scsi {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1]) = (0x8a, 0x08);
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    cdb[10..14].copy_from_slice(&((data.len() / BLOCK) as u32).to_be_bytes());
    Scsi::output(&cdb, data)
}

#[test]
fn fskit_logs_in_with_digests_and_a_mebibyte_at_once() {
    let lab = open_lab();
    let mut mac = fskit(&lab, 1);
    assert_eq!(mac.terms.max_burst_length, 1 << 20);
    // The first 256 KiB go unasked; the rest is asked for at once.
    assert_eq!(mac.terms.first_burst_length, 262_144);
    mac.become_ready(0, 4);
    let data: Vec<u8> = (0..2048 * BLOCK).map(|at| (at / 11) as u8).collect();
    mac.run(&durable(0, &data[..512 * BLOCK])).good();
    assert!(
        !mac.seen.contains(&(Response::ReadyToTransfer as u8)),
        "no round trip for what it mostly writes"
    );
    mac.run(&durable(0, &data)).good();
    assert!(mac.run(&Scsi::read(0, 2048)).good() == data);
}

#[test]
fn fskit_writes_with_fua_only_and_each_lasts_when_it_is_good() {
    let volume = held(1 << 20);
    let lab = Lab::new(vec![open_target("disk", std::sync::Arc::clone(&volume))]);
    let mut mac = fskit(&lab, 1);
    mac.become_ready(0, 4);
    let told = mac.run(&Scsi::input(&[0x1a, 0x08, 0x3f, 0, 255, 0], 255)).good();
    assert_eq!(told[2] & 0x90, 0x10, "DPOFUA, and not write protected");
    volume.hold(Operation::Flush);
    let tag = mac.start(&durable(4, &block(4)));
    assert!(volume.await_waiting(1, PATIENCE), "it is flushed");
    mac.check_alive();
    assert!(!mac.has_ended(tag), "and not good before that");
    volume.release_all();
    mac.finish(tag).good();
}

#[test]
fn fskit_reads_ahead_with_32_commands_in_flight() {
    let lab = open_lab();
    let mut mac = fskit(&lab, 1);
    mac.become_ready(0, 4);
    for lba in 0..256 {
        mac.run(&Scsi::write(lba, &block(lba as u8))).good();
    }
    let tags: Vec<u32> = (0..32).map(|at| mac.start(&Scsi::read(at * 8, 8))).collect();
    for (at, tag) in tags.into_iter().enumerate() {
        let found = mac.finish(tag).good();
        let blocks = found.chunks(BLOCK).enumerate();
        assert!(blocks.clone().all(|(index, found)| *found == block((at * 8 + index) as u8)));
    }
}

#[test]
fn fskit_opens_a_fresh_session_after_a_command_that_took_too_long() {
    let volume = held(1 << 20);
    let lab = Lab::new(vec![open_target("disk", std::sync::Arc::clone(&volume))]);
    let mut old = fskit(&lab, 1);
    old.become_ready(0, 4);
    volume.hold(Operation::Write);
    old.start(&Scsi::write(0, &block(1)));
    assert!(volume.await_waiting(1, PATIENCE));
    // Another ISID, while the old session still hangs; its connection is closed.
    drop(old);
    let mut new = fskit(&lab, 2);
    new.check_alive();
    volume.release_all();
    new.become_ready(0, 8);
    new.run(&durable(0, &block(2))).good();
    assert_eq!(new.run(&Scsi::read(0, 1)).good(), block(2));
}

#[test]
fn the_kernel_extension_is_answered_all_that_it_needs_and_asks_for_defaults() {
    let lab = open_lab();
    let mut mac = kext(&lab);
    mac.become_ready(0, 4);
    let data: Vec<u8> = (0..300 * BLOCK).map(|at| (at / 13) as u8).collect();
    mac.run(&Scsi::write(0, &data)).good();
    assert!(mac.run(&Scsi::read(0, 300)).good() == data);
}

#[test]
fn the_kernel_extension_that_never_answers_a_ping_keeps_its_disk() {
    let pings = PingTimes { idle: Duration::from_millis(200), patience: Duration::from_millis(500) };
    let targets = vec![open_target("disk", MemoryVolume::new(1 << 20))];
    let lab = Lab::with(targets, Vec::new(), Limits { pings, ..Limits::default() });
    let mut mac = kext(&lab);
    mac.become_ready(0, 4);
    for _ in 0..3 {
        let ping = mac.receive().unwrap();
        assert_eq!((ping.response(), ping.tag()), (Response::NopIn, NO_TAG));
    }
    mac.run(&Scsi::write(0, &block(1))).good();
    assert_eq!(mac.run(&Scsi::read(0, 1)).good(), block(1));
}

#[test]
fn the_kernel_extension_finds_its_disk_again_after_sleep() {
    let lab = open_lab();
    let mut mac = kext(&lab);
    mac.become_ready(0, 4);
    mac.run(&Scsi::write(0, &block(1))).good();
    mac.run(&Scsi::flush()).good();
    let serial = read_page(&mut mac, 0x80);
    // The Mac sleeps: nothing tells the server. It logs in again under the same ISID.
    let mut awake = kext(&lab);
    mac.await_close();
    awake.become_ready(0, 4);
    assert_eq!(read_page(&mut awake, 0x80), serial, "it is the same disk");
    assert_eq!(awake.run(&Scsi::read(0, 1)).good(), block(1));
    assert_eq!(lab.server().sessions().len(), 1, "and the old session is gone");
}

#[test]
fn closed_initiators_may_leave_out_the_session_type_or_always_send_it() {
    let lab = open_lab();
    for keys in [&[TARGET, "AuthMethod=None"][..], &["SessionType=Normal", TARGET, "AuthMethod=None"]] {
        let mut mac = dial(&lab, 3);
        introduce(&mut mac, keys);
        mac.enter(OPERATIONAL_TO_FULL, &KEXT[..2]);
        mac.become_ready(0, 4);
    }
    // Even with the operational keys of the last request.
    let mut mac = dial(&lab, 4);
    introduce(&mut mac, &[TARGET, "SessionType=Normal", "AuthMethod=None"]);
    let again = mac.say(OPERATIONAL_TO_FULL, &["SessionType=Normal", "ImmediateData=Yes"]);
    assert_eq!((again.status(), again.flags()), (0, OPERATIONAL_TO_FULL));
}

#[test]
fn macos_is_told_that_the_disk_is_not_removable_so_that_it_flushes() {
    let lab = open_lab();
    let mut mac = kext(&lab);
    mac.become_ready(0, 4);
    let inquiry = mac.run(&Scsi::inquiry()).good();
    assert_eq!(inquiry[1] & 0x80, 0, "RMB: macOS sends no SYNCHRONIZE CACHE to what can be taken out");
    assert_eq!(inquiry[0], 0, "a disk");
    mac.run(&Scsi::flush()).good();
    // As its block storage driver does: READ CAPACITY(10), and (16) for provisioning.
    mac.run(&Scsi::input(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8)).good();
    assert_eq!(capacity(&mut mac).1, BLOCK);
    // PREVENT ALLOW MEDIUM REMOVAL and START STOP UNIT end GOOD, or it would unmount.
    mac.run(&Scsi::none(&[0x1e, 0, 0, 0, 1, 0])).good();
    mac.run(&Scsi::none(&[0x1e, 0, 0, 0, 0, 0])).good();
    mac.run(&Scsi::none(&[0x1b, 0, 0, 0, 1, 0])).good();
}
