//! iSCSI from the initiator's side (RFC 7143).
//!
//! The core does no input and output: bytes go in, bytes and completions come out. It has no socket, thread
//! or clock.
//!
//! - [`url`]: where a disk is
//! - [`login`]: from the first byte to the full feature phase, with CHAP and negotiation
//! - [`discovery`]: which targets there are
//! - [`session`]: commands, their data and their ends
//! - [`provisioning`]: which blocks hold data
//! - [`scsi`]: the few commands that are needed here, as CDBs, and what comes back for them
//!
//! On top of it, [`connection`] moves the bytes over TCP: one thread for each session, with as few system
//! calls as there are batches.

#![forbid(unsafe_code)]

pub mod connection;
pub mod control;
pub mod discovery;
pub mod login;
pub mod provisioning;
pub mod scsi;
pub mod sense;
pub mod session;
pub mod url;

pub use connection::{Connection, Error};
pub use login::Settings;
pub use session::{Command, Completion, Outcome, Payload, ProtocolError, Session, Sink, Tag, Transfer};
pub use url::{Portal, Url};
