#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod broken;
mod compacting;
mod points;

use std::sync::Arc;
use std::time::Duration;

use super::{Scratch, View, ViewedVolume};
use crate::{FileVolume, Length, MemoryVolume, OpenOptions, SystemCalls, Volume};

const REGION: u64 = super::kept::REGION;
const SECOND: Duration = Duration::from_secs(1);

fn scratch(limit: u64) -> Scratch {
    Scratch::create(&SystemCalls, &std::env::temp_dir(), limit).unwrap()
}

fn point(volume: &Arc<ViewedVolume>) -> View {
    volume.take_point(scratch(64 << 20), SECOND).unwrap()
}

fn memory(capacity: u64) -> Arc<ViewedVolume> {
    ViewedVolume::new(Arc::new(MemoryVolume::new(capacity)))
}

fn file(directory: &tempfile::TempDir, name: &str, capacity: u64) -> Arc<dyn Volume> {
    let path = directory.path().join(name);
    Arc::new(FileVolume::open(OpenOptions::new(path, Length::Bytes(capacity))).unwrap())
}

fn all(read: impl Fn(u64, &mut [u8]) -> crate::Result<()>, capacity: u64) -> Vec<u8> {
    let mut bytes = vec![0xee; capacity as usize];
    read(0, &mut bytes).unwrap();
    bytes
}

fn all_of(view: &View) -> Vec<u8> {
    all(|at, bytes| view.read(at, bytes), view.capacity())
}
