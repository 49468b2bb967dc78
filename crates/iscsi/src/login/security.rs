//! The security stage of a login: which method, and CHAP step by step (RFC 7143 §6.3.2, §12.1).

use super::{Authentication, LoginStatus, Policy, Refusal};
use crate::chap::{self, BINARY_LIMIT, Challenge};
use crate::encoding;
use crate::parameters::Credentials;
use crate::text::{self, Writer};

/// How far the exchange has come.
#[derive(Debug)]
pub(super) enum Exchange {
    /// No method has been offered.
    Open,
    /// CHAP is agreed; the initiator is to offer its algorithms.
    Algorithm,
    /// A challenge is out.
    Response(Challenge),
    /// Nothing more is to be shown.
    Done {
        /// Who it is, if that was shown.
        user: Option<String>,
    },
}

/// What an exchange needs to know, and to ask.
pub(super) struct Door<'a> {
    pub(super) required: Authentication,
    /// `None` for discovery.
    pub(super) target: Option<&'a str>,
    pub(super) policy: &'a dyn Policy,
    pub(super) random: &'a mut dyn FnMut(&mut [u8]),
}

/// What the initiator asks of us in turn.
struct Counter {
    identifier: u8,
    challenge: Vec<u8>,
}

impl Authentication {
    /// The names of the methods that are good enough, the best first.
    fn methods(self) -> &'static [&'static str] {
        match self {
            Authentication::None => &["None"],
            Authentication::Optional => &["None", "CHAP"],
            Authentication::Chap => &["CHAP"],
        }
    }
}

fn failure(reason: impl Into<String>) -> Refusal {
    Refusal::new(LoginStatus::AUTHENTICATION_FAILURE, reason)
}

fn missing(what: &str) -> Refusal {
    Refusal::new(LoginStatus::MISSING_PARAMETER, format!("this step of CHAP needs {what}"))
}

impl Exchange {
    /// Whether the initiator may go on.
    pub(super) fn is_done(&self, required: Authentication) -> bool {
        match self {
            Exchange::Open => required != Authentication::Chap,
            Exchange::Done { .. } => true,
            Exchange::Algorithm | Exchange::Response(_) => false,
        }
    }

    /// Whether nothing has been offered although something is required.
    pub(super) fn is_skipped(&self, required: Authentication) -> bool {
        matches!(self, Exchange::Open) && !self.is_done(required)
    }

    /// Who it is, if that was shown.
    pub(super) fn user(&self) -> Option<String> {
        match self {
            Exchange::Done { user } => user.clone(),
            _ => None,
        }
    }

    /// Takes what a whole text said. Each step has its keys: any other, or one too few, ends the
    /// login
    /// (RFC 7143 §9.2).
    pub(super) fn step(
        self,
        mut keys: Credentials,
        door: &mut Door<'_>,
        out: &mut Writer,
    ) -> Result<Exchange, Refusal> {
        let method = keys.method.take();
        match (self, method) {
            (Exchange::Open, Some(offer)) => match choose(&offer, door.required, out)? {
                // Some send the first step along with the offer.
                Exchange::Algorithm if keys != Credentials::default() => challenge(keys, door, out),
                exchange => exchange.rest(keys),
            },
            (Exchange::Algorithm, None) => challenge(keys, door, out),
            (Exchange::Response(challenge), None) => check(&challenge, keys, door, out),
            (exchange @ (Exchange::Open | Exchange::Done { .. }), None) => exchange.rest(keys),
            (_, Some(_)) => Err(Refusal::initiator_error("AuthMethod came when a method had been chosen")),
        }
    }

    /// Stays, if no more keys came.
    fn rest(self, keys: Credentials) -> Result<Exchange, Refusal> {
        if keys == Credentials::default() {
            return Ok(self);
        }
        Err(Refusal::initiator_error("keys of CHAP came that this step does not have"))
    }
}

/// Chooses the method.
fn choose(offer: &str, required: Authentication, out: &mut Writer) -> Result<Exchange, Refusal> {
    let methods = required.methods();
    let Some(method) = methods.iter().find(|method| text::list(offer).any(|item| item == **method)) else {
        let (offer, needed) = (text::shown(offer), methods.join(" or "));
        return Err(failure(format!("the initiator offers AuthMethod={offer}, where {needed} is needed")));
    };
    out.pair("AuthMethod", method);
    Ok(if *method == "CHAP" { Exchange::Algorithm } else { Exchange::Done { user: None } })
}

/// CHAP's first step: the algorithm, and our challenge.
fn challenge(mut keys: Credentials, door: &mut Door<'_>, out: &mut Writer) -> Result<Exchange, Refusal> {
    let offer = keys.algorithm.take().ok_or_else(|| missing("CHAP_A"))?;
    let algorithm = chap::choose(&offer)
        .ok_or_else(|| failure(format!("none of CHAP_A={} is supported", text::shown(&offer))))?;
    let challenge = Challenge::issue(algorithm, door.random);
    door.policy.note_challenge(&challenge.bytes);
    out.pair("CHAP_A", &algorithm.number.to_string());
    out.pair("CHAP_I", &challenge.identifier.to_string());
    out.pair("CHAP_C", &encoding::encode_hex(&challenge.bytes));
    Exchange::Response(challenge).rest(keys)
}

/// CHAP's second step: the initiator's response, and ours if it wants one.
fn check(
    challenge: &Challenge,
    mut keys: Credentials,
    door: &Door<'_>,
    out: &mut Writer,
) -> Result<Exchange, Refusal> {
    let name = keys.name.take().ok_or_else(|| missing("CHAP_N"))?;
    let response = keys.response.take().ok_or_else(|| missing("CHAP_R"))?;
    let response = encoding::decode(&response, BINARY_LIMIT).map_err(|error| malformed("CHAP_R", &error))?;
    let counter = match (keys.identifier.take(), keys.challenge.take()) {
        (Some(identifier), Some(challenge)) => Some(Counter::read(&identifier, &challenge)?),
        (None, None) => None,
        _ => return Err(missing("both CHAP_I and CHAP_C, or neither")),
    };
    // The same work and the same words, whether the name is wrong or the secret.
    let secret = door.policy.secret(door.target, &name);
    if !challenge.verify(secret.as_deref(), &response) {
        return Err(failure(format!("no such user, or not his secret: {}", text::shown(&name))));
    }
    if let Some(counter) = counter {
        answer(&counter, challenge, secret.as_deref().unwrap_or_default(), door, out)?;
    }
    Exchange::Done { user: Some(name) }.rest(keys)
}

/// Shows who we are, once the initiator has shown who it is.
fn answer(
    counter: &Counter,
    ours: &Challenge,
    secret: &[u8],
    door: &Door<'_>,
    out: &mut Writer,
) -> Result<(), Refusal> {
    // On this connection, or on another one, for which an answer is wanted here.
    if ours.is_reflected_by(&counter.challenge) || door.policy.has_issued(&counter.challenge) {
        return Err(failure("the initiator sent a challenge of ours back to us"));
    }
    let own = door.policy.own_identity(door.target);
    let own = own.ok_or_else(|| {
        failure("the initiator wants the target to authenticate itself, which has no secret")
    })?;
    if own.secret.is_empty() || own.secret == secret {
        return Err(failure("the target's secret is empty, or the user's own: configure another"));
    }
    let response = ours.algorithm.response(counter.identifier, &own.secret, &counter.challenge);
    out.pair("CHAP_N", &own.name);
    out.pair("CHAP_R", &encoding::encode_hex(&response));
    Ok(())
}

impl Counter {
    fn read(identifier: &str, challenge: &str) -> Result<Counter, Refusal> {
        let identifier = text::number(identifier).and_then(|number| u8::try_from(number).ok());
        Ok(Counter {
            identifier: identifier.ok_or_else(|| malformed("CHAP_I", &"it is no number from 0 to 255"))?,
            challenge: encoding::decode(challenge, BINARY_LIMIT)
                .map_err(|error| malformed("CHAP_C", &error))?,
        })
    }
}

fn malformed(key: &str, error: &dyn std::fmt::Display) -> Refusal {
    Refusal::initiator_error(format!("{key} can't be read: {error}"))
}
