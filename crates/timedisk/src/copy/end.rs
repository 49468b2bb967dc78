//! The two ends of a copy: a file, a block device or a disk of an iSCSI target; a qcow2 image, to be copied from.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use timedisk_initiator::Url;
use timedisk_volume::Lock;

use super::point::PointOfDisk;
use super::remote::RemoteDisk;
use crate::qcow2::{self, Qcow2Image};
use crate::sparse::SparseFile;

/// Runs of zeros that are as long become holes: a block of most file systems.
const FILE_GRAIN: u64 = 4096;

/// Over the network, a command of its own has to pay for itself.
const REMOTE_GRAIN: u64 = 64 * 1024;

/// Nothing is ever written in QEMU's format, nor to what a disk has been.
const ONLY_READ: &str = "this is only copied from";

/// One end.
#[derive(Debug)]
pub(super) enum End {
    File(SparseFile),
    Disk(Box<RemoteDisk>),
    Qcow2(Box<Qcow2Image>),
    Point(Box<PointOfDisk>),
}

/// What the bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// The disk's own.
    Raw,
    /// An image in QEMU's format.
    Qcow2,
}

/// Where an end is, as it was typed.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Path(std::path::PathBuf),
    Url(Url),
    /// What a daemon of this machine serves under this name.
    Disk(String),
}

impl std::str::FromStr for Place {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Place> {
        match (text.strip_prefix("disk:"), text.contains("://")) {
            (Some(name), _) => Ok(Place::Disk(name.to_owned())),
            (None, true) => Ok(Place::Url(text.parse::<Url>()?)),
            (None, false) => Ok(Place::Path(text.into())),
        }
    }
}

/// Without secrets.
impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Path(path) => write!(formatter, "{}", path.display()),
            Place::Url(url) => write!(formatter, "{url}"),
            Place::Disk(name) => write!(formatter, "disk:{name}"),
        }
    }
}

impl End {
    /// Opens what is to be copied. No timedisk can write to it meanwhile.
    pub(super) fn source(place: &Place, format: Format) -> anyhow::Result<End> {
        match (place, format) {
            (Place::Path(path), Format::Raw) => {
                Ok(End::File(SparseFile::open(path, false, Some(Lock::Shared))?))
            }
            (Place::Path(path), Format::Qcow2) => Ok(End::Qcow2(Box::new(Qcow2Image::open(path)?))),
            (Place::Url(url), Format::Raw) => Ok(End::Disk(Box::new(RemoteDisk::open(url)?))),
            (Place::Disk(name), Format::Raw) => bail!("disk:{name} is only copied from"),
            (Place::Url(_) | Place::Disk(_), Format::Qcow2) => {
                bail!("what a disk of a target has are its own bytes: --from qcow2 is for files")
            }
        }
    }

    /// Whether this is a file whose bytes are copied as they are, and which begins as a qcow2 image does.
    pub(super) fn may_be_qcow2(&self) -> bool {
        matches!(self, End::File(file) if qcow2::begins_as_one(file))
    }

    pub(super) fn length(&self) -> u64 {
        match self {
            End::File(file) => file.length(),
            End::Disk(disk) => disk.length(),
            End::Qcow2(image) => image.length(),
            End::Point(point) => point.length(),
        }
    }

    /// What reads and writes have to be multiples of.
    pub(super) fn block_length(&self) -> u64 {
        match self {
            End::File(_) | End::Qcow2(_) | End::Point(_) => FILE_GRAIN,
            End::Disk(disk) => disk.block_length(),
        }
    }

    /// Runs of zeros that are looked for in data.
    pub(super) fn grain(&self) -> u64 {
        match self {
            End::File(_) | End::Qcow2(_) | End::Point(_) => FILE_GRAIN,
            End::Disk(disk) => disk.block_length().max(REMOTE_GRAIN),
        }
    }

    /// What it is now: another text if it is another, or a file that was written to.
    pub(super) fn stamp(&self) -> anyhow::Result<String> {
        match self {
            End::File(file) => file_stamp(file),
            End::Point(point) => Ok(point.stamp()),
            End::Qcow2(image) => Ok(format!("qcow2 {}", file_stamp(image.file())?)),
            End::Disk(disk) => Ok(format!("disk {:?} of {} bytes", disk.name(), disk.length())),
        }
    }

    pub(super) fn next_data(&mut self, at: u64) -> anyhow::Result<Option<Range<u64>>> {
        match self {
            End::File(file) => file.next_data(at),
            End::Disk(disk) => disk.next_data(at),
            End::Qcow2(image) => image.next_data(at),
            End::Point(point) => point.next_data(at),
        }
    }

    /// Reads ranges, one after the other, into a buffer that has room for all of them.
    pub(super) fn read(&mut self, ranges: &[Range<u64>], buffer: &mut [u8]) -> anyhow::Result<()> {
        if let End::Disk(disk) = self {
            return disk.read(ranges, buffer);
        }
        let mut rest = buffer;
        for range in ranges {
            let length = (range.end - range.start) as usize;
            let (part, after) = rest.split_at_mut_checked(length).context("a buffer is too short")?;
            match self {
                End::File(file) => file.read(range.start, part)?,
                End::Qcow2(image) => image.read(range.start, part)?,
                End::Point(point) => point.read(range.start, part)?,
                End::Disk(_) => {}
            }
            rest = after;
        }
        Ok(())
    }

    /// Writes parts of a buffer, each to its offset.
    pub(super) fn write(&mut self, parts: &[(u64, Range<usize>)], buffer: &Arc<[u8]>) -> anyhow::Result<()> {
        match self {
            End::File(file) => parts.iter().try_for_each(|(offset, bytes)| {
                file.write(*offset, buffer.get(bytes.clone()).context("a buffer is too short")?)
            }),
            End::Disk(disk) => disk.write(parts, buffer),
            End::Qcow2(_) | End::Point(_) => bail!(ONLY_READ),
        }
    }

    pub(super) fn clear(&mut self, range: Range<u64>) -> anyhow::Result<()> {
        match self {
            End::File(file) => file.clear(range),
            End::Disk(disk) => disk.clear(range),
            End::Qcow2(_) | End::Point(_) => bail!(ONLY_READ),
        }
    }

    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        match self {
            End::File(file) => file.flush(),
            End::Disk(disk) => disk.flush(),
            End::Qcow2(_) | End::Point(_) => bail!(ONLY_READ),
        }
    }

    /// Keeps a session alive while nothing is wanted of it.
    pub(super) fn tend(&mut self) -> anyhow::Result<()> {
        match self {
            End::File(_) | End::Qcow2(_) => Ok(()),
            End::Disk(disk) => disk.tend(),
            End::Point(point) => point.tend(),
        }
    }

    pub(super) fn forget_cached(&self) {
        if let End::File(file) = self {
            file.forget_cached();
        }
    }

    pub(super) fn close(self) {
        if let End::Disk(disk) = self {
            disk.close();
        }
    }
}

fn file_stamp(file: &SparseFile) -> anyhow::Result<String> {
    let path = file.path();
    let failed = || format!("can't look at {}", path.display());
    let whole = std::fs::canonicalize(path).with_context(failed)?;
    if file.is_device() {
        return Ok(format!("device {whole:?} of {} bytes", file.length()));
    }
    let metadata = std::fs::metadata(path).with_context(failed)?;
    let written = last_written(&metadata);
    Ok(format!("file {whole:?} of {} bytes, written at {written}", metadata.len()))
}

/// When a file was last written to, in seconds and nanoseconds.
fn last_written(metadata: &std::fs::Metadata) -> String {
    use std::os::unix::fs::MetadataExt;
    format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec())
}

/// Whether two names are of one file.
pub(super) fn is_same_file(end: &End, path: &Path) -> bool {
    use timedisk_volume::{FileCalls, SystemCalls};
    let file = match end {
        End::File(file) => file,
        End::Qcow2(image) => image.file(),
        // What is served is locked.
        End::Disk(_) | End::Point(_) => return false,
    };
    SystemCalls.identify(path) == Ok(file.identity())
}
