//! UNMAP (SBC-3 5.28).

use timedisk_volume::Durability;

use crate::LogicalUnit;
use crate::cdb::{BlockRange, Field};
use crate::limits;
use crate::logical_unit::Extent;
use crate::running::{Outcome, Running, Stop};
use crate::sense::{PARAMETER_LIST_LENGTH_ERROR, Sense};

pub(crate) const OPERATION_CODE: u8 = 0x42;

pub(crate) const PARAMETER_LIST_LENGTH: Field = Field { byte: 7, width: 2 };

/// Bytes before the first descriptor.
const HEADER: usize = 8;

/// Bytes of a descriptor.
const DESCRIPTOR: usize = 16;

pub(crate) fn unmap(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let anchor = command.cdb.bit(1, 0);
    if anchor {
        return Err(Sense::invalid_cdb(1, 0).into());
    }
    let list = command.parameter_list(PARAMETER_LIST_LENGTH)?;
    if list.is_empty() {
        return Ok(());
    }
    let extents = extents(unit, list)?;
    command.wait()?;
    for extent in extents.iter().filter(|extent| extent.blocks > 0) {
        unit.rods().revoke(extent.lba..extent.lba + extent.blocks);
        unit.volume()?.deallocate(extent.offset(), extent.bytes())?;
    }
    // A disk without a write cache leaves nothing to a power failure, unmapped blocks neither.
    if unit.durability(false) == Durability::Durable {
        unit.volume()?.flush()?;
    }
    Ok(())
}

/// All extents, checked before any of them is touched.
fn extents(unit: &LogicalUnit, list: &[u8]) -> Result<Vec<Extent>, Stop> {
    let (header, rest) = list.split_first_chunk::<HEADER>().ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
    // UNMAP BLOCK DESCRIPTOR DATA LENGTH. A descriptor that is cut off at the end is to be ignored.
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let descriptors = rest.get(..length).ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
    let (descriptors, _) = descriptors.as_chunks::<DESCRIPTOR>();
    if descriptors.len() as u64 > limits::UNMAP_DESCRIPTORS {
        return Err(Sense::invalid_parameter(2, None).into());
    }
    let mut extents = Vec::with_capacity(descriptors.len());
    let mut total = 0;
    for (number, descriptor) in descriptors.iter().enumerate() {
        let length_byte = HEADER + number * DESCRIPTOR + 8;
        let extent = unit.extent(range(descriptor, length_byte))?;
        total += extent.bytes();
        if total > limits::UNMAP {
            return Err(Sense::invalid_parameter(length_byte, None).into());
        }
        extents.push(extent);
    }
    Ok(extents)
}

fn range(descriptor: &[u8; DESCRIPTOR], length_byte: usize) -> BlockRange {
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = *descriptor;
    BlockRange {
        lba: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        blocks: u32::from_be_bytes([i, j, k, l]).into(),
        length_byte,
    }
}
