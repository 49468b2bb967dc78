//! `timedisk copy` as a process: files, and disks of a daemon.

#![allow(clippy::unwrap_used, clippy::panic)]

mod lab;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use lab::{Lab, allocated, block, has_all};
use rustix::process::{Pid, Signal, kill_process};

const MIB: u64 = 1 << 20;

/// A destination that is larger than its source of 1 GiB.
const LARGER: u64 = 1088 * MIB;

/// Bytes of a copy that takes long enough to be interrupted.
const LONG: u64 = 768 * MIB;

impl Lab {
    /// Ranges of data, and their bytes.
    fn ranges(&self, name: &str) -> (u64, u64) {
        let info = self.json(&["image", "info", name, "--json"]);
        let number = |key: &str| info["space"][key].as_u64().unwrap();
        (number("data_ranges"), number("data_bytes"))
    }

    /// A file without holes or zeros.
    fn dense(&self, name: &str, length: u64) {
        let file = File::create(self.path(name)).unwrap();
        for at in (0..length).step_by(MIB as usize) {
            let mut piece = Vec::with_capacity(MIB as usize);
            (0..256).for_each(|index| piece.extend(block(at + index * 4096)));
            file.write_all_at(&piece, at).unwrap();
        }
    }

    /// A copy that has begun to write, and is far from its end.
    fn begun(&self, words: &[&str]) -> Child {
        let mut command = self.command(words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let partial = self.path("b.timedisk-partial");
        let before = if partial.exists() { allocated(&partial) } else { 0 };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !partial.exists() || allocated(&partial) < before + 8 * MIB {
            assert!(
                child.try_wait().unwrap().is_none() && Instant::now() < deadline,
                "it has ended too soon"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        child
    }
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Its status, and what it has said on stderr.
fn ended(mut child: Child) -> (Option<i32>, String) {
    let status = child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (status.code(), said)
}

#[track_caller]
fn same(one: &Path, other: &Path) {
    let status = std::process::Command::new("cmp").args([one, other]).status().unwrap();
    assert!(status.success(), "{} and {} differ", one.display(), other.display());
}

#[test]
fn ten_thousand_holes_are_ten_thousand_holes_in_the_copy() {
    let lab = Lab::new();
    let source = lab.sparse("a", 20_000 * 16_384, (0..10_000).map(|n| n * 32_768));
    let copied = lab.json(&["copy", "a", "b", "--verify", "--json"]);
    assert_eq!((&copied["data_bytes"], &copied["verified"]), (&40_960_000.into(), &true.into()), "{copied}");
    same(&source, &lab.path("b"));
    assert_eq!(lab.ranges("b"), (10_000, 40_960_000));
    assert_eq!(copied["allocated_bytes"], allocated(&lab.path("b")));
    let left: Vec<_> =
        fs::read_dir(lab.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn eight_terabytes_with_a_megabyte_of_data_take_less_than_a_second() {
    let lab = Lab::new();
    lab.sparse("a", 8 << 40, (0..256).map(|n| n * (30 << 30)));
    let began = Instant::now();
    let said = lab.good(&["copy", "a", "b"]);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    has_all(&said, &["8TB", "1.0MB of data"]);
    assert_eq!(fs::metadata(lab.path("b")).unwrap().len(), 8 << 40);
    assert_eq!(lab.ranges("b"), (256, MIB));
    let began = Instant::now();
    has_all(&lab.good(&["copy", "a", "c", "--verify"]), &["compared"]);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn zeros_become_holes_and_an_end_within_a_block_stays() {
    let lab = Lab::new();
    let source = lab.sparse("a", 0, []);
    let mut content = vec![0; 10 * MIB as usize + 777];
    for place in [0, 5 * MIB, 5 * MIB + 8192, 10 * MIB - 4096] {
        content[place as usize..][..4096].copy_from_slice(&block(place));
    }
    *content.last_mut().unwrap() = 1;
    fs::write(&source, &content).unwrap();
    let copied = lab.json(&["copy", "a", "b", "--verify", "--json"]);
    assert_eq!(
        (&copied["data_bytes"], &copied["written_bytes"]),
        (&content.len().into(), &(4 * 4096 + 777).into())
    );
    assert!(fs::read(lab.path("b")).unwrap() == content);
    assert!(allocated(&lab.path("b")) < 64 << 10);
}

#[test]
fn a_file_is_replaced_only_if_that_is_said_and_only_by_a_whole_copy() {
    let lab = Lab::new();
    let source = lab.sparse("a", 8 * MIB, [0, MIB]);
    let old = lab.sparse("b", MIB, [0]);
    fs::set_permissions(&old, fs::Permissions::from_mode(0o640)).unwrap();
    has_all(&lab.bad(&["copy", "a", "b"]), &["b exists", "--overwrite"]);
    has_all(&lab.bad(&["copy", "a", "a", "--overwrite"]), &["a is the source itself"]);
    assert_eq!(fs::metadata(&old).unwrap().len(), MIB);
    lab.good(&["copy", "a", "b", "--overwrite"]);
    same(&source, &old);
    assert_eq!(fs::metadata(&old).unwrap().permissions().mode() & 0o777, 0o640);
    has_all(&lab.bad(&["copy", "none", "c"]), &["none"]);
    has_all(&lab.bad(&["copy", "a", "none/c"]), &["none/c.timedisk-partial"]);
    has_all(&lab.bad(&["copy", "a", "iscsi://u%secret@h/disk/0"]), &["is no target"]);
    assert!(!lab.bad(&["copy", "a", "iscsi://u%secret@h/disk/0"]).contains("secret"));
}

#[test]
fn a_copy_that_was_interrupted_or_killed_goes_on_and_is_whole() {
    let lab = Lab::new();
    lab.dense("a", LONG);
    let child = lab.begun(&["copy", "a", "b"]);
    send(&child, Signal::INT);
    let (status, said) = ended(child);
    assert_eq!(status, Some(130), "{said}");
    has_all(&said, &["interrupted at byte", "same command goes on"]);
    assert!(!lab.path("b").exists(), "what is not whole has not got the name");
    has_all(&lab.good(&["image", "check", "a"]), &["sound"]);
    let child = lab.begun(&["copy", "a", "b"]);
    has_all(&lab.bad(&["copy", "a", "b"]), &["another copy writes to"]);
    send(&child, Signal::KILL);
    assert_eq!(ended(child).0, None);
    let output = lab.run(&["copy", "a", "b", "--json"]);
    let said = lab::said(&output);
    has_all(&said, &["goes on at byte"]);
    let copied: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let resumed = copied["resumed_from"].as_u64().unwrap();
    assert!(resumed >= 4 * MIB && resumed + copied["data_bytes"].as_u64().unwrap() == LONG, "{copied}");
    same(&lab.path("a"), &lab.path("b"));
}

#[test]
fn a_source_that_changes_between_two_parts_of_a_copy_or_during_one_is_told() {
    let lab = Lab::new();
    lab.dense("a", LONG);
    let write = |data: u64| {
        let file = File::options().write(true).open(lab.path("a")).unwrap();
        file.write_all_at(&block(data), 0).unwrap();
    };
    let child = lab.begun(&["copy", "a", "b"]);
    send(&child, Signal::INT);
    assert_eq!(ended(child).0, Some(130));
    write(1 << 40);
    has_all(&lab.bad(&["copy", "a", "b"]), &["source has changed since", "--restart"]);
    let child = lab.begun(&["copy", "a", "b", "--restart"]);
    send(&child, Signal::STOP);
    write(2 << 40);
    send(&child, Signal::CONT);
    let (status, said) = ended(child);
    assert_eq!(status, Some(1), "{said}");
    has_all(&said, &["source has changed while it was copied", "--restart"]);
    assert!(!lab.path("b").exists());
    lab.good(&["copy", "a", "b", "--restart"]);
    same(&lab.path("a"), &lab.path("b"));
}

#[test]
fn disks_of_targets_are_either_end_and_holes_stay_holes() {
    let lab = Lab::new();
    let places: Vec<u64> = (0..2000).map(|n| n * 131_072).chain([700 * MIB]).collect();
    let source = lab.sparse("a", 1 << 30, places);
    // What is on the destinations has to go where the source has holes.
    let there = lab.sparse("there", 1 << 30, (0..500).map(|n| n * 131_072 + 65_536));
    let again = lab.sparse("again", LARGER, [65_536, (1 << 30) - 4096, LARGER - 4096]);
    let served = lab.serve(&["there", "again"]);
    let (first, second) = (served.urls[0].as_str(), served.urls[1].as_str());
    has_all(&lab.bad(&["copy", "a", first]), &["would be lost", "--overwrite"]);
    has_all(&lab.bad(&["copy", first, first, "--overwrite"]), &["source itself"]);
    has_all(&lab.bad(&["copy", second, first, "--overwrite"]), &["too small"]);
    lab.good(&["copy", "there", "c"]);
    same(&there, &lab.path("c"));
    lab.good(&["copy", "disk:target0", "d", "--verify"]);
    same(&there, &lab.path("d"));
    has_all(&lab.bad(&["copy", "disk:nobody", "e"]), &["no disk", "nobody"]);
    has_all(&lab.bad(&["copy", "a", "there", "--overwrite"]), &["in use", first]);

    lab.good(&["copy", "a", first, "--overwrite", "--verify"]);
    lab.good(&["copy", first, second, "--overwrite", "--verify"]);
    let copied = lab.json(&["copy", first, "b", "--verify", "--json"]);
    assert_eq!(copied["data_bytes"], 2001 * 4096, "{copied}");
    drop(served);
    same(&source, &there);
    same(&source, &lab.path("b"));
    assert_eq!(lab.ranges("b"), (2001, 2001 * 4096));
    assert_eq!(lab.ranges("there"), (2001, 2001 * 4096), "what was there before is a hole");
    // The larger disk keeps what is beyond the source's end.
    assert_eq!(lab.ranges("again"), (2002, 2002 * 4096));
    let mut last = [0; 4096];
    File::open(&again).unwrap().read_exact_at(&mut last, LARGER - 4096).unwrap();
    assert_eq!(last, block(LARGER - 4096));
}

#[test]
fn an_image_whose_record_of_atomic_writes_cannot_be_read_is_not_copied() {
    let lab = Lab::new();
    lab.sparse("a", 8 * MIB, [0]);
    drop(lab.serve(&["a"]));
    lab.good(&["copy", "a", "before"]);
    fs::create_dir(lab.path("a.timedisk.redo")).unwrap();
    has_all(&lab.bad(&["copy", "a", "b"]), &["a.timedisk.redo"]);
    has_all(&lab.bad(&["image", "check", "a"]), &["a.timedisk.redo", "1 problem"]);
    assert!(!lab.path("b").exists());
}
