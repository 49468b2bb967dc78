//! A sparse file or block device that our own tools have open: which parts of it hold data, and those data.

mod change;

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::io::Errno;
use timedisk_volume::{Access, FileCalls, FileIdentity, FileKind, Lock, OpenFile, SpaceChange, SystemCalls};

/// Another process has the file.
#[derive(Debug, thiserror::Error)]
#[error("{} is in use", .0.display())]
pub(crate) struct InUse(pub(crate) PathBuf);

/// An open file.
#[derive(Debug)]
pub(crate) struct SparseFile {
    path: PathBuf,
    file: Box<dyn OpenFile>,
    identity: FileIdentity,
    length: u64,
}

impl SparseFile {
    /// Opens a file or device that is there.
    ///
    /// # Errors
    /// There is none, or it can't be opened so. [`InUse`] where another process has it.
    pub(crate) fn open(path: &Path, is_written: bool, lock: Option<Lock>) -> anyhow::Result<SparseFile> {
        let shown = path.display();
        let found = SystemCalls.identify(path).with_context(|| format!("can't look at {shown}"))?;
        let access = match (found.kind, is_written) {
            (FileKind::Directory, _) => bail!("{shown} is a directory: name a file in it"),
            (FileKind::Other, _) => bail!("{shown} is neither a file nor a block device"),
            (_, false) => Access::Read,
            (FileKind::Regular, true) => Access::ReadWrite,
            (FileKind::BlockDevice, true) => Access::ReadWriteDevice,
        };
        let file = SystemCalls.open(path, access).map_err(|errno| match errno {
            Errno::BUSY => anyhow::Error::from(InUse(path.to_owned())),
            _ => anyhow::Error::from(errno).context(format!("can't open {shown}")),
        })?;
        SparseFile::begin(path, file, lock)
    }

    /// Makes a file of that length, all of it a hole, and locks it. Takes nobody's place.
    ///
    /// # Errors
    /// It can't be made, or not so long: then there is none.
    pub(crate) fn create(path: &Path, length: u64) -> anyhow::Result<SparseFile> {
        let shown = path.display();
        let file = SystemCalls.open(path, Access::CreateNew).map_err(|errno| match errno {
            Errno::EXIST => anyhow::anyhow!("{shown} exists"),
            _ => anyhow::Error::from(errno).context(format!("can't make {shown}")),
        })?;
        let made = SparseFile::begin(path, file, Some(Lock::Exclusive)).and_then(|mut made| {
            made.set_length(length)?;
            Ok(made)
        });
        if made.is_err() {
            // The first error is the one to tell.
            let _ = SystemCalls.remove(path);
        }
        made
    }

    fn begin(path: &Path, file: Box<dyn OpenFile>, lock: Option<Lock>) -> anyhow::Result<SparseFile> {
        if let Some(lock) = lock {
            file.lock(lock).map_err(|errno| match errno {
                Errno::WOULDBLOCK => anyhow::Error::from(InUse(path.to_owned())),
                _ => anyhow::Error::from(errno).context(format!("can't lock {}", path.display())),
            })?;
        }
        let status = file.status().with_context(|| format!("can't look at {}", path.display()))?;
        Ok(SparseFile { path: path.to_owned(), file, identity: status.identity, length: status.length })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_device(&self) -> bool {
        self.identity.kind == FileKind::BlockDevice
    }

    /// Bytes, as it was opened or made.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Makes the file longer or shorter, so that this survives power loss.
    pub(crate) fn set_length(&mut self, length: u64) -> anyhow::Result<()> {
        let shown = self.path.display();
        self.file.set_length(length).with_context(|| {
            format!("can't make {shown} {length} bytes long (is that more than its file system takes?)")
        })?;
        self.file.synchronize().with_context(|| format!("the length of {shown} can't be made to last"))?;
        self.length = length;
        Ok(())
    }

    /// The next run of data at or after a byte; the end of the file ends it. What has no holes to tell is all data.
    pub(crate) fn next_data(&self, at: u64) -> anyhow::Result<Option<Range<u64>>> {
        if at >= self.length {
            return Ok(None);
        }
        let start = match again(|| self.file.seek_data(at)) {
            Ok(start) if start >= self.length => return Ok(None),
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Some(at..self.length)),
            Err(errno) => return Err(errno).with_context(|| self.failed("ask for the holes of", at)),
        };
        let end = match again(|| self.file.seek_hole(start)) {
            Ok(end) if end > start => end.min(self.length),
            // The file was cut off or punched in between.
            Ok(_) | Err(Errno::NXIO) => self.length.min(start + 512),
            Err(errno) => return Err(errno).with_context(|| self.failed("ask for the holes of", start)),
        };
        Ok(Some(start..end))
    }

    /// Fills the buffer.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> anyhow::Result<()> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset + done as u64;
            match again(|| self.file.read_at(at, rest)) {
                Ok(0) => bail!("{} ends at byte {at}: something has shortened it", self.path.display()),
                Ok(count) => done += count,
                Err(errno) => return Err(errno).with_context(|| self.failed("read", at)),
            }
        }
        Ok(())
    }

    /// Gives a range back to the file system. `false` where it takes none back.
    pub(crate) fn punch(&self, range: Range<u64>) -> anyhow::Result<bool> {
        let length = range.end.saturating_sub(range.start);
        match again(|| self.file.change_space(SpaceChange::PunchHole, range.start, length)) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(false),
            Err(errno) => Err(errno).with_context(|| self.failed("make a hole in", range.start)),
        }
    }

    /// Makes all that was written survive power loss.
    pub(crate) fn flush(&self) -> anyhow::Result<()> {
        // Not again after an error: the second call would succeed, and the data be lost all the same.
        let flushed = self.file.synchronize();
        flushed.with_context(|| format!("what was written to {} can't be made to last", self.path.display()))
    }

    fn failed(&self, what: &str, at: u64) -> String {
        format!("can't {what} {} at byte {at}", self.path.display())
    }
}

/// Repeats a call that a signal broke off.
fn again<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// Makes the names in the directory of a file survive power loss.
pub(crate) fn synchronize_directory_of(path: &Path) -> anyhow::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let made = SystemCalls.synchronize_directory(directory);
    made.with_context(|| format!("the name {} can't be made to last", path.display()))
}

/// Runs of zeros and of other data in a buffer, in pieces of `grain` bytes: whether it is zeros, and where. The last
/// piece may be shorter.
pub(crate) fn runs(buffer: &[u8], grain: usize) -> Vec<(bool, Range<usize>)> {
    let mut runs: Vec<(bool, Range<usize>)> = Vec::new();
    let mut at = 0;
    for piece in buffer.chunks(grain.max(1)) {
        let (is_zero, end) = (is_zero(piece), at + piece.len());
        match runs.last_mut() {
            Some((before, range)) if *before == is_zero => range.end = end,
            _ => runs.push((is_zero, at..end)),
        }
        at = end;
    }
    runs
}

/// Whether there is nothing but zeros.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Most data show it in their first bytes; the rest goes by words that the compiler makes wide.
    let (words, rest) = bytes.as_chunks::<64>();
    words.iter().all(|word| word.iter().fold(0, |all, byte| all | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_and_data_are_told_apart_in_pieces() {
        let mut buffer = vec![0; 4096 * 4 + 100];
        assert_eq!(runs(&buffer, 4096), [(true, 0..16484)]);
        buffer[4096] = 1;
        buffer[16483] = 1;
        let expected = [(true, 0..4096), (false, 4096..8192), (true, 8192..16384), (false, 16384..16484)];
        assert_eq!(runs(&buffer, 4096), expected);
        assert!(runs(&[], 4096).is_empty());
    }

    #[test]
    fn any_byte_that_is_not_zero_is_seen() {
        for length in [1, 63, 64, 65, 200] {
            let mut bytes = vec![0; length];
            assert!(is_zero(&bytes));
            for at in 0..length {
                bytes[at] = 0x80;
                assert!(!is_zero(&bytes), "byte {at} of {length}");
                bytes[at] = 0;
            }
        }
    }
}
