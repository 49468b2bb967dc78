//! Ranges of bytes that are being changed: those that overlap take turns.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Ranges that somebody has for himself.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    held: Mutex<Held>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    next: u64,
    /// Number, first byte, and the byte after the last.
    ranges: Vec<(u64, u64, u64)>,
    waiting: usize,
}

/// A range, for as long as this lives.
#[derive(Debug)]
pub(super) struct Range<'all> {
    all: &'all Ranges,
    number: u64,
}

impl Ranges {
    /// Waits until nobody has any byte of the range.
    pub(super) fn take(&self, offset: u64, length: u64) -> Range<'_> {
        let end = offset.saturating_add(length);
        let mut held = self.held();
        while held.overlaps(offset, end) {
            held.waiting += 1;
            held = self.freed.wait(held).unwrap_or_else(PoisonError::into_inner);
            held.waiting -= 1;
        }
        let number = held.next;
        held.next += 1;
        held.ranges.push((number, offset, end));
        Range { all: self, number }
    }

    /// Whether somebody has a byte of the range now.
    pub(super) fn is_taken(&self, offset: u64, length: u64) -> bool {
        self.held().overlaps(offset, offset.saturating_add(length))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn overlaps(&self, start: u64, end: u64) -> bool {
        self.ranges.iter().any(|(_, first, last)| *first < end && start < *last)
    }
}

impl Drop for Range<'_> {
    fn drop(&mut self) {
        let mut held = self.all.held();
        held.ranges.retain(|(number, ..)| *number != self.number);
        if held.waiting > 0 {
            self.all.freed.notify_all();
        }
    }
}
