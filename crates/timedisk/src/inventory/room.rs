//! Room for disks to grow.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use timedisk_config::format_size;
use timedisk_volume::{Volume, available_space};

use super::{Inventory, Unit};
use crate::plan::Part;

/// What the disks of one file system could take.
struct Growth {
    device: u64,
    bytes: u64,
    folder: PathBuf,
}

pub(super) fn warn<'a>(units: impl Iterator<Item = &'a Unit>) {
    let mut growths: Vec<Growth> = Vec::new();
    for file in units.flat_map(|unit| &unit.files) {
        let Ok(metadata) = std::fs::metadata(file.path()) else { continue };
        let bytes = file.capacity().saturating_sub(metadata.blocks() * 512);
        match growths.iter_mut().find(|growth| growth.device == metadata.dev()) {
            Some(growth) => growth.bytes += bytes,
            None if metadata.is_file() => {
                let parent = file.path().parent().filter(|parent| !parent.as_os_str().is_empty());
                let folder = parent.unwrap_or(Path::new(".")).to_path_buf();
                growths.push(Growth { device: metadata.dev(), bytes, folder });
            }
            None => {}
        }
    }
    for Growth { bytes, folder, .. } in growths {
        if let Ok(free) = available_space(&folder)
            && bytes > free
        {
            tracing::warn!(
                "no space for all of it: the disks in {} could grow by {}, and there are {} free. They are sparse, so \
                 they work until then; after that, writes fail and reads go on. Make room, or smaller disks.",
                folder.display(),
                format_size(bytes),
                format_size(free)
            );
        }
    }
}

impl Inventory {
    /// Lets go of memory that no disk is in any more.
    pub(super) fn forget_memory(&self) {
        let parts = || self.plan.disks.iter().flat_map(|disk| &disk.parts);
        let begins = |path: &Path, part: &Part| {
            path.as_os_str().as_encoded_bytes().starts_with(part.path.as_os_str().as_encoded_bytes())
        };
        self.opener.memory.keep_only(|path| parts().any(|part| begins(path, part)));
    }
}
