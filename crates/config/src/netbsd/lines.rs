//! Lines as NetBSD's reader cuts them up: in one buffer of 1024 bytes, escapes undone where they stand.

use crate::lines::{Field, Line};

/// The size of the buffer (NetBSD's `BUFSIZ`); a line and what continues it fill all of it but the last byte.
const BUFFER: usize = 1024;

/// Why NetBSD's fields of a line are not to be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// NetBSD reads or writes outside the line's text.
    OutsideTheText,
    /// The line is cut where the buffer ends, inside a character.
    CutCharacter,
}

/// A line with at least one field.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) line: Line,
    /// The number that NetBSD's messages have for it: that of its last line in the file, with the pieces of
    /// lines that are too long counted as lines.
    pub(crate) number: usize,
    pub(crate) fault: Option<Fault>,
}

/// Splits a text at each of `separators` as NetBSD does, empty lines and comments left out.
pub(crate) fn split(text: &str, separators: &'static [u8]) -> Vec<Entry> {
    let splitter = Splitter {
        text: text.as_bytes(),
        at: 0,
        number: 0,
        buffer: Vec::new(),
        starts: Vec::new(),
        separators,
    };
    splitter.collect()
}

struct Splitter<'t> {
    text: &'t [u8],
    at: usize,
    number: usize,
    /// Each byte with its place in the text. What is not there is NUL.
    buffer: Vec<(u8, usize)>,
    /// Where in the buffer the fields begin; each ends in a NUL.
    starts: Vec<usize>,
    separators: &'static [u8],
}

impl Iterator for Splitter<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            if !self.read_line(0) {
                return None;
            }
            let is_space = |byte: &(u8, usize)| matches!(byte.0, b' ' | b'\t'..=b'\r');
            let from = self.buffer.iter().take_while(|byte| is_space(byte)).count();
            if !matches!(self.byte(from), 0 | b'#') {
                let fault = self.fields(from).err();
                return Some(self.entry(fault));
            }
        }
    }
}

impl Splitter<'_> {
    fn byte(&self, index: usize) -> u8 {
        self.buffer.get(index).map_or(0, |byte| byte.0)
    }

    /// Whether the text of the buffer ends at `index`.
    fn ends(&self, index: usize) -> bool {
        matches!(self.byte(index), 0 | b'\n')
    }

    fn is_separator(&self, index: usize) -> bool {
        self.separators.contains(&self.byte(index))
    }

    /// Reads up to a line feed or the buffer's end, over what is in the buffer from `index` on. False at the
    /// end of the text, where the buffer stays as it is.
    fn read_line(&mut self, index: usize) -> bool {
        let rest = self.text.get(self.at..).unwrap_or(&[]);
        let line = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |feed| feed + 1);
        let length = line.min((BUFFER - 1).saturating_sub(index));
        if length == 0 {
            return false;
        }
        self.buffer.truncate(index);
        let at = self.at;
        self.buffer.extend(rest.iter().take(length).enumerate().map(|(offset, byte)| (*byte, at + offset)));
        self.at += length;
        self.number += 1;
        true
    }

    /// Finds the fields from `from` on.
    fn fields(&mut self, mut from: usize) -> Result<(), Fault> {
        self.starts.clear();
        while !self.ends(from) {
            let (to, has_escapes) = self.field_end(from)?;
            self.starts.push(from);
            let was_last = self.ends(to);
            self.end_text(to);
            if has_escapes {
                self.undo_escapes(from)?;
            }
            if was_last {
                break;
            }
            from = to + 1;
            while !self.ends(from) && self.is_separator(from) {
                from += 1;
            }
        }
        Ok(())
    }

    /// Where the field at `from` ends, and whether a backslash in it keeps a byte from ending it.
    fn field_end(&mut self, from: usize) -> Result<(usize, bool), Fault> {
        let (mut to, mut has_escapes) = (from, false);
        while !self.ends(to) && !self.is_separator(to) {
            if self.byte(to) == b'\\' && self.byte(to + 1) == b'\n' {
                // The next line's first byte takes the backslash's place and is not looked at.
                self.read_line(to);
            } else if self.byte(to) == b'\\' {
                has_escapes = true;
                to += 1;
            }
            if self.byte(to) == 0 {
                return Err(Fault::OutsideTheText);
            }
            to += 1;
        }
        Ok((to, has_escapes))
    }

    fn end_text(&mut self, index: usize) {
        match self.buffer.get_mut(index) {
            Some(byte) => byte.0 = 0,
            None => self.buffer.push((0, self.at)),
        }
    }

    /// Takes away the byte before each separator in the field at `from`, whatever that byte is.
    fn undo_escapes(&mut self, from: usize) -> Result<(), Fault> {
        let mut index = from;
        while self.byte(index) != 0 {
            if self.is_separator(index) {
                let Some(before) = index.checked_sub(1) else {
                    return Err(Fault::OutsideTheText);
                };
                let end = (index..).find(|end| self.byte(*end) == 0).unwrap_or(index);
                self.buffer.copy_within(index..end + 1, before);
            }
            index += 1;
        }
        Ok(())
    }

    /// The fields as they stand in the buffer.
    fn entry(&self, mut fault: Option<Fault>) -> Entry {
        let mut fields = Vec::new();
        for start in &self.starts {
            let rest = self.buffer.get(*start..).unwrap_or(&[]);
            let at = rest.first().map_or(self.at, |byte| byte.1);
            let bytes: Vec<(u8, usize)> = rest.iter().copied().take_while(|byte| byte.0 != 0).collect();
            let (field, is_whole) = field(at, &bytes);
            if !is_whole {
                fault = fault.or(Some(Fault::CutCharacter));
            }
            fields.push(field);
        }
        let start = self.buffer.first().map_or(self.at, |byte| byte.1);
        let span = match (fields.first(), fields.last()) {
            (Some(first), Some(last)) => first.span.start..last.span.end.max(first.span.start),
            _ => start..self.at,
        };
        Entry { line: Line { fields, span, spoiled: fault.is_some() }, number: self.number, fault }
    }
}

/// The bytes as a field, and whether they were whole characters.
fn field(at: usize, bytes: &[(u8, usize)]) -> (Field, bool) {
    let text: Vec<u8> = bytes.iter().map(|byte| byte.0).collect();
    let mut field = Field::begin(at);
    let mut index = 0;
    let mut is_whole = true;
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            field.push(character, bytes.get(index).map_or(at, |byte| byte.1));
            index += character.len_utf8();
        }
        is_whole &= chunk.invalid().is_empty();
        index += chunk.invalid().len();
    }
    (field, is_whole)
}
