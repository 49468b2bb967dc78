//! What people do to the mirrors of a disk.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use timedisk_volume::Role;

use super::healing::Healing;
use super::memory::Memory;
use super::mirrors::{Builder, Leg, Mirror};
use super::opened::Opener;
use super::{Inventory, Unit};

/// How long mirrors are given to be put in order at the end.
const TO_CLOSE: Duration = Duration::from_secs(5);

impl Unit {
    fn mirrors(&self) -> anyhow::Result<&[Mirror]> {
        let name = &self.disk.name;
        ensure!(!self.is_offline(), "{name} is offline; `timedisk online {name}` first");
        let healing = self.healing.as_ref().with_context(|| format!("{name} has no mirror"))?;
        Ok(&healing.mirrors)
    }

    /// Makes sure that its mirrors never believe those again that they go on without, whatever is accepted of them.
    pub(super) fn write_down_who_is_out(&self) -> anyhow::Result<()> {
        self.healing.iter().flat_map(|healing| &healing.mirrors).try_for_each(write_down)
    }
}

impl Inventory {
    /// Takes a member back that is out, or another in its place. It is made if there is nothing.
    pub(crate) fn replace_member(
        &mut self,
        position: usize,
        member: &str,
        path: Option<&Path>,
    ) -> anyhow::Result<()> {
        let opener = self.opener.clone();
        let unit = self.units.get_mut(position).context("there is no such disk any more")?;
        let found = unit.mirrors()?.iter().find_map(|mirror| Some((mirror.clone(), mirror.member(member)?)));
        let name = &unit.disk.name;
        let (mirror, index) = found.with_context(|| {
            format!("no mirror of {name} has a member {member:?}; see `timedisk mirror status {name}`")
        })?;
        let report = mirror.volume.report();
        let role = report.members.get(index).map(|member| member.role);
        ensure!(
            role == Some(Role::Out),
            "{member} is a member of {} that is not out: only a member that the mirror goes on without can be replaced",
            mirror.name
        );
        let hangs = path.is_none() && report.members.get(index).is_some_and(|member| member.hung);
        ensure!(
            !hangs,
            "a call to {member} that did not return in time has not returned yet: wait until it has, or name a new path"
        );
        ensure!(!unit.disk.read_only, "{name} is served read-only: nothing is written to its mirrors");
        let parts = mirror.parts_of(index);
        let old: Vec<(&Path, u64)> = parts
            .iter()
            .filter_map(|index| unit.disk.parts.get(*index))
            .map(|part| (part.path.as_path(), part.start))
            .collect();
        write_down(&mirror)?;
        // What it has open is closed, or it could not be opened anew; mirrors that it is made of too.
        let Some(mut healing) = unit.healing.take() else { bail!("{name} has no mirror") };
        let mut mirrors = healing.mirrors.clone();
        if !healing.stop(Instant::now() + TO_CLOSE) {
            unit.healing = Healing::start(&unit.disk.name, mirrors, &unit.saved);
            bail!("a mirror of {} does not end what it is at; try again later", unit.disk.name);
        }
        drop(healing);
        let inner = mirror.mirrors_of(index);
        mirrors.retain(|mirror| !inner.contains(&mirror.name));
        mirror.volume.let_go(index);
        unit.files.retain(|file| !old.contains(&(file.path(), file.start())));
        let result = take_in(&opener, unit, &mirror, index, path);
        if let Ok(leg) = &result {
            mirrors.extend(leg.mirrors.iter().cloned());
            unit.files.extend(leg.files.iter().cloned());
        }
        unit.healing = Healing::start(&unit.disk.name, mirrors, &unit.saved);
        result?;
        if let (Some(path), [part]) = (path, parts.as_slice()) {
            let described = self.plan.disks.iter_mut().zip(&self.unit_of);
            let described = described.filter(|(_, unit)| **unit == position).map(|(disk, _)| disk);
            for disk in described.chain([&mut unit.disk]) {
                if let Some(part) = disk.parts.get_mut(*part) {
                    path.clone_into(&mut part.path);
                }
            }
            tracing::warn!(
                "{}: {member} is in {} now; write that into the file of targets too, or the mirror will miss it when \
                 timedisk starts again",
                unit.disk.name,
                path.display()
            );
        }
        unit.remember_in_all();
        Ok(())
    }

    /// Has the members of all mirrors of a disk compared.
    pub(crate) fn scrub(&mut self, position: usize) -> anyhow::Result<()> {
        let unit = self.units.get(position).context("there is no such disk any more")?;
        unit.mirrors()?.iter().for_each(|mirror| mirror.volume.start_scrub());
        Ok(())
    }

    /// At the end: puts all mirrors and sums in order, so that the next start need not compare anything. What takes too
    /// long is left, as after a crash.
    pub(crate) fn close_all(&mut self) {
        self.close_mirrors();
        self.opener.sums.close();
    }

    fn close_mirrors(&mut self) {
        let deadline = Instant::now() + TO_CLOSE;
        let mut volumes = Vec::new();
        for healing in self.units.iter_mut().filter_map(|unit| unit.healing.as_mut()) {
            if healing.stop(deadline) {
                volumes.extend(healing.mirrors.iter().map(|mirror| Arc::clone(&mirror.volume)));
            }
        }
        if volumes.is_empty() {
            return;
        }
        let (done, is_done) = std::sync::mpsc::channel();
        let closing = std::thread::Builder::new().name("mirror".into()).spawn(move || {
            volumes.iter().for_each(|volume| volume.close());
            drop(volumes);
            // Who has waited long enough is not there any more.
            let _ = done.send(());
        });
        if closing.is_err() || is_done.recv_timeout(TO_CLOSE).is_err() {
            tracing::warn!(
                "a mirror could not be closed in time; the next start compares what was written last"
            );
        }
    }
}

impl Unit {
    /// What the disk must not forget is kept with the new member too.
    fn remember_in_all(&self) {
        let states = self.files.iter().map(|file| Arc::clone(file.state()));
        let memory = Memory::new(self.saved.first().into_iter().chain(states));
        if let Err(error) = memory.agree() {
            tracing::warn!(
                "{}: a new member could not be told what the disk remembers: {error}",
                self.disk.name
            );
        }
        if let Err(error) = memory.note_served(self.served.unit().medium().capacity()) {
            tracing::warn!("{}: its size can't be kept in mind: {error}", self.disk.name);
        }
        self.saved.live_in(Some(memory));
    }
}

/// Before a loss is accepted it has to be known for good who has it.
fn write_down(mirror: &Mirror) -> anyhow::Result<()> {
    let written = mirror.volume.write_down();
    written.with_context(|| format!("which members {} goes on without can't be written down", mirror.name))
}

/// Opens a member, and gives it to its mirror.
fn take_in(
    opener: &Opener,
    unit: &Unit,
    mirror: &Mirror,
    index: usize,
    path: Option<&Path>,
) -> anyhow::Result<Leg> {
    let (prepared, leg) = Builder::member(opener, &unit.disk, mirror, index, path)?;
    match mirror.volume.replace(index, prepared) {
        Ok(()) => Ok(leg),
        Err(error) => {
            let files = leg.files.clone();
            drop(leg);
            files.iter().for_each(|file| file.take_back());
            Err(error.into())
        }
    }
}

/// A member's new file, as it has to be named.
pub(crate) fn check_path(path: Option<&str>) -> anyhow::Result<Option<&Path>> {
    match path.map(Path::new) {
        Some(path) if !path.is_absolute() => {
            bail!("{} is not a whole path: the daemon may run in another directory", path.display())
        }
        path => Ok(path),
    }
}
