use rustix::io::Errno;

use super::{MIB, recorded};
use crate::calls::double::Call;
use crate::{Allocation, Durability, ErrorKind, Volume};

#[test]
fn short_and_interrupted_transfers_are_completed() {
    let (_directory, calls, volume) = recorded();
    calls.shorten(1000);
    for call in [Call::Write, Call::Read] {
        calls.fail(call, Errno::INTR);
    }
    let data: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
    volume.write(777, &data, Durability::Volatile).unwrap();
    let mut read = vec![0; data.len()];
    volume.read(777, &mut read).unwrap();
    assert_eq!(read, data);
    assert_eq!(calls.count(Call::Read), 10 + 1);
}

#[test]
fn a_full_file_system_is_told_as_such_and_reads_go_on() {
    let (_directory, calls, volume) = recorded();
    for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
        calls.fail(Call::Write, errno);
        assert_eq!(volume.write(0, &[1], Durability::Durable).unwrap_err().kind, ErrorKind::NoSpace);
    }
    calls.fail(Call::ChangeSpace, Errno::NOSPC);
    let zeroed = volume.write_zeroes(0, MIB, Allocation::Keep, Durability::Volatile);
    assert_eq!(zeroed.unwrap_err().kind, ErrorKind::NoSpace);
    calls.fail(Call::Write, Errno::IO);
    assert_eq!(volume.write(0, &[1], Durability::Volatile).unwrap_err().kind, ErrorKind::WriteFailed);
    volume.read(0, &mut [0; 512]).unwrap();
    volume.write(0, &[1], Durability::Durable).unwrap();
}

#[test]
fn a_file_that_somebody_shortened_fails_to_read_instead_of_reading_as_zeros() {
    let (directory, calls, volume) = recorded();
    let file = std::fs::OpenOptions::new().write(true).open(directory.path().join("disk")).unwrap();
    file.set_len(1000).unwrap();
    let mut buffer = [0; 1024];
    assert_eq!(volume.read(512, &mut buffer).unwrap_err().kind, ErrorKind::ReadFailed);
    assert!(!volume.read_cached(512, &mut buffer).unwrap());
    volume.read(0, &mut buffer[..1000]).unwrap();
    calls.fail(Call::Read, Errno::IO);
    assert_eq!(volume.read(0, &mut buffer[..8]).unwrap_err().kind, ErrorKind::ReadFailed);
}

#[test]
fn a_cached_read_never_waits_and_asks_no_more_where_that_is_unknown() {
    let (_directory, calls, volume) = recorded();
    let mut buffer = [0; 512];
    volume.write(0, &[5; 512], Durability::Volatile).unwrap();
    calls.fail(Call::ReadWithoutWaiting, Errno::AGAIN);
    assert!(!volume.read_cached(0, &mut buffer).unwrap());
    if volume.read_cached(0, &mut buffer).unwrap() {
        assert_eq!(buffer, [5; 512]);
    }
    assert_eq!(calls.count(Call::ReadWithoutWaiting), 2);
    calls.fail(Call::ReadWithoutWaiting, Errno::OPNOTSUPP);
    assert!(!volume.read_cached(0, &mut buffer).unwrap());
    let asked = calls.count(Call::ReadWithoutWaiting);
    assert!(!volume.read_cached(0, &mut buffer).unwrap());
    assert_eq!(calls.count(Call::ReadWithoutWaiting), asked);
    assert_eq!(calls.count(Call::Read), 0);
}

#[test]
fn a_range_outside_the_volume_changes_nothing() {
    let (_directory, calls, volume) = recorded();
    let before = calls.calls();
    let (volatile, keep) = (Durability::Volatile, Allocation::Keep);
    for (offset, length) in [(MIB - 1, 2), (MIB, 1), (u64::MAX, 1), (u64::MAX, u64::MAX)] {
        let mut buffer = [0; 2];
        let buffer = &mut buffer[..length.min(2) as usize];
        let results = [
            volume.read(offset, buffer),
            volume.read_cached(offset, buffer).map(drop),
            volume.write(offset, buffer, volatile),
            volume.deallocate(offset, length),
            volume.write_zeroes(offset, length, keep, volatile),
        ];
        for result in results {
            assert_eq!(result.unwrap_err().kind, ErrorKind::OutOfRange);
        }
    }
    assert_eq!(volume.mapping(MIB).unwrap_err().kind, ErrorKind::OutOfRange);
    assert_eq!(calls.calls(), before);
    volume.read(MIB, &mut []).unwrap();
    volume.deallocate(MIB, 0).unwrap();
}

#[test]
fn a_range_is_copied_by_the_system_and_what_it_does_not_copy_is_left() {
    let (directory, calls, volume) = recorded();
    let other = super::open_recorded(&directory.path().join("other"), &calls).unwrap();
    let data: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    volume.write(1000, &data, Durability::Volatile).unwrap();
    let copy = |length| other.copy_from(&volume.lend(1000, length).unwrap().unwrap(), 5000);
    calls.fail(Call::Copy, Errno::INTR);
    assert_eq!(copy(200_000).unwrap(), 200_000);
    assert_eq!((calls.count(Call::Read), calls.count(Call::Copy)), (0, 2));
    let mut read = vec![0; data.len()];
    other.read(5000, &mut read).unwrap();
    assert!(read == data);
    calls.shorten(4096);
    assert_eq!(copy(200_000).unwrap(), 4096);
    for errno in [Errno::XDEV, Errno::OPNOTSUPP, Errno::NOSPC, Errno::IO] {
        calls.fail(Call::Copy, errno);
        assert_eq!(copy(10).unwrap(), 0, "{errno:?}");
    }
    // Ranges that overlap are not for the system to copy.
    assert_eq!(volume.copy_from(&volume.lend(0, 10_000).unwrap().unwrap(), 1000).unwrap(), 0);
    assert_eq!(volume.lend(MIB - 10, 11).unwrap_err().kind, ErrorKind::OutOfRange);
    let past = other.copy_from(&volume.lend(0, 11).unwrap().unwrap(), MIB - 10);
    assert_eq!(past.unwrap_err().kind, ErrorKind::OutOfRange);
    // A copy is lost with a flush that fails, like a write.
    calls.fail(Call::SynchronizeData, Errno::IO);
    assert_eq!(other.flush().unwrap_err().kind, ErrorKind::FlushFailed);
    assert_eq!(copy(10).unwrap_err().kind, ErrorKind::FlushFailed);
}
