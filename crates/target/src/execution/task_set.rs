//! Which of the commands in a disk's task set may start (SAM-5 8.9): one task set for all nexuses (TST of the
//! control mode page).
//!
//! Within its session a command has waited for those it has to wait for, except that HEAD OF QUEUE holds others back
//! only here. What the medium has no part in never comes here, and neither waits nor is waited for.

use timedisk_iscsi::full_feature::Attribute;

use super::State;

/// How things stand in a task set.
pub(super) struct Gate {
    /// No command is ORDERED or HEAD OF QUEUE: everything may start.
    open: bool,
    /// One that is HEAD OF QUEUE runs or waits for a thread.
    heads: bool,
    /// Something runs.
    busy: bool,
    /// What runs is ORDERED.
    ordered: bool,
    /// Where the first that is ORDERED stands in the queue.
    first_ordered: usize,
}

impl State {
    /// Notes whether any command is more than SIMPLE, and says so.
    pub(super) fn mark(&mut self) -> bool {
        let running = self.running.iter().map(|running| running.attribute);
        let mut all = running.chain(self.queue.iter().map(|job| job.command.attribute));
        self.marked = all.any(|attribute| attribute != Attribute::Simple);
        self.marked
    }

    pub(super) fn gate(&self) -> Gate {
        if !self.marked {
            return Gate { open: true, heads: false, busy: false, ordered: false, first_ordered: usize::MAX };
        }
        // SANITIZE and FORMAT UNIT may take hours; whatever comes meanwhile is told so. What works here for another
        // disk is in the task set of that one.
        let running = || self.running.iter().filter(|running| running.is_in_the_way && !running.is_visit);
        let queued = || self.queue.iter().map(|job| job.command.attribute);
        let is_head = |attribute| attribute == Attribute::HeadOfQueue;
        let is_ordered = |attribute| attribute == Attribute::Ordered;
        Gate {
            open: false,
            heads: running().any(|running| is_head(running.attribute)) || queued().any(is_head),
            busy: running().next().is_some(),
            ordered: running().any(|running| is_ordered(running.attribute)),
            first_ordered: queued().position(is_ordered).unwrap_or(usize::MAX),
        }
    }
}

impl Gate {
    /// Whether a command may start that stands at this place of the queue.
    pub(super) fn lets_in(&self, place: usize, attribute: Attribute) -> bool {
        match attribute {
            _ if self.open => true,
            Attribute::HeadOfQueue => true,
            _ if self.heads => false,
            Attribute::Ordered => place == 0 && !self.busy,
            Attribute::Simple => !self.ordered && place < self.first_ordered,
        }
    }
}
