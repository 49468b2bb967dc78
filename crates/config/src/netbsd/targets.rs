//! NetBSD's targets.

use crate::configuration::{Authentication, Storage, Target};
use crate::demands::{Demand, Party};
use crate::keys::Holder;
use crate::lines::Field;
use crate::name::iscsi_name;
use crate::netbsd::lines::Entry;
use crate::netbsd::masks;
use crate::netbsd::records::Reader;
use crate::reader::Defaults;
use crate::value::quoted;

/// The words that make a target read-only. Every other word makes it writable.
const READ_ONLY: [&str; 3] = ["readonly", "ro", "r"];

/// The longest name of a target in bytes; what is longer is cut.
const LONGEST_NAME: usize = 255;

/// The fields of a target by their meaning.
struct Parts<'f> {
    flags: &'f str,
    storage: &'f Field,
    mask: &'f Field,
}

/// What a target's line says beside NetBSD's fields.
struct Extensions {
    iqn: String,
    lun: Option<u16>,
    defaults: Defaults,
}

impl Reader<'_, '_> {
    /// Reads a target. What the line asks of users holds for its iSCSI name even if NetBSD leaves the line
    /// out: another line of that name must not be open for it.
    pub(crate) fn target(&mut self, entry: &Entry, fields: &[Field]) {
        let Some(first) = fields.first() else { return };
        let Some((name, iqn)) = self.target_name(first) else { return };
        let keys = self.keys(fields.get(4..).unwrap_or(&[]), Holder::Target);
        let lun = keys.lun.as_ref().map(|said| said.0);
        let extensions = Extensions { iqn: iqn.clone(), lun, defaults: Defaults::of(&keys) };
        self.demands.push(Demand::new(Party::Target(iqn), keys));
        if self.targets.contains(name) {
            return self.say(entry, &format!("Error: attempt to re-define target `{name}'"));
        }
        let Some(parts) = self.parts(entry, fields) else { return };
        let device = self.devices.get(&parts.storage.text).map(|index| Storage::Device(*index));
        let extent = self.extents.get(&parts.storage.text).map(|index| Storage::Extent(*index));
        let Some(storage) = device.or(extent) else {
            let message = format!("Error: no device or extent found for `{}'", parts.storage.text);
            return self.say(entry, &message);
        };
        self.targets.insert(name.to_owned());
        self.add_target(entry, name, &parts, storage, extensions);
    }

    /// The name, and the iSCSI name: in its normal form where it is valid.
    fn target_name<'f>(&mut self, first: &'f Field) -> Option<(&'f str, String)> {
        let (name, iqn) = match first.text.split_once('=') {
            Some((name, iqn)) => (name, Some(iqn)),
            None => (first.text.as_str(), None),
        };
        let cut = name.floor_char_boundary(LONGEST_NAME);
        if name.len() > LONGEST_NAME && cut < LONGEST_NAME {
            let message = "NetBSD cuts this target's name after 255 bytes, in the middle of a character";
            self.journal.mistake(first.span.clone(), message, "write a shorter name");
            return None;
        }
        let name = name.get(..cut)?;
        let iqn = iqn.map_or_else(|| format!("{}:{name}", self.options.iqn_base), str::to_owned);
        Some((name, iscsi_name(&iqn).unwrap_or(iqn)))
    }

    /// Tells the fields apart by their number.
    fn parts<'f>(&mut self, entry: &Entry, fields: &'f [Field]) -> Option<Parts<'f>> {
        match fields {
            [_, storage, mask] => {
                self.say(entry, "Warning: old 3 field \"targets\" entryassuming read-only target");
                Some(Parts { flags: "ro", storage, mask })
            }
            [_, flags, storage, mask, ..] => Some(Parts { flags: &flags.text, storage, mask }),
            _ => {
                self.refuse_short(&entry.line, "`target0 rw extent0 10.0.0.0/8`: flags, storage, netmask");
                None
            }
        }
    }

    fn add_target(
        &mut self,
        entry: &Entry,
        name: &str,
        parts: &Parts<'_>,
        storage: Storage,
        extensions: Extensions,
    ) {
        let access = match masks::read(&parts.mask.text) {
            Ok(access) => access,
            Err(error) => {
                return self.journal.mistake(parts.mask.span_of(error.range), error.message, error.help);
            }
        };
        let Extensions { iqn, lun, defaults: own } = extensions;
        self.claim(&iqn, lun, entry);
        let given = self.defaults.get(&storage).cloned().unwrap_or_default();
        let block_length = own.block_length.or(given.block_length);
        self.configuration.targets.push(Target {
            name: name.to_owned(),
            iqn,
            lun: lun.unwrap_or(0),
            read_only: READ_ONLY.contains(&parts.flags),
            storage,
            extents: Vec::new(),
            block_length: block_length.unwrap_or(self.options.block_length),
            physical: None,
            serial: own.serial.or(given.serial),
            access,
            authentication: Authentication::None,
            mutual: None,
            portals: Vec::new(),
            explicit: false,
            unserved: None,
            span: entry.line.span.clone(),
            storage_span: parts.storage.span.clone(),
        });
    }

    /// Where a line of an iSCSI name has `lun=`, all of them have it, each another.
    fn claim(&mut self, iqn: &str, lun: Option<u16>, entry: &Entry) {
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
