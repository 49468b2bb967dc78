//! PERSISTENT RESERVE IN (SPC-4 6.15).

use super::port::transport_id;
use super::state::{Kind, State};
use crate::LogicalUnit;
use crate::cdb::Field;
use crate::running::{Outcome, Running, Stop};

pub(crate) const ALLOCATION_LENGTH: Field = Field { byte: 7, width: 2 };

/// PRGENERATION, ADDITIONAL LENGTH and what that counts.
fn list(generation: u32, body: &[u8]) -> Vec<u8> {
    [&generation.to_be_bytes(), &(body.len() as u32).to_be_bytes(), body].concat()
}

fn answer(unit: &LogicalUnit, command: &mut Running<'_>, make: impl FnOnce(&State) -> Vec<u8>) -> Outcome {
    let data = {
        let current = unit.reservations().current();
        // While RESERVE(6) is in effect there is no talk of the others (SPC-2 5.5.1).
        if current.reserved_by.is_some() {
            return Err(Stop::Conflict);
        }
        make(&current.state)
    };
    command.respond(&data, ALLOCATION_LENGTH);
    Ok(())
}

pub(crate) fn read_keys(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    answer(unit, command, |state| {
        let keys: Vec<u8> = state.registrants.iter().flat_map(|one| one.key.to_be_bytes()).collect();
        list(state.generation, &keys)
    })
}

pub(crate) fn read_reservation(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    answer(unit, command, |state| {
        let mut body = Vec::new();
        if let Some(held) = &state.held {
            // Where all hold it, it has no key.
            let key = if held.kind.is_held_by_all() { None } else { state.key(&held.by) };
            body.extend(key.unwrap_or(0).to_be_bytes());
            body.extend([0, 0, 0, 0, 0, held.kind as u8, 0, 0]);
        }
        list(state.generation, &body)
    })
}

/// CRH, SIP_C, ATP_C, PTPL_C; TMV and PTPL_A; the types.
pub(crate) fn report_capabilities(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let can_persist = u8::from(unit.settings().is_some());
    answer(unit, command, |state| {
        let types = Kind::ALL.iter().fold(0u16, |mask, kind| mask | type_bit(*kind));
        let [first, second] = types.to_be_bytes();
        let persists = u8::from(state.persists);
        vec![0, 8, 0x1c | can_persist, 0x80 | persists, first, second, 0, 0]
    })
}

/// The bit of a type in PERSISTENT RESERVATION TYPE MASK (SPC-4 table 209).
fn type_bit(kind: Kind) -> u16 {
    match kind as u8 {
        8 => 0x0001,
        code => 1 << (8 + code),
    }
}

pub(crate) fn read_full_status(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    answer(unit, command, |state| {
        let mut body = Vec::new();
        for one in &state.registrants {
            let held = state.held.as_ref().filter(|_| state.is_holder(&one.port));
            let for_all_targets = u8::from(one.port.target.is_none()) << 1;
            let (holder, kind) = held.map_or((0, 0), |held| (1, held.kind as u8));
            let id = transport_id(&one.port.initiator);
            body.extend(one.key.to_be_bytes());
            body.extend([0, 0, 0, 0, for_all_targets | holder, kind, 0, 0, 0, 0]);
            body.extend(one.port.relative_target_port().to_be_bytes());
            body.extend((id.len() as u32).to_be_bytes());
            body.extend(id);
        }
        list(state.generation, &body)
    })
}
