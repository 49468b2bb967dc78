//! Volumes that go around another one and make it misbehave on command.

mod failing;
mod held;

#[cfg(test)]
mod tests;

pub use failing::FailingVolume;
pub use held::HeldVolume;

/// The sorts of calls that can be made to fail or to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Reads, and questions about the mapping.
    Read,
    /// Writes, zeroing and deallocation.
    Write,
    /// Flushes, and the flush inside a durable write.
    Flush,
}
