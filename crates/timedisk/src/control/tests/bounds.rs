//! Nobody keeps the others waiting.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::super::server::serve_within;
use super::super::*;
use super::{claimed, client};

/// So short that a test need not wait for long.
const SHORT: Duration = Duration::from_millis(300);

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// It has many sessions. What it is told hangs until it is freed.
#[derive(Default)]
struct Stuck {
    told: Mutex<usize>,
    free: Mutex<bool>,
    freed: Condvar,
}

impl Stuck {
    fn hang(&self) -> Result<(), Refusal> {
        *self.told.lock().unwrap() += 1;
        drop(self.freed.wait_while(self.free.lock().unwrap(), |free| !*free).unwrap());
        Ok(())
    }

    fn free(&self) {
        *self.free.lock().unwrap() = true;
        self.freed.notify_all();
    }
}

impl Daemon for Stuck {
    fn status(&self) -> Status {
        let listening = vec!["x".repeat(1000); 4000];
        Status { listening, ..Status::default() }
    }

    fn kick(&self, _: u16) -> Result<(), Refusal> {
        self.hang()
    }

    fn reload(&self, _: bool) -> Result<Reloaded, Refusal> {
        self.hang().map(|()| Reloaded::default())
    }

    fn resize(&self, _: &str, _: u64) -> Result<(), Refusal> {
        self.hang()
    }

    fn offline(&self, _: &str) -> Result<(), Refusal> {
        self.hang()
    }

    fn online(&self, _: &str) -> Result<(), Refusal> {
        self.hang()
    }

    fn set_access(&self, _: &str, _: u16, _: AccessState) -> Result<(), Refusal> {
        Ok(())
    }

    fn accept_loss(&self, _: &str) -> Result<(), Refusal> {
        self.hang()
    }

    fn replace_member(&self, _: &str, _: &str, _: Option<&str>) -> Result<(), Refusal> {
        self.hang()
    }

    fn viewed(&self, _: &str) -> Result<Viewed, Refusal> {
        Err(Refusal::new(RefusalKind::NotFound, "no points here"))
    }

    fn scrub(&self, _: &str) -> Result<(), Refusal> {
        self.hang()
    }
}

fn stuck(directory: &Path, patience: Duration, transfer: Duration) -> (Endpoint, Arc<Stuck>) {
    let (endpoint, daemon) = (claimed(directory), Arc::new(Stuck::default()));
    let me = rustix::process::geteuid().as_raw();
    serve_within(&endpoint, Arc::clone(&daemon) as Arc<dyn Daemon>, me, patience, transfer).unwrap();
    (endpoint, daemon)
}

fn send(directory: &Path, request: &str) -> UnixStream {
    let mut stream = UnixStream::connect(directory.join("control.sock")).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn answer(mut stream: UnixStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn however_many_changes_hang_the_status_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let (_endpoint, daemon) = stuck(directory.path(), LONG, LONG);
    // Some are given up, as with Ctrl-C, and go on all the same; more than there are connections stay.
    let mut hanging = Vec::new();
    for round in 0..60 {
        let begun = send(directory.path(), "POST /v1/disks/a/offline HTTP/1.1\r\nHost: x\r\n\r\n");
        std::thread::sleep(Duration::from_millis(5));
        if round >= 20 {
            hanging.push(begun);
        }
    }
    assert!(*daemon.told.lock().unwrap() > 0);
    let begun = Instant::now();
    client(directory.path()).status().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    daemon.free();
}

#[test]
fn changes_beyond_those_that_hang_are_turned_away_until_they_end() {
    let directory = tempfile::tempdir().unwrap();
    let (_endpoint, daemon) = stuck(directory.path(), SHORT, LONG);
    let mut codes = Vec::new();
    for _ in 0..6 {
        let asked = send(directory.path(), "POST /v1/disks/a/offline HTTP/1.1\r\nHost: x\r\n\r\n");
        codes.push(answer(asked)[9..12].to_owned());
    }
    assert_eq!(codes, ["504", "504", "504", "504", "503", "503"]);
    assert_eq!(*daemon.told.lock().unwrap(), 4);
    daemon.free();
    client(directory.path()).offline("a").unwrap();
}

#[test]
fn a_client_that_sends_slowly_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let (_endpoint, daemon) = stuck(directory.path(), LONG, SHORT);
    let json = "Content-Type: application/json\r\nContent-Length: 30";
    for (part, beginning) in [
        (String::new(), ""),
        ("GET /v1/status HTTP/1.1\r\nHost:".into(), ""),
        (format!("POST /v1/reload HTTP/1.1\r\nHost: x\r\n{json}\r\n\r\n{{\"allow"), "HTTP/1.1 408 "),
    ] {
        let begun = Instant::now();
        let said = answer(send(directory.path(), &part));
        assert!(said.starts_with(beginning), "{part:?}: {said}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{part:?}: {:?}", begun.elapsed());
    }
    assert_eq!(*daemon.told.lock().unwrap(), 0);
}

#[test]
fn silent_clients_take_no_more_places_than_there_are_and_give_them_back() {
    let directory = tempfile::tempdir().unwrap();
    let (_endpoint, _daemon) = stuck(directory.path(), LONG, SHORT);
    let begun = Instant::now();
    let silent: Vec<_> = (0..70).map(|_| send(directory.path(), "")).collect();
    client(directory.path()).status().unwrap();
    assert!(begun.elapsed() > SHORT * 2, "there were places for all: {:?}", begun.elapsed());
    drop(silent);
}

#[test]
fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let (_endpoint, _daemon) = stuck(directory.path(), LONG, SHORT);
    let deaf = send(directory.path(), "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n");
    std::thread::sleep(Duration::from_secs(2));
    let said = answer(deaf);
    assert!(said.starts_with("HTTP/1.1 200 ") && !said.ends_with('}'), "all of it was kept for long");
    assert_eq!(client(directory.path()).status().unwrap().listening.len(), 4000, "who reads has it whole");
}

#[test]
fn whatever_is_refused_says_why_as_json() {
    let directory = tempfile::tempdir().unwrap();
    let (_endpoint, daemon) = stuck(directory.path(), LONG, LONG);
    let json = "Content-Type: application/json\r\n";
    for (method, path, head, body, code) in [
        ("POST", "/v1/reload", "", "{}", "415"),
        ("POST", "/v1/reload", json, "{", "400"),
        ("POST", "/v1/reload", json, "{\"allow_shrink\":1}", "422"),
        ("POST", "/v1/disks/a/resize", json, "{\"bytes\":-1}", "422"),
        ("POST", "/v1/sessions/x/kick", "", "", "400"),
        ("POST", "/v1/disks/%ff/offline", "", "", "400"),
        ("GET", "/v1/reload", "", "", "405"),
        ("GET", "/v2/status", "", "", "404"),
    ] {
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {length}\r\n\r\n{body}");
        let said = answer(send(directory.path(), &head));
        assert_eq!(&said[9..12], code, "{path}: {said}");
        let refusal: serde_json::Value =
            serde_json::from_str(said.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert!(refusal["error"].as_str().is_some_and(|error| !error.is_empty()), "{path}: {said}");
    }
    assert_eq!(*daemon.told.lock().unwrap(), 0);
}
