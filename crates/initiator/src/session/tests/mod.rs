//! Sessions against targets that behave and that do not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod hostile;
mod reads;
mod security;
mod writes;

use std::io::IoSlice;
use std::sync::Arc;

use timedisk_iscsi::digest;
use timedisk_iscsi::parameters::Parameters;
use timedisk_iscsi::pdu::layout::{self, BasicHeader};
use timedisk_iscsi::pdu::{HEADER_LENGTH, NO_TAG, Response, data_segment_length, padded};

use super::*;

/// A sink that keeps what comes, and sees to it that it comes in order.
#[derive(Default)]
struct Kept(Vec<u8>);

impl Sink for Kept {
    fn data(&mut self, _: Tag, offset: u32, bytes: &[u8]) {
        assert_eq!(offset as usize, self.0.len(), "pieces come in order and without gaps");
        self.0.extend_from_slice(bytes);
    }
}

fn terms(parameters: Parameters) -> Terms {
    // Numbers wrap around soon.
    Terms {
        parameters,
        cid: 0,
        tsih: 1,
        cmd_sn: 0xffff_fffe,
        max_cmd_sn: 0x0000_0010,
        exp_stat_sn: 0xffff_ffff,
    }
}

fn parameters() -> Parameters {
    Parameters {
        max_recv_data_segment_length_initiator: 1 << 20,
        max_recv_data_segment_length_target: 8192,
        max_burst_length: 1 << 18,
        ..Parameters::default()
    }
}

fn session() -> Session {
    Session::new(terms(parameters()), 8)
}

fn read(length: u32) -> Command {
    Command::new(0, [0; 16], Transfer::Read(length))
}

fn write(bytes: &[u8]) -> Command {
    let bytes: Arc<[u8]> = bytes.into();
    Command::new(0, [0; 16], Transfer::Write(Payload::new(&bytes, 0..bytes.len()).unwrap()))
}

/// The target's end of a connection.
#[derive(Clone)]
struct Target {
    stat_sn: u32,
    exp_cmd_sn: u32,
    max_cmd_sn: u32,
    header_digest: bool,
    data_digest: bool,
}

impl Target {
    fn of(session: &Session) -> Target {
        let terms = &session.terms;
        Target {
            stat_sn: terms.exp_stat_sn,
            exp_cmd_sn: session.window.next(),
            max_cmd_sn: terms.max_cmd_sn,
            header_digest: terms.parameters.header_digest,
            data_digest: terms.parameters.data_digest,
        }
    }

    /// A PDU as it stands on the wire.
    fn encode(&self, mut header: [u8; HEADER_LENGTH], data: &[u8]) -> Vec<u8> {
        header[5..8].copy_from_slice(&data_segment_length(data.len()));
        let mut bytes = header.to_vec();
        if self.header_digest {
            bytes.extend(digest::crc32c(&header));
        }
        let mut segment = data.to_vec();
        segment.resize(padded(data.len()), 0);
        bytes.extend(&segment);
        if self.data_digest && !data.is_empty() {
            bytes.extend(digest::crc32c(&segment));
        }
        bytes
    }

    fn data_in(&mut self, tag: u32, number: u32, offset: u32, data: &[u8], status: Option<u8>) -> Vec<u8> {
        let mut header = layout::DataIn::zeroed();
        header.opcode = Response::DataIn as u8;
        header.initiator_task_tag = tag.into();
        header.target_transfer_tag = NO_TAG.into();
        header.exp_cmd_sn = self.exp_cmd_sn.into();
        header.max_cmd_sn = self.max_cmd_sn.into();
        header.data_sn = number.into();
        header.buffer_offset = offset.into();
        if let Some(status) = status {
            header.flags = 0x81;
            header.status = status;
            header.stat_sn = self.stat_sn.into();
            self.stat_sn = self.stat_sn.wrapping_add(1);
        }
        self.encode(header.bytes(), data)
    }

    fn response(&mut self, tag: u32, status: u8, sense: &[u8]) -> Vec<u8> {
        let mut header = layout::ScsiResponse::zeroed();
        header.opcode = Response::ScsiResponse as u8;
        header.flags = 0x80;
        header.status = status;
        header.initiator_task_tag = tag.into();
        header.stat_sn = self.stat_sn.into();
        header.exp_cmd_sn = self.exp_cmd_sn.into();
        header.max_cmd_sn = self.max_cmd_sn.into();
        self.stat_sn = self.stat_sn.wrapping_add(1);
        let mut data = Vec::new();
        if !sense.is_empty() {
            data.extend((sense.len() as u16).to_be_bytes());
            data.extend(sense);
        }
        self.encode(header.bytes(), &data)
    }

    fn ready(&self, tag: u32, number: u32, offset: u32, length: u32) -> Vec<u8> {
        let mut header = layout::ReadyToTransfer::zeroed();
        header.opcode = Response::ReadyToTransfer as u8;
        header.flags = 0x80;
        header.initiator_task_tag = tag.into();
        header.target_transfer_tag = 77.into();
        header.stat_sn = self.stat_sn.into();
        header.exp_cmd_sn = self.exp_cmd_sn.into();
        header.max_cmd_sn = self.max_cmd_sn.into();
        header.r2t_sn = number.into();
        header.buffer_offset = offset.into();
        header.desired_data_transfer_length = length.into();
        self.encode(header.bytes(), &[])
    }

    /// NOP-In, Text Response or Reject.
    fn text_like(&self, kind: Response, tag: u32, transfer_tag: u32, data: &[u8]) -> Vec<u8> {
        let mut header = layout::TextResponse::zeroed();
        header.opcode = kind as u8;
        header.flags = 0x80;
        header.reason = 4;
        header.initiator_task_tag = tag.into();
        header.target_transfer_tag = transfer_tag.into();
        header.stat_sn = self.stat_sn.into();
        header.exp_cmd_sn = self.exp_cmd_sn.into();
        header.max_cmd_sn = self.max_cmd_sn.into();
        self.encode(header.bytes(), data)
    }

    fn event(&mut self, event: u8) -> Vec<u8> {
        let mut header = layout::AsyncMessage::zeroed();
        header.opcode = Response::AsyncMessage as u8;
        header.flags = 0x80;
        header.initiator_task_tag = NO_TAG.into();
        header.stat_sn = self.stat_sn.into();
        header.exp_cmd_sn = self.exp_cmd_sn.into();
        header.max_cmd_sn = self.max_cmd_sn.into();
        header.event = event;
        self.stat_sn = self.stat_sn.wrapping_add(1);
        self.encode(header.bytes(), &[])
    }

    /// What an initiator has sent, PDU by PDU, with digests and padding checked.
    fn decode(&self, mut bytes: &[u8]) -> Vec<([u8; HEADER_LENGTH], Vec<u8>)> {
        let mut found = Vec::new();
        while let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LENGTH>() {
            let length = BasicHeader::of(header).data_length();
            let rest = match self.header_digest {
                true => {
                    assert_eq!(rest[..4], digest::crc32c(header));
                    &rest[4..]
                }
                false => rest,
            };
            let (segment, mut rest) = rest.split_at(padded(length));
            assert!(segment[length..].iter().all(|byte| *byte == 0), "padding is zeros");
            if self.data_digest && length > 0 {
                assert_eq!(rest[..4], digest::crc32c(segment));
                rest = &rest[4..];
            }
            found.push((*header, segment[..length].to_vec()));
            bytes = rest;
        }
        assert_eq!(bytes, [], "whole PDUs");
        found
    }
}

/// Sends all that waits, in pieces of at most so many bytes.
fn drain(session: &mut Session, most: usize) -> Vec<u8> {
    let mut sent = Vec::new();
    while session.wants_to_send() {
        let mut slices = [IoSlice::new(&[]); 3];
        let count = session.outgoing(&mut slices);
        let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
        let piece = &bytes[..bytes.len().min(most)];
        assert!(!piece.is_empty(), "what wants to be sent is shown");
        sent.extend_from_slice(piece);
        let count = piece.len();
        session.sent(count);
    }
    sent
}

/// Shows a session a stream as a socket would: pieces, with what was left over before them.
fn feed(
    session: &mut Session,
    stream: &[u8],
    pieces: &[usize],
    sink: &mut impl Sink,
) -> Result<(), ProtocolError> {
    let (mut left, mut at) = (Vec::new(), 0);
    let mut lengths = pieces.iter().copied().chain([usize::MAX]);
    while at < stream.len() {
        let length = lengths.next().unwrap_or(usize::MAX).clamp(1, stream.len() - at);
        left.extend_from_slice(&stream[at..at + length]);
        at += length;
        let used = session.receive(&left, sink)?;
        left.drain(..used);
        assert!(left.len() < HEADER_LENGTH + 1020 + 4, "only a header is kept");
    }
    Ok(())
}
