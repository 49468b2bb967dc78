//! The security stage: no authentication, or CHAP in one direction or both (RFC 7143 §12.1).

use timedisk_iscsi::chap::{self, BINARY_LIMIT, Challenge, Identity};
use timedisk_iscsi::encoding;
use timedisk_iscsi::keys;
use timedisk_iscsi::text::{self, Pair, Writer};

use super::{LoginError, Settings};

/// The hashes, by their numbers: SHA3-256, SHA-1, MD5, SHA-256. Some targets take 7 for SHA-1, from before
/// the numbers were registered; those know 5, too, which is why it stands before 7.
const OFFERED: &str = "8,6,5,7";

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Method,
    Challenge,
    Proof,
}

/// What follows a text.
pub(super) enum Step {
    /// This text, which may be our last of this stage.
    Say { text: Vec<u8>, is_last: bool },
    /// The next stage.
    Done,
}

/// How far the authentication is.
#[derive(Debug)]
pub(super) struct Security {
    user: Option<Identity>,
    peer: Option<Identity>,
    expected: Expected,
    /// For a challenge of our own: identifier and bytes.
    seed: (u8, Vec<u8>),
    challenge: Option<Challenge>,
}

impl Security {
    pub(super) fn new(settings: &Settings, random: &mut dyn FnMut(&mut [u8])) -> Security {
        let (mut identifier, mut bytes) = ([0], vec![0; 32]);
        random(&mut identifier);
        random(&mut bytes);
        Security {
            user: settings.user.clone(),
            peer: settings.peer.clone(),
            expected: Expected::Method,
            seed: (identifier[0], bytes),
            challenge: None,
        }
    }

    /// Adds the first offer; says whether the stage may end with it.
    pub(super) fn offer(&self, text: &mut Writer) -> bool {
        let methods = match (&self.user, &self.peer) {
            (None, _) => "None",
            (Some(_), None) => "CHAP,None",
            (Some(_), Some(_)) => "CHAP",
        };
        text.pair("AuthMethod", methods);
        self.user.is_none()
    }

    /// Takes a text of the target, with which the target may have ended the stage.
    pub(super) fn take(&mut self, pairs: &[Pair<'_>], transit: bool) -> Result<Step, LoginError> {
        let value = |key: &str| pairs.iter().find(|pair| pair.key == key).and_then(Pair::text);
        match self.expected {
            Expected::Method => self.method(value("AuthMethod"), transit),
            Expected::Challenge => self.answer(value("CHAP_A"), value("CHAP_I"), value("CHAP_C")),
            Expected::Proof if !transit => Err(LoginError::Senseless("CHAP does not end")),
            Expected::Proof => self.check(value("CHAP_N"), value("CHAP_R")),
        }
    }

    fn method(&mut self, method: Option<&str>, transit: bool) -> Result<Step, LoginError> {
        match (method, &self.user) {
            (None | Some("None"), _) if self.peer.is_some() => self.impostor(),
            (None | Some("None"), _) if transit => Ok(Step::Done),
            (Some("None"), _) => Ok(Step::Say { text: Vec::new(), is_last: true }),
            (Some("CHAP" | keys::REJECT), None) => Err(LoginError::SecretWanted),
            (Some("CHAP"), Some(_)) => {
                self.expected = Expected::Challenge;
                let mut text = Writer::default();
                text.pair("CHAP_A", OFFERED);
                Ok(Step::Say { text: text.finish(), is_last: false })
            }
            (Some(other), _) => Err(LoginError::Method(text::shown(other))),
            (None, _) => Err(LoginError::Senseless("it does not say how to log in (AuthMethod)")),
        }
    }

    fn answer(
        &mut self,
        algorithm: Option<&str>,
        identifier: Option<&str>,
        challenge: Option<&str>,
    ) -> Result<Step, LoginError> {
        let (Some(algorithm), Some(identifier), Some(challenge)) = (algorithm, identifier, challenge) else {
            return Err(LoginError::Senseless("a key of CHAP is missing"));
        };
        let known = chap::choose(algorithm).filter(|_| !algorithm.contains(','));
        let known = known.ok_or_else(|| LoginError::Method(format!("CHAP_A={}", text::shown(algorithm))))?;
        let identifier = text::number(identifier).and_then(|number| u8::try_from(number).ok());
        let identifier = identifier.ok_or(LoginError::Senseless("CHAP_I is no byte"))?;
        let challenge = encoding::decode(challenge, BINARY_LIMIT)
            .map_err(|_| LoginError::Senseless("CHAP_C is no binary value of up to 1024 bytes"))?;
        let user = self.user.as_ref().ok_or(LoginError::SecretWanted)?;
        let mut text = Writer::default();
        text.pair("CHAP_N", &user.name);
        text.pair("CHAP_R", &encoding::encode_hex(&known.response(identifier, &user.secret, &challenge)));
        if self.peer.is_some() {
            let (identifier, bytes) = (self.seed.0, self.seed.1.iter().take(known.challenge_length).copied());
            let own = Challenge { algorithm: known, identifier, bytes: bytes.collect() };
            text.pair("CHAP_I", &own.identifier.to_string());
            text.pair("CHAP_C", &encoding::encode_hex(&own.bytes));
            self.challenge = Some(own);
        }
        self.expected = Expected::Proof;
        Ok(Step::Say { text: text.finish(), is_last: true })
    }

    fn check(&self, name: Option<&str>, response: Option<&str>) -> Result<Step, LoginError> {
        let (Some(peer), Some(challenge)) = (&self.peer, &self.challenge) else { return Ok(Step::Done) };
        let response = response.and_then(|response| encoding::decode(response, BINARY_LIMIT).ok());
        let proves = response.is_some_and(|response| challenge.verify(Some(&peer.secret), &response));
        if proves && name == Some(&peer.name) { Ok(Step::Done) } else { self.impostor() }
    }

    fn impostor(&self) -> Result<Step, LoginError> {
        Err(LoginError::Impostor(self.peer.as_ref().map_or_else(String::new, |peer| peer.name.clone())))
    }
}
