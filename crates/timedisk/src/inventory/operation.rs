//! What people do to one disk while it is served.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use timedisk_config::{Length, format_size};
use timedisk_scsi::{Absence, Attention};
use timedisk_volume::{FileVolume, Health, Volume};

use super::healing::Healing;
use super::opened::{Opener, length};
use super::{Inventory, Unit, remembered};
use crate::plan::Origin;

/// How often is looked whether a file is free.
const LOOK: Duration = Duration::from_millis(1);

impl Unit {
    /// Lets go of the files, once no command has them any more.
    ///
    /// # Errors
    /// Something did not end before `deadline`: then the disk is where it was.
    pub(super) fn close(&mut self, absence: Absence, deadline: Instant) -> anyhow::Result<()> {
        let Some(volume) = self.served.take(absence, deadline)? else { return Ok(()) };
        if !self.healing.as_mut().is_none_or(|healing| healing.stop(deadline)) {
            self.put_back(volume);
            bail!("a mirror of {} did not end what it was at in time", self.disk.name);
        }
        if let Some(viewed) = self.viewed.upgrade() {
            viewed.end_views("the disk was taken away");
        }
        // A command that did not need to wait may still be at it; and so may somebody who asks how the disk is.
        while Arc::strong_count(&volume) > 1 {
            if Instant::now() >= deadline {
                self.put_back(volume);
                bail!("commands on {} did not end in time", self.disk.name);
            }
            std::thread::sleep(LOOK);
        }
        self.healing = None;
        self.saved.live_in(None);
        self.files.clear();
        Ok(())
    }

    /// The disk is where it was.
    fn put_back(&mut self, volume: Arc<dyn Volume>) {
        self.served.unit().medium().put(volume);
        if let Some(healing) = self.healing.take() {
            self.healing = Healing::start(&self.disk.name, healing.mirrors.clone(), &self.saved);
        }
    }

    /// What stands in the way of a new size, in words that say what to do.
    fn check_resizable(&self, bytes: u64) -> anyhow::Result<()> {
        let disk = &self.disk;
        let [part] = disk.parts.as_slice() else {
            bail!(
                "{} is made of several extents; write a larger one into the file, then `timedisk reload`",
                disk.name
            )
        };
        if let (Origin::File, Length::Bytes(_), Some(written)) = (disk.origin, part.length, &part.written) {
            bail!(
                "the size of {} stands in {}, line {}; write there `{} {} {} {}`, then `timedisk reload`",
                disk.name,
                written.file,
                written.line,
                written.extent,
                escaped(part.path.to_string_lossy().as_ref()),
                part.start,
                format_size(bytes)
            );
        }
        ensure!(
            !part.checksum,
            "{0} is kept with sums of its blocks (checksum=yes), and can't be made longer while it is served: \
             `timedisk offline {0}`, `timedisk image resize`, `timedisk online {0}`",
            disk.name
        );
        let block = u64::from(disk.block_length);
        ensure!(
            bytes.is_multiple_of(block),
            "{bytes} bytes are no whole blocks of {block}; write {}",
            format_size(bytes.next_multiple_of(block))
        );
        let now = self.served.unit().medium().capacity();
        ensure!(
            bytes >= now,
            "{} has {}; a disk never shrinks while it is served, for what is on it would lose its end. Make a smaller \
             one, and copy the files over",
            disk.name,
            format_size(now)
        );
        Ok(())
    }
}

/// A path as a file of targets has it.
fn escaped(path: &str) -> String {
    path.replace(' ', "\\ ").replace('\t', "\\\t")
}

impl Inventory {
    fn unit_mut(&mut self, position: usize) -> anyhow::Result<&mut Unit> {
        self.units.get_mut(position).context("there is no such disk any more")
    }

    /// Makes a disk larger; answers whether it was.
    pub(crate) fn resize(&mut self, position: usize, bytes: u64) -> anyhow::Result<bool> {
        let unit = self.units.get_mut(position).context("there is no such disk any more")?;
        ensure!(!unit.is_offline(), "{0} is offline; `timedisk online {0}` first", unit.disk.name);
        unit.check_resizable(bytes)?;
        let file = unit.files.first().context("a disk has at least one file")?;
        let before = file.capacity();
        if bytes == before {
            return Ok(false);
        }
        file.grow(length(Length::Bytes(bytes)))?.commit();
        remembered::note_disk(unit, file.capacity());
        // So that it comes back with that length when it was away.
        let described = self.plan.disks.iter_mut().zip(&self.unit_of);
        let described = described.filter(|(_, unit)| **unit == position).map(|(disk, _)| disk);
        for part in described.chain([&mut unit.disk]).flat_map(|disk| &mut disk.parts) {
            if matches!(part.length, Length::Bytes(_)) {
                part.length = Length::Bytes(bytes);
            }
        }
        Ok(true)
    }

    /// Takes a disk away: its commands end, it is flushed, its files are closed. Clients find it not ready.
    pub(crate) fn take_offline(&mut self, position: usize, deadline: Instant) -> anyhow::Result<()> {
        let unit = self.unit_mut(position)?;
        ensure!(!unit.is_offline(), "{} is offline already", unit.disk.name);
        unit.close(Absence::Offline, deadline)
    }

    /// Brings a disk back; answers what clients are to be told.
    pub(crate) fn bring_online(&mut self, position: usize) -> anyhow::Result<Vec<Attention>> {
        let unit = self.units.get(position).context("there is no such disk any more")?;
        ensure!(unit.is_offline(), "{} is online already", unit.disk.name);
        let before = unit.served.unit().medium().capacity();
        let opener = Opener { allow_shrink: unit.may_shrink, ..self.opener.clone() };
        let stack = opener.stack(&unit.disk, &unit.disk.parts)?;
        if let Err(error) = unit.check_identity(&stack) {
            stack.take_back();
            return Err(error);
        }
        let unit = self.unit_mut(position)?;
        let capacity = stack.volume.capacity();
        unit.put(stack);
        unit.may_shrink = false;
        remembered::note_disk(unit, capacity);
        let mut attentions = vec![Attention::BecameReady];
        if capacity != before {
            attentions.push(Attention::CapacityChanged);
        }
        Ok(attentions)
    }

    /// Takes a disk as it is after a failed flush.
    pub(crate) fn accept_loss(&mut self, position: usize) -> anyhow::Result<()> {
        let unit = self.unit_mut(position)?;
        ensure!(!unit.is_offline(), "{0} is offline; `timedisk online {0}` first", unit.disk.name);
        let failed = |file: &&Arc<FileVolume>| file.health() == Health::FlushFailed;
        let failed: Vec<&Arc<FileVolume>> = unit.files.iter().filter(failed).collect();
        ensure!(!failed.is_empty(), "no flush of {} has failed: there is nothing to accept", unit.disk.name);
        unit.write_down_who_is_out()?;
        for file in failed {
            file.accept_loss()?;
        }
        Ok(())
    }
}
