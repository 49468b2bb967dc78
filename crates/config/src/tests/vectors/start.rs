//! What is printed at the start, and what is left out of service (V2, V46, V47, V23, V24).

use super::{FILE, compatible, read_as};
use crate::netbsd::{StartUp, cannot_open, start_up};
use crate::{Configuration, DEFAULT_IQN_BASE, Reading};

fn started(configuration: &Configuration) -> StartUp {
    let size_of = |target: &crate::Target| configuration.length_of(target.storage).unwrap();
    start_up(configuration, FILE, DEFAULT_IQN_BASE, &size_of)
}

#[test]
fn the_distributed_file_starts_with_netbsds_text() {
    let text = "extent0\t\t/tmp/iscsi-target0\t0\t\t100MB\ntarget0\t\trw\textent0\t\t0.0.0.0/0\n";
    assert_eq!(
        started(&compatible(text)),
        StartUp {
            stdout: "Reading configuration from `/etc/iscsi/targets'\ntarget0:rw:0.0.0.0/0\n\
                     \textent0:/tmp/iscsi-target0:0:104857600\n\
                     DISK: 1 logical unit (204800 blocks, 512 bytes/block), type iscsi fs\n\
                     DISK: LUN 0: 100 MB disk storage for \"target0\"\n\
                     TARGET: iSCSI Qualified Name (IQN) is iqn.1994-04.org.netbsd.iscsi-target\n"
                .to_owned(),
            stderr: String::new(),
            starts: true,
        }
    );
}

#[test]
fn all_targets_are_in_the_tree_before_the_disks() {
    let text = "extent0 /a 0 1500KB\nextent1 /b 512 1MB\nextent2 /c 0 1MB\ndevice0 RAID0 extent1 extent2\n\
                target0=iqn.2001-04.com.example rw extent0 all auth=chap\nlun1 ro device0 10/8\n";
    let outcome = read_as(Reading::NetBsd, text, Some("alice:chap:alicePass"));
    let configuration = outcome.configuration.unwrap();
    assert_eq!(
        started(&configuration).stdout,
        "Reading configuration from `/etc/iscsi/targets'\n\
         target0:rw:all\n\textent0:/a:0:1536000\nlun1:ro:10/8\n\tdevice0:RAID0\n\t\textent1:/b:512:1048576\n\
         \t\textent2:/c:0:1048576\n\
         DISK: 1 logical unit (3000 blocks, 512 bytes/block), type iscsi fs\n\
         DISK: LUN 0: 1 MB disk storage for \"target0\"\n\
         DISK: 1 logical unit (4096 blocks, 512 bytes/block), type iscsi fs\n\
         DISK: LUN 0: 2 MB readonly disk storage for \"lun1\"\n\
         TARGET: iSCSI Qualified Name (IQN) is iqn.1994-04.org.netbsd.iscsi-target\n"
    );
}

#[test]
fn a_file_without_targets_does_not_start() {
    for (number, text) in
        [("V46", ""), ("V46", "# c\n"), ("V2", "extent0 /tmp/iscsi-target0 0 100MB\ntarget0 rw extent0\n")]
    {
        let start = started(&compatible(text));
        assert_eq!(start.stdout, "Reading configuration from `/etc/iscsi/targets'\n", "{number}");
        assert_eq!(start.stderr, "No targets to initialise\niscsi_target_start() failed\n", "{number}");
        assert!(!start.starts);
    }
    assert_eq!(
        cannot_open("F", "No such file or directory"),
        "can't open `F' `r' (No such file or directory)\nError: can't open `F'\nError: can't open `F'\n",
        "V47"
    );
}

#[test]
fn a_disk_that_cannot_be_served_says_why_and_the_others_are_served() {
    let text = "extent0 /a 0 1MB\nextent1 /b 0 1MB\nextent2 /c 0 1MB\nextent3 /d 0 1MB\nextent4 /e 0 1B\n\
                extent5 /f -512 1MB\nextent6 /g 0 513\nextent7 /h 0 1MB\ndevice0 RAID5 extent0\n\
                device1 RAID1 extent1 extent2\ndevice2 RAID0 device1\n\
                target0 rw device0 all\ntarget1 rw device2 all\ntarget2 rw extent4 all\n\
                target3 rw extent5 all\ntarget4=iqn.2001-04.com.example rw extent6 all\n\
                target5=iqn.2001-04.com.EXAMPLE rw extent7 all\n\
                target6= ro extent3 all\ntarget7=foo ro extent3 all\n";
    let configuration = compatible(text);
    let reasons: Vec<Option<&str>> = configuration
        .targets
        .iter()
        .map(|target| target.unserved.as_ref().map(|remark| remark.message.as_str()))
        .collect();
    let beyond = "`target3` is not served: `extent5` ends beyond the longest file there can be (2^63 bytes)";
    let twice = "`target5` is not served: the target on line 16 has the same iSCSI name and is the one found \
                 at login";
    assert_eq!(
        reasons,
        [
            Some("`target0` is not served: RAID5 devices are not served, and `device0` is one"),
            None,
            Some("`target2` is not served: it has not one block of 512 bytes"),
            Some(beyond),
            None,
            Some(twice),
            Some("`target6` is not served: `` cannot be an iSCSI name"),
            None,
        ]
    );
    let start = started(&configuration);
    assert_eq!(start.stdout.matches("DISK: LUN 0").count(), 3);
    assert!(start.stdout.contains("(1 blocks, 512 bytes/block)"), "what is left of a block is no part of it");
}

#[test]
fn bytes_with_two_writers_are_served_as_netbsd_does_and_named() {
    let text = "extent0 /a 0 1MB\ndevice0 RAID0 extent0\ntarget0 rw device0 all\ntarget1 rw extent0 all\n";
    let outcome = read_as(Reading::NetBsd, text, None);
    assert!(outcome.configuration.unwrap().targets.iter().all(|target| target.unserved.is_none()), "V24");
    assert!(outcome.notices[0].message.contains("already used by `target0`"));
}

#[test]
fn devices_nested_without_end_are_refused_before_anything_walks_so_deep() {
    let nested: String = (1..2000).map(|n| format!("device{n} RAID0 device{}\n", n - 1)).collect();
    let text = format!("extent0 /x 0 1MB\ndevice0 RAID0 extent0\n{nested}target0 rw device1999 all\n");
    let outcome = read_as(Reading::NetBsd, &text, None);
    assert!(
        outcome.mistakes[0].message.contains("`device256` has more than 256"),
        "{:?}",
        outcome.mistakes[0]
    );
}
