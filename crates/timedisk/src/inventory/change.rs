//! From the disks that are open to those of another plan: all of it, or nothing.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use timedisk_config::Length;
use timedisk_scsi::{Absence, Attention, LogicalUnit};
use timedisk_target::Disk as Served;
use timedisk_volume::{ErrorKind, Growth, Health, Volume};

use super::healing::Healing;
use super::memory::identity_of;
use super::opened::{Opener, Saved, Stack, length};
use super::places::{Place, Placement, Present, as_open, check_overlaps, placement, same_places, same_way};
use super::{Inventory, Unit, mirrors, remembered};
use crate::plan::{Disk, Plan};

/// What a change came to.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Names of disks.
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) changed: Vec<String>,
    /// What clients are to be told, once they have the new catalogue.
    pub(crate) attentions: Vec<(Arc<LogicalUnit>, Attention)>,
    leaving: Vec<Unit>,
}

/// A change of which everything is done that can fail without anybody noticing.
#[derive(Debug)]
pub(crate) struct Prepared {
    plan: Plan,
    steps: Vec<Step>,
    unit_of: Vec<usize>,
    allow_shrink: bool,
}

/// What a disk of the new plan takes.
#[derive(Debug)]
struct Step {
    disk: Disk,
    action: Action,
}

#[derive(Debug)]
enum Action {
    /// The unit at this position goes on.
    Keep(usize),
    /// It goes on, and becomes larger.
    Grow(usize, Growth),
    /// It goes on, on files that have to be opened anew.
    Reopen(usize),
    /// It was opened.
    Add(New),
    /// It can only be opened once another has let go of its file.
    AddLater,
}

/// A disk that is about to be served.
#[derive(Debug)]
struct New {
    stack: Stack,
    served: Arc<Served>,
    saved: Arc<Saved>,
}

impl New {
    fn open(opener: &Opener, disk: &Disk) -> anyhow::Result<New> {
        let stack = opener.stack(disk, &[])?;
        let (served, saved) = opener.serve(disk, &stack)?;
        Ok(New { stack, served, saved })
    }
}

/// A unit whose files were closed, and how they are found again: as they were, wherever they are now.
#[derive(Debug)]
struct Closed {
    position: usize,
    disk: Disk,
}

impl Action {
    fn unit(&self) -> Option<usize> {
        match self {
            Action::Keep(unit) | Action::Grow(unit, _) | Action::Reopen(unit) => Some(*unit),
            Action::Add(_) | Action::AddLater => None,
        }
    }
}

impl Inventory {
    /// Prepares the change to another plan.
    ///
    /// # Errors
    /// A disk can't be opened, or would lose its end. Then nothing has changed.
    pub(crate) fn prepare(&mut self, plan: Plan, allow_shrink: bool) -> anyhow::Result<Prepared> {
        self.opener.allow_shrink = allow_shrink;
        let (wanted, unit_of) = without_doubles(&plan.disks);
        check_overlaps(&wanted)?;
        let current = self.current(&wanted)?;
        let mut steps: Vec<Step> = Vec::new();
        let freed = self.freed(&wanted, &current);
        for (disk, unit) in wanted.into_iter().zip(&current) {
            let action = match unit {
                Some(unit) => self.what_to_do(*unit, &disk),
                // Its file is under a unit that goes, or that is to have others.
                None if disk.parts.iter().any(|part| freed.contains(&Place::of(&part.path))) => {
                    Ok(Action::AddLater)
                }
                None => New::open(&self.opener, &disk).map(Action::Add),
            };
            match action {
                Ok(action) => steps.push(Step { disk, action }),
                Err(error) => {
                    take_back(steps);
                    return Err(error);
                }
            }
        }
        let prepared = Prepared { plan, steps, unit_of, allow_shrink };
        match self.closings(&prepared.steps) {
            Ok(_) => Ok(prepared),
            Err(error) => {
                take_back(prepared.steps);
                Err(error)
            }
        }
    }

    /// The units that these disks are already. No two are one.
    fn current(&self, wanted: &[Disk]) -> anyhow::Result<Vec<Option<usize>>> {
        let present = Present::of(&self.units);
        let current: Vec<Option<usize>> = wanted.iter().map(|disk| present.unit(disk)).collect();
        let mut owner = vec![None; self.units.len()];
        for (disk, unit) in wanted.iter().zip(&current) {
            let Some(owner) = unit.and_then(|unit| owner.get_mut(unit)) else { continue };
            if let Some(before) = owner.replace(&disk.name) {
                bail!("{before} and {} would be one disk: give each an extent of its own", disk.name);
            }
        }
        Ok(current)
    }

    /// Files of which a unit lets go.
    fn freed(&self, wanted: &[Disk], current: &[Option<usize>]) -> Vec<Place> {
        let mut keeps = vec![false; self.units.len()];
        for (disk, position) in wanted.iter().zip(current) {
            let Some(position) = *position else { continue };
            if let (Some(unit), Some(keeps)) = (self.units.get(position), keeps.get_mut(position)) {
                *keeps = unit.is_offline()
                    || (same_places(&unit.disk, disk) && placement(unit, disk) == Placement::Same);
            }
        }
        let letting_go = self.units.iter().zip(keeps).filter(|(_, keeps)| !keeps).map(|(unit, _)| unit);
        letting_go.flat_map(|unit| &unit.files).map(|file| Place::There(file.identity())).collect()
    }

    fn what_to_do(&self, position: usize, disk: &Disk) -> anyhow::Result<Action> {
        let Some(unit) = self.units.get(position) else { bail!("there is no such disk") };
        let name = &disk.name;
        let shrinks = || format!("{name} would lose its end; add --allow-shrink if that is meant");
        if unit.is_offline() {
            ensure!(self.opener.allow_shrink || !is_known_to_be_shorter(unit, disk), shrinks());
            return Ok(Action::Keep(position));
        }
        if unit.disk.layout.has_mirror() || disk.layout.has_mirror() {
            mirrors::check_same(&unit.disk, disk)?;
            let opened_for_reading = unit.files.iter().any(|file| file.is_read_only());
            let reopens = (opened_for_reading && !disk.read_only) || !same_way(&unit.disk, disk);
            return Ok(if reopens { Action::Reopen(position) } else { Action::Keep(position) });
        }
        match placement(unit, disk) {
            Placement::Other => bail!(
                "{name} would be made of other parts, or of the same at other places: what its clients have on it \
                 would move. Add parts at its end only. If another disk is meant, take this one out, `timedisk \
                 reload`, then put it in as it is to be, and `timedisk reload --allow-shrink`"
            ),
            Placement::Shorter => {
                ensure!(self.opener.allow_shrink, shrinks());
                return Ok(Action::Reopen(position));
            }
            Placement::Same => {}
        }
        let opened_for_reading = unit.files.iter().any(|file| file.is_read_only());
        let reopens = (opened_for_reading && !disk.read_only) || !same_way(&unit.disk, disk);
        if !same_places(&unit.disk, disk) || reopens {
            return Ok(Action::Reopen(position));
        }
        let (Some(last), Some(part)) = (unit.files.last(), disk.parts.last()) else {
            return Ok(Action::Keep(position));
        };
        let whole_blocks = |bytes: u64| bytes - bytes % u64::from(disk.block_length);
        let is_same = matches!(part.length, Length::Bytes(bytes) if whole_blocks(bytes) == last.capacity());
        if is_same || (last.health() != Health::Good && part.length == Length::WholeFile) {
            return Ok(Action::Keep(position));
        }
        if unit.disk.is_qcow2() {
            return Ok(Action::Keep(position));
        }
        if unit.disk.parts.iter().any(|part| part.checksum) {
            return Ok(Action::Reopen(position));
        }
        match last.grow(length(part.length)) {
            Ok(growth) if growth.capacity() == last.capacity() => Ok(Action::Keep(position)),
            Ok(growth) => Ok(Action::Grow(position, growth)),
            // The plan gives these bytes to nobody else, so who has them lets go of them.
            Err(error) if error.kind == ErrorKind::Overlap => Ok(Action::Reopen(position)),
            Err(error) if error.kind == ErrorKind::Shrinks => Err(error).with_context(shrinks),
            Err(error) => Err(error).with_context(|| format!("the disk of {name}")),
        }
    }

    /// The units to be closed for these steps. Each can be put back: its files are where it is described, now or then.
    ///
    /// # Errors
    /// A file was renamed or removed since it was opened: closed, it would be lost.
    fn closings(&self, steps: &[Step]) -> anyhow::Result<Vec<Closed>> {
        let wants_room = |step: &&Step| matches!(step.action, Action::AddLater | Action::Reopen(_));
        let wanted = steps.iter().filter(wants_room).flat_map(|step| &step.disk.parts);
        let wanted: Vec<Place> = wanted.map(|part| Place::of(&part.path)).collect();
        let in_the_way =
            |unit: &Unit| unit.files.iter().any(|file| wanted.contains(&Place::There(file.identity())));
        let mut going_on: Vec<Option<&Step>> = vec![None; self.units.len()];
        for step in steps {
            if let Some(place) = step.action.unit().and_then(|unit| going_on.get_mut(unit)) {
                *place = Some(step);
            }
        }
        let mut closings = Vec::new();
        for (position, (unit, step)) in self.units.iter().zip(going_on).enumerate() {
            let closes = match step {
                Some(step) => matches!(step.action, Action::Reopen(_)),
                None => in_the_way(unit),
            };
            if closes && !unit.is_offline() {
                closings.push(Closed { position, disk: as_open(unit, step.map(|step| &step.disk))? });
            }
        }
        Ok(closings)
    }

    /// Makes the change. Disks whose files have to be opened anew are away for that long.
    ///
    /// # Errors
    /// Commands did not end before `deadline`, or a file could not be opened. Then everything is as it was.
    pub(crate) fn commit(&mut self, prepared: Prepared, deadline: Instant) -> anyhow::Result<Changes> {
        let Prepared { plan, mut steps, unit_of, allow_shrink } = prepared;
        let mut closed = Vec::new();
        let result = self
            .closings(&steps)
            .and_then(|closings| self.close(closings, &mut closed, deadline))
            .and_then(|()| self.open_later(&mut steps));
        match result {
            Ok(stacks) => Ok(self.settle(plan, steps, stacks, unit_of, allow_shrink)),
            Err(error) => {
                take_back(steps);
                match self.restore(closed) {
                    lost if lost.is_empty() => Err(error),
                    lost => Err(error.context(lost.join("; "))),
                }
            }
        }
    }

    fn close(
        &mut self,
        closings: Vec<Closed>,
        closed: &mut Vec<Closed>,
        deadline: Instant,
    ) -> anyhow::Result<()> {
        for closing in closings {
            let Some(unit) = self.units.get_mut(closing.position) else { continue };
            unit.close(Absence::Exchange, deadline)?;
            closed.push(closing);
        }
        Ok(())
    }

    /// Opens what could not be opened before; the stacks of units that go on are for later.
    fn open_later(&self, steps: &mut [Step]) -> anyhow::Result<Vec<(usize, Stack)>> {
        let mut stacks = Vec::new();
        for Step { disk, action } in steps {
            let opened = match action {
                Action::AddLater => New::open(&self.opener, disk).map(|new| *action = Action::Add(new)),
                Action::Reopen(unit) => self.open_again(*unit, disk).map(|stack| stacks.push((*unit, stack))),
                _ => Ok(()),
            };
            if let Err(error) = opened {
                stacks.into_iter().for_each(|(_, stack)| stack.take_back());
                return Err(error);
            }
        }
        Ok(stacks)
    }

    /// The files of a unit that goes on. Those that it had are not made anew.
    fn open_again(&self, position: usize, disk: &Disk) -> anyhow::Result<Stack> {
        let unit = self.units.get(position).context("there is no such disk")?;
        let had = disk.parts.get(..unit.disk.parts.len()).unwrap_or(&disk.parts);
        let stack = self.opener.stack(disk, had)?;
        match unit.check_identity(&stack) {
            Ok(()) => Ok(stack),
            Err(error) => {
                stack.take_back();
                Err(error)
            }
        }
    }

    /// Puts back what was closed for a change that did not come about. Says what could not be.
    fn restore(&mut self, closed: Vec<Closed>) -> Vec<String> {
        let opener = Opener { allow_shrink: true, ..self.opener.clone() };
        let mut lost = Vec::new();
        for Closed { position, disk } in closed {
            let Some(unit) = self.units.get_mut(position) else { continue };
            match opener.stack(&disk, &disk.parts) {
                Ok(stack) => unit.put(stack),
                Err(error) => {
                    unit.served.unit().medium().take(Absence::Offline);
                    lost.push(format!(
                        "{} is offline, for it can't be opened again: {error:#}",
                        unit.disk.name
                    ));
                }
            }
        }
        lost.iter().for_each(|words| tracing::error!("{words}"));
        lost
    }

    /// What can't fail.
    fn settle(
        &mut self,
        plan: Plan,
        steps: Vec<Step>,
        mut stacks: Vec<(usize, Stack)>,
        unit_of: Vec<usize>,
        allow_shrink: bool,
    ) -> Changes {
        let mut changes = Changes::default();
        let readers: Vec<String> = self.readers().map(|disk| disk.name.clone()).collect();
        let mut before: Vec<Option<Unit>> = std::mem::take(&mut self.units).into_iter().map(Some).collect();
        // Of each step, where its unit is now.
        let mut places: Vec<Option<usize>> = Vec::new();
        for Step { disk, action } in steps {
            let position = action.unit();
            let old = position.and_then(|position| before.get_mut(position)?.take());
            let stack = stacks.iter().position(|(unit, _)| Some(*unit) == position);
            let stack = stack.map(|index| stacks.swap_remove(index).1);
            let unit = match (action, old) {
                (Action::Add(new), _) => Some(changes.add(disk, new)),
                (action, Some(old)) => Some(changes.adjust(old, disk, action, stack, allow_shrink)),
                (_, None) => {
                    tracing::error!("a defect: {} is not there any more, and is not served", disk.name);
                    None
                }
            };
            places.push(unit.is_some().then_some(self.units.len()));
            self.units.extend(unit);
        }
        changes.leaving = before.into_iter().flatten().collect();
        changes.removed = changes.leaving.iter().map(|unit| unit.disk.name.clone()).collect();
        let place = |step: usize| places.get(step).copied().flatten().unwrap_or(usize::MAX);
        self.unit_of = unit_of.into_iter().map(place).collect();
        let before = std::mem::replace(&mut self.plan, plan);
        changes.note_readers(&before, &readers, self);
        changes.configure_access(self);
        self.forget_memory();
        changes
    }
}

impl Inventory {
    /// Disks of the plan that share a unit which has another's name.
    fn readers(&self) -> impl Iterator<Item = &Disk> {
        self.disks().filter(|(disk, unit)| disk.name != unit.disk.name).map(|(disk, _)| disk)
    }
}

impl Changes {
    fn add(&mut self, disk: Disk, new: New) -> Unit {
        let New { stack, served, saved } = new;
        self.added.push(disk.name.clone());
        let capacity = stack.volume.capacity();
        let serial = stack.state().map(|state| identity_of(state).0).unwrap_or_default();
        let healing = Healing::start(&disk.name, stack.mirrors, &saved);
        let viewed = Arc::downgrade(&stack.volume);
        let unit =
            Unit { disk, served, files: stack.files, healing, viewed, saved, serial, may_shrink: false };
        remembered::note_disk(&unit, capacity);
        unit
    }

    /// A unit that goes on, as it is described now.
    fn adjust(
        &mut self,
        mut unit: Unit,
        disk: Disk,
        action: Action,
        stack: Option<Stack>,
        allow_shrink: bool,
    ) -> Unit {
        let logical = Arc::clone(unit.served.unit());
        let capacity = logical.medium().capacity();
        match (action, stack) {
            (Action::Grow(_, growth), _) => growth.commit(),
            (_, Some(stack)) => unit.put(stack),
            _ => {}
        }
        let was = std::mem::replace(&mut unit.disk, disk);
        let disk = &unit.disk;
        unit.may_shrink = unit.files.is_empty() && (unit.may_shrink || allow_shrink);
        let mut changed = was.lun != disk.lun || was.iqn != disk.iqn || was.name != disk.name;
        if logical.medium().capacity() != capacity {
            remembered::note_disk(&unit, logical.medium().capacity());
            self.attentions.push((Arc::clone(&logical), Attention::CapacityChanged));
            changed = true;
        }
        if logical.is_read_only() != disk.read_only {
            logical.set_read_only(disk.read_only);
            self.attentions.push((Arc::clone(&logical), Attention::WriteProtectionChanged));
            changed = true;
        }
        changed |= was.access != disk.access || was.chap != disk.chap;
        changed |= was.portals != disk.portals || was.explicit != disk.explicit;
        if changed {
            self.changed.push(disk.name.clone());
        }
        unit.served.rename(&disk.name);
        unit
    }

    /// Disks that share the unit of another come and go without one.
    fn note_readers(&mut self, before: &Plan, readers_before: &[String], now: &Inventory) {
        for disk in now.readers() {
            let facts = |disk: &Disk| (disk.lun, disk.iqn.clone(), disk.access.clone(), disk.chap.clone());
            match before.disks.iter().find(|other| other.name == disk.name) {
                None => self.added.push(disk.name.clone()),
                Some(was) if facts(was) != facts(disk) => self.changed.push(disk.name.clone()),
                Some(_) => {}
            }
        }
        let is_there = |name: &String| now.plan.disks.iter().any(|disk| disk.name == *name);
        self.removed.extend(readers_before.iter().filter(|name| !is_there(name)).cloned());
    }

    /// Closes what is served no more, once nobody uses it. Says what could not be closed.
    pub(crate) fn close_leaving(&mut self, deadline: Instant) -> Vec<String> {
        let units = std::mem::take(&mut self.leaving).into_iter();
        let stuck = units.filter_map(|mut unit| unit.close(Absence::Offline, deadline).err());
        stuck.map(|error| format!("{error:#}; its file stays open until they do")).collect()
    }
}

/// The disks of a plan, those that only read the same bytes once; and of each disk of the plan, which it is.
fn without_doubles(disks: &[Disk]) -> (Vec<Disk>, Vec<usize>) {
    let mut wanted: Vec<Disk> = Vec::new();
    let mut unit_of = Vec::new();
    for disk in disks {
        let is_same = |other: &Disk| {
            // The cheap question first: there may be thousands of others.
            other.read_only
                && disk.read_only
                && same_places(other, disk)
                && (other.block_length, other.physical_block_length, &other.serial)
                    == (disk.block_length, disk.physical_block_length, &disk.serial)
        };
        let position = wanted.iter().position(is_same);
        unit_of.push(position.unwrap_or(wanted.len()));
        if position.is_none() {
            wanted.push(disk.clone());
        }
    }
    (wanted, unit_of)
}

/// Whether the parts of a disk that is offline say how long they are, and that is less than it had.
fn is_known_to_be_shorter(unit: &Unit, disk: &Disk) -> bool {
    let bytes = disk.parts.iter().map(|part| match part.length {
        Length::Bytes(bytes) => Some(bytes - bytes % u64::from(disk.block_length)),
        Length::WholeFile => None,
    });
    bytes.sum::<Option<u64>>().is_some_and(|bytes| bytes < unit.served.unit().medium().capacity())
}

/// Gives up what was prepared.
fn take_back(steps: Vec<Step>) {
    for step in steps {
        if let Action::Add(new) = step.action {
            new.stack.take_back();
        }
    }
}
