//! Texts for which NetBSD's own reader was run, by number: what it makes of each, and what the strict reader
//! makes of it.

mod lines;
mod masks;
mod records;
mod start;
mod users;

use crate::{Configuration, Length, Options, Outcome, Reading, Source, Storage};

/// What the strict reader owes a text.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Strict {
    /// Good, with nothing to say.
    Ok,
    /// Good, with something to say at each start.
    Warn,
    Reject,
}

/// What NetBSD's reading gives.
#[derive(Debug)]
enum NetBsd {
    /// Extents as `E(name,path,start,length)`, devices as `D(name,level,[members],size)`, targets as
    /// `T(name,iqn,flags,storage,mask)` with `-` for a name made of the base.
    Records(&'static [&'static str]),
    /// Undefined there, refused here.
    Undefined,
}

struct Vector {
    number: &'static str,
    text: String,
    netbsd: NetBsd,
    /// NetBSD's messages after the file's name.
    messages: &'static [&'static str],
    strict: Strict,
    /// Why the strict verdict is harder than the text's own subject asks for, where it is.
    because: &'static str,
}

const FILE: &str = "/etc/iscsi/targets";

/// The size of the only file there is, `F`.
fn file_size(path: &str) -> Option<u64> {
    (path == "F").then_some(12345)
}

pub(super) fn read_as(reading: Reading, targets: &str, auths: Option<&str>) -> Outcome {
    let options = Options { reading, ..Options::default() };
    let auths_source = auths.map(|text| Source { name: "/etc/iscsi/auths", text });
    let targets_source = Source { name: FILE, text: targets };
    let outcome = Configuration::parse(targets_source, auths_source, &options, &file_size);
    crate::fuzzing::check(&outcome, targets, auths.unwrap_or(""));
    outcome
}

fn compatible(targets: &str) -> Configuration {
    let outcome = read_as(Reading::NetBsd, targets, None);
    outcome.configuration.unwrap_or_else(|| panic!("{targets:?}: {:#?}", outcome.mistakes))
}

fn strict_verdict(outcome: &Outcome) -> Strict {
    match (outcome.configuration.is_some(), outcome.notices.is_empty()) {
        (true, true) => Strict::Ok,
        (true, false) => Strict::Warn,
        (false, _) => Strict::Reject,
    }
}

fn name_of(configuration: &Configuration, storage: Storage) -> &str {
    match storage {
        Storage::Extent(index) => &configuration.extents[index].name,
        Storage::Device(index) => &configuration.devices[index].name,
    }
}

fn records(configuration: &Configuration) -> Vec<String> {
    let mut records = Vec::new();
    for extent in &configuration.extents {
        let Length::Bytes(length) = extent.length else { panic!("{extent:?}") };
        records.push(format!("E({},{},{},{length})", extent.name, extent.path, extent.start));
    }
    for (index, device) in configuration.devices.iter().enumerate() {
        let members: Vec<&str> = device.members.iter().map(|m| name_of(configuration, *m)).collect();
        let size = configuration.length_of(Storage::Device(index)).unwrap();
        records.push(format!("D({},{},[{}],{size})", device.name, device.level.number(), members.join(",")));
    }
    for target in &configuration.targets {
        let derived = format!("{}:{}", crate::DEFAULT_IQN_BASE, target.name.to_ascii_lowercase());
        let iqn = if target.iqn == derived { "-" } else { &target.iqn };
        let flags = if target.read_only { "ro" } else { "rw" };
        let storage = name_of(configuration, target.storage);
        records.push(format!("T({},{iqn},{flags},{storage},{})", target.name, target.access));
    }
    records
}

fn hold(vectors: &[Vector]) {
    for vector in vectors {
        let outcome = read_as(Reading::NetBsd, &vector.text, None);
        let messages: Vec<String> =
            vector.messages.iter().map(|message| format!("{FILE}:{message}")).collect();
        assert_eq!(outcome.netbsd_messages, messages, "{}", vector.number);
        match (&vector.netbsd, &outcome.configuration) {
            (NetBsd::Records(expected), Some(configuration)) => {
                assert_eq!(records(configuration), *expected, "{}", vector.number);
            }
            (NetBsd::Undefined, None) => {}
            (expected, found) => panic!("{}: {expected:?} {found:#?} {:#?}", vector.number, outcome.mistakes),
        }
        let strict = read_as(Reading::Strict, &vector.text, None);
        let verdict = strict_verdict(&strict);
        assert_eq!(verdict, vector.strict, "{} {}: {strict:#?}", vector.number, vector.because);
        assert!(strict.netbsd_messages.is_empty());
    }
}

/// A vector about which there is nothing else to say.
fn vector(
    number: &'static str,
    text: impl Into<String>,
    records: &'static [&'static str],
    messages: &'static [&'static str],
    strict: Strict,
) -> Vector {
    let netbsd = NetBsd::Records(records);
    Vector { number, text: text.into(), netbsd, messages, strict, because: "" }
}

/// A text that NetBSD reads in an undefined way, and that both readings refuse.
fn undefined(number: &'static str, text: impl Into<String>, messages: &'static [&'static str]) -> Vector {
    let (netbsd, strict) = (NetBsd::Undefined, Strict::Reject);
    Vector { number, text: text.into(), netbsd, messages, strict, because: "" }
}

impl Vector {
    fn because(self, because: &'static str) -> Self {
        Self { because, ..self }
    }

    /// A strict verdict of a text whose NetBSD reading is refused.
    fn strictly(self, strict: Strict) -> Self {
        Self { strict, ..self }
    }
}
