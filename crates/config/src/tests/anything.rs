//! Texts that nobody meant.

use super::read_both;
use super::vectors::read_as;
use crate::Reading;
use crate::fuzzing::fuzz;
use proptest::prelude::*;

/// A field that some record may have, or nearly.
fn field() -> impl Strategy<Value = String> {
    let words = [
        "extent0",
        "extent1",
        "extent2",
        "device0",
        "device1",
        "target0",
        "target1=iqn.2001-04.com.example",
        "lun3",
        "target4=",
        "RAID0",
        "raid1",
        "JBOD",
        "rw",
        "ro",
        "RO",
        "/a",
        "/b",
        "/my\\ disk",
        "\"/q",
        "0",
        "512",
        "1MB",
        "2KB",
        "size",
        "1.5GB",
        "any",
        "none",
        "10/8",
        "10/8,fe80::/64",
        "::/129",
        "auth=chap",
        "auth=none",
        "auth=",
        "users=a",
        "mutual=a",
        "lun=1",
        "serial=X",
        "block=4096",
        "discovery",
        "portal1",
        "portal0",
        "10.0.0.1",
        "10.0.0.1:99,[::1]:99",
        "[::1]",
        "0.0.0.0:1",
        "portals=1",
        "portals=1,2,",
        "alua=explicit",
        "state=standby",
        "preferred=yes",
        "users=a,ü,",
        "# c",
        "\\\n",
        "\\\n ",
        "\\",
        "\r",
        "ü\u{a0}",
        "\u{feff}",
        "a:chap:0123456789ab",
    ];
    prop_oneof![9 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => ".{0,8}"]
}

/// Lines of such fields.
fn text() -> impl Strategy<Value = String> {
    let line = prop::collection::vec(field(), 0..7).prop_map(|fields| fields.join(" "));
    let good = prop::sample::select(vec![
        "extent0 /a 0 1MB",
        "extent1 /b 0 size",
        "device0 RAID0 extent0",
        "device1 RAID1 device0 extent1",
        "target0 rw extent0 any",
        "target1 ro device0 10/8 auth=chap",
        "a:chap:0123456789ab",
        "b:chap:ba9876543210",
        "discovery auth=chap mutual=b",
        "portal1 10.0.0.1,[::1]:99 state=standby",
        "portal7 10.0.0.7 preferred=yes",
        "target2 rw extent1 any portals=1,7 alua=explicit",
        "device2 RAID0 extent0 extent1",
        "ü:none:",
    ]);
    let lines = prop_oneof![line, good.prop_map(str::to_owned)];
    (prop::collection::vec(lines, 0..12), prop::sample::select(vec!["\n", "\r\n", "\r"]))
        .prop_map(|(lines, end)| lines.join(end))
}

proptest! {
    #[test]
    fn any_lines_give_a_configuration_or_mistakes_within_the_text(
        targets in text(), auths in prop::option::of(text()),
    ) {
        read_both(&targets, auths.as_deref());
        read_as(Reading::NetBsd, &targets, auths.as_deref());
    }

    #[test]
    fn any_text_gives_a_configuration_or_mistakes_within_the_text(targets: String, auths: String) {
        read_both(&targets, Some(&auths));
        read_as(Reading::NetBsd, &targets, Some(&auths));
    }

    #[test]
    fn any_bytes_can_be_fuzzed(bytes: Vec<u8>) {
        fuzz(&bytes);
    }

    #[test]
    fn what_is_written_is_what_is_read(
        path in "/[a-zA-Z0-9 ü#\\.]{1,20}", start in 0_u64..1 << 40,
        blocks in 1_u64..1 << 30, read_only: bool,
    ) {
        let flags = if read_only { "ro" } else { "rw" };
        let escaped = path.replace(' ', "\\ ");
        let text = format!("extent0 {escaped} {start} {}\ntarget0 {flags} extent0 10/8\n", blocks * 512);
        let configuration = read_both(&text, None).configuration.expect("no mistakes");
        let extent = &configuration.extents[0];
        prop_assert_eq!(&extent.path, &path);
        prop_assert_eq!((extent.start, extent.length), (start, crate::Length::Bytes(blocks * 512)));
        prop_assert_eq!(configuration.targets[0].read_only, read_only);
        let tree = format!("target0:{flags}:10/8\n\textent0:{path}:{start}:{}\n", blocks * 512);
        prop_assert_eq!(configuration.tree().to_string(), tree);
    }
}
