//! Negotiation of operational keys, as the one who answers (RFC 7143 §6.2).

use crate::keys::{Rule, find};
use crate::parameters::{Parameters, Wishes};
use crate::text::{boolean, boolean_text, list, number};

/// Keys that one login may bring; far more than there are.
const OFFERS_LIMIT: usize = 256;

/// An initiator that negotiates against the rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NegotiationError {
    /// RFC 7143 §6.2: a key may be negotiated once.
    #[error("the key {0} was negotiated twice")]
    Twice(String),
    /// More keys than make sense.
    #[error("more than {OFFERS_LIMIT} text keys")]
    TooMany,
    /// Only a target may say this.
    #[error("the key {0} is a target's to send")]
    NotYours(&'static str),
}

/// The target's side of a negotiation.
#[derive(Debug)]
pub struct Negotiator {
    wishes: Wishes,
    parameters: Parameters,
    offers: Vec<(String, String)>,
}

impl Negotiator {
    /// Nothing is settled yet but the defaults, and what we declare.
    pub fn new(wishes: Wishes) -> Self {
        let parameters =
            Parameters { max_recv_data_segment_length_target: wishes.max_recv_data_segment_length, ..Parameters::default() };
        Negotiator { wishes, parameters, offers: Vec::new() }
    }

    /// What is settled. FirstBurstLength never goes past MaxBurstLength (§13.14).
    pub fn parameters(&self) -> Parameters {
        let parameters = self.parameters;
        Parameters { first_burst_length: parameters.first_burst_length.min(parameters.max_burst_length), ..parameters }
    }

    /// Takes an offer. The answer, where one is due.
    pub fn offer(&mut self, name: &str, value: &str) -> Result<Option<String>, NegotiationError> {
        match self.offers.iter().find(|(known, _)| known == name) {
            // Some initiators declare a thing again in each stage; the same again does no harm.
            Some((_, before)) if before == value => return Ok(None),
            Some(_) => return Err(NegotiationError::Twice(name.to_string())),
            None if self.offers.len() >= OFFERS_LIMIT => return Err(NegotiationError::TooMany),
            None => self.offers.push((name.to_string(), value.to_string())),
        }
        let Some(key) = find(name) else { return Ok(Some("NotUnderstood".to_string())) };
        let answer = match &key.rule {
            Rule::List(values, set) => choose(value, values).map(|place| {
                set(&mut self.parameters, place);
                values.get(place).copied().unwrap_or("None").to_string()
            }),
            Rule::BothYes(set) => boolean(value).map(|theirs| self.boolean(theirs, *set)),
            Rule::EitherYes(ours, set) => boolean(value).map(|theirs| self.boolean(theirs || *ours, *set)),
            Rule::Smaller(low, high, ours, set) => {
                within(value, *low, *high).map(|theirs| self.number(theirs.min(ours(&self.wishes)), *set))
            }
            Rule::Larger(low, high, ours, set) => {
                within(value, *low, *high).map(|theirs| self.number(theirs.max(ours(&self.wishes)), *set))
            }
            Rule::OwnNumber(low, high, set) => match within(value, *low, *high) {
                Some(theirs) => {
                    set(&mut self.parameters, theirs);
                    return Ok(None);
                }
                None => None,
            },
            Rule::Answer(answer) => Some((*answer).to_string()),
            Rule::TargetsOnly => return Err(NegotiationError::NotYours(key.name)),
        };
        Ok(Some(answer.unwrap_or_else(|| "Reject".to_string())))
    }

    fn boolean(&mut self, value: bool, set: fn(&mut Parameters, bool)) -> String {
        set(&mut self.parameters, value);
        boolean_text(value).to_string()
    }

    fn number(&mut self, value: u32, set: fn(&mut Parameters, u32)) -> String {
        set(&mut self.parameters, value);
        value.to_string()
    }
}

/// The place, among ours, of the first offered value that is ours too (§6.2.1).
pub fn choose(offered: &str, ours: &[&str]) -> Option<usize> {
    list(offered).find_map(|value| ours.iter().position(|known| *known == value))
}

fn within(value: &str, low: u32, high: u32) -> Option<u32> {
    u32::try_from(number(value)?).ok().filter(|number| (low..=high).contains(number))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn negotiator() -> Negotiator {
        Negotiator::new(Wishes::default())
    }

    fn answer(name: &str, value: &str) -> String {
        negotiator().offer(name, value).unwrap().unwrap_or_default()
    }

    #[test]
    fn every_key_is_answered_by_its_rule() {
        let cases = [
            ("HeaderDigest", "CRC32C,None", "CRC32C"),
            ("HeaderDigest", "None,CRC32C", "None"),
            ("DataDigest", "X-other,CRC32C", "CRC32C"),
            ("DataDigest", "X-other", "Reject"),
            ("MaxConnections", "8", "1"),
            ("InitialR2T", "No", "No"),
            ("InitialR2T", "Yes", "Yes"),
            ("ImmediateData", "No", "No"),
            ("ImmediateData", "yes", "Reject"),
            ("MaxRecvDataSegmentLength", "65536", ""),
            ("MaxRecvDataSegmentLength", "511", "Reject"),
            ("MaxRecvDataSegmentLength", "16777216", "Reject"),
            ("MaxBurstLength", "16776192", "1048576"),
            ("MaxBurstLength", "0x10000", "65536"),
            ("FirstBurstLength", "262144", "262144"),
            ("DefaultTime2Wait", "5", "5"),
            ("DefaultTime2Retain", "20", "0"),
            ("MaxOutstandingR2T", "64", "8"),
            ("MaxOutstandingR2T", "0", "Reject"),
            ("DataPDUInOrder", "No", "Yes"),
            ("DataSequenceInOrder", "No", "Yes"),
            ("ErrorRecoveryLevel", "2", "0"),
            ("TaskReporting", "FastAbort,RFC3720", "RFC3720"),
            ("iSCSIProtocolLevel", "2", "1"),
            ("IFMarker", "Yes", "No"),
            ("OFMarkInt", "2048~8192", "Reject"),
            ("X-com.example.thing", "7", "NotUnderstood"),
        ];
        for (name, value, expected) in cases {
            assert_eq!(answer(name, value), expected, "{name}={value}");
        }
    }

    #[test]
    fn what_was_settled_is_in_force() {
        let mut negotiator = negotiator();
        for (name, value) in [
            ("HeaderDigest", "CRC32C"),
            ("InitialR2T", "No"),
            ("MaxRecvDataSegmentLength", "1024"),
            ("MaxBurstLength", "4096"),
            ("FirstBurstLength", "65536"),
        ] {
            negotiator.offer(name, value).unwrap();
        }
        let parameters = negotiator.parameters();
        assert!(parameters.header_digest && !parameters.data_digest && !parameters.initial_r2t);
        assert_eq!(parameters.max_recv_data_segment_length_initiator, 1024);
        assert_eq!((parameters.max_burst_length, parameters.first_burst_length), (4096, 4096));
    }

    #[test]
    fn the_same_again_is_accepted_and_anything_else_is_not() {
        let mut negotiator = negotiator();
        negotiator.offer("MaxRecvDataSegmentLength", "1024").unwrap();
        assert_eq!(negotiator.offer("MaxRecvDataSegmentLength", "1024"), Ok(None));
        assert!(negotiator.offer("MaxRecvDataSegmentLength", "2048").is_err());
        assert!(negotiator.offer("TargetPortalGroupTag", "1").is_err());
    }

    #[test]
    fn keys_without_end_are_refused() {
        let mut negotiator = negotiator();
        let refused = (0..1000).find(|number| negotiator.offer(&format!("X-{number}"), "1").is_err());
        assert_eq!(refused, Some(OFFERS_LIMIT as i32));
    }
}
