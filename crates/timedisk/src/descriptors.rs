//! File descriptors: how many there may be, and so how many sessions.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use timedisk_target::Limits;

/// Kept for state files, disks that come later, the control socket and the log: a full house must not keep a failed
/// flush from being written down.
const KEPT: u64 = 256;

/// An extent has its file, and may be opened anew for another use before that is closed.
const OF_AN_EXTENT: u64 = 2;

/// A connection has its socket, and an event that wakes its thread.
const OF_A_CONNECTION: u64 = 2;

/// Asks the system for as many descriptors as `sessions` and the extents of disks take, and bounds sessions and logins
/// by what it gives.
pub(crate) fn limits(sessions: u16, extents: usize) -> Limits {
    let wanted = Limits { sessions: sessions.into(), ..Limits::default() };
    let kept = KEPT + OF_AN_EXTENT * extents as u64;
    let needed = kept + OF_A_CONNECTION * (u64::from(sessions) + wanted.logins() as u64);
    let now = getrlimit(Resource::Nofile);
    let (soft, hard) = (now.current.unwrap_or(u64::MAX), now.maximum.unwrap_or(u64::MAX));
    let raised = needed.max(soft).min(hard);
    let given = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: now.maximum }) {
        Ok(()) => raised,
        Err(_) => soft,
    };
    let limits = within(wanted, given.saturating_sub(kept));
    if limits.sessions < usize::from(sessions) {
        tracing::warn!(
            "the system allows {given} open files (ulimit -n), enough for {} sessions, not for {sessions}",
            limits.sessions
        );
    }
    limits
}

/// What so many descriptors, besides those that are kept, are enough for. Sessions have three quarters of them.
fn within(wanted: Limits, descriptors: u64) -> Limits {
    let connections = descriptors / OF_A_CONNECTION;
    let connections = usize::try_from(connections).unwrap_or(usize::MAX).max(8);
    if connections >= wanted.sessions + wanted.logins() {
        return wanted;
    }
    let sessions = wanted.sessions.min(connections / 4 * 3);
    let strangers = wanted.strangers.min((connections - sessions) / Limits::LOGINS_FOR_A_STRANGER).max(1);
    Limits { sessions, strangers, ..wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_house_leaves_descriptors_for_its_disks() {
        for descriptors in [0, 64, 300, 1024, 4096, 16384, 1 << 20] {
            let limits = within(Limits { sessions: 4096, ..Limits::default() }, descriptors);
            let most = OF_A_CONNECTION * (limits.sessions + limits.logins()) as u64;
            assert!(most <= descriptors.max(20), "{descriptors}: {limits:?}");
            assert!(limits.sessions >= 1 && limits.strangers >= 1);
        }
        assert_eq!(within(Limits { sessions: 4096, ..Limits::default() }, 1 << 20).sessions, 4096);
    }
}
