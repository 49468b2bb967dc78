//! NetBSD's picture of a configuration: each target, and below it what it stands on.

use crate::configuration::{Authentication, Configuration, Length, Storage};
use std::fmt;

/// Shows a configuration in the form that NetBSD's daemon prints at its start: `NAME:ro|rw:MASK` for a
/// target, `NAME:RAIDn` for a device, `NAME:PATH:START:LENGTH` for an extent, one tab more for each level.
/// The length of a whole file is `size`. A target that asks for users has `auth=chap users=…` after the mask.
#[derive(Debug, Clone, Copy)]
pub struct Tree<'a> {
    configuration: &'a Configuration,
    shows_users: bool,
}

impl<'a> Tree<'a> {
    pub(crate) fn new(configuration: &'a Configuration) -> Self {
        Self { configuration, shows_users: true }
    }

    /// The tree with nothing that NetBSD does not show.
    pub(crate) fn bare(configuration: &'a Configuration) -> Self {
        Self { configuration, shows_users: false }
    }

    fn storage(self, f: &mut fmt::Formatter<'_>, storage: Storage, depth: usize) -> fmt::Result {
        let tabs = "\t".repeat(depth);
        match storage {
            Storage::Extent(index) => {
                let Some(extent) = self.configuration.extents.get(index) else {
                    return Ok(());
                };
                write!(f, "{tabs}{}:{}:{}:", extent.name, extent.path, extent.start)?;
                match extent.length {
                    Length::Bytes(bytes) => writeln!(f, "{bytes}"),
                    Length::WholeFile => writeln!(f, "size"),
                }
            }
            Storage::Device(index) => {
                let Some(device) = self.configuration.devices.get(index) else {
                    return Ok(());
                };
                writeln!(f, "{tabs}{}:RAID{}", device.name, device.level.number())?;
                device.members.iter().try_for_each(|member| self.storage(f, *member, depth + 1))
            }
        }
    }
}

/// Each line ends in a line feed.
impl fmt::Display for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for target in &self.configuration.targets {
            let flags = if target.read_only { "ro" } else { "rw" };
            write!(f, "{}:{flags}:{}", target.name, target.access)?;
            match &target.authentication {
                Authentication::Chap { users } if self.shows_users => {
                    writeln!(f, " auth=chap users={}", users.join(","))?;
                }
                _ => writeln!(f)?,
            }
            self.storage(f, target.storage, 1)?;
        }
        Ok(())
    }
}
