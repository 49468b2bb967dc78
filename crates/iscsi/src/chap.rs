//! The Challenge Handshake Authentication Protocol (RFC 7143 §12.1.3, RFC 1994).

use sha2::Digest;
use subtle::{Choice, ConstantTimeEq};

use crate::text;

/// Bytes of the longest challenge or response (RFC 7143 §12.1.3).
pub const BINARY_LIMIT: usize = 1024;

/// A hash that responses are made with.
#[derive(Clone, Copy, Debug)]
pub struct Algorithm {
    /// Its number in CHAP_A, from IANA's registry.
    pub number: u8,
    /// Its name, for people.
    pub name: &'static str,
    /// Bytes of the challenges that we issue. Old initiators hash only 255 of them, so never more
    /// than 128.
    pub challenge_length: usize,
    /// Bytes of a response.
    pub response_length: usize,
    digest: fn(&[&[u8]]) -> Vec<u8>,
}

/// Those that are supported; initiators always offer MD5 (RFC 7143 §12.1.3).
pub const ALGORITHMS: &[Algorithm] = &[
    Algorithm {
        number: 5,
        name: "MD5",
        challenge_length: 16,
        response_length: 16,
        digest: digest::<md5::Md5>,
    },
    Algorithm {
        number: 6,
        name: "SHA-1",
        challenge_length: 20,
        response_length: 20,
        digest: digest::<sha1::Sha1>,
    },
    Algorithm {
        number: 7,
        name: "SHA-256",
        challenge_length: 32,
        response_length: 32,
        digest: digest::<sha2::Sha256>,
    },
    Algorithm {
        number: 8,
        name: "SHA3-256",
        challenge_length: 32,
        response_length: 32,
        digest: digest::<sha3::Sha3_256>,
    },
];

fn digest<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut hash = D::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().to_vec()
}

/// The first algorithm of an offered list that is supported (RFC 7143 §6.2.1).
pub fn choose(offer: &str) -> Option<&'static Algorithm> {
    let numbers = text::list(offer).filter_map(text::number);
    numbers.filter_map(|number| ALGORITHMS.iter().find(|known| u64::from(known.number) == number)).next()
}

impl Algorithm {
    /// The response to a challenge.
    pub fn response(&self, identifier: u8, secret: &[u8], challenge: &[u8]) -> Vec<u8> {
        (self.digest)(&[&[identifier], secret, challenge])
    }
}

/// A challenge that waits for its response.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// What the response is to be made with.
    pub algorithm: &'static Algorithm,
    /// Goes into the response as well.
    pub identifier: u8,
    /// The challenge itself.
    pub bytes: Vec<u8>,
}

impl Challenge {
    /// Issues a new one.
    pub fn issue(algorithm: &'static Algorithm, random: &mut dyn FnMut(&mut [u8])) -> Self {
        let mut identifier = [0];
        let mut bytes = vec![0; algorithm.challenge_length];
        random(&mut identifier);
        random(&mut bytes);
        Challenge { algorithm, identifier: identifier[0], bytes }
    }

    /// Whether `response` shows that the peer knows the secret.
    ///
    /// Without a secret the answer is no, after the same work. An empty secret is none.
    pub fn verify(&self, secret: Option<&[u8]>, response: &[u8]) -> bool {
        let secret = secret.filter(|secret| !secret.is_empty());
        let hashed = secret.unwrap_or(b"no secret of any user");
        let expected = self.algorithm.response(self.identifier, hashed, &self.bytes);
        // Slices of different lengths compare as different.
        let same = expected.as_slice().ct_eq(response);
        bool::from(same & Choice::from(u8::from(secret.is_some())))
    }

    /// Whether a peer sends this very challenge back to us (RFC 7143 §9.2.1).
    pub fn is_reflected_by(&self, challenge: &[u8]) -> bool {
        self.bytes == challenge
    }
}

/// A name with the secret that proves it.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// CHAP_N.
    pub name: String,
    /// At least 12 bytes should be random (RFC 7143 §9.2.1).
    pub secret: Vec<u8>,
}

/// Without the secret.
impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Identity").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
