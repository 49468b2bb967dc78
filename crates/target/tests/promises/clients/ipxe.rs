//! iPXE, which boots machines from the network (ipxe/ipxe: src/net/tcp/iscsi.c, src/drivers/block/scsi.c). One command
//! at a time; it never answers a ping, and a `Reject` ends its login.

use std::time::{Duration, Instant};

use timedisk_iscsi::full_feature::PingTimes;
use timedisk_iscsi::pdu::{NO_TAG, Response, layout};
use timedisk_target::{Authentication, Limits, Target, User};
use timedisk_volume::{MemoryVolume, Operation};

use super::script::{OPERATIONAL_TO_FULL, SECURITY_TO_OPERATIONAL, connect, open_lab, whole, with_read_bit};
use crate::wire::{BLOCK, Initiator, Lab, PATIENCE, Scsi, full_name, held, open_target};

const NAME: &str = "InitiatorName=iqn.2010-04.org.ipxe:9d1a1c8e-0000-0000-0000-525400123456";
const TARGET: &str = "TargetName=iqn.2026-01.org.example:disk";
const NORMAL: &str = "SessionType=Normal";
const USER: &str = "boot";
const SECRET: &str = "boots this machine";
const READ: u8 = 0x28;
const WRITE: u8 = 0x2a;

/// All that it asks for, which are the standard's defaults but for the first data and the times.
const OFFERS: [&str; 14] = [
    "HeaderDigest=None",
    "DataDigest=None",
    "MaxConnections=1",
    "InitialR2T=Yes",
    "ImmediateData=No",
    "MaxRecvDataSegmentLength=8192",
    "MaxBurstLength=262144",
    "FirstBurstLength=65536",
    "DefaultTime2Wait=0",
    "DefaultTime2Retain=0",
    "MaxOutstandingR2T=1",
    "DataPDUInOrder=Yes",
    "DataSequenceInOrder=Yes",
    "ErrorRecoveryLevel=0",
];

/// The ISID has the enterprise number of Fen Systems, and two random bytes.
fn dial(lab: &Lab, random: u16) -> Initiator {
    let [high, low] = random.to_be_bytes();
    let name = NAME.strip_prefix("InitiatorName=").unwrap();
    let mut ipxe = connect(lab.address, name, [0x40, 0x00, 0x27, 0x23, high, low], 0);
    ipxe.answers_pings = false;
    ipxe
}

/// Without a secret.
fn boot(lab: &Lab, random: u16) -> Initiator {
    let mut ipxe = dial(lab, random);
    let heard = ipxe.say(SECURITY_TO_OPERATIONAL, &[NAME, TARGET, NORMAL, "AuthMethod=None"]);
    assert_eq!((heard.status(), heard.flags()), (0, SECURITY_TO_OPERATIONAL));
    assert_eq!(heard.get("AuthMethod"), Some("None"));
    let heard = ipxe.enter(OPERATIONAL_TO_FULL, &OFFERS);
    assert!(heard.keys.iter().all(|(_, value)| value != "Reject"), "it would give up: {:?}", heard.keys);
    ipxe
}

fn guarded(own: Option<User>) -> Lab {
    let users = vec![USER.into()];
    let target = Target {
        authentication: Authentication::Chap { users, own },
        ..open_target("disk", MemoryVolume::new(1 << 20))
    };
    let user = User { name: USER.into(), secret: SECRET.into() };
    Lab::with(vec![target], vec![user], Limits::default())
}

/// It asks to go on in each request, also where CHAP is not at its end. `keys` go with the proof.
fn prove(lab: &Lab, methods: &str, secret: &str, keys: &[&str]) -> Result<(Initiator, Vec<String>), u16> {
    let mut ipxe = dial(lab, 7);
    let methods = format!("AuthMethod={methods}");
    let heard = ipxe.say(SECURITY_TO_OPERATIONAL, &[NAME, TARGET, NORMAL, &methods]);
    assert_eq!((heard.flags(), heard.get("AuthMethod")), (0, Some("CHAP")), "CHAP comes first");
    let heard = ipxe.say(SECURITY_TO_OPERATIONAL, &["CHAP_A=5"]);
    assert_eq!((heard.flags(), heard.get("CHAP_A")), (0, Some("5")), "it knows no other hash");
    let (user, response) = (format!("CHAP_N={USER}"), format!("CHAP_R={}", heard.chap_response(secret)));
    let heard = ipxe.say(SECURITY_TO_OPERATIONAL, &[&[&*user, &response], keys].concat());
    if heard.status() != 0 {
        return Err(heard.status());
    }
    assert_eq!(heard.flags(), SECURITY_TO_OPERATIONAL);
    let shown = heard.keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
    ipxe.enter(OPERATIONAL_TO_FULL, &OFFERS);
    Ok((ipxe, shown))
}

fn ten(opcode: u8, lba: u32, count: u16) -> [u8; 10] {
    let mut cdb = [opcode, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    cdb[2..6].copy_from_slice(&lba.to_be_bytes());
    cdb[7..9].copy_from_slice(&count.to_be_bytes());
    cdb
}

fn read(lba: u32, count: u16) -> Scsi {
    Scsi { attribute: 1, ..Scsi::input(&ten(READ, lba, count), usize::from(count) * BLOCK) }
}

#[test]
fn ipxe_gets_each_value_that_it_asks_for_and_no_reject() {
    let lab = open_lab();
    let mut ipxe = dial(&lab, 1);
    ipxe.say(SECURITY_TO_OPERATIONAL, &[NAME, TARGET, NORMAL, "AuthMethod=None"]);
    let heard = ipxe.enter(OPERATIONAL_TO_FULL, &OFFERS);
    for offer in OFFERS {
        let (key, wanted) = offer.split_once('=').unwrap();
        match key {
            // A declaration of each side, and what the target may add to.
            "MaxRecvDataSegmentLength" => assert!(heard.get(key).is_some()),
            _ => assert_eq!(heard.get(key), Some(wanted), "{key}"),
        }
    }
    assert!(heard.keys.iter().all(|(_, value)| value != "Reject"));
    assert!(ipxe.terms.initial_r2t && !ipxe.terms.immediate_data);
}

#[test]
fn ipxe_boots_with_its_first_commands_one_at_a_time() {
    let lab = open_lab();
    let mut ipxe = boot(&lab, 2);
    assert_eq!(
        ipxe.become_ready(0, 10),
        [(0x06, 0x29, 0x00)],
        "one unit attention, which it tries again after"
    );
    let told =
        whole(ipxe.run(&Scsi { attribute: 1, ..Scsi::input(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8) }), 8);
    assert_eq!(told, [&4095u32.to_be_bytes()[..], &(BLOCK as u32).to_be_bytes()].concat());
    // Master boot record, partition table, and as much at once as MaxBurstLength is.
    for (lba, count) in [(0, 1), (1, 1), (2, 32), (0, 512)] {
        whole(ipxe.run(&read(lba, count)), usize::from(count) * BLOCK);
    }
}

#[test]
fn ipxe_reads_the_length_of_a_large_disk_by_read_capacity_16() {
    let blocks = 0x1_0000_0001u64;
    let lab = Lab::memory(blocks * BLOCK as u64);
    let mut ipxe = boot(&lab, 3);
    ipxe.become_ready(0, 10);
    let short = whole(ipxe.run(&Scsi::input(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8)), 8);
    assert_eq!(short[..4], [0xff; 4], "or it would take the disk for a smaller one");
    let mut cdb = [0; 16];
    (cdb[0], cdb[1], cdb[13]) = (0x9e, 0x10, 32);
    let long = whole(ipxe.run(&Scsi::input(&cdb, 32)), 32);
    assert_eq!(long[..8], (blocks - 1).to_be_bytes());
    // READ(16), beyond what READ(10) reaches.
    whole(ipxe.run(&Scsi::read(blocks - 1, 1)), BLOCK);
}

#[test]
fn ipxe_writes_what_it_is_asked_for_in_pieces_of_512_bytes() {
    let lab = open_lab();
    let mut ipxe = boot(&lab, 4);
    ipxe.become_ready(0, 10);
    // Whatever the target could take at once.
    ipxe.terms.max_recv_data_segment_length_target = 512;
    let data: Vec<u8> = (0..16 * BLOCK).map(|at| (at / 7) as u8).collect();
    ipxe.run(&Scsi { attribute: 1, ..Scsi::output(&ten(WRITE, 8, 16), &data) }).good();
    assert!(ipxe.seen.contains(&(Response::ReadyToTransfer as u8)), "it waits to be asked");
    assert_eq!(whole(ipxe.run(&read(8, 16)), data.len()), data);
}

#[test]
fn ipxe_with_a_secret_offers_chap_or_none_and_md5_only() {
    let lab = guarded(None);
    let (mut ipxe, _) = prove(&lab, "CHAP,None", SECRET, &[]).unwrap();
    ipxe.become_ready(0, 10);
    assert_eq!(prove(&lab, "CHAP,None", "not the secret", &[]).err(), Some(0x0201));
}

#[test]
fn ipxe_with_a_secret_that_nobody_asks_for_still_gets_in() {
    // Others prove who they are at other targets.
    let user = User { name: "somebody else".into(), secret: "somebody's secret".into() };
    let open = open_target("disk", MemoryVolume::new(1 << 20));
    let lab = Lab::with(vec![open], vec![user], Limits::default());
    let mut ipxe = dial(&lab, 5);
    let heard = ipxe.say(SECURITY_TO_OPERATIONAL, &[NAME, TARGET, NORMAL, "AuthMethod=CHAP,None"]);
    assert_eq!(heard.get("AuthMethod"), Some("None"), "the target knows no secret of its user");
    assert_eq!(heard.flags(), SECURITY_TO_OPERATIONAL);
    ipxe.enter(OPERATIONAL_TO_FULL, &OFFERS);
    ipxe.become_ready(0, 10);
}

#[test]
fn ipxe_believes_a_target_that_proves_itself_in_the_same_answer() {
    let own = User { name: "the target".into(), secret: "the target's secret".into() };
    let lab = guarded(Some(own));
    // An identifier and sixteen bytes.
    let challenge = "CHAP_C=0x000102030405060708090a0b0c0d0e0f";
    let (_, shown) = prove(&lab, "CHAP", SECRET, &["CHAP_I=200", challenge]).unwrap();
    let hash = timedisk_iscsi::chap::choose("5").unwrap();
    let bytes: Vec<u8> = (0..16).collect();
    let proof = timedisk_iscsi::encoding::encode_hex(&hash.response(200, b"the target's secret", &bytes));
    assert!(
        shown.contains(&"CHAP_N=the target".into()) && shown.contains(&format!("CHAP_R={proof}")),
        "{shown:?}"
    );
}

#[test]
fn ipxe_is_not_cut_off_for_never_answering_a_ping() {
    let pings = PingTimes { idle: Duration::from_millis(200), patience: Duration::from_millis(500) };
    let targets = || vec![open_target("disk", MemoryVolume::new(1 << 20))];
    let lab = Lab::with(targets(), Vec::new(), Limits { pings, ..Limits::default() });
    let mut ipxe = boot(&lab, 6);
    ipxe.become_ready(0, 10);
    for _ in 0..3 {
        let ping = ipxe.receive().unwrap();
        let header = layout::TextResponse::of(&ping.header);
        assert_eq!((ping.response(), ping.tag()), (Response::NopIn, NO_TAG));
        assert_ne!(header.target_transfer_tag.get(), NO_TAG, "it is asked to answer");
    }
    // Its next command, long after.
    whole(ipxe.run(&read(0, 1)), BLOCK);
    // Who has shown that it does answer is cut off when it does not.
    let mut other = lab.session("disk", &[]);
    let ping = other.receive().unwrap();
    let mut answer = other.ping(b"");
    answer.header[16..20].copy_from_slice(&NO_TAG.to_be_bytes());
    answer.header[20..24].copy_from_slice(&ping.header[20..24]);
    other.send(&answer);
    other.await_close();
}

#[test]
fn ipxe_that_dials_again_takes_its_place_at_once_while_its_old_command_hangs() {
    let volume = held(1 << 20);
    let lab = Lab::new(vec![open_target("disk", std::sync::Arc::clone(&volume))]);
    let mut old = boot(&lab, 8);
    old.become_ready(0, 10);
    volume.hold(Operation::Read);
    old.start(&read(0, 1));
    assert!(volume.await_waiting(1, PATIENCE));
    let began = Instant::now();
    let mut new = boot(&lab, 8);
    assert!(began.elapsed() < Duration::from_secs(2), "after {:?}", began.elapsed());
    old.await_close();
    volume.release_all();
    new.become_ready(0, 10);
    whole(new.run(&read(0, 1)), BLOCK);
    assert_eq!(lab.server().sessions().len(), 1);
}

#[test]
fn ipxe_gets_in_with_another_isid_while_its_old_connection_still_hangs() {
    let lab = open_lab();
    let mut old = boot(&lab, 9);
    old.become_ready(0, 10);
    // It takes a new ISID for each connection, so that its last one may be there a while.
    let mut new = boot(&lab, 10);
    new.become_ready(0, 10);
    whole(new.run(&read(0, 1)), BLOCK);
    old.check_alive();
}

#[test]
fn ipxe_of_old_leaves_out_what_has_defaults() {
    let lab = open_lab();
    for left_out in ["MaxConnections", "FirstBurstLength", "MaxBurstLength", "MaxRecvDataSegmentLength"] {
        let mut ipxe = dial(&lab, 11);
        ipxe.say(SECURITY_TO_OPERATIONAL, &[NAME, TARGET, NORMAL, "AuthMethod=None"]);
        let offers: Vec<&str> = OFFERS.into_iter().filter(|offer| !offer.starts_with(left_out)).collect();
        let heard = ipxe.enter(OPERATIONAL_TO_FULL, &offers);
        if left_out != "MaxRecvDataSegmentLength" {
            assert_eq!(heard.get(left_out), None, "what was not offered is not answered");
        }
        ipxe.become_ready(0, 10);
        whole(ipxe.run(&read(0, 64)), 64 * BLOCK);
        ipxe.run(&Scsi::output(&ten(WRITE, 0, 64), &[5; 64 * BLOCK])).good();
    }
}

#[test]
fn ipxe_is_told_what_it_got_of_a_command_that_moves_less_than_it_thinks() {
    let lab = open_lab();
    let mut ipxe = boot(&lab, 12);
    ipxe.become_ready(0, 10);
    let reply = ipxe.run(&with_read_bit(&[0; 6], 8));
    assert_eq!((reply.status, reply.flags, reply.residual), (0, 2, 8), "underflow of all");
    assert_eq!(lab.server().sessions()[0].target.as_deref(), Some(&*full_name("disk")));
}
