#![allow(clippy::unwrap_used)]

use super::*;
use crate::encoding::encode_hex;
use proptest::prelude::*;

fn algorithm(number: u8) -> &'static Algorithm {
    ALGORITHMS.iter().find(|known| known.number == number).unwrap()
}

#[test]
fn responses_are_those_of_the_hashes() {
    // Made with Python's hashlib from the identifier, the secret and the challenge.
    let challenge: Vec<u8> = (0..16).collect();
    for (number, expected) in [
        (5, "0x2e992b21373f7970a9b9dacd5ea13fad"),
        (6, "0x3a8bf9b22019e2602826964ddd68129ac1bcdb4b"),
        (7, "0xfeb0cb6ab679c83f53824b6b2e6060bc17559f57155c0fee6dc5d4f94d1bf5d3"),
        (8, "0x4c8a41de96d107be2aa21cd803d41a617bbad114589284e029365df391d24f8e"),
    ] {
        let response = algorithm(number).response(0x2a, b"1234567890123456", &challenge);
        assert_eq!(encode_hex(&response), expected, "{number}");
    }
}

#[test]
fn the_first_supported_algorithm_of_the_offer_is_chosen() {
    let chosen = |offer: &str| choose(offer).map(|algorithm| algorithm.number);
    assert_eq!(chosen("5"), Some(5));
    assert_eq!(chosen("5,7"), Some(5));
    assert_eq!(chosen("8,7,6,5"), Some(8));
    assert_eq!(chosen("9,6,5"), Some(6));
    assert_eq!(chosen("0x7,5"), Some(7));
    for offer in ["", "9", "10,4", "05", "5 ", "MD5", "261", "18446744073709551621"] {
        assert_eq!(chosen(offer), None, "{offer}");
    }
}

#[test]
fn challenges_have_the_length_of_their_hash_and_never_over_128_bytes() {
    for algorithm in ALGORITHMS {
        let challenge = Challenge::issue(algorithm, &mut |bytes| bytes.fill(7));
        assert_eq!(challenge.bytes, vec![7; algorithm.challenge_length]);
        assert_eq!(challenge.identifier, 7);
        assert!((16..=128).contains(&challenge.bytes.len()));
        assert_eq!(algorithm.response(1, b"x", b"y").len(), algorithm.response_length);
    }
}

#[test]
fn only_the_whole_right_response_is_accepted() {
    for algorithm in ALGORITHMS {
        let challenge = Challenge::issue(algorithm, &mut |bytes| bytes.fill(7));
        let right = algorithm.response(7, b"a secret of 20 bytes", &challenge.bytes);
        let secret = Some(&b"a secret of 20 bytes"[..]);
        assert!(challenge.verify(secret, &right));
        for length in 0..right.len() {
            assert!(!challenge.verify(secret, &right[..length]), "{length} bytes are not enough");
        }
        assert!(!challenge.verify(secret, &[&right[..], &[0]].concat()), "more is not better");
        assert!(!challenge.verify(Some(b"another secret"), &right));
        assert!(!challenge.verify(None, &right));
    }
}

#[test]
fn nobody_without_a_secret_gets_in() {
    let challenge = Challenge::issue(algorithm(7), &mut |bytes| bytes.fill(7));
    for guess in [&b""[..], b"no secret of any user"] {
        let response = challenge.algorithm.response(7, guess, &challenge.bytes);
        assert!(!challenge.verify(None, &response));
        assert!(!challenge.verify(Some(b""), &response));
    }
}

#[test]
fn a_secret_is_not_printed() {
    let identity = Identity { name: "disk".into(), secret: b"hidden".to_vec() };
    assert_eq!(format!("{identity:?}"), "Identity { name: \"disk\", .. }");
}

proptest! {
    #[test]
    fn a_changed_response_is_refused(
        at in 0usize..32,
        bit in 0u8..8,
        secret in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        let challenge = Challenge::issue(algorithm(7), &mut |bytes| bytes.fill(9));
        let mut response = challenge.algorithm.response(9, &secret, &challenge.bytes);
        prop_assert!(challenge.verify(Some(&secret), &response));
        response[at] ^= 1 << bit;
        prop_assert!(!challenge.verify(Some(&secret), &response));
    }
}
