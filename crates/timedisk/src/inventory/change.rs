//! From the disks that are open to those of another plan: all of it, or nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use timedisk_config::{Length, format_size};
use timedisk_scsi::{Absence, Attention, LogicalUnit};
use timedisk_volume::{ErrorKind, Growth, Health, Volume};

use super::opened::{Stack, length, remove};
use super::{Inventory, Key, Unit, is_same_file, same_places};
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
    Add(Stack),
    /// It can only be opened once another has let go of its file.
    AddLater,
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
        let mut wanted: Vec<Disk> = Vec::new();
        let mut unit_of = Vec::new();
        for disk in &plan.disks {
            let shares = |other: &Disk| {
                // The cheap question first: there may be thousands of others.
                other.read_only
                    && disk.read_only
                    && Key::of(other) == Key::of(disk)
                    && same_places(other, disk)
            };
            let position = wanted.iter().position(shares);
            unit_of.push(position.unwrap_or(wanted.len()));
            if position.is_none() {
                wanted.push(disk.clone());
            }
        }
        let current: Vec<Option<usize>> = wanted.iter().map(|disk| self.current(disk)).collect();
        let keeps_files = |position: usize, unit: &Unit| {
            let mut wanted = wanted.iter().zip(&current);
            wanted.any(|(disk, own)| *own == Some(position) && same_places(&unit.disk, disk))
        };
        let letting_go =
            self.units.iter().enumerate().filter(|(position, unit)| !keeps_files(*position, unit));
        let freed: Vec<PathBuf> =
            letting_go.flat_map(|(_, unit)| &unit.disk.parts).map(|part| part.path.clone()).collect();
        let mut steps: Vec<Step> = Vec::new();
        for (disk, unit) in wanted.into_iter().zip(&current) {
            let waits =
                || disk.parts.iter().any(|part| freed.iter().any(|path| is_same_file(path, &part.path)));
            let action = match unit {
                Some(unit) => self.what_to_do(*unit, &disk),
                // Its file is under a unit that goes, or that is to have others.
                None if waits() => Ok(Action::AddLater),
                None => self.opener.stack(&disk, &[]).map(Action::Add),
            };
            match action {
                Ok(action) => steps.push(Step { disk, action }),
                Err(error) => {
                    take_back(steps);
                    return Err(error);
                }
            }
        }
        Ok(Prepared { plan, steps, unit_of })
    }

    /// The unit that is this disk already.
    fn current(&self, disk: &Disk) -> Option<usize> {
        self.units.iter().position(|unit| Key::of(&unit.disk) == Key::of(disk))
    }

    fn what_to_do(&self, position: usize, disk: &Disk) -> anyhow::Result<Action> {
        let Some(unit) = self.units.get(position) else { bail!("there is no such disk") };
        let opened_for_reading = unit.files.iter().any(|file| file.is_read_only());
        if unit.is_offline() {
            return Ok(Action::Keep(position));
        }
        if !same_places(&unit.disk, disk) || (opened_for_reading && !disk.read_only) {
            return Ok(Action::Reopen(position));
        }
        let of_parts = unit.files.iter().zip(&disk.parts).zip(&unit.disk.parts);
        let parts: Vec<_> =
            of_parts.map(|((file, part), before)| (file, part.length, before.length)).collect();
        let Some(((last, wanted, _), others)) = parts.split_last() else { return Ok(Action::Keep(position)) };
        if others.iter().any(|(_, wanted, before)| wanted != before) {
            return Ok(Action::Reopen(position));
        }
        let whole_blocks = |bytes: u64| bytes - bytes % u64::from(disk.block_length);
        let is_same = matches!(wanted, Length::Bytes(bytes) if whole_blocks(*bytes) == last.capacity());
        if is_same || last.health() != Health::Good {
            return Ok(Action::Keep(position));
        }
        match last.grow(length(*wanted)) {
            Ok(growth) if growth.capacity() == last.capacity() => Ok(Action::Keep(position)),
            Ok(growth) => Ok(Action::Grow(position, growth)),
            Err(error) if error.kind == ErrorKind::Shrinks && self.opener.allow_shrink => {
                Ok(Action::Reopen(position))
            }
            Err(error) if error.kind == ErrorKind::Shrinks => Err(error).with_context(|| {
                format!("{} would lose its end; add --allow-shrink if that is meant", disk.name)
            }),
            Err(error) => Err(error).with_context(|| format!("the disk of {}", disk.name)),
        }
    }

    /// Makes the change. Disks whose files have to be opened anew are away for that long.
    ///
    /// # Errors
    /// Commands did not end before `deadline`, or a file could not be opened. Then everything is as it was.
    pub(crate) fn commit(&mut self, prepared: Prepared, deadline: Instant) -> anyhow::Result<Changes> {
        let Prepared { plan, mut steps, unit_of } = prepared;
        let stays = |position: usize| steps.iter().any(|step| step.action.unit() == Some(position));
        let later = |step: &&Step| matches!(step.action, Action::AddLater);
        let in_the_way = |unit: &Unit| {
            steps
                .iter()
                .filter(later)
                .flat_map(|step| &step.disk.parts)
                .any(|part| unit.disk.parts.iter().any(|other| is_same_file(&other.path, &part.path)))
        };
        let reopened = |position: usize| {
            steps.iter().any(|step| matches!(step.action, Action::Reopen(unit) if unit == position))
        };
        let to_close: Vec<usize> = (0..self.units.len())
            .filter(|position| {
                let unit = self.units.get(*position);
                reopened(*position) || (!stays(*position) && unit.is_some_and(in_the_way))
            })
            .collect();
        let mut closed = Vec::new();
        let result = self.close(&to_close, &mut closed, deadline).and_then(|()| self.open_later(&mut steps));
        match result {
            Ok(stacks) => Ok(self.settle(plan, steps, stacks, unit_of)),
            Err(error) => {
                take_back(steps);
                self.restore(&closed);
                Err(error)
            }
        }
    }

    fn close(
        &mut self,
        positions: &[usize],
        closed: &mut Vec<usize>,
        deadline: Instant,
    ) -> Result<(), anyhow::Error> {
        for position in positions {
            let Some(unit) = self.units.get_mut(*position).filter(|unit| !unit.is_offline()) else {
                continue;
            };
            unit.close(Absence::Exchange, deadline)?;
            closed.push(*position);
        }
        Ok(())
    }

    /// Opens what could not be opened before; the stacks of units that go on are for later.
    fn open_later(&self, steps: &mut [Step]) -> anyhow::Result<Vec<(usize, Stack)>> {
        let mut stacks = Vec::new();
        for Step { disk, action } in steps {
            match action {
                Action::AddLater => *action = Action::Add(self.opener.stack(disk, &[])?),
                Action::Reopen(unit) => {
                    let served = self.units.get(*unit).map_or(&[][..], |unit| &unit.disk.parts);
                    stacks.push((*unit, self.opener.stack(disk, served)?));
                }
                _ => {}
            }
        }
        Ok(stacks)
    }

    /// Puts back what was closed for a change that did not come about.
    fn restore(&mut self, closed: &[usize]) {
        self.opener.allow_shrink = true;
        for position in closed {
            let Some(unit) = self.units.get_mut(*position) else { continue };
            match self.opener.stack(&unit.disk, &unit.disk.parts) {
                Ok(stack) => {
                    unit.served.unit().medium().put(stack.volume);
                    unit.files = stack.files;
                }
                Err(error) => {
                    unit.served.unit().medium().take(Absence::Offline);
                    tracing::error!("{} is offline, for it can't be opened again: {error:#}", unit.disk.name);
                }
            }
        }
        self.opener.allow_shrink = false;
    }

    /// What can't fail.
    fn settle(
        &mut self,
        plan: Plan,
        steps: Vec<Step>,
        stacks: Vec<(usize, Stack)>,
        unit_of: Vec<usize>,
    ) -> Changes {
        let mut changes = Changes::default();
        let mut stacks: Vec<(usize, Option<Stack>)> =
            stacks.into_iter().map(|(position, stack)| (position, Some(stack))).collect();
        let mut before: Vec<Option<Unit>> = std::mem::take(&mut self.units).into_iter().map(Some).collect();
        for Step { disk, action } in steps {
            let position = action.unit();
            let old = position.and_then(|position| before.get_mut(position).and_then(Option::take));
            let stack = stacks.iter_mut().find(|(unit, _)| Some(*unit) == position);
            let unit = match (action, old) {
                (Action::Add(stack), _) => {
                    changes.added.push(disk.name.clone());
                    self.opener.serve(&disk, &stack).map(|served| Unit { disk, served, files: stack.files })
                }
                (action, Some(old)) => {
                    let stack = stack.and_then(|(_, stack)| stack.take());
                    Ok(changes.adjust(old, disk, action, stack))
                }
                (_, None) => Err(anyhow::anyhow!("{} is not there any more", disk.name)),
            };
            match unit {
                Ok(unit) => self.units.push(unit),
                Err(error) => tracing::error!("a defect: {error:#}"),
            }
        }
        changes.leaving = before.into_iter().flatten().collect();
        changes.removed = changes.leaving.iter().map(|unit| unit.disk.name.clone()).collect();
        (self.plan, self.unit_of) = (plan, unit_of);
        changes
    }
}

impl Changes {
    /// A unit that goes on, as it is described now.
    fn adjust(&mut self, old: Unit, disk: Disk, action: Action, stack: Option<Stack>) -> Unit {
        let Unit { disk: was, served, mut files } = old;
        let unit = served.unit();
        let capacity = unit.medium().capacity();
        match (action, stack) {
            (Action::Grow(_, growth), _) => growth.commit(),
            (_, Some(stack)) => {
                unit.medium().put(stack.volume);
                files = stack.files;
            }
            _ => {}
        }
        let mut changed = was.lun != disk.lun || was.iqn != disk.iqn || was.name != disk.name;
        if unit.medium().capacity() != capacity {
            note_served(&files, unit.medium().capacity(), &disk.name);
            self.attentions.push((Arc::clone(unit), Attention::CapacityChanged));
            changed = true;
        }
        if unit.is_read_only() != disk.read_only {
            unit.set_read_only(disk.read_only);
            self.attentions.push((Arc::clone(unit), Attention::WriteProtectionChanged));
            changed = true;
        }
        changed |= was.access != disk.access || was.chap != disk.chap;
        if changed {
            self.changed.push(disk.name.clone());
        }
        served.rename(&disk.name);
        Unit { disk, served, files }
    }

    /// Closes what is served no more, once nobody uses it. Says what could not be closed.
    pub(crate) fn close_leaving(&mut self, deadline: Instant) -> Vec<String> {
        let units = std::mem::take(&mut self.leaving).into_iter();
        let stuck = units.filter_map(|mut unit| unit.close(Absence::Offline, deadline).err());
        stuck.map(|error| format!("{error:#}; its file stays open until they do")).collect()
    }
}

/// A larger disk may not be smaller the next time.
pub(super) fn note_served(files: &[Arc<timedisk_volume::FileVolume>], capacity: u64, name: &str) {
    let Some(file) = files.first() else { return };
    if let Err(error) = file.state().note_served(capacity) {
        tracing::warn!("{name}: its size of {} can't be kept in mind: {error}", format_size(capacity));
    }
}

/// Gives up what was prepared.
fn take_back(steps: Vec<Step>) {
    for step in steps {
        if let Action::Add(Stack { files, volume, made }) = step.action {
            drop((files, volume));
            remove(&made);
        }
    }
}
