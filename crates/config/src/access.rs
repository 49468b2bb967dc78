//! Netmasks: which addresses a target is open to.

use crate::value::{ValueError, quoted};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A list of address prefixes. An address that one of them covers is let in. Lists are equal when their
/// prefixes are, however they are written.
#[derive(Debug, Clone)]
pub struct AccessList {
    prefixes: Vec<Prefix>,
    written: String,
    complaint: Option<String>,
}

impl PartialEq for AccessList {
    fn eq(&self, other: &Self) -> bool {
        self.prefixes == other.prefixes && self.complaint == other.complaint
    }
}

impl Eq for AccessList {}

/// A prefix; the bits of its network after `bits` are zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// Every address of both families.
    Everyone,
    V4 {
        network: u32,
        bits: u32,
    },
    /// Never of no bits, which NetBSD would take for every address of both families: two halves are written
    /// instead.
    V6 {
        network: u128,
        bits: u32,
    },
}

impl AccessList {
    /// The list that lets every address in, written `any`.
    #[must_use]
    pub fn everyone() -> Self {
        Self::of(vec![Prefix::Everyone], "any", None)
    }

    pub(crate) fn of(prefixes: Vec<Prefix>, written: &str, complaint: Option<String>) -> Self {
        Self { prefixes, written: written.to_owned(), complaint }
    }

    /// What NetBSD's daemon says on stderr, without a line feed, at each peer whom a mask refuses that it
    /// cannot read. Only lists of NetBSD's reading have it.
    #[must_use]
    pub fn netbsd_complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }

    /// The list in its normal form: each prefix as address and length, or `any`, or `none`.
    pub(crate) fn normal_form(&self) -> String {
        match self.prefixes.as_slice() {
            [] => "none".to_owned(),
            [Prefix::Everyone] => "any".to_owned(),
            prefixes => prefixes.iter().map(Prefix::to_string).collect::<Vec<_>>().join(","),
        }
    }

    /// Whether NetBSD reads the normal form as this list: it knows one prefix, of IPv4.
    pub(crate) fn is_netbsds(&self) -> bool {
        match self.prefixes.as_slice() {
            [Prefix::V4 { bits, .. }] => *bits > 0,
            [] | [Prefix::Everyone] => true,
            _ => false,
        }
    }

    /// Reads a mask, or several with commas between: `10.0.0.0/8`, `10/8,fe80::/64`, `any`, `all`, `none`. An
    /// IPv4 address may have fewer than four numbers, zeros are added; an address without a length is a host.
    ///
    /// # Errors
    /// Every part of the list that is no mask, with what to write instead.
    pub fn parse(text: &str) -> Result<Self, Vec<ValueError>> {
        Self::parse_with_doubts(text).map(|(list, _)| list)
    }

    /// As [`Self::parse`], with what is valid and yet may not be what was meant.
    pub(crate) fn parse_with_doubts(text: &str) -> Result<(Self, Vec<ValueError>), Vec<ValueError>> {
        let mut prefixes = Vec::new();
        let (mut errors, mut doubts) = (Vec::new(), Vec::new());
        let list = text.contains(',');
        let mut offset = 0;
        for part in text.split(',') {
            match Prefix::parse(part, list) {
                Ok(read) => {
                    doubts.extend(doubt(part, read.first().copied()).map(|doubt| doubt.moved(offset)));
                    prefixes.extend(read);
                }
                Err(error) => errors.push(error.moved(offset)),
            }
            offset += part.len() + 1;
        }
        match errors.is_empty() {
            true => Ok((Self::of(prefixes, text, None), doubts)),
            false => Err(errors),
        }
    }

    /// Whether `address` is let in. An IPv4-mapped IPv6 address counts as the IPv4 address.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.prefixes.iter().any(|prefix| match (prefix, address) {
            (Prefix::Everyone, _) => true,
            (Prefix::V4 { network, bits }, IpAddr::V4(v4)) => {
                let ignored = 32_u32.saturating_sub(*bits);
                (u32::from(v4) ^ network).checked_shr(ignored).unwrap_or(0) == 0
            }
            (Prefix::V6 { network, bits }, IpAddr::V6(v6)) => {
                let ignored = 128_u32.saturating_sub(*bits);
                (u128::from(v6) ^ network).checked_shr(ignored).unwrap_or(0) == 0
            }
            _ => false,
        })
    }
}

/// The list as it was written.
impl fmt::Display for AccessList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Prefix {
    /// The prefix of the first `bits` of an IPv4 address, 32 at most.
    pub(crate) fn v4(address: u32, bits: u32) -> Self {
        let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
        Self::V4 { network: address & mask, bits }
    }

    /// The same of an IPv6 address, with 128 bits at most.
    fn v6(address: u128, bits: u32) -> Vec<Self> {
        if bits == 0 {
            return [0, 1 << 127].map(|network| Self::V6 { network, bits: 1 }).to_vec();
        }
        let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
        vec![Self::V6 { network: address & mask, bits }]
    }

    /// Reads one mask; `none` gives no prefix.
    fn parse(text: &str, in_list: bool) -> Result<Vec<Self>, ValueError> {
        let wrong = |message: &str, help: String| {
            Err(ValueError::whole(text, format!("{} {message}", quoted(text)), help))
        };
        match text {
            "" if in_list => {
                return wrong("is empty", "write a mask on both sides of a comma".to_owned());
            }
            "any" | "all" | "none" if in_list => {
                return wrong("cannot be one of several masks", format!("write `{text}` alone"));
            }
            "any" | "all" => return Ok(vec![Self::Everyone]),
            "none" => return Ok(Vec::new()),
            _ => {}
        }
        let lower = text.to_ascii_lowercase();
        if matches!(lower.as_str(), "any" | "all" | "none") {
            return wrong("is not in lower case", format!("write `{lower}`"));
        }
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        if address.contains(':') {
            return v6(text, address, length);
        }
        let Some(v4) = padded_v4(address) else {
            return wrong("is not an IPv4 or IPv6 address", address_help(text, address, length));
        };
        let Some(bits) = prefix_length(length, 32) else {
            return wrong(
                "does not have a length from 0 to 32 after the `/`",
                length_help(address, length, v4),
            );
        };
        Ok(vec![match bits {
            0 => Self::Everyone,
            _ => Self::v4(v4.into(), bits),
        }])
    }
}

/// Address and length. All of IPv4 without IPv6 is written as the IPv6 prefix that maps it.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Everyone => f.write_str("0.0.0.0/0"),
            Self::V4 { bits: 0, .. } => f.write_str("::ffff:0.0.0.0/96"),
            Self::V4 { network, bits } => write!(f, "{}/{bits}", Ipv4Addr::from(network)),
            Self::V6 { network, bits } => write!(f, "{}/{bits}", Ipv6Addr::from(network)),
        }
    }
}

/// Reads an IPv6 prefix; one inside `::ffff:0:0/96` is the IPv4 prefix that it maps.
fn v6(text: &str, address: &str, length: Option<&str>) -> Result<Vec<Prefix>, ValueError> {
    let wrong = |message: &str, help: String| {
        Err(ValueError::whole(text, format!("{} {message}", quoted(text)), help))
    };
    let Ok(v6) = address.parse::<Ipv6Addr>() else {
        let bare = address.trim_matches(['[', ']']).split('%').next().unwrap_or("");
        let help = match bare.parse::<Ipv6Addr>() {
            Ok(bare) => format!("write `{bare}/{}`", length.unwrap_or("128")),
            Err(_) => "write an address and a length, such as `2001:db8::/32`".to_owned(),
        };
        return wrong("is not an IPv6 address", help);
    };
    match (prefix_length(length, 128), v6.to_ipv4_mapped()) {
        (Some(bits @ 97..), Some(v4)) => Ok(vec![Prefix::v4(v4.into(), bits - 96)]),
        (Some(96), Some(_)) => Ok(vec![Prefix::v4(0, 0)]),
        (Some(bits), Some(v4)) => {
            wrong("is an IPv4 address with a length below 96", format!("write `{v4}/{}`", bits.min(32)))
        }
        (Some(bits), None) => Ok(Prefix::v6(v6.into(), bits)),
        (None, _) => {
            wrong("does not have a length from 0 to 128 after the `/`", format!("write `{v6}/64`, say"))
        }
    }
}

/// One to four decimal numbers, zeros added for those left out.
fn padded_v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut places = octets.iter_mut();
    for number in text.split('.') {
        let plain =
            number.bytes().all(|b| b.is_ascii_digit()) && (number.len() == 1 || !number.starts_with('0'));
        *places.next()? = number.parse().ok().filter(|_| plain)?;
    }
    Some(octets.into())
}

/// The number of leading bits; without a length, all of them.
fn prefix_length(text: Option<&str>, most: u32) -> Option<u32> {
    let Some(text) = text else { return Some(most) };
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|bits| plain && *bits <= most)
}

/// What to write for something that is no address.
fn address_help(text: &str, address: &str, length: Option<&str>) -> String {
    let shortened = address.trim_end_matches(['*', '.']);
    if text == "*" {
        return "write `all` to let every address in".to_owned();
    }
    if let (true, Some(v4)) = (address.contains('*'), padded_v4(shortened)) {
        return format!("write `{v4}/{}`", 8 * shortened.split('.').count());
    }
    let numbers: Option<Vec<u8>> = address.split('.').map(|n| n.parse().ok()).collect();
    if let Some(decimal) = numbers.filter(|numbers| numbers.len() <= 4) {
        let decimal: Vec<String> = decimal.iter().map(u8::to_string).collect();
        let length = length.map_or(String::new(), |length| format!("/{length}"));
        return format!(
            "the numbers are decimal, without zeros before them: write `{}{length}`",
            decimal.join(".")
        );
    }
    if address.starts_with(|c: char| c.is_ascii_alphabetic()) && address.bytes().all(|b| b != b'/') {
        return "host names are not looked up: write an address and a length, such as `10.0.0.0/8`"
            .to_owned();
    }
    "write an address and a length, such as `10.0.0.0/8` or `2001:db8::/32`".to_owned()
}

/// What to write for a length that is none; a dotted netmask is turned into its length.
fn length_help(address: &str, length: Option<&str>, v4: Ipv4Addr) -> String {
    let dotted = length.filter(|l| l.contains('.')).and_then(|l| l.parse::<Ipv4Addr>().ok()).map(u32::from);
    match dotted {
        Some(mask) if mask.leading_ones() + mask.trailing_zeros() == 32 => {
            format!("write `{address}/{}`", mask.leading_ones())
        }
        _ => format!("write `{v4}/32` for one address, `any` for every address"),
    }
}

/// A valid mask that may mean something else to who wrote it.
fn doubt(text: &str, prefix: Option<Prefix>) -> Option<ValueError> {
    let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    match prefix? {
        Prefix::V4 { network, bits: 32 } if length.is_none() && address.split('.').count() < 4 => {
            let written = address.split('.').count();
            let whole = Ipv4Addr::from(network);
            Some(ValueError::whole(
                text,
                format!("{} is the single address {whole}", quoted(text)),
                format!(
                    "write `{address}/{}` for the whole network, `{whole}` for that address",
                    8 * written
                ),
            ))
        }
        Prefix::Everyone if padded_v4(address).is_some_and(|v4| !v4.is_unspecified()) => {
            Some(ValueError::whole(
                text,
                format!("{} lets every address in", quoted(text)),
                "write `any` if that is meant, or else a length from 1 to 32".to_owned(),
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
