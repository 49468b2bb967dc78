//! `timedisk image info`.

use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;
use timedisk_config::format_size;

use super::states::{self, Remembered};
use super::{Holder, LookOptions, show};
use crate::commands::short;
use crate::sparse::SparseFile;

/// Characters of the map.
const COLUMNS: u64 = 64;

/// What an image is.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Info {
    pub(super) path: String,
    pub(super) is_device: bool,
    pub(super) size_bytes: u64,
    /// What the file takes on its file system.
    pub(super) allocated_bytes: Option<u64>,
    pub(super) space: Space,
    /// What is remembered of its disks.
    pub(super) disks: Vec<Remembered>,
    pub(super) holder: Option<Holder>,
}

/// Where the data are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Space {
    pub(super) data_bytes: u64,
    /// Runs of data with holes between them: the fewer of a size, the less a disk has to seek.
    pub(super) data_ranges: u64,
    pub(super) holes: u64,
    pub(super) largest_hole_bytes: u64,
    /// How full each part of the image is, from its beginning to its end: `.` nothing, 1 to 9 tenths, `#` all.
    pub(super) map: String,
}

pub(super) fn run(options: &LookOptions) -> anyhow::Result<ExitCode> {
    let info = Info::of(options)?;
    show(&info, || info.text(), options.json)
}

impl Info {
    pub(super) fn of(options: &LookOptions) -> anyhow::Result<Info> {
        let path = options.file.as_path();
        let file = SparseFile::open(path, false, None)?;
        let metadata =
            std::fs::metadata(path).with_context(|| format!("can't look at {}", path.display()))?;
        let fallback = options.daemon.directory().ok();
        Ok(Info {
            path: path.display().to_string(),
            is_device: file.is_device(),
            size_bytes: file.length(),
            allocated_bytes: metadata.is_file().then(|| metadata.blocks() * 512),
            space: Space::of(&file)?,
            disks: states::of_image(path, fallback.as_deref()),
            holder: Holder::of(path, &options.daemon)?,
        })
    }

    fn text(&self) -> String {
        let mut lines: Vec<(&str, String)> = Vec::new();
        let space = &self.space;
        lines.push(("size", format!("{} ({} bytes)", format_size(self.size_bytes), self.size_bytes)));
        if let Some(bytes) = self.allocated_bytes {
            lines.push(("allocated", format!("{}, {}", short(bytes), percent(bytes, self.size_bytes))));
        }
        lines.push(("data", format!("{} in {} ranges", short(space.data_bytes), space.data_ranges)));
        if let Some(mean) = space.data_bytes.checked_div(space.data_ranges) {
            lines.push(("", format!("a range has {} in the mean", short(mean))));
        }
        let largest = short(space.largest_hole_bytes);
        lines.push(("holes", format!("{}, the largest of {largest}", space.holes)));
        let column = short(self.size_bytes.div_ceil(COLUMNS));
        lines.push(("map", format!("{}  each {column}", space.map)));
        for disk in &self.disks {
            disk_lines(disk, &mut lines);
        }
        if self.disks.is_empty() {
            lines.push(("disk", "none yet: it gets a serial number when it is first served".into()));
        }
        let holder = self.holder.as_ref().map_or("by nobody".into(), |holder| format!("by {holder}"));
        lines.push(("open", holder));
        let kind = if self.is_device { "block device" } else { "file" };
        let mut text = format!("{}: {kind}\n", self.path);
        for (name, value) in lines {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {name:<10} {value}");
        }
        text
    }
}

fn disk_lines(disk: &Remembered, lines: &mut Vec<(&str, String)>) {
    if let Some(error) = &disk.error {
        lines.push(("disk", format!("at byte {}: {error}", disk.start)));
        return;
    }
    let served = disk
        .last_served_bytes
        .map_or("never served".into(), |bytes| format!("{} when it was last served", format_size(bytes)));
    let serial = disk.serial.as_deref().unwrap_or("?");
    lines.push(("disk", format!("at byte {}, serial number {serial}, {served}", disk.start)));
    lines.push(("", format!("remembered in {}", disk.state_file.as_deref().unwrap_or("?"))));
    disk.mirrors.iter().for_each(|mirror| lines.push(("mirror", mirror.clone())));
    let health = match (&disk.flush_failure, &disk.erasing) {
        (Some(reason), _) => format!("a flush failed ({reason}): it takes no writes"),
        (None, Some(erasing)) => format!("being erased for a client ({erasing})"),
        (None, None) => "good".into(),
    };
    lines.push(("health", health));
}

impl Space {
    /// Goes over the image from one run of data to the next.
    fn of(file: &SparseFile) -> anyhow::Result<Space> {
        let mut space = Space::default();
        let mut filled = [0_u64; COLUMNS as usize];
        let column = file.length().div_ceil(COLUMNS).max(1);
        let (mut at, length) = (0, file.length());
        while let Some(data) = file.next_data(at)? {
            space.hole(data.start - at);
            space.data_ranges += 1;
            space.data_bytes += data.end - data.start;
            let mut from = data.start;
            while from < data.end {
                let end = data.end.min((from / column + 1) * column);
                if let Some(filled) = filled.get_mut((from / column) as usize) {
                    *filled += end - from;
                }
                from = end;
            }
            at = data.end;
        }
        space.hole(length.saturating_sub(at));
        let columns = length.div_ceil(column);
        space.map = filled.iter().zip(0..columns).map(|(bytes, _)| mark(*bytes, column)).collect();
        Ok(space)
    }

    fn hole(&mut self, bytes: u64) {
        self.holes += u64::from(bytes > 0);
        self.largest_hole_bytes = self.largest_hole_bytes.max(bytes);
    }
}

fn mark(bytes: u64, of: u64) -> char {
    match bytes {
        0 => '.',
        _ if bytes >= of => '#',
        _ => char::from_digit(((bytes as u128 * 10 / of as u128) as u32).clamp(1, 9), 10).unwrap_or('9'),
    }
}

fn percent(bytes: u64, of: u64) -> String {
    match of {
        0 => "nothing to hold".into(),
        _ => format!("{:.1}% of the size", bytes as f64 * 100.0 / of as f64),
    }
}

/// How much could still be written to the image, and how much room its file system has, if that is less.
pub(super) fn short_of_room(path: &Path, info: &Info) -> Option<(u64, u64)> {
    let growth = info.size_bytes.saturating_sub(info.allocated_bytes?);
    let free = timedisk_volume::available_space(path).ok()?;
    (growth > free).then_some((growth, free))
}
