//! READ and WRITE in all lengths (SBC-3 5.10 to 5.15, 5.32 to 5.36).

use std::sync::Arc;

use timedisk_volume::{Durability, Health, Volume};

use crate::LogicalUnit;
use crate::cdb::Cdb;
use crate::flush_debt::Owed;
use crate::logical_unit::Extent;
use crate::running::{Outcome, Patience, Running, Stop};
use crate::sense::Sense;

/// The blocks that the command transfers, if it can be carried out at all.
pub(crate) fn extent(unit: &LogicalUnit, cdb: Cdb<'_>) -> Result<Extent, Sense> {
    refuse_protection(cdb)?;
    unit.transfer(cdb.block_range())
}

/// Disks here are not formatted with protection information, so RDPROTECT, WRPROTECT and VRPROTECT must
/// be zero.
pub(crate) fn refuse_protection(cdb: Cdb<'_>) -> Result<(), Sense> {
    match cdb.access().protect {
        0 => Ok(()),
        _ => Err(Sense::invalid_cdb(cdb.flags_byte(), 7)),
    }
}

pub(crate) fn read(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let extent = extent(unit, command.cdb)?;
    command.check_plan(extent.bytes(), 0)?;
    let length = command.data_in.len().min(usize::try_from(extent.bytes()).unwrap_or(usize::MAX));
    let force_unit_access = command.cdb.access().force_unit_access;
    // With FUA, what comes must be what the medium holds: so it is written there first (SBC-3 5.11).
    // After a failed flush there is no more to be had than what is read: reads go on.
    if force_unit_access && unit.volume()?.health() == Health::Good {
        command.wait()?;
        unit.volume()?.flush()?;
    }
    let buffer = &mut command.data_in[..length];
    if !buffer.is_empty() {
        match command.patience {
            Patience::MayWait => unit.volume()?.read(extent.offset(), buffer)?,
            Patience::Now if unit.volume()?.read_cached(extent.offset(), buffer)? => {}
            Patience::Now => return Err(Stop::WouldWait),
        }
    }
    command.returned = extent.bytes();
    Ok(())
}

pub(crate) fn write(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let extent = extent(unit, command.cdb)?;
    command.check_plan(0, extent.bytes())?;
    let data = whole_blocks(unit, command.data_out, &extent);
    command.wait()?;
    match data.is_empty() {
        true => Ok(()),
        false => {
            change(unit, command, |volume| Ok(volume.write(extent.offset(), data, Durability::Volatile)?))
        }
    }
}

/// Changes the volume, and notes that it is to be flushed where that is promised.
pub(crate) fn change(
    unit: &LogicalUnit,
    command: &mut Running<'_>,
    write: impl FnOnce(&dyn Volume) -> Outcome,
) -> Outcome {
    let durability = || unit.durability(command.cdb.access().force_unit_access);
    let before = durability();
    let volume = unit.volume()?;
    let owed = Owed::new(Arc::clone(&volume));
    write(&*volume)?;
    // The write cache may have been turned off meanwhile, and been flushed before this write.
    if before == Durability::Durable || durability() == Durability::Durable {
        command.owed = Some(owed);
    }
    Ok(())
}

/// The blocks of the extent that the initiator sent whole; it may have announced fewer than the CDB says.
pub(crate) fn whole_blocks<'data>(unit: &LogicalUnit, data: &'data [u8], extent: &Extent) -> &'data [u8] {
    let length = (data.len() as u64).min(extent.bytes());
    let whole = length - length % unit.block_length();
    // Not longer than the data, so that it fits.
    &data[..whole as usize]
}
