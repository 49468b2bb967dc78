//! A disk of a daemon of ours as it was at one moment, to be copied while clients go on.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hyper::body::Bytes;
use timedisk_config::format_size;

use super::CopyOptions;
use super::end::End;
use crate::control::{Client, LONGEST_READ, MapPart, Point};

/// How long the daemon has for each answer: longer than it has patience with its disks.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes that are read at once where there are many short runs of data.
const AHEAD: u64 = 1 << 20;

/// How often the daemon is told that the point is still wanted.
const TEND: Duration = Duration::from_secs(10);

/// A point that was taken. It is released when this is dropped.
#[derive(Debug)]
pub(super) struct PointOfDisk {
    client: Client,
    point: Point,
    /// Parts with data before `known`, as far as they are not passed.
    parts: VecDeque<MapPart>,
    known: u64,
    /// Where data were asked for last.
    asked: u64,
    /// What was read last, and from which byte on.
    ahead: (u64, Bytes),
    used: Instant,
}

impl PointOfDisk {
    /// Has the daemon take a point of a disk, and says so. `path` is the file that is to be copied, if it was named.
    pub(super) fn take(name: &str, path: Option<&Path>, typed: &CopyOptions) -> anyhow::Result<End> {
        let client = typed.daemon.client_within(PATIENCE)?;
        if let Some(path) = path {
            check_is_all(&client, name, path)?;
        }
        let point = client.take_point(name, typed.scratch).with_context(|| format!("no point of {name}"))?;
        eprintln!(
            "timedisk: {} is served; it is copied as it was at {} UTC, while clients go on (they \
             waited {:.3} ms, and may overwrite {})",
            point.disk,
            time_of_day(point.taken),
            point.pause_microseconds as f64 / 1000.0,
            format_size(point.scratch_bytes)
        );
        let (parts, used) = (VecDeque::new(), Instant::now());
        let taken = PointOfDisk { client, point, parts, known: 0, asked: 0, ahead: (0, Bytes::new()), used };
        Ok(End::Point(Box::new(taken)))
    }

    pub(super) fn length(&self) -> u64 {
        self.point.size_bytes
    }

    /// No two points are the same: no copy ever goes on with another one.
    pub(super) fn stamp(&self) -> String {
        format!(
            "point {} of disk {:?}, taken at {}",
            self.point.id,
            self.point.disk,
            time_of_day(self.point.taken)
        )
    }

    pub(super) fn next_data(&mut self, at: u64) -> anyhow::Result<Option<Range<u64>>> {
        if at < self.asked {
            // Who verifies begins again.
            (self.known, self.parts) = (at, VecDeque::new());
        }
        self.asked = at;
        loop {
            while self.parts.front().is_some_and(|part| part.offset + part.length <= at) {
                self.parts.pop_front();
            }
            if let Some(part) = self.parts.front() {
                return Ok(Some(part.offset.max(at)..part.offset + part.length));
            }
            self.known = self.known.max(at);
            if self.known >= self.length() {
                return Ok(None);
            }
            let map = self.client.map_of_point(&self.point.id, self.known)?;
            self.used = Instant::now();
            let next = map.next.unwrap_or(self.length());
            ensure!(next > self.known, "the daemon's map of {} does not go on", self.point.disk);
            (self.known, self.parts) = (next, map.data.into());
        }
    }

    pub(super) fn read(&mut self, offset: u64, buffer: &mut [u8]) -> anyhow::Result<()> {
        let mut at = offset;
        for part in buffer.chunks_mut(LONGEST_READ as usize) {
            self.read_part(at, part)?;
            at += part.len() as u64;
        }
        Ok(())
    }

    fn read_part(&mut self, at: u64, part: &mut [u8]) -> anyhow::Result<()> {
        let length = part.len() as u64;
        let (from, ahead) = &self.ahead;
        let known = at.checked_sub(*from).and_then(|skip| ahead.get(skip as usize..)?.get(..part.len()));
        if let Some(known) = known {
            part.copy_from_slice(known);
            return Ok(());
        }
        let longer = length.max(AHEAD).min(self.length().saturating_sub(at)).max(length);
        let data = self.client.read_point(&self.point.id, at, longer)?;
        self.used = Instant::now();
        part.copy_from_slice(data.get(..part.len()).context("the daemon sends too little")?);
        self.ahead = (at, data);
        Ok(())
    }

    /// Has the daemon keep it while nothing is read.
    pub(super) fn tend(&mut self) -> anyhow::Result<()> {
        if self.used.elapsed() >= TEND {
            self.client.map_of_point(&self.point.id, self.length())?;
            self.used = Instant::now();
        }
        Ok(())
    }
}

impl Drop for PointOfDisk {
    fn drop(&mut self) {
        // Else the daemon drops it when nobody has read it for a minute.
        let _ = self.client.release_point(&self.point.id);
    }
}

/// A file that is only a part of a disk can't be had by way of the disk.
fn check_is_all(client: &Client, name: &str, path: &Path) -> anyhow::Result<()> {
    let status = client.status()?;
    let disk = status.disks.iter().find(|disk| disk.name == name);
    let disk = disk.with_context(|| format!("{name} is not served any more"))?;
    let metadata = std::fs::metadata(path).with_context(|| format!("can't look at {}", path.display()))?;
    let is_all = disk.paths.len() == 1 && (!metadata.is_file() || metadata.len() == disk.size_bytes);
    ensure!(
        is_all,
        "{} is served, and not all of the disk {name} is this file, or not all of the file is the disk: copy the disk, \
         with disk:{name}; or `timedisk offline {name}`, copy the file, `timedisk online {name}`",
        path.display()
    );
    Ok(())
}

fn time_of_day(seconds: u64) -> String {
    let of_day = seconds % 86_400;
    format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}
