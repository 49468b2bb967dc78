//! A point of a disk is taken within a second or not at all; and whatever it waits for, pings are answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use timedisk_volume::{ErrorKind, Operation, Scratch, SystemCalls, ViewedVolume, Volume};

use super::wire::{Lab, PATIENCE, Scsi, block, held, open_target};

const PAUSE: Duration = Duration::from_secs(1);

/// On a machine that has other things to do.
const MORE: Duration = Duration::from_secs(2);

fn scratch() -> Scratch {
    Scratch::create(&SystemCalls, &std::env::temp_dir(), 1 << 20).unwrap()
}

#[test]
fn a_point_of_a_stuck_disk_is_refused_in_time_and_pings_are_answered_meanwhile() {
    let inner = held(1 << 20);
    let volume = ViewedVolume::new(Arc::clone(&inner) as Arc<dyn Volume>);
    let lab = Lab::new(vec![open_target("disk", Arc::clone(&volume))]);
    let (mut first, mut second) = (lab.session("disk", &[]), lab.session("disk", &[]));
    inner.hold(Operation::Write);
    let stuck = first.start(&Scsi::write(3, &block(1)));
    assert!(inner.await_waiting(1, PATIENCE));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let taking = scope.spawn(|| volume.take_point(scratch(), PAUSE).map(drop));
        std::thread::sleep(Duration::from_millis(50));
        // It waits until the point is refused.
        let waits = second.start(&Scsi::write(5, &block(2)));
        first.check_alive();
        second.check_alive();
        assert_eq!(inner.waiting(), 1, "the other write has not begun");
        assert!(begun.elapsed() < PAUSE, "the pings waited for the point: {:?}", begun.elapsed());
        assert_eq!(taking.join().unwrap().unwrap_err().kind, ErrorKind::Busy);
        assert!(begun.elapsed() >= PAUSE && begun.elapsed() < PAUSE + MORE, "{:?}", begun.elapsed());
        assert!(inner.await_waiting(2, PATIENCE), "writes go on when it is refused");
        inner.release_all();
        first.finish(stuck).good();
        second.finish(waits).good();
    });
    assert!(volume.take_point(scratch(), PAUSE).is_ok());
}

#[test]
fn a_point_has_what_clients_were_told_is_written_and_nothing_later() {
    let inner = held(1 << 20);
    let volume = ViewedVolume::new(Arc::clone(&inner) as Arc<dyn Volume>);
    let lab = Lab::new(vec![open_target("disk", Arc::clone(&volume))]);
    let mut initiator = lab.session("disk", &[]);
    initiator.run(&Scsi::write(3, &block(1))).good();
    let view = volume.take_point(scratch(), PAUSE).unwrap();
    initiator.run(&Scsi::write(3, &block(2))).good();
    assert_eq!(initiator.run(&Scsi::read(3, 1)).good(), block(2));
    let mut then = block(0);
    view.read(3 * then.len() as u64, &mut then).unwrap();
    assert_eq!(then, block(1));
}
