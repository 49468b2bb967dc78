//! iSCSI (RFC 7143) without input and output.
//!
//! Bytes and events go in, bytes and actions come out: no socket, no thread, no clock and no randomness of its own.
//! One state machine therefore serves the daemon, the fuzzer and a simulator alike.
//!
//! - [`pdu`]: what stands on the wire, [`digest`] its checksums, [`transmit`] and [`receive`] its framing
//! - [`text`], [`keys`], [`negotiation`], [`parameters`]: text keys and what they settle
//! - [`chap`], [`login`]: who may come in
//! - [`conformance`]: what of it is supported, for people
//! - [`connection`]: a target's connection from its first byte to its last, [`full_feature`] its longest phase

#![forbid(unsafe_code)]

pub mod chap;
pub mod conformance;
pub mod connection;
pub mod digest;
pub mod encoding;
pub mod full_feature;
#[doc(hidden)]
pub mod fuzzing;
pub mod keys;
pub mod login;
pub mod names;
pub mod negotiation;
pub mod parameters;
pub mod pdu;
pub mod receive;
pub mod send_targets;
pub mod serial;
pub mod text;
pub mod transmit;
