//! Every operational text key, a row each: what may be said, and what comes of it (RFC 7143 §13, RFC 7144 §7.1).

use crate::parameters::{Parameters, Wishes};

/// A text key.
#[derive(Debug)]
pub struct Key {
    /// As it stands on the wire; case matters (RFC 7143 §6.1).
    pub name: &'static str,
    /// What its values are and how two of them make one.
    pub rule: Rule,
    /// Whether it may be said again in full feature phase.
    pub in_full_feature: bool,
}

/// Sets a parameter to what was negotiated.
pub type Set<T> = fn(&mut Parameters, T);

/// How a value is found.
#[derive(Debug)]
pub enum Rule {
    /// The first of the offered list that is among these; the setter gets its place.
    List(&'static [&'static str], Set<usize>),
    /// Yes only if both say so, and we do.
    BothYes(Set<bool>),
    /// Yes if one says so. With what we say.
    EitherYes(bool, Set<bool>),
    /// The smaller number; within these bounds, with ours.
    Smaller(u32, u32, fn(&Wishes) -> u32, Set<u32>),
    /// The larger number.
    Larger(u32, u32, fn(&Wishes) -> u32, Set<u32>),
    /// Each side says its own, which is no answer to the other's; within these bounds.
    OwnNumber(u32, u32, Set<u32>),
    /// Always answered so.
    Answer(&'static str),
    /// Only a target may say it.
    TargetsOnly,
}

/// No value of this kind goes further than 24 bits.
const LENGTH_LIMIT: u32 = 0xff_ffff;

const fn key(name: &'static str, rule: Rule) -> Key {
    Key { name, rule, in_full_feature: false }
}

/// The table. Keys of security negotiation and of identity are in [`login`](crate::login).
pub static KEYS: &[Key] = &[
    key("HeaderDigest", Rule::List(&["None", "CRC32C"], |parameters, place| parameters.header_digest = place == 1)),
    key("DataDigest", Rule::List(&["None", "CRC32C"], |parameters, place| parameters.data_digest = place == 1)),
    key("MaxConnections", Rule::Smaller(1, 65535, |_| 1, |parameters, value| parameters.max_connections = value)),
    key("InitialR2T", Rule::EitherYes(false, |parameters, value| parameters.initial_r2t = value)),
    key("ImmediateData", Rule::BothYes(|parameters, value| parameters.immediate_data = value)),
    Key {
        name: "MaxRecvDataSegmentLength",
        rule: Rule::OwnNumber(512, LENGTH_LIMIT, |parameters, value| {
            parameters.max_recv_data_segment_length_initiator = value;
        }),
        in_full_feature: true,
    },
    key(
        "MaxBurstLength",
        Rule::Smaller(512, LENGTH_LIMIT, |wishes| wishes.max_burst_length, |parameters, value| {
            parameters.max_burst_length = value;
        }),
    ),
    key(
        "FirstBurstLength",
        Rule::Smaller(512, LENGTH_LIMIT, |wishes| wishes.first_burst_length, |parameters, value| {
            parameters.first_burst_length = value;
        }),
    ),
    key(
        "DefaultTime2Wait",
        Rule::Larger(0, 3600, |wishes| wishes.default_time2wait, |parameters, value| {
            parameters.default_time2wait = value;
        }),
    ),
    // With error recovery level 0 nothing is retained.
    key("DefaultTime2Retain", Rule::Smaller(0, 3600, |_| 0, |parameters, value| parameters.default_time2retain = value)),
    key(
        "MaxOutstandingR2T",
        Rule::Smaller(1, 65535, |wishes| wishes.max_outstanding_r2t, |parameters, value| {
            parameters.max_outstanding_r2t = value;
        }),
    ),
    key("DataPDUInOrder", Rule::EitherYes(true, |parameters, value| parameters.data_pdu_in_order = value)),
    key("DataSequenceInOrder", Rule::EitherYes(true, |parameters, value| parameters.data_sequence_in_order = value)),
    key("ErrorRecoveryLevel", Rule::Smaller(0, 2, |_| 0, |parameters, value| parameters.error_recovery_level = value)),
    key("TaskReporting", Rule::List(&["RFC3720"], |_, _| {})),
    // 1 is RFC 7143 without the task management of RFC 7144.
    key("iSCSIProtocolLevel", Rule::Smaller(0, 31, |_| 1, |parameters, value| parameters.protocol_level = value)),
    // Markers are gone (§13.25), but old initiators still ask; these answers are proven in the field.
    key("IFMarker", Rule::Answer("No")),
    key("OFMarker", Rule::Answer("No")),
    key("IFMarkInt", Rule::Answer("Reject")),
    key("OFMarkInt", Rule::Answer("Reject")),
    key("TargetAlias", Rule::TargetsOnly),
    key("TargetAddress", Rule::TargetsOnly),
    key("TargetPortalGroupTag", Rule::TargetsOnly),
];

/// Finds a key's row.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}
