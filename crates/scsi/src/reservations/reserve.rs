//! RESERVE(6), RELEASE(6), and the same with ten bytes (SPC-2 7.21, 7.22), as they get on with persistent reservations
//! (CRH, SPC-4 5.13.3).

use super::Reservations;
use crate::LogicalUnit;
use crate::running::{Outcome, Running, Stop};
use crate::sense::Sense;

/// LONGID and 3RDPTY of the longer commands, and EXTENT of the shorter: reservations for others, or of a part.
fn refuse_others(command: &Running<'_>) -> Outcome {
    match command.cdb.byte(1) & 0x1f {
        0 => Ok(()),
        flags => Err(Sense::invalid_cdb(1, flags.ilog2() as u8).into()),
    }
}

impl Reservations {
    /// Whether a nexus may go on without a reservation of this kind, since a persistent one lets it in. With
    /// registrants and without that, nobody may.
    fn has_registrants(&self, command: &Running<'_>) -> Result<bool, Stop> {
        let current = self.current();
        if current.state.registrants.is_empty() {
            return Ok(false);
        }
        let port = current.port(command.nexus).ok_or(Stop::Conflict)?;
        let is_reserved = current.state.held.is_some();
        let is_in = is_reserved && !current.state.shuts_out(Some(port), super::Admission::Never);
        if is_in { Ok(true) } else { Err(Stop::Conflict) }
    }
}

/// A registered nexus has what it wants already (SPC-4 5.13.3).
pub(crate) fn reserve(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    refuse_others(command)?;
    let reservations = unit.reservations();
    // Not while another's registration is being saved: it would find this one there.
    let _changing = reservations.changing.try_lock().map_err(|_| Stop::Busy)?;
    if !reservations.has_registrants(command)? {
        let mut current = reservations.current();
        if current.reserved_by.is_some_and(|owner| owner != command.nexus) {
            return Err(Stop::Conflict);
        }
        current.reserved_by = Some(command.nexus);
        reservations.note_use(&current);
    }
    Ok(())
}

/// Who has reserved nothing releases nothing, and that is no error.
pub(crate) fn release(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    refuse_others(command)?;
    let reservations = unit.reservations();
    if !reservations.has_registrants(command)? {
        let mut current = reservations.current();
        if current.reserved_by == Some(command.nexus) {
            current.reserved_by = None;
        }
        reservations.note_use(&current);
    }
    Ok(())
}
