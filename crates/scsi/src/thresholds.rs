//! Logical block provisioning thresholds (SBC-3 4.7.3.7): whoever wants to be told before the file system is full.
//!
//! Nobody is told unless a client has asked for it (logical block provisioning mode page). Then it is once for each
//! crossing, and never as the status of a command that writes: clients have taken that for a broken disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use timedisk_volume::{Volume, VolumeError};

use crate::sense::THRESHOLD_REACHED;
use crate::{LogicalUnit, NexusId};

/// Bytes of a threshold set, in which resources are counted.
const SET: u64 = 1 << 20;

/// A threshold that clients set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Threshold {
    pub(crate) enabled: bool,
    /// In threshold sets.
    pub(crate) count: u32,
}

/// LBA mapping resources, in threshold sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resources {
    pub(crate) available: u32,
    pub(crate) used: u32,
}

/// THRESHOLD EXPONENT: the blocks of a threshold set, as a power of two.
pub(crate) fn exponent(unit: &LogicalUnit) -> u8 {
    (SET / unit.block_length()).checked_ilog2().unwrap_or(0) as u8
}

/// What there is of resources, if anybody knows. This may wait for the file system.
pub(crate) fn resources(unit: &LogicalUnit, volume: &dyn Volume) -> Result<Option<Resources>, VolumeError> {
    let set = unit.block_length() << exponent(unit);
    let count = |sets| u32::try_from(sets).unwrap_or(u32::MAX);
    let counted = volume.space()?.map(|space| Resources {
        available: count(space.available / set),
        used: count(space.used.div_ceil(set)),
    });
    Ok(counted)
}

/// Which thresholds a logical unit has come to.
#[derive(Debug, Default)]
pub(crate) struct Thresholds {
    /// Bytes written since resources were looked at.
    unseen: AtomicU64,
    /// The thresholds as they were then, and whether each was reached.
    seen: Mutex<[(Threshold, bool); 2]>,
}

impl Thresholds {
    /// After a command that has changed so many bytes: looks whether it has come to a threshold, if there are any, and
    /// if enough has changed meanwhile to make a difference.
    pub(crate) fn look(&self, unit: &LogicalUnit, nexus: NexusId, bytes: u64) {
        let modes = unit.modes();
        if !modes.tells_of_thresholds || modes.thresholds.iter().all(|threshold| !threshold.enabled) {
            return;
        }
        let bytes = bytes.min(SET);
        if self.unseen.fetch_add(bytes, Ordering::Relaxed) + bytes < SET {
            return;
        }
        self.unseen.store(0, Ordering::Relaxed);
        let Some(volume) = unit.medium().present() else { return };
        // The write has been done. Who wants to know why the file system does not tell can ask for the log page.
        let Ok(Some(resources)) = resources(unit, &*volume) else { return };
        let [available, used] = modes.thresholds;
        let reached = [resources.available <= available.count, resources.used >= used.count];
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut crossed = false;
        for ((seen, threshold), reached) in seen.iter_mut().zip(modes.thresholds).zip(reached) {
            let now = threshold.enabled && reached;
            crossed |= now && *seen != (threshold, true);
            *seen = (threshold, now);
        }
        match crossed {
            true if modes.tells_one_nexus => unit.attentions().establish(nexus, &THRESHOLD_REACHED),
            true => unit.attentions().establish_for_all(&THRESHOLD_REACHED),
            false => {}
        }
    }
}
