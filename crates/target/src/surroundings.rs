//! Randomness and time for the device server, from the operating system.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use timedisk_scsi::Surroundings;

/// One moment for all disks: tokens for data outlive sessions.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

#[derive(Debug)]
pub(crate) struct System;

impl Surroundings for System {
    fn fill_unguessably(&self, buffer: &mut [u8]) -> bool {
        getrandom::fill(buffer).is_ok()
    }

    fn uptime(&self) -> Duration {
        BEGINNING.elapsed()
    }
}
