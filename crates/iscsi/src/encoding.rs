//! Binary values in text: hexadecimal and base64 constants (RFC 7143 §6.1).

/// Why a text is no binary value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// Neither `0x` nor `0b` stands at its beginning.
    #[error("a binary value begins with 0x or 0b")]
    Prefix,
    /// Nothing follows the prefix.
    #[error("a binary value has no digits")]
    Empty,
    /// A character that is no digit of its base, or padding where none belongs.
    #[error("a binary value has a character that is no digit of its base")]
    Digit,
    /// More bytes than the receiver takes.
    #[error("a binary value has more than {0} bytes")]
    TooLong(usize),
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Decodes `0x…` or `0b…` (the letter in either case) to at most `limit` bytes.
///
/// An odd number of hexadecimal digits has an implicit zero before the first. Nothing is allocated
/// before the length is known to be within the limit.
///
/// # Errors
/// [`EncodingError`] if the text is not a constant, or a longer one.
pub fn decode(text: &str, limit: usize) -> Result<Vec<u8>, EncodingError> {
    let (prefix, digits) = text.as_bytes().split_at_checked(2).ok_or(EncodingError::Prefix)?;
    match prefix {
        b"0x" | b"0X" => decode_hex(digits, limit),
        b"0b" | b"0B" => decode_base64(digits, limit),
        _ => Err(EncodingError::Prefix),
    }
}

fn decode_hex(digits: &[u8], limit: usize) -> Result<Vec<u8>, EncodingError> {
    if digits.is_empty() {
        return Err(EncodingError::Empty);
    }
    if digits.len().div_ceil(2) > limit {
        return Err(EncodingError::TooLong(limit));
    }
    let mut bytes = Vec::with_capacity(digits.len().div_ceil(2));
    let (lone, pairs) = digits.split_at(digits.len() % 2);
    for pair in std::iter::once(lone).filter(|lone| !lone.is_empty()).chain(pairs.chunks(2)) {
        let byte = pair.iter().try_fold(0, |byte, digit| Some(byte << 4 | hex_digit(*digit)?));
        bytes.push(byte.ok_or(EncodingError::Digit)?);
    }
    Ok(bytes)
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// RFC 4648 §4, strictly: whole quanta of four characters, padding only at the end, no bits left
/// over.
fn decode_base64(digits: &[u8], limit: usize) -> Result<Vec<u8>, EncodingError> {
    if digits.is_empty() {
        return Err(EncodingError::Empty);
    }
    let padding = digits.iter().rev().take(2).take_while(|digit| **digit == b'=').count();
    if !digits.len().is_multiple_of(4) {
        return Err(EncodingError::Digit);
    }
    let length = digits.len() / 4 * 3 - padding;
    if length > limit {
        return Err(EncodingError::TooLong(limit));
    }
    let (digits, _) = digits.split_at(digits.len() - padding);
    let mut bytes = Vec::with_capacity(length);
    let (mut bits, mut count) = (0u32, 0);
    for digit in digits {
        bits = bits << 6 | base64_digit(*digit).ok_or(EncodingError::Digit)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    if bits != 0 { Err(EncodingError::Digit) } else { Ok(bytes) }
}

fn base64_digit(digit: u8) -> Option<u32> {
    BASE64.iter().position(|known| *known == digit).and_then(|value| u32::try_from(value).ok())
}

/// The bytes as a hexadecimal constant, in lower case with its `0x`.
pub fn encode_hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.filter_map(|digit| char::from_digit(u32::from(digit), 16));
    "0x".chars().chain(digits).collect()
}

/// The bytes as a base64 constant with its `0b`.
pub fn encode_base64(bytes: &[u8]) -> String {
    let mut text = String::from("0b");
    for quantum in bytes.chunks(3) {
        let at = |index: usize| u32::from(quantum.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let digit = BASE64.get((bits >> (18 - 6 * place) & 63) as usize).copied().unwrap_or(b'=');
            text.push(if place <= quantum.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// Decodes anything, and checks that what was understood survives a second round.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for limit in [0, 1, 16, 32, 1024] {
        if let Ok(bytes) = decode(&text, limit) {
            assert!(bytes.len() <= limit, "the limit holds");
            assert_eq!(decode(&encode_hex(&bytes), limit).as_ref(), Ok(&bytes), "hexadecimal returns");
            assert_eq!(decode(&encode_base64(&bytes), limit).as_ref(), Ok(&bytes), "base64 returns");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_constants_are_decoded() {
        let cases: [(&str, &[u8]); 9] = [
            ("0x00", &[0]),
            ("0xdeadBEEF", &[0xde, 0xad, 0xbe, 0xef]),
            ("0X10", &[0x10]),
            ("0x123", &[0x01, 0x23]),
            ("0xf", &[0x0f]),
            ("0bZg==", b"f"),
            ("0bZm8=", b"fo"),
            ("0BZm9v", b"foo"),
            ("0bZm9vYmFy", b"foobar"),
        ];
        for (text, bytes) in cases {
            assert_eq!(decode(text, 6).as_deref(), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_constant_is_refused() {
        let cases = [
            ("", EncodingError::Prefix),
            ("0", EncodingError::Prefix),
            ("12", EncodingError::Prefix),
            ("0x", EncodingError::Empty),
            ("0B", EncodingError::Empty),
            ("0xg0", EncodingError::Digit),
            ("0x+1", EncodingError::Digit),
            ("0bZg", EncodingError::Digit),
            ("0bZg=", EncodingError::Digit),
            ("0bZh==", EncodingError::Digit),
            ("0b====", EncodingError::Digit),
            ("0bZ===", EncodingError::Digit),
            ("0bZg==Zg==", EncodingError::Digit),
            ("0bZm9v Zg", EncodingError::Digit),
            ("é", EncodingError::Prefix),
        ];
        for (text, error) in cases {
            assert_eq!(decode(text, 64), Err(error), "{text}");
        }
    }

    #[test]
    fn every_length_around_a_digest_is_bounded_exactly() {
        for length in 1..40 {
            let bytes = vec![0xa5; length];
            for text in [encode_hex(&bytes), encode_base64(&bytes)] {
                let expected = if length <= 32 { Ok(bytes.clone()) } else { Err(EncodingError::TooLong(32)) };
                assert_eq!(decode(&text, 32), expected, "{length} bytes");
            }
        }
        assert_eq!(decode(&format!("0x{}", "1".repeat(65)), 32), Err(EncodingError::TooLong(32)));
    }

    proptest! {
        #[test]
        fn bytes_come_back_from_text(bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
            prop_assert_eq!(decode(&encode_hex(&bytes), 200), Ok(bytes.clone()));
            prop_assert_eq!(decode(&encode_base64(&bytes), 200), Ok(bytes));
        }

        #[test]
        fn no_text_does_harm(
            text in "0[xXbB][0-9a-fA-F=+/éZ]{0,80}",
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            fuzz(text.as_bytes());
            fuzz(&bytes);
        }
    }
}
