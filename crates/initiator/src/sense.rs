//! Sense data, as far as an initiator acts on them (SPC-4 4.5).

use std::fmt;

/// Sense key, additional sense code and its qualifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sense {
    /// SPC-4 table 48.
    pub key: u8,
    /// Additional sense code.
    pub code: u8,
    /// Its qualifier.
    pub qualifier: u8,
}

/// The power was on, or something else happened that an initiator shall know of once.
const UNIT_ATTENTION: u8 = 6;

const KEYS: [&str; 16] = [
    "NO SENSE",
    "RECOVERED ERROR",
    "NOT READY",
    "MEDIUM ERROR",
    "HARDWARE ERROR",
    "ILLEGAL REQUEST",
    "UNIT ATTENTION",
    "DATA PROTECT",
    "BLANK CHECK",
    "VENDOR SPECIFIC",
    "COPY ABORTED",
    "ABORTED COMMAND",
    "reserved",
    "VOLUME OVERFLOW",
    "MISCOMPARE",
    "COMPLETED",
];

impl Sense {
    /// Reads fixed (SPC-4 4.5.3) and descriptor format (4.5.2); `None` where it is neither.
    pub fn of(bytes: &[u8]) -> Option<Sense> {
        let at = |index: usize| bytes.get(index).copied();
        let (key, code, qualifier) = match at(0)? & 0x7f {
            0x70 | 0x71 => (at(2)?, at(12).unwrap_or(0), at(13).unwrap_or(0)),
            0x72 | 0x73 => (at(1)?, at(2).unwrap_or(0), at(3).unwrap_or(0)),
            _ => return None,
        };
        Some(Sense { key: key & 15, code, qualifier })
    }

    /// Whether the command is to be tried again, because only something was to be told.
    pub fn is_unit_attention(self) -> bool {
        self.key == UNIT_ATTENTION
    }
}

impl fmt::Display for Sense {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = KEYS.get(usize::from(self.key)).copied().unwrap_or_default();
        write!(formatter, "{key}, {:02X}/{:02X}", self.code, self.qualifier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_read_and_nothing_else() {
        let fixed = [0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29, 1, 0, 0, 0, 0];
        let attention = Sense { key: 6, code: 0x29, qualifier: 1 };
        assert_eq!(Sense::of(&fixed), Some(attention));
        assert_eq!(Sense::of(&[0x72, 6, 0x29, 1]), Some(attention));
        assert!(attention.is_unit_attention());
        assert_eq!(attention.to_string(), "UNIT ATTENTION, 29/01");
        assert_eq!(Sense::of(&[0x70, 0]), None, "cut short");
        assert_eq!(Sense::of(&[0x11; 18]), None, "another format");
        assert_eq!(Sense::of(&[]), None);
    }
}
