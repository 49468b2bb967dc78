//! Ranges of bytes that are being changed: those that overlap take turns.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Ranges that somebody has for himself.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
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
pub(crate) struct Range<'all> {
    all: &'all Ranges,
    number: u64,
}

impl Ranges {
    /// Waits until nobody has any byte of the range.
    pub(crate) fn take(&self, offset: u64, length: u64) -> Range<'_> {
        let end = offset.saturating_add(length);
        let mut held = self.held();
        while held.overlaps(offset, end) {
            held.waiting += 1;
            held = self.freed.wait(held).unwrap_or_else(PoisonError::into_inner);
            held.waiting -= 1;
        }
        Range { all: self, number: held.add(offset, end) }
    }

    /// The range, if nobody has any byte of it now.
    pub(crate) fn try_take(&self, offset: u64, length: u64) -> Option<Range<'_>> {
        let end = offset.saturating_add(length);
        let mut held = self.held();
        if held.overlaps(offset, end) {
            return None;
        }
        Some(Range { all: self, number: held.add(offset, end) })
    }

    /// Whether somebody has a byte of the range now.
    pub(crate) fn is_taken(&self, offset: u64, length: u64) -> bool {
        self.held().overlaps(offset, offset.saturating_add(length))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn add(&mut self, start: u64, end: u64) -> u64 {
        let number = self.next;
        self.next += 1;
        self.ranges.push((number, start, end));
        number
    }

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
