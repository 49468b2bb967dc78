//! When the members of a mirror are compared without anybody asking.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use timedisk_config::Scrub;
use timedisk_scsi::SettingsStore;

const DAY: u64 = 24 * 60 * 60;

/// Comparisons of one mirror: when the last one ended, and when the next is to begin. Seconds since 1970; 0 for none.
#[derive(Debug, Default)]
pub(crate) struct Comparisons {
    last: AtomicU64,
    next: AtomicU64,
}

impl Comparisons {
    /// When the last one ended.
    pub(crate) fn last(&self) -> Option<u64> {
        Some(self.last.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0)
    }

    /// When the next one begins without being asked for.
    pub(crate) fn next(&self) -> Option<u64> {
        Some(self.next.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0)
    }
}

/// The schedule of one mirror, kept in mind with the disk.
pub(super) struct Schedule {
    every: Option<u64>,
    /// The name under which the disk remembers it.
    key: String,
    store: Arc<dyn SettingsStore>,
    shown: Arc<Comparisons>,
    /// The last one ended then; or, before the first, the schedule began.
    begins: u64,
}

impl Schedule {
    /// Goes on with what was kept in mind. A mirror that was never compared is when its time has come once.
    pub(super) fn new(
        device: &str,
        scrub: Scrub,
        store: Arc<dyn SettingsStore>,
        shown: Arc<Comparisons>,
        now: SystemTime,
    ) -> Self {
        let every = match scrub {
            Scrub::Never => None,
            Scrub::Daily => Some(DAY),
            Scrub::Weekly => Some(7 * DAY),
            Scrub::Monthly => Some(30 * DAY),
        };
        let key = format!("scrub.{device}");
        let kept = store.load(&key).and_then(|text| {
            let (what, seconds) = text.split_once(' ')?;
            Some((what == "ended", seconds.parse::<u64>().ok()?))
        });
        let now = seconds(now);
        let mut schedule = Schedule { every, key, store, shown, begins: now };
        match kept {
            Some((ended, at)) => {
                // A clock that has been set back does not put it off for ever.
                schedule.begins = at.min(now);
                if ended {
                    schedule.shown.last.store(at, Ordering::Relaxed);
                }
            }
            None if every.is_some() => schedule.keep("from", now),
            None => {}
        }
        schedule.show();
        schedule
    }

    /// Whether one is to begin.
    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        self.next().is_some_and(|next| seconds(now) >= next)
    }

    /// One has ended, whoever asked for it.
    pub(super) fn ended(&mut self, now: SystemTime) {
        self.begins = seconds(now);
        self.shown.last.store(self.begins, Ordering::Relaxed);
        self.show();
        self.keep("ended", self.begins);
    }

    fn next(&self) -> Option<u64> {
        Some(self.begins.saturating_add(self.every?))
    }

    fn show(&self) {
        self.shown.next.store(self.next().unwrap_or(0), Ordering::Relaxed);
    }

    fn keep(&self, what: &str, seconds: u64) {
        if let Err(error) = self.store.save(&self.key, &format!("{what} {seconds}")) {
            tracing::warn!("when the members of a mirror were compared can't be kept in mind: {error}");
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
