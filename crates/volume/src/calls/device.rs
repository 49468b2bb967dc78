//! What the system tells about block devices below /sys/dev/block: which are partitions of others, and what each is
//! called by its maker.

use std::fs;
use std::path::{Path, PathBuf};

use super::{FileIdentity, FileKind};

/// Where the system tells about block devices, by their numbers.
const SYSTEM: &str = "/sys/dev/block";

/// The files in which a device says who it is, the most telling first. Of some, the name is the driver's.
const NAMES: [&str; 6] = ["wwid", "device/wwid", "dm/uuid", "md/uuid", "serial", "device/serial"];

/// Sizes and places of partitions are told in units of so many bytes, whatever the device's blocks are.
const UNIT: u64 = 512;

/// A partition of a block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The device that it is a part of.
    pub whole: FileIdentity,
    /// Where it begins there, in bytes.
    pub start: u64,
    /// In bytes.
    pub length: u64,
}

impl FileIdentity {
    /// What of which device it is, if it is a partition.
    pub fn partition(&self) -> Option<Partition> {
        self.partition_below(Path::new(SYSTEM))
    }

    /// The names that stay with a block device, whatever path leads to it; of a partition, its device's with its
    /// number. None where the device has none, as a loop device, and for what is no block device.
    pub(crate) fn device_names(&self) -> Vec<String> {
        self.device_names_below(Path::new(SYSTEM))
    }

    /// Whether a block device can be opened for writing and then takes no writes.
    pub(crate) fn is_read_only_device(&self) -> bool {
        self.directory(Path::new(SYSTEM)).is_some_and(|directory| number(&directory.join("ro")) == Some(1))
    }

    fn partition_below(&self, system: &Path) -> Option<Partition> {
        let directory = self.directory(system)?;
        number(&directory.join("partition"))?;
        let (major, minor) = word(&directory.join("../dev"))?
            .split_once(':')
            .map(|(major, minor)| (major.parse::<u32>().ok(), minor.parse::<u32>().ok()))?;
        Some(Partition {
            whole: Self { device: rustix::fs::makedev(major?, minor?), ..*self },
            start: number(&directory.join("start"))?.checked_mul(UNIT)?,
            length: number(&directory.join("size"))?.checked_mul(UNIT)?,
        })
    }

    fn device_names_below(&self, system: &Path) -> Vec<String> {
        let Some(directory) = self.directory(system) else { return Vec::new() };
        let part = number(&directory.join("partition"));
        let whole = if part.is_some() { directory.join("..") } else { directory };
        let names = NAMES.iter().filter_map(|file| word(&whole.join(file)));
        let mut names: Vec<String> = names
            .map(|name| part.map_or_else(|| name.clone(), |part| format!("{name} partition {part}")))
            .collect();
        names.dedup();
        names
    }

    fn directory(&self, system: &Path) -> Option<PathBuf> {
        let (major, minor) = (rustix::fs::major(self.device), rustix::fs::minor(self.device));
        // Through the link, so that `..` is the device and not the directory of links.
        let directory = || system.join(format!("{major}:{minor}")).canonicalize().ok();
        (self.kind == FileKind::BlockDevice).then(directory).flatten()
    }
}

/// What is in a file, on one line, without what a state file could not hold.
fn word(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = text.chars().filter(|letter| !letter.is_control()).collect();
    (!text.is_empty()).then_some(text)
}

fn number(path: &Path) -> Option<u64> {
    word(path)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn device(major: u32, minor: u32) -> FileIdentity {
        let device = rustix::fs::makedev(major, minor);
        FileIdentity { kind: FileKind::BlockDevice, device, inode: 0 }
    }

    /// Files as Linux has them: a disk with a partition, and a disk that says nothing of itself.
    fn system() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("devices/sda/dev", "8:0\n");
        write("devices/sda/device/wwid", "t10.ATA     QEMU HARDDISK    QM0001 \n");
        write("devices/sda/serial", "QM0001\n");
        write("devices/sda/sda2/partition", "2\n");
        write("devices/sda/sda2/start", "2048\n");
        write("devices/sda/sda2/size", "100\n");
        write("devices/loop0/dev", "7:0\n");
        fs::create_dir(root.path().join("block")).unwrap();
        for (number, directory) in [("8:0", "sda"), ("8:2", "sda/sda2"), ("7:0", "loop0")] {
            let link = root.path().join("block").join(number);
            std::os::unix::fs::symlink(Path::new("../devices").join(directory), link).unwrap();
        }
        root
    }

    #[test]
    fn a_partition_is_a_part_of_its_device() {
        let root = system();
        let system = root.path().join("block");
        let expected = Partition { whole: device(8, 0), start: 1 << 20, length: 51_200 };
        assert_eq!(device(8, 2).partition_below(&system), Some(expected));
        for whole in [device(8, 0), device(7, 0), device(9, 9)] {
            assert_eq!(whole.partition_below(&system), None);
        }
        let file = FileIdentity { kind: FileKind::Regular, ..device(8, 2) };
        assert_eq!(file.partition_below(&system), None);
    }

    #[test]
    fn a_device_has_the_names_that_its_maker_gave_it() {
        let root = system();
        let system = root.path().join("block");
        let name = "t10.ATA QEMU HARDDISK QM0001";
        assert_eq!(device(8, 0).device_names_below(&system), [name, "QM0001"]);
        let partition = device(8, 2).device_names_below(&system);
        assert_eq!(partition, [format!("{name} partition 2"), "QM0001 partition 2".into()]);
        assert_eq!(device(7, 0).device_names_below(&system), [""; 0]);
    }
}
