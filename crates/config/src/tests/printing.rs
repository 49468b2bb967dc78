//! What is printed is read again: by the strict reader as it was, by NetBSD's as the same disks.

use super::vectors::read_as;
use crate::fuzzing::{assert_equal, placeless};
use crate::{Authentication, Configuration, Length, Options, Printed, Reading};
use proptest::prelude::*;
use std::net::IpAddr;

const AUTHS: &str = "alice:chap:0123456789ab\nnobody:none:\nb b,c:chap:ba9876543210\nbob:chap:bob456789012\n\
                     server:chap:zyxwvutsrqpo\n";

/// One of `texts`.
fn one_of(texts: &[&'static str]) -> impl Strategy<Value = &'static str> + use<> {
    prop::sample::select(texts.to_vec())
}

/// A path as written, escapes and all.
fn path() -> impl Strategy<Value = String> {
    let piece = one_of(&["a", "ü", "#", "=", "\\ ", "\\\t", "\\\\", "\\#", "\"", ",", "\\\\\\ ", "x\\\n"]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| format!("/{}", pieces.concat()))
}

/// A mask as written.
fn mask() -> impl Strategy<Value = String> {
    let one = prop_oneof![
        (any::<u32>(), 0_u32..=32).prop_map(|(v4, bits)| format!("{}/{bits}", std::net::Ipv4Addr::from(v4))),
        (any::<u128>(), 0_u32..=128)
            .prop_map(|(v6, bits)| format!("{}/{bits}", std::net::Ipv6Addr::from(v6))),
        one_of(&["10/8", "10.4", "127.0.0.1", "0/0", "::/0", "::1", "::ffff:0:0/96", "::ffff:10.0.0.0/104"])
            .prop_map(str::to_owned),
    ];
    let list = prop::collection::vec(one, 1..4).prop_map(|masks| masks.join(","));
    prop_oneof![3 => list, 1 => one_of(&["any", "all", "none"]).prop_map(str::to_owned)]
}

#[derive(Debug, Clone)]
struct Disk {
    path: String,
    start: u64,
    length: String,
    flags: &'static str,
    mask: String,
    /// Its iSCSI name, if it is one of the shared one's disks.
    is_shared: bool,
    iqn: &'static str,
    block: &'static str,
    serial: bool,
    login: &'static str,
    /// Whether it is in a device with the disk before it.
    joins: bool,
}

fn disk() -> impl Strategy<Value = Disk> {
    let length = prop_oneof![
        4 => (1_u64..1 << 20).prop_map(|blocks| (blocks * 4096).to_string()),
        1 => one_of(&["size", "1GB", "3MiB", "4k"]).prop_map(str::to_owned)
    ];
    let place = (path(), prop_oneof![3 => Just(0), 1 => 0_u64..1 << 40], length);
    let flags = one_of(&["rw", "ro", "r", "RO"]);
    let iqn = one_of(&["", "", "=iqn.2001-04.com.example:NAME"]);
    let block = one_of(&["", "", " block=4096", " block=512"]);
    let login =
        one_of(&["", " auth=none", " auth=chap", " users=BOB,alice", " auth=chap users=alice mutual=server"]);
    (place, flags, mask(), any::<bool>(), iqn, block, any::<bool>(), login, any::<bool>()).prop_map(
        |((path, start, length), flags, mask, is_shared, iqn, block, serial, login, joins)| Disk {
            path,
            start,
            length,
            flags,
            mask,
            is_shared,
            iqn,
            block,
            serial,
            login,
            joins,
        },
    )
}

/// A `targets` text of those disks.
fn text(disks: &[Disk], discovery: &str) -> String {
    let (mut extents, mut devices, mut targets) = (String::new(), String::new(), String::new());
    let mut owner: Vec<String> = Vec::new();
    for (n, disk) in disks.iter().enumerate() {
        let Disk { path, start, length, flags, mask, block, .. } = disk;
        extents.push_str(&format!("extent{n} {path}{n} {start} {length}{block}\n"));
        let storage = match disk.joins && n > 0 {
            true => {
                let before = owner[n - 1].clone();
                owner[n - 1] = String::new();
                devices.push_str(&format!("device{n} RAID0 {before} extent{n}\n"));
                format!("device{n}")
            }
            false => format!("extent{n}"),
        };
        owner.push(storage);
        let iqn = match disk.is_shared {
            true => "=iqn.2001-04.com.example:shared".to_owned(),
            false => disk.iqn.replace("NAME", &format!("Own{n}")),
        };
        let lun = if disk.is_shared { format!(" lun={n}") } else { String::new() };
        let serial = if disk.serial { format!(" serial=S!{n}") } else { String::new() };
        let login = if disk.is_shared { "" } else { disk.login };
        targets.push_str(&format!("target{n}{iqn} {flags} STORAGE{n} {mask}{lun}{block}{serial}{login}\n"));
    }
    // A target whose storage went into a later disk's device is left out.
    let targets: String = targets
        .lines()
        .enumerate()
        .filter(|(n, _)| !owner[*n].is_empty())
        .map(|(n, line)| format!("{}\n", line.replace(&format!("STORAGE{n}"), &owner[n])))
        .collect();
    format!("{discovery}{extents}{devices}{targets}")
}

/// The size that the vectors' files have.
const SIZES: u64 = 12345;

/// The same disks, flags, sizes and demands; masks no wider, and the same where NetBSD can read them.
fn assert_same_disks(strict: &Configuration, netbsd: &Configuration, peers: &[IpAddr]) {
    assert_eq!(strict.targets.len(), netbsd.targets.len());
    for (strict_extent, netbsd_extent) in strict.extents.iter().zip(&netbsd.extents) {
        assert_eq!((&strict_extent.path, strict_extent.start), (&netbsd_extent.path, netbsd_extent.start));
        match strict_extent.length {
            Length::WholeFile => assert!(matches!(netbsd_extent.length, Length::Bytes(0 | SIZES))),
            length => assert_eq!(length, netbsd_extent.length),
        }
    }
    assert_eq!(placeless(strict).devices, placeless(netbsd).devices);
    assert_eq!(placeless(strict).discovery, placeless(netbsd).discovery);
    for (one, two) in strict.targets.iter().zip(&netbsd.targets) {
        assert_eq!(
            (&one.name, &one.iqn, one.lun, one.read_only),
            (&two.name, &two.iqn, two.lun, two.read_only)
        );
        assert_eq!(
            (&one.extents, one.block_length, &one.serial),
            (&two.extents, two.block_length, &two.serial)
        );
        assert_eq!((&one.authentication, &one.mutual), (&two.authentication, &two.mutual));
        for peer in peers {
            let (first, second) = (one.access.allows(*peer), two.access.allows(*peer));
            let both = format!("{} as {}, {peer}", one.access, two.access);
            assert!(first || !second, "never more open: {both}");
            assert!(first == second || !one.access.is_netbsds(), "{both}");
        }
    }
}

/// Addresses inside and just outside of the masks of a configuration, and others.
fn peers(configuration: &Configuration, random: u128) -> Vec<IpAddr> {
    let mut peers: Vec<IpAddr> = ["10.1.2.3", "10.4.0.0", "127.0.0.1", "::1", "fe80::1", "255.255.255.255"]
        .map(|text| text.parse().unwrap())
        .to_vec();
    peers.push(IpAddr::V6(random.into()));
    peers.push(IpAddr::V4(u32::try_from(random >> 96).unwrap().into()));
    for target in &configuration.targets {
        let written = target.access.to_string();
        let networks = written.split(',').filter_map(|mask| mask.split('/').next()?.parse::<IpAddr>().ok());
        peers.extend(networks);
    }
    // No peer has this address, and NetBSD's `none` lets it in.
    peers.retain(|peer| peer.to_canonical() != IpAddr::from([0, 0, 0, 0]));
    peers
}

fn printed(configuration: &Configuration) -> Printed {
    configuration.print(&Options::default())
}

proptest! {
    #[test]
    fn a_printed_configuration_reads_back_in_both_readings(
        disks in prop::collection::vec(disk(), 1..6),
        discovery in one_of(&["", "auth=chap", "users=bob mutual=server", "auth=none"]),
        random: u128,
    ) {
        let discovery = if discovery.is_empty() { String::new() } else { format!("discovery {discovery}\n") };
        let text = text(&disks, &discovery);
        let first = read_as(Reading::Strict, &text, Some(AUTHS));
        let first = first.configuration.unwrap_or_else(|| panic!("{text}: {:#?}", first.mistakes));
        let printed = printed(&first);
        let again = read_as(Reading::Strict, &printed.text, Some(AUTHS));
        let again = again.configuration.unwrap_or_else(|| panic!("{}: {:#?}", printed.text, again.mistakes));
        assert_equal(&first, &again);
        let netbsd = read_as(Reading::NetBsd, &printed.text, Some(AUTHS));
        prop_assert!(netbsd.netbsd_messages.is_empty(), "{:?}", netbsd.netbsd_messages);
        prop_assert!(netbsd.mistakes.is_empty(), "{}: {:#?}", printed.text, netbsd.mistakes);
        let netbsd = netbsd.configuration.unwrap();
        assert_same_disks(&again, &netbsd, &peers(&first, random));
        for target in &first.targets {
            let named = printed.notices.iter().any(|notice| {
                notice.starts_with(&format!("`{}` has a netmask", target.name))
            });
            prop_assert_eq!(named, !target.access.is_netbsds());
        }
    }

    #[test]
    fn any_fields_of_netbsds_reading_are_printed_so_that_no_line_says_something_else(
        path in r"[a\\# \t\r\n=üx]{1,12}", name in r"extent[a\\#=ü]{0,6}",
    ) {
        let text = format!("{name} {path} 0 1MB\ntarget0 rw {name} 10/8\n");
        let Some(first) = read_as(Reading::NetBsd, &text, None).configuration else { return Ok(()) };
        let printed = printed(&first);
        let again = read_as(Reading::NetBsd, &printed.text, None).configuration.unwrap();
        for extent in &again.extents {
            let same = |other: &&crate::Extent| (&other.name, &other.path) == (&extent.name, &extent.path);
            prop_assert!(first.extents.iter().any(|other| same(&other)), "{text:?} {printed:?}");
        }
        if printed.notices.is_empty() {
            prop_assert_eq!(again.extents.len(), first.extents.len());
        }
        crate::fuzzing::check(&read_as(Reading::Strict, &printed.text, None), &printed.text, "");
    }
}

#[test]
fn the_text_is_short_and_plain() {
    let text = "# c\nextent0\t/my\\ disk 512 104857600 # c\nextent1 /b 0 size block=4096\nextent2 /c 0 1TB\n\
                device0 raid0 extent0 extent2\ntarget0 RO device0\n\
                lun1=iqn.2001-04.com.EXAMPLE rw extent1 10.1/16,::/0 serial=A\n\
                discovery users=bob mutual=server\n";
    let configuration = read_as(Reading::Strict, text, Some(AUTHS)).configuration.unwrap();
    let Printed { text, notices } = printed(&configuration);
    assert_eq!(
        text,
        "extent0 /my\\ disk 512 100MB\nextent1 /b 0 size\nextent2 /c 0 1TB\ndevice0 RAID0 extent0 extent2\n\
         discovery auth=chap users=bob mutual=server\ntarget0 ro device0 any\n\
         lun1=iqn.2001-04.com.example rw extent1 10.1.0.0/16,::/1,8000::/1 block=4096 serial=A\n"
    );
    assert_eq!(notices, ["`lun1` has a netmask that NetBSD cannot read: it lets in fewer peers, or none"]);
}

#[test]
fn a_user_with_a_comma_who_cannot_be_named_makes_the_line_a_comment() {
    let text = "extent0 /a 0 1MB\ntarget0 rw extent0 all auth=chap\ntarget1 rw extent9 all mutual=server\n";
    let configuration = read_as(Reading::NetBsd, text, Some(AUTHS)).configuration.unwrap();
    let Printed { text, notices } = printed(&configuration);
    assert_eq!(text, "extent0 /a 0 1MB\n# target0 rw extent0 any auth=chap users=alice,b b,c,bob\n");
    assert!(notices[0].contains("a comma"), "server is nobody's record now, so `auth=chap` would let it in");
}

#[test]
fn what_cannot_be_served_or_written_is_a_comment() {
    let text = "extent0 /a 0 1MB\nextent1 #b 0 1MB\nextent2 /c 0 1MB\ndevice0 RAID5 extent0\n\
                target0 rw device0 all auth=chap\ntarget1 rw extent2 all\n";
    let configuration = read_as(Reading::NetBsd, text, Some(AUTHS)).configuration.unwrap();
    let Printed { text, notices } = printed(&configuration);
    assert_eq!(
        text,
        "extent0 /a 0 1MB\n# extent1 #b 0 1MB\nextent2 /c 0 1MB\n# device0 RAID5 extent0\n\
         # target0 rw device0 any auth=chap\ntarget1 rw extent2 any\n"
    );
    assert_eq!(notices.len(), 3);
    let chap = &configuration.targets[0].authentication;
    assert!(matches!(chap, Authentication::Chap { users } if users.len() == 4));
    assert!(read_as(Reading::Strict, &text, None).configuration.is_some());
}

#[test]
fn extents_keep_how_they_are_used() {
    let text = "extent0 /a 0 1MB direct=yes\nextent1 /b 0 1MB direct=no\nextent2 memory:/c 0 1MB\n\
                target0 rw extent0 any\ntarget1 rw extent1 any\ntarget2 rw extent2 any\n";
    let first = read_as(Reading::Strict, text, None).configuration.unwrap();
    let printed = printed(&first);
    assert!(
        printed.text.contains("extent0 /a 0 1MB direct=yes\nextent1 /b 0 1MB\nextent2 memory:/c 0 1MB\n")
    );
    assert!(printed.notices.iter().any(|notice| notice.contains("`extent2` is in memory")), "{printed:?}");
    assert_equal(&first, &read_as(Reading::Strict, &printed.text, None).configuration.unwrap());
    assert!(read_as(Reading::NetBsd, &printed.text, None).configuration.unwrap().extents[0].direct);
}
