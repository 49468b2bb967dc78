//! What extents, devices and targets become, and what is refused about them.

use super::{TARGET, good, mistakes, only_mistake, read};
use crate::{Authentication, Configuration, Length, Level, Options, Source, Storage};

#[test]
fn the_tutorials_line_without_a_netmask_is_writable_open_and_said_to_be_open() {
    let text = "extent0 /tmp/iscsi-target0 0 100MB\ntarget0 rw extent0\n";
    let configuration = good(text);
    let target = &configuration.targets[0];
    assert!(!target.read_only);
    assert_eq!(target.iqn, "iqn.1994-04.org.netbsd.iscsi-target:target0");
    assert_eq!(target.authentication, Authentication::None);
    assert!(target.access.allows("203.0.113.9".parse().unwrap()));
    assert!(target.access.allows("2001:db8::1".parse().unwrap()));
    let notices = read(text).notices;
    assert_eq!(notices.len(), 1);
    assert_eq!((notices[0].line, notices[0].column), (2, 1));
    assert!(notices[0].message.contains("open to every address"));
}

#[test]
fn a_line_without_a_netmask_may_have_keys() {
    let outcome =
        super::read_both("extent0 /x 0 1MB\ntarget0 rw extent0 auth=chap\n", Some("a:chap:0123456789ab\n"));
    let configuration = outcome.configuration.unwrap();
    assert_eq!(configuration.targets[0].authentication, Authentication::Chap { users: vec!["a".to_owned()] });
    assert_eq!(configuration.targets[0].access.to_string(), "any");
}

#[test]
fn a_record_becomes_what_it_says() {
    let text = "extent7 /data/disk.img 4096 2GB\nextent8 other 0 size\n\
                target7=IQN.2004-06.COM.example:Disk ro extent7 10/8,fe80::/64\nlun8 rw extent8 none\n";
    let configuration = good(text);
    let extent = &configuration.extents[0];
    assert_eq!((extent.name.as_str(), extent.path.as_str()), ("extent7", "/data/disk.img"));
    assert_eq!((extent.start, extent.length), (4096, Length::Bytes(2 << 30)));
    assert_eq!(&text[extent.span.clone()], "extent7 /data/disk.img 4096 2GB");
    assert_eq!(&text[extent.path_span.clone()], "/data/disk.img");
    assert_eq!(configuration.extents[1].length, Length::WholeFile);
    let target = &configuration.targets[0];
    assert_eq!((target.name.as_str(), target.iqn.as_str()), ("target7", "iqn.2004-06.com.example:disk"));
    assert_eq!(
        (target.read_only, target.storage, target.extents.as_slice()),
        (true, Storage::Extent(0), &[0][..])
    );
    assert_eq!(target.access.to_string(), "10/8,fe80::/64");
    assert_eq!(&text[target.storage_span.clone()], "extent7");
    assert!(!configuration.targets[1].access.allows("0.0.0.0".parse().unwrap()));
}

#[test]
fn the_base_of_the_names_is_the_callers() {
    let iqn_base = "iqn.2001-04.com.example".to_owned();
    let options = Options { iqn_base, block_length: 4096, ..Options::default() };
    let parse = |text| Configuration::parse(Source { name: "t", text }, None, &options, &|_| None);
    let configuration = parse("extent0 /x 0 4KB\nlun5 rw extent0 any\n").configuration.unwrap();
    assert_eq!(configuration.targets[0].iqn, "iqn.2001-04.com.example:lun5");
    assert!(only_mistake(&parse("extent0 /x 0 5KB\nlun5 rw extent0 any\n")).contains("`4KB` or `8KB`"));
}

#[test]
fn a_device_of_one_extent_is_that_extent() {
    let text = "extent0 /a 0 1MB\nextent1 /b 0 1MB\ndevice0 RAID0 extent1\ndevice1 raid0 device0\n\
        target0 rw device1 all\n";
    let configuration = good(text);
    assert_eq!(configuration.targets[0].storage, Storage::Device(1));
    assert_eq!(configuration.targets[0].extents, [1]);
}

#[test]
fn several_members_are_one_after_the_other_however_deep() {
    let extents = "extent0 /a 0 1MB\nextent1 /b 0 size\nextent2 /c 0 512\n";
    let text = format!(
        "{extents}device0 RAID0 extent1 extent0\ndevice1 RAID0 extent2 device0\n\
                        target0 rw device1 all\n"
    );
    assert_eq!(good(&text).targets[0].extents, [2, 1, 0]);
}

#[test]
fn a_concatenation_that_netbsd_wrote_is_said_to_be_scrambled_once() {
    let extents = "extent0 /a 0 1MB\nextent1 /b 0 1MB\nextent2 /c 0 1MB\n";
    let text = format!(
        "{extents}device0 RAID0 extent0 extent1\ndevice1 RAID0 device0 extent2\n\
                        target0 ro device1 all\ntarget1 ro device0 all\n"
    );
    let said: Vec<_> = read(&text).notices.iter().map(|n| (n.line, n.message.clone())).collect();
    let scrambled = |name: &str| format!("what NetBSD's own daemon wrote on `{name}` is scrambled");
    assert_eq!(said, [(6, scrambled("device1")), (6, scrambled("device0"))]);
    assert!(read(&text).notices[0].help.as_deref().unwrap().contains("backup"));
}

#[test]
fn a_target_stands_on_a_mirror_as_on_any_device() {
    let extents = "extent0 /a 0 1MB\nextent1 /b 0 1MB\nextent2 /c 0 1MB\n";
    let unused = good(&format!("{extents}device0 RAID1 extent0 extent1\ntarget0 rw extent2 all\n"));
    assert_eq!(unused.devices[0].level, Level::Mirror);
    assert_eq!(unused.devices[0].members, [Storage::Extent(0), Storage::Extent(1)]);
    for (above, extents_behind) in [
        ("target0 rw device0 all\n", vec![0, 1]),
        ("device1 RAID0 device0 extent2\ntarget0 rw device1 all\n", vec![0, 1, 2]),
        ("device1 RAID1 device0 extent2\ntarget0 rw device1 all\n", vec![0, 1, 2]),
    ] {
        let read = good(&format!("{extents}device0 RAID1 extent0 extent1\n{above}"));
        assert_eq!(read.targets[0].extents, extents_behind);
    }
    let nested = format!("{extents}device0 RAID0 extent0 extent1\ndevice1 RAID1 device0 extent2\n{TARGET}");
    assert_eq!(mistakes(&nested), ["5:23 extent2"], "2 MB and 1 MB");
}

#[test]
fn a_member_belongs_to_one_device() {
    let text = "extent0 /a 0 1MB\ndevice0 RAID0 extent0\ndevice1 RAID0 extent0\n\
        device2 RAID1 device0 device0\n";
    assert_eq!(mistakes(&format!("{text}{TARGET}")), ["3:15 extent0", "4:23 device0"]);
}

#[test]
fn two_targets_share_an_extent_only_to_read_it() {
    let extent = "extent0 /a 0 1MB\n";
    good(&format!("{extent}target0 ro extent0 all\ntarget1 ro extent0 all\n"));
    for (first, second) in [("rw", "rw"), ("rw", "ro"), ("ro", "rw")] {
        let text = format!("{extent}target0 {first} extent0 all\ntarget1 {second} extent0 all\n");
        assert_eq!(mistakes(&text), ["3:12 extent0"]);
        assert!(only_mistake(&read(&text)).contains("used by `target0`, on line 2"));
    }
    let device = "extent0 /a 0 1MB\ndevice0 RAID0 extent0\n";
    assert_eq!(mistakes(&format!("{device}target0 rw extent0 all\n")), ["3:12 extent0"]);
    good(&format!("{device}target0 ro extent0 all\ntarget1 ro device0 all\n"));
    let both = format!("{device}target0 rw extent0 all\ntarget1 rw device0 all\n");
    assert_eq!(mistakes(&both), ["4:12 device0"]);
    let two = "extent0 /a 0 1MB\nextent1 /b 0 1MB\ndevice0 RAID0 extent0 extent1\n";
    let both = format!("{two}target0 rw device0 all\ntarget1 ro device0 all\n");
    assert_eq!(mistakes(&both), ["5:12 device0"], "once, and not for each extent");
    let inner = format!("{two}device1 RAID0 device0\ntarget0 rw device0 all\n");
    assert_eq!(mistakes(&inner), ["5:12 device0"], "the device it is a member of may be used tomorrow");
}

#[test]
fn extents_of_one_file_do_not_overlap_unless_they_are_only_read() {
    let targets = |flags: &str| format!("target0 {flags} extent0 all\ntarget1 {flags} extent1 all\n");
    let beside = format!("extent0 /a 1048576 1MB\nextent1 /a 0 1MB\n{}", targets("rw"));
    assert_eq!(good(&beside).extents.len(), 2);
    for extents in [
        "extent0 /a 0 1MB\nextent1 /a 1048064 1MB\n",
        "extent0 /a 1048064 1MB\nextent1 /a 0 1MB\n",
        "extent0 /a 0 1MB\nextent1 /a 0 1MB\n",
        "extent0 /a 0 size\nextent1 /a 104857600 1MB\n",
    ] {
        let found = mistakes(&format!("{extents}{}", targets("rw")));
        assert!(found.len() == 1 && found[0].starts_with("2:9 /a "), "{found:?}");
        good(&format!("{extents}{}", targets("ro")));
    }
    good(&format!("extent0 /a 0 1MB\nextent1 /b 0 1MB\n{}", targets("rw")));
    let hidden = "extent0 /a 0 1MB\nextent1 /a 2097152 1MB\nextent2 /a 0 size\n";
    assert_eq!(mistakes(&format!("{hidden}{}", targets("rw"))).len(), 2);
}

#[test]
fn names_are_defined_once() {
    let text = "extent0 /a 0 1MB\nextent1 /b 0 1MB\nextent0 /c 0 1MB\ntarget0 rw extent0 all\n\
        target0=iqn.2001-04.com.example rw extent1 all\n";
    assert_eq!(mistakes(text), ["3:1 extent0", "5:1 target0"]);
    assert!(read(text).mistakes[0].message.contains("on line 1"));
}

#[test]
fn iscsi_names_are_given_once_letter_case_aside() {
    let extents = "extent0 /a 0 1MB\nextent1 /b 0 1MB\n";
    let text = format!(
        "{extents}target0=iqn.2001-04.com.example rw extent0 all\n\
            target1=iqn.2001-04.com.EXAMPLE rw extent1 all\n"
    );
    assert_eq!(mistakes(&text), ["4:9 iqn.2001-04.com.EXAMPLE"]);
    let derived = format!("{extents}targetA rw extent0 all\ntargeta rw extent1 all\n");
    assert_eq!(mistakes(&derived), ["4:1 targeta"]);
    assert_eq!(mistakes(&format!("{extents}target_1 rw extent0 all\n")), ["3:1 target_1"]);
}

#[test]
fn help_names_the_word_that_was_meant() {
    let extent = "extent0 /a 0 1MB\n";
    for (line, help) in [
        ("Target0 rw extent0 all", "`target0`"),
        ("tagret5 rw extent0 all", "`target5`"),
        ("foo bar", "begins with `extent0`"),
        ("target0 rww extent0 all", "`rw`"),
        ("target0 read-only extent0 all", "`ro`"),
        ("target0 xyzzy extent0 all", "write `rw`, or `ro`"),
        ("target0 extent0 rw all", "flags come before the storage"),
        ("target0 rw extend0 all", "`extent0`"),
        ("target0 rw discovery all\ndiscovery auth=none", "define it on an earlier line"),
        ("target0 rw extent0 ALL", "`all`"),
        ("target0 rw extent0 10.0.0.0/8 192.168.0.0/16", "`10.0.0.0/8,192.168.0.0/16`"),
        ("target0 rw extent0 10.0.0.0/8, 192.168.0.0/16", "both sides"),
        ("target0 rw extent0 all something", "only `key=value`"),
        ("target0 rw extent0 all auht=none", "`auth`"),
        ("target0 rw extent0 all auth=non", "`none`"),
        ("target0 rw extent0 all auth=none auth=none", "once"),
        ("target0 rw extent0 all auth=none any", "come first"),
        ("target0 rw", "`target0 rw extent0 10.0.0.0/8`"),
        ("target0 rw extent0 all\nextent1 /b 0 100 MB", "`100MB`, without a blank"),
        ("target0 rw extent0 all\nextent1 /b 0 1 KB", "`1KB`, without a blank"),
        ("target0 rw extent0 all\nextent1 /b 0 100", "`512`"),
        ("target0 rw extent0 all\nextent1 /b 0 512 MB", "`512MB`, without a blank"),
        ("target0 rw extent0 all\nextent1 /b 1MB 1MB", "`1048576`"),
        ("target0 rw extent0 all\nextent1 '/tmp/a b' 0 1MB", "`/tmp/a\\ b`"),
        ("target0 rw extent0 all\nextent1 /b 0 1.5GB", "`1536MB`"),
        ("target0 rw extent0 all\ndevice0 RAID5 extent0", "RAID0"),
        ("target0 rw extent0 all\ndevice0 mirror extent0", "`RAID1`"),
        ("target0 rw extent0 all\ndevice0 RAID0 device0", "earlier line"),
        ("target0 rw extent1 all\nextent1 /b 0 1MB", "move that line"),
    ] {
        let outcome = read(&format!("{extent}{line}\n"));
        let texts: Vec<String> = outcome
            .mistakes
            .iter()
            .map(|m| format!("{}; {}", m.message, m.help.as_deref().unwrap()))
            .collect();
        assert!(texts.iter().any(|text| text.contains(help)), "{line}: {texts:#?}");
    }
}

#[test]
fn a_name_defined_later_is_refused_with_its_line() {
    let text = "target0 rw extent0 all\n# c\nextent0 /x 0 1MB\n";
    assert_eq!(mistakes(text), ["1:12 extent0"]);
    assert!(only_mistake(&read(text)).contains("defined later, on line 3"));
}

#[test]
fn a_record_with_a_mistake_does_not_make_mistakes_of_those_that_name_it() {
    assert_eq!(
        mistakes("extent0 /x 0 1.5GB\ndevice0 RAID0 extent0\ntarget0 rw device0 all\n"),
        ["1:14 1.5GB"]
    );
    assert_eq!(mistakes("extent0 /x\u{a0}0 1MB\ntarget0 rw extent0 all\n"), ["1:11 \u{a0}"]);
}
