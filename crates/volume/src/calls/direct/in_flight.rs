//! Changes of a file that are under way: who changes a part of a block does so alone.

use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The changes, in the order in which they came. Each waits for those before it that are in its way, so that all
/// come to their turn.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    changes: Mutex<Changes>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Changes {
    next: u64,
    all: Vec<Change>,
}

#[derive(Debug)]
struct Change {
    number: u64,
    range: Range<u64>,
    alone: bool,
}

/// A change, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    all: &'a InFlight,
    number: u64,
}

impl Change {
    /// Whole blocks may be written by several at once, as they are in the system's cache.
    fn excludes(&self, other: &Change) -> bool {
        let overlaps = self.range.start < other.range.end && other.range.start < self.range.end;
        overlaps && (self.alone || other.alone)
    }
}

impl Changes {
    fn has_to_wait(&self, number: u64) -> bool {
        let Some(place) = self.all.iter().position(|change| change.number == number) else { return false };
        let (before, rest) = self.all.split_at(place);
        rest.first().is_some_and(|own| before.iter().any(|change| change.excludes(own)))
    }
}

impl InFlight {
    /// Waits for its turn to change a range of whole blocks; `alone` if some of it is to stay as it is.
    pub(super) fn enter(&self, range: Range<u64>, alone: bool) -> Turn<'_> {
        let mut changes = self.changes();
        let number = changes.next;
        changes.next += 1;
        changes.all.push(Change { number, range, alone });
        while changes.has_to_wait(number) {
            changes = self.changed.wait(changes).unwrap_or_else(PoisonError::into_inner);
        }
        Turn { all: self, number }
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut changes = self.all.changes();
        changes.all.retain(|change| change.number != self.number);
        let somebody_waits = !changes.all.is_empty();
        drop(changes);
        if somebody_waits {
            self.all.changed.notify_all();
        }
    }
}
