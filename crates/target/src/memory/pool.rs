//! The bytes that all sessions together may have.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::shelf::Shelf;
use crate::control::{Control, Message};

/// The pool. It gives bytes to shelves, which have the memory.
#[derive(Debug)]
pub(crate) struct Pool {
    limit: usize,
    state: Mutex<State>,
    /// Somebody waits for bytes: what is not needed is to be given back at once.
    is_short: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes that shelves have for buffers.
    taken: usize,
    /// Bytes that are set aside for unsolicited data.
    reserved: usize,
    /// Whom to tell when bytes come free.
    waiting: Vec<Weak<Control>>,
    /// Everybody who may have bytes that are not in use.
    shelves: Vec<Weak<Shelf>>,
}

/// How much of the pool may be reserved, all in all, when somebody asks: one in so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Half stays for solicited data and for reads, however many sessions there are.
    Half = 2,
    /// Sessions that idle leave as much for those that don't.
    Quarter = 4,
}

impl Pool {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Pool { limit, state: Mutex::default(), is_short: AtomicBool::new(false) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn join(&self, shelf: &Arc<Shelf>) {
        let mut state = self.state();
        state.shelves.retain(|shelf| shelf.strong_count() > 0);
        state.shelves.push(Arc::downgrade(shelf));
    }

    pub(super) fn is_short(&self) -> bool {
        self.is_short.load(Ordering::SeqCst)
    }

    /// Hands out bytes, even if there are none.
    pub(super) fn overdraw(&self, bytes: usize) {
        self.state().taken += bytes;
    }

    /// Hands out bytes: `wish` of them or, if there are not so many, `need`.
    pub(super) fn take(&self, wish: usize, need: usize) -> Option<usize> {
        let mut state = self.state();
        let free = self.limit.saturating_sub(state.taken + state.reserved);
        let given = [wish, need].into_iter().find(|bytes| *bytes <= free)?;
        state.taken += given;
        Some(given)
    }

    /// Makes all shelves give back what they don't use. Whoever calls has none of them locked.
    pub(super) fn collect(&self) {
        let shelves: Vec<_> = self.state().shelves.iter().filter_map(Weak::upgrade).collect();
        shelves.iter().for_each(|shelf| shelf.give_back_unused());
    }

    /// Tells this session once bytes have come free.
    pub(super) fn wait(&self, control: &Weak<Control>) {
        let mut state = self.state();
        if !state.waiting.iter().any(|waiting| waiting.ptr_eq(control)) {
            state.waiting.push(Weak::clone(control));
        }
        self.is_short.store(true, Ordering::SeqCst);
    }

    /// Takes bytes back, and tells those who wait for some.
    pub(super) fn give_back(&self, taken: usize, reserved: usize) {
        let waiting = {
            let mut state = self.state();
            state.taken = state.taken.saturating_sub(taken);
            state.reserved = state.reserved.saturating_sub(reserved);
            self.is_short.store(false, Ordering::SeqCst);
            std::mem::take(&mut state.waiting)
        };
        for control in waiting.iter().filter_map(Weak::upgrade) {
            control.post(Message::MemoryAvailable);
        }
    }

    /// Sets bytes aside, of a part of the pool that others share.
    pub(super) fn reserve(&self, bytes: usize, part: Part) -> bool {
        let mut state = self.state();
        let most = self.limit / part as usize;
        if state.reserved + bytes > most || state.taken + state.reserved + bytes > self.limit {
            return false;
        }
        state.reserved += bytes;
        true
    }
}
