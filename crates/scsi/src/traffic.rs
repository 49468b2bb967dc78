//! What a logical unit has done, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a command does to the medium, as far as it is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing that is counted.
    #[default]
    None,
    /// Returns blocks.
    Read,
    /// Changes blocks.
    Write,
    /// Makes what was written last.
    Flush,
}

/// Counts of commands that ended with GOOD, since the logical unit was made.
#[derive(Debug, Default)]
pub struct Counters {
    reads: AtomicU64,
    writes: AtomicU64,
    flushes: AtomicU64,
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
}

/// The counts at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Commands that returned blocks.
    pub reads: u64,
    /// Commands that changed blocks.
    pub writes: u64,
    /// SYNCHRONIZE CACHE commands.
    pub flushes: u64,
    /// Bytes of blocks returned.
    pub read_bytes: u64,
    /// Bytes that came with the commands that changed blocks.
    pub written_bytes: u64,
}

impl Counters {
    pub(crate) fn count(&self, effect: Effect, data_in: u64, data_out: u64) {
        let add = |counter: &AtomicU64, count| {
            counter.fetch_add(count, Ordering::Relaxed);
        };
        match effect {
            Effect::None => {}
            Effect::Flush => add(&self.flushes, 1),
            Effect::Read => {
                add(&self.reads, 1);
                add(&self.read_bytes, data_in);
            }
            Effect::Write => {
                add(&self.writes, 1);
                add(&self.written_bytes, data_out);
            }
        }
    }

    /// The counts as they are now.
    pub fn traffic(&self) -> Traffic {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic {
            reads: read(&self.reads),
            writes: read(&self.writes),
            flushes: read(&self.flushes),
            read_bytes: read(&self.read_bytes),
            written_bytes: read(&self.written_bytes),
        }
    }
}
