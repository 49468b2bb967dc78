//! Disks in memory: who they are, since no file remembers it.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use sha2::Digest;
use timedisk_volume::MemoryFiles;

use super::{Disk, Plan};
use crate::state_directory;

/// Files that tell one machine from another, the best first.
const MACHINE: [&str; 3] = ["/etc/machine-id", "/var/lib/dbus/machine-id", "/proc/sys/kernel/hostname"];

impl Disk {
    pub(crate) fn is_in_memory(&self) -> bool {
        self.parts.iter().any(|part| MemoryFiles::is_in_memory(&part.path))
    }
}

impl Plan {
    /// Gives disks in memory serial numbers: the same at each start, and others on other machines and from other
    /// state directories, since initiators take disks with one serial number for one disk.
    pub(super) fn name_disks_in_memory(&mut self, state: Option<&PathBuf>) -> anyhow::Result<()> {
        let unnamed = |disk: &&mut Disk| disk.serial.is_none() && disk.is_in_memory();
        for disk in self.disks.iter_mut().filter(unnamed) {
            let mut hash = sha2::Sha256::new();
            hash.update(MACHINE.iter().find_map(|file| std::fs::read(file).ok()).unwrap_or_default());
            hash.update(std::path::absolute(state_directory::choose(state)?)?.as_os_str().as_bytes());
            hash.update(format!("\n{}\n{}", disk.iqn, disk.lun));
            disk.serial = Some(hash.finalize().iter().take(8).map(|byte| format!("{byte:02X}")).collect());
        }
        Ok(())
    }
}
