//! Who may come in, and what those are told who may not.

use timedisk_iscsi::pdu::{Response, layout};
use timedisk_target::{Authentication, Limits, Target, User};
use timedisk_volume::MemoryVolume;

use super::wire::{Initiator, Lab, Proof, Scsi, TRANSIT, login_status, only_for, open_target, pairs, text};

const SECURITY_TO_OPERATIONAL: u8 = TRANSIT | 1;
const OPERATIONAL: u8 = 1 << 2;
const OPERATIONAL_TO_FULL: u8 = TRANSIT | OPERATIONAL | 3;

fn guarded() -> Lab {
    let users = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    let chap = Target {
        authentication: Authentication::Chap { users: users(&["ann"]), own: None },
        ..open_target("guarded", MemoryVolume::new(1 << 20))
    };
    let forbidden = only_for(open_target("forbidden", MemoryVolume::new(1 << 20)), |_| false);
    let people = [("ann", "ann's long secret"), ("bob", "bob's long secret")];
    let people = people.map(|(name, secret)| User { name: name.into(), secret: secret.into() });
    let open = open_target("open", MemoryVolume::new(1 << 20));
    Lab::with(vec![chap, forbidden, open], people.to_vec(), Limits::default())
}

fn owned(keys: &[(&str, &str)]) -> Vec<(String, String)> {
    keys.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// Logs in to `guarded` with CHAP; the session, or the status of the refusal.
fn chap_login(lab: &Lab, algorithm: &str, user: &str, secret: &str) -> Result<Initiator, u16> {
    let offer = Proof { algorithm, user, secret, more: &[] };
    offer.log_in(lab, Some("guarded")).map(|(initiator, _)| initiator)
}

#[test]
fn who_knows_the_secret_gets_in_with_each_hash() {
    let lab = guarded();
    for algorithm in ["5", "6", "7", "8", "7,5", "9,5"] {
        let mut initiator = chap_login(&lab, algorithm, "Ann", "ann's long secret").unwrap();
        initiator.run(&Scsi::inquiry()).good();
    }
}

#[test]
fn who_does_not_know_it_or_is_somebody_else_stays_outside() {
    let lab = guarded();
    for (algorithm, user, secret) in [
        ("5", "ann", "ann's long secreT"),
        ("7", "ann", ""),
        ("5", "ann", "bob's long secret"),
        ("5", "bob", "bob's long secret"),
        ("5", "nobody", "ann's long secret"),
        ("5", "", "ann's long secret"),
        ("9", "ann", "ann's long secret"),
    ] {
        assert_eq!(
            chap_login(&lab, algorithm, user, secret).err(),
            Some(0x0201),
            "{algorithm} {user} {secret}"
        );
    }
}

#[test]
fn where_chap_is_required_nothing_else_will_do() {
    let lab = guarded();
    let mut initiator = Initiator::connect(lab.address);
    assert_eq!(initiator.log_in(Some("guarded"), &[]), Err(0x0201));
    initiator.await_close();
    let mut initiator = Initiator::connect(lab.address);
    let mut keys = initiator.identity(Some("guarded"));
    keys.extend(owned(&[("AuthMethod", "None")]));
    assert_eq!(login_status(&initiator.login_step(SECURITY_TO_OPERATIONAL, &text(&keys))), 0x0201);
    initiator.await_close();
}

#[test]
fn refusals_say_why_and_close() {
    let lab = guarded();
    for (target, status) in [("forbidden", 0x0202), ("nowhere", 0x0203)] {
        let mut initiator = Initiator::connect(lab.address);
        assert_eq!(initiator.log_in(Some(target), &[]), Err(status), "{target}");
        initiator.await_close();
    }
    type Change = fn(&mut layout::LoginRequest);
    let changes: [(u16, Change); 4] = [
        (0x020a, |header| header.tsih = 7.into()),
        (0x0205, |header| (header.version_min, header.version_max) = (1, 1)),
        (0x0200, |header| header.flags = TRANSIT | OPERATIONAL | 2),
        (0x0200, |header| header.flags |= 0x40),
    ];
    for (status, change) in changes {
        let mut initiator = Initiator::connect(lab.address);
        let mut request =
            initiator.login_request(OPERATIONAL_TO_FULL, &text(&initiator.identity(Some("open"))));
        let mut header = layout::LoginRequest::of(&request.header);
        change(&mut header);
        request.header = header.bytes();
        initiator.send(&request);
        assert_eq!(login_status(&initiator.receive().unwrap()), status);
        initiator.await_close();
    }
    for (keys, status) in [
        (&[("TargetName", "iqn.2026-01.org.example:open")][..], 0x0207),
        (&[("InitiatorName", "iqn.2026-01.org.example:me")], 0x0207),
        (&[("InitiatorName", "iqn.2026-01.org.example:me"), ("SessionType", "Other")], 0x0209),
    ] {
        let mut initiator = Initiator::connect(lab.address);
        assert_eq!(login_status(&initiator.login_step(OPERATIONAL_TO_FULL, &text(&owned(keys)))), status);
        initiator.await_close();
    }
}

#[test]
fn whatever_is_no_login_request_is_refused_before_the_login() {
    let lab = guarded();
    for kind in 0..3 {
        let mut initiator = Initiator::connect(lab.address);
        let pdu = match kind {
            0 => initiator.ping(b"are you there"),
            1 => initiator.command(1, &Scsi::inquiry(), &[]),
            _ => initiator.logout(),
        };
        initiator.send(&pdu);
        let response = initiator.receive().unwrap();
        assert_eq!((response.response(), login_status(&response)), (Response::Login, 0x020b));
        initiator.await_close();
    }
}

#[test]
fn answers_that_do_not_fit_into_one_pdu_are_continued() {
    let lab = guarded();
    let mut initiator = Initiator::connect(lab.address);
    let mut keys = initiator.identity(Some("open"));
    keys.extend(
        (0..180).map(|number| (format!("X-org.example.key-that-nobody-knows-{number:03}"), "1".into())),
    );
    let mut response = initiator.login_step(OPERATIONAL_TO_FULL, &text(&keys));
    let (mut answers, mut responses) = (Vec::new(), 1);
    let last = loop {
        assert_eq!(login_status(&response), 0);
        assert!(response.data.len() <= 8192);
        answers.extend_from_slice(&response.data);
        if layout::LoginResponse::of(&response.header).flags & 0x40 == 0 {
            break response;
        }
        assert_eq!(layout::LoginResponse::of(&response.header).flags & TRANSIT, 0);
        response = initiator.login_step(OPERATIONAL, b"");
        responses += 1;
    };
    assert!(responses > 1, "it did not take more than one");
    let answers = pairs(&answers);
    for (key, _) in &keys[2..] {
        assert!(answers.contains(&(key.clone(), "NotUnderstood".into())), "{key}");
    }
    assert_eq!(layout::LoginResponse::of(&last.header).flags & TRANSIT, 0);
    let response = initiator.login_step(OPERATIONAL_TO_FULL, b"");
    initiator.settle(&response, &[]);
    initiator.run(&Scsi::inquiry()).good();
}
