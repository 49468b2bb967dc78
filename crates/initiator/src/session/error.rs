//! What a target can do wrong.

/// The target breaks the protocol, or ends the session. The connection is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A PDU that no target sends, or not in this phase.
    #[error("the target sent a PDU with opcode {0:02x}h, which does not belong here")]
    Opcode(u8),
    /// More data than we said that we take in one PDU (RFC 7143 §13.12).
    #[error("the target sent a data segment of {length} bytes, where at most {limit} were agreed on")]
    TooLong {
        /// Bytes that the header announces.
        length: usize,
        /// Bytes that were declared.
        limit: usize,
    },
    /// What arrived is not what was sent (RFC 7143 §7.8).
    #[error("the header digest of a PDU does not fit it: the network or the target damages data")]
    HeaderDigest,
    /// What arrived is not what was sent (RFC 7143 §7.8).
    #[error("the data digest of a PDU does not fit it: the network or the target damages data")]
    DataDigest,
    /// An answer to nothing that was asked.
    #[error("the target sent {what} for a task {tag:08x}h, which is not under way")]
    UnknownTag {
        /// Kind of PDU.
        what: &'static str,
        /// Its Initiator Task Tag.
        tag: u32,
    },
    /// Data-In for a command that reads nothing, or R2T for one that writes nothing.
    #[error("the target sent {0} for a command that moves no data in that direction")]
    Direction(&'static str),
    /// DataSN or R2TSN (RFC 7143 §4.2.2.4).
    #[error("the target sent {what} number {found}, where number {expected} was next")]
    Number {
        /// Kind of PDU.
        what: &'static str,
        /// Which was next.
        expected: u32,
        /// Which came.
        found: u32,
    },
    /// Data out of order, which was not agreed on (RFC 7143 §13.18, §13.19).
    #[error("the target sent {what} for offset {found}, where offset {expected} was next")]
    Offset {
        /// Kind of PDU.
        what: &'static str,
        /// In bytes.
        expected: u32,
        /// In bytes.
        found: u32,
    },
    /// More data than the command has.
    #[error("the target sent {what} up to byte {end} of a command that has {length}")]
    Overrun {
        /// Kind of PDU.
        what: &'static str,
        /// In bytes.
        end: u64,
        /// In bytes.
        length: u32,
    },
    /// More than MaxBurstLength, or nothing (RFC 7143 §11.8.4).
    #[error("the target asked for {length} bytes at once, where 1 to {limit} were agreed on")]
    Burst {
        /// In bytes.
        length: u32,
        /// In bytes.
        limit: u32,
    },
    /// A status went missing, or came twice (RFC 7143 §4.2.2.2).
    #[error("the target sent status number {found}, where number {expected} was next")]
    StatusNumber {
        /// Which was next.
        expected: u32,
        /// Which came.
        found: u32,
    },
    /// A bit or a field that contradicts another.
    #[error("the target sent {0}")]
    Malformed(&'static str),
    /// A PDU of ours was not taken (RFC 7143 §11.17.1).
    #[error("the target rejects a PDU (opcode {opcode:02x}h): {reason}")]
    Rejected {
        /// In words.
        reason: &'static str,
        /// Of the rejected PDU.
        opcode: u8,
    },
    /// An asynchronous message (RFC 7143 §11.9.1).
    #[error("the target {0}")]
    Ended(&'static str),
    /// Pings that we have no room to answer.
    #[error("the target sends pings without end and does not read the answers")]
    Flood,
    /// RFC 7143 §11.15.1
    #[error("the target refuses the logout (response {0})")]
    Logout(u8),
}
