#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{FailingVolume, HeldVolume, Operation};
use crate::{Durability, ErrorKind, Health, MemoryVolume, Volume};

#[test]
fn as_many_calls_fail_as_were_asked_for() {
    let shared: Arc<dyn Volume> = Arc::new(MemoryVolume::new(4096));
    let volume = FailingVolume::new(shared);
    let mut buffer = [0; 512];
    volume.fail_next(Operation::Read, 2, ErrorKind::ReadFailed);
    volume.fail_next(Operation::Write, 1, ErrorKind::NoSpace);
    assert!(!volume.read_cached(0, &mut buffer).unwrap());
    for _ in 0..2 {
        assert_eq!(volume.read(0, &mut buffer).unwrap_err().kind, ErrorKind::ReadFailed);
    }
    volume.read(0, &mut buffer).unwrap();
    assert!(volume.read_cached(0, &mut buffer).unwrap());
    assert_eq!(volume.write(0, &[1], Durability::Volatile).unwrap_err().kind, ErrorKind::NoSpace);
    volume.write(0, &[1], Durability::Durable).unwrap();
    assert_eq!(volume.health(), Health::Good);
}

#[test]
fn a_flush_told_to_fail_breaks_the_volume_until_it_is_healed() {
    let volume = FailingVolume::new(MemoryVolume::new(4096));
    volume.fail_next(Operation::Flush, 1, ErrorKind::FlushFailed);
    volume.write(0, &[1], Durability::Volatile).unwrap();
    assert_eq!(volume.write(0, &[2], Durability::Durable).unwrap_err().kind, ErrorKind::FlushFailed);
    assert_eq!(volume.health(), Health::FlushFailed);
    assert_eq!(volume.write(0, &[2], Durability::Volatile).unwrap_err().kind, ErrorKind::FlushFailed);
    assert_eq!(volume.flush().unwrap_err().kind, ErrorKind::FlushFailed);
    volume.read(0, &mut [0]).unwrap();
    volume.heal();
    volume.flush().unwrap();
}

#[test]
fn held_calls_wait_until_they_are_released() {
    let volume = HeldVolume::new(MemoryVolume::new(4096));
    volume.hold(Operation::Write);
    volume.hold(Operation::Read);
    thread::scope(|scope| {
        let writer = scope.spawn(|| volume.write(0, &[7], Durability::Volatile));
        assert!(volume.await_waiting(1, Duration::from_secs(30)));
        assert!(!volume.await_waiting(2, Duration::from_millis(10)));
        assert!(!volume.read_cached(0, &mut [0]).unwrap());
        volume.flush().unwrap();
        let mut inner = [0];
        volume.inner().read(0, &mut inner).unwrap();
        assert_eq!(inner, [0]);
        volume.release(Operation::Write);
        writer.join().unwrap().unwrap();
        volume.release_all();
        volume.read(0, &mut inner).unwrap();
        assert_eq!(inner, [7]);
        assert_eq!(volume.waiting(), 0);
    });
}
