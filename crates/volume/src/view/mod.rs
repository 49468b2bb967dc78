//! A consistent point of a volume while it is used: what it held at one moment, to be read later.
//!
//! [`ViewedVolume`] goes around the volume. As long as nobody holds a [`View`], a write pays two additions to a counter
//! that its thread shares with few others, and one look; reads pay nothing. To take a point, writes that run are waited
//! for and new ones wait, for a second at most. From then on each change first keeps what it is about to overwrite in a
//! scratch file; the view reads from there what was kept, and the rest from the volume.
//!
//! All writes that were acknowledged before the point are in it, and none that began after. One that ran while it was
//! asked for is in it as a whole. It is what a crash at that moment would have left, had all caches reached the disk.

mod compact;
mod gate;
mod kept;
mod reader;
mod scratch;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{
    Allocation, Durability, ErrorKind, Health, Lent, Mapping, Result, Space, Volume, VolumeError, range,
};
pub use compact::Compacted;
use gate::Gate;
use kept::{Kept, New};
pub use reader::View;
pub use scratch::Scratch;

/// Views of one volume at a time: each one costs every write a look of its own.
pub const MOST_VIEWS: usize = 2;

/// A volume of which points can be taken.
#[derive(Debug)]
pub struct ViewedVolume {
    inner: Arc<dyn Volume>,
    gate: Gate,
}

impl ViewedVolume {
    /// One that does as `inner` does. Nobody else may change the bytes of `inner`.
    pub fn new(inner: Arc<dyn Volume>) -> Arc<Self> {
        Arc::new(Self { inner, gate: Gate::default() })
    }

    /// Takes a point: waits for the writes that run, and has new ones wait, for `pause` at most.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if a write did not end in time, if another point is being taken just now or if there are
    /// [`MOST_VIEWS`]. Then the writes go on, and nothing is kept.
    pub fn take_point(self: &Arc<Self>, scratch: Scratch, pause: Duration) -> Result<View> {
        let begun = Instant::now();
        let mut closed = self.gate.close(begun + pause)?;
        if closed.views() >= MOST_VIEWS {
            let message = format!("{MOST_VIEWS} points of this disk are being read; wait for one to end");
            return Err(VolumeError::new(ErrorKind::Busy, message));
        }
        let kept = Arc::new(Kept::new(self.inner.capacity(), scratch));
        closed.add(Arc::clone(&kept));
        drop(closed);
        Ok(View::new(Arc::downgrade(self), kept, begun.elapsed()))
    }

    /// Ends all views: who reads one gets this as the reason. For when the volume goes away.
    pub fn end_views(&self, reason: &str) {
        self.gate.views().iter().for_each(|kept| kept.end(reason));
    }

    /// Makes a change, once what it overwrites is kept for those who hold views.
    fn change<T>(&self, offset: u64, length: u64, new: New, change: impl FnOnce() -> Result<T>) -> Result<T> {
        let pass = self.gate.enter(offset, length);
        for kept in pass.views() {
            kept.keep(&*self.inner, offset, length, new);
        }
        change()
    }
}

impl Volume for ViewedVolume {
    fn capacity(&self) -> u64 {
        self.inner.capacity()
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    fn health(&self) -> Health {
        self.inner.health()
    }

    fn is_degraded(&self) -> bool {
        self.inner.is_degraded()
    }

    fn failed_flushes(&self) -> u64 {
        self.inner.failed_flushes()
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.inner.read(offset, buffer)
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        self.inner.read_cached(offset, buffer)
    }

    fn tells_what_is_cached(&self) -> bool {
        self.inner.tells_what_is_cached()
    }

    fn writes_wait(&self) -> bool {
        self.inner.writes_wait()
    }

    fn lend(&self, offset: u64, length: u64) -> Result<Option<Lent>> {
        self.inner.lend(offset, length)
    }

    fn copy_from(&self, lent: &Lent, offset: u64) -> Result<u64> {
        self.change(offset, lent.length, New::Data, || self.inner.copy_from(lent, offset))
    }

    fn write(&self, offset: u64, data: &[u8], durability: Durability) -> Result<()> {
        self.change(offset, range::length_of(data), New::Data, || self.inner.write(offset, data, durability))
    }

    fn atomic_limit(&self) -> u64 {
        self.inner.atomic_limit()
    }

    fn write_atomic(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.change(offset, range::length_of(data), New::Data, || self.inner.write_atomic(offset, data))
    }

    fn flush(&self) -> Result<()> {
        self.inner.flush()
    }

    fn deallocate(&self, offset: u64, length: u64) -> Result<()> {
        self.change(offset, length, New::Zeros, || self.inner.deallocate(offset, length))
    }

    fn write_zeroes(
        &self,
        offset: u64,
        length: u64,
        allocation: Allocation,
        durability: Durability,
    ) -> Result<()> {
        self.change(offset, length, New::Zeros, || {
            self.inner.write_zeroes(offset, length, allocation, durability)
        })
    }

    fn erase_leftovers(&self) -> Result<()> {
        self.inner.erase_leftovers()
    }

    fn mapping(&self, offset: u64) -> Result<Mapping> {
        self.inner.mapping(offset)
    }

    fn space(&self) -> Result<Option<Space>> {
        self.inner.space()
    }
}
