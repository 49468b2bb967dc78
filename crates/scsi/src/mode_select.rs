//! MODE SELECT(6) and MODE SELECT(10) (SPC-4 6.9, 6.10).

use crate::LogicalUnit;
use crate::cdb::Field;
use crate::mode_pages::{MODE_PAGES, ModePage, ModeParameters};
use crate::running::{Outcome, Running, Stop};
use crate::sense::{INTERNAL_TARGET_FAILURE, MODE_PARAMETERS_CHANGED, PARAMETER_LIST_LENGTH_ERROR, Sense};

pub(crate) const PARAMETER_LIST_LENGTH_6: Field = Field { byte: 4, width: 1 };
pub(crate) const PARAMETER_LIST_LENGTH_10: Field = Field { byte: 7, width: 2 };

pub(crate) fn mode_select_6(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let list = command.parameter_list(PARAMETER_LIST_LENGTH_6)?;
    let header = |list: &[u8]| {
        let descriptors = usize::from(*list.get(3)?);
        Some(Header { length: 4, descriptors, long: false })
    };
    mode_select(unit, command, list, header)
}

pub(crate) fn mode_select_10(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let list = command.parameter_list(PARAMETER_LIST_LENGTH_10)?;
    let header = |list: &[u8]| {
        let descriptors = usize::from(u16::from_be_bytes(list.get(6..8)?.try_into().ok()?));
        let long = list.get(4)? & 1 != 0;
        Some(Header { length: 8, descriptors, long })
    };
    mode_select(unit, command, list, header)
}

/// Mode parameter header (SPC-4 7.5.5), all lengths in bytes.
struct Header {
    length: usize,
    descriptors: usize,
    long: bool,
}

fn mode_select(
    unit: &LogicalUnit,
    command: &Running<'_>,
    list: &[u8],
    header: impl FnOnce(&[u8]) -> Option<Header>,
) -> Outcome {
    let page_format = command.cdb.bit(1, 4);
    if !page_format {
        return Err(Sense::invalid_cdb(1, 4).into());
    }
    let save_pages = command.cdb.bit(1, 0);
    let store = match (save_pages, unit.settings()) {
        (true, None) => return Err(Sense::invalid_cdb(1, 0).into()),
        (true, store) => store,
        (false, _) => None,
    };
    if list.is_empty() {
        return Ok(());
    }
    let header = header(list).ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
    check_descriptor(unit, list, &header)?;
    let pages_at = header.length + header.descriptors;
    let before = unit.modes();
    let after = select_pages(before, list, pages_at)?;

    command.wait()?;
    unit.set_modes(after);
    let applied = apply(unit, before, after, store);
    if applied.is_err() {
        unit.set_modes(before);
    } else if before != after {
        let attentions = unit.attentions();
        attentions.establish_for_others(command.nexus, &MODE_PARAMETERS_CHANGED);
    }
    applied
}

/// A block descriptor may say what is so already, and nothing else.
fn check_descriptor(unit: &LogicalUnit, list: &[u8], header: &Header) -> Result<(), Stop> {
    let at = header.length;
    let descriptor = list.get(at..at + header.descriptors).ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let (count, length, length_at) = match (header.long, descriptor) {
        (_, []) => return Ok(()),
        // In the short form the length has 24 bits, after a reserved byte.
        (false, [count @ .., _, a, b, c]) if count.len() == 4 => (count, number(&[*a, *b, *c]), 5),
        (true, [count @ .., _, _, _, _, a, b, c, d]) if count.len() == 8 => {
            (count, number(&[*a, *b, *c, *d]), 12)
        }
        // Its length stands in the last byte of the header.
        _ => return Err(Sense::invalid_parameter(at - 1, None).into()),
    };
    let all = count.iter().all(|byte| *byte == 0xff);
    let blocks = number(count);
    if !all && ![0, unit.blocks()].contains(&blocks) {
        return Err(Sense::invalid_parameter(at, None).into());
    }
    if length != unit.block_length() {
        return Err(Sense::invalid_parameter(at + length_at, None).into());
    }
    Ok(())
}

/// The parameters as they will be after all pages of the list, if none is refused.
fn select_pages(mut modes: ModeParameters, list: &[u8], pages_at: usize) -> Result<ModeParameters, Stop> {
    let mut at = pages_at;
    while let Some(rest) = list.get(at..).filter(|rest| !rest.is_empty()) {
        // The subpage code, bytes of the header, and of the rest.
        let (code, subpage, header, length) = match *rest {
            [first, subpage, high, low, ..] if first & 0x40 != 0 => {
                (first & 0x3f, subpage, 4, usize::from(u16::from_be_bytes([high, low])))
            }
            [first, length, ..] if first & 0x40 == 0 => (first & 0x3f, 0, 2, usize::from(length)),
            _ => return Err((&PARAMETER_LIST_LENGTH_ERROR).into()),
        };
        let of_code = || MODE_PAGES.iter().filter(|page| page.code == code);
        let unknown = match of_code().next() {
            Some(_) => Sense::invalid_parameter(at + 1, None),
            None => Sense::invalid_parameter(at, 5),
        };
        let is_meant = |page: &&ModePage| page.subpage == subpage && page.header() == header;
        let page = of_code().find(is_meant).ok_or(unknown)?;
        if length + header != page.len() {
            return Err(Sense::invalid_parameter(at + header / 2, None).into());
        }
        let sent = rest.get(..page.len()).ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
        page.select(sent, &mut modes).map_err(|(byte, bit)| Sense::invalid_parameter(at + byte, bit))?;
        at += page.len();
    }
    Ok(modes)
}

/// What was acknowledged under a write cache must be on the medium before one without is promised (SBC-3
/// 6.5.5).
fn apply(
    unit: &LogicalUnit,
    before: ModeParameters,
    after: ModeParameters,
    store: Option<&dyn crate::SettingsStore>,
) -> Outcome {
    // A disk that is away was flushed when it went.
    if before.write_cache && !after.write_cache && unit.medium().absence().is_none() {
        unit.volume()?.flush()?;
    }
    if let Some(store) = store {
        after.save(store).map_err(|_| &INTERNAL_TARGET_FAILURE)?;
    }
    Ok(())
}
