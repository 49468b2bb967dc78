//! The promises of the whole reader, by file and by kind of promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod anything;
mod authentication;
mod extensions;
mod places;
mod portals;
mod printing;
mod records;
mod strict;
mod tree;
mod vectors;

use crate::{Configuration, Options, Outcome, Source};

/// Reads with default options.
fn read(targets: &str) -> Outcome {
    read_both(targets, None)
}

fn read_both(targets: &str, auths: Option<&str>) -> Outcome {
    let outcome = Configuration::parse(
        Source { name: "targets", text: targets },
        auths.map(|text| Source { name: "auths", text }),
        &Options::default(),
        &|_| None,
    );
    crate::fuzzing::check(&outcome, targets, auths.unwrap_or(""));
    outcome
}

/// The configuration of a text without mistakes.
fn good(targets: &str) -> Configuration {
    let outcome = read(targets);
    outcome.configuration.unwrap_or_else(|| panic!("{targets:?}: {:#?}", outcome.mistakes))
}

/// Each mistake as `LINE:COLUMN text underlined`.
fn mistakes(targets: &str) -> Vec<String> {
    let outcome = read(targets);
    assert!(outcome.configuration.is_none() || outcome.mistakes.is_empty());
    outcome.mistakes.iter().map(|m| format!("{}:{} {}", m.line, m.column, &targets[m.span.clone()])).collect()
}

/// Message and help of the only mistake.
fn only_mistake(outcome: &Outcome) -> String {
    let [mistake] = outcome.mistakes.as_slice() else { panic!("{:#?}", outcome.mistakes) };
    format!("{}; {}", mistake.message, mistake.help.as_deref().unwrap())
}

/// A good target, to put before a text that has none.
const TARGET: &str = "extent900 /dev/null/none 0 1MB\ntarget900 ro extent900 any\n";
