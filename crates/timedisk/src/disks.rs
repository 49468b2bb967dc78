//! Opening what is to be served.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use timedisk_config::{Length, format_size};
use timedisk_scsi::{BlockFormat, Identity, LogicalUnit, SettingsStore};
use timedisk_target::Disk as Served;
use timedisk_volume::{DiskState, FileVolume, OpenOptions, available_space};

use crate::plan::Disk;

/// Bytes of a block below the logical ones: reads and writes of less cost the file system a detour.
const PHYSICAL_BLOCK: u32 = 4096;

/// Opens a disk. Every message names the disk and says what to do.
pub(crate) fn open(disk: &Disk, block_length: u32, state: Option<&Path>) -> anyhow::Result<Arc<Served>> {
    let length = match disk.length {
        Length::Bytes(bytes) => timedisk_volume::Length::Bytes(bytes),
        Length::WholeFile => timedisk_volume::Length::WholeFile,
    };
    let options = OpenOptions {
        start: disk.start,
        read_only: disk.read_only,
        create_parents: disk.create_parents,
        block_length,
        state_directory: state.map(Path::to_path_buf),
        ..OpenOptions::new(&disk.path, length)
    };
    let volume = FileVolume::open(options).with_context(|| format!("the disk of {}", disk.name))?;
    if let Some(reason) = volume.state().flush_failure() {
        eprintln!(
            "timedisk: {}: an earlier flush of {} failed ({reason}): what was written before may be \
             lost. It is served, but takes no writes. Check what is on it, and copy it to a new file to go on.",
            disk.name,
            disk.path.display()
        );
    }
    let state = Arc::clone(volume.state());
    let identity = Identity {
        vendor: "timedisk".into(),
        product: "sparse disk".into(),
        revision: env!("CARGO_PKG_VERSION").chars().take(4).collect(),
        serial: state.serial().to_string(),
        naa: state.naa(),
    };
    let format =
        BlockFormat { logical_length: block_length, physical_length: PHYSICAL_BLOCK.max(block_length) };
    let unit = LogicalUnit::new(Arc::new(volume), identity, format, Some(Arc::new(Saved(state))));
    Ok(Served::new(disk.name.clone(), Arc::new(unit)))
}

/// Saved mode parameters live in the state file.
struct Saved(Arc<DiskState>);

impl SettingsStore for Saved {
    fn load(&self, key: &str) -> Option<String> {
        self.0.setting(key)
    }

    fn save(&self, key: &str, value: &str) -> Result<(), String> {
        self.0.set_setting(key, value).map_err(|error| error.to_string())
    }
}

/// Says so where the disks could grow beyond what their file systems have room for: they are thin, so this is allowed,
/// but writes will fail once the room is used up.
pub(crate) fn warn_of_little_space(disks: &[Disk], served: &[Arc<Served>]) {
    let mut by_device: Vec<(u64, u64, &Disk)> = Vec::new();
    for (disk, served) in disks.iter().zip(served).filter(|(disk, _)| !disk.read_only) {
        use std::os::unix::fs::MetadataExt;
        let Ok(metadata) = std::fs::metadata(&disk.path) else { continue };
        let growth = served.unit().medium().capacity().saturating_sub(metadata.blocks() * 512);
        match by_device.iter_mut().find(|(device, ..)| *device == metadata.dev()) {
            Some((_, sum, _)) => *sum += growth,
            None if metadata.is_file() => by_device.push((metadata.dev(), growth, disk)),
            None => {}
        }
    }
    for (_, growth, disk) in by_device {
        let folder =
            disk.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if let Ok(free) = available_space(folder)
            && growth > free
        {
            eprintln!(
                "timedisk: no space for all of it: the disks in {} could grow by {}, and there are {} free. \
                 They are sparse, so they work until then; after that, writes fail and reads go on. Make room, or \
                 smaller disks.",
                folder.display(),
                format_size(growth),
                format_size(free)
            );
        }
    }
}
