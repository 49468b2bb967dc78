//! The disks that are open, and how they become those of another plan.

mod access;
mod change;
mod heal;
mod healing;
mod memory;
mod mirrors;
mod opened;
mod operation;
mod places;
mod remembered;
mod room;
mod schedule;
mod sums;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use timedisk_target::{Authentication, Catalogue, Disk as Served, Mount, Target, User};
use timedisk_volume::{FileVolume, ImageFiles, MemoryFiles, ViewedVolume, half_of_memory};

use crate::plan::{Chap, Disk, Plan};
pub(crate) use heal::check_path;
use healing::Healing;
use memory::identity_of;
pub(crate) use mirrors::Mirror;
use opened::{Opener, Saved, Stack};
use places::is_same_file;
pub(crate) use schedule::Comparisons;
use sums::AllSums;

/// The disks that are open.
#[derive(Debug)]
pub(crate) struct Inventory {
    opener: Opener,
    plan: Plan,
    units: Vec<Unit>,
    /// Of each disk of the plan, the position of its unit.
    unit_of: Vec<usize>,
}

/// An open disk. Disks of a plan that only read the same bytes share it.
#[derive(Debug)]
pub(crate) struct Unit {
    /// As it is described; the first one's name is its own.
    pub(crate) disk: Disk,
    pub(crate) served: Arc<Served>,
    /// None while it is offline.
    pub(crate) files: Vec<Arc<FileVolume>>,
    /// Its mirrors, while it is online.
    pub(crate) healing: Option<Healing>,
    /// What its logical unit has, while it is online. Who only looks must not keep the files open.
    viewed: Weak<ViewedVolume>,
    saved: Arc<Saved>,
    /// Of its first file.
    serial: String,
    /// It may come back with fewer bytes than it had.
    may_shrink: bool,
}

impl Unit {
    pub(crate) fn is_offline(&self) -> bool {
        self.files.is_empty()
    }

    /// Its volume, of which points can be taken; `None` while it is offline.
    pub(crate) fn viewed(&self) -> Option<Arc<ViewedVolume>> {
        self.viewed.upgrade()
    }

    /// It goes on, on these files.
    fn put(&mut self, stack: Stack) {
        self.saved.live_in(Some(stack.memory()));
        self.viewed = Arc::downgrade(&stack.volume);
        self.served.unit().medium().put(stack.volume);
        self.files = stack.files;
        self.healing = Healing::start(&self.disk.name, stack.mirrors, &self.saved);
    }

    /// Whether these files are those of this disk, and not of another that has taken their place.
    fn check_identity(&self, stack: &Stack) -> anyhow::Result<()> {
        let serial = stack.state().map(|state| identity_of(state).0).unwrap_or_default();
        anyhow::ensure!(
            serial == self.serial,
            "the disk of {}: {} is another disk now (serial number {serial}, not {}). Bring the other image back, with \
             its state file; or take the disk out, `timedisk reload`, and put it in again",
            self.disk.name,
            self.disk.path().display(),
            self.serial
        );
        Ok(())
    }
}

impl Inventory {
    /// With no disk. `state` is where state goes that can't be beside an image.
    pub(crate) fn new(state: Option<PathBuf>) -> Inventory {
        let memory = MemoryFiles::with_limit(half_of_memory());
        let files = ImageFiles::with_calls(Arc::new(memory.clone()));
        let opener = Opener { files, memory, state, sums: AllSums::default(), allow_shrink: false };
        Inventory { opener, plan: Plan::default(), units: Vec::new(), unit_of: Vec::new() }
    }

    /// Each disk of the plan with its unit.
    pub(crate) fn disks(&self) -> impl Iterator<Item = (&Disk, &Unit)> {
        let disks = self.plan.disks.iter().zip(&self.unit_of);
        disks.filter_map(|(disk, index)| Some((disk, self.units.get(*index)?)))
    }

    /// The position of the unit that somebody names: by its target's short name, by the target's iSCSI name where that
    /// has one disk only, by `IQN/LUN`, or by its file.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        let by = |matches: &dyn Fn(&Disk) -> bool| -> Option<usize> {
            let mut found = self.plan.disks.iter().zip(&self.unit_of).filter(|(disk, _)| matches(disk));
            let first = found.next().map(|(_, unit)| *unit);
            first.filter(|first| found.all(|(_, unit)| unit == first))
        };
        by(&|disk| disk.name == name)
            .or_else(|| by(&|disk| disk.iqn == name))
            .or_else(|| by(&|disk| format!("{}/{}", disk.iqn, disk.lun) == name))
            .or_else(|| by(&|disk| disk.parts.iter().any(|part| is_same_file(&part.path, Path::new(name)))))
    }

    /// Where things are put that need not last: in the state directory, else beside the disk's first file.
    pub(crate) fn scratch_directory(&self, unit: &Unit) -> PathBuf {
        let beside = || unit.disk.path().parent().map(Path::to_owned).unwrap_or_default();
        self.opener.state.clone().unwrap_or_else(beside)
    }

    pub(crate) fn unit(&self, index: usize) -> Option<&Unit> {
        self.units.get(index)
    }

    /// The catalogue for a server.
    pub(crate) fn catalogue(&self) -> Catalogue {
        let user = |name: &String| {
            let known = self.plan.users.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            known.map(|(name, secret)| User { name: name.clone(), secret: secret.clone() })
        };
        let authentication = |chap: &Option<Chap>| match chap {
            None => Authentication::None,
            Some(Chap { users, own }) => {
                Authentication::Chap { users: users.clone(), own: own.as_ref().and_then(user) }
            }
        };
        let mut targets: Vec<Target> = Vec::new();
        for (disk, unit) in self.disks() {
            let mount = Mount { lun: disk.lun, disk: Arc::clone(&unit.served), access: disk.allows() };
            match targets.iter_mut().find(|target| target.name == disk.iqn) {
                Some(target) => target.mounts.push(mount),
                None => targets.push(Target {
                    name: disk.iqn.clone(),
                    alias: Some(disk.name.clone()),
                    authentication: authentication(&disk.chap),
                    mounts: vec![mount],
                    portal_groups: disk.portals.clone(),
                }),
            }
        }
        let users = self.plan.users.iter().map(|(name, _)| name);
        Catalogue {
            targets,
            users: users.filter_map(user).collect(),
            discovery: authentication(&self.plan.discovery),
        }
    }

    /// Says so where the disks could grow beyond what their file systems have room for: they are thin, so this is
    /// allowed, but writes will fail once the room is used up.
    pub(crate) fn warn_of_little_room(&self) {
        room::warn(self.units.iter().filter(|unit| !unit.disk.read_only));
    }
}
