//! The commands for a running daemon, as processes: signals and pipes.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn timedisk(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_timedisk"));
    command.args(words).arg("--state").arg(directory).stdin(Stdio::null());
    command
}

/// Answers every request on a state directory's socket with the same status.
fn serve(directory: &Path) {
    let listener = UnixListener::bind(directory.join("control.sock")).unwrap();
    let body =
        r#"{"version":"9","process":1,"uptime_seconds":2,"listening":[],"disks":[],"sessions":[],"new":1}"#;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let length = body.len();
            // A client that is gone needs no answer.
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        }
    });
}

/// The exit status, in time.
fn ended(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

#[test]
fn a_watch_shows_line_after_line_until_ctrl_c_and_that_is_success() {
    let directory = tempfile::tempdir().unwrap();
    serve(directory.path());
    let mut child = timedisk(directory.path(), &["status", "--json", "--watch", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let line = lines.next().unwrap().unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
    }
    rustix::process::kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(ended(&mut child), Some(0));
    assert!(lines.all(|line| line.is_ok_and(|line| line.ends_with('}'))), "a line was cut");
}

#[test]
fn a_status_whose_reader_has_seen_enough_ends_quietly() {
    let directory = tempfile::tempdir().unwrap();
    serve(directory.path());
    for words in [&["status"][..], &["status", "--json"], &["status", "--watch", "1"]] {
        let mut command = timedisk(directory.path(), words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(ended(&mut child), Some(0), "{words:?}");
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "", "{words:?}");
    }
}
