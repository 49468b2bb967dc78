//! Commands cost no allocation once a session has found its pace.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, unused_imports)]

#[path = "promises/wire/mod.rs"]
mod wire;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use timedisk_volume::{FileVolume, Length, OpenOptions};
use wire::{BLOCK, Initiator, Lab, Scsi, open_target};

/// Counts what the server's threads allocate.
struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// This thread is the test's own.
    static IS_CLIENT: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    // A thread that ends has no such variable any more; it is none of the client's.
    if !IS_CLIENT.try_with(Cell::get).unwrap_or(false) {
        COUNT.fetch_add(1, Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BLOCKS: usize = 8;
const DEPTH: usize = 32;

/// Rounds of reads, of writes and of writes that must last, many at a time and one at a time.
fn work(initiator: &mut Initiator, rounds: usize) {
    let data = vec![7; BLOCKS * BLOCK];
    for round in 0..rounds {
        let mut write = Scsi::write((round % 100) as u64, &data);
        let read = Scsi::read((round % 100) as u64, BLOCKS);
        for scsi in [&read, &write] {
            let tags = initiator.start_together(&vec![scsi.clone(); DEPTH]);
            tags.into_iter().for_each(|tag| drop(initiator.finish(tag).good()));
            initiator.run(scsi).good();
        }
        write.cdb[1] |= 0x08;
        initiator.run(&write).good();
    }
}

#[test]
fn a_session_at_its_pace_allocates_nothing_for_its_commands() {
    IS_CLIENT.set(true);
    let directory = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(directory.path().join("image"), Length::Bytes(1 << 20));
    let lab = Lab::new(vec![open_target("disk", FileVolume::open(options).unwrap())]);
    let mut initiator = lab.session("disk", &[("MaxRecvDataSegmentLength", "262144")]);
    // The window first widens with what a queue that is never empty shows.
    let tags: Vec<_> = (0..500).map(|_| initiator.start(&Scsi::read(0, BLOCKS))).collect();
    tags.into_iter().for_each(|tag| drop(initiator.finish(tag).good()));
    work(&mut initiator, 20);
    // A machine that others keep busy stops a thread for so long that another one takes its place, which costs some.
    let allocations = (0..3).map(|_| {
        let before = COUNT.load(Relaxed);
        work(&mut initiator, 100);
        COUNT.load(Relaxed) - before
    });
    let (commands, fewest) = (100 * (2 * (DEPTH + 1) + 1), allocations.min().unwrap());
    assert!(fewest <= 20, "{fewest} allocations for {commands} commands");
}
