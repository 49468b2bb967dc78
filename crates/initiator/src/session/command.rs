//! Commands and what becomes of them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::sense::Sense;

/// Status GOOD (SAM-5 5.3).
const GOOD: u8 = 0;

/// Names a command of a session while it is under way: its Initiator Task Tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(pub(super) u32);

impl Tag {
    /// The command's place among those under way: below the session's depth, and no other's until this one
    /// ends.
    pub fn index(self) -> usize {
        (self.0 & 0xffff) as usize
    }
}

/// Data to be written: a part of a shared buffer, sent from where it lies.
#[derive(Clone, Debug)]
pub struct Payload {
    bytes: Arc<[u8]>,
    start: u32,
    length: u32,
}

impl Payload {
    /// A part of a buffer; `None` where the buffer does not have it, or it is longer than 2^32 - 1 bytes.
    pub fn new(bytes: &Arc<[u8]>, range: Range<usize>) -> Option<Payload> {
        bytes.get(range.clone())?;
        let (start, length) = (u32::try_from(range.start).ok()?, u32::try_from(range.len()).ok()?);
        start.checked_add(length)?;
        Some(Payload { bytes: Arc::clone(bytes), start, length })
    }

    /// In bytes.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// The bytes themselves.
    pub fn bytes(&self) -> &[u8] {
        let start = self.start as usize;
        self.bytes.get(start..start + self.length as usize).unwrap_or_default()
    }

    /// A part of it. Callers stay within its length.
    pub(super) fn part(&self, start: u32, length: u32) -> Payload {
        let start = start.min(self.length);
        let length = length.min(self.length - start);
        Payload { bytes: Arc::clone(&self.bytes), start: self.start + start, length }
    }
}

/// No data.
impl Default for Payload {
    fn default() -> Self {
        Payload { bytes: Arc::new([]), start: 0, length: 0 }
    }
}

/// Which data a command moves.
#[derive(Clone, Debug)]
pub enum Transfer {
    /// None.
    None,
    /// Up to so many bytes to us.
    Read(u32),
    /// These to the target.
    Write(Payload),
}

/// A SCSI command.
#[derive(Clone, Debug)]
pub struct Command {
    /// The logical unit, as it stands on the wire (SAM-5 4.7).
    pub lun: [u8; 8],
    /// Filled up with zeros.
    pub cdb: [u8; 16],
    /// Its data.
    pub transfer: Transfer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    None,
    Read,
    Write,
}

impl Direction {
    /// R, W and the task attribute SIMPLE (RFC 7143 §11.3.1).
    pub(super) fn flags(self) -> u8 {
        const SIMPLE: u8 = 1;
        match self {
            Direction::None => SIMPLE,
            Direction::Read => 0x40 | SIMPLE,
            Direction::Write => 0x20 | SIMPLE,
        }
    }
}

impl Command {
    /// A command for a logical unit by its number: below 256 by peripheral device addressing, else flat
    /// (SAM-5 4.7.7).
    pub fn new(lun: u16, cdb: [u8; 16], transfer: Transfer) -> Command {
        let [high, low] = lun.to_be_bytes();
        let high = if lun < 256 { high } else { 0x40 | high & 0x3f };
        Command { lun: [high, low, 0, 0, 0, 0, 0, 0], cdb, transfer }
    }

    pub(super) fn extent(&self) -> (Direction, u32) {
        match &self.transfer {
            Transfer::None | Transfer::Read(0) => (Direction::None, 0),
            Transfer::Read(length) => (Direction::Read, *length),
            Transfer::Write(payload) if payload.length == 0 => (Direction::None, 0),
            Transfer::Write(payload) => (Direction::Write, payload.length),
        }
    }
}

/// What the target says of data that were expected and not moved (RFC 7143 §11.4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residual {
    /// Nothing.
    #[default]
    None,
    /// So many bytes fewer than expected.
    Underflow(u32),
    /// So many bytes more than there was room for.
    Overflow(u32),
}

/// How a command has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// 0: the target has done with the command, else the iSCSI response code (RFC 7143 §11.4.3).
    pub response: u8,
    /// SCSI status (SAM-5 5.3).
    pub status: u8,
    /// Bytes that came, or that the target has asked for.
    pub moved: u32,
    /// What the target says of the rest.
    pub residual: Residual,
    /// Sense data.
    pub sense: Option<Sense>,
}

impl Outcome {
    /// Whether the command has done what it was to do.
    pub fn is_good(&self) -> bool {
        self.response == 0 && self.status == GOOD
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.response != 0 {
            return write!(formatter, "target failure (iSCSI response {:02x}h)", self.response);
        }
        match self.status {
            GOOD => write!(formatter, "GOOD")?,
            0x02 => write!(formatter, "CHECK CONDITION")?,
            0x08 => write!(formatter, "BUSY")?,
            0x18 => write!(formatter, "RESERVATION CONFLICT")?,
            0x28 => write!(formatter, "TASK SET FULL")?,
            0x40 => write!(formatter, "TASK ABORTED")?,
            other => write!(formatter, "status {other:02x}h")?,
        }
        match self.sense {
            Some(sense) => write!(formatter, " ({sense})"),
            None => Ok(()),
        }
    }
}

/// A command that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Which one.
    pub tag: Tag,
    /// How.
    pub outcome: Outcome,
}
