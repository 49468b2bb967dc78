//! Who reads a point.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::ViewedVolume;
use super::kept::{Kept, Place, REGION};
use crate::{ErrorKind, Mapping, Result, Volume, VolumeError, range};

/// A disk as it was at one moment. It ends when this is dropped; the volume may go away before.
#[derive(Debug)]
pub struct View {
    volume: Weak<ViewedVolume>,
    kept: Arc<Kept>,
    pause: Duration,
}

impl View {
    pub(super) fn new(volume: Weak<ViewedVolume>, kept: Arc<Kept>, pause: Duration) -> Self {
        View { volume, kept, pause }
    }

    /// In bytes.
    pub fn capacity(&self) -> u64 {
        self.kept.capacity()
    }

    /// How long writes waited for it, at most.
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// Fills `buffer` from `offset` with what was there.
    ///
    /// # Errors
    /// [`ErrorKind::Broken`] if it is not known any more; [`ErrorKind::OutOfRange`]; or what the volume says.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        range::check(self.capacity(), offset, range::length_of(buffer))?;
        let volume = self.volume()?;
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let here = ((REGION - at % REGION) as usize).min(rest.len());
            let (part, after) = rest.split_at_mut(here);
            self.read_region(&volume, at, part)?;
            (at, rest) = (at + here as u64, after);
        }
        self.kept.check()
    }

    fn read_region(&self, volume: &ViewedVolume, at: u64, part: &mut [u8]) -> Result<()> {
        let region = at / REGION;
        let mut place = self.kept.place(region);
        if place == Place::Volume {
            let read = volume.inner.read(at, part);
            // Whoever changes it keeps it first. So if nobody has, what was read is of the point.
            place = self.kept.place(region);
            if place == Place::Volume {
                return read;
            }
        }
        match place {
            Place::Scratch(slot) => self.kept.read_scratch(slot, at % REGION, part),
            Place::Hole | Place::Volume => {
                part.fill(0);
                Ok(())
            }
        }
    }

    /// What was at `offset`, and for how many bytes. What is not allocated was zeros.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn mapping(&self, offset: u64) -> Result<Mapping> {
        range::check_byte(self.capacity(), offset)?;
        let found = self.volume()?.inner.mapping(offset)?;
        let mapping = self.kept.mapping(offset, found);
        self.kept.check()?;
        Ok(mapping)
    }

    /// Whether it can still be read.
    ///
    /// # Errors
    /// [`ErrorKind::Broken`] if not.
    pub fn check(&self) -> Result<()> {
        self.volume().map(drop)
    }

    fn volume(&self) -> Result<Arc<ViewedVolume>> {
        self.kept.check()?;
        self.volume.upgrade().ok_or_else(|| {
            let message = "the point of the disk is lost: the disk was taken away; take another one";
            VolumeError::new(ErrorKind::Broken, message)
        })
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some(volume) = self.volume.upgrade() {
            volume.gate.remove(&self.kept);
        }
    }
}
