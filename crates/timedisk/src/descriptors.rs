//! File descriptors: how many there may be, and so how many sessions.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use timedisk_target::Limits;

/// Kept for disks, their state files, the control socket and the log: a full house must not keep a failed flush from
/// being written down.
const KEPT: u64 = 256;

/// A connection has its socket, and an event that wakes its thread.
const OF_A_CONNECTION: u64 = 2;

/// Asks the system for as many descriptors as `sessions` take, and bounds sessions and logins by what it gives.
pub(crate) fn limits(sessions: u16) -> Limits {
    let wanted = Limits { sessions: sessions.into(), ..Limits::default() };
    let needed = KEPT + OF_A_CONNECTION * (u64::from(sessions) + wanted.logins() as u64);
    let now = getrlimit(Resource::Nofile);
    let (soft, hard) = (now.current.unwrap_or(u64::MAX), now.maximum.unwrap_or(u64::MAX));
    let raised = needed.max(soft).min(hard);
    let given = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: now.maximum }) {
        Ok(()) => raised,
        Err(_) => soft,
    };
    let limits = within(wanted, given);
    if limits.sessions < usize::from(sessions) {
        tracing::warn!(
            "the system allows {given} open files (ulimit -n), enough for {} sessions, not for {sessions}",
            limits.sessions
        );
    }
    limits
}

/// What so many descriptors are enough for. Sessions have three quarters of them.
fn within(wanted: Limits, descriptors: u64) -> Limits {
    let connections = descriptors.saturating_sub(KEPT) / OF_A_CONNECTION;
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
        for descriptors in [64, 300, 1024, 4096, 16384, 1 << 20] {
            let limits = within(Limits { sessions: 4096, ..Limits::default() }, descriptors);
            let most = OF_A_CONNECTION * (limits.sessions + limits.logins()) as u64;
            assert!(most + KEPT <= descriptors.max(KEPT + 20), "{descriptors}: {limits:?}");
            assert!(limits.sessions >= 1 && limits.strangers >= 1);
        }
        assert_eq!(within(Limits { sessions: 4096, ..Limits::default() }, 1 << 20).sessions, 4096);
    }
}
