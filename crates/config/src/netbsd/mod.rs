//! The files as NetBSD's own daemon reads them.
//!
//! What it makes of a text is decided line by line and at once, as there: a line that is wrong is left out
//! with a message, and the next one is read. Where NetBSD's daemon would crash, take what an earlier line
//! left in its buffer, or shift by an undefined number of bits, the files are refused.

mod auths;
mod devices;
mod lines;
mod masks;
mod numbers;
mod records;
mod refusals;
mod start;
mod targets;

pub use auths::unknown_user;
pub use start::{StartUp, cannot_open, start_up};

use crate::configuration::{Configuration, FileSize, Options, Outcome};
use crate::journal::{File, Journal, Source};
use crate::{blocks, demands, served, sharing};
use lines::{Entry, Fault};
use records::Reader;

/// Reads both files.
pub(crate) fn read(
    targets: Source<'_>,
    auths: Option<Source<'_>>,
    options: &Options,
    file_size: FileSize<'_>,
) -> Outcome {
    let mut auths_journal = Journal::new(File::Auths, auths.map_or("", |source| source.text));
    let people = auths.map(|source| self::auths::read(source, &mut auths_journal));
    let mut journal = Journal::new(File::Targets, targets.text);
    let mut reader = Reader::new(targets.name, options, people.as_ref(), &mut journal, file_size);
    for entry in lines::split(targets.text, b" \t") {
        reader.record(&entry);
    }
    let (mut configuration, demands, messages) = reader.finish();
    demands::settle(&demands, people.as_ref(), &mut configuration, &mut journal);
    let refusals = served::resolve(&mut configuration, &mut journal);
    refusals::mark(&mut configuration, refusals, &mut journal);
    blocks::serials(&configuration, &mut journal);
    note_doubts(&configuration, options, targets.text, &mut journal);
    configuration.users = people.map(|people| people.users).unwrap_or_default();
    let outcome = Outcome::new(configuration, journal, auths_journal);
    Outcome { netbsd_messages: messages, ..outcome }
}

/// What the strict reader refuses and NetBSD accepts about bytes and their users is worth saying.
fn note_doubts(configuration: &Configuration, options: &Options, text: &str, journal: &mut Journal<'_>) {
    let mut doubts = Journal::new(File::Targets, text);
    blocks::lengths(configuration, options, &mut doubts);
    sharing::check(configuration, &mut doubts);
    journal.notices.append(&mut doubts.mistakes);
    journal.notices.append(&mut doubts.notices);
}

/// A mistake for a line that NetBSD does not read in a defined way. Nothing of the line is quoted: it may
/// hold a secret.
fn refuse_fault(entry: &Entry, journal: &mut Journal<'_>) {
    let (message, help) = match entry.fault {
        Some(Fault::OutsideTheText) => (
            "NetBSD reads past the end of this line, so what it makes of the line is undefined",
            "leave out a backslash at the end of the text, and what follows a NUL",
        ),
        _ => (
            "NetBSD cuts this line after 1023 bytes, in the middle of a character",
            "write a shorter line, or leave `--netbsd-compat` out",
        ),
    };
    journal.mistake(entry.line.span.clone(), message, help);
}
