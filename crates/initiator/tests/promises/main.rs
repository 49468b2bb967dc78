//! What the initiator promises, against a real target on loopback and against sockets that only pretend to be
//! one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod broken;
mod lab;
mod sessions;
