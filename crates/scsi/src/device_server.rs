//! The device server of one target (SAM-5 4.5.19): finds the logical unit and the command, and lets it
//! run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use timedisk_volume::Durability;

use crate::access_states::MOST_PORT_GROUPS;
use crate::cdb::Cdb;
use crate::command_table::{self, Command, Handler, Transfer};
use crate::extended_copy;
use crate::flush_debt::{Begun, FlushDebt};
use crate::overlap::{Touch, turn};
use crate::reservations::{self, admission};
use crate::running::{Outcome, Patience, Running, Stop};
use crate::sense::{
    BUS_DEVICE_RESET, COMMANDS_CLEARED, Condition, INTERNAL_TARGET_FAILURE, INVALID_COMMAND_OPERATION_CODE,
    LOGICAL_UNIT_NOT_SUPPORTED, POWER_ON_OR_RESET, PREVIOUS_BUSY, PREVIOUS_RESERVATION_CONFLICT,
    PREVIOUS_TASK_SET_FULL, Sense,
};
use crate::traffic::Effect;
use crate::{
    Attention, Clock, Completion, LogicalUnit, NexusId, Plan, Status, Surroundings, Wait, log_sense, lun,
    mode_pages::{INTERLOCKED_WITH_STATUSES, ModeParameters},
    read_write,
};

/// The logical units of one target that one nexus may use, by LUN.
#[derive(Debug)]
pub struct DeviceServer {
    target_name: String,
    portal_group_tag: u16,
    /// All that the target has, in ascending order.
    portal_groups: Vec<u16>,
    units: BTreeMap<u16, Arc<LogicalUnit>>,
    clock: Clock,
    protocol_level: u8,
    pub(crate) surroundings: Option<Arc<dyn Surroundings>>,
}

/// Statuses that can leave a unit attention condition; of these one at a time is pending.
static ALIKE: [(Status, &Condition); 3] = [
    (Status::Busy, &PREVIOUS_BUSY),
    (Status::TaskSetFull, &PREVIOUS_TASK_SET_FULL),
    (Status::ReservationConflict, &PREVIOUS_RESERVATION_CONFLICT),
];

/// The plan for commands that will be refused.
const REFUSED: Plan = Plan { data_in: 0, data_out: 0, wait: Wait::Nothing };

impl DeviceServer {
    /// `target_name` is the iSCSI name. LUNs go from 0 to 16383; of two units with the same one the later
    /// counts.
    pub fn new(
        target_name: &str,
        portal_group_tag: u16,
        units: Vec<(u16, Arc<LogicalUnit>)>,
    ) -> DeviceServer {
        let units = units.into_iter().filter(|(number, _)| *number <= lun::GREATEST);
        DeviceServer {
            target_name: target_name.to_owned(),
            portal_group_tag,
            portal_groups: vec![portal_group_tag],
            units: units.collect(),
            clock: || 0,
            protocol_level: 0,
            surroundings: None,
        }
    }

    /// The same target, which has these portal groups as well. Of more than [`MOST_PORT_GROUPS`] the first count.
    pub fn among(mut self, groups: &[u16]) -> DeviceServer {
        self.portal_groups.extend(groups.iter().take(MOST_PORT_GROUPS - 1));
        self.portal_groups.sort_unstable();
        self.portal_groups.dedup();
        self
    }

    /// The same with a clock. Without, it is always the beginning of 1970.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> DeviceServer {
        DeviceServer { clock, ..self }
    }

    /// In milliseconds since the beginning of 1970.
    pub(crate) fn now(&self) -> u64 {
        (self.clock)()
    }

    /// For a session that has negotiated this iSCSIProtocolLevel, 0 to 31 (RFC 7144 §4.2). Without, none is claimed.
    pub fn at_protocol_level(self, protocol_level: u8) -> DeviceServer {
        DeviceServer { protocol_level: protocol_level.min(31), ..self }
    }

    /// An initiator has logged in: each logical unit will tell it that power came on. `initiator_port` is
    /// the name of its port, `NAME,i,0xISID`.
    pub fn nexus_established(&self, nexus: NexusId, initiator_port: &str) {
        self.units.values().for_each(|unit| self.join(unit, nexus, initiator_port));
    }

    fn join(&self, unit: &LogicalUnit, nexus: NexusId, initiator_port: &str) {
        let target_port = reservations::target_port(&self.target_name, self.portal_group_tag);
        unit.reservations().join(nexus, initiator_port, &target_port);
        // The general code: iscsi-ls, for one, tries again for this one only.
        unit.attentions().join(nexus, &POWER_ON_OR_RESET);
    }

    fn leave(unit: &LogicalUnit, nexus: NexusId) {
        unit.attentions().leave(nexus);
        unit.reservations().leave(nexus);
        unit.copies().leave(nexus);
        unit.echoes().leave(nexus);
    }

    /// Takes the place of `before` for a nexus that goes on: units that are new to it tell it that power came on, and
    /// where its logical units are not what they were, the others tell it so (SPC-4 6.33). Answers whether they
    /// are not.
    pub fn succeed(&self, before: &DeviceServer, nexus: NexusId, initiator_port: &str) -> bool {
        let has = |server: &DeviceServer, unit: &Arc<LogicalUnit>| {
            server.units.values().any(|other| Arc::ptr_eq(other, unit))
        };
        before.units.values().filter(|unit| !has(self, unit)).for_each(|unit| Self::leave(unit, nexus));
        let same = self.units.len() == before.units.len()
            && self.units.iter().zip(&before.units).all(|(a, b)| a.0 == b.0 && Arc::ptr_eq(a.1, b.1));
        for unit in self.units.values().filter(|_| !same) {
            match has(before, unit) {
                true => unit.attentions().establish(nexus, Attention::LunsChanged.condition()),
                false => self.join(unit, nexus, initiator_port),
            }
        }
        !same
    }

    /// Drops all that was kept for the nexus.
    pub fn nexus_lost(&self, nexus: NexusId) {
        self.units.values().for_each(|unit| Self::leave(unit, nexus));
    }

    /// What the command will move, and whether it may wait. Cheap, never fails, and has no effect.
    pub fn plan(&self, lun: [u8; 8], cdb: &[u8]) -> Plan {
        let cdb = Cdb::new(cdb);
        let Ok(command) = command_table::find(cdb) else {
            return REFUSED;
        };
        let unit = self.unit(lun);
        let Some(lengths) = lengths(command, unit.map(|unit| &**unit), cdb) else {
            return REFUSED;
        };
        let whole = |length| u32::try_from(length).unwrap_or(u32::MAX);
        Plan {
            data_in: whole(lengths.data_in),
            data_out: whole(lengths.gathered),
            wait: wait(command, unit.map(|unit| &**unit), cdb),
        }
    }

    /// Carries the command out, waiting for the medium where it must. What is left then, at most, is a flush that many
    /// commands can share.
    ///
    /// `plan` is what [`plan`](Self::plan) said of the command before its data moved; where the logical unit has
    /// changed since, so that more is to move, the answer is BUSY.
    /// `data_in` has room for [`Plan::data_in`] bytes or for what the initiator expects, whichever is
    /// less, and `data_out` is what it sent, which may be less than the command takes.
    pub fn begin(
        &self,
        nexus: NexusId,
        lun: [u8; 8],
        cdb: &[u8],
        plan: Plan,
        data_out: &[u8],
        data_in: &mut [u8],
    ) -> Begun {
        self.run((Patience::MayWait, None), (nexus, lun), cdb, plan, data_out, data_in).unwrap_or_else(defect)
    }

    /// The same for a command that works at other logical units too ([`parties`](Self::parties)): it stops where it can
    /// once `recall` is set.
    pub fn begin_copy(
        &self,
        recall: &AtomicBool,
        (nexus, lun): (NexusId, [u8; 8]),
        cdb: &[u8],
        plan: Plan,
        data_out: &[u8],
        data_in: &mut [u8],
    ) -> Begun {
        let how = (Patience::MayWait, Some(recall));
        self.run(how, (nexus, lun), cdb, plan, data_out, data_in).unwrap_or_else(defect)
    }

    /// The logical units that a command works at besides the one that it is sent to. `None` for those that can't.
    pub fn parties(&self, cdb: &[u8], data_out: &[u8]) -> Option<Vec<Arc<LogicalUnit>>> {
        extended_copy::parties(self, Cdb::new(cdb), data_out)
    }

    /// The same, with a flush of its own where one is owed.
    pub fn execute(
        &self,
        nexus: NexusId,
        lun: [u8; 8],
        cdb: &[u8],
        plan: Plan,
        data_out: &[u8],
        data_in: &mut [u8],
    ) -> Completion {
        match self.begin(nexus, lun, cdb, plan, data_out, data_in) {
            Begun::Ended(completion) => completion,
            Begun::OwesFlush(debt) => {
                let flushed = debt.volume().flush().map_err(|error| error.kind);
                debt.settle(flushed)
            }
        }
    }

    /// Like [`begin`](Self::begin), unless it would wait: then `None`, with the content of `data_in` unspecified and no
    /// other effect, and [`begin`](Self::begin) is to be called where waiting harms nobody.
    pub fn execute_now(
        &self,
        nexus: NexusId,
        lun: [u8; 8],
        cdb: &[u8],
        plan: Plan,
        data_out: &[u8],
        data_in: &mut [u8],
    ) -> Option<Completion> {
        match self.run((Patience::Now, None), (nexus, lun), cdb, plan, data_out, data_in)? {
            Begun::Ended(completion) => Some(completion),
            // What owes a flush has said before that it would wait.
            Begun::OwesFlush(_) => None,
        }
    }

    /// The logical unit, if there is one.
    pub fn unit(&self, lun: [u8; 8]) -> Option<&Arc<LogicalUnit>> {
        self.units.get(&lun::decode(lun)?)
    }

    /// All logical units, by ascending LUN.
    pub fn units(&self) -> impl Iterator<Item = (u16, &Arc<LogicalUnit>)> {
        self.units.iter().map(|(number, unit)| (*number, unit))
    }

    /// LOGICAL UNIT RESET (SAM-5 6.3.3): mode parameters are as saved, and every nexus is told. Commands
    /// that run are the caller's to abort, before.
    pub fn reset_unit(&self, lun: [u8; 8]) {
        if let Some(unit) = self.unit(lun) {
            unit.set_modes(ModeParameters::saved(unit.settings()));
            unit.reservations().reset();
            unit.thresholds().reset();
            unit.exceptions().reset();
            unit.attentions().reset(&BUS_DEVICE_RESET);
        }
    }

    /// A command of the nexus has ended with this status, which is not GOOD: where unit attentions are interlocked,
    /// some statuses leave one (SPC-4 7.5.8).
    pub fn failed(&self, nexus: NexusId, lun: [u8; 8], status: u8) {
        let condition = ALIKE.iter().find(|(known, _)| *known as u8 == status);
        if let (Some(unit), Some((_, condition))) = (self.unit(lun), condition)
            && unit.modes().interlock == INTERLOCKED_WITH_STATUSES
        {
            unit.attentions().establish_one_of(nexus, condition, &ALIKE.map(|(_, condition)| condition));
        }
    }

    /// Tells a nexus that commands of its own were cleared by another (SAM-5 5.6).
    pub fn tasks_cleared(&self, lun: [u8; 8], victim: NexusId) {
        if let Some(unit) = self.unit(lun) {
            unit.attentions().establish(victim, &COMMANDS_CLEARED);
        }
    }

    /// The first unit attention condition that the nexus has yet to be told, as the additional response information of
    /// QUERY ASYNCHRONOUS EVENT has it (SAM-5 7.9): UADE DEPTH and sense key, additional sense code, its qualifier.
    pub fn asynchronous_event(&self, nexus: NexusId, lun: [u8; 8]) -> Option<[u8; 3]> {
        let (condition, more) = self.unit(lun)?.attentions().pending(nexus)?;
        let depth = if more { 0b10 } else { 0b01 };
        Some([depth << 4 | condition.key as u8, condition.code, condition.qualifier])
    }

    pub(crate) fn target_name(&self) -> &str {
        &self.target_name
    }

    pub(crate) fn portal_group_tag(&self) -> u16 {
        self.portal_group_tag
    }

    pub(crate) fn portal_groups(&self) -> &[u16] {
        &self.portal_groups
    }

    /// iSCSIProtocolLevel (RFC 7144 §7.1.1).
    pub(crate) fn protocol_level(&self) -> u8 {
        self.protocol_level
    }

    fn run(
        &self,
        (patience, recall): (Patience, Option<&AtomicBool>),
        (nexus, lun): (NexusId, [u8; 8]),
        cdb: &[u8],
        plan: Plan,
        data_out: &[u8],
        data_in: &mut [u8],
    ) -> Option<Begun> {
        let unit = self.unit(lun);
        let mut command = Running {
            server: self,
            nexus,
            unit,
            cdb: Cdb::new(cdb),
            data_out,
            data_in,
            returned: 0,
            patience,
            recall,
            plan,
            owed: None,
        };
        let row = command_table::find(command.cdb);
        let lengths = row.ok().and_then(|row| lengths(row, unit.map(|unit| &**unit), command.cdb));
        let (data_out, gathered) = lengths.map_or((0, 0), |lengths| (lengths.data_out, lengths.gathered));
        let mut outcome = command.check_plan(0, gathered).and_then(|()| dispatch(row, &mut command));
        if outcome.is_ok() {
            outcome = command.check_plan(command.returned, 0);
        }
        match outcome {
            Ok(()) => {
                if let (Ok(row), Some(unit), Patience::MayWait) = (row, unit, patience)
                    && row.traits.writes
                {
                    unit.thresholds().look(unit, allocated(row, data_out));
                }
                let data_in = command.returned;
                let effect = row.map_or(Effect::None, |row| row.traits.effect);
                Some(match (unit, command.owed) {
                    (Some(unit), Some(owed)) => {
                        let unit = Arc::clone(unit);
                        Begun::OwesFlush(FlushDebt { owed, unit, effect, data_in, data_out })
                    }
                    (unit, _) => {
                        if let Some(unit) = unit {
                            unit.counters().count(effect, data_in, data_out);
                        }
                        let (status, sense) = (Status::Good, Vec::new());
                        Begun::Ended(Completion { status, sense, data_in, data_out })
                    }
                })
            }
            Err(Stop::Sense(sense)) => Some(Begun::Ended(check_condition(&sense, data_out))),
            Err(Stop::Busy) => {
                let (status, sense) = (Status::Busy, Vec::new());
                Some(Begun::Ended(Completion { status, sense, data_in: 0, data_out: 0 }))
            }
            Err(Stop::Conflict) => {
                let (status, sense) = (Status::ReservationConflict, Vec::new());
                Some(Begun::Ended(Completion { status, sense, data_in: 0, data_out: 0 }))
            }
            Err(Stop::WouldWait) => None,
        }
    }
}

/// A command that may wait has an outcome.
fn defect() -> Begun {
    Begun::Ended(check_condition(&(&INTERNAL_TARGET_FAILURE).into(), 0))
}

fn dispatch(row: Result<&Command, Sense>, command: &mut Running<'_>) -> Outcome {
    let unit = match (row, command.unit) {
        (Ok(Command { handler: Handler::Any(handler), .. }), _) => return handler(command),
        (_, None) => return Err((&LOGICAL_UNIT_NOT_SUPPORTED).into()),
        (_, Some(unit)) => unit,
    };
    let row = row?;
    if !unit.offers(row) {
        return Err(match row.service_action {
            Some(_) => Sense::invalid_cdb(1, 4).into(),
            None => (&INVALID_COMMAND_OPERATION_CODE).into(),
        });
    }
    let Command { handler, traits, .. } = row;
    // What is pending is told before anything else is done (SAM-5 5.14.2).
    let is_pressing = traits.writes || traits.effect == Effect::Flush;
    if let Some(sense) = unit.tell_attention(command.nexus, is_pressing) {
        return Err(sense.into());
    }
    unit.access_states().check(command.server.portal_group_tag(), traits.reach)?;
    let is_let_in = || unit.reservations().check(command.nexus, admission(traits.shut_out, command.cdb));
    is_let_in()?;
    if let Some(absence) = unit.medium().absence().filter(|_| traits.medium) {
        return Err(absence.condition().into());
    }
    if let Some(condition) = unit.write_protection().filter(|_| traits.writes) {
        return Err(condition.into());
    }
    let _turn = turn(unit, traits.touch, command)?;
    // Not before: one may begin while this waits for its turn, and the disk may be reserved.
    unit.overhaul().check(row)?;
    if traits.touch == Touch::Alone {
        is_let_in()?;
    }
    if traits.writes {
        unit.rods().revoke_for(traits.touch, command.cdb);
    }
    match handler {
        Handler::Unit(handler) => handler(unit, command),
        Handler::Any(handler) => handler(command),
    }
}

/// Bytes that a command may have taken from the file system, or given back to it.
fn allocated(command: &Command, data_out: u64) -> u64 {
    match command.transfer {
        Transfer::DataOut(_) => data_out,
        _ => u64::MAX,
    }
}

pub(crate) fn check_condition(sense: &Sense, data_out: u64) -> Completion {
    Completion { status: Status::CheckCondition, sense: sense.fixed().to_vec(), data_in: 0, data_out }
}

/// What a command may wait for.
fn wait(command: &Command, unit: Option<&LogicalUnit>, cdb: Cdb<'_>) -> Wait {
    let force_unit_access = cdb.access().force_unit_access;
    match (command.traits.wait, unit) {
        (Wait::Nothing, Some(_)) if log_sense::waits(cdb) => Wait::Long,
        (Wait::Read, _) if force_unit_access => Wait::Long,
        (Wait::Read, Some(unit)) if !unit.volume().is_ok_and(|volume| volume.tells_what_is_cached()) => {
            Wait::Cache
        }
        (Wait::Cache, Some(unit)) if unit.durability(force_unit_access) == Durability::Durable => Wait::Flush,
        (Wait::Cache, Some(unit)) if unit.volume().is_ok_and(|volume| volume.writes_wait()) => Wait::Long,
        (wait, _) => wait,
    }
}

/// What a command moves, in bytes.
struct Lengths {
    data_in: u64,
    /// What it takes of Data-Out.
    data_out: u64,
    /// What the transport is to gather of it: more only where it matters that more was sent.
    gathered: u64,
}

impl Lengths {
    fn of_data_in(data_in: u64) -> Self {
        Self { data_in, data_out: 0, gathered: 0 }
    }

    fn of_data_out(data_out: u64) -> Self {
        Self { data_in: 0, data_out, gathered: data_out }
    }
}

/// What the command moves, unless it will be refused.
fn lengths(command: &Command, unit: Option<&LogicalUnit>, cdb: Cdb<'_>) -> Option<Lengths> {
    let unit = match (unit, command.handler) {
        (None, Handler::Unit(_)) => return None,
        (Some(unit), _) if !unit.offers(command) => return None,
        (Some(unit), _) if command.traits.writes && unit.write_protection().is_some() => {
            return None;
        }
        (Some(unit), _) if command.traits.medium && unit.medium().absence().is_some() => {
            return None;
        }
        (unit, _) => unit,
    };
    Some(match command.transfer {
        Transfer::None => Lengths::of_data_in(0),
        Transfer::Fixed(length) => Lengths::of_data_in(length.into()),
        Transfer::ParameterData { allocation_length, most } => {
            Lengths::of_data_in(cdb.number(allocation_length).min(most.into()))
        }
        Transfer::ParameterList(length) => Lengths::of_data_out(cdb.number(length)),
        Transfer::BlocksIn => Lengths::of_data_in(read_write::extent(unit?, cdb).ok()?.bytes()),
        Transfer::DataOut(length) => Lengths::of_data_out(length(unit?, cdb).ok()?),
        Transfer::ExactOut(length) => {
            let exact = length(unit?, cdb).ok()?;
            Lengths { gathered: exact + unit?.block_length(), ..Lengths::of_data_out(exact) }
        }
    })
}
