//! PERSISTENT RESERVE OUT (SPC-4 6.16).

use super::port::{Port, take_transport_id};
use super::state::Kind;
use super::{Told, state::State};
use crate::LogicalUnit;
use crate::cdb::{Cdb, Field};
use crate::running::{Outcome, Running, Stop};
use crate::sense::{PARAMETER_LIST_LENGTH_ERROR, Sense};

const PARAMETER_LIST_LENGTH: Field = Field { byte: 5, width: 4 };

/// The longest parameter list that is taken.
const MOST: u64 = 64 * 1024;

/// Bytes of the parameter list without names of other ports.
const BASIC: usize = 24;

/// The service action that ends the commands of those whom it preempts, too.
pub(crate) const PREEMPT_AND_ABORT: u8 = 0x05;

/// Bits of byte 20: SPEC_I_PT, ALL_TG_PT, APTPL.
const SPECIFIES_PORTS: u8 = 0x08;
const ALL_TARGET_PORTS: u8 = 0x04;
const PERSISTS: u8 = 0x01;

/// The parameter list of all service actions but REGISTER AND MOVE.
struct Parameters<'a> {
    key: u64,
    new_key: u64,
    flags: u8,
    /// TransportIDs.
    ports: &'a [u8],
}

/// Bytes of Data-Out that the command takes.
pub(crate) fn data_out(_: &LogicalUnit, cdb: Cdb<'_>) -> Result<u64, Sense> {
    match cdb.number(PARAMETER_LIST_LENGTH) {
        length if length <= MOST => Ok(length),
        _ => Err((&PARAMETER_LIST_LENGTH_ERROR).into()),
    }
}

fn number(list: &[u8], at: usize) -> u64 {
    list.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

fn parameters<'a>(command: &Running<'a>) -> Result<Parameters<'a>, Stop> {
    let length = usize::try_from(command.cdb.number(PARAMETER_LIST_LENGTH)).unwrap_or(usize::MAX);
    let list = command.data_out.get(..length).filter(|list| list.len() >= BASIC);
    let list = list.ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
    let flags = list[20];
    let ports = match flags & SPECIFIES_PORTS {
        0 if list.len() == BASIC => &[][..],
        0 => return Err((&PARAMETER_LIST_LENGTH_ERROR).into()),
        _ => {
            let count =
                list.get(BASIC..BASIC + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
            let ports =
                list.get(BASIC + 4..).filter(|ports| Some(ports.len() as u64) == count.map(u64::from));
            ports.ok_or(&PARAMETER_LIST_LENGTH_ERROR)?
        }
    };
    Ok(Parameters { key: number(list, 0), new_key: number(list, 8), flags, ports })
}

/// SCOPE and TYPE: only the whole logical unit can be reserved.
fn kind(cdb: Cdb<'_>) -> Result<Kind, Stop> {
    if cdb.byte(2) >> 4 != 0 {
        return Err(Sense::invalid_cdb(2, 7).into());
    }
    Kind::of(cdb.byte(2) & 0x0f).ok_or(Sense::invalid_cdb(2, 3).into())
}

fn change(
    unit: &LogicalUnit,
    command: &Running<'_>,
    make: impl FnOnce(&mut State, &Port) -> Result<Told, Stop>,
) -> Outcome {
    command.wait()?;
    let aborts = command.cdb.service_action() == u16::from(PREEMPT_AND_ABORT);
    unit.reservations().change(command.nexus, unit.settings(), unit.attentions(), aborts, make)
}

pub(crate) fn register(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let list = parameters(command)?;
    add(unit, command, &list, Some(list.key))
}

pub(crate) fn register_and_ignore_existing_key(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let list = parameters(command)?;
    if list.flags & SPECIFIES_PORTS != 0 {
        return Err(Sense::invalid_parameter(20, 3).into());
    }
    add(unit, command, &list, None)
}

fn add(unit: &LogicalUnit, command: &Running<'_>, list: &Parameters<'_>, key: Option<u64>) -> Outcome {
    let persists = list.flags & PERSISTS != 0;
    if persists && unit.settings().is_none() {
        return Err(Sense::invalid_parameter(20, 0).into());
    }
    change(unit, command, |state, port| {
        if !list.ports.is_empty() && state.key(port).is_some() {
            return Err(Sense::invalid_parameter(20, 3).into());
        }
        let mut rest = list.ports;
        let mut others = Vec::new();
        while !rest.is_empty() {
            let at = BASIC + 4 + (list.ports.len() - rest.len());
            let name = take_transport_id(&mut rest).ok_or(Sense::invalid_parameter(at, None))?;
            others.push(Port { initiator: name, ..port.clone() });
        }
        if others.iter().any(|other| state.key(other).is_some()) {
            return Err(Stop::Conflict);
        }
        let for_all_targets = list.flags & ALL_TARGET_PORTS != 0;
        let before = state.generation;
        let told = state.register(port, key, list.new_key, &others, for_all_targets)?;
        // Who has registered nothing decides nothing.
        if state.generation != before {
            state.persists = persists;
        }
        Ok(told)
    })
}

pub(crate) fn reserve(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let (kind, list) = (kind(command.cdb)?, parameters(command)?);
    change(unit, command, |state, port| state.reserve(port, list.key, kind))
}

pub(crate) fn release(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let (kind, list) = (kind(command.cdb)?, parameters(command)?);
    change(unit, command, |state, port| state.release(port, list.key, kind))
}

pub(crate) fn clear(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let list = parameters(command)?;
    change(unit, command, |state, port| state.clear(port, list.key))
}

pub(crate) fn preempt(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let (kind, list) = (kind(command.cdb), parameters(command)?);
    change(unit, command, |state, port| state.preempt(port, list.key, list.new_key, kind))
}

/// Its parameter list has a form of its own (SPC-4 6.16.4).
pub(crate) fn register_and_move(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let list = command.parameter_list(PARAMETER_LIST_LENGTH)?;
    let length = list.get(20..24).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    let mut id = list.get(24..).filter(|id| Some(id.len() as u64) == length.map(u64::from));
    let id = id.as_mut().ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
    let (unregisters, persists) = (list[17] & 0x02 != 0, list[17] & PERSISTS != 0);
    if persists && unit.settings().is_none() {
        return Err(Sense::invalid_parameter(17, 0).into());
    }
    // RELATIVE TARGET PORT IDENTIFIER.
    let group = u16::from_be_bytes([list[18], list[19]]);
    if !command.server.portal_groups().contains(&group) {
        return Err(Sense::invalid_parameter(18, None).into());
    }
    let name = take_transport_id(id).filter(|_| id.is_empty()).ok_or(Sense::invalid_parameter(24, None))?;
    let (key, new_key) = (number(list, 0), number(list, 8));
    change(unit, command, |state, port| {
        let to = port.of_same_target(name, group);
        let told = state.hand_over(port, key, new_key, to, unregisters)?;
        state.persists = persists;
        Ok(told)
    })
}
