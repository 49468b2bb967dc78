//! The 48 bytes of each header, field by field, in network byte order (RFC 7143 §11).
//!
//! Fields that a PDU does not use are `_reserved` and sent as zero. Every struct can be read as every other one: only
//! the opcode says which view makes sense.

use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

macro_rules! headers {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
            #[repr(C)]
            pub struct $name { $($(#[$field_doc])* pub $field: $kind,)* }

            const _: () = assert!(size_of::<$name>() == super::HEADER_LENGTH);

            impl $name {
                /// A header of zeros.
                pub fn zeroed() -> Self {
                    FromZeros::new_zeroed()
                }

                /// These 48 bytes under another view.
                pub fn of(header: &[u8; super::HEADER_LENGTH]) -> Self {
                    zerocopy::transmute!(*header)
                }

                /// The bytes as they stand on the wire.
                pub fn bytes(self) -> [u8; super::HEADER_LENGTH] {
                    zerocopy::transmute!(self)
                }
            }
        )*
    };
}

headers! {
    /// What all headers share (§11.2.1).
    BasicHeader {
        /// Two flag bits and the opcode.
        opcode: u8,
        /// Flags, of which the first is F (final) in most PDUs.
        flags: u8,
        /// Specific to the opcode.
        specific: [u8; 2],
        /// In units of four bytes.
        total_ahs_length: u8,
        /// Without padding.
        data_segment_length: [u8; 3],
        /// Or specific to the opcode.
        lun: [u8; 8],
        /// Names the task at the initiator.
        initiator_task_tag: U32,
        /// Or specific to the opcode.
        target_transfer_tag: U32,
        /// CmdSN of a request, StatSN of a response.
        sequence_number: U32,
        /// ExpStatSN of a request, ExpCmdSN of a response.
        expected_sequence_number: U32,
        /// Specific to the opcode.
        rest: [u8; 16],
    }

    /// SCSI Command (§11.3).
    ScsiCommand {
        /// 01h, with I.
        opcode: u8,
        /// F, R, W, ATTR.
        flags: u8,
        /// Priority of the command in the lower half (RFC 7144 §5.1.1), then reserved.
        priority: [u8; 2],
        /// In units of four bytes.
        total_ahs_length: u8,
        /// Of immediate data.
        data_segment_length: [u8; 3],
        /// Addressed logical unit.
        lun: [u8; 8],
        /// Names the task.
        initiator_task_tag: U32,
        /// In bytes, §11.3.4.
        expected_data_transfer_length: U32,
        /// §11.3.2
        cmd_sn: U32,
        /// §11.3.3
        exp_stat_sn: U32,
        /// The first 16 bytes of the CDB.
        cdb: [u8; 16],
    }

    /// SCSI Response (§11.4).
    ScsiResponse {
        /// 21h
        opcode: u8,
        /// o, u, O, U.
        flags: u8,
        /// §11.4.3
        response: u8,
        /// §11.4.2
        status: u8,
        /// 0
        total_ahs_length: u8,
        /// Of sense data with their length in front.
        data_segment_length: [u8; 3],
        /// 0
        _reserved: [u8; 8],
        /// Names the task.
        initiator_task_tag: U32,
        /// Or reserved.
        snack_tag: U32,
        /// §11.4.9
        stat_sn: U32,
        /// §11.4.10
        exp_cmd_sn: U32,
        /// §11.4.11
        max_cmd_sn: U32,
        /// Number of R2T and Data-In PDUs of the task, §11.4.8.
        exp_data_sn: U32,
        /// In bytes, §11.4.6.
        bidirectional_read_residual_count: U32,
        /// In bytes, §11.4.5.
        residual_count: U32,
    }

    /// Task Management Function Request (§11.5).
    TaskManagementRequest {
        /// 02h, with I.
        opcode: u8,
        /// F and the function.
        function: u8,
        /// 0
        _reserved: [u8; 2],
        /// 0
        total_ahs_length: u8,
        /// 0
        data_segment_length: [u8; 3],
        /// Addressed logical unit.
        lun: [u8; 8],
        /// Names this request.
        initiator_task_tag: U32,
        /// Names the task to be managed.
        referenced_task_tag: U32,
        /// §11.3.2
        cmd_sn: U32,
        /// §11.3.3
        exp_stat_sn: U32,
        /// §11.5.5
        ref_cmd_sn: U32,
        /// §11.5.6
        exp_data_sn: U32,
        /// 0
        _reserved2: [u8; 8],
    }

    /// Task Management Function Response (§11.6), and by its layout Logout Response (§11.15) as well.
    ShortResponse {
        /// 22h or 26h
        opcode: u8,
        /// F
        flags: u8,
        /// §11.6.1, §11.15.1
        response: u8,
        /// 0
        _reserved: u8,
        /// 0
        total_ahs_length: u8,
        /// 0
        data_segment_length: [u8; 3],
        /// Additional Response Information, task management only (RFC 7144 §6.4.1).
        additional: [u8; 3],
        /// 0
        _reserved2: [u8; 5],
        /// Names the request.
        initiator_task_tag: U32,
        /// 0
        _reserved3: U32,
        /// Of this response.
        stat_sn: U32,
        /// Next expected.
        exp_cmd_sn: U32,
        /// Last acceptable.
        max_cmd_sn: U32,
        /// 0
        _reserved4: U32,
        /// In seconds, logout only (§11.15.3).
        time2wait: U16,
        /// In seconds, logout only (§11.15.4).
        time2retain: U16,
        /// 0
        _reserved5: U32,
    }

    /// SCSI Data-Out (§11.7).
    DataOut {
        /// 05h
        opcode: u8,
        /// F
        flags: u8,
        /// 0
        _reserved: [u8; 2],
        /// 0
        total_ahs_length: u8,
        /// Of this piece.
        data_segment_length: [u8; 3],
        /// As in the R2T.
        lun: [u8; 8],
        /// Names the task.
        initiator_task_tag: U32,
        /// That of the R2T, or none for unsolicited data.
        target_transfer_tag: U32,
        /// 0
        _reserved2: U32,
        /// §11.3.3
        exp_stat_sn: U32,
        /// 0
        _reserved3: U32,
        /// Number of this PDU within its sequence.
        data_sn: U32,
        /// In bytes, from the start of the command's data.
        buffer_offset: U32,
        /// 0
        _reserved4: U32,
    }

    /// SCSI Data-In (§11.7).
    DataIn {
        /// 25h
        opcode: u8,
        /// F, A, O, U, S.
        flags: u8,
        /// 0
        _reserved: u8,
        /// With S only.
        status: u8,
        /// 0
        total_ahs_length: u8,
        /// Of this piece.
        data_segment_length: [u8; 3],
        /// With A only.
        lun: [u8; 8],
        /// Names the task.
        initiator_task_tag: U32,
        /// With A only, else none.
        target_transfer_tag: U32,
        /// With S only.
        stat_sn: U32,
        /// Next expected.
        exp_cmd_sn: U32,
        /// Last acceptable.
        max_cmd_sn: U32,
        /// Number of this PDU within the command.
        data_sn: U32,
        /// In bytes, from the start of the command's data.
        buffer_offset: U32,
        /// In bytes, with S only.
        residual_count: U32,
    }

    /// Ready To Transfer (§11.8).
    ReadyToTransfer {
        /// 31h
        opcode: u8,
        /// F
        flags: u8,
        /// 0
        _reserved: [u8; 2],
        /// 0
        total_ahs_length: u8,
        /// 0
        data_segment_length: [u8; 3],
        /// Of the command.
        lun: [u8; 8],
        /// Of the command.
        initiator_task_tag: U32,
        /// To be named by the data.
        target_transfer_tag: U32,
        /// The next one, not advanced.
        stat_sn: U32,
        /// Next expected.
        exp_cmd_sn: U32,
        /// Last acceptable.
        max_cmd_sn: U32,
        /// Number of this R2T within the command.
        r2t_sn: U32,
        /// In bytes, from the start of the command's data.
        buffer_offset: U32,
        /// In bytes.
        desired_data_transfer_length: U32,
    }

    /// Asynchronous Message (§11.9).
    AsyncMessage {
        /// 32h
        opcode: u8,
        /// F
        flags: u8,
        /// 0
        _reserved: [u8; 2],
        /// 0
        total_ahs_length: u8,
        /// Of sense data, for SCSI events.
        data_segment_length: [u8; 3],
        /// For SCSI events.
        lun: [u8; 8],
        /// None.
        initiator_task_tag: U32,
        /// 0
        _reserved2: U32,
        /// Of this message.
        stat_sn: U32,
        /// Next expected.
        exp_cmd_sn: U32,
        /// Last acceptable.
        max_cmd_sn: U32,
        /// §11.9.1
        event: u8,
        /// §11.9.2
        vendor_code: u8,
        /// By the event.
        parameter1: U16,
        /// By the event: seconds.
        parameter2: U16,
        /// By the event: seconds.
        parameter3: U16,
        /// 0
        _reserved3: U32,
    }

    /// Text Request (§11.10) and NOP-Out (§11.18).
    TextRequest {
        /// 04h or 00h, with I.
        opcode: u8,
        /// F, C.
        flags: u8,
        /// 0
        _reserved: [u8; 2],
        /// 0
        total_ahs_length: u8,
        /// Of text or ping data.
        data_segment_length: [u8; 3],
        /// Reserved or as in the NOP-In.
        lun: [u8; 8],
        /// Names the exchange.
        initiator_task_tag: U32,
        /// Of the response that this goes on from.
        target_transfer_tag: U32,
        /// §11.3.2
        cmd_sn: U32,
        /// §11.3.3
        exp_stat_sn: U32,
        /// 0
        _reserved2: [u8; 16],
    }

    /// Text Response (§11.11), NOP-In (§11.19) and Reject (§11.17).
    TextResponse {
        /// 24h, 20h or 3Fh
        opcode: u8,
        /// F, C.
        flags: u8,
        /// Reject only (§11.17.1).
        reason: u8,
        /// 0
        _reserved: u8,
        /// 0
        total_ahs_length: u8,
        /// Of text, ping data or the rejected header.
        data_segment_length: [u8; 3],
        /// Reserved, or any of the target's choice.
        lun: [u8; 8],
        /// Names the exchange.
        initiator_task_tag: U32,
        /// For the request that goes on from here.
        target_transfer_tag: U32,
        /// Of this response.
        stat_sn: U32,
        /// Next expected.
        exp_cmd_sn: U32,
        /// Last acceptable.
        max_cmd_sn: U32,
        /// 0
        _reserved2: [u8; 12],
    }

    /// Login Request (§11.12).
    LoginRequest {
        /// 03h with I
        opcode: u8,
        /// T, C, CSG, NSG.
        flags: u8,
        /// §11.12.4.1
        version_max: u8,
        /// §11.12.4.2
        version_min: u8,
        /// 0
        total_ahs_length: u8,
        /// Of text.
        data_segment_length: [u8; 3],
        /// §11.12.5
        isid: [u8; 6],
        /// §11.12.6
        tsih: U16,
        /// Names the login.
        initiator_task_tag: U32,
        /// §11.12.7
        cid: U16,
        /// 0
        _reserved: U16,
        /// §11.12.8
        cmd_sn: U32,
        /// §11.12.9
        exp_stat_sn: U32,
        /// 0
        _reserved2: [u8; 16],
    }

    /// Login Response (§11.13).
    LoginResponse {
        /// 23h
        opcode: u8,
        /// T, C, CSG, NSG.
        flags: u8,
        /// §11.13.1
        version_max: u8,
        /// §11.13.2
        version_active: u8,
        /// 0
        total_ahs_length: u8,
        /// Of text.
        data_segment_length: [u8; 3],
        /// As in the request.
        isid: [u8; 6],
        /// §11.13.3
        tsih: U16,
        /// Names the login.
        initiator_task_tag: U32,
        /// 0
        _reserved: U32,
        /// §11.13.4
        stat_sn: U32,
        /// Next expected.
        exp_cmd_sn: U32,
        /// Last acceptable.
        max_cmd_sn: U32,
        /// §11.13.5
        status_class: u8,
        /// §11.13.5
        status_detail: u8,
        /// 0
        _reserved2: [u8; 10],
    }

    /// Logout Request (§11.14).
    LogoutRequest {
        /// 06h, with I.
        opcode: u8,
        /// F and the reason code.
        reason: u8,
        /// 0
        _reserved: [u8; 2],
        /// 0
        total_ahs_length: u8,
        /// 0
        data_segment_length: [u8; 3],
        /// 0
        _reserved2: [u8; 8],
        /// Names the request.
        initiator_task_tag: U32,
        /// Of the connection to be closed.
        cid: U16,
        /// 0
        _reserved3: U16,
        /// §11.3.2
        cmd_sn: U32,
        /// §11.3.3
        exp_stat_sn: U32,
        /// 0
        _reserved4: [u8; 16],
    }
}
