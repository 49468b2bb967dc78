//! NetBSD's records, each applied as it is read.

use crate::auths::People;
use crate::configuration::{
    Authentication, Configuration, Device, Discovery, Extent, FileSize, Length, Level, Options, Storage,
    Target,
};
use crate::demands::{Demand, Party};
use crate::journal::Journal;
use crate::keys::{self, Holder, Keys};
use crate::lines::{Field, Line};
use crate::name::iscsi_name;
use crate::netbsd::lines::{Entry, Fault};
use crate::netbsd::{masks, numbers};
use crate::reader::{DISCOVERY, Defaults};
use crate::value::quoted;
use std::collections::{HashMap, HashSet};

/// What a line begins with, and how it is read.
type Record = fn(&mut Reader<'_, '_>, &Entry, &[Field]);
const WORDS: [(&str, Record); 4] = [
    ("extent", |reader, entry, fields| reader.extent(entry, fields)),
    ("device", |reader, entry, fields| reader.device(entry, fields)),
    ("target", |reader, entry, fields| reader.target(entry, fields)),
    ("lun", |reader, entry, fields| reader.target(entry, fields)),
];

/// The words that make a target read-only. Every other word makes it writable.
const READ_ONLY: [&str; 3] = ["readonly", "ro", "r"];

/// The longest name of a target in bytes; what is longer is cut.
const LONGEST_NAME: usize = 255;

/// Devices nested deeper than this are refused, whatever NetBSD does with them.
const DEEPEST: usize = 256;

/// Reads records in order, as NetBSD's daemon does.
pub(crate) struct Reader<'a, 'b> {
    file: &'a str,
    options: &'a Options,
    people: Option<&'a People>,
    journal: &'a mut Journal<'b>,
    file_size: FileSize<'a>,
    configuration: Configuration,
    messages: Vec<String>,
    demands: Vec<Demand>,
    defaults: HashMap<Storage, Defaults>,
    /// The extents and devices that a device has used, a device that was left out included.
    used: HashSet<Storage>,
    /// By device: how many devices are nested in it, itself included.
    depths: Vec<usize>,
    /// By name, for each of the three kinds, whose names are apart.
    extents: HashMap<String, usize>,
    devices: HashMap<String, usize>,
    targets: HashSet<String>,
    /// The disks whose line has a `lun=`.
    numbered: HashMap<String, Vec<(Option<u16>, usize)>>,
}

impl<'a, 'b> Reader<'a, 'b> {
    pub(crate) fn new(
        file: &'a str,
        options: &'a Options,
        people: Option<&'a People>,
        journal: &'a mut Journal<'b>,
        file_size: FileSize<'a>,
    ) -> Self {
        Self {
            file,
            options,
            people,
            journal,
            file_size,
            configuration: Configuration {
                extents: Vec::new(),
                devices: Vec::new(),
                targets: Vec::new(),
                discovery: Discovery::default(),
                users: Vec::new(),
            },
            messages: Vec::new(),
            demands: Vec::new(),
            defaults: HashMap::new(),
            used: HashSet::new(),
            depths: Vec::new(),
            extents: HashMap::new(),
            devices: HashMap::new(),
            targets: HashSet::new(),
            numbered: HashMap::new(),
        }
    }

    /// What was read, what it asks of users, and NetBSD's messages.
    pub(crate) fn finish(self) -> (Configuration, Vec<Demand>, Vec<String>) {
        (self.configuration, self.demands, self.messages)
    }

    /// Reads one line.
    pub(crate) fn record(&mut self, entry: &Entry) {
        let fields = entry.line.fields.as_slice();
        let word = fields.first().map_or("", |first| first.text.as_str());
        let record = WORDS.iter().find(|row| word.starts_with(row.0)).map(|row| row.1);
        match (record, entry.fault) {
            (_, Some(Fault::OutsideTheText)) | (Some(_), Some(Fault::CutCharacter)) => {
                super::refuse_fault(entry, self.journal);
            }
            (Some(record), None) => record(self, entry, fields),
            (None, None) if word == DISCOVERY => self.discovery(fields),
            (None, _) => {}
        }
    }

    fn say(&mut self, entry: &Entry, message: &str) {
        self.messages.push(format!("{}:{}: {message}", self.file, entry.number));
    }

    /// A line with too few fields, for which NetBSD takes what earlier lines left in its buffer.
    fn refuse_short(&mut self, line: &Line, form: &str) {
        self.journal.mistake(
            line.span.clone(),
            "this line has too few fields; NetBSD takes what an earlier line left there, or crashes",
            format!("write {form}"),
        );
    }

    /// Our keys among the fields after NetBSD's last one; NetBSD passes over all of them.
    fn keys(&mut self, fields: &[Field], holder: Holder) -> Keys<'a> {
        let is_ours = |field: &&Field| keys::is_key_of(holder, &field.text);
        for field in fields.iter().filter(|field| !is_ours(field)) {
            if let Some(key) = keys::nearly(holder, &field.text) {
                self.journal.notice(
                    field.span.clone(),
                    format!("{} is passed over, as NetBSD does", quoted(&field.text)),
                    format!("write `{key}=` if that is meant"),
                );
            }
        }
        Keys::read(fields.iter().filter(is_ours), holder, self.people, self.journal)
    }

    fn discovery(&mut self, fields: &[Field]) {
        let fields = fields.get(1..).unwrap_or(&[]);
        let Some(first) = fields.iter().find(|field| keys::is_key_of(Holder::Discovery, &field.text)) else {
            return;
        };
        if self.demands.iter().any(Demand::is_of_discovery) {
            let help = "write it once, with all that is asked for";
            self.journal.mistake(first.span.clone(), "there is another `discovery` line", help);
        }
        let keys = self.keys(fields, Holder::Discovery);
        self.demands.push(Demand::new(Party::Discovery, keys));
    }

    fn extent(&mut self, entry: &Entry, fields: &[Field]) {
        let Some(name) = fields.first() else { return };
        if self.extents.contains_key(&name.text) {
            return self.say(entry, &format!("Error: attempt to re-define extent `{}'", name.text));
        }
        let [_, path, start, length, extra @ ..] = fields else {
            return self.refuse_short(&entry.line, "`extent0 /path/to/image 0 100MB`: path, start, length");
        };
        let bytes = match length.text.eq_ignore_ascii_case("size") {
            true => (self.file_size)(&path.text).unwrap_or(0),
            false => numbers::length(&length.text),
        };
        let keys = self.keys(extra, Holder::Extent);
        let index = self.configuration.extents.len();
        self.defaults.insert(Storage::Extent(index), Defaults::of(&keys));
        self.extents.insert(name.text.clone(), index);
        self.configuration.extents.push(Extent {
            name: name.text.clone(),
            path: path.text.clone(),
            start: numbers::start(&start.text),
            length: Length::Bytes(bytes),
            span: entry.line.span.clone(),
            path_span: path.span.clone(),
            start_span: start.span.clone(),
            length_span: length.span.clone(),
        });
    }

    fn device(&mut self, entry: &Entry, fields: &[Field]) {
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
        self.configuration.devices.push(Device { name: name.text.clone(), level, members, span });
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

    fn target(&mut self, entry: &Entry, fields: &[Field]) {
        let Some(first) = fields.first() else { return };
        let (name, iqn) = match first.text.split_once('=') {
            Some((name, iqn)) => (name, Some(iqn)),
            None => (first.text.as_str(), None),
        };
        let cut = name.floor_char_boundary(LONGEST_NAME);
        if name.len() > LONGEST_NAME && cut < LONGEST_NAME {
            let message = "NetBSD cuts this target's name after 255 bytes, in the middle of a character";
            return self.journal.mistake(first.span.clone(), message, "write a shorter name");
        }
        let name = name.get(..cut).unwrap_or(name);
        if self.targets.contains(name) {
            return self.say(entry, &format!("Error: attempt to re-define target `{name}'"));
        }
        let (flags, storage_field, mask, extra) = match fields {
            [_, storage, mask] => {
                let message = "Warning: old 3 field \"targets\" entryassuming read-only target";
                self.say(entry, message);
                ("ro", storage, mask, &[][..])
            }
            [_, flags, storage, mask, extra @ ..] => (flags.text.as_str(), storage, mask, extra),
            _ => {
                return self
                    .refuse_short(&entry.line, "`target0 rw extent0 10.0.0.0/8`: flags, storage, netmask");
            }
        };
        let device = self.devices.get(&storage_field.text).map(|index| Storage::Device(*index));
        let extent = self.extents.get(&storage_field.text).map(|index| Storage::Extent(*index));
        let Some(storage) = device.or(extent) else {
            let message = format!("Error: no device or extent found for `{}'", storage_field.text);
            return self.say(entry, &message);
        };
        self.targets.insert(name.to_owned());
        let access = match masks::read(&mask.text) {
            Ok(access) => access,
            Err(error) => {
                return self.journal.mistake(mask.span_of(error.range), error.message, error.help);
            }
        };
        let keys = self.keys(extra, Holder::Target);
        let iqn = iqn.map_or_else(|| format!("{}:{name}", self.options.iqn_base), str::to_owned);
        let iqn = iscsi_name(&iqn).unwrap_or(iqn);
        self.claim(&iqn, &keys, entry);
        let own = Defaults::of(&keys);
        let given = self.defaults.get(&storage).cloned().unwrap_or_default();
        let block_length = own.block_length.or(given.block_length).unwrap_or(self.options.block_length);
        let lun = keys.lun.as_ref().map_or(0, |said| said.0);
        self.demands.push(Demand::new(Party::Target(iqn.clone()), keys));
        self.configuration.targets.push(Target {
            name: name.to_owned(),
            iqn,
            lun,
            read_only: READ_ONLY.contains(&flags),
            storage,
            extents: Vec::new(),
            block_length,
            serial: own.serial.or(given.serial),
            access,
            authentication: Authentication::None,
            mutual: None,
            unserved: None,
            span: entry.line.span.clone(),
            storage_span: storage_field.span.clone(),
        });
    }

    /// Where a line of an iSCSI name has `lun=`, all of them have it, each another.
    fn claim(&mut self, iqn: &str, keys: &Keys<'_>, entry: &Entry) {
        let lun = keys.lun.as_ref().map(|said| said.0);
        let line = self.journal.line_of(entry.line.span.start);
        let disks = self.numbered.entry(iqn.to_owned()).or_default();
        let clash = disks.iter().find(|(other, _)| match (other, lun) {
            (Some(other), Some(lun)) => *other == lun,
            (other, lun) => other.is_some() || lun.is_some(),
        });
        if let Some((_, earlier)) = clash.copied() {
            self.journal.mistake(
                entry.line.span.clone(),
                format!("line {earlier} has the same iSCSI name, {}", quoted(iqn)),
                "give each disk of a target a `lun=` of its own",
            );
        }
        disks.push((lun, line));
    }
}
