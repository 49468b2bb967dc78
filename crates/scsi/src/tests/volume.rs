//! A volume that remembers what was asked of it, and fails or hesitates on demand.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use timedisk_volume::{
    Allocation, Durability, ErrorKind, Health, Mapping, MemoryVolume, Result, Space, Volume, VolumeError,
};

#[derive(Debug)]
pub(super) struct Probe {
    inner: MemoryVolume,
    /// Calls to `flush`.
    pub(super) flushes: AtomicUsize,
    /// Writes that had to be durable.
    pub(super) durable_writes: AtomicUsize,
    /// Writes in one piece.
    pub(super) atomic_writes: AtomicUsize,
    /// The most bytes of one.
    pub(super) atomic_limit: u64,
    /// How often what is left beside the bytes was erased.
    pub(super) erasures: AtomicUsize,
    /// Something was written that no flush has seen.
    volatile: AtomicBool,
    /// What `failed_flushes` says.
    pub(super) failed_flushes: AtomicU64,
    /// Somebody else's flush fails between the next write and its own.
    pub(super) fails_a_flush_with_the_next_write: AtomicBool,
    /// Bytes that `read` read.
    pub(super) bytes_read: AtomicUsize,
    /// The byte here reads otherwise than it was written.
    pub(super) lies_at: AtomicUsize,
    /// Reads are at hand.
    pub(super) cached: AtomicBool,
    pub(super) writes_wait: AtomicBool,
    pub(super) read_only: AtomicBool,
    /// A flush has failed some time.
    pub(super) is_failed: AtomicBool,
    /// It goes on without something.
    pub(super) is_degraded: AtomicBool,
    /// The error of every call from now on.
    pub(super) error: Mutex<Option<ErrorKind>>,
    /// Runs of holes and data, in bytes, in place of the truth.
    pub(super) mappings: Vec<(bool, u64)>,
    /// Space in place of the truth.
    pub(super) space: Mutex<Option<Space>>,
    /// Questions for it.
    pub(super) asked_for_space: AtomicUsize,
}

impl Probe {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            inner: MemoryVolume::new(capacity),
            flushes: AtomicUsize::new(0),
            durable_writes: AtomicUsize::new(0),
            atomic_writes: AtomicUsize::new(0),
            atomic_limit: 64 * 512,
            erasures: AtomicUsize::new(0),
            volatile: AtomicBool::new(false),
            failed_flushes: AtomicU64::new(0),
            fails_a_flush_with_the_next_write: AtomicBool::new(false),
            bytes_read: AtomicUsize::new(0),
            lies_at: AtomicUsize::new(usize::MAX),
            cached: AtomicBool::new(false),
            writes_wait: AtomicBool::new(false),
            read_only: AtomicBool::new(false),
            is_failed: AtomicBool::new(false),
            is_degraded: AtomicBool::new(false),
            error: Mutex::new(None),
            mappings: Vec::new(),
            space: Mutex::new(None),
            asked_for_space: AtomicUsize::new(0),
        }
    }

    pub(super) fn fail(&self, kind: ErrorKind) {
        *self.error.lock().unwrap() = Some(kind);
    }

    /// Whether all that was written would survive.
    pub(super) fn all_lasts(&self) -> bool {
        !self.volatile.load(SeqCst)
    }

    pub(super) fn allocated(&self) -> u64 {
        self.inner.allocated()
    }

    fn check(&self) -> Result<()> {
        match *self.error.lock().unwrap() {
            Some(kind) => Err(VolumeError::new(kind, "as asked")),
            None => Ok(()),
        }
    }

    fn count(&self, durability: Durability) {
        let durable = durability == Durability::Durable;
        self.durable_writes.fetch_add(usize::from(durable), SeqCst);
        self.volatile.fetch_or(!durable, SeqCst);
    }
}

impl Volume for Probe {
    fn capacity(&self) -> u64 {
        self.inner.capacity()
    }

    fn is_read_only(&self) -> bool {
        self.read_only.load(SeqCst)
    }

    fn health(&self) -> Health {
        if self.is_failed.load(SeqCst) { Health::FlushFailed } else { Health::Good }
    }

    fn is_degraded(&self) -> bool {
        self.is_degraded.load(SeqCst)
    }

    fn failed_flushes(&self) -> u64 {
        self.failed_flushes.load(SeqCst)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.check()?;
        self.bytes_read.fetch_add(buffer.len(), SeqCst);
        self.inner.read(offset, buffer)?;
        let lie = self.lies_at.load(SeqCst).checked_sub(offset as usize);
        if let Some(byte) = lie.and_then(|at| buffer.get_mut(at)) {
            *byte ^= 0x01;
        }
        Ok(())
    }

    fn writes_wait(&self) -> bool {
        self.writes_wait.load(SeqCst)
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        if !self.cached.load(SeqCst) {
            buffer.fill(0xee);
            return Ok(false);
        }
        self.inner.read_cached(offset, buffer)
    }

    fn write(&self, offset: u64, data: &[u8], durability: Durability) -> Result<()> {
        self.check()?;
        self.count(durability);
        let fails = self.fails_a_flush_with_the_next_write.swap(false, SeqCst);
        self.failed_flushes.fetch_add(u64::from(fails), SeqCst);
        self.inner.write(offset, data, durability)
    }

    fn atomic_limit(&self) -> u64 {
        self.atomic_limit
    }

    fn write_atomic(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.check()?;
        self.atomic_writes.fetch_add(1, SeqCst);
        self.inner.write_atomic(offset, data)
    }

    fn flush(&self) -> Result<()> {
        self.check()?;
        self.flushes.fetch_add(1, SeqCst);
        self.volatile.store(false, SeqCst);
        self.inner.flush()
    }

    fn deallocate(&self, offset: u64, length: u64) -> Result<()> {
        self.check()?;
        self.inner.deallocate(offset, length)
    }

    fn write_zeroes(
        &self,
        offset: u64,
        length: u64,
        allocation: Allocation,
        durability: Durability,
    ) -> Result<()> {
        self.check()?;
        self.count(durability);
        self.inner.write_zeroes(offset, length, allocation, durability)
    }

    fn erase_leftovers(&self) -> Result<()> {
        self.check()?;
        self.erasures.fetch_add(1, SeqCst);
        Ok(())
    }

    fn mapping(&self, offset: u64) -> Result<Mapping> {
        self.check()?;
        let mut end = 0;
        for &(allocated, length) in &self.mappings {
            end += length;
            if offset < end {
                let length = end - offset;
                return Ok(Mapping { allocated, length });
            }
        }
        self.inner.mapping(offset)
    }

    fn space(&self) -> Result<Option<Space>> {
        self.asked_for_space.fetch_add(1, SeqCst);
        self.check()?;
        match *self.space.lock().unwrap() {
            None => self.inner.space(),
            told => Ok(told),
        }
    }
}
