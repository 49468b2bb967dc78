//! How disks are used through the portal groups.

use std::sync::Arc;

use timedisk_scsi::{AccessState, Attention};

use super::change::Changes;
use super::{Inventory, Unit};
use crate::portals;

impl Changes {
    /// As the plan says, but for what was changed since.
    pub(super) fn configure_access(&mut self, now: &Inventory) {
        let groups = portals::access(&now.plan.portals);
        for Unit { disk, served, .. } in &now.units {
            let unit = served.unit();
            match unit.set_port_groups(&groups, disk.explicit) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => tracing::warn!("{}: {error}; it may be back after a restart", disk.name),
            }
            self.attentions.push((Arc::clone(unit), Attention::AccessStateChanged));
            if !self.changed.contains(&disk.name) && !self.added.contains(&disk.name) {
                self.changed.push(disk.name.clone());
            }
        }
    }
}

impl Inventory {
    /// Changes the access state of a disk in a portal group. Answers what its clients are to be told.
    pub(crate) fn set_access_state(
        &mut self,
        position: usize,
        group: u16,
        state: AccessState,
    ) -> anyhow::Result<Vec<Attention>> {
        let Some(unit) = self.unit(position) else { anyhow::bail!("there is no such disk") };
        let changed = unit.served.unit().set_access_state(group, state)?;
        Ok(changed.then_some(Attention::AccessStateChanged).into_iter().collect())
    }
}
