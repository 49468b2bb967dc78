//! How members become a mirror.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::commit::Journal;
use super::header::{Header, Role};
use super::lane::Lane;
use super::member::{Member, Shared};
use super::resolve::{self, Decision, File, Found, Part};
use super::{Bits, MemberRecord, MirrorVolume, USUAL_REGIONS, Witness};
use crate::ranges::Ranges;
use crate::{ErrorKind, Health, Result, Volume, VolumeError};

/// Tells people what happens to a mirror, in a sentence.
pub type Tell = Box<dyn Fn(&str) + Send + Sync>;

/// A member to be.
#[derive(Debug)]
pub struct MirrorMember {
    /// What people call it.
    pub name: String,
    /// Where it is: a number that stays the same as long as it is configured to be there.
    pub place: u64,
    /// What is there, or a sentence why it can't be used.
    pub volume: std::result::Result<Arc<dyn Volume>, String>,
    /// Its record; none if there is no volume.
    pub record: Option<Box<dyn MemberRecord>>,
    /// The record of this place that is kept elsewhere.
    pub witness: Option<Box<dyn Witness>>,
    /// One word that tells its file from one that is made anew in its place.
    pub born: String,
    /// It was made just now, and reads as zeros.
    pub made: bool,
}

/// How a mirror is opened.
pub struct MirrorOptions {
    /// Nothing is written, not even records.
    pub read_only: bool,
    /// Bytes of a region of a mirror that is made and not large: it is resynced as a whole after a crash.
    pub smallest_region: u64,
    /// How long a member may take to answer while another has, before it is dropped. With none all wait for ever, and
    /// members are asked one after another.
    pub patience: Option<Duration>,
    /// Who is told what happens.
    pub tell: Tell,
}

impl MirrorOptions {
    /// How long a member may take to answer, if nothing else is said: clients wait for 30 s or longer.
    pub const PATIENCE: Duration = Duration::from_secs(10);

    /// A mirror that is written, of regions that are compared in a moment.
    #[must_use]
    pub fn new(tell: Tell) -> Self {
        Self { read_only: false, smallest_region: 1 << 20, patience: Some(Self::PATIENCE), tell }
    }
}

impl std::fmt::Debug for MirrorOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MirrorOptions").field("read_only", &self.read_only).finish_non_exhaustive()
    }
}

/// What a place is when the mirror begins.
struct Assigned {
    id: u64,
    part: Part,
    own_marks: Option<Bits>,
}

impl MirrorVolume {
    /// Opens a mirror of these members, in the order of the configuration: where members may differ, the first that has
    /// all counts.
    ///
    /// # Errors
    /// [`ErrorKind::CannotOpen`] with what to do if no member can be believed, or if they are of different mirrors;
    /// [`ErrorKind::BadState`] for a record that is damaged; or what went wrong when the start was written down.
    pub fn open(members: Vec<MirrorMember>, options: MirrorOptions) -> Result<Arc<Self>> {
        let found = members.iter().map(find).collect::<Result<Vec<_>>>()?;
        let decision = resolve::decide(&found).map_err(|m| VolumeError::new(ErrorKind::CannotOpen, m))?;
        let (base, roles, grown_from, generation) = match decision {
            Decision::New(parts) => {
                let mut roles = Vec::new();
                for part in parts {
                    roles.push(Assigned { id: random()?, part, own_marks: None });
                }
                (new_header(&found, &roles, options.smallest_region)?, roles, None, 0)
            }
            Decision::GoesOn(header, parts, highest) => {
                let roles = going_on(&header, parts, &members)?;
                let before = header.capacity;
                let base = grown(*header, &found, &roles);
                let grown_from = (base.capacity > before).then_some(before);
                (base, roles, grown_from, highest)
            }
        };
        let mut mirror = Self::assemble(members, &base, roles, options, grown_from)?;
        mirror.journal.get_mut().unwrap_or_else(PoisonError::into_inner).generation = generation;
        if !mirror.read_only {
            mirror.begin()?;
        }
        mirror.tell_of_absent();
        Ok(Arc::new(mirror))
    }

    fn assemble(
        members: Vec<MirrorMember>,
        base: &Header,
        roles: Vec<Assigned>,
        options: MirrorOptions,
        grown_from: Option<u64>,
    ) -> Result<Self> {
        let regions = base.regions();
        let marked = marks(base, &members, &roles, grown_from)?;
        let mut journal = Journal {
            mirror: base.mirror,
            generation: base.generation,
            settled: base.settled,
            records: Vec::new(),
            witnesses: Vec::new(),
        };
        let mut placed = Vec::new();
        for (member, role) in members.into_iter().zip(roles) {
            let listed = base.member(role.id);
            let was_in = listed.is_none_or(|listed| listed.role == Role::In);
            let (floor, left) = match listed.filter(|listed| listed.role != Role::In) {
                Some(listed) => (listed.floor, listed.left),
                None => (base.settled, base.generation),
            };
            let is_first = !placed.iter().any(|member: &Member| member.role == Role::In);
            let (now, todo, reason) = match role.part {
                Part::In if is_first || (base.clean && was_in) => {
                    (Role::In, Bits::none(regions), String::new())
                }
                Part::In => (Role::In, marked.clone(), String::new()),
                Part::Syncing { .. } => (Role::Syncing, marked.clone(), String::new()),
                Part::Out(reason) => (Role::Out, Bits::none(regions), reason),
            };
            let volume = member.volume.ok();
            placed.push(Member {
                name: member.name,
                id: role.id,
                place: member.place,
                role: now,
                floor,
                left,
                failures_before: volume.as_ref().map_or(0, |volume| volume.failed_flushes()),
                volume,
                lane: Lane::new(options.patience),
                life: 0,
                todo,
                read_errors: 0,
                reason,
            });
            journal.records.push((member.record.map(Arc::from), member.born));
            journal.witnesses.push(member.witness);
        }
        let shared = Shared {
            members: placed,
            marked,
            unsaved: false,
            sequence: 0,
            touched: std::collections::HashMap::new(),
            differing: 0,
        };
        let is_unhealthy = !shared.all_in_are_healthy();
        Ok(Self {
            capacity: base.capacity,
            region: base.region,
            read_only: options.read_only,
            journal: Mutex::new(journal),
            shared: Mutex::new(shared),
            ranges: Ranges::default(),
            failures: AtomicU64::new(0),
            flush_failed: AtomicBool::new(is_unhealthy),
            closed: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            scrub: Mutex::default(),
            patience: options.patience,
            tell: options.tell,
        })
    }

    /// Writes down that it starts: first all bits, so that whoever is believed later has them.
    fn begin(&self) -> Result<()> {
        let mut journal = self.journal();
        let (active, marked) = {
            let shared = self.shared();
            (shared.active(), shared.marked.clone())
        };
        let failed = Self::save_bits(&journal, &active, &marked);
        if !failed.is_empty() {
            self.drop_locked(&mut journal, failed)?;
        }
        self.commit(&mut journal)
    }

    fn tell_of_absent(&self) {
        let shared = self.shared();
        let out = shared.members.iter().filter(|member| member.role == Role::Out);
        let words =
            out.map(|member| format!("the mirror goes on without {}: {}", member.name, member.reason));
        let words: Vec<String> = words.collect();
        drop(shared);
        words.iter().for_each(|words| self.tell(words));
    }
}

/// Looks at a member.
fn find(member: &MirrorMember) -> Result<Found> {
    let file = match &member.volume {
        Ok(volume) => Ok(File {
            born: member.born.clone(),
            capacity: volume.capacity(),
            made: member.made,
            healthy: volume.health() == Health::Good,
        }),
        Err(reason) => Err(reason.clone()),
    };
    let own = member.record.as_ref().map_or(Ok(None), |record| record.header())?;
    let witness = member.witness.as_ref().map_or(Ok(None), |witness| witness.header())?;
    Ok(Found { name: member.name.clone(), place: member.place, own, witness, file })
}

/// A mirror that is made. Members that are not there yet have to be as long as the shortest that is.
fn new_header(found: &[Found], roles: &[Assigned], smallest_region: u64) -> Result<Header> {
    let is_in = |role: &Assigned| role.part == Part::In;
    let capacities = found.iter().zip(roles).filter(|(_, role)| is_in(role));
    let capacity = capacities.filter_map(|(slot, _)| slot.file.as_ref().ok()).map(|file| file.capacity).min();
    let capacity = capacity.unwrap_or(0);
    let region = capacity.div_ceil(USUAL_REGIONS).max(smallest_region.max(512)).next_power_of_two();
    Ok(Header {
        mirror: random()?,
        generation: 0,
        settled: 0,
        capacity,
        region,
        // Those that were made just now are alike.
        clean: true,
        own: 0,
        born: String::new(),
        members: Vec::new(),
    })
}

fn going_on(
    header: &Header,
    parts: Vec<(Option<u64>, Part)>,
    members: &[MirrorMember],
) -> Result<Vec<Assigned>> {
    let mut roles: Vec<Assigned> = Vec::new();
    for ((id, part), member) in parts.into_iter().zip(members) {
        // Two places never have one id: the one that was there first keeps it.
        let id = id.filter(|id| !roles.iter().any(|role| role.id == *id));
        let own_marks = match (&part, &member.record) {
            (Part::Syncing { own_marks: true }, Some(record)) => Some(record.bits(header.regions())?),
            _ => None,
        };
        roles.push(Assigned { id: id.map_or_else(random, Ok)?, part, own_marks });
    }
    Ok(roles)
}

/// A mirror all of whose members have become longer is longer.
fn grown(header: Header, found: &[Found], roles: &[Assigned]) -> Header {
    let all_in = roles.iter().all(|role| role.part == Part::In);
    let shortest = found.iter().filter_map(|slot| slot.file.as_ref().ok()).map(|file| file.capacity).min();
    match shortest.filter(|capacity| all_in && *capacity > header.capacity) {
        Some(capacity) if capacity.div_ceil(header.region) <= super::MOST_REGIONS => {
            Header { capacity, clean: false, ..header }
        }
        _ => header,
    }
}

/// In which regions members may differ: what those mark that took part until the end, what those mark that come back,
/// and what nobody had before.
fn marks(
    base: &Header,
    members: &[MirrorMember],
    roles: &[Assigned],
    grown_from: Option<u64>,
) -> Result<Bits> {
    let mut marked = Bits::none(base.regions());
    let before = grown_from.unwrap_or(base.capacity).div_ceil(base.region);
    for (member, role) in members.iter().zip(roles) {
        match (&role.part, &member.record) {
            (Part::In | Part::Syncing { own_marks: false }, Some(record)) if base.generation > 0 => {
                marked.merge(&record.bits(before)?);
            }
            _ => {}
        }
        role.own_marks.iter().for_each(|own| marked.merge(own));
    }
    if let Some(before) = grown_from {
        (before / base.region..base.regions()).for_each(|region| marked.set(region));
    }
    Ok(marked)
}

pub(super) fn random() -> Result<u64> {
    getrandom::u64().map_err(|error| {
        VolumeError::new(ErrorKind::CannotOpen, "the system gives no random bytes for the name of a mirror")
            .caused_by(error)
    })
}
