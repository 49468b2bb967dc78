//! What a server is to serve, and within what limits.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use timedisk_scsi::LogicalUnit;

/// What a server is to serve.
#[derive(Debug)]
pub struct Settings {
    /// The targets.
    pub targets: Vec<Target>,
    /// Who may prove who they are.
    pub users: Vec<User>,
    /// Bounds.
    pub limits: Limits,
}

/// One iSCSI target.
pub struct Target {
    /// Its iSCSI name, in normal form (RFC 7143 §4.2.7).
    pub name: String,
    /// What people call it; shown to initiators as TargetAlias.
    pub alias: Option<String>,
    /// Whether an initiator at this address may see it and log in.
    pub access: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// What an initiator has to prove.
    pub authentication: Authentication,
    /// Its logical units.
    pub units: Vec<(u16, Arc<LogicalUnit>)>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Target").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What an initiator has to prove at login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Nothing.
    None,
    /// That it is one of these users, by CHAP (RFC 7143 §12.1.3).
    Chap {
        /// Names, as in [`User::name`].
        users: Vec<String>,
    },
}

/// A CHAP user.
#[derive(Clone)]
pub struct User {
    /// CHAP_N.
    pub name: String,
    /// The secret's bytes.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Bounds of a server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sessions at once; one more is refused.
    pub sessions: usize,
    /// Connections at once whose login has not got as far as one valid request; for one more, the oldest is closed.
    pub strangers: usize,
    /// From accept to the end of the login.
    pub login: Duration,
    /// Bytes for the data of all commands under way: at least four times the largest transfer (8 MiB), or it may wait
    /// for ever.
    pub memory: usize,
    /// The same for the commands of one session.
    pub session_memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            sessions: 4096,
            strangers: 256,
            login: Duration::from_secs(15),
            memory: 512 << 20,
            session_memory: 128 << 20,
        }
    }
}
