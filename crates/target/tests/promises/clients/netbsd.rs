//! NetBSD's initiator (NetBSD/src: sys/dev/iscsi/iscsi_text.c, iscsi_send.c): it takes numbers, `Yes`, `No` and one
//! digest for answers to what it has offered, and nothing else; its proofs are in base64; it offers error recovery
//! level 2.

use timedisk_iscsi::chap;
use timedisk_iscsi::encoding::{decode, encode_base64, encode_hex};
use timedisk_target::{Authentication, Limits, Target, User};
use timedisk_volume::MemoryVolume;

use super::script::{Heard, OPERATIONAL_TO_FULL, SECURITY, SECURITY_TO_OPERATIONAL, connect, open_lab};
use crate::wire::{BLOCK, Initiator, Lab, Scsi, block, open_target};

const NAME: &str = "iqn.1994-04.org.netbsd:iscsi.host:0";
const USER: &str = "host";
const SECRET: &str = "secret of this host";

/// On a first connection, by default.
const OFFERS: [&str; 6] = [
    "HeaderDigest=None,CRC32C",
    "DataDigest=None,CRC32C",
    "MaxRecvDataSegmentLength=65536",
    "ErrorRecoveryLevel=2",
    "InitialR2T=No",
    "ImmediateData=Yes",
];

/// What it can read as the value of a key that it knows.
#[derive(Clone, Copy)]
enum Value {
    Number,
    YesOrNo,
    Digest,
    Word,
}

const KNOWN: [(&str, Value); 20] = [
    ("AuthMethod", Value::Word),
    ("DataDigest", Value::Digest),
    ("DataPDUInOrder", Value::YesOrNo),
    ("DataSequenceInOrder", Value::YesOrNo),
    ("DefaultTime2Retain", Value::Number),
    ("DefaultTime2Wait", Value::Number),
    ("ErrorRecoveryLevel", Value::Number),
    ("FirstBurstLength", Value::Number),
    ("HeaderDigest", Value::Digest),
    ("IFMarker", Value::YesOrNo),
    ("ImmediateData", Value::YesOrNo),
    ("InitialR2T", Value::YesOrNo),
    ("MaxBurstLength", Value::Number),
    ("MaxConnections", Value::Number),
    ("MaxOutstandingR2T", Value::Number),
    ("MaxRecvDataSegmentLength", Value::Number),
    ("OFMarker", Value::YesOrNo),
    ("TargetAddress", Value::Word),
    ("TargetAlias", Value::Word),
    ("TargetPortalGroupTag", Value::Number),
];

/// It would end the login at a value that it can't read.
#[track_caller]
fn can_be_read(heard: &Heard) {
    for (key, value) in heard.keys.iter().filter(|(key, _)| !key.starts_with("CHAP_")) {
        let Some((_, kind)) = KNOWN.iter().find(|(known, _)| known == key) else {
            panic!("it has not offered {key}={value}, and would have to answer");
        };
        let is_readable = match kind {
            Value::Number => value.parse::<u32>().is_ok(),
            Value::YesOrNo => ["Yes", "No"].contains(&value.as_str()),
            Value::Digest => ["None", "CRC32C"].contains(&value.as_str()),
            Value::Word => value.len() <= 255,
        };
        assert!(is_readable, "it gives up at {key}={value}");
    }
}

fn dial(lab: &Lab) -> Initiator {
    connect(lab.address, NAME, [0x40, 0x00, 0x37, 0x00, 0x00, 0x01], 1)
}

fn first(host: &mut Initiator, flags: u8, methods: &str) -> Heard {
    let (who, method) = (format!("InitiatorName={NAME}"), format!("AuthMethod={methods}"));
    let heard =
        host.say(flags, &[&who, "SessionType=Normal", &method, "TargetName=iqn.2026-01.org.example:disk"]);
    assert_eq!(heard.status(), 0);
    can_be_read(&heard);
    heard
}

fn negotiate(host: &mut Initiator, more: &[&str]) -> Heard {
    let heard = host.enter(OPERATIONAL_TO_FULL, &[&OFFERS[..], more].concat());
    can_be_read(&heard);
    heard
}

fn guarded(own: Option<User>) -> Lab {
    let users = vec![USER.into()];
    let authentication = Authentication::Chap { users, own };
    let target = Target { authentication, ..open_target("disk", MemoryVolume::new(1 << 20)) };
    Lab::with(vec![target], vec![User { name: USER.into(), secret: SECRET.into() }], Limits::default())
}

/// As far as its proof, which it sends in base64.
fn prove(host: &mut Initiator, flags: u8, keys: &[&str]) -> Heard {
    let heard = first(host, SECURITY, "CHAP");
    assert_eq!((heard.flags(), heard.get("AuthMethod")), (0, Some("CHAP")));
    let heard = host.say(SECURITY, &["CHAP_A=5"]);
    assert_eq!((heard.flags(), heard.get("CHAP_A")), (0, Some("5")));
    let challenge = decode(heard.get("CHAP_C").unwrap(), 1024).unwrap();
    let identifier = heard.get("CHAP_I").unwrap().parse().unwrap();
    let response = chap::choose("5").unwrap().response(identifier, SECRET.as_bytes(), &challenge);
    let (user, proof) = (format!("CHAP_N={USER}"), format!("CHAP_R={}", encode_base64(&response)));
    host.say(flags, &[&[&*user, &proof], keys].concat())
}

#[test]
fn netbsd_can_read_each_answer_to_its_login() {
    let lab = open_lab();
    let mut host = dial(&lab);
    let heard = first(&mut host, SECURITY_TO_OPERATIONAL, "None");
    assert_eq!(heard.flags(), SECURITY_TO_OPERATIONAL);
    negotiate(&mut host, &[]);
    assert!(host.terms.immediate_data && !host.terms.initial_r2t, "its data may go unasked");
    host.become_ready(0, 4);
    let data: Vec<u8> = (0..256 * BLOCK).map(|at| (at / 9) as u8).collect();
    host.run(&Scsi::write(0, &data)).good();
    assert!(host.run(&Scsi::read(0, 256)).good() == data);
}

#[test]
fn netbsd_with_all_that_can_be_configured_can_read_each_answer() {
    let lab = open_lab();
    for (connections, wait, retain) in [("1", "0", "0"), ("4", "2", "20"), ("65535", "3600", "3600")] {
        let mut host = dial(&lab);
        first(&mut host, SECURITY_TO_OPERATIONAL, "None");
        let more =
            [("MaxConnections", connections), ("DefaultTime2Wait", wait), ("DefaultTime2Retain", retain)];
        let more: Vec<String> = more.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let heard = negotiate(&mut host, &more);
        let level: u32 = heard.get("ErrorRecoveryLevel").expect("an answer").parse().unwrap();
        assert!(level <= 2);
        host.become_ready(0, 4);
    }
}

#[test]
fn netbsd_that_wants_digests_gets_one_of_its_list_and_they_hold() {
    let lab = open_lab();
    let mut host = dial(&lab);
    first(&mut host, SECURITY_TO_OPERATIONAL, "None");
    let forced = ["HeaderDigest=CRC32C", "DataDigest=CRC32C"];
    let heard = host.enter(OPERATIONAL_TO_FULL, &[&forced[..], &OFFERS[2..]].concat());
    can_be_read(&heard);
    assert_eq!((heard.get("HeaderDigest"), heard.get("DataDigest")), (Some("CRC32C"), Some("CRC32C")));
    host.become_ready(0, 4);
    host.run(&Scsi::write(7, &block(9))).good();
    assert_eq!(host.run(&Scsi::read(7, 1)).good(), block(9));
}

#[test]
fn netbsd_proves_itself_in_base64() {
    let lab = guarded(None);
    let mut host = dial(&lab);
    let heard = prove(&mut host, SECURITY_TO_OPERATIONAL, &[]);
    assert_eq!((heard.status(), heard.flags()), (0, SECURITY_TO_OPERATIONAL));
    can_be_read(&heard);
    negotiate(&mut host, &[]);
    host.become_ready(0, 4);
}

#[test]
fn netbsd_that_wants_the_targets_proof_goes_on_by_an_empty_request_after_it() {
    let lab = guarded(Some(User { name: "the target".into(), secret: "secret of the target".into() }));
    let mut host = dial(&lab);
    let bytes: Vec<u8> = (100..132).collect();
    let challenge = format!("CHAP_C={}", encode_base64(&bytes));
    // It does not ask to go on while it waits for the proof.
    let heard = prove(&mut host, SECURITY, &["CHAP_I=200", &challenge]);
    assert_eq!((heard.status(), heard.flags()), (0, 0));
    let expected = chap::choose("5").unwrap().response(200, b"secret of the target", &bytes);
    assert_eq!(heard.get("CHAP_R"), Some(&*encode_hex(&expected)));
    let heard = host.say(SECURITY_TO_OPERATIONAL, &[]);
    assert_eq!((heard.status(), heard.flags()), (0, SECURITY_TO_OPERATIONAL));
    negotiate(&mut host, &[]);
    host.become_ready(0, 4);
}

#[test]
fn netbsd_without_a_method_of_its_own_is_refused_where_proof_is_wanted() {
    let lab = guarded(None);
    let mut host = dial(&lab);
    let who = format!("InitiatorName={NAME}");
    let keys = [&*who, "SessionType=Normal", "AuthMethod=None", "TargetName=iqn.2026-01.org.example:disk"];
    assert_eq!(host.say(SECURITY_TO_OPERATIONAL, &keys).status(), 0x0201);
}
