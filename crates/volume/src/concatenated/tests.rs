#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use proptest::prelude::*;

use super::ConcatenatedVolume;
use crate::{
    Allocation, Durability, ErrorKind, FailingVolume, FileVolume, Health, Length, MemoryVolume, OpenOptions,
    Operation, Space, Volume,
};

const MEMBER: u64 = 8192;

/// Three members, of which each can be made to fail, and the whole.
fn breakable() -> ([Arc<FailingVolume<MemoryVolume>>; 3], ConcatenatedVolume) {
    let members = [0; 3].map(|_| Arc::new(FailingVolume::new(MemoryVolume::new(MEMBER))));
    let whole = members.iter().map(|member| Arc::clone(member) as Arc<dyn Volume>).collect();
    (members, ConcatenatedVolume::new(whole).unwrap())
}

#[test]
fn members_follow_each_other() {
    let (members, whole) = breakable();
    assert_eq!(whole.capacity(), 3 * MEMBER);
    let data: Vec<u8> = (0..3 * MEMBER).map(|at| (at / 7) as u8).collect();
    whole.write(0, &data, Durability::Volatile).unwrap();
    for (member, part) in members.iter().zip(data.chunks(MEMBER as usize)) {
        let mut read = vec![0; part.len()];
        member.read(0, &mut read).unwrap();
        assert!(read == part);
    }
}

#[test]
fn a_concatenation_of_nothing_or_of_too_much_is_refused() {
    assert_eq!(ConcatenatedVolume::new(Vec::new()).unwrap_err().kind, ErrorKind::CannotOpen);
    let large = || Arc::new(MemoryVolume::new(u64::MAX / 2 + 1)) as Arc<dyn Volume>;
    assert_eq!(ConcatenatedVolume::new(vec![large(), large()]).unwrap_err().kind, ErrorKind::CannotOpen);
}

#[test]
fn every_member_is_flushed_even_if_one_fails() {
    let (members, whole) = breakable();
    members[0].fail_next(Operation::Flush, 1, ErrorKind::FlushFailed);
    members[2].fail_next(Operation::Flush, 1, ErrorKind::WriteFailed);
    assert_eq!(whole.flush().unwrap_err().kind, ErrorKind::FlushFailed);
    // The last one's fault was used up too.
    assert_eq!(
        members.each_ref().map(|member| member.health()),
        [Health::FlushFailed, Health::Good, Health::FlushFailed]
    );
    assert_eq!(whole.health(), Health::FlushFailed);
}

#[test]
fn where_one_member_has_lost_writes_none_takes_more_until_it_is_healed() {
    let (members, whole) = breakable();
    members[1].fail_next(Operation::Flush, 1, ErrorKind::FlushFailed);
    whole.flush().unwrap_err();
    for durability in [Durability::Volatile, Durability::Durable] {
        assert_eq!(whole.write(0, &[1], durability).unwrap_err().kind, ErrorKind::FlushFailed);
        let zeroed = whole.write_zeroes(0, 1, Allocation::Keep, durability).unwrap_err();
        assert_eq!(zeroed.kind, ErrorKind::FlushFailed);
    }
    assert_eq!(whole.deallocate(0, 1).unwrap_err().kind, ErrorKind::FlushFailed);
    assert_eq!(whole.flush().unwrap_err().kind, ErrorKind::FlushFailed);
    whole.read(0, &mut [0; 3 * MEMBER as usize]).unwrap();
    members[1].heal();
    whole.write(0, &[1], Durability::Durable).unwrap();
    assert_eq!(whole.health(), Health::Good);
}

#[test]
fn a_durable_write_is_durable_in_every_member() {
    let (members, whole) = breakable();
    members[1].fail_next(Operation::Flush, 1, ErrorKind::FlushFailed);
    let over_both = whole.write(MEMBER - 1, &[1; 2], Durability::Durable).unwrap_err();
    assert_eq!((over_both.kind, members[1].health()), (ErrorKind::FlushFailed, Health::FlushFailed));
    members[1].heal();
    members[0].fail_next(Operation::Flush, 1, ErrorKind::FlushFailed);
    whole.write_zeroes(MEMBER - 1, 2, Allocation::Release, Durability::Durable).unwrap_err();
    assert_eq!(members[0].health(), Health::FlushFailed);
}

#[test]
fn a_write_that_fails_in_the_second_member_fails() {
    let (members, whole) = breakable();
    members[1].fail_next(Operation::Write, 1, ErrorKind::NoSpace);
    let error = whole.write(MEMBER - 1, &[1; 2], Durability::Volatile).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoSpace);
    members[1].fail_next(Operation::Read, 1, ErrorKind::ReadFailed);
    assert!(!whole.read_cached(MEMBER - 1, &mut [0; 2]).unwrap());
    assert_eq!(whole.read(MEMBER - 1, &mut [0; 2]).unwrap_err().kind, ErrorKind::ReadFailed);
}

#[test]
fn one_read_only_member_makes_the_whole_read_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    std::fs::write(&path, [7; 4096]).unwrap();
    let options = OpenOptions { read_only: true, ..OpenOptions::new(&path, Length::WholeFile) };
    let reader = Arc::new(FileVolume::open(options).unwrap());
    let whole = ConcatenatedVolume::new(vec![Arc::new(MemoryVolume::new(4096)), reader]).unwrap();
    assert!(whole.is_read_only());
    assert_eq!(whole.write(0, &[1], Durability::Volatile).unwrap_err().kind, ErrorKind::ReadOnly);
    whole.flush().unwrap();
    let mut read = [1; 2];
    whole.read(4095, &mut read).unwrap();
    assert_eq!(read, [0, 7]);
}

#[test]
fn the_whole_grows_with_its_last_member_only() {
    let directory = tempfile::tempdir().unwrap();
    let open = |name| {
        let options = OpenOptions::new(directory.path().join(name), Length::Bytes(MEMBER));
        Arc::new(FileVolume::open(options).unwrap())
    };
    let (first, last) = (open("first"), open("last"));
    let whole = ConcatenatedVolume::new(vec![first.clone(), last.clone()]).unwrap();
    last.write(0, &[7; MEMBER as usize], Durability::Volatile).unwrap();
    first.grow(Length::Bytes(2 * MEMBER)).unwrap().commit();
    assert_eq!(whole.capacity(), 2 * MEMBER);
    assert_eq!(whole.mapping(0).unwrap().length, MEMBER);
    let mut byte = [0];
    whole.read(MEMBER, &mut byte).unwrap();
    assert_eq!(byte, [7]);
    last.grow(Length::Bytes(2 * MEMBER)).unwrap().commit();
    assert_eq!(whole.capacity(), 3 * MEMBER);
    whole.write(3 * MEMBER - 1, &[9], Durability::Durable).unwrap();
    last.read(2 * MEMBER - 1, &mut byte).unwrap();
    assert_eq!(byte, [9]);
}

proptest! {
    #[test]
    fn what_lies_outside_is_refused_as_by_one_volume(
        lengths in proptest::collection::vec(0..3000u64, 1..5),
        offset in prop_oneof![0..16_000u64, any::<u64>()],
        length in 0..8000usize,
    ) {
        let flat = MemoryVolume::new(lengths.iter().sum());
        let members = lengths.iter().map(|&length| Arc::new(MemoryVolume::new(length)) as Arc<dyn Volume>);
        let whole = ConcatenatedVolume::new(members.collect()).unwrap();
        let outcomes = |volume: &dyn Volume| {
            [
                volume.read(offset, &mut vec![0; length]).map_err(|error| error.kind),
                volume.read_cached(offset, &mut vec![0; length]).map(|_| ()).map_err(|error| error.kind),
                volume.write(offset, &vec![1; length], Durability::Durable).map_err(|error| error.kind),
                volume.deallocate(offset, length as u64).map_err(|error| error.kind),
                volume.mapping(offset).map(|_| ()).map_err(|error| error.kind),
            ]
        };
        prop_assert_eq!(outcomes(&whole), outcomes(&flat));
    }
}

#[test]
fn space_is_what_all_take_and_what_the_fullest_has_left() {
    let members = [8192, 1 << 20].map(|limit| Arc::new(MemoryVolume::with_limit(MEMBER, limit)));
    let whole = ConcatenatedVolume::new(members.map(|member| member as Arc<dyn Volume>).to_vec()).unwrap();
    whole.write(0, &[1; 4096], Durability::Volatile).unwrap();
    assert_eq!(whole.space().unwrap(), Some(Space { used: 4096, available: 4096 }));
    whole.write(MEMBER, &[1; 8192], Durability::Volatile).unwrap();
    assert_eq!(whole.space().unwrap(), Some(Space { used: 12288, available: 0 }));
}
