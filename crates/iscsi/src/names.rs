//! iSCSI names (RFC 7143 §4.2.7).

/// Bytes of the longest name (RFC 7143 §4.2.7.2).
pub const NAME_LIMIT: usize = 223;

/// Why a text is no iSCSI name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// None of the three types (§4.2.7.3).
    #[error("an iSCSI name begins with iqn., eui. or naa.")]
    Type,
    /// Longer than [`NAME_LIMIT`].
    #[error("an iSCSI name has at most {NAME_LIMIT} bytes")]
    TooLong,
    /// A space, a control character, or punctuation other than `-`, `.`, `:` and, because it is in
    /// use, `_`.
    #[error("an iSCSI name has no spaces, no control characters and no punctuation but - . : _")]
    Character,
    /// Not as many hexadecimal digits as the type has (§4.2.7.5, §4.2.7.6), or nothing at all.
    #[error("an iSCSI name is cut short or has the wrong number of digits")]
    Length,
}

/// The form in which names are compared: in lower case.
///
/// Beyond ASCII, letters are only lowered; neither the full preparation of RFC 3722 nor Unicode
/// normalisation is done. Of an `iqn.` name, the date and the domain are not looked at: initiators
/// in the field have made-up ones.
///
/// # Errors
/// [`NameError`] if the text is no name.
pub fn normalise(text: &str) -> Result<String, NameError> {
    if text.len() > NAME_LIMIT {
        return Err(NameError::TooLong);
    }
    let name: String = text.chars().flat_map(char::to_lowercase).collect();
    if name.len() > NAME_LIMIT {
        return Err(NameError::TooLong);
    }
    if !name.chars().all(is_allowed) {
        return Err(NameError::Character);
    }
    let (kind, rest) = name.split_once('.').ok_or(NameError::Type)?;
    let is_hex = || rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    let fits = match kind {
        "iqn" => !rest.is_empty(),
        "eui" => rest.len() == 16 && is_hex(),
        "naa" => matches!(rest.len(), 16 | 32) && is_hex(),
        _ => return Err(NameError::Type),
    };
    if fits { Ok(name) } else { Err(NameError::Length) }
}

fn is_allowed(character: char) -> bool {
    match character {
        '-' | '.' | ':' | '_' => true,
        _ if character.is_ascii() => character.is_ascii_alphanumeric(),
        _ => !character.is_whitespace() && !character.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_compared_in_lower_case() {
        let cases = [
            ("iqn.1994-04.org.NetBSD.iSCSI-Target:target0", "iqn.1994-04.org.netbsd.iscsi-target:target0"),
            ("IQN.2001-04.com.example:Storage_1", "iqn.2001-04.com.example:storage_1"),
            ("eui.02004567A425678D", "eui.02004567a425678d"),
            ("naa.52004567BA64678D", "naa.52004567ba64678d"),
            ("naa.62004567BA64678D0123456789ABCDEF", "naa.62004567ba64678d0123456789abcdef"),
            ("iqn.2001-04.com.example:Ä", "iqn.2001-04.com.example:ä"),
        ];
        for (text, name) in cases {
            assert_eq!(normalise(text).as_deref(), Ok(name));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = format!("iqn.{}", "x".repeat(220));
        // Its small letter is longer than its capital one.
        let growing = format!("iqn.2001-04.com.example:{}", "\u{130}".repeat(98));
        let cases = [
            ("", NameError::Type),
            ("disk", NameError::Type),
            ("iqn", NameError::Type),
            ("foo.bar", NameError::Type),
            ("iqn.", NameError::Length),
            ("eui.0123", NameError::Length),
            ("naa.0123456789abcdeg", NameError::Length),
            ("iqn.2001-04.com example", NameError::Character),
            ("iqn.2001-04.com.example:a,b", NameError::Character),
            ("iqn.2001-04.com.example:\u{1b}[31m", NameError::Character),
            ("iqn.2001-04.com.example:../x", NameError::Character),
            (&long, NameError::TooLong),
            (&growing, NameError::TooLong),
        ];
        for (text, error) in cases {
            assert_eq!(normalise(text), Err(error), "{text:?}");
        }
        assert!(normalise(&long[..NAME_LIMIT]).is_ok(), "the limit itself is allowed");
    }

    proptest! {
        #[test]
        fn a_normal_name_is_its_own_normal_form(text in "(iqn|eui|naa|foo)\\.\\PC{0,40}") {
            if let Ok(name) = normalise(&text) {
                prop_assert!(name.len() <= NAME_LIMIT);
                prop_assert!(!name.chars().any(char::is_control));
                prop_assert_eq!(normalise(&name), Ok(name.clone()));
            }
        }
    }
}
