//! What initiators of every sort rely on, and where targets have failed them.

use std::sync::Arc;

use timedisk_target::{Authentication, Disk, Limits, Target, User};
use timedisk_volume::MemoryVolume;

use super::script::{
    Heard, OPERATIONAL_TO_FULL, SECURITY, SECURITY_TO_OPERATIONAL, number, open_lab, whole, with_read_bit,
};
use crate::wire::{BLOCK, Initiator, Lab, Scsi, assert_same, mount, open_target, unit};

const NAME: &str = "InitiatorName=iqn.2026-01.org.example:somebody";
const TARGET: &str = "TargetName=iqn.2026-01.org.example:disk";
const NORMAL: &str = "SessionType=Normal";
const UNIT_ATTENTION: u8 = 0x06;
const NO_SUCH_UNIT: (u8, u8, u8) = (0x05, 0x25, 0x00);
const INITIATOR_ERROR: u16 = 0x0200;

/// Each key that can be offered, with the protocol's default.
const DEFAULTS: [&str; 14] = [
    "HeaderDigest=None",
    "DataDigest=None",
    "MaxConnections=1",
    "InitialR2T=Yes",
    "ImmediateData=Yes",
    "MaxRecvDataSegmentLength=8192",
    "MaxBurstLength=262144",
    "FirstBurstLength=65536",
    "DefaultTime2Wait=2",
    "DefaultTime2Retain=20",
    "MaxOutstandingR2T=1",
    "DataPDUInOrder=Yes",
    "DataSequenceInOrder=Yes",
    "ErrorRecoveryLevel=0",
];

fn somebody(lab: &Lab) -> Initiator {
    Initiator::connect(lab.address)
}

/// One request, in the operational stage, with these keys besides the names.
fn log_in(lab: &Lab, keys: &[&str]) -> (Initiator, Heard) {
    let mut initiator = somebody(lab);
    let heard = initiator.enter(OPERATIONAL_TO_FULL, &[&[NAME, TARGET], keys].concat());
    (initiator, heard)
}

#[track_caller]
fn refused(lab: &Lab, keys: &[&str]) {
    let mut initiator = somebody(lab);
    let heard = initiator.say(OPERATIONAL_TO_FULL, &[&[NAME, TARGET, NORMAL], keys].concat());
    assert_eq!(heard.status(), INITIATOR_ERROR, "{keys:?}");
    initiator.await_close();
}

fn inquiry() -> Scsi {
    Scsi::inquiry()
}

fn report_luns() -> Scsi {
    Scsi::input(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0], 512)
}

fn request_sense() -> Scsi {
    Scsi::input(&[0x03, 0, 0, 0, 18, 0], 18)
}

/// The logical units that REPORT LUNS lists, asked at this one.
#[track_caller]
fn luns(initiator: &mut Initiator, at: u8) -> Vec<u8> {
    let data = initiator.run(&report_luns().at(at)).good();
    assert_eq!(number(&data[..4]) as usize, data.len() - 8);
    data[8..].chunks(8).map(|lun| lun[1]).collect()
}

/// A target whose one disk is at LUN 5.
fn without_lun_0() -> Lab {
    let disk = Disk::new("disk", unit("disk", MemoryVolume::new(1 << 20)));
    let mounts = vec![mount(5, &disk, |_| true)];
    Lab::new(vec![Target { mounts, ..open_target("disk", MemoryVolume::new(512)) }])
}

/// The three commands by which anybody finds out, at a disk that is there.
#[track_caller]
fn says_what_is_there(initiator: &mut Initiator) {
    assert_eq!(whole(initiator.run(&inquiry()), 36)[0], 0);
    assert_eq!(luns(initiator, 0), [0]);
    assert_eq!(whole(initiator.run(&request_sense()), 18)[0] & 0x7f, 0x70);
}

#[test]
fn lun_0_without_a_disk_says_so_and_lists_the_disks() {
    let lab = without_lun_0();
    let (mut initiator, _) = log_in(&lab, &[]);
    let told = whole(initiator.run(&inquiry()), 36);
    assert!([0x03, 0x01].contains(&(told[0] >> 5)), "qualifier 011b or 001b: {:#x}", told[0]);
    assert_eq!(luns(&mut initiator, 0), [5]);
    let sense = whole(initiator.run(&request_sense()), 18);
    assert_eq!((sense[2] & 0x0f, sense[12], sense[13]), NO_SUCH_UNIT);
    assert_eq!(initiator.run(&Scsi::test_unit_ready()).condition(), NO_SUCH_UNIT);
    initiator.become_ready(5, 4);
}

#[test]
fn an_unknown_logical_unit_answers_the_three_commands_that_find_out() {
    let lab = open_lab();
    let (mut initiator, _) = log_in(&lab, &[]);
    for lun in [1, 9, 255] {
        assert_eq!(whole(initiator.run(&inquiry().at(lun)), 36)[0], 0x7f);
        assert_eq!(luns(&mut initiator, lun), [0]);
        let sense = whole(initiator.run(&request_sense().at(lun)), 18);
        assert_eq!((sense[2] & 0x0f, sense[12], sense[13]), NO_SUCH_UNIT);
        for command in [
            Scsi::test_unit_ready(),
            Scsi::read(0, 1),
            Scsi::write(0, &[0; BLOCK]),
            with_read_bit(&[0; 6], 4),
        ] {
            assert_eq!(initiator.run(&command.at(lun)).condition(), NO_SUCH_UNIT);
        }
    }
}

#[test]
fn a_unit_attention_waits_while_somebody_finds_out_what_is_there() {
    let lab = open_lab();
    let (mut initiator, _) = log_in(&lab, &[]);
    assert_eq!(whole(initiator.run(&inquiry()), 36)[0], 0);
    assert_eq!(luns(&mut initiator, 0), [0]);
    let told = initiator.run(&Scsi::test_unit_ready()).condition();
    assert_eq!(told.0, UNIT_ATTENTION, "it was not lost on the way");
    initiator.run(&Scsi::test_unit_ready()).good();
    // REQUEST SENSE takes it.
    let (mut other, _) = log_in(&lab, &[]);
    let sense = whole(other.run(&request_sense()), 18);
    assert_eq!((sense[2] & 0x0f, sense[12]), (UNIT_ATTENTION, 0x29));
    other.run(&Scsi::test_unit_ready()).good();
}

#[test]
fn a_reservation_keeps_nobody_from_finding_out_what_is_there() {
    let lab = open_lab();
    let (mut holder, _) = log_in(&lab, &[]);
    let (mut other, _) = log_in(&lab, &[]);
    holder.become_ready(0, 4);
    other.become_ready(0, 4);
    holder.run(&Scsi::none(&[0x16, 0, 0, 0, 0, 0])).good();
    assert_eq!(other.run(&Scsi::read(0, 1)).status, 0x18);
    says_what_is_there(&mut other);
    holder.run(&Scsi::none(&[0x17, 0, 0, 0, 0, 0])).good();
    let change = |action: u8, kind: u8, key: u64, new: u64| {
        let list = [&key.to_be_bytes()[..], &new.to_be_bytes(), &[0; 8]].concat();
        Scsi::output(&[0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0], &list)
    };
    holder.run(&change(0, 0, 0, 7)).good();
    // Exclusive access.
    holder.run(&change(1, 3, 7, 0)).good();
    assert_eq!(other.run(&Scsi::read(0, 1)).status, 0x18);
    says_what_is_there(&mut other);
}

#[test]
fn who_leaves_out_the_session_type_gets_a_normal_session() {
    let lab = open_lab();
    let mut initiator = somebody(&lab);
    initiator.say(SECURITY_TO_OPERATIONAL, &[NAME, TARGET, "AuthMethod=None"]);
    initiator.enter(OPERATIONAL_TO_FULL, &DEFAULTS);
    initiator.become_ready(0, 4);
    assert!(lab.server().sessions()[0].target.is_some());
}

#[test]
fn who_offers_nothing_gets_the_protocols_defaults() {
    let lab = open_lab();
    let (mut initiator, heard) = log_in(&lab, &[]);
    for offer in DEFAULTS {
        let (key, _) = offer.split_once('=').unwrap();
        let own = key == "MaxRecvDataSegmentLength";
        assert_eq!(heard.get(key).is_some(), own, "{key}: what was not offered is not answered");
    }
    initiator.become_ready(0, 4);
    // The harness holds each PDU against what was settled, and that is the defaults.
    assert!(initiator.terms.initial_r2t && initiator.terms.immediate_data);
    assert_eq!((initiator.terms.max_burst_length, initiator.terms.first_burst_length), (262_144, 65_536));
    let data: Vec<u8> = (0..1024 * BLOCK).map(|at| (at / 11) as u8).collect();
    initiator.run(&Scsi::write(0, &data)).good();
    assert_same(&initiator.run(&Scsi::read(0, 1024)).good(), &data);
}

#[test]
fn each_key_may_be_left_out_by_itself() {
    let lab = open_lab();
    for left_out in DEFAULTS {
        let offers: Vec<&str> = DEFAULTS.into_iter().filter(|offer| *offer != left_out).collect();
        let (mut initiator, heard) = log_in(&lab, &[&[NORMAL], &offers[..]].concat());
        assert!(heard.keys.iter().all(|(_, value)| !["Reject", "Irrelevant"].contains(&value.as_str())));
        initiator.become_ready(0, 4);
        initiator.run(&Scsi::write(0, &[3; 512 * BLOCK])).good();
        assert_same(&initiator.run(&Scsi::read(0, 512)).good(), &[3; 512 * BLOCK]);
    }
}

#[test]
fn a_declaration_may_be_repeated_word_for_word() {
    let lab = open_lab();
    let declared = [NAME, TARGET, NORMAL, "InitiatorAlias=me", "MaxRecvDataSegmentLength=16384"];
    for again in declared {
        let (mut initiator, _) =
            log_in(&lab, &[NORMAL, "InitiatorAlias=me", "MaxRecvDataSegmentLength=16384", again]);
        initiator.become_ready(0, 4);
        assert_eq!(initiator.terms.max_recv_data_segment_length_initiator, 16384);
    }
    // And in the next request, as some initiators do with their names.
    let mut initiator = somebody(&lab);
    initiator.say(SECURITY_TO_OPERATIONAL, &[NAME, TARGET, NORMAL, "AuthMethod=None"]);
    initiator.enter(OPERATIONAL_TO_FULL, &[NAME, TARGET, NORMAL]);
    initiator.become_ready(0, 4);
}

#[test]
fn a_declaration_that_says_something_else_is_refused() {
    let lab = open_lab();
    let changed = [
        "InitiatorName=iqn.2026-01.org.example:somebody-else",
        "TargetName=iqn.2026-01.org.example:other",
        "SessionType=Discovery",
        "MaxRecvDataSegmentLength=8192",
    ];
    for again in changed {
        refused(&lab, &["MaxRecvDataSegmentLength=16384", again]);
    }
}

#[test]
fn an_offer_that_comes_twice_is_refused() {
    let lab = open_lab();
    for offer in ["HeaderDigest=None", "ImmediateData=Yes", "MaxBurstLength=262144"] {
        refused(&lab, &[offer, offer]);
    }
}

#[test]
fn a_key_that_nobody_knows_is_not_understood_and_the_login_goes_on() {
    let lab = open_lab();
    let longest = format!("X-com.example.{}", "k".repeat(63 - 14));
    let unknown = ["X-com.example.colour", "X-com.microsoft.something", "FutureKey", &longest];
    let offers: Vec<String> = unknown.iter().map(|key| format!("{key}=1")).collect();
    let (mut initiator, heard) = log_in(&lab, &offers.iter().map(String::as_str).collect::<Vec<_>>());
    for key in unknown {
        assert_eq!(heard.get(key), Some("NotUnderstood"), "{key}");
    }
    initiator.become_ready(0, 4);
    // And within bounds: a name or a value that is longer than any may be.
    refused(&lab, &[&format!("{longest}k=1")]);
}

#[test]
fn markers_are_declined_in_words_that_old_initiators_know() {
    let lab = open_lab();
    for offer in ["Yes", "No"] {
        let keys = [format!("IFMarker={offer}"), format!("OFMarker={offer}")];
        let intervals = ["IFMarkInt=2048~8192", "OFMarkInt=2048~8192"];
        let (mut initiator, heard) = log_in(&lab, &[NORMAL, &keys[0], &keys[1], intervals[0], intervals[1]]);
        for key in ["IFMarker", "OFMarker"] {
            assert!(["No", "Reject"].contains(&heard.get(key).unwrap()), "{key}={:?}", heard.get(key));
        }
        for key in ["IFMarkInt", "OFMarkInt"] {
            assert_eq!(heard.get(key), Some("Reject"), "{key}");
        }
        initiator.become_ready(0, 4);
    }
}

/// A target for somebody who proves it.
fn guarded() -> Lab {
    let users = vec!["somebody".into()];
    let target = Target {
        authentication: Authentication::Chap { users, own: None },
        ..open_target("disk", MemoryVolume::new(1 << 20))
    };
    let user = User { name: "somebody".into(), secret: "somebody's secret".into() };
    Lab::with(vec![target], vec![user], Limits::default())
}

#[test]
fn a_method_is_chosen_by_what_the_target_needs_in_whatever_order_it_is_offered() {
    for (lab, method) in [(guarded(), "CHAP"), (open_lab(), "None")] {
        for offer in ["CHAP,None", "None,CHAP", "KRB5,CHAP,SRP,None", method] {
            let heard = somebody(&lab).say(SECURITY, &[NAME, TARGET, NORMAL, &format!("AuthMethod={offer}")]);
            assert_eq!((heard.status(), heard.get("AuthMethod")), (0, Some(method)), "{offer}");
        }
    }
}

#[test]
fn a_challenge_is_no_longer_than_old_initiators_hash() {
    let lab = guarded();
    let mut seen = Vec::new();
    for algorithm in ["5", "6", "7", "8"] {
        let mut initiator = somebody(&lab);
        initiator.say(SECURITY, &[NAME, TARGET, NORMAL, "AuthMethod=CHAP"]);
        let heard = initiator.say(SECURITY, &[&format!("CHAP_A={algorithm}")]);
        let challenge = timedisk_iscsi::encoding::decode(heard.get("CHAP_C").unwrap(), 1024).unwrap();
        assert!((16..=128).contains(&challenge.len()), "{} bytes", challenge.len());
        seen.push(challenge);
    }
    assert!(seen.iter().enumerate().all(|(at, one)| !seen[..at].contains(one)), "and each time another");
}

#[test]
fn a_target_whose_disks_are_all_gone_still_says_so() {
    let lab = open_lab();
    let (mut initiator, _) = log_in(&lab, &[]);
    initiator.become_ready(0, 4);
    let disk = Disk::new("far", unit("far", MemoryVolume::new(1 << 20)));
    let mounts = vec![mount(7, &Arc::clone(&disk), |_| true)];
    let targets = vec![Target { mounts, ..open_target("disk", MemoryVolume::new(512)) }];
    lab.server().exchange(timedisk_target::Catalogue { targets, ..Default::default() });
    while luns(&mut initiator, 0) != [7] {
        std::thread::yield_now();
    }
    let told = whole(initiator.run(&inquiry()), 36);
    assert!([0x03, 0x01].contains(&(told[0] >> 5)), "{:#x}", told[0]);
    initiator.become_ready(7, 4);
}
