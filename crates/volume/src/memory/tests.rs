#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use super::{MemoryFiles, MemoryVolume};
use crate::{
    Allocation, Durability, ErrorKind, FileCalls, FileVolume, ImageFiles, Length, Mapping, OpenOptions,
    Space, Volume,
};

#[test]
fn a_new_memory_disk_is_one_hole_however_large() {
    let volume = MemoryVolume::new(u64::MAX);
    assert_eq!(volume.mapping(5).unwrap(), Mapping { allocated: false, length: u64::MAX - 5 });
    volume.write(u64::MAX - 2, &[1, 2], Durability::Durable).unwrap();
    assert_eq!(volume.mapping(u64::MAX - 1).unwrap(), Mapping { allocated: true, length: 1 });
    volume.deallocate(0, u64::MAX).unwrap();
    assert_eq!(volume.allocated(), 0);
}

#[test]
fn runs_of_pages_map_as_one_and_end_at_holes() {
    let volume = MemoryVolume::new(10 * 4096 + 512);
    volume.write(4096, &[1; 8192], Durability::Volatile).unwrap();
    volume.write_zeroes(5 * 4096, 1, Allocation::Keep, Durability::Volatile).unwrap();
    assert_eq!(volume.allocated(), 3 * 4096);
    assert_eq!(volume.mapping(512).unwrap(), Mapping { allocated: false, length: 4096 - 512 });
    assert_eq!(volume.mapping(4097).unwrap(), Mapping { allocated: true, length: 8191 });
    assert_eq!(volume.mapping(3 * 4096).unwrap(), Mapping { allocated: false, length: 8192 });
    assert_eq!(volume.mapping(6 * 4096).unwrap(), Mapping { allocated: false, length: 4 * 4096 + 512 });
    volume.deallocate(4097, 4095 + 4096).unwrap();
    assert_eq!(volume.mapping(4096).unwrap(), Mapping { allocated: true, length: 4096 });
    let mut first = [0; 2];
    volume.read(4096, &mut first).unwrap();
    assert_eq!(first, [1, 0]);
}

#[test]
fn a_memory_disk_holds_no_more_than_its_limit() {
    let volume = MemoryVolume::with_limit(1 << 30, 8192);
    volume.write(0, &[1; 8192], Durability::Volatile).unwrap();
    assert_eq!(volume.write(8192, &[1], Durability::Volatile).unwrap_err().kind, ErrorKind::NoSpace);
    let zeroed = volume.write_zeroes(0, 1 << 30, Allocation::Keep, Durability::Volatile);
    assert_eq!(zeroed.unwrap_err().kind, ErrorKind::NoSpace);
    volume.write(0, &[2; 8192], Durability::Volatile).unwrap();
    volume.deallocate(0, 4096).unwrap();
    volume.write(8192, &[1], Durability::Volatile).unwrap();
}

#[test]
fn what_lies_outside_is_refused() {
    let volume = MemoryVolume::new(1024);
    for (offset, length) in [(1024, 1), (0, 1025), (u64::MAX, 2)] {
        assert_eq!(volume.deallocate(offset, length).unwrap_err().kind, ErrorKind::OutOfRange);
    }
    assert_eq!(volume.mapping(1024).unwrap_err().kind, ErrorKind::OutOfRange);
    assert_eq!(volume.read(1023, &mut [0; 2]).unwrap_err().kind, ErrorKind::OutOfRange);
    assert_eq!(volume.write(1023, &[0; 2], Durability::Volatile).unwrap_err().kind, ErrorKind::OutOfRange);
}

#[test]
fn the_space_that_pages_take_is_told() {
    let volume = MemoryVolume::with_limit(1 << 20, 16 * 4096);
    volume.write(4000, &[1; 200], Durability::Volatile).unwrap();
    assert_eq!(volume.space().unwrap(), Some(Space { used: 8192, available: 14 * 4096 }));
    let roomy = MemoryVolume::new(10_000);
    assert_eq!(roomy.space().unwrap(), Some(Space { used: 0, available: 3 * 4096 }));
}

const MIB: u64 = 1 << 20;

fn in_memory(files: &MemoryFiles, name: &str, length: u64) -> crate::Result<FileVolume> {
    ImageFiles::with_calls(Arc::new(files.clone())).open(OpenOptions::new(name, Length::Bytes(length)))
}

#[test]
fn a_file_in_memory_is_a_disk_like_any_other() {
    let files = MemoryFiles::with_limit(8 * MIB);
    let volume = in_memory(&files, "memory:/a", 64 * MIB).unwrap();
    assert_eq!((volume.capacity(), volume.atomic_limit()), (64 * MIB, 1 << 20));
    assert_eq!(volume.mapping(0).unwrap(), Mapping { allocated: false, length: 64 * MIB });
    volume.write(5 * MIB + 1, &[7; 8192], Durability::Durable).unwrap();
    volume.write_atomic(9 * MIB, &[8; 4096]).unwrap();
    volume.flush().unwrap();
    assert_eq!(volume.mapping(0).unwrap(), Mapping { allocated: false, length: 5 * MIB });
    assert_eq!(volume.mapping(5 * MIB).unwrap(), Mapping { allocated: true, length: 3 * 4096 });
    let mut read = [0; 3];
    assert!(volume.read_cached(5 * MIB, &mut read).unwrap());
    assert_eq!(read, [0, 7, 7]);
    volume.deallocate(5 * MIB, MIB).unwrap();
    volume.read(5 * MIB, &mut read).unwrap();
    assert_eq!(read, [0; 3]);
    assert!(!Path::new("memory:").exists());
}

#[test]
fn disks_in_memory_share_their_room_and_give_it_back() {
    let files = MemoryFiles::with_limit(MIB);
    let (one, other) =
        (in_memory(&files, "memory:/a", MIB).unwrap(), in_memory(&files, "memory:/b", MIB).unwrap());
    one.write(0, &[1; 600 << 10], Durability::Volatile).unwrap();
    let written = other.write(0, &[1; 600 << 10], Durability::Volatile);
    assert_eq!(written.unwrap_err().kind, ErrorKind::NoSpace);
    other.deallocate(0, MIB).unwrap();
    drop(one);
    assert_eq!(other.write(0, &[1; 600 << 10], Durability::Volatile).unwrap_err().kind, ErrorKind::NoSpace);
    files.keep_only(|path| path.starts_with("memory:/b"));
    other.write(0, &[1; 600 << 10], Durability::Volatile).unwrap();
}

#[test]
fn a_disk_in_memory_is_there_as_long_as_its_files() {
    let files = MemoryFiles::with_limit(MIB);
    let volume = in_memory(&files, "memory:/a", 4096).unwrap();
    let serial = volume.state().serial().to_owned();
    volume.write(0, &[1; 512], Durability::Volatile).unwrap();
    drop(volume);
    let volume = in_memory(&files, "memory:/a", 8192).unwrap();
    let mut read = [0; 513];
    volume.read(0, &mut read).unwrap();
    assert_eq!((read[0], read[511], read[512]), (1, 1, 0));
    assert_eq!((volume.state().serial(), volume.capacity()), (serial.as_str(), 8192));
    assert!(volume.is_at(Path::new("memory:/a")));
    assert_eq!(files.identify(Path::new("memory:/b")), Err(rustix::io::Errno::NOENT));
    assert_eq!(
        in_memory(&MemoryFiles::with_limit(MIB), "memory:/a", 0).unwrap_err().kind,
        ErrorKind::CannotOpen
    );
}
