//! iSCSI target: listeners, connections, scheduling. Moves bytes between sockets, `iscsi` and `scsi`.
//!
//! - A thread for each connection receives, decides and sends; it never waits for a disk.
//! - What may wait for a disk runs on threads of that disk's own ([`execution`]).
//! - Data of commands live in buffers out of one bounded [`memory`] pool.

#![deny(unsafe_code)]

mod connection;
mod control;
mod disk;
mod execution;
mod guest;
mod house;
mod listener;
mod memory;
mod registry;
mod server;
mod session_record;
mod settings;

pub use disk::{Disk, Unrest};
pub use listener::{ListenError, Listening};
pub use server::{Server, Stuck};
pub use session_record::SessionStatus;
pub use settings::{Access, Authentication, Catalogue, Limits, Mount, Target, User};
