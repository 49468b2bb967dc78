//! COMPARE AND WRITE and WRITE ATOMIC among others: nothing gets in between.

use std::sync::Arc;
use std::time::Duration;

use timedisk_volume::{MemoryVolume, Operation, Volume};

use super::wire::{BLOCK, Lab, Scsi, block, held, open_target};

const MISCOMPARE: u8 = 0x0e;

fn compare_and_write(lba: u8, expected: &[u8], new: &[u8]) -> Scsi {
    let mut cdb = [0; 16];
    (cdb[0], cdb[9], cdb[13]) = (0x89, lba, 1);
    Scsi::output(&cdb, &[expected, new].concat())
}

fn number(value: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..8].copy_from_slice(&value.to_be_bytes());
    block
}

/// Several clients count in one block, and one writes to the next: no count is lost.
#[test]
fn clients_that_count_in_one_block_lose_no_count() {
    const CLIENTS: u64 = 4;
    const EACH: u64 = 100;
    let lab = Lab::new(vec![open_target("disk", MemoryVolume::new(1 << 20))]);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let mut client = lab.session("disk", &[]);
            scope.spawn(move || {
                let mut counted = 0;
                while counted < EACH {
                    let now = client.run(&Scsi::read(9, 1)).good();
                    let known = u64::from_be_bytes(now[..8].try_into().unwrap());
                    let ended = client.run(&compare_and_write(9, &number(known), &number(known + 1)));
                    match ended.status {
                        0 => counted += 1,
                        _ => assert_eq!(ended.condition().0, MISCOMPARE),
                    }
                }
            });
        }
        let mut neighbour = lab.session("disk", &[]);
        scope.spawn(move || {
            (0..EACH).for_each(|round| drop(neighbour.run(&Scsi::write(10, &block(round as u8))).good()));
        });
    });
    let last = lab.session("disk", &[]).run(&Scsi::read(9, 1)).good();
    assert_eq!(last, number(CLIENTS * EACH));
}

#[test]
fn a_step_waits_for_a_write_that_is_under_way_and_is_waited_for() {
    let volume = held(1 << 20);
    let lab = Lab::new(vec![open_target("disk", Arc::clone(&volume))]);
    let (mut writer, mut stepper, mut reader) =
        (lab.session("disk", &[]), lab.session("disk", &[]), lab.session("disk", &[]));
    volume.hold(Operation::Write);
    let write = writer.start(&Scsi::write(5, &block(1)));
    assert!(volume.await_waiting(1, Duration::from_secs(10)));
    let step = stepper.start(&compare_and_write(5, &block(1), &block(2)));
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(volume.waiting(), 1, "it has not come as far as to its write");
    // What has nothing to do with these blocks goes on.
    assert_eq!(reader.run(&Scsi::read(6, 1)).good(), block(0));
    let read = reader.start(&Scsi::read(5, 1));
    volume.release_all();
    writer.finish(write).good();
    stepper.finish(step).good();
    assert_eq!(reader.finish(read).good(), block(2), "it came after the step");
}

/// Else what is written meanwhile could be undone after a power cut.
#[test]
fn nobody_is_at_the_blocks_of_an_atomic_write() {
    let volume = held(1 << 20);
    let lab = Lab::new(vec![open_target("disk", Arc::clone(&volume))]);
    let (mut atomic, mut writer, mut neighbour) =
        (lab.session("disk", &[]), lab.session("disk", &[]), lab.session("disk", &[]));
    let mut cdb = [0; 16];
    (cdb[0], cdb[9], cdb[13]) = (0x9c, 5, 2);
    volume.hold(Operation::Flush);
    let first = atomic.start(&Scsi::output(&cdb, &[block(1), block(1)].concat()));
    assert!(volume.await_waiting(1, Duration::from_secs(10)));
    let write = writer.start(&Scsi::write(6, &block(2)));
    assert_eq!(neighbour.run(&Scsi::read(7, 1)).good(), block(0));
    neighbour.run(&Scsi::write(4, &block(3))).good();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(volume.inner().allocated(), 4096, "only the neighbour has written");
    let mut there = vec![9; BLOCK];
    volume.inner().read(6 * BLOCK as u64, &mut there).unwrap();
    assert_eq!(there, block(0), "the later write waits");
    volume.release_all();
    atomic.finish(first).good();
    writer.finish(write).good();
    assert_eq!(neighbour.run(&Scsi::read(5, 2)).good(), [block(1), block(2)].concat());
}
