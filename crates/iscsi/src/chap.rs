//! CHAP: proof that the initiator knows a secret (RFC 7143 §12.1.3, §9.2.1; RFC 1994).

use md5::{Digest, Md5};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::encoding::{decode, encode_hex};
use crate::text::{list, number};

/// Bytes that a response may have; the longest digest has 32.
const RESPONSE_LIMIT: usize = 64;

/// A way to hash, by its number in the registry of PPP authentication algorithms.
#[derive(Clone, Copy, Debug)]
pub struct Algorithm {
    /// As in CHAP_A.
    pub number: u8,
    challenge_length: usize,
    hash: fn(&[&[u8]]) -> Vec<u8>,
}

/// What is spoken here.
pub static ALGORITHMS: [Algorithm; 2] = [
    Algorithm { number: 5, challenge_length: 16, hash: hash::<Md5> },
    Algorithm { number: 7, challenge_length: 32, hash: hash::<Sha256> },
];

fn hash<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut digest = D::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize().to_vec()
}

impl Algorithm {
    /// The first of an offered list that is spoken here.
    pub fn choose(offered: &str) -> Option<Algorithm> {
        let mut numbers = list(offered).filter_map(number);
        numbers.find_map(|number| ALGORITHMS.iter().find(|known| u64::from(known.number) == number).copied())
    }

    /// What who knows the secret answers to a challenge.
    pub fn response(self, identifier: u8, secret: &[u8], challenge: &[u8]) -> Vec<u8> {
        (self.hash)(&[&[identifier], secret, challenge])
    }
}

/// A challenge that was sent and not answered yet.
#[derive(Clone, Debug)]
pub struct Challenge {
    algorithm: Algorithm,
    identifier: u8,
    bytes: Vec<u8>,
}

impl Challenge {
    /// Makes a challenge that nobody could guess.
    pub fn new(algorithm: Algorithm, random: &mut dyn FnMut(&mut [u8])) -> Self {
        let (mut bytes, mut identifier) = (vec![0; algorithm.challenge_length], [0]);
        random(&mut bytes);
        random(&mut identifier);
        Challenge { algorithm, identifier: identifier[0], bytes }
    }

    /// CHAP_A, CHAP_I and CHAP_C.
    pub fn pairs(&self) -> [(&'static str, String); 3] {
        [
            ("CHAP_A", self.algorithm.number.to_string()),
            ("CHAP_I", self.identifier.to_string()),
            ("CHAP_C", encode_hex(&self.bytes)),
        ]
    }

    /// Whether `response` (CHAP_R) shows knowledge of the secret. Takes as long for a user that does not exist.
    pub fn verify(&self, secret: Option<&[u8]>, response: &str) -> bool {
        let expected = self.algorithm.response(self.identifier, secret.unwrap_or(b"nobody has this"), &self.bytes);
        let given = decode(response, RESPONSE_LIMIT).unwrap_or_default();
        let equal = given.len() == expected.len() && bool::from(given.ct_eq(&expected));
        equal && secret.is_some()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn challenge(number: &str) -> Challenge {
        let mut next = 0;
        Challenge::new(Algorithm::choose(number).unwrap(), &mut |bytes| {
            bytes.fill_with(|| {
                next += 1;
                next
            });
        })
    }

    /// Made with Python's hashlib: identifier, secret and challenge one after the other.
    #[test]
    fn responses_are_those_of_other_programs() {
        let md5 = challenge("5");
        assert_eq!(md5.pairs()[1].1, "17");
        assert!(md5.verify(Some(b"secret12345"), "0xc8d760117006b14100f078ea84e70c9c"));
        let sha = challenge("7");
        assert_eq!(sha.pairs()[1].1, "33");
        assert!(sha.verify(Some(b"secret12345"), "0x3ec4b4800549e9cf93012387b9c373689747cfc7c9a0b676e1a59214e2428c2d"));
    }

    #[test]
    fn the_first_offered_algorithm_that_is_known_is_chosen() {
        assert_eq!(Algorithm::choose("8,7,5").unwrap().number, 7);
        assert_eq!(Algorithm::choose("5,7").unwrap().number, 5);
        assert!(Algorithm::choose("6,8").is_none() && Algorithm::choose("").is_none());
    }

    #[test]
    fn anything_but_the_right_response_is_refused() {
        let challenge = challenge("5");
        let right = challenge.algorithm.response(challenge.identifier, b"the secret", &challenge.bytes);
        assert!(challenge.verify(Some(b"the secret"), &encode_hex(&right)));
        assert!(!challenge.verify(None, &encode_hex(&right)));
        assert!(!challenge.verify(Some(b"another secret"), &encode_hex(&right)));
        let nobody = challenge.algorithm.response(challenge.identifier, b"nobody has this", &challenge.bytes);
        assert!(!challenge.verify(None, &encode_hex(&nobody)), "nor does nobody get in");
        for length in 0..40 {
            let mut other = right.clone();
            other.resize(length, 0);
            assert_eq!(challenge.verify(Some(b"the secret"), &encode_hex(&other)), length == 16);
        }
        for text in ["", "0x", "zzz", "0bAA==", &"0".repeat(9000)] {
            assert!(!challenge.verify(Some(b"the secret"), text));
        }
    }
}
