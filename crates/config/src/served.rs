//! What each target is made of, and what of it can be served: extents, alone or one after the other.

use crate::configuration::{Configuration, Device, Level, Storage};
use crate::journal::Journal;
use crate::value::quoted;
use std::collections::HashSet;

/// Finds the extents behind each target; a mistake where they cannot be served.
pub(crate) fn resolve(configuration: &mut Configuration, journal: &mut Journal<'_>) {
    let Configuration { devices, targets, .. } = configuration;
    let mut named: HashSet<usize> = HashSet::new();
    for target in targets {
        let behind = behind(devices, target.storage);
        for (index, device) in behind.devices {
            match device.level {
                Level::Mirror => {
                    journal.mistake(
                        target.storage_span.clone(),
                        format!("RAID1 devices are not served yet, and {} is a mirror", quoted(&device.name)),
                        "name a single extent or a RAID0 device",
                    );
                    break;
                }
                Level::Concatenation if device.members.len() > 1 && named.insert(index) => journal.notice(
                    target.storage_span.clone(),
                    format!("what NetBSD's own daemon wrote on {} is scrambled", quoted(&device.name)),
                    "it put what belongs after the first member into the first member; what timedisk writes \
                     is right. Copy data that NetBSD wrote from a backup, not from these files",
                ),
                Level::Concatenation => {}
            }
        }
        target.extents = behind.extents;
    }
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
