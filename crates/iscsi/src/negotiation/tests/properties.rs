//! What holds for any offer.

use super::*;
use crate::keys::{BooleanRule, NumberRule};
use proptest::prelude::*;

/// Whether an answer is one that the offer allows (RFC 7143 §13).
fn is_admissible(key: &Key, offer: &str, answer: &str) -> bool {
    match key.kind {
        Kind::List(_) => offer.split(',').any(|item| item == answer),
        Kind::Boolean(row) => match row.rule {
            BooleanRule::And => offer == "Yes" || answer == "No",
            BooleanRule::Or => offer == "No" || answer == "Yes",
        },
        Kind::Number(row) => {
            let (offer, answer) = (text::number(offer).unwrap(), text::number(answer).unwrap());
            let within = (u64::from(row.least)..=u64::from(row.most)).contains(&answer);
            within && if row.rule == NumberRule::Minimum { answer <= offer } else { answer >= offer }
        }
        _ => false,
    }
}

fn any_offer() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        (0u32..70_000).prop_map(|value| value.to_string()),
        (0u32..0x200_0000).prop_map(|value| format!("{value:#x}")),
        "(Yes|No|None|CRC32C|RFC3720|ResponseFence|FastAbort|,|Reject|\\?){0,4}",
    ];
    let key = proptest::sample::select(keys::KEYS.iter().map(|key| key.name).collect::<Vec<_>>());
    (key, value).prop_map(|(key, value)| format!("{key}={value}\0"))
}

proptest! {
    #[test]
    fn every_answer_is_admissible(offer in any_offer()) {
        let offer = offer.trim_end_matches('\0');
        if let Ok(answers) = more(&mut Negotiation::new(Wishes::default()), offer, Phase::Operational) {
            prop_assert!(answers.len() <= 1);
            for answer in answers {
                let (name, answer) = answer.split_once('=').unwrap();
                let key = keys::find(name).unwrap();
                let (_, offer) = offer.split_once('=').unwrap();
                let obsolete = matches!(key.kind, Kind::Obsolete(_));
                prop_assert!(obsolete || answer == REJECT || is_admissible(key, offer, answer), "{}", answer);
            }
        }
    }

    #[test]
    fn negotiations_end_with_bounded_answers(
        texts in proptest::collection::vec(proptest::collection::vec(any_offer(), 0..8), 0..4),
        noise in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut negotiation = Negotiation::new(Wishes::default());
        for text in texts.iter().map(|text| text.concat().into_bytes()).chain([noise]) {
            let mut out = Writer::default();
            let answered = negotiation.answer(&text, Phase::Operational, &mut out);
            prop_assert!(out.finish().len() <= text.len() + PAIRS_LIMIT * NOT_UNDERSTOOD.len());
            let parameters = negotiation.parameters();
            prop_assert!(parameters.first_burst_length <= parameters.max_burst_length);
            prop_assert!(parameters.max_recv_data_segment_length_initiator >= 512);
            if answered.is_err() {
                break;
            }
        }
    }
}
