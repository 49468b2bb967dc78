//! `timedisk bench` as a process, against `timedisk serve` as a process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const BYTES: u64 = 16 << 20;

/// A server with disks of 16 MiB. It ends with the test.
struct Served {
    child: Child,
    directory: tempfile::TempDir,
    urls: Vec<String>,
}

impl Served {
    fn new(disks: &[&str]) -> Served {
        let directory = tempfile::tempdir().unwrap();
        let mut command = timedisk();
        command.args(["serve", "--listen", "127.0.0.1:0", "--state"]).arg(directory.path().join("state"));
        for disk in disks {
            command.arg("--disk").arg(format!("{}:{BYTES}", directory.path().join(disk).display()));
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let urls = lines.map_while(Result::ok).filter(|line| line.contains("iscsi://")).take(disks.len());
        let urls = urls.map(|line| line[line.find("iscsi://").unwrap()..].trim().to_owned()).collect();
        Served { child, directory, urls }
    }

    fn url(&self) -> &str {
        &self.urls[0]
    }

    fn portal(&self) -> &str {
        self.url().trim_start_matches("iscsi://").split('/').next().unwrap()
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn timedisk() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_timedisk"));
    command.stdin(Stdio::null());
    command
}

fn bench(place: &str, words: &[&str]) -> Output {
    timedisk().args(["bench", place, "--time", "0.4"]).args(words).output().unwrap()
}

fn json(output: &Output) -> Value {
    let shown = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error}: {shown}{}", stderr(output)))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), stderr(output));
}

#[test]
fn the_json_has_what_scripts_read() {
    let served = Served::new(&["disk"]);
    let output = bench(served.portal(), &["--json", "--server-pid", &served.pid(), "--qd", "8"]);
    succeeded(&output);
    assert_eq!(stderr(&output), "", "reading warns of nothing");
    let report = json(&output);
    let expected = [
        ("target", Value::from(served.url())),
        ("rw", "read".into()),
        ("pattern", "random".into()),
        ("block_bytes", 4096.into()),
        ("queue_depth", 8.into()),
        ("sessions", 1.into()),
        ("connections", 1.into()),
        ("digest", "none".into()),
        ("fua", false.into()),
        ("write", Value::Null),
    ];
    for (key, value) in expected {
        assert_eq!(report[key], value, "{key}");
    }
    let commands = report["commands"].as_u64().unwrap();
    assert!(commands > 100, "{report}");
    let (seconds, rate) =
        (report["seconds"].as_f64().unwrap(), report["commands_per_second"].as_f64().unwrap());
    assert!((0.2..0.5).contains(&seconds), "{report}");
    assert!((rate * seconds / commands as f64 - 1.0).abs() < 0.02, "{report}");
    assert!((report["bytes_per_second"].as_f64().unwrap() / rate - 4096.0).abs() < 1.0);
    for side in [&report["latency_us"], &report["read"]["latency_us"]] {
        let times = ["min", "p50", "p90", "p99", "p999", "max"].map(|key| side[key].as_f64().unwrap());
        assert!(times[0] > 0.0 && times.is_sorted(), "{side}");
        assert!((times[0]..=times[5]).contains(&side["mean"].as_f64().unwrap()));
    }
    assert!(report["client_cpu_seconds"].as_f64().unwrap() > 0.0);
    let server = &report["server"];
    assert_eq!(server["pid"].to_string(), served.pid());
    assert!(server["resident_bytes"].as_u64().unwrap() > 1 << 20, "{server}");
    for key in ["cpu_seconds", "cpu_seconds_per_gib", "cpu_seconds_per_million_commands"] {
        assert!(server[key].is_number(), "{key}");
    }
}

#[test]
fn what_was_written_is_read_in_every_way_of_doing_it() {
    let served = Served::new(&["disk"]);
    let cases: [&[&str]; 7] = [
        &["--rw", "write"],
        &["--rw", "mixed", "--digest", "both"],
        &["--rw", "read", "--span", "4M"],
        &["--rw", "write", "--seq", "--bs", "256k", "--qd", "4", "--digest", "data"],
        &["--rw", "mixed", "--bs", "512", "--sessions", "3", "--fua", "--qd", "128"],
        &["--rw", "mixed", "--bs", "70k", "--sessions", "2", "--seq", "--span", "1M"],
        &["--rw", "read", "--bs", "1536k", "--span", "6M", "--qd", "2", "--digest", "header"],
    ];
    for case in cases {
        let output = bench(served.url(), &[case, &["--verify", "--json"]].concat());
        succeeded(&output);
        assert!(stderr(&output).contains("overwrites the first"), "{}", stderr(&output));
        let report = json(&output);
        assert!(report["commands"].as_u64().unwrap() > 0, "{case:?}");
        for (side, word) in [("read", "write"), ("write", "read")] {
            assert_eq!(report[side].is_null(), case.contains(&word), "{case:?}: {side}");
        }
    }
}

#[test]
fn data_that_are_not_as_they_were_written_are_noticed() {
    let served = Served::new(&["disk"]);
    let words = ["bench", served.url(), "--rw", "mixed", "--verify", "--span", "1M", "--time", "20"];
    let child = timedisk().args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    damage(&served.image());
    let began = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is not as it was written"), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("commands/s"), "what was measured is shown");
}

/// Overwrites one byte of every kilobyte of the first megabyte behind the server's back, again and again.
fn damage(image: &Path) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().write(true).open(image).unwrap();
    for _ in 0..20 {
        (0..1024).for_each(|place| file.write_all_at(&[0x55], place * 1024).unwrap());
    }
}

#[test]
fn ctrl_c_ends_it_with_what_was_measured_so_far() {
    let served = Served::new(&["disk"]);
    let words = ["bench", served.url(), "--json", "--time", "60"];
    let child = timedisk().args(words).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    succeeded(&output);
    let report = json(&output);
    assert!(report["seconds"].as_f64().unwrap() < 30.0, "{report}");
    assert!(report["commands"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn a_server_that_dies_is_a_failure_and_what_was_measured_is_shown() {
    let mut served = Served::new(&["disk"]);
    let pid = served.pid();
    let words = ["bench", served.url(), "--json", "--time", "60", "--sessions", "2", "--server-pid", &pid];
    let child = timedisk().args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    served.child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    assert!(error.contains("closed the connection") || error.contains("the connection failed"), "{error}");
    assert!(json(&output)["commands"].as_u64().unwrap() > 0);
}

#[test]
fn several_targets_are_listed_to_choose_from() {
    let served = Served::new(&["disk", "other"]);
    assert_eq!(served.urls.len(), 2);
    let output = bench(served.portal(), &[]);
    assert_eq!(output.status.code(), Some(1));
    for url in &served.urls {
        assert!(stderr(&output).contains(&format!("  timedisk bench {url}\n")), "{}", stderr(&output));
    }
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    let served = Served::new(&["disk"]);
    let cases: [(&[&str], &str); 8] = [
        (&["--connections", "4"], "use --sessions instead"),
        (&["--bs", "1000"], "multiple of 512"),
        (&["--span", "1T"], "is more than the disk has (16777216 bytes)"),
        (&["--span", "1k"], "are too few"),
        (&["--verify"], "say with --span"),
        (&["--server-pid", "2147483647"], "is there such a process"),
        (&["--seq", "--random"], "cannot be used with"),
        (&["--qd", "0"], "0 is not in"),
    ];
    for (words, expected) in cases {
        let output = bench(served.url(), words);
        assert!(!output.status.success(), "{words:?}");
        assert!(stderr(&output).contains(expected), "{words:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{words:?}");
    }
    for (place, expected) in [
        ("iscsi://h", "is no target"),
        ("a b", "no URL and no HOST[:PORT]"),
        ("127.0.0.1:1", "127.0.0.1:1: can't connect"),
    ] {
        let output = bench(place, &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(expected), "{place}: {}", stderr(&output));
    }
}
