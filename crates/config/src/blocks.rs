//! Lengths and starts against the block lengths of the disks on them; serial numbers.

use crate::configuration::{Configuration, Extent, Length, Options, Target};
use crate::journal::Journal;
use crate::size::format_size;
use crate::value::quoted;
use std::collections::HashMap;

/// Finds lengths that are no whole number of blocks.
pub(crate) fn lengths(configuration: &Configuration, options: &Options, journal: &mut Journal<'_>) {
    let mut served: HashMap<usize, Vec<&Target>> = HashMap::new();
    for target in &configuration.targets {
        for extent in &target.extents {
            served.entry(*extent).or_default().push(target);
        }
    }
    for (index, extent) in configuration.extents.iter().enumerate() {
        let targets = served.get(&index).map_or(&[][..], Vec::as_slice);
        let lengths = targets.iter().map(|target| (target.block_length, Some(*target)));
        // An extent that no disk stands on is measured as though one did.
        let largest = lengths.max_by_key(|(length, _)| *length).unwrap_or((options.block_length, None));
        measure(extent, largest, journal);
    }
}

/// An extent against the largest of the block lengths, which are powers of two.
fn measure(extent: &Extent, (block, target): (u32, Option<&Target>), journal: &mut Journal<'_>) {
    let block_bytes = u64::from(block.max(1));
    let whose = target.map_or_else(String::new, |target| format!(" of {}", quoted(&target.name)));
    match extent.length {
        Length::Bytes(bytes) if !bytes.is_multiple_of(block_bytes) => {
            let down = bytes - bytes % block_bytes;
            let up = down.checked_add(block_bytes).map(format_size);
            let choices = Some(down).filter(|down| *down > 0).map(format_size).into_iter().chain(up);
            let choices: Vec<String> = choices.map(|size| format!("`{size}`")).collect();
            journal.mistake(
                extent.length_span.clone(),
                format!("{bytes} bytes are not a multiple of the block length{whose}, {block} bytes"),
                format!("write {}", choices.join(" or ")),
            );
        }
        _ => {}
    }
    if !extent.start.is_multiple_of(block_bytes) {
        journal.notice(
            extent.start_span.clone(),
            format!("the start {} is not a multiple of the block length{whose}, {block}", extent.start),
            "start at a multiple of 4096 for speed",
        );
    }
}

/// Finds serial numbers of two disks.
pub(crate) fn serials(configuration: &Configuration, journal: &mut Journal<'_>) {
    let mut first_targets: HashMap<&str, &Target> = HashMap::new();
    for target in &configuration.targets {
        let Some(serial) = target.serial.as_deref() else {
            continue;
        };
        match first_targets.get(serial) {
            Some(first) => {
                let line = journal.line_of(first.span.start);
                journal.mistake(
                    target.span.clone(),
                    format!(
                        "{} on line {line} already has the serial number {}",
                        quoted(&first.name),
                        quoted(serial)
                    ),
                    "give each disk a `serial=` of its own: clients take two disks with the same for one",
                );
            }
            None => {
                first_targets.insert(serial, target);
            }
        }
    }
}
