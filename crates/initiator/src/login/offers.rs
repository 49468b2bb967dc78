//! The operational stage: what we offer, and what the answers come to (RFC 7143 §6.2, §13).
//!
//! All rules are in the [table of keys](timedisk_iscsi::keys).

use timedisk_iscsi::keys::{
    self, BooleanRule, IRRELEVANT, KEYS, Key, Kind, NOT_UNDERSTOOD, NumberRule, REJECT,
};
use timedisk_iscsi::parameters::{Parameters, Wishes};
use timedisk_iscsi::text::{self, Pair, Writer};

use super::{LoginError, Settings};

const MAX_CONNECTIONS: &str = "MaxConnections";

/// An offer of ours.
#[derive(Debug)]
struct Offer {
    key: &'static Key,
    value: String,
    is_answered: bool,
}

/// All offers, and what is settled so far.
#[derive(Debug)]
pub(super) struct Offers {
    offers: Vec<Offer>,
    parameters: Parameters,
}

impl Offers {
    pub(super) fn new(settings: &Settings, is_discovery: bool) -> Offers {
        let mut wishes = settings.wishes.clone();
        if is_discovery {
            // Little is said, and without digests one way of reading PDUs does for it.
            (wishes.header_digests, wishes.data_digests) = (&["None"], &["None"]);
            wishes.max_recv_data_segment_length = crate::control::SEGMENT_LIMIT as u32;
        }
        // Those of a connection only, where it joins a session (§13).
        let is_joining = settings.joined.is_some();
        let own = |key: &&Key| {
            let of_connection = matches!(key.kind, Kind::List(_) | Kind::OwnNumber(_)) && key.in_discovery;
            (key.in_discovery || !is_discovery) && (of_connection || !is_joining)
        };
        let offers = KEYS.iter().filter(own).filter_map(|key| {
            let value = match key.name {
                MAX_CONNECTIONS => settings.connections.max(1).to_string(),
                // What these could change is not used here, and old targets may not know them.
                "TaskReporting" | "iSCSIProtocolLevel" => return None,
                _ => offered(key, &wishes)?,
            };
            Some(Offer { key, value, is_answered: false })
        });
        let defaults = Parameters::default();
        let start = match &settings.joined {
            None => defaults,
            Some(joined) => Parameters {
                header_digest: defaults.header_digest,
                data_digest: defaults.data_digest,
                max_recv_data_segment_length_target: defaults.max_recv_data_segment_length_target,
                ..joined.parameters
            },
        };
        let parameters = Parameters {
            max_recv_data_segment_length_initiator: wishes.max_recv_data_segment_length,
            ..start
        };
        Offers { offers: offers.collect(), parameters }
    }

    /// The text of all offers.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = Writer::default();
        self.offers.iter().for_each(|offer| text.pair(offer.key.name, &offer.value));
        text.finish()
    }

    /// Takes the target's answers and its own offers; gives our answers to those.
    pub(super) fn take(&mut self, pairs: &[Pair<'_>]) -> Result<Vec<u8>, LoginError> {
        let mut answers = Writer::default();
        for pair in pairs {
            let wrong = || LoginError::Answer {
                key: pair.key.to_owned(),
                value: text::shown(&String::from_utf8_lossy(pair.value)),
            };
            let value = pair.text().ok_or_else(wrong)?;
            let Some(key) = keys::find(pair.key) else {
                if !keys::is_answer(value) {
                    answers.pair(pair.key, NOT_UNDERSTOOD);
                }
                continue;
            };
            let offer = self.offers.iter_mut().find(|offer| offer.key.name == key.name);
            match (offer, key.kind) {
                (_, Kind::Note | Kind::Introduction(_)) => {}
                (Some(offer), _) if !offer.is_answered => {
                    offer.is_answered = true;
                    let own = offer.value.clone();
                    self.settle(key, &own, value).ok_or_else(wrong)?;
                }
                (Some(_), _) => return Err(wrong()),
                (None, Kind::Obsolete(answer)) => answers.pair(pair.key, answer),
                (None, _) if keys::is_answer(value) => {}
                (None, _) => answers.pair(pair.key, if key.in_discovery { REJECT } else { IRRELEVANT }),
            }
        }
        Ok(answers.finish())
    }

    /// Takes an answer to our offer; `None` where the key's rule does not allow it.
    fn settle(&mut self, key: &Key, own: &str, value: &str) -> Option<()> {
        if keys::is_answer(value) {
            // The default goes on to hold.
            return Some(());
        }
        match key.kind {
            Kind::List(list) => {
                // The default, too: targets without digests say so where only digests were on offer.
                text::list(own).chain([key.default]).find(|item| *item == value)?;
                (list.settle)(&mut self.parameters, value);
            }
            Kind::Boolean(row) => {
                let (own, value) = (text::boolean(own)?, text::boolean(value)?);
                let may_be = match row.rule {
                    BooleanRule::And => own || !value,
                    BooleanRule::Or => !own || value,
                };
                *(row.field)(&mut self.parameters) = may_be.then_some(value)?;
            }
            Kind::Number(row) => {
                let own = text::number(own)?;
                let number = text::number(value)?;
                let may_be = match row.rule {
                    NumberRule::Minimum => number <= own,
                    NumberRule::Maximum => number >= own,
                };
                let number =
                    u32::try_from(number).ok().filter(|number| (row.least..=row.most).contains(number));
                *(row.field)(&mut self.parameters) = number.filter(|_| may_be)?;
            }
            Kind::OwnNumber(row) => {
                *(row.target)(&mut self.parameters) =
                    text::number(value).and_then(|value| row.value(value))?;
            }
            _ => {}
        }
        Some(())
    }

    /// What holds, with nothing above what it may not exceed.
    pub(super) fn parameters(&self) -> Parameters {
        let mut parameters = self.parameters;
        parameters.first_burst_length = parameters.first_burst_length.min(parameters.max_burst_length);
        parameters
    }
}

/// What we say for a key; `None` for keys that are not for this stage.
fn offered(key: &Key, wishes: &Wishes) -> Option<String> {
    Some(match key.kind {
        Kind::List(list) => (list.choices)(wishes).join(","),
        Kind::Boolean(row) => text::boolean_text((row.wish)(wishes)).to_owned(),
        Kind::Number(row) => (row.wish)(wishes).clamp(row.least, row.most).to_string(),
        Kind::OwnNumber(row) => (row.wish)(wishes).clamp(row.least, row.most).to_string(),
        _ => return None,
    })
}
