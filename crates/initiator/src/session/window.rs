//! The numbers of a session's commands, which all its connections share (RFC 7143 §4.2.2.1).

use std::sync::atomic::{AtomicU32, Ordering};

use timedisk_iscsi::serial;

/// CmdSN and MaxCmdSN. Connections on different threads may share one.
#[derive(Debug)]
pub struct Window {
    next: AtomicU32,
    last: AtomicU32,
}

impl Window {
    pub(super) fn new(next: u32, last: u32) -> Window {
        Window { next: next.into(), last: last.into() }
    }

    /// CmdSN of the next command.
    pub fn next(&self) -> u32 {
        self.next.load(Ordering::Relaxed)
    }

    /// Whether the target takes another command.
    pub fn is_open(&self) -> bool {
        !serial::after(self.next(), self.last.load(Ordering::Relaxed))
    }

    /// The number of a command that is sent now; `None` while the window is closed.
    pub(super) fn take(&self) -> Option<u32> {
        let last = self.last.load(Ordering::Relaxed);
        let take = |next| (!serial::after(next, last)).then_some(next.wrapping_add(1));
        self.next.try_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()
    }

    /// Takes note of ExpCmdSN and MaxCmdSN of the target: the window only opens, what says otherwise is old
    /// or makes no sense, and is passed over.
    pub(super) fn open(&self, exp_cmd_sn: u32, max_cmd_sn: u32) {
        if serial::before(max_cmd_sn, exp_cmd_sn.wrapping_sub(1)) {
            return;
        }
        let open = |last| serial::after(max_cmd_sn, last).then_some(max_cmd_sn);
        // An error says that it was as far open as that already.
        let _ = self.last.try_update(Ordering::Relaxed, Ordering::Relaxed, open);
    }
}
