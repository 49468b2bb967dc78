//! What a fuzz target calls.

use crate::{
    AccessList, Configuration, File, Options, Outcome, Reading, Source, iscsi_name, parse_size, redacted,
};

/// Reads `data` as a `targets` text and, after the first NUL, an `auths` text, and as single values.
///
/// # Panics
/// When a promise about the outcome does not hold, for the fuzzer to find.
pub fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (targets, auths) = match text.split_once('\0') {
        Some((targets, auths)) => (targets, Some(auths)),
        None => (text.as_ref(), None),
    };
    let source = |name, text| Source { name, text };
    let outcome = Configuration::parse(
        source("targets", targets),
        auths.map(|text| source("auths", text)),
        &Options::default(),
        &|_| None,
    );
    check(&outcome, targets, auths.unwrap_or(""));
    assert!(outcome.configuration.is_none_or(|configuration| !configuration.targets.is_empty()));
    let compatible = Options { reading: Reading::NetBsd, ..Options::default() };
    let outcome = Configuration::parse(
        source("targets", targets),
        auths.map(|text| source("auths", text)),
        &compatible,
        &|_| None,
    );
    check(&outcome, targets, auths.unwrap_or(""));
    let _ = (AccessList::parse(targets), parse_size(targets), iscsi_name(targets));
}

/// The promises about any outcome.
pub(crate) fn check(outcome: &Outcome, targets: &str, auths: &str) {
    assert_eq!(outcome.configuration.is_some(), outcome.mistakes.is_empty());
    let targets_read = outcome.configuration.iter().flat_map(|configuration| &configuration.targets);
    let unserved = targets_read.filter_map(|target| target.unserved.as_ref());
    for remark in outcome.mistakes.iter().chain(&outcome.notices).chain(unserved) {
        let text = match remark.file {
            File::Targets => targets,
            File::Auths => auths,
        };
        assert!(text.get(remark.span.clone()).is_some(), "a span within the text: {remark:?}");
        let lines_before = text.get(..remark.span.start).map_or(0, |before| before.matches('\n').count());
        assert_eq!(remark.line, lines_before + 1, "the span's line: {remark:?}");
        assert!(remark.column >= 1 && !remark.message.is_empty() && remark.help.is_some());
    }
    let hidden = redacted(auths);
    assert!(hidden.len() == auths.len() && hidden.matches('\n').count() == auths.matches('\n').count());
    if let Some(configuration) = &outcome.configuration {
        for target in &configuration.targets {
            assert!(!target.extents.is_empty());
            assert!(target.extents.iter().all(|index| configuration.extents.get(*index).is_some()));
        }
        let _ = configuration.tree().to_string();
    }
}
