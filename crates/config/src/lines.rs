//! Lines of fields: white space, comments, continuation lines and escapes, as both files have them.

use crate::journal::{BYTE_ORDER_MARK, Journal};
use std::ops::Range;

/// What separates the fields of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Separator {
    /// Any number of spaces and tabs; a field that begins with `#` begins a comment.
    Blanks,
    /// Each single `:`, so that fields may be empty; blanks are part of the fields.
    Colon,
}

impl Separator {
    fn is(self, character: char) -> bool {
        match self {
            Self::Blanks => matches!(character, ' ' | '\t'),
            Self::Colon => character == ':',
        }
    }

    /// Whether `character` may not stand in a field. White space that is not ASCII looks like a separator,
    /// and is none.
    fn forbids(self, character: char) -> bool {
        let blank = matches!(character, ' ' | '\t');
        (character.is_control() && character != '\t')
            || (self == Self::Blanks && character.is_whitespace() && !blank)
            || character == BYTE_ORDER_MARK
    }
}

/// A field: its text with the escapes undone, and where it is.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) text: String,
    pub(crate) span: Range<usize>,
    /// Where runs of `text` come from: the offset in `text` where each begins, and in the file.
    runs: Vec<(usize, usize)>,
}

impl Field {
    pub(crate) fn begin(at: usize) -> Self {
        Self { text: String::new(), span: at..at, runs: Vec::new() }
    }

    /// Adds `character`, found at `at` in the file.
    pub(crate) fn push(&mut self, character: char, at: usize) {
        if self.runs.last().is_none_or(|(text, file)| self.text.len() - text != at.wrapping_sub(*file)) {
            self.runs.push((self.text.len(), at));
        }
        self.text.push(character);
        self.span.end = at + character.len_utf8();
    }

    /// Where in the file a range of `text` is.
    pub(crate) fn span_of(&self, range: Range<usize>) -> Range<usize> {
        let place = |offset: usize| {
            let run = self.runs.iter().take_while(|run| run.0 <= offset).last();
            run.map_or(self.span.start, |(text, file)| file + (offset - text))
        };
        // The end is the place after the last character, not the beginning of a run that follows it.
        let end = range.end.checked_sub(1).map_or(self.span.start, |last| place(last) + 1);
        let start = place(range.start).min(self.span.end);
        start..end.min(self.span.end).max(start)
    }
}

/// A line with at least one field.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) fields: Vec<Field>,
    /// From the first field to the last.
    pub(crate) span: Range<usize>,
    /// Whether a mistake in its characters was found, which makes its fields not worth reading.
    pub(crate) spoiled: bool,
}

/// Splits a text into its lines of fields. What is wrong with the characters goes to the journal.
pub(crate) fn split(text: &str, separator: Separator, journal: &mut Journal<'_>) -> Vec<Line> {
    let mut at = 0;
    if text.starts_with(BYTE_ORDER_MARK) {
        at = BYTE_ORDER_MARK.len_utf8();
        journal.notice(0..at, "the text begins with a byte order mark", "save the file as UTF-8 without one");
    }
    if let Some(return_at) = text.find("\r\n") {
        journal.notice(
            return_at..return_at + 1,
            "lines end with a carriage return, as Windows' do; it is left out",
            "save the file with Unix line ends",
        );
    }
    let mut scanner = Scanner { text, at, separator, journal };
    let mut lines = Vec::new();
    while let Some(line) = scanner.line() {
        lines.extend(line);
    }
    lines
}

struct Scanner<'a, 'b, 'c> {
    text: &'a str,
    at: usize,
    separator: Separator,
    journal: &'b mut Journal<'c>,
}

impl Scanner<'_, '_, '_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// The length of the line end here, if there is one: LF, CR LF, or a CR that ends the text.
    fn line_end(text: &str) -> Option<usize> {
        match text.as_bytes() {
            [b'\n', ..] | [b'\r'] => Some(1),
            [b'\r', b'\n', ..] => Some(2),
            _ => None,
        }
    }

    fn skip_to_line_end(&mut self) {
        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
    }

    /// Reads a line; `None` at the end of the text, `Some(None)` for a comment.
    fn line(&mut self) -> Option<Option<Line>> {
        // The white space before a line takes the blank lines with it.
        let trimmed = self.rest().trim_start_matches([' ', '\t', '\u{b}', '\u{c}', '\r', '\n']).len();
        self.at = self.text.len() - trimmed;
        let first = self.rest().chars().next()?;
        if first == '#' {
            self.skip_to_line_end();
            return Some(None);
        }
        let mistakes_before = self.journal.mistakes.len();
        let fields = self.fields();
        let span = fields.first()?.span.start..fields.last()?.span.end;
        let spoiled = self.journal.mistakes.len() > mistakes_before;
        Some(Some(Line { fields, span, spoiled }))
    }

    /// Reads fields up to the end of the line. The first character is not white space.
    fn fields(&mut self) -> Vec<Field> {
        let mut fields = Vec::new();
        let mut open: Option<Field> = (self.separator == Separator::Colon).then(|| Field::begin(self.at));
        while let Some(character) = self.rest().chars().next() {
            if Self::line_end(self.rest()).is_some() {
                break;
            }
            let at = self.at;
            self.at += character.len_utf8();
            if self.separator.is(character) {
                fields.extend(open.take());
                open = (self.separator == Separator::Colon).then(|| Field::begin(self.at));
            } else if character == '#' && self.separator == Separator::Blanks && open.is_none() {
                self.skip_to_line_end();
                break;
            } else if character == '\\' {
                self.backslash(at, &mut open);
            } else {
                self.character(character, at, &mut open);
            }
        }
        fields.extend(open);
        if fields.is_empty() {
            // Only continuations: the line has a place, and nothing in it.
            fields.push(Field::begin(self.at));
        }
        fields
    }

    /// What follows a backslash at `at`: a line that goes on, or a character that does not end the field.
    fn backslash(&mut self, at: usize, open: &mut Option<Field>) {
        if self.rest().is_empty() {
            self.journal.mistake(
                at..self.at,
                "the text ends in a backslash, and no line follows it",
                "leave the backslash out",
            );
            return;
        }
        if let Some(length) = Self::line_end(self.rest()) {
            self.at += length;
            return;
        }
        let Some(next) = self.rest().chars().next() else {
            return;
        };
        let next_at = self.at;
        self.at += next.len_utf8();
        if !self.separator.is(next) {
            self.character('\\', at, open);
        } else if open.is_none() {
            *open = Some(Field::begin(at));
        }
        self.character(next, next_at, open);
    }

    fn character(&mut self, character: char, at: usize, open: &mut Option<Field>) {
        if self.separator.forbids(character) {
            self.journal.mistake(
                at..at + character.len_utf8(),
                format!("the character U+{:04X} cannot stand here", u32::from(character)),
                "leave it out; fields are separated by spaces or tabs",
            );
        }
        open.get_or_insert_with(|| Field::begin(at)).push(character, at);
    }
}
