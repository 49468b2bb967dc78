//! What one session has of the pool: buffers in use, and some that were used before and are at hand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::pages::{CLASSES, Pages, SizeClass};
use super::pool::{Part, Pool};
use crate::control::Control;

/// Bytes that are taken from the pool at once, so that it is seldom asked.
const PORTION: usize = 1 << 20;

/// A session's share of the memory. All of it goes back when it and its buffers are dropped.
#[derive(Debug)]
pub(crate) struct Share {
    shelf: Arc<Shelf>,
    control: Weak<Control>,
}

/// A session's buffers.
#[derive(Debug)]
pub(super) struct Shelf {
    pool: Arc<Pool>,
    /// Bytes that the session may have in use, besides what is reserved for it.
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Pages at hand, by size class.
    free: [Vec<Pages>; CLASSES],
    free_bytes: usize,
    /// Bytes in use, of those taken from the pool and of those reserved.
    used: usize,
    used_reserved: usize,
    /// What the pool has given. All bytes in use and at hand are no more than these two.
    taken: usize,
    reserved: usize,
    /// The session has one buffer that nothing covers.
    is_overdrawn: bool,
}

/// Which bytes a buffer counts among.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charge {
    Taken,
    Reserved,
    /// The one that a session is given when there is nothing.
    Overdrawn,
}

impl State {
    fn used_of(&mut self, charge: Charge) -> &mut usize {
        match charge {
            Charge::Taken | Charge::Overdrawn => &mut self.used,
            Charge::Reserved => &mut self.used_reserved,
        }
    }

    /// Drops pages at hand, large ones first, until so many bytes more fit within what the pool has given.
    fn make_room(&mut self, bytes: usize) {
        let given = self.taken + self.reserved;
        for class in self.free.iter_mut().rev() {
            while self.used + self.used_reserved + self.free_bytes + bytes > given {
                let Some(pages) = class.pop() else { break };
                self.free_bytes -= pages.class().bytes();
            }
        }
    }

    fn pages(&mut self, class: SizeClass) -> Option<Pages> {
        let at_hand = self.free.get_mut(class.index()).and_then(Vec::pop);
        if at_hand.is_some() {
            self.free_bytes -= class.bytes();
            return at_hand;
        }
        self.make_room(class.bytes());
        Pages::new(class)
    }

    /// Takes off the books what was taken and is not in use; says how many bytes that are.
    fn unused(&mut self) -> usize {
        let unused = self.taken.saturating_sub(self.used);
        self.taken -= unused;
        self.make_room(0);
        unused
    }
}

impl Shelf {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn allocate(self: &Arc<Self>, length: usize, may_use_reserved: bool) -> Option<Buffer> {
        let class = SizeClass::of(length)?;
        let bytes = class.bytes();
        let mut state = self.state();
        let charge = match may_use_reserved && state.used_reserved + bytes <= state.reserved {
            true => Charge::Reserved,
            false => {
                // One command of any size is always let through a session's own limit.
                if state.used > 0 && state.used + bytes > self.limit {
                    return None;
                }
                let missing = (state.used + bytes).saturating_sub(state.taken);
                if missing > 0 {
                    state.taken += self.pool.take(missing.max(PORTION), missing)?;
                }
                Charge::Taken
            }
        };
        let pages = state.pages(class)?;
        *state.used_of(charge) += bytes;
        Some(Buffer { pages, length, charge, home: Arc::clone(self) })
    }

    fn overdraw(self: &Arc<Self>, length: usize) -> Option<Buffer> {
        let class = SizeClass::of(length)?;
        let mut state = self.state();
        if state.is_overdrawn {
            return None;
        }
        let pages = Pages::new(class)?;
        state.is_overdrawn = true;
        self.pool.overdraw(class.bytes());
        Some(Buffer { pages, length, charge: Charge::Overdrawn, home: Arc::clone(self) })
    }

    fn put(&self, pages: Pages, charge: Charge) {
        let class = pages.class();
        let bytes = class.bytes();
        let mut state = self.state();
        if charge == Charge::Overdrawn {
            state.is_overdrawn = false;
            drop(state);
            return self.pool.give_back(bytes, 0);
        }
        let used = state.used_of(charge);
        *used = used.saturating_sub(bytes);
        state.free_bytes += bytes;
        if let Some(free) = state.free.get_mut(class.index()) {
            free.push(pages);
        }
        if self.pool.is_short() {
            let unused = state.unused();
            drop(state);
            self.pool.give_back(unused, 0);
        }
    }

    /// Gives back what is at hand and not in use.
    pub(super) fn give_back_unused(&self) {
        let unused = self.state().unused();
        if unused > 0 {
            self.pool.give_back(unused, 0);
        }
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.pool.give_back(state.taken, state.reserved);
    }
}

impl Share {
    pub(crate) fn new(pool: &Arc<Pool>, control: &Arc<Control>, limit: usize) -> Self {
        let shelf = Arc::new(Shelf { pool: Arc::clone(pool), limit, state: Mutex::default() });
        pool.join(&shelf);
        Share { shelf, control: Arc::downgrade(control) }
    }

    /// A buffer, if there is memory for it; if not, the session is told when it is worth another try. Its content is
    /// what an earlier command left there.
    pub(crate) fn allocate(&mut self, length: usize) -> Option<Buffer> {
        self.shelf.allocate(length, false).or_else(|| {
            // First the wish, then another look: what comes free in between is missed by neither.
            self.shelf.pool.wait(&self.control);
            self.shelf.pool.collect();
            self.shelf.allocate(length, false)
        })
    }

    /// A buffer out of what was reserved, or else like any other, or else the one that is always there. Nobody is told
    /// when it is worth another try.
    pub(crate) fn allocate_unsolicited(&mut self, length: usize) -> Option<Buffer> {
        self.shelf.allocate(length, true).or_else(|| {
            self.shelf.pool.collect();
            self.shelf.allocate(length, true).or_else(|| self.shelf.overdraw(length))
        })
    }

    /// Sets memory aside for that many more buffers of `length` bytes.
    pub(crate) fn reserve(&mut self, pieces: usize, length: usize) -> bool {
        self.reserve_of(pieces, length, Part::Half)
    }

    /// The same, where it may never be needed.
    pub(crate) fn reserve_beforehand(&mut self, pieces: usize, length: usize) -> bool {
        self.reserve_of(pieces, length, Part::Quarter)
    }

    fn reserve_of(&mut self, pieces: usize, length: usize, part: Part) -> bool {
        let Some(class) = SizeClass::of(length) else { return false };
        let bytes = if length == 0 { 0 } else { pieces * class.bytes() };
        let granted = self.shelf.pool.reserve(bytes, part);
        if granted {
            self.shelf.state().reserved += bytes;
        }
        granted
    }

    /// Whether memory is kept that is not in use.
    pub(crate) fn keeps_memory(&self) -> bool {
        let state = self.shelf.state();
        state.free_bytes > 0 || state.taken > state.used
    }

    /// Gives back to the system and to others what is not in use.
    pub(crate) fn rest(&mut self) {
        let mut state = self.shelf.state();
        let unused = state.unused();
        state.free.iter_mut().for_each(|class| *class = Vec::new());
        state.free_bytes = 0;
        drop(state);
        if unused > 0 {
            self.shelf.pool.give_back(unused, 0);
        }
    }
}

/// A buffer that goes back to its shelf when it is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    pages: Pages,
    length: usize,
    charge: Charge,
    home: Arc<Shelf>,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.pages.bytes().get(..self.length).unwrap_or_default()
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        self.pages.bytes_mut().get_mut(..self.length).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.put(std::mem::take(&mut self.pages), self.charge);
    }
}
