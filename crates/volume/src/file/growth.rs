//! Growth in two steps: all that can fail, and then what others see.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::claims::{Member, Range};
use super::{FileVolume, Length, open, shared::SharedFile};
use crate::calls::FileKind;
use crate::{ErrorKind, Result, VolumeError};

/// A growth of which everything that can fail is done; nobody sees it before [`commit`](Self::commit).
///
/// Until it is committed or dropped, no other disk gets the bytes, and the volume is not grown by another.
/// If it is dropped, the file stays as long as it was made: that takes no space.
#[derive(Debug)]
#[must_use = "the disk grows when this is committed"]
pub struct Growth {
    shared: Arc<SharedFile>,
    member: Arc<Member>,
    capacity: u64,
    end: u64,
}

impl FileVolume {
    /// Makes the file long enough for the volume to have `length`, so that this survives power loss.
    /// [`Growth::commit`] then makes the volume so large, rounded down to whole blocks.
    ///
    /// [`Length::WholeFile`] is up to the end of the file or block device as it is now. A read-only volume
    /// and a block device grow within what is there, and are not extended.
    ///
    /// # Errors
    /// [`ErrorKind::Shrinks`] for less than the present capacity, [`ErrorKind::Overlap`] where another
    /// disk has some of the bytes, [`ErrorKind::NoSpace`] and [`ErrorKind::CannotGrow`] where the file
    /// can't be so long, and [`ErrorKind::FlushFailed`] where a flush has failed or fails now.
    pub fn grow(&self, length: Length) -> Result<Growth> {
        self.check_promises()?;
        let status = self.shared.status().map_err(|errno| {
            let message = format!("can't ask how long {} is", self.path().display());
            VolumeError::new(ErrorKind::CannotGrow, message).at(self.path()).caused_by(errno)
        })?;
        let length = match length {
            Length::Bytes(length) => length,
            Length::WholeFile => status.length.saturating_sub(self.member.start),
        };
        let end = open::end_of(self.member.start, length)
            .ok_or_else(|| self.cannot_grow(&format!("to {length} bytes: files end at 2^63 bytes")))?;
        let capacity = open::whole_blocks(length, self.block_length);
        if capacity < self.member.capacity() {
            return Err(self.shrinks(capacity));
        }
        let is_device = status.identity.kind == FileKind::BlockDevice;
        if end > status.length && (self.member.read_only || is_device) {
            let why = if is_device { "block devices are" } else { "a read-only disk is" };
            let sentence =
                format!("to end at byte {end}: it has {} bytes, and {why} not extended", status.length);
            return Err(self.cannot_grow(&sentence));
        }
        if let Some(sentence) = open::ends_within_a_block(&self.shared, status.length.max(end)) {
            return Err(self.cannot_grow(&sentence));
        }
        let growth = self.reserve(capacity, end)?;
        if end > status.length {
            open::lengthen(self.path(), &self.shared, end, ErrorKind::CannotGrow)?;
        }
        Ok(growth)
    }

    fn reserve(&self, capacity: u64, end: u64) -> Result<Growth> {
        let mut claims = self.shared.claims();
        let range = Range { start: self.member.start, end, read_only: self.member.read_only };
        if let Some(other) = claims.against(range, Some(&self.member)) {
            return Err(open::overlap(self.path(), range, other));
        }
        if !claims.reserve(&self.member, end) {
            return Err(self.cannot_grow("twice at once: wait until the first growth is done"));
        }
        let (shared, member) = (Arc::clone(&self.shared), Arc::clone(&self.member));
        Ok(Growth { shared, member, capacity, end })
    }

    fn cannot_grow(&self, sentence: &str) -> VolumeError {
        let message = format!("{} can't grow {sentence}", self.path().display());
        VolumeError::new(ErrorKind::CannotGrow, message).at(self.path())
    }

    fn shrinks(&self, capacity: u64) -> VolumeError {
        let message = format!(
            "{} is served with {} bytes and can't have {capacity}: a disk never shrinks while it is served",
            self.path().display(),
            self.member.capacity()
        );
        VolumeError::new(ErrorKind::Shrinks, message).at(self.path())
    }
}

impl Growth {
    /// The capacity to come, in bytes.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Makes the new capacity visible. What is going on in the volume goes on.
    pub fn commit(self) {
        self.shared.claims().extend(&self.member, self.end);
        self.member.capacity.fetch_max(self.capacity, Ordering::AcqRel);
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        self.shared.claims().release(&self.member);
    }
}
