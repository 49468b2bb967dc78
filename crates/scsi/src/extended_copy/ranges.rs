//! Block device range descriptors (SBC-3 5.7.3), of POPULATE TOKEN and WRITE USING TOKEN.

use std::ops::Range;

use crate::LogicalUnit;
use crate::cdb::BlockRange;
use crate::running::Stop;
use crate::sense::{PARAMETER_LIST_LENGTH_ERROR, Sense, TOO_MANY_SEGMENT_DESCRIPTORS};

/// Descriptors of one command.
pub(crate) const MOST: u16 = 64;

/// Bytes of all of them together.
pub(crate) const MOST_BYTES: u64 = 256 << 20;

/// Bytes that are well copied with one command.
pub(crate) const OPTIMAL_BYTES: u64 = 64 << 20;

const DESCRIPTOR: usize = 16;

/// The list that begins after its own length field at `length_at`. All blocks are on the disk, and none is named twice.
pub(super) fn read(unit: &LogicalUnit, list: &[u8], length_at: usize) -> Result<Vec<Range<u64>>, Stop> {
    let length = list.get(length_at..length_at + 2).ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let begin = length_at + 2;
    if length < DESCRIPTOR || length % DESCRIPTOR != 0 {
        return Err(Sense::invalid_parameter(length_at, None).into());
    }
    let descriptors = list.get(begin..begin + length).ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
    let (descriptors, _) = descriptors.as_chunks::<DESCRIPTOR>();
    if descriptors.len() > usize::from(MOST) {
        return Err((&TOO_MANY_SEGMENT_DESCRIPTORS).into());
    }
    let (mut ranges, mut bytes) = (Vec::with_capacity(descriptors.len()), 0);
    for (number, descriptor) in descriptors.iter().enumerate() {
        let at = begin + number * DESCRIPTOR;
        let extent = unit.extent(range(descriptor, at + 8))?;
        let blocks = extent.lba..extent.lba + extent.blocks;
        let is_hit = |other: &Range<u64>| other.start < blocks.end && blocks.start < other.end;
        if ranges.iter().any(is_hit) {
            return Err(Sense::invalid_parameter(at, None).into());
        }
        bytes += extent.bytes();
        if bytes > MOST_BYTES {
            return Err(Sense::invalid_parameter(at + 8, None).into());
        }
        ranges.push(blocks);
    }
    Ok(ranges)
}

fn range(descriptor: &[u8; DESCRIPTOR], length_byte: usize) -> BlockRange {
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = *descriptor;
    BlockRange {
        lba: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        blocks: u32::from_be_bytes([i, j, k, l]).into(),
        length_byte,
    }
}

/// Blocks of some ranges together.
pub(super) fn blocks(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}
