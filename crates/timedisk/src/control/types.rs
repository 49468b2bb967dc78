//! What goes over the control socket, as JSON.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::mirror::Mirror;

/// A daemon at one time.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
pub(crate) struct Status {
    /// Version of timedisk.
    pub(crate) version: String,
    /// Its process id.
    pub(crate) process: u32,
    /// Seconds since it began to serve.
    pub(crate) uptime_seconds: u64,
    /// Addresses with ports.
    pub(crate) listening: Vec<String>,
    /// In the order of their description.
    pub(crate) disks: Vec<Disk>,
    /// The oldest first.
    pub(crate) sessions: Vec<Session>,
}

/// A disk that is served. One that several targets share is there once for each.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Disk {
    /// What people call it: the target's name in the file.
    pub(crate) name: String,
    /// The target's iSCSI name.
    pub(crate) iqn: String,
    /// Logical unit number.
    pub(crate) lun: u16,
    /// Files under it, one after the other.
    pub(crate) paths: Vec<String>,
    /// Size for clients.
    pub(crate) size_bytes: u64,
    /// What the files take on their file systems, where that can be told.
    pub(crate) allocated_bytes: Option<u64>,
    /// Bytes of a logical block.
    pub(crate) block_length: u32,
    /// Whether writes are refused.
    pub(crate) read_only: bool,
    pub(crate) state: DiskState,
    /// Present while a client's SANITIZE or FORMAT UNIT goes over all of it, or when that has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) erasing: Option<Erasing>,
    /// The mirrors that it is made of, an outer one before those in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) mirrors: Vec<Mirror>,
    /// Its serial number (VPD page 80h).
    pub(crate) serial: String,
    /// Sessions with its target.
    pub(crate) sessions: u64,
    /// Commands that returned blocks, since it is served.
    pub(crate) reads: u64,
    /// Commands that changed blocks.
    pub(crate) writes: u64,
    /// SYNCHRONIZE CACHE commands.
    pub(crate) flushes: u64,
    /// Bytes returned.
    pub(crate) read_bytes: u64,
    /// Bytes that came to be written.
    pub(crate) written_bytes: u64,
    /// Commands that wait for it now.
    pub(crate) in_flight: u64,
    /// How it is used through each portal group, where these are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) access: Vec<Access>,
}

impl Disk {
    /// Whether a file is one of those under it.
    pub(crate) fn is_in(&self, path: &str) -> bool {
        self.paths.iter().any(|own| own == path)
    }
}

/// How a disk is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DiskState {
    /// It is served.
    Online,
    /// An administrator has taken it away.
    Offline,
    /// A flush has failed: it takes no writes until the loss is accepted.
    Failed,
}

/// How the erasing of a disk is that a client has asked for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Erasing {
    /// It goes on, and this much of it is done.
    Percent(u8),
    /// It has failed, and the disk can't be used until a client has erased it.
    Failed,
}

/// A session of an initiator.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Session {
    /// Target session identifying handle.
    pub(crate) id: u16,
    /// The initiator's iSCSI name.
    pub(crate) initiator: String,
    /// What it calls itself.
    pub(crate) alias: Option<String>,
    /// Address and port.
    pub(crate) peer: String,
    /// The target's iSCSI name; none for discovery.
    pub(crate) target: Option<String>,
    /// Who it has proved to be.
    pub(crate) user: Option<String>,
    pub(crate) age_seconds: u64,
    /// Commands that are not answered yet.
    pub(crate) in_flight: u32,
    /// Commands that may be unanswered at once.
    pub(crate) window: u32,
    /// Commands so far.
    pub(crate) commands: u64,
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
    /// Text keys (RFC 7143 §13) and what they were settled to.
    pub(crate) negotiated: BTreeMap<String, String>,
}

/// What a reload is asked for with.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
pub(crate) struct ReloadRequest {
    /// Whether disks may lose their ends.
    #[serde(default)]
    pub(crate) allow_shrink: bool,
}

/// What a reload did: names of disks, and what is worth saying.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
pub(crate) struct Reloaded {
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) changed: Vec<String>,
    pub(crate) notices: Vec<String>,
}

impl Reloaded {
    /// In a few words.
    pub(crate) fn summary(&self) -> String {
        let lists = [("added", &self.added), ("removed", &self.removed), ("changed", &self.changed)];
        let said = lists.iter().filter(|(_, names)| !names.is_empty());
        let said: Vec<String> = said.map(|(what, names)| format!("{what} {}", names.join(", "))).collect();
        if said.is_empty() { "nothing has changed".to_owned() } else { said.join("; ") }
    }
}

/// A new size.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct ResizeRequest {
    /// In bytes, a multiple of the block length.
    pub(crate) bytes: u64,
}

/// How a disk is used through a portal group.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub(crate) struct Access {
    /// The portal group's tag.
    pub(crate) group: u16,
    pub(crate) state: AccessState,
    /// Whether initiators are to prefer it.
    #[serde(default)]
    pub(crate) preferred: bool,
}

/// Asymmetric access state (SPC-4 5.16.2.4).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AccessState {
    /// As well as it goes.
    Optimized,
    /// All commands, but other ways are better.
    NonOptimized,
    /// No blocks.
    Standby,
    /// Nothing but questions about the way.
    Unavailable,
    /// The same, and initiators can't change it.
    Offline,
}

/// A new access state in a portal group.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct AccessRequest {
    /// The portal group's tag.
    pub(crate) group: u16,
    pub(crate) state: AccessState,
}

/// Why something was not done.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Refusal {
    #[serde(skip, default)]
    pub(crate) kind: RefusalKind,
    /// In one sentence.
    pub(crate) error: String,
    /// Mistakes of a configuration and what else is worth saying, ready to be shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) remarks: Vec<String>,
}

/// What kind of refusal it is; each has its HTTP status.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum RefusalKind {
    /// There is no such disk or session.
    NotFound,
    /// Things are not so that it could be done.
    #[default]
    Conflict,
    /// The configuration has mistakes.
    Invalid,
    /// It is not for this user.
    Forbidden,
    /// It took too long; whether it was done is not known.
    TimedOut,
    /// Too much is under way.
    Busy,
}

impl Refusal {
    pub(crate) fn new(kind: RefusalKind, error: impl Into<String>) -> Self {
        Refusal { kind, error: error.into(), remarks: Vec::new() }
    }
}
