//! Zeros become holes, and no write is lost to that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{all_of, file, point};
use crate::view::ViewedVolume;
use crate::{Durability, HeldVolume, Operation, Volume};

const CAPACITY: u64 = 2 << 20;
const LONG: Duration = Duration::from_secs(60);

fn zeroed(directory: &tempfile::TempDir) -> Arc<ViewedVolume> {
    let volume = ViewedVolume::new(file(directory, "a", CAPACITY));
    volume.write(0, &vec![0; CAPACITY as usize], Durability::Volatile).unwrap();
    volume
}

#[test]
fn zeros_are_given_back_and_data_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let volume = zeroed(&directory);
    volume.write(8192, &[1; 512], Durability::Volatile).unwrap();
    let view = point(&volume);
    let before = all_of(&view);
    let looked = volume.compact(0, true, LONG).unwrap();
    assert_eq!((looked.next, looked.zeros, looked.busy), (CAPACITY, CAPACITY - 4096, 0));
    assert!(volume.mapping(0).unwrap().allocated, "it was only looked at");
    assert_eq!(volume.compact(0, false, LONG).unwrap(), looked);
    assert!(!volume.mapping(0).unwrap().allocated && volume.mapping(8192).unwrap().allocated);
    assert!(all_of(&view) == before, "views see the same bytes");
    assert_eq!(volume.compact(0, false, LONG).unwrap().zeros, 0);
}

#[test]
fn what_is_written_meanwhile_stays() {
    const BLOCKS: u64 = CAPACITY / 4096;
    let directory = tempfile::tempdir().unwrap();
    let volume = zeroed(&directory);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (volume, stop) = (&volume, &stop);
            scope.spawn(move || {
                let mut count = thread;
                while !stop.load(Ordering::Relaxed) {
                    // Each block is written to by one thread: it has to have what was put there.
                    let at = (count * 37 % (BLOCKS / 2) * 2 + thread) * 4096;
                    volume.write(at + 100, &[count as u8 | 1; 8], Durability::Volatile).unwrap();
                    let mut bytes = [0; 8];
                    volume.read(at + 100, &mut bytes).unwrap();
                    assert!(bytes == [count as u8 | 1; 8], "block {at} was lost");
                    volume.write(at, &[0; 4096], Durability::Volatile).unwrap();
                    count += 2;
                }
            });
        }
        for _ in 0..60 {
            volume.compact(0, false, LONG).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_write_that_was_at_the_zeros_already_stays() {
    let directory = tempfile::tempdir().unwrap();
    let inner = Arc::new(HeldVolume::new(file(&directory, "a", CAPACITY)));
    let volume = ViewedVolume::new(Arc::clone(&inner) as Arc<dyn Volume>);
    volume.write(0, &[0; 65536], Durability::Volatile).unwrap();
    // With a view, writes are watched from their beginning.
    let _view = point(&volume);
    inner.hold(Operation::Write);
    std::thread::scope(|scope| {
        scope.spawn(|| volume.write(4096, &[7; 512], Durability::Volatile).unwrap());
        assert!(inner.await_waiting(1, LONG));
        let compacting = scope.spawn(|| volume.compact(0, false, LONG).unwrap());
        // By then the zeros have been found, and the write that is at them is waited for.
        std::thread::sleep(Duration::from_millis(50));
        inner.release_all();
        assert!(compacting.join().unwrap().busy > 0);
    });
    let mut bytes = [0; 512];
    volume.read(4096, &mut bytes).unwrap();
    assert!(bytes == [7; 512]);
}
