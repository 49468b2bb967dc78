//! Harm that is done to a disk between a kill and the start after it, as a daemon would that keeps its promises not:
//! whoever looks has to notice.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use timedisk_simulation::SECTOR;
use timedisk_simulation::history::History;

use crate::lane::{ATOMIC, SECTORS, atomic_extents};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// A sector that was acknowledged is as it was before anything was written.
    Lost,
    /// A sector is where another belongs.
    Misdirected,
    /// The second half of a sector is another's.
    Torn,
    /// Half of an atomic write is there.
    HalfAtomic,
    /// Serial number, registrations and the like are gone.
    Forgotten,
}

/// All of it, with what has to be said.
pub(crate) const PLANTS: [(&str, Plant, &str); 5] = [
    ("a-lost-write", Plant::Lost, "returned write 0"),
    ("a-misdirected-write", Plant::Misdirected, "misdirected"),
    ("a-torn-sector", Plant::Torn, "torn"),
    ("half-an-atomic-write", Plant::HalfAtomic, "are torn"),
    ("a-lost-state-file", Plant::Forgotten, "another one"),
];

impl Plant {
    /// Does it to the disk of this folder.
    pub(crate) fn harm(self, folder: &Path, history: &History) -> Result<()> {
        if matches!(self, Plant::Forgotten | Plant::HalfAtomic) {
            // With it, the start would make the write whole, or say that it is another disk's.
            let _ = fs::remove_file(folder.join("a.timedisk.redo"));
        }
        if self == Plant::Forgotten {
            return fs::remove_file(folder.join("a.timedisk")).context("no state file");
        }
        let image = OpenOptions::new().read(true).write(true).open(folder.join("a"))?;
        let at = |sector: u64| sector * SECTOR as u64;
        let is_written = |sector: &u64| history.certain(*sector).is_some_and(|content| content != 0);
        // Behind the extents of atomic writes, of which something else would be said.
        let mut written = (atomic_extents().last().unwrap_or(0) + ATOMIC..SECTORS).filter(is_written);
        let (first, other) = written.next().zip(written.nth(40)).context("nothing was written")?;
        let mut sector = [0; SECTOR];
        match self {
            Plant::Lost => image.write_all_at(&sector, at(first))?,
            Plant::Misdirected => {
                image.read_exact_at(&mut sector, at(other))?;
                image.write_all_at(&sector, at(first))?;
            }
            Plant::Torn => {
                image.read_exact_at(&mut sector, at(other))?;
                image.write_all_at(&sector[SECTOR / 2..], at(first) + SECTOR as u64 / 2)?;
            }
            Plant::HalfAtomic => half_atomic(&image)?,
            Plant::Forgotten => {}
        }
        Ok(())
    }
}

/// Zeros where the second half of an extent was.
fn half_atomic(image: &fs::File) -> Result<()> {
    let half = ATOMIC / 2 * SECTOR as u64;
    for first in atomic_extents() {
        let mut stamp = [0; 4];
        image.read_exact_at(&mut stamp, first * SECTOR as u64)?;
        if stamp != [0; 4] {
            return Ok(image.write_all_at(&vec![0; half as usize], first * SECTOR as u64 + half)?);
        }
    }
    anyhow::bail!("nothing was written atomically")
}
