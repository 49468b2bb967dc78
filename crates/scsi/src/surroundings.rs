//! What the device server needs of the world outside and can't have by itself.

use std::time::Duration;

/// Randomness and time.
pub trait Surroundings: Send + Sync + std::fmt::Debug {
    /// Fills a buffer with bytes that nobody can guess. `false` where there are none to be had.
    fn fill_unguessably(&self, buffer: &mut [u8]) -> bool;

    /// How long it has been since some moment; it never goes backwards.
    fn uptime(&self) -> Duration;
}
