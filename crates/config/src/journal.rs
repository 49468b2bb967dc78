//! Mistakes and notices, and where in a text they are.

use std::ops::Range;

/// Which of the two files something is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum File {
    /// The `targets` file: extents, devices, targets.
    Targets,
    /// The `auths` file: users and secrets.
    Auths,
}

/// A file's text, and the name to show for it.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The name that people know the file by; shown, never opened.
    pub name: &'a str,
    /// The whole text.
    pub text: &'a str,
}

/// Something to say about a place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The file it is in.
    pub file: File,
    /// The bytes of the text that it is about, on character boundaries; may be empty.
    pub span: Range<usize>,
    /// The line where the span begins, from 1.
    pub line: usize,
    /// The column where the span begins, in characters from 1.
    pub column: usize,
    /// What is wrong, or worth knowing.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// A remark that refuses the configuration.
pub type Mistake = Remark;

/// A remark that is shown at each start, and refuses nothing.
pub type Notice = Remark;

impl Remark {
    /// A remark about `span` of `text`, for what only the caller can find out (a file that is missing, say).
    /// A span that reaches outside the text, or into a character, is moved to the nearest place that does
    /// not.
    #[must_use]
    pub fn at(file: File, text: &str, span: Range<usize>, message: &str, help: Option<&str>) -> Self {
        Journal::new(file, text).remark(span, message.to_owned(), help.map(str::to_owned))
    }
}

/// The byte order mark that some editors put before a text.
pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';

/// Collects what there is to say about one file.
#[derive(Debug)]
pub(crate) struct Journal<'a> {
    file: File,
    text: &'a str,
    line_starts: Vec<usize>,
    pub(crate) mistakes: Vec<Mistake>,
    pub(crate) notices: Vec<Notice>,
}

impl<'a> Journal<'a> {
    pub(crate) fn new(file: File, text: &'a str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, text, line_starts, mistakes: Vec::new(), notices: Vec::new() }
    }

    /// The number of the line that `offset` is in, from 1.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).max(1)
    }

    pub(crate) fn mistake(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let mistake = self.remark(span, message.into(), Some(help.into()));
        self.mistakes.push(mistake);
    }

    pub(crate) fn notice(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        let notice = self.remark(span, message.into(), Some(help.into()));
        self.notices.push(notice);
    }

    pub(crate) fn remark(&self, span: Range<usize>, message: String, help: Option<String>) -> Remark {
        let start = self.text.floor_char_boundary(span.start);
        let end = self.text.ceil_char_boundary(span.end).max(start);
        let line = self.line_of(start);
        let line_start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(line_start..start).unwrap_or("");
        // Editors do not count a byte order mark as a column.
        let column = before.trim_start_matches(BYTE_ORDER_MARK).chars().count() + 1;
        Remark { file: self.file, span: start..end, line, column, message, help }
    }
}
