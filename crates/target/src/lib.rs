//! iSCSI target: listeners, connections, scheduling. Moves bytes between sockets, `iscsi` and `scsi`.
//!
//! - A thread for each connection receives, decides and sends. It also reads what the system has cached, and writes to
//!   that cache, as long as the disk is brisk ([`pace`]); should it have to wait all the same, another thread goes on
//!   with the connection ([`berth`]).
//! - What is likely to wait for a disk runs on threads of that disk's own ([`execution`]).
//! - Data of commands live in buffers out of one bounded [`memory`] pool.

#![deny(unsafe_code)]

mod berth;
mod conformance;
mod connection;
mod control;
mod disk;
mod execution;
mod guest;
mod house;
mod job;
mod listener;
mod memory;
mod pace;
mod registry;
mod server;
mod session_record;
mod settings;
mod surroundings;

pub use conformance::conformance;
pub use disk::{Disk, Unrest};
pub use listener::{ListenError, Listening};
pub use server::{Server, Stuck};
pub use session_record::SessionStatus;
pub use settings::{Access, Authentication, Catalogue, Limits, Mount, PortalGroup, Target, User};
