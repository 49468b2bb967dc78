//! GET LBA STATUS (SBC-3 5.6): which blocks hold data.

use timedisk_volume::Volume;

use crate::LogicalUnit;
use crate::cdb::Field;
use crate::running::{Outcome, Running, Stop};
use crate::sense::{LBA_OUT_OF_RANGE, Sense};

pub(crate) const ALLOCATION_LENGTH: Field = Field { byte: 10, width: 4 };

const STARTING_LBA: Field = Field { byte: 2, width: 8 };

/// Bytes before the first descriptor.
const HEADER: usize = 8;

/// Bytes of a descriptor.
const DESCRIPTOR: usize = 16;

/// Descriptors in one answer. A client asks again from where it ends.
const MOST_DESCRIPTORS: usize = 1024;

/// The longest answer in bytes.
pub(crate) const MOST: u32 = (HEADER + DESCRIPTOR * MOST_DESCRIPTORS) as u32;

/// Questions to the volume for one descriptor, in the mean: its answers can be finer than the
/// descriptors.
const QUESTIONS_PER_DESCRIPTOR: usize = 4;

pub(crate) fn lba_status(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let lba = command.cdb.number(STARTING_LBA);
    if lba >= unit.blocks() {
        return Err(Sense::from(&LBA_OUT_OF_RANGE).into());
    }
    command.wait()?;
    let allocated = usize::try_from(command.cdb.number(ALLOCATION_LENGTH)).unwrap_or(usize::MAX);
    // One at least, so that its beginning shows what a longer answer would hold.
    let room = allocated.saturating_sub(HEADER) / DESCRIPTOR;
    let runs = runs(unit, lba, room.clamp(1, MOST_DESCRIPTORS))?;

    let mut data = vec![0; HEADER];
    for run in &runs {
        // PROVISIONING STATUS: mapped or deallocated.
        let status = if run.mapped { 0 } else { 1 };
        data.extend(run.lba.to_be_bytes());
        data.extend((run.blocks as u32).to_be_bytes());
        data.extend([status, 0, 0, 0]);
    }
    let length = (data.len() - 4) as u32;
    data[..4].copy_from_slice(&length.to_be_bytes());
    command.respond(&data, ALLOCATION_LENGTH);
    Ok(())
}

/// Blocks in a row with the same status, at most 2^32 - 1.
#[derive(Clone, Copy, Debug)]
struct Run {
    lba: u64,
    blocks: u64,
    mapped: bool,
}

fn runs(unit: &LogicalUnit, lba: u64, most: usize) -> Result<Vec<Run>, Stop> {
    let mut runs: Vec<Run> = Vec::with_capacity(most);
    let mut next = lba;
    for _ in 0..most * QUESTIONS_PER_DESCRIPTOR {
        if next >= unit.blocks() {
            break;
        }
        let (mapped, blocks) = status_at(unit, next)?;
        let full = runs.len() == most;
        match runs.last_mut() {
            Some(last) if last.mapped == mapped && fits(last.blocks + blocks) => {
                last.blocks += blocks;
            }
            _ if full => break,
            _ => {
                runs.push(Run { lba: next, blocks, mapped });
            }
        }
        next += blocks;
    }
    Ok(runs)
}

fn fits(blocks: u64) -> bool {
    u32::try_from(blocks).is_ok()
}

/// The status of the block, and for how many blocks it is the same: at least one. A block of which any
/// byte holds data is mapped.
fn status_at(unit: &LogicalUnit, lba: u64) -> Result<(bool, u64), Stop> {
    let block_length = unit.block_length();
    let offset = lba * block_length;
    let mapping = unit.volume()?.mapping(offset)?;
    // The volume may have shrunk, or have bytes after the last block.
    let rest = unit.blocks().saturating_sub(lba).max(1);
    let most = rest.min(u64::from(u32::MAX));
    if mapping.allocated {
        let blocks = mapping.length.div_ceil(block_length);
        return Ok((true, blocks.clamp(1, most)));
    }
    match mapping.length / block_length {
        0 => Ok((holds_data(unit.volume()?.as_ref(), offset, block_length)?, 1)),
        blocks => Ok((false, blocks.min(most))),
    }
}

/// Whether any byte of a block does that begins with a hole shorter than itself.
fn holds_data(volume: &dyn Volume, offset: u64, block_length: u64) -> Result<bool, Stop> {
    let mut at = offset;
    while at < offset + block_length {
        let mapping = volume.mapping(at)?;
        if mapping.allocated {
            return Ok(true);
        }
        at += mapping.length.max(1);
    }
    Ok(false)
}
