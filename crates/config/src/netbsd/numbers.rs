//! Numbers as C's library reads them.

/// What `strtoll` reads in base 10, clamped to 64 bits, and the rest of the text. Without digits it is 0, and
/// the rest is the whole text.
fn leading_number(text: &str) -> (i64, bool, &str) {
    let is_space = |c: char| matches!(c, ' ' | '\t'..='\r');
    let unspaced = text.trim_start_matches(is_space);
    let negative = unspaced.starts_with('-');
    let unsigned = unspaced.strip_prefix(['+', '-']).unwrap_or(unspaced);
    let end = unsigned.find(|c: char| !c.is_ascii_digit()).unwrap_or(unsigned.len());
    let (digits, rest) = unsigned.split_at(end);
    if digits.is_empty() {
        return (0, true, text);
    }
    let sign = if negative { "-" } else { "" };
    match format!("{sign}{digits}").parse() {
        Ok(number) => (number, true, rest),
        Err(_) => (if negative { i64::MIN } else { i64::MAX }, false, rest),
    }
}

/// The start of an extent: no unit; negative numbers wrap.
pub(crate) fn start(text: &str) -> u64 {
    leading_number(text).0.cast_unsigned()
}

/// The length of an extent in bytes: one letter after the number is the unit, anything else is nothing.
pub(crate) fn length(text: &str) -> u64 {
    let (number, _, rest) = leading_number(text);
    let shift = match rest.bytes().next().map(|byte| byte.to_ascii_lowercase()) {
        Some(b't') => 40,
        Some(b'g') => 30,
        Some(b'm') => 20,
        Some(b'k') => 10,
        _ => 0,
    };
    number.cast_unsigned().wrapping_mul(1 << shift)
}

/// What `atoi` reads; `None` where the number does not fit and C does not say what comes of it.
pub(crate) fn integer(text: &str) -> Option<i32> {
    let (number, fits, _) = leading_number(text);
    i32::try_from(number).ok().filter(|_| fits)
}
