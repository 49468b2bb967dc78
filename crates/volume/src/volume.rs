//! The interface that storage is spoken to with.

use std::sync::Arc;

use crate::calls::OpenFile;
use crate::{Result, range};

/// Bytes that last.
///
/// All offsets and lengths are in bytes. A range that does not lie within [`capacity`](Volume::capacity) is
/// an error of kind [`ErrorKind::OutOfRange`](crate::ErrorKind::OutOfRange) and changes nothing. Calls may
/// come from many threads at once; two that overlap leave, for each byte, what one of them wrote.
pub trait Volume: Send + Sync + std::fmt::Debug {
    /// Size in bytes.
    fn capacity(&self) -> u64;

    /// Whether writes are refused by configuration.
    fn is_read_only(&self) -> bool;

    /// Whether the volume still keeps its promises.
    fn health(&self) -> Health;

    /// Whether it goes on without something that it should have, so that the next failure may be the end of it.
    fn is_degraded(&self) -> bool {
        false
    }

    /// How many flushes have failed since the volume was opened, even if that was accepted meanwhile. Who leaves the
    /// flush of a write to others asks before the write and after the flush: only if it is the same, the write lasts.
    fn failed_flushes(&self) -> u64;

    /// Fills `buffer` from `offset`. May wait for the device.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;

    /// Like [`read`](Volume::read), but never waits: answers `false`, with the buffer's content
    /// unspecified, where the bytes are not at hand or the file system can't tell.
    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        let _ = (offset, buffer);
        Ok(false)
    }

    /// Whether [`read_cached`](Volume::read_cached) can tell what is at hand. If not, a read mostly is done at once all
    /// the same.
    fn tells_what_is_cached(&self) -> bool {
        true
    }

    /// Whether a [`write`](Volume::write) mostly waits for the device, as it does past the system's cache.
    fn writes_wait(&self) -> bool {
        false
    }

    /// Lends the file under a range to who wants to copy it without taking it through memory
    /// ([`copy_from`](Volume::copy_from)). `None` where it is not a range of one file; then it is to be read.
    fn lend(&self, offset: u64, length: u64) -> Result<Option<Lent>> {
        let _ = (offset, length);
        Ok(None)
    }

    /// Copies what another volume, or this one, has lent to `offset`: as many bytes from its beginning as the system
    /// does at once, as volatile as a [`write`](Volume::write). 0 where it does not; then who wants it reads and
    /// writes, and finds out what is wrong.
    fn copy_from(&self, lent: &Lent, offset: u64) -> Result<u64> {
        let _ = (lent, offset);
        Ok(0)
    }

    /// Writes `data` at `offset`. With [`Durability::Durable`] the data survive power loss once this returns.
    fn write(&self, offset: u64, data: &[u8], durability: Durability) -> Result<()>;

    /// The most bytes that [`write_atomic`](Volume::write_atomic) takes; 0 where a power cut may tear any write. The
    /// same for as long as the volume lives.
    fn atomic_limit(&self) -> u64 {
        0
    }

    /// Writes `data` at `offset` so that they survive power loss once this returns, and that after power loss at any
    /// time before, or after a failure, all of them are there or none. Whoever calls sees to it that nothing else
    /// changes the same bytes meanwhile.
    ///
    /// More than [`atomic_limit`](Volume::atomic_limit) is an error of kind
    /// [`ErrorKind::OutOfRange`](crate::ErrorKind::OutOfRange) and changes nothing.
    fn write_atomic(&self, offset: u64, data: &[u8]) -> Result<()> {
        let _ = offset;
        range::check_atomic(0, data)
    }

    /// Returns once every write that was acknowledged before the call survives power loss.
    ///
    /// After one failure every later call fails, and so does every write: see [`Health::FlushFailed`].
    fn flush(&self) -> Result<()>;

    /// Gives the range back to the file system, where whole blocks of it can be; all of it reads as zeros
    /// after.
    fn deallocate(&self, offset: u64, length: u64) -> Result<()>;

    /// Makes the range read as zeros. [`Allocation::Keep`] leaves space allocated for it, so that later
    /// writes to it do not fail for want of space.
    fn write_zeroes(
        &self,
        offset: u64,
        length: u64,
        allocation: Allocation,
        durability: Durability,
    ) -> Result<()>;

    /// Overwrites with zeros, durably, what the volume keeps beside its own bytes of what was written to them. It is
    /// for who has to leave nothing that could be found.
    fn erase_leftovers(&self) -> Result<()> {
        Ok(())
    }

    /// What is at `offset`, and for how many bytes, at most up to the end of the volume.
    fn mapping(&self, offset: u64) -> Result<Mapping>;

    /// The space that its data take, and what is left for more; `None` where nobody can tell, as on a block device. As
    /// quick as the file system is with what it has in memory, which on one that does not answer is never.
    fn space(&self) -> Result<Option<Space>> {
        Ok(None)
    }
}

/// A range of a file that a volume has lent; for as long as it is held the file stays open.
#[derive(Debug)]
pub struct Lent {
    pub(crate) file: Arc<dyn OpenFile>,
    /// Where it begins in the file, in bytes.
    pub(crate) position: u64,
    /// In bytes.
    pub(crate) length: u64,
}

/// Whether a write must survive power loss before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It may live in a cache until the next flush.
    Volatile,
    /// It survives power loss when the call returns.
    Durable,
}

/// What happens to the space under zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// Give it back: the range becomes a hole.
    Release,
    /// Keep it allocated.
    Keep,
}

/// What is at an offset, and for how long it stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Whether the range holds data; if not, it is a hole and reads as zeros.
    pub allocated: bool,
    /// Length of the range in bytes, from the offset asked for. Never 0 for an offset within the volume.
    pub length: u64,
}

/// Space under a volume, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What its data take. Of a file with several extents: what all of them do, at most the volume's capacity.
    pub used: u64,
    /// What is left for more, perhaps not for this volume alone.
    pub available: u64,
}

/// Whether a volume still keeps its promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Good,
    /// A flush has failed, now or in an earlier life: what was written since the last good one may be lost,
    /// and nothing that this file says about later flushes can be believed. Reads go on, writes and flushes
    /// are refused.
    FlushFailed,
}

/// A shared volume is a volume, so that wrappers can go around what others hold too.
impl<V: Volume + ?Sized> Volume for Arc<V> {
    fn capacity(&self) -> u64 {
        (**self).capacity()
    }

    fn is_read_only(&self) -> bool {
        (**self).is_read_only()
    }

    fn health(&self) -> Health {
        (**self).health()
    }

    fn is_degraded(&self) -> bool {
        (**self).is_degraded()
    }

    fn failed_flushes(&self) -> u64 {
        (**self).failed_flushes()
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        (**self).read(offset, buffer)
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        (**self).read_cached(offset, buffer)
    }

    fn tells_what_is_cached(&self) -> bool {
        (**self).tells_what_is_cached()
    }

    fn writes_wait(&self) -> bool {
        (**self).writes_wait()
    }

    fn lend(&self, offset: u64, length: u64) -> Result<Option<Lent>> {
        (**self).lend(offset, length)
    }

    fn copy_from(&self, lent: &Lent, offset: u64) -> Result<u64> {
        (**self).copy_from(lent, offset)
    }

    fn write(&self, offset: u64, data: &[u8], durability: Durability) -> Result<()> {
        (**self).write(offset, data, durability)
    }

    fn atomic_limit(&self) -> u64 {
        (**self).atomic_limit()
    }

    fn write_atomic(&self, offset: u64, data: &[u8]) -> Result<()> {
        (**self).write_atomic(offset, data)
    }

    fn flush(&self) -> Result<()> {
        (**self).flush()
    }

    fn deallocate(&self, offset: u64, length: u64) -> Result<()> {
        (**self).deallocate(offset, length)
    }

    fn write_zeroes(
        &self,
        offset: u64,
        length: u64,
        allocation: Allocation,
        durability: Durability,
    ) -> Result<()> {
        (**self).write_zeroes(offset, length, allocation, durability)
    }

    fn erase_leftovers(&self) -> Result<()> {
        (**self).erase_leftovers()
    }

    fn mapping(&self, offset: u64) -> Result<Mapping> {
        (**self).mapping(offset)
    }

    fn space(&self) -> Result<Option<Space>> {
        (**self).space()
    }
}
