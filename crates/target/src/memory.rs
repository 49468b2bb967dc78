//! Memory for the data of commands: one pool for all connections, bounded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::control::{Control, Message};

/// The pool.
#[derive(Debug)]
pub(crate) struct Pool {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes in buffers.
    used: usize,
    /// Bytes set aside for unsolicited data.
    reserved: usize,
    /// Whom to tell when bytes come free.
    waiting: Vec<Weak<Control>>,
}

impl Pool {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Pool { limit, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self, bytes: usize, reserved: usize) {
        let waiting = {
            let mut state = self.state();
            state.used = state.used.saturating_sub(bytes);
            state.reserved = state.reserved.saturating_sub(reserved);
            std::mem::take(&mut state.waiting)
        };
        for control in waiting.iter().filter_map(Weak::upgrade) {
            control.post(Message::MemoryAvailable);
        }
    }
}

/// What one session holds of the pool. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    pool: Arc<Pool>,
    control: Weak<Control>,
    limit: usize,
    held: Arc<Mutex<usize>>,
    reserved: usize,
}

impl Share {
    pub(crate) fn new(pool: &Arc<Pool>, control: &Arc<Control>, limit: usize) -> Self {
        let held = Arc::new(Mutex::new(0));
        Share { pool: Arc::clone(pool), control: Arc::downgrade(control), limit, held, reserved: 0 }
    }

    /// A buffer, if there is memory for it; if not, the session is told when it is worth another try.
    pub(crate) fn allocate(&mut self, length: usize) -> Option<Buffer> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.pool.state();
        // One command of any size is always let through a session's own limit.
        let within = *held == 0 || *held + length <= self.limit;
        if !within || state.used + state.reserved + length > self.pool.limit {
            if !state.waiting.iter().any(|waiting| waiting.ptr_eq(&self.control)) {
                state.waiting.push(Weak::clone(&self.control));
            }
            return None;
        }
        state.used += length;
        *held += length;
        drop(state);
        Some(Buffer {
            bytes: vec![0; length],
            charge: Some((Arc::clone(&self.pool), Arc::clone(&self.held))),
        })
    }

    /// A buffer out of what was reserved.
    pub(crate) fn allocate_reserved(&self, length: usize) -> Buffer {
        Buffer { bytes: vec![0; length], charge: None }
    }

    /// Sets bytes aside.
    pub(crate) fn reserve(&mut self, bytes: usize) -> bool {
        let mut state = self.pool.state();
        // Half of the pool stays for solicited data and for reads, however many sessions there are.
        if state.reserved + bytes > self.pool.limit / 2
            || state.used + state.reserved + bytes > self.pool.limit
        {
            return false;
        }
        state.reserved += bytes;
        self.reserved += bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.pool.release(0, self.reserved);
    }
}

/// A buffer out of the pool, to which it goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    charge: Option<(Arc<Pool>, Arc<Mutex<usize>>)>,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some((pool, held)) = self.charge.take() {
            {
                let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                *held = held.saturating_sub(self.bytes.len());
            }
            pool.release(self.bytes.len(), 0);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_is_never_overdrawn_and_waiters_are_told() {
        let pool = Pool::new(1000);
        let control = Arc::new(Control::new().unwrap());
        let mut share = Share::new(&pool, &control, 1000);
        let first = share.allocate(600).unwrap();
        assert!(share.allocate(600).is_none());
        assert!(control.take().is_empty());
        drop(first);
        assert!(matches!(control.take()[..], [Message::MemoryAvailable]));
        assert!(share.allocate(600).is_some());
    }

    #[test]
    fn one_session_can_not_take_it_all() {
        let pool = Pool::new(1000);
        let control = Arc::new(Control::new().unwrap());
        let mut share = Share::new(&pool, &control, 300);
        let large = share.allocate(400).unwrap();
        assert!(share.allocate(1).is_none());
        drop(large);
        let _small = share.allocate(200).unwrap();
        assert!(share.allocate(200).is_none());
    }

    #[test]
    fn reservations_leave_half_and_end_with_their_session() {
        let pool = Pool::new(1000);
        let control = Arc::new(Control::new().unwrap());
        let mut share = Share::new(&pool, &control, 1000);
        assert!(share.reserve(500));
        assert!(!share.reserve(1));
        assert!(share.allocate(600).is_none());
        drop(share);
        assert!(Share::new(&pool, &control, 1000).reserve(500));
    }
}
