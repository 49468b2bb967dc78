//! How others look after a running daemon: an HTTP API on a UNIX socket in the state directory.
//!
//! It runs on a thread of its own. The data side never waits for it; what it asks of the daemon runs on other threads
//! still, and is waited for only so long.

use std::path::PathBuf;
use std::sync::Arc;

use timedisk_volume::ViewedVolume;

mod client;
mod connection;
mod endpoint;
mod mirror;
mod point;
mod points;
mod server;
mod types;

pub(crate) use client::{Client, Trouble};
pub(crate) use endpoint::{Claim, Endpoint};
pub(crate) use mirror::{MemberState, Mirror};
pub(crate) use point::{MapPart, Point};
pub(crate) use points::LONGEST_READ;
pub(crate) use server::serve;
pub(crate) use types::{
    Access, AccessState, Disk, DiskState, Erasing, Refusal, RefusalKind, Reloaded, Session, Status,
};

#[cfg(test)]
mod tests;

/// A disk of which points can be taken, and where it is put that is overwritten meanwhile.
#[derive(Debug)]
pub(crate) struct Viewed {
    pub(crate) name: String,
    pub(crate) volume: Arc<ViewedVolume>,
    pub(crate) scratch: PathBuf,
}

/// What a running daemon does for those who look after it. Disks are named as
/// [`Inventory::find`](crate::inventory::Inventory::find) has it.
pub(crate) trait Daemon: Send + Sync {
    /// How it is. Never waits for a disk.
    fn status(&self) -> Status;

    /// Ends a session, named by its TSIH.
    fn kick(&self, session: u16) -> Result<(), Refusal>;

    /// Reads the files again and serves what they say, or else goes on as before.
    fn reload(&self, allow_shrink: bool) -> Result<Reloaded, Refusal>;

    /// Makes a disk so many bytes large.
    fn resize(&self, disk: &str, bytes: u64) -> Result<(), Refusal>;

    /// Flushes a disk and closes its files.
    fn offline(&self, disk: &str) -> Result<(), Refusal>;

    /// Opens it again.
    fn online(&self, disk: &str) -> Result<(), Refusal>;

    /// Changes the access state of a disk in the portal group of this tag.
    fn set_access(&self, disk: &str, group: u16, state: AccessState) -> Result<(), Refusal>;

    /// Takes a disk as it is after a flush has failed.
    fn accept_loss(&self, disk: &str) -> Result<(), Refusal>;

    /// Takes a member of a mirror that is out back, or another in its place, at `path` if that is said.
    fn replace_member(&self, disk: &str, member: &str, path: Option<&str>) -> Result<(), Refusal>;

    /// A disk of which points can be taken.
    fn viewed(&self, disk: &str) -> Result<Viewed, Refusal>;

    /// Begins to compare the members of a disk's mirrors.
    fn scrub(&self, disk: &str) -> Result<(), Refusal>;
}
