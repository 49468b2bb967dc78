//! N1 to N14: masks against peers, in both readings.

use super::{compatible, read_as};
use crate::Reading;

const NETBSD_COMPLAINT: &str = "allow_netmask: can't interpret mask `";

/// What the strict reader makes of a mask.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Strict {
    /// It lets the same peers in.
    Same,
    /// It lets other peers in, as the test below says.
    Other,
    Refused,
}
use Strict::{Other, Refused, Same};

/// A number, masks, peers that NetBSD lets in, peers that it does not, the strict reader's view.
type Row = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str], Strict);
const MASKS: [Row; 14] = [
    ("N1", &["10/8", "10.0.0.0/8", "10.1.2.3/8"], &["10.1.2.3", "10.200.1.1"], &["11.1.2.3"], Same),
    ("N2", &["0.0.0.0/0", "0/0", "all", "any"], &["1.2.3.4", "255.0.0.1", "::1"], &[], Same),
    ("N3", &["none"], &["0.0.0.0"], &["1.2.3.4", "::1"], Other),
    ("N4", &["192.168.1.0/24", "192.168.1/24"], &["192.168.1.77"], &["192.168.2.1"], Same),
    ("N5", &["10.4.0.0/16", "10.4/16"], &["10.4.255.255"], &["10.5.0.1"], Same),
    ("N6", &["10.4"], &["10.4.0.0"], &["10.4.0.29"], Same),
    ("N7", &["10.0.0.1"], &["10.0.0.1"], &["10.0.0.2", "::1", "::a00:1"], Same),
    ("N8", &["10.0.0.0/", "10.0.0.0/x"], &["5.5.5.5", "::1"], &[], Refused),
    ("N8", &["::/0"], &["5.5.5.5", "::1"], &[], Other),
    ("N9", &["ALL", "*", "localhost", "256.1.1.1/8", "10./8"], &[], &["10.0.0.1", "::1"], Refused),
    ("N9", &["fe80::/64"], &[], &["10.0.0.1", "fe80::1"], Other),
    ("N10", &["010.0.0.0/8"], &["8.1.1.1"], &["10.1.1.1"], Refused),
    ("N11", &["0x0a.0.0.0/8", "0X0A.0.0.0/8"], &["10.1.1.1"], &["11.1.1.1"], Refused),
    ("N14", &["10.0.0.0/8,192.168.0.0/16"], &["10.1.1.1"], &["192.168.1.1"], Other),
];

fn text(mask: &str) -> String {
    format!("extent0 /x 0 1MB\ntarget0 rw extent0 {mask}\n")
}

fn allows(reading: Reading, mask: &str, peer: &str) -> Option<bool> {
    let configuration = read_as(reading, &text(mask), None).configuration?;
    Some(configuration.targets[0].access.allows(peer.parse().unwrap()))
}

#[test]
fn masks_let_in_whom_netbsd_lets_in() {
    for (number, masks, inside, outside, strict) in MASKS {
        for mask in masks {
            for (peers, expected) in [(inside, true), (outside, false)] {
                for peer in peers {
                    let netbsd = allows(Reading::NetBsd, mask, peer);
                    assert_eq!(netbsd, Some(expected), "{number} {mask} {peer}");
                    let strictly = allows(Reading::Strict, mask, peer);
                    match strict {
                        Same => assert_eq!(strictly, Some(expected), "{number} {mask} {peer}"),
                        Other => assert!(strictly.is_some(), "{number} {mask}"),
                        Refused => assert_eq!(strictly, None, "{number} {mask}"),
                    }
                }
            }
        }
    }
}

#[test]
fn the_strict_reader_lets_in_whom_a_mask_says() {
    for (number, mask, peer, expected) in [
        ("N3", "none", "0.0.0.0", false),
        ("N8", "::/0", "5.5.5.5", false),
        ("N8", "::/0", "2001:db8::1", true),
        ("N9", "fe80::/64", "fe80::1", true),
        ("N9", "fe80::/64", "10.0.0.1", false),
        ("N14", "10.0.0.0/8,192.168.0.0/16", "192.168.1.1", true),
    ] {
        assert_eq!(allows(Reading::Strict, mask, peer), Some(expected), "{number} {mask} {peer}");
    }
}

#[test]
fn a_mask_that_netbsd_cannot_read_has_its_complaint() {
    for (mask, padded) in [
        ("ALL", "ALL.0.0.0"),
        ("*", "*.0.0.0"),
        ("localhost", "localhost.0.0.0"),
        ("#", "#.0.0.0"),
        ("fe80::/64", "fe80::.0.0.0"),
        ("256.1.1.1/8", "256.1.1.1"),
        ("10./8", "10..0.0"),
    ] {
        let list = compatible(&text(mask)).targets.remove(0).access;
        let expected = format!("{NETBSD_COMPLAINT}{padded}' as an IPv4 address");
        assert_eq!(list.netbsd_complaint(), Some(expected.as_str()), "N9 {mask}");
        assert_eq!(list.to_string(), mask);
    }
    assert_eq!(compatible(&text("10/8")).targets[0].access.netbsd_complaint(), None);
}

#[test]
fn a_mask_whose_length_is_undefined_is_refused_by_both() {
    for (number, mask) in [
        ("N12", "10.0.0.0/255.0.0.0"),
        ("N13", "10.0.0.1/33"),
        ("N13", "10.0.0.1/-1"),
        ("N13", "10.0.0.0/64"),
        ("N13", "10.0.0.0/4294967296"),
    ] {
        for reading in [Reading::NetBsd, Reading::Strict] {
            let outcome = read_as(reading, &text(mask), None);
            assert_eq!(outcome.mistakes.len(), 1, "{number} {mask}");
            assert_eq!((outcome.mistakes[0].line, outcome.mistakes[0].column), (2, 20), "{number} {mask}");
        }
    }
}

#[test]
fn a_list_is_not_everyone_for_a_zero_after_its_first_slash() {
    for (mask, inside, outside) in [
        ("10.0.0.1,::/0", "10.0.0.1", "10.0.0.2"),
        ("::/0,10.0.0.1", "::1", "10.0.0.2"),
        ("0/0,10.0.0.1", "10.0.0.2", ""),
    ] {
        assert_eq!(allows(Reading::NetBsd, mask, inside), Some(true), "{mask}");
        if !outside.is_empty() {
            assert_eq!(allows(Reading::NetBsd, mask, outside), Some(false), "{mask}");
        }
    }
}

#[test]
fn an_ipv4_mask_never_lets_an_ipv6_peer_in_and_does_so_for_a_mapped_one() {
    for reading in [Reading::NetBsd, Reading::Strict] {
        assert_eq!(allows(reading, "10/8", "::a01:203"), Some(false));
        assert_eq!(allows(reading, "10/8", "::ffff:10.1.2.3"), Some(true));
    }
}
