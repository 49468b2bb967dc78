//! Where a view keeps what is overwritten: a file without a name, and with a limit.

use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;

use rustix::io::Errno;

use super::kept::REGION;
use crate::calls::{uninterrupted, write_all};
use crate::{Access, ErrorKind, FileCalls, OpenFile, Result, VolumeError};

/// Most characters of random in a name that nobody sees for long.
const RANDOM: usize = 8;

/// A file for what is kept. It has no name, so that nothing is left of it when its process ends, however that ends.
#[derive(Debug)]
pub struct Scratch {
    file: Box<dyn OpenFile>,
    /// Regions that it takes.
    limit: u64,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    end: u64,
    free: Vec<u64>,
}

impl Scratch {
    /// Makes one in `directory`, of `limit` bytes at most.
    ///
    /// # Errors
    /// [`ErrorKind::CannotOpen`] if no file can be made there.
    pub fn create(calls: &dyn FileCalls, directory: &Path, limit: u64) -> Result<Self> {
        let cannot = |errno: Errno| {
            let message = format!("can't make a scratch file in {}", directory.display());
            VolumeError::new(ErrorKind::CannotOpen, message).at(directory).caused_by(errno)
        };
        let mut random = [0; RANDOM];
        getrandom::fill(&mut random).map_err(|_| cannot(Errno::IO))?;
        let name =
            random.iter().fold(String::from(".timedisk-scratch-"), |name, byte| format!("{name}{byte:02x}"));
        let path = directory.join(name);
        let file = calls.open(&path, Access::CreateNew).map_err(cannot)?;
        calls.remove(&path).map_err(cannot)?;
        Ok(Self { file, limit: limit / REGION, used: Mutex::default() })
    }

    /// Its limit in bytes.
    pub fn limit(&self) -> u64 {
        self.limit * REGION
    }

    /// Puts a region aside; answers where it is.
    pub(super) fn put(&self, data: &[u8]) -> Result<u64> {
        let slot = self.claim()?;
        write_all(&*self.file, slot * REGION, data).map_err(|errno| {
            VolumeError::new(
                ErrorKind::WriteFailed.unless_no_space(errno),
                "the scratch file can't be written",
            )
            .caused_by(errno)
        })?;
        Ok(slot)
    }

    /// Gives back a place that nobody was told of.
    pub(super) fn give_back(&self, slot: u64) {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).free.push(slot);
    }

    fn claim(&self) -> Result<u64> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = used.free.pop() {
            return Ok(slot);
        }
        if used.end >= self.limit {
            let message = format!("the scratch of {} bytes is full", self.limit());
            return Err(VolumeError::new(ErrorKind::NoSpace, message));
        }
        used.end += 1;
        Ok(used.end - 1)
    }

    /// Reads from a region that was put aside.
    pub(super) fn read(&self, slot: u64, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let failed = |errno: Errno| {
            VolumeError::new(ErrorKind::ReadFailed, "the scratch file can't be read").caused_by(errno)
        };
        let (mut at, mut rest) = (slot * REGION + offset, buffer);
        while !rest.is_empty() {
            let count = uninterrupted(|| self.file.read_at(at, rest)).map_err(failed)?;
            if count == 0 {
                return Err(failed(Errno::IO));
            }
            rest = rest.get_mut(count..).unwrap_or_default();
            at += count as u64;
        }
        Ok(())
    }

    /// Gives its space back.
    pub(super) fn clear(&self) {
        // It has no name: its space is free at the latest when it is closed.
        let _ = self.file.set_length(0);
    }
}
