//! Text negotiation as a target leads it: offers come, answers go, parameters stand at the end (RFC
//! 7143 §6.2).
//!
//! All rules are in the [table of keys](crate::keys); what was not offered keeps its default.

use crate::keys::{self, IRRELEVANT, Key, Kind, NOT_UNDERSTOOD, Phase, REJECT, Sender};
use crate::parameters::{Credentials, Introduction, Parameters, Wishes};
use crate::text::{self, PAIRS_LIMIT, Pair, TextError, Writer};

/// Why a negotiation can't go on. Keys are as the peer sent them, which is in ASCII without control
/// characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NegotiationError {
    /// The text can't be taken apart.
    #[error("{0}")]
    Text(#[from] TextError),
    /// A key came twice (§6.3: a login is refused for it).
    #[error("the key {0} came twice")]
    Repeated(String),
    /// A key came at a time when it may not, or it is not for an initiator to send.
    #[error("the key {0} does not belong here")]
    Misplaced(String),
    /// More than [`PAIRS_LIMIT`] keys in all.
    #[error("there were more than {PAIRS_LIMIT} keys")]
    TooManyKeys,
}

/// A negotiation under way.
#[derive(Clone, Debug)]
pub struct Negotiation {
    wishes: Wishes,
    parameters: Parameters,
    introduction: Introduction,
    credentials: Credentials,
    send_targets: Option<String>,
    /// Keys that have come, and of declarations what they said.
    seen: Vec<(String, Option<Vec<u8>>)>,
    declared: bool,
}

/// An offer that is in order.
struct Offer<'a> {
    index: usize,
    key: &'static Key,
    value: &'a str,
}

impl Negotiation {
    /// A login's, that starts from the defaults.
    pub fn new(wishes: Wishes) -> Self {
        Negotiation {
            wishes,
            parameters: Parameters::default(),
            introduction: Introduction::default(),
            credentials: Credentials::default(),
            send_targets: None,
            seen: Vec::new(),
            declared: false,
        }
    }

    /// One after the login, that starts from what holds.
    pub fn after_login(parameters: Parameters) -> Self {
        Negotiation { parameters, declared: true, ..Negotiation::new(Wishes::default()) }
    }

    /// Takes a whole text and writes the answers, in the order of the offers.
    ///
    /// # Errors
    /// [`NegotiationError`] if the text as a whole is hopeless. A value that does not fit its key
    /// is only rejected.
    pub fn answer(&mut self, text: &[u8], phase: Phase, out: &mut Writer) -> Result<(), NegotiationError> {
        let found = text::pairs(text)?;
        let mut answers: Vec<Option<String>> = vec![None; found.len()];
        let mut offers = Vec::with_capacity(found.len());
        for (index, pair) in found.iter().enumerate() {
            let Some(answer) = answers.get_mut(index) else {
                continue;
            };
            match self.screen(pair, phase)? {
                Screened::Offer(key, value) => offers.push(Offer { index, key, value }),
                Screened::Answered(text) => *answer = Some(text.to_owned()),
                Screened::Silent => {}
            }
        }
        // Stable, so that offers of one rank keep their order.
        offers.sort_by_key(|offer| offer.key.rank());
        for offer in offers {
            if let Some(answer) = answers.get_mut(offer.index) {
                *answer = self.settle(offer.key, offer.value);
            }
        }
        for (pair, answer) in found.iter().zip(answers) {
            if let Some(answer) = answer {
                out.pair(pair.key, &answer);
            }
        }
        Ok(())
    }

    /// Declares what is our own to declare, once.
    pub fn declare(&mut self, out: &mut Writer) {
        if std::mem::replace(&mut self.declared, true) {
            return;
        }
        for key in keys::KEYS {
            if let Kind::OwnNumber(row) = key.kind {
                let value = (row.wish)(&self.wishes).clamp(row.least, row.most);
                *(row.target)(&mut self.parameters) = value;
                out.pair(key.name, &value.to_string());
            }
        }
    }

    /// What the initiator has said about itself so far.
    pub fn introduction(&self) -> &Introduction {
        &self.introduction
    }

    /// The credentials that have come since the last call.
    pub fn take_credentials(&mut self) -> Credentials {
        std::mem::take(&mut self.credentials)
    }

    /// The question for targets that has come since the last call.
    pub fn take_send_targets(&mut self) -> Option<String> {
        self.send_targets.take()
    }

    /// What is settled, with nothing above what it may not exceed.
    pub fn parameters(&self) -> Parameters {
        let mut parameters = self.parameters;
        for key in keys::KEYS {
            if let Kind::Number(number) = key.kind
                && let Some(cap) = number.cap
            {
                let most = cap(&parameters);
                let field = (number.field)(&mut parameters);
                *field = most.min(*field);
            }
        }
        parameters
    }

    fn screen<'a>(&mut self, pair: &Pair<'a>, phase: Phase) -> Result<Screened<'a>, NegotiationError> {
        let Some(key) = keys::find(pair.key) else {
            self.note(pair, false)?;
            return Ok(Screened::Answered(NOT_UNDERSTOOD));
        };
        let value = pair.text().filter(|value| value.len() <= key.limit);
        let is_credential = matches!(key.kind, Kind::Credential(_));
        if value.is_some_and(keys::is_answer) && !is_credential {
            // To a declaration of ours, the only thing that a target here says unasked.
            return Ok(Screened::Silent);
        }
        if !key.is_allowed(phase) || key.sender == Sender::Target {
            return match phase {
                Phase::FullFeature => Ok(Screened::Answered(REJECT)),
                _ => Err(NegotiationError::Misplaced(pair.key.to_owned())),
            };
        }
        if !self.note(pair, key.is_declaration())? {
            return Ok(Screened::Silent);
        }
        Ok(match value {
            Some(value) => Screened::Offer(key, value),
            None => Screened::Answered(REJECT),
        })
    }

    /// Remembers a key. `false` if it is a declaration that was made before in the same words.
    fn note(&mut self, pair: &Pair<'_>, declaration: bool) -> Result<bool, NegotiationError> {
        match self.seen.iter().find(|(name, _)| name == pair.key) {
            Some((_, Some(before))) if declaration && before == pair.value => return Ok(false),
            Some(_) => return Err(NegotiationError::Repeated(pair.key.to_owned())),
            None if self.seen.len() == PAIRS_LIMIT => return Err(NegotiationError::TooManyKeys),
            None => {}
        }
        self.seen.push((pair.key.to_owned(), declaration.then(|| pair.value.to_vec())));
        Ok(true)
    }

    fn settle(&mut self, key: &Key, value: &str) -> Option<String> {
        if self.introduction.is_discovery() && !key.in_discovery {
            return Some(IRRELEVANT.to_owned());
        }
        let accepted = match key.kind {
            Kind::List(list) => list.result(value, &self.wishes).map(|choice| {
                (list.settle)(&mut self.parameters, choice);
                choice.to_owned()
            }),
            Kind::Boolean(row) => text::boolean(value).map(|offer| {
                let result = row.result(offer, &self.wishes);
                *(row.field)(&mut self.parameters) = result;
                text::boolean_text(result).to_owned()
            }),
            Kind::Number(row) => {
                let result =
                    text::number(value).and_then(|offer| row.result(offer, &self.wishes, &self.parameters));
                result.map(|result| {
                    *(row.field)(&mut self.parameters) = result;
                    result.to_string()
                })
            }
            Kind::OwnNumber(row) => {
                let declared = text::number(value).and_then(|declared| row.value(declared));
                return match declared {
                    Some(declared) => {
                        *(row.initiator)(&mut self.parameters) = declared;
                        None
                    }
                    None => Some(REJECT.to_owned()),
                };
            }
            Kind::Introduction(take) => {
                take(&mut self.introduction, value.to_owned());
                return None;
            }
            Kind::Credential(take) => {
                take(&mut self.credentials, value.to_owned());
                return None;
            }
            Kind::SendTargets => {
                self.send_targets = Some(value.to_owned());
                return None;
            }
            Kind::Note => return None,
            Kind::Obsolete(answer) => Some(answer.to_owned()),
        };
        Some(accepted.unwrap_or_else(|| REJECT.to_owned()))
    }
}

/// What comes of a pair before its value is looked at.
enum Screened<'a> {
    Offer(&'static Key, &'a str),
    Answered(&'static str),
    Silent,
}

#[cfg(test)]
mod tests;
