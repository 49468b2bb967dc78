use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use super::{open_recorded, recorded};
use crate::calls::double::Call;
use crate::{Allocation, Durability, ErrorKind, Health, Volume, accept_loss_offline};

#[test]
fn a_durable_write_is_written_before_it_is_synchronized() {
    let (_directory, calls, volume) = recorded();
    let before = calls.calls().len();
    volume.write(0, &[1; 512], Durability::Volatile).unwrap();
    volume.write(0, &[2; 512], Durability::Durable).unwrap();
    volume.write_zeroes(0, 512, Allocation::Release, Durability::Durable).unwrap();
    let expected =
        [Call::Write, Call::Write, Call::SynchronizeData, Call::ChangeSpace, Call::SynchronizeData];
    assert_eq!(calls.calls()[before..], expected);
}

#[test]
fn flushes_that_come_together_share_one_fdatasync() {
    let (_directory, calls, volume) = recorded();
    calls.hold(Call::SynchronizeData);
    thread::scope(|scope| {
        scope.spawn(|| volume.flush().unwrap());
        calls.until_held(1);
        // These come while the first runs.
        for _ in 0..16 {
            scope.spawn(|| volume.flush().unwrap());
        }
        thread::sleep(Duration::from_millis(200));
        calls.release();
    });
    // Two, unless the machine was so busy that some came late.
    assert!((2..=4).contains(&calls.count(Call::SynchronizeData)));
}

#[test]
fn a_flush_that_comes_during_one_waits_for_the_next() {
    let (_directory, calls, volume) = recorded();
    calls.hold(Call::SynchronizeData);
    thread::scope(|scope| {
        scope.spawn(|| volume.flush().unwrap());
        calls.until_held(1);
        let second = scope.spawn(|| {
            volume.write(0, &[1; 512], Durability::Durable).unwrap();
            calls.calls()
        });
        while calls.count(Call::Write) < 2 {
            thread::yield_now();
        }
        // Time for it to get from its write to its flush.
        thread::sleep(Duration::from_millis(50));
        calls.release();
        // The state file was written once at open; then comes this write, and after it a whole fdatasync.
        let made = second.join().unwrap();
        let written = made.iter().rposition(|call| *call == Call::Write).unwrap();
        assert!(made[written..].contains(&Call::SynchronizeData), "{made:?}");
    });
    assert_eq!(calls.count(Call::SynchronizeData), 2);
}

#[test]
fn after_a_failed_flush_nothing_is_promised_and_nothing_retried() {
    let (_directory, calls, volume) = recorded();
    volume.write(0, &[1; 512], Durability::Volatile).unwrap();
    calls.fail(Call::SynchronizeData, Errno::IO);
    assert_eq!(volume.health(), Health::Good);
    assert_eq!(volume.flush().unwrap_err().kind, ErrorKind::FlushFailed);
    assert_eq!(volume.health(), Health::FlushFailed);
    let before = calls.calls().len();
    assert_eq!(volume.flush().unwrap_err().kind, ErrorKind::FlushFailed);
    for durability in [Durability::Volatile, Durability::Durable] {
        assert_eq!(volume.write(0, &[2], durability).unwrap_err().kind, ErrorKind::FlushFailed);
        let zeroed = volume.write_zeroes(0, 512, Allocation::Keep, durability);
        assert_eq!(zeroed.unwrap_err().kind, ErrorKind::FlushFailed);
    }
    assert_eq!(volume.deallocate(0, 512).unwrap_err().kind, ErrorKind::FlushFailed);
    assert_eq!(calls.calls().len(), before);
    let mut read = [0; 512];
    volume.read(0, &mut read).unwrap();
    assert_eq!(read, [1; 512]);
}

#[test]
fn a_failed_flush_is_written_down_before_anyone_is_told() {
    let (_directory, calls, volume) = recorded();
    let told = AtomicUsize::new(0);
    calls.fail(Call::SynchronizeData, Errno::IO);
    calls.hold(Call::SynchronizeDirectory);
    thread::scope(|scope| {
        let flush = || {
            assert_eq!(volume.flush().unwrap_err().kind, ErrorKind::FlushFailed);
            told.fetch_add(1, Ordering::SeqCst);
        };
        scope.spawn(flush);
        scope.spawn(flush);
        // The last step of writing the mark down does not end.
        calls.until_held(1);
        thread::sleep(Duration::from_millis(50));
        assert_eq!((told.load(Ordering::SeqCst), volume.health()), (0, Health::Good));
        calls.release();
    });
    assert_eq!(told.load(Ordering::SeqCst), 2);
    assert_eq!(calls.count(Call::SynchronizeData), 1);
    let tail = calls.calls().split_off(calls.calls().len() - 6);
    let expected =
        [Call::Remove, Call::Open, Call::Write, Call::Synchronize, Call::Rename, Call::SynchronizeDirectory];
    assert_eq!(tail, expected);
}

#[test]
fn a_failed_flush_is_remembered_over_restart_until_its_loss_is_accepted() {
    let (directory, calls, volume) = recorded();
    let path = directory.path().join("disk");
    calls.fail(Call::SynchronizeData, Errno::IO);
    volume.write(0, &[1], Durability::Durable).unwrap_err();
    drop(volume);
    let again = open_recorded(&path, &calls).unwrap();
    assert_eq!(again.health(), Health::FlushFailed);
    assert_eq!(again.write(0, &[1], Durability::Volatile).unwrap_err().kind, ErrorKind::FlushFailed);
    assert_eq!(again.flush().unwrap_err().kind, ErrorKind::FlushFailed);
    drop(again);
    assert!(accept_loss_offline(&path, 0, None).unwrap().contains("Input/output error"));
    let healed = open_recorded(&path, &calls).unwrap();
    assert_eq!(healed.health(), Health::Good);
    healed.write(0, &[1], Durability::Durable).unwrap();
}

#[test]
fn a_failed_flush_counts_even_if_it_cannot_be_written_down() {
    let (_directory, calls, volume) = recorded();
    calls.fail(Call::SynchronizeData, Errno::IO);
    calls.fail(Call::Rename, Errno::ROFS);
    let error = volume.flush().unwrap_err();
    assert_eq!(error.kind, ErrorKind::FlushFailed);
    assert!(error.to_string().contains("can't be written down"), "{error}");
    assert_eq!(volume.health(), Health::FlushFailed);
}
