//! One volume made of others, one after another: what NetBSD's iscsi-target calls RAID0.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::range;
use crate::{Allocation, Durability, ErrorKind, Health, Mapping, Result, Space, Volume, VolumeError};

/// Volumes one after another. Members may be concatenations themselves.
///
/// The members keep the places that they have when it is made: only the last may grow, and the whole grows
/// with it. It is read-only if any member is, and its health is that of the worst: where one member has
/// lost what was written to it, none takes more. What changes several members is not done in one: if it
/// fails in one of them, others may have changed.
#[derive(Debug)]
pub struct ConcatenatedVolume {
    members: Vec<Member>,
    last: Arc<dyn Volume>,
    last_start: u64,
}

/// A member, and the byte at which it begins.
#[derive(Debug)]
struct Member {
    start: u64,
    volume: Arc<dyn Volume>,
}

/// The part of a range that lies in one member.
struct Piece<'members> {
    volume: &'members dyn Volume,
    offset: u64,
    length: u64,
}

impl ConcatenatedVolume {
    /// The volumes in the order in which they follow each other.
    ///
    /// # Errors
    /// [`ErrorKind::CannotOpen`] for no members at all, or for more bytes than can be counted.
    pub fn new(members: Vec<Arc<dyn Volume>>) -> Result<Self> {
        let Some(last) = members.last().map(Arc::clone) else {
            return Err(cannot("can't be made of no members: name at least one"));
        };
        let mut placed = Vec::with_capacity(members.len());
        let mut end: u64 = 0;
        let mut last_start = 0;
        for volume in members {
            let start = end;
            last_start = start;
            let sum = end.checked_add(volume.capacity());
            end = sum.ok_or_else(|| cannot("can't have more than 2^64 bytes: name fewer or smaller ones"))?;
            placed.push(Member { start, volume });
        }
        Ok(Self { members: placed, last, last_start })
    }

    /// Cuts a range, already checked, where members end.
    fn pieces(&self, offset: u64, length: u64) -> impl Iterator<Item = Piece<'_>> {
        let end = offset + length;
        let before = self.members.partition_point(|member| member.start <= offset).saturating_sub(1);
        let rest = self.members.get(before..).unwrap_or_default();
        let ends = rest.iter().skip(1).map(|next| next.start).chain([u64::MAX]);
        rest.iter().zip(ends).take_while(move |(member, _)| member.start < end).filter_map(
            move |(member, member_end)| {
                let at = offset.max(member.start);
                let length = end.min(member_end).checked_sub(at).filter(|&length| length > 0)?;
                Some(Piece { volume: &*member.volume, offset: at - member.start, length })
            },
        )
    }

    /// Makes a change to each part of a range, if all members take changes.
    fn change(
        &self,
        offset: u64,
        length: u64,
        mut change: impl FnMut(&Piece<'_>) -> Result<()>,
    ) -> Result<()> {
        range::check(self.capacity(), offset, length)?;
        if self.is_read_only() {
            let message = "the concatenated disk has a member that is served read-only";
            return Err(VolumeError::new(ErrorKind::ReadOnly, message));
        }
        if self.health() == Health::FlushFailed {
            let message = "a flush of a member of the concatenated disk failed: what was written since the \
                           last good flush may be lost, so the disk refuses writes until the member's loss \
                           is accepted";
            return Err(VolumeError::new(ErrorKind::FlushFailed, message));
        }
        self.pieces(offset, length).try_for_each(|piece| change(&piece))
    }
}

fn cannot(sentence: &str) -> VolumeError {
    VolumeError::new(ErrorKind::CannotOpen, format!("a concatenated disk {sentence}"))
}

/// How much of a buffer a piece takes. (The buffer has all pieces, so its length fits.)
fn share(piece: &Piece<'_>) -> usize {
    usize::try_from(piece.length).unwrap_or(usize::MAX)
}

impl Volume for ConcatenatedVolume {
    fn capacity(&self) -> u64 {
        self.last_start.saturating_add(self.last.capacity())
    }

    fn is_read_only(&self) -> bool {
        self.members.iter().any(|member| member.volume.is_read_only())
    }

    fn health(&self) -> Health {
        let failed = self.members.iter().any(|member| member.volume.health() == Health::FlushFailed);
        if failed { Health::FlushFailed } else { Health::Good }
    }

    fn is_degraded(&self) -> bool {
        self.members.iter().any(|member| member.volume.is_degraded())
    }

    fn failed_flushes(&self) -> u64 {
        self.members.iter().map(|member| member.volume.failed_flushes()).sum()
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let length = range::length_of(buffer);
        range::check(self.capacity(), offset, length)?;
        let mut rest = buffer;
        for piece in self.pieces(offset, length) {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(share(&piece));
            piece.volume.read(piece.offset, part)?;
            rest = after;
        }
        Ok(())
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        let length = range::length_of(buffer);
        range::check(self.capacity(), offset, length)?;
        let mut rest = buffer;
        for piece in self.pieces(offset, length) {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(share(&piece));
            if !piece.volume.read_cached(piece.offset, part)? {
                return Ok(false);
            }
            rest = after;
        }
        Ok(true)
    }

    fn tells_what_is_cached(&self) -> bool {
        self.members.iter().all(|member| member.volume.tells_what_is_cached())
    }

    fn writes_wait(&self) -> bool {
        self.members.iter().any(|member| member.volume.writes_wait())
    }

    fn write(&self, offset: u64, data: &[u8], durability: Durability) -> Result<()> {
        let mut rest = data;
        self.change(offset, range::length_of(data), |piece| {
            let (part, after) = rest.split_at(share(piece));
            rest = after;
            piece.volume.write(piece.offset, part, durability)
        })
    }

    /// Flushes every member, also after one has failed; the first failure is the one that is told.
    fn flush(&self) -> Result<()> {
        let mut outcome = Ok(());
        for member in &self.members {
            outcome = outcome.and(member.volume.flush());
        }
        outcome
    }

    fn deallocate(&self, offset: u64, length: u64) -> Result<()> {
        self.change(offset, length, |piece| piece.volume.deallocate(piece.offset, piece.length))
    }

    fn write_zeroes(
        &self,
        offset: u64,
        length: u64,
        allocation: Allocation,
        durability: Durability,
    ) -> Result<()> {
        self.change(offset, length, |piece| {
            piece.volume.write_zeroes(piece.offset, piece.length, allocation, durability)
        })
    }

    fn erase_leftovers(&self) -> Result<()> {
        self.members.iter().try_for_each(|member| member.volume.erase_leftovers())
    }

    /// Ends where a member ends, also if the next goes on alike.
    fn mapping(&self, offset: u64) -> Result<Mapping> {
        let capacity = self.capacity();
        range::check_byte(capacity, offset)?;
        let Some(piece) = self.pieces(offset, capacity - offset).next() else {
            return Ok(Mapping { allocated: true, length: capacity - offset });
        };
        let mapping = piece.volume.mapping(piece.offset)?;
        Ok(Mapping { length: mapping.length.min(piece.length), ..mapping })
    }

    /// What is left for the member that has least: members may share a file system, and what is left there would be
    /// counted twice.
    fn space(&self) -> Result<Option<Space>> {
        let mut whole: Option<Space> = None;
        for member in &self.members {
            let Some(space) = member.volume.space()? else { return Ok(None) };
            whole = Some(whole.map_or(space, |sum| Space {
                used: sum.used.saturating_add(space.used),
                available: sum.available.min(space.available),
            }));
        }
        Ok(whole)
    }
}
