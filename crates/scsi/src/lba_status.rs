//! GET LBA STATUS(16) and GET LBA STATUS(32) (SBC-4 5.8, 5.9): which blocks hold data.

use std::ops::Range;

use timedisk_volume::Volume;

use crate::LogicalUnit;
use crate::cdb::Field;
use crate::running::{Outcome, Running, Stop};
use crate::sense::Sense;

pub(crate) const ALLOCATION_LENGTH_16: Field = Field { byte: 10, width: 4 };
pub(crate) const ALLOCATION_LENGTH_32: Field = Field { byte: 28, width: 4 };

const ELEMENT_IDENTIFIER: Field = Field { byte: 24, width: 4 };

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

/// Questions for an answer that leaves blocks out: where it stops before it has found any, a client does not learn
/// how far it came.
const QUESTIONS_OF_A_SEARCH: usize = 8192;

/// Which blocks are asked for: REPORT TYPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
    All,
    Mapped,
    Deallocated,
    /// There are none.
    Anchored,
}

/// Why an answer ends where it does: COMPLETION CONDITION, in its place in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Completion {
    Unsaid = 0,
    AllocationLength = 0b001 << 1,
    ScanLength = 0b010 << 1,
    Capacity = 0b011 << 1,
}

/// Where the fields of a CDB stand.
struct Layout {
    starting_lba: Field,
    report_type: usize,
    allocation_length: Field,
}

pub(crate) fn lba_status_16(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let starting_lba = Field { byte: 2, width: 8 };
    let layout = Layout { starting_lba, report_type: 14, allocation_length: ALLOCATION_LENGTH_16 };
    lba_status(unit, command, &layout, 0)
}

/// The physical elements of a disk have numbers here for the blocks that one of them can't read any more; there are
/// none.
pub(crate) fn lba_status_32(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    if command.cdb.number(ELEMENT_IDENTIFIER) != 0 {
        return Err(Sense::invalid_cdb(ELEMENT_IDENTIFIER.byte, None).into());
    }
    let (starting_lba, scan_length) = (Field { byte: 12, width: 8 }, Field { byte: 20, width: 4 });
    let layout = Layout { starting_lba, report_type: 10, allocation_length: ALLOCATION_LENGTH_32 };
    lba_status(unit, command, &layout, command.cdb.number(scan_length))
}

/// What is asked for, and whether that is what was asked: of blocks that can't be read nobody knows here, so that all
/// are reported, as by a device server that knows no types.
fn report(code: u8, byte: usize) -> Result<(Report, bool), Sense> {
    match code {
        0x00 => Ok((Report::All, true)),
        // All whose provisioning status is not 0, or only this one.
        0x01 | 0x03 => Ok((Report::Deallocated, true)),
        0x02 => Ok((Report::Mapped, true)),
        0x04 => Ok((Report::Anchored, true)),
        0x10 => Ok((Report::All, false)),
        _ => Err(Sense::invalid_cdb(byte, None)),
    }
}

fn lba_status(unit: &LogicalUnit, command: &mut Running<'_>, layout: &Layout, scan_length: u64) -> Outcome {
    let cdb = command.cdb;
    let lba = cdb.number(layout.starting_lba);
    let (report, processed) = report(cdb.byte(layout.report_type), layout.report_type)?;
    if lba >= unit.blocks() {
        return Err(unit.out_of_range(lba).into());
    }
    command.wait()?;
    let allocated = usize::try_from(cdb.number(layout.allocation_length)).unwrap_or(usize::MAX);
    // One at least, so that its beginning shows what a longer answer would hold.
    let room = (allocated.saturating_sub(HEADER) / DESCRIPTOR).clamp(1, MOST_DESCRIPTORS);
    let end = if scan_length == 0 { u64::MAX } else { lba + scan_length };
    let (runs, completion) = runs(unit, lba..end, report, room)?;

    let mut data = vec![0; HEADER];
    data[7] = completion as u8 | u8::from(processed);
    for run in &runs {
        // PROVISIONING STATUS: mapped or deallocated.
        let status = if run.mapped { 0 } else { 1 };
        data.extend(run.lba.to_be_bytes());
        data.extend((run.blocks as u32).to_be_bytes());
        data.extend([status, 0, 0, 0]);
    }
    let length = (data.len() - 4) as u32;
    data[..4].copy_from_slice(&length.to_be_bytes());
    command.respond(&data, layout.allocation_length);
    Ok(())
}

/// Blocks in a row with the same status, at most 2^32 - 1.
#[derive(Clone, Copy, Debug)]
struct Run {
    lba: u64,
    blocks: u64,
    mapped: bool,
}

/// The runs in a range of blocks, as far as they are asked for, and why there are no more.
fn runs(
    unit: &LogicalUnit,
    range: Range<u64>,
    report: Report,
    most: usize,
) -> Result<(Vec<Run>, Completion), Stop> {
    let mut runs: Vec<Run> = Vec::with_capacity(most);
    let mut next = range.start;
    let questions =
        if report == Report::All { most * QUESTIONS_PER_DESCRIPTOR } else { QUESTIONS_OF_A_SEARCH };
    for _ in 0..questions {
        if next >= unit.blocks() || report == Report::Anchored {
            return Ok((runs, Completion::Capacity));
        }
        if next >= range.end {
            return Ok((runs, Completion::ScanLength));
        }
        let (mapped, blocks) = status_at(unit, next)?;
        let blocks = blocks.min(range.end - next);
        let wanted = match report {
            Report::All => true,
            Report::Mapped => mapped,
            Report::Deallocated | Report::Anchored => !mapped,
        };
        let full = runs.len() == most;
        match runs.last_mut() {
            _ if !wanted => {}
            Some(last)
                if (last.lba + last.blocks, last.mapped) == (next, mapped) && fits(last.blocks + blocks) =>
            {
                last.blocks += blocks;
            }
            _ if full => return Ok((runs, Completion::AllocationLength)),
            _ => {
                runs.push(Run { lba: next, blocks, mapped });
            }
        }
        next += blocks;
    }
    Ok((runs, Completion::Unsaid))
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
