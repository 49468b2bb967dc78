//! What a server is to serve, and within what limits.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use timedisk_iscsi::full_feature::PingTimes;

use crate::disk::Disk;

/// What is served, and to whom. A running server can exchange it for another.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// The targets. No two have the same name.
    pub targets: Vec<Target>,
    /// Who may prove who they are.
    pub users: Vec<User>,
    /// What an initiator has to prove that only looks for targets.
    pub discovery: Authentication,
}

/// One iSCSI target.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its iSCSI name, in normal form (RFC 7143 §4.2.7).
    pub name: String,
    /// What people call it; shown to initiators as TargetAlias.
    pub alias: Option<String>,
    /// What an initiator has to prove.
    pub authentication: Authentication,
    /// Its disks. An initiator that may use none of them may not log in.
    pub mounts: Vec<Mount>,
    /// The tags of the portal groups that serve it; none for all.
    pub portal_groups: Vec<u16>,
}

impl Target {
    pub(crate) fn is_served_by(&self, portal_group: u16) -> bool {
        self.portal_groups.is_empty() || self.portal_groups.contains(&portal_group)
    }
}

/// Addresses by which a target is one SCSI port (RFC 7143 §4.1.1, target portal group).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalGroup {
    /// Target portal group tag, not 0. It is the identifier of the target port group as well (SPC-4 5.16).
    pub tag: u16,
    /// Where it listens: addresses that initiators can be told.
    pub addresses: Vec<SocketAddr>,
}

/// A disk's place in a target.
#[derive(Clone)]
pub struct Mount {
    /// Logical unit number, up to 16383.
    pub lun: u16,
    /// The disk. It may be in other targets too.
    pub disk: Arc<Disk>,
    /// Whether an initiator at this address may see and use it.
    pub access: Access,
}

/// Tells addresses that are let in from others.
pub type Access = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

impl std::fmt::Debug for Mount {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Mount")
            .field("lun", &self.lun)
            .field("disk", &self.disk)
            .finish_non_exhaustive()
    }
}

/// What an initiator has to prove at login.
#[derive(Clone, Debug, Default)]
pub enum Authentication {
    /// Nothing.
    #[default]
    None,
    /// That it is one of these users, by CHAP (RFC 7143 §12.1.3).
    Chap {
        /// Names, as in [`User::name`]; letter case makes no difference.
        users: Vec<String>,
        /// By what the target proves who it is, to initiators that ask for it.
        own: Option<User>,
    },
}

impl Authentication {
    /// Whether somebody who has proved to be this user, or who has proved nothing, has proved enough.
    pub(crate) fn is_satisfied_by(&self, user: Option<&str>) -> bool {
        match self {
            Authentication::None => true,
            Authentication::Chap { users, .. } => {
                user.is_some_and(|user| users.iter().any(|name| name.eq_ignore_ascii_case(user)))
            }
        }
    }
}

/// A CHAP user, or a target that proves itself like one.
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
    /// How long a silent initiator is waited for.
    pub pings: PingTimes,
    /// Bytes for the data of all commands under way: at least four times the largest transfer (8 MiB), or it may wait
    /// for ever.
    pub memory: usize,
    /// The same for the commands of one session.
    pub session_memory: usize,
}

impl Limits {
    /// How many times more connections may be in the middle of their login than may have said nothing valid.
    pub const LOGINS_FOR_A_STRANGER: usize = 4;

    /// Connections that may not have logged in yet.
    pub fn logins(&self) -> usize {
        self.strangers * Limits::LOGINS_FOR_A_STRANGER
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            sessions: 4096,
            strangers: 256,
            login: Duration::from_secs(15),
            pings: PingTimes::default(),
            memory: 512 << 20,
            session_memory: 128 << 20,
        }
    }
}
