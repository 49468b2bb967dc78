//! The stream from the target, taken apart into headers and data.

use timedisk_iscsi::digest::{self, Running};
use timedisk_iscsi::parameters::Parameters;
use timedisk_iscsi::pdu::layout::BasicHeader;
use timedisk_iscsi::pdu::{HEADER_LENGTH, Response, padded};

use super::{ProtocolError, Session, Tag};

/// Where data of reads go.
pub trait Sink {
    /// The next piece of a command's data, `offset` bytes from their beginning. Pieces of a command come in
    /// order and without gaps, and end anywhere.
    fn data(&mut self, tag: Tag, offset: u32, bytes: &[u8]);
}

/// Drops them.
impl Sink for () {
    fn data(&mut self, _: Tag, _: u32, _: &[u8]) {}
}

/// Bytes that are kept of a data segment that is not the data of a command: sense data, or a rejected header.
const KEPT: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    Data,
    Trailer,
}

/// How far the current PDU is.
#[derive(Debug)]
pub(super) struct Inbox {
    stage: Stage,
    pub(super) header: [u8; HEADER_LENGTH],
    /// Where its data belong, if it is Data-In.
    destination: Option<(Tag, u32)>,
    /// Bytes of its data segment that are still to come.
    remaining: usize,
    padding: usize,
    crc: Option<Running>,
    /// The beginning of its data segment, if it is not Data-In.
    pub(super) kept: Vec<u8>,
    header_digest: bool,
    data_digest: bool,
    limit: usize,
}

impl Inbox {
    pub(super) fn new(parameters: &Parameters) -> Inbox {
        Inbox {
            stage: Stage::Header,
            header: [0; HEADER_LENGTH],
            destination: None,
            remaining: 0,
            padding: 0,
            crc: None,
            kept: Vec::with_capacity(KEPT),
            header_digest: parameters.header_digest,
            data_digest: parameters.data_digest,
            limit: parameters.max_recv_data_segment_length_initiator as usize,
        }
    }
}

/// What a step along the stream has come to.
pub(super) struct Step {
    pub(super) used: usize,
    /// More bytes are needed before it can go on.
    pub(super) is_starved: bool,
}

const STARVED: Step = Step { used: 0, is_starved: true };

impl Session {
    pub(super) fn step(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<Step, ProtocolError> {
        match self.inbox.stage {
            Stage::Header => self.step_header(bytes),
            Stage::Data => Ok(self.step_data(bytes, sink)),
            Stage::Trailer => self.step_trailer(bytes),
        }
    }

    fn step_header(&mut self, bytes: &[u8]) -> Result<Step, ProtocolError> {
        let Some(first) = bytes.first_chunk::<HEADER_LENGTH>() else { return Ok(STARVED) };
        let header = BasicHeader::of(first);
        let covered = HEADER_LENGTH + header.additional_length();
        let used = covered + if self.inbox.header_digest { digest::LENGTH } else { 0 };
        let Some(head) = bytes.get(..used) else { return Ok(STARVED) };
        let (covered, sent) = head.split_at(covered);
        if self.inbox.header_digest && digest::crc32c(covered) != sent {
            return Err(ProtocolError::HeaderDigest);
        }
        let (length, limit) = (header.data_length(), self.inbox.limit);
        if length > limit {
            return Err(ProtocolError::TooLong { length, limit });
        }
        let kind = Response::of(header.opcode).ok_or(ProtocolError::Opcode(header.opcode))?;
        self.inbox.header = *first;
        self.inbox.remaining = length;
        self.inbox.padding = padded(length) - length;
        self.inbox.crc = (self.inbox.data_digest && length > 0).then(Running::new);
        self.inbox.kept.clear();
        self.inbox.destination = match kind {
            Response::DataIn => Some(self.announce_data_in(first)?),
            _ => None,
        };
        if length > 0 {
            self.inbox.stage = Stage::Data;
        } else {
            self.finish(kind)?;
        }
        Ok(Step { used, is_starved: false })
    }

    fn step_data(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Step {
        let inbox = &mut self.inbox;
        let used = inbox.remaining.min(bytes.len());
        let piece = bytes.get(..used).unwrap_or_default();
        if let Some(crc) = &mut inbox.crc {
            crc.update(piece);
        }
        match &mut inbox.destination {
            Some((tag, offset)) => {
                sink.data(*tag, *offset, piece);
                // Within the command's length, which has 32 bits.
                *offset = offset.wrapping_add(used as u32);
            }
            None => {
                let room = KEPT - inbox.kept.len();
                inbox.kept.extend_from_slice(piece.get(..room).unwrap_or(piece));
            }
        }
        inbox.remaining -= used;
        if inbox.remaining == 0 {
            inbox.stage = Stage::Trailer;
        }
        Step { used, is_starved: inbox.remaining > 0 }
    }

    fn step_trailer(&mut self, bytes: &[u8]) -> Result<Step, ProtocolError> {
        let inbox = &mut self.inbox;
        let used = inbox.padding + if inbox.crc.is_some() { digest::LENGTH } else { 0 };
        let Some(trailer) = bytes.get(..used) else { return Ok(STARVED) };
        if let Some(mut crc) = inbox.crc.take() {
            let (padding, sent) = trailer.split_at(inbox.padding);
            crc.update(padding);
            if crc.finish() != sent {
                return Err(ProtocolError::DataDigest);
            }
        }
        inbox.stage = Stage::Header;
        let opcode = BasicHeader::of(&inbox.header).opcode;
        let kind = Response::of(opcode).ok_or(ProtocolError::Opcode(opcode))?;
        self.finish(kind)?;
        Ok(Step { used, is_starved: false })
    }
}
