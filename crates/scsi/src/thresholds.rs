//! Logical block provisioning thresholds (SBC-5 4.7.3.7): whoever wants to be told before the file system is full.
//!
//! Nobody is told unless a client has asked for it (logical block provisioning mode page). Then it is once for each
//! crossing, and never as the status of a command that writes: clients have taken that for a broken disk.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use timedisk_volume::{Space, Volume, VolumeError};

use crate::LogicalUnit;
use crate::sense::{Condition, THRESHOLD_REACHED};

/// Bytes of a threshold set, in which resources are counted.
const SET: u64 = 1 << 20;

/// THRESHOLD PERCENTAGE, in tenths: the range about a threshold in percent.
pub(crate) const PERCENTAGE: u8 = 10;

/// A threshold that clients set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Threshold {
    pub(crate) enabled: bool,
    /// In threshold sets, or in percent.
    pub(crate) count: u32,
}

/// LBA mapping resources, in threshold sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resources {
    pub(crate) available: u32,
    pub(crate) used: u32,
    /// Of all of them, those that are available.
    pub(crate) percentage: u8,
}

/// THRESHOLD EXPONENT: the blocks of a threshold set, as a power of two.
pub(crate) fn exponent(unit: &LogicalUnit) -> u8 {
    (SET / unit.block_length()).checked_ilog2().unwrap_or(0) as u8
}

fn set(unit: &LogicalUnit) -> u64 {
    unit.block_length() << exponent(unit)
}

/// What there is of resources, if anybody knows. This may wait for the file system.
pub(crate) fn resources(unit: &LogicalUnit, volume: &dyn Volume) -> Result<Option<Resources>, VolumeError> {
    let set = set(unit);
    let count = |sets| u32::try_from(sets).unwrap_or(u32::MAX);
    Ok(volume.space()?.map(|space| {
        let (available, used) = (u128::from(space.available), u128::from(space.used));
        Resources {
            available: count(space.available / set),
            used: count(space.used.div_ceil(set)),
            percentage: (available * 100 / (available + used).max(1)) as u8,
        }
    }))
}

/// Which thresholds a logical unit has come to.
#[derive(Debug, Default)]
pub(crate) struct Thresholds {
    /// Bytes written since resources were looked at.
    unseen: AtomicU64,
    seen: Mutex<Seen>,
    /// One nexus is to be told, whichever comes first (SITUA).
    is_due: AtomicBool,
}

#[derive(Debug, Default)]
struct Seen {
    /// The thresholds as they were then, and whether each was reached.
    thresholds: [(Threshold, bool); 3],
    /// That which was reached last.
    latest: usize,
}

impl Thresholds {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a command that has changed so many bytes: looks whether it has come to a threshold, if there are any, and
    /// if enough has changed meanwhile to make a difference.
    pub(crate) fn look(&self, unit: &LogicalUnit, bytes: u64) {
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
        let Ok(Some(space)) = volume.space() else { return };
        let crossed = self.seen().cross(modes.thresholds, space, set(unit));
        match crossed {
            true if modes.tells_one_nexus => self.is_due.store(true, Ordering::Relaxed),
            true => unit.attentions().establish_for_all(&THRESHOLD_REACHED),
            false => {}
        }
    }

    /// For the one nexus that is to be told.
    pub(crate) fn take(&self) -> Option<&'static Condition> {
        let is_due = self.is_due.load(Ordering::Relaxed) && self.is_due.swap(false, Ordering::Relaxed);
        is_due.then_some(&THRESHOLD_REACHED)
    }

    /// INFORMATION of the condition: where the descriptor of the threshold stands in the mode page.
    pub(crate) fn information(&self) -> u64 {
        16 + 8 * self.seen().latest as u64
    }

    /// After a logical unit reset all are crossed anew.
    pub(crate) fn reset(&self) {
        *self.seen() = Seen::default();
        self.is_due.store(false, Ordering::Relaxed);
    }
}

impl Seen {
    /// Whether one was reached that was not before.
    fn cross(&mut self, thresholds: [Threshold; 3], space: Space, set: u64) -> bool {
        let mut crossed = false;
        for (number, (seen, threshold)) in self.thresholds.iter_mut().zip(thresholds).enumerate() {
            let before = *seen == (threshold, true);
            let now = threshold.enabled && is_reached(number, threshold.count, before, space, set);
            if now && !before {
                (self.latest, crossed) = (number, true);
            }
            *seen = (threshold, now);
        }
        crossed
    }
}

/// It is reached in the middle of its range, and left at the end where it came from.
fn is_reached(number: usize, count: u32, before: bool, space: Space, set: u64) -> bool {
    let (available, used) = (u128::from(space.available), u128::from(space.used));
    let (count, set, half) = (u128::from(count), u128::from(set), u128::from(before));
    match number {
        0 => available * 2 <= (count * 2 + half) * set,
        1 => used * 2 + half * set >= count * 2 * set,
        _ => available * 1000 <= (count * 10 + half * u128::from(PERCENTAGE / 2)) * (available + used),
    }
}
