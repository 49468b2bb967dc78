//! The table of text keys: one row for each.

use super::{Boolean, BooleanRule, Key, Kind, List, Number, NumberRule, OwnNumber, REJECT, Sender, Use};
use crate::parameters::{Credentials, Introduction, Parameters, TaskReporting, Wishes};
use crate::text::{SIMPLE_VALUE_LIMIT, VALUE_LIMIT};

/// Encoded form of the longest challenge or response: 1024 bytes in hexadecimal (§12.1.3).
const CHAP_BINARY_LIMIT: usize = 2 + 2 * 1024;

const fn row(name: &'static str, usage: Use, sender: Sender, default: &'static str, kind: Kind) -> Key {
    Key {
        name,
        usage,
        any_stage: false,
        sender,
        in_discovery: true,
        default,
        limit: SIMPLE_VALUE_LIMIT,
        kind,
    }
}

const fn operational(name: &'static str, default: &'static str, kind: Kind) -> Key {
    Key { in_discovery: false, ..row(name, Use::Login, Sender::Both, default, kind) }
}

const fn security(name: &'static str, limit: usize, settle: fn(&mut Credentials, String)) -> Key {
    Key { limit, ..row(name, Use::Security, Sender::Both, "", Kind::Credential(settle)) }
}

const fn introduction(name: &'static str, usage: Use, settle: fn(&mut Introduction, String)) -> Key {
    Key { any_stage: true, ..row(name, usage, Sender::Initiator, "", Kind::Introduction(settle)) }
}

const fn from_target(name: &'static str, usage: Use) -> Key {
    Key { any_stage: true, ..row(name, usage, Sender::Target, "", Kind::Note) }
}

const fn list(choices: fn(&Wishes) -> &'static [&'static str], settle: fn(&mut Parameters, &str)) -> Kind {
    Kind::List(List { choices, settle })
}

const fn boolean(
    rule: BooleanRule,
    wish: fn(&Wishes) -> bool,
    field: fn(&mut Parameters) -> &mut bool,
) -> Kind {
    Kind::Boolean(Boolean { rule, wish, field })
}

const fn number(
    rule: NumberRule,
    (least, most): (u32, u32),
    wish: fn(&Wishes) -> u32,
    field: fn(&mut Parameters) -> &mut u32,
    cap: Option<fn(&Parameters) -> u32>,
) -> Kind {
    Kind::Number(Number { rule, least, most, wish, field, cap })
}

/// Limits of a length of data.
const LENGTH: (u32, u32) = (512, 0xff_ffff);

/// Every key.
pub const KEYS: &[Key] = &[
    // Security (§12.1).
    security("AuthMethod", VALUE_LIMIT, |keys, value| keys.method = Some(value)),
    security("CHAP_A", VALUE_LIMIT, |keys, value| keys.algorithm = Some(value)),
    security("CHAP_I", SIMPLE_VALUE_LIMIT, |keys, value| keys.identifier = Some(value)),
    security("CHAP_C", CHAP_BINARY_LIMIT, |keys, value| keys.challenge = Some(value)),
    security("CHAP_N", SIMPLE_VALUE_LIMIT, |keys, value| keys.name = Some(value)),
    security("CHAP_R", CHAP_BINARY_LIMIT, |keys, value| keys.response = Some(value)),
    // §13.1
    Key {
        in_discovery: true,
        limit: VALUE_LIMIT,
        ..operational(
            "HeaderDigest",
            "None",
            list(
                |wishes| wishes.header_digests,
                |parameters, choice| parameters.header_digest = choice == "CRC32C",
            ),
        )
    },
    Key {
        in_discovery: true,
        limit: VALUE_LIMIT,
        ..operational(
            "DataDigest",
            "None",
            list(
                |wishes| wishes.data_digests,
                |parameters, choice| parameters.data_digest = choice == "CRC32C",
            ),
        )
    },
    // §13.2
    operational(
        "MaxConnections",
        "1",
        number(NumberRule::Minimum, (1, 0xffff), |_| 1, |parameters| &mut parameters.max_connections, None),
    ),
    // §13.3
    row("SendTargets", Use::FullFeature, Sender::Initiator, "", Kind::SendTargets),
    // §13.4 to §13.9
    introduction("TargetName", Use::Login, |keys, value| keys.target_name = Some(value)),
    introduction("InitiatorName", Use::Login, |keys, value| keys.initiator_name = Some(value)),
    from_target("TargetAlias", Use::All),
    introduction("InitiatorAlias", Use::All, |keys, value| keys.initiator_alias = Some(value)),
    from_target("TargetAddress", Use::All),
    from_target("TargetPortalGroupTag", Use::Login),
    // §13.10
    operational(
        "InitialR2T",
        "Yes",
        boolean(BooleanRule::Or, |wishes| wishes.initial_r2t, |parameters| &mut parameters.initial_r2t),
    ),
    // §13.11
    operational(
        "ImmediateData",
        "Yes",
        boolean(
            BooleanRule::And,
            |wishes| wishes.immediate_data,
            |parameters| &mut parameters.immediate_data,
        ),
    ),
    // §13.12
    row(
        "MaxRecvDataSegmentLength",
        Use::All,
        Sender::Both,
        "8192",
        Kind::OwnNumber(OwnNumber {
            least: LENGTH.0,
            most: LENGTH.1,
            wish: |wishes| wishes.max_recv_data_segment_length,
            initiator: |parameters| &mut parameters.max_recv_data_segment_length_initiator,
            target: |parameters| &mut parameters.max_recv_data_segment_length_target,
        }),
    ),
    // §13.13
    operational(
        "MaxBurstLength",
        "262144",
        number(
            NumberRule::Minimum,
            LENGTH,
            |wishes| wishes.max_burst_length,
            |parameters| &mut parameters.max_burst_length,
            None,
        ),
    ),
    // §13.14. It is negotiated even where InitialR2T and ImmediateData make it irrelevant: a number
    // harms nobody.
    operational(
        "FirstBurstLength",
        "65536",
        number(
            NumberRule::Minimum,
            LENGTH,
            |wishes| wishes.first_burst_length,
            |parameters| &mut parameters.first_burst_length,
            Some(|parameters| parameters.max_burst_length),
        ),
    ),
    // §13.15
    Key {
        in_discovery: true,
        ..operational(
            "DefaultTime2Wait",
            "2",
            number(
                NumberRule::Maximum,
                (0, 3600),
                |wishes| wishes.default_time2wait,
                |parameters| &mut parameters.default_time2wait,
                None,
            ),
        )
    },
    // §13.16
    Key {
        in_discovery: true,
        ..operational(
            "DefaultTime2Retain",
            "20",
            number(
                NumberRule::Minimum,
                (0, 3600),
                |wishes| wishes.default_time2retain,
                |parameters| &mut parameters.default_time2retain,
                None,
            ),
        )
    },
    // §13.17
    operational(
        "MaxOutstandingR2T",
        "1",
        number(
            NumberRule::Minimum,
            (1, 0xffff),
            |wishes| wishes.max_outstanding_r2t,
            |parameters| &mut parameters.max_outstanding_r2t,
            None,
        ),
    ),
    // §13.18
    operational(
        "DataPDUInOrder",
        "Yes",
        boolean(BooleanRule::Or, |_| true, |parameters| &mut parameters.data_pdu_in_order),
    ),
    // §13.19
    operational(
        "DataSequenceInOrder",
        "Yes",
        boolean(BooleanRule::Or, |_| true, |parameters| &mut parameters.data_sequence_in_order),
    ),
    // §13.20
    Key {
        in_discovery: true,
        ..operational(
            "ErrorRecoveryLevel",
            "0",
            number(
                NumberRule::Minimum,
                (0, 2),
                |_| 0,
                |parameters| &mut parameters.error_recovery_level,
                None,
            ),
        )
    },
    // §13.21
    introduction("SessionType", Use::Login, |keys, value| keys.session_type = Some(value)),
    // §13.23
    Key {
        limit: VALUE_LIMIT,
        ..operational(
            "TaskReporting",
            "RFC3720",
            list(|_| &["RFC3720", "ResponseFence"], settle_task_reporting),
        )
    },
    // §13.24, RFC 7144 §7.1.1
    operational(
        "iSCSIProtocolLevel",
        "1",
        number(NumberRule::Minimum, (0, 31), |_| 2, |parameters| &mut parameters.protocol_level, None),
    ),
    // §13.25. `No` and `Reject` are what initiators that still offer them have met so far.
    row("IFMarker", Use::Login, Sender::Both, "", Kind::Obsolete("No")),
    row("OFMarker", Use::Login, Sender::Both, "", Kind::Obsolete("No")),
    row("IFMarkInt", Use::Login, Sender::Both, "", Kind::Obsolete(REJECT)),
    row("OFMarkInt", Use::Login, Sender::Both, "", Kind::Obsolete(REJECT)),
    // §13.26: taken without a word, as the standard allows.
    Key { any_stage: true, ..row("X#NodeArchitecture", Use::Login, Sender::Both, "", Kind::Note) },
];

fn settle_task_reporting(parameters: &mut Parameters, choice: &str) {
    parameters.task_reporting = match choice {
        "ResponseFence" => TaskReporting::ResponseFence,
        _ => TaskReporting::Rfc3720,
    };
}
