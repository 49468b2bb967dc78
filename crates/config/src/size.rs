//! Sizes: a decimal number of bytes, or of powers of 1024.

use crate::value::{ValueError, quoted};

/// A unit's letter, and the power of two it stands for. `B` or `iB` may follow the letter.
const UNITS: [(char, u32); 4] = [('T', 40), ('G', 30), ('M', 20), ('K', 10)];

/// Reads a size in bytes: `512`, `100MB`, `4GiB`, `1t`. The units are K, M, G and T, powers of 1024, in any
/// case, with `B`, `iB` or nothing after the letter; `B` alone means bytes.
///
/// # Errors
/// Fractions, other bases, negative numbers, unknown units, and sizes of 2^64 bytes and more. The error says
/// what to write.
pub fn parse_size(text: &str) -> Result<u64, ValueError> {
    let wrong = |message: String, help: String| Err(ValueError::whole(text, message, help));
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let digits_end = unsigned.find(|c: char| !c.is_ascii_digit()).unwrap_or(unsigned.len());
    let (digits, unit) = unsigned.split_at(digits_end);
    let example = || "write a whole number and a unit, such as `100MB`".to_owned();
    if text.starts_with('-') {
        return wrong(format!("{} is negative", quoted(text)), example());
    }
    if unit.starts_with(['x', 'X']) && digits == "0" {
        return wrong(format!("{} is not a decimal number", quoted(text)), example());
    }
    if unit.starts_with(['.', ',']) {
        return wrong(format!("{} is not a whole number", quoted(text)), without_fraction(digits, unit));
    }
    if digits.is_empty() {
        return wrong(format!("there is no number in {}", quoted(text)), example());
    }
    let Some(shift) = unit_shift(unit) else {
        let message = format!("{} is not a unit", quoted(unit));
        return Err(ValueError {
            range: text.len() - unit.len()..text.len(),
            ..ValueError::whole(text, message, other_unit(digits, unit))
        });
    };
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    match bytes {
        Some(bytes) => Ok(bytes),
        None => wrong(format!("{} is 2^64 bytes or more", quoted(text)), example()),
    }
}

/// `bytes` in the largest unit that divides it: 104857600 is `100MB`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    UNITS
        .iter()
        .find(|(_, shift)| bytes != 0 && bytes.trailing_zeros() >= *shift)
        .map_or_else(|| bytes.to_string(), |(letter, shift)| format!("{}{letter}B", bytes >> shift))
}

/// The power of two of a unit as written; `None` when there is no such unit.
fn unit_shift(unit: &str) -> Option<u32> {
    let lower = unit.to_ascii_lowercase();
    let mut letters = lower.chars();
    let Some(first) = letters.next() else {
        return Some(0);
    };
    match (first, letters.as_str()) {
        ('b', "") => Some(0),
        (letter, "" | "b" | "ib") => {
            UNITS.iter().find(|row| row.0.eq_ignore_ascii_case(&letter)).map(|row| row.1)
        }
        _ => None,
    }
}

/// What to write for a number with a fraction: the same size, rounded down, in a smaller unit.
fn without_fraction(digits: &str, fraction_and_unit: &str) -> String {
    let otherwise = "write a whole number of a smaller unit, such as `1536MB` for 1.5 GB".to_owned();
    let after_point = fraction_and_unit.get(1..).unwrap_or("");
    let end = after_point.find(|c: char| !c.is_ascii_digit()).unwrap_or(after_point.len());
    let (fraction, unit) = after_point.split_at(end);
    let exact = || -> Option<u64> {
        let shift = unit_shift(unit)?;
        let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let number: u128 = format!("{digits}{fraction}").parse().ok()?;
        let bytes = u64::try_from(number.checked_shl(shift)?.checked_div(scale)?).ok()?;
        let smaller = 1_u64 << shift.saturating_sub(10);
        Some(bytes - bytes % smaller).filter(|bytes| *bytes > 0 && number < 1 << 64)
    };
    exact().map_or(otherwise, |bytes| format!("write `{}`", format_size(bytes)))
}

/// What to write for a unit that does not exist.
fn other_unit(digits: &str, unit: &str) -> String {
    let trimmed = unit.trim_start();
    if trimmed != unit && unit_shift(trimmed).is_some() {
        return format!("write `{digits}{trimmed}`, without a blank");
    }
    match (unit.to_ascii_lowercase().as_str(), digits.parse::<u64>().ok().and_then(|n| n.checked_mul(1024))) {
        ("p" | "pb" | "pib", Some(number)) => format!("write `{number}TB`"),
        _ => format!("the units are KB, MB, GB and TB (powers of 1024): write `{digits}MB`, say"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{format_size, parse_size};
    use proptest::prelude::*;

    #[test]
    fn sizes_are_whole_numbers_of_powers_of_1024() {
        let table: [(&str, u64); 22] = [
            ("0", 0),
            ("1KB", 1024),
            ("1kb", 1024),
            ("1K", 1024),
            ("1KiB", 1024),
            ("1Mb", 1 << 20),
            ("1GB", 1 << 30),
            ("1TB", 1 << 40),
            ("1t", 1 << 40),
            ("1TiB", 1 << 40),
            ("1gib", 1 << 30),
            ("512", 512),
            ("1B", 1),
            ("1b", 1),
            ("010", 10),
            ("+5K", 5120),
            ("100MB", 104_857_600),
            ("16TB", 16 << 40),
            ("16777215TB", 16_777_215 << 40),
            ("18446744073709551615", u64::MAX),
            ("00000000000000000000000001", 1),
            ("0TB", 0),
        ];
        for (text, bytes) in table {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_size_that_cannot_be_read_says_what_to_write() {
        let table: [(&str, &str); 20] = [
            ("", "100MB"),
            ("MB", "100MB"),
            ("-1", "100MB"),
            ("-1MB", "100MB"),
            ("0x10", "100MB"),
            ("99999999999999999999", "100MB"),
            ("16777216TB", "100MB"),
            ("18446744073709551616", "100MB"),
            ("1PB", "1024TB"),
            ("2p", "2048TB"),
            ("1.5GB", "1536MB"),
            ("0.5K", "512"),
            ("0,5TB", "512GB"),
            ("1.1GB", "1126MB"),
            ("1.5", "`1`"),
            ("0.0MB", "1536MB"),
            ("100 MB", "100MB"),
            ("1EB", "1MB"),
            ("1Kib2", "1MB"),
            ("++1", "100MB"),
        ];
        for (text, help) in table {
            let error = parse_size(text).unwrap_err();
            assert!(error.help.contains(help), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_size_or_an_error_within_the_text(
            text in ".{0,40}|[0-9.,]{1,50}[kKmMgGtTpPiIbB]{0,3}",
        ) {
            if let Err(error) = parse_size(&text) {
                prop_assert!(text.get(error.range).is_some());
                prop_assert!(!error.help.is_empty());
            }
        }

        #[test]
        fn a_formatted_size_reads_back_the_same(bytes: u64, shift in 0_u32..64) {
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
            prop_assert_eq!(parse_size(&format_size(bytes << shift)), Ok(bytes << shift));
        }
    }
}
