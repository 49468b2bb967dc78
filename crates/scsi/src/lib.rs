//! SCSI device server (SAM-5, SPC-4, SBC-3): a CDB comes in, an action on a [`Volume`](timedisk_volume::Volume)
//! follows, data and sense go out.
//!
//! Sans-IO: no sockets, no threads of its own, no clock, no files. The caller brings the thread that a command runs
//! on, and may run many commands of one logical unit at once.

#![forbid(unsafe_code)]

mod task;

pub use task::{Completion, NexusId, Plan, Status};
