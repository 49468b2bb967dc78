//! What is remembered of a disk from one time that it is served to the next: how long it was, and of what parts.

use std::sync::Arc;

use timedisk_config::format_size;
use timedisk_volume::{DiskState, FileVolume, Volume};

use super::Unit;
use super::memory::Memory;

/// Under this name in the state file of each part: the serial numbers and bytes of all of them, in order.
const LAYOUT: &str = "layout";

/// A part of a disk: the serial number of the file's extent, and bytes.
type PartOf = (String, u64);

/// Refuses what would not have the bytes of before at their places: a file system on it would be lost.
pub(super) fn check(files: &[Arc<FileVolume>], allow_shrink: bool) -> anyhow::Result<()> {
    let first = files.first().map(|file| file.state());
    check_length(first, files.iter().map(|file| file.capacity()).sum(), allow_shrink)?;
    if allow_shrink {
        return Ok(());
    }
    let now = layout(files);
    for before in files.iter().enumerate().map(|(index, file)| remembered(file.state(), index == 0)) {
        anyhow::ensure!(
            continues(&before, &now),
            "it was made of other parts when it was last served ({}; now {}): what is on it would be at other places. \
             Bring back the parts of before in their order, and add others at the end only; or add --allow-shrink if \
             it is meant to be another disk",
            sizes(&before),
            sizes(&now)
        );
    }
    Ok(())
}

/// Refuses what would be shorter than before.
pub(super) fn check_length(
    state: Option<&Arc<DiskState>>,
    capacity: u64,
    allow_shrink: bool,
) -> anyhow::Result<()> {
    let Some(state) = state.filter(|_| !allow_shrink) else { return Ok(()) };
    if let Some(before) = state.last_served().filter(|before| *before > capacity) {
        anyhow::bail!(
            "it had {} when it was last served, and now would have {}: what is on it would lose its end. Say the \
             larger length, or add --allow-shrink if that is meant",
            format_size(before),
            format_size(capacity)
        );
    }
    Ok(())
}

/// From now on the disk of these may not become smaller, nor be made of other parts.
pub(super) fn note_disk(unit: &Unit, capacity: u64) {
    let name = &unit.disk.name;
    match &unit.healing {
        None => note(&unit.files, capacity, name),
        Some(_) if unit.disk.read_only => {}
        Some(_) => {
            let memory = Memory::new(unit.files.iter().map(|file| Arc::clone(file.state())));
            if let Err(error) = memory.note_served(capacity) {
                tracing::warn!(
                    "{name}: its size of {} can't be kept in mind: {error}",
                    format_size(capacity)
                );
            }
        }
    }
}

/// From now on the disk may not become smaller, nor be made of other parts. Each part remembers, since any may come
/// first the next time.
fn note(files: &[Arc<FileVolume>], capacity: u64, name: &str) {
    let parts = layout(files).into_iter().map(|(serial, bytes)| format!("{serial}:{bytes}"));
    let parts = parts.collect::<Vec<_>>().join(" ");
    let mut noted = Ok(());
    for state in files.iter().map(|file| file.state()) {
        if files.len() > 1 || state.setting(LAYOUT).is_some() {
            noted = noted.and_then(|()| state.set_setting(LAYOUT, &parts));
        }
    }
    let first = files.first().map(|file| file.state());
    let noted = noted.and_then(|()| first.map_or(Ok(()), |state| state.note_served(capacity)));
    if let Err(error) = noted {
        tracing::warn!("{name}: its size of {} can't be kept in mind: {error}", format_size(capacity));
    }
}

fn layout(files: &[Arc<FileVolume>]) -> Vec<PartOf> {
    files.iter().map(|file| (file.state().serial().to_owned(), file.capacity())).collect()
}

/// The parts that the disk was last served with. One of a single part is remembered by its length, by its first.
fn remembered(state: &DiskState, is_first: bool) -> Vec<PartOf> {
    let part = |word: &str| {
        let (serial, bytes) = word.split_once(':')?;
        Some((serial.to_owned(), bytes.parse().ok()?))
    };
    match state.setting(LAYOUT) {
        Some(text) => text.split(' ').filter_map(part).collect(),
        None if is_first => {
            state.last_served().map(|bytes| (state.serial().to_owned(), bytes)).into_iter().collect()
        }
        None => Vec::new(),
    }
}

/// Whether every byte of `before` is where it was.
fn continues(before: &[PartOf], now: &[PartOf]) -> bool {
    before.iter().enumerate().all(|(index, (serial, bytes))| {
        let is_last = index + 1 == before.len();
        now.get(index).is_some_and(|(same, now)| serial == same && (now == bytes || is_last && now > bytes))
    })
}

fn sizes(parts: &[PartOf]) -> String {
    let words = parts.iter().map(|(serial, bytes)| format!("{} of {}", serial, format_size(*bytes)));
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_goes_on_if_no_byte_of_it_moves() {
        let parts = |text: &str| -> Vec<PartOf> {
            let part = |word: &str| (word[..1].to_owned(), word[1..].parse().unwrap_or(0));
            text.split_whitespace().map(part).collect()
        };
        let goes_on = |before: &str, now: &str| continues(&parts(before), &parts(now));
        for (before, now) in [("", "a1"), ("a1", "a1"), ("a1", "a2"), ("a1", "a2 b1"), ("a1 b1", "a1 b3 c1")]
        {
            assert!(goes_on(before, now), "{before} to {now}");
        }
        for (before, now) in [
            ("a1", "b1"),
            ("a2", "a1 b1"),
            ("a1 b1", "a2 b1"),
            ("a1 b1", "b1 a1"),
            ("a1 b1", "a1 c1"),
            ("a1 b1", "a2"),
        ] {
            assert!(!goes_on(before, now), "{before} to {now}");
        }
    }
}
