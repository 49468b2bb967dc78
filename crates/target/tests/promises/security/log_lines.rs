//! Whatever a peer says it is or wants: no line of the log is broken by it, none obeys a terminal, none is endless.

use std::fmt::Write as _;
use std::sync::{Mutex, Once, PoisonError};

use timedisk_iscsi::encoding::decode;
use timedisk_target::Limits;
use timedisk_volume::MemoryVolume;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::super::wire::{Initiator, Lab, Scsi, open_target, pairs, text};
use super::{guarded, people};

/// All lines of the log of this process; those of other tests are among them.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Keeper;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{}{value:?}", if field.name() == "message" { "" } else { " " });
    }
}

impl Subscriber for Keeper {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn keep_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Keeper).unwrap());
}

/// Control characters, a line of its own that looks like ours, what colours or clears a terminal, and what turns text
/// round; formats.
const EVIL: &str =
    "EVIL\n2026-01-01 INFO logged in\r\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{8}\u{7f}\u{202e}\u{2028}%s%n{}";

const SECURITY: u8 = 0;
const SECURITY_TO_OPERATIONAL: u8 = 0x81;
const OPERATIONAL_TO_FULL: u8 = 0x87;

fn owned(keys: &[(&str, &str)]) -> Vec<(String, String)> {
    keys.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// Gives the server these keys in one login request of its own connection, and waits for the answer.
fn tell(lab: &Lab, flags: u8, keys: &[(&str, &str)]) {
    let mut initiator = Initiator::connect(lab.address);
    let request = initiator.login_request(flags, &text(&owned(keys)));
    initiator.send(&request);
    let _ = initiator.receive();
}

/// The same for the second step of CHAP.
fn answer(lab: &Lab, keys: &[(&str, &str)]) {
    let mut initiator = Initiator::connect(lab.address);
    let mut asked = initiator.identity(Some("guarded"));
    asked.extend(owned(&[("AuthMethod", "CHAP"), ("CHAP_A", "7")]));
    let response = initiator.login_step(SECURITY, &text(&asked));
    assert!(pairs(&response.data).iter().any(|(key, value)| key == "CHAP_C" && decode(value, 1024).is_ok()));
    let request = initiator.login_request(SECURITY_TO_OPERATIONAL, &text(&owned(keys)));
    initiator.send(&request);
    let _ = initiator.receive();
}

#[test]
fn nothing_from_the_wire_breaks_a_line_of_the_log() {
    keep_log();
    let targets = vec![
        open_target("disk", MemoryVolume::new(1 << 20)),
        guarded("guarded", &["ann"], MemoryVolume::new(1 << 20)),
    ];
    let lab = Lab::with(targets, people(), Limits::default());
    let (me, disk, guarded) =
        ("iqn.2026-01.org.example:me", "iqn.2026-01.org.example:disk", "iqn.2026-01.org.example:guarded");
    let long = format!("{EVIL}{}", "x".repeat(7000));
    for evil in [EVIL, &long] {
        let named = format!("iqn.2026-01.org.example:{evil}");
        for name in [evil, &named] {
            tell(&lab, OPERATIONAL_TO_FULL, &[("InitiatorName", name), ("TargetName", disk)]);
            tell(&lab, OPERATIONAL_TO_FULL, &[("InitiatorName", me), ("TargetName", name)]);
        }
        tell(&lab, OPERATIONAL_TO_FULL, &[("InitiatorName", me), ("SessionType", evil)]);
        let hello = [("InitiatorName", me), ("TargetName", guarded)];
        for key in ["AuthMethod", "CHAP_A", "CHAP_N", "CHAP_I", "CHAP_C", "CHAP_R", "InitiatorAlias", evil] {
            tell(&lab, SECURITY, &[hello[0], hello[1], (key, evil)]);
            tell(&lab, SECURITY, &[hello[0], hello[1], ("AuthMethod", "CHAP"), (key, evil)]);
            answer(&lab, &[("CHAP_N", "ann"), ("CHAP_R", "0x00"), (key, evil)]);
            answer(&lab, &[("CHAP_N", evil), ("CHAP_R", "0x00")]);
        }
        let hello = [("InitiatorName", me), ("TargetName", disk), ("InitiatorAlias", evil)];
        tell(&lab, OPERATIONAL_TO_FULL, &hello);
        for key in ["MaxBurstLength", "HeaderDigest", "InitialR2T", "ErrorRecoveryLevel", "IFMarkInt", evil] {
            tell(&lab, OPERATIONAL_TO_FULL, &[hello[0], hello[1], (key, evil)]);
        }
        let mut session = lab.session("disk", &[]);
        let tag = session.tag();
        let request =
            session.text_request(tag, 0xffff_ffff, format!("SendTargets={evil}\0{evil}=1").as_bytes());
        session.send(&request);
        session.run(&Scsi::inquiry()).good();
        session.send_bytes(&evil.as_bytes().repeat(50)[..48]);
    }
    drop(lab);
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let about = lines.iter().filter(|line| line.to_lowercase().contains("evil")).count();
    assert!(about >= 10, "only {about} of {} lines are about it", lines.len());
    for line in lines.iter() {
        let breaks = |c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c);
        assert!(!line.contains(breaks), "{line:?}");
        assert!(line.chars().count() < 1000, "a line of {} characters", line.chars().count());
    }
}

#[test]
fn no_secret_and_no_response_is_in_the_log() {
    keep_log();
    let lab = Lab::with(
        vec![guarded("guarded", &["ann"], MemoryVolume::new(1 << 20))],
        people(),
        Limits::default(),
    );
    super::ANN.log_in(&lab, Some("guarded")).unwrap();
    answer(&lab, &[("CHAP_N", "ann"), ("CHAP_R", "0xfeedfeedfeedfeedfeedfeedfeedfeed")]);
    drop(lab);
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(lines.iter().any(|line| line.contains("logged in to iqn.2026-01.org.example:guarded")));
    for line in lines.iter() {
        for hidden in [super::ANN.secret, super::BOB.secret, super::OWN_SECRET, "feedfeed"] {
            assert!(!line.contains(hidden), "{line}");
        }
    }
}
