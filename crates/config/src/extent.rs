//! `extentN path start length`.

use crate::configuration::{Extent, Length, Storage, is_in_memory};
use crate::keys::{Holder, Keys};
use crate::lines::{Field, Line};
use crate::reader::{Defaults, Reader};
use crate::size::parse_size;
use crate::value::quoted;

/// The end of the longest file: offsets are signed numbers of 64 bits.
pub(crate) const FILE_END: u64 = i64::MAX as u64;

impl Reader<'_, '_> {
    /// Reads an extent, and keeps it if it has no mistake.
    pub(crate) fn extent(&mut self, line: &Line, first: &Field, rest: &[Field]) -> Option<Storage> {
        let mistakes_before = self.journal.mistakes.len();
        let [path, start, length, extra @ ..] = rest else {
            let missing = ["path", "start", "length"].get(rest.len()..).unwrap_or(&[]).join(", ");
            if !self.has_quotes(rest) {
                self.journal.mistake(
                    line.span.clone(),
                    format!("{} has no {missing}", quoted(&first.text)),
                    format!("write `{} /path/to/image 0 100MB`: path, start, length", first.text),
                );
            }
            return None;
        };
        if self.has_quotes(rest) {
            return None;
        }
        let (keyed, other): (Vec<&Field>, Vec<&Field>) =
            extra.iter().partition(|field| field.text.contains('='));
        if let [unit, ..] = other.as_slice() {
            self.extra(length, unit, &other);
        }
        let keys = Keys::read(keyed, Holder::Extent, self.people, self.journal);
        let (start_at, bytes) = (self.start(start), self.length(length));
        let (start_at, bytes) = (start_at?, bytes?);
        self.range_fits(start_at, bytes, start, length);
        if is_in_memory(&path.text) {
            self.memory(path, bytes, length);
        }
        let direct = keys.direct.as_ref().is_some_and(|said| said.0);
        self.same_way(path, direct);
        let checksum = keys.checksum.as_ref().is_some_and(|said| said.0);
        if checksum && is_in_memory(&path.text) {
            let help = "leave `checksum=yes` out";
            self.journal.mistake(
                path.span.clone(),
                "what is in memory is gone before sums of it are of use",
                help,
            );
        }
        let qcow2 = keys.qcow2.as_ref().is_some_and(|said| said.0);
        if let Some((_, place)) = keys.qcow2.as_ref().filter(|said| said.0) {
            let whole = start_at == 0 && bytes == Length::WholeFile;
            self.qcow2(place, whole, direct || checksum || is_in_memory(&path.text));
        }
        if self.journal.mistakes.len() > mistakes_before {
            return None;
        }
        let storage = Storage::Extent(self.configuration.extents.len());
        self.defaults.insert(storage, Defaults::of(&keys));
        self.configuration.extents.push(Extent {
            name: first.text.clone(),
            path: path.text.clone(),
            start: start_at,
            length: bytes,
            direct,
            checksum,
            qcow2,
            span: line.span.clone(),
            path_span: path.span.clone(),
            start_span: start.span.clone(),
            length_span: length.span.clone(),
        });
        Some(storage)
    }

    /// All extents of a file are read and written in the same way: past the system's cache, or through it.
    fn same_way(&mut self, path: &Field, direct: bool) {
        let extents = &self.configuration.extents;
        let other = extents.iter().find(|other| other.path == path.text && other.direct != direct);
        if let Some(name) = other.map(|other| quoted(&other.name)) {
            self.journal.mistake(
                path.span.clone(),
                format!(
                    "only some extents of {} have `direct=yes`, and {name} is of the same file",
                    quoted(&path.text)
                ),
                "give `direct=yes` to all of them or to none",
            );
        }
        if direct && is_in_memory(&path.text) {
            let help = "leave `direct=yes` out";
            self.journal.mistake(path.span.clone(), "memory has no cache to read and write past", help);
        }
    }

    /// Checks an image in QEMU's format, that says itself how long its disk is.
    fn qcow2(&mut self, place: &std::ops::Range<usize>, whole: bool, other: bool) {
        if !whole {
            let help = "write `0 size` for its start and length";
            self.journal.mistake(place.clone(), "an image in QEMU's format is served as a whole", help);
        }
        if other {
            let help = "leave `direct=yes` and `checksum=yes` out";
            self.journal.mistake(
                place.clone(),
                "an image in QEMU's format is a file that is only read",
                help,
            );
        }
    }

    /// Checks an extent in memory.
    fn memory(&mut self, path: &Field, bytes: Length, length: &Field) {
        let name = path.text.strip_prefix("memory:/").unwrap_or_default();
        if name.is_empty() || name.contains('/') {
            let help = format!(
                "write `memory:/NAME` for a disk in memory, without another `/`, or {} for a file",
                quoted(&format!("./{}", path.text))
            );
            self.journal.mistake(path.span.clone(), "this is no name of a disk in memory", help);
        }
        if bytes == Length::WholeFile {
            let help = "write a length such as `100MB`: there is nothing in memory yet";
            self.journal.mistake(length.span.clone(), "a disk in memory has no size of its own", help);
        }
    }

    /// Whether the path is in quotes, which mean nothing here: a mistake.
    fn has_quotes(&mut self, rest: &[Field]) -> bool {
        let Some((path, quote)) = rest.first().and_then(|path| {
            path.text.chars().next().filter(|c| matches!(c, '"' | '\'')).map(|quote| (path, quote))
        }) else {
            return false;
        };
        // The text up to the closing quote is what was meant.
        let last = rest.iter().take(16).position(|field| field.text.ends_with(quote)).unwrap_or(0);
        let pieces: Vec<&str> =
            rest.iter().take(last + 1).map(|field| field.text.trim_matches(quote)).collect();
        let end = rest.get(last).map_or(path.span.end, |field| field.span.end);
        self.journal.mistake(
            path.span.start..end,
            "quotes have no meaning in this file",
            format!("write {}; a backslash keeps a blank in a path", quoted(&pieces.join("\\ "))),
        );
        true
    }

    fn extra(&mut self, length: &Field, unit: &Field, extra: &[&Field]) {
        let joined = format!("{}{}", length.text, unit.text);
        let end = extra.last().map_or(unit.span.end, |last| last.span.end);
        let help = match parse_size(&joined) {
            Ok(_) if parse_size(&length.text).is_ok() => {
                format!("write {}, without a blank", quoted(&joined))
            }
            _ => "an extent has path, start and length; `\\ ` keeps a blank in a path, `#` begins a comment"
                .to_owned(),
        };
        self.journal.mistake(unit.span.start..end, "there is more after the length", help);
    }

    fn start(&mut self, field: &Field) -> Option<u64> {
        let text = field.text.strip_prefix('+').unwrap_or(&field.text);
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let start = text.parse::<u64>().ok().filter(|start| plain && *start <= FILE_END);
        let Some(start) = start else {
            let help = match parse_size(&field.text) {
                Ok(bytes) if bytes <= FILE_END => format!("a start has no unit: write `{bytes}`"),
                _ => "write a number of bytes, such as `0`".to_owned(),
            };
            let message = format!("{} is not a start in bytes", quoted(&field.text));
            self.journal.mistake(field.span.clone(), message, help);
            return None;
        };
        Some(start)
    }

    fn length(&mut self, field: &Field) -> Option<Length> {
        if field.text.eq_ignore_ascii_case("size") {
            return Some(Length::WholeFile);
        }
        let bytes = match parse_size(&field.text) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.journal.mistake(field.span_of(error.range), error.message, error.help);
                return None;
            }
        };
        let span = field.span.clone();
        if bytes == 0 {
            self.journal.mistake(span, "the length is 0", "write a length such as `100MB`");
            return None;
        }
        if field.text.ends_with(['b', 'B'])
            && field.text.trim_end_matches(['b', 'B']).ends_with(char::is_numeric)
        {
            let message = format!("the unit of {} is bytes", quoted(&field.text));
            self.journal.notice(
                span,
                message,
                format!("write `{bytes}`, or KB, MB, GB or TB if that is meant"),
            );
        }
        Some(Length::Bytes(bytes))
    }

    fn range_fits(&mut self, start: u64, length: Length, start_field: &Field, field: &Field) {
        match length {
            Length::WholeFile if start > 0 => self.journal.notice(
                field.span.clone(),
                format!("the length is the file's size less the start, {}", quoted(&start_field.text)),
                "NetBSD would count the start twice; write a length in bytes to have another",
            ),
            Length::Bytes(bytes) if start.checked_add(bytes).is_none_or(|end| end > FILE_END) => {
                self.journal.mistake(
                    start_field.span.start..field.span.end,
                    "the extent ends beyond the longest file there can be (2^63 bytes)",
                    "write a smaller start or length",
                );
            }
            _ => {}
        }
    }
}
