//! iSCSI names (RFC 7143 §4.2.7).

use crate::value::{ValueError, quoted};

/// The longest iSCSI name, in bytes (RFC 7143 §4.2.7.1).
pub(crate) const LONGEST: usize = 223;

/// The name in lower case, its normal form (RFC 7143 §4.2.7.1, RFC 3722), when it is a valid iSCSI name: of
/// type `iqn.` (§4.2.7.4), `eui.` (§4.2.7.5) or `naa.` (§4.2.7.6). Only ASCII letters are taken.
///
/// # Errors
/// Anything else, saying what to write.
pub fn iscsi_name(text: &str) -> Result<String, ValueError> {
    let name = text.to_ascii_lowercase();
    let example = "write a name such as `iqn.2024-01.com.example:disk0`";
    let wrong = |message: &str| Err(ValueError::whole(text, format!("{} {message}", quoted(text)), example));
    if name.len() > LONGEST {
        return wrong("is longer than 223 bytes");
    }
    if let Some((at, character)) = name.char_indices().find(|(_, c)| !is_name_character(*c)) {
        return Err(ValueError {
            message: format!("{} cannot be in an iSCSI name", quoted(&character.to_string())),
            help: "letters, digits, `-`, `.` and `:` can".to_owned(),
            range: at..at + character.len_utf8(),
        });
    }
    match name.split_once('.') {
        Some(("iqn", rest)) if is_qualified(rest) => Ok(name),
        Some(("iqn", _)) => wrong("does not go on with a year, a month and a domain after `iqn.`"),
        Some(("eui", rest)) if is_hexadecimal(rest, &[16]) => Ok(name),
        Some(("eui", _)) => wrong("does not have 16 hexadecimal digits after `eui.`"),
        Some(("naa", rest)) if is_hexadecimal(rest, &[16, 32]) => Ok(name),
        Some(("naa", _)) => wrong("does not have 16 or 32 hexadecimal digits after `naa.`"),
        _ => wrong("does not begin with `iqn.`, `eui.` or `naa.`"),
    }
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':')
}

fn is_hexadecimal(digits: &str, lengths: &[usize]) -> bool {
    lengths.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

/// `yyyy-mm.` and a domain, which something after a `:` may follow.
fn is_qualified(rest: &str) -> bool {
    let Some((date, authority)) = rest.split_once('.') else {
        return false;
    };
    let domain = authority.split(':').next().unwrap_or("");
    let number = |digits: Option<&str>, length: usize| {
        digits.filter(|d| d.len() == length && d.bytes().all(|b| b.is_ascii_digit()))?.parse::<u16>().ok()
    };
    date.get(4..5) == Some("-")
        && number(date.get(..4), 4).is_some()
        && number(date.get(5..), 2).is_some_and(|month| (1..=12).contains(&month))
        && domain.split('.').all(|label| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use super::iscsi_name;
    use proptest::prelude::*;

    #[test]
    fn names_of_the_three_types_are_taken_and_lowered() {
        let long = format!("iqn.2001-04.com.example:{}", "x".repeat(223 - 24));
        for good in [
            "iqn.1994-04.org.netbsd.iscsi-target",
            "iqn.2001-04.com.example:storage:diskarrays-sn-a8675309",
            "iqn.2001-04.com",
            "eui.02004567a425678d",
            "naa.52004567ba64678d",
            "naa.62004567ba64678d0123456789abcdef",
            long.as_str(),
        ] {
            assert_eq!(iscsi_name(good).as_deref(), Ok(good));
            assert_eq!(iscsi_name(&good.to_ascii_uppercase()).as_deref(), Ok(good));
        }
    }

    #[test]
    fn other_names_are_refused() {
        let long = format!("iqn.2001-04.com.example:{}", "x".repeat(224 - 24));
        for bad in [
            "",
            "foo",
            "a=b",
            "iqn",
            "iqn.",
            "iqn.2001",
            "iqn.2001-04",
            "iqn.2001-04.",
            "iqn.2001-13.com",
            "iqn.2001-00.com",
            "iqn.201-04.com",
            "iqn.2001-4.com",
            "iqn.2001-04..com",
            "iqn.2001-04.:x",
            "iqn.2001-04.com.example:a b",
            "iqn.2001-04.com.example:a_b",
            "iqn.2001-04.com.example:ä",
            "eui.02004567a425678",
            "eui.02004567a425678g",
            "naa.52004567ba64678d0",
            "iqn.+001-04.com",
            &long,
        ] {
            assert!(iscsi_name(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_its_own_normal_form(text in ".{0,30}|(iqn|eui|naa)\\.[0-9a-zA-Z.:-]{0,40}") {
            match iscsi_name(&text) {
                Ok(name) => prop_assert_eq!(iscsi_name(&name), Ok(name.clone())),
                Err(error) => prop_assert!(text.get(error.range).is_some()),
            }
        }
    }
}
