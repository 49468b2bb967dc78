//! What each target is made of, and what of it can be served: extents, alone, one after the other, or as copies of each
//! other.

use crate::configuration::{Configuration, Device, Level, Storage};
use crate::journal::Journal;
use crate::value::quoted;
use std::collections::HashSet;
use std::ops::Range;

/// Why a target cannot be served.
pub(crate) struct Refusal {
    /// The target's index.
    pub(crate) target: usize,
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: &'static str,
}

/// Finds the extents behind each target, and the targets that cannot be served for their devices.
pub(crate) fn resolve(configuration: &mut Configuration, journal: &mut Journal<'_>) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let Configuration { devices, targets, .. } = configuration;
    let mut named: HashSet<usize> = HashSet::new();
    for (target_index, target) in targets.iter_mut().enumerate() {
        let behind = behind(devices, target.storage);
        for (index, device) in behind.devices {
            let refused = match device.level {
                Level::Other(level) => {
                    Some(format!("RAID{level} devices are not served, and {} is one", quoted(&device.name)))
                }
                Level::Concatenation | Level::Mirror => None,
            };
            if let Some(message) = refused {
                let span = target.storage_span.clone();
                let help = "name a single extent, a RAID0 or a RAID1 device";
                refusals.push(Refusal { target: target_index, span, message, help });
                break;
            }
            if device.level == Level::Concatenation && device.members.len() > 1 && named.insert(index) {
                journal.notice(
                    target.storage_span.clone(),
                    format!("what NetBSD's own daemon wrote on {} is scrambled", quoted(&device.name)),
                    "it put what belongs after the first member into the first member; what timedisk writes \
                     is right. Copy data that NetBSD wrote from a backup, not from these files",
                );
            }
        }
        target.extents = behind.extents;
    }
    refusals
}

/// What a storage is made of, in written order.
struct Behind<'d> {
    extents: Vec<usize>,
    /// The devices with their indexes, an outer one before those in it.
    devices: Vec<(usize, &'d Device)>,
}

fn behind(devices: &[Device], storage: Storage) -> Behind<'_> {
    let mut behind = Behind { extents: Vec::new(), devices: Vec::new() };
    let mut open = vec![storage];
    while let Some(storage) = open.pop() {
        match storage {
            Storage::Extent(index) => behind.extents.push(index),
            Storage::Device(index) => {
                if let Some(device) = devices.get(index) {
                    behind.devices.push((index, device));
                    open.extend(device.members.iter().rev());
                }
            }
        }
    }
    behind
}
