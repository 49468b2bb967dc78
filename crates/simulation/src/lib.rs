//! A target and its initiators in a world of their own: one thread, a clock that is set, a network and a disk that
//! fail, all by a seed.
//!
//! The target is [`timedisk_iscsi`]'s connection on [`timedisk_scsi`]'s device server; the initiators are those of
//! [`timedisk_initiator`]. What lies between and beneath is made up here: pipes that delay, cut, damage and lose what
//! is sent, memory that is refused, a disk that carries commands out in any order and sticks, a process that is
//! killed, a power that goes. A history of what was sent and seen says which data a read may return ([`run`]).
//!
//! The same seed does the same, to the last byte. It is a tool for tests: what must not happen panics or is an error.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
pub mod history;
mod house;
mod medium;
mod pipe;
pub mod random;
mod world;

pub use world::{Report, Troubles, run};

/// Bytes of a sector, and of a logical block.
pub const SECTOR: usize = 512;
