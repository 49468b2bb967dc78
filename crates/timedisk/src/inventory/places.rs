//! Which bytes of which files disks are made of.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use timedisk_config::Length;
use timedisk_volume::{FileCalls, FileIdentity, MemoryFiles, SystemCalls, Volume};

use super::Unit;
use crate::plan::{Disk, Part};

/// A file, whatever path leads to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    There(FileIdentity),
    /// Not there yet.
    Path(PathBuf),
}

impl Place {
    pub(super) fn of(path: &Path) -> Place {
        if let Some(identity) = MemoryFiles::identity_of(path) {
            return Place::There(identity);
        }
        match SystemCalls.identify(path) {
            Ok(identity) => Place::There(identity),
            Err(_) => Place::Path(made_at(path).unwrap_or_else(|| path.to_owned())),
        }
    }
}

/// Where a file would be made.
fn made_at(path: &Path) -> Option<PathBuf> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(directory.canonicalize().ok()?.join(path.file_name()?))
}

/// What clients may not see change, besides the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Identity {
    start: u64,
    block_length: u32,
    physical_block_length: u32,
    serial: Option<String>,
}

impl Identity {
    fn of(disk: &Disk) -> Identity {
        let start = disk.parts.first().map_or(0, |part| part.start);
        let Disk { block_length, physical_block_length, ref serial, .. } = *disk;
        Identity { start, block_length, physical_block_length, serial: serial.clone() }
    }
}

/// Finds the units that go on as disks of another plan.
pub(super) struct Present {
    by_path: HashMap<(PathBuf, Identity), usize>,
    by_place: HashMap<(Place, Identity), usize>,
}

impl Present {
    pub(super) fn of(units: &[Unit]) -> Present {
        let mut present = Present { by_path: HashMap::new(), by_place: HashMap::new() };
        for (position, unit) in units.iter().enumerate() {
            let identity = Identity::of(&unit.disk);
            present.by_path.insert((unit.disk.path().to_owned(), identity.clone()), position);
            let place = match unit.files.first() {
                Some(file) => Place::There(file.identity()),
                None => Place::of(unit.disk.path()),
            };
            present.by_place.insert((place, identity), position);
        }
        present
    }

    /// The unit that is this disk already: what is described in the same way, or else what has the same file.
    pub(super) fn unit(&self, disk: &Disk) -> Option<usize> {
        let identity = Identity::of(disk);
        let by_path = self.by_path.get(&(disk.path().to_owned(), identity.clone()));
        by_path.or_else(|| self.by_place.get(&(Place::of(disk.path()), identity))).copied()
    }
}

/// Whether two disks are made of the same places, however long.
pub(super) fn same_places(one: &Disk, other: &Disk) -> bool {
    let place = |part: &Part| (part.path.clone(), part.start);
    one.parts.iter().map(place).eq(other.parts.iter().map(place))
}

/// Whether the places of two disks are read and written alike: past the system's cache or through it, with sums or
/// without, as they are or in QEMU's format.
pub(super) fn same_way(one: &Disk, other: &Disk) -> bool {
    let how = |part: &Part| (part.direct, part.checksum, part.qcow2);
    one.parts.iter().map(how).eq(other.parts.iter().map(how))
}

/// Whether two paths lead to one file.
pub(super) fn is_same_file(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Bytes that a disk is to have.
struct Claim<'a> {
    start: u64,
    end: u64,
    disk: &'a Disk,
    path: &'a Path,
}

impl<'a> Claim<'a> {
    /// With where they are. Of a partition that is on its device, so that both can't be had.
    fn of(disk: &'a Disk, part: &'a Part) -> (Place, Claim<'a>) {
        let place = Place::of(&part.path);
        let partition = match place {
            Place::There(identity) => identity.partition(),
            Place::Path(_) => None,
        };
        let (place, offset, end) = match partition {
            Some(partition) => {
                let end = partition.start.saturating_add(partition.length);
                (Place::There(partition.whole), partition.start, end)
            }
            None => (place, 0, u64::MAX),
        };
        let start = part.start.saturating_add(offset);
        let end = match part.length {
            Length::Bytes(bytes) => start.saturating_add(bytes),
            Length::WholeFile => end,
        };
        (place, Claim { start, end, disk, path: &part.path })
    }
}

/// Refuses bytes that a writer would share with anybody, whatever paths lead to them.
pub(super) fn check_overlaps(disks: &[Disk]) -> anyhow::Result<()> {
    let mut places: HashMap<Place, Vec<Claim<'_>>> = HashMap::new();
    for disk in disks {
        for part in &disk.parts {
            let (place, claim) = Claim::of(disk, part);
            places.entry(place).or_default().push(claim);
        }
    }
    for claims in places.values_mut().filter(|claims| claims.len() > 1) {
        claims.sort_by_key(|claim| claim.start);
        // One that overlaps any earlier one overlaps the one that reaches furthest, of all or of those that write.
        let (mut furthest, mut furthest_writer): (Option<&Claim<'_>>, Option<&Claim<'_>>) = (None, None);
        for claim in claims.iter() {
            let before = if claim.disk.read_only { furthest_writer } else { furthest };
            if let Some(before) = before.filter(|before| before.end > claim.start) {
                let shown = claim.path.display();
                let of_what = match before.path == claim.path {
                    true => shown.to_string(),
                    false => format!("what {} and {shown} lead to", before.path.display()),
                };
                anyhow::bail!(
                    "{} and {} would both have byte {} of {of_what}: disks must not overlap, unless all of them are \
                     read-only. Give each an extent of its own",
                    before.disk.name,
                    claim.disk.name,
                    claim.start,
                );
            }
            let reaches_further = |other: Option<&Claim<'_>>| other.is_none_or(|other| claim.end > other.end);
            if reaches_further(furthest) {
                furthest = Some(claim);
            }
            if !claim.disk.read_only && reaches_further(furthest_writer) {
                furthest_writer = Some(claim);
            }
        }
    }
    Ok(())
}

/// How the bytes of a disk that is open would be placed if it were made of the parts of `disk`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// As they are, and perhaps there are more of them.
    Same,
    /// As they are, as far as they are there.
    Shorter,
    /// Some would be elsewhere.
    Other,
}

/// Compares the open files of a unit with the parts that it is to have.
pub(super) fn placement(unit: &Unit, disk: &Disk) -> Placement {
    if unit.disk.layout.has_mirror() || disk.layout.has_mirror() {
        let is_same = same_places(&unit.disk, disk) && unit.disk.layout == disk.layout;
        return if is_same { Placement::Same } else { Placement::Other };
    }
    let block = u64::from(disk.block_length);
    let open = unit.files.iter().zip(&unit.disk.parts);
    let (before, now) = (unit.files.len(), disk.parts.len());
    let mut found = if now < before { Placement::Shorter } else { Placement::Same };
    for (index, ((file, was), part)) in open.zip(&disk.parts).enumerate() {
        if (part.path != was.path && !file.is_at(&part.path)) || part.start != was.start {
            return Placement::Other;
        }
        let is_last = (index + 1 == before, index + 1 == now);
        let order = bytes_of(part, block).map(|bytes| bytes.cmp(&file.capacity()));
        match (order, is_last) {
            (None | Some(std::cmp::Ordering::Equal), _) | (Some(std::cmp::Ordering::Greater), (true, _)) => {}
            (Some(std::cmp::Ordering::Less), (_, true)) => found = Placement::Shorter,
            _ => return Placement::Other,
        }
    }
    found
}

/// A description by which a unit that is open is found again as it is: its files are where they were, or where `next`
/// has them.
pub(super) fn as_open(unit: &Unit, next: Option<&Disk>) -> anyhow::Result<Disk> {
    let mut disk = unit.disk.clone();
    if disk.layout.has_mirror() {
        // Mirrors know their members by more than their paths.
        return Ok(disk);
    }
    for (index, (part, file)) in disk.parts.iter_mut().zip(&unit.files).enumerate() {
        part.length = Length::Bytes(file.capacity());
        if file.is_at(&part.path) {
            continue;
        }
        let moved = next.and_then(|next| next.parts.get(index)).filter(|part| file.is_at(&part.path));
        part.path = moved.map(|part| part.path.clone()).with_context(|| {
            format!(
                "{} was renamed or removed while {} is served from it, and would have to be closed: put it back first",
                part.path.display(),
                unit.disk.name
            )
        })?;
    }
    Ok(disk)
}

/// What of a part is whole blocks, if that can be told before it is opened.
fn bytes_of(part: &Part, block: u64) -> Option<u64> {
    let bytes = match part.length {
        Length::Bytes(bytes) => bytes,
        Length::WholeFile => {
            let metadata = std::fs::metadata(&part.path).ok().filter(|metadata| metadata.is_file())?;
            metadata.len().saturating_sub(part.start)
        }
    };
    Some(bytes - bytes.checked_rem(block).unwrap_or(0))
}
