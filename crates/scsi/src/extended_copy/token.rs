//! What a ROD token looks like (SPC-4 5.17.6.5.3, SBC-3 4.28.6).

use super::list::IDENTIFICATION;
use super::rod::TOKEN_LENGTH;
use crate::sense::{Condition, INVALID_TOKEN_LENGTH, UNSUPPORTED_TOKEN_TYPE};
use crate::{DeviceServer, LogicalUnit};

/// ROD types: as many zeros as are asked for; point in time copies of any sort, of the sort that is chosen here, and
/// those that changes make invalid.
pub(crate) const ZEROS: u32 = 0xffff_0001;
pub(crate) const POINT_IN_TIME_DEFAULT: u32 = 0x0080_0000;
pub(crate) const POINT_IN_TIME_ANY: u32 = 0x0080_ffff;
pub(crate) const CHANGE_VULNERABLE: u32 = 0x0080_0001;

/// Bytes of a token that tell of it without letting anybody use it: a ROD management token.
pub(super) const MANAGEMENT_LENGTH: usize = 96;

/// Bytes that nobody can guess.
pub(super) const SECRET_LENGTH: usize = 32;

/// Where they are: at the end of the EXTENDED ROD TOKEN DATA.
const SECRET_AT: usize = TOKEN_LENGTH - SECRET_LENGTH;

/// What the ROD TOKEN LENGTH field counts.
const COUNTED: u16 = TOKEN_LENGTH as u16 - 8;

const TARGET_AT: usize = 128;

/// The identification of a logical unit by its NAA designator (SPC-4 6.4.5, type E4h), with the length of its blocks.
fn creator(unit: &LogicalUnit) -> [u8; 32] {
    let mut one = [0; 32];
    one[..8].copy_from_slice(&[IDENTIFICATION, 0, 0, 0, 1, 3, 0, 8]);
    one[8..16].copy_from_slice(&unit.identity().naa);
    one[28..].copy_from_slice(&(unit.block_length() as u32 & 0x00ff_ffff).to_be_bytes());
    one
}

/// A token for so many bytes of a logical unit.
pub(super) fn token(
    server: &DeviceServer,
    unit: &LogicalUnit,
    number: u64,
    bytes: u64,
    secret: &[u8; SECRET_LENGTH],
) -> [u8; TOKEN_LENGTH] {
    let mut token = [0; TOKEN_LENGTH];
    token[..4].copy_from_slice(&CHANGE_VULNERABLE.to_be_bytes());
    token[6..8].copy_from_slice(&COUNTED.to_be_bytes());
    token[8..16].copy_from_slice(&number.to_be_bytes());
    token[16..48].copy_from_slice(&creator(unit));
    token[48..64].copy_from_slice(&u128::from(bytes).to_be_bytes());
    // As in READ CAPACITY(16): block length, exponent, provisioning.
    token[96..100].copy_from_slice(&(unit.block_length() as u32).to_be_bytes());
    token[101] = unit.physical_exponent();
    token[102] = 0xc0;
    // TARGET DEVICE DESCRIPTOR: the SCSI name string of the target, of at most 223 characters.
    let name = server.target_name().as_bytes();
    let length = (name.len() + 1).next_multiple_of(4).min(SECRET_AT - TARGET_AT - 4);
    token[TARGET_AT..TARGET_AT + 4].copy_from_slice(&[0x53, 0xa8, 0, length as u8]);
    let part = name.len().min(length);
    token[TARGET_AT + 4..TARGET_AT + 4 + part].copy_from_slice(&name[..part]);
    token[SECRET_AT..].copy_from_slice(secret);
    token
}

/// What a client has sent as a token.
#[derive(Debug)]
pub(super) enum Claimed<'a> {
    /// Zeros (SBC-3 4.28.6.3).
    Zeros,
    /// Data of one of the logical units.
    Data(&'a [u8; TOKEN_LENGTH]),
}

pub(super) fn read(token: &[u8; TOKEN_LENGTH]) -> Result<Claimed<'_>, &'static Condition> {
    let [a, b, c, d, _, _, high, low, ..] = *token;
    if u16::from_be_bytes([high, low]) != COUNTED {
        return Err(&INVALID_TOKEN_LENGTH);
    }
    match u32::from_be_bytes([a, b, c, d]) {
        ZEROS => Ok(Claimed::Zeros),
        CHANGE_VULNERABLE => Ok(Claimed::Data(token)),
        _ => Err(&UNSUPPORTED_TOKEN_TYPE),
    }
}
