//! `timedisk image resize`: of an image that nobody serves.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{bail, ensure};
use clap::Args;
use timedisk_config::format_size;
use timedisk_volume::{DiskState, Lock};

use super::create::{only_disk, whole_blocks};
use super::{check_whole, in_use};
use crate::commands::{DaemonOptions, say};
use crate::sparse::SparseFile;

/// Make an image longer while it is not served. For a disk that is served: `timedisk resize`.
///
/// Example: timedisk image resize /srv/a.img 1TB
#[derive(Args, Debug)]
pub(crate) struct ResizeOptions {
    /// The image.
    file: PathBuf,
    /// The new size, such as 1TB.
    size: String,
    /// Make it shorter if that is less: what is beyond the new end is lost.
    #[arg(long)]
    allow_shrink: bool,
    #[command(flatten)]
    daemon: DaemonOptions,
}

pub(super) fn run(options: &ResizeOptions) -> anyhow::Result<ExitCode> {
    let path = options.file.as_path();
    let size = whole_blocks(&options.size)?;
    let opened = SparseFile::open(path, true, Some(Lock::Exclusive));
    let mut file = opened.map_err(|error| {
        in_use(error, &options.daemon, |disk| {
            format!("`timedisk resize {} {}` makes it larger while it is served", disk.name, options.size)
        })
    })?;
    ensure!(!file.is_device(), "{} is a block device, and has the size that it has", path.display());
    let fallback = options.daemon.directory().ok();
    let disk = only_disk(path, fallback.as_deref())?;
    let before = file.length();
    // A disk never becomes shorter than clients last saw it, unless that is meant; and an image that was cut may be
    // made as long again as it was.
    let seen = disk.and_then(|disk| disk.last_served_bytes).unwrap_or(0);
    let shrinks = size < before || size < seen;
    if shrinks && !options.allow_shrink {
        bail!("{}", would_shrink(&file, size, seen)?);
    }
    if shrinks {
        check_whole(path, fallback.as_deref())?;
        note_served(path, fallback.as_deref(), size.min(seen))?;
    }
    file.set_length(size)?;
    let (before, size) = (format_size(before), format_size(size));
    Ok(say(&format!("{}: {size}, {before} before\n", path.display())))
}

/// What would be lost.
fn would_shrink(file: &SparseFile, size: u64, seen: u64) -> anyhow::Result<String> {
    let (mut lost, mut at) = (0, size);
    while let Some(data) = file.next_data(at)? {
        lost += data.end - data.start;
        at = data.end;
    }
    let before = file.length().max(seen);
    Ok(format!(
        "{} has {} (clients have seen {}), and with {} what is on it would lose its end, {} of data among it: make a \
         smaller disk and copy the files over, or add --allow-shrink if that is meant",
        file.path().display(),
        format_size(before),
        format_size(seen),
        format_size(size),
        format_size(lost)
    ))
}

/// Has the next start take the new length for what was meant. Before the cut, so that a crash between the two leaves an
/// image that is longer than is remembered, which is no harm.
fn note_served(path: &Path, fallback: Option<&Path>, size: u64) -> anyhow::Result<()> {
    if let Some(state) = DiskState::look_up(path, 0, fallback)?
        && state.last_served().is_some()
    {
        state.note_served(size)?;
    }
    Ok(())
}
