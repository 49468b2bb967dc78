//! Images in QEMU's format, to be copied from. The format is only ever what was typed: a guest can write the beginning
//! of such an image, with the name of any file in it, on a disk of its own.

use std::fs;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use imago::qcow2::Qcow2;
use imago::{FormatAccess, Mapping, StorageOpenOptions};
use timedisk_volume::Lock;

use super::header::Header;
use crate::sparse::SparseFile;

/// An open image, and the file that it is in.
#[derive(Debug)]
pub(super) struct Qcow2Image {
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
    pub(super) fn open(path: &Path) -> anyhow::Result<Qcow2Image> {
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

    pub(super) fn file(&self) -> &SparseFile {
        &self.file
    }

    /// Of the disk, in bytes.
    pub(super) fn length(&self) -> u64 {
        self.header.size
    }

    /// The next run of data at or after a byte.
    pub(super) fn next_data(&self, mut at: u64) -> anyhow::Result<Option<Range<u64>>> {
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
        let end = place.map_or(0, |place| place.saturating_add(length));
        let there = self.file.length().saturating_add(self.header.cluster);
        ensure!(end < there, "{}: the file is cut off", self.damaged(at));
        Ok((is_data, length.min(self.length() - at)))
    }

    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> anyhow::Result<()> {
        guarded(|| Ok(self.image.read(buffer, offset)?)).with_context(|| self.damaged(offset))
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
