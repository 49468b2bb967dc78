//! V1 to V30: records, numbers, names.

use super::Strict::{Ok, Reject, Warn};
use super::{Vector, hold, vector};

const OLD_FORM: &str = "Warning: old 3 field \"targets\" entryassuming read-only target";

/// Extents on `/x`, `/y` and so on, and a target on each.
fn lengths(lengths: &[&str]) -> String {
    let line = |(index, length): (usize, &&str)| {
        format!("extent{index} /x{index} 0 {length}\ntarget{index} rw extent{index} all\n")
    };
    lengths.iter().enumerate().map(line).collect()
}

fn whole_files() -> Vec<Vector> {
    let comments = "# a comment\n".repeat(17);
    vec![
        vector(
            "V1",
            format!(
                "{comments}extent0\t\t/tmp/iscsi-target0\t0\t\t100MB\n\n# target…\n\
                 target0\t\trw\textent0\t\t0.0.0.0/0\n"
            ),
            &["E(extent0,/tmp/iscsi-target0,0,104857600)", "T(target0,-,rw,extent0,0.0.0.0/0)"],
            &[],
            Ok,
        ),
        vector(
            "V2",
            "extent0 /tmp/iscsi-target0 0 100MB\ntarget0 rw extent0\n",
            &["E(extent0,/tmp/iscsi-target0,0,104857600)"],
            &[
                "2: Warning: old 3 field \"targets\" entryassuming read-only target",
                "2: Error: no device or extent found for `rw'",
            ],
            Warn,
        ),
        vector(
            "V3",
            "extent0 /x 0 100MB\ntarget0 extent0 10.4.0.0/16\n",
            &["E(extent0,/x,0,104857600)", "T(target0,-,ro,extent0,10.4.0.0/16)"],
            &["2: Warning: old 3 field \"targets\" entryassuming read-only target"],
            Warn,
        ),
        vector(
            "V4",
            format!(
                "{}extent0 /tmp/a 0 100MB\ndevice0 RAID0 extent0\n\ntarget0 device0 10.4.0.0/16\n\
                 {}extent1 /tmp/b 0 100MB\ntarget1 extent1 10.4.0.0/16\n",
                "#\n".repeat(9),
                "#\n".repeat(5)
            ),
            &[
                "E(extent0,/tmp/a,0,104857600)",
                "E(extent1,/tmp/b,0,104857600)",
                "D(device0,0,[extent0],104857600)",
                "T(target0,-,ro,device0,10.4.0.0/16)",
                "T(target1,-,ro,extent1,10.4.0.0/16)",
            ],
            &[
                "13: Warning: old 3 field \"targets\" entryassuming read-only target",
                "20: Warning: old 3 field \"targets\" entryassuming read-only target",
            ],
            Warn,
        ),
        mirrors_of_mirrors(),
    ]
}

fn mirrors_of_mirrors() -> Vector {
    let extents: String = (0..6).map(|n| format!("extent{n} /tmp/{n} 0 100MB\n")).collect();
    vector(
        "V5",
        format!(
            "{}{extents}device0 RAID1 extent0 extent1\ndevice1 RAID1 extent2 extent3\n\
             device2 RAID1 extent4 extent5\ndevice3 RAID1 device0 device1 device2\n\
             target0 device3 10.4.0.0/16\n\nextent6 /tmp/6 0 100GB\ntarget1 extent6 127.0.0.0/8\n",
            "#\n".repeat(9)
        ),
        &[
            "E(extent0,/tmp/0,0,104857600)",
            "E(extent1,/tmp/1,0,104857600)",
            "E(extent2,/tmp/2,0,104857600)",
            "E(extent3,/tmp/3,0,104857600)",
            "E(extent4,/tmp/4,0,104857600)",
            "E(extent5,/tmp/5,0,104857600)",
            "E(extent6,/tmp/6,0,107374182400)",
            "D(device0,1,[extent0,extent1],104857600)",
            "D(device1,1,[extent2,extent3],104857600)",
            "D(device2,1,[extent4,extent5],104857600)",
            "D(device3,1,[device0,device1,device2],104857600)",
            "T(target0,-,ro,device3,10.4.0.0/16)",
            "T(target1,-,ro,extent6,127.0.0.0/8)",
        ],
        &[
            "20: Warning: old 3 field \"targets\" entryassuming read-only target",
            "23: Warning: old 3 field \"targets\" entryassuming read-only target",
        ],
        Warn,
    )
}

#[test]
fn whole_files_are_read_as_netbsd_reads_them() {
    assert!(whole_files().iter().any(|vector| vector.messages.iter().any(|line| line.contains(OLD_FORM))));
    hold(&whole_files());
}

/// A length or start as written, what NetBSD makes of it, the strict verdict, and why that is harder than the
/// number itself asks for.
const LENGTHS: [(&str, &str, u64, super::Strict, &str); 22] = [
    ("V6", "1KB", 1024, Ok, ""),
    ("V6", "1kb", 1024, Ok, ""),
    ("V6", "1K", 1024, Ok, ""),
    ("V6", "1KiB", 1024, Ok, ""),
    ("V7", "1Mb", 1 << 20, Ok, ""),
    ("V7", "1GB", 1 << 30, Ok, ""),
    ("V7", "1TB", 1 << 40, Ok, ""),
    ("V7", "1t", 1 << 40, Ok, ""),
    ("V8", "512", 512, Ok, ""),
    ("V8", "1B", 1, Reject, "not a multiple of the block length"),
    ("V8", "512B", 512, Warn, ""),
    ("V8", "010", 10, Reject, "not a multiple of the block length"),
    ("V8", "+5K", 5120, Ok, ""),
    ("V9", "1PB", 1, Reject, ""),
    ("V9", "1.5GB", 1, Reject, ""),
    ("V9", "MB", 0, Reject, ""),
    ("V9", "0x10", 0, Reject, ""),
    ("V9", "0", 0, Reject, ""),
    ("V10", "-1", u64::MAX, Reject, ""),
    ("V10", "99999999999999999999", i64::MAX as u64, Reject, ""),
    ("V10", "16777216TB", 0, Reject, ""),
    ("V10", "-99999999999999999999", 1 << 63, Reject, ""),
];

#[test]
fn lengths_are_read_as_netbsd_reads_them() {
    for (number, length, bytes, strict, because) in LENGTHS {
        let text = lengths(&[length]);
        assert_eq!(
            super::compatible(&text).extents[0].length,
            crate::Length::Bytes(bytes),
            "{number} {length}"
        );
        let outcome = super::read_as(crate::Reading::Strict, &text, None);
        assert_eq!(super::strict_verdict(&outcome), strict, "{number} {length} {because}: {outcome:#?}");
    }
}

#[test]
fn starts_and_sizes_of_files_are_read_as_netbsd_reads_them() {
    let target = "target0 rw extent0 all\n";
    hold(&[
        vector(
            "V11",
            format!("extent0 /x 1MB 10\n{target}"),
            &["E(extent0,/x,1,10)", "T(target0,-,rw,extent0,all)"],
            &[],
            Reject,
        ),
        vector(
            "V12",
            format!("extent0 /x -512 10\n{target}"),
            &["E(extent0,/x,18446744073709551104,10)", "T(target0,-,rw,extent0,all)"],
            &[],
            Reject,
        ),
        vector(
            "V12",
            format!("extent0 /x abc 10\n{target}"),
            &["E(extent0,/x,0,10)", "T(target0,-,rw,extent0,all)"],
            &[],
            Reject,
        ),
        vector(
            "V13",
            format!("extent0 F 0 size\n{target}"),
            &["E(extent0,F,0,12345)", "T(target0,-,rw,extent0,all)"],
            &[],
            Ok,
        ),
        vector(
            "V13",
            format!("extent0 /nonexistent/q 0 SIZE\n{target}"),
            &["E(extent0,/nonexistent/q,0,0)", "T(target0,-,rw,extent0,all)"],
            &[],
            Ok,
        )
        .because("that there is no such file is the caller's to find"),
        vector(
            "V13",
            format!("extent0 F 100 Size\n{target}"),
            &["E(extent0,F,100,12345)", "T(target0,-,rw,extent0,all)"],
            &[],
            Warn,
        ),
    ]);
}

fn references() -> Vec<Vector> {
    vec![
        vector(
            "V16",
            "extent0 /x 0 1MB\nextent0 /y 0 2MB\ntarget0 rw extent0 all\ntarget0 ro extent0 any\n",
            &["E(extent0,/x,0,1048576)", "T(target0,-,rw,extent0,all)"],
            &[
                "2: Error: attempt to re-define extent `extent0'",
                "4: Error: attempt to re-define target `target0'",
            ],
            Reject,
        ),
        vector(
            "V17",
            "target0 rw extent0 all\nextent0 /x 0 1MB\n",
            &["E(extent0,/x,0,1048576)"],
            &["1: Error: no device or extent found for `extent0'"],
            Reject,
        ),
        vector(
            "V18",
            "extent0 /x 0 1MB\ndevice0 RAID0 extent9\ntarget0 rw device9 all\ntarget1 rw device0 all\n",
            &["E(extent0,/x,0,1048576)"],
            &[
                "2: Warning: no sub-device/extent `extent9'",
                "2: Error: no extent or device found for `extent9'",
                "3: Error: no device or extent found for `device9'",
                "4: Error: no device or extent found for `device0'",
            ],
            Reject,
        ),
    ]
}

#[test]
fn names_are_looked_up_as_netbsd_does() {
    hold(&references());
    hold(&[
        vector(
            "V27",
            "extent0 /a 0 1MB\ntarget0=iqn.2004-06.com.example:disk rw extent0 all\nlun1=foo ro extent0 all\n\
             lun2 readonly extent0 all\ntarget3 r extent0 all\n",
            &[
                "E(extent0,/a,0,1048576)",
                "T(target0,iqn.2004-06.com.example:disk,rw,extent0,all)",
                "T(lun1,foo,ro,extent0,all)",
                "T(lun2,-,ro,extent0,all)",
                "T(target3,-,ro,extent0,all)",
            ],
            &[],
            Reject,
        ),
        vector(
            "V27",
            "extent0 /a 0 1MB\ntarget0=iqn.2004-06.com.example:disk ro extent0 all\n\
             lun2 readonly extent0 all\ntarget3 r extent0 all\n",
            &[
                "E(extent0,/a,0,1048576)",
                "T(target0,iqn.2004-06.com.example:disk,ro,extent0,all)",
                "T(lun2,-,ro,extent0,all)",
                "T(target3,-,ro,extent0,all)",
            ],
            &[],
            Ok,
        ),
        vector(
            "V29",
            "extent0 /a 0 1MB\ntarget6= rw extent0 all\n",
            &["E(extent0,/a,0,1048576)", "T(target6,,rw,extent0,all)"],
            &[],
            Reject,
        ),
        vector(
            "V29",
            "extent0 /a 0 1MB\ntarget7=a=b rw extent0 all\n",
            &["E(extent0,/a,0,1048576)", "T(target7,a=b,rw,extent0,all)"],
            &[],
            Reject,
        ),
        vector(
            "V30",
            "extent /a 0 1MB\nextentX /b 0 1MB\ntarget rw extent all\ntargetfoo rw extentX all\n\
             lunch rw extent all\nExtent0 /d 0 1MB\nTarget0 rw extent all\nfoo bar\n",
            &[
                "E(extent,/a,0,1048576)",
                "E(extentX,/b,0,1048576)",
                "T(target,-,rw,extent,all)",
                "T(targetfoo,-,rw,extentX,all)",
                "T(lunch,-,rw,extent,all)",
            ],
            &[],
            Reject,
        ),
        vector(
            "V30",
            "extent /a 0 1MB\ntarget rw extent all\n",
            &["E(extent,/a,0,1048576)", "T(target,-,rw,extent,all)"],
            &[],
            Warn,
        ),
    ]);
}

#[test]
fn every_word_that_is_no_read_only_flag_makes_a_target_writable() {
    for (flags, read_only, strict) in [
        ("RO", false, Warn),
        ("read-only", false, Reject),
        ("xyz", false, Reject),
        ("rw", false, Ok),
        ("ro", true, Ok),
        ("r", true, Ok),
        ("readonly", true, Ok),
    ] {
        let text = format!("extent0 /x 0 1MB\ntarget0 {flags} extent0 all\n");
        assert_eq!(super::compatible(&text).targets[0].read_only, read_only, "V28 {flags}");
        let outcome = super::read_as(crate::Reading::Strict, &text, None);
        assert_eq!(super::strict_verdict(&outcome), strict, "V28 {flags}");
    }
}

#[test]
fn there_may_be_more_than_fourteen_of_everything() {
    let lines = |n| format!("extent{n} /x{n} 0 1MB\ndevice{n} RAID0 extent{n}\ntarget{n} rw device{n} all\n");
    let text: String = (0..16).map(lines).collect();
    let configuration = super::compatible(&text);
    assert_eq!((configuration.extents.len(), configuration.targets.len()), (16, 16), "V48");
    assert!(configuration.targets.iter().all(|target| !target.read_only && target.unserved.is_none()));
    let outcome = super::read_as(crate::Reading::Strict, &text, None);
    assert_eq!(super::strict_verdict(&outcome), Ok, "V48");
}
