//! An overhaul as one line of text, for when the disk begins its next life.

use super::State;
use super::operation::{Method, Operation, Purpose};

/// The key that it is saved under.
pub(super) const KEY: &str = "overhaul";

/// Words for what it is for.
const PURPOSES: [(&str, Purpose); 3] = [
    ("sanitize", Purpose::Sanitize { may_be_left: false }),
    ("sanitize-may-be-left", Purpose::Sanitize { may_be_left: true }),
    ("format", Purpose::Format),
];

fn word(purpose: Purpose) -> &'static str {
    PURPOSES.iter().find(|(_, known)| *known == purpose).map_or("", |(word, _)| word)
}

/// `PURPOSE failed`, or `PURPOSE PASS BYTES METHOD`, where the method is `erase`, `release`, or
/// `overwrite TIMES INVERTS PATTERN`. Nothing, if there is nothing to do.
pub(super) fn write(state: &State) -> String {
    match state {
        State::None => String::new(),
        State::Failed(purpose) => format!("{} failed", word(*purpose)),
        State::GoesOn(Operation { purpose, method, pass, at, .. }) => {
            let method = match method {
                Method::Erase => "erase".to_owned(),
                Method::Release => "release".to_owned(),
                Method::Overwrite { pattern, times, inverts } => {
                    let pattern: String = pattern.iter().map(|byte| format!("{byte:02x}")).collect();
                    format!("overwrite {times} {} {pattern}", u8::from(*inverts))
                }
            };
            format!("{} {pass} {at} {method}", word(*purpose))
        }
    }
}

/// What [`write`] wrote. Something else may have been anything: what is on the disk is not vouched for.
pub(super) fn read(text: &str) -> State {
    if text.is_empty() {
        return State::None;
    }
    parse(text).unwrap_or(State::Failed(Purpose::Sanitize { may_be_left: true }))
}

fn parse(text: &str) -> Option<State> {
    let words: Vec<&str> = text.split(' ').collect();
    let (purpose, rest) = words.split_first()?;
    let (_, purpose) = PURPOSES.iter().find(|(word, _)| word == purpose)?;
    let (pass, at, method) = match rest {
        ["failed"] => return Some(State::Failed(*purpose)),
        [pass, at, method @ ..] => (pass.parse().ok()?, at.parse().ok()?, method),
        _ => return None,
    };
    let method = match method {
        ["erase"] => Method::Erase,
        ["release"] => Method::Release,
        ["overwrite", times, inverts, pattern] => Method::Overwrite {
            pattern: bytes(pattern)?,
            times: times.parse().ok()?,
            inverts: inverts.parse::<u8>().ok()? != 0,
        },
        _ => return None,
    };
    Some(State::GoesOn(Operation::at(*purpose, method, pass, at)))
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect::<Option<Vec<u8>>>().filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_read_again() {
        let pattern: Vec<u8> = (0..=255).collect();
        let methods =
            [Method::Erase, Method::Release, Method::Overwrite { pattern, times: 31, inverts: true }];
        for (_, purpose) in PURPOSES {
            for method in methods.clone() {
                let state = State::GoesOn(Operation::at(purpose, method, 1, u64::MAX));
                assert_eq!(read(&write(&state)), state);
            }
            assert_eq!(read(&write(&State::Failed(purpose))), State::Failed(purpose));
        }
        assert_eq!(read(&write(&State::None)), State::None);
    }

    #[test]
    fn anything_else_may_have_been_anything() {
        let texts = [
            "x",
            "sanitize",
            "sanitize 0",
            "format 0 x erase",
            "format 0 0 overwrite 1 0 ",
            "format 0 0 erase x",
        ];
        for text in texts {
            assert_eq!(read(text), State::Failed(Purpose::Sanitize { may_be_left: true }), "{text}");
        }
    }
}
