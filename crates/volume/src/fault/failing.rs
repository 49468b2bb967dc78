//! A volume whose next calls fail as told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Operation;
use crate::{Allocation, Durability, ErrorKind, Health, Mapping, Result, Space, Volume, VolumeError};

/// Passes every call to another volume, but lets those fail that it was told to.
///
/// As with any volume, after one failed flush every later flush and write fails, until [`heal`](Self::heal).
#[derive(Debug)]
pub struct FailingVolume<V> {
    inner: V,
    faults: Mutex<Vec<Fault>>,
    flush_failed: AtomicBool,
}

#[derive(Debug)]
struct Fault {
    operation: Operation,
    remaining: u64,
    kind: ErrorKind,
}

impl<V: Volume> FailingVolume<V> {
    /// A volume that works like `inner` until told otherwise.
    pub fn new(inner: V) -> Self {
        Self { inner, faults: Mutex::default(), flush_failed: AtomicBool::new(false) }
    }

    /// The volume inside.
    pub fn inner(&self) -> &V {
        &self.inner
    }

    /// Lets the next `count` calls of this sort fail with `kind`, after those that were already told to.
    pub fn fail_next(&self, operation: Operation, count: u64, kind: ErrorKind) {
        if count > 0 {
            self.faults().push(Fault { operation, remaining: count, kind });
        }
    }

    /// Forgets all faults to come, and the failed flush.
    pub fn heal(&self) {
        self.faults().clear();
        self.flush_failed.store(false, Ordering::SeqCst);
    }

    fn faults(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self, operation: Operation) -> bool {
        self.faults().iter().any(|fault| fault.operation == operation)
    }

    fn pass(&self, operation: Operation) -> Result<()> {
        if operation != Operation::Read && self.flush_failed.load(Ordering::SeqCst) {
            return Err(failure(operation, ErrorKind::FlushFailed));
        }
        let mut faults = self.faults();
        let Some(place) = faults.iter().position(|fault| fault.operation == operation) else {
            return Ok(());
        };
        let fault = &mut faults[place];
        let kind = fault.kind;
        fault.remaining -= 1;
        if fault.remaining == 0 {
            faults.remove(place);
        }
        if operation == Operation::Flush {
            self.flush_failed.store(true, Ordering::SeqCst);
        }
        Err(failure(operation, kind))
    }

    fn pass_flush_of(&self, durability: Durability) -> Result<()> {
        match durability {
            Durability::Durable => self.pass(Operation::Flush),
            Durability::Volatile => Ok(()),
        }
    }
}

fn failure(operation: Operation, kind: ErrorKind) -> VolumeError {
    VolumeError::new(kind, format!("the volume was told to fail: {operation:?} with {kind:?}"))
}

impl<V: Volume> Volume for FailingVolume<V> {
    fn capacity(&self) -> u64 {
        self.inner.capacity()
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    fn health(&self) -> Health {
        if self.flush_failed.load(Ordering::SeqCst) { Health::FlushFailed } else { self.inner.health() }
    }

    fn failed_flushes(&self) -> u64 {
        self.inner.failed_flushes() + u64::from(self.flush_failed.load(Ordering::SeqCst))
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.pass(Operation::Read)?;
        self.inner.read(offset, buffer)
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        // A fault is for the read that follows: one read must not use up two.
        if self.is_due(Operation::Read) { Ok(false) } else { self.inner.read_cached(offset, buffer) }
    }

    fn tells_what_is_cached(&self) -> bool {
        self.inner.tells_what_is_cached()
    }

    fn writes_wait(&self) -> bool {
        self.inner.writes_wait()
    }

    fn write(&self, offset: u64, data: &[u8], durability: Durability) -> Result<()> {
        self.pass(Operation::Write)?;
        self.pass_flush_of(durability)?;
        self.inner.write(offset, data, durability)
    }

    fn atomic_limit(&self) -> u64 {
        self.inner.atomic_limit()
    }

    fn write_atomic(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.pass(Operation::Write)?;
        self.pass(Operation::Flush)?;
        self.inner.write_atomic(offset, data)
    }

    fn flush(&self) -> Result<()> {
        self.pass(Operation::Flush)?;
        self.inner.flush()
    }

    fn deallocate(&self, offset: u64, length: u64) -> Result<()> {
        self.pass(Operation::Write)?;
        self.inner.deallocate(offset, length)
    }

    fn write_zeroes(
        &self,
        offset: u64,
        length: u64,
        allocation: Allocation,
        durability: Durability,
    ) -> Result<()> {
        self.pass(Operation::Write)?;
        self.pass_flush_of(durability)?;
        self.inner.write_zeroes(offset, length, allocation, durability)
    }

    fn erase_leftovers(&self) -> Result<()> {
        self.pass(Operation::Write)?;
        self.inner.erase_leftovers()
    }

    fn mapping(&self, offset: u64) -> Result<Mapping> {
        self.pass(Operation::Read)?;
        self.inner.mapping(offset)
    }

    fn space(&self) -> Result<Option<Space>> {
        self.pass(Operation::Read)?;
        self.inner.space()
    }
}
