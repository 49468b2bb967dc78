//! Registrations and reservation as one line of text, for when the power goes (APTPL).

use super::port::Port;
use super::state::{Held, Kind, Registrant, State};

/// The key that they are saved under.
pub(super) const KEY: &str = "persistent-reservations";

/// For all targets.
const ALL: &str = "*";

/// What is to be saved instead of what was, if anything.
pub(super) fn difference(before: &State, after: &State) -> Option<String> {
    let text = |state: &State| if state.persists { write(state) } else { String::new() };
    Some(text(after)).filter(|text_after| *text_after != text(before))
}

/// `TYPE HOLDER` and `KEY TARGET PORT` for each registration; the holder is its place among these.
fn write(state: &State) -> String {
    let holder = |held: &Held| state.registrants.iter().position(|one| one.port == held.by).unwrap_or(0);
    let held = state.held.as_ref().map_or((0, 0), |held| (held.kind as u8, holder(held)));
    let mut words = vec![held.0.to_string(), held.1.to_string()];
    for Registrant { port, key } in &state.registrants {
        let target = port.target.clone().unwrap_or_else(|| ALL.to_owned());
        words.extend([format!("{key:016x}"), target, port.initiator.clone()]);
    }
    words.join(" ")
}

/// What [`write`] wrote. What it did not write means that nothing is reserved.
pub(super) fn read(text: &str) -> State {
    parse(text).unwrap_or_default()
}

fn parse(text: &str) -> Option<State> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (head, rest) = words.split_first_chunk::<2>()?;
    let mut registrants = Vec::new();
    for one in rest.chunks(3) {
        let [key, target, initiator] = one else { return None };
        let target = Some(*target).filter(|target| *target != ALL).map(str::to_owned);
        let port = Port { initiator: (*initiator).to_owned(), target };
        registrants.push(Registrant { port, key: u64::from_str_radix(key, 16).ok()? });
    }
    let held = match head[0].parse().ok()? {
        0 => None,
        kind => {
            let by = registrants.get(head[1].parse::<usize>().ok()?)?.port.clone();
            Some(Held { kind: Kind::of(kind)?, by })
        }
    };
    // PRGENERATION counts from power on (SPC-4 6.15.2).
    Some(State { generation: 0, registrants, held, persists: true })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn port(name: &str, target: Option<&str>) -> Port {
        Port {
            initiator: format!("iqn.2026-01.org.example:{name},i,0x00023d000001"),
            target: target.map(Into::into),
        }
    }

    #[test]
    fn what_is_saved_is_read_again() {
        let (a, b) = (port("a", Some("iqn.2026-01.org.example:target")), port("b", None));
        let registrants = vec![Registrant { port: a, key: u64::MAX }, Registrant { port: b.clone(), key: 1 }];
        for held in [None, Some(Held { kind: Kind::ExclusiveAccessRegistrantsOnly, by: b })] {
            let state = State { generation: 0, registrants: registrants.clone(), held, persists: true };
            let text = difference(&State::default(), &state).unwrap();
            assert!(!text.contains('\n'));
            assert_eq!(read(&text), state);
            assert_eq!(difference(&state, &state), None);
            let forgets = State { persists: false, ..state.clone() };
            assert_eq!(difference(&state, &forgets).as_deref(), Some(""));
            assert_eq!(difference(&State::default(), &forgets), None);
        }
    }

    #[test]
    fn anything_else_reserves_nothing() {
        for text in ["", "1", "1 0", "9 0 00 t p", "1 1 00 t p", "x 0", "0 0 zz t p", "0 0 00 t"] {
            assert_eq!(read(text), State::default(), "{text}");
        }
    }
}
