//! V14, V15 and V31 to V50: comments, escapes, continuations, carriage returns, fields that are missing; and
//! V19 to V26, devices.

use super::Strict::{Ok, Reject, Warn};
use super::{Vector, hold, undefined, vector};

#[test]
fn comments_and_extra_fields_are_read_as_netbsd_reads_them() {
    hold(&[
        vector(
            "V14",
            "# c\n   # c2\n\t#c3\n\n  \nextent0\t \t/x   0\t1MB   \n  target0 rw extent0 all # trailing\n\
             #target1 rw extent0 all\n",
            &["E(extent0,/x,0,1048576)", "T(target0,-,rw,extent0,all)"],
            &[],
            Ok,
        ),
        vector(
            "V15",
            "extent0 /x 0 1MB # c\nextent1 /y 0 1MB\ndevice0 RAID0 extent0 extent1 # c\n\
             target0 rw extent0 # c\n",
            &["E(extent0,/x,0,1048576)", "E(extent1,/y,0,1048576)", "T(target0,-,rw,extent0,#)"],
            &["3: Error: no extent or device found for `#'"],
            Reject,
        )
        .because("read as comments, the target writes to a member of device0"),
        vector("V36", "# comment \\\nextent0 /x 0 1MB\n", &["E(extent0,/x,0,1048576)"], &[], Reject)
            .because("it has no target"),
        vector(
            "V36",
            "# comment \\\nextent0 /x 0 1MB\ntarget0 rw extent0 all\n",
            &["E(extent0,/x,0,1048576)", "T(target0,-,rw,extent0,all)"],
            &[],
            Ok,
        ),
        vector(
            "V44",
            "extent0 /x 0 1MB\ntarget0 rw extent0 10.0.0.0/8 192.168.0.0/16\n",
            &["E(extent0,/x,0,1048576)", "T(target0,-,rw,extent0,10.0.0.0/8)"],
            &[],
            Reject,
        ),
    ]);
    let both_used =
        "extent0 /x 0 1MB\nextent1 /y 0 1MB\ndevice0 RAID0 extent0 extent1 #\ndevice0 RAID0 extent1\n";
    let outcome = super::read_as(crate::Reading::NetBsd, both_used, None);
    assert!(outcome.netbsd_messages[1].ends_with(":4: Error: extent `extent1' has already been used"), "V15");
}

#[test]
fn devices_are_read_as_netbsd_reads_them() {
    let pair = "extent0 /a 0 1MB\nextent1 /b 0 1MB\n";
    let levels = "device0 raid0 extent0\ndevice1 Raid5 extent1\ndevice2 JBOD extent2\ndevice3 RAID extent3\n\
                  device4 RAID10 extent4\n";
    let extents: String = (0..6).map(|n| format!("extent{n} /{n} 0 1MB\n")).collect();
    hold(&concatenations(pair));
    hold(&[
        vector(
            "V23",
            format!("{}{levels}", &extents[..extents.len() - "extent5 /5 0 1MB\n".len()]),
            &[
                "E(extent0,/0,0,1048576)",
                "E(extent1,/1,0,1048576)",
                "E(extent2,/2,0,1048576)",
                "E(extent3,/3,0,1048576)",
                "E(extent4,/4,0,1048576)",
                "D(device0,0,[extent0],1048576)",
                "D(device1,5,[extent1],0)",
                "D(device2,0,[extent2],1048576)",
                "D(device3,0,[extent3],1048576)",
                "D(device4,10,[extent4],0)",
            ],
            &[],
            Reject,
        ),
        vector(
            "V24",
            "extent0 /a 0 1MB\ndevice0 RAID0 extent0\ndevice1 RAID0 extent0\ntarget0 rw device0 all\n\
             target1 rw extent0 all\ntarget2 rw device0 all\n",
            &[
                "E(extent0,/a,0,1048576)",
                "D(device0,0,[extent0],1048576)",
                "T(target0,-,rw,device0,all)",
                "T(target1,-,rw,extent0,all)",
                "T(target2,-,rw,device0,all)",
            ],
            &["3: Error: extent `extent0' has already been used"],
            Reject,
        ),
        vector(
            "V26",
            "extent0 /0 0 1MB\nextent1 /1 0 1MB\nextent2 /2 0 1MB\nextent3 /3 0 1MB\n\
             device0 RAID1 extent0 extent1\ndevice1 RAID1 extent2 extent3\ndevice2 RAID0 device0 device1\n\
             device3 RAID1 device2 device0\n",
            &[
                "E(extent0,/0,0,1048576)",
                "E(extent1,/1,0,1048576)",
                "E(extent2,/2,0,1048576)",
                "E(extent3,/3,0,1048576)",
                "D(device0,1,[extent0,extent1],1048576)",
                "D(device1,1,[extent2,extent3],1048576)",
                "D(device2,0,[device0,device1],2097152)",
            ],
            &["8: Error: device `device0' has already been used"],
            Reject,
        ),
    ]);
    for (level, strict) in
        [("raid0", Ok), ("Raid5", Reject), ("JBOD", Warn), ("RAID", Warn), ("RAID10", Reject)]
    {
        let text = format!("extent0 /x 0 1MB\ndevice0 {level} extent0\ntarget0 rw device0 any\n");
        let outcome = super::read_as(crate::Reading::Strict, &text, None);
        assert_eq!(super::strict_verdict(&outcome), strict, "V23 {level}");
    }
}

fn concatenations(pair: &str) -> Vec<Vector> {
    let unequal = "extent0 /a 0 100MB\nextent1 /b 0 50MB\n";
    let target = "target0 rw device0 10.0.0.0/8\n";
    vec![
        vector(
            "V19",
            format!("{unequal}device0 RAID0 extent0 extent1\n{target}"),
            &[
                "E(extent0,/a,0,104857600)",
                "E(extent1,/b,0,52428800)",
                "D(device0,0,[extent0,extent1],157286400)",
                "T(target0,-,rw,device0,10.0.0.0/8)",
            ],
            &[],
            Warn,
        )
        .because("what NetBSD wrote on a RAID0 of several members is scrambled, which is said"),
        vector(
            "V20",
            format!("{pair}device0 RAID1 extent0 extent1\n{target}"),
            &[
                "E(extent0,/a,0,1048576)",
                "E(extent1,/b,0,1048576)",
                "D(device0,1,[extent0,extent1],1048576)",
                "T(target0,-,rw,device0,10.0.0.0/8)",
            ],
            &[],
            Ok,
        ),
        vector(
            "V21",
            format!("{unequal}device0 RAID1 extent0 extent1\n{target}"),
            &["E(extent0,/a,0,104857600)", "E(extent1,/b,0,52428800)"],
            &[
                "3: Error: extent `extent1' has size 52428800, not 104857600",
                "4: Error: no device or extent found for `device0'",
            ],
            Reject,
        ),
        vector(
            "V22",
            "extent0 /a 0 100MB\ndevice0 RAID1 extent0\n",
            &["E(extent0,/a,0,104857600)"],
            &["2: Error: device `device0' is RAID1, but has only 1 sub-devices/extents"],
            Reject,
        ),
        vector(
            "V25",
            format!(
                "{pair}extent2 /c 0 1MB\ndevice0 RAID0 extent0 extent1\ndevice1 RAID0 device0 extent2\n\
                     target0 rw device1 all\n"
            ),
            &[
                "E(extent0,/a,0,1048576)",
                "E(extent1,/b,0,1048576)",
                "E(extent2,/c,0,1048576)",
                "D(device0,0,[extent0,extent1],2097152)",
                "D(device1,0,[device0,extent2],3145728)",
                "T(target0,-,rw,device1,all)",
            ],
            &[],
            Warn,
        )
        .because("what NetBSD wrote on a RAID0 of several members is scrambled, which is said"),
    ]
}

/// An extent `extent0` of the path as written, and what NetBSD makes of it.
fn escapes() -> Vec<Vector> {
    let target = "target0 rw extent0 all\n";
    vec![
        vector(
            "V31",
            format!("extent0 /tmp/my\\ disk 0 1MB\n{target}"),
            &["E(extent0,/tmp/my disk,0,1048576)", "T(target0,-,rw,extent0,all)"],
            &[],
            Ok,
        ),
        vector(
            "V32",
            format!("extent0 /tmp/a\\\\b 0 1MB\nextent1 /tmp/a\\#b 0 1MB\n{target}"),
            &[
                "E(extent0,/tmp/a\\\\b,0,1048576)",
                "E(extent1,/tmp/a\\#b,0,1048576)",
                "T(target0,-,rw,extent0,all)",
            ],
            &[],
            Ok,
        ),
        vector("V33", "extent2 \"/tmp/a b\" 0 1MB\n", &["E(extent2,\"/tmp/a,0,0)"], &[], Reject),
        vector(
            "V34",
            "extent0 \\\n/tmp/x 0 1MB\ntarget0 rw extent0 \\\nall\n",
            &["E(extent0,/tmp/x,0,1048576)", "T(target0,-,rw,extent0,all)"],
            &[],
            Ok,
        ),
        vector(
            "V35",
            format!("extent0 \\\n  /tmp/x 0 1MB\n{target}"),
            &["E(extent0, ,0,0)", "T(target0,-,rw,extent0,all)"],
            &[],
            Ok,
        ),
    ]
}

#[test]
fn escapes_and_continuations_are_read_as_netbsd_reads_them() {
    hold(&escapes());
    let numbers = "extent0 /x 0 1MB\nfoo \\\nbar\ntarget0 rw \\\nextent9 \\\nall\n";
    let outcome = super::read_as(crate::Reading::NetBsd, numbers, None);
    assert_eq!(
        outcome.netbsd_messages,
        [format!("{}:6: Error: no device or extent found for `extent9'", super::FILE)]
    );
}

#[test]
fn ends_of_lines_are_read_as_netbsd_reads_them() {
    let good: &[&str] = &["E(extent0,/x,0,1048576)", "T(target0,-,rw,extent0,all)"];
    hold(&[
        vector(
            "V37",
            "extent0 /x 0 1MB\r\ntarget0 rw extent0 all\r\n",
            &["E(extent0,/x,0,1048576)", "T(target0,-,rw,extent0,all\r)"],
            &[],
            Warn,
        ),
        vector(
            "V38",
            "extent0 /x 0 1MB\r\ntarget0 rw extent0 10.0.0.0/8\r\n",
            &["E(extent0,/x,0,1048576)", "T(target0,-,rw,extent0,10.0.0.0/8\r)"],
            &[],
            Warn,
        ),
        vector("V37", " \r\n\t\u{b}\u{c}\r\n\r# c\r\n\rextent0 /x 0 1MB\n", &good[..1], &[], Reject)
            .because("it has no target"),
        vector("V39", "extent0 /x 0 1MB\ntarget0 rw extent0 all", good, &[], Ok),
        vector(
            "V45",
            "\u{feff}extent0 /x 0 1MB\ntarget0 rw extent0 all\n",
            &[],
            &["2: Error: no device or extent found for `extent0'"],
            Warn,
        ),
        vector("V46", "", &[], &[], Reject),
        vector("V46", "# nothing\n\n", &[], &[], Reject),
    ]);
    let allows =
        |text: &str, peer: &str| super::compatible(text).targets[0].access.allows(peer.parse().unwrap());
    let masked = |mask: &str| format!("extent0 /x 0 1MB\r\ntarget0 rw extent0 {mask}\r\n");
    assert!(!allows(&masked("all"), "10.0.0.1"), "V37");
    assert!(allows(&masked("10.0.0.0/8"), "10.0.0.1"), "V38");
    assert!(!allows(&masked("10.0.0.0/8"), "11.0.0.1"), "V38");
}

#[test]
fn lines_that_netbsd_reads_in_an_undefined_way_are_refused() {
    let target = "target0 rw extent0 all\n";
    hold(&[
        undefined(
            "V40",
            format!("extent9 /first 7 9MB\nextent0 /x\n{target}"),
            &["3: Error: no device or extent found for `extent0'"],
        ),
        undefined("V41", format!("extent0 /x 0 1MB\n{target}target1\n"), &[]),
        undefined("V42", "extent0 /x 0\n", &[]),
        undefined("V42", "device0\n", &[]),
        undefined("V43", "extent0 /x 0 1MB\ndevice0 RAID0\n", &[]),
        undefined("V49", format!("extent0 /{} 0 1MB\n", "a".repeat(1100)), &[]).because("it has no target"),
        undefined(
            "V49",
            format!("extent9 /x 0 1MB\nextent0 /{} 0 1MB\ntarget0 rw extent9 all\n", "a".repeat(1100)),
            &[],
        )
        .strictly(Ok),
        undefined("V50", "extent0 /x 0 1MB\ntarget0 rw extent0 all\\", &[]),
    ]);
}

#[test]
fn a_line_that_is_too_long_goes_on_as_another_line() {
    let comment = format!("#{}", "x".repeat(1022));
    let text = format!("{comment}extent0 /x 0 1MB\n{comment}{comment}\nextent1\\\n\nfoo\nextent0 /y 0 1\n");
    let outcome = super::read_as(crate::Reading::NetBsd, &text, None);
    let redefined = format!("{}:9: Error: attempt to re-define extent `extent0'", super::FILE);
    assert_eq!(outcome.netbsd_messages, [redefined]);
    assert_eq!(
        outcome.mistakes.len(),
        1,
        "a continuation line that is empty joins nothing: extent1 is short"
    );
}
