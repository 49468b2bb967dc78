//! What the device server needs of the world outside and can't have by itself.

use std::sync::Arc;
use std::time::Duration;

use crate::DeviceServer;

/// Randomness and time.
pub trait Surroundings: Send + Sync + std::fmt::Debug {
    /// Fills a buffer with bytes that nobody can guess. `false` where there are none to be had.
    fn fill_unguessably(&self, buffer: &mut [u8]) -> bool;

    /// How long it has been since some moment; it never goes backwards.
    fn uptime(&self) -> Duration;
}

impl DeviceServer {
    /// The same with randomness and time, which it takes to make tokens for data.
    #[must_use]
    pub fn in_surroundings(mut self, surroundings: Arc<dyn Surroundings>) -> DeviceServer {
        self.surroundings = Some(surroundings);
        self
    }

    pub(crate) fn surroundings(&self) -> Option<&dyn Surroundings> {
        self.surroundings.as_deref()
    }
}
