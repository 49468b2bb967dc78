//! Inputs that NetBSD's reader is known to take one way or another, and what this reader makes of them: every
//! input is good, good with something to say, or refused.

use super::{TARGET, good, mistakes, only_mistake, read};
use crate::Length;

#[derive(Debug, PartialEq)]
enum Verdict {
    Ok,
    Warn,
    Reject,
}
use Verdict::{Ok, Reject, Warn};

fn verdict(text: &str) -> Verdict {
    let outcome = read(text);
    match (outcome.configuration.is_some(), outcome.notices.is_empty()) {
        (true, true) => Ok,
        (true, false) => Warn,
        (false, _) => Reject,
    }
}

#[test]
fn the_distributed_file_is_good_and_has_nothing_to_say() {
    let text = "#\n# a comment\n\nextent0\t\t/tmp/iscsi-target0\t0\t\t100MB\n\n\
                # target…\ntarget0\t\trw\textent0\t\t0.0.0.0/0\n";
    assert_eq!(verdict(text), Ok);
    let configuration = good(text);
    assert_eq!(configuration.extents[0].length, Length::Bytes(104_857_600));
    assert_eq!(
        configuration.tree().to_string(),
        "target0:rw:0.0.0.0/0\n\textent0:/tmp/iscsi-target0:0:104857600\n"
    );
}

#[test]
fn a_nul_is_refused() {
    assert_eq!(verdict("extent0 /x 0 1MB\ntarget0 rw extent0 a\0ll\n"), Reject);
}

#[test]
fn lengths_get_their_verdict() {
    let table = [
        ("1KB", Ok),
        ("1kb", Ok),
        ("1K", Ok),
        ("1KiB", Ok),
        ("1t", Ok),
        ("512", Ok),
        ("0512", Ok),
        ("+5K", Ok),
        ("512B", Warn),
        ("size", Ok),
        ("SIZE", Ok),
        ("1B", Reject),
        ("513", Reject),
        ("0", Reject),
        ("0KB", Reject),
        ("1PB", Reject),
        ("1.5GB", Reject),
        ("MB", Reject),
        ("0x10", Reject),
        ("-1", Reject),
        ("99999999999999999999", Reject),
        ("16777216TB", Reject),
        ("8388608TB", Reject),
    ];
    for (length, expected) in table {
        let text = format!("extent0 /x 0 {length}\ntarget0 rw extent0 any\n");
        assert_eq!(verdict(&text), expected, "{length}: {:#?}", read(&text));
    }
}

#[test]
fn starts_get_their_verdict() {
    for (start, expected) in [
        ("0", Ok),
        ("512", Ok),
        ("1048576", Ok),
        ("7", Warn),
        ("1MB", Reject),
        ("-512", Reject),
        ("abc", Reject),
        ("9223372036854775296", Reject),
        ("99999999999999999999", Reject),
    ] {
        let text = format!("extent0 /x {start} 1MB\ntarget0 rw extent0 any\n");
        assert_eq!(verdict(&text), expected, "{start}");
    }
    let outcome = read("extent2 F 1024 Size\ntarget0 rw extent2 any\n");
    assert!(outcome.configuration.is_some());
    assert!(outcome.notices[0].message.contains("less the start"));
}

#[test]
fn levels_get_their_verdict() {
    for (level, expected) in [
        ("raid0", Ok),
        ("RAID0", Ok),
        ("JBOD", Warn),
        ("concat", Warn),
        ("RAID", Warn),
        ("Raid5", Reject),
        ("RAID10", Reject),
        ("mirror", Reject),
        ("0", Reject),
        ("1", Reject),
    ] {
        let text = format!("extent0 /x 0 1MB\ndevice0 {level} extent0\ntarget0 rw device0 any\n");
        assert_eq!(verdict(&text), expected, "{level}");
    }
}

#[test]
fn flags_get_their_verdict() {
    for (flags, expected, read_only) in [
        ("rw", Ok, false),
        ("ro", Ok, true),
        ("r", Ok, true),
        ("readonly", Ok, true),
        ("RO", Warn, true),
        ("Rw", Warn, false),
        ("ReadOnly", Warn, true),
        ("read-only", Reject, true),
        ("xyz", Reject, false),
    ] {
        let text = format!("extent0 /x 0 1MB\ntarget0 {flags} extent0 any\n");
        assert_eq!(verdict(&text), expected, "{flags}");
        if expected != Reject {
            assert_eq!(good(&text).targets[0].read_only, read_only, "{flags}");
        }
    }
}

#[test]
fn a_path_keeps_escaped_blanks_and_other_backslashes() {
    for (written, path) in [
        ("/tmp/my\\ disk", "/tmp/my disk"),
        ("/tmp/my\\\tdisk", "/tmp/my\tdisk"),
        ("/tmp/a\\\\b", "/tmp/a\\\\b"),
        ("/tmp/a\\#b", "/tmp/a\\#b"),
        ("\\ ", " "),
        ("/tmp/a#b", "/tmp/a#b"),
        ("/tmp/über", "/tmp/über"),
        ("/tmp/a\\\nb", "/tmp/ab"),
        ("/tmp/a\\\r\nb", "/tmp/ab"),
    ] {
        let text = format!("extent0 {written} 0 1MB\ntarget0 rw extent0 any\n");
        assert_eq!(good(&text).extents[0].path, path, "{written}");
    }
}

#[test]
fn there_is_no_limit_to_lines_records_and_lengths() {
    let long = "a".repeat(70_000);
    assert_eq!(
        good(&format!("extent0 /{long} 0 1MB\ntarget0 rw extent0 any\n")).extents[0].path.len(),
        70_001
    );
    let many: String =
        (0..2000).map(|n| format!("extent{n} /disk{n} 0 1MB\ntarget{n} rw extent{n} any\n")).collect();
    assert_eq!(good(&many).targets.len(), 2000);
    // Each device in the next: refused before anything walks so deep.
    let nested: String = (1..50_000).map(|n| format!("device{n} RAID0 device{}\n", n - 1)).collect();
    let text = format!("extent0 /x 0 1MB\ndevice0 RAID0 extent0\n{nested}{TARGET}");
    assert_eq!(mistakes(&text), ["18:1 device16 RAID0 device15"]);
}

#[test]
fn comments_at_the_ends_of_lines_are_comments_in_every_kind_of_line() {
    let text = "extent0 /x 0 1MB # c\nextent1 /y 0 1MB #c\ndevice0 RAID0 extent1 # c d\n\
        target0 rw extent0 # c\n";
    let configuration = good(text);
    assert_eq!(configuration.devices[0].members.len(), 1);
    assert_eq!(configuration.targets[0].access.to_string(), "any");
}

#[test]
fn the_lines_of_old_examples_are_read_only_targets() {
    let text = "extent0 /tmp/a 0 100MB\ndevice0 RAID0 extent0\ntarget0 device0 10.4.0.0/16\n";
    let configuration = good(text);
    assert!(configuration.targets[0].read_only);
    assert_eq!(configuration.targets[0].access.to_string(), "10.4.0.0/16");
    assert_eq!(configuration.targets[0].extents, [0]);
}

#[test]
fn one_path_in_two_spellings_is_one_file() {
    for spelled in ["/d/./a", "/d//a", "/d/a/", "/d/a"] {
        let text = format!(
            "extent0 /d/a 0 1MB\ntarget0 rw extent0 any\nextent1 {spelled} 512 1MB\ntarget1 rw extent1 any\n"
        );
        assert!(only_mistake(&read(&text)).contains("overlaps"), "{spelled}");
    }
    good("extent0 /d/a 0 1MB\ntarget0 rw extent0 any\nextent1 /d/../a 0 1MB\ntarget1 rw extent1 any\n");
}
