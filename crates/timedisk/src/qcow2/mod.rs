//! Images in QEMU's format, to be copied from and to be read by clients. The format is only ever what was typed: a
//! guest can write the beginning of such an image, with the name of any file in it, on a disk of its own.

mod header;
mod volume;

use std::fs;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use imago::qcow2::Qcow2;
use imago::{FormatAccess, Mapping, StorageOpenOptions};
use timedisk_volume::Lock;

use crate::sparse::SparseFile;
use header::Header;
pub(crate) use header::begins_as_one;
pub(crate) use volume::Qcow2Volume;

/// An open image, and the file that it is in.
#[derive(Debug)]
pub(crate) struct Qcow2Image {
    /// Locked.
    file: SparseFile,
    image: FormatAccess<imago::file::File>,
    header: Header,
}

impl Qcow2Image {
    /// Opens an image that needs no other file. No other file is opened, whatever it says.
    ///
    /// # Errors
    /// It is none, needs another file, is encrypted, or its last writer has not closed it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Qcow2Image> {
        let file = SparseFile::open(path, false, Some(Lock::Shared))?;
        let shown = path.display();
        let header = Header::read(&file).with_context(|| shown.to_string())?;
        let opened = || -> anyhow::Result<_> {
            let storage =
                imago::file::File::from_open_file(fs::File::open(path)?, StorageOpenOptions::new())?;
            let image = Qcow2::<imago::file::File>::open_image(storage, false)?;
            ensure!(image.implicit_backing_file().is_none(), "it needs another image");
            ensure!(!image.requires_external_data_file(), "its data are in another file");
            Ok(FormatAccess::new(image))
        };
        let image = guarded(opened).with_context(|| format!("can't read {shown} as a qcow2 image"))?;
        ensure!(image.size() == header.size, "{shown} has changed while it was opened");
        Ok(Qcow2Image { file, image, header })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(crate) fn file(&self) -> &SparseFile {
        &self.file
    }

    /// Of the disk, in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.header.size
    }

    /// The next run of data at or after a byte.
    pub(crate) fn next_data(&self, mut at: u64) -> anyhow::Result<Option<Range<u64>>> {
        while at < self.length() {
            let (is_data, length) = self.mapping(at)?;
            let end = at + length;
            if is_data {
                return Ok(Some(at..end));
            }
            at = end;
        }
        Ok(None)
    }

    /// Whether there are data at a byte of the disk, and for how long that is so.
    fn mapping(&self, at: u64) -> anyhow::Result<(bool, u64)> {
        let found = guarded(|| {
            let (mapping, length) = self.image.get_mapping(at, self.length() - at)?;
            let place = match mapping {
                Mapping::Zero { .. } | Mapping::Eof { .. } => return Ok((false, length, None)),
                Mapping::Raw { offset, .. } => Some(offset),
                _ => None,
            };
            Ok((true, length, place))
        });
        let (is_data, length, place) = found.with_context(|| self.damaged(at))?;
        ensure!(length > 0, "{}", self.damaged(at));
        // The last cluster may end where its data do; what is missing else would read as zeros.
        let there = self.file.length().next_multiple_of(self.header.cluster);
        let length = match place {
            Some(place) => length.min(there.saturating_sub(place)),
            None => length,
        };
        ensure!(length > 0, "{}: the file is cut off", self.damaged(at));
        Ok((is_data, length.min(self.length() - at)))
    }

    /// Reads from the disk. Where the file is cut off the library would have zeros: so each run is looked at first.
    pub(crate) fn read(&self, offset: u64, mut buffer: &mut [u8]) -> anyhow::Result<()> {
        let mut at = offset;
        while !buffer.is_empty() {
            let (is_data, length) = self.mapping(at)?;
            let here = usize::try_from(length).map_or(buffer.len(), |length| length.min(buffer.len()));
            let (run, rest) = buffer.split_at_mut(here);
            match is_data {
                false => run.fill(0),
                true => {
                    let read = guarded(|| Ok(self.image.read(&mut *run, at)?));
                    read.with_context(|| self.damaged(at))?;
                }
            }
            (at, buffer) = (at + here as u64, rest);
        }
        Ok(())
    }

    fn damaged(&self, at: u64) -> String {
        format!("{} is damaged where it has byte {at} of its disk", self.file.path().display())
    }
}

/// What the library does with an image that nobody has checked; a defect of it is an error like others.
fn guarded<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(_) => bail!("the reader of qcow2 images can't make sense of it"),
    }
}
