//! Commands cost no allocation once a session has found its pace.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

#[path = "promises/lab.rs"]
mod lab;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use lab::{BLOCK, Lab, settings};
use timedisk_initiator::{Connection, Payload, scsi};

/// Counts what each thread allocates.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that ends has no such variable any more.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
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

/// So many commands, as many at once as there is room for; every third one writes.
fn work(connection: &mut Connection, data: &Payload, commands: u32) {
    let (mut submitted, mut ended) = (0, 0);
    while ended < commands {
        while submitted < commands && connection.session().can_submit() {
            let address = u64::from(submitted % 100);
            let command = match submitted % 3 {
                0 => scsi::write(3, address, data.length() / BLOCK, data.clone(), false),
                _ => scsi::read(3, address, 8, 8 * BLOCK),
            };
            connection.session_mut().submit(command).unwrap();
            submitted += 1;
        }
        connection.step(&mut ()).unwrap();
        while let Some(completion) = connection.session_mut().next_completion() {
            assert!(completion.outcome.is_good(), "{}", completion.outcome);
            ended += 1;
        }
    }
}

#[test]
fn a_session_at_its_pace_allocates_nothing_for_its_commands() {
    let lab = Lab::open();
    for (digests, length) in [(false, 4096), (true, 4096), (false, 512), (false, 1 << 20)] {
        let mut connection = lab.session(settings().with_digests(digests, digests));
        connection.greet(3).unwrap();
        let bytes: Arc<[u8]> = vec![7; length].into();
        let data = Payload::new(&bytes, 0..length).unwrap();
        work(&mut connection, &data, 1000);
        let before = COUNT.get();
        work(&mut connection, &data, 1000);
        let count = COUNT.get() - before;
        // A buffer may still grow when more comes together than ever before.
        assert!(count < 10, "{count} allocations for 1000 commands");
    }
}
