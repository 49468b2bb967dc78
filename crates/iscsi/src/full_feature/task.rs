//! A SCSI task from its command to its start: how its data come together (RFC 7143 §4.2.5.2, §11.7, §11.8).

use std::collections::VecDeque;

use super::host::{Attribute, Cdb, Outcome, Plan, TaskId};
use crate::parameters::Parameters;
use crate::pdu::{NO_TAG, layout};

/// ATTR of a SCSI Command (RFC 7143 §11.3.1) that only an auto contingent allegiance gives a meaning.
const ACA: u8 = 4;

impl Attribute {
    /// By ATTR. `None` where there is no such attribute: there is never an auto contingent allegiance here.
    pub(super) fn of(flags: u8) -> Option<Self> {
        match flags & 0x07 {
            2 => Some(Attribute::Ordered),
            3 => Some(Attribute::HeadOfQueue),
            ACA => None,
            _ => Some(Attribute::Simple),
        }
    }
}

/// Status codes (SAM-5 5.3.1).
const CHECK_CONDITION: u8 = 0x02;
const TASK_SET_FULL: u8 = 0x28;

/// Sense keys (SPC-4 4.5.6).
const ILLEGAL_REQUEST: u8 = 0x05;
const ABORTED_COMMAND: u8 = 0x0b;

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its data are coming.
    Gathering,
    /// Its data are complete; it waits for its turn or for memory.
    Ready,
    /// The device server has it.
    Running,
}

/// A SCSI task.
#[derive(Debug)]
pub(super) struct Task<B> {
    pub(super) id: TaskId,
    pub(super) lun: [u8; 8],
    pub(super) cdb: Cdb,
    pub(super) attribute: Attribute,
    pub(super) immediate: bool,
    pub(super) cmd_sn: u32,
    /// Its place in the order of CmdSN, once every command before it has arrived.
    pub(super) delivered: Option<u64>,
    /// R and W bits.
    pub(super) reads: bool,
    pub(super) writes: bool,
    /// Expected Data Transfer Length, of the write if there is one.
    pub(super) expected: u32,
    /// The same for what is read.
    pub(super) expected_read: u32,
    pub(super) plan: Plan,
    pub(super) stage: Stage,
    pub(super) data: Gathering<B>,
    /// Where to put what it reads, once there is memory for it.
    pub(super) data_in: Option<B>,
}

/// Why the transport ends a task: a sense key with an additional code (RFC 7143 §11.4.7.2), or a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    UnexpectedUnsolicitedData,
    IncorrectAmountOfData,
    ServiceCrcError,
    /// The ACA attribute, where there is no auto contingent allegiance (SAM-5 5.9.2).
    InvalidMessage,
    /// There was no memory for data that came unasked.
    TaskSetFull,
}

impl Failure {
    pub(super) fn outcome<B>(self) -> Outcome<B> {
        let (key, asc, ascq) = match self {
            Failure::UnexpectedUnsolicitedData => (ABORTED_COMMAND, 0x0c, 0x0c),
            Failure::IncorrectAmountOfData => (ABORTED_COMMAND, 0x0c, 0x0d),
            Failure::ServiceCrcError => (ABORTED_COMMAND, 0x47, 0x05),
            Failure::InvalidMessage => (ILLEGAL_REQUEST, 0x49, 0x00),
            Failure::TaskSetFull => return Outcome::of_status(TASK_SET_FULL, Vec::new()),
        };
        let mut sense = vec![0; 18];
        for (index, value) in [(0, 0x70), (2, key), (7, 10), (12, asc), (13, ascq)] {
            if let Some(byte) = sense.get_mut(index) {
                *byte = value;
            }
        }
        Outcome::of_status(CHECK_CONDITION, sense)
    }
}

/// An R2T that is not wholly answered.
#[derive(Debug)]
struct Solicited {
    target_transfer_tag: u32,
    end: u32,
}

/// The data of a command that writes, on their way.
#[derive(Debug)]
pub(super) struct Gathering<B> {
    /// Shorter than `wanted` while memory for the solicited part is not at hand.
    pub(super) buffer: Option<B>,
    /// Bytes that the command takes.
    pub(super) wanted: u32,
    /// Bytes that came, in order; those past `wanted` are dropped.
    pub(super) received: u32,
    /// Up to where data may come unasked; `None` once that is over.
    unsolicited_end: Option<u32>,
    /// Up to where data were asked for.
    requested: u32,
    solicited: VecDeque<Solicited>,
    next_data_sn: u32,
    r2t_sn: u32,
    pub(super) failure: Option<Failure>,
}

/// A data PDU that is being received.
#[derive(Clone, Copy, Debug)]
pub(super) struct DataPdu {
    pub(super) length: u32,
    pub(super) last: bool,
}

/// An R2T to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) r2t_sn: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Gathering<B> {
    /// Of a command that takes `wanted` bytes and whose initiator has `expected` to send.
    pub(super) fn new(wanted: u32, unsolicited_end: Option<u32>) -> Self {
        Gathering {
            buffer: None,
            wanted,
            received: 0,
            unsolicited_end,
            requested: 0,
            solicited: VecDeque::new(),
            next_data_sn: 0,
            r2t_sn: 0,
            failure: None,
        }
    }

    /// How many bytes the buffer takes.
    pub(super) fn room(&self) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.as_ref().len())
    }

    /// Whether solicited data could be put somewhere.
    pub(super) fn has_room_for_all(&self) -> bool {
        self.room() >= self.wanted as usize
    }

    /// Exchanges the buffer for a larger one. All of the old one moves: a PDU may be half received into it.
    pub(super) fn move_to(&mut self, mut larger: B) {
        if let Some(old) = &self.buffer {
            let old = old.as_ref();
            if let Some(to) = larger.as_mut().get_mut(..old.len()) {
                to.copy_from_slice(old);
            }
        }
        self.buffer = Some(larger);
    }

    /// Marks the task as failed; what still comes for it is dropped.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// Checks a Data-Out PDU against what may come now.
    pub(super) fn check(&self, header: &layout::DataOut, length: u32) -> Result<(), Failure> {
        let solicited = header.target_transfer_tag.get() != NO_TAG;
        let end = match (solicited, self.solicited.front(), self.unsolicited_end) {
            (true, Some(front), _) if front.target_transfer_tag == header.target_transfer_tag.get() => {
                front.end
            }
            (false, _, Some(end)) => end,
            _ => return Err(Failure::UnexpectedUnsolicitedData),
        };
        let last = u64::from(header.buffer_offset.get()) + u64::from(length);
        if header.data_sn.get() != self.next_data_sn || header.buffer_offset.get() != self.received {
            // With DataPDUInOrder and DataSequenceInOrder a gap means that a PDU was lost (RFC 7143 §7.9).
            return Err(Failure::ServiceCrcError);
        }
        let complete = !solicited || header.flags & 0x80 == 0 || last == u64::from(end);
        if last > u64::from(end) || !complete {
            return Err(Failure::IncorrectAmountOfData);
        }
        Ok(())
    }

    /// Puts the next bytes of the current PDU, which begin `into` bytes after its start, in their place.
    pub(super) fn place(&mut self, into: u32, bytes: &[u8]) {
        if let Some(room) = self.space(into, bytes.len()) {
            room.copy_from_slice(bytes.get(..room.len()).unwrap_or_default());
        }
    }

    /// Where up to `length` next bytes of the current PDU go; `None` where they are dropped.
    pub(super) fn space(&mut self, into: u32, length: usize) -> Option<&mut [u8]> {
        if self.failure.is_some() {
            return None;
        }
        let start = self.received.checked_add(into)? as usize;
        let end = start.checked_add(length)?.min(self.wanted as usize);
        let buffer = self.buffer.as_mut()?.as_mut();
        let end = end.min(buffer.len());
        buffer.get_mut(start..end)
    }

    /// A data PDU is complete (or, where it was damaged, over).
    pub(super) fn end_pdu(&mut self, pdu: DataPdu) {
        self.received = self.received.saturating_add(pdu.length);
        self.next_data_sn = self.next_data_sn.wrapping_add(1);
        if pdu.last {
            self.next_data_sn = 0;
            if self.unsolicited_end.take().is_none() {
                self.solicited.pop_front();
            }
        }
    }

    /// The data that came with the command itself are complete; it had the F bit or not.
    pub(super) fn end_immediate(&mut self, length: u32, last: bool) {
        self.received = length;
        if last {
            self.unsolicited_end = None;
        }
    }

    /// Whether nothing more is to come.
    pub(super) fn is_complete(&self) -> bool {
        let all = self.received >= self.wanted || self.failure.is_some();
        all && self.unsolicited_end.is_none() && self.solicited.is_empty()
    }

    /// Whether data were asked for, or announced, that have not come.
    pub(super) fn awaits_data(&self) -> bool {
        !self.solicited.is_empty() || self.awaits_unsolicited()
    }

    /// Whether data were announced that have not come.
    pub(super) fn awaits_unsolicited(&self) -> bool {
        self.unsolicited_end.is_some()
    }

    /// The next R2T to be sent, if one may be sent now.
    pub(super) fn request(&mut self, target_transfer_tag: u32, parameters: &Parameters) -> Option<Request> {
        let waits = self.unsolicited_end.is_some() || self.failure.is_some() || !self.has_room_for_all();
        if waits || self.solicited.len() >= parameters.max_outstanding_r2t as usize {
            return None;
        }
        let offset = self.requested.max(self.received);
        let length = self.wanted.checked_sub(offset)?.min(parameters.max_burst_length);
        if length == 0 {
            return None;
        }
        self.requested = offset + length;
        self.solicited.push_back(Solicited { target_transfer_tag, end: self.requested });
        let r2t_sn = self.r2t_sn;
        self.r2t_sn += 1;
        Some(Request { r2t_sn, offset, length })
    }

    /// R2Ts sent so far.
    pub(super) fn requests(&self) -> u32 {
        self.r2t_sn
    }
}
