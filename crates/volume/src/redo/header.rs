//! The first bytes of a redo record: which bytes of which disk the rest is for.

use std::path::Path;

use crate::{ErrorKind, VolumeError};

/// Bytes of a header. Few enough to lie in one sector, so that a power cut seldom leaves a part of it.
pub(super) const LENGTH: usize = 64;

const MAGIC: [u8; 12] = *b"timediskredo";
/// The version that is written here, and the newest that can be read.
const VERSION: u32 = 1;

/// What a header says, when it says that there is something. Numbers are little-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Serial number of the disk.
    pub(super) serial: [u8; 16],
    /// Where in the disk the data belong, in bytes.
    pub(super) offset: u64,
    /// Bytes of data; 0 in the header of an empty record.
    pub(super) length: u64,
    /// Of the data.
    pub(super) checksum: u64,
}

/// Why the bytes at the beginning are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// A power cut has left it so, and then the disk was not touched.
    Torn,
    /// They are of something else.
    Foreign,
    /// Their version is newer than ours.
    Newer(u32),
}

pub(super) fn checksum(bytes: &[u8]) -> u64 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes)
}

impl Header {
    pub(super) fn of(serial: [u8; 16], offset: u64, data: &[u8]) -> Self {
        Self { serial, offset, length: data.len() as u64, checksum: checksum(data) }
    }

    pub(super) fn render(&self) -> [u8; LENGTH] {
        let words = [self.offset, self.length, self.checksum].map(u64::to_le_bytes);
        let summed = [&MAGIC[..], &VERSION.to_le_bytes(), &self.serial, &words.concat()].concat();
        let mut bytes = [0; LENGTH];
        let all = summed.iter().copied().chain(checksum(&summed).to_le_bytes());
        bytes.iter_mut().zip(all).for_each(|(byte, value)| *byte = value);
        bytes
    }

    /// Reads what stands at the beginning of a file, of which fewer bytes than [`LENGTH`] may be there.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Unreadable> {
        // A file that was just made when the power went has no length yet, or no content.
        if bytes.iter().all(|&byte| byte == 0) {
            return Err(Unreadable::Torn);
        }
        let (magic, rest) = bytes.split_first_chunk().ok_or(Unreadable::Foreign)?;
        if *magic != MAGIC {
            return Err(Unreadable::Foreign);
        }
        let (version, rest) = rest.split_first_chunk().ok_or(Unreadable::Torn)?;
        match u32::from_le_bytes(*version) {
            VERSION => {}
            newer if newer > VERSION => return Err(Unreadable::Newer(newer)),
            _ => return Err(Unreadable::Foreign),
        }
        let (summed, _) = bytes.split_at_checked(LENGTH - 8).ok_or(Unreadable::Torn)?;
        let (serial, rest) = rest.split_first_chunk().ok_or(Unreadable::Torn)?;
        let (offset, rest) = word(rest)?;
        let (length, rest) = word(rest)?;
        let (of_data, rest) = word(rest)?;
        let (own, _) = word(rest)?;
        match own == checksum(summed) {
            true => Ok(Self { serial: *serial, offset, length, checksum: of_data }),
            false => Err(Unreadable::Torn),
        }
    }
}

fn word(bytes: &[u8]) -> Result<(u64, &[u8]), Unreadable> {
    let (word, rest) = bytes.split_first_chunk().ok_or(Unreadable::Torn)?;
    Ok((u64::from_le_bytes(*word), rest))
}

impl Unreadable {
    /// Says it to a person, where it is not what a power cut leaves.
    pub(super) fn error(self, path: &Path) -> VolumeError {
        let shown = path.display();
        let message = match self {
            Self::Newer(version) => format!(
                "{shown} is of version {version}, and this timedisk reads version {VERSION}: use the timedisk that \
                 wrote it, or a newer one"
            ),
            Self::Torn | Self::Foreign => {
                format!(
                    "{shown} stands where the disk's redo record belongs, and is some other file: move it away"
                )
            }
        };
        VolumeError::new(ErrorKind::BadState, message).at(path)
    }
}
