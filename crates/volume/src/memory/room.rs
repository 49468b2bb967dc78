//! How much memory disks may take.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the groups of processes are whose memory has limits.
const GROUPS: &str = "/sys/fs/cgroup";

/// Where it stands in which of them this process is.
const OWN_GROUP: &str = "/proc/self/cgroup";

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
/// they fail before the system ends the process.
pub fn half_of_memory() -> u64 {
    let system = rustix::system::sysinfo();
    #[allow(clippy::useless_conversion, reason = "the field has 32 bits on some machines")]
    let machine = u64::from(system.totalram).saturating_mul(u64::from(system.mem_unit.max(1)));
    let own = fs::read_to_string(OWN_GROUP).unwrap_or_default();
    let limits = groups(&own).filter_map(|group| fs::read_to_string(group.join("memory.max")).ok());
    limits.filter_map(|limit| limit.trim().parse().ok()).fold(machine, u64::min) / 2
}

/// The directories of the groups that a process is in, from its own to the one of all. In a container that is also the
/// container's own.
fn groups(text: &str) -> impl Iterator<Item = PathBuf> {
    let own = text.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default().to_owned();
    let depths = (0..=Path::new(&own).components().count()).rev();
    depths.map(move |depth| {
        Path::new(GROUPS).join(Path::new(&own).components().take(depth).collect::<PathBuf>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_any_group_around_counts() {
        let shown = |text| groups(text).map(|path| path.display().to_string()).collect::<Vec<_>>();
        let root = format!("{GROUPS}/");
        let (slice, own) = (format!("{root}system.slice"), format!("{root}system.slice/timedisk.service"));
        assert_eq!(shown("0::/\n"), [root.as_str()]);
        assert_eq!(shown("5:memory:/x\n"), [root.as_str()]);
        assert_eq!(shown("0::/system.slice/timedisk.service\n"), [own, slice, root]);
        assert!(half_of_memory() > 1 << 20);
    }
}
