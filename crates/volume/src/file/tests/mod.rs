#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod accepting;
mod atomic;
mod devices;
mod direct;
mod extents;
mod flushing;
mod growing;
mod opening;
mod power;
mod space;
mod transfer;

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::{FileVolume, ImageFiles, Length, OpenOptions};
use crate::VolumeError;
use crate::calls::double::RecordingCalls;

const MIB: u64 = 1 << 20;

/// A volume of 1 MiB in a new directory, and the calls that it makes.
fn recorded() -> (TempDir, RecordingCalls, FileVolume) {
    let directory = tempfile::tempdir().unwrap();
    let calls = RecordingCalls::default();
    let volume = open_recorded(&directory.path().join("disk"), &calls).unwrap();
    (directory, calls, volume)
}

fn open_recorded(path: &Path, calls: &RecordingCalls) -> Result<FileVolume, VolumeError> {
    images(calls).open(OpenOptions::new(path, Length::Bytes(MIB)))
}

/// No files open yet, and all that is done to them recorded.
fn images(calls: &RecordingCalls) -> ImageFiles {
    ImageFiles::with_calls(Arc::new(calls.clone()))
}
