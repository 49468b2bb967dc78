//! The `targets` file: which kind of record a line is, and what names stand for.

use crate::auths::People;
use crate::configuration::{Configuration, Discovery, Options, Storage};
use crate::demands::{Demand, Party};
use crate::device::Measure;
use crate::journal::Journal;
use crate::keys::{Holder, Keys, Said};
use crate::lines::{Field, Line};
use crate::nearest::nearest;
use crate::portals::{Choice, PORTAL};
use crate::value::quoted;
use std::collections::HashMap;
use std::ops::Range;

/// The kinds of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Extent,
    Device,
    Target,
    Portal,
    Discovery,
}

/// What a record's first word begins with.
const WORDS: [(&str, Kind); 6] = [
    ("extent", Kind::Extent),
    ("device", Kind::Device),
    ("target", Kind::Target),
    ("lun", Kind::Target),
    (PORTAL, Kind::Portal),
    (DISCOVERY, Kind::Discovery),
];

/// The word of the one record that has no name. NetBSD passes over a line that begins with it.
pub(crate) const DISCOVERY: &str = "discovery";

/// What an extent or a device says for the targets that name it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Defaults {
    pub(crate) serial: Option<String>,
    pub(crate) block_length: Option<u32>,
    pub(crate) physical: Option<u32>,
}

impl Defaults {
    pub(crate) fn of(keys: &Keys<'_>) -> Self {
        Self {
            serial: keys.serial.as_ref().map(|said| said.0.clone()),
            block_length: keys.block.as_ref().map(|said| said.0),
            physical: keys.physical.as_ref().map(|said| said.0),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.serial.is_none() && self.block_length.is_none() && self.physical.is_none()
    }
}

/// Reads records in order into a configuration; mistakes go to the journal.
pub(crate) struct Reader<'a, 'b> {
    pub(crate) options: &'a Options,
    pub(crate) people: Option<&'a People>,
    pub(crate) journal: &'a mut Journal<'b>,
    pub(crate) configuration: Configuration,
    /// The line of each name's first record, the records not read yet among them.
    first_lines: HashMap<String, usize>,
    /// The extents and devices read so far; `None` where the record has a mistake.
    storages: HashMap<String, Option<Storage>>,
    /// What is known of each device.
    pub(crate) measures: Vec<Measure>,
    /// The device that each member is in, as an index.
    pub(crate) owners: HashMap<Storage, usize>,
    /// What the extents and devices so far say for their targets.
    pub(crate) defaults: HashMap<Storage, Defaults>,
    /// The iSCSI names of the targets so far, with the number and the line of each disk.
    iqns: HashMap<String, Vec<(Option<u16>, usize)>>,
    /// What the lines so far say about logins.
    pub(crate) demands: Vec<Demand>,
    /// What they say about portal groups.
    pub(crate) choices: Vec<Choice>,
    target_lines: usize,
}

impl<'a, 'b> Reader<'a, 'b> {
    pub(crate) fn new(
        options: &'a Options,
        people: Option<&'a People>,
        journal: &'a mut Journal<'b>,
        lines: &[Line],
    ) -> Self {
        let mut first_lines = HashMap::new();
        for line in lines {
            let Some((kind, name)) = line.fields.first().and_then(|first| named(&first.text)) else {
                continue;
            };
            let name = if kind == Kind::Target { without_iqn(name) } else { name };
            first_lines.entry(name.to_owned()).or_insert_with(|| journal.line_of(line.span.start));
        }
        let configuration = Configuration {
            extents: Vec::new(),
            devices: Vec::new(),
            targets: Vec::new(),
            portals: Vec::new(),
            discovery: Discovery::default(),
            users: Vec::new(),
        };
        Self {
            options,
            people,
            journal,
            configuration,
            first_lines,
            storages: HashMap::new(),
            measures: Vec::new(),
            owners: HashMap::new(),
            defaults: HashMap::new(),
            iqns: HashMap::new(),
            demands: Vec::new(),
            choices: Vec::new(),
            target_lines: 0,
        }
    }

    /// Reads one line.
    pub(crate) fn record(&mut self, line: &Line) {
        let Some((first, rest)) = line.fields.split_first() else {
            return;
        };
        let Some((kind, name)) = named(&first.text) else {
            if !line.spoiled {
                self.unknown_word(first);
            }
            return;
        };
        let name = if kind == Kind::Target { without_iqn(name) } else { name };
        let repeated = self.is_repeated(name, first, line);
        if !line.spoiled && !repeated && kind != Kind::Portal {
            self.doubt_name(name, first);
        }
        if kind == Kind::Target {
            self.target_lines += 1;
        }
        if repeated {
            return;
        }
        let storage = match (line.spoiled, kind) {
            (true, _) => None,
            (false, Kind::Extent) => self.extent(line, first, rest),
            (false, Kind::Device) => self.device(line, first, rest),
            (false, Kind::Portal) => return self.portal(line, first, name, rest),
            (false, Kind::Discovery) => return self.discovery(line, rest),
            (false, Kind::Target) => {
                let target = self.target(line, first, name, rest);
                self.configuration.targets.extend(target);
                return;
            }
        };
        if matches!(kind, Kind::Extent | Kind::Device) {
            self.storages.insert(name.to_owned(), storage);
        }
    }

    /// What has to wait for the last line: the configuration so far, what is asked of users, what is said of portal
    /// groups, and the names of all records.
    pub(crate) fn finish(
        self,
        text: &str,
    ) -> (Configuration, Vec<Demand>, Vec<Choice>, HashMap<String, usize>) {
        if self.target_lines == 0 {
            let end = text.trim_end().len();
            self.journal.mistake(
                end..end,
                "there is no target, so there is nothing to serve",
                "write lines such as `extent0 /path/to/image 0 100MB` and `target0 rw extent0 10.0.0.0/8`",
            );
        }
        (self.configuration, self.demands, self.choices, self.first_lines)
    }

    /// Reads what is asked of those who want to be told of targets.
    fn discovery(&mut self, line: &Line, rest: &[Field]) {
        let (keyed, other): (Vec<&Field>, Vec<&Field>) =
            rest.iter().partition(|field| field.text.contains('='));
        for field in &other {
            self.journal.mistake(
                field.span.clone(),
                format!("{} is not `key=value`", quoted(&field.text)),
                "only `auth=`, `users=` and `mutual=` follow `discovery`",
            );
        }
        if rest.is_empty() {
            let help = "write `discovery auth=chap`, or leave the line out";
            self.journal.mistake(line.span.clone(), "`discovery` asks for nothing", help);
        }
        let keys = Keys::read(keyed, Holder::Discovery, self.people, self.journal);
        self.demands.push(Demand::new(Party::Discovery, keys));
    }

    /// Keeps `iqn` and `lun` for the disk whose name is at `span`; a mistake, and false, if they are taken.
    pub(crate) fn claim(&mut self, iqn: &str, lun: &Said<u16>, span: Range<usize>) -> bool {
        let line = self.journal.line_of(span.start);
        let disks = self.iqns.entry(iqn.to_owned()).or_default();
        let number = lun.as_ref().map(|said| said.0);
        let taken = disks.iter().find(|(other, _)| other.is_none() || number.is_none() || *other == number);
        let Some((other, earlier)) = taken.copied() else {
            disks.push((number, line));
            return true;
        };
        match (lun, other) {
            (Some((lun, span)), Some(_)) => self.journal.mistake(
                span.clone(),
                format!("line {earlier} already has disk {lun} of {}", quoted(iqn)),
                "give each disk of a target a number of its own",
            ),
            (Some(_), None) => self.journal.mistake(
                span,
                format!("line {earlier} has the same iSCSI name, {}, and no `lun=`", quoted(iqn)),
                format!("write `lun=0` on line {earlier}: each disk of several has a number"),
            ),
            (None, _) => self.journal.mistake(
                span,
                format!("the target on line {earlier} already has the iSCSI name {}", quoted(iqn)),
                "give each target a name of its own, whatever the letter case; or write `lun=1` on one line, \
                 say, and another number on the other, for two disks of one target",
            ),
        }
        false
    }

    /// Whether `name` is an extent or device of an earlier line, be it with a mistake.
    pub(crate) fn is_storage(&self, name: &str) -> bool {
        self.storages.contains_key(name)
    }

    /// The extent or device that `field` names. It must be on an earlier line.
    pub(crate) fn storage(&mut self, field: &Field, whose: &str) -> Option<Storage> {
        if let Some(known) = self.storages.get(&field.text) {
            return *known;
        }
        let shown = quoted(&field.text);
        let here = self.journal.line_of(field.span.start);
        let span = field.span.clone();
        let storage_word =
            named(&field.text).is_some_and(|(kind, _)| matches!(kind, Kind::Extent | Kind::Device));
        match self.first_lines.get(&field.text).copied().filter(|_| storage_word) {
            Some(line) if line > here => self.journal.mistake(
                span,
                format!("{shown} is defined later, on line {line}"),
                format!("move that line before this one: {whose} names what is already defined"),
            ),
            Some(_) => self.journal.mistake(
                span,
                format!("{shown} is this line's own name"),
                "name an extent or device of an earlier line",
            ),
            None => {
                let near = nearest(&field.text, self.storages.keys().map(String::as_str).collect::<Vec<_>>());
                let help = near.map_or_else(
                    || "define it on an earlier line, such as `extent0 /path/to/image 0 100MB`".to_owned(),
                    |near| format!("write {}, or define it on an earlier line", quoted(near)),
                );
                self.journal.mistake(span, format!("there is no extent or device {shown}"), help);
            }
        }
        None
    }

    fn unknown_word(&mut self, first: &Field) {
        let word_end = first.text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(first.text.len());
        let (word, rest) = first.text.split_at(word_end);
        let help = match nearest(word, WORDS.iter().map(|row| row.0)) {
            Some(near) => format!("write {}", quoted(&format!("{near}{rest}"))),
            None => "a line begins with `extent0`, `device0`, `target0` or `lun0` (any number), `portal1`, \
                     `discovery` or `#`"
                .to_owned(),
        };
        let message = format!("{} is not a kind of line", quoted(&first.text));
        self.journal.mistake(first.span.clone(), message, help);
    }

    fn is_repeated(&mut self, name: &str, first: &Field, line: &Line) -> bool {
        let here = self.journal.line_of(line.span.start);
        let Some(earlier) = self.first_lines.get(name).copied().filter(|earlier| *earlier < here) else {
            return false;
        };
        let help = match name {
            DISCOVERY => "write it once, with all that is asked for",
            _ => "give it another number, or leave one of the two lines out",
        };
        let message = format!("{} is already defined, on line {earlier}", quoted(name));
        self.journal.mistake(first.span_of(0..name.len()), message, help);
        true
    }

    /// The manual asks for a number after the word; nothing depends on it.
    fn doubt_name(&mut self, name: &str, first: &Field) {
        if name == DISCOVERY {
            return;
        }
        let word = WORDS.iter().find(|row| name.starts_with(row.0)).map_or("", |row| row.0);
        let number = name.get(word.len()..).unwrap_or("");
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            self.journal.notice(
                first.span_of(0..name.len()),
                format!("{} is not `{word}` and a number", quoted(name)),
                format!("write `{word}0`, with any number"),
            );
        }
    }
}

/// The kind of a line's first word, and the word.
fn named(word: &str) -> Option<(Kind, &str)> {
    let is_word = |row: &&(&str, Kind)| match row.1 {
        Kind::Discovery => word == row.0,
        _ => word.starts_with(row.0),
    };
    WORDS.iter().find(is_word).map(|row| (row.1, word))
}

/// A target's name, without the `=iqn` that may follow it.
fn without_iqn(word: &str) -> &str {
    word.split('=').next().unwrap_or(word)
}
