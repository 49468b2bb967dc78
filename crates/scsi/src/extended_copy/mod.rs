//! EXTENDED COPY (SPC-4 6.4), with list identifiers of one byte (LID1): blocks are copied between logical units without
//! passing through the initiator, and only between those that this very nexus may read and write.

mod list;
pub(crate) mod results;

use std::sync::Arc;

use timedisk_volume::{Allocation, Durability};

use crate::LogicalUnit;
use crate::access_states::Reach;
use crate::cdb::{BlockRange, Cdb, Field};
use crate::limits::CHUNK;
use crate::reservations::Admission;
use crate::running::{Outcome, Patience, Running, Stop};
use crate::sense::{COPY_TARGET_NOT_REACHABLE, PARAMETER_LIST_LENGTH_ERROR, Sense};
use list::{List, Segment};
use results::CopyResult;

const PARAMETER_LIST_LENGTH: Field = Field { byte: 10, width: 4 };

/// Bytes that one segment descriptor may copy.
pub(crate) const MOST_BYTES: u64 = 64 << 20;

/// Bytes of Data-Out that the command takes.
pub(crate) fn data_out(_: &LogicalUnit, cdb: Cdb<'_>) -> Result<u64, Sense> {
    match cdb.number(PARAMETER_LIST_LENGTH) {
        length if length <= list::MOST_BYTES => Ok(length),
        _ => Err((&PARAMETER_LIST_LENGTH_ERROR).into()),
    }
}

pub(crate) fn extended_copy(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let bytes = command.parameter_list(PARAMETER_LIST_LENGTH)?;
    if bytes.is_empty() {
        return Ok(());
    }
    let list = List::read(bytes)?;
    command.wait()?;
    let mut done = 0;
    let outcome = list.segments.iter().try_for_each(|segment| {
        copy(command, &list, segment)?;
        done += 1;
        Ok(())
    });
    if let Some(identifier) = list.identifier {
        let is_good = outcome.is_ok();
        unit.copies().keep(CopyResult { nexus: command.nexus, identifier, is_good, segments: done });
    }
    outcome
}

/// A logical unit that one of the list's descriptors names, of those that the nexus has.
fn find(command: &Running<'_>, list: &List, index: u16) -> Result<Arc<LogicalUnit>, Stop> {
    let named = list.units.get(usize::from(index)).ok_or(&COPY_TARGET_NOT_REACHABLE)?;
    let mut units = command.server.units().map(|(_, unit)| unit);
    let unit = units.find(|unit| unit.identity().naa == named.naa).ok_or(&COPY_TARGET_NOT_REACHABLE)?;
    if named.block_length != 0 && u64::from(named.block_length) != unit.block_length() {
        return Err(Sense::invalid_parameter(named.at + 29, None).into());
    }
    Ok(Arc::clone(unit))
}

fn copy(command: &Running<'_>, list: &List, segment: &Segment) -> Outcome {
    let (from, to) = (find(command, list, segment.from.unit)?, find(command, list, segment.to.unit)?);
    let group = command.server.portal_group_tag();
    from.access_states().check(group, Reach::Active)?;
    to.access_states().check(group, Reach::Active)?;
    from.reservations().check(command.nexus, Admission::Looks)?;
    to.reservations().check(command.nexus, Admission::Never)?;
    if let Some(condition) = to.write_protection() {
        return Err(condition.into());
    }
    // Blocks of one length to blocks of another are whole only at both ends.
    let bytes = segment.length.bytes(&from);
    if bytes > MOST_BYTES {
        return Err((&COPY_TARGET_NOT_REACHABLE).into());
    }
    let source = place(&from, segment.from.lba, segment.from.offset, bytes)?;
    let destination = place(&to, segment.to.lba, segment.to.offset, bytes)?;
    let mut buffer = vec![0; CHUNK];
    let mut steps = Steps { bytes, backwards: Arc::ptr_eq(&from, &to) && source < destination, done: 0 };
    while let Some((at, length)) = steps.next() {
        // Whoever is preempted meanwhile goes no further.
        from.reservations().check(command.nexus, Admission::Looks)?;
        to.reservations().check(command.nexus, Admission::Never)?;
        copy_step((&from, source + at), (&to, destination + at), &mut buffer[..length])?;
    }
    if to.durability(false) == Durability::Durable {
        to.volume()?.flush()?;
    }
    Ok(())
}

/// Where bytes lie on the volume, if they are all on the disk.
fn place(unit: &LogicalUnit, lba: u64, offset: u64, bytes: u64) -> Result<u64, Stop> {
    let block_length = unit.block_length();
    let blocks = (offset + bytes).div_ceil(block_length);
    let range = BlockRange { lba, blocks, length_byte: 0 };
    let extent = unit.extent(range).map_err(|_| &COPY_TARGET_NOT_REACHABLE)?;
    Ok(extent.offset() + offset)
}

/// The way through a range, from its end where it is moved towards that.
struct Steps {
    bytes: u64,
    backwards: bool,
    done: u64,
}

impl Steps {
    /// Where the next step begins, and how long it is.
    fn next(&mut self) -> Option<(u64, usize)> {
        let length = (self.bytes - self.done).min(CHUNK as u64);
        self.done += length;
        let at = if self.backwards { self.bytes - self.done } else { self.done - length };
        (length > 0).then_some((at, length as usize))
    }
}

/// Copies one step; a hole stays one. Each end is held for itself: who holds both could wait for who wants both.
fn copy_step(from: (&LogicalUnit, u64), to: (&LogicalUnit, u64), buffer: &mut [u8]) -> Outcome {
    let ((from, source), (to, destination)) = (from, to);
    let length = buffer.len() as u64;
    let is_hole = {
        let _turn = turn(from, source, length);
        let volume = from.volume()?;
        let mapping = volume.mapping(source)?;
        let is_hole = !mapping.allocated && mapping.length >= length;
        if !is_hole {
            volume.read(source, buffer)?;
        }
        is_hole
    };
    let _turn = turn(to, destination, length);
    let volume = to.volume()?;
    match is_hole {
        true => volume.write_zeroes(destination, length, Allocation::Release, Durability::Volatile)?,
        false => volume.write(destination, buffer, Durability::Volatile)?,
    }
    Ok(())
}

fn turn(unit: &LogicalUnit, offset: u64, length: u64) -> Option<crate::overlap::Turn<'_>> {
    let block_length = unit.block_length();
    let blocks = offset / block_length..(offset + length).div_ceil(block_length);
    unit.overlap().share(blocks, Patience::MayWait)
}
