//! `deviceN level member…`.

use crate::configuration::{Care, Device, Extent, Length, Level, Storage};
use crate::keys::{Holder, Keys};
use crate::lines::{Field, Line};
use crate::nearest::nearest;
use crate::reader::{Defaults, Reader};
use crate::value::quoted;

/// Devices nested deeper than this are a mistake, not a plan.
const DEEPEST: u32 = 16;

/// What is known of a device beside its record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measure {
    /// Its length, where the file says it.
    bytes: Option<u64>,
    /// How many devices are nested in it, itself included.
    depth: u32,
}

/// The words for a level other than `RAID0` and `RAID1` that NetBSD takes for concatenation and that say so.
const OTHER_CONCATENATIONS: [&str; 3] = ["jbod", "concat", "raid"];

impl Reader<'_, '_> {
    /// Reads a device, and keeps it if it has no mistake.
    pub(crate) fn device(&mut self, line: &Line, first: &Field, rest: &[Field]) -> Option<Storage> {
        let [level, others @ ..] = rest else {
            self.device_is_short(line, first, "has no level and no members");
            return None;
        };
        let level_field = level;
        let level = self.level(level_field);
        let mistakes_before = self.journal.mistakes.len();
        let (names, keyed) = self.split_at_keys(others, "the members come first");
        let keys = Keys::read(keyed, Holder::Device, self.people, self.journal);
        if names.is_empty() {
            self.device_is_short(line, first, "has no members");
            return None;
        }
        let mut members = Vec::new();
        let mut complete = true;
        for field in names {
            match self.storage(field, "a device") {
                Some(member) if self.is_free(member, &members, field) && self.lasts(member, field) => {
                    members.push(member);
                }
                _ => complete = false,
            }
        }
        let level = level?;
        if !complete || (level == Level::Mirror && !self.can_mirror(&members, names, level_field)) {
            return None;
        }
        self.note_idle_defaults(&members, names, first);
        let measure = self.measure(level, &members);
        if measure.depth > DEEPEST {
            self.journal.mistake(
                line.span.clone(),
                format!("{} has more than {DEEPEST} devices inside each other", quoted(&first.text)),
                "name the extents themselves",
            );
            return None;
        }
        let care = self.care(level, &keys);
        if self.journal.mistakes.len() > mistakes_before {
            return None;
        }
        if keys.checksum.as_ref().is_some_and(|said| said.0) {
            members.iter().for_each(|member| self.keep_sums(*member));
        }
        let index = self.configuration.devices.len();
        self.owners.extend(members.iter().map(|member| (*member, index)));
        self.measures.push(measure);
        self.defaults.insert(Storage::Device(index), Defaults::of(&keys));
        let name = first.text.clone();
        self.configuration.devices.push(Device { name, level, members, care, span: line.span.clone() });
        Some(Storage::Device(index))
    }

    /// A sum is kept of each block of all extents of a member.
    fn keep_sums(&mut self, member: Storage) {
        match member {
            Storage::Extent(index) => {
                self.configuration
                    .extents
                    .get_mut(index)
                    .into_iter()
                    .for_each(|extent| extent.checksum = true);
            }
            Storage::Device(index) => {
                let device = self.configuration.devices.get(index);
                let members = device.map(|device| device.members.clone()).unwrap_or_default();
                members.into_iter().for_each(|member| self.keep_sums(member));
            }
        }
    }

    /// Whether a member is there tomorrow, and its file has the disk's own bytes; else it is a mistake: the others
    /// would be left with a part of a disk.
    fn lasts(&mut self, member: Storage, field: &Field) -> bool {
        let Storage::Extent(index) = member else { return true };
        let in_memory = self.configuration.extents.get(index).is_some_and(Extent::is_in_memory);
        if in_memory {
            self.journal.mistake(
                field.span.clone(),
                format!("{} is in memory, and can't be a part of a device", quoted(&field.text)),
                "let a target name the extent itself, or put it into a file",
            );
        }
        let is_qcow2 = self.configuration.extents.get(index).is_some_and(|extent| extent.qcow2);
        if is_qcow2 {
            self.journal.mistake(
                field.span.clone(),
                format!("{} is an image in QEMU's format, and can't be a part of a device", quoted(&field.text)),
                "let a target name the extent itself, or copy it to a raw image: `timedisk copy --from qcow2`",
            );
        }
        !in_memory && !is_qcow2
    }

    /// What the keys of a mirror say; of other devices they would mean nothing.
    fn care(&mut self, level: Level, keys: &Keys<'_>) -> Care {
        let places = [keys.timeout.as_ref().map(|said| &said.1), keys.scrub.as_ref().map(|said| &said.1)];
        if level != Level::Mirror {
            for place in places.into_iter().flatten() {
                let message = "only a mirror has members that are copies of each other";
                self.journal.mistake(place.clone(), message, "leave it out, or write `RAID1`");
            }
        }
        keys.care()
    }

    /// What a member says for the targets that name it is not what the device says.
    fn note_idle_defaults(&mut self, members: &[Storage], names: &[Field], first: &Field) {
        for (member, field) in members.iter().zip(names) {
            if self.defaults.get(member).is_some_and(|defaults| !defaults.is_empty()) {
                self.journal.notice(
                    field.span.clone(),
                    format!("the keys of {} mean nothing to {}", quoted(&field.text), quoted(&first.text)),
                    "write them after the device's members, or on the targets",
                );
            }
        }
    }

    fn measure(&self, level: Level, members: &[Storage]) -> Measure {
        let measures: Vec<Measure> = members.iter().map(|member| self.measure_of(*member)).collect();
        let mut lengths = measures.iter().map(|measure| measure.bytes);
        let bytes = match level {
            Level::Mirror => lengths.next().flatten(),
            Level::Other(_) => Some(0),
            Level::Concatenation => lengths.try_fold(0_u64, |sum, length| sum.checked_add(length?)),
        };
        let deepest = measures.iter().map(|measure| measure.depth).max().unwrap_or(0);
        Measure { bytes, depth: deepest + 1 }
    }

    fn measure_of(&self, member: Storage) -> Measure {
        let extent = |index: usize| match self.configuration.extents.get(index)?.length {
            Length::Bytes(bytes) => Some(bytes),
            Length::WholeFile => None,
        };
        match member {
            Storage::Extent(index) => Measure { bytes: extent(index), depth: 0 },
            Storage::Device(index) => {
                self.measures.get(index).copied().unwrap_or(Measure { bytes: None, depth: 0 })
            }
        }
    }

    fn device_is_short(&mut self, line: &Line, first: &Field, what: &str) {
        self.journal.mistake(
            line.span.clone(),
            format!("{} {what}", quoted(&first.text)),
            format!("write `{} RAID0 extent0 extent1`: level, members", first.text),
        );
    }

    fn level(&mut self, field: &Field) -> Option<Level> {
        let lower = field.text.to_ascii_lowercase();
        let shown = quoted(&field.text);
        let span = field.span.clone();
        match lower.as_str() {
            "raid0" => Some(Level::Concatenation),
            "raid1" => Some(Level::Mirror),
            word if OTHER_CONCATENATIONS.contains(&word) => {
                let message = format!("{shown} puts the members one after the other");
                self.journal.notice(span, message, "write `RAID0`, which means the same here");
                Some(Level::Concatenation)
            }
            word => {
                let help =
                    match nearest(word, ["raid0", "raid1", "mirror"]).filter(|_| !word.starts_with("raid")) {
                        Some("mirror" | "raid1") => "write `RAID1`, a mirror",
                        Some(_) => "write `RAID0`, which means concatenation here",
                        None => "write `RAID0`, which means concatenation here, or `RAID1`, a mirror",
                    };
                self.journal.mistake(span, format!("{shown} is not a level"), help);
                None
            }
        }
    }

    /// Whether `member` is in no device yet, this one's members so far included.
    fn is_free(&mut self, member: Storage, members: &[Storage], field: &Field) -> bool {
        let owner = self.owners.get(&member).and_then(|index| self.configuration.devices.get(*index));
        let owner = match (owner, members.contains(&member)) {
            (Some(device), _) => quoted(&device.name),
            (None, true) => "this device".to_owned(),
            (None, false) => return true,
        };
        self.journal.mistake(
            field.span.clone(),
            format!("{} is already a member of {owner}", quoted(&field.text)),
            "name each extent or device in one device only",
        );
        false
    }

    /// A mirror has two members at least, all of one length.
    fn can_mirror(&mut self, members: &[Storage], names: &[Field], level: &Field) -> bool {
        if members.len() < 2 {
            self.journal.mistake(
                level.span.clone(),
                "a mirror needs two members at least",
                "name another extent of the same length, or write `RAID0`",
            );
            return false;
        }
        let mut lengths = members.iter().map(|member| self.measure_of(*member).bytes);
        let Some(Some(length)) = lengths.next() else {
            return true;
        };
        let unequal: Vec<(&Field, u64)> = names
            .iter()
            .skip(1)
            .zip(lengths)
            .filter_map(|(field, other)| Some((field, other.filter(|other| *other != length)?)))
            .collect();
        for (field, other) in &unequal {
            self.journal.mistake(
                field.span.clone(),
                format!("{} has {other} bytes, and the first member has {length}", quoted(&field.text)),
                "the members of a mirror have the same length",
            );
        }
        unequal.is_empty()
    }
}
