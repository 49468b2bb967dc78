//! Reading both ends back, and comparing them.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::bail;

use super::end::End;
use super::pipeline::BUFFER;
use crate::progress::Progress;

/// Runs of data that are read at once.
const MOST_RANGES: usize = 512;

/// Compares all that holds data on either side. `false` if it was stopped before the end.
pub(super) fn run(source: &mut End, destination: &mut End, stop: &AtomicBool) -> anyhow::Result<bool> {
    // What is compared shall be what the devices have.
    source.forget_cached();
    destination.forget_cached();
    let (length, blocks) = (source.length(), source.block_length().max(destination.block_length()));
    let (mut here, mut there) = (vec![0; BUFFER], vec![0; BUFFER]);
    let mut progress = Progress::new("verify", length);
    let mut at = 0;
    while at < length {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let (mut ranges, mut filled) = (Vec::new(), 0_u64);
        while at < length && filled < BUFFER as u64 && ranges.len() < MOST_RANGES {
            let Some(data) = next_of_either(source, destination, at)?.filter(|data| data.start < length)
            else {
                at = length;
                break;
            };
            let start = (data.start - data.start % blocks).max(at);
            let end = data.end.next_multiple_of(blocks).min(length).min(start + BUFFER as u64 - filled);
            filled = (filled + end - start).next_multiple_of(blocks);
            ranges.push(start..end);
            at = end;
        }
        compare(source, destination, &ranges, (&mut here, &mut there))?;
        progress.at(at);
    }
    Ok(true)
}

/// The next run of data, whichever side has it.
fn next_of_either(source: &mut End, destination: &mut End, at: u64) -> anyhow::Result<Option<Range<u64>>> {
    Ok(match (source.next_data(at)?, destination.next_data(at)?) {
        (Some(one), Some(other)) if one.start <= other.start => Some(one),
        (Some(one), Some(other)) => Some(other.start..other.end.min(one.start.max(other.start + 1))),
        (one, other) => one.or(other),
    })
}

fn compare(
    source: &mut End,
    destination: &mut End,
    ranges: &[Range<u64>],
    (here, there): (&mut [u8], &mut [u8]),
) -> anyhow::Result<()> {
    let block = destination.block_length();
    // A disk is read in whole blocks, even if the source ends within one; what follows there is not compared.
    let whole: Vec<_> = ranges.iter().map(|range| range.start..range.end.next_multiple_of(block)).collect();
    let longer: Vec<_> = if matches!(destination, End::Disk(_)) { whole } else { ranges.to_vec() };
    source.read(ranges, here)?;
    destination.read(&longer, there)?;
    let mut offset = 0;
    for range in ranges {
        let end = offset + (range.end - range.start) as usize;
        let (one, other) = (here.get(offset..end), there.get(offset..end));
        if one != other {
            let pairs = one.unwrap_or_default().iter().zip(other.unwrap_or_default());
            let index = pairs.take_while(|(one, other)| one == other).count() as u64;
            bail!(
                "--verify: byte {} is not as in the source: it was written to meanwhile, or a device is damaged. \
                 Begin again with --restart",
                range.start + index
            );
        }
        offset = end;
    }
    Ok(())
}
