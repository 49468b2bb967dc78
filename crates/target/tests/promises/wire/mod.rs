//! An initiator in small pieces, and a server for it to talk to.

mod initiator;
mod lab;
mod pdu;
mod proof;
mod random;
mod scsi;
mod session;

pub(crate) use initiator::{Initiator, PATIENCE, TRANSIT, login_status, pairs, text};
pub(crate) use lab::{Lab, block, full_name, held, limits, mount, only_for, open_target, unit};
pub(crate) use pdu::{BOTH_DIGESTS, Part, Pdu};
pub(crate) use proof::Proof;
pub(crate) use random::Random;
pub(crate) use scsi::{BLOCK, Reply, Scsi};

/// Two long runs of bytes are the same. Shows where they are not, instead of both.
#[track_caller]
pub(crate) fn assert_same(found: &[u8], expected: &[u8]) {
    assert_eq!(found.len(), expected.len(), "lengths");
    let difference = found.iter().zip(expected).position(|(found, expected)| found != expected);
    assert_eq!(difference, None, "bytes differ at");
}
