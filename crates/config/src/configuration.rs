//! What the two files describe, and how to get it from their texts.

use crate::access::AccessList;
use crate::auths::{self, User};
use crate::journal::{File, Journal, Mistake, Notice, Source};
use crate::lines::{self, Separator};
use crate::reader::Reader;
use crate::tree::Tree;
use crate::{blocks, demands, netbsd, portals, served, sharing};
use std::net::IpAddr;
use std::ops::Range;

/// The iSCSI name that a target's name is put behind, with a `:`, when its line has no `=iqn`.
pub const DEFAULT_IQN_BASE: &str = "iqn.1994-04.org.netbsd.iscsi-target";

/// What the command line says about every target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How the files are read.
    pub reading: Reading,
    /// The iSCSI name that a target's name is put behind.
    pub iqn_base: String,
    /// The block length in bytes of disks whose line has no `block=`.
    pub block_length: u32,
}

/// How files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reading {
    /// A line that is wrong, or that NetBSD would take for something else than it says, refuses the files.
    #[default]
    Strict,
    /// As NetBSD's own daemon reads them: a line that is wrong is left out, with NetBSD's message. Refused is
    /// only what NetBSD itself reads in an undefined way, and a mistake in a `key=value` field of ours. Masks
    /// and CHAP are no weaker than in the strict reading.
    NetBsd,
}

/// Tells the size in bytes of the file at a path, as `stat` has it (0 for a device node); `None` where there
/// is none. Only NetBSD's reading asks.
pub type FileSize<'a> = &'a dyn Fn(&str) -> Option<u64>;

/// NetBSD's base, blocks of 512 bytes, and the strict reading.
impl Default for Options {
    fn default() -> Self {
        Self { reading: Reading::Strict, iqn_base: DEFAULT_IQN_BASE.to_owned(), block_length: 512 }
    }
}

/// What came of reading the files.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The description; `None` exactly when there is a mistake.
    pub configuration: Option<Configuration>,
    /// Everything that refuses the files, in their order, `targets` first.
    pub mistakes: Vec<Mistake>,
    /// Everything worth saying at each start, in the files' order, `targets` first.
    pub notices: Vec<Notice>,
    /// The lines that NetBSD's daemon prints on stderr as it reads the `targets` file, byte for byte and in
    /// order; each names file and line. Empty in the strict reading.
    pub netbsd_messages: Vec<String>,
}

/// A checked description of the disks, and of who may use them.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The extents, in the file's order.
    pub extents: Vec<Extent>,
    /// The devices, in the file's order.
    pub devices: Vec<Device>,
    /// The disks, each a target or one of a target's several, in the file's order. At least one, except in
    /// NetBSD's reading.
    pub targets: Vec<Target>,
    /// The portal groups, in the file's order; none where they are not named. Never in NetBSD's reading.
    pub portals: Vec<PortalGroup>,
    /// What discovery asks for.
    pub discovery: Discovery,
    /// The users that have a CHAP secret, in the file's order.
    pub users: Vec<User>,
}

/// A part of a file that holds data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Its name in the `targets` file.
    pub name: String,
    /// The file's path as written; a relative one is relative to the directory of the start.
    pub path: String,
    /// Where in the file the extent begins, in bytes.
    pub start: u64,
    /// How long it is.
    pub length: Length,
    /// Whether it is read and written past the system's cache (`direct=yes`). The same for all extents of a path.
    pub direct: bool,
    /// Whether a sum of each block is kept beside it (`checksum=yes`, of its own or of a device that it is part of).
    pub checksum: bool,
    /// Whether it is the disk in an image in QEMU's format (`format=qcow2`), which is only read.
    pub qcow2: bool,
    /// Where the record is in the `targets` file, in bytes.
    pub span: Range<usize>,
    /// Where its path is.
    pub path_span: Range<usize>,
    /// Where its start is.
    pub start_span: Range<usize>,
    /// Where its length is.
    pub length_span: Range<usize>,
}

impl Extent {
    /// Whether it is in memory and not in a file: its path is `memory:/NAME`. Never in NetBSD's reading, where that is
    /// a path like any other.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        is_in_memory(&self.path)
    }
}

/// Whether a path stands for memory.
pub(crate) fn is_in_memory(path: &str) -> bool {
    path.starts_with("memory:")
}

/// The length of an extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// So many bytes: not zero, and a multiple of the block length of every disk on the extent. Start and
    /// length fit a file offset (2^63). In NetBSD's reading it is any number, what is left of a block is not
    /// part of a disk, and a disk that cannot be has [`Target::unserved`].
    Bytes(u64),
    /// From the extent's start to the end of the file, which must exist.
    WholeFile,
}

/// Several extents or devices seen as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name in the `targets` file.
    pub name: String,
    /// How the members make one.
    pub level: Level,
    /// The members in written order; at least one, and two for a mirror. A member is in no other device.
    pub members: Vec<Storage>,
    /// How a mirror is looked after.
    pub care: Care,
    /// Where the record is in the `targets` file, in bytes.
    pub span: Range<usize>,
}

/// How a mirror is looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Care {
    /// Seconds that a member may take to answer; none if nothing is said.
    pub timeout: Option<u16>,
    /// How often the members are compared.
    pub scrub: Scrub,
}

/// How often the members of a mirror are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scrub {
    /// `never`, but when somebody asks for it.
    #[default]
    Never,
    /// `daily`.
    Daily,
    /// `weekly`.
    Weekly,
    /// `monthly`: every thirty days.
    Monthly,
}

/// How a device's members make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// One after the other; NetBSD's RAID0.
    Concatenation,
    /// Each a copy of the others; NetBSD's RAID1.
    Mirror,
    /// A level that NetBSD takes and serves nothing of. Only in NetBSD's reading.
    Other(i32),
}

impl Level {
    /// The number after `RAID` in NetBSD's words.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Concatenation => 0,
            Self::Mirror => 1,
            Self::Other(level) => level,
        }
    }
}

/// What a target or a device stands on: an index into the configuration's extents or devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Storage {
    /// An index into [`Configuration::extents`].
    Extent(usize),
    /// An index into [`Configuration::devices`].
    Device(usize),
}

/// A disk, and the iSCSI target that it belongs to. Most targets have one disk; the disks of one target are
/// several of these with the same `iqn`, the same `authentication` and `mutual`, and different `lun`s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name in the `targets` file, without `=iqn`.
    pub name: String,
    /// The target's iSCSI name, valid and in lower case (RFC 7143 §4.2.7). In NetBSD's reading a name that is
    /// not valid stands as it is written.
    pub iqn: String,
    /// The disk's number in its target, from 0 to 16383; 0 where the line has no `lun=`.
    pub lun: u16,
    /// Whether writes are refused.
    pub read_only: bool,
    /// What the line names.
    pub storage: Storage,
    /// The extents behind it, as indexes into [`Configuration::extents`], one after the other.
    pub extents: Vec<usize>,
    /// The block length in bytes: of its line, of its storage's line, or else of [`Options`].
    pub block_length: u32,
    /// The length of the blocks below that clients are told of, in bytes, if it is not said that it is 4096
    /// (`physical=`): they begin and end their writes at such blocks where they can. No less than `block_length`.
    pub physical: Option<u32>,
    /// The serial number that its line, or its storage's line, gives it: 1 to 20 ASCII characters from `!` to
    /// `~`, of no other disk.
    pub serial: Option<String>,
    /// The addresses it is open to, for discovery and login alike.
    pub access: AccessList,
    /// What an initiator has to prove to log in to the target.
    pub authentication: Authentication,
    /// The user of [`Configuration::users`] by whose secret the target proves itself to an initiator that
    /// asks (mutual CHAP). Nobody can log in as that user.
    pub mutual: Option<String>,
    /// The tags of the portal groups that serve the target; empty for all.
    pub portals: Vec<u16>,
    /// Whether initiators may change the access states of the portal groups (explicit ALUA, SPC-4 5.16.2.8).
    pub explicit: bool,
    /// Why this disk cannot be served. Only in NetBSD's reading, where the others are served all the same.
    pub unserved: Option<Notice>,
    /// Where the record is in the `targets` file, in bytes.
    pub span: Range<usize>,
    /// Where its storage's name is.
    pub storage_span: Range<usize>,
}

/// A portal group: addresses by which a target is one SCSI port (RFC 7143 §4.1.1), and how disks are used through
/// them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalGroup {
    /// Target portal group tag, the number of its name: 1 to 65535.
    pub tag: u16,
    /// Where it listens, with a port where the line has one. At least one; each initiators can be told; none twice.
    pub addresses: Vec<(IpAddr, Option<u16>)>,
    /// Asymmetric access state (SPC-4 5.16.2.4), until it is changed.
    pub state: AccessState,
    /// PREF: whether initiators should rather use this one.
    pub preferred: bool,
    /// Where the record is in the `targets` file, in bytes.
    pub span: Range<usize>,
}

/// Asymmetric access states (SPC-4 5.16.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessState {
    /// `optimized`: as well as it goes.
    ActiveOptimized,
    /// `non-optimized`: all commands, but others are better.
    ActiveNonOptimized,
    /// `standby`: no blocks.
    Standby,
    /// `unavailable`: nothing but questions about the way.
    Unavailable,
    /// `offline`: the same, and initiators can't change it.
    Offline,
}

/// What discovery asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Discovery {
    /// What an initiator has to prove to be told of targets.
    pub authentication: Authentication,
    /// As [`Target::mutual`].
    pub mutual: Option<String>,
    /// Where the record is in the `targets` file, in bytes, if there is one.
    pub span: Option<Range<usize>>,
}

/// What an initiator has to prove before it may log in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Authentication {
    /// Nothing.
    #[default]
    None,
    /// That it knows the secret of one of these users, by CHAP. The list is complete and never empty.
    Chap {
        /// The users' names as the `auths` file has them.
        users: Vec<String>,
    },
}

impl Configuration {
    /// Reads the two files' texts. Every mistake in both is found.
    #[must_use]
    pub fn parse(
        targets: Source<'_>,
        auths: Option<Source<'_>>,
        options: &Options,
        file_size: FileSize<'_>,
    ) -> Outcome {
        match options.reading {
            Reading::Strict => strict(targets, auths, options),
            Reading::NetBsd => netbsd::read(targets, auths, options, file_size),
        }
    }

    /// How long a storage is, in bytes: the sum of a RAID0's members, a mirror's first member, nothing of
    /// another level. `None` where a whole file is part of it, whose size only the caller knows.
    #[must_use]
    pub fn length_of(&self, storage: Storage) -> Option<u64> {
        match storage {
            Storage::Extent(index) => match self.extents.get(index)?.length {
                Length::Bytes(bytes) => Some(bytes),
                Length::WholeFile => None,
            },
            Storage::Device(index) => {
                let device = self.devices.get(index)?;
                let mut lengths = device.members.iter().map(|member| self.length_of(*member));
                match device.level {
                    Level::Concatenation => lengths.try_fold(0_u64, |sum, length| sum.checked_add(length?)),
                    Level::Mirror => lengths.next().flatten(),
                    Level::Other(_) => Some(0),
                }
            }
        }
    }

    /// The user of that name, letter case aside as in NetBSD's look-up.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name.eq_ignore_ascii_case(name))
    }

    /// NetBSD's picture of the targets and what they stand on, for people.
    #[must_use]
    pub fn tree(&self) -> Tree<'_> {
        Tree::new(self)
    }
}

fn strict(targets: Source<'_>, auths: Option<Source<'_>>, options: &Options) -> Outcome {
    let mut auths_journal = Journal::new(File::Auths, auths.map_or("", |source| source.text));
    let people = auths.map(|source| auths::read(source, &mut auths_journal));
    let mut journal = Journal::new(File::Targets, targets.text);
    let lines = lines::split(targets.text, Separator::Blanks, &mut journal);
    let mut reader = Reader::new(options, people.as_ref(), &mut journal, &lines);
    lines.iter().for_each(|line| reader.record(line));
    let (mut configuration, demands, choices, names) = reader.finish(targets.text);
    let is_known = |tag: u16| names.contains_key(&format!("{}{tag}", portals::PORTAL));
    portals::settle(&choices, is_known, &mut configuration, &mut journal);
    demands::settle(&demands, people.as_ref(), &mut configuration, &mut journal);
    for refusal in served::resolve(&mut configuration, &mut journal) {
        journal.mistake(refusal.span, refusal.message, refusal.help);
    }
    blocks::lengths(&configuration, options, &mut journal);
    blocks::serials(&configuration, &mut journal);
    sharing::check(&configuration, &mut journal);
    configuration.users = people.map(|people| people.users).unwrap_or_default();
    Outcome::new(configuration, journal, auths_journal)
}

impl Outcome {
    /// What came of reading: all remarks in their order.
    pub(crate) fn new(configuration: Configuration, targets: Journal<'_>, auths: Journal<'_>) -> Self {
        let mistakes = in_order(targets.mistakes, auths.mistakes);
        Self {
            configuration: mistakes.is_empty().then_some(configuration),
            mistakes,
            notices: in_order(targets.notices, auths.notices),
            netbsd_messages: Vec::new(),
        }
    }
}

fn in_order(mut targets: Vec<Mistake>, mut auths: Vec<Mistake>) -> Vec<Mistake> {
    targets.sort_by_key(|remark| remark.span.start);
    auths.sort_by_key(|remark| remark.span.start);
    targets.append(&mut auths);
    targets
}
