//! What is wrong with one value, and what to write instead of it.

use std::ops::Range;

/// A value that cannot be read: a size, a mask, an iSCSI name. Its `Display` is the message and the help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {help}")]
pub struct ValueError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
    /// The bytes of the value that are wrong.
    pub range: Range<usize>,
}

impl ValueError {
    /// An error about the whole of `text`.
    pub(crate) fn whole(text: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into(), range: 0..text.len() }
    }

    /// The same error about a value that begins `offset` bytes later.
    pub(crate) fn moved(mut self, offset: usize) -> Self {
        self.range = self.range.start + offset..self.range.end + offset;
        self
    }
}

/// The longest piece of a file that a message quotes, in characters.
const LONGEST_QUOTE: usize = 60;

/// `text` between back-ticks, cut when long, control characters made visible.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = String::from("`");
    for (count, character) in text.chars().enumerate() {
        if count == LONGEST_QUOTE {
            shown.push('…');
            break;
        }
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown.push('`');
    shown
}
