//! Any volume, whatever is done to it, reads as a plain run of bytes would.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use proptest::prelude::*;

use crate::{
    Allocation, ChecksummedVolume, ConcatenatedVolume, Durability, FileVolume, Length, MemoryVolume,
    OpenOptions, SumsOptions, Volume,
};

const CAPACITY: u64 = 48 * 1024;

#[derive(Clone, Debug)]
enum Step {
    Read(u64, u64),
    Write(u64, u64, u8, Durability),
    WriteAtomic(u64, u64, u8),
    Deallocate(u64, u64),
    Zero(u64, u64, Allocation),
    Flush,
}

fn ranges() -> impl Strategy<Value = (u64, u64)> {
    let offsets = prop_oneof![0..CAPACITY, (0..CAPACITY / 4096).prop_map(|page| page * 4096)];
    (offsets, prop_oneof![0..600u64, 0..20_000u64]).prop_map(|(at, length)| (at, length.min(CAPACITY - at)))
}

fn steps() -> impl Strategy<Value = Step> {
    let durability = prop_oneof![9 => Just(Durability::Volatile), 1 => Just(Durability::Durable)];
    let allocation = prop_oneof![Just(Allocation::Release), Just(Allocation::Keep)];
    prop_oneof![
        2 => ranges().prop_map(|(at, length)| Step::Read(at, length)),
        4 => (ranges(), 1..=255u8, durability)
            .prop_map(|((at, length), byte, wait)| Step::Write(at, length, byte, wait)),
        1 => (ranges(), 1..=255u8).prop_map(|((at, length), byte)| Step::WriteAtomic(at, length, byte)),
        2 => ranges().prop_map(|(at, length)| Step::Deallocate(at, length)),
        2 => (ranges(), allocation).prop_map(|((at, length), allocation)| Step::Zero(at, length, allocation)),
        1 => Just(Step::Flush),
    ]
}

fn range(at: u64, length: u64) -> std::ops::Range<usize> {
    at as usize..(at + length) as usize
}

/// Does all steps to the volume and to plain bytes, and compares what is read.
fn follow(volume: &dyn Volume, steps: &[Step]) {
    let mut model = vec![0; CAPACITY as usize];
    for step in steps {
        match *step {
            Step::Read(at, length) => {
                let mut buffer = vec![0xee; length as usize];
                volume.read(at, &mut buffer).unwrap();
                assert_eq!(buffer, model[range(at, length)]);
                if volume.read_cached(at, &mut buffer).unwrap() {
                    assert_eq!(buffer, model[range(at, length)]);
                }
            }
            Step::Write(at, length, byte, durability) => {
                let data: Vec<u8> = (0..length).map(|n| byte.wrapping_add(n as u8)).collect();
                volume.write(at, &data, durability).unwrap();
                model[range(at, length)].copy_from_slice(&data);
            }
            Step::WriteAtomic(at, length, byte) => {
                let data: Vec<u8> = (0..length).map(|n| byte.wrapping_add(n as u8)).collect();
                let is_done = volume.write_atomic(at, &data).is_ok();
                assert_eq!(is_done, length <= volume.atomic_limit());
                if is_done {
                    model[range(at, length)].copy_from_slice(&data);
                }
            }
            Step::Deallocate(at, length) => {
                volume.deallocate(at, length).unwrap();
                model[range(at, length)].fill(0);
            }
            Step::Zero(at, length, allocation) => {
                volume.write_zeroes(at, length, allocation, Durability::Volatile).unwrap();
                model[range(at, length)].fill(0);
            }
            Step::Flush => volume.flush().unwrap(),
        }
    }
    let mut whole = vec![0xee; model.len()];
    volume.read(0, &mut whole).unwrap();
    assert!(whole == model);
    check_mapping(volume, &model);
}

/// The mapping covers the volume without a gap, and calls nothing a hole that holds data.
fn check_mapping(volume: &dyn Volume, model: &[u8]) {
    let mut at = 0;
    while at < CAPACITY {
        let mapping = volume.mapping(at).unwrap();
        assert!(mapping.length > 0 && at + mapping.length <= CAPACITY);
        assert!(mapping.allocated || model[range(at, mapping.length)].iter().all(|&byte| byte == 0));
        at += mapping.length;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_file_reads_as_plain_bytes_would(
        start in 0..5000u64,
        steps in proptest::collection::vec(steps(), 1..40),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        std::fs::write(&path, vec![0xaa; start as usize]).unwrap();
        let options = OpenOptions { start, ..OpenOptions::new(&path, Length::Bytes(CAPACITY)) };
        let volume = FileVolume::open(options.clone()).unwrap();
        follow(&volume, &steps);
        let mut before = vec![0; CAPACITY as usize];
        volume.read(0, &mut before).unwrap();
        drop(volume);
        let mut after = vec![0; CAPACITY as usize];
        FileVolume::open(options).unwrap().read(0, &mut after).unwrap();
        prop_assert!(before == after);
        let outside = std::fs::read(&path).unwrap();
        prop_assert!(outside.iter().take(start as usize).all(|&byte| byte == 0xaa));
        prop_assert_eq!(outside.len() as u64, start + CAPACITY);
    }

    #[test]
    fn a_memory_disk_reads_as_plain_bytes_would(steps in proptest::collection::vec(steps(), 1..80)) {
        follow(&MemoryVolume::new(CAPACITY), &steps);
    }

    #[test]
    fn a_disk_with_sums_reads_as_plain_bytes_would(
        steps in proptest::collection::vec(steps(), 1..60),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let inner = Arc::new(MemoryVolume::new(CAPACITY));
        let options = SumsOptions::new(directory.path().join("sums"), "disk");
        let volume = ChecksummedVolume::open(inner, options).unwrap().0;
        follow(&volume, &steps);
        prop_assert_eq!(volume.verify(|_| true).unwrap(), [0; 0]);
    }

    #[test]
    fn a_concatenation_reads_as_plain_bytes_would(
        mut borders in proptest::collection::vec(0..=CAPACITY, 0..6),
        nested in 0..6usize,
        steps in proptest::collection::vec(steps(), 1..80),
    ) {
        borders.extend([0, CAPACITY]);
        borders.sort_unstable();
        let lengths = borders.windows(2).map(|pair| pair[1] - pair[0]);
        let mut members: Vec<Arc<dyn Volume>> =
            lengths.map(|length| Arc::new(MemoryVolume::new(length)) as Arc<dyn Volume>).collect();
        let inner = members.split_off(nested.min(members.len() - 1));
        members.push(Arc::new(ConcatenatedVolume::new(inner).unwrap()));
        follow(&ConcatenatedVolume::new(members).unwrap(), &steps);
    }
}
