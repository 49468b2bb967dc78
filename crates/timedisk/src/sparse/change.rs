//! Writing to a sparse file.

use std::ops::Range;

use anyhow::{Context, bail};
use timedisk_volume::FileIdentity;

use super::{SparseFile, again};

/// Zeros are written in pieces of so many bytes where the file system can't make them itself.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

impl SparseFile {
    pub(crate) fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// Writes all of it.
    pub(crate) fn write(&self, offset: u64, data: &[u8]) -> anyhow::Result<()> {
        let mut done = 0;
        while let Some(rest) = data.get(done..).filter(|rest| !rest.is_empty()) {
            let at = offset + done as u64;
            match again(|| self.file.write_at(at, rest)) {
                Ok(0) => bail!(self.failed("write", at)),
                Ok(count) => done += count,
                Err(errno) => return Err(errno).with_context(|| self.failed("write", at)),
            }
        }
        Ok(())
    }

    /// Makes a range read as zeros: a hole where the file system has such, else zeros that are written.
    pub(crate) fn clear(&self, range: Range<u64>) -> anyhow::Result<()> {
        let mut at = range.start;
        while let Some(data) = self.next_data(at)?.filter(|data| data.start < range.end) {
            let end = data.end.min(range.end);
            if !self.punch(data.start..end)? {
                self.write_zeros(data.start..end)?;
            }
            at = end;
        }
        Ok(())
    }

    fn write_zeros(&self, range: Range<u64>) -> anyhow::Result<()> {
        let mut at = range.start;
        while at < range.end {
            let part = (range.end - at).min(ZEROS.len() as u64);
            self.write(at, ZEROS.get(..part as usize).unwrap_or_default())?;
            at += part;
        }
        Ok(())
    }

    /// Has reads ask the device again, as far as the system takes such advice.
    pub(crate) fn forget_cached(&self) {
        // Advice: nothing depends on it but how much a comparison proves.
        let _ = self.file.forget_cached(0, self.length);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use timedisk_volume::Lock;

    use super::super::InUse;
    use super::*;

    #[test]
    fn data_are_found_between_holes_and_can_be_made_holes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let file = SparseFile::create(&path, 1 << 40).unwrap();
        assert_eq!(file.next_data(0).unwrap(), None);
        file.write(1 << 30, &[1; 65536]).unwrap();
        file.write((1 << 40) - 65536, &[2; 65536]).unwrap();
        assert_eq!(file.next_data(0).unwrap(), Some(1 << 30..(1 << 30) + 65536));
        assert_eq!(file.next_data(1 << 31).unwrap(), Some((1 << 40) - 65536..1 << 40));
        file.clear(0..(1 << 30) + 65536).unwrap();
        assert_eq!(file.next_data(0).unwrap(), Some((1 << 40) - 65536..1 << 40));
        let error = SparseFile::create(&path, 512).unwrap_err();
        assert!(error.to_string().contains("exists"), "{error}");
        let error = SparseFile::open(&path, false, Some(Lock::Shared)).unwrap_err();
        assert!(error.is::<InUse>(), "{error}");
    }
}
