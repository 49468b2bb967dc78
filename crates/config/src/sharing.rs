//! Bytes that two records would write: overlapping extents, and extents with two users.

use crate::configuration::{Configuration, Device, Extent, Length, Storage, Target};
use crate::journal::Journal;
use crate::value::quoted;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

/// Finds bytes that more than one writer, or a writer and a reader, would use. Targets that only read may
/// share.
pub(crate) fn check(configuration: &Configuration, journal: &mut Journal<'_>) {
    let users = users(configuration);
    // Two targets that share several extents are one mistake.
    let mut said = HashSet::new();
    for (extent, targets) in &users {
        two_users(configuration, *extent, targets, &mut said, journal);
    }
    members_with_a_writer(configuration, &users, journal);
    let only_read: HashSet<usize> = users
        .iter()
        .filter(|(_, targets)| targets.iter().all(|target| target.read_only))
        .map(|(extent, _)| *extent)
        .collect();
    overlaps(configuration, &only_read, journal);
}

/// The targets on each extent, directly or through devices, in the file's order.
fn users(configuration: &Configuration) -> BTreeMap<usize, Vec<&Target>> {
    let mut users: BTreeMap<usize, Vec<&Target>> = BTreeMap::new();
    for target in &configuration.targets {
        for extent in &target.extents {
            users.entry(*extent).or_default().push(target);
        }
    }
    users
}

/// Each target on `extent` after the first, unless all of them only read.
fn two_users(
    configuration: &Configuration,
    extent: usize,
    targets: &[&Target],
    said: &mut HashSet<usize>,
    journal: &mut Journal<'_>,
) {
    let Some((first, others)) = targets.split_first() else {
        return;
    };
    let name = configuration.extents.get(extent).map_or("", |extent| extent.name.as_str());
    let all_read = targets.iter().all(|target| target.read_only);
    for target in others.iter().filter(|_| !all_read) {
        if said.insert(target.span.start) {
            let line = journal.line_of(first.span.start);
            journal.mistake(
                target.storage_span.clone(),
                format!("{} is already used by {}, on line {line}", quoted(name), quoted(&first.name)),
                "give each target an extent of its own, or make both targets `ro`",
            );
        }
    }
}

/// A target that writes to a device's member. Where the device has a target too, the two targets are what is
/// said.
fn members_with_a_writer(
    configuration: &Configuration,
    users: &BTreeMap<usize, Vec<&Target>>,
    journal: &mut Journal<'_>,
) {
    let devices: HashMap<Storage, &Device> = configuration
        .devices
        .iter()
        .flat_map(|device| device.members.iter().map(move |member| (*member, device)))
        .collect();
    let is_alone = |target: &Target| {
        target.extents.iter().all(|extent| users.get(extent).is_some_and(|targets| targets.len() == 1))
    };
    for target in configuration.targets.iter().filter(|target| !target.read_only && is_alone(target)) {
        let Some(device) = devices.get(&target.storage) else {
            continue;
        };
        let name = match target.storage {
            Storage::Extent(index) => configuration.extents.get(index).map(|extent| &extent.name),
            Storage::Device(index) => configuration.devices.get(index).map(|device| &device.name),
        };
        let line = journal.line_of(device.span.start);
        let name = quoted(name.map_or("", String::as_str));
        journal.mistake(
            target.storage_span.clone(),
            format!("{name} is a member of {}, on line {line}", quoted(&device.name)),
            "name the device, or an extent that is in no device",
        );
    }
}

/// Extents that share bytes of one path, unless only targets that read are on both.
fn overlaps(configuration: &Configuration, only_read: &HashSet<usize>, journal: &mut Journal<'_>) {
    // Paths that differ in nothing but needless `/` and `.` are one.
    let mut files: BTreeMap<&Path, Vec<(usize, &Extent)>> = BTreeMap::new();
    for (index, extent) in configuration.extents.iter().enumerate() {
        files.entry(Path::new(&extent.path)).or_default().push((index, extent));
    }
    for extents in files.values_mut() {
        extents.sort_by_key(|(_, extent)| extent.start);
        // An extent that overlaps any earlier one overlaps the one that reaches furthest.
        let mut furthest: Option<(usize, &Extent)> = None;
        for (index, extent) in extents.iter().copied() {
            let before = furthest.filter(|(_, before)| end(before) > extent.start);
            if let Some((other_index, other)) = before
                && !(only_read.contains(&index) && only_read.contains(&other_index))
            {
                overlap(extent, other, journal);
            }
            if furthest.is_none_or(|(_, furthest)| end(extent) > end(furthest)) {
                furthest = Some((index, extent));
            }
        }
    }
}

/// Says it at the later of the two lines.
fn overlap(one: &Extent, other: &Extent, journal: &mut Journal<'_>) {
    let (earlier, later) = if one.span.start < other.span.start { (one, other) } else { (other, one) };
    let line = journal.line_of(earlier.span.start);
    let help = match earlier.length {
        Length::Bytes(_) => format!("start at {} or after it, or name another file", end(earlier)),
        Length::WholeFile => "name another file".to_owned(),
    };
    journal.mistake(
        later.path_span.start..later.span.end,
        format!(
            "{} overlaps {}, on line {line}, in the same file",
            quoted(&later.name),
            quoted(&earlier.name)
        ),
        help,
    );
}

/// The first byte after an extent.
fn end(extent: &Extent) -> u64 {
    match extent.length {
        Length::Bytes(bytes) => extent.start.saturating_add(bytes),
        Length::WholeFile => u64::MAX,
    }
}
