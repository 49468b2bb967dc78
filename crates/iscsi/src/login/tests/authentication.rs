use super::*;
use crate::chap::{ALGORITHMS, Algorithm};
use crate::encoding::{decode, encode_base64, encode_hex};

const OWN_SECRET: &[u8] = b"the target's own";

fn locked(flags: u8, offer: &str) -> (Bench, LoginResponse) {
    locked_at(House::default(), flags, offer)
}

fn locked_at(house: House, flags: u8, offer: &str) -> (Bench, LoginResponse) {
    let mut bench = Bench::with(house);
    let response = bench.ok(flags, &format!("{} AuthMethod={offer}", names(LOCKED)));
    (bench, response)
}

/// Goes on until the challenge is out.
fn challenged(house: House, offer: &str) -> (Bench, &'static Algorithm, u8, Vec<u8>) {
    let (mut bench, _) = locked_at(house, STAY_SECURITY, "CHAP");
    let response = bench.ok(STAY_SECURITY, &format!("CHAP_A={offer}"));
    let number: u8 = value(&response, "CHAP_A").parse().unwrap();
    let algorithm = ALGORITHMS.iter().find(|known| known.number == number).unwrap();
    let identifier = value(&response, "CHAP_I").parse().unwrap();
    let challenge = decode(&value(&response, "CHAP_C"), 128).unwrap();
    (bench, algorithm, identifier, challenge)
}

/// A right response as text, in a bench that waits for it.
fn responded(house: House, offer: &str) -> (Bench, &'static Algorithm, String) {
    let (bench, algorithm, identifier, challenge) = challenged(house, offer);
    (bench, algorithm, encode_hex(&algorithm.response(identifier, SECRET, &challenge)))
}

#[test]
fn chap_lets_the_right_user_in_with_every_algorithm() {
    for (offer, chosen) in [("5", 5), ("6", 6), ("7,5", 7), ("5,7", 5), ("8,6,7,5", 8), ("9,4,7", 7)] {
        let (mut bench, algorithm, right) = responded(House::default(), offer);
        assert_eq!(algorithm.number, chosen, "{offer}");
        let response = bench.ok(SECURITY_TO_OPERATIONAL, &format!("CHAP_N={USER} CHAP_R={right}"));
        assert!(response.transit && response.nsg == 1);
        assert_eq!(value(&response, "TargetAlias"), "Vault");
        let (_, established) = bench.end(OPERATIONAL_TO_END, "InitialR2T=No");
        assert_eq!(established.session.authenticated_user.as_deref(), Some(USER));
        assert_eq!(*bench.house.asked.borrow(), [(Some(LOCKED.to_owned()), USER.to_owned())]);
    }
}

#[test]
fn a_response_may_be_base64_or_capital_hexadecimal() {
    let as_base64 = |right: &str| encode_base64(&decode(right, 64).unwrap());
    let as_capitals = |right: &str| right.to_uppercase();
    for write in [&as_base64 as &dyn Fn(&str) -> String, &as_capitals] {
        let (mut bench, _, right) = responded(House::default(), "7");
        bench.end(SECURITY_TO_END, &format!("CHAP_N={USER} CHAP_R={}", write(&right)));
    }
}

#[test]
fn a_stage_is_not_left_before_the_initiator_is_known() {
    let (mut bench, response) = locked(SECURITY_TO_END, "CHAP,None");
    assert!(!response.transit);
    assert_eq!(value(&response, "AuthMethod"), "CHAP");
    assert!(!said(&response).contains("TargetAlias"), "nor is anything told");
    let response = bench.ok(SECURITY_TO_END, "CHAP_A=5");
    assert!(!response.transit);
    assert!(bench.house.admitted.is_empty());
}

#[test]
fn the_first_step_may_come_with_the_offer() {
    let mut bench = Bench::new();
    let response = bench.ok(STAY_SECURITY, &format!("{} AuthMethod=CHAP CHAP_A=7", names(LOCKED)));
    assert_eq!((value(&response, "AuthMethod"), value(&response, "CHAP_A")), ("CHAP".into(), "7".into()));
}

#[test]
fn challenges_and_identifiers_come_from_the_source_that_was_given_cve_2024_45751() {
    let (_, _, identifier, challenge) = challenged(House::default(), "5");
    assert_eq!((identifier, challenge), (0x41, vec![0x42; 16]));
    let (_, _, _, challenge) = challenged(House::default(), "7");
    assert_eq!(challenge, vec![0x42; 32]);
}

#[test]
fn a_wrong_name_and_a_wrong_secret_look_the_same() {
    let right_name = responded(House::default(), "7").2;
    let wrong = encode_hex(&[0; 32]);
    for (name, response) in [("mallory", &right_name), (USER, &wrong), ("mallory", &wrong)] {
        let (mut bench, _, _) = responded(House::default(), "7");
        let (status, reason) = bench.fail(SECURITY_TO_END, &format!("CHAP_N={name} CHAP_R={response}"));
        assert_eq!(status, LoginStatus::AUTHENTICATION_FAILURE);
        let expected = format!("authentication failure (0201): no such user, or not his secret: {name}");
        assert_eq!(reason, expected);
        assert_eq!(bench.house.asked.borrow().len(), 1, "the user is looked up all the same");
    }
}

#[test]
fn a_name_is_compared_in_full_as_libiscsi_tests_it() {
    for name in ["alic", "alicea", "Alice", "0x616c696365", "0bYWxpY2U=", "alice%00"] {
        let (mut bench, _, right) = responded(House::default(), "5");
        let (status, _) = bench.fail(SECURITY_TO_END, &format!("CHAP_N={name} CHAP_R={right}"));
        assert_eq!(status, LoginStatus::AUTHENTICATION_FAILURE, "{name}");
    }
}

#[test]
fn a_response_of_any_wrong_length_is_refused() {
    for length in (1..80).filter(|length| *length != 32).chain([1023, 1024]) {
        for text in [encode_hex(&vec![7; length]), encode_base64(&vec![7; length])] {
            let (mut bench, _, _) = responded(House::default(), "7");
            let (status, _) = bench.fail(SECURITY_TO_END, &format!("CHAP_N={USER} CHAP_R={text}"));
            assert_eq!(status, LoginStatus::AUTHENTICATION_FAILURE, "{length} bytes");
        }
    }
    let oversize = encode_base64(&[7; 1025]);
    for text in ["", "0x", "7", "0xzz", "0b=", "0b!", oversize.as_str()] {
        let (mut bench, _, _) = responded(House::default(), "7");
        let (status, _) = bench.fail(SECURITY_TO_END, &format!("CHAP_N={USER} CHAP_R={text}"));
        assert_eq!(status, LoginStatus::INITIATOR_ERROR, "{text}");
    }
}

#[test]
fn authentication_can_not_be_left_out() {
    let skip = Bench::new().fail(OPERATIONAL_TO_END, &names(LOCKED));
    let empty = Bench::new().fail(SECURITY_TO_END, &names(LOCKED));
    let none = Bench::new().fail(SECURITY_TO_OPERATIONAL, &format!("{} AuthMethod=None", names(LOCKED)));
    let other = Bench::new().fail(STAY_SECURITY, &format!("{} AuthMethod=KRB5,SRP", names(LOCKED)));
    let reject = Bench::new().fail(STAY_SECURITY, &format!("{} AuthMethod=Reject", names(LOCKED)));
    for (status, reason) in [skip, empty, none, other, reject] {
        assert_eq!(status, LoginStatus::AUTHENTICATION_FAILURE, "{reason}");
    }
    let mut bench = Bench::new();
    bench.ok(STAY_SECURITY, &names(LOCKED));
    assert_eq!(bench.fail(SECURITY_TO_END, "").0, LoginStatus::AUTHENTICATION_FAILURE);
}

#[test]
fn an_open_target_does_not_ask_and_can_not_be_asked() {
    let (status, reason) = Bench::new().fail(STAY_SECURITY, &format!("{} AuthMethod=CHAP", names(OPEN)));
    assert_eq!(status, LoginStatus::AUTHENTICATION_FAILURE);
    assert!(reason.contains("None is needed"), "{reason}");
}

#[test]
fn steps_of_chap_have_their_keys_and_their_order() {
    let cases = [
        ("", LoginStatus::MISSING_PARAMETER),
        ("CHAP_N=alice CHAP_R=0x00", LoginStatus::MISSING_PARAMETER),
        ("CHAP_A=5 CHAP_N=alice", LoginStatus::INITIATOR_ERROR),
        ("CHAP_A=9", LoginStatus::AUTHENTICATION_FAILURE),
        ("AuthMethod=CHAP", LoginStatus::INITIATOR_ERROR),
    ];
    for (text, status) in cases {
        let (mut bench, _) = locked(STAY_SECURITY, "CHAP");
        assert_eq!(bench.fail(SECURITY_TO_END, text).0, status, "{text}");
    }
    let cases = [
        ("", LoginStatus::MISSING_PARAMETER),
        ("CHAP_N=alice", LoginStatus::MISSING_PARAMETER),
        ("CHAP_R=0x00", LoginStatus::MISSING_PARAMETER),
        ("CHAP_A=5", LoginStatus::INITIATOR_ERROR),
        ("CHAP_N=alice CHAP_R=0x00 CHAP_I=1", LoginStatus::MISSING_PARAMETER),
        ("CHAP_N=alice CHAP_R=0x00 CHAP_I=256 CHAP_C=0x00", LoginStatus::INITIATOR_ERROR),
        ("CHAP_N=alice CHAP_R=0x00 CHAP_I=1 CHAP_C=0x", LoginStatus::INITIATOR_ERROR),
    ];
    for (text, status) in cases {
        let (mut bench, _, _) = responded(House::default(), "5");
        assert_eq!(bench.fail(SECURITY_TO_END, text).0, status, "{text}");
    }
    let early = Bench::new().fail(STAY_SECURITY, &format!("{} CHAP_A=5", names(LOCKED)));
    assert_eq!(early.0, LoginStatus::INITIATOR_ERROR);
}

#[test]
fn a_second_try_needs_a_second_connection() {
    let (mut bench, _, right) = responded(House::default(), "5");
    bench.fail(SECURITY_TO_END, &format!("CHAP_N={USER} CHAP_R=0x00"));
    bench.fail(SECURITY_TO_END, &format!("CHAP_N={USER} CHAP_R={right}"));
    assert!(bench.house.admitted.is_empty());
}

#[test]
fn discovery_can_ask_for_a_secret_too() {
    let mut bench = Bench::with(House { locked_discovery: true, ..House::default() });
    let hello = format!("InitiatorName={INITIATOR} SessionType=Discovery");
    bench.ok(STAY_SECURITY, &format!("{hello} AuthMethod=CHAP"));
    let response = bench.ok(STAY_SECURITY, "CHAP_A=5");
    let challenge = decode(&value(&response, "CHAP_C"), 16).unwrap();
    let identifier = value(&response, "CHAP_I").parse().unwrap();
    let right = encode_hex(&ALGORITHMS[0].response(identifier, SECRET, &challenge));
    let (_, established) = bench.end(SECURITY_TO_END, &format!("CHAP_N={USER} CHAP_R={right}"));
    assert!(established.session.is_discovery());
    assert_eq!(*bench.house.asked.borrow(), [(None, USER.to_owned())]);
    let mut bench = Bench::with(House { locked_discovery: true, ..House::default() });
    assert_eq!(bench.fail(OPERATIONAL_TO_END, &hello).0, LoginStatus::AUTHENTICATION_FAILURE);
}

fn with_identity() -> House {
    let own = Identity { name: "vault".into(), secret: OWN_SECRET.to_vec() };
    House { own: Some(own), ..House::default() }
}

#[test]
fn the_target_shows_who_it_is_to_those_who_ask_in_hexadecimal_or_decimal() {
    for identifier in ["7", "0x07"] {
        let (mut bench, algorithm, right) = responded(with_identity(), "7");
        let ask = format!("CHAP_N={USER} CHAP_R={right} CHAP_I={identifier} CHAP_C=0x0123456789");
        let (response, _) = bench.end(SECURITY_TO_END, &ask);
        assert_eq!(value(&response, "CHAP_N"), "vault");
        let expected = algorithm.response(7, OWN_SECRET, &[1, 0x23, 0x45, 0x67, 0x89]);
        assert_eq!(value(&response, "CHAP_R"), encode_hex(&expected));
    }
}

#[test]
fn the_target_shows_nothing_to_those_who_have_not_shown_who_they_are() {
    let (mut bench, _, _) = responded(with_identity(), "5");
    let ask = format!("CHAP_N={USER} CHAP_R={} CHAP_I=7 CHAP_C=0x01", encode_hex(&[0; 16]));
    let Step::Refused(response, _) = bench.say(SECURITY_TO_END, &ask) else { panic!("it is refused") };
    assert!(response.data.is_empty());
}

#[test]
fn without_a_secret_of_its_own_a_target_can_not_be_asked() {
    let (mut bench, _, right) = responded(House::default(), "5");
    let (status, _) =
        bench.fail(SECURITY_TO_END, &format!("CHAP_N={USER} CHAP_R={right} CHAP_I=7 CHAP_C=0x01"));
    assert_eq!(status, LoginStatus::AUTHENTICATION_FAILURE);
    let own = Identity { name: "vault".into(), secret: SECRET.to_vec() };
    let (mut bench, _, right) = responded(House { own: Some(own), ..House::default() }, "5");
    let ask = format!("CHAP_N={USER} CHAP_R={right} CHAP_I=7 CHAP_C=0x01");
    assert_eq!(
        bench.fail(SECURITY_TO_END, &ask).0,
        LoginStatus::AUTHENTICATION_FAILURE,
        "nor with the user's"
    );
}

#[test]
fn a_challenge_of_ours_is_not_answered() {
    let (mut bench, algorithm, identifier, challenge) = challenged(with_identity(), "5");
    let right = encode_hex(&algorithm.response(identifier, SECRET, &challenge));
    let reflect = format!("CHAP_N={USER} CHAP_R={right} CHAP_I=7 CHAP_C={}", encode_base64(&challenge));
    let (status, reason) = bench.fail(SECURITY_TO_END, &reflect);
    assert_eq!(status, LoginStatus::AUTHENTICATION_FAILURE);
    assert!(reason.contains("challenge of ours"), "{reason}");
}

#[test]
fn where_either_will_do_the_initiator_chooses_and_a_wrong_secret_is_still_wrong() {
    for (offer, chosen) in [("None", "None"), ("CHAP,None", "None"), ("CHAP", "CHAP")] {
        let mut bench = Bench::new();
        let response = bench.ok(STAY_SECURITY, &format!("{} AuthMethod={offer}", names(EITHER)));
        assert_eq!(value(&response, "AuthMethod"), chosen, "{offer}");
    }
    let mut bench = Bench::new();
    bench.ok(STAY_SECURITY, &format!("{} AuthMethod=CHAP", names(EITHER)));
    bench.ok(STAY_SECURITY, "CHAP_A=5");
    let wrong = format!("CHAP_N={USER} CHAP_R=0x{}", "00".repeat(16));
    assert_eq!(bench.fail(SECURITY_TO_END, &wrong).0, LoginStatus::AUTHENTICATION_FAILURE);
    let mut bench = Bench::new();
    assert_eq!(bench.fail(STAY_SECURITY, &format!("{} AuthMethod=SRP", names(EITHER))).0.class(), 2);
}
