//! MODE SENSE(6) and MODE SENSE(10) (SPC-4 6.11, 6.12).

use crate::LogicalUnit;
use crate::cdb::Field;
use crate::mode_pages::{MODE_PAGES, ModeParameters, PageValues};
use crate::running::{Outcome, Running};
use crate::sense::{SAVING_NOT_SUPPORTED, Sense};

pub(crate) const ALLOCATION_LENGTH_6: Field = Field { byte: 4, width: 1 };
pub(crate) const ALLOCATION_LENGTH_10: Field = Field { byte: 7, width: 2 };

/// PAGE CODE and SUBPAGE CODE values that ask for all there are.
const ALL_PAGES: u8 = 0x3f;
const ALL_SUBPAGES: u8 = 0xff;

pub(crate) fn mode_sense_6(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let pages = pages(unit, command)?;
    let descriptor = block_descriptor(unit, command, false);
    let length = 3 + descriptor.len() + pages.len();
    let header = [length as u8, 0, device_specific(unit), descriptor.len() as u8];
    let data = [&header, &descriptor[..], &pages].concat();
    command.respond(&data, ALLOCATION_LENGTH_6);
    Ok(())
}

pub(crate) fn mode_sense_10(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let pages = pages(unit, command)?;
    // LLBAA admits block descriptors with addresses of 64 bits.
    let long = command.cdb.bit(1, 4);
    let descriptor = block_descriptor(unit, command, long);
    let [high, low] = ((6 + descriptor.len() + pages.len()) as u16).to_be_bytes();
    let is_long = u8::from(long && !descriptor.is_empty());
    let length = descriptor.len() as u8;
    let header = [high, low, 0, device_specific(unit), is_long, 0, 0, length];
    let data = [&header, &descriptor[..], &pages].concat();
    command.respond(&data, ALLOCATION_LENGTH_10);
    Ok(())
}

/// DEVICE-SPECIFIC PARAMETER (SBC-3 6.5.1): WP as it is, DPOFUA always.
fn device_specific(unit: &LogicalUnit) -> u8 {
    let write_protected = u8::from(unit.write_protection().is_some());
    write_protected << 7 | 0x10
}

/// SBC-3 6.5.2, empty if DBD disables it.
fn block_descriptor(unit: &LogicalUnit, command: &Running<'_>, long: bool) -> Vec<u8> {
    let disabled = command.cdb.bit(1, 3);
    if disabled {
        return Vec::new();
    }
    let (blocks, block_length) = (unit.blocks(), unit.block_length() as u32);
    let mut descriptor = Vec::with_capacity(16);
    if long {
        descriptor.extend(blocks.to_be_bytes());
        descriptor.extend([0; 4]);
    } else {
        let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
        descriptor.extend(blocks.to_be_bytes());
    }
    descriptor.extend(block_length.to_be_bytes());
    descriptor
}

fn pages(unit: &LogicalUnit, command: &Running<'_>) -> Result<Vec<u8>, Sense> {
    let (page_control, code) = (command.cdb.byte(2) >> 6, command.cdb.byte(2) & 0x3f);
    let subpage = command.cdb.byte(3);
    let values = match page_control {
        0b00 => PageValues::Of(unit.modes()),
        0b01 => PageValues::Changeable,
        0b10 => PageValues::Of(ModeParameters::DEFAULT),
        _ if unit.settings().is_none() => return Err((&SAVING_NOT_SUPPORTED).into()),
        _ => PageValues::Of(ModeParameters::saved(unit.settings())),
    };
    let of_code = || MODE_PAGES.iter().filter(|page| code == ALL_PAGES || code == page.code);
    if of_code().next().is_none() {
        return Err(Sense::invalid_cdb(2, 5));
    }
    // All pages are asked for with all of their subpages or without; of one page any subpage can be.
    let subpages: fn(u8) -> bool = match (code, subpage) {
        (_, ALL_SUBPAGES) => |_| true,
        (_, 0) => |code| code == 0,
        (ALL_PAGES, _) => return Err(Sense::invalid_cdb(3, None)),
        _ => |_| false,
    };
    let wanted: Vec<_> = of_code().filter(|page| subpages(page.subpage) || page.subpage == subpage).collect();
    if wanted.is_empty() {
        return Err(Sense::invalid_cdb(3, None));
    }
    let savable = unit.settings().is_some();
    Ok(wanted.iter().flat_map(|page| page.bytes(values, savable)).collect())
}
