//! SYNCHRONIZE CACHE(10) and SYNCHRONIZE CACHE(16) (SBC-3 5.22, 5.23).

use crate::LogicalUnit;
use crate::flush_debt::Owed;
use crate::running::{Outcome, Running};

/// All of the cache is synchronized, whatever the range. With IMMED too the status comes after: a client
/// that does not want to wait loses nothing by knowing.
pub(crate) fn synchronize_cache(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    unit.extent(command.cdb.block_range())?;
    command.wait()?;
    command.owed = Some(Owed::new(unit.volume()?));
    Ok(())
}
