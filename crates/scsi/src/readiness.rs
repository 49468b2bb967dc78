//! TEST UNIT READY (SPC-4 6.47), START STOP UNIT (SBC-3 5.21), PREVENT ALLOW MEDIUM REMOVAL (SBC-3 5.8), SEND
//! DIAGNOSTIC (SPC-4 6.42): commands about a spindle and a tray that this disk does not have, and whether all is well.

use timedisk_volume::Health;

use crate::LogicalUnit;
use crate::cdb::Field;
use crate::running::{Outcome, Running};
use crate::sense::{FAILED_SELF_TEST, Sense};

/// Where it is not, the command does not come here.
pub(crate) fn test_unit_ready(_: &LogicalUnit, _: &mut Running<'_>) -> Outcome {
    Ok(())
}

/// Nothing can be removed, so that it makes no difference.
pub(crate) fn prevent_allow_medium_removal(_: &LogicalUnit, _: &mut Running<'_>) -> Outcome {
    Ok(())
}

/// There is nothing to start, and the disk is ready in every power condition. But to stop it, or to let
/// it idle, calls for what is cached to be on the medium.
pub(crate) fn start_stop_unit(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let cdb = command.cdb;
    let (load_eject, start, no_flush) = (cdb.bit(4, 1), cdb.bit(4, 0), cdb.bit(4, 2));
    // START_VALID or ACTIVE; then IDLE, STANDBY, LU_CONTROL, FORCE_IDLE_0 and FORCE_STANDBY_0.
    let active = match cdb.byte(4) >> 4 {
        0x0 => start,
        0x1 => true,
        0x2 | 0x3 | 0x7 | 0xa | 0xb => false,
        _ => return Err(Sense::invalid_cdb(4, 7).into()),
    };
    if load_eject {
        return Err(Sense::invalid_cdb(4, 1).into());
    }
    if active || no_flush || unit.medium().absence().is_some() {
        return Ok(());
    }
    command.wait()?;
    Ok(unit.volume()?.flush()?)
}

const DIAGNOSTIC_LENGTH: Field = Field { byte: 3, width: 2 };

/// SELFTEST asks whether all is well: a flush that has failed is what may not be. There are no diagnostic pages, and no
/// tests in the background (SELF-TEST CODE).
pub(crate) fn send_diagnostic(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    if command.cdb.byte(1) >> 5 != 0 {
        return Err(Sense::invalid_cdb(1, 7).into());
    }
    if command.cdb.number(DIAGNOSTIC_LENGTH) != 0 {
        return Err(Sense::invalid_cdb(DIAGNOSTIC_LENGTH.byte, None).into());
    }
    match command.cdb.bit(1, 2) && unit.volume()?.health() != Health::Good {
        true => Err((&FAILED_SELF_TEST).into()),
        false => Ok(()),
    }
}
