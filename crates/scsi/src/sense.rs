//! Sense data (SPC-4 4.5): why a command did not end with GOOD, for machines.

use timedisk_volume::ErrorKind;

/// Sense keys (SPC-4 4.5.6), the kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum SenseKey {
    NoSense = 0x0,
    NotReady = 0x2,
    MediumError = 0x3,
    HardwareError = 0x4,
    IllegalRequest = 0x5,
    UnitAttention = 0x6,
    DataProtect = 0x7,
    CopyAborted = 0xa,
    Miscompare = 0xe,
}

/// A row of the table of conditions: sense key, additional sense code and qualifier, and T10's words for
/// them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) key: SenseKey,
    pub(crate) code: u8,
    pub(crate) qualifier: u8,
    words: &'static str,
}

macro_rules! conditions {
    ($($name:ident: $key:ident $code:literal $qualifier:literal $words:literal;)*) => {
        $(
            pub(crate) static $name: Condition = Condition {
                key: SenseKey::$key,
                code: $code,
                qualifier: $qualifier,
                words: $words,
            };
        )*
        static CONDITIONS: &[&Condition] = &[$(&$name),*];
    };
}

conditions! {
    NO_SENSE: NoSense 0x00 0x00 "no additional sense information";
    OPERATION_IN_PROGRESS: IllegalRequest 0x00 0x16 "operation in progress";
    BECOMING_READY: NotReady 0x04 0x01 "logical unit is in process of becoming ready";
    FORMAT_IN_PROGRESS: NotReady 0x04 0x04 "logical unit not ready, format in progress";
    SANITIZE_IN_PROGRESS: NotReady 0x04 0x1b "logical unit not ready, sanitize in progress";
    PORT_IN_STANDBY: NotReady 0x04 0x0b "logical unit not accessible, target port in standby state";
    PORT_UNAVAILABLE: NotReady 0x04 0x0c "logical unit not accessible, target port in unavailable state";
    OFFLINE: NotReady 0x04 0x12 "logical unit not ready, offline";
    WRITE_ERROR: MediumError 0x0c 0x00 "write error";
    UNRECOVERED_READ_ERROR: MediumError 0x11 0x00 "unrecovered read error";
    MEDIUM_FORMAT_CORRUPTED: MediumError 0x31 0x00 "medium format corrupted";
    FORMAT_COMMAND_FAILED: MediumError 0x31 0x01 "format command failed";
    SANITIZE_FAILED: MediumError 0x31 0x03 "sanitize command failed";
    PARAMETER_LIST_LENGTH_ERROR: IllegalRequest 0x1a 0x00 "parameter list length error";
    THIRD_PARTY_DEVICE_FAILURE: CopyAborted 0x0d 0x01 "third party device failure";
    COPY_TARGET_NOT_REACHABLE: CopyAborted 0x0d 0x02 "copy target device not reachable";
    MISCOMPARE_DURING_VERIFY: Miscompare 0x1d 0x00 "miscompare during verify operation";
    INVALID_COMMAND_OPERATION_CODE: IllegalRequest 0x20 0x00 "invalid command operation code";
    LBA_OUT_OF_RANGE: IllegalRequest 0x21 0x00 "logical block address out of range";
    UNSUPPORTED_TOKEN_TYPE: IllegalRequest 0x23 0x01 "invalid token operation, unsupported token type";
    TOKEN_UNKNOWN: IllegalRequest 0x23 0x04 "invalid token operation, token unknown";
    TOKEN_REVOKED: IllegalRequest 0x23 0x06 "invalid token operation, token revoked";
    TOKEN_EXPIRED: IllegalRequest 0x23 0x07 "invalid token operation, token expired";
    TOKEN_DELETED: IllegalRequest 0x23 0x09 "invalid token operation, token deleted";
    INVALID_TOKEN_LENGTH: IllegalRequest 0x23 0x0a "invalid token operation, invalid token length";
    INVALID_FIELD_IN_CDB: IllegalRequest 0x24 0x00 "invalid field in CDB";
    LOGICAL_UNIT_NOT_SUPPORTED: IllegalRequest 0x25 0x00 "logical unit not supported";
    INVALID_FIELD_IN_PARAMETER_LIST: IllegalRequest 0x26 0x00 "invalid field in parameter list";
    TOO_MANY_TARGET_DESCRIPTORS: IllegalRequest 0x26 0x06 "too many target descriptors";
    UNSUPPORTED_TARGET_DESCRIPTOR: IllegalRequest 0x26 0x07 "unsupported target descriptor type code";
    TOO_MANY_SEGMENT_DESCRIPTORS: IllegalRequest 0x26 0x08 "too many segment descriptors";
    UNSUPPORTED_SEGMENT_DESCRIPTOR: IllegalRequest 0x26 0x09 "unsupported segment descriptor type code";
    UNEXPECTED_INEXACT_SEGMENT: CopyAborted 0x26 0x0a "unexpected inexact segment";
    INLINE_DATA_LENGTH_EXCEEDED: IllegalRequest 0x26 0x0b "inline data length exceeded";
    INVALID_RELEASE: IllegalRequest 0x26 0x04 "invalid release of persistent reservation";
    WRITE_PROTECTED: DataProtect 0x27 0x00 "write protected";
    SOFTWARE_WRITE_PROTECTED: DataProtect 0x27 0x02 "logical unit software write protected";
    SPACE_ALLOCATION_FAILED: DataProtect 0x27 0x07 "space allocation failed write protect";
    BECAME_READY: UnitAttention 0x28 0x00 "not ready to ready change, medium may have changed";
    POWER_ON_OR_RESET: UnitAttention 0x29 0x00 "power on, reset, or bus device reset occurred";
    BUS_DEVICE_RESET: UnitAttention 0x29 0x03 "bus device reset function occurred";
    MODE_PARAMETERS_CHANGED: UnitAttention 0x2a 0x01 "mode parameters changed";
    RESERVATIONS_PREEMPTED: UnitAttention 0x2a 0x03 "reservations preempted";
    RESERVATIONS_RELEASED: UnitAttention 0x2a 0x04 "reservations released";
    REGISTRATIONS_PREEMPTED: UnitAttention 0x2a 0x05 "registrations preempted";
    ACCESS_STATE_CHANGED: UnitAttention 0x2a 0x06 "asymmetric access state changed";
    CAPACITY_CHANGED: UnitAttention 0x2a 0x09 "capacity data has changed";
    TIMESTAMP_CHANGED: UnitAttention 0x2a 0x10 "timestamp changed";
    COMMANDS_CLEARED: UnitAttention 0x2f 0x00 "commands cleared by another initiator";
    PREVIOUS_BUSY: UnitAttention 0x2c 0x07 "previous busy status";
    PREVIOUS_TASK_SET_FULL: UnitAttention 0x2c 0x08 "previous task set full status";
    PREVIOUS_RESERVATION_CONFLICT: UnitAttention 0x2c 0x09 "previous reservation conflict status";
    COPY_CANCELLED: CopyAborted 0x2f 0x02 "commands cleared by device server";
    COMMAND_SEQUENCE_ERROR: IllegalRequest 0x2c 0x00 "command sequence error";
    ORWRITE_GENERATION_DOES_NOT_MATCH: IllegalRequest 0x2c 0x0c "ORWRITE generation does not match";
    SAVING_NOT_SUPPORTED: IllegalRequest 0x39 0x00 "saving parameters not supported";
    THRESHOLD_REACHED: UnitAttention 0x38 0x07 "thin provisioning soft threshold reached";
    FAILED_SELF_TEST: HardwareError 0x3e 0x03 "logical unit failed self-test";
    DEVICE_IDENTIFIER_CHANGED: UnitAttention 0x3f 0x05 "device identifier changed";
    REPORTED_LUNS_CHANGED: UnitAttention 0x3f 0x0e "reported LUNs data has changed";
    INSUFFICIENT_REGISTRATION_RESOURCES: IllegalRequest 0x55 0x04 "insufficient registration resources";
    FAILURE_PREDICTED: UnitAttention 0x5d 0x00 "failure prediction threshold exceeded";
    SET_TARGET_PORT_GROUPS_FAILED: HardwareError 0x67 0x0a "set target port groups command failed";
    INSUFFICIENT_RESOURCES_FOR_TOKEN: IllegalRequest 0x55 0x0d "insufficient resources to create ROD token";
    INTERNAL_TARGET_FAILURE: HardwareError 0x44 0x00 "internal target failure";
}

/// T10's words for the condition that fixed-format sense data tells of, for people's logs.
#[must_use]
pub fn describe_sense(sense: &[u8]) -> Option<&'static str> {
    let (&code, &qualifier) = (sense.get(12)?, sense.get(13)?);
    CONDITIONS
        .iter()
        .find(|condition| (condition.code, condition.qualifier) == (code, qualifier))
        .map(|condition| condition.words)
}

/// Sense-key specific data (SPC-4 4.5.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeySpecific {
    /// Points at the field that was refused.
    Field { in_cdb: bool, byte: u16, bit: Option<u8> },
    /// How much of 65536 is done.
    Progress(u16),
}

/// A condition, and where it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sense {
    pub(crate) condition: &'static Condition,
    information: Option<u64>,
    command_specific: Option<u32>,
    key_specific: Option<KeySpecific>,
}

/// The same as an answer to REQUEST SENSE (SPC-4 7.5.12, MRIE 6h).
pub(crate) static FAILURE_PREDICTED_ON_REQUEST: Condition =
    Condition { key: SenseKey::NoSense, ..FAILURE_PREDICTED };

impl From<&'static Condition> for Sense {
    fn from(condition: &'static Condition) -> Self {
        Self { condition, information: None, command_specific: None, key_specific: None }
    }
}

impl From<ErrorKind> for Sense {
    fn from(kind: ErrorKind) -> Self {
        let condition = match kind {
            ErrorKind::OutOfRange => &LBA_OUT_OF_RANGE,
            ErrorKind::ReadOnly => &WRITE_PROTECTED,
            ErrorKind::NoSpace => &SPACE_ALLOCATION_FAILED,
            ErrorKind::FlushFailed | ErrorKind::WriteFailed => &WRITE_ERROR,
            ErrorKind::ReadFailed => &UNRECOVERED_READ_ERROR,
            _ => &INTERNAL_TARGET_FAILURE,
        };
        condition.into()
    }
}

impl Sense {
    /// INVALID FIELD IN CDB. `bit` is the field's most significant bit, where it is not a whole byte.
    pub(crate) fn invalid_cdb(byte: usize, bit: impl Into<Option<u8>>) -> Self {
        Self::invalid(&INVALID_FIELD_IN_CDB, true, byte, bit.into())
    }

    /// INVALID FIELD IN PARAMETER LIST, likewise.
    pub(crate) fn invalid_parameter(byte: usize, bit: impl Into<Option<u8>>) -> Self {
        Self::invalid(&INVALID_FIELD_IN_PARAMETER_LIST, false, byte, bit.into())
    }

    fn invalid(condition: &'static Condition, in_cdb: bool, byte: usize, bit: Option<u8>) -> Self {
        let byte = u16::try_from(byte).unwrap_or(u16::MAX);
        Self { key_specific: Some(KeySpecific::Field { in_cdb, byte, bit }), ..condition.into() }
    }

    /// Adds how much of 65536 is done.
    pub(crate) fn with_progress(self, progress: u16) -> Self {
        Self { key_specific: Some(KeySpecific::Progress(progress)), ..self }
    }

    /// Adds what the command's standard puts in the INFORMATION field.
    pub(crate) fn with_information(self, information: u64) -> Self {
        Self { information: Some(information), ..self }
    }

    /// Adds what the command's standard puts in the COMMAND-SPECIFIC INFORMATION field.
    pub(crate) fn with_command_specific(self, information: u32) -> Self {
        Self { command_specific: Some(information), ..self }
    }

    /// Fixed format, current (SPC-4 4.5.3).
    pub(crate) fn fixed(&self) -> [u8; 18] {
        let mut bytes = [0; 18];
        bytes[0] = 0x70;
        bytes[2] = self.condition.key as u8;
        // The field has 32 bits; what does not fit is not given at all.
        if let Some(Ok(information)) = self.information.map(u32::try_from) {
            bytes[0] |= 0x80;
            bytes[3..7].copy_from_slice(&information.to_be_bytes());
        }
        bytes[7] = 10;
        bytes[8..12].copy_from_slice(&self.command_specific.unwrap_or(0).to_be_bytes());
        bytes[12] = self.condition.code;
        bytes[13] = self.condition.qualifier;
        bytes[15..18].copy_from_slice(&self.key_specific());
        bytes
    }

    /// Descriptor format, current (SPC-4 4.5.2).
    pub(crate) fn descriptors(&self) -> Vec<u8> {
        let Condition { key, code, qualifier, .. } = self.condition;
        let mut bytes = vec![0x72, *key as u8, *code, *qualifier, 0, 0, 0, 0];
        if let Some(information) = self.information {
            bytes.extend([0x00, 0x0a, 0x80, 0]);
            bytes.extend(information.to_be_bytes());
        }
        if let Some(information) = self.command_specific {
            bytes.extend([0x01, 0x0a, 0, 0]);
            bytes.extend(u64::from(information).to_be_bytes());
        }
        if self.key_specific.is_some() {
            let [first, second, third] = self.key_specific();
            bytes.extend([0x02, 0x06, 0, 0, first, second, third, 0]);
        }
        bytes[7] = (bytes.len() - 8) as u8;
        bytes
    }

    fn key_specific(&self) -> [u8; 3] {
        let (flags, [high, low]) = match self.key_specific {
            None => return [0; 3],
            Some(KeySpecific::Progress(progress)) => (0, progress.to_be_bytes()),
            Some(KeySpecific::Field { in_cdb, byte, bit }) => {
                let command = if in_cdb { 0x40 } else { 0 };
                (command | bit.map_or(0, |bit| 0x08 | (bit & 0x07)), byte.to_be_bytes())
            }
        };
        let valid = 0x80;
        [valid | flags, high, low]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn no_two_rows_of_the_table_share_a_code() {
        for (at, one) in CONDITIONS.iter().enumerate() {
            for other in &CONDITIONS[at + 1..] {
                let same = (one.code, one.qualifier) == (other.code, other.qualifier);
                assert!(!same, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_refused_cdb_field_is_pointed_at() {
        let sense = Sense::invalid_cdb(1, 7).fixed();
        let expected = [0x70, 0, 0x05, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24, 0, 0, 0xcf, 0, 1];
        assert_eq!(sense, expected);
        let sense = Sense::invalid_parameter(0x102, None).fixed();
        assert_eq!(sense[12..], [0x26, 0, 0, 0x80, 1, 2]);
    }

    #[test]
    fn information_is_given_only_where_it_fits() {
        let miscompare = Sense::from(&MISCOMPARE_DURING_VERIFY);
        let sense = miscompare.with_information(0x1234).fixed();
        assert_eq!(sense[..8], [0xf0, 0, 0x0e, 0, 0, 0x12, 0x34, 10]);
        let sense = miscompare.with_information(1 << 32).fixed();
        assert_eq!(sense[..8], [0x70, 0, 0x0e, 0, 0, 0, 0, 10]);
    }

    #[test]
    fn descriptor_format_tells_the_same() {
        let sense = Sense::invalid_cdb(2, None).with_information(7).descriptors();
        let expected = [
            0x72, 0x05, 0x24, 0, 0, 0, 0, 20, // header
            0x00, 0x0a, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 7, // information
            0x02, 0x06, 0, 0, 0xc0, 0, 2, 0, // sense-key specific
        ];
        assert_eq!(sense, expected);
        let sense = Sense::from(&THIRD_PARTY_DEVICE_FAILURE).with_command_specific(5);
        assert_eq!(sense.descriptors()[8..], [0x01, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(sense.fixed()[8..12], [0, 0, 0, 5]);
        assert_eq!(Sense::from(&NO_SENSE).descriptors(), [0x72, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn progress_is_told_in_both_formats() {
        let sense = Sense::from(&SANITIZE_IN_PROGRESS).with_progress(0x1234);
        assert_eq!(sense.fixed()[12..], [0x04, 0x1b, 0, 0x80, 0x12, 0x34]);
        assert_eq!(sense.descriptors()[8..], [0x02, 0x06, 0, 0, 0x80, 0x12, 0x34, 0]);
    }

    #[test]
    fn errors_of_the_volume_have_their_own_sense() {
        let table = [
            (ErrorKind::NoSpace, 0x07, 0x27, 0x07),
            (ErrorKind::FlushFailed, 0x03, 0x0c, 0x00),
            (ErrorKind::WriteFailed, 0x03, 0x0c, 0x00),
            (ErrorKind::ReadFailed, 0x03, 0x11, 0x00),
            (ErrorKind::ReadOnly, 0x07, 0x27, 0x00),
            (ErrorKind::OutOfRange, 0x05, 0x21, 0x00),
            (ErrorKind::Locked, 0x04, 0x44, 0x00),
            (ErrorKind::CannotOpen, 0x04, 0x44, 0x00),
            (ErrorKind::BadState, 0x04, 0x44, 0x00),
        ];
        for (kind, key, code, qualifier) in table {
            let sense = Sense::from(kind).fixed();
            assert_eq!((sense[2], sense[12], sense[13]), (key, code, qualifier), "{kind:?}");
        }
    }

    #[test]
    fn people_get_words() {
        let sense = Sense::from(&SPACE_ALLOCATION_FAILED).fixed();
        assert_eq!(describe_sense(&sense).unwrap(), "space allocation failed write protect");
        assert_eq!(describe_sense(&[]), None);
    }
}
