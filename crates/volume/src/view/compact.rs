//! Giving zeros back to the file system while the volume is written to.

use std::time::{Duration, Instant};

use super::ViewedVolume;
use super::gate::Watching;
use crate::{Result, Volume};

/// Bytes that are looked at together.
const PIECE: usize = 1 << 20;

/// Runs of zeros that are as long become holes: a block of most file systems.
const BLOCK: usize = 4096;

/// How long a write that is at some zeros is waited for.
const FOR_A_WRITE: Duration = Duration::from_millis(100);

/// How far a volume has been gone over, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// In bytes; the capacity if all of it was gone over.
    pub next: u64,
    /// Bytes of zeros that were data, and are holes now.
    pub zeros: u64,
    /// Bytes of zeros that were left, because they were just being written to.
    pub busy: u64,
}

impl ViewedVolume {
    /// Makes holes of zeros from a byte on, for about so long. No write is lost: bytes are given back only if they are
    /// still zeros while no write is at them. With `look_only` nothing is changed.
    ///
    /// # Errors
    /// What the volume says; [`ErrorKind::Busy`](crate::ErrorKind::Busy) if a write that runs does not end.
    pub fn compact(&self, from: u64, look_only: bool, time: Duration) -> Result<Compacted> {
        let deadline = Instant::now() + time;
        let watching = match look_only {
            true => None,
            false => Some(self.gate.watch_changes(deadline)?),
        };
        let capacity = self.capacity();
        let mut done = Compacted { next: from.min(capacity), ..Compacted::default() };
        let mut buffer = vec![0; PIECE];
        while done.next < capacity && Instant::now() < deadline {
            let mapping = self.inner.mapping(done.next)?;
            let length = match mapping.allocated {
                true => {
                    // Pieces end where blocks do.
                    let longest = PIECE as u64 - done.next % BLOCK as u64;
                    mapping.length.min(longest)
                }
                false => mapping.length,
            };
            if mapping.allocated {
                let piece = buffer.get_mut(..length as usize).unwrap_or_default();
                self.compact_piece(watching.as_ref(), &mut done, piece)?;
            }
            done.next += length.max(1);
        }
        Ok(done)
    }

    fn compact_piece(
        &self,
        watching: Option<&Watching<'_>>,
        done: &mut Compacted,
        piece: &mut [u8],
    ) -> Result<()> {
        let start = done.next;
        self.inner.read(start, piece)?;
        for (at, length) in zeros(piece, start) {
            let Some(watching) = watching else {
                done.zeros += length as u64;
                continue;
            };
            let part = piece.get_mut(at..at + length).unwrap_or_default();
            let (at, end) = (start + at as u64, start + (at + length) as u64);
            let give_back = || {
                self.inner.read(at, part)?;
                let is_zero = is_zero(part);
                if is_zero {
                    self.inner.deallocate(at, end - at)?;
                }
                Result::Ok(is_zero)
            };
            let deadline = Instant::now() + FOR_A_WRITE;
            match watching.alone((at, end), deadline, give_back).transpose()? {
                Some(true) => done.zeros += end - at,
                Some(false) | None => done.busy += end - at,
            }
        }
        Ok(())
    }
}

/// Where in a piece that begins at `start` whole blocks of zeros are, and for how many bytes.
fn zeros(piece: &[u8], start: u64) -> Vec<(usize, usize)> {
    let first = (BLOCK - (start % BLOCK as u64) as usize) % BLOCK;
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let blocks = piece.get(first..).unwrap_or_default().chunks_exact(BLOCK);
    for (index, _) in blocks.enumerate().filter(|(_, block)| is_zero(block)) {
        let at = first + index * BLOCK;
        match runs.last_mut() {
            Some((begun, length)) if *begun + *length == at => *length += BLOCK,
            _ => runs.push((at, BLOCK)),
        }
    }
    runs
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
