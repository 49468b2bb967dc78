//! What text keys settle: the parameters of a session, and what each side wishes them to be.

use crate::keys;

/// How the end of tasks is reported (RFC 7143 §13.23).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskReporting {
    /// As RFC 3720 had it.
    #[default]
    Rfc3720,
    /// With response fences (§4.2.2.3.3), which one connection per session has by itself.
    ResponseFence,
}

/// The operational parameters of a session and its connection, as negotiated (RFC 7143 §13).
///
/// Lengths are in bytes, times in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Headers carry a CRC32C (§13.1).
    pub header_digest: bool,
    /// Data segments carry a CRC32C (§13.1).
    pub data_digest: bool,
    /// The longest data segment that the initiator takes (§13.12).
    pub max_recv_data_segment_length_initiator: u32,
    /// The longest data segment that the target takes (§13.12).
    pub max_recv_data_segment_length_target: u32,
    /// The most data of one Data-In or solicited Data-Out sequence (§13.13).
    pub max_burst_length: u32,
    /// The most unsolicited data of one command; never above `max_burst_length` (§13.14).
    pub first_burst_length: u32,
    /// Data-Out PDUs need an R2T from the first on (§13.10).
    pub initial_r2t: bool,
    /// Commands may carry data (§13.11).
    pub immediate_data: bool,
    /// R2Ts of one task that may be unanswered at once (§13.17).
    pub max_outstanding_r2t: u32,
    /// How long an initiator waits before it comes again (§13.15).
    pub default_time2wait: u32,
    /// How long tasks wait for it afterwards (§13.16).
    pub default_time2retain: u32,
    /// 0: the session is all that recovers (§13.20).
    pub error_recovery_level: u32,
    /// Connections of the session (§13.2).
    pub max_connections: u32,
    /// Data PDUs of a sequence are in order of address (§13.18).
    pub data_pdu_in_order: bool,
    /// Sequences are in order of address (§13.19).
    pub data_sequence_in_order: bool,
    /// How the end of tasks is reported (§13.23).
    pub task_reporting: TaskReporting,
    /// 1 stands for RFC 7143, 2 for RFC 7144 (§13.24).
    pub protocol_level: u32,
}

impl Parameters {
    /// Names of text keys and what they are settled to, as far as they say something in a session of one connection.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let digest = |on| if on { "CRC32C" } else { "None" }.to_owned();
        let yes_no = |yes| if yes { "Yes" } else { "No" }.to_owned();
        vec![
            ("HeaderDigest", digest(self.header_digest)),
            ("DataDigest", digest(self.data_digest)),
            ("MaxRecvDataSegmentLength(Initiator)", self.max_recv_data_segment_length_initiator.to_string()),
            ("MaxRecvDataSegmentLength(Target)", self.max_recv_data_segment_length_target.to_string()),
            ("MaxBurstLength", self.max_burst_length.to_string()),
            ("FirstBurstLength", self.first_burst_length.to_string()),
            ("InitialR2T", yes_no(self.initial_r2t)),
            ("ImmediateData", yes_no(self.immediate_data)),
            ("MaxOutstandingR2T", self.max_outstanding_r2t.to_string()),
            ("DefaultTime2Wait", self.default_time2wait.to_string()),
            ("DefaultTime2Retain", self.default_time2retain.to_string()),
            ("ErrorRecoveryLevel", self.error_recovery_level.to_string()),
            ("MaxConnections", self.max_connections.to_string()),
            ("iSCSIProtocolLevel", self.protocol_level.to_string()),
        ]
    }

    /// Before the rows of the table have put in their defaults.
    pub(crate) const UNSETTLED: Parameters = Parameters {
        header_digest: false,
        data_digest: false,
        max_recv_data_segment_length_initiator: 0,
        max_recv_data_segment_length_target: 0,
        max_burst_length: 0,
        first_burst_length: 0,
        initial_r2t: false,
        immediate_data: false,
        max_outstanding_r2t: 0,
        default_time2wait: 0,
        default_time2retain: 0,
        error_recovery_level: 0,
        max_connections: 0,
        data_pdu_in_order: false,
        data_sequence_in_order: false,
        task_reporting: TaskReporting::Rfc3720,
        protocol_level: 0,
    };
}

/// What holds when nothing is negotiated: the defaults of the table of keys.
impl Default for Parameters {
    fn default() -> Self {
        keys::defaults()
    }
}

/// What our side would have the parameters be. An answer comes as close to this as the offer and
/// the key's rule allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// Header digests that may be chosen.
    pub header_digests: &'static [&'static str],
    /// Data digests that may be chosen.
    pub data_digests: &'static [&'static str],
    /// What is declared as our own limit of a data segment.
    pub max_recv_data_segment_length: u32,
    /// See [`Parameters::max_burst_length`].
    pub max_burst_length: u32,
    /// See [`Parameters::first_burst_length`].
    pub first_burst_length: u32,
    /// See [`Parameters::initial_r2t`].
    pub initial_r2t: bool,
    /// See [`Parameters::immediate_data`].
    pub immediate_data: bool,
    /// See [`Parameters::max_outstanding_r2t`].
    pub max_outstanding_r2t: u32,
    /// See [`Parameters::default_time2wait`].
    pub default_time2wait: u32,
    /// See [`Parameters::default_time2retain`].
    pub default_time2retain: u32,
}

impl Default for Wishes {
    fn default() -> Self {
        Wishes {
            header_digests: &["CRC32C", "None"],
            data_digests: &["CRC32C", "None"],
            max_recv_data_segment_length: 256 * 1024,
            max_burst_length: 1024 * 1024,
            first_burst_length: 256 * 1024,
            initial_r2t: false,
            immediate_data: true,
            max_outstanding_r2t: 8,
            // Whoever was cut off, a sleeping Mac say, may come back at once.
            default_time2wait: 0,
            default_time2retain: 0,
        }
    }
}

/// What an initiator says about itself and what it wants, in its own words (RFC 7143 §13.4, §13.5,
/// §13.7, §13.21).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introduction {
    /// InitiatorName.
    pub initiator_name: Option<String>,
    /// InitiatorAlias.
    pub initiator_alias: Option<String>,
    /// TargetName.
    pub target_name: Option<String>,
    /// SessionType.
    pub session_type: Option<String>,
}

impl Introduction {
    /// Whether it wants a discovery session.
    pub fn is_discovery(&self) -> bool {
        self.session_type.as_deref() == Some("Discovery")
    }
}

/// Keys of authentication, as they came (RFC 7143 §12.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// AuthMethod.
    pub method: Option<String>,
    /// CHAP_A.
    pub algorithm: Option<String>,
    /// CHAP_N.
    pub name: Option<String>,
    /// CHAP_R.
    pub response: Option<String>,
    /// CHAP_I.
    pub identifier: Option<String>,
    /// CHAP_C.
    pub challenge: Option<String>,
}
