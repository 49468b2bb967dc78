//! The parameter list of EXTENDED COPY (SPC-4 6.4.3 to 6.4.6).

use crate::running::Stop;
use crate::sense::{
    INLINE_DATA_LENGTH_EXCEEDED, PARAMETER_LIST_LENGTH_ERROR, Sense, TOO_MANY_SEGMENT_DESCRIPTORS,
    TOO_MANY_TARGET_DESCRIPTORS, UNSUPPORTED_SEGMENT_DESCRIPTOR, UNSUPPORTED_TARGET_DESCRIPTOR,
};

/// Descriptors of copy sources and copy destinations (CSCD) in one list, and of segments, and bytes of both together.
pub(crate) const MOST_UNITS: u16 = 16;
pub(crate) const MOST_SEGMENTS: u16 = 64;
pub(crate) const MOST_DESCRIPTOR_BYTES: u32 = 4096;

/// Bytes of a parameter list that are taken to look at it at all.
pub(crate) const MOST_BYTES: u64 = 64 * 1024;

/// Descriptor types: of logical units by their identification, of blocks to blocks, the same with offsets in bytes.
pub(crate) const IDENTIFICATION: u8 = 0xe4;
pub(crate) const BLOCKS: u8 = 0x02;
pub(crate) const BLOCKS_WITH_OFFSETS: u8 = 0x0a;

const HEADER: usize = 16;
const UNIT_DESCRIPTOR: usize = 32;

/// LIST ID USAGE that wants no results kept.
const DISCARD: u8 = 0b11;

/// What is to be copied.
#[derive(Debug)]
pub(super) struct List {
    /// LIST IDENTIFIER, if the results are to be had with it.
    pub(super) identifier: Option<u8>,
    pub(super) units: Vec<Named>,
    pub(super) segments: Vec<Segment>,
}

/// A logical unit by its name.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) naa: [u8; 8],
    /// 0 where it is not given.
    pub(super) block_length: u32,
    /// PAD: it makes up for what does not fill a block.
    pub(super) pads: bool,
    /// Where its descriptor begins in the list.
    pub(super) at: usize,
}

/// One end of a copy.
#[derive(Debug)]
pub(super) struct End {
    /// Index of its descriptor.
    pub(super) unit: u16,
    pub(super) lba: u64,
    /// Bytes after that block's beginning.
    pub(super) offset: u64,
}

/// How much a segment copies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Length {
    /// Blocks of the source.
    OfSource(u16),
    /// Blocks of the destination (DC).
    OfDestination(u16),
    Bytes(u32),
}

/// A segment descriptor.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) from: End,
    pub(super) to: End,
    pub(super) length: Length,
    /// CAT: what does not fill a block is for the next segment.
    pub(super) catenates: bool,
    /// Where its descriptor begins in the list, and its length field.
    pub(super) at: usize,
    pub(super) length_at: usize,
}

fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    let bytes = bytes.get(at..at + width).unwrap_or_default();
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl List {
    pub(super) fn read(bytes: &[u8]) -> Result<List, Stop> {
        let wrong_length = || Stop::from(&PARAMETER_LIST_LENGTH_ERROR);
        let (header, rest) = bytes.split_at_checked(HEADER).ok_or_else(wrong_length)?;
        let [units, segments, inline] =
            [(2, 2), (8, 4), (12, 4)].map(|(at, width)| number(header, at, width) as usize);
        if units + segments > MOST_DESCRIPTOR_BYTES as usize {
            return Err(wrong_length());
        }
        if inline > 0 {
            return Err((&INLINE_DATA_LENGTH_EXCEEDED).into());
        }
        let (units, rest) = rest.split_at_checked(units).ok_or_else(wrong_length)?;
        let segments = rest.get(..segments).ok_or_else(wrong_length)?;
        let usage = header[1] >> 3 & 0b11;
        if usage == 0b01 {
            return Err(Sense::invalid_parameter(1, 4).into());
        }
        let identifier = (usage != DISCARD).then_some(header[0]);
        let segments_at = HEADER + units.len();
        Ok(List { identifier, units: read_units(units)?, segments: read_segments(segments, segments_at)? })
    }
}

fn read_units(bytes: &[u8]) -> Result<Vec<Named>, Stop> {
    if !bytes.len().is_multiple_of(UNIT_DESCRIPTOR) {
        return Err((&PARAMETER_LIST_LENGTH_ERROR).into());
    }
    if bytes.len() / UNIT_DESCRIPTOR > usize::from(MOST_UNITS) {
        return Err((&TOO_MANY_TARGET_DESCRIPTORS).into());
    }
    bytes
        .chunks(UNIT_DESCRIPTOR)
        .enumerate()
        .map(|(index, one)| read_unit(one, HEADER + index * 32))
        .collect()
}

/// Logical units are known by their NAA designators; LU ID TYPE and NUL are obsolete.
fn read_unit(one: &[u8], at: usize) -> Result<Named, Stop> {
    if one[0] != IDENTIFICATION {
        return Err((&UNSUPPORTED_TARGET_DESCRIPTOR).into());
    }
    let peripheral_type = one[1] & 0x1f;
    let is_naa = one[4] & 0x0f == 1 && one[5] & 0x3f == 0x03 && one[7] == 8;
    let refused = |byte| Stop::from(Sense::invalid_parameter(at + byte, None));
    if peripheral_type != 0 {
        return Err(refused(1));
    }
    let naa =
        one.get(8..16).and_then(|naa| naa.try_into().ok()).filter(|_| is_naa).ok_or_else(|| refused(4))?;
    Ok(Named { naa, block_length: number(one, 29, 3) as u32, pads: one[28] & 0x04 != 0, at })
}

fn read_segments(mut bytes: &[u8], mut at: usize) -> Result<Vec<Segment>, Stop> {
    let mut segments = Vec::new();
    while !bytes.is_empty() {
        if segments.len() >= usize::from(MOST_SEGMENTS) {
            return Err((&TOO_MANY_SEGMENT_DESCRIPTORS).into());
        }
        let length = match bytes[0] {
            BLOCKS => 28,
            BLOCKS_WITH_OFFSETS => 32,
            _ => return Err((&UNSUPPORTED_SEGMENT_DESCRIPTOR).into()),
        };
        let (one, rest) = bytes.split_at_checked(length).ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
        if number(one, 2, 2) as usize != length - 4 {
            return Err(Sense::invalid_parameter(at + 2, None).into());
        }
        segments.push(read_segment(one, at));
        (bytes, at) = (rest, at + length);
    }
    Ok(segments)
}

fn read_segment(one: &[u8], at: usize) -> Segment {
    let end = |unit, lba, offset: Option<usize>| End {
        unit: number(one, unit, 2) as u16,
        lba: number(one, lba, 8),
        offset: offset.map_or(0, |offset| number(one, offset, 2)),
    };
    if one[0] == BLOCKS_WITH_OFFSETS {
        let length = Length::Bytes(number(one, 8, 4) as u32);
        let (from, to) = (end(4, 12, Some(28)), end(6, 20, Some(30)));
        return Segment { from, to, length, catenates: false, at, length_at: at + 8 };
    }
    let blocks = number(one, 10, 2) as u16;
    let of_destination = one[1] & 0x02 != 0;
    let length = if of_destination { Length::OfDestination(blocks) } else { Length::OfSource(blocks) };
    let (from, to, catenates) = (end(4, 12, None), end(6, 20, None), one[1] & 0x01 != 0);
    Segment { from, to, length, catenates, at, length_at: at + 10 }
}
