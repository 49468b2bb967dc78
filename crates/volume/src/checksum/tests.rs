//! Damage is found, nothing else is taken for it, and no power cut makes a difference.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::{ChecksummedVolume, Found, SumsOptions};
use crate::calls::power::PowerCalls;
use crate::calls::{Access, FileCalls};
use crate::{
    Allocation, Durability, ErrorKind, FileVolume, Health, ImageFiles, Length, Mapping, MemoryVolume,
    OpenOptions, Volume,
};

const BLOCK: u64 = 4096;
const BLOCKS: u64 = 12;

const REGION: u64 = 4 * BLOCK;

fn options(calls: &PowerCalls) -> SumsOptions {
    SumsOptions {
        calls: Arc::new(calls.clone()),
        least_region: REGION,
        ..SumsOptions::new("/images/disk.sums", "disk 1")
    }
}

fn over(inner: &Arc<MemoryVolume>, calls: &PowerCalls) -> (ChecksummedVolume, Found) {
    ChecksummedVolume::open(Arc::clone(inner) as Arc<dyn Volume>, options(calls)).unwrap()
}

fn memory() -> Arc<MemoryVolume> {
    Arc::new(MemoryVolume::new(BLOCKS * BLOCK - 512))
}

/// Something else writes.
fn damage(inner: &MemoryVolume, at: u64) {
    let mut byte = [0];
    inner.read(at, &mut byte).unwrap();
    inner.write(at, &[byte[0] ^ 0x10], Durability::Durable).unwrap();
}

#[test]
fn a_block_that_something_else_has_changed_is_never_read() {
    let (inner, calls) = (memory(), PowerCalls::default());
    let (volume, found) = over(&inner, &calls);
    assert_eq!(found, Found::Made);
    volume.write(100, &[7; 9000], Durability::Volatile).unwrap();
    let mut buffer = [0; 512];
    volume.read(BLOCK, &mut buffer).unwrap();
    assert_eq!(buffer, [7; 512]);
    for at in [BLOCK + 4000, 5 * BLOCK, BLOCKS * BLOCK - 513] {
        damage(&inner, at);
        let error = volume.read(at / BLOCK * BLOCK, &mut buffer).unwrap_err();
        assert_eq!(error.kind, ErrorKind::ReadFailed, "{error}");
        assert!(!volume.read_cached(at / BLOCK * BLOCK, &mut buffer).unwrap());
        let block = at / BLOCK * BLOCK;
        assert_eq!(volume.verify(|_| true).unwrap(), [block]);
        let error = volume.write(block + 10, &[1; 20], Durability::Volatile).unwrap_err();
        assert_eq!(error.kind, ErrorKind::ReadFailed, "a part would make the rest look sound");
        let length = BLOCK.min(volume.capacity() - block) as usize;
        volume.write(block, &vec![9; length], Durability::Volatile).unwrap();
        assert_eq!(volume.verify(|_| true).unwrap(), [0; 0], "it is written anew");
    }
}

#[test]
fn damage_is_found_after_a_restart_too() {
    let (inner, calls) = (memory(), PowerCalls::default());
    let (volume, _) = over(&inner, &calls);
    volume.write(0, &[7; 20_000], Durability::Volatile).unwrap();
    volume.close().unwrap();
    assert!(volume.write(0, &[1], Durability::Volatile).is_err(), "it is closed");
    drop(volume);
    damage(&inner, 5);
    let (volume, found) = over(&inner, &calls);
    assert_eq!(found, Found::Unsettled(1));
    assert_eq!(volume.verify(|_| true).unwrap(), [0]);
}

#[test]
fn sums_that_were_damaged_are_told_as_damage_and_a_file_that_is_none_of_sums_is_refused() {
    let (inner, calls) = (memory(), PowerCalls::default());
    let (volume, _) = over(&inner, &calls);
    volume.write(0, &[7; 20_000], Durability::Volatile).unwrap();
    drop(volume);
    let file = calls.open(Path::new("/images/disk.sums"), Access::ReadWrite).unwrap();
    file.write_at(super::sums::of(&[]).len() as u64 + 4096 + (1 << 16), &[1, 2, 3, 4]).unwrap();
    let (volume, _) = over(&inner, &calls);
    assert_eq!(volume.verify(|_| true).unwrap(), [0]);
    drop(volume);
    file.write_at(0, b"somebody's letter").unwrap();
    let error = ChecksummedVolume::open(inner as Arc<dyn Volume>, options(&calls)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadState, "{error}");
}

#[test]
fn what_was_there_before_gets_its_sums_when_it_is_used() {
    let (inner, calls) = (memory(), PowerCalls::default());
    inner.write(0, &[3; 30_000], Durability::Volatile).unwrap();
    let (volume, found) = over(&inner, &calls);
    assert_eq!((found, volume.unknown_regions()), (Found::Made, (3, 3)));
    let mut buffer = [0; 100];
    volume.read(3000, &mut buffer).unwrap();
    assert_eq!((buffer, volume.unknown_regions()), ([3; 100], (2, 3)));
    damage(&inner, 3050);
    assert!(volume.read(3000, &mut buffer).is_err());
    drop(volume);
    let (volume, found) = over(&inner, &calls);
    assert_eq!(
        (found, volume.unknown_regions()),
        (Found::Unsettled(2), (2, 3)),
        "what was never used is still unknown"
    );
    assert_eq!(volume.verify(|_| true).unwrap(), [0]);
}

#[test]
fn a_new_volume_has_sums_from_the_first_moment() {
    let (inner, calls) = (memory(), PowerCalls::default());
    let new = SumsOptions { is_new: true, ..options(&calls) };
    let (volume, found) = ChecksummedVolume::open(Arc::clone(&inner) as Arc<dyn Volume>, new).unwrap();
    assert_eq!((found, volume.unknown_regions()), (Found::Made, (0, 3)));
    damage(&inner, 9000);
    assert_eq!(volume.verify(|_| true).unwrap(), [8192], "zeros are known, too");
}

#[test]
fn another_stamp_or_another_disk_makes_all_unknown() {
    let (inner, calls) = (memory(), PowerCalls::default());
    let stamped = |stamp: &'static str, identity: &str| SumsOptions {
        stamp: Box::new(move || Some(stamp.to_owned())),
        identity: identity.to_owned(),
        ..options(&calls)
    };
    let open = |stamp, identity| {
        ChecksummedVolume::open(Arc::clone(&inner) as Arc<dyn Volume>, stamped(stamp, identity)).unwrap()
    };
    let (volume, _) = open("monday", "disk 1");
    volume.write(0, &[1; 40_000], Durability::Volatile).unwrap();
    assert_eq!(volume.verify(|_| true).unwrap(), [0; 0]);
    drop(volume);
    let (volume, found) = open("monday", "disk 1");
    assert_eq!((found, volume.unknown_regions().0), (Found::Sound, 0));
    drop(volume);
    for (stamp, identity) in [("tuesday", "disk 1"), ("monday", "disk 2")] {
        damage(&inner, 0);
        let (volume, found) = open(stamp, identity);
        assert_eq!((found, volume.unknown_regions().0), (Found::Changed, 3));
        assert_eq!(volume.verify(|_| true).unwrap(), [0; 0], "whoever changed it may have meant it");
        drop(volume);
        drop(open("monday", "disk 1"));
    }
}

#[test]
fn a_longer_volume_keeps_its_sums_and_what_is_new_of_it_is_unknown() {
    let calls = PowerCalls::default();
    let (short, long) = (Arc::new(MemoryVolume::new(5 * BLOCK)), Arc::new(MemoryVolume::new(13 * BLOCK)));
    let (volume, _) = over(&short, &calls);
    volume.write(0, &[1; 5 * BLOCK as usize], Durability::Volatile).unwrap();
    drop(volume);
    long.write(0, &[1; 9 * BLOCK as usize], Durability::Volatile).unwrap();
    damage(&long, 10);
    let (volume, found) = over(&long, &calls);
    assert_eq!((found, volume.unknown_regions()), (Found::Unsettled(3), (3, 4)));
    assert_eq!(volume.verify(|_| true).unwrap(), [0]);
}

#[test]
fn a_volume_that_is_only_read_is_compared_where_there_are_sums() {
    let calls = PowerCalls::default();
    let path = Path::new("/images/disk");
    let files = ImageFiles::with_calls(Arc::new(calls.clone()));
    let open = |read_only| {
        let file = OpenOptions { read_only, ..OpenOptions::new(path, Length::Bytes(BLOCKS * BLOCK)) };
        let file: Arc<dyn Volume> = Arc::new(files.open(file).unwrap());
        ChecksummedVolume::open(file, options(&calls)).unwrap().0
    };
    let volume = open(false);
    volume.write(0, &[5; 20_000], Durability::Volatile).unwrap();
    drop(volume);
    let volume = open(true);
    let mut buffer = [0; 5000];
    volume.read(200, &mut buffer).unwrap();
    drop(volume);
    calls.open(path, Access::ReadWrite).unwrap().write_at(300, &[1]).unwrap();
    assert_eq!(open(true).read(200, &mut buffer).unwrap_err().kind, ErrorKind::ReadFailed);
}

#[test]
fn a_region_that_is_written_while_marks_are_taken_away_keeps_its_own() {
    let calls = PowerCalls::default();
    let meddling = Arc::new(Meddling { inner: MemoryVolume::new(BLOCKS * BLOCK), meddler: Mutex::new(None) });
    let inner = Arc::clone(&meddling) as Arc<dyn Volume>;
    let (volume, _) = ChecksummedVolume::open(inner, options(&calls)).unwrap();
    volume.write(0, &[1; 40_000], Durability::Volatile).unwrap();
    let volume = Arc::new(volume);
    let meddler = Arc::clone(&volume);
    let write = move || meddler.write(REGION, &[2; 512], Durability::Volatile).unwrap();
    *meddling.meddler.lock().unwrap() = Some(Box::new(write));
    volume.tidy(u64::MAX).unwrap();
    assert_eq!(volume.marks().marked.set_from(0).collect::<Vec<_>>(), [1]);
    volume.tidy(u64::MAX).unwrap();
    assert_eq!(volume.marks().marked.total(), 0);
}

type Meddler = Box<dyn FnOnce() + Send>;

/// Somebody writes as soon as a flush has ended.
struct Meddling {
    inner: MemoryVolume,
    meddler: Mutex<Option<Meddler>>,
}

impl std::fmt::Debug for Meddling {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(formatter)
    }
}

impl Volume for Meddling {
    fn capacity(&self) -> u64 {
        self.inner.capacity()
    }
    fn is_read_only(&self) -> bool {
        false
    }
    fn health(&self) -> Health {
        Health::Good
    }
    fn failed_flushes(&self) -> u64 {
        0
    }
    fn read(&self, offset: u64, buffer: &mut [u8]) -> crate::Result<()> {
        self.inner.read(offset, buffer)
    }
    fn write(&self, offset: u64, data: &[u8], durability: Durability) -> crate::Result<()> {
        self.inner.write(offset, data, durability)
    }
    fn flush(&self) -> crate::Result<()> {
        let meddler = self.meddler.lock().unwrap().take();
        meddler.into_iter().for_each(|meddle| meddle());
        Ok(())
    }
    fn deallocate(&self, offset: u64, length: u64) -> crate::Result<()> {
        self.inner.deallocate(offset, length)
    }
    fn write_zeroes(&self, offset: u64, length: u64, how: Allocation, wait: Durability) -> crate::Result<()> {
        self.inner.write_zeroes(offset, length, how, wait)
    }
    fn mapping(&self, offset: u64) -> crate::Result<Mapping> {
        self.inner.mapping(offset)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(u64, u64, Durability),
    Zero(u64, u64),
    Flush,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let capacity = BLOCKS * BLOCK;
    let range = || {
        let at =
            prop_oneof![(0..capacity / 512).prop_map(|at| at * 512), (0..BLOCKS).prop_map(|at| at * BLOCK)];
        (at, prop_oneof![1..4_u64, 1..40_u64])
            .prop_map(move |(at, count)| (at, (count * 512).min(capacity - at)))
    };
    let durability = prop_oneof![3 => Just(Durability::Volatile), 1 => Just(Durability::Durable)];
    let step = prop_oneof![
        6 => (range(), durability).prop_map(|((at, length), wait)| Step::Write(at, length, wait)),
        2 => range().prop_map(|(at, length)| Step::Zero(at, length)),
        2 => Just(Step::Flush),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..14)
}

fn plain(calls: &PowerCalls) -> crate::Result<FileVolume> {
    let files = ImageFiles::with_calls(Arc::new(calls.clone()));
    files.open(OpenOptions::new(Path::new("/images/disk"), Length::Bytes(BLOCKS * BLOCK)))
}

fn open(calls: &PowerCalls) -> crate::Result<ChecksummedVolume> {
    Ok(ChecksummedVolume::open(Arc::new(plain(calls)?), options(calls))?.0)
}

/// Does the steps until the power goes; what each sector may be then.
fn follow(calls: &PowerCalls, steps: &[Step], before: u8) -> Vec<Vec<u8>> {
    let mut allowed = vec![vec![before]; (BLOCKS * BLOCK / 512) as usize];
    let sectors = |at: u64, length: u64| (at / 512) as usize..((at + length) / 512) as usize;
    let Ok(mut volume) = open(calls) else { return allowed };
    for (step, number) in steps.iter().zip(1..) {
        let (done, wrote) = match *step {
            Step::Write(at, length, wait) => {
                allowed[sectors(at, length)].iter_mut().for_each(|sector| sector.push(number));
                let done = volume.write(at, &vec![number; length as usize], wait);
                (done, (wait == Durability::Durable).then_some((at, length)))
            }
            Step::Zero(at, length) => {
                allowed[sectors(at, length)].iter_mut().for_each(|sector| sector.push(0));
                (volume.write_zeroes(at, length, Allocation::Keep, Durability::Volatile), None)
            }
            Step::Flush => (volume.flush(), Some((0, BLOCKS * BLOCK))),
            Step::Reopen => {
                drop(volume);
                let Ok(again) = open(calls) else { return allowed };
                volume = again;
                (Ok(()), None)
            }
        };
        if done.is_err() || !calls.has_power() {
            break;
        }
        if let Some((at, length)) = wrote {
            allowed[sectors(at, length)].iter_mut().for_each(|sector| drop(sector.drain(..sector.len() - 1)));
        }
    }
    allowed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_power_cut_looks_like_damage_or_loses_what_was_flushed(
        steps in steps(),
        cut in 0..120_usize,
        noise: u64,
        had_sums: bool,
    ) {
        let calls = PowerCalls::with_noise(noise);
        let mut before = 0;
        if had_sums {
            drop(open(&calls));
        } else {
            before = 0xdd;
            let file = plain(&calls).unwrap();
            file.write(0, &[before; (BLOCKS * BLOCK) as usize], Durability::Durable).unwrap();
        }
        calls.cut_after(cut);
        let allowed = follow(&calls, &steps, before);
        let calls = calls.after_the_cut();
        let volume = open(&calls).unwrap();
        let mut bytes = vec![0; (BLOCKS * BLOCK) as usize];
        volume.read(0, &mut bytes).unwrap();
        for (sector, may) in bytes.chunks(512).zip(&allowed) {
            prop_assert!(sector.iter().all(|byte| *byte == sector[0]) && may.contains(&sector[0]), "{may:?}");
        }
        prop_assert_eq!(volume.verify(|_| true).unwrap(), [0; 0]);
        volume.write(700, &[0xee; 9000], Durability::Volatile).unwrap();
        drop(volume);
        prop_assert_eq!(open(&calls).unwrap().verify(|_| true).unwrap(), [0; 0]);
    }
}
