//! The file of sums: a header, the marks of regions, and four bytes for each block.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crc_fast::{CrcAlgorithm, checksum};
use rustix::io::Errno;

use super::Blocks;
use crate::bits::Bits;
use crate::calls::{
    Access, FileCalls, OpenFile, SpaceChange, SystemCalls, directory_of, uninterrupted, write_all,
};
use crate::{ErrorKind, Result, VolumeError};

/// Bytes that one sum is of.
pub(super) const BLOCK: u64 = 4096;

const MAGIC: &[u8; 16] = b"timedisk sums 1\n";

/// Where the marks are, and how many there can be.
const MARKS: u64 = 4096;
const MOST_REGIONS: u64 = 1 << 19;

/// Where the sums are.
const SUMS: u64 = MARKS + MOST_REGIONS / 8;

/// A volume gets so many regions at most at first; it may grow later.
const USUAL_REGIONS: u64 = 1 << 17;

/// No region is smaller, in bytes.
const LEAST_REGION: u64 = 1 << 20;

const SUM: u64 = 4;

/// Longest text of an identity and of a stamp.
const MOST_TEXT: usize = 256;

/// How sums are kept.
pub struct SumsOptions {
    /// The file.
    pub path: PathBuf,
    /// Of which disk these are, at most 256 bytes: sums of another are not used.
    pub identity: String,
    /// What tells that somebody else has changed the volume between two lives: asked for after all was written, and
    /// again at the next start. `None` if it can't be told.
    pub stamp: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// There is nothing but zeros in the volume.
    pub is_new: bool,
    pub(crate) calls: Arc<dyn FileCalls>,
    /// Bytes of a region, for tests.
    pub(crate) least_region: u64,
}

impl SumsOptions {
    /// Sums of that disk in that file.
    pub fn new(path: impl Into<PathBuf>, identity: impl Into<String>) -> Self {
        SumsOptions {
            path: path.into(),
            identity: identity.into(),
            stamp: Box::new(|| None),
            is_new: false,
            calls: Arc::new(SystemCalls),
            least_region: LEAST_REGION,
        }
    }
}

/// How the sums were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// As they were left.
    Sound,
    /// So many regions get their sums anew: they were being written when power or process ended, or never used.
    Unsettled(u64),
    /// There were none: all get them anew, unless the volume is new.
    Made,
    /// Something else has changed the volume meanwhile, or these were sums of another: all are made anew.
    Changed,
}

pub(super) struct Sums {
    path: PathBuf,
    /// `None` for a volume that is only read and has no sums.
    file: Option<Box<dyn OpenFile>>,
    identity: String,
    stamp: Box<dyn Fn() -> Option<String> + Send + Sync>,
    capacity: u64,
    region: u64,
    /// A flush of the file has failed: what it says later of flushes can't be believed.
    has_failed: AtomicBool,
}

impl std::fmt::Debug for Sums {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Sums")
            .field("path", &self.path)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// The sums of blocks that lie side by side, the last of which may be cut. 0 stands for zeros, and for nothing else.
pub(super) fn of(data: &[u8]) -> Vec<u32> {
    data.chunks(BLOCK as usize).map(sum).collect()
}

fn sum(block: &[u8]) -> u32 {
    if block.iter().all(|byte| *byte == 0) {
        return 0;
    }
    let sum = match block.len() as u64 {
        BLOCK => checksum(CrcAlgorithm::Crc32Iscsi, block),
        // As if zeros followed the end of the volume: so it may grow.
        _ => {
            let mut whole = block.to_vec();
            whole.resize(BLOCK as usize, 0);
            checksum(CrcAlgorithm::Crc32Iscsi, &whole)
        }
    };
    // The sum has 32 bits.
    (sum as u32).max(1)
}

/// What the header says.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    capacity: u64,
    region: u64,
    identity: String,
    /// Empty while somebody writes.
    stamp: String,
}

impl Header {
    fn render(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.capacity.to_be_bytes());
        bytes.extend(self.region.to_be_bytes());
        for text in [&self.identity, &self.stamp] {
            let text = text.as_bytes();
            let text = text.get(..text.len().min(MOST_TEXT)).unwrap_or_default();
            bytes.extend((text.len() as u16).to_be_bytes());
            bytes.extend(text);
        }
        // A sector, or two: what is torn is known by its sum, which ends it.
        bytes.resize(MARKS as usize - 4, 0);
        let sum = checksum(CrcAlgorithm::Crc32Iscsi, &bytes) as u32;
        bytes.extend(sum.to_be_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Header> {
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        if checksum(CrcAlgorithm::Crc32Iscsi, body) as u32 != u32::from_be_bytes(*sum) {
            return None;
        }
        let rest = body.strip_prefix(MAGIC)?;
        let (capacity, rest) = rest.split_first_chunk::<8>()?;
        let (region, rest) = rest.split_first_chunk::<8>()?;
        let text = |rest: &[u8]| -> Option<(String, usize)> {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            Some((String::from_utf8(rest.get(..length)?.to_vec()).ok()?, 2 + length))
        };
        let (identity, used) = text(rest)?;
        let (stamp, _) = text(rest.get(used..)?)?;
        let (capacity, region) = (u64::from_be_bytes(*capacity), u64::from_be_bytes(*region));
        let is_sound = region >= BLOCK && region.is_power_of_two();
        is_sound.then_some(Header { capacity, region, identity, stamp })
    }
}

impl Sums {
    pub(super) fn open(capacity: u64, read_only: bool, options: SumsOptions) -> Result<(Self, Bits, Found)> {
        let SumsOptions { path, identity, stamp, is_new, calls, least_region } = options;
        let access = if read_only { Access::Read } else { Access::ReadWrite };
        let (file, was_there) = match calls.open(&path, access) {
            Ok(file) => (Some(file), true),
            Err(Errno::NOENT) if read_only => (None, false),
            Err(Errno::NOENT) => (Some(make(&*calls, &path)?), false),
            Err(errno) => return Err(failure(&path, ErrorKind::CannotOpen, "open", errno)),
        };
        let region = (capacity / USUAL_REGIONS).next_power_of_two().max(least_region);
        let identity: String = identity.chars().take(MOST_TEXT / 4).collect();
        let mut sums =
            Sums { path, file, identity, stamp, capacity, region, has_failed: AtomicBool::new(false) };
        let header = sums.read_header()?;
        if was_there && header.is_none() && sums.length()? > 0 && !sums.is_torn()? {
            let message = format!("{} is no file of sums: move it away", sums.path.display());
            return Err(VolumeError::new(ErrorKind::BadState, message).at(&sums.path));
        }
        let (marked, found) = sums.find(header, is_new && !was_there)?;
        if !read_only {
            sums.begin(&marked)?;
        }
        Ok((sums, marked, found))
    }

    /// Which regions have no sums that could be believed.
    fn find(&mut self, header: Option<Header>, is_new: bool) -> Result<(Bits, Found)> {
        let Some(header) = header else {
            let found = if self.length()? > 0 { Found::Changed } else { Found::Made };
            let count = self.count();
            return Ok(if is_new { (Bits::none(count), found) } else { (Bits::all(count), found) });
        };
        let now = (self.stamp)();
        let is_same = header.identity == self.identity
            && header.capacity <= self.capacity
            && self.capacity.div_ceil(header.region) <= MOST_REGIONS
            && (header.stamp.is_empty() || now.is_none_or(|now| now == header.stamp));
        if !is_same {
            return Ok((Bits::all(self.count()), Found::Changed));
        }
        self.region = header.region;
        let count = self.count();
        let mut bytes = vec![0; usize::try_from(count.div_ceil(8)).unwrap_or(usize::MAX)];
        self.read_at(MARKS, &mut bytes)?;
        let mut marked = Bits::from_bytes(Some(&bytes), count);
        if self.capacity > header.capacity {
            // What is there was perhaps there before.
            (header.capacity / self.region..count).for_each(|region| marked.set(region));
        }
        let found = match marked.total() {
            0 => Found::Sound,
            total => Found::Unsettled(total),
        };
        Ok((marked, found))
    }

    fn count(&self) -> u64 {
        self.capacity.div_ceil(self.region).max(1)
    }

    /// From now on things are written: marks first, then the header, which makes them count.
    fn begin(&self, marked: &Bits) -> Result<()> {
        self.write_marks(0, marked.bytes(), true)?;
        self.write_header("")
    }

    /// All is as it should be, and nobody writes any more.
    pub(super) fn say_closed(&self) -> Result<()> {
        self.write_header(&(self.stamp)().unwrap_or_default())
    }

    fn write_header(&self, stamp: &str) -> Result<()> {
        let (capacity, region) = (self.capacity, self.region);
        let header = Header { capacity, region, identity: self.identity.clone(), stamp: stamp.to_owned() };
        self.write_at(0, &header.render())?;
        self.synchronize()
    }

    fn read_header(&self) -> Result<Option<Header>> {
        let mut bytes = vec![0; MARKS as usize];
        self.read_at(0, &mut bytes)?;
        Ok(Header::parse(&bytes))
    }

    /// Whether it may be a file of sums whose header a power cut has torn, or that was about to be made.
    fn is_torn(&self) -> Result<bool> {
        let mut bytes = [0; MAGIC.len()];
        self.read_at(0, &mut bytes)?;
        Ok(bytes == *MAGIC || bytes == [0; MAGIC.len()])
    }

    fn length(&self) -> Result<u64> {
        let Some(file) = &self.file else { return Ok(0) };
        let status = file.status();
        status
            .map(|status| status.length)
            .map_err(|errno| failure(&self.path, ErrorKind::ReadFailed, "read", errno))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Of the volume, in bytes.
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes of a region.
    pub(super) fn region(&self) -> u64 {
        self.region
    }

    /// The sums of so many blocks.
    pub(super) fn read(&self, first: u64, count: usize) -> Result<Vec<u32>> {
        let mut bytes = vec![0; count * SUM as usize];
        self.read_at(SUMS + first * SUM, &mut bytes)?;
        Ok(bytes
            .chunks_exact(4)
            .filter_map(|sum| sum.first_chunk())
            .map(|sum| u32::from_be_bytes(*sum))
            .collect())
    }

    pub(super) fn write(&self, first: u64, sums: &[u32]) -> Result<()> {
        let bytes: Vec<u8> = sums.iter().flat_map(|sum| sum.to_be_bytes()).collect();
        self.write_at(SUMS + first * SUM, &bytes)
    }

    /// Blocks are zeros now.
    pub(super) fn forget(&self, blocks: Blocks) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut at = SUMS + blocks.first() * SUM;
        let mut left = (blocks.end - blocks.start).div_ceil(BLOCK) * SUM;
        let long = 1 << 16;
        if left > long && file.change_space(SpaceChange::PunchHole, at, left).is_ok() {
            return Ok(());
        }
        let zeros = vec![0; usize::try_from(left.min(long)).unwrap_or(0)];
        while left > 0 {
            let part = left.min(long);
            self.write_at(at, zeros.get(..usize::try_from(part).unwrap_or(0)).unwrap_or_default())?;
            (at, left) = (at + part, left - part);
        }
        Ok(())
    }

    /// Writes bytes of the marks, and makes them last if that is asked for.
    pub(super) fn write_marks(&self, byte: usize, marks: &[u8], durably: bool) -> Result<()> {
        self.write_at(MARKS + byte as u64, marks)?;
        if durably { self.synchronize() } else { Ok(()) }
    }

    /// Makes all that was written last.
    pub(super) fn synchronize(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if self.has_failed.load(Ordering::SeqCst) {
            return Err(failure(&self.path, ErrorKind::WriteFailed, "write", Errno::IO));
        }
        file.synchronize_data().map_err(|errno| {
            self.has_failed.store(true, Ordering::SeqCst);
            failure(&self.path, ErrorKind::WriteFailed, "write", errno)
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let kind = |errno| ErrorKind::WriteFailed.unless_no_space(errno);
        write_all(&**file, offset, bytes).map_err(|errno| failure(&self.path, kind(errno), "write", errno))
    }

    /// What is past the end of the file is zeros.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match uninterrupted(|| file.read_at(offset + done as u64, rest)) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(errno) => return Err(failure(&self.path, ErrorKind::ReadFailed, "read", errno)),
            }
        }
        buffer.iter_mut().skip(done).for_each(|byte| *byte = 0);
        Ok(())
    }
}

/// A new file, whose name lasts.
fn make(calls: &dyn FileCalls, path: &Path) -> Result<Box<dyn OpenFile>> {
    let made = calls.open(path, Access::CreateNew).and_then(|file| {
        file.synchronize()?;
        calls.synchronize_directory(directory_of(path))?;
        Ok(file)
    });
    made.map_err(|errno| failure(path, ErrorKind::CannotOpen, "make", errno))
}

fn failure(path: &Path, kind: ErrorKind, what: &str, errno: Errno) -> VolumeError {
    let message = format!("can't {what} the disk's sums {}", path.display());
    VolumeError::new(kind, message).at(path).caused_by(errno)
}
