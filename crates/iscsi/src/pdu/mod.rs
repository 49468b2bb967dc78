//! Protocol data units: what stands on the wire (RFC 7143 §11).
//!
//! [`layout`] has the 48 bytes of each header as a struct; a typed view is only a matter of reading them as one.

mod additional_header;
pub mod layout;

pub use additional_header::{AdditionalHeaders, additional_headers};

use layout::BasicHeader;

/// Bytes of a basic header segment (RFC 7143 §11.2.1).
pub const HEADER_LENGTH: usize = 48;

/// The tag that names no task (RFC 7143 §11.2.1.8).
pub const NO_TAG: u32 = 0xffff_ffff;

/// Marks a request for immediate delivery (RFC 7143 §11.2.1.1).
pub const IMMEDIATE: u8 = 0x40;

macro_rules! opcodes {
    ($(#[$doc:meta])* $name:ident { $($(#[$row:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name { $($(#[$row])* $variant = $value,)* }

        impl $name {
            /// Every opcode of this side.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The opcode of a header's first byte, whose upper two bits are none of its business.
            pub fn of(byte: u8) -> Option<$name> {
                match byte & 0x3f { $($value => Some($name::$variant),)* _ => None }
            }
        }
    };
}

opcodes! {
    /// What an initiator sends (RFC 7143 §11.2.1.2).
    Request {
        /// §11.18
        NopOut = 0x00,
        /// §11.3
        ScsiCommand = 0x01,
        /// §11.5
        TaskManagement = 0x02,
        /// §11.12
        Login = 0x03,
        /// §11.10
        Text = 0x04,
        /// §11.7
        DataOut = 0x05,
        /// §11.14
        Logout = 0x06,
        /// §11.16
        Snack = 0x10,
    }
}

opcodes! {
    /// What a target sends (RFC 7143 §11.2.1.2).
    Response {
        /// §11.19
        NopIn = 0x20,
        /// §11.4
        ScsiResponse = 0x21,
        /// §11.6
        TaskManagement = 0x22,
        /// §11.13
        Login = 0x23,
        /// §11.11
        Text = 0x24,
        /// §11.7
        DataIn = 0x25,
        /// §11.15
        Logout = 0x26,
        /// §11.8
        ReadyToTransfer = 0x31,
        /// §11.9
        AsyncMessage = 0x32,
        /// §11.17
        Reject = 0x3f,
    }
}

/// Why a PDU was not taken (RFC 7143 §11.17.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RejectReason {
    /// The data digest does not fit the data.
    DataDigestError = 0x02,
    /// A SNACK that is not honoured.
    SnackReject = 0x03,
    /// Against the protocol.
    ProtocolError = 0x04,
    /// No such request here.
    CommandNotSupported = 0x05,
    /// Too many requests marked for immediate delivery.
    TooManyImmediateCommands = 0x06,
    /// The task tag is in use.
    TaskInProgress = 0x07,
    /// A field has a value that it can't have.
    InvalidPduField = 0x09,
}

/// Rounds a length up to the next multiple of four: what padding makes of it (RFC 7143 §11.2.4).
pub const fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

impl BasicHeader {
    /// Bytes of all additional header segments.
    pub fn additional_length(&self) -> usize {
        usize::from(self.total_ahs_length) * 4
    }

    /// Bytes of the data segment, without padding.
    pub fn data_length(&self) -> usize {
        let [a, b, c] = self.data_segment_length;
        u32::from_be_bytes([0, a, b, c]) as usize
    }

    /// Whether the request is marked for immediate delivery.
    pub fn is_immediate(&self) -> bool {
        self.opcode & IMMEDIATE != 0
    }
}

/// The 24-bit form of a length. Longer ones, which nothing here makes, are cut to what fits.
pub fn data_segment_length(length: usize) -> [u8; 3] {
    let [_, a, b, c] = u32::try_from(length.min(0xff_ffff)).unwrap_or(0xff_ffff).to_be_bytes();
    [a, b, c]
}
