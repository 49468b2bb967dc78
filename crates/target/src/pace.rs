//! How long a disk makes those wait who write to it: so short that they wait on the spot, or so long that others wait
//! for them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use timedisk_scsi::Wait;

/// After a write or a flush has taken long, others wait for so long.
const SLOW_FOR: Duration = Duration::from_millis(500);

/// A flush that takes less than this on average is waited for on the spot.
const BRISK_FLUSH: Duration = Duration::from_micros(500);

/// One that takes longer counts as one of this length: it says little of the others.
const LONGEST_FLUSH: Duration = Duration::from_millis(2);

/// A flush waits for others that may share it for this part of what it takes.
const WAIT_SHARE: u32 = 8;

/// A write or a flush that takes more than this has taken long.
const STUMBLE: Duration = Duration::from_millis(50);

/// How long a disk takes.
#[derive(Debug)]
pub(crate) struct Pace {
    clock: Instant,
    /// Milliseconds of the clock; 0 where it never was slow, or no longer is.
    slow_until: AtomicU64,
    /// Nanoseconds that a flush takes, on average.
    flush: AtomicU64,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { clock: Instant::now(), slow_until: AtomicU64::new(0), flush: AtomicU64::new(0) }
    }
}

impl Pace {
    /// Whether a wait like this is likely to be short.
    pub(crate) fn is_brisk(&self, wait: Wait) -> bool {
        match wait {
            Wait::Cache => !self.is_slow(),
            Wait::Flush => {
                self.flush.load(Ordering::Relaxed) < BRISK_FLUSH.as_nanos() as u64 && !self.is_slow()
            }
            Wait::Nothing | Wait::Read | Wait::Long | Wait::Overhaul => false,
        }
    }

    fn is_slow(&self) -> bool {
        let until = self.slow_until.load(Ordering::Relaxed);
        if until == 0 {
            return false;
        }
        let slow = self.now() < until;
        if !slow {
            self.slow_until.store(0, Ordering::Relaxed);
        }
        slow
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Something has taken long.
    pub(crate) fn stumble(&self) {
        self.slow_until.store(self.now() + SLOW_FOR.as_millis() as u64, Ordering::Relaxed);
    }

    /// Some writes took so long.
    pub(crate) fn wrote_for(&self, elapsed: Duration) {
        if elapsed > STUMBLE {
            self.stumble();
        }
    }

    /// A flush took so long.
    pub(crate) fn flushed_for(&self, elapsed: Duration) {
        let taken = elapsed.min(LONGEST_FLUSH).as_nanos() as u64;
        let before = self.flush.load(Ordering::Relaxed);
        // One in eight counts: what is lost to others who count at the same time is no loss.
        self.flush.store(before - before / 8 + taken / 8, Ordering::Relaxed);
        self.wrote_for(elapsed);
    }

    /// How long it is worth waiting for others that may share a flush.
    pub(crate) fn worth_waiting(&self) -> Duration {
        Duration::from_nanos(self.flush.load(Ordering::Relaxed)) / WAIT_SHARE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_brisk_until_it_takes_long() {
        let pace = Pace::default();
        assert!(pace.is_brisk(Wait::Cache) && pace.is_brisk(Wait::Flush));
        assert!(!pace.is_brisk(Wait::Read) && !pace.is_brisk(Wait::Long));
        pace.wrote_for(Duration::from_millis(25));
        assert!(pace.is_brisk(Wait::Cache));
        pace.wrote_for(Duration::from_millis(100));
        assert!(!pace.is_brisk(Wait::Cache) && !pace.is_brisk(Wait::Flush));
    }

    #[test]
    fn flushes_that_take_long_on_average_are_left_to_others_and_writes_are_not() {
        let pace = Pace::default();
        pace.flushed_for(Duration::from_millis(15));
        assert!(pace.is_brisk(Wait::Flush), "once is not often");
        (0..20).for_each(|_| pace.flushed_for(Duration::from_millis(5)));
        assert!(!pace.is_brisk(Wait::Flush));
        assert!(pace.is_brisk(Wait::Cache));
        (0..40).for_each(|_| pace.flushed_for(Duration::from_micros(100)));
        assert!(pace.is_brisk(Wait::Flush));
    }
    #[test]
    fn the_longer_flushes_take_the_longer_one_waits_for_company() {
        let pace = Pace::default();
        let after = |flush| {
            (0..60).for_each(|_| pace.flushed_for(flush));
            pace.worth_waiting().as_micros()
        };
        let (short, some, most) = (
            after(Duration::from_micros(200)),
            after(Duration::from_millis(1)),
            after(Duration::from_secs(1)),
        );
        assert!((20..=25).contains(&short) && (115..=125).contains(&some), "{short} and {some}");
        assert!((230..=250).contains(&most), "{most}");
    }
}
