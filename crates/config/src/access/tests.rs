//! Which addresses masks let in, and what is no mask.

use super::AccessList;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A mask, addresses that it lets in, addresses that it does not.
const COVERED: [(&str, &[&str], &[&str]); 20] = [
    ("10/8", &["10.1.2.3", "10.200.1.1", "::ffff:10.1.2.3"], &["11.1.2.3", "::a01:203", "2001:db8::1"]),
    ("10.0.0.0/8", &["10.1.2.3"], &["11.1.2.3", "9.255.255.255"]),
    ("10.1.2.3/8", &["10.1.2.3", "10.200.1.1"], &["11.1.2.3"]),
    ("0.0.0.0/0", &["1.2.3.4", "::1", "fe80::1"], &[]),
    ("0/0", &["1.2.3.4", "::1"], &[]),
    ("all", &["1.2.3.4", "::1"], &[]),
    ("any", &["1.2.3.4", "::1"], &[]),
    ("none", &[], &["1.2.3.4", "0.0.0.0", "::", "::1", "::ffff:0.0.0.0"]),
    ("192.168.1.0/24", &["192.168.1.77"], &["192.168.2.1", "192.168.0.255"]),
    ("192.168.1/24", &["192.168.1.77"], &["192.168.2.1"]),
    ("10.4/16", &["10.4.255.255"], &["10.5.0.1"]),
    ("10.4", &["10.4.0.0"], &["10.4.0.29"]),
    ("10.0.0.1", &["10.0.0.1", "::ffff:10.0.0.1"], &["10.0.0.2", "10.0.0.0"]),
    ("10.0.0.1/31", &["10.0.0.0", "10.0.0.1"], &["10.0.0.2"]),
    ("::/0", &["::1", "2001:db8::1"], &["5.5.5.5", "::ffff:5.5.5.5"]),
    ("fe80::/64", &["fe80::1"], &["fe80:0:0:1::1", "10.0.0.1"]),
    ("2001:db8::1", &["2001:db8::1"], &["2001:db8::2"]),
    ("::ffff:10.0.0.0/104", &["10.9.9.9", "::ffff:10.9.9.9"], &["11.0.0.1", "::1"]),
    ("::ffff:0:0/96", &["10.9.9.9", "::ffff:10.9.9.9"], &["::1"]),
    ("10.0.0.0/8,192.168.0.0/16,::1", &["10.1.1.1", "192.168.1.1", "::1"], &["172.16.0.1", "::2"]),
];

#[test]
fn a_mask_lets_in_the_addresses_it_covers_and_no_others() {
    for (mask, inside, outside) in COVERED {
        let list = AccessList::parse(mask).unwrap();
        assert_eq!(list.to_string(), mask);
        for address in inside {
            assert!(list.allows(address.parse().unwrap()), "{mask} {address}");
        }
        for address in outside {
            assert!(!list.allows(address.parse().unwrap()), "{mask} {address}");
        }
    }
    assert!(AccessList::everyone().allows("::1".parse().unwrap()));
}

#[test]
fn what_is_no_mask_is_refused_with_what_to_write() {
    let table: [(&str, &str); 28] = [
        ("::ffff:10.0.0.0/8", "`10.0.0.0/8`"),
        ("", "10.0.0.0/8"),
        ("10.0.0.0/", "`any`"),
        ("10.0.0.0/x", "`any`"),
        ("10.0.0.0/+8", "`any`"),
        ("ALL", "`all`"),
        ("None", "`none`"),
        ("*", "`all`"),
        ("10.*", "`10.0.0.0/8`"),
        ("192.168.1.*", "`192.168.1.0/24`"),
        ("localhost", "host names"),
        ("#", "10.0.0.0/8"),
        ("256.1.1.1/8", "10.0.0.0/8"),
        ("10./8", "10.0.0.0/8"),
        ("1.2.3.4.5", "10.0.0.0/8"),
        ("010.0.0.0/8", "`10.0.0.0/8`"),
        ("0x0a.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "`10.0.0.0/8`"),
        ("10.0.0.0/255.255.240.0", "`10.0.0.0/20`"),
        ("10.0.0.1/33", "`10.0.0.1/32`"),
        ("10.0.0.1/-1", "`any`"),
        ("10.0.0.0/64", "`any`"),
        ("fe80::/129", "/64"),
        ("[::1]/128", "`::1/128`"),
        ("fe80::1%eth0", "`fe80::1/128`"),
        ("10/8,", "both sides"),
        ("10/8,any", "`any` alone"),
        ("rubbish/0", "host names"),
    ];
    for (mask, help) in table {
        let errors = AccessList::parse(mask).unwrap_err();
        assert_eq!(errors.len(), 1, "{mask}");
        assert!(errors[0].help.contains(help), "{mask}: {}", errors[0]);
    }
    let errors = AccessList::parse("10/8,bad,::1/x").unwrap_err();
    let ranges: Vec<_> = errors.iter().map(|error| error.range.clone()).collect();
    assert_eq!(ranges, [5..8, 9..14]);
}

#[test]
fn a_mask_that_may_mean_something_else_is_doubted() {
    for (mask, doubts) in
        [("10.4", 1), ("10.4.0.0", 0), ("10.0.0.0/0", 1), ("0/0", 0), ("any", 0), ("10/8", 0)]
    {
        assert_eq!(AccessList::parse_with_doubts(mask).unwrap().1.len(), doubts, "{mask}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_list_or_errors_within_the_text(
        text in ".{0,30}|[0-9a-f.:/,*%]{0,40}|(any|all|none|,){0,4}",
    ) {
        match AccessList::parse_with_doubts(&text) {
            Ok((list, doubts)) => {
                prop_assert_eq!(list.to_string(), text.clone());
                prop_assert!(doubts.iter().all(|doubt| text.get(doubt.range.clone()).is_some()));
            }
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                prop_assert!(errors.iter().all(|error| text.get(error.range.clone()).is_some()));
            }
        }
    }

    #[test]
    fn an_ipv4_prefix_covers_exactly_the_addresses_that_share_its_bits(
        network: u32, bits in 1_u32..=32, peer: u32,
    ) {
        let list = AccessList::parse(&format!("{}/{bits}", Ipv4Addr::from(network))).unwrap();
        let near = network ^ peer.checked_shr(bits).unwrap_or(0);
        for peer in [peer, near] {
            let same = (0..bits).all(|bit| (peer >> (31 - bit)) & 1 == (network >> (31 - bit)) & 1);
            let v4 = Ipv4Addr::from(peer);
            prop_assert_eq!(list.allows(IpAddr::V4(v4)), same);
            prop_assert_eq!(list.allows(IpAddr::V6(v4.to_ipv6_mapped())), same);
        }
    }

    #[test]
    fn an_ipv6_prefix_covers_exactly_the_addresses_that_share_its_bits(
        network: u128, bits in 1_u32..=128, peer: u128,
    ) {
        let network = network | 1 << 127;
        let list = AccessList::parse(&format!("{}/{bits}", Ipv6Addr::from(network))).unwrap();
        let near = network ^ peer.checked_shr(bits).unwrap_or(0);
        for peer in [peer, near] {
            let same = (0..bits).all(|bit| (peer >> (127 - bit)) & 1 == (network >> (127 - bit)) & 1);
            prop_assert_eq!(list.allows(IpAddr::V6(Ipv6Addr::from(peer))), same);
        }
    }
}
