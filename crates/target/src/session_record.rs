//! What people may want to know of a session.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is known of a session, kept by its connection and read by others.
#[derive(Debug)]
pub(crate) struct SessionRecord {
    pub(crate) peer: SocketAddr,
    pub(crate) alias: Option<String>,
    pub(crate) user: Option<String>,
    since: Instant,
    negotiated: OnceLock<Vec<(&'static str, String)>>,
    commands: AtomicU64,
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
    in_flight: AtomicU32,
    window: AtomicU32,
}

/// A session at one time.
#[derive(Clone, Debug)]
pub struct SessionStatus {
    /// Target session identifying handle: its name while it lives.
    pub tsih: u16,
    /// The initiator's iSCSI name.
    pub initiator: String,
    /// What the initiator calls itself.
    pub alias: Option<String>,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// The target's iSCSI name; `None` for discovery.
    pub target: Option<String>,
    /// Who it has proved to be.
    pub user: Option<String>,
    /// How long it has lived.
    pub age: Duration,
    /// Commands that have come and are not answered.
    pub in_flight: u32,
    /// Commands that it may have unanswered.
    pub window: u32,
    /// Commands that were started.
    pub commands: u64,
    /// Bytes that commands returned.
    pub read_bytes: u64,
    /// Bytes that commands took.
    pub written_bytes: u64,
    /// Text keys and what they were settled to (RFC 7143 §13).
    pub negotiated: Vec<(&'static str, String)>,
}

impl SessionRecord {
    pub(crate) fn new(peer: SocketAddr, alias: Option<String>, user: Option<String>) -> Self {
        let (commands, read_bytes, written_bytes) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        SessionRecord {
            peer,
            alias,
            user,
            since: Instant::now(),
            negotiated: OnceLock::new(),
            commands,
            read_bytes,
            written_bytes,
            in_flight: AtomicU32::new(0),
            window: AtomicU32::new(0),
        }
    }

    pub(crate) fn settle(&self, negotiated: Vec<(&'static str, String)>) {
        // A session negotiates once.
        let _ = self.negotiated.set(negotiated);
    }

    pub(crate) fn command_started(&self) {
        self.commands.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn moved(&self, read: u64, written: u64) {
        self.read_bytes.fetch_add(read, Ordering::Relaxed);
        self.written_bytes.fetch_add(written, Ordering::Relaxed);
    }

    pub(crate) fn gauge(&self, in_flight: u32, window: u32) {
        self.in_flight.store(in_flight, Ordering::Relaxed);
        self.window.store(window, Ordering::Relaxed);
    }

    pub(crate) fn status(&self, tsih: u16, initiator: &str, target: Option<&str>) -> SessionStatus {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SessionStatus {
            tsih,
            initiator: initiator.to_owned(),
            alias: self.alias.clone(),
            peer: SocketAddr::new(self.peer.ip().to_canonical(), self.peer.port()),
            target: target.map(str::to_owned),
            user: self.user.clone(),
            age: self.since.elapsed(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            window: self.window.load(Ordering::Relaxed),
            commands: read(&self.commands),
            read_bytes: read(&self.read_bytes),
            written_bytes: read(&self.written_bytes),
            negotiated: self.negotiated.get().cloned().unwrap_or_default(),
        }
    }
}
