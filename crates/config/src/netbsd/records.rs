//! NetBSD's records, each applied as it is read.

use crate::auths::People;
use crate::configuration::{Configuration, Discovery, Extent, FileSize, Length, Options, Storage};
use crate::demands::{Demand, Party};
use crate::journal::Journal;
use crate::keys::{self, Holder, Keys};
use crate::lines::{Field, Line};
use crate::netbsd::lines::{Entry, Fault};
use crate::netbsd::numbers;
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

/// Reads records in order, as NetBSD's daemon does.
pub(crate) struct Reader<'a, 'b> {
    file: &'a str,
    pub(crate) options: &'a Options,
    people: Option<&'a People>,
    pub(crate) journal: &'a mut Journal<'b>,
    file_size: FileSize<'a>,
    pub(crate) configuration: Configuration,
    messages: Vec<String>,
    pub(crate) demands: Vec<Demand>,
    pub(crate) defaults: HashMap<Storage, Defaults>,
    /// The extents and devices that a device has used, a device that was left out included.
    pub(crate) used: HashSet<Storage>,
    /// By device: how many devices are nested in it, itself included.
    pub(crate) depths: Vec<usize>,
    /// By name, for each of the three kinds, whose names are apart.
    pub(crate) extents: HashMap<String, usize>,
    pub(crate) devices: HashMap<String, usize>,
    pub(crate) targets: HashSet<String>,
    /// By iSCSI name: the `lun=` and the line of each disk.
    pub(crate) numbered: HashMap<String, Vec<(Option<u16>, usize)>>,
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
                portals: Vec::new(),
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

    pub(crate) fn say(&mut self, entry: &Entry, message: &str) {
        self.messages.push(format!("{}:{}: {message}", self.file, entry.number));
    }

    /// A line with too few fields, for which NetBSD takes what earlier lines left in its buffer.
    pub(crate) fn refuse_short(&mut self, line: &Line, form: &str) {
        self.journal.mistake(
            line.span.clone(),
            "this line has too few fields; NetBSD takes what an earlier line left there, or crashes",
            format!("write {form}"),
        );
    }

    /// Our keys among the fields after NetBSD's last one; NetBSD passes over all of them.
    pub(crate) fn keys(&mut self, fields: &[Field], holder: Holder) -> Keys<'a> {
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
            direct: keys.direct.as_ref().is_some_and(|said| said.0),
            checksum: false,
            qcow2: false,
            span: entry.line.span.clone(),
            path_span: path.span.clone(),
            start_span: start.span.clone(),
            length_span: length.span.clone(),
        });
    }
}
