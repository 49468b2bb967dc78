//! NetBSD's devices.

use crate::configuration::{Device, Length, Level, Storage};
use crate::keys::{self, Holder};
use crate::lines::Field;
use crate::netbsd::lines::Entry;
use crate::netbsd::numbers;
use crate::netbsd::records::Reader;
use crate::reader::Defaults;
use crate::value::quoted;

/// Devices nested deeper than this are refused, whatever NetBSD does with them.
const DEEPEST: usize = 256;

impl Reader<'_, '_> {
    /// Reads a device. A field that is one of our keys is no member, though NetBSD takes it for one.
    pub(crate) fn device(&mut self, entry: &Entry, fields: &[Field]) {
        let Some(name) = fields.first() else { return };
        if self.devices.contains_key(&name.text) {
            return self.say(entry, &format!("Error: attempt to re-define device `{}'", name.text));
        }
        let is_key = |field: &&Field| keys::is_key_of(Holder::Device, &field.text);
        let names: Vec<&Field> = fields.iter().skip(2).filter(|field| !is_key(field)).collect();
        let (Some(level), Some(first)) = (fields.get(1), names.first()) else {
            return self.refuse_short(&entry.line, "`device0 RAID0 extent0 extent1`: level, members");
        };
        let Some(level) = self.level(level) else { return };
        let expected = self.first_length(entry, first);
        let mut members = Vec::new();
        for member in &names {
            match self.member(member, level, expected) {
                Ok(member) => members.push(member),
                Err(message) => return self.say(entry, &message),
            }
        }
        if level == Level::Mirror && members.len() < 2 {
            let count = members.len();
            let message =
                format!("device `{}' is RAID1, but has only {count} sub-devices/extents", name.text);
            return self.say(entry, &format!("Error: {message}"));
        }
        let depth = 1 + members.iter().map(|member| self.depth(*member)).max().unwrap_or(0);
        if depth > DEEPEST {
            let message = format!("{} has more than {DEEPEST} devices inside each other", quoted(&name.text));
            return self.journal.mistake(entry.line.span.clone(), message, "name the extents themselves");
        }
        let keys = self.keys(fields.get(2..).unwrap_or(&[]), Holder::Device);
        let index = self.configuration.devices.len();
        self.defaults.insert(Storage::Device(index), Defaults::of(&keys));
        self.devices.insert(name.text.clone(), index);
        self.depths.push(depth);
        let span = entry.line.span.clone();
        self.configuration.devices.push(Device {
            name: name.text.clone(),
            level,
            members,
            care: keys.care(),
            span,
        });
    }

    fn depth(&self, storage: Storage) -> usize {
        match storage {
            Storage::Extent(_) => 0,
            Storage::Device(index) => self.depths.get(index).copied().unwrap_or(0),
        }
    }

    /// The number after `raid`; every other word is 0.
    fn level(&mut self, field: &Field) -> Option<Level> {
        let is_raid = field.text.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("raid"));
        let number = field.text.get(4..).filter(|_| is_raid).map_or(Some(0), numbers::integer);
        match number {
            Some(0) => Some(Level::Concatenation),
            Some(1) => Some(Level::Mirror),
            Some(level) => Some(Level::Other(level)),
            None => {
                let message =
                    format!("what NetBSD makes of the number in {} is undefined", quoted(&field.text));
                self.journal.mistake(field.span.clone(), message, "write `RAID0` or `RAID1`");
                None
            }
        }
    }

    /// What NetBSD takes for the length of the first member: for a device, that of its own first member.
    fn first_length(&mut self, entry: &Entry, first: &Field) -> u64 {
        let first_of = |storage: &Storage| match storage {
            Storage::Extent(index) => self.extent_length(*index),
            Storage::Device(index) => self.device_length(*index),
        };
        if let Some(index) = self.extents.get(&first.text) {
            return self.extent_length(*index);
        }
        if let Some(device) = self.devices.get(&first.text).and_then(|i| self.configuration.devices.get(*i)) {
            return device.members.first().map_or(0, first_of);
        }
        self.say(entry, &format!("Warning: no sub-device/extent `{}'", first.text));
        0
    }

    fn extent_length(&self, index: usize) -> u64 {
        match self.configuration.extents.get(index).map(|extent| extent.length) {
            Some(Length::Bytes(bytes)) => bytes,
            _ => 0,
        }
    }

    /// NetBSD's notion of a device's length: the first extent's, however deep.
    fn device_length(&self, index: usize) -> u64 {
        let mut storage = Some(Storage::Device(index));
        while let Some(Storage::Device(index)) = storage {
            storage =
                self.configuration.devices.get(index).and_then(|device| device.members.first().copied());
        }
        match storage {
            Some(Storage::Extent(index)) => self.extent_length(index),
            _ => 0,
        }
    }

    /// The extent or device of that name, which is used from now on.
    fn member(&mut self, field: &Field, level: Level, expected: u64) -> Result<Storage, String> {
        let name = &field.text;
        let member = match (self.extents.get(name), self.devices.get(name)) {
            (Some(index), _) => Storage::Extent(*index),
            (None, Some(index)) => Storage::Device(*index),
            (None, None) => return Err(format!("Error: no extent or device found for `{name}'")),
        };
        let kind = match member {
            Storage::Extent(_) => "extent",
            Storage::Device(_) => "device",
        };
        if self.used.contains(&member) {
            return Err(format!("Error: {kind} `{name}' has already been used"));
        }
        if let (Storage::Extent(index), true) = (member, level != Level::Concatenation) {
            let length = self.extent_length(index);
            if length != expected {
                return Err(format!("Error: extent `{name}' has size {length}, not {expected}"));
            }
        }
        self.used.insert(member);
        Ok(member)
    }
}
