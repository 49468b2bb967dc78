//! Making members alike again, region by region, while the mirror is used; and taking new members in.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::commit::Failed;
use super::header::Role;
use super::lane::{Call, Lane};
use super::member::{Active, Member};
use super::{Bits, MemberRecord, MirrorMember, MirrorVolume, lane, resolve};
use crate::{Allocation, Durability, ErrorKind, Result, Volume, VolumeError};

/// Bytes that are compared and copied at once.
pub(super) const CHUNK: u64 = 1 << 20;

/// Bytes that are written if one of them differs.
const PIECE: usize = 16 << 10;

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resynced {
    /// All members that are not out are alike.
    Nothing,
    /// A region was made alike; there may be more.
    Region,
    /// It was told to stop in the middle of a region.
    Stopped,
    /// What is left can't be read on any member that has it.
    Unreadable,
}

impl MirrorVolume {
    /// Makes the next region after `from` alike in which members differ; moves `from` behind it, and to the start again
    /// after the last. Calls `go_on` after each part, which may wait, and stops if that says so.
    ///
    /// # Errors
    /// What went wrong could not be written down.
    pub fn resync(&self, from: &mut u64, go_on: &mut dyn FnMut() -> bool) -> Result<Resynced> {
        if self.read_only || self.is_closed() || self.health() != crate::Health::Good {
            return Ok(Resynced::Nothing);
        }
        let (region, differing) = {
            let shared = self.shared();
            let mut wanted = Bits::none(shared.marked.count());
            let active = shared.members.iter().filter(|member| member.role != Role::Out);
            active.for_each(|member| wanted.merge(&member.todo));
            let next = wanted.set_from(*from).next().or_else(|| wanted.set_from(0).next());
            (next, shared.differing)
        };
        let Some(region) = region else {
            *from = 0;
            self.promote()?;
            return Ok(Resynced::Nothing);
        };
        *from = region + 1;
        let lacks = |member: &Member| member.role != Role::Out && member.todo.get(region);
        let targets: Vec<Active> = {
            let shared = self.shared();
            let active = shared.active();
            let lacking = |active: &Active| shared.members.get(active.index).is_some_and(lacks);
            active.into_iter().filter(lacking).collect()
        };
        let end = (region + 1).saturating_mul(self.region).min(self.capacity);
        let mut at = region * self.region;
        while at < end {
            let length = CHUNK.min(end - at);
            if !self.copy_chunk(at, length, region)? {
                return Ok(Resynced::Unreadable);
            }
            at += length;
            if !go_on() {
                return Ok(Resynced::Stopped);
            }
        }
        self.note_alike(region, &targets, differing)?;
        self.promote()?;
        Ok(Resynced::Region)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Copies a chunk from a member that has it to all that lack it. Answers whether anybody could read it.
    fn copy_chunk(&self, offset: u64, length: u64, region: u64) -> Result<bool> {
        let _alone = self.ranges.take(offset, length);
        if self.is_closed() {
            return Ok(true);
        }
        let (sources, targets) = {
            let shared = self.shared();
            let lacks =
                |a: &Active| shared.members.get(a.index).is_some_and(|member| member.todo.get(region));
            let (targets, sources): (Vec<_>, Vec<_>) = shared.active().into_iter().partition(lacks);
            (sources, targets)
        };
        if targets.is_empty() {
            return Ok(true);
        }
        let sources: Vec<Active> = sources.into_iter().filter(|source| source.role == Role::In).collect();
        let length_in_memory = usize::try_from(length).unwrap_or(0);
        let read = move |volume: &dyn Volume| {
            let mut data = vec![0; length_in_memory];
            read_sparse(volume, offset, &mut data).map(|is_hole| (data, is_hole))
        };
        let (data, is_hole) = match self.ask(&sources, read) {
            Ok((found, ..)) => found,
            Err(error) => {
                self.tell(&format!("bytes {offset} and on can't be resynced from a member: {error}"));
                return Ok(false);
            }
        };
        let data: Arc<[u8]> = data.into();
        let copy = |target: &Active| {
            let data = Arc::clone(&data);
            target.call(move |target| make_like(&*target.volume, offset, &data, is_hole))
        };
        self.drop_who_failed(&targets, copy)?;
        Ok(true)
    }

    /// Has something done by members who get what others have. Who can't is dropped.
    fn drop_who_failed(&self, targets: &[Active], call: impl Fn(&Active) -> Call<()>) -> Result<()> {
        let results = lane::together(targets.iter().map(call).collect(), true);
        let failed = targets.iter().zip(results);
        let failed: Vec<Failed> =
            failed.filter_map(|(target, result)| Some(target.failed(result.err()?))).collect();
        if failed.is_empty() { Ok(()) } else { self.drop_members(failed) }
    }

    /// The targets have the region as the others do, as soon as it is flushed; unless something went wrong since.
    fn note_alike(&self, region: u64, targets: &[Active], differing: u64) -> Result<()> {
        if self.is_closed() {
            return Ok(());
        }
        self.drop_who_failed(targets, |target| target.call(|target| target.volume.flush()))?;
        let mut shared = self.shared();
        if shared.differing != differing {
            return Ok(());
        }
        for target in targets {
            if let Some(member) = shared.members.get_mut(target.index).filter(|m| m.life == target.life) {
                member.todo.clear(region);
            }
        }
        Ok(())
    }

    /// Lets those in who lack nothing any more.
    fn promote(&self) -> Result<()> {
        let is_ready = |member: &Member| member.role == Role::Syncing && member.todo.is_empty();
        if !self.shared().members.iter().any(is_ready) {
            return Ok(());
        }
        let mut journal = self.journal();
        let mut told = Vec::new();
        for member in self.shared().members.iter_mut().filter(|member| is_ready(member)) {
            member.role = Role::In;
            told.push(format!("{} is a full member of the mirror again", member.name));
        }
        self.commit(&mut journal)?;
        told.iter().for_each(|words| self.tell(words));
        Ok(())
    }

    /// Takes a member into the place of another, or the same one back. It gets what it misses; if it never was one,
    /// all.
    ///
    /// # Errors
    /// [`ErrorKind::CannotOpen`] if it is shorter than the mirror, or is in use in it already; or it could not be
    /// written down.
    pub fn replace(&self, index: usize, new: MirrorMember) -> Result<()> {
        let refuse = |message: String| Err(VolumeError::new(ErrorKind::CannotOpen, message));
        let MirrorMember { name, place, volume, record: Some(record), witness, born, .. } = new else {
            return refuse("a member without a record can't be taken in".into());
        };
        let volume: Arc<dyn Volume> = match volume {
            Ok(volume) => volume,
            Err(reason) => return refuse(format!("{name} can't be taken into the mirror: {reason}")),
        };
        if self.read_only || self.is_closed() {
            return refuse("the mirror is served read-only: nothing is written to its members".into());
        }
        if volume.capacity() < self.capacity {
            return refuse(format!(
                "{name} has {} bytes, fewer than the {} of the mirror: name one that is as long or longer",
                volume.capacity(),
                self.capacity
            ));
        }
        let record: Arc<dyn MemberRecord> = record.into();
        let lane = Lane::new(self.patience);
        let own = ask_record(&lane, &record, |record| record.header()).ok().flatten();
        let mut journal = self.journal();
        let is_out = |member: &Member| member.role == Role::Out;
        if !self.shared().members.get(index).is_some_and(is_out) {
            return refuse(format!("{name} would take the place of a member that is not out"));
        }
        let is_at_it = |member: &Member| member.place == place && member.lane.is_hung();
        if self.shared().members.get(index).is_some_and(is_at_it) {
            return refuse(format!(
                "a call to {name} that did not return in time still may, and write what is old: wait until it has"
            ));
        }
        let now = self.header_now(&journal);
        let returns = own.filter(|own| {
            now.members.get(index).is_some_and(|listed| listed.id == own.own)
                && resolve::misses_only_marks(own, &born, &now)
        });
        let regions = now.regions();
        let (id, misses) = match &returns {
            Some(own) => (own.own, ask_record(&lane, &record, move |record| record.bits(regions))?),
            None => (super::open::random()?, Bits::all(now.regions())),
        };
        // Before anybody calls it a member, it and the others have the marks of what it misses.
        let (mut marked, active) = {
            let shared = self.shared();
            (shared.marked.clone(), shared.active())
        };
        marked.merge(&misses);
        let bits = marked.clone();
        ask_record(&lane, &record, move |record| record.save_bits(&bits))?;
        let failed = Self::save_bits(&journal, &active, &marked);
        if !failed.is_empty() {
            self.drop_locked(&mut journal, failed)?;
        }
        if let Some(slot) = journal.records.get_mut(index) {
            *slot = (Some(record), born);
        }
        if let Some(slot) = journal.witnesses.get_mut(index) {
            *slot = witness;
        }
        self.put(index, Newcomer { name, id, place, volume, lane, todo: marked.clone() }, marked);
        self.commit(&mut journal)?;
        let shared = self.shared();
        match shared.members.get(index) {
            Some(member) if member.role == Role::Out => refuse(member.reason.clone()),
            _ => Ok(()),
        }
    }

    /// Closes what a member that is out still has open, so that it can be opened anew.
    pub fn let_go(&self, index: usize) {
        if let Some(member) = self.shared().members.get_mut(index).filter(|member| member.role == Role::Out) {
            member.volume = None;
        }
    }

    fn put(&self, index: usize, new: Newcomer, marked: Bits) {
        let mut shared = self.shared();
        shared.marked = marked;
        let Some(member) = shared.members.get_mut(index) else { return };
        let Newcomer { name, id, place, volume, lane, todo } = new;
        // Until all have written down that it is back, who it is can be told only by when it left.
        let (floor, left) = if member.id == id { (member.floor, member.left) } else { (0, 0) };
        *member = Member {
            name,
            id,
            place,
            role: Role::Syncing,
            floor,
            left,
            failures_before: volume.failed_flushes(),
            volume: Some(volume),
            lane,
            life: member.life + 1,
            todo,
            read_errors: 0,
            reason: String::new(),
        };
        shared.unsaved = true;
    }
}

/// Who takes a place.
struct Newcomer {
    name: String,
    id: u64,
    place: u64,
    volume: Arc<dyn Volume>,
    lane: Arc<Lane>,
    todo: Bits,
}

/// Asks the record of a newcomer, who has to answer in time.
fn ask_record<T: Send + 'static>(
    lane: &Arc<Lane>,
    record: &Arc<dyn MemberRecord>,
    what: impl FnOnce(&dyn MemberRecord) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (lane, record) = (Arc::clone(lane), Arc::clone(record));
    let call = Call { lane, counts: false, run: Box::new(move || what(&*record)) };
    let nothing = || Err(VolumeError::new(ErrorKind::WriteFailed, "it was not asked"));
    lane::together(vec![call], true).pop().unwrap_or_else(nothing)
}

/// Reads a range; answers whether all of it is a hole.
fn read_sparse(volume: &dyn Volume, offset: u64, data: &mut [u8]) -> Result<bool> {
    let mapping = volume.mapping(offset)?;
    if !mapping.allocated && mapping.length >= data.len() as u64 {
        data.fill(0);
        return Ok(true);
    }
    volume.read(offset, data).map(|()| false)
}

/// Writes to a member what it does not have. Holes stay holes.
fn make_like(target: &dyn Volume, offset: u64, data: &[u8], is_hole: bool) -> Result<()> {
    let mut there = vec![0; data.len()];
    match read_sparse(target, offset, &mut there) {
        Ok(true) if is_hole => return Ok(()),
        Ok(_) if is_hole => return zero(target, offset, data),
        Ok(_) => {}
        // What can't be read is written.
        Err(_) => there.clear(),
    }
    let mut at = offset;
    for (index, piece) in data.chunks(PIECE).enumerate() {
        if there.chunks(PIECE).nth(index) != Some(piece) {
            match piece.iter().all(|byte| *byte == 0) {
                true => zero(target, at, piece)?,
                false => target.write(at, piece, Durability::Volatile)?,
            }
        }
        at += piece.len() as u64;
    }
    Ok(())
}

fn zero(target: &dyn Volume, offset: u64, data: &[u8]) -> Result<()> {
    target.write_zeroes(offset, data.len() as u64, Allocation::Release, Durability::Volatile)
}
