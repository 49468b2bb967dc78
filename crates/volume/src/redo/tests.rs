#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::header::{Header, LENGTH, Unreadable};

fn header() -> Header {
    Header::of(*b"0123456789abcdef", 0x0102_0304, b"123456789")
}

#[test]
fn a_header_is_written_the_same_way_for_ever() {
    let bytes = header().render();
    assert_eq!(bytes[..16], *b"timediskredo\x01\0\0\0");
    assert_eq!(bytes[16..32], *b"0123456789abcdef");
    assert_eq!(bytes[32..48], [4, 3, 2, 1, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    // CRC-64/NVME, the check value of its definition.
    assert_eq!(bytes[48..56], 0xae8b_1486_0a79_9888_u64.to_le_bytes());
    assert_eq!(Header::parse(&bytes), Ok(header()));
}

#[test]
fn what_is_no_header_is_told_from_what_a_cut_leaves() {
    let bytes = header().render();
    for length in 16..LENGTH {
        assert_eq!(Header::parse(&bytes[..length]), Err(Unreadable::Torn), "{length}");
    }
    for length in 0..3 {
        assert_eq!(Header::parse(&vec![0; length * 32]), Err(Unreadable::Torn));
    }
    assert_eq!(Header::parse(b"precious notes of somebody else"), Err(Unreadable::Foreign));
    let mut newer = bytes;
    newer[12] = 2;
    assert_eq!(Header::parse(&newer), Err(Unreadable::Newer(2)));
}

proptest! {
    #[test]
    fn a_changed_bit_is_noticed(at in 16..LENGTH, bit in 0..8) {
        let mut bytes = header().render();
        bytes[at] ^= 1_u8 << bit;
        prop_assert_eq!(Header::parse(&bytes), Err(Unreadable::Torn));
    }

    #[test]
    fn any_bytes_can_be_parsed(bytes in proptest::collection::vec(any::<u8>(), 0..100), is_ours: bool) {
        let start: &[u8] = if is_ours { b"timediskredo\x01\0\0\0" } else { b"" };
        if let Ok(header) = Header::parse(&[start, &bytes].concat()) {
            prop_assert_eq!(&header.render()[..], &[start, &bytes].concat()[..LENGTH]);
        }
    }
}
