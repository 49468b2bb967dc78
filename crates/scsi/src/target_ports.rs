//! REPORT TARGET PORT GROUPS (SPC-4 6.37), SET TARGET PORT GROUPS (SPC-4 6.45) and REPORT SUPPORTED TASK MANAGEMENT
//! FUNCTIONS (SPC-4 6.36): how a logical unit is reached, and what the ways there can do.

use crate::LogicalUnit;
use crate::access_states::{AccessState, Cause, MOST_PORT_GROUPS, PortGroup, Unchanged};
use crate::cdb::{Cdb, Field};
use crate::running::{Outcome, Running};
use crate::sense::{ACCESS_STATE_CHANGED, PARAMETER_LIST_LENGTH_ERROR, SET_TARGET_PORT_GROUPS_FAILED, Sense};

/// The length of what is returned, and of what is sent.
pub(crate) const ALLOCATION_LENGTH: Field = Field { byte: 6, width: 4 };

/// The longest answers in bytes.
pub(crate) const MOST_GROUPS: u32 = (HEADER + GROUP * MOST_PORT_GROUPS) as u32;
pub(crate) const MOST_FUNCTIONS: u32 = 16;

/// Bytes of the extended header, and of a group with its port.
const HEADER: usize = 8;
const GROUP: usize = 12;

/// States that a group can have: AO_SUP; and O_SUP, U_SUP, S_SUP, AN_SUP with it.
const ALWAYS_OPTIMIZED: u8 = 0x01;
const ALL_STATES: u8 = 0x4f;

/// TPGS in byte 5 of standard INQUIRY data (SPC-4 table 144): states change by themselves; and by command as well.
pub(crate) fn tpgs(unit: Option<&LogicalUnit>) -> u8 {
    if unit.is_some_and(|unit| unit.access_states().is_explicit()) { 0x30 } else { 0x10 }
}

pub(crate) fn report_target_port_groups(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let mut data = match command.cdb.byte(1) >> 5 {
        0 => vec![0; 4],
        // The extended header: its format, and no time that a transition takes.
        1 => vec![0, 0, 0, 0, 0x10, 0, 0, 0],
        _ => return Err(Sense::invalid_cdb(1, 7).into()),
    };
    for tag in command.server.portal_groups() {
        data.extend(group(unit, *tag));
    }
    let length = (data.len() - 4) as u32;
    data[..4].copy_from_slice(&length.to_be_bytes());
    command.respond(&data, ALLOCATION_LENGTH);
    Ok(())
}

/// A target port group descriptor (SPC-4 table 250). Each group has one port of a target, of the same number.
fn group(unit: &LogicalUnit, tag: u16) -> [u8; GROUP] {
    let known = unit.access_states().group(tag);
    let supported = if known.is_some() { ALL_STATES } else { ALWAYS_OPTIMIZED };
    let always = PortGroup { tag, state: AccessState::ActiveOptimized, is_preferred: false };
    let (PortGroup { state, is_preferred, .. }, cause) = known.unwrap_or((always, Cause::Nobody));
    let [high, low] = tag.to_be_bytes();
    [u8::from(is_preferred) << 7 | state as u8, supported, high, low, 0, cause as u8, 0, 1, 0, 0, high, low]
}

/// Bytes of Data-Out that SET TARGET PORT GROUPS takes.
pub(crate) fn data_out(_: &LogicalUnit, cdb: Cdb<'_>) -> Result<u64, Sense> {
    match cdb.number(ALLOCATION_LENGTH) {
        0 => Ok(0),
        length @ 4.. if length.is_multiple_of(4) && length <= 4 * (1 + MOST_PORT_GROUPS as u64) => Ok(length),
        _ => Err((&PARAMETER_LIST_LENGTH_ERROR).into()),
    }
}

pub(crate) fn set_target_port_groups(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    data_out(unit, command.cdb)?;
    let list = command.parameter_list(ALLOCATION_LENGTH)?;
    let mut wanted: Vec<(u16, AccessState)> = Vec::new();
    for (index, descriptor) in list.chunks_exact(4).enumerate().skip(1) {
        let state = settable(descriptor[0] & 0x0f).ok_or(Sense::invalid_parameter(4 * index, 3))?;
        let tag = u16::from_be_bytes([descriptor[2], descriptor[3]]);
        let is_known = command.server.portal_groups().contains(&tag);
        let is_named_twice = wanted.iter().any(|(other, _)| *other == tag);
        if !is_known || is_named_twice {
            return Err(Sense::invalid_parameter(4 * index + 2, None).into());
        }
        wanted.push((tag, state));
    }
    command.wait()?;
    match unit.access_states().set(&wanted, Cause::Initiator, unit.settings()) {
        Ok(true) => unit.attentions().establish_for_others(command.nexus, &ACCESS_STATE_CHANGED),
        Ok(false) => {}
        Err(Unchanged::NoGroup(_)) => return Err(Sense::invalid_parameter(6, None).into()),
        Err(Unchanged::NotSaved(_)) => return Err((&SET_TARGET_PORT_GROUPS_FAILED).into()),
    }
    Ok(())
}

/// ASYMMETRIC ACCESS STATE that an initiator may ask for (SPC-4 table 326): offline is for administrators.
fn settable(code: u8) -> Option<AccessState> {
    use AccessState::{ActiveNonOptimized, ActiveOptimized, Standby, Unavailable};
    let states = [ActiveOptimized, ActiveNonOptimized, Standby, Unavailable];
    states.into_iter().find(|state| *state as u8 == code)
}

/// ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET; and TARGET RESET, which newer standards don't know.
const FUNCTIONS: [u8; 2] = [0x80 | 0x40 | 0x10 | 0x08 | 0x02, 0];

/// QUERY TASK; QUERY ASYNCHRONOUS EVENT, QUERY TASK SET, I_T NEXUS RESET: with RFC 7144 only.
const NEWER_FUNCTIONS: [u8; 2] = [0x04, 0x04 | 0x02 | 0x01];

pub(crate) fn report_supported_task_management_functions(
    _: &LogicalUnit,
    command: &mut Running<'_>,
) -> Outcome {
    let newer = if command.server.protocol_level() >= 2 { NEWER_FUNCTIONS } else { [0; 2] };
    let [first, second] = [FUNCTIONS[0] | newer[0], FUNCTIONS[1] | newer[1]];
    // REPD asks for times, too: no promises.
    let data = match command.cdb.bit(2, 7) {
        false => vec![first, second, 0, 0],
        true => [&[first, second, 0, 12][..], &[0; 12]].concat(),
    };
    command.respond(&data, ALLOCATION_LENGTH);
    Ok(())
}
