//! `timedisk image create`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::Args;
use timedisk_config::format_size;

use super::states;
use crate::commands::say;
use crate::sparse::{SparseFile, synchronize_directory_of};

/// Blocks of a disk have so many bytes at least.
const BLOCK: u64 = 512;

/// Make a sparse image, which takes no space until it is written to. Never in the place of a file that is there.
///
/// Example: timedisk image create /srv/a.img 500GB
#[derive(Args, Debug)]
pub(crate) struct CreateOptions {
    /// The image to be made.
    file: PathBuf,
    /// Its size, such as 500GB.
    size: String,
}

pub(super) fn run(options: &CreateOptions) -> anyhow::Result<ExitCode> {
    let size = whole_blocks(&options.size)?;
    let path = options.file.as_path();
    if path.symlink_metadata().is_ok() {
        bail!("{} exists, and was left alone: choose another name", path.display());
    }
    if let Some(disk) = states::of_image(path, None).into_iter().next() {
        let place = disk.state_file.or(disk.error).unwrap_or_default();
        bail!(
            "{place} says that a disk was served from {}, which is not there: bring it back (is its file system \
             mounted?), or remove the former to have another disk",
            path.display()
        );
    }
    SparseFile::create(path, size)?;
    synchronize_directory_of(path)?;
    Ok(say(&format!("{}: made, {}, sparse\n", path.display(), format_size(size))))
}

/// Reads a size that a disk can have.
pub(super) fn whole_blocks(typed: &str) -> anyhow::Result<u64> {
    let size = timedisk_config::parse_size(typed).with_context(|| format!("the size {typed:?}"))?;
    ensure!(size > 0, "a disk of no bytes is none: give it a size, such as 100GB");
    ensure!(
        size.is_multiple_of(BLOCK),
        "{size} bytes are no whole blocks of {BLOCK}: write {}",
        size.checked_next_multiple_of(BLOCK).map_or("less".into(), format_size)
    );
    ensure!(i64::try_from(size).is_ok(), "{size} bytes: no file is so long");
    Ok(size)
}

/// What is known of the disk of a whole image. Refuses images that several disks or parts of a disk lie in.
pub(super) fn only_disk(path: &Path, fallback: Option<&Path>) -> anyhow::Result<Option<states::Remembered>> {
    let mut disks = states::of_image(path, fallback);
    if let Some(error) = disks.iter().find_map(|disk| disk.error.as_ref()) {
        bail!("{error}");
    }
    ensure!(
        disks.iter().all(|disk| disk.start == 0 && disk.parts.is_none()),
        "{} holds parts of disks that are made of several extents, or several disks: change their lengths in the file \
         of targets, then `timedisk reload`",
        path.display()
    );
    Ok(disks.pop())
}
