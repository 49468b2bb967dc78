//! A view shows one moment, whatever is written meanwhile and by however many.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use proptest::prelude::*;

use super::{REGION, all, all_of, file, memory, point, scratch};
use crate::view::ViewedVolume;
use crate::{Allocation, ConcatenatedVolume, Durability, MemoryVolume, Volume};

const CAPACITY: u64 = 5 * REGION + 12288;

#[derive(Clone, Debug)]
enum Step {
    Write(u64, u64, u8),
    Deallocate(u64, u64),
    Zero(u64, u64),
    Take,
    Drop,
}

fn ranges() -> impl Strategy<Value = (u64, u64)> {
    (0..CAPACITY, prop_oneof![0..600u64, 0..3 * REGION])
        .prop_map(|(at, length)| (at, length.min(CAPACITY - at)))
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (ranges(), 1..=255u8).prop_map(|((at, length), byte)| Step::Write(at, length, byte)),
        2 => ranges().prop_map(|(at, length)| Step::Deallocate(at, length)),
        2 => ranges().prop_map(|(at, length)| Step::Zero(at, length)),
        2 => Just(Step::Take),
        1 => Just(Step::Drop),
    ]
}

/// Does the steps, and compares all views that are held with what was there when they were taken.
fn follow(inner: Arc<dyn Volume>, steps: &[Step]) {
    let volume = ViewedVolume::new(inner);
    let mut model = vec![0; CAPACITY as usize];
    let mut views = Vec::new();
    for step in steps {
        match *step {
            Step::Write(at, length, byte) => {
                volume.write(at, &vec![byte; length as usize], Durability::Volatile).unwrap();
                model[at as usize..(at + length) as usize].fill(byte);
            }
            Step::Deallocate(at, length) => {
                volume.deallocate(at, length).unwrap();
                model[at as usize..(at + length) as usize].fill(0);
            }
            Step::Zero(at, length) => {
                volume.write_zeroes(at, length, Allocation::Keep, Durability::Volatile).unwrap();
                model[at as usize..(at + length) as usize].fill(0);
            }
            Step::Take if views.len() < super::super::MOST_VIEWS => {
                views.push((point(&volume), model.clone()));
            }
            Step::Take => assert!(volume.take_point(scratch(1 << 20), super::SECOND).is_err()),
            Step::Drop => drop(views.pop()),
        }
        for (view, then) in &views {
            assert!(all_of(view) == *then);
            let mut at = 0;
            while at < CAPACITY {
                let mapping = view.mapping(at).unwrap();
                assert!(mapping.length > 0);
                let part = &then[at as usize..(at + mapping.length) as usize];
                assert!(
                    mapping.allocated || part.iter().all(|byte| *byte == 0),
                    "data at {at} are told as a hole"
                );
                at += mapping.length;
            }
        }
    }
    assert!(all(|at, bytes| volume.read(at, bytes), CAPACITY) == model);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn views_of_memory_show_the_moment_they_were_taken(steps in prop::collection::vec(steps(), 1..24)) {
        follow(Arc::new(MemoryVolume::new(CAPACITY)), &steps);
    }

    #[test]
    fn views_of_files_show_the_moment_they_were_taken(steps in prop::collection::vec(steps(), 1..24)) {
        let directory = tempfile::tempdir().unwrap();
        let first = file(&directory, "a", 2 * REGION);
        let members = vec![first, file(&directory, "b", 3 * REGION + 12288)];
        follow(Arc::new(ConcatenatedVolume::new(members).unwrap()), &steps);
    }
}

/// Each thread counts up in block A, then B, then A: B is never ahead of A, nor more than one behind.
#[test]
fn no_view_has_a_later_write_without_the_earlier_one() {
    const THREADS: u64 = 4;
    let volume = memory(THREADS * 4 * REGION);
    let (stop, start) = (AtomicBool::new(false), Barrier::new(THREADS as usize + 1));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (volume, stop, start) = (&volume, &stop, &start);
            scope.spawn(move || {
                // Block A lies behind block B, for whoever reads from the beginning.
                let (a, b) = ((thread * 4 + 3) * REGION, (thread * 4) * REGION + 4096);
                let mut count = 0_u64;
                start.wait();
                while !stop.load(Ordering::Relaxed) {
                    count += 1;
                    volume.write(a, &count.to_le_bytes(), Durability::Volatile).unwrap();
                    volume.write(b, &count.to_le_bytes(), Durability::Volatile).unwrap();
                }
            });
        }
        start.wait();
        for _ in 0..200 {
            let view = point(&volume);
            let number = |at: u64| {
                let mut bytes = [0; 8];
                view.read(at, &mut bytes).unwrap();
                u64::from_le_bytes(bytes)
            };
            for thread in 0..THREADS {
                let (a, b) = ((thread * 4 + 3) * REGION, (thread * 4) * REGION + 4096);
                let (early, second, first) = (number(b), number(b), number(a));
                assert_eq!(early, second, "a view does not change");
                assert!(first == second || first == second + 1, "A has {first}, B has {second}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// What was acknowledged before the point is in it; what began after it is not.
#[test]
fn a_point_has_what_was_acknowledged_before_and_nothing_that_began_after() {
    let volume = memory(2 * REGION);
    let (stop, begun, ended) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut count = 0_u64;
            while !stop.load(Ordering::SeqCst) {
                count += 1;
                begun.store(count, Ordering::SeqCst);
                volume.write(REGION, &count.to_le_bytes(), Durability::Volatile).unwrap();
                ended.store(count, Ordering::SeqCst);
            }
        });
        for _ in 0..500 {
            let before = ended.load(Ordering::SeqCst);
            let view = point(&volume);
            let after = begun.load(Ordering::SeqCst);
            let mut bytes = [0; 8];
            view.read(REGION, &mut bytes).unwrap();
            let seen = u64::from_le_bytes(bytes);
            assert!((before..=after).contains(&seen), "{seen} is not from {before} to {after}");
        }
        stop.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_view_keeps_its_length_when_the_disk_grows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let options = crate::OpenOptions::new(path, crate::Length::Bytes(REGION / 2));
    let inner = Arc::new(crate::FileVolume::open(options).unwrap());
    let volume = ViewedVolume::new(Arc::clone(&inner) as Arc<dyn Volume>);
    volume.write(0, &[7; 100], Durability::Volatile).unwrap();
    let view = point(&volume);
    inner.grow(crate::Length::Bytes(2 * REGION)).unwrap().commit();
    volume.write(0, &[8; REGION as usize * 2], Durability::Volatile).unwrap();
    assert_eq!(view.capacity(), REGION / 2);
    assert!(all_of(&view)[..100] == [7; 100] && all_of(&view)[100..].iter().all(|byte| *byte == 0));
}
