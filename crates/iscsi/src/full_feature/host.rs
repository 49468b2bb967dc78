//! What a session needs of the house it lives in: memory, the device server, and the rest of the target.

use crate::login::Policy;
use crate::pdu::layout::ScsiCommand;

/// What a session needs of the house it lives in.
///
/// No call may wait for a disk or for a client.
pub trait Host: Policy {
    /// Memory for the data of commands.
    type Buffer: AsRef<[u8]> + AsMut<[u8]>;

    /// How much data a command moves, told by its CDB.
    fn plan(&mut self, lun: [u8; 8], cdb: &[u8]) -> Plan;

    /// A buffer of exactly `length` bytes with any content, if there is memory for it. If not, the session asks again
    /// when [`memory_available`](super::Session::memory_available) is called.
    fn allocate(&mut self, length: usize) -> Option<Self::Buffer>;

    /// A buffer of exactly `length` bytes for data that come unasked: out of what was reserved, or else as
    /// [`allocate`](Host::allocate) would; but one at a time is always there. If there is none, the command is refused
    /// with TASK SET FULL.
    fn allocate_unsolicited(&mut self, length: usize) -> Option<Self::Buffer>;

    /// Sets memory aside for that many more pieces of unsolicited data of at most `length` bytes, for as long as the
    /// session lives.
    fn reserve(&mut self, pieces: usize, length: usize) -> bool;

    /// The same for a session that has only begun and may never need it: those that do come first.
    fn reserve_beforehand(&mut self, pieces: usize, length: usize) -> bool;

    /// Starts a command. The outcome, where it is there at once; else
    /// [`complete`](super::Session::complete) is to be called later.
    fn start(&mut self, command: Command<Self::Buffer>) -> Option<Outcome<Self::Buffer>>;

    /// Nobody waits for the outcome of this started command any more. Until it ends, nothing that is started later on
    /// the same logical unit may be overtaken by its effects.
    fn abandon(&mut self, id: TaskId);

    /// A command on this logical unit has ended with this status, which is not GOOD. Whether the other commands of this
    /// session there are aborted for it (control mode page, QERR); those of other sessions are the host's to see to.
    fn failed(&mut self, lun: [u8; 8], status: u8) -> bool;

    /// Whether there is a logical unit.
    fn unit_exists(&mut self, lun: [u8; 8]) -> bool;

    /// The initiator logs out. What only this session kept from others is to be free before it reads the answer, for
    /// whom it tells may come at once.
    fn logged_out(&mut self);

    /// Carries out what a task management function means beyond this session. `false` where it is not supported.
    fn manage(&mut self, function: Function, lun: [u8; 8]) -> bool;

    /// The first of the unit attention conditions that this session has yet to be told of a logical unit, as the
    /// additional response information of QUERY ASYNCHRONOUS EVENT has it (SAM-5 7.9).
    fn asynchronous_event(&mut self, lun: [u8; 8]) -> Option<[u8; 3]>;

    /// The targets that this initiator may discover, with the addresses (`host:port,tag`) it can reach them at.
    /// With a name, that one only.
    fn discover(&mut self, name: Option<&str>) -> Vec<(String, Vec<String>)>;
}

/// Data that a command moves, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The most that it returns.
    pub data_in: u32,
    /// What it takes; 0 where it will be refused whatever the data are.
    pub data_out: u32,
}

/// Names a command within its connection, even when the initiator uses its task tag again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// Order of arrival.
    pub serial: u64,
    /// Initiator Task Tag.
    pub tag: u32,
}

/// Task attributes (RFC 7143 §11.3.1, SAM-5 8.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// Untagged or simple: in any order.
    Simple,
    /// After all older ones, before all younger ones.
    Ordered,
    /// At once, before all that wait.
    HeadOfQueue,
}

/// A command with all its data, to be carried out.
#[derive(Debug)]
pub struct Command<B> {
    /// Its name.
    pub id: TaskId,
    /// Addressed logical unit.
    pub lun: [u8; 8],
    /// 16 bytes, or more with an extended CDB.
    pub cdb: Cdb,
    /// When it may begin, and others beside it. Within its session that was seen to, but for `HeadOfQueue`.
    pub attribute: Attribute,
    /// What was planned when it came. The logical unit may be another by now.
    pub plan: Plan,
    /// What the initiator sent, and how much of the buffer that is.
    pub data_out: Option<(B, usize)>,
    /// Where to put what the command returns.
    pub data_in: Option<B>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Outcome<B> {
    /// SCSI status (SAM-5 5.3.1).
    pub status: u8,
    /// Sense data, if any.
    pub sense: Vec<u8>,
    /// Bytes that the command had to return, which may be more than the buffer took.
    pub data_in_length: u64,
    /// Bytes that the command took or would have taken.
    pub data_out_length: u64,
    /// What it returns.
    pub data_in: Option<B>,
}

impl<B> Outcome<B> {
    /// A command that has moved nothing.
    pub fn of_status(status: u8, sense: Vec<u8>) -> Self {
        Outcome { status, sense, data_in_length: 0, data_out_length: 0, data_in: None }
    }
}

/// A command descriptor block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cdb {
    /// As in the header.
    Short([u8; 16]),
    /// With an additional header segment.
    Long(Vec<u8>),
}

impl Cdb {
    pub(super) fn new(header: &ScsiCommand, extension: &[u8]) -> Self {
        match extension {
            [] => Cdb::Short(header.cdb),
            _ => Cdb::Long([&header.cdb, extension].concat()),
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Cdb::Short(bytes) => bytes,
            Cdb::Long(bytes) => bytes,
        }
    }
}

/// Task management functions (RFC 7143 §11.5.1, RFC 7144 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Function {
    /// One task.
    AbortTask = 1,
    /// All tasks of this session on the logical unit.
    AbortTaskSet = 2,
    /// There is never an ACA condition here.
    ClearAca = 3,
    /// All tasks of everybody on the logical unit.
    ClearTaskSet = 4,
    /// The same, and the logical unit as after power on.
    LogicalUnitReset = 5,
    /// The same for all logical units.
    TargetWarmReset = 6,
    /// The same, and all connections are closed.
    TargetColdReset = 7,
    /// Error recovery level 2.
    TaskReassign = 8,
    /// Whether one task is there.
    QueryTask = 9,
    /// Whether this session has any task on the logical unit.
    QueryTaskSet = 10,
    /// The session ends, and with it all that is its own.
    NexusReset = 11,
    /// Whether there is a unit attention condition for this session.
    QueryAsynchronousEvent = 12,
}

impl Function {
    pub(super) fn of(code: u8) -> Option<Function> {
        use Function::*;
        [
            AbortTask,
            AbortTaskSet,
            ClearAca,
            ClearTaskSet,
            LogicalUnitReset,
            TargetWarmReset,
            TargetColdReset,
            TaskReassign,
            QueryTask,
            QueryTaskSet,
            NexusReset,
            QueryAsynchronousEvent,
        ]
        .into_iter()
        .find(|function| *function as u8 == code)
    }

    /// The iSCSIProtocolLevel that has it.
    pub(super) fn protocol_level(self) -> u32 {
        if self as u8 >= Function::QueryTask as u8 { 2 } else { 0 }
    }

    /// Whether it is about the logical unit that its LUN field names (RFC 7143 §11.5.3, RFC 7144 §6.3.1).
    pub(super) fn is_of_unit(self) -> bool {
        use Function::*;
        !matches!(self, TargetWarmReset | TargetColdReset | TaskReassign | NexusReset)
    }
}

/// How a task management function ended (RFC 7143 §11.6.1, RFC 7144 §6.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FunctionResponse {
    /// Done.
    Complete = 0,
    /// There is no such task, and none of its number can come any more.
    TaskDoesNotExist = 1,
    /// There is no such logical unit.
    LunDoesNotExist = 2,
    /// Only with error recovery level 2.
    ReassignmentNotSupported = 4,
    /// No such function here.
    NotSupported = 5,
    /// What was asked about is there.
    Succeeded = 7,
    /// Not for such a task.
    Rejected = 255,
}
