//! The `key=value` fields after a line's last field.

use crate::auths::{People, Standing};
use crate::configuration::{AccessState, Care, Scrub};
use crate::journal::Journal;
use crate::lines::Field;
use crate::nearest::{nearest, suggestion};
use crate::portals;
use crate::value::{ValueError, quoted};
use std::ops::Range;

/// The kinds of line that take keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    Extent,
    Device,
    Target,
    Portal,
    Discovery,
}

impl Holder {
    /// The kind of line in a sentence.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Extent => "an extent",
            Self::Device => "a device",
            Self::Target => "a target",
            Self::Portal => "a portal group",
            Self::Discovery => "`discovery`",
        }
    }
}

/// How a key's value is taken.
type Take = fn(&mut Keys<'_>, &Value<'_>, &mut Journal<'_>);

/// A key of a kind of line.
struct Key {
    holder: Holder,
    name: &'static str,
    take: Take,
}

const fn key(holder: Holder, name: &'static str, take: Take) -> Key {
    Key { holder, name, take }
}

/// Every key that both readings take. What an extent or a device says holds for the targets that name it and say
/// nothing themselves.
const KEYS: [Key; 16] = [
    key(Holder::Extent, "serial", |keys, value, journal| keys.serial(value, journal)),
    key(Holder::Extent, "block", |keys, value, journal| keys.block(value, journal)),
    key(Holder::Extent, "direct", |keys, value, journal| keys.direct(value, journal)),
    key(Holder::Device, "serial", |keys, value, journal| keys.serial(value, journal)),
    key(Holder::Device, "block", |keys, value, journal| keys.block(value, journal)),
    key(Holder::Device, "timeout", |keys, value, journal| keys.timeout(value, journal)),
    key(Holder::Device, "scrub", |keys, value, journal| keys.scrub(value, journal)),
    key(Holder::Target, "auth", |keys, value, journal| keys.auth(value, journal)),
    key(Holder::Target, "users", |keys, value, journal| keys.users(value, journal)),
    key(Holder::Target, "mutual", |keys, value, journal| keys.mutual(value, journal)),
    key(Holder::Target, "lun", |keys, value, journal| keys.lun(value, journal)),
    key(Holder::Target, "serial", |keys, value, journal| keys.serial(value, journal)),
    key(Holder::Target, "block", |keys, value, journal| keys.block(value, journal)),
    key(Holder::Discovery, "auth", |keys, value, journal| keys.auth(value, journal)),
    key(Holder::Discovery, "users", |keys, value, journal| keys.users(value, journal)),
    key(Holder::Discovery, "mutual", |keys, value, journal| keys.mutual(value, journal)),
];

/// Keys that NetBSD's reading passes over.
const STRICT_KEYS: [Key; 10] = [
    key(Holder::Extent, "physical", |keys, value, journal| keys.physical(value, journal)),
    key(Holder::Device, "physical", |keys, value, journal| keys.physical(value, journal)),
    key(Holder::Target, "physical", |keys, value, journal| keys.physical(value, journal)),
    key(Holder::Extent, "checksum", |keys, value, journal| keys.checksum(value, journal)),
    key(Holder::Extent, "format", |keys, value, journal| keys.format(value, journal)),
    key(Holder::Device, "checksum", |keys, value, journal| keys.checksum(value, journal)),
    key(Holder::Target, "portals", |keys, value, journal| keys.portals(value, journal)),
    key(Holder::Target, "alua", |keys, value, journal| keys.alua(value, journal)),
    key(Holder::Portal, "state", |keys, value, journal| keys.state(value, journal)),
    key(Holder::Portal, "preferred", |keys, value, journal| keys.preferred(value, journal)),
];

/// Block lengths that a line can ask for: those that initiators know.
pub(crate) const BLOCK_LENGTHS: [(&str, u32); 2] = [("512", 512), ("4096", 4096)];

/// Words for how often a mirror's members are compared.
pub(crate) const SCRUBS: [(&str, Scrub); 4] = [
    ("never", Scrub::Never),
    ("daily", Scrub::Daily),
    ("weekly", Scrub::Weekly),
    ("monthly", Scrub::Monthly),
];

/// The longest time that a member of a mirror is waited for, in seconds: an hour.
const LONGEST_TIMEOUT: u16 = 3600;

/// The largest LUN of the flat space addressing method (SAM-5 4.7.7.3).
const LARGEST_LUN: u16 = 0x3fff;

/// The longest serial number: that of ATA disks, the longest that software made for disks expects in the
/// Unit Serial Number page (SPC-4 7.8.15). Blanks are left out: in that page they are padding.
const LONGEST_SERIAL: usize = 20;

/// Whether NetBSD's reading of a line of that kind takes the key that `field` begins with.
pub(crate) fn is_key_of(holder: Holder, field: &str) -> bool {
    let is_it = |name: &str| KEYS.iter().any(|key| key.holder == holder && key.name == name);
    field.split_once('=').is_some_and(|(name, _)| is_it(name))
}

/// The key of NetBSD's reading that `field` begins with, but for a letter or two.
pub(crate) fn nearly(holder: Holder, field: &str) -> Option<&'static str> {
    let (name, _) = field.split_once('=')?;
    nearest(name, KEYS.iter().filter(|key| key.holder == holder).map(|key| key.name))
}

fn find(holder: Holder, name: &str) -> Option<&'static Key> {
    of(holder).find(|key| key.name == name)
}

fn of(holder: Holder) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(&STRICT_KEYS).filter(move |key| key.holder == holder)
}

/// A value, and where it is.
struct Value<'f> {
    field: &'f Field,
    text: &'f str,
    /// Where in the field it begins.
    offset: usize,
}

impl Value<'_> {
    fn span(&self) -> Range<usize> {
        self.field.span_of(self.offset..self.field.text.len())
    }

    fn mistake(&self, message: &str, help: String, journal: &mut Journal<'_>) {
        journal.mistake(self.span(), format!("{} {message}", quoted(self.text)), help);
    }
}

/// Something a key says, and where.
pub(crate) type Said<T> = Option<(T, Range<usize>)>;

/// What the keys of one line say.
pub(crate) struct Keys<'a> {
    people: Option<&'a People>,
    /// Whether CHAP is asked for.
    pub(crate) auth: Said<bool>,
    pub(crate) users: Said<Vec<String>>,
    pub(crate) mutual: Said<String>,
    pub(crate) lun: Said<u16>,
    pub(crate) serial: Said<String>,
    pub(crate) block: Said<u32>,
    /// Bytes of a physical block.
    pub(crate) physical: Said<u32>,
    /// Whether an extent is read and written past the system's cache.
    pub(crate) direct: Said<bool>,
    /// Whether a sum of each block is kept.
    pub(crate) checksum: Said<bool>,
    /// Whether an extent is an image in QEMU's format.
    pub(crate) qcow2: Said<bool>,
    /// Tags, in ascending order.
    pub(crate) portals: Said<Vec<u16>>,
    /// Whether initiators may change access states.
    pub(crate) explicit: Said<bool>,
    pub(crate) state: Said<AccessState>,
    pub(crate) preferred: Said<bool>,
    /// Seconds.
    pub(crate) timeout: Said<u16>,
    pub(crate) scrub: Said<Scrub>,
}

impl<'a> Keys<'a> {
    /// How a device is to be looked after.
    pub(crate) fn care(&self) -> Care {
        Care {
            timeout: self.timeout.as_ref().map(|said| said.0),
            scrub: self.scrub.as_ref().map_or(Scrub::Never, |said| said.0),
        }
    }

    /// Reads the fields; mistakes go to the journal. A field without `=` is passed over.
    pub(crate) fn read<'f>(
        fields: impl IntoIterator<Item = &'f Field>,
        holder: Holder,
        people: Option<&'a People>,
        journal: &mut Journal<'_>,
    ) -> Self {
        let (auth, users, mutual, lun, serial, block, direct) = (None, None, None, None, None, None, None);
        let (portals, explicit, state, preferred, checksum, physical) = (None, None, None, None, None, None);
        let (timeout, scrub, qcow2) = (None, None, None);
        let mut keys = Self {
            people,
            auth,
            users,
            mutual,
            lun,
            serial,
            block,
            physical,
            direct,
            checksum,
            qcow2,
            portals,
            explicit,
            state,
            preferred,
            timeout,
            scrub,
        };
        let mut seen: Vec<&str> = Vec::new();
        for field in fields {
            let Some((name, value)) = field.text.split_once('=') else {
                continue;
            };
            let name_span = field.span_of(0..name.len());
            let Some(key) = find(holder, name) else {
                let known: Vec<&str> = of(holder).map(|key| key.name).collect();
                journal.mistake(
                    name_span,
                    format!("{} is not a key of {}", quoted(name), holder.in_words()),
                    suggestion(name, &known),
                );
                continue;
            };
            if seen.contains(&key.name) {
                journal.mistake(
                    name_span,
                    format!("{} is given twice", quoted(name)),
                    "write it once; several values have commas between",
                );
                continue;
            }
            seen.push(key.name);
            (key.take)(&mut keys, &Value { field, text: value, offset: name.len() + 1 }, journal);
        }
        keys
    }

    fn auth(&mut self, value: &Value<'_>, journal: &mut Journal<'_>) {
        match value.text {
            "chap" | "none" => self.auth = Some((value.text == "chap", value.field.span.clone())),
            text => {
                value.mistake("is not a way to authenticate", suggestion(text, &["chap", "none"]), journal);
            }
        }
    }

    fn users(&mut self, value: &Value<'_>, journal: &mut Journal<'_>) {
        let mut names: Vec<String> = Vec::new();
        let mut at = value.offset;
        for name in value.text.split(',') {
            let span = value.field.span_of(at..at + name.len());
            at += name.len() + 1;
            if names.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                let message = format!("user {} is named twice", quoted(name));
                journal.mistake(span, message, "name each user once; letter case makes no difference");
            } else {
                names.extend(self.user(name, span, journal));
            }
        }
        self.users = Some((names, value.field.span.clone()));
    }

    fn mutual(&mut self, value: &Value<'_>, journal: &mut Journal<'_>) {
        let name = self.user(value.text, value.span(), journal);
        self.mutual = name.map(|name| (name, value.field.span.clone()));
    }

    fn lun(&mut self, value: &Value<'_>, journal: &mut Journal<'_>) {
        let plain = !value.text.is_empty() && value.text.bytes().all(|byte| byte.is_ascii_digit());
        match value.text.parse::<u16>().ok().filter(|lun| plain && *lun <= LARGEST_LUN) {
            Some(lun) => self.lun = Some((lun, value.field.span.clone())),
            None => value.mistake(
                "is not the number of a disk",
                format!("write a number from 0 to {LARGEST_LUN}, such as `lun=1`"),
                journal,
            ),
        }
    }

    fn serial(&mut self, value: &Value<'_>, journal: &mut Journal<'_>) {
        match serial(value.text) {
            Ok(serial) => self.serial = Some((serial, value.field.span.clone())),
            Err(error) => journal.mistake(value.span(), error.message, error.help),
        }
    }

    fn block(&mut self, value: &Value<'_>, journal: &mut Journal<'_>) {
        self.block = block_length("block", value, journal);
    }

    fn physical(&mut self, value: &Value<'_>, journal: &mut Journal<'_>) {
        self.physical = block_length("physical", value, journal);
    }

    fn direct(&mut self, value: &Value<'_>, journal: &mut Journal<'_>) {
        self.direct = either(value, ["no", "yes"], "is neither `yes` nor `no`", journal);
    }

    fn format(&mut self, value: &Value<'_>, journal: &mut Journal<'_>) {
        self.qcow2 = either(value, ["raw", "qcow2"], "is neither `raw` nor `qcow2`", journal);
    }

    fn checksum(&mut self, value: &Value<'_>, journal: &mut Journal<'_>) {
        self.checksum = either(value, ["no", "yes"], "is neither `yes` nor `no`", journal);
    }

    fn portals(&mut self, value: &Value<'_>, journal: &mut Journal<'_>) {
        let tags: Option<Vec<u16>> = value.text.split(',').map(portals::tag).collect();
        match tags {
            Some(mut tags) => {
                tags.sort_unstable();
                tags.dedup();
                self.portals = Some((tags, value.field.span.clone()));
            }
            None => {
                let help =
                    "write the numbers of portal groups, such as `portals=1,2` for `portal1` and `portal2`";
                value.mistake("does not name portal groups", help.to_owned(), journal);
            }
        }
    }

    fn alua(&mut self, value: &Value<'_>, journal: &mut Journal<'_>) {
        self.explicit = either(value, ["implicit", "explicit"], "is not a kind of ALUA", journal);
    }

    fn state(&mut self, value: &Value<'_>, journal: &mut Journal<'_>) {
        match portals::STATES.iter().find(|row| row.0 == value.text) {
            Some((_, state)) => self.state = Some((*state, value.field.span.clone())),
            None => {
                let known = portals::STATES.map(|row| row.0);
                value.mistake("is not an access state", suggestion(value.text, &known), journal);
            }
        }
    }

    fn preferred(&mut self, value: &Value<'_>, journal: &mut Journal<'_>) {
        self.preferred = either(value, ["no", "yes"], "is neither `yes` nor `no`", journal);
    }

    fn timeout(&mut self, value: &Value<'_>, journal: &mut Journal<'_>) {
        let plain = value.text.bytes().all(|byte| byte.is_ascii_digit());
        match value.text.parse().ok().filter(|seconds| plain && (1..=LONGEST_TIMEOUT).contains(seconds)) {
            Some(seconds) => self.timeout = Some((seconds, value.field.span.clone())),
            None => value.mistake(
                "is not a number of seconds",
                format!("write a number from 1 to {LONGEST_TIMEOUT}, such as `timeout=10`"),
                journal,
            ),
        }
    }

    fn scrub(&mut self, value: &Value<'_>, journal: &mut Journal<'_>) {
        match SCRUBS.iter().find(|row| row.0 == value.text) {
            Some((_, scrub)) => self.scrub = Some((*scrub, value.field.span.clone())),
            None => {
                let known = SCRUBS.map(|row| row.0);
                value.mistake("does not say how often", suggestion(value.text, &known), journal);
            }
        }
    }

    /// The name as the `auths` file spells it; a mistake if it has no such user.
    fn user(&self, name: &str, span: Range<usize>, journal: &mut Journal<'_>) -> Option<String> {
        if name.is_empty() {
            let help = "write names with commas between, and no blanks";
            journal.mistake(span, "a user's name is missing", help);
            return None;
        }
        let shown = quoted(name);
        let Some(people) = self.people else {
            let message = format!("user {shown} has no secret: there is no auths file");
            journal.mistake(span, message, NO_AUTHS_FILE);
            return Some(name.to_owned());
        };
        match (people.user(name), people.standing.get(&name.to_ascii_lowercase())) {
            (Some(user), _) => return Some(user.name.clone()),
            (None, Some(Standing::Mistaken)) => {}
            (None, Some(_)) => journal.mistake(
                span,
                format!("user {shown} has no secret in {}", people.name),
                "write `chap` and a secret on the user's line there",
            ),
            (None, None) => {
                let near = nearest(name, people.users.iter().map(|user| user.name.as_str()));
                let help = near.map_or_else(
                    || format!("add the line `{name}:chap:SECRET` to {}", people.name),
                    |near| format!("write {}, or add the user to {}", quoted(near), people.name),
                );
                journal.mistake(span, format!("user {shown} is not in {}", people.name), help);
            }
        }
        Some(name.to_owned())
    }
}

/// Whether the value is the second of two words.
fn block_length(key: &str, value: &Value<'_>, journal: &mut Journal<'_>) -> Said<u32> {
    let found = BLOCK_LENGTHS.iter().find(|row| row.0 == value.text);
    if found.is_none() {
        let known = BLOCK_LENGTHS.map(|row| format!("`{key}={}`", row.0)).join(" or ");
        value.mistake("is not a block length in bytes", format!("write {known}"), journal);
    }
    found.map(|(_, bytes)| (*bytes, value.field.span.clone()))
}

fn either(
    value: &Value<'_>,
    words: [&'static str; 2],
    message: &str,
    journal: &mut Journal<'_>,
) -> Said<bool> {
    if !words.contains(&value.text) {
        value.mistake(message, suggestion(value.text, &words), journal);
        return None;
    }
    Some((value.text == words[1], value.field.span.clone()))
}

/// A serial number as the Unit Serial Number page can bear it.
fn serial(text: &str) -> Result<String, ValueError> {
    let help = format!("write 1 to {LONGEST_SERIAL} ASCII letters, digits or signs, without blanks");
    let message = match text {
        "" => "the serial number is empty".to_owned(),
        _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            format!("{} has a character that cannot be in a serial number", quoted(text))
        }
        _ if text.len() > LONGEST_SERIAL => {
            format!("the serial number {} is longer than {LONGEST_SERIAL} characters", quoted(text))
        }
        _ => return Ok(text.to_owned()),
    };
    Err(ValueError::whole(text, message, help))
}

/// What to do without a file of users.
pub(crate) const NO_AUTHS_FILE: &str = "name a file of lines `user:chap:secret` with `--auths FILE`";
