//! The security stage: which method, and CHAP's two steps (RFC 7143 §12.1).

use super::{Authentication, LoginStatus};
use crate::chap::{Algorithm, Challenge};
use crate::negotiation::choose;

/// Why a login can't go on.
pub(super) type Refusal = (LoginStatus, String);

/// How far the proof has come.
#[derive(Debug)]
pub(super) enum Proof {
    /// Nothing has to be proven, or it was not asked for yet.
    Open,
    /// CHAP is agreed on; the initiator offers algorithms next.
    AlgorithmDue,
    /// The initiator answers this next.
    ResponseDue(Challenge),
    /// Proven.
    Done { user: String },
}

/// The keys of the security stage that came with one request.
#[derive(Debug, Default)]
pub(super) struct Keys<'a> {
    pub(super) method: Option<&'a str>,
    pub(super) algorithms: Option<&'a str>,
    pub(super) name: Option<&'a str>,
    pub(super) response: Option<&'a str>,
    /// CHAP_I or CHAP_C: the initiator wants proof in turn.
    pub(super) mutual: bool,
}

impl<'a> Keys<'a> {
    /// Takes a pair if it is one of the security stage.
    pub(super) fn take(&mut self, key: &str, value: &'a str) -> Option<Result<(), Refusal>> {
        let place = match key {
            "AuthMethod" => &mut self.method,
            "CHAP_A" => &mut self.algorithms,
            "CHAP_N" => &mut self.name,
            "CHAP_R" => &mut self.response,
            "CHAP_I" | "CHAP_C" => {
                self.mutual = true;
                return Some(Ok(()));
            }
            _ => return None,
        };
        let before = place.replace(value);
        Some(match before {
            None => Ok(()),
            Some(_) => Err((LoginStatus::INITIATOR_ERROR, format!("the key {key} came twice"))),
        })
    }

    fn any(&self) -> bool {
        self.mutual || [self.method, self.algorithms, self.name, self.response].iter().any(Option::is_some)
    }
}

/// Answers to be sent.
pub(super) type Answers = Vec<(&'static str, String)>;

impl Proof {
    /// Whether the security stage may be left.
    pub(super) fn suffices(&self, required: Authentication) -> bool {
        match self {
            Proof::Open => required == Authentication::None,
            Proof::Done { .. } => true,
            Proof::AlgorithmDue | Proof::ResponseDue(_) => false,
        }
    }

    /// Goes on with what one request has brought. `secret` finds that of a user.
    pub(super) fn go_on(
        self,
        keys: &Keys<'_>,
        required: Authentication,
        secret: &dyn Fn(&str) -> Option<Vec<u8>>,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(Proof, Answers), Refusal> {
        if !keys.any() {
            return Ok((self, Vec::new()));
        }
        if keys.mutual {
            // Answering an initiator's challenge with the secret that it has itself would prove nothing, and would let
            // it have its own challenges answered on a second connection (RFC 7143 §9.2.1).
            return refuse("it wants proof of the target in turn (mutual CHAP), which is not configured");
        }
        match self {
            Proof::Open => match keys.method {
                Some(offered) => Proof::agree(offered, keys, required, random),
                None => Err((LoginStatus::INITIATOR_ERROR, "CHAP without AuthMethod".into())),
            },
            Proof::AlgorithmDue => Proof::challenge(keys, Vec::new(), random),
            Proof::ResponseDue(challenge) => Proof::check(&challenge, keys, secret),
            Proof::Done { .. } => Err((LoginStatus::INITIATOR_ERROR, "authentication goes on after its end".into())),
        }
    }

    fn agree(
        offered: &str,
        keys: &Keys<'_>,
        required: Authentication,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(Proof, Answers), Refusal> {
        match required {
            Authentication::None if choose(offered, &["None"]).is_some() => {
                Ok((Proof::Open, vec![("AuthMethod", "None".into())]))
            }
            Authentication::None => refuse("it insists on authentication, and this target has none configured"),
            Authentication::Chap if choose(offered, &["CHAP"]).is_some() => {
                let answers = vec![("AuthMethod", "CHAP".into())];
                match keys.algorithms {
                    Some(_) => Proof::challenge(keys, answers, random),
                    None => Ok((Proof::AlgorithmDue, answers)),
                }
            }
            Authentication::Chap => refuse("it does not offer CHAP, which is required"),
        }
    }

    fn challenge(
        keys: &Keys<'_>,
        mut answers: Answers,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(Proof, Answers), Refusal> {
        let Some(algorithm) = keys.algorithms.and_then(Algorithm::choose) else {
            return refuse("it offers no CHAP algorithm that is spoken here (5: MD5, 7: SHA-256)");
        };
        let challenge = Challenge::new(algorithm, random);
        answers.extend(challenge.pairs());
        Ok((Proof::ResponseDue(challenge), answers))
    }

    fn check(
        challenge: &Challenge,
        keys: &Keys<'_>,
        secret: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<(Proof, Answers), Refusal> {
        let (Some(name), Some(response)) = (keys.name, keys.response) else {
            return refuse("its answer to the CHAP challenge is incomplete");
        };
        let secret = secret(name);
        if !challenge.verify(secret.as_deref(), response) {
            return refuse(&format!("wrong CHAP name or secret (name {})", crate::text::shown(name)));
        }
        Ok((Proof::Done { user: name.to_string() }, Vec::new()))
    }
}

fn refuse<T>(reason: &str) -> Result<T, Refusal> {
    Err((LoginStatus::AUTHENTICATION_FAILURE, reason.to_string()))
}
