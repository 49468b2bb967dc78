//! From PDUs to a stream of bytes, sent with as few calls as the caller likes.
//!
//! What was read from a disk is sent from where it was read to: the buffer is lent to the transmitter, and PDUs have
//! parts of it.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use crate::digest::{self, Running};
use crate::pdu::{HEADER_LENGTH, data_segment_length, padded};

/// About what a PDU in the queue takes besides its data, in bytes.
const OVERHEAD: usize = 256;

/// The data segment of a PDU to be sent.
#[derive(Debug)]
pub enum Segment {
    /// None.
    Empty,
    /// Made for this PDU.
    Owned(Vec<u8>),
    /// A part of the buffer that was lent last.
    Lent(Range<usize>),
}

/// Buffers that PDUs in the queue have parts of, in the order of the queue.
#[derive(Debug)]
struct Lent<B> {
    buffers: VecDeque<B>,
    /// How many were given back before the first of them.
    returned: u64,
}

impl<B: AsRef<[u8]>> Lent<B> {
    /// The number of the last one.
    fn last(&self) -> u64 {
        (self.returned + self.buffers.len() as u64).saturating_sub(1)
    }

    fn part(&self, number: u64, range: &Range<usize>) -> &[u8] {
        let index = usize::try_from(number.saturating_sub(self.returned)).unwrap_or(usize::MAX);
        let buffer = self.buffers.get(index).map(AsRef::as_ref).unwrap_or_default();
        buffer.get(range.clone()).unwrap_or_default()
    }

    /// Gives back all before this one.
    fn give_back(&mut self, before: u64) {
        while self.returned < before && self.buffers.pop_front().is_some() {
            self.returned += 1;
        }
    }
}

/// A PDU on its way: header (and digest), data, padding (and digest).
#[derive(Debug)]
struct Outgoing {
    head: [u8; HEADER_LENGTH + digest::LENGTH],
    head_length: u8,
    tail: [u8; 3 + digest::LENGTH],
    tail_length: u8,
    data: Data,
    /// Of all its parts.
    length: usize,
    /// Memory that it takes besides buffers of commands, which are accounted for elsewhere. A PDU with a little of such
    /// a buffer keeps more than that.
    own_bytes: usize,
}

#[derive(Debug)]
enum Data {
    Owned(Vec<u8>),
    Lent { buffer: u64, range: Range<usize> },
}

impl Data {
    fn bytes<'a, B: AsRef<[u8]>>(&'a self, lent: &'a Lent<B>) -> &'a [u8] {
        match self {
            Data::Owned(bytes) => bytes,
            Data::Lent { buffer, range } => lent.part(*buffer, range),
        }
    }
}

impl Outgoing {
    fn parts<'a, B: AsRef<[u8]>>(&'a self, lent: &'a Lent<B>) -> [&'a [u8]; 3] {
        [
            self.head.get(..usize::from(self.head_length)).unwrap_or_default(),
            self.data.bytes(lent),
            self.tail.get(..usize::from(self.tail_length)).unwrap_or_default(),
        ]
    }
}

/// The PDUs of one connection that wait to be sent, in order.
#[derive(Debug)]
pub struct Transmitter<B> {
    queue: VecDeque<Outgoing>,
    lent: Lent<B>,
    /// Bytes of the first PDU in the queue that are gone already.
    sent_of_first: usize,
    /// Bytes in the queue.
    queued: usize,
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
            lent: Lent { buffers: VecDeque::new(), returned: 0 },
            sent_of_first: 0,
            queued: 0,
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

    /// Takes a buffer, of which the PDUs have parts that are pushed from now on. It is dropped when they are sent and
    /// another one was lent, or nothing waits any more.
    pub fn lend(&mut self, buffer: B) {
        self.lent.buffers.push_back(buffer);
    }

    /// Queues a PDU. The length of its data segment is filled in here.
    pub fn push(&mut self, mut header: [u8; HEADER_LENGTH], segment: Segment) {
        let data = match segment {
            Segment::Empty => Data::Owned(Vec::new()),
            Segment::Owned(bytes) => Data::Owned(bytes),
            Segment::Lent(range) => Data::Lent { buffer: self.lent.last(), range },
        };
        let outgoing = self.outgoing(&mut header, data);
        self.own_bytes += outgoing.own_bytes;
        self.queued += outgoing.length;
        self.queue.push_back(outgoing);
    }

    fn outgoing(&self, header: &mut [u8; HEADER_LENGTH], segment: Data) -> Outgoing {
        let data = segment.bytes(&self.lent);
        let length = data_segment_length(data.len());
        if let Some(field) = header.get_mut(5..8) {
            field.copy_from_slice(&length);
        }
        let mut head = [0; HEADER_LENGTH + digest::LENGTH];
        let (front, back) = head.split_at_mut(HEADER_LENGTH);
        front.copy_from_slice(header);
        let mut head_length = HEADER_LENGTH;
        if self.header_digest {
            back.copy_from_slice(&digest::crc32c(header));
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
        let own_bytes = match &segment {
            Data::Owned(_) => OVERHEAD + data.len(),
            Data::Lent { .. } => OVERHEAD.saturating_sub(data.len()),
        };
        let length = head_length + data.len() + tail_length;
        let (head_length, tail_length) = (head_length as u8, tail_length as u8);
        Outgoing { head, head_length, tail, tail_length, data: segment, length, own_bytes }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that wait and that nobody else accounts for: what a peer that does not read can make us keep.
    pub fn own_bytes(&self) -> usize {
        self.own_bytes
    }

    /// Bytes that wait, buffers of commands included.
    pub fn queued(&self) -> usize {
        self.queued - self.sent_of_first
    }

    /// Shows what is to be sent next, in as many of the slices as it takes; says how many those are.
    pub fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let (mut filled, mut skip) = (0, self.sent_of_first);
        for part in self.queue.iter().flat_map(|pdu| pdu.parts(&self.lent)) {
            let skipped = skip.min(part.len());
            skip -= skipped;
            let Some(rest) = part.get(skipped..).filter(|rest| !rest.is_empty()) else { continue };
            let Some(slice) = slices.get_mut(filled) else { break };
            *slice = IoSlice::new(rest);
            filled += 1;
        }
        filled
    }

    /// Takes note that `count` bytes of the stream were sent.
    pub fn sent(&mut self, count: usize) {
        self.sent_of_first += count;
        while let Some(first) = self.queue.front() {
            if self.sent_of_first < first.length {
                break;
            }
            self.sent_of_first -= first.length;
            self.queued -= first.length;
            self.own_bytes -= first.own_bytes;
            self.queue.pop_front();
        }
        self.give_back();
    }

    /// Drops the buffers that nothing in the queue has parts of.
    fn give_back(&mut self) {
        let used = self.queue.iter().find_map(|pdu| match pdu.data {
            Data::Lent { buffer, .. } => Some(buffer),
            Data::Owned(_) => None,
        });
        self.lent.give_back(used.unwrap_or(u64::MAX));
        debug_assert!(!self.queue.is_empty() || self.sent_of_first == 0, "more was sent than was queued");
    }
}

impl<B: AsRef<[u8]>> Default for Transmitter<B> {
    fn default() -> Self {
        Self::new()
    }
}
