//! SANITIZE goes on without its command, whatever becomes of who asked for it, and keeps nobody waiting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use timedisk_scsi::Absence;
use timedisk_target::{Disk, Unrest};
use timedisk_volume::{HeldVolume, MemoryVolume, Operation, Volume};

use super::wire::{BLOCK, Initiator, Lab, PATIENCE, Scsi, block, held, mount, open_target, unit};

const LOGICAL_UNIT_RESET: u8 = 5;
const CAPACITY: u64 = 64 << 20;
const IN_PROGRESS: (u8, u8, u8) = (0x02, 0x04, 0x1b);
const OFFLINE: (u8, u8, u8) = (0x02, 0x04, 0x12);
const UNIT_ATTENTION: u8 = 0x06;

/// What is "at once", on a machine that has other things to do.
const AT_ONCE: Duration = Duration::from_secs(3);

/// OVERWRITE with this byte, once.
fn overwrite(byte: u8, immediately: bool) -> Scsi {
    let flags = if immediately { 0x81 } else { 0x01 };
    Scsi::output(&[0x48, flags, 0, 0, 0, 0, 0, 0, 5, 0], &[1, 0, 0, 1, byte])
}

fn slow() -> (Arc<HeldVolume<MemoryVolume>>, Arc<Disk>, Lab) {
    let volume = held(CAPACITY);
    let disk = Disk::new("disk", unit("disk", Arc::clone(&volume)));
    let mut target = open_target("disk", MemoryVolume::new(BLOCK as u64));
    target.mounts = vec![mount(0, &disk, |_| true)];
    (volume, disk, Lab::new(vec![target]))
}

fn last_block(volume: &HeldVolume<MemoryVolume>) -> [u8; BLOCK] {
    let mut last = [0; BLOCK];
    volume.inner().read(CAPACITY - BLOCK as u64, &mut last).unwrap();
    last
}

/// The sense of a command once unit attentions are told.
fn condition(initiator: &mut Initiator, command: &Scsi) -> (u8, u8, u8) {
    loop {
        let begin = Instant::now();
        let condition = initiator.run(command).condition();
        assert!(begin.elapsed() < AT_ONCE, "it took {:?}", begin.elapsed());
        if condition.0 != UNIT_ATTENTION {
            return condition;
        }
    }
}

fn await_ready(initiator: &mut Initiator) {
    let until = Instant::now() + PATIENCE;
    while initiator.run(&Scsi::test_unit_ready()).status != 0 {
        assert!(Instant::now() < until, "it has no end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn it_goes_on_when_whoever_asked_is_reset_or_gone() {
    for immediately in [true, false] {
        let (volume, _, lab) = slow();
        let (mut first, mut second) = (lab.session("disk", &[]), lab.session("disk", &[]));
        first.run(&Scsi::write(0, &block(9))).good();
        volume.hold(Operation::Write);
        let tag = first.start(&overwrite(7, immediately));
        assert!(volume.await_waiting(1, PATIENCE));
        assert_eq!(condition(&mut second, &Scsi::test_unit_ready()), IN_PROGRESS);
        if immediately {
            // What it has begun may be under way before it has ended itself.
            first.finish(tag).good();
        }
        assert_eq!(second.manage(LOGICAL_UNIT_RESET, 0, 0), 0);
        first.check_alive();
        assert_eq!(first.has_ended(tag), immediately);
        drop(first);
        // Nobody has to wait behind it, though it was aborted.
        for command in [Scsi::test_unit_ready(), Scsi::read(0, 1), Scsi::write(0, &block(3)), Scsi::flush()] {
            assert_eq!(condition(&mut second, &command), IN_PROGRESS);
        }
        second.run(&Scsi::inquiry()).good();
        assert_eq!(volume.waiting(), 1);
        volume.release_all();
        await_ready(&mut second);
        assert_eq!(second.run(&Scsi::read(0, 1)).good(), block(7));
        assert_eq!(last_block(&volume), block(7));
        second.run(&Scsi::write(0, &block(3))).good();
        second.run(&overwrite(8, false)).good();
        assert_eq!(second.run(&Scsi::read(0, 1)).good(), block(8), "and once more");
    }
}

#[test]
fn a_disk_that_is_taken_away_is_at_rest_and_goes_on_when_it_is_back() {
    for immediately in [true, false] {
        let (volume, disk, lab) = slow();
        let mut initiator = lab.session("disk", &[]);
        volume.hold(Operation::Write);
        let tag = initiator.start(&overwrite(7, immediately));
        assert!(volume.await_waiting(1, PATIENCE));
        let soon = Instant::now() + Duration::from_millis(50);
        assert!(matches!(disk.take(Absence::Offline, soon), Err(Unrest::Stuck(_))));
        let asked = Arc::clone(&disk);
        let taking = std::thread::spawn(move || asked.take(Absence::Offline, Instant::now() + PATIENCE));
        while disk.unit().medium().absence().is_none() {
            std::thread::yield_now();
        }
        volume.release_all();
        let taken = taking.join().unwrap().unwrap().expect("it was there");
        if !immediately {
            assert_eq!(initiator.finish(tag).condition(), IN_PROGRESS, "it can't be waited for");
        }
        assert_eq!(initiator.run(&Scsi::test_unit_ready()).condition(), OFFLINE);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(last_block(&volume), block(0), "it went on without its volume");
        disk.unit().medium().put(taken);
        await_ready(&mut initiator);
        assert_eq!(last_block(&volume), block(7));
    }
}

#[test]
fn a_server_that_ends_does_not_wait_for_it() {
    let (volume, _disk, lab) = slow();
    let mut initiator = lab.session("disk", &[]);
    volume.hold(Operation::Write);
    initiator.run(&overwrite(7, true)).good();
    assert!(volume.await_waiting(1, PATIENCE));
    drop(initiator);
    let held = Arc::clone(&volume);
    let releasing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        held.release_all();
    });
    lab.shutdown(PATIENCE).unwrap();
    releasing.join().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let mut early = [0; BLOCK];
    volume.inner().read(CAPACITY / 8, &mut early).unwrap();
    assert_eq!(early, block(0), "the rest is for its next life");
}
