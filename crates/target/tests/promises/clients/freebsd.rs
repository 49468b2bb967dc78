//! FreeBSD's initiator (freebsd/freebsd-src: usr.sbin/iscsid/login.c, sys/dev/iscsi/iscsi.c, sys/cam/scsi): every login
//! request asks to go on, no answer may be continued, challenges are hexadecimal and MD5.

use timedisk_iscsi::pdu::layout;
use timedisk_target::{Authentication, Limits, Target, User};
use timedisk_volume::MemoryVolume;

use super::script::{
    Heard, OPERATIONAL_TO_FULL, SECURITY_TO_OPERATIONAL, capacity, connect, number, open_lab, page, read_page,
};
use crate::wire::{BLOCK, Initiator, Lab, Scsi, block, open_target};

const NAME: &str = "iqn.1994-09.org.freebsd:host";
const USER: &str = "host";
const SECRET: &str = "secret of this host";
const CONTINUE: u8 = 0x40;
const OFFERS: [&str; 11] = [
    "HeaderDigest=None",
    "DataDigest=None",
    "ImmediateData=Yes",
    "MaxBurstLength=131072",
    "FirstBurstLength=131072",
    "InitialR2T=Yes",
    "MaxRecvDataSegmentLength=131072",
    "DefaultTime2Wait=0",
    "DefaultTime2Retain=0",
    "ErrorRecoveryLevel=0",
    "MaxOutstandingR2T=1",
];

/// Its StatSN counts each response of the login, and none of them has the C bit, or it gives up.
struct Login {
    host: Initiator,
    stat_sn: Option<u32>,
}

impl Login {
    fn dial(lab: &Lab) -> Login {
        Login { host: connect(lab.address, NAME, [0x80, 0x5a, 0x01, 0x02, 0x03, 0x04], 0), stat_sn: None }
    }

    fn say(&mut self, keys: &[&str]) -> Heard {
        let heard = self.host.say(SECURITY_TO_OPERATIONAL, keys);
        self.check(&heard);
        heard
    }

    fn check(&mut self, heard: &Heard) {
        let header = layout::LoginResponse::of(&heard.pdu.header);
        assert_eq!(header.flags & CONTINUE, 0, "it can't put answers together");
        assert_eq!((header.version_max, header.version_active), (0, 0));
        let stat_sn = header.stat_sn.get();
        assert!(self.stat_sn.is_none_or(|last| stat_sn == last.wrapping_add(1)), "StatSN {stat_sn}");
        self.stat_sn = Some(stat_sn);
    }

    fn first(&mut self, methods: &str) -> Heard {
        let (method, who) = (format!("AuthMethod={methods}"), format!("InitiatorName={NAME}"));
        self.say(&[&method, &who, "SessionType=Normal", "TargetName=iqn.2026-01.org.example:disk"])
    }

    fn negotiate(mut self) -> Initiator {
        let heard = self.host.enter(OPERATIONAL_TO_FULL, &OFFERS);
        self.check(&heard);
        self.host
    }
}

fn boot(lab: &Lab) -> Initiator {
    let mut login = Login::dial(lab);
    let heard = login.first("None");
    assert_eq!((heard.status(), heard.flags()), (0, SECURITY_TO_OPERATIONAL));
    login.negotiate()
}

fn guarded(own: Option<User>) -> Lab {
    let users = vec![USER.into()];
    let authentication = Authentication::Chap { users, own };
    let target = Target { authentication, ..open_target("disk", MemoryVolume::new(1 << 20)) };
    Lab::with(vec![target], vec![User { name: USER.into(), secret: SECRET.into() }], Limits::default())
}

#[test]
fn freebsd_logs_in_with_its_offers_and_reads_each_answer_in_one_piece() {
    let lab = open_lab();
    let mut host = boot(&lab);
    assert!(host.terms.immediate_data && host.terms.initial_r2t);
    assert_eq!(host.terms.max_burst_length, 131_072);
    host.become_ready(0, 4);
    let data: Vec<u8> = (0..512 * BLOCK).map(|at| (at / 3) as u8).collect();
    host.run(&Scsi::write(0, &data)).good();
    assert!(host.run(&Scsi::read(0, 512)).good() == data);
}

#[test]
fn freebsd_that_has_a_secret_offers_none_first_and_is_asked_for_chap_all_the_same() {
    let lab = guarded(None);
    let mut login = Login::dial(&lab);
    let heard = login.first("None,CHAP");
    assert_eq!((heard.status(), heard.get("AuthMethod")), (0, Some("CHAP")), "nobody gets in unproven");
    assert_eq!(heard.flags() & 0x80, 0, "it has asked to go on, and may not");
    let heard = login.say(&["CHAP_A=5"]);
    assert_eq!(heard.get("CHAP_A"), Some("5"));
    let challenge = heard.get("CHAP_C").expect("a challenge");
    assert!(challenge.starts_with("0x"), "it reads no base64: {challenge}");
    assert!(heard.get("CHAP_I").is_some_and(|identifier| identifier.parse::<u8>().is_ok()), "decimal");
    let proof = format!("CHAP_R={}", heard.chap_response(SECRET));
    let heard = login.say(&[&format!("CHAP_N={USER}"), &proof]);
    assert_eq!((heard.status(), heard.flags()), (0, SECURITY_TO_OPERATIONAL));
    login.negotiate().become_ready(0, 4);
}

#[test]
fn freebsd_that_has_a_secret_for_a_target_that_asks_for_none_gets_in() {
    let lab = open_lab();
    let mut login = Login::dial(&lab);
    let heard = login.first("None,CHAP");
    assert_eq!((heard.get("AuthMethod"), heard.flags()), (Some("None"), SECURITY_TO_OPERATIONAL));
    login.negotiate().become_ready(0, 4);
}

#[test]
fn freebsd_with_a_mutual_secret_checks_the_targets_name_and_proof() {
    let lab = guarded(Some(User { name: "the target".into(), secret: "secret of the target".into() }));
    let mut login = Login::dial(&lab);
    assert_eq!(login.first("CHAP").get("AuthMethod"), Some("CHAP"));
    let heard = login.say(&["CHAP_A=5"]);
    let proof = format!("CHAP_R={}", heard.chap_response(SECRET));
    // Its challenges have 1024 bytes.
    let bytes: Vec<u8> = (0..1024).map(|at| (at * 7) as u8).collect();
    let challenge = format!("CHAP_C={}", timedisk_iscsi::encoding::encode_hex(&bytes));
    let heard = login.say(&[&format!("CHAP_N={USER}"), &proof, "CHAP_I=77", &challenge]);
    assert_eq!(heard.get("CHAP_N"), Some("the target"));
    let hash = timedisk_iscsi::chap::choose("5").unwrap();
    let expected = timedisk_iscsi::encoding::encode_hex(&hash.response(77, b"secret of the target", &bytes));
    assert_eq!(heard.get("CHAP_R"), Some(&*expected));
    login.negotiate().become_ready(0, 4);
}

#[test]
fn freebsd_pings_in_both_directions_while_it_works() {
    let lab = open_lab();
    let mut host = boot(&lab);
    host.become_ready(0, 4);
    for lba in 0..8 {
        host.check_alive();
        host.run(&Scsi::write(lba, &block(lba as u8))).good();
    }
    assert_eq!(lab.server().sessions().len(), 1);
}

#[test]
fn freebsd_probes_a_disk_by_its_header_then_all_of_it_and_reads_the_pages_that_trim_needs() {
    let lab = open_lab();
    let mut host = boot(&lab);
    // 36 bytes first, then as many as there are.
    let short = host.run(&Scsi::input(&[0x12, 0, 0, 0, 36, 0], 36)).good();
    let length = short[4] as usize + 5;
    let whole = host.run(&Scsi::input(&[0x12, 0, 0, 0, length as u8, 0], length)).good();
    assert_eq!((whole.len(), &whole[..36]), (length, &short[..]));
    host.become_ready(0, 4);
    let pages = read_page(&mut host, 0)[4..].to_vec();
    for code in [0x80, 0x83, 0xb0, 0xb1, 0xb2] {
        assert!(pages.contains(&code), "{code:#x}");
        read_page(&mut host, code);
    }
    let limits = read_page(&mut host, 0xb0);
    let (blocks, descriptors) = (number(&limits[20..24]), number(&limits[24..28]));
    assert!(blocks > 0 && descriptors > 0, "else it deletes by WRITE SAME of zeros");
    assert_eq!(read_page(&mut host, 0xb2)[5] & 0x80, 0x80, "LBPU");
    // Zoned disks and ATA behind a bridge are told from it by pages that are not there.
    assert_eq!(host.run(&page(0x89)).condition(), (0x05, 0x24, 0x00));
    assert_eq!(capacity(&mut host).1, BLOCK);
}
