//! Commands that read blocks and write them as one step, with none between that touches the same blocks
//! (SBC-3 5.2, 5.9; SBC-4 4.29).
//!
//! There are seldom any. As long as there are none, each other command costs one counter.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::LogicalUnit;
use crate::running::{Patience, Running, Stop};

/// Which blocks a command touches, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Touch {
    /// None.
    #[default]
    Nothing,
    /// Those that its CDB names, at the same time as others.
    Named,
    /// Any, at the same time as others.
    Any,
    /// Those that its CDB names, and nobody else meanwhile.
    Alone,
}

/// Who is at which blocks of a logical unit.
#[derive(Debug, Default)]
pub(crate) struct Overlap {
    /// Commands that were let through without a look at the queue.
    unqueued: AtomicUsize,
    /// Commands that are alone at their blocks, or wait to be.
    alone: AtomicUsize,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// In order of arrival.
    entries: Vec<Entry>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    blocks: Range<u64>,
    is_alone: bool,
}

impl Queue {
    fn add(&mut self, blocks: Range<u64>, is_alone: bool) -> u64 {
        let number = self.next;
        self.next += 1;
        self.entries.push(Entry { number, blocks, is_alone });
        number
    }

    /// Whether somebody who came before `number` is in the way.
    fn is_blocked(&self, number: u64, blocks: &Range<u64>, is_alone: bool) -> bool {
        let mut earlier = self.entries.iter().take_while(|entry| entry.number < number);
        let in_the_way = |entry: &Entry| {
            let (start, end) = (entry.blocks.start.max(blocks.start), entry.blocks.end.min(blocks.end));
            (is_alone || entry.is_alone) && start < end
        };
        earlier.any(in_the_way)
    }
}

/// The right to be at some blocks, until it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Turn<'a> {
    overlap: &'a Overlap,
    /// Its number in the queue, if it is there, and whether it is alone.
    place: Option<(u64, bool)>,
}

impl Overlap {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for who is alone at these blocks, if that is allowed. `None` if it would have to and may not.
    pub(crate) fn share(&self, blocks: Range<u64>, patience: Patience) -> Option<Turn<'_>> {
        // Either those who are to be alone see this counter, or they are seen here.
        self.unqueued.fetch_add(1, Ordering::SeqCst);
        if self.alone.load(Ordering::SeqCst) == 0 {
            return Some(Turn { overlap: self, place: None });
        }
        self.leave_unqueued();
        let mut queue = self.queue();
        if patience == Patience::Now && queue.is_blocked(u64::MAX, &blocks, false) {
            return None;
        }
        let number = queue.add(blocks.clone(), false);
        while queue.is_blocked(number, &blocks, false) {
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        Some(Turn { overlap: self, place: Some((number, false)) })
    }

    /// Waits until nobody else is at these blocks.
    pub(crate) fn own(&self, blocks: Range<u64>) -> Turn<'_> {
        self.alone.fetch_add(1, Ordering::SeqCst);
        let mut queue = self.queue();
        let number = queue.add(blocks.clone(), true);
        while self.unqueued.load(Ordering::SeqCst) > 0 || queue.is_blocked(number, &blocks, true) {
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        Turn { overlap: self, place: Some((number, true)) }
    }

    fn leave_unqueued(&self) {
        let was_last = self.unqueued.fetch_sub(1, Ordering::SeqCst) == 1;
        if was_last && self.alone.load(Ordering::SeqCst) > 0 {
            // Whoever looked before the counter fell is waiting by the time the lock is had.
            drop(self.queue());
            self.changed.notify_all();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some((number, is_alone)) = self.place else { return self.overlap.leave_unqueued() };
        let mut queue = self.overlap.queue();
        queue.entries.retain(|entry| entry.number != number);
        if is_alone {
            self.overlap.alone.fetch_sub(1, Ordering::SeqCst);
        }
        drop(queue);
        self.overlap.changed.notify_all();
    }
}

/// The right to be at the blocks that the command touches.
pub(crate) fn turn<'a>(
    unit: &'a LogicalUnit,
    touch: Touch,
    command: &Running<'_>,
) -> Result<Option<Turn<'a>>, Stop> {
    let named = || {
        let range = command.cdb.block_range();
        range.lba..range.lba.saturating_add(range.blocks)
    };
    let shared = |blocks| unit.overlap().share(blocks, command.patience).map(Some).ok_or(Stop::WouldWait);
    match touch {
        Touch::Nothing => Ok(None),
        Touch::Named => shared(named()),
        Touch::Any => shared(0..u64::MAX),
        // On a thread that may not wait it ends before it touches any.
        Touch::Alone if command.patience == Patience::Now => Ok(None),
        Touch::Alone => Ok(Some(unit.overlap().own(named()))),
    }
}

#[cfg(test)]
mod tests;
