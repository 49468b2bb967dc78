//! What crosses the border between a transport and the device server: a plan before data move, a
//! completion after.

/// An I_T nexus (SAM-5 4.6), as numbered by the transport. Never used twice in the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NexusId(pub u64);

/// What the transport must know of a command before it moves data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The most bytes that the command can return, allocation length and limits considered.
    pub data_in: u32,
    /// The most bytes of Data-Out that are to be gathered; [`Completion::data_out`] tells how many the
    /// command takes. They differ for WRITE SAME, which must notice if it is sent more than its block. 0
    /// where the command will be refused whatever its data say.
    pub data_out: u32,
    /// What it may wait for.
    pub wait: Wait,
}

/// What a command may wait for, beyond memory and the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Nothing: it is done in microseconds.
    #[default]
    Nothing,
    /// Blocks that may have to come from the device.
    Read,
    /// The system's cache, which mostly takes and gives at once, and which nobody can ask whether it will.
    Cache,
    /// The device, until what was written lasts.
    Flush,
    /// Any of these, and for as long as it likes.
    Long,
    /// All of the medium: it goes on if nobody waits for it any more, and nobody has to wait for it.
    Overhaul,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// SAM-5 5.3.
    pub status: Status,
    /// Fixed-format sense data (SPC-4 4.5.3), empty unless the status is CHECK CONDITION.
    pub sense: Vec<u8>,
    /// Bytes that the command had to return, which may be more than the buffer took.
    pub data_in: u64,
    /// Bytes that the command took, or would have taken, of Data-Out.
    pub data_out: u64,
}

/// Status codes (SAM-5 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Done.
    Good = 0x00,
    /// See the sense data.
    CheckCondition = 0x02,
    /// The logical unit can't take the command now.
    Busy = 0x08,
    /// A reservation of another nexus forbids it.
    ReservationConflict = 0x18,
    /// The task set has no room.
    TaskSetFull = 0x28,
    /// Aborted, and another nexus asked for it (control mode page, TAS bit).
    TaskAborted = 0x40,
}
