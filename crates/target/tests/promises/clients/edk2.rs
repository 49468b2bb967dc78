//! IScsiDxe, the initiator of UEFI firmware (tianocore/edk2: NetworkPkg/IScsiDxe, MdeModulePkg/Bus/Scsi). It checks
//! numbers that others never look at, and gives up at a key that it does not expect.

use std::time::Duration;

use timedisk_iscsi::full_feature::PingTimes;
use timedisk_iscsi::pdu::{NO_TAG, Response, layout};
use timedisk_target::{Authentication, Limits, Target, User};
use timedisk_volume::MemoryVolume;

use super::script::{
    Heard, OPERATIONAL_TO_FULL, SECURITY, SECURITY_THEN_OPERATIONAL, SECURITY_TO_OPERATIONAL, connect,
    open_lab, whole,
};
use crate::wire::{BLOCK, Initiator, Lab, Scsi, open_target};

const WHO: [&str; 3] = [
    "InitiatorName=iqn.1991-05.com.microsoft:edk2",
    "SessionType=Normal",
    "TargetName=iqn.2026-01.org.example:disk",
];
const USER: &str = "firmware";
const SECRET: &str = "sixteen byte key";

/// Its parameters, as the protocol's defaults are but for InitialR2T.
const OFFERS: [&str; 14] = [
    "HeaderDigest=None",
    "DataDigest=None",
    "ErrorRecoveryLevel=0",
    "InitialR2T=No",
    "ImmediateData=Yes",
    "MaxRecvDataSegmentLength=65536",
    "MaxBurstLength=262144",
    "FirstBurstLength=65536",
    "MaxConnections=1",
    "DataPDUInOrder=Yes",
    "DataSequenceInOrder=Yes",
    "DefaultTime2Wait=2",
    "DefaultTime2Retain=20",
    "MaxOutstandingR2T=1",
];

/// Keys that its answer may have besides those that it has offered.
const ALSO: [&str; 3] = ["SessionType", "TargetAlias", "TargetPortalGroupTag"];

/// Its ISID has the network card's address.
fn dial(lab: &Lab) -> Initiator {
    let name = WHO[0].strip_prefix("InitiatorName=").unwrap();
    let mut edk2 = connect(lab.address, name, [0x00, 0x52, 0x54, 0x00, 0x12, 0x34], 1);
    edk2.answers_pings = false;
    edk2
}

fn with_method(method: &str) -> Vec<&str> {
    [&WHO[..], &[method]].concat()
}

/// The operational stage, whose answer has to be as it checks it.
#[track_caller]
fn negotiate(edk2: &mut Initiator) -> Heard {
    let heard = edk2.enter(OPERATIONAL_TO_FULL, &OFFERS);
    for offer in OFFERS {
        let (key, wanted) = offer.split_once('=').unwrap();
        let value = heard.get(key).unwrap_or_else(|| panic!("{key} has to be answered"));
        let (number, most) = (value.parse::<u32>(), wanted.parse::<u32>());
        match (key, number, most) {
            ("MaxRecvDataSegmentLength", ..) => {}
            ("DefaultTime2Wait", Ok(number), Ok(least)) => assert!(number >= least && number <= 3600),
            (_, Ok(number), Ok(most)) => assert!(number <= most, "{key}={number}"),
            _ => assert!(["Yes", "No", "None"].contains(&value), "{key}={value}"),
        }
    }
    let known: Vec<&str> = OFFERS.iter().map(|offer| offer.split_once('=').unwrap().0).chain(ALSO).collect();
    for (key, value) in &heard.keys {
        assert!(known.contains(&key.as_str()), "it gives up at {key}={value}");
    }
    heard
}

fn boot(lab: &Lab) -> Initiator {
    let mut edk2 = dial(lab);
    let heard = edk2.say(SECURITY_TO_OPERATIONAL, &with_method("AuthMethod=None"));
    assert_eq!((heard.status(), heard.flags()), (0, SECURITY_TO_OPERATIONAL));
    let begun = layout::LoginResponse::of(&heard.pdu.header);
    assert_eq!(begun.exp_cmd_sn.get(), 1, "the number that it begins with");
    assert_eq!(begun.initiator_task_tag.get(), 1);
    assert!(
        heard.get("TargetPortalGroupTag").unwrap().parse::<u16>().is_ok(),
        "asked for in the first answer"
    );
    assert_eq!(heard.get("AuthMethod"), Some("None"));
    negotiate(&mut edk2);
    edk2
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

/// It says where it wants to go, but T only with its proof: T of the answer before would be an error to it.
fn prove(lab: &Lab, algorithms: &str, more: &[&str]) -> (Initiator, Heard) {
    let mut edk2 = dial(lab);
    let heard = edk2.say(SECURITY_THEN_OPERATIONAL, &with_method("AuthMethod=CHAP"));
    assert_eq!((heard.status(), heard.flags() & 0x8c), (0, SECURITY));
    assert_eq!(heard.get("AuthMethod"), Some("CHAP"));
    let heard = edk2.say(SECURITY_THEN_OPERATIONAL, &[&format!("CHAP_A={algorithms}")]);
    assert_eq!((heard.status(), heard.flags() & 0x8c), (0, SECURITY));
    assert_eq!(heard.get("CHAP_A"), algorithms.split(',').next(), "what it likes best");
    assert!(heard.get("CHAP_C").unwrap().starts_with("0x"), "it reads hexadecimal only");
    let (user, proof) = (format!("CHAP_N={USER}"), format!("CHAP_R={}", heard.chap_response(SECRET)));
    let heard = edk2.say(SECURITY_TO_OPERATIONAL, &[&[&*user, &proof], more].concat());
    assert_eq!((heard.status(), heard.flags()), (0, SECURITY_TO_OPERATIONAL));
    negotiate(&mut edk2);
    (edk2, heard)
}

/// With the allocation length of a CDB of six bytes, of which it has only the lowest eight bits, and its own buffer.
fn inquiry(page: Option<u8>, buffer: usize) -> Scsi {
    let cdb = [0x12, u8::from(page.is_some()), page.unwrap_or(0), 0, buffer as u8, 0];
    Scsi { attribute: 1, ..Scsi::input(&cdb, buffer) }
}

fn request_sense() -> Scsi {
    Scsi { attribute: 1, ..Scsi::input(&[3, 0, 0, 0, 18, 0], 18) }
}

fn pinged() -> Lab {
    let pings = PingTimes { idle: Duration::from_millis(200), patience: Duration::from_millis(500) };
    let targets = vec![open_target("disk", MemoryVolume::new(1 << 20))];
    Lab::with(targets, Vec::new(), Limits { pings, ..Limits::default() })
}

#[test]
fn edk2_logs_in_and_hears_no_key_that_it_does_not_expect() {
    let lab = open_lab();
    boot(&lab);
}

#[test]
fn edk2_logs_in_to_a_target_with_an_alias() {
    let target =
        Target { alias: Some("Boot disk".into()), ..open_target("disk", MemoryVolume::new(1 << 20)) };
    let lab = Lab::new(vec![target]);
    let mut edk2 = dial(&lab);
    let first = edk2.say(SECURITY_TO_OPERATIONAL, &with_method("AuthMethod=None"));
    let second = negotiate(&mut edk2);
    let aliases = [&first, &second].into_iter().filter_map(|heard| heard.get("TargetAlias"));
    assert_eq!(aliases.collect::<Vec<_>>(), ["Boot disk"], "once, under a name that it knows");
    edk2.become_ready(0, 4);
}

#[test]
fn edk2_offers_sha256_first_and_md5_to_those_who_know_no_better() {
    let lab = guarded(None);
    for algorithms in ["7", "7,5", "5"] {
        prove(&lab, algorithms, &[]).0.become_ready(0, 4);
    }
}

#[test]
fn edk2_is_shown_who_the_target_is_by_the_same_hash() {
    let own = User { name: "the target".into(), secret: "the target's secret".into() };
    let lab = guarded(Some(own));
    let bytes: Vec<u8> = (0..32).collect();
    let challenge = timedisk_iscsi::encoding::encode_hex(&bytes);
    let (_, heard) = prove(&lab, "7,5", &["CHAP_I=17", &format!("CHAP_C={challenge}")]);
    let hash = timedisk_iscsi::chap::choose("7").unwrap();
    let expected = timedisk_iscsi::encoding::encode_hex(&hash.response(17, b"the target's secret", &bytes));
    assert_eq!((heard.get("CHAP_N"), heard.get("CHAP_R")), (Some("the target"), Some(&*expected)));
}

#[test]
fn edk2_sees_a_ping_with_the_next_statsn_and_goes_on_with_that_number() {
    let lab = pinged();
    let mut edk2 = boot(&lab);
    edk2.become_ready(0, 4);
    let reply = edk2.command(0x77, &request_sense(), &[]);
    for _ in 0..3 {
        let ping = edk2.receive().unwrap();
        let header = layout::TextResponse::of(&ping.header);
        assert_eq!((ping.response(), ping.tag()), (Response::NopIn, NO_TAG));
        // The command was made before: its ExpStatSN is what was expected then.
        let expected = layout::ScsiCommand::of(&reply.header).exp_stat_sn.get();
        assert_eq!(header.stat_sn.get(), expected, "shown, not consumed");
        assert_eq!(header.exp_cmd_sn.get(), layout::ScsiCommand::of(&reply.header).cmd_sn.get());
    }
    edk2.send(&reply);
    edk2.follow(0x77, 0);
    // The harness checks that the number of the answer is still that one.
    whole(edk2.finish(0x77), 18);
}

#[test]
fn edk2_asks_for_sense_right_after_it_has_connected() {
    let lab = open_lab();
    let mut edk2 = boot(&lab);
    let sense = whole(edk2.run(&request_sense()), 18);
    assert_eq!((sense[0], sense[2] & 0x0f, sense[12], sense[13]), (0x70, 0x06, 0x29, 0x00));
    // It asks until there is none.
    let sense = whole(edk2.run(&request_sense()), 18);
    assert_eq!((sense[0], sense[2] & 0x0f, sense[12]), (0x70, 0, 0));
    assert_eq!(edk2.become_ready(0, 4), [], "which was all that there was to tell");
}

#[test]
fn edk2_finds_the_disk_with_its_first_commands() {
    let lab = open_lab();
    let mut edk2 = boot(&lab);
    let reply = edk2.run(&inquiry(None, 96));
    assert_eq!((reply.flags & 4, reply.status), (0, 0), "what is too long is an error to it");
    assert_eq!((reply.data.len() + reply.residual as usize, reply.data[0]), (96, 0));
    // A buffer of 260 bytes: the length in the CDB is 4. What did not come has to be told.
    let reply = edk2.run(&inquiry(Some(0), 260));
    assert_eq!((reply.data.len(), reply.flags, reply.residual), (4, 2, 256));
    let supported = edk2.run(&inquiry(Some(0), 255)).good();
    assert_eq!(supported[4], 0, "the list begins with itself");
    assert!(supported[4..].is_sorted_by(|one, next| one < next), "in ascending order: {supported:02x?}");
    assert!(supported[4..].contains(&0xb0));
    let limits = whole(edk2.run(&inquiry(Some(0xb0), 64)), 64);
    assert_ne!(limits[20..28], [0; 8], "blocks and descriptors of an UNMAP");
    edk2.become_ready(0, 4);
    let short = whole(edk2.run(&Scsi::input(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8)), 8);
    assert_eq!(short, [&4095u32.to_be_bytes()[..], &(BLOCK as u32).to_be_bytes()].concat());
    let mut long = [0; 16];
    (long[0], long[1], long[13]) = (0x9e, 0x10, 32);
    whole(edk2.run(&Scsi::input(&long, 32)), 32);
    // MODE SENSE(10) of the caching page without block descriptors, in 28 bytes.
    let caching = edk2.run(&Scsi::input(&[0x5a, 0x08, 0x08, 0, 0, 0, 0, 0, 28, 0], 28)).good();
    assert_eq!(
        (caching.len(), caching[8] & 0x3f, caching[3] & 0x10),
        (28, 0x08, 0x10),
        "it may force writes"
    );
}

#[test]
fn edk2_takes_a_logical_unit_that_is_not_there_for_none() {
    let lab = open_lab();
    let mut edk2 = boot(&lab);
    let reply = edk2.run(&inquiry(None, 96).at(5));
    assert_eq!((reply.status, reply.data[0]), (0, 0x7f), "a qualifier tells it");
}

#[test]
fn edk2_may_send_its_first_burst_with_the_command() {
    let lab = open_lab();
    let mut edk2 = boot(&lab);
    edk2.become_ready(0, 4);
    // It would send more unasked than was agreed, could it not send all of the first burst with the command.
    assert!(edk2.terms.max_recv_data_segment_length_target >= 65536);
    let data: Vec<u8> = (0..512 * BLOCK).map(|at| (at / 3) as u8).collect();
    edk2.run(&Scsi { attribute: 1, ..Scsi::write(0, &data) }).good();
    assert_eq!(whole(edk2.run(&Scsi::read(0, 512)), data.len()), data);
}

#[test]
fn edk2_is_asked_for_data_with_the_next_statsn_and_within_its_burst() {
    let lab = open_lab();
    let mut edk2 = boot(&lab);
    edk2.become_ready(0, 4);
    let data = vec![9; 1024 * BLOCK];
    let command = edk2.command(0x88, &Scsi::write(0, &data), &data[..65536]);
    let expected = layout::ScsiCommand::of(&command.header).exp_stat_sn.get();
    edk2.send(&command);
    let (mut sent, mut asked) = (65536, 0);
    while sent < data.len() {
        let request = edk2.receive().unwrap();
        assert_eq!(request.response(), Response::ReadyToTransfer);
        let header = layout::ReadyToTransfer::of(&request.header);
        assert_eq!((header.stat_sn.get(), header.r2t_sn.get()), (expected, asked), "shown, not consumed");
        let length = header.desired_data_transfer_length.get() as usize;
        assert_eq!(header.buffer_offset.get() as usize, sent);
        assert!(length <= 262_144);
        edk2.send_data(0x88, header.target_transfer_tag.get(), &data, sent..sent + length);
        (sent, asked) = (sent + length, asked + 1);
    }
    edk2.follow(0x88, asked);
    edk2.finish(0x88).good();
}

#[test]
fn edk2_that_logs_in_anew_after_an_error_takes_its_own_place() {
    let lab = open_lab();
    let mut old = boot(&lab);
    old.become_ready(0, 4);
    let mut new = boot(&lab);
    old.await_close();
    new.become_ready(0, 4);
    assert_eq!(lab.server().sessions().len(), 1);
}

#[test]
fn edk2_gets_segments_of_8192_bytes_while_it_logs_in_and_of_65536_then() {
    let lab = open_lab();
    let mut edk2 = boot(&lab);
    edk2.become_ready(0, 4);
    // The harness checks each segment. As long as the limit lets it, a segment is as long as that.
    assert_eq!(edk2.terms.max_recv_data_segment_length_initiator, 65536);
    let tag = edk2.start(&Scsi::read(0, 512));
    let first = edk2.receive().unwrap();
    assert_eq!((first.response(), first.tag(), first.data.len()), (Response::DataIn, tag, 65536));
}
