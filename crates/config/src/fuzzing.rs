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
    if let Some(configuration) = &outcome.configuration {
        assert!(!configuration.targets.is_empty());
        check_print(configuration, auths);
    }
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

/// What the strict reader took is printed so that it takes it again for the same.
fn check_print(configuration: &Configuration, auths: Option<&str>) {
    let printed = configuration.print(&Options::default());
    let auths = auths.map(|text| Source { name: "auths", text });
    let source = Source { name: "printed", text: &printed.text };
    let again = Configuration::parse(source, auths, &Options::default(), &|_| None);
    assert!(again.configuration.is_some(), "printed {:?}: {:?}", printed.text, again.mistakes);
    again.configuration.iter().for_each(|again| assert_equal(configuration, again));
}

/// That two configurations describe the same, wherever in a text they do.
pub(crate) fn assert_equal(one: &Configuration, other: &Configuration) {
    let (one, other) = (placeless(one), placeless(other));
    assert_eq!(one.extents, other.extents);
    assert_eq!(one.devices, other.devices);
    assert_eq!(one.targets, other.targets);
    assert_eq!(one.portals, other.portals);
    assert_eq!(one.discovery, other.discovery);
}

/// A configuration without the places of its records.
pub(crate) fn placeless(configuration: &Configuration) -> Configuration {
    let mut copy = configuration.clone();
    copy.discovery.span = None;
    for extent in &mut copy.extents {
        for span in [&mut extent.span, &mut extent.path_span, &mut extent.start_span, &mut extent.length_span]
        {
            *span = 0..0;
        }
    }
    copy.portals.iter_mut().for_each(|group| group.span = 0..0);
    copy.devices.iter_mut().for_each(|device| device.span = 0..0);
    for target in &mut copy.targets {
        (target.span, target.storage_span) = (0..0, 0..0);
    }
    copy
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
