//! Which storage can be served: today an extent, or a device that is nothing but one extent.

use crate::configuration::{Configuration, Device, Level, Storage};
use crate::journal::Journal;
use crate::value::quoted;

/// Finds the extents behind each target; a mistake where they cannot be served.
pub(crate) fn resolve(configuration: &mut Configuration, journal: &mut Journal<'_>) {
    let Configuration { devices, targets, .. } = configuration;
    for target in targets {
        let (extents, compound) = behind(devices, target.storage);
        target.extents = extents;
        if let Some(device) = compound {
            let (level, members) = match device.level {
                Level::Mirror => ("RAID1", "is a mirror"),
                Level::Concatenation => ("RAID0", "has several members"),
            };
            journal.mistake(
                target.storage_span.clone(),
                format!("{level} devices are not served yet, and {} {members}", quoted(&device.name)),
                "name a single extent",
            );
        }
    }
}

/// The extents behind `storage` in written order, and the first device met that is more than its one member.
fn behind(devices: &[Device], storage: Storage) -> (Vec<usize>, Option<&Device>) {
    let mut extents = Vec::new();
    let mut compound = None;
    let mut open = vec![storage];
    while let Some(storage) = open.pop() {
        match storage {
            Storage::Extent(index) => extents.push(index),
            Storage::Device(index) => {
                let Some(device) = devices.get(index) else {
                    continue;
                };
                if device.level == Level::Mirror || device.members.len() > 1 {
                    compound = compound.or(Some(device));
                }
                open.extend(device.members.iter().rev());
            }
        }
    }
    (extents, compound)
}
