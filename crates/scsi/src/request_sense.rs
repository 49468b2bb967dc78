//! REQUEST SENSE (SPC-4 6.39).

use crate::cdb::Field;
use crate::exceptions;
use crate::running::{Outcome, Running};
use crate::sense::{LOGICAL_UNIT_NOT_SUPPORTED, NO_SENSE, Sense};

pub(crate) const ALLOCATION_LENGTH: Field = Field { byte: 4, width: 1 };

/// Reports one unit attention condition, which is no longer pending after, or what goes on.
pub(crate) fn request_sense(command: &mut Running<'_>) -> Outcome {
    let sense = match command.unit {
        Some(unit) => {
            let pending = unit.take_attention(command.nexus, false);
            pending
                .or_else(|| unit.overhaul().sense())
                .or_else(|| exceptions::on_request(unit))
                .unwrap_or((&NO_SENSE).into())
        }
        None => Sense::from(&LOGICAL_UNIT_NOT_SUPPORTED),
    };
    let descriptor_format = command.cdb.bit(1, 0);
    let data = if descriptor_format { sense.descriptors() } else { sense.fixed().to_vec() };
    command.respond(&data, ALLOCATION_LENGTH);
    Ok(())
}
