//! The parameter lists of EXTENDED COPY (SPC-4 6.4.3 to 6.4.6): with list identifiers of one byte (LID1), and of four
//! (LID4).

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

/// Bytes before the first descriptor.
const SHORT_HEADER: usize = 16;
const LONG_HEADER: usize = 48;

/// What a list with an identifier of four bytes says of itself: its format, and how long and of which type its own
/// header is, taken for a descriptor.
const LONG_FORMAT: u8 = 0x01;
const LONG_HEADER_LENGTH: u64 = 0x20;
const LONG_HEADER_TYPE: u8 = 0xff;

const UNIT_DESCRIPTOR: usize = 32;

/// Stands for the logical unit that the command is sent to, in place of the index of a descriptor (SPC-4 6.4.4).
pub(crate) const OWN_UNIT: u16 = 0xffff;

/// LIST ID USAGE that wants no results kept.
const DISCARD: u8 = 0b11;

/// What is to be copied.
#[derive(Debug)]
pub(super) struct List {
    /// LIST IDENTIFIER, if the results are to be had with it.
    pub(super) identifier: Option<u32>,
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

/// What the header says of what follows, in bytes, and of the list identifier.
struct Header {
    length: usize,
    units: usize,
    segments: usize,
    inline: usize,
    identifier: u32,
}

impl List {
    /// With an identifier of one byte.
    pub(super) fn read_short(bytes: &[u8]) -> Result<List, Stop> {
        let header = bytes.get(..SHORT_HEADER).ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
        let [units, segments, inline] =
            [(2, 2), (8, 4), (12, 4)].map(|(at, width)| number(header, at, width) as usize);
        let identifier = header[0].into();
        Self::read(bytes, Header { length: SHORT_HEADER, units, segments, inline, identifier })
    }

    /// With an identifier of four bytes. IMMED changes nothing: the answer comes when all is copied.
    pub(super) fn read_long(bytes: &[u8]) -> Result<List, Stop> {
        let header = bytes.get(..LONG_HEADER).ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
        let refused = |byte, bit: Option<u8>| Err(Sense::invalid_parameter(byte, bit).into());
        if header[0] != LONG_FORMAT {
            return refused(0, None);
        }
        if number(header, 2, 2) != LONG_HEADER_LENGTH {
            return refused(2, None);
        }
        let wants_sense_with_good = header[15] & 0x02 != 0;
        if wants_sense_with_good {
            return refused(15, Some(1));
        }
        if header[16] != LONG_HEADER_TYPE {
            return refused(16, None);
        }
        let [units, segments, inline] = [42, 44, 46].map(|at| number(header, at, 2) as usize);
        let identifier = number(header, 20, 4) as u32;
        Self::read(bytes, Header { length: LONG_HEADER, units, segments, inline, identifier })
    }

    fn read(bytes: &[u8], header: Header) -> Result<List, Stop> {
        let wrong_length = || Stop::from(&PARAMETER_LIST_LENGTH_ERROR);
        let Header { length, units, segments, inline, identifier } = header;
        if units + segments > MOST_DESCRIPTOR_BYTES as usize {
            return Err(wrong_length());
        }
        if inline > 0 {
            return Err((&INLINE_DATA_LENGTH_EXCEEDED).into());
        }
        let rest = bytes.get(length..).ok_or_else(wrong_length)?;
        let (units, rest) = rest.split_at_checked(units).ok_or_else(wrong_length)?;
        let segments = rest.get(..segments).ok_or_else(wrong_length)?;
        let usage = bytes.get(1).map_or(0, |flags| flags >> 3 & 0b11);
        if usage == 0b01 {
            return Err(Sense::invalid_parameter(1, 4).into());
        }
        let identifier = (usage != DISCARD).then_some(identifier);
        let segments_at = length + units.len();
        Ok(List {
            identifier,
            units: read_units(units, length)?,
            segments: read_segments(segments, segments_at)?,
        })
    }
}

fn read_units(bytes: &[u8], begin: usize) -> Result<Vec<Named>, Stop> {
    if !bytes.len().is_multiple_of(UNIT_DESCRIPTOR) {
        return Err((&PARAMETER_LIST_LENGTH_ERROR).into());
    }
    if bytes.len() / UNIT_DESCRIPTOR > usize::from(MOST_UNITS) {
        return Err((&TOO_MANY_TARGET_DESCRIPTORS).into());
    }
    bytes
        .chunks(UNIT_DESCRIPTOR)
        .enumerate()
        .map(|(index, one)| read_unit(one, begin + index * UNIT_DESCRIPTOR))
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
