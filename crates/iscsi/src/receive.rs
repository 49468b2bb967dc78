//! From a stream of bytes to PDUs: header first, then its data, then the verdict on both.
//!
//! The header is shown before the data are read, so that the owner can say where they shall land; long data
//! segments then go from the socket straight to that place. What arrives in small pieces passes through a staging
//! buffer of fixed size, which is all the memory that this needs.

use crate::digest::{self, Running};
use crate::pdu::{HEADER_LENGTH, layout::BasicHeader, padded};

/// Bytes of the staging buffer: several small PDUs, and any header with its additional segments.
pub const STAGING_LENGTH: usize = 64 * 1024;

/// A data segment with fewer bytes left than this goes through the staging buffer.
const DIRECT_MINIMUM: usize = 4096;

/// Why the stream can't be followed any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// RFC 7143 §7.8: without a trustworthy length, the next PDU can't be found.
    #[error("a header's digest does not fit it")]
    HeaderDigest,
    /// The peer ignores the MaxRecvDataSegmentLength that was declared to it (RFC 7143 §13.12).
    #[error("a data segment of {length} bytes, where at most {limit} were allowed")]
    TooLong {
        /// Bytes that the header announces.
        length: usize,
        /// Bytes that were declared.
        limit: usize,
    },
}

/// What comes next in the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// Not known before more bytes arrive.
    Nothing,
    /// A new PDU's header, checked, with its additional header segments.
    Header(&'a [u8; HEADER_LENGTH], &'a [u8]),
    /// The next piece of its data segment.
    Data(&'a [u8]),
    /// Its end.
    End {
        /// Whether the data digest fits (always, where there is none).
        intact: bool,
    },
}

#[derive(Debug)]
enum State {
    Header,
    Data { remaining: usize, padding: usize },
}

/// Follows the stream of one connection.
#[derive(Debug)]
pub struct Receiver {
    staging: Vec<u8>,
    start: usize,
    end: usize,
    state: State,
    /// Of the current data segment, where data digests are on.
    crc: Option<Running>,
    header_digest: bool,
    data_digest: bool,
    data_limit: usize,
}

impl Receiver {
    /// For a new connection: no digests, and data segments of at most `data_limit` bytes.
    pub fn new(data_limit: usize) -> Self {
        Receiver {
            staging: vec![0; STAGING_LENGTH],
            start: 0,
            end: 0,
            state: State::Header,
            crc: None,
            header_digest: false,
            data_digest: false,
            data_limit,
        }
    }

    /// What was negotiated; from the next PDU on.
    pub fn configure(&mut self, header_digest: bool, data_digest: bool, data_limit: usize) {
        self.header_digest = header_digest;
        self.data_digest = data_digest;
        self.data_limit = data_limit;
    }

    /// How many bytes of the current data segment may be received past the staging buffer: none, while bytes of it
    /// are still in there.
    pub fn direct(&self) -> Option<usize> {
        match self.state {
            State::Data { remaining, .. } if remaining >= DIRECT_MINIMUM && self.start == self.end => {
                Some(remaining)
            }
            _ => None,
        }
    }

    /// Takes note of data that went past the staging buffer: at most what [`direct`](Receiver::direct) said.
    pub fn took_directly(&mut self, bytes: &[u8]) {
        if let State::Data { remaining, .. } = &mut self.state {
            debug_assert!(bytes.len() <= *remaining);
            *remaining = remaining.saturating_sub(bytes.len());
            if let Some(crc) = &mut self.crc {
                crc.update(bytes);
            }
        }
    }

    /// Where the next bytes of the stream go. Never empty after [`advance`](Receiver::advance) has said
    /// [`Incoming::Nothing`].
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 && self.staging.len() - self.end < STAGING_LENGTH / 2 {
            self.staging.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        self.staging.get_mut(self.end..).unwrap_or_default()
    }

    /// Takes note of `count` bytes written to [`space`](Receiver::space).
    pub fn took(&mut self, count: usize) {
        self.end = (self.end + count).min(self.staging.len());
    }

    /// What comes next.
    pub fn advance(&mut self) -> Result<Incoming<'_>, ReceiveError> {
        match self.state {
            State::Header => self.next_header(),
            State::Data { remaining: 0, .. } => Ok(self.next_end()),
            State::Data { .. } => Ok(self.next_data()),
        }
    }

    fn waiting(&self) -> &[u8] {
        self.staging.get(self.start..self.end).unwrap_or_default()
    }

    fn next_header(&mut self) -> Result<Incoming<'_>, ReceiveError> {
        let Some(bytes) = self.waiting().first_chunk::<HEADER_LENGTH>() else { return Ok(Incoming::Nothing) };
        let header = BasicHeader::of(bytes);
        let (additional, data) = (header.additional_length(), header.data_length());
        let covered = HEADER_LENGTH + additional;
        let whole = covered + if self.header_digest { digest::LENGTH } else { 0 };
        let Some(head) = self.waiting().get(..whole) else { return Ok(Incoming::Nothing) };
        let (covered_bytes, sent_digest) = head.split_at(covered);
        if self.header_digest && digest::crc32c(covered_bytes) != sent_digest {
            return Err(ReceiveError::HeaderDigest);
        }
        if data > self.data_limit {
            return Err(ReceiveError::TooLong { length: data, limit: self.data_limit });
        }
        self.crc = (self.data_digest && data > 0).then(Running::new);
        self.state = State::Data { remaining: data, padding: padded(data) - data };
        let begin = self.start;
        self.start += whole;
        let head = self.staging.get(begin..begin + covered).unwrap_or_default();
        match head.split_first_chunk::<HEADER_LENGTH>() {
            Some((header, additional)) => Ok(Incoming::Header(header, additional)),
            None => Ok(Incoming::Nothing),
        }
    }

    fn next_data(&mut self) -> Incoming<'_> {
        let State::Data { remaining, .. } = &mut self.state else { return Incoming::Nothing };
        let piece = (*remaining).min(self.end - self.start);
        if piece == 0 {
            return Incoming::Nothing;
        }
        let bytes = self.staging.get(self.start..self.start + piece).unwrap_or_default();
        self.start += piece;
        *remaining -= piece;
        if let Some(crc) = &mut self.crc {
            crc.update(bytes);
        }
        Incoming::Data(bytes)
    }

    fn next_end(&mut self) -> Incoming<'_> {
        let State::Data { padding, .. } = &self.state else { return Incoming::Nothing };
        let trailer = padding + if self.crc.is_some() { digest::LENGTH } else { 0 };
        let Some(bytes) = self.waiting().get(..trailer) else { return Incoming::Nothing };
        let (padding_bytes, sent_digest) = bytes.split_at((*padding).min(trailer));
        let intact = match &self.crc {
            None => true,
            Some(crc) => {
                let mut crc = crc.clone();
                crc.update(padding_bytes);
                crc.finish() == sent_digest
            }
        };
        self.start += trailer;
        self.state = State::Header;
        Incoming::End { intact }
    }
}
