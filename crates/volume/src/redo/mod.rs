//! The redo record of a disk: what an atomic write is about to write, until all of it is in the image.
//!
//! It is a file beside the disk's state file, of the same name and `.redo`: a header, and from byte 4096 on the data.
//! There is at most one atomic write at a time, and it goes like this:
//!
//! 1. data into the record, then the header that says so; synchronized;
//! 2. data into the image; synchronized;
//! 3. a header that says that nothing is there; synchronized. Only then the write has succeeded.
//!
//! Power lost in 1 leaves the image as it was, and a record that is empty, or torn and known as such by its checksums,
//! or whole. In 2 and 3 it is whole. A whole one is written into the image again before the disk is served. That never
//! undoes a later write: nothing else is written to those bytes before 3 is done.

mod header;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use crate::calls::{Access, FileCalls, FileKind, OpenFile, directory_of, uninterrupted, write_all};
use crate::{DiskState, ErrorKind, Result, VolumeError, range};
use header::{Header, Unreadable};

/// The most bytes of one atomic write.
pub(crate) const MOST: u64 = 1 << 20;

/// Where the data begin.
const DATA: u64 = 4096;

const SUFFIX: &str = ".redo";

/// The file, which is made with the first atomic write.
#[derive(Debug)]
pub(crate) struct RedoRecord {
    calls: Arc<dyn FileCalls>,
    path: PathBuf,
    serial: [u8; 16],
    file: Option<Box<dyn OpenFile>>,
    /// Whether it can be written, or made.
    is_writable: bool,
    left: Left,
}

/// What has to be done before anything else is written to the disk: an atomic write has failed before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// The record may say something that is not to be done any more.
    Retire,
    /// The image may have a part of what the record has.
    Redo,
}

/// What the file has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Nothing,
    /// The power went before the image was touched.
    Torn,
    /// These bytes of the image may be what they were, or these, or a mixture.
    Pending {
        offset: u64,
        data: Vec<u8>,
    },
}

impl DiskState {
    /// The bytes of the disk of which an atomic write was cut off, by the end of power or of timedisk, so that the
    /// image may have a part of it. It is done whole before the disk is served again; until then the image is not
    /// what it will be.
    ///
    /// # Errors
    /// [`ErrorKind::CannotOpen`], [`ErrorKind::ReadFailed`] or [`ErrorKind::BadState`], where there is a record that
    /// can't be read or is of another disk.
    pub fn cut_off_write(&self) -> Result<Option<Range<u64>>> {
        match RedoRecord::open(Arc::clone(self.calls()), self, true)?.content()? {
            Content::Pending { offset, data } => {
                Ok(Some(offset..offset.saturating_add(range::length_of(&data))))
            }
            Content::Nothing | Content::Torn => Ok(None),
        }
    }
}

impl RedoRecord {
    /// Opens the record of a disk, if there is one, for reading only or for writing too.
    ///
    /// # Errors
    /// [`ErrorKind::CannotOpen`] if it is there and can't be opened; [`ErrorKind::BadState`] if it is no file.
    pub(crate) fn open(calls: Arc<dyn FileCalls>, state: &DiskState, read_only: bool) -> Result<Self> {
        let mut name = OsString::from(state.path());
        name.push(SUFFIX);
        let path = PathBuf::from(name);
        let mut serial = [0; 16];
        serial.iter_mut().zip(state.serial().bytes()).for_each(|(byte, digit)| *byte = digit);
        let (file, is_writable) = match open_file(&*calls, &path, read_only)? {
            Some((file, is_writable)) => (Some(file), is_writable),
            None => (None, !read_only && calls.takes_files(directory_of(&path))),
        };
        Ok(Self { calls, path, serial, file, is_writable, left: Left::Nothing })
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.is_writable
    }

    pub(crate) fn left(&self) -> Left {
        self.left
    }

    /// What is in the record.
    ///
    /// # Errors
    /// [`ErrorKind::BadState`] if it is not a record of this disk that this timedisk can read;
    /// [`ErrorKind::ReadFailed`].
    pub(crate) fn content(&self) -> Result<Content> {
        let Some(file) = &self.file else { return Ok(Content::Nothing) };
        let mut bytes = [0; header::LENGTH];
        let count = self.read(&**file, 0, &mut bytes)?;
        let header = match Header::parse(bytes.get(..count).unwrap_or_default()) {
            Ok(header) => header,
            Err(Unreadable::Torn) if count == 0 => return Ok(Content::Nothing),
            Err(Unreadable::Torn) => return Ok(Content::Torn),
            Err(unreadable) => return Err(unreadable.error(&self.path)),
        };
        if header.length == 0 {
            return Ok(Content::Nothing);
        }
        if header.length > MOST {
            return Err(self.refusal(&format!("has {} bytes, more than any timedisk writes", header.length)));
        }
        let mut data = vec![0; usize::try_from(header.length).unwrap_or(0)];
        let count = self.read(&**file, DATA, &mut data)?;
        if count < data.len() || header::checksum(&data) != header.checksum {
            return Ok(Content::Torn);
        }
        if header.serial != self.serial {
            let other = String::from_utf8_lossy(&header.serial).into_owned();
            return Err(self.refusal(&format!(
                "has an atomic write, cut off by the end of power or of timedisk, to the disk with the serial number \
                 {other}, which is not this one: bring it back beside the image that it belongs to, with that one's \
                 state file, or move it away if that disk is no more"
            )));
        }
        Ok(Content::Pending { offset: header.offset, data })
    }

    /// Keeps what is about to be written. It survives power loss when this returns.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`] or [`ErrorKind::WriteFailed`]. Then the image must not be touched.
    pub(crate) fn keep(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        let (header, path) = (Header::of(self.serial, offset, data), self.path.clone());
        let file = self.made()?;
        // The header of before says that these bytes mean nothing.
        write_all(file, DATA, data).map_err(|errno| failure(&path, errno))?;
        self.left = Left::Retire;
        self.write_header(&header)?;
        self.left = Left::Redo;
        Ok(())
    }

    /// The image has all of it, or is to have none of it, durably. So has this when it returns.
    ///
    /// Where an earlier try has failed, another one is as good as new: all that is to last is written again.
    ///
    /// # Errors
    /// [`ErrorKind::WriteFailed`]: then nothing else may be written to the same bytes of the disk.
    pub(crate) fn retire(&mut self) -> Result<()> {
        self.left = Left::Retire;
        self.write_header(&Header::of(self.serial, 0, &[]))?;
        self.left = Left::Nothing;
        Ok(())
    }

    /// Makes an empty record last as such, if there is one.
    ///
    /// # Errors
    /// As [`retire`](Self::retire).
    pub(crate) fn reset(&mut self) -> Result<()> {
        if self.file.is_some() { self.retire() } else { Ok(()) }
    }

    /// Overwrites the data of all atomic writes so far, durably. There is nothing in it that is to be done.
    ///
    /// # Errors
    /// [`ErrorKind::CannotOpen`] or [`ErrorKind::WriteFailed`].
    pub(crate) fn erase(&mut self) -> Result<()> {
        let Some(file) = self.file.as_deref() else { return Ok(()) };
        let cleared = file.status().and_then(|status| {
            let length = status.length.saturating_sub(DATA).min(MOST);
            write_all(file, DATA, &vec![0; usize::try_from(length).unwrap_or(0)])?;
            file.synchronize_data()
        });
        cleared.map_err(|errno| failure(&self.path, errno))
    }

    fn write_header(&mut self, header: &Header) -> Result<()> {
        let path = self.path.clone();
        let file = self.made()?;
        let written = write_all(file, 0, &header.render()).and_then(|()| file.synchronize_data());
        written.map_err(|errno| failure(&path, errno))
    }

    /// The file, and its name lasts.
    fn made(&mut self) -> Result<&dyn OpenFile> {
        if self.file.is_none() {
            let made = make(&*self.calls, &self.path, &Header::of(self.serial, 0, &[]));
            self.file = Some(made.map_err(|errno| failure(&self.path, errno))?);
        }
        self.file.as_deref().ok_or_else(|| failure(&self.path, Errno::BADF))
    }

    /// How many bytes there are; fewer than asked for at the end of the file.
    fn read(&self, file: &dyn OpenFile, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match uninterrupted(|| file.read_at(offset + done as u64, rest)) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(errno) => {
                    let message = format!("can't read the disk's redo record {}", self.path.display());
                    return Err(VolumeError::new(ErrorKind::ReadFailed, message)
                        .at(&self.path)
                        .caused_by(errno));
                }
            }
        }
        Ok(done)
    }

    /// The record can't be used, and the sentence says why.
    pub(crate) fn refusal(&self, sentence: &str) -> VolumeError {
        let message = format!("{} {sentence}", self.path.display());
        VolumeError::new(ErrorKind::BadState, message).at(&self.path)
    }
}

type Opened = (Box<dyn OpenFile>, bool);

/// The file, if it is there, and whether it can be written.
fn open_file(calls: &dyn FileCalls, path: &Path, read_only: bool) -> Result<Option<Opened>> {
    let cannot = |errno| {
        let message = format!("can't open the disk's redo record {}", path.display());
        VolumeError::new(ErrorKind::CannotOpen, message).at(path).caused_by(errno)
    };
    match calls.identify(path) {
        Ok(identity) if identity.kind == FileKind::Regular => {}
        Ok(_) => return Err(Unreadable::Foreign.error(path)),
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(cannot(errno)),
    }
    if !read_only {
        match calls.open(path, Access::ReadWrite) {
            Ok(file) => return Ok(Some((file, true))),
            Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => {}
            Err(errno) => return Err(cannot(errno)),
        }
    }
    calls.open(path, Access::Read).map(|file| Some((file, false))).map_err(cannot)
}

/// A new record in which nothing is.
fn make(
    calls: &dyn FileCalls,
    path: &Path,
    header: &Header,
) -> std::result::Result<Box<dyn OpenFile>, Errno> {
    let file = calls.open(path, Access::CreateNew)?;
    let made = write_all(&*file, 0, &header.render())
        .and_then(|()| file.synchronize())
        .and_then(|()| calls.synchronize_directory(directory_of(path)));
    match made {
        Ok(()) => Ok(file),
        Err(errno) => {
            // What can't be removed says that nothing is there, or nothing at all.
            let _ = calls.remove(path);
            Err(errno)
        }
    }
}

fn failure(path: &Path, errno: Errno) -> VolumeError {
    let message = format!("can't write the disk's redo record {}", path.display());
    let kind = ErrorKind::WriteFailed.unless_no_space(errno);
    VolumeError::new(kind, message).at(path).caused_by(errno)
}
