//! A volume whose calls wait until they are let go: a stuck disk.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Operation;
use crate::{Allocation, Durability, Health, Mapping, Result, Space, Volume};

/// Passes every call to another volume, but keeps those waiting that it was told to hold.
#[derive(Debug)]
pub struct HeldVolume<V> {
    inner: V,
    gate: Mutex<Gate>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Gate {
    held: HashSet<Operation>,
    waiting: usize,
}

impl<V: Volume> HeldVolume<V> {
    /// A volume that works like `inner` until told otherwise.
    pub fn new(inner: V) -> Self {
        Self { inner, gate: Mutex::default(), changed: Condvar::new() }
    }

    /// The volume inside.
    pub fn inner(&self) -> &V {
        &self.inner
    }

    /// From now on, calls of this sort wait.
    pub fn hold(&self, operation: Operation) {
        self.gate().held.insert(operation);
    }

    /// Lets calls of this sort go on.
    pub fn release(&self, operation: Operation) {
        self.gate().held.remove(&operation);
        self.changed.notify_all();
    }

    /// Lets all calls go on.
    pub fn release_all(&self) {
        self.gate().held.clear();
        self.changed.notify_all();
    }

    /// How many calls are waiting now.
    pub fn waiting(&self) -> usize {
        self.gate().waiting
    }

    /// Returns `true` as soon as at least `count` calls are waiting, `false` if there are fewer after
    /// `patience`.
    pub fn await_waiting(&self, count: usize, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut gate = self.gate();
        while gate.waiting < count {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            gate = self.changed.wait_timeout(gate, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self, operation: Operation) {
        let mut gate = self.gate();
        if !gate.held.contains(&operation) {
            return;
        }
        gate.waiting += 1;
        self.changed.notify_all();
        while gate.held.contains(&operation) {
            gate = self.changed.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
        gate.waiting -= 1;
    }

    fn pass_write(&self, durability: Durability) {
        self.pass(Operation::Write);
        if durability == Durability::Durable {
            self.pass(Operation::Flush);
        }
    }
}

impl<V: Volume> Volume for HeldVolume<V> {
    fn capacity(&self) -> u64 {
        self.inner.capacity()
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    fn health(&self) -> Health {
        self.inner.health()
    }

    fn failed_flushes(&self) -> u64 {
        self.inner.failed_flushes()
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.pass(Operation::Read);
        self.inner.read(offset, buffer)
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        let held = self.gate().held.contains(&Operation::Read);
        if held { Ok(false) } else { self.inner.read_cached(offset, buffer) }
    }

    fn tells_what_is_cached(&self) -> bool {
        self.inner.tells_what_is_cached()
    }

    fn writes_wait(&self) -> bool {
        self.inner.writes_wait()
    }

    fn write(&self, offset: u64, data: &[u8], durability: Durability) -> Result<()> {
        self.pass_write(durability);
        self.inner.write(offset, data, durability)
    }

    fn atomic_limit(&self) -> u64 {
        self.inner.atomic_limit()
    }

    fn write_atomic(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.pass_write(Durability::Durable);
        self.inner.write_atomic(offset, data)
    }

    fn flush(&self) -> Result<()> {
        self.pass(Operation::Flush);
        self.inner.flush()
    }

    fn deallocate(&self, offset: u64, length: u64) -> Result<()> {
        self.pass(Operation::Write);
        self.inner.deallocate(offset, length)
    }

    fn write_zeroes(
        &self,
        offset: u64,
        length: u64,
        allocation: Allocation,
        durability: Durability,
    ) -> Result<()> {
        self.pass_write(durability);
        self.inner.write_zeroes(offset, length, allocation, durability)
    }

    fn erase_leftovers(&self) -> Result<()> {
        self.pass(Operation::Write);
        self.inner.erase_leftovers()
    }

    fn mapping(&self, offset: u64) -> Result<Mapping> {
        self.pass(Operation::Read);
        self.inner.mapping(offset)
    }

    fn space(&self) -> Result<Option<Space>> {
        self.pass(Operation::Read);
        self.inner.space()
    }
}
