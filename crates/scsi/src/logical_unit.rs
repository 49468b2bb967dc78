//! A logical unit: a volume with an identity, cut into blocks, and what clients can change about it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use timedisk_volume::{Durability, Volume};

use crate::NexusId;
use crate::access_states::{AccessState, AccessStates, Cause, PortGroup, Unchanged};
use crate::buffer::Echoes;
use crate::cdb::BlockRange;
use crate::command_table::{Command, Needs};
use crate::exceptions::Exceptions;
use crate::extended_copy::results::Copies;
use crate::extended_copy::rod::Rods;
use crate::limits;
use crate::medium::Medium;
use crate::mode_pages::{ALL_ABORTED, ModeParameters, OWN_ABORTED};
use crate::or_write::Generations;
use crate::overhaul::{self, Overhaul, OverhaulState, Overhauled};
use crate::overlap::Overlap;
use crate::reservations::Reservations;
use crate::sense::{
    Condition, LBA_OUT_OF_RANGE, SOFTWARE_WRITE_PROTECTED, Sense, THRESHOLD_REACHED, WRITE_PROTECTED,
};
use crate::thresholds::Thresholds;
use crate::timestamp::Timestamp;
use crate::traffic::Counters;
use crate::unit_attention::{Attention, UnitAttentions};

/// The logical unit as clients see it over restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// T10 VENDOR IDENTIFICATION, up to 8 characters.
    pub vendor: String,
    /// PRODUCT IDENTIFICATION, up to 16 characters.
    pub product: String,
    /// PRODUCT REVISION LEVEL, up to 4 characters.
    pub revision: String,
    /// PRODUCT SERIAL NUMBER. No two disks have the same; some clients compare the first eight characters
    /// only.
    pub serial: String,
    /// Locally assigned name: the first four bits are 3h (SPC-4 7.8.6.6.5).
    pub naa: [u8; 8],
}

/// How the volume is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockFormat {
    /// Bytes of a logical block: 512, 1024, 2048, 4096 or 8192.
    pub logical_length: u32,
    /// Bytes of a physical block, a power of two.
    pub physical_length: u32,
}

/// Keeps mode parameters that clients save (SPC-4 5.9).
pub trait SettingsStore: Send + Sync {
    /// The value saved under this key, if any. Answers from memory: nothing waits here.
    fn load(&self, key: &str) -> Option<String>;

    /// Saves a value, to survive power loss once this returns. The error is for people.
    fn save(&self, key: &str, value: &str) -> Result<(), String>;
}

/// What becomes of other commands of the task set when one has ended with CHECK CONDITION (QERR, SPC-4 7.5.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryError {
    /// They go on.
    GoOn,
    /// They are aborted, those of other nexuses too.
    AllAborted,
    /// Those of the same nexus are aborted.
    OwnAborted,
}

/// A disk as SCSI knows it.
pub struct LogicalUnit {
    medium: Medium,
    read_only: AtomicBool,
    identity: Identity,
    format: BlockFormat,
    settings: Option<Arc<dyn SettingsStore>>,
    modes: Mutex<ModeParameters>,
    attentions: UnitAttentions,
    counters: Counters,
    overlap: Overlap,
    overhaul: Overhaul,
    reservations: Reservations,
    copies: Copies,
    rods: Rods,
    echoes: Echoes,
    access_states: AccessStates,
    thresholds: Thresholds,
    exceptions: Exceptions,
    timestamp: Timestamp,
    generations: Generations,
}

impl std::fmt::Debug for LogicalUnit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LogicalUnit")
            .field("identity", &self.identity)
            .field("format", &self.format)
            .field("medium", &self.medium)
            .finish_non_exhaustive()
    }
}

/// Blocks that lie on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) lba: u64,
    pub(crate) blocks: u64,
    block_length: u64,
}

impl Extent {
    /// Where it begins on the volume, in bytes.
    pub(crate) fn offset(&self) -> u64 {
        self.lba * self.block_length
    }

    /// Its length in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.blocks * self.block_length
    }
}

impl LogicalUnit {
    /// A logical unit on `volume`. Without `settings` no mode parameter can be saved. Bytes at the end of
    /// the volume that fill no block are not used.
    pub fn new(
        volume: Arc<dyn Volume>,
        identity: Identity,
        format: BlockFormat,
        settings: Option<Arc<dyn SettingsStore>>,
    ) -> LogicalUnit {
        let reservations = Reservations::new(settings.as_deref());
        let overhaul = Overhaul::new(settings.as_deref());
        let modes = ModeParameters::saved(settings.as_deref());
        LogicalUnit {
            read_only: AtomicBool::new(volume.is_read_only()),
            medium: Medium::new(volume),
            identity,
            format,
            settings,
            modes: Mutex::new(modes),
            attentions: UnitAttentions::default(),
            counters: Counters::default(),
            overlap: Overlap::default(),
            overhaul,
            reservations,
            copies: Copies::default(),
            rods: Rods::default(),
            echoes: Echoes::default(),
            access_states: AccessStates::default(),
            thresholds: Thresholds::default(),
            exceptions: Exceptions::new(&modes),
            timestamp: Timestamp::default(),
            generations: Generations::default(),
        }
    }

    /// What it is mounted on, and the changes of that.
    pub fn medium(&self) -> &Medium {
        &self.medium
    }

    /// The storage under it; NOT READY while there is none.
    pub(crate) fn volume(&self) -> Result<Arc<dyn Volume>, &'static Condition> {
        self.medium.volume()
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What it has done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn settings(&self) -> Option<&dyn SettingsStore> {
        self.settings.as_deref()
    }

    pub(crate) fn attentions(&self) -> &UnitAttentions {
        &self.attentions
    }

    pub(crate) fn reservations(&self) -> &Reservations {
        &self.reservations
    }

    pub(crate) fn copies(&self) -> &Copies {
        &self.copies
    }

    pub(crate) fn rods(&self) -> &Rods {
        &self.rods
    }

    pub(crate) fn echoes(&self) -> &Echoes {
        &self.echoes
    }

    pub(crate) fn overhaul(&self) -> &Overhaul {
        &self.overhaul
    }

    /// Whether SANITIZE or FORMAT UNIT have begun something that is to be carried on.
    pub fn is_overhauled(&self) -> bool {
        self.overhaul.goes_on()
    }

    /// How that is, for people; `None` where there is nothing of the kind.
    pub fn overhaul_state(&self) -> Option<OverhaulState> {
        self.overhaul.for_people()
    }

    /// Does a part of that; it takes a moment. Whoever calls it sees to it that it is called again.
    pub fn carry_overhaul_on(&self) -> Overhauled {
        overhaul::carry_on(self)
    }

    /// Leaves the rest of it to the disk's next life.
    pub fn halt_overhaul(&self) {
        self.overhaul.halt();
    }

    pub(crate) fn access_states(&self) -> &AccessStates {
        &self.access_states
    }

    /// Configures how it is used through the portal groups (SPC-4 5.16), none for always and equally; with
    /// `is_explicit` initiators may change the states. What was changed since stays as it is, as long as its group's
    /// state is configured as it was then. Answers whether initiators see a difference, and have to be
    /// [told](Attention::AccessStateChanged).
    ///
    /// # Errors
    /// What was changed can't be saved. All is in force nevertheless.
    pub fn set_port_groups(&self, groups: &[PortGroup], is_explicit: bool) -> Result<bool, Unchanged> {
        self.access_states.configure(groups, is_explicit, self.settings())
    }

    /// Changes the state of a portal group by hand. Answers whether it was another, so that initiators have to be
    /// [told](Attention::AccessStateChanged).
    ///
    /// # Errors
    /// There is no such group, or the state can't be saved. Nothing has changed then.
    pub fn set_access_state(&self, tag: u16, state: AccessState) -> Result<bool, Unchanged> {
        self.access_states.set(&[(tag, state)], Cause::Administrator, self.settings())
    }

    /// The configured portal groups, with their states as they are now.
    pub fn port_groups(&self) -> Vec<PortGroup> {
        self.access_states.groups()
    }

    pub(crate) fn exceptions(&self) -> &Exceptions {
        &self.exceptions
    }

    pub(crate) fn thresholds(&self) -> &Thresholds {
        &self.thresholds
    }

    pub(crate) fn generations(&self) -> &Generations {
        &self.generations
    }

    pub(crate) fn timestamp(&self) -> &Timestamp {
        &self.timestamp
    }

    pub(crate) fn overlap(&self) -> &Overlap {
        &self.overlap
    }

    /// Bytes of a logical block.
    pub fn block_length(&self) -> u64 {
        u64::from(self.format.logical_length.max(512))
    }

    /// Logical blocks on the disk.
    pub fn blocks(&self) -> u64 {
        self.medium.capacity() / self.block_length()
    }

    /// LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT (SBC-3 5.16.2): a power of two.
    pub(crate) fn physical_exponent(&self) -> u8 {
        let ratio = u64::from(self.format.physical_length) / self.block_length();
        ratio.checked_ilog2().unwrap_or(0) as u8
    }

    /// The blocks that a CDB names, if they are all on the disk. No blocks at all may be just at its end.
    pub(crate) fn extent(&self, range: BlockRange) -> Result<Extent, Sense> {
        let end = range.lba.checked_add(range.blocks);
        if end.is_none_or(|end| end > self.blocks()) {
            return Err(self.out_of_range(range.lba));
        }
        Ok(Extent { lba: range.lba, blocks: range.blocks, block_length: self.block_length() })
    }

    /// Blocks from here on are not all on the disk; the first that is not is named (SBC-5 4.18.1).
    pub(crate) fn out_of_range(&self, lba: u64) -> Sense {
        Sense::from(&LBA_OUT_OF_RANGE).with_information(lba.max(self.blocks()))
    }

    /// The same for a command that transfers or compares them.
    pub(crate) fn transfer(&self, range: BlockRange) -> Result<Extent, Sense> {
        let extent = self.extent(range)?;
        if extent.bytes() > limits::TRANSFER {
            return Err(Sense::invalid_cdb(range.length_byte, None));
        }
        Ok(extent)
    }

    /// MAXIMUM ATOMIC TRANSFER LENGTH (SBC-4 6.6.4), in blocks; 0 if there are no atomic writes.
    pub(crate) fn atomic_blocks(&self) -> u32 {
        // WRITE ATOMIC(16) has 16 bits for the number of its blocks.
        let blocks = self.medium.atomic_limit().min(limits::TRANSFER) / self.block_length();
        u16::try_from(blocks).unwrap_or(u16::MAX).into()
    }

    /// Whether there is such a command here.
    pub(crate) fn offers(&self, command: &Command) -> bool {
        match command.traits.needs {
            Needs::Nothing => true,
            Needs::AtomicWrites => self.atomic_blocks() > 0,
            Needs::ExplicitAccess => self.access_states.is_explicit(),
        }
    }

    /// Whether writes are refused by configuration.
    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }

    /// Refuses writes from now on, or takes them. The volume has to take them too.
    pub fn set_read_only(&self, read_only: bool) {
        self.read_only.store(read_only, Ordering::Relaxed);
    }

    /// The nexuses whose commands a PREEMPT AND ABORT of the nexus `by` has ended (SPC-4 5.13.11.2.7): the transport is
    /// to abort those that came before it. They are named once.
    pub fn take_preempted(&self, by: NexusId) -> Vec<NexusId> {
        self.reservations.take_preempted(by)
    }

    /// What the nexus is to be told next, after which it is no longer pending. To a command that writes or flushes it
    /// is said only if it can't wait for another.
    pub(crate) fn take_attention(&self, nexus: NexusId, is_pressing: bool) -> Option<Sense> {
        self.exceptions.look(self);
        let condition = match is_pressing {
            true => self.attentions.take_pressing(nexus)?,
            false => self.attentions.take(nexus).or_else(|| self.thresholds.take())?,
        };
        let sense = Sense::from(condition);
        if condition == &THRESHOLD_REACHED {
            return Some(sense.with_information(self.thresholds.information()));
        }
        Some(sense)
    }

    /// Tells every nexus, with its next command.
    pub fn tell(&self, attention: Attention) {
        self.attentions.establish_for_all(attention.condition());
    }

    /// The same for a command that is told: it stays pending where only REQUEST SENSE may clear it (UA_INTLCK_CTRL,
    /// SPC-4 7.5.8).
    pub(crate) fn tell_attention(&self, nexus: NexusId, is_pressing: bool) -> Option<Sense> {
        let sense = self.take_attention(nexus, is_pressing)?;
        if self.modes().interlock != 0 {
            self.attentions.put_back(nexus, sense.condition);
        }
        Some(sense)
    }

    /// Whether commands that another nexus has had aborted end with TASK ABORTED (TAS, SPC-4 7.5.8); else they end
    /// without a word.
    pub fn tells_of_aborted(&self) -> bool {
        self.modes().task_aborted_status
    }

    /// What becomes of other commands when one has ended with CHECK CONDITION.
    pub fn query_error(&self) -> QueryError {
        match self.modes().query_error {
            ALL_ABORTED => QueryError::AllAborted,
            OWN_ABORTED => QueryError::OwnAborted,
            _ => QueryError::GoOn,
        }
    }

    /// Mode parameters as they are now.
    pub(crate) fn modes(&self) -> ModeParameters {
        *self.modes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets mode parameters; answers what they were.
    pub(crate) fn set_modes(&self, modes: ModeParameters) -> ModeParameters {
        self.exceptions.follow(&modes);
        let mut current = self.modes.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, modes)
    }

    /// Why the medium may not be written, if it may not.
    pub(crate) fn write_protection(&self) -> Option<&'static Condition> {
        if self.is_read_only() {
            Some(&WRITE_PROTECTED)
        } else if self.modes().software_write_protect {
            Some(&SOFTWARE_WRITE_PROTECTED)
        } else {
            None
        }
    }

    /// What a write is promised: without a write cache each is on the medium before it is acknowledged.
    pub(crate) fn durability(&self, force_unit_access: bool) -> Durability {
        if force_unit_access || !self.modes().write_cache {
            Durability::Durable
        } else {
            Durability::Volatile
        }
    }
}
