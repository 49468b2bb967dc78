//! VERIFY in all lengths (SBC-3 5.29 to 5.32).

use crate::LogicalUnit;
use crate::cdb::Cdb;
use crate::limits::CHUNK;
use crate::logical_unit::Extent;
use crate::read_write::{refuse_protection, whole_blocks};
use crate::running::{Outcome, Running};
use crate::sense::{MISCOMPARE_DURING_VERIFY, Sense};

/// What the medium is compared with: BYTCHK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ByteCheck {
    /// With nothing: it need only be readable.
    None,
    /// Each block with its own in the Data-Out Buffer.
    Each,
    /// Every block with the one in the Data-Out Buffer.
    One,
}

fn extent(unit: &LogicalUnit, cdb: Cdb<'_>) -> Result<(Extent, ByteCheck), Sense> {
    refuse_protection(cdb)?;
    let check = match cdb.byte_check() {
        0b00 => ByteCheck::None,
        0b01 => ByteCheck::Each,
        0b11 => ByteCheck::One,
        _ => return Err(Sense::invalid_cdb(cdb.flags_byte(), 2)),
    };
    Ok((unit.transfer(cdb.block_range())?, check))
}

/// Bytes of Data-Out that the command takes.
pub(crate) fn data_out(unit: &LogicalUnit, cdb: Cdb<'_>) -> Result<u64, Sense> {
    let (extent, check) = extent(unit, cdb)?;
    Ok(match check {
        ByteCheck::None => 0,
        ByteCheck::Each => extent.bytes(),
        ByteCheck::One => extent.bytes().min(unit.block_length()),
    })
}

pub(crate) fn verify(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let (extent, check) = extent(unit, command.cdb)?;
    command.check_plan(0, data_out(unit, command.cdb)?)?;
    command.wait()?;
    let (length, repeated) = match check {
        ByteCheck::None => (extent.bytes(), None),
        ByteCheck::Each => {
            let data = whole_blocks(unit, command.data_out, &extent);
            (data.len() as u64, Some(data))
        }
        ByteCheck::One => match command.data_out.get(..unit.block_length() as usize) {
            Some(block) => (extent.bytes(), Some(block)),
            None => (0, None),
        },
    };
    compare(unit, extent.offset(), length, repeated)
}

/// Reads the range, and compares it with `expected` repeated, if that is given.
pub(crate) fn compare(unit: &LogicalUnit, offset: u64, length: u64, expected: Option<&[u8]>) -> Outcome {
    let mut buffer = vec![0; CHUNK.min(usize::try_from(length).unwrap_or(CHUNK))];
    let mut done = 0;
    while done < length {
        let step = (length - done).min(buffer.len() as u64);
        let read = &mut buffer[..step as usize];
        unit.volume()?.read(offset + done, read)?;
        if let Some(expected) = expected {
            let position = (done % expected.len() as u64) as usize;
            let difference = first_difference(read, expected, position);
            if let Some(at) = difference {
                // The offset in the Data-Out Buffer of the byte that was not equal.
                let miscompare = Sense::from(&MISCOMPARE_DURING_VERIFY);
                return Err(miscompare.with_information(at as u64).into());
            }
        }
        done += step;
    }
    Ok(())
}

/// Where in `expected`, repeated and entered at `position`, a byte differs from `read`.
fn first_difference(read: &[u8], expected: &[u8], position: usize) -> Option<usize> {
    let mut rest = read;
    let mut position = position;
    while !rest.is_empty() {
        let step = rest.len().min(expected.len() - position);
        let (piece, after) = rest.split_at(step);
        let counterpart = &expected[position..position + step];
        if piece != counterpart {
            let same = piece.iter().zip(counterpart).take_while(|(a, b)| a == b);
            return Some(position + same.count());
        }
        position = 0;
        rest = after;
    }
    None
}
