#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn read(text: &[u8]) -> Result<Vec<(&str, &[u8])>, TextError> {
    pairs(text).map(|found| found.into_iter().map(|pair| (pair.key, pair.value)).collect())
}

#[test]
fn pairs_are_taken_apart_in_order() {
    let text = b"InitiatorName=iqn.a:b\0X-com.example.equation=a=b\0Empty=\0\
        iSCSIProtocolLevel=1\0X#NodeArchitecture=x\0";
    let expected: [(&str, &[u8]); 5] = [
        ("InitiatorName", b"iqn.a:b"),
        ("X-com.example.equation", b"a=b"),
        ("Empty", b""),
        ("iSCSIProtocolLevel", b"1"),
        ("X#NodeArchitecture", b"x"),
    ];
    assert_eq!(read(text).unwrap(), expected);
}

#[test]
fn padding_in_the_text_and_a_missing_last_zero_are_tolerated() {
    assert_eq!(read(b"A=1\0\0\0B=2").unwrap(), [("A", &b"1"[..]), ("B", b"2")]);
    assert_eq!(read(b"").unwrap(), []);
    assert_eq!(read(&[0; 9]).unwrap(), []);
}

#[test]
fn keys_and_values_that_are_too_long_are_refused_cve_2013_2850() {
    let key = |length: usize| format!("{}=1\0", "K".repeat(length)).into_bytes();
    assert!(pairs(&key(KEY_LIMIT)).is_ok());
    assert_eq!(pairs(&key(KEY_LIMIT + 1)), Err(TextError::KeyTooLong));
    assert_eq!(pairs(&key(200)), Err(TextError::KeyTooLong));
    assert_eq!(pairs(&key(65_000)), Err(TextError::KeyTooLong));
    let value = |length: usize| format!("K={}\0", "v".repeat(length)).into_bytes();
    assert!(pairs(&value(VALUE_LIMIT)).is_ok());
    assert_eq!(pairs(&value(VALUE_LIMIT + 1)), Err(TextError::ValueTooLong));
    assert_eq!(pairs(&vec![0; TEXT_LIMIT + 1]), Err(TextError::TooLong));
    assert_eq!(pairs(&b"K=v\0".repeat(PAIRS_LIMIT + 1)), Err(TextError::TooManyPairs));
}

#[test]
fn what_is_no_key_is_refused() {
    let cases: [(&[u8], TextError); 7] = [
        (b"=1\0", TextError::Key),
        (b"Key\0", TextError::NoValue),
        (b"A=1\0Key", TextError::NoValue),
        (b"1Key=1\0", TextError::Key),
        (b"Two words=1\0", TextError::Key),
        (b"Esc\x1b[0m=1\0", TextError::Key),
        (b"K\xff=1\0", TextError::Key),
    ];
    for (text, error) in cases {
        assert_eq!(pairs(text), Err(error), "{text:?}");
    }
}

#[test]
fn numbers_are_decimal_or_hexadecimal() {
    let good = [
        ("0", 0),
        ("262144", 262_144),
        ("0x40000", 262_144),
        ("0X0", 0),
        ("0x0000ff", 255),
        ("18446744073709551615", u64::MAX),
    ];
    for (text, value) in good {
        assert_eq!(number(text), Some(value), "{text}");
    }
    for text in [
        "",
        "+1",
        "-1",
        "01",
        " 1",
        "1 ",
        "1~2",
        "0x",
        "0x+1",
        "0b10",
        "18446744073709551616",
        "?",
        "0xfffffffffffffffff",
    ] {
        assert_eq!(number(text), None, "{text}");
    }
}

#[test]
fn booleans_are_two_words_in_their_case() {
    assert_eq!((boolean("Yes"), boolean("No")), (Some(true), Some(false)));
    for text in ["yes", "NO", "1", "", "Yes,No", "?"] {
        assert_eq!(boolean(text), None, "{text}");
    }
}

#[test]
fn a_log_line_shows_no_control_characters_and_ends() {
    assert_eq!(shown("a\u{1b}[2J\nb"), "a\\u{1b}[2J\\nb");
    assert!(shown(&"x".repeat(500)).chars().count() <= 81);
}

#[test]
fn a_value_can_not_bring_a_pair_of_its_own() {
    let mut writer = Writer::default();
    writer.pair("TargetAlias", "disk\0TargetAddress=evil");
    assert_eq!(writer.finish(), b"TargetAlias=disk\0");
}

#[test]
fn continued_text_is_joined_and_bounded() {
    let mut incoming = Incoming::default();
    assert_eq!(incoming.piece(b"Initiator", true), Ok(None));
    assert_eq!(incoming.piece(b"", true), Ok(None));
    assert_eq!(incoming.piece(b"Name=x\0", false), Ok(Some(b"InitiatorName=x\0".to_vec())));
    assert_eq!(incoming.piece(b"", false), Ok(Some(Vec::new())));
    for _ in 0..8 {
        assert_eq!(incoming.piece(&[b'x'; 8192], true), Ok(None));
    }
    assert_eq!(incoming.piece(b"x", true), Err(TextError::TooLong));
}

#[test]
fn pieces_end_with_whole_pairs_where_they_can() {
    let mut outgoing = Outgoing::new(b"A=1\0B=2\0Long=12345678\0".to_vec());
    let pieces: Vec<Vec<u8>> =
        std::iter::from_fn(|| (!outgoing.is_empty()).then(|| outgoing.piece(10))).collect();
    assert_eq!(pieces, [&b"A=1\0B=2\0"[..], b"Long=12345", b"678\0"]);
}

proptest! {
    #[test]
    fn no_text_does_harm(data in proptest::collection::vec(any::<u8>(), 0..2000)) {
        fuzz(&data);
    }

    #[test]
    fn pairs_survive_a_round(text in "([A-Za-z][A-Za-z0-9.+@_#-]{0,70}=[^\0]{0,40}\0){0,20}") {
        fuzz(text.as_bytes());
    }
}
