//! Who answers a challenge: not whoever has one answered for him, nor whoever knows a part of a name.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use timedisk_iscsi::chap;
use timedisk_iscsi::encoding::{decode, encode_base64, encode_hex};
use timedisk_target::Limits;
use timedisk_volume::MemoryVolume;

use super::super::wire::{Initiator, Lab, Scsi, TRANSIT, login_status, pairs, text};
use super::{ANN, BOB, OWN_SECRET, guarded, people};

const SECURITY: u8 = 0;
const SECURITY_TO_OPERATIONAL: u8 = TRANSIT | 1;
const REFUSED: u16 = 0x0201;
const INITIATOR_ERROR: u16 = 0x0200;
/// The value of a key that is longer than any constant counts as missing.
const MISSING_PARAMETER: u16 = 0x0207;
/// MD5, SHA-1, SHA-256, SHA3-256 and the bytes of their digests.
const HASHES: [(&str, usize); 4] = [("5", 16), ("6", 20), ("7", 32), ("8", 32)];

fn lab() -> Lab {
    let target = guarded("disk", &["ann", "bob"], MemoryVolume::new(1 << 20));
    Lab::with(vec![target], people(), Limits::default())
}

fn is_error(status: u16) -> bool {
    [INITIATOR_ERROR, MISSING_PARAMETER].contains(&status)
}

fn owned(keys: &[(&str, &str)]) -> Vec<(String, String)> {
    keys.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// A connection that has its challenge, and has not answered yet.
struct Asked {
    initiator: Initiator,
    hash: &'static chap::Algorithm,
    identifier: u8,
    challenge: Vec<u8>,
}

impl Asked {
    fn at(lab: &Lab, hash: &str) -> Asked {
        let mut initiator = Initiator::connect(lab.address);
        let mut keys = initiator.identity(Some("disk"));
        keys.extend(owned(&[("AuthMethod", "CHAP"), ("CHAP_A", hash)]));
        let response = initiator.login_step(SECURITY, &text(&keys));
        assert_eq!(login_status(&response), 0);
        let asked: HashMap<String, String> = pairs(&response.data).into_iter().collect();
        let challenge = decode(&asked["CHAP_C"], 1024).unwrap();
        let hash = chap::choose(&asked["CHAP_A"]).unwrap();
        Asked { initiator, hash, identifier: asked["CHAP_I"].parse().unwrap(), challenge }
    }

    fn right(&self, secret: &str) -> Vec<u8> {
        self.hash.response(self.identifier, secret.as_bytes(), &self.challenge)
    }

    /// The status of an answer, with what was said in it.
    fn answer(&mut self, name: &str, response: &str, more: &[(&str, &str)]) -> (u16, Vec<u8>) {
        let mut keys = owned(&[("CHAP_N", name), ("CHAP_R", response)]);
        keys.extend(owned(more));
        let response = self.initiator.login_step(SECURITY_TO_OPERATIONAL, &text(&keys));
        (login_status(&response), response.data)
    }

    fn goes_on(mut self) {
        let response = self.initiator.login_step(TRANSIT | 1 << 2 | 3, b"");
        self.initiator.settle(&response, &[]);
        self.initiator.run(&Scsi::inquiry()).good();
    }
}

#[test]
fn a_challenge_of_ours_is_answered_on_no_connection_rfc_7143_9_2_1() {
    let lab = lab();
    for (hash, _) in HASHES {
        let victim = Asked::at(&lab, hash);
        for form in [encode_hex, encode_base64, |bytes: &[u8]| encode_hex(bytes).to_uppercase()] {
            let mut rogue = Asked::at(&lab, hash);
            let response = encode_hex(&rogue.right(BOB.secret));
            let more = [("CHAP_I", &*victim.identifier.to_string()), ("CHAP_C", &*form(&victim.challenge))];
            let (status, said) = rogue.answer(BOB.user, &response, &more);
            assert_eq!((status, said.as_slice()), (REFUSED, &b""[..]), "of another connection");
            rogue.initiator.await_close();
            let mut rogue = Asked::at(&lab, hash);
            let own = form(&rogue.challenge);
            let response = encode_hex(&rogue.right(BOB.secret));
            let (status, said) = rogue.answer(BOB.user, &response, &[("CHAP_I", "1"), ("CHAP_C", &own)]);
            assert_eq!((status, said.as_slice()), (REFUSED, &b""[..]), "of its own connection");
        }
        // One that is the initiator's own is answered, and the victim logs in all the same.
        let mut victim = victim;
        let response = encode_hex(&victim.right(ANN.secret));
        let own = encode_hex(&[0x5a; 32]);
        let (status, said) = victim.answer(ANN.user, &response, &[("CHAP_I", "1"), ("CHAP_C", &own)]);
        let expected = encode_hex(&victim.hash.response(1, OWN_SECRET.as_bytes(), &[0x5a; 32]));
        assert_eq!(status, 0);
        assert!(pairs(&said).contains(&("CHAP_R".into(), expected)));
        victim.goes_on();
    }
}

#[test]
fn a_target_whose_secret_is_the_users_answers_nobody() {
    let mut target = guarded("disk", &["ann"], MemoryVolume::new(1 << 20));
    let own = Some(super::user("the target", ANN.secret));
    target.authentication = timedisk_target::Authentication::Chap { users: vec!["ann".into()], own };
    let lab = Lab::with(vec![target], people(), Limits::default());
    let mut ann = Asked::at(&lab, "7");
    let response = encode_hex(&ann.right(ANN.secret));
    let (status, said) = ann.answer(ANN.user, &response, &[("CHAP_I", "1"), ("CHAP_C", "0x0102030405")]);
    assert_eq!((status, said.as_slice()), (REFUSED, &b""[..]));
}

/// Names that are nearly `ann`. libiscsi asks for those in hexadecimal and base64.
const NEARLY: [&str; 12] =
    ["a", "an", "annn", "ann ", " ann", "ann,bob", "anna", "bob", "0x616e6e", "0X616E6E", "0bYW5u", "0BYW5u"];

#[test]
fn a_user_name_is_compared_to_its_end_and_as_it_stands() {
    let lab = lab();
    for name in NEARLY.iter().copied().chain(["", "*", "\u{0430}nn"]) {
        let mut asked = Asked::at(&lab, "7");
        let response = encode_hex(&asked.right(ANN.secret));
        assert_eq!(asked.answer(name, &response, &[]).0, REFUSED, "{name:?}");
        asked.initiator.await_close();
    }
    let mut asked = Asked::at(&lab, "7");
    let response = encode_hex(&asked.right(ANN.secret));
    assert_eq!(asked.answer("ann", &response, &[]).0, 0);
    asked.goes_on();
}

#[test]
fn responses_of_every_length_and_form_are_decoded_within_bounds_cve_2021_38575() {
    let lab = lab();
    for (hash, length) in HASHES {
        for bytes in (0..=2 * length + 2).chain([63, 64, 65, 128, 255, 256, 1023, 1024]) {
            for (form, prefixes) in
                [(encode_hex as fn(&[u8]) -> String, ["0x", "0X"]), (encode_base64, ["0b", "0B"])]
            {
                for prefix in prefixes {
                    // The right response, cut short or with more behind it; but not the right length.
                    let mut asked = Asked::at(&lab, hash);
                    let mut response = asked.right(ANN.secret);
                    response.resize(bytes, 0);
                    let text = format!("{prefix}{}", &form(&response)[2..]);
                    let expected = match bytes {
                        0 => INITIATOR_ERROR,
                        bytes if bytes == length => 0,
                        _ => REFUSED,
                    };
                    assert_eq!(asked.answer(ANN.user, &text, &[]).0, expected, "{hash}: {bytes} as {prefix}");
                }
            }
        }
        let mut asked = Asked::at(&lab, hash);
        // An odd number of digits has a zero before them; the right response with one digit less is another number.
        let right = encode_hex(&asked.right(ANN.secret));
        assert_eq!(asked.answer(ANN.user, &right[..right.len() - 1], &[]).0, REFUSED, "{hash}");
    }
    for wrong in ["", "0", "0x", "0X", "0b", "0B", "0xgg", "0bA", "0b====", "0b!!!!", "616e6e", "0x 00"] {
        assert_eq!(Asked::at(&lab, "7").answer(ANN.user, wrong, &[]).0, INITIATOR_ERROR, "{wrong:?}");
    }
    for form in [encode_hex, encode_base64] {
        for bytes in [1025, 3000] {
            let text = form(&vec![7; bytes]);
            assert!(is_error(Asked::at(&lab, "7").answer(ANN.user, &text, &[]).0), "{bytes}");
        }
    }
}

#[test]
fn challenges_and_identifiers_of_the_initiator_are_decoded_within_bounds() {
    let lab = lab();
    for (identifier, challenge, is_good) in [
        ("0", "0x01", true),
        ("255", "0x1", true),
        ("0x0a", "0X0102", true),
        ("0XFF", "0BAQI=", true),
        ("256", "0x01", false),
        ("-1", "0x01", false),
        ("0x100", "0x01", false),
        ("", "0x01", false),
        ("0x", "0x01", false),
        ("18446744073709551617", "0x01", false),
        ("1", "0x", false),
        ("1", "0b", false),
        ("1", "0b=", false),
        ("1", "", false),
        ("1", &encode_hex(&[1; 1024]), true),
        ("1", &encode_hex(&[1; 1025]), false),
        ("1", &encode_base64(&[1; 1024]), true),
        ("1", &encode_base64(&[1; 1025]), false),
    ] {
        let mut asked = Asked::at(&lab, "7");
        let response = encode_hex(&asked.right(ANN.secret));
        let (status, said) =
            asked.answer(ANN.user, &response, &[("CHAP_I", identifier), ("CHAP_C", challenge)]);
        let is_right = if is_good { status == 0 } else { is_error(status) && said.is_empty() };
        assert!(is_right, "{status:04x} {identifier} {}", &challenge[..challenge.len().min(20)]);
    }
}

/// The middle one of many times that an answer takes to be refused.
fn time_to_refuse(lab: &Lab, name: &str, secret: &str) -> Duration {
    let mut times: Vec<Duration> = (0..101)
        .map(|_| {
            let mut asked = Asked::at(lab, "7");
            let response = encode_hex(&asked.right(secret));
            let began = Instant::now();
            assert_eq!(asked.answer(name, &response, &[]).0, REFUSED);
            began.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

#[test]
fn a_wrong_name_and_a_wrong_secret_get_the_same_answer_in_about_the_same_time() {
    let lab = lab();
    let answers: Vec<_> = [("nobody", ANN.secret), (ANN.user, "not ann's secret"), (ANN.user, BOB.secret)]
        .iter()
        .map(|(name, secret)| {
            let mut asked = Asked::at(&lab, "7");
            let keys = owned(&[("CHAP_N", name), ("CHAP_R", &encode_hex(&asked.right(secret)))]);
            let mut response = asked.initiator.login_step(SECURITY_TO_OPERATIONAL, &text(&keys));
            asked.initiator.await_close();
            // ISID is the connection's own.
            response.header[8..14].fill(0);
            response
        })
        .collect();
    assert_eq!(login_status(&answers[0]), REFUSED);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:02x?}");
    // A pause for either, or a look-up that waits, would be seen; a busy machine may blur it, not ten times over.
    let is_alike = (0..10).any(|_| {
        let (name, secret) =
            (time_to_refuse(&lab, "nobody", ANN.secret), time_to_refuse(&lab, ANN.user, "not ann's secret"));
        name.abs_diff(secret) < name.min(secret) / 3
    });
    assert!(is_alike, "it can be told which of the two is wrong");
}
