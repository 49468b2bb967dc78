//! Why there is no session, or no more.

use std::time::Duration;

use crate::discovery::DiscoveryError;
use crate::login::LoginError;
use crate::session::{Outcome, ProtocolError};
use crate::url::Portal;

/// What can go wrong with a connection. Each message is whole: it says the cause, too.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host has no address.
    #[error("{portal}: no address is known for this host: {cause}")]
    Resolve {
        /// Where to.
        portal: Portal,
        /// What the system says.
        cause: std::io::Error,
    },
    /// Nobody listens there.
    #[error("{portal}: can't connect: {cause}")]
    Connect {
        /// Where to.
        portal: Portal,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The socket fails.
    #[error("the connection failed: {0}")]
    Io(std::io::Error),
    /// The other side has closed the connection.
    #[error("the target closed the connection")]
    Closed,
    /// No session.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// No list of targets.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The target breaks the protocol, or ends the session.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// An answer did not come.
    #[error("the target has not answered for {} s", .0.as_secs_f32())]
    Unanswered(Duration),
    /// A command that has to succeed did not.
    #[error("{what} failed: {outcome}")]
    Command {
        /// Which.
        what: &'static str,
        /// How.
        outcome: Outcome,
    },
    /// Unit attentions do not end.
    #[error("the disk has something new to tell, {0} times in a row (unit attention)")]
    Attentions(usize),
    /// Data of a command can't be understood.
    #[error("the data of {0} are cut short or make no sense")]
    Short(&'static str),
    /// Something else than a disk.
    #[error("there is no disk at LUN {lun} (device type {device_type:02x}h)")]
    NoDisk {
        /// Where.
        lun: u16,
        /// What there is.
        device_type: u8,
    },
    /// No random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// The target sends us round in circles.
    #[error("the target sends us from one address to the next, {0} times")]
    Redirections(usize),
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::Io(error)
    }
}
