//! What each PDU of the target means (RFC 7143 §11).

use timedisk_iscsi::pdu::{HEADER_LENGTH, IMMEDIATE, NO_TAG, Request, Response, layout};

use super::command::Direction;
use super::{Burst, FINAL, LOGOUT_TAG, Logout, Outcome, ProtocolError, Residual, Session, Tag};
use crate::sense::Sense;

/// S: the status is in this Data-In (RFC 7143 §11.7.3).
const HAS_STATUS: u8 = 0x01;
/// O and U of SCSI Response and Data-In (§11.4.1).
const OVERFLOW: u8 = 0x04;
const UNDERFLOW: u8 = 0x02;

/// Bytes of answers to pings that may wait for a target that does not read them.
const MOST_ANSWERS: usize = 1 << 20;

const DATA_IN: &str = "Data-In";
const R2T: &str = "R2T";

impl Session {
    /// Looks at the header of Data-In before the data are taken: where they belong.
    pub(super) fn announce_data_in(
        &mut self,
        header: &[u8; HEADER_LENGTH],
    ) -> Result<(Tag, u32), ProtocolError> {
        let header = layout::DataIn::of(header);
        let [a, b, c] = header.data_segment_length;
        let length = u32::from_be_bytes([0, a, b, c]);
        let tag = header.initiator_task_tag.get();
        let slot = self.slot(tag, DATA_IN)?;
        if slot.direction != Direction::Read {
            return Err(ProtocolError::Direction(DATA_IN));
        }
        let (number, offset) = (header.data_sn.get(), header.buffer_offset.get());
        if number != slot.next_number {
            return Err(ProtocolError::Number { what: DATA_IN, expected: slot.next_number, found: number });
        }
        if offset != slot.moved {
            return Err(ProtocolError::Offset { what: DATA_IN, expected: slot.moved, found: offset });
        }
        let end = u64::from(offset) + u64::from(length);
        if end > u64::from(slot.length) {
            return Err(ProtocolError::Overrun { what: DATA_IN, end, length: slot.length });
        }
        if length == 0 && header.flags & HAS_STATUS == 0 {
            // Or a target could send them for ever.
            return Err(ProtocolError::Malformed("a Data-In without data and without status"));
        }
        slot.next_number = number.wrapping_add(1);
        slot.moved = offset + length;
        Ok((Tag(tag), offset))
    }

    /// The PDU in the inbox has come to its end.
    pub(super) fn finish(&mut self, kind: Response) -> Result<(), ProtocolError> {
        match kind {
            Response::DataIn => self.data_in(),
            Response::ScsiResponse => self.scsi_response(),
            Response::ReadyToTransfer => self.ready_to_transfer(),
            Response::NopIn => self.nop_in(),
            Response::AsyncMessage => self.async_message(),
            Response::Logout => self.logout_response(),
            Response::Reject => self.reject(),
            Response::TaskManagement | Response::Login | Response::Text => {
                Err(ProtocolError::Opcode(kind as u8))
            }
        }
    }

    fn data_in(&mut self) -> Result<(), ProtocolError> {
        let header = layout::DataIn::of(&self.inbox.header);
        self.window.open(header.exp_cmd_sn.get(), header.max_cmd_sn.get());
        if header.flags & HAS_STATUS == 0 {
            return Ok(());
        }
        if header.flags & FINAL == 0 {
            return Err(ProtocolError::Malformed("a status with a Data-In that is not the last"));
        }
        self.count_status(header.stat_sn.get())?;
        let tag = header.initiator_task_tag.get();
        let moved = self.slot(tag, DATA_IN)?.moved;
        let residual = residual(header.flags, header.residual_count.get());
        self.complete(Tag(tag), Outcome { response: 0, status: header.status, moved, residual, sense: None });
        Ok(())
    }

    fn scsi_response(&mut self) -> Result<(), ProtocolError> {
        let header = layout::ScsiResponse::of(&self.inbox.header);
        self.count_status(header.stat_sn.get())?;
        self.window.open(header.exp_cmd_sn.get(), header.max_cmd_sn.get());
        let tag = header.initiator_task_tag.get();
        let moved = self.slot(tag, "SCSI Response")?.moved;
        let sense = sense_data(&self.inbox.kept).and_then(Sense::of);
        let residual = residual(header.flags, header.residual_count.get());
        let outcome = Outcome { response: header.response, status: header.status, moved, residual, sense };
        self.complete(Tag(tag), outcome);
        Ok(())
    }

    fn ready_to_transfer(&mut self) -> Result<(), ProtocolError> {
        let header = layout::ReadyToTransfer::of(&self.inbox.header);
        self.window.open(header.exp_cmd_sn.get(), header.max_cmd_sn.get());
        let limit = self.terms.parameters.max_burst_length;
        let tag = header.initiator_task_tag.get();
        let slot = self.slot(tag, R2T)?;
        let Some(payload) = slot.payload().cloned() else { return Err(ProtocolError::Direction(R2T)) };
        let (number, start) = (header.r2t_sn.get(), header.buffer_offset.get());
        if number != slot.next_number {
            return Err(ProtocolError::Number { what: R2T, expected: slot.next_number, found: number });
        }
        if start != slot.moved {
            return Err(ProtocolError::Offset { what: R2T, expected: slot.moved, found: start });
        }
        let length = header.desired_data_transfer_length.get();
        if length == 0 || length > limit {
            return Err(ProtocolError::Burst { length, limit });
        }
        let end = match start.checked_add(length) {
            Some(end) if end <= slot.length => end,
            _ => {
                let end = u64::from(start) + u64::from(length);
                return Err(ProtocolError::Overrun { what: R2T, end, length: slot.length });
            }
        };
        let transfer_tag = header.target_transfer_tag.get();
        if transfer_tag == NO_TAG {
            return Err(ProtocolError::Malformed("an R2T without a target transfer tag"));
        }
        slot.next_number = number.wrapping_add(1);
        slot.moved = end;
        let burst = Burst { tag: Tag(tag), lun: slot.lun, transfer_tag, start, end };
        self.push_data(&burst, &payload);
        Ok(())
    }

    /// §11.19. We send no pings of our own, so that a NOP-In can only ask for an answer, or show numbers.
    fn nop_in(&mut self) -> Result<(), ProtocolError> {
        let header = layout::TextResponse::of(&self.inbox.header);
        let tag = header.initiator_task_tag.get();
        if tag != NO_TAG {
            return Err(ProtocolError::UnknownTag { what: "NOP-In", tag });
        }
        self.window.open(header.exp_cmd_sn.get(), header.max_cmd_sn.get());
        let transfer_tag = header.target_transfer_tag.get();
        if transfer_tag == NO_TAG {
            return Ok(());
        }
        if self.outbox.own_bytes() > MOST_ANSWERS {
            return Err(ProtocolError::Flood);
        }
        let mut answer = layout::TextRequest::zeroed();
        answer.opcode = Request::NopOut as u8 | IMMEDIATE;
        answer.flags = FINAL;
        answer.lun = header.lun;
        answer.initiator_task_tag = NO_TAG.into();
        answer.target_transfer_tag = transfer_tag.into();
        answer.cmd_sn = self.window.next().into();
        answer.exp_stat_sn = self.terms.exp_stat_sn.into();
        self.outbox.push(answer.bytes(), None);
        Ok(())
    }

    fn async_message(&mut self) -> Result<(), ProtocolError> {
        let header = layout::AsyncMessage::of(&self.inbox.header);
        self.count_status(header.stat_sn.get())?;
        self.window.open(header.exp_cmd_sn.get(), header.max_cmd_sn.get());
        match header.event {
            // A logical unit has changed: the next command tells, too.
            0 => Ok(()),
            1 => Err(ProtocolError::Ended("asks us to log out: it shuts down, or the disk is taken away")),
            2 => Err(ProtocolError::Ended("drops this connection")),
            3 => Err(ProtocolError::Ended("drops the connections of this session")),
            // A wish to negotiate may be left unanswered until the target ends the session itself.
            4 => Ok(()),
            5 => Err(ProtocolError::Ended("has ended all tasks: the logical unit is gone or was reset")),
            _ => Ok(()),
        }
    }

    fn logout_response(&mut self) -> Result<(), ProtocolError> {
        let header = layout::ShortResponse::of(&self.inbox.header);
        self.count_status(header.stat_sn.get())?;
        let tag = header.initiator_task_tag.get();
        if self.logout != Logout::Asked || tag != LOGOUT_TAG {
            return Err(ProtocolError::UnknownTag { what: "Logout Response", tag });
        }
        if header.response != 0 {
            return Err(ProtocolError::Logout(header.response));
        }
        self.logout = Logout::Done;
        Ok(())
    }

    fn reject(&mut self) -> Result<(), ProtocolError> {
        let header = layout::TextResponse::of(&self.inbox.header);
        let opcode = self.inbox.kept.first().map_or(0x3f, |byte| byte & 0x3f);
        Err(ProtocolError::Rejected { reason: reject_reason(header.reason), opcode })
    }

    /// StatSN: each status has to come, once and in order (RFC 7143 §4.2.2.2).
    fn count_status(&mut self, found: u32) -> Result<(), ProtocolError> {
        let expected = self.terms.exp_stat_sn;
        if found != expected {
            return Err(ProtocolError::StatusNumber { expected, found });
        }
        self.terms.exp_stat_sn = expected.wrapping_add(1);
        Ok(())
    }
}

/// Their length stands before them (§11.4.7.2). Of a length that is greater than the segment, the segment's part.
fn sense_data(segment: &[u8]) -> Option<&[u8]> {
    let (length, rest) = segment.split_first_chunk::<2>()?;
    Some(rest.get(..u16::from_be_bytes(*length).into()).unwrap_or(rest))
}

fn residual(flags: u8, count: u32) -> Residual {
    match flags & (OVERFLOW | UNDERFLOW) {
        OVERFLOW => Residual::Overflow(count),
        UNDERFLOW => Residual::Underflow(count),
        _ => Residual::None,
    }
}

/// RFC 7143 §11.17.1
fn reject_reason(reason: u8) -> &'static str {
    match reason {
        0x02 => "data digest error",
        0x03 => "SNACK reject",
        0x04 => "protocol error",
        0x05 => "command not supported",
        0x06 => "too many immediate commands",
        0x07 => "task in progress",
        0x08 => "invalid data ACK",
        0x09 => "invalid PDU field",
        0x0a => "out of resources",
        0x0b => "negotiation reset",
        0x0c => "waiting for logout",
        _ => "for a reason that is not in the standard",
    }
}
