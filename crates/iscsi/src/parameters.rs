//! What a login has settled: one immutable set of values for the rest of the connection (RFC 7143 §13).

/// The values in force. The default is what holds where nothing is negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// CRC32C over headers (§13.1).
    pub header_digest: bool,
    /// CRC32C over data (§13.1).
    pub data_digest: bool,
    /// Bytes of data that one PDU to the initiator may have (§13.12).
    pub max_recv_data_segment_length_initiator: u32,
    /// The same for PDUs to the target.
    pub max_recv_data_segment_length_target: u32,
    /// Bytes that one sequence of data PDUs may have (§13.13).
    pub max_burst_length: u32,
    /// Bytes that a command may bring unasked (§13.14).
    pub first_burst_length: u32,
    /// Whether data other than immediate data must be asked for (§13.10).
    pub initial_r2t: bool,
    /// Whether a command may bring data in its own PDU (§13.11).
    pub immediate_data: bool,
    /// R2Ts that one command may have outstanding (§13.17).
    pub max_outstanding_r2t: u32,
    /// Seconds to wait before a new login after a failure (§13.15).
    pub default_time2wait: u32,
    /// Seconds for which tasks are kept after a failure (§13.16).
    pub default_time2retain: u32,
    /// Connections of one session (§13.2).
    pub max_connections: u32,
    /// 0: a failure ends the session (§13.20).
    pub error_recovery_level: u32,
    /// Data PDUs of a sequence come in order (§13.18).
    pub data_pdu_in_order: bool,
    /// Sequences of a command come in order (§13.19).
    pub data_sequence_in_order: bool,
    /// RFC 7144 §7.1.1.
    pub protocol_level: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters {
            header_digest: false,
            data_digest: false,
            max_recv_data_segment_length_initiator: 8192,
            max_recv_data_segment_length_target: 8192,
            max_burst_length: 262_144,
            first_burst_length: 65_536,
            initial_r2t: true,
            immediate_data: true,
            max_outstanding_r2t: 1,
            default_time2wait: 2,
            default_time2retain: 20,
            max_connections: 1,
            error_recovery_level: 0,
            data_pdu_in_order: true,
            data_sequence_in_order: true,
            protocol_level: 1,
        }
    }
}

/// What a target would like to have.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// Bytes of data that one PDU to the target may have.
    pub max_recv_data_segment_length: u32,
    /// Upper bound.
    pub max_burst_length: u32,
    /// Upper bound.
    pub first_burst_length: u32,
    /// Upper bound.
    pub max_outstanding_r2t: u32,
    /// Lower bound, in seconds.
    pub default_time2wait: u32,
}

impl Default for Wishes {
    fn default() -> Self {
        Wishes {
            max_recv_data_segment_length: 262_144,
            max_burst_length: 1 << 20,
            first_burst_length: 262_144,
            max_outstanding_r2t: 8,
            // Whoever was cut off may come back at once.
            default_time2wait: 0,
        }
    }
}
