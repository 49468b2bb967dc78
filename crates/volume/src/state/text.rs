//! The text of a state file: `key=value` lines between a first line with the version and a last one with
//! the CRC.

use std::path::Path;

use crate::{ErrorKind, VolumeError};

/// Key of the serial number.
const SERIAL: &str = "serial";
/// Key of the NAA identifier.
const NAA: &str = "naa";
/// Key of the byte of the image at which the disk begins; those at 0 have none.
const START: &str = "start";
/// Key of the capacity in bytes that was last served.
pub(super) const LAST_SERVED: &str = "last-served";
/// Key of the reason why a flush failed.
pub(super) const FLUSH_FAILED: &str = "flush-failed";
/// Key of the checksum, CRC-32C over all lines before its own.
const CHECKSUM: &str = "crc32c";
/// What the first line starts with, before the version.
const TITLE: &str = "timedisk-state";
/// The version that is written here, and the newest that can be read.
const VERSION: u64 = 1;

/// The lines of a state file, in order, unknown ones included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StateText {
    lines: Vec<(String, String)>,
}

/// Why a state file can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Its version is newer than ours.
    Newer(u64),
    /// It belongs to the disk that begins at another byte.
    OfAnother(u64),
    /// It is not what was once written; says in which way.
    Damaged(&'static str),
}

/// Whether `key` may name a setting.
pub(super) fn is_setting(key: &str) -> bool {
    !key.is_empty()
        && ![SERIAL, NAA, START, LAST_SERVED, FLUSH_FAILED, CHECKSUM].contains(&key)
        && key.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'))
}

impl StateText {
    /// With no line yet.
    pub(super) fn empty() -> Self {
        Self { lines: Vec::new() }
    }

    /// The state of a disk at byte `start` of its image, that gets its identity from `random`.
    pub(super) fn of_new_disk(random: u64, start: u64) -> Self {
        // NAA 3h in the first four bits; the serial number's other 60 follow it.
        let naa = (random & (u64::MAX >> 4)) | (3 << 60);
        let mut lines = vec![(SERIAL.into(), format!("{random:016x}")), (NAA.into(), format!("{naa:016x}"))];
        if start != 0 {
            lines.push((START.into(), start.to_string()));
        }
        Self { lines }
    }

    /// Refuses the state of a disk that begins elsewhere: the disk at byte 512 of `a` and the one at 0 of
    /// `a.512` have the same name for theirs, and must never have the same identity.
    pub(super) fn of_disk_at(self, start: u64) -> Result<Self, Unreadable> {
        match self.number(START)?.unwrap_or(0) {
            own if own == start => Ok(self),
            other => Err(Unreadable::OfAnother(other)),
        }
    }

    /// Reads the content of a file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Unreadable> {
        let text = std::str::from_utf8(bytes).map_err(|_| Unreadable::Damaged("it is not text"))?;
        let (first, _) = text.split_once('\n').ok_or(Unreadable::Damaged("its first line is not whole"))?;
        let version = first.strip_prefix(TITLE).and_then(|rest| rest.trim_start().parse::<u64>().ok());
        match version {
            Some(VERSION) => {}
            Some(newer) if newer > VERSION => return Err(Unreadable::Newer(newer)),
            _ => {
                return Err(Unreadable::Damaged("its first line does not name a version"));
            }
        }
        let summed = without_checksum(text)?;
        let mut lines = Vec::new();
        for line in summed.lines().skip(1) {
            let (key, value) = line.split_once('=').ok_or(Unreadable::Damaged("a line has no `=`"))?;
            lines.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self { lines })
    }

    /// The content of the file.
    pub(super) fn render(&self) -> Vec<u8> {
        let mut text = format!("{TITLE} {VERSION}\n");
        for (key, value) in &self.lines {
            text.push_str(&format!("{key}={value}\n"));
        }
        text.push_str(&checksum_line(&text));
        text.into_bytes()
    }

    /// The value of a key.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.lines.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The keys that name settings, and their values.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        self.lines.iter().filter(|(key, _)| is_setting(key)).cloned().collect()
    }

    /// Sets a key, in its place if it has one.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        match self.lines.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => value.clone_into(old),
            None => self.lines.push((key.to_owned(), value.to_owned())),
        }
    }

    /// Removes a key.
    pub(super) fn remove(&mut self, key: &str) {
        self.lines.retain(|(name, _)| name != key);
    }

    /// The serial number.
    pub(super) fn serial(&self) -> Result<String, Unreadable> {
        self.identity(SERIAL)?;
        Ok(self.value(SERIAL).unwrap_or_default().to_owned())
    }

    /// The NAA identifier.
    pub(super) fn naa(&self) -> Result<[u8; 8], Unreadable> {
        let naa = self.identity(NAA)?;
        if naa >> 60 == 3 {
            Ok(naa.to_be_bytes())
        } else {
            Err(Unreadable::Damaged("`naa` does not begin with 3"))
        }
    }

    /// A decimal number, if the key is there.
    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, Unreadable> {
        let parsed = self.value(key).map(str::parse).transpose();
        parsed.map_err(|_| Unreadable::Damaged("a number in it is none"))
    }

    fn identity(&self, key: &str) -> Result<u64, Unreadable> {
        let digits = self.value(key).filter(|value| value.len() == 16 && !value.starts_with('+'));
        let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number.ok_or(Unreadable::Damaged("`serial` or `naa` is not 16 hexadecimal digits"))
    }
}

/// Checks the last line against those before it, and returns these.
fn without_checksum(text: &str) -> Result<&str, Unreadable> {
    let body = text.strip_suffix('\n').ok_or(Unreadable::Damaged("its end is missing"))?;
    let at = body.rfind('\n').map_or(0, |newline| newline + 1);
    let (summed, last) = text.split_at(at);
    if !last.starts_with(CHECKSUM) {
        return Err(Unreadable::Damaged("its end is missing"));
    }
    if last == checksum_line(summed) { Ok(summed) } else { Err(Unreadable::Damaged("its checksum is wrong")) }
}

fn checksum_line(summed: &str) -> String {
    let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, summed.as_bytes());
    format!("{CHECKSUM}={checksum:08x}\n")
}

impl Unreadable {
    /// Says it to a person.
    pub(super) fn error(&self, path: &Path) -> VolumeError {
        let path_shown = path.display();
        let message = match self {
            Self::Newer(version) => format!(
                "{path_shown} is of version {version}, and this timedisk reads version {VERSION}: use the \
                 timedisk that wrote it, or a newer one"
            ),
            Self::OfAnother(start) => format!(
                "{path_shown} holds the identity of another disk, the one that begins at byte {start} of its \
                 image: give one of the two images another name"
            ),
            Self::Damaged(how) => format!(
                "{path_shown}, which holds the identity of the disk, is damaged ({how}): bring it back from \
                 a backup, or move it away, and the disk will start with a new identity"
            ),
        };
        VolumeError::new(ErrorKind::BadState, message).at(path)
    }
}
