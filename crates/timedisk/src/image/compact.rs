//! `timedisk image compact`: blocks that hold nothing but zeros become holes.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde::Serialize;
use timedisk_volume::Lock;

use super::{in_use, served_instead, show, states};
use crate::commands::{DaemonOptions, short};
use crate::progress::{Progress, stop_on_signals};
use crate::sparse::{SparseFile, runs};

/// Bytes of one read.
const PIECE: usize = 1 << 20;

/// How long the daemon has for each step.
const PATIENCE: Duration = Duration::from_secs(30);

/// Blocks of a file system: less than one can't be a hole.
const BLOCK: u64 = 4096;

/// Give the blocks of an image back to the file system that hold nothing but zeros. Its content stays the same.
///
/// If a timedisk serves the image, that does it while clients go on, for the whole disk; nothing they write is lost. It
/// may be ended at any time (Ctrl-C); what is done by then is done.
///
/// Example: timedisk image compact /srv/a.img
#[derive(Args, Debug)]
pub(crate) struct CompactOptions {
    /// The image.
    file: PathBuf,
    /// Say how much it would be, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// As JSON, one object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonOptions,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Compacted {
    path: String,
    /// Bytes of zeros that were data, and are holes now.
    zero_bytes: u64,
    allocated_bytes_before: u64,
    allocated_bytes: u64,
    /// Whether all of the image was gone over.
    is_whole: bool,
}

pub(super) fn run(options: &CompactOptions) -> anyhow::Result<ExitCode> {
    let path = options.file.as_path();
    let file = match SparseFile::open(path, !options.dry_run, Some(Lock::Exclusive)) {
        Ok(file) => file,
        Err(error) => {
            return match served_instead(&error, &options.daemon) {
                Some(disk) => online(options, &disk.name),
                None => Err(in_use(error, &options.daemon, |disk| {
                    let name = &disk.name;
                    format!("`timedisk offline {name}` first, and `timedisk online {name}` when this is done")
                })),
            };
        }
    };
    let fallback = options.daemon.directory().ok();
    let failed = states::of_image(path, fallback.as_deref());
    if let Some(reason) = failed.iter().find_map(|disk| disk.flush_failure.as_ref()) {
        bail!(
            "{}: a flush has failed ({reason}), so that what is read may not be what the device has: check it, then \
             `timedisk disk accept-loss {}`",
            path.display(),
            path.display()
        );
    }
    let stop = stop_on_signals()?;
    let before = allocated(path)?;
    let (zero_bytes, is_whole) = go_over(&file, options.dry_run, &stop)?;
    if !options.dry_run {
        file.flush()?;
    }
    say(options, before, zero_bytes, is_whole)
}

/// Has the daemon do it that serves the disk: in steps, so that it ends when this does.
fn online(options: &CompactOptions, disk: &str) -> anyhow::Result<ExitCode> {
    let client = options.daemon.client_within(PATIENCE)?;
    let stop = stop_on_signals()?;
    let before = allocated(&options.file)?;
    eprintln!("timedisk: it is served as {disk}, and is compacted while clients go on");
    let (mut next, mut zero_bytes, mut busy_bytes) = (Some(0), 0, 0);
    let mut progress = None;
    while let Some(at) = next {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let done = client.compact(disk, at, options.dry_run)?;
        ensure!(done.next.is_none_or(|next| next > at), "the daemon does not get on at byte {at} of {disk}");
        (next, zero_bytes) = (done.next, zero_bytes + done.zero_bytes);
        busy_bytes += done.busy_bytes;
        let progress = progress.get_or_insert_with(|| Progress::new("compact", done.size_bytes));
        progress.at(next.unwrap_or(done.size_bytes));
    }
    if busy_bytes > 0 {
        eprintln!("timedisk: {} of zeros were just being written to, and were left", short(busy_bytes));
    }
    say(options, before, zero_bytes, next.is_none())
}

fn say(options: &CompactOptions, before: u64, zero_bytes: u64, is_whole: bool) -> anyhow::Result<ExitCode> {
    let path = options.file.as_path();
    let compacted = Compacted {
        path: path.display().to_string(),
        zero_bytes,
        allocated_bytes_before: before,
        allocated_bytes: allocated(path)?,
        is_whole,
    };
    let shown = show(&compacted, || compacted.text(options.dry_run), options.json)?;
    Ok(if is_whole { shown } else { ExitCode::from(130) })
}

impl Compacted {
    fn text(&self, dry_run: bool) -> String {
        let (zeros, path) = (short(self.zero_bytes), &self.path);
        let (before, now) = (short(self.allocated_bytes_before), short(self.allocated_bytes));
        let ended = if self.is_whole { "" } else { "; ended before all of it was gone over" };
        match dry_run {
            true => format!("{path}: {zeros} of zeros take space, of {now}{ended}\n"),
            false => format!("{path}: {zeros} of zeros given back; it takes {now}, {before} before{ended}\n"),
        }
    }
}

fn allocated(path: &Path) -> anyhow::Result<u64> {
    let metadata = std::fs::metadata(path).with_context(|| format!("can't look at {}", path.display()))?;
    Ok(metadata.blocks() * 512)
}

/// Bytes of zeros, and whether all was gone over.
fn go_over(file: &SparseFile, dry_run: bool, stop: &AtomicBool) -> anyhow::Result<(u64, bool)> {
    let mut buffer = vec![0; PIECE];
    let mut progress = Progress::new("compact", file.length());
    let (mut at, mut zeros) = (0, 0);
    while let Some(data) = file.next_data(at)? {
        if stop.load(Ordering::Relaxed) {
            return Ok((zeros, false));
        }
        // Pieces begin where blocks do.
        let start = data.start - data.start % BLOCK;
        let length = (data.end - start).min(PIECE as u64);
        let piece = buffer.get_mut(..length as usize).unwrap_or_default();
        file.read(start, piece)?;
        for (_, run) in runs(piece, BLOCK as usize).iter().filter(|(is_zero, _)| *is_zero) {
            let range = start + run.start as u64..start + run.end as u64;
            if !dry_run && !file.punch(range)? {
                bail!("{}: its file system has no holes (fallocate, PUNCH_HOLE)", file.path().display());
            }
            zeros += run.len() as u64;
        }
        at = start + length;
        progress.at(at);
    }
    Ok((zeros, true))
}
