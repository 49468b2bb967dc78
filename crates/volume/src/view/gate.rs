//! What every change passes: free as long as nobody wants to know of it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::kept::Kept;
use crate::{ErrorKind, Result, VolumeError};

/// Counters of changes that run. Threads share one only if there are more of them.
const COUNTERS: usize = 16;

/// How often is looked whether the changes that run have ended: they tell nobody.
const LOOK: Duration = Duration::from_micros(50);

/// Changes that run, and what they have to heed.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Whether somebody wants to know of changes. If not, they are only counted.
    watched: AtomicBool,
    running: [Counter; COUNTERS],
    watch: Mutex<Watch>,
    /// A change has ended, or may begin.
    changed: Condvar,
}

/// On a cache line of its own, or threads would wait for each other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counter(AtomicU64);

#[derive(Debug, Default)]
struct Watch {
    /// No change begins.
    is_closed: bool,
    /// No change begins in these bytes.
    excluded: Option<(u64, u64)>,
    /// Those who want to exclude something.
    excluding: usize,
    views: Arc<Vec<Arc<Kept>>>,
    /// Offset and end of changes that run, of those that began while somebody watched.
    running: Vec<(u64, u64)>,
}

impl Watch {
    fn is_wanted(&self) -> bool {
        self.is_closed || self.excluding > 0 || !self.views.is_empty()
    }

    fn holds_back(&self, offset: u64, end: u64) -> bool {
        self.is_closed || self.excluded.is_some_and(|other| overlap(other, (offset, end)))
    }
}

fn overlap(one: (u64, u64), other: (u64, u64)) -> bool {
    one.0 < other.1 && other.0 < one.1
}

/// A change runs. It has ended when this is dropped.
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    way: Way,
}

enum Way {
    Counted(usize),
    Watched { range: (u64, u64), views: Arc<Vec<Arc<Kept>>> },
}

impl Pass<'_> {
    /// Who wants what it overwrites.
    pub(super) fn views(&self) -> &[Arc<Kept>] {
        match &self.way {
            Way::Counted(_) => &[],
            Way::Watched { views, .. } => views,
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        match self.way {
            Way::Counted(index) => {
                if let Some(counter) = self.gate.running.get(index) {
                    counter.0.fetch_sub(1, Ordering::SeqCst);
                }
            }
            Way::Watched { range, .. } => {
                let mut watch = self.gate.watch();
                if let Some(index) = watch.running.iter().position(|running| *running == range) {
                    watch.running.swap_remove(index);
                }
                drop(watch);
                self.gate.changed.notify_all();
            }
        }
    }
}

impl Gate {
    /// Lets a change begin, perhaps after a while.
    pub(super) fn enter(&self, offset: u64, length: u64) -> Pass<'_> {
        let index = counter_of_this_thread();
        if let Some(counter) = self.running.get(index) {
            // Counted first, then looked: who watches sets the flag first, then looks at the counters.
            counter.0.fetch_add(1, Ordering::SeqCst);
            if !self.watched.load(Ordering::SeqCst) {
                return Pass { gate: self, way: Way::Counted(index) };
            }
            counter.0.fetch_sub(1, Ordering::SeqCst);
        }
        let range = (offset, offset.saturating_add(length));
        let mut watch = self.watch();
        while watch.holds_back(range.0, range.1) {
            watch = self.changed.wait(watch).unwrap_or_else(PoisonError::into_inner);
        }
        watch.running.push(range);
        let views = Arc::clone(&watch.views);
        Pass { gate: self, way: Way::Watched { range, views } }
    }

    /// Has no change begin until what it answers is dropped; none runs then.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if one that runs does not end before `deadline`, or it is closed already.
    pub(super) fn close(&self, deadline: Instant) -> Result<Closed<'_>> {
        let mut watch = self.watch();
        if watch.is_closed {
            return Err(busy("another point of this disk is being taken; try again"));
        }
        watch.is_closed = true;
        self.watched.store(true, Ordering::SeqCst);
        drop(watch);
        let closed = Closed { gate: self };
        let is_quiet = self.await_counted(deadline)
            && self.await_watched(deadline, |watch| watch.running.is_empty()).is_some();
        if is_quiet {
            Ok(closed)
        } else {
            Err(busy("a write to this disk does not end: no point could be taken"))
        }
    }

    /// Begins to watch changes without keeping them up, but for those that run uncounted, until what it answers is
    /// dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if a change that ran before does not end before `deadline`.
    pub(super) fn watch_changes(&self, deadline: Instant) -> Result<Watching<'_>> {
        let mut watch = self.watch();
        watch.excluding += 1;
        self.watched.store(true, Ordering::SeqCst);
        drop(watch);
        let watching = Watching { gate: self };
        match self.await_counted(deadline) {
            true => Ok(watching),
            false => Err(busy("a write to this disk does not end")),
        }
    }

    pub(super) fn views(&self) -> Arc<Vec<Arc<Kept>>> {
        Arc::clone(&self.watch().views)
    }

    /// Nobody reads this view any more.
    pub(super) fn remove(&self, kept: &Arc<Kept>) {
        let mut watch = self.watch();
        let rest = watch.views.iter().filter(|other| !Arc::ptr_eq(other, kept)).cloned().collect();
        watch.views = Arc::new(rest);
        self.settle(&watch);
    }

    /// Changes need not say where they are if nobody wants to know.
    fn settle(&self, watch: &Watch) {
        self.watched.store(watch.is_wanted(), Ordering::SeqCst);
    }

    /// Waits for the changes that began while nobody watched.
    fn await_counted(&self, deadline: Instant) -> bool {
        self.running.iter().all(|counter| {
            // One that is counted now only looks at the flag: each counter has to be seen at 0 once.
            while counter.0.load(Ordering::SeqCst) > 0 {
                if Instant::now() >= deadline {
                    return false;
                }
                std::thread::sleep(LOOK);
            }
            true
        })
    }

    fn await_watched(
        &self,
        deadline: Instant,
        is_so: impl Fn(&Watch) -> bool,
    ) -> Option<MutexGuard<'_, Watch>> {
        let mut watch = self.watch();
        while !is_so(&watch) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            watch = self.changed.wait_timeout(watch, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(watch)
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No change begins, and if it was got, none runs.
pub(super) struct Closed<'a> {
    gate: &'a Gate,
}

impl Closed<'_> {
    pub(super) fn views(&self) -> usize {
        self.gate.watch().views.len()
    }

    /// Changes keep for this view from now on.
    pub(super) fn add(&mut self, kept: Arc<Kept>) {
        let mut watch = self.gate.watch();
        watch.views = Arc::new(watch.views.iter().cloned().chain([kept]).collect());
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        let mut watch = self.gate.watch();
        watch.is_closed = false;
        self.gate.settle(&watch);
        drop(watch);
        self.gate.changed.notify_all();
    }
}

/// All changes that run are known.
pub(super) struct Watching<'a> {
    gate: &'a Gate,
}

impl Watching<'_> {
    /// Does something while no change is at these bytes. `None` if one that is does not leave before `deadline`, or
    /// somebody else excludes something.
    pub(super) fn alone<T>(
        &self,
        range: (u64, u64),
        deadline: Instant,
        act: impl FnOnce() -> T,
    ) -> Option<T> {
        let is_free = |watch: &Watch| {
            watch.excluded.is_none() && !watch.running.iter().any(|running| overlap(*running, range))
        };
        let mut watch = self.gate.await_watched(deadline, is_free)?;
        watch.excluded = Some(range);
        drop(watch);
        let excluded = Excluded { gate: self.gate };
        let done = act();
        drop(excluded);
        Some(done)
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        let mut watch = self.gate.watch();
        watch.excluding -= 1;
        self.gate.settle(&watch);
    }
}

/// Lets changes begin again, also if what was done meanwhile panics.
struct Excluded<'a> {
    gate: &'a Gate,
}

impl Drop for Excluded<'_> {
    fn drop(&mut self) {
        self.gate.watch().excluded = None;
        self.gate.changed.notify_all();
    }
}

fn busy(sentence: &str) -> VolumeError {
    VolumeError::new(ErrorKind::Busy, sentence)
}

/// Threads take turns at counters when they first come, and stay there.
fn counter_of_this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % COUNTERS;
    }
    MINE.with(|mine| *mine)
}
