//! What was measured: how many commands, and how long each took.

use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;

/// The longest time that is told from longer ones, in nanoseconds: an hour.
const LONGEST: u64 = 3_600_000_000_000;

/// Times of reads and of writes, in nanoseconds, with three significant digits.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) reads: Histogram<u64>,
    pub(crate) writes: Histogram<u64>,
    /// Commands that ended after the time was up: they cost CPU time, too.
    pub(crate) late: u64,
}

impl Tally {
    pub(crate) fn new() -> anyhow::Result<Tally> {
        let reads = Histogram::new_with_bounds(1, LONGEST, 3).context("no histogram")?;
        Ok(Tally { writes: reads.clone(), reads, late: 0 })
    }

    /// A command that counts.
    pub(crate) fn count(&mut self, is_write: bool, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(LONGEST);
        let histogram = if is_write { &mut self.writes } else { &mut self.reads };
        histogram.saturating_record(nanoseconds.max(1));
    }

    pub(crate) fn add(&mut self, other: &Tally) -> anyhow::Result<()> {
        self.reads.add(&other.reads).context("no sum of histograms")?;
        self.writes.add(&other.writes).context("no sum of histograms")?;
        self.late += other.late;
        Ok(())
    }

    /// Reads and writes together.
    pub(crate) fn all(&self) -> anyhow::Result<Histogram<u64>> {
        let mut all = self.reads.clone();
        all.add(&self.writes).context("no sum of histograms")?;
        Ok(all)
    }
}
