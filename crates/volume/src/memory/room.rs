//! How much memory disks may take.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the system tells how much memory there is, in KiB.
const MACHINE: &str = "/proc/meminfo";

/// Where it tells how much of that is for this container or service, in bytes.
const OWN_SHARE: &str = "/sys/fs/cgroup/memory.max";

/// Room for pages that several disks share.
#[derive(Debug)]
pub(super) struct Room {
    most: u64,
    taken: AtomicU64,
}

impl Room {
    pub(super) fn new(most: u64) -> Self {
        Self { most, taken: AtomicU64::new(0) }
    }

    /// In pages.
    pub(super) fn most(&self) -> u64 {
        self.most
    }

    pub(super) fn left(&self) -> u64 {
        self.most.saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    /// Takes so many pages, or none and answers `false`.
    pub(super) fn take(&self, pages: u64) -> bool {
        let more = |taken: u64| taken.checked_add(pages).filter(|taken| *taken <= self.most);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(super) fn give_back(&self, pages: u64) {
        self.taken.fetch_sub(pages, Ordering::Relaxed);
    }
}

/// Half of the memory that the system lets this process have, in bytes: what disks in memory may take together, so that
/// they fail before the system ends the process. `None` where the system does not tell.
pub fn half_of_memory() -> Option<u64> {
    let machine = machine(&fs::read_to_string(MACHINE).ok()?)?;
    let share = fs::read_to_string(OWN_SHARE).ok().and_then(|text| text.trim().parse::<u64>().ok());
    Some(share.map_or(machine, |share| share.min(machine)) / 2)
}

/// The memory of the machine in bytes, as `/proc/meminfo` has it.
fn machine(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_the_system_tells_it() {
        assert_eq!(machine("MemTotal:       24669236 kB\nMemFree: 1 kB\n"), Some(24_669_236 << 10));
        assert_eq!(machine("MemFree: 1 kB\n"), None);
        assert!(half_of_memory().is_some_and(|half| half > 1 << 20));
    }
}
