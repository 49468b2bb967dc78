//! PDUs as they stand on the wire, whole or damaged.

use std::io::{self, Read};
use std::ops::Range;

use timedisk_iscsi::digest::{self, crc32c};
use timedisk_iscsi::pdu::layout::BasicHeader;
use timedisk_iscsi::pdu::{HEADER_LENGTH, Response, data_segment_length, padded};

/// Which digests are in force.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Digests {
    pub(crate) header: bool,
    pub(crate) data: bool,
}

pub(crate) const BOTH_DIGESTS: Digests = Digests { header: true, data: true };

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pdu {
    pub(crate) header: [u8; HEADER_LENGTH],
    pub(crate) additional: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

/// Where a PDU can be damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A byte of the basic header that does not say how long anything is.
    Header,
    HeaderDigest,
    AdditionalHeader,
    Data,
    Padding,
    DataDigest,
}

impl Pdu {
    /// The lengths in the header are filled in.
    pub(crate) fn new(header: [u8; HEADER_LENGTH], data: &[u8]) -> Pdu {
        let mut pdu = Pdu { header, additional: Vec::new(), data: data.to_vec() };
        pdu.header[5..8].copy_from_slice(&data_segment_length(data.len()));
        pdu
    }

    pub(crate) fn with_additional(mut self, bytes: &[u8]) -> Pdu {
        assert!(bytes.len().is_multiple_of(4));
        self.header[4] = (bytes.len() / 4) as u8;
        self.additional = bytes.to_vec();
        self
    }

    pub(crate) fn response(&self) -> Response {
        Response::of(self.header[0]).expect("a target's opcode")
    }

    pub(crate) fn tag(&self) -> u32 {
        BasicHeader::of(&self.header).initiator_task_tag.get()
    }

    pub(crate) fn encode(&self, digests: Digests) -> Vec<u8> {
        self.layout(digests).0
    }

    /// With one bit of this part flipped; `None` where there is no such part.
    pub(crate) fn damaged(&self, part: Part, digests: Digests) -> Option<Vec<u8>> {
        let (mut bytes, parts) = self.layout(digests);
        let range = parts.into_iter().find(|(known, range)| *known == part && !range.is_empty())?.1;
        bytes[(range.start + range.end) / 2] ^= 0x10;
        Some(bytes)
    }

    fn layout(&self, digests: Digests) -> (Vec<u8>, Vec<(Part, Range<usize>)>) {
        let mut bytes = self.header.to_vec();
        // The initiator task tag and what follows it.
        let mut parts = vec![(Part::Header, 16..HEADER_LENGTH)];
        let mut append = |part, bytes: &mut Vec<u8>, more: &[u8]| {
            parts.push((part, bytes.len()..bytes.len() + more.len()));
            bytes.extend_from_slice(more);
        };
        append(Part::AdditionalHeader, &mut bytes, &self.additional);
        if digests.header {
            let digest = crc32c(&bytes);
            append(Part::HeaderDigest, &mut bytes, &digest);
        }
        let start = bytes.len();
        append(Part::Data, &mut bytes, &self.data);
        append(Part::Padding, &mut bytes, &[0; 3][..padded(self.data.len()) - self.data.len()]);
        if digests.data && !self.data.is_empty() {
            let digest = crc32c(&bytes[start..]);
            append(Part::DataDigest, &mut bytes, &digest);
        }
        (bytes, parts)
    }

    /// Reads a PDU and checks its digests.
    pub(crate) fn read(from: &mut impl Read, digests: Digests) -> io::Result<Pdu> {
        let mut header = [0; HEADER_LENGTH];
        from.read_exact(&mut header)?;
        let basic = BasicHeader::of(&header);
        let mut head = header.to_vec();
        head.extend(read_some(from, basic.additional_length())?);
        if digests.header {
            assert_eq!(read_some(from, digest::LENGTH)?, crc32c(&head), "header digest of {header:02x?}");
        }
        let mut data = read_some(from, padded(basic.data_length()))?;
        if digests.data && !data.is_empty() {
            assert_eq!(read_some(from, digest::LENGTH)?, crc32c(&data), "data digest of {header:02x?}");
        }
        data.truncate(basic.data_length());
        Ok(Pdu { header, additional: head.split_off(HEADER_LENGTH), data })
    }
}

fn read_some(from: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[test]
#[should_panic(expected = "data digest")]
fn damaged_data_would_be_noticed() {
    let damaged = Pdu::new([0; HEADER_LENGTH], b"data").damaged(Part::Data, BOTH_DIGESTS).unwrap();
    let _ = Pdu::read(&mut damaged.as_slice(), BOTH_DIGESTS);
}

#[test]
#[should_panic(expected = "header digest")]
fn a_damaged_header_would_be_noticed() {
    let damaged = Pdu::new([0; HEADER_LENGTH], b"data").damaged(Part::Header, BOTH_DIGESTS).unwrap();
    let _ = Pdu::read(&mut damaged.as_slice(), BOTH_DIGESTS);
}
