//! Commands that read blocks and write them as one step, with none between that touches the same blocks
//! (SBC-3 5.2, 5.9; SBC-4 4.29).
//!
//! There are seldom any. As long as there are none, each other command costs one counter.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::running::Patience;

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
        let earlier = self.entries.iter().take_while(|entry| entry.number < number);
        let in_the_way = |entry: &Entry| {
            (is_alone || entry.is_alone) && entry.blocks.start < blocks.end && blocks.start < entry.blocks.end
        };
        earlier.into_iter().any(in_the_way)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);
    const NOT_YET: Duration = Duration::from_millis(50);

    /// Takes the blocks alone, on another thread; says so, and lets go when told.
    fn own(overlap: &Arc<Overlap>, blocks: Range<u64>) -> (Receiver<()>, std::sync::mpsc::Sender<()>) {
        let ((say, said), (tell, told)) = (channel(), channel::<()>());
        let overlap = Arc::clone(overlap);
        std::thread::spawn(move || {
            let turn = overlap.own(blocks);
            say.send(()).unwrap();
            let _ = told.recv();
            drop(turn);
        });
        (said, tell)
    }

    #[test]
    fn many_share_the_same_blocks() {
        let overlap = Overlap::default();
        let turns: Vec<_> = (0..5).map(|_| overlap.share(0..8, Patience::Now).unwrap()).collect();
        drop(turns);
        assert_eq!(overlap.unqueued.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn who_is_alone_waits_for_those_who_are_there_and_keeps_others_from_its_blocks() {
        let overlap = Arc::new(Overlap::default());
        let before = overlap.share(0..8, Patience::Now).unwrap();
        let (said, tell) = own(&overlap, 4..6);
        assert!(said.recv_timeout(NOT_YET).is_err(), "somebody is there");
        drop(before);
        said.recv_timeout(SOON).unwrap();
        assert!(overlap.share(5..7, Patience::Now).is_none());
        let beside = overlap.share(6..9, Patience::Now).unwrap();
        drop(tell);
        drop(overlap.share(5..7, Patience::MayWait).unwrap());
        drop(beside);
        assert!(overlap.queue().entries.is_empty());
        assert_eq!(overlap.alone.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn two_who_want_the_same_blocks_alone_have_them_one_after_the_other() {
        let overlap = Arc::new(Overlap::default());
        let (first, end_first) = own(&overlap, 0..2);
        first.recv_timeout(SOON).unwrap();
        let (second, end_second) = own(&overlap, 1..3);
        assert!(second.recv_timeout(NOT_YET).is_err());
        // Later ones don't overtake who waits.
        assert!(overlap.share(2..3, Patience::Now).is_none());
        drop(end_first);
        second.recv_timeout(SOON).unwrap();
        drop(end_second);
        drop(overlap.share(0..3, Patience::MayWait));
    }

    #[test]
    fn steps_of_many_threads_are_never_mixed() {
        let overlap = Overlap::default();
        let (inside, shared) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for number in 0..4 {
                let (overlap, inside, shared) = (&overlap, &inside, &shared);
                scope.spawn(move || {
                    for round in 0..2000 {
                        if (round + number) % 7 == 0 {
                            let turn = overlap.own(0..4);
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            assert_eq!(shared.load(Ordering::SeqCst), 0);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(turn);
                        } else if let Some(turn) = overlap.share(3..5, Patience::MayWait) {
                            shared.fetch_add(1, Ordering::SeqCst);
                            assert_eq!(inside.load(Ordering::SeqCst), 0);
                            shared.fetch_sub(1, Ordering::SeqCst);
                            drop(turn);
                        }
                    }
                });
            }
        });
        assert_eq!((overlap.unqueued.into_inner(), overlap.alone.into_inner()), (0, 0));
    }
}
