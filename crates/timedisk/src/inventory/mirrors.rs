//! Opening disks that have mirrors: of a member whose file is not there nothing is made, and the others go on.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::anyhow;
use timedisk_config::{Care, Length, Scrub};
use timedisk_volume::{
    ConcatenatedVolume, DiskState, ErrorKind, FileRecord, FileVolume, FileWitness, Health, MemberRecord,
    MirrorMember, MirrorOptions, MirrorVolume, OpenOptions, Volume, VolumeError, Witness,
};

use super::opened::{Opener, is_missing, state_beside};
use super::places::same_places;
use super::schedule::Comparisons;
use crate::plan::{Disk, Layout, Part};

/// A mirror of a disk that is open.
#[derive(Clone, Debug)]
pub(crate) struct Mirror {
    /// The device's name.
    pub(crate) name: String,
    pub(crate) volume: Arc<MirrorVolume>,
    /// How often its members are compared.
    pub(super) scrub: Scrub,
    pub(crate) comparisons: Arc<Comparisons>,
    /// How many mirrors its members' records have to tell apart.
    height: usize,
    members: Vec<(String, Layout)>,
}

/// What a layout has become.
pub(super) struct Leg {
    pub(super) volume: Arc<dyn Volume>,
    /// Where a record of this leg is kept: beside what it begins with.
    states: Vec<Arc<DiskState>>,
    /// The state that is up to date.
    pub(super) trusted: Arc<DiskState>,
    born: String,
    made: bool,
    pub(super) files: Vec<Arc<FileVolume>>,
    pub(super) mirrors: Vec<Mirror>,
    /// Files that were made for mirrors that are new.
    pub(super) leftovers: Vec<PathBuf>,
}

/// Why a layout has become nothing.
pub(super) enum Trouble {
    /// It is not there, which a mirror above can bear; says why.
    Absent(String),
    /// Whatever is around it, this has to be seen to.
    Fatal(anyhow::Error),
}

/// Opens the parts of one disk.
pub(super) struct Builder<'a> {
    opener: &'a Opener,
    disk: &'a Disk,
    /// Files that are not there are made.
    makes: bool,
    /// Files that this made.
    made: HashSet<PathBuf>,
    opened: Vec<Arc<FileVolume>>,
    /// Files that were made for mirrors that are new.
    leftovers: Vec<PathBuf>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(opener: &'a Opener, disk: &'a Disk) -> Self {
        Builder {
            opener,
            disk,
            makes: false,
            made: HashSet::new(),
            opened: Vec::new(),
            leftovers: Vec::new(),
        }
    }

    /// All of the disk. Where no part of a mirror is there, nor anything that says that it ever was, it is made; unless
    /// the disk was `served`.
    pub(super) fn whole(mut self, served: bool) -> anyhow::Result<Leg> {
        let layout = &self.disk.layout;
        self.makes = !served;
        let built = self.build(layout, false);
        built.map_err(|trouble| self.give_up(trouble))
    }

    /// What was made is of no use.
    fn give_up(&self, trouble: Trouble) -> anyhow::Error {
        self.opened.iter().for_each(|file| file.take_back());
        remove_all(&self.leftovers);
        match trouble {
            Trouble::Absent(reason) => anyhow!(reason),
            Trouble::Fatal(error) => error,
        }
    }

    /// One member of a mirror, made if it is not there; `path` is where its file is now, if elsewhere than before.
    pub(super) fn member(
        opener: &'a Opener,
        disk: &'a Disk,
        mirror: &Mirror,
        index: usize,
        path: Option<&Path>,
    ) -> anyhow::Result<(MirrorMember, Leg)> {
        let (name, layout) = mirror.members.get(index).ok_or_else(|| anyhow!("there is no such member"))?;
        let mut disk = disk.clone();
        if let Some(path) = path {
            let Layout::Part(part) = layout else {
                anyhow::bail!(
                    "{name} is made of several extents: only a single extent can be at a new path. Change the file of \
                     targets, and start again"
                )
            };
            if let Some(part) = disk.parts.get_mut(*part) {
                path.clone_into(&mut part.path);
                part.length = Length::Bytes(mirror.volume.capacity());
            }
        }
        let mut builder = Builder { makes: true, ..Builder::new(opener, &disk) };
        let built = builder.build(layout, true);
        let leg = built.map_err(|trouble| builder.give_up(trouble))?;
        for file in leg.files.iter().filter(|file| file.health() != Health::Good) {
            // All of it is written anew, or known to be good by the mirror's own marks.
            file.accept_loss()?;
        }
        let member = builder.as_member(name, layout, Ok(&leg), mirror.height)?;
        Ok((member, leg))
    }

    fn build(&mut self, layout: &Layout, in_mirror: bool) -> Result<Leg, Trouble> {
        match layout {
            Layout::Part(index) => match self.disk.parts.get(*index) {
                Some(part) => self.part(part, in_mirror),
                None => Err(Trouble::Absent("it is not described".into())),
            },
            Layout::Chain(members) => self.chain(members, in_mirror),
            Layout::Mirror { name, members, care } => {
                let makes = self.makes;
                let built = self.mirror(name, members, *care);
                self.makes = makes;
                built
            }
        }
    }

    fn part(&mut self, part: &Part, in_mirror: bool) -> Result<Leg, Trouble> {
        let shown = part.path.display();
        let missing = is_missing(part);
        if missing && in_mirror && !self.makes {
            return Err(Trouble::Absent(format!("{shown} is not there (is its file system mounted?)")));
        }
        if missing && !in_mirror && state_beside(part).exists() {
            let error = anyhow!("{shown} is not there, and was served before: bring it back");
            return Err(Trouble::Fatal(error));
        }
        let was_made = missing || self.made.contains(&part.path);
        if in_mirror && !was_made && is_shorter(part) {
            return Err(Trouble::Absent(format!("{shown} is shorter than it should be")));
        }
        let create = missing && self.makes && !self.disk.read_only;
        let options = OpenOptions { create, ..self.opener.options(self.disk, part) };
        let file = self.opener.files.open(options).map_err(|error| match error.kind {
            ErrorKind::Locked | ErrorKind::Overlap | ErrorKind::NoSpace => Trouble::Fatal(error.into()),
            _ => Trouble::Absent(in_full(&error)),
        })?;
        if missing {
            self.made.insert(part.path.clone());
        }
        let state = Arc::clone(file.state());
        let file = Arc::new(file);
        self.opened.push(Arc::clone(&file));
        Ok(Leg {
            volume: self.opener.sums.over(&self.disk.name, &file, part).map_err(Trouble::Fatal)?,
            states: vec![Arc::clone(&state)],
            trusted: state,
            born: born(&part.path),
            made: was_made,
            files: vec![file],
            mirrors: Vec::new(),
            leftovers: Vec::new(),
        })
    }

    fn chain(&mut self, members: &[Layout], in_mirror: bool) -> Result<Leg, Trouble> {
        let mut legs = Vec::new();
        for member in members {
            legs.push(self.build(member, in_mirror)?);
        }
        let volumes = legs.iter().map(|leg| Arc::clone(&leg.volume)).collect();
        let volume = ConcatenatedVolume::new(volumes).map_err(|error| Trouble::Fatal(error.into()))?;
        let born = legs.iter().map(|leg| leg.born.as_str()).collect::<Vec<_>>().join(",");
        let made = legs.iter().all(|leg| leg.made);
        let mut legs = legs.into_iter();
        let Some(mut first) = legs.next() else {
            return Err(Trouble::Absent("it has no member".into()));
        };
        first.volume = Arc::new(volume);
        (first.born, first.made) = (born, made);
        for leg in legs {
            first.take_along(leg);
        }
        Ok(first)
    }

    fn mirror(&mut self, name: &str, members: &[(String, Layout)], care: Care) -> Result<Leg, Trouble> {
        let height = members.iter().map(|(_, layout)| layout.height()).max().unwrap_or(0) + 1;
        self.makes &= !self.is_anything_there(members, height);
        let mut legs = Vec::new();
        let mut prepared = Vec::new();
        for (member, layout) in members {
            let leg = match self.build(layout, true) {
                Ok(leg) => Ok(leg),
                Err(Trouble::Absent(reason)) => Err(reason),
                Err(fatal) => return Err(fatal),
            };
            let as_member = self.as_member(member, layout, leg.as_ref().map_err(Clone::clone), height);
            prepared.push(as_member.map_err(Trouble::Fatal)?);
            legs.push(leg.ok());
        }
        let mut leftovers = Vec::new();
        let made = legs.iter().all(|leg| leg.as_ref().is_some_and(|leg| leg.made));
        if made {
            for ((_, layout), leg) in members.iter().zip(&legs) {
                let witness = self.witness(layout, height).map_err(Trouble::Fatal)?;
                leftovers.extend(witness.map(|witness| witness.path().to_owned()));
                let states = leg.as_ref().map(|leg| leg.states.as_slice()).unwrap_or_default();
                leftovers.extend(FileRecord::new(states, height).paths());
            }
        }
        self.leftovers.extend(leftovers.iter().cloned());
        let told = format!("{}: {name}", self.disk.name);
        let options = MirrorOptions {
            read_only: self.disk.read_only,
            patience: Some(patience(care, height)),
            ..MirrorOptions::new(Box::new(move |words| tracing::warn!("{told}: {words}")))
        };
        let volume = MirrorVolume::open(prepared, options)
            .map_err(|error| Trouble::Absent(format!("{name}: {}", in_full(&error))))?;
        let first = volume.first().and_then(|first| legs.get(first)?.as_ref());
        let Some(trusted) = first.map(|leg| Arc::clone(&leg.trusted)) else {
            return Err(Trouble::Absent(format!("{name} has no member that can be believed")));
        };
        let mut whole = Leg {
            volume: Arc::clone(&volume) as Arc<dyn Volume>,
            states: legs.iter().flatten().flat_map(|leg| leg.states.iter().cloned()).collect(),
            trusted,
            // The mirror itself knows its members.
            born: "mirror".into(),
            made,
            files: Vec::new(),
            mirrors: vec![Mirror {
                name: name.into(),
                comparisons: Arc::default(),
                volume,
                scrub: care.scrub,
                height,
                members: members.to_vec(),
            }],
            leftovers,
        };
        let states = std::mem::take(&mut whole.states);
        legs.into_iter().flatten().for_each(|leg| whole.take_along(leg));
        whole.states = states;
        Ok(whole)
    }

    fn as_member(
        &self,
        name: &str,
        layout: &Layout,
        leg: Result<&Leg, String>,
        height: usize,
    ) -> anyhow::Result<MirrorMember> {
        let place = layout.first().and_then(|index| self.disk.parts.get(index)).map_or(0, place_of);
        let witness = self.witness(layout, height)?.map(|witness| Box::new(witness) as Box<dyn Witness>);
        let (name, record) =
            (name.to_owned(), leg.as_ref().ok().map(|leg| FileRecord::new(&leg.states, height)));
        Ok(MirrorMember {
            name,
            place,
            record: record.map(|record| Box::new(record) as Box<dyn MemberRecord>),
            witness,
            born: leg.as_ref().map(|leg| leg.born.clone()).unwrap_or_default(),
            made: leg.as_ref().is_ok_and(|leg| leg.made),
            volume: leg.map(|leg| Arc::clone(&leg.volume)),
        })
    }

    fn witness(&self, layout: &Layout, height: usize) -> anyhow::Result<Option<FileWitness>> {
        let part = layout.first().and_then(|index| self.disk.parts.get(index));
        let (Some(directory), Some(part)) = (&self.opener.state, part) else { return Ok(None) };
        Ok(Some(FileWitness::new(directory, &part.path, part.start, height)?))
    }

    /// Whether anything is there of a mirror, or says that it was.
    fn is_anything_there(&self, members: &[(String, Layout)], height: usize) -> bool {
        let parts = members.iter().flat_map(|(_, layout)| layout.parts());
        let mut parts = parts.filter_map(|index| self.disk.parts.get(index));
        let witness = |layout: &Layout| {
            self.witness(layout, height).ok().flatten().is_some_and(|witness| witness.path().exists())
        };
        parts.any(|part| !is_missing(part) || state_beside(part).exists())
            || members.iter().any(|(_, layout)| witness(layout))
    }
}

impl Leg {
    fn take_along(&mut self, other: Leg) {
        self.files.extend(other.files);
        self.mirrors.extend(other.mirrors);
        self.leftovers.extend(other.leftovers);
    }
}

impl Mirror {
    /// The member of that name.
    pub(super) fn member(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|(member, _)| member == name)
    }

    /// The names of the mirrors in a member.
    pub(super) fn mirrors_of(&self, member: usize) -> Vec<String> {
        self.members.get(member).map(|(_, layout)| layout.mirrors()).unwrap_or_default()
    }

    /// The parts of a member, as indexes into those of its disk.
    pub(super) fn parts_of(&self, member: usize) -> Vec<usize> {
        self.members.get(member).map(|(_, layout)| layout.parts()).unwrap_or_default()
    }
}

/// Removes what says of members that are gone who they were.
pub(super) fn remove_all(paths: &[PathBuf]) {
    for path in paths {
        // What is left keeps a mirror from being made until somebody has looked at it.
        let _ = std::fs::remove_file(path);
    }
}

/// Whether a disk that has mirrors is described as it was.
pub(super) fn check_same(before: &Disk, now: &Disk) -> anyhow::Result<()> {
    let lengths = |disk: &Disk| disk.parts.iter().map(|part| part.length).collect::<Vec<_>>();
    anyhow::ensure!(
        same_places(before, now)
            && before.layout.without_care() == now.layout.without_care()
            && lengths(before) == lengths(now),
        "the members of {0} would be others: of a mirror that is served, members are exchanged with `timedisk mirror \
         replace {0}`; for anything else take it offline (`timedisk offline {0}`), reload, and take it \
         online, or start timedisk anew",
        now.name
    );
    Ok(())
}

/// How long a member may take to answer. Mirrors that are members themselves need a moment to drop theirs.
fn patience(care: Care, height: usize) -> Duration {
    let one = care.timeout.map_or(MirrorOptions::PATIENCE, |seconds| Duration::from_secs(seconds.into()));
    let more = u32::try_from(height.saturating_sub(1)).unwrap_or(u32::MAX);
    one.saturating_add((one / 2).saturating_mul(more))
}

/// A number for a place, the same on each machine and at each start.
fn place_of(part: &Part) -> u64 {
    use std::os::unix::ffi::OsStrExt;

    use sha2::Digest;
    let mut hash = sha2::Sha256::new();
    hash.update(part.path.as_os_str().as_bytes());
    hash.update(part.start.to_be_bytes());
    hash.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// One word that tells a file from another that was made in its place: its number, and when it was made, where the file
/// system knows that. A block device stays what it is.
fn born(path: &Path) -> String {
    let Ok(metadata) = std::fs::metadata(path) else { return "-".into() };
    if !metadata.is_file() {
        return "-".into();
    }
    let made = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    format!("{}:{}", metadata.ino(), made.map_or(0, |made| made.as_nanos()))
}

/// Whether a file ends before the part does. Members of a mirror are not made longer on the way.
fn is_shorter(part: &Part) -> bool {
    let Length::Bytes(bytes) = part.length else { return false };
    let file = std::fs::metadata(&part.path).ok().filter(|metadata| metadata.is_file());
    file.is_some_and(|file| file.len() < part.start.saturating_add(bytes))
}

fn in_full(error: &VolumeError) -> String {
    match &error.source {
        Some(source) => format!("{error} ({source})"),
        None => error.to_string(),
    }
}
