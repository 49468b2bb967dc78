//! The disk in an image in QEMU's format, to be served. It is only read.

use std::path::Path;
use std::sync::Arc;

use timedisk_volume::{
    Allocation, Durability, ErrorKind, Health, Mapping, Result, Space, Volume, VolumeError,
};

use super::Qcow2Image;

/// What is in an image, as a volume.
#[derive(Debug)]
pub(crate) struct Qcow2Volume {
    image: Qcow2Image,
    /// The file that it is in, which is locked for it.
    file: Arc<dyn Volume>,
    capacity: u64,
}

impl Qcow2Volume {
    /// Opens the image at `path`, which is all of `file`; as many whole blocks of it as there are.
    pub(crate) fn open(path: &Path, file: Arc<dyn Volume>, block_length: u32) -> anyhow::Result<Arc<Self>> {
        let image = Qcow2Image::open(path)?;
        let capacity = image.length() - image.length() % u64::from(block_length);
        Ok(Arc::new(Self { image, file, capacity }))
    }

    fn check(&self, offset: u64, length: u64) -> Result<()> {
        match offset.checked_add(length) {
            Some(end) if end <= self.capacity => Ok(()),
            _ => {
                let message =
                    format!("bytes {offset} and {length} on do not lie within the disk's {}", self.capacity);
                Err(VolumeError::new(ErrorKind::OutOfRange, message))
            }
        }
    }

    fn refuse(&self) -> Result<()> {
        let message = format!("{} is an image in QEMU's format, and only read", self.image.path().display());
        Err(VolumeError::new(ErrorKind::ReadOnly, message))
    }

    fn failed(&self, error: &anyhow::Error) -> VolumeError {
        VolumeError::new(ErrorKind::ReadFailed, format!("{error:#}")).at(self.image.path())
    }
}

impl Volume for Qcow2Volume {
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn health(&self) -> Health {
        Health::Good
    }

    fn failed_flushes(&self) -> u64 {
        0
    }

    fn tells_what_is_cached(&self) -> bool {
        false
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.check(offset, buffer.len() as u64)?;
        self.image.read(offset, buffer).map_err(|error| self.failed(&error))
    }

    fn write(&self, _: u64, _: &[u8], _: Durability) -> Result<()> {
        self.refuse()
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn deallocate(&self, _: u64, _: u64) -> Result<()> {
        self.refuse()
    }

    fn write_zeroes(&self, _: u64, _: u64, _: Allocation, _: Durability) -> Result<()> {
        self.refuse()
    }

    fn mapping(&self, offset: u64) -> Result<Mapping> {
        self.check(offset, 1)?;
        let (allocated, length) = self.image.mapping(offset).map_err(|error| self.failed(&error))?;
        Ok(Mapping { allocated, length: length.min(self.capacity - offset) })
    }

    fn space(&self) -> Result<Option<Space>> {
        self.file.space()
    }
}
