use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::io::Errno;

use super::{MIB, recorded};
use crate::calls::double::Call;
use crate::{Allocation, Durability, ErrorKind, FileVolume, Length, Mapping, OpenOptions, Volume};

fn blocks(volume: &FileVolume) -> u64 {
    volume.flush().unwrap();
    fs::metadata(volume.path()).unwrap().blocks()
}

fn all_zero(volume: &FileVolume, offset: u64, length: u64) -> bool {
    let mut buffer = vec![1; length as usize];
    volume.read(offset, &mut buffer).unwrap();
    buffer.iter().all(|&byte| byte == 0)
}

#[test]
fn deallocated_space_goes_back_to_the_file_system() {
    let (_directory, _calls, volume) = recorded();
    volume.write(0, &vec![1; MIB as usize], Durability::Volatile).unwrap();
    assert_eq!(blocks(&volume), MIB / 512);
    volume.deallocate(100, MIB / 2).unwrap();
    assert!(blocks(&volume) <= MIB / 1024 + 16);
    assert!(all_zero(&volume, 100, MIB / 2));
    let mut edges = [0; 101];
    volume.read(0, &mut edges).unwrap();
    assert_eq!((edges[99], edges[100]), (1, 0));
    volume.read(100 + MIB / 2 - 1, &mut edges[..2]).unwrap();
    assert_eq!((edges[0], edges[1]), (0, 1));
    assert_eq!(fs::metadata(volume.path()).unwrap().len(), MIB);
}

#[test]
fn the_mapping_shows_holes_and_data_within_the_extent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    fs::write(&path, vec![9; 3 * MIB as usize]).unwrap();
    let options = OpenOptions { start: MIB, ..OpenOptions::new(&path, Length::Bytes(MIB)) };
    let volume = FileVolume::open(options).unwrap();
    assert_eq!(volume.mapping(512).unwrap(), Mapping { allocated: true, length: MIB - 512 });
    volume.deallocate(0, MIB / 2).unwrap();
    assert_eq!(volume.mapping(4096).unwrap(), Mapping { allocated: false, length: MIB / 2 - 4096 });
    assert_eq!(volume.mapping(MIB / 2).unwrap(), Mapping { allocated: true, length: MIB / 2 });
    volume.deallocate(0, MIB).unwrap();
    assert_eq!(volume.mapping(0).unwrap(), Mapping { allocated: false, length: MIB });
    // The neighbours in the file are untouched.
    let content = fs::read(&path).unwrap();
    assert!(content[..MIB as usize].iter().chain(&content[2 * MIB as usize..]).all(|&byte| byte == 9));
}

#[test]
fn what_is_missing_of_a_file_that_somebody_shortened_is_no_hole() {
    let (directory, _calls, volume) = recorded();
    volume.write(0, &vec![1; MIB as usize], Durability::Volatile).unwrap();
    volume.deallocate(MIB / 4, MIB / 4).unwrap();
    let file = fs::OpenOptions::new().write(true).open(directory.path().join("disk")).unwrap();
    file.set_len(MIB / 2).unwrap();
    // Clients take a hole for zeros and don't read it; what they read here fails, as it has to.
    assert_eq!(volume.mapping(MIB / 4).unwrap(), Mapping { allocated: false, length: MIB / 4 });
    assert_eq!(volume.mapping(MIB / 2).unwrap(), Mapping { allocated: true, length: MIB / 2 });
    assert_eq!(volume.mapping(MIB - 512).unwrap(), Mapping { allocated: true, length: 512 });
    assert_eq!(volume.read(MIB / 2, &mut [0; 512]).unwrap_err().kind, ErrorKind::ReadFailed);
}

#[test]
fn zeros_that_keep_their_space_keep_it() {
    let (_directory, _calls, volume) = recorded();
    volume.write(0, &[1; 8192], Durability::Volatile).unwrap();
    volume.write_zeroes(100, MIB - 100, Allocation::Keep, Durability::Durable).unwrap();
    assert!(all_zero(&volume, 100, MIB - 100));
    assert_eq!(blocks(&volume), MIB / 512);
    volume.write_zeroes(0, MIB, Allocation::Release, Durability::Durable).unwrap();
    assert_eq!(blocks(&volume), 0);
}

#[test]
fn without_help_from_the_file_system_zeros_are_written_and_holes_stay_holes() {
    let (_directory, calls, volume) = recorded();
    volume.write(0, &[1; 8192], Durability::Volatile).unwrap();
    calls.fail(Call::ChangeSpace, Errno::OPNOTSUPP);
    volume.deallocate(100, MIB - 100).unwrap();
    assert!(all_zero(&volume, 100, MIB - 100));
    assert_eq!(blocks(&volume), 8192 / 512);
    calls.fail(Call::ChangeSpace, Errno::OPNOTSUPP);
    volume.write_zeroes(0, MIB, Allocation::Keep, Durability::Volatile).unwrap();
    assert!(all_zero(&volume, 0, MIB));
    assert_eq!(blocks(&volume), MIB / 512);
}

#[test]
fn where_holes_cannot_be_told_everything_is_data() {
    let (_directory, calls, volume) = recorded();
    calls.fail(Call::Seek, Errno::INVAL);
    assert_eq!(volume.mapping(512).unwrap(), Mapping { allocated: true, length: MIB - 512 });
    assert_eq!(volume.mapping(512).unwrap(), Mapping { allocated: false, length: MIB - 512 });
}

#[test]
fn the_space_that_data_take_is_told_and_what_is_left() {
    let (directory, calls, volume) = recorded();
    let empty = volume.space().unwrap().unwrap();
    assert_eq!(empty.used, 0);
    let left = crate::available_space(directory.path()).unwrap();
    // Others write there too.
    assert!(empty.available.abs_diff(left) < left / 2, "{empty:?}, {left} by its path");
    volume.write(0, &vec![1; MIB as usize / 2], Durability::Durable).unwrap();
    assert_eq!(volume.space().unwrap().unwrap().used, MIB / 2);
    volume.deallocate(0, MIB / 4).unwrap();
    assert_eq!(volume.space().unwrap().unwrap().used, MIB / 4);
    calls.fail(Call::Space, Errno::IO);
    assert_eq!(volume.space().unwrap_err().kind, ErrorKind::ReadFailed);
}

#[test]
fn an_extent_takes_no_more_than_its_own_capacity() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    fs::write(&path, vec![9; 3 * MIB as usize]).unwrap();
    let options = OpenOptions { start: MIB, ..OpenOptions::new(&path, Length::Bytes(MIB)) };
    let volume = FileVolume::open(options).unwrap();
    volume.flush().unwrap();
    assert_eq!(volume.space().unwrap().unwrap().used, MIB);
}
