//! Commands that end because of another: of other sessions by task management or a reservation, of any by the control
//! mode page (SAM-5 5.6).

use std::sync::Arc;

use timedisk_iscsi::full_feature::normal_lun;
use timedisk_scsi::{NexusId, QueryError};

use super::{Guest, lun_field};
use crate::control::{Message, Notice};
use crate::disk::Disk;
use crate::house::View;

impl Guest {
    /// Commands of this session on a logical unit were cleared by another.
    pub(crate) fn tell_of_cleared(&self, lun: [u8; 8]) {
        if let Some((view, nexus)) = self.view() {
            view.server.tasks_cleared(lun, nexus);
        }
    }

    /// Ends the commands of others whom one of this session has preempted.
    pub(crate) fn abort_preempted(&self, lun: [u8; 8], victims: &[NexusId]) {
        let disk = self.view().and_then(|(view, _)| view.disk(view.server.unit(lun)?));
        if let Some(disk) = disk {
            self.abort_others(disk, |other| victims.contains(&other), Notice::Elsewhere);
        }
    }

    /// Ends what other sessions, of whatever target, have under way on a disk. Where its control mode page says so
    /// (TAS), they are answered, however else they would be told.
    pub(super) fn abort_others(&self, disk: &Disk, is_victim: impl Fn(NexusId) -> bool, notice: Notice) {
        let Some((_, nexus)) = self.view() else { return };
        let notice = if disk.unit().tells_of_aborted() { Notice::Status } else { notice };
        // First what runs, then the word: what a session starts after it has heard must not be abandoned as well.
        let abandon = |victim: NexusId| disk.executor().abandon_nexus(victim);
        let told = || Message::Aborted(Arc::clone(disk.unit()), notice);
        self.house.registry.tell_some(|_, other| other != nexus && is_victim(other), abandon, told);
    }

    /// Resets a logical unit, or all that the session has.
    pub(super) fn reset(&self, view: &View, lun: Option<[u8; 8]>) {
        let is_meant = |number: u16| lun.is_none_or(|lun| normal_lun(lun) == normal_lun(lun_field(number)));
        for (number, disk) in view.disks.iter().filter(|(number, _)| is_meant(*number)) {
            self.abort_others(disk, |_| true, Notice::Elsewhere);
            // Of its own commands the session aborts those that it has sent there.
            self.view().iter().for_each(|(_, nexus)| disk.executor().abandon_visits(*nexus));
            view.server.reset_unit(lun_field(*number));
        }
    }

    /// A command on the disk has ended with CHECK CONDITION. Whether the others of this session there are to be aborted
    /// for it.
    pub(super) fn abort_for_error(&self, disk: &Disk) -> bool {
        match disk.unit().query_error() {
            QueryError::GoOn => false,
            QueryError::OwnAborted => true,
            QueryError::AllAborted => {
                self.abort_others(disk, |_| true, Notice::Attention);
                true
            }
        }
    }
}
