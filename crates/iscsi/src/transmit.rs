//! From PDUs to a stream of bytes, sent with as few calls as the caller likes.
//!
//! A data segment may be a part of a shared buffer: what was read from a disk is sent from where it was read to.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

use crate::digest::{self, Running};
use crate::pdu::{HEADER_LENGTH, data_segment_length, padded};

/// About what a PDU in the queue takes besides its data, in bytes.
const OVERHEAD: usize = 256;

/// The data segment of a PDU to be sent.
#[derive(Debug)]
pub enum Segment<B> {
    /// None.
    Empty,
    /// Made for this PDU.
    Owned(Vec<u8>),
    /// A part of a buffer that other PDUs have parts of.
    Shared(Arc<B>, Range<usize>),
}

impl<B: AsRef<[u8]>> Segment<B> {
    fn bytes(&self) -> &[u8] {
        match self {
            Segment::Empty => &[],
            Segment::Owned(bytes) => bytes,
            Segment::Shared(buffer, range) => (**buffer).as_ref().get(range.clone()).unwrap_or_default(),
        }
    }

    /// Memory that the PDU takes besides buffers of commands, which are accounted for elsewhere. A PDU with a little of
    /// such a buffer keeps more than that.
    fn own_bytes(&self) -> usize {
        match self {
            Segment::Shared(..) => OVERHEAD.saturating_sub(self.bytes().len()),
            _ => OVERHEAD + self.bytes().len(),
        }
    }
}

/// A PDU on its way: header (and digest), data, padding (and digest).
#[derive(Debug)]
struct Outgoing<B> {
    head: [u8; HEADER_LENGTH + digest::LENGTH],
    head_length: usize,
    segment: Segment<B>,
    tail: [u8; 3 + digest::LENGTH],
    tail_length: usize,
}

impl<B: AsRef<[u8]>> Outgoing<B> {
    fn parts(&self) -> [&[u8]; 3] {
        [
            self.head.get(..self.head_length).unwrap_or_default(),
            self.segment.bytes(),
            self.tail.get(..self.tail_length).unwrap_or_default(),
        ]
    }

    fn length(&self) -> usize {
        self.parts().iter().map(|part| part.len()).sum()
    }
}

/// The PDUs of one connection that wait to be sent, in order.
#[derive(Debug)]
pub struct Transmitter<B> {
    queue: VecDeque<Outgoing<B>>,
    /// Bytes of the first PDU in the queue that are gone already.
    sent_of_first: usize,
    /// Bytes in the queue that nobody else accounts for.
    own_bytes: usize,
    header_digest: bool,
    data_digest: bool,
}

impl<B: AsRef<[u8]>> Transmitter<B> {
    /// For a new connection: no digests.
    pub fn new() -> Self {
        Transmitter {
            queue: VecDeque::new(),
            sent_of_first: 0,
            own_bytes: 0,
            header_digest: false,
            data_digest: false,
        }
    }

    /// What was negotiated; from the next PDU on.
    pub fn configure(&mut self, header_digest: bool, data_digest: bool) {
        self.header_digest = header_digest;
        self.data_digest = data_digest;
    }

    /// Queues a PDU. The length of its data segment is filled in here.
    pub fn push(&mut self, mut header: [u8; HEADER_LENGTH], segment: Segment<B>) {
        let data = segment.bytes();
        let length = data_segment_length(data.len());
        if let Some(field) = header.get_mut(5..8) {
            field.copy_from_slice(&length);
        }
        let mut head = [0; HEADER_LENGTH + digest::LENGTH];
        let (front, back) = head.split_at_mut(HEADER_LENGTH);
        front.copy_from_slice(&header);
        let mut head_length = HEADER_LENGTH;
        if self.header_digest {
            back.copy_from_slice(&digest::crc32c(&header));
            head_length += digest::LENGTH;
        }
        let padding = padded(data.len()) - data.len();
        let (mut tail, mut tail_length) = ([0; 3 + digest::LENGTH], padding);
        if self.data_digest && !data.is_empty() {
            let mut crc = Running::new();
            crc.update(data);
            crc.update([0; 3].get(..padding).unwrap_or_default());
            tail_length += digest::LENGTH;
            if let Some(field) = tail.get_mut(padding..tail_length) {
                field.copy_from_slice(&crc.finish());
            }
        }
        self.own_bytes += segment.own_bytes();
        self.queue.push_back(Outgoing { head, head_length, segment, tail, tail_length });
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that wait and that nobody else accounts for: what a peer that does not read can make us keep.
    pub fn own_bytes(&self) -> usize {
        self.own_bytes
    }

    /// Appends what is to be sent next, in at most about `most` pieces.
    pub fn slices<'a>(&'a self, most: usize, slices: &mut Vec<IoSlice<'a>>) {
        let mut skip = self.sent_of_first;
        for pdu in &self.queue {
            if slices.len() + 3 > most.max(3) {
                return;
            }
            for part in pdu.parts() {
                let skipped = skip.min(part.len());
                skip -= skipped;
                match part.get(skipped..) {
                    Some(rest) if !rest.is_empty() => slices.push(IoSlice::new(rest)),
                    _ => {}
                }
            }
        }
    }

    /// Takes note that `count` bytes of the stream were sent.
    pub fn sent(&mut self, count: usize) {
        self.sent_of_first += count;
        while let Some(first) = self.queue.front() {
            let length = first.length();
            if self.sent_of_first < length {
                return;
            }
            self.sent_of_first -= length;
            self.own_bytes -= first.segment.own_bytes();
            self.queue.pop_front();
        }
        debug_assert_eq!(self.sent_of_first, 0, "more was sent than was queued");
    }
}

impl<B: AsRef<[u8]>> Default for Transmitter<B> {
    fn default() -> Self {
        Self::new()
    }
}
