//! `targetN[=iqn] flags storage [mask] [key=value]…`, and the old form `targetN storage mask`.

use crate::access::AccessList;
use crate::configuration::{Authentication, Storage, Target};
use crate::demands::{Demand, Party};
use crate::keys::{Holder, Keys, Said};
use crate::lines::{Field, Line};
use crate::name::iscsi_name;
use crate::nearest::nearest;
use crate::reader::{Defaults, Reader};
use crate::value::quoted;

/// The flags, and whether they make a target read-only.
const FLAGS: [(&str, bool); 4] = [("rw", false), ("ro", true), ("readonly", true), ("r", true)];

/// Words that are no flags in NetBSD's reader, and the flag they mean.
const MEANT_FLAGS: [(&str, &str); 6] = [
    ("read-only", "ro"),
    ("read_only", "ro"),
    ("w", "rw"),
    ("r/w", "rw"),
    ("read-write", "rw"),
    ("readwrite", "rw"),
];

/// The fields of a target by their meaning.
struct Parts<'f> {
    /// Absent in the old form, which is read-only.
    flags: Option<&'f Field>,
    storage: &'f Field,
    mask: Option<&'f Field>,
}

impl Reader<'_, '_> {
    /// Reads a target. All its mistakes are found before it is dropped for one of them.
    pub(crate) fn target(
        &mut self,
        line: &Line,
        first: &Field,
        name: &str,
        rest: &[Field],
    ) -> Option<Target> {
        let mistakes_before = self.journal.mistakes.len();
        let (positional, keyed) = self.split_at_keys(rest, "flags, storage and netmask come first");
        let keys = Keys::read(keyed, Holder::Target, self.people, self.journal);
        let lun = keys.lun.clone();
        let iqn = self.iqn(first, name, &lun);
        let own = Defaults::of(&keys);
        let explicit = keys.explicit.as_ref().is_some_and(|said| said.0);
        self.choose(iqn.clone(), &keys);
        let party = iqn.clone().map_or(Party::Nobody, Party::Target);
        self.demands.push(Demand::new(party, keys));
        let parts = self.parts(line, name, positional)?;
        let read_only = match parts.flags {
            Some(flags) => self.flags(flags),
            None => {
                self.old_form(line, name, &parts);
                Some(true)
            }
        };
        let storage = self.storage(parts.storage, "a target");
        let access = match parts.mask {
            Some(mask) => self.access(mask),
            None => Some(self.open_to_all(first, name)),
        };
        if self.journal.mistakes.len() > mistakes_before {
            return None;
        }
        let storage = storage?;
        if !self.can_be_used(storage, read_only, parts.storage) {
            return None;
        }
        let given = self.defaults.get(&storage).cloned().unwrap_or_default();
        let block_length = own.block_length.or(given.block_length);
        let physical = own.physical.or(given.physical);
        self.fits_below(first, block_length.unwrap_or(self.options.block_length), physical);
        Some(Target {
            name: name.to_owned(),
            iqn: iqn?,
            lun: lun.map_or(0, |said| said.0),
            read_only: read_only?,
            storage,
            extents: Vec::new(),
            block_length: block_length.unwrap_or(self.options.block_length),
            physical,
            serial: own.serial.or(given.serial),
            access: access?,
            authentication: Authentication::None,
            mutual: None,
            portals: Vec::new(),
            explicit,
            unserved: None,
            span: line.span.clone(),
            storage_span: parts.storage.span.clone(),
        })
    }

    /// Whether what is in memory can be written, and what is only read is not to be written; else it is a mistake.
    fn can_be_used(&mut self, storage: Storage, read_only: Option<bool>, field: &Field) -> bool {
        let Storage::Extent(index) = storage else { return true };
        let Some(extent) = self.configuration.extents.get(index) else { return true };
        let (message, help) = match read_only {
            Some(true) if extent.is_in_memory() => {
                ("is in memory, and nobody could write to it", "write `rw`")
            }
            Some(false) if extent.qcow2 => (
                "is an image in QEMU's format, which is only read",
                "write `ro`, or copy it to a raw image: `timedisk copy --from qcow2`",
            ),
            _ => return true,
        };
        self.journal.mistake(field.span.clone(), format!("{} {message}", quoted(&field.text)), help);
        false
    }

    /// Whether a logical block lies in one physical one.
    fn fits_below(&mut self, first: &Field, logical: u32, physical: Option<u32>) {
        if let Some(physical) = physical.filter(|physical| *physical < logical) {
            self.journal.mistake(
                first.span.clone(),
                format!(
                    "{} has physical blocks of {physical} bytes below blocks of {logical}",
                    quoted(&first.text)
                ),
                "leave `physical=` out",
            );
        }
    }

    /// Splits fields into those that come first and those that are `key=value`. What is known as storage is
    /// no key.
    pub(crate) fn split_at_keys<'f>(
        &mut self,
        fields: &'f [Field],
        order: &str,
    ) -> (&'f [Field], &'f [Field]) {
        let is_positional = |field: &&Field| !field.text.contains('=') || self.is_storage(&field.text);
        let (positional, keyed) = fields.split_at(fields.iter().take_while(is_positional).count());
        for field in keyed.iter().filter(|field| !field.text.contains('=')) {
            self.journal.mistake(
                field.span.clone(),
                format!("{} comes after a `key=value` field", quoted(&field.text)),
                format!("{order}; values of a key have commas between, and no blanks"),
            );
        }
        (positional, keyed)
    }

    /// The iSCSI name: what follows the first `=`, or else the base and the name.
    fn iqn(&mut self, first: &Field, name: &str, lun: &Said<u16>) -> Option<String> {
        let explicit = first.text.split_once('=').map(|(_, iqn)| iqn);
        let result = match explicit {
            Some(iqn) => iscsi_name(iqn).map_err(|error| {
                let error = error.moved(name.len() + 1);
                (first.span_of(error.range), error.message, error.help)
            }),
            None => iscsi_name(&format!("{}:{name}", self.options.iqn_base)).map_err(|error| {
                let help = format!("write {}", quoted(&format!("{name}=iqn.2024-01.com.example:disk0")));
                (first.span.clone(), format!("the name does not make an iSCSI name: {}", error.message), help)
            }),
        };
        let iqn = result.map_err(|(span, message, help)| self.journal.mistake(span, message, help)).ok()?;
        let offset = if explicit.is_some() { name.len() + 1 } else { 0 };
        self.claim(&iqn, lun, first.span_of(offset..first.text.len())).then_some(iqn)
    }

    /// Tells the fields apart by their number and by what they name.
    fn parts<'f>(&mut self, line: &Line, name: &str, fields: &'f [Field]) -> Option<Parts<'f>> {
        match fields {
            [] => {
                self.target_is_short(line, name, "has no flags and no storage");
                None
            }
            [only] => {
                let what = match flag(&only.text) {
                    Some(_) => "has no storage",
                    None => "has no flags",
                };
                self.target_is_short(line, name, what);
                None
            }
            [a, b] if self.is_old_form(a, b) => Some(Parts { flags: None, storage: a, mask: Some(b) }),
            [flags, storage] => Some(Parts { flags: Some(flags), storage, mask: None }),
            [flags, storage, mask] => Some(Parts { flags: Some(flags), storage, mask: Some(mask) }),
            [flags, storage, mask, more @ ..] => {
                self.more_after_mask(mask, more);
                Some(Parts { flags: Some(flags), storage, mask: Some(mask) })
            }
        }
    }

    /// Of two fields, whether the first is the storage and the second the mask, as NetBSD reads every such
    /// line.
    fn is_old_form(&self, first: &Field, second: &Field) -> bool {
        if flag(&first.text).is_some() || self.is_storage(&second.text) {
            return false;
        }
        self.is_storage(&first.text)
            || first.text.starts_with("extent")
            || first.text.starts_with("device")
            || AccessList::parse(&second.text).is_ok()
    }

    fn target_is_short(&mut self, line: &Line, name: &str, what: &str) {
        self.journal.mistake(
            line.span.clone(),
            format!("{} {what}", quoted(name)),
            format!("write {}: flags, storage, netmask", quoted(&format!("{name} rw extent0 10.0.0.0/8"))),
        );
    }

    fn more_after_mask(&mut self, mask: &Field, more: &[Field]) {
        let (Some(first), Some(last)) = (more.first(), more.last()) else {
            return;
        };
        let masks = more.iter().all(|field| AccessList::parse(&field.text).is_ok());
        let help = match masks {
            true => {
                let all: Vec<&str> =
                    std::iter::once(mask).chain(more).map(|field| field.text.trim_end_matches(',')).collect();
                format!(
                    "write {}: several netmasks have commas between, and no blanks",
                    quoted(&all.join(","))
                )
            }
            false => "only `key=value` fields follow the netmask; `#` begins a comment".to_owned(),
        };
        self.journal.mistake(first.span.start..last.span.end, "there is more after the netmask", help);
    }

    fn flags(&mut self, field: &Field) -> Option<bool> {
        let shown = quoted(&field.text);
        let span = field.span.clone();
        let Some((flag, read_only)) = flag(&field.text) else {
            let lower = field.text.to_ascii_lowercase();
            let meant = MEANT_FLAGS.iter().find(|row| row.0 == lower).map(|row| row.1);
            let near = meant.or_else(|| nearest(&lower, FLAGS.iter().map(|row| row.0)));
            let help = match near {
                _ if self.is_storage(&field.text) => {
                    "the flags come before the storage: write `rw` or `ro`, the storage, the netmask"
                        .to_owned()
                }
                Some(near) => format!("write `{near}`"),
                None => "write `rw`, or `ro` for a disk that cannot be written".to_owned(),
            };
            self.journal.mistake(span, format!("{shown} is not a flag"), help);
            return None;
        };
        if field.text != flag {
            let message = match read_only {
                true => format!("{shown} is read as `{flag}`; NetBSD makes such a target writable"),
                false => format!("{shown} is read as `{flag}`"),
            };
            self.journal.notice(span, message, format!("write `{flag}`"));
        }
        Some(read_only)
    }

    fn access(&mut self, field: &Field) -> Option<AccessList> {
        match AccessList::parse_with_doubts(&field.text) {
            Ok((list, doubts)) => {
                for doubt in doubts {
                    self.journal.notice(field.span_of(doubt.range), doubt.message, doubt.help);
                }
                Some(list)
            }
            Err(errors) => {
                for error in errors {
                    self.journal.mistake(field.span_of(error.range), error.message, error.help);
                }
                None
            }
        }
    }

    fn old_form(&mut self, line: &Line, name: &str, parts: &Parts<'_>) {
        let mask = parts.mask.map_or("any", |mask| mask.text.as_str());
        self.journal.notice(
            line.span.clone(),
            format!("{} has no flags (the old form), so it is read-only", quoted(name)),
            format!("write {}", quoted(&format!("{name} ro {} {mask}", parts.storage.text))),
        );
    }

    fn open_to_all(&mut self, first: &Field, name: &str) -> AccessList {
        self.journal.notice(
            first.span_of(0..name.len()),
            format!("{} has no netmask, so it is open to every address", quoted(name)),
            "write a netmask after the storage, such as `192.168.1.0/24`, or `any` if that is meant",
        );
        AccessList::everyone()
    }
}

/// The flag that a word is, letter case aside, and whether it makes a target read-only.
fn flag(word: &str) -> Option<(&'static str, bool)> {
    FLAGS.iter().find(|row| row.0.eq_ignore_ascii_case(word)).copied()
}
