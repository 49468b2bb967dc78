//! The text format of login and text requests: `key=value` pairs, each ended by a zero byte (RFC
//! 7143 §6.1).

/// Bytes of the longest key (§6.1, standard-label).
pub const KEY_LIMIT: usize = 63;

/// Bytes of the longest value of a key whose row names no limit of its own.
pub const VALUE_LIMIT: usize = 8192;

/// Bytes of a value that is not a list, as it stands in the text (§6.1).
pub const SIMPLE_VALUE_LIMIT: usize = 255;

/// Bytes of text that may come over any number of PDUs with the C bit.
pub const TEXT_LIMIT: usize = 64 * 1024;

/// Pairs in one text. All keys of the standard together are not half as many.
pub const PAIRS_LIMIT: usize = 256;

/// Why text can't be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Between two zero bytes stands no `=`.
    #[error("the text has a key without a value")]
    NoValue,
    /// A key that is empty, does not begin with a letter, or has a character that keys don't have.
    #[error("the text has a key that is no key")]
    Key,
    /// More than [`KEY_LIMIT`].
    #[error("the text has a key of more than {KEY_LIMIT} bytes")]
    KeyTooLong,
    /// More than [`VALUE_LIMIT`].
    #[error("the text has a value of more than {VALUE_LIMIT} bytes")]
    ValueTooLong,
    /// More than [`TEXT_LIMIT`].
    #[error("the text has more than {TEXT_LIMIT} bytes")]
    TooLong,
    /// More than [`PAIRS_LIMIT`].
    #[error("the text has more than {PAIRS_LIMIT} keys")]
    TooManyPairs,
}

/// A key with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// At most [`KEY_LIMIT`] characters of ASCII.
    pub key: &'a str,
    /// At most [`VALUE_LIMIT`] bytes, not necessarily UTF-8.
    pub value: &'a [u8],
}

impl<'a> Pair<'a> {
    /// The value, where it is UTF-8.
    pub fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.value).ok()
    }
}

/// Takes text apart.
///
/// Zero bytes beyond those that end a pair are passed over, and the last pair may lack its own:
/// some initiators count
/// padding as text, and nothing becomes ambiguous by either.
///
/// # Errors
/// [`TextError`] if there is something that is no pair, or one that is too long, or too many.
pub fn pairs(text: &[u8]) -> Result<Vec<Pair<'_>>, TextError> {
    if text.len() > TEXT_LIMIT {
        return Err(TextError::TooLong);
    }
    let mut found = Vec::new();
    for piece in text.split(|byte| *byte == 0).filter(|piece| !piece.is_empty()) {
        if found.len() == PAIRS_LIMIT {
            return Err(TextError::TooManyPairs);
        }
        found.push(pair(piece)?);
    }
    Ok(found)
}

fn pair(piece: &[u8]) -> Result<Pair<'_>, TextError> {
    let mut parts = piece.splitn(2, |byte| *byte == b'=');
    let key = parts.next().unwrap_or_default();
    let value = parts.next().ok_or(TextError::NoValue)?;
    if key.len() > KEY_LIMIT {
        return Err(TextError::KeyTooLong);
    }
    if value.len() > VALUE_LIMIT {
        return Err(TextError::ValueTooLong);
    }
    // iSCSIProtocolLevel begins with a small letter, and X#NodeArchitecture has a number sign.
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b".-+@_#".contains(byte);
    let begins_well = key.first().is_some_and(u8::is_ascii_alphabetic);
    match std::str::from_utf8(key) {
        Ok(key) if begins_well && key.as_bytes().iter().all(allowed) => Ok(Pair { key, value }),
        _ => Err(TextError::Key),
    }
}

/// A numerical value: decimal without leading zeros, or hexadecimal after `0x`, below 2^64 (§6.1).
pub fn number(value: &str) -> Option<u64> {
    let all =
        |digits: &str, digit: fn(&u8) -> bool| !digits.is_empty() && digits.as_bytes().iter().all(digit);
    match value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
        Some(digits) if all(digits, u8::is_ascii_hexdigit) => u64::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None if value.len() > 1 && value.starts_with('0') => None,
        None if all(value, u8::is_ascii_digit) => value.parse().ok(),
        None => None,
    }
}

/// A boolean value (§6.1).
pub fn boolean(value: &str) -> Option<bool> {
    match value {
        "Yes" => Some(true),
        "No" => Some(false),
        _ => None,
    }
}

/// How a boolean value is written.
pub const fn boolean_text(value: bool) -> &'static str {
    if value { "Yes" } else { "No" }
}

/// The values of a list, in order of preference (§6.2.1).
pub fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').filter(|item| !item.is_empty())
}

/// What a peer sent, fit for a log: without control characters, and not longer than about a line.
pub fn shown(value: &str) -> String {
    let mut characters = value.chars();
    let mut text: String = characters.by_ref().take(80).flat_map(char::escape_debug).collect();
    if characters.next().is_some() {
        text.push('…');
    }
    text
}

/// Text in the making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Adds a pair. A value ends at its first zero byte, as no value has one.
    pub fn pair(&mut self, key: &str, value: &str) {
        let value = value.split('\0').next().unwrap_or_default();
        for part in [key, "=", value, "\0"] {
            self.bytes.extend_from_slice(part.as_bytes());
        }
    }

    /// The text.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Text that comes in pieces with the C bit (§6.2).
#[derive(Clone, Debug, Default)]
pub struct Incoming {
    bytes: Vec<u8>,
}

impl Incoming {
    /// Takes a piece, and gives the whole once there is no more to come.
    ///
    /// # Errors
    /// [`TextError::TooLong`] if the pieces add up to more than [`TEXT_LIMIT`].
    pub fn piece(&mut self, data: &[u8], more: bool) -> Result<Option<Vec<u8>>, TextError> {
        if self.bytes.len() + data.len() > TEXT_LIMIT {
            return Err(TextError::TooLong);
        }
        self.bytes.extend_from_slice(data);
        Ok(if more { None } else { Some(std::mem::take(&mut self.bytes)) })
    }
}

/// Text that goes out in pieces with the C bit (§6.2).
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    at: usize,
}

impl Outgoing {
    /// Text to be sent.
    pub fn new(bytes: Vec<u8>) -> Self {
        Outgoing { bytes, at: 0 }
    }

    /// Whether all of it is sent.
    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The next piece, of at most `limit` bytes (at least 1 is assumed). It ends with a whole pair
    /// if it can:
    /// initiators have been seen that take each PDU for itself.
    pub fn piece(&mut self, limit: usize) -> Vec<u8> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let most = rest.get(..limit.max(1)).unwrap_or(rest);
        let end = match most.iter().rposition(|byte| *byte == 0) {
            Some(position) if most.len() < rest.len() => position + 1,
            _ => most.len(),
        };
        self.at += end;
        most.get(..end).unwrap_or_default().to_vec()
    }
}

/// Takes anything apart and checks that it comes back the same after having been written anew.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let Ok(found) = pairs(data) else { return };
    assert!(found.len() <= PAIRS_LIMIT, "the number of pairs is bounded");
    let mut writer = Writer::default();
    for pair in &found {
        let Some(value) = pair.text() else { return };
        writer.pair(pair.key, value);
        let _ = (number(value), boolean(value), list(value).count());
        assert!(!shown(value).chars().any(char::is_control), "nothing to confuse a terminal");
    }
    let whole = writer.finish();
    assert_eq!(pairs(&whole).as_ref(), Ok(&found), "pairs come back");
    let (mut outgoing, mut incoming) = (Outgoing::new(whole.clone()), Incoming::default());
    let limit = 1 + data.len() % 97;
    while !outgoing.is_empty() {
        let piece = outgoing.piece(limit);
        assert!(!piece.is_empty() && piece.len() <= limit, "pieces go forward and keep the limit");
        if let Ok(Some(joined)) = incoming.piece(&piece, !outgoing.is_empty()) {
            assert_eq!(joined, whole, "pieces add up");
        }
    }
}

#[cfg(test)]
mod tests;
