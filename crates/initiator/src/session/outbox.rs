//! PDUs that wait to be sent, as a stream of bytes in few pieces.
//!
//! Headers, digests, padding and short data lie side by side in one buffer; long data are sent from where
//! they are.

use std::collections::VecDeque;
use std::io::IoSlice;

use timedisk_iscsi::digest::{self, Running};
use timedisk_iscsi::pdu::{HEADER_LENGTH, data_segment_length, padded};

use super::command::Payload;

/// Data up to this many bytes are copied behind their header: cheaper than a slice of their own.
const COPIED: usize = 512;

#[derive(Debug)]
enum Piece {
    /// The next so many bytes of the buffer.
    Own(usize),
    Shared(Payload),
}

impl Piece {
    fn length(&self) -> usize {
        match self {
            Piece::Own(length) => *length,
            Piece::Shared(payload) => payload.length() as usize,
        }
    }
}

/// The stream to the target.
#[derive(Debug)]
pub(super) struct Outbox {
    own: Vec<u8>,
    /// Bytes of `own` that belong to pieces that are gone.
    gone: usize,
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that are gone.
    gone_of_first: usize,
    header_digest: bool,
    data_digest: bool,
}

impl Outbox {
    pub(super) fn new(header_digest: bool, data_digest: bool) -> Outbox {
        Outbox {
            own: Vec::new(),
            gone: 0,
            pieces: VecDeque::new(),
            gone_of_first: 0,
            header_digest,
            data_digest,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes that wait besides shared data.
    pub(super) fn own_bytes(&self) -> usize {
        self.own.len() - self.gone
    }

    /// Queues a PDU. The length of its data segment is filled in here.
    pub(super) fn push(&mut self, mut header: [u8; HEADER_LENGTH], data: Option<Payload>) {
        let Some(data) = data.filter(|data| data.length() > 0) else {
            return self.head(&header);
        };
        let length = data.length() as usize;
        if let Some(field) = header.get_mut(5..8) {
            field.copy_from_slice(&data_segment_length(length));
        }
        self.head(&header);
        let padding = [0; 3];
        let padding = padding.get(..padded(length) - length).unwrap_or_default();
        let digest = self.data_digest.then(|| {
            let mut crc = Running::new();
            crc.update(data.bytes());
            crc.update(padding);
            crc.finish()
        });
        match length <= COPIED {
            true => self.copy(data.bytes()),
            false => self.pieces.push_back(Piece::Shared(data)),
        }
        self.copy(padding);
        if let Some(digest) = digest {
            self.copy(&digest);
        }
    }

    fn head(&mut self, header: &[u8; HEADER_LENGTH]) {
        self.copy(header);
        if self.header_digest {
            self.copy(&digest::crc32c(header));
        }
    }

    fn copy(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.own.extend_from_slice(bytes);
        match self.pieces.back_mut() {
            Some(Piece::Own(length)) => *length += bytes.len(),
            _ => self.pieces.push_back(Piece::Own(bytes.len())),
        }
    }

    /// All of it, where it lies in one piece.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        match self.pieces.front() {
            Some(Piece::Own(length)) if self.pieces.len() == 1 => {
                self.own.get(self.gone + self.gone_of_first..self.gone + length)
            }
            _ => None,
        }
    }

    /// Fills in what is to be sent next; says how many slices there are.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let (mut skip, mut own) = (self.gone_of_first, self.gone);
        let mut count = 0;
        for (place, piece) in slices.iter_mut().zip(&self.pieces) {
            let bytes = match piece {
                Piece::Own(length) => {
                    own += length;
                    self.own.get(own - length..own).unwrap_or_default()
                }
                Piece::Shared(payload) => payload.bytes(),
            };
            *place = IoSlice::new(bytes.get(skip..).unwrap_or_default());
            (skip, count) = (0, count + 1);
        }
        count
    }

    /// Takes note of bytes that are gone.
    pub(super) fn sent(&mut self, count: usize) {
        let mut left = self.gone_of_first + count;
        while let Some(first) = self.pieces.front() {
            let length = first.length();
            if left < length {
                break;
            }
            left -= length;
            if let Piece::Own(length) = first {
                self.gone += length;
            }
            self.pieces.pop_front();
        }
        debug_assert!(left == 0 || !self.pieces.is_empty(), "more was sent than was queued");
        self.gone_of_first = left;
        if self.pieces.is_empty() {
            self.own.clear();
            (self.gone, self.gone_of_first) = (0, 0);
        } else if self.gone > 1 << 16 && self.gone > self.own.len() / 2 {
            self.own.drain(..self.gone);
            self.gone = 0;
        }
    }
}
