//! What NetBSD's files do not have: several disks of a target, serial numbers, block lengths, proof in both
//! directions, and discovery that asks for users.

use super::{good, mistakes, only_mistake, read, read_both};
use crate::{Authentication, Care, Configuration, Options, Outcome, Scrub, Target};

const EXTENTS: &str = "extent0 /a 0 1MB\nextent1 /b 0 1MB\nextent2 /c 0 1MB\n";
const AUTHS: &str = "alice:chap:0123456789ab\nbob:chap:ba9876543210\nserver:chap:zyxwvutsrqpo\n";

fn with(lines: &str, auths: &str) -> Outcome {
    read_both(&format!("{EXTENTS}{lines}"), Some(auths))
}

fn asked(lines: &str) -> Configuration {
    let outcome = with(lines, AUTHS);
    outcome.configuration.unwrap_or_else(|| panic!("{lines}: {:#?}", outcome.mistakes))
}

fn chap(users: &[&str]) -> Authentication {
    Authentication::Chap { users: users.iter().map(|user| (*user).to_owned()).collect() }
}

/// Name, number and block length of a disk.
fn shown(target: &Target) -> (&str, u16, u32) {
    (&target.name, target.lun, target.block_length)
}

#[test]
fn lines_with_one_iscsi_name_and_different_numbers_are_disks_of_one_target() {
    let configuration = good(&format!(
        "{EXTENTS}target0=iqn.2001-04.com.example rw extent0 10/8 lun=3\n\
         target1=IQN.2001-04.com.example ro extent1 all lun=16383 block=4096\ntarget2 rw extent2 all\n"
    ));
    let [one, two, three] = configuration.targets.as_slice() else { panic!() };
    assert_eq!(one.iqn, two.iqn);
    assert_eq!(
        (shown(one), one.read_only, one.access.to_string()),
        (("target0", 3, 512), false, "10/8".into())
    );
    assert_eq!(
        (shown(two), two.read_only, two.access.to_string()),
        (("target1", 16383, 4096), true, "all".into())
    );
    assert_eq!(shown(three), ("target2", 0, 512));
}

#[test]
fn each_disk_of_several_has_a_number_of_its_own() {
    let lines = |first: &str, second: &str| {
        format!(
            "{EXTENTS}target0=iqn.2001-04.com.example rw extent0 any {first}\n\
                 target1=iqn.2001-04.com.example rw extent1 any {second}\n"
        )
    };
    for (first, second, place, help) in [
        ("lun=1", "lun=1", "5:48 lun=1", "number of its own"),
        ("lun=0", "lun=00", "5:48 lun=00", "number of its own"),
        ("lun=1", "", "5:9 iqn.2001-04.com.example", "`lun=1`"),
        ("", "lun=1", "5:9 iqn.2001-04.com.example", "`lun=0` on line 4"),
        ("", "", "5:9 iqn.2001-04.com.example", "`lun=1`"),
    ] {
        let text = lines(first, second);
        assert_eq!(mistakes(&text), [place], "{text}");
        assert!(only_mistake(&read(&text)).contains(help), "{text}");
    }
    for wrong in ["lun=16384", "lun=", "lun=-1", "lun=+1", "lun=x", "lun=0x1", "lun=99999"] {
        let text = format!("{EXTENTS}target0 rw extent0 any {wrong}\n");
        assert!(only_mistake(&read(&text)).contains("from 0 to 16383"), "{wrong}");
    }
}

#[test]
fn a_disk_has_the_serial_number_and_block_length_of_its_line_or_of_its_storage() {
    let configuration = good(
        "extent0 /a 0 1MB serial=A-1 block=4096\nextent1 /b 0 1MB\nextent2 /c 0 1MB block=4096\n\
         device0 RAID0 extent1 block=4096 serial=D~!\ntarget0 rw extent0 any\ntarget1 rw device0 any\n\
         target2 rw extent2 any serial=12345678901234567890 block=512\n",
    );
    let shown: Vec<_> = configuration.targets.iter().map(|t| (t.serial.as_deref(), t.block_length)).collect();
    assert_eq!(shown, [(Some("A-1"), 4096), (Some("D~!"), 4096), (Some("12345678901234567890"), 512)]);
    assert_eq!(good("extent0 /a 0 1MB\ntarget0 rw extent0 any\n").targets[0].serial, None);
}

#[test]
fn serial_numbers_and_block_lengths_are_checked() {
    for (keys, help) in [
        ("serial=", "1 to 20"),
        ("serial=123456789012345678901", "1 to 20"),
        ("serial=ü", "1 to 20"),
        ("serial=a\\ b", "1 to 20"),
        ("block=1024", "`block=512` or `block=4096`"),
        ("block=4K", "`block=4096`"),
        ("block=4096 block=4096", "once"),
        ("blok=512", "`block`"),
    ] {
        for line in [
            format!("extent9 /x 0 1MB {keys}\ntarget9 rw extent0 any\n"),
            format!("device9 RAID0 extent0 {keys}\ntarget9 rw extent1 any\n"),
            format!("target9 rw extent0 any {keys}\n"),
        ] {
            let outcome = read(&format!("{EXTENTS}{line}"));
            assert!(only_mistake(&outcome).contains(help), "{line}: {}", only_mistake(&outcome));
        }
    }
    let twice = format!("{EXTENTS}target0 rw extent0 any serial=A\ntarget1 rw extent1 any serial=A\n");
    assert!(only_mistake(&read(&twice)).contains("`target0` on line 4 already has the serial number `A`"));
    let default_twice = "extent0 /a 0 1MB serial=A\ntarget0 ro extent0 any\ntarget1 ro extent0 any\n";
    assert!(only_mistake(&read(default_twice)).contains("serial number"));
}

#[test]
fn a_length_is_a_multiple_of_the_block_length_of_each_disk_on_it() {
    let text = |keys: &str| {
        format!(
            "extent0 /a 0 512\nextent1 /b 0 1MB\ndevice0 RAID0 extent0 extent1\n\
                                     target0 ro device0 any\ntarget1 ro extent0 any {keys}\n"
        )
    };
    good(&text(""));
    let outcome = read(&text("block=4096"));
    assert!(only_mistake(&outcome).contains("the block length of `target1`, 4096 bytes; write `4KB`"));
    assert_eq!((outcome.mistakes[0].line, outcome.mistakes[0].column), (1, 14));
}

#[test]
fn what_a_member_says_is_said_to_mean_nothing_to_the_device() {
    let text = "extent0 /a 0 1MB serial=A\ndevice0 RAID0 extent0\ntarget0 rw device0 any\n";
    assert_eq!(good(text).targets[0].serial, None);
    let notices = read(text).notices;
    assert_eq!((notices.len(), notices[0].line, notices[0].column), (1, 2, 15));
}

#[test]
fn a_known_name_with_an_equals_sign_is_a_storage_and_no_key() {
    let text = "extent=a /a 0 1MB\ndevice0 RAID0 extent=a serial=X\ntarget0 rw device0 any\n";
    assert_eq!(good(text).targets[0].serial.as_deref(), Some("X"));
}

#[test]
fn a_target_that_proves_itself_does_so_with_a_record_that_no_user_has() {
    let configuration =
        asked("target0 rw extent0 any auth=chap mutual=SERVER\ntarget1 rw extent1 any auth=chap\n");
    let [one, two] = configuration.targets.as_slice() else { panic!() };
    assert_eq!((&one.authentication, one.mutual.as_deref()), (&chap(&["alice", "bob"]), Some("server")));
    assert_eq!((&two.authentication, two.mutual.as_deref()), (&chap(&["alice", "bob"]), None));
    assert_eq!(
        asked("target0 rw extent0 any mutual=server\n").targets[0].authentication,
        chap(&["alice", "bob"])
    );
    for (keys, message) in [
        ("auth=none mutual=server", "no meaning"),
        ("mutual=", "missing"),
        ("mutual=nobody", "not in auths"),
        ("users=alice,Server mutual=server", "nobody logs in with it"),
        ("users=alice mutual=alice", "nobody logs in with it"),
    ] {
        let outcome = with(&format!("target0 rw extent0 any {keys}\n"), AUTHS);
        assert!(only_mistake(&outcome).contains(message), "{keys}: {}", only_mistake(&outcome));
    }
    let elsewhere =
        with("target0 rw extent0 any mutual=server\ntarget1 rw extent1 any users=server\n", AUTHS);
    assert!(only_mistake(&elsewhere).contains("nobody logs in with it"));
    let alone = with("target0 rw extent0 any mutual=server\n", "server:chap:zyxwvutsrqpo\n");
    assert!(only_mistake(&alone).contains("none with a secret"));
}

#[test]
fn the_secret_of_a_target_is_no_users_and_is_never_shown() {
    let outcome = with(
        "target0 rw extent0 any users=alice mutual=server\n",
        "alice:chap:0123456789ab\nbob:chap:sAmEsEcReT12\nserver:chap:sAmEsEcReT12\n",
    );
    assert!(only_mistake(&outcome).contains("`server` has the same secret as user `bob`"));
    assert!(!format!("{outcome:?}").contains("sAmE"));
}

#[test]
fn a_line_that_says_nothing_of_logins_never_opens_what_another_protects() {
    let disks = |first: &str, second: &str| {
        format!(
            "target0=iqn.2001-04.com.example rw extent0 any lun=0 {first}\n\
                 target1=iqn.2001-04.com.example rw extent1 any lun=1 {second}\n"
        )
    };
    let said = "users=alice,bob mutual=server";
    for (first, second) in
        [(said, ""), ("", said), (said, said), (said, "mutual=server users=bob,alice auth=chap")]
    {
        for target in asked(&disks(first, second)).targets {
            assert!(
                target.authentication != Authentication::None && target.mutual.is_some(),
                "{first} {second}"
            );
        }
    }
    for (first, second) in [
        (said, "auth=chap"),
        (said, "auth=none"),
        ("auth=none", "auth=chap"),
        ("users=alice", "users=bob"),
        ("auth=chap mutual=server", "auth=chap"),
    ] {
        let outcome = with(&disks(first, second), AUTHS);
        assert!(only_mistake(&outcome).contains("not what line 4 asks for"), "{first} {second}");
        assert_eq!(outcome.mistakes[0].line, 5);
    }
}

#[test]
fn discovery_asks_for_what_its_line_says() {
    let target = "target0 rw extent0 any auth=none\n";
    assert_eq!(asked(target).discovery, crate::Discovery::default());
    let configuration = asked(&format!("discovery users=bob mutual=server # c\n{target}"));
    assert_eq!(configuration.discovery.authentication, chap(&["bob"]));
    assert_eq!(configuration.discovery.mutual.as_deref(), Some("server"));
    assert_eq!(configuration.discovery.span.as_ref().map(|span| span.start), Some(61));
    assert_eq!(configuration.targets[0].authentication, Authentication::None);
    for (line, message) in [
        ("discovery", "asks for nothing"),
        ("discovery chap", "not `key=value`"),
        ("discovery lun=1", "not a key of `discovery`"),
        ("discovery auth=chap\ndiscovery auth=chap", "on line 4"),
        ("Discovery auth=chap", "`discovery`"),
    ] {
        let outcome = with(&format!("{line}\n{target}"), AUTHS);
        assert!(only_mistake(&outcome).contains(message), "{line}: {}", only_mistake(&outcome));
    }
}

#[test]
fn an_extent_can_be_in_memory() {
    let configuration = good("extent0 memory:/scratch 0 1GB serial=a\ntarget0 rw extent0 any\n");
    assert!(configuration.extents[0].is_in_memory());
    assert!(!good(&format!("{EXTENTS}target0 rw extent0 any\n")).extents[0].is_in_memory());
    for (lines, place, help) in [
        ("extent0 memory: 0 1GB", "1:9 memory:", "`memory:/NAME`"),
        ("extent0 memory:scratch 0 1GB", "1:9 memory:scratch", "`./memory:scratch`"),
        ("extent0 memory:/a/b 0 1GB", "1:9 memory:/a/b", "without another"),
        ("extent0 memory:/a 0 size", "1:21 size", "`100MB`"),
        ("extent0 memory:/a 0 1GB\ntarget0 ro extent0 any", "2:12 extent0", "`rw`"),
        ("extent0 memory:/a 0 1GB\ndevice0 RAID0 extent0", "2:15 extent0", "itself"),
        (
            "extent0 memory:/a 0 1GB\nextent1 /b 0 1GB\ndevice0 RAID1 extent1 extent0",
            "3:23 extent0",
            "itself",
        ),
    ] {
        let text = format!("{lines}\n{}", super::TARGET);
        assert_eq!(mistakes(&text), [place], "{lines}");
        assert!(only_mistake(&read(&text)).contains(help), "{lines}");
    }
}

#[test]
fn an_extent_can_be_an_image_in_the_format_of_qemu() {
    let configuration = good("extent0 /a.qcow2 0 size format=qcow2\ntarget0 ro extent0 any\n");
    assert!(configuration.extents[0].qcow2);
    assert!(!good("extent0 /a 0 size format=raw\ntarget0 rw extent0 any\n").extents[0].qcow2);
    for (lines, place, help) in [
        ("extent0 /a 0 1GB format=qcow2", "1:18 format=qcow2", "`0 size`"),
        ("extent0 /a 0 size format=vmdk", "1:26 vmdk", "qcow2"),
        ("extent0 /a 0 size format=qcow2 direct=yes", "1:19 format=qcow2", "leave"),
        ("extent0 /a 0 size format=qcow2 checksum=yes", "1:19 format=qcow2", "leave"),
        ("extent0 /a 0 size format=qcow2\ntarget0 rw extent0 any", "2:12 extent0", "`ro`"),
        ("extent0 /a 0 size format=qcow2\ndevice0 RAID0 extent0", "2:15 extent0", "--from qcow2"),
    ] {
        let text = format!("{lines}\n{}", super::TARGET);
        assert_eq!(mistakes(&text), [place], "{lines}");
        assert!(only_mistake(&read(&text)).contains(help), "{lines}: {}", only_mistake(&read(&text)));
    }
}

#[test]
fn an_extent_can_be_read_and_written_past_the_cache() {
    let configuration = good(
        "extent0 /a 0 1MB direct=yes\nextent1 /a 1048576 1MB block=512 direct=yes\nextent2 /b 0 1MB direct=no\n\
         target0 rw extent0 any\ntarget1 rw extent1 any\ntarget2 rw extent2 any\n",
    );
    let direct: Vec<bool> = configuration.extents.iter().map(|extent| extent.direct).collect();
    assert_eq!(direct, [true, true, false]);
    for (lines, place, help) in [
        ("extent0 /a 0 1MB direct=maybe", "1:25 maybe", "yes"),
        ("extent0 /a 0 1MB direct=yes\nextent1 /a 1048576 1MB", "2:9 /a", "to all of them"),
        ("extent0 memory:/a 0 1MB direct=yes", "1:9 memory:/a", "out"),
        ("extent0 /a 0 1MB\ntarget0 rw extent0 any direct=yes", "2:24 direct", "lun"),
    ] {
        let text = format!("{lines}\n{}", super::TARGET);
        assert_eq!(mistakes(&text), [place], "{lines}");
        assert!(only_mistake(&read(&text)).contains(help), "{lines}: {}", only_mistake(&read(&text)));
    }
}

#[test]
fn sums_are_kept_of_an_extent_or_of_all_extents_of_a_device() {
    let text = "extent0 /a 0 1MB checksum=yes\nextent1 /b 0 1MB\nextent2 /c 0 1MB\nextent3 /e 0 1MB checksum=no\n\
                device0 RAID1 extent1 extent2\ndevice1 RAID0 device0 extent3 checksum=yes\nextent4 /f 0 1MB\n\
                target0 rw extent0 any\ntarget1 rw device1 any\ntarget2 rw extent4 any\n";
    let configuration = good(text);
    let sums: Vec<bool> = configuration.extents.iter().map(|extent| extent.checksum).collect();
    assert_eq!(sums, [true, true, true, true, false]);
    for (line, place, help) in [
        ("extent0 /a 0 1MB checksum=crc", "1:27 crc", "yes"),
        ("extent0 memory:/a 0 1MB checksum=yes", "1:9 memory:/a", "out"),
    ] {
        let text = format!("{line}\n{}", super::TARGET);
        assert_eq!(mistakes(&text), [place], "{line}");
        assert!(only_mistake(&read(&text)).contains(help), "{line}");
    }
}

#[test]
fn the_length_of_physical_blocks_is_that_of_the_target_or_its_storage() {
    let configuration = good(
        "extent0 /a 0 1MB physical=512\nextent1 /b 0 1MB\ntarget0 rw extent0 any\n\
         target1 rw extent1 any physical=4096\nextent2 /c 0 1MB\ntarget2 rw extent2 any\n",
    );
    let physical: Vec<Option<u32>> = configuration.targets.iter().map(|target| target.physical).collect();
    assert_eq!(physical, [Some(512), Some(4096), None]);
    for (lines, place, help) in [
        ("extent0 /a 0 1MB physical=513", "1:27 513", "physical=4096"),
        ("extent0 /a 0 1MB block=4096\ntarget0 rw extent0 any physical=512", "2:1 target0", "out"),
    ] {
        let text = format!("{lines}\n{}", super::TARGET);
        assert_eq!(mistakes(&text), [place], "{lines}");
        assert!(only_mistake(&read(&text)).contains(help), "{lines}: {}", only_mistake(&read(&text)));
    }
}

#[test]
fn a_mirror_says_how_it_is_looked_after() {
    let mirror =
        |keys: &str| format!("{EXTENTS}device0 RAID1 extent0 extent1 {keys}\ntarget0 rw device0 any\n");
    let care = |keys: &str| asked_of(&mirror(keys)).devices[0].care;
    assert_eq!(care(""), Care { timeout: None, scrub: Scrub::Never });
    assert_eq!(care("timeout=25 scrub=weekly"), Care { timeout: Some(25), scrub: Scrub::Weekly });
    assert_eq!(care("scrub=never timeout=1"), Care { timeout: Some(1), scrub: Scrub::Never });
    let printed = asked_of(&mirror("scrub=daily timeout=3600")).print(&Options::default()).text;
    assert!(printed.contains("device0 RAID1 extent0 extent1 timeout=3600 scrub=daily\n"), "{printed}");
    for (keys, words) in [
        ("timeout=0", "not a number of seconds"),
        ("timeout=3601", "not a number of seconds"),
        ("timeout=+5", "not a number of seconds"),
        ("timeout=", "not a number of seconds"),
        ("scrub=sometimes", "does not say how often"),
    ] {
        assert!(only_mistake(&read(&mirror(keys))).contains(words), "{keys}");
    }
    let chain = format!("{EXTENTS}device0 RAID0 extent0 extent1 scrub=daily\ntarget0 rw device0 any\n");
    let mistake = read(&chain).mistakes.into_iter().next().unwrap();
    assert!(mistake.message.contains("only a mirror"), "{mistake:?}");
}

fn asked_of(text: &str) -> Configuration {
    let outcome = read_both(text, None);
    outcome.configuration.unwrap_or_else(|| panic!("{text}: {:#?}", outcome.mistakes))
}
