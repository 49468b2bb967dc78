//! The API over a real socket, with a daemon made of promises behind it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bounds;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::endpoint::owner;
use super::*;

/// Writes down what it is asked for. It refuses what has to do with the disk `no`.
#[derive(Default)]
struct Promises(Mutex<Vec<String>>);

impl Promises {
    fn note(&self, what: String) -> Result<(), Refusal> {
        let refused = what.contains("no/such disk");
        self.0.lock().unwrap().push(what);
        if refused { Err(Refusal::new(RefusalKind::NotFound, "there is no such disk")) } else { Ok(()) }
    }
}

impl Daemon for Promises {
    fn status(&self) -> Status {
        Status { version: "1".into(), process: 7, ..Status::default() }
    }

    fn kick(&self, session: u16) -> Result<(), Refusal> {
        self.note(format!("kick {session}"))
    }

    fn reload(&self, allow_shrink: bool) -> Result<Reloaded, Refusal> {
        if allow_shrink {
            let remarks = vec!["line 1".to_owned(), "line 2".to_owned()];
            return Err(Refusal { remarks, ..Refusal::new(RefusalKind::Invalid, "2 mistakes") });
        }
        Ok(Reloaded { added: vec!["target1".into()], ..Reloaded::default() })
    }

    fn resize(&self, disk: &str, bytes: u64) -> Result<(), Refusal> {
        self.note(format!("resize {disk} {bytes}"))
    }

    fn offline(&self, disk: &str) -> Result<(), Refusal> {
        self.note(format!("offline {disk}"))
    }

    fn online(&self, disk: &str) -> Result<(), Refusal> {
        self.note(format!("online {disk}"))
    }

    fn set_access(&self, disk: &str, group: u16, state: AccessState) -> Result<(), Refusal> {
        self.note(format!("access {disk} {group} {state:?}"))
    }

    fn accept_loss(&self, disk: &str) -> Result<(), Refusal> {
        self.note(format!("accept-loss {disk}"))
    }

    fn replace_member(&self, disk: &str, member: &str, path: Option<&str>) -> Result<(), Refusal> {
        self.note(format!("replace {disk} {member} {path:?}"))
    }

    fn viewed(&self, _: &str) -> Result<Viewed, Refusal> {
        Err(Refusal::new(RefusalKind::NotFound, "no points here"))
    }

    fn scrub(&self, disk: &str) -> Result<(), Refusal> {
        self.note(format!("scrub {disk}"))
    }
}

fn claimed(directory: &Path) -> Endpoint {
    match Endpoint::claim(directory).unwrap() {
        Claim::Ours(endpoint) => endpoint,
        Claim::Taken(process) => panic!("process {process:?} has it"),
    }
}

fn served(directory: &Path) -> (Endpoint, Arc<Promises>) {
    let (endpoint, promises) = (claimed(directory), Arc::new(Promises::default()));
    let me = rustix::process::geteuid().as_raw();
    serve(&endpoint, Arc::clone(&promises) as Arc<dyn Daemon>, me).unwrap();
    (endpoint, promises)
}

fn client(directory: &Path) -> Client {
    Client::new(directory.to_path_buf(), Duration::from_secs(10))
}

/// The answer to a request in plain HTTP: its first line and its end.
fn raw(directory: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(directory.join("control.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // A server that refuses a request unread closes the connection before all of it is sent.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[test]
fn what_is_asked_for_arrives_and_what_is_answered_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let (_endpoint, promises) = served(directory.path());
    let client = client(directory.path());
    assert_eq!(client.status().unwrap().process, 7);
    client.kick(65535).unwrap();
    assert_eq!(client.reload(false).unwrap().added, ["target1"]);
    client.resize("target0", u64::MAX).unwrap();
    client.offline("/a b/ü%?#.img").unwrap();
    client.online("iqn.2024-01.com.example:x/3").unwrap();
    client.set_access("target0", 2, AccessState::NonOptimized).unwrap();
    client.accept_loss("target0").unwrap();
    let asked = [
        "kick 65535",
        "resize target0 18446744073709551615",
        "offline /a b/ü%?#.img",
        "online iqn.2024-01.com.example:x/3",
        "access target0 2 NonOptimized",
        "accept-loss target0",
    ];
    assert_eq!(*promises.0.lock().unwrap(), asked);
}

#[test]
fn a_refusal_comes_with_all_that_is_to_be_said() {
    let directory = tempfile::tempdir().unwrap();
    let (_endpoint, _promises) = served(directory.path());
    let Err(Trouble::Refused(refusal)) = client(directory.path()).reload(true) else {
        panic!("it is refused")
    };
    assert_eq!((refusal.error.as_str(), refusal.remarks.len()), ("2 mistakes", 2));
    let trouble = client(directory.path()).offline("no/such disk").unwrap_err();
    assert_eq!(trouble.to_string(), "there is no such disk");
}

#[test]
fn the_api_describes_itself_and_answers_what_it_has_not_with_404() {
    let directory = tempfile::tempdir().unwrap();
    let (_endpoint, _promises) = served(directory.path());
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = raw(directory.path(), &ask("/v1/openapi.json"));
    let document: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    let expected = [
        "/v1/disks/{disk}/accept-loss",
        "/v1/disks/{disk}/access",
        "/v1/disks/{disk}/compact",
        "/v1/disks/{disk}/mirror/replace",
        "/v1/disks/{disk}/mirror/scrub",
        "/v1/disks/{disk}/offline",
        "/v1/disks/{disk}/online",
        "/v1/disks/{disk}/points",
        "/v1/disks/{disk}/resize",
        "/v1/points/{point}",
        "/v1/points/{point}/data/{offset}/{length}",
        "/v1/points/{point}/map/{offset}",
        "/v1/reload",
        "/v1/sessions/{session}/kick",
        "/v1/status",
    ];
    let mut paths: Vec<&str> = paths.into_iter().map(String::as_str).collect();
    paths.sort_unstable();
    assert_eq!(paths, expected);
    assert!(raw(directory.path(), &ask("/v2/status")).starts_with("HTTP/1.1 404"));
    assert!(raw(directory.path(), &ask("/v1/reload")).starts_with("HTTP/1.1 405"));
}

#[test]
fn requests_that_are_no_good_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (_endpoint, promises) = served(directory.path());
    let post = |path: &str, body: &str| {
        let length = body.len();
        let head = "Host: x\r\nConnection: close\r\nContent-Type: application/json\r\n";
        raw(
            directory.path(),
            &format!("POST {path} HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}"),
        )
    };
    assert!(post("/v1/disks/a/resize", "{\"bytes\":-1}").starts_with("HTTP/1.1 422"));
    assert!(post("/v1/disks/a/resize", "nonsense").starts_with("HTTP/1.1 400"));
    assert!(post("/v1/sessions/70000/kick", "").starts_with("HTTP/1.1 400"));
    assert!(post("/v1/disks/a/resize", &" ".repeat(1 << 20)).starts_with("HTTP/1.1 413"));
    assert!(raw(directory.path(), "nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
    assert_eq!(promises.0.lock().unwrap().len(), 0);
}

#[test]
fn the_socket_is_for_root_and_its_owner() {
    for (user, owner, admitted) in
        [(Some(0), 1000, true), (Some(1000), 1000, true), (Some(1001), 1000, false), (None, 1000, false)]
    {
        assert_eq!(super::server::is_admitted(user, owner), admitted, "{user:?} {owner}");
    }
}

#[test]
fn one_daemon_has_the_socket_and_the_next_one_gets_it_when_it_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(client(directory.path()).status(), Err(Trouble::Absent(_))));
    let first = claimed(directory.path());
    let me = std::process::id();
    assert!(
        matches!(Endpoint::claim(directory.path()).unwrap(), Claim::Taken(Some(process)) if process == me)
    );
    assert_eq!(owner(directory.path()), Some(me));
    drop(first);
    assert_eq!(owner(directory.path()), None);
    // One that was killed leaves its socket behind.
    drop(UnixListener::bind(directory.path().join("control.sock")).unwrap());
    assert!(matches!(client(directory.path()).status(), Err(Trouble::Absent(_))));
    let (_endpoint, _promises) = served(directory.path());
    client(directory.path()).status().unwrap();
}

#[test]
fn a_daemon_that_hangs_is_told_from_one_that_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let _endpoint = claimed(directory.path());
    let before = Instant::now();
    let hasty = Client::new(directory.path().to_path_buf(), Duration::from_millis(200));
    let trouble = hasty.reload(false).unwrap_err();
    assert!(
        matches!(trouble, Trouble::Hangs(Some(process), _) if process == std::process::id()),
        "{trouble}"
    );
    assert!(before.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_directory_with_a_long_name_is_as_good_as_another() {
    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("x".repeat(120)).join("y".repeat(120));
    std::fs::create_dir_all(&deep).unwrap();
    let (_endpoint, _promises) = served(&deep);
    assert_eq!(client(&deep).status().unwrap().process, 7);
}

#[test]
fn a_daemon_whose_queue_is_full_hangs_too_and_keeps_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let endpoint = claimed(directory.path());
    let waiting = fill_the_queue(directory.path());
    let (told, tell) = std::sync::mpsc::channel();
    let client = Client::new(directory.path().to_path_buf(), Duration::from_millis(200));
    std::thread::spawn(move || told.send(client.status().map(|_| ())));
    let answer = tell.recv_timeout(Duration::from_secs(5)).expect("it waits for a place in the queue");
    assert!(matches!(answer, Err(Trouble::Hangs(Some(_), _))), "{answer:?}");
    drop((waiting, endpoint));
}

/// Connects until nobody else can.
fn fill_the_queue(directory: &Path) -> Vec<rustix::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let address = SocketAddrUnix::new(directory.join("control.sock")).unwrap();
    let mut waiting = Vec::new();
    loop {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        if connect(&socket, &address).is_err() {
            return waiting;
        }
        waiting.push(socket);
    }
}
