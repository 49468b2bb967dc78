//! The one check of a range against a capacity.

use crate::{ErrorKind, Result, VolumeError};

/// Fails with [`ErrorKind::OutOfRange`] unless `length` bytes from `offset` lie within `capacity`.
pub(crate) fn check(capacity: u64, offset: u64, length: u64) -> Result<()> {
    match offset.checked_add(length) {
        Some(end) if end <= capacity => Ok(()),
        _ => Err(out_of_range(capacity, offset, length)),
    }
}

/// Fails with [`ErrorKind::OutOfRange`] unless there is a byte at `offset`.
pub(crate) fn check_byte(capacity: u64, offset: u64) -> Result<()> {
    if offset < capacity { Ok(()) } else { Err(out_of_range(capacity, offset, 1)) }
}

/// Fails with [`ErrorKind::OutOfRange`] unless `data` are at most `limit` bytes.
pub(crate) fn check_atomic(limit: u64, data: &[u8]) -> Result<()> {
    if length_of(data) <= limit {
        return Ok(());
    }
    let message = format!("{} bytes can't be written in one piece: at most {limit} can", data.len());
    Err(VolumeError::new(ErrorKind::OutOfRange, message))
}

fn out_of_range(capacity: u64, offset: u64, length: u64) -> VolumeError {
    VolumeError::new(
        ErrorKind::OutOfRange,
        format!("{length} bytes from {offset} do not lie within a volume of {capacity} bytes"),
    )
}

/// Length of a buffer in the unit that volumes count in. (A `usize` has at most 64 bits.)
pub(crate) fn length_of(buffer: &[u8]) -> u64 {
    buffer.len() as u64
}
