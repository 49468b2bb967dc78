//! The commands: one table that dispatch, the plan before data move, and REPORT SUPPORTED OPERATION CODES
//! share.

use crate::access_states::Reach;
use crate::cdb::{ADDITIONAL_LENGTH, Cdb, Field, LONG_SERVICE_ACTION, VARIABLE_LENGTH};
use crate::cdb_usage::*;
use crate::extended_copy::{self, page, populate_token::populate_token, status, write_using_token};
use crate::overhaul::{format_unit, sanitize};
use crate::overlap::Touch;
use crate::reservations::{Admission, persistent_in, persistent_out, reserve};
use crate::running::{Outcome, Running};
use crate::sense::{INVALID_COMMAND_OPERATION_CODE, Sense};
use crate::traffic::Effect;
use crate::{
    LogicalUnit, Wait, buffer, capacity, compare_and_write, defect_data, identifying_information, inquiry,
    lba_status, log_sense, mode_select, mode_sense, or_write, pre_fetch, read_write, readiness, report_luns,
    request_sense, supported_operation_codes, synchronize_cache, target_ports, timestamp, unmap, verify,
    write_and_verify, write_atomic, write_same,
};

/// A row of the table.
pub(crate) struct Command {
    pub(crate) operation_code: u8,
    pub(crate) service_action: Option<u8>,
    pub(crate) name: &'static str,
    /// CDB USAGE DATA (SPC-4 6.35.3): ones for the bits that are evaluated. As long as the CDB.
    pub(crate) usage: &'static [u8],
    pub(crate) transfer: Transfer,
    pub(crate) handler: Handler,
    pub(crate) traits: Traits,
}

/// What a command moves, and how to tell how much.
#[derive(Clone, Copy)]
pub(crate) enum Transfer {
    /// Nothing.
    None,
    /// Parameter data, up to the allocation length and never more than `most` bytes.
    ParameterData { allocation_length: Field, most: u32 },
    /// Always as many bytes of parameter data.
    Fixed(u32),
    /// A parameter list of the length in this field.
    ParameterList(Field),
    /// The blocks that the CDB names, to the initiator.
    BlocksIn,
    /// Bytes from the initiator, as many as this says.
    DataOut(fn(&LogicalUnit, Cdb<'_>) -> Result<u64, Sense>),
    /// The same, where a client that sends more is to be noticed.
    ExactOut(fn(&LogicalUnit, Cdb<'_>) -> Result<u64, Sense>),
}

/// Who carries a command out.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// The device server, with a logical unit or without. No unit attention stands in the way.
    Any(fn(&mut Running<'_>) -> Outcome),
    /// A logical unit.
    Unit(OfUnit),
}

/// What is to be known of a command before it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traits {
    /// What it may wait for.
    pub(crate) wait: Wait,
    /// It changes the medium, so that write protection forbids it.
    pub(crate) writes: bool,
    /// It needs a medium to be there.
    pub(crate) medium: bool,
    /// What is counted of it.
    pub(crate) effect: Effect,
    /// Which blocks it reads or changes.
    pub(crate) touch: Touch,
    /// What becomes of it when others have reserved the logical unit.
    pub(crate) shut_out: Admission,
    /// What of the disk it can't be without: where that is missing, there is no such command.
    pub(crate) needs: Needs,
    /// In which access states of its target port group it is carried out.
    pub(crate) reach: Reach,
}

/// What not every disk has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing of that sort.
    #[default]
    Nothing,
    /// A volume that writes in one piece.
    AtomicWrites,
    /// Target port groups whose access states initiators may change.
    ExplicitAccess,
}

impl Traits {
    /// The same, carried out even where the target port group is in this state.
    const fn down_to(self, reach: Reach) -> Traits {
        Traits { reach, ..self }
    }
}

/// Touches nothing but memory.
const PROMPT: Traits = Traits {
    wait: Wait::Nothing,
    writes: false,
    medium: false,
    effect: Effect::None,
    touch: Touch::Nothing,
    shut_out: Admission::Always,
    needs: Needs::Nothing,
    reach: Reach::Active,
};
/// Says what the logical unit is set to.
const TELLS: Traits = Traits { shut_out: Admission::Looks, ..PROMPT };
/// Asks about the medium, without waiting for it.
const ASKS: Traits = Traits { medium: true, ..PROMPT };
/// Is for those only whom no reservation shuts out.
const KEEPS_OUT: Traits = Traits { shut_out: Admission::Never, ..PROMPT };
/// Says something about the medium.
const DESCRIBES: Traits = Traits { medium: true, ..TELLS };
/// Is about reservations.
const RESERVES: Traits = Traits { shut_out: Admission::Own, ..PROMPT };
/// Makes one, which waits for those who change blocks as one step: VMFS takes it for granted that none of them writes
/// once another host has the disk.
const RESERVES_ALL: Traits = Traits { wait: Wait::Long, touch: Touch::Any, ..RESERVES };
/// Is about reservations that last, and may have to save them.
const RESERVES_LASTING: Traits = Traits { wait: Wait::Long, ..RESERVES };
/// May wait for the medium, if it is there.
const MAY_WAIT: Traits = Traits { wait: Wait::Long, shut_out: Admission::Never, ..PROMPT };
/// Changes access states.
const SETS_STATES: Traits = Traits { needs: Needs::ExplicitAccess, ..MAY_WAIT.down_to(Reach::Unavailable) };
/// Copies between logical units, and sees to the blocks at either end itself.
const COPIES: Traits = Traits { medium: true, ..MAY_WAIT };
/// Looks at the medium, and not at single blocks.
const WAITS: Traits = Traits { wait: Wait::Long, shut_out: Admission::Looks, ..ASKS };
/// Looks at blocks.
const LOOKS: Traits = Traits { touch: Touch::Named, ..WAITS };
/// Returns blocks.
const READS: Traits = Traits { wait: Wait::Read, effect: Effect::Read, ..LOOKS };
/// Makes what was written last.
const FLUSHES: Traits =
    Traits { wait: Wait::Flush, effect: Effect::Flush, shut_out: Admission::Never, ..ASKS };
/// Takes blocks.
const WRITES: Traits = Traits { wait: Wait::Cache, ..CHANGES };
/// Changes the blocks that it names.
const CHANGES: Traits = Traits { writes: true, effect: Effect::Write, shut_out: Admission::Never, ..LOOKS };
/// Changes blocks that its parameters name.
const CHANGES_ANY: Traits = Traits { touch: Touch::Any, ..CHANGES };
/// Changes blocks depending on what they are, as one step.
const CHANGES_ALONE: Traits = Traits { touch: Touch::Alone, ..CHANGES };
/// Changes blocks so that all of them are changed or none.
const CHANGES_WHOLE: Traits = Traits { needs: Needs::AtomicWrites, ..CHANGES_ALONE };

/// Changes all blocks, and finds who is at them itself.
const OVERHAULS: Traits = Traits { wait: Wait::Overhaul, writes: true, shut_out: Admission::Never, ..ASKS };

const fn data(allocation_length: Field, most: u32) -> Transfer {
    Transfer::ParameterData { allocation_length, most }
}

const fn row(
    operation_code: u8,
    name: &'static str,
    usage: &'static [u8],
    transfer: Transfer,
    traits: Traits,
    handler: Handler,
) -> Command {
    Command { operation_code, service_action: None, name, usage, transfer, handler, traits }
}

const fn action(service_action: u8, row: Command) -> Command {
    Command { service_action: Some(service_action), ..row }
}

/// A command of 32 bytes. SBC-3 has those that access blocks for disks with type 2 protection only; here they need
/// none, as in other targets, and the tags that they expect are not looked at.
const fn long(
    service_action: u8,
    name: &'static str,
    usage: &'static [u8],
    transfer: Transfer,
    traits: Traits,
    handler: OfUnit,
) -> Command {
    let command = row(VARIABLE_LENGTH, name, usage, transfer, traits, Handler::Unit(handler));
    action(service_action, command)
}

type OfUnit = fn(&LogicalUnit, &mut Running<'_>) -> Outcome;

/// A service action of PERSISTENT RESERVE IN.
const fn reserve_in(service_action: u8, name: &'static str, handler: OfUnit) -> Command {
    let traits = RESERVES.down_to(Reach::Standby);
    let command = row(0x5e, name, RESERVE_IN, RESERVE_IN_DATA, traits, Handler::Unit(handler));
    action(service_action, command)
}

/// A service action of SANITIZE.
const fn sanitizing(
    service_action: u8,
    name: &'static str,
    usage: &'static [u8],
    handler: OfUnit,
) -> Command {
    let list = Transfer::ParameterList(sanitize::PARAMETER_LIST_LENGTH);
    action(service_action, row(0x48, name, usage, list, OVERHAULS, Handler::Unit(handler)))
}

/// A service action of PERSISTENT RESERVE OUT.
const fn reserve_out(
    service_action: u8,
    name: &'static str,
    usage: &'static [u8],
    handler: OfUnit,
) -> Command {
    let traits = RESERVES_LASTING.down_to(Reach::Standby);
    let command = row(0x5f, name, usage, RESERVE_OUT_DATA, traits, Handler::Unit(handler));
    action(service_action, command)
}

const WRITE_OUT: Transfer = Transfer::DataOut(|unit, cdb| Ok(read_write::extent(unit, cdb)?.bytes()));
const VERIFY_OUT: Transfer = Transfer::DataOut(verify::data_out);
const WRITE_AND_VERIFY_OUT: Transfer = Transfer::DataOut(write_and_verify::data_out);
const WRITE_SAME_OUT: Transfer = Transfer::ExactOut(write_same::data_out);
const COMPARE_AND_WRITE_OUT: Transfer = Transfer::ExactOut(compare_and_write::data_out);

const RESERVE_IN_DATA: Transfer = data(persistent_in::ALLOCATION_LENGTH, 65_535);
const RESERVE_OUT_DATA: Transfer = Transfer::DataOut(persistent_out::data_out);

const COPY: Handler = Handler::Unit(extended_copy::extended_copy);
const COPY_OUT: Transfer = Transfer::DataOut(extended_copy::data_out);
const COPY_RESULTS_DATA: Transfer = data(status::ALLOCATION_LENGTH, status::MOST);

/// The commands, in ascending order of operation code and service action.
#[rustfmt::skip]
pub(crate) static COMMANDS: &[Command] = &[
    row(0x00, "TEST UNIT READY", &[0xff, 0, 0, 0, 0, 0],
        Transfer::None, ASKS, Handler::Unit(readiness::test_unit_ready)),
    row(0x03, "REQUEST SENSE", &[0xff, 0x01, 0, 0, 0xff, 0],
        data(request_sense::ALLOCATION_LENGTH, 255), PROMPT.down_to(Reach::Offline),
        Handler::Any(request_sense::request_sense)),
    row(0x04, "FORMAT UNIT", &[0xff, 0xff, 0, 0, 0x03, 0], Transfer::DataOut(format_unit::data_out), OVERHAULS,
        Handler::Unit(format_unit::format_unit)),
    row(0x08, "READ(6)", USAGE_6, Transfer::BlocksIn, READS, Handler::Unit(read_write::read)),
    row(0x0a, "WRITE(6)", USAGE_6, WRITE_OUT, WRITES, Handler::Unit(read_write::write)),
    row(0x12, "INQUIRY", &[0xff, 0x01, 0xff, 0xff, 0xff, 0],
        data(inquiry::ALLOCATION_LENGTH, 65_535), PROMPT.down_to(Reach::Offline),
        Handler::Any(inquiry::inquiry)),
    row(0x15, "MODE SELECT(6)", &[0xff, 0x11, 0, 0, 0xff, 0],
        Transfer::ParameterList(mode_select::PARAMETER_LIST_LENGTH_6), MAY_WAIT.down_to(Reach::Standby),
        Handler::Unit(mode_select::mode_select_6)),
    row(0x16, "RESERVE(6)", &[0xff, 0, 0, 0, 0, 0], Transfer::None, RESERVES_ALL,
        Handler::Unit(reserve::reserve)),
    row(0x17, "RELEASE(6)", &[0xff, 0, 0, 0, 0, 0], Transfer::None, RESERVES, Handler::Unit(reserve::release)),
    row(0x1a, "MODE SENSE(6)", &[0xff, 0x08, 0xff, 0xff, 0xff, 0],
        data(mode_sense::ALLOCATION_LENGTH_6, 255), TELLS.down_to(Reach::Standby),
        Handler::Unit(mode_sense::mode_sense_6)),
    row(0x1b, "START STOP UNIT", &[0xff, 0x01, 0, 0x0f, 0xf7, 0],
        Transfer::None, MAY_WAIT, Handler::Unit(readiness::start_stop_unit)),
    row(0x1d, "SEND DIAGNOSTIC", &[0xff, 0xf4, 0, 0xff, 0xff, 0],
        Transfer::None, Traits { medium: true, ..KEEPS_OUT.down_to(Reach::Standby) },
        Handler::Unit(readiness::send_diagnostic)),
    row(0x1e, "PREVENT ALLOW MEDIUM REMOVAL", &[0xff, 0, 0, 0, 0x03, 0],
        Transfer::None, KEEPS_OUT, Handler::Unit(readiness::prevent_allow_medium_removal)),
    row(0x25, "READ CAPACITY(10)", &[0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        Transfer::Fixed(capacity::LENGTH_10), ASKS.down_to(Reach::Standby),
        Handler::Unit(capacity::read_capacity_10)),
    row(0x28, "READ(10)", USAGE_10, Transfer::BlocksIn, READS, Handler::Unit(read_write::read)),
    row(0x2a, "WRITE(10)", USAGE_10, WRITE_OUT, WRITES, Handler::Unit(read_write::write)),
    row(0x2e, "WRITE AND VERIFY(10)", VERIFY_10, WRITE_AND_VERIFY_OUT, CHANGES,
        Handler::Unit(write_and_verify::write_and_verify)),
    row(0x2f, "VERIFY(10)", VERIFY_10, VERIFY_OUT, LOOKS, Handler::Unit(verify::verify)),
    row(0x34, "PRE-FETCH(10)", PRE_FETCH_10, Transfer::None, LOOKS, Handler::Unit(pre_fetch::pre_fetch)),
    row(0x35, "SYNCHRONIZE CACHE(10)", SYNCHRONIZE_10,
        Transfer::None, FLUSHES, Handler::Unit(synchronize_cache::synchronize_cache)),
    row(0x37, "READ DEFECT DATA(10)", &[0xff, 0, 0x1f, 0, 0, 0, 0, 0xff, 0xff, 0],
        data(defect_data::ALLOCATION_LENGTH_10, 4), DESCRIBES,
        Handler::Unit(defect_data::read_defect_data_10)),
    row(0x3b, "WRITE BUFFER", BUFFER, Transfer::DataOut(buffer::data_out), KEEPS_OUT.down_to(Reach::Unavailable),
        Handler::Unit(buffer::write_buffer)),
    row(0x3c, "READ BUFFER", BUFFER, data(buffer::LENGTH, buffer::CAPACITY as u32), TELLS.down_to(Reach::Unavailable),
        Handler::Unit(buffer::read_buffer)),
    row(0x41, "WRITE SAME(10)", WRITE_SAME_10, WRITE_SAME_OUT, CHANGES, Handler::Unit(write_same::write_same)),
    row(0x42, "UNMAP", &[0xff, 0x01, 0, 0, 0, 0, 0, 0xff, 0xff, 0],
        Transfer::ParameterList(unmap::PARAMETER_LIST_LENGTH), CHANGES_ANY, Handler::Unit(unmap::unmap)),
    sanitizing(0x01, "SANITIZE, OVERWRITE", SANITIZE, sanitize::overwrite),
    sanitizing(0x02, "SANITIZE, BLOCK ERASE", SANITIZE, sanitize::block_erase),
    sanitizing(0x1f, "SANITIZE, EXIT FAILURE MODE", SANITIZE, sanitize::exit_failure_mode),
    row(0x4d, "LOG SENSE", &[0xff, 0x01, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0],
        data(log_sense::ALLOCATION_LENGTH, 65_535), PROMPT.down_to(Reach::Standby),
        Handler::Unit(log_sense::log_sense)),
    row(0x55, "MODE SELECT(10)", &[0xff, 0x11, 0, 0, 0, 0, 0, 0xff, 0xff, 0],
        Transfer::ParameterList(mode_select::PARAMETER_LIST_LENGTH_10), MAY_WAIT.down_to(Reach::Standby),
        Handler::Unit(mode_select::mode_select_10)),
    row(0x56, "RESERVE(10)", &[0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0], Transfer::None, RESERVES_ALL,
        Handler::Unit(reserve::reserve)),
    row(0x57, "RELEASE(10)", &[0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0], Transfer::None, RESERVES,
        Handler::Unit(reserve::release)),
    row(0x5a, "MODE SENSE(10)", &[0xff, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0],
        data(mode_sense::ALLOCATION_LENGTH_10, 65_535), TELLS.down_to(Reach::Standby),
        Handler::Unit(mode_sense::mode_sense_10)),
    reserve_in(0x00, "PERSISTENT RESERVE IN, READ KEYS", persistent_in::read_keys),
    reserve_in(0x01, "PERSISTENT RESERVE IN, READ RESERVATION", persistent_in::read_reservation),
    reserve_in(0x02, "PERSISTENT RESERVE IN, REPORT CAPABILITIES", persistent_in::report_capabilities),
    reserve_in(0x03, "PERSISTENT RESERVE IN, READ FULL STATUS", persistent_in::read_full_status),
    reserve_out(0x00, "PERSISTENT RESERVE OUT, REGISTER", REGISTER_OUT,
        persistent_out::register),
    reserve_out(0x01, "PERSISTENT RESERVE OUT, RESERVE", RESERVE_OUT,
        persistent_out::reserve),
    reserve_out(0x02, "PERSISTENT RESERVE OUT, RELEASE", RESERVE_OUT,
        persistent_out::release),
    reserve_out(0x03, "PERSISTENT RESERVE OUT, CLEAR", REGISTER_OUT,
        persistent_out::clear),
    reserve_out(0x04, "PERSISTENT RESERVE OUT, PREEMPT", RESERVE_OUT,
        persistent_out::preempt),
    reserve_out(persistent_out::PREEMPT_AND_ABORT, "PERSISTENT RESERVE OUT, PREEMPT AND ABORT", RESERVE_OUT,
        persistent_out::preempt),
    reserve_out(0x06, "PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY", REGISTER_OUT,
        persistent_out::register_and_ignore_existing_key),
    reserve_out(0x07, "PERSISTENT RESERVE OUT, REGISTER AND MOVE", REGISTER_OUT,
        persistent_out::register_and_move),
    long(0x09, "READ(32)", USAGE_32, Transfer::BlocksIn, READS, read_write::read),
    long(0x0a, "VERIFY(32)", VERIFY_32, VERIFY_OUT, LOOKS, verify::verify),
    long(0x0b, "WRITE(32)", USAGE_32, WRITE_OUT, WRITES, read_write::write),
    long(0x0c, "WRITE AND VERIFY(32)", VERIFY_32, WRITE_AND_VERIFY_OUT, CHANGES,
        write_and_verify::write_and_verify),
    long(0x0d, "WRITE SAME(32)", WRITE_SAME_32, WRITE_SAME_OUT, CHANGES, write_same::write_same),
    long(0x0e, "ORWRITE(32)", ORWRITE_32, Transfer::DataOut(or_write::data_out), CHANGES_ALONE,
        or_write::or_write),
    long(0x12, "GET LBA STATUS(32)", LBA_STATUS_32,
        data(lba_status::ALLOCATION_LENGTH_32, lba_status::MOST), WAITS, lba_status::lba_status_32),
    action(0x00, row(0x83, "EXTENDED COPY(LID1)", EXTENDED_COPY, COPY_OUT, COPIES, COPY)),
    action(0x01, row(0x83, "EXTENDED COPY(LID4)", EXTENDED_COPY, COPY_OUT, COPIES, COPY)),
    action(0x10, row(0x83, "POPULATE TOKEN", USE_TOKEN, COPY_OUT, WAITS, Handler::Unit(populate_token))),
    action(0x11, row(0x83, "WRITE USING TOKEN", USE_TOKEN, COPY_OUT, COPIES,
        Handler::Unit(write_using_token::write_using_token))),
    action(0x1c, row(0x83, "COPY OPERATION ABORT", COPY_ABORT, Transfer::None, KEEPS_OUT,
        Handler::Unit(status::copy_operation_abort))),
    action(0x00, row(0x84, "RECEIVE COPY RESULTS, COPY STATUS(LID1)", COPY_RESULTS, COPY_RESULTS_DATA, KEEPS_OUT,
        Handler::Unit(status::copy_status))),
    action(0x03, row(0x84, "RECEIVE COPY RESULTS, OPERATING PARAMETERS", COPY_RESULTS, COPY_RESULTS_DATA, KEEPS_OUT,
        Handler::Unit(page::operating_parameters))),
    action(0x05, row(0x84, "RECEIVE COPY STATUS(LID4)", COPY_STATUS, COPY_RESULTS_DATA, KEEPS_OUT,
        Handler::Unit(status::long_copy_status))),
    action(0x07, row(0x84, "RECEIVE ROD TOKEN INFORMATION", COPY_STATUS,
        data(status::ALLOCATION_LENGTH, status::MOST_TOKEN), DESCRIBES, Handler::Unit(status::rod_token_information))),
    action(0x08, row(0x84, "REPORT ALL ROD TOKENS", EXTENDED_COPY,
        data(status::ALLOCATION_LENGTH, status::MOST_OF_TOKENS), DESCRIBES, Handler::Unit(status::all_rod_tokens))),
    row(0x88, "READ(16)", USAGE_16, Transfer::BlocksIn, READS, Handler::Unit(read_write::read)),
    row(0x89, "COMPARE AND WRITE", COMPARE_AND_WRITE, COMPARE_AND_WRITE_OUT, CHANGES_ALONE,
        Handler::Unit(compare_and_write::compare_and_write)),
    row(0x8a, "WRITE(16)", USAGE_16, WRITE_OUT, WRITES, Handler::Unit(read_write::write)),
    row(0x8b, "ORWRITE(16)", USAGE_16, WRITE_OUT, CHANGES_ALONE, Handler::Unit(or_write::or_write)),
    row(0x8e, "WRITE AND VERIFY(16)", VERIFY_16, WRITE_AND_VERIFY_OUT, CHANGES,
        Handler::Unit(write_and_verify::write_and_verify)),
    row(0x8f, "VERIFY(16)", VERIFY_16, VERIFY_OUT, LOOKS, Handler::Unit(verify::verify)),
    row(0x90, "PRE-FETCH(16)", PRE_FETCH_16, Transfer::None, LOOKS, Handler::Unit(pre_fetch::pre_fetch)),
    row(0x91, "SYNCHRONIZE CACHE(16)", SYNCHRONIZE_16,
        Transfer::None, FLUSHES, Handler::Unit(synchronize_cache::synchronize_cache)),
    row(0x93, "WRITE SAME(16)", WRITE_SAME_16, WRITE_SAME_OUT, CHANGES,
        Handler::Unit(write_same::write_same)),
    row(0x9c, "WRITE ATOMIC(16)", WRITE_ATOMIC_16, Transfer::DataOut(write_atomic::data_out), CHANGES_WHOLE,
        Handler::Unit(write_atomic::write_atomic)),
    action(0x10, row(0x9e, "READ CAPACITY(16)", CAPACITY_16,
        data(capacity::ALLOCATION_LENGTH_16, 32), ASKS.down_to(Reach::Standby),
        Handler::Unit(capacity::read_capacity_16))),
    action(0x12, row(0x9e, "GET LBA STATUS(16)", LBA_STATUS_16,
        data(lba_status::ALLOCATION_LENGTH_16, lba_status::MOST), WAITS,
        Handler::Unit(lba_status::lba_status_16))),
    row(0xa0, "REPORT LUNS", REPORT_LUNS_12,
        data(report_luns::ALLOCATION_LENGTH, report_luns::MOST), PROMPT.down_to(Reach::Offline),
        Handler::Any(report_luns::report_luns)),
    action(0x05, row(0xa3, "REPORT IDENTIFYING INFORMATION", IDENTIFYING_INFORMATION,
        data(identifying_information::LENGTH, identifying_information::MOST), PROMPT,
        Handler::Unit(identifying_information::report_identifying_information))),
    action(0x0a, row(0xa3, "REPORT TARGET PORT GROUPS", PORT_GROUPS,
        data(target_ports::ALLOCATION_LENGTH, target_ports::MOST_GROUPS), PROMPT.down_to(Reach::Offline),
        Handler::Unit(target_ports::report_target_port_groups))),
    action(0x0c, row(0xa3, "REPORT SUPPORTED OPERATION CODES", REPORT_CODES_12,
        data(supported_operation_codes::ALLOCATION_LENGTH, supported_operation_codes::MOST), TELLS,
        Handler::Unit(supported_operation_codes::supported_operation_codes))),
    action(0x0d, row(0xa3, "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", TASK_MANAGEMENT,
        data(target_ports::ALLOCATION_LENGTH, target_ports::MOST_FUNCTIONS), TELLS,
        Handler::Unit(target_ports::report_supported_task_management_functions))),
    action(0x0f, row(0xa3, "REPORT TIMESTAMP", TIMESTAMP,
        data(timestamp::LENGTH, timestamp::PARAMETERS), PROMPT, Handler::Unit(timestamp::report_timestamp))),
    action(0x06, row(0xa4, "SET IDENTIFYING INFORMATION", IDENTIFYING_INFORMATION,
        Transfer::DataOut(identifying_information::data_out), MAY_WAIT,
        Handler::Unit(identifying_information::set_identifying_information))),
    action(0x0a, row(0xa4, "SET TARGET PORT GROUPS", SET_PORT_GROUPS,
        Transfer::DataOut(target_ports::data_out), SETS_STATES,
        Handler::Unit(target_ports::set_target_port_groups))),
    action(0x0f, row(0xa4, "SET TIMESTAMP", TIMESTAMP,
        Transfer::DataOut(timestamp::data_out), KEEPS_OUT, Handler::Unit(timestamp::set_timestamp))),
    row(0xa8, "READ(12)", USAGE_12, Transfer::BlocksIn, READS, Handler::Unit(read_write::read)),
    row(0xaa, "WRITE(12)", USAGE_12, WRITE_OUT, WRITES, Handler::Unit(read_write::write)),
    row(0xae, "WRITE AND VERIFY(12)", VERIFY_12, WRITE_AND_VERIFY_OUT, CHANGES,
        Handler::Unit(write_and_verify::write_and_verify)),
    row(0xaf, "VERIFY(12)", VERIFY_12, VERIFY_OUT, LOOKS, Handler::Unit(verify::verify)),
    row(0xb7, "READ DEFECT DATA(12)", &[0xff, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0],
        data(defect_data::ALLOCATION_LENGTH_12, 8), DESCRIBES,
        Handler::Unit(defect_data::read_defect_data_12)),
];

/// The command that a CDB asks for, if there is one and the CDB is long enough for it.
pub(crate) fn find(cdb: Cdb<'_>) -> Result<&'static Command, Sense> {
    let code = cdb.operation_code().ok_or(&INVALID_COMMAND_OPERATION_CODE)?;
    let first = COMMANDS.partition_point(|row| row.operation_code < code);
    let mut known = COMMANDS[first..].iter().take_while(|row| row.operation_code == code).peekable();
    if known.peek().is_none() {
        return Err((&INVALID_COMMAND_OPERATION_CODE).into());
    }
    let command = known
        .find(|row| row.service_action.is_none_or(|action| u16::from(action) == cdb.service_action()))
        .ok_or(unknown_action(code))?;
    if cdb.len() < command.usage.len() {
        return Err(Sense::invalid_cdb(cdb.len(), None));
    }
    // The length that the CDB names must be that of the command, and that with which it came.
    let named = ADDITIONAL_LENGTH + 1 + usize::from(cdb.byte(ADDITIONAL_LENGTH));
    if code == VARIABLE_LENGTH && (named != command.usage.len() || named != cdb.len()) {
        return Err(Sense::invalid_cdb(ADDITIONAL_LENGTH, None));
    }
    // NACA in the CONTROL byte, mostly the last: no auto contingent allegiance here (SAM-5 5.2).
    let control = if code == VARIABLE_LENGTH { 1 } else { command.usage.len() - 1 };
    if cdb.bit(control, 2) {
        return Err(Sense::invalid_cdb(control, 2));
    }
    Ok(command)
}

/// The operation code is known, its service action is not.
fn unknown_action(operation_code: u8) -> Sense {
    match operation_code {
        VARIABLE_LENGTH => Sense::invalid_cdb(LONG_SERVICE_ACTION.byte, None),
        _ => Sense::invalid_cdb(1, 4),
    }
}

/// The standards' name for the command in a CDB, for people's logs.
#[must_use]
pub fn command_name(cdb: &[u8]) -> Option<&'static str> {
    find(Cdb::new(cdb)).ok().map(|command| command.name)
}
