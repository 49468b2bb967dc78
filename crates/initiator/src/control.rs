//! Whole PDUs, for the phases in which little is said: login, discovery, logout.

use timedisk_iscsi::pdu::layout::BasicHeader;
use timedisk_iscsi::pdu::{HEADER_LENGTH, data_segment_length, padded};

use crate::session::ProtocolError;

/// Bytes of the longest data segment before something else is agreed on (RFC 7143 §13.12), and what we take
/// then.
pub const SEGMENT_LIMIT: usize = 8192;

/// A PDU with its data, without digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pdu {
    /// Its length fields are filled in by [`encode`](Pdu::encode).
    pub header: [u8; HEADER_LENGTH],
    /// Without padding.
    pub data: Vec<u8>,
}

impl Pdu {
    /// As it stands on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.header.to_vec();
        bytes.splice(5..8, data_segment_length(self.data.len()));
        bytes.extend_from_slice(&self.data);
        bytes.resize(HEADER_LENGTH + padded(self.data.len()), 0);
        bytes
    }

    /// The first PDU of what has arrived, and its length on the wire; `None` until all of it is there.
    ///
    /// # Errors
    /// [`ProtocolError::TooLong`] if its data are longer than [`SEGMENT_LIMIT`].
    pub fn decode(bytes: &[u8]) -> Result<Option<(Pdu, usize)>, ProtocolError> {
        let Some(header) = bytes.first_chunk::<HEADER_LENGTH>() else { return Ok(None) };
        let basic = BasicHeader::of(header);
        let length = basic.data_length();
        if length > SEGMENT_LIMIT {
            return Err(ProtocolError::TooLong { length, limit: SEGMENT_LIMIT });
        }
        let start = HEADER_LENGTH + basic.additional_length();
        let end = start + padded(length);
        let (Some(data), Some(_)) = (bytes.get(start..start + length), bytes.get(..end)) else {
            return Ok(None);
        };
        Ok(Some((Pdu { header: *header, data: data.to_vec() }, end)))
    }
}
