//! The Microsoft iSCSI initiator: its login as it was measured on the wire of Windows, and what Windows wants to know
//! of a disk before it uses it.

use std::path::Path;
use std::sync::Arc;

use timedisk_iscsi::pdu::{Response, layout};
use timedisk_scsi::{BlockFormat, Identity, LogicalUnit};
use timedisk_target::{Authentication, Disk, Limits, Target, User};
use timedisk_volume::{FileVolume, Length, MemoryVolume, OpenOptions};

use super::script::{
    Heard, OPERATIONAL_TO_FULL, SECURITY_TO_OPERATIONAL, connect, designators, number, open_lab, read_page,
    two_disks, whole,
};
use crate::wire::{BLOCK, Initiator, Lab, PATIENCE, Pdu, Scsi, assert_same, full_name, mount, open_target};

const NAME: &str = "iqn.1991-05.com.microsoft:desktop";
const TARGET: &str = "TargetName=iqn.2026-01.org.example:disk";

/// What it asks for in a normal session: more than any target gives it, in places.
const OFFERS: [&str; 14] = [
    "HeaderDigest=None,CRC32C",
    "DataDigest=None,CRC32C",
    "ErrorRecoveryLevel=2",
    "InitialR2T=No",
    "ImmediateData=Yes",
    "MaxRecvDataSegmentLength=65536",
    "MaxBurstLength=262144",
    "FirstBurstLength=65536",
    "MaxConnections=32",
    "DataPDUInOrder=Yes",
    "DataSequenceInOrder=Yes",
    "DefaultTime2Wait=0",
    "DefaultTime2Retain=60",
    "MaxOutstandingR2T=16",
];

/// And in one that looks for targets.
const DISCOVERY_OFFERS: [&str; 5] = [
    "HeaderDigest=None,CRC32C",
    "DataDigest=None,CRC32C",
    "MaxRecvDataSegmentLength=65536",
    "DefaultTime2Wait=0",
    "DefaultTime2Retain=60",
];

/// The ISID has Microsoft's enterprise number; its last bytes tell sessions and hosts of a test apart.
fn dial(lab: &Lab, name: &str, session: u8) -> Initiator {
    connect(lab.address, name, [0x40, 0x00, 0x01, 0x37, 0x00, session], 1)
}

/// What was offered is answered once; nothing else is said but what is the target's own to say.
#[track_caller]
fn answers_what_was_offered(heard: &Heard, offers: &[&str]) {
    for offer in offers {
        let key = offer.split_once('=').unwrap().0;
        assert!(heard.get(key).is_some(), "{key} is not answered");
    }
    let own = ["TargetPortalGroupTag", "TargetAlias"];
    let offered = |key: &str| offers.iter().any(|offer| offer.split_once('=').unwrap().0 == key);
    for key in heard.names() {
        assert!(offered(key) || own.contains(&key), "{key} was not offered: it would answer Irrelevant");
    }
}

/// A normal session without a secret, of a host of this name.
pub(super) fn log_in(lab: &Lab, name: &str, session: u8) -> Initiator {
    let mut windows = dial(lab, name, session);
    let who = format!("InitiatorName={name}");
    let heard =
        windows.say(SECURITY_TO_OPERATIONAL, &[&who, "SessionType=Normal", TARGET, "AuthMethod=None"]);
    assert_eq!((heard.status(), heard.flags()), (0, SECURITY_TO_OPERATIONAL));
    assert!(heard.get("TargetPortalGroupTag").is_some(), "it waits for ever without");
    windows.enter(OPERATIONAL_TO_FULL, &OFFERS);
    windows
}

/// The same, when the disk has nothing more to tell.
pub(super) fn session(lab: &Lab, luns: &[u8]) -> Initiator {
    let mut windows = log_in(lab, NAME, 0);
    for lun in luns {
        windows.become_ready(*lun, 4);
    }
    windows
}

fn guarded(secret: &str, own: Option<User>) -> Lab {
    let target = Target {
        authentication: Authentication::Chap { users: vec![NAME.into()], own },
        ..open_target("disk", MemoryVolume::new(1 << 20))
    };
    Lab::with(vec![target], vec![User { name: NAME.into(), secret: secret.into() }], Limits::default())
}

/// The name of the user is that of the initiator, unless somebody types another.
fn prove(lab: &Lab, secret: &str, more: &[&str]) -> Heard {
    let mut windows = dial(lab, NAME, 0);
    let who = format!("InitiatorName={NAME}");
    let heard =
        windows.say(SECURITY_TO_OPERATIONAL, &[&who, "SessionType=Normal", TARGET, "AuthMethod=CHAP"]);
    assert_eq!((heard.flags() & 0x80, heard.get("AuthMethod")), (0, Some("CHAP")));
    let heard = windows.say(0, &["CHAP_A=5"]);
    assert_eq!(heard.get("CHAP_A"), Some("5"), "MD5 is all that it has");
    let (user, proof) = (format!("CHAP_N={NAME}"), format!("CHAP_R={}", heard.chap_response(secret)));
    let shown = windows.say(SECURITY_TO_OPERATIONAL, &[&[&*user, &proof], more].concat());
    if shown.status() == 0 {
        windows.enter(OPERATIONAL_TO_FULL, &OFFERS);
    }
    shown
}

/// As a start of timedisk on an image: identity and serial number are the file's.
fn disk_of(path: &Path) -> Arc<Disk> {
    let volume = FileVolume::open(OpenOptions::new(path, Length::Bytes(1 << 20))).unwrap();
    let identity = Identity {
        vendor: "timedisk".into(),
        product: "disk".into(),
        revision: "0.1".into(),
        serial: volume.state().serial().into(),
        naa: volume.state().naa(),
    };
    let format = BlockFormat { logical_length: BLOCK as u32, physical_length: 4096 };
    Disk::new("disk", Arc::new(LogicalUnit::new(Arc::new(volume), identity, format, None)))
}

fn lab_of(path: &Path) -> Lab {
    let mut target = open_target("disk", MemoryVolume::new(BLOCK as u64));
    target.mounts = vec![mount(0, &disk_of(path), |_| true)];
    Lab::new(vec![target])
}

#[test]
fn windows_gets_an_answer_to_each_key_that_it_offers_and_hears_of_no_other() {
    let lab = open_lab();
    let mut windows = dial(&lab, NAME, 0);
    let who = format!("InitiatorName={NAME}");
    windows.say(SECURITY_TO_OPERATIONAL, &[&who, "SessionType=Normal", TARGET, "AuthMethod=None"]);
    let heard = windows.enter(OPERATIONAL_TO_FULL, &OFFERS);
    answers_what_was_offered(&heard, &OFFERS);
    let expected = [
        ("HeaderDigest", "None"),
        ("DataDigest", "None"),
        ("ErrorRecoveryLevel", "0"),
        ("ImmediateData", "Yes"),
        ("MaxConnections", "1"),
        ("DefaultTime2Retain", "0"),
    ];
    for (key, value) in expected {
        assert_eq!(heard.get(key), Some(value), "{key}");
    }
    assert!(heard.get("MaxOutstandingR2T").unwrap().parse::<u32>().unwrap() <= 16);
    windows.become_ready(0, 4);
}

#[test]
fn windows_looks_for_targets_and_finds_name_and_address_with_its_portal_group() {
    let lab = open_lab();
    let mut windows = dial(&lab, NAME, 0);
    let who = format!("InitiatorName={NAME}");
    let heard = windows.say(SECURITY_TO_OPERATIONAL, &[&who, "SessionType=Discovery", "AuthMethod=None"]);
    assert_eq!((heard.status(), heard.flags()), (0, SECURITY_TO_OPERATIONAL));
    let heard = windows.enter(OPERATIONAL_TO_FULL, &DISCOVERY_OFFERS);
    answers_what_was_offered(&heard, &DISCOVERY_OFFERS);
    let found = windows.ask(b"SendTargets=All\0");
    let address = format!("{},1", lab.address);
    assert_eq!(found, [("TargetName".into(), full_name("disk")), ("TargetAddress".into(), address)]);
}

#[test]
fn windows_with_a_secret_of_12_to_16_characters_gets_in_and_with_another_does_not() {
    for secret in ["twelve chars", "thirteen char", "fourteen chars", "fifteen letters", "sixteen letters!"] {
        assert!((12..=16).contains(&secret.len()));
        let lab = guarded(secret, None);
        assert_eq!(prove(&lab, secret, &[]).status(), 0, "{secret}");
        assert_eq!(prove(&lab, &secret[1..], &[]).status(), 0x0201, "{secret}");
    }
}

#[test]
fn windows_with_mutual_chap_is_shown_the_secret_of_the_target() {
    let own = User { name: full_name("disk"), secret: "a target's word".into() };
    let lab = guarded("sixteen letters!", Some(own));
    let heard = prove(&lab, "sixteen letters!", &["CHAP_I=1", "CHAP_C=0x00112233445566778899aabbccddeeff"]);
    assert_eq!(heard.get("CHAP_N"), Some(&*full_name("disk")));
    let challenge =
        [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
    let proof = timedisk_iscsi::chap::choose("5").unwrap().response(1, b"a target's word", &challenge);
    assert_eq!(heard.get("CHAP_R"), Some(&*timedisk_iscsi::encoding::encode_hex(&proof)));
}

#[test]
fn windows_has_several_sessions_of_one_host_to_a_target_side_by_side() {
    let lab = open_lab();
    let mut paths = [0, 1].map(|session| log_in(&lab, NAME, session));
    for path in &mut paths {
        path.become_ready(0, 4);
    }
    let [first, second] = &mut paths;
    first.run(&Scsi::write(7, &[1; BLOCK])).good();
    assert_eq!(second.run(&Scsi::read(7, 1)).good(), [1; BLOCK]);
    assert_eq!(lab.server().sessions().len(), 2);
}

#[test]
fn windows_may_have_a_wrong_logical_unit_number_in_its_data() {
    let lab = two_disks();
    let mut windows = session(&lab, &[0, 1]);
    let data: Vec<u8> = (0..512 * BLOCK).map(|at| (at / 5) as u8).collect();
    let wrong = [[0xff; 8], [0, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 9]];
    for lun in wrong {
        let tag = windows.tag();
        let mut command = windows.command(tag, &Scsi::write(0, &data), &[]);
        command.header[1] |= 0x80;
        windows.send(&command);
        let (mut sent, mut asked) = (0, 0);
        while sent < data.len() {
            let request = windows.receive().unwrap();
            assert_eq!(request.response(), Response::ReadyToTransfer);
            let header = layout::ReadyToTransfer::of(&request.header);
            let end = sent + header.desired_data_transfer_length.get() as usize;
            send_pieces(&mut windows, tag, &header, (&data, sent..end), lun);
            (sent, asked) = (end, asked + 1);
        }
        windows.follow(tag, asked);
        windows.finish(tag).good();
        assert_same(&windows.run(&Scsi::read(0, 512)).good(), &data);
        assert_eq!(windows.run(&Scsi::read(0, 512).at(1)).good(), vec![0; 512 * BLOCK], "and nowhere else");
        windows.run(&Scsi::write(0, &vec![0; 512 * BLOCK])).good();
    }
}

/// The data of an R2T, 64 KiB at a time, each with this logical unit number.
fn send_pieces(
    windows: &mut Initiator,
    tag: u32,
    request: &layout::ReadyToTransfer,
    (data, part): (&[u8], std::ops::Range<usize>),
    lun: [u8; 8],
) {
    for (number, start) in part.clone().step_by(65536).enumerate() {
        let end = part.end.min(start + 65536);
        let transfer_tag = request.target_transfer_tag.get();
        let mut pdu: Pdu = windows.data_out(tag, transfer_tag, number as u32, start, &data[start..end]);
        pdu.header[8..16].copy_from_slice(&lun);
        if end < part.end {
            pdu.header[1] = 0;
        }
        windows.send(&pdu);
    }
}

#[test]
fn windows_finds_the_designators_that_setup_and_sanhook_look_for() {
    let lab = open_lab();
    let mut windows = session(&lab, &[0]);
    let found = designators(&read_page(&mut windows, 0x83));
    let naa = found.iter().find(|(_, kind, _)| *kind == 0x03).expect("type 3, of the logical unit");
    assert_eq!((naa.0, naa.2.len(), naa.2[0] >> 4), (1, 8, 3), "binary, locally assigned");
    assert_eq!(found[0], *naa, "it comes first");
    let name = found.iter().find(|(_, kind, _)| *kind == 0x08).expect("type 8, of the logical unit");
    let text = String::from_utf8(name.2.clone()).unwrap();
    assert!(
        text.starts_with(&full_name("disk")) && text.ends_with('\0') && text.len().is_multiple_of(4),
        "{text:?}"
    );
    let vendor = found.iter().find(|(_, kind, _)| *kind == 0x01).expect("type 1, of the logical unit");
    assert_eq!(vendor.2[..8], *b"timedisk");
    // The whole page comes with the first 255 bytes asked for, if that is long enough for it, or says how long it is.
    let short = windows.run(&Scsi::input(&[0x12, 1, 0x83, 0, 4, 0], 4)).good();
    let length = usize::from(u16::from_be_bytes([short[2], short[3]])) + 4;
    assert_eq!(read_page(&mut windows, 0x83).len(), length);
}

#[test]
fn windows_finds_the_same_disk_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.img");
    let seen = [0, 1].map(|_| {
        let lab = lab_of(&path);
        let mut windows = session(&lab, &[0]);
        let pages = [0x80, 0x83].map(|code| read_page(&mut windows, code));
        drop(windows);
        lab.shutdown(PATIENCE).unwrap();
        pages
    });
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn windows_and_hyper_v_tell_disks_by_the_first_eight_letters_after_the_vendor() {
    let directory = tempfile::tempdir().unwrap();
    let seen: Vec<Vec<u8>> = (0..8)
        .map(|number| {
            let lab = lab_of(&directory.path().join(format!("disk{number}.img")));
            let mut windows = session(&lab, &[0]);
            let found = designators(&read_page(&mut windows, 0x83));
            found.into_iter().find(|(_, kind, _)| *kind == 0x01).unwrap().2
        })
        .collect();
    for (number, one) in seen.iter().enumerate() {
        assert!(one.len() >= 16 && one.is_ascii());
        assert!(seen[..number].iter().all(|other| other[8..16] != one[8..16]), "{seen:02x?}");
    }
}

#[test]
fn windows_2000_that_asks_for_mode_page_0_is_told_so_and_stays() {
    let lab = open_lab();
    let mut windows = session(&lab, &[0]);
    for cdb in
        [&[0x1a, 0, 0, 0, 192, 0][..], &[0x1a, 0x08, 0, 0, 192, 0], &[0x5a, 0, 0, 0, 0, 0, 0, 0, 192, 0]]
    {
        let reply = windows.run(&Scsi::input(cdb, 192));
        assert_eq!(reply.condition(), (0x05, 0x24, 0x00));
        // With 192 bytes less than it has room for.
        assert_eq!((reply.flags, reply.residual), (2, 192));
    }
    let all = windows.run(&Scsi::input(&[0x1a, 0, 0x3f, 0, 192, 0], 192));
    assert_eq!((all.status, all.data.len() + all.residual as usize), (0, 192));
    assert_eq!(usize::from(all.data[0]) + 1, all.data.len());
    windows.check_alive();
}

#[test]
fn windows_finds_its_disk_with_its_first_commands() {
    let lab = open_lab();
    let mut windows = log_in(&lab, NAME, 0);
    // REPORT LUNS with room for more, INQUIRY of 36 bytes: both before the unit attention.
    let luns = windows.run(&Scsi::input(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0], 4096));
    assert_eq!((luns.status, &luns.data[..]), (0, &[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..]));
    assert_eq!(whole(windows.run(&Scsi::inquiry()), 36)[8..16], *b"timedisk");
    let supported = read_page(&mut windows, 0x00);
    for code in [0x80, 0x83, 0xb0, 0xb1, 0xb2] {
        assert!(supported[4..].contains(&code), "{code:#x}");
    }
    assert_eq!(windows.become_ready(0, 4), [(0x06, 0x29, 0x00)]);
    let short = whole(windows.run(&Scsi::input(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8)), 8);
    assert_eq!((number(&short[..4]), number(&short[4..])), (4095, BLOCK as u64));
    let caching = windows.run(&Scsi::input(&[0x1a, 0, 0x08, 0, 192, 0], 192)).good();
    assert_eq!((caching[3], caching[12] & 0x3f), (8, 0x08), "with a block descriptor");
    windows.run(&Scsi::flush()).good();
}

#[test]
fn windows_that_writes_in_spite_of_write_protection_is_refused_and_stays() {
    let lab = open_lab();
    let mut windows = session(&lab, &[0]);
    // SWP of the control mode page.
    let page = [0, 0, 0, 0, 0x0a, 10, 0x02, 0x10, 0x08, 0, 0, 0, 0, 0, 0, 0];
    windows.run(&Scsi::output(&[0x15, 0x10, 0, 0, 16, 0], &page)).good();
    let header = windows.run(&Scsi::input(&[0x1a, 0x08, 0x08, 0, 192, 0], 192)).good();
    assert_eq!(header[2] & 0x80, 0x80, "WP");
    // Immediate data, unsolicited data, and data that were asked for.
    for blocks in [1, 128, 1024] {
        let refused = windows.run(&Scsi::write(0, &vec![1; blocks * BLOCK]));
        let (key, code, _) = refused.condition();
        assert_eq!((key, code), (0x07, 0x27), "{blocks}");
    }
    assert_eq!(windows.run(&Scsi::read(0, 1)).good(), [0; BLOCK]);
}
