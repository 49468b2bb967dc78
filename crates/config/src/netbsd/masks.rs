//! Netmasks as NetBSD reads them: one IPv4 prefix, whatever stands around it.

use crate::access::{AccessList, Prefix};
use crate::netbsd::numbers;
use crate::value::{ValueError, quoted};

/// Words, and the masks that NetBSD takes them for.
const WORDS: [(&str, &str); 3] = [("any", "0/0"), ("all", "0/0"), ("none", "0/32")];

/// Reads a mask. One that NetBSD cannot read lets nobody in, and has what NetBSD says about it at each peer.
///
/// A list that NetBSD would take for everyone, because the first `/` in it is followed by a 0, is the list
/// that our own reader takes it for: it may not let in more than it says.
///
/// # Errors
/// A length for which NetBSD's answer is undefined.
pub(crate) fn read(text: &str) -> Result<AccessList, ValueError> {
    let mask = WORDS.iter().find(|row| row.0 == text).map_or(text, |row| row.1);
    let (address, length) =
        mask.split_once('/').map_or((mask, None), |(address, length)| (address, Some(length)));
    let undefined = || {
        ValueError::whole(
            text,
            format!("what NetBSD makes of the length in {} is undefined", quoted(text)),
            "write a length from 0 to 32 after the `/`",
        )
    };
    let bits = length.map_or(Some(32), numbers::integer).ok_or_else(undefined)?;
    if bits == 0 {
        return Ok(match AccessList::parse(text) {
            Ok(list) if text.contains(',') => list,
            _ => AccessList::of(vec![Prefix::Everyone], text, None),
        });
    }
    let padded = padded(address);
    let Some(network) = internet_address(&padded) else {
        let complaint = format!("allow_netmask: can't interpret mask `{padded}' as an IPv4 address");
        return Ok(AccessList::of(Vec::new(), text, Some(complaint)));
    };
    let bits = u32::try_from(bits).ok().filter(|bits| *bits <= 32).ok_or_else(undefined)?;
    Ok(AccessList::of(vec![Prefix::v4(network, bits)], text, None))
}

/// `.0` added until there are three dots.
fn padded(address: &str) -> String {
    let dots = address.bytes().filter(|byte| *byte == b'.').count();
    format!("{address}{}", ".0".repeat(3_usize.saturating_sub(dots)))
}

/// Four numbers as `inet_aton` reads them: decimal, octal after `0`, hexadecimal after `0x`. White space ends
/// the address.
fn internet_address(text: &str) -> Option<u32> {
    let end = text.find(|c: char| matches!(c, ' ' | '\t'..='\r')).unwrap_or(text.len());
    let mut parts = text.get(..end)?.split('.');
    let mut address = 0_u32;
    for _ in 0..4 {
        address = address << 8 | u32::from(octet(parts.next()?)?);
    }
    parts.next().is_none().then_some(address)
}

fn octet(text: &str) -> Option<u8> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match hexadecimal {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u8::from_str_radix(digits, radix).ok().filter(|_| is_plain)
}
