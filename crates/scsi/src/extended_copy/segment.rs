//! What a segment descriptor asks for (SPC-4 6.4.6): where its ends are, and what becomes of what fills no block.

use std::sync::Arc;

use super::MOST_BYTES;
use super::list::{End, Length, List, Named, OWN_UNIT, Segment};
use super::transfer::{Place, Transfer};
use crate::cdb::BlockRange;
use crate::running::{Outcome, Running, Stop};
use crate::sense::{COPY_TARGET_NOT_REACHABLE, Sense, UNEXPECTED_INEXACT_SEGMENT};
use crate::{DeviceServer, LogicalUnit};

/// A logical unit that one of the list's descriptors names, of those that the nexus has.
pub(super) fn unit<'a>(server: &'a DeviceServer, named: &Named) -> Option<&'a Arc<LogicalUnit>> {
    server.units().map(|(_, unit)| unit).find(|unit| unit.identity().naa == named.naa)
}

/// A logical unit at an end of a copy, and whether it pads.
type Party<'a> = (&'a Arc<LogicalUnit>, bool);

fn find<'a>(command: &'a Running<'_>, list: &List, end: &End) -> Result<Party<'a>, Stop> {
    if end.unit == OWN_UNIT {
        return Ok((command.unit.ok_or(&COPY_TARGET_NOT_REACHABLE)?, false));
    }
    let named = list.units.get(usize::from(end.unit)).ok_or(&COPY_TARGET_NOT_REACHABLE)?;
    let unit = unit(command.server, named).ok_or(&COPY_TARGET_NOT_REACHABLE)?;
    if named.block_length != 0 && u64::from(named.block_length) != unit.block_length() {
        return Err(Sense::invalid_parameter(named.at + 29, None).into());
    }
    Ok((unit, named.pads))
}

/// Refuses segments longer than MAXIMUM SEGMENT LENGTH, before any is copied.
pub(super) fn check_lengths(command: &Running<'_>, list: &List) -> Outcome {
    let bytes = |segment: &Segment| match segment.length {
        Length::Bytes(bytes) => u64::from(bytes),
        Length::OfSource(blocks) => length_in(command, list, &segment.from, blocks),
        Length::OfDestination(blocks) => length_in(command, list, &segment.to, blocks),
    };
    match list.segments.iter().find(|segment| bytes(segment) > MOST_BYTES) {
        Some(segment) => Err(Sense::invalid_parameter(segment.length_at, None).into()),
        None => Ok(()),
    }
}

fn length_in(command: &Running<'_>, list: &List, end: &End, blocks: u16) -> u64 {
    // Whoever is not there is found out when its segment's turn comes.
    find(command, list, end).map_or(0, |(unit, _)| u64::from(blocks) * unit.block_length())
}

/// How many bytes move, and how many zeros follow them.
struct Extent {
    bytes: u64,
    padding: u64,
}

/// Blocks of one length to blocks of another may be inexact (SPC-4 5.17.7.2).
fn extent(segment: &Segment, from: (u64, bool), to: (u64, bool)) -> Result<Extent, Stop> {
    let ((source, source_pads), (destination, destination_pads)) = (from, to);
    let (bytes, rest) = match segment.length {
        Length::Bytes(bytes) => (u64::from(bytes), 0),
        Length::OfSource(blocks) => {
            let bytes = u64::from(blocks) * source;
            (bytes, bytes % destination)
        }
        Length::OfDestination(blocks) => {
            let bytes = u64::from(blocks) * destination;
            (bytes, bytes % source)
        }
    };
    let of_destination = matches!(segment.length, Length::OfDestination(_));
    match (rest, of_destination) {
        (0, _) => Ok(Extent { bytes, padding: 0 }),
        _ if segment.catenates => Err(Sense::invalid_parameter(segment.at + 1, 0).into()),
        // What is left of the source's last block is dropped.
        (_, true) if source_pads => Ok(Extent { bytes, padding: 0 }),
        (_, false) if destination_pads => Ok(Extent { bytes, padding: destination - rest }),
        (_, false) if source_pads => Ok(Extent { bytes: bytes - rest, padding: 0 }),
        _ => Err((&UNEXPECTED_INEXACT_SEGMENT).into()),
    }
}

pub(super) fn copy(
    transfer: &mut Transfer<'_, '_>,
    command: &Running<'_>,
    list: &List,
    segment: &Segment,
) -> Outcome {
    let (from, to) = (find(command, list, &segment.from)?, find(command, list, &segment.to)?);
    let traits = |(unit, pads): Party<'_>| (unit.block_length(), pads);
    let Extent { bytes, padding } = extent(segment, traits(from), traits(to))?;
    let source = place(from.0, &segment.from, bytes)?;
    let destination = place(to.0, &segment.to, bytes + padding)?;
    transfer.copy(&source, &destination, bytes)?;
    transfer.write_zeros(&destination.after(bytes), padding)
}

/// Where bytes lie on the volume, if they are all on the disk.
fn place(unit: &Arc<LogicalUnit>, end: &End, bytes: u64) -> Result<Place, Stop> {
    let blocks = (end.offset + bytes).div_ceil(unit.block_length());
    let range = BlockRange { lba: end.lba, blocks, length_byte: 0 };
    let extent = unit.extent(range).map_err(|_| &COPY_TARGET_NOT_REACHABLE)?;
    Ok(Place { unit: Arc::clone(unit), offset: extent.offset() + end.offset })
}
