use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use tempfile::TempDir;

use super::{MIB, images};
use crate::calls::double::{Call, RecordingCalls};
use crate::{
    Allocation, DiskState, Durability, ErrorKind, FileVolume, Health, ImageFiles, Length, OpenOptions, Volume,
};

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    (directory, path)
}

/// One MiB of the file, the `number`th.
fn extent(path: &Path, number: u64) -> OpenOptions {
    OpenOptions { start: number * MIB, ..OpenOptions::new(path, Length::Bytes(MIB)) }
}

fn reading(path: &Path, number: u64) -> OpenOptions {
    OpenOptions { read_only: true, ..extent(path, number) }
}

/// Two disks of one file, and the calls that they make.
fn pair() -> (TempDir, RecordingCalls, [FileVolume; 2]) {
    let (directory, path) = place();
    let calls = RecordingCalls::default();
    let files = images(&calls);
    let volumes = [0, 1].map(|number| files.open(extent(&path, number)).unwrap());
    (directory, calls, volumes)
}

fn is_marked(path: &Path, number: u64) -> bool {
    DiskState::open(path, number * MIB, None).unwrap().flush_failure().is_some()
}

#[test]
fn two_extents_of_one_file_are_two_disks() {
    let (directory, calls, volumes) = pair();
    let path = directory.path().join("disk");
    for (volume, byte) in volumes.iter().zip([1, 2]) {
        volume.write(0, &vec![byte; MIB as usize], Durability::Durable).unwrap();
    }
    let content = fs::read(&path).unwrap();
    assert!(content.len() as u64 == 2 * MIB);
    assert!(content.iter().take(MIB as usize).all(|&byte| byte == 1));
    assert!(content.iter().skip(MIB as usize).all(|&byte| byte == 2));
    volumes[0].write_zeroes(0, MIB, Allocation::Release, Durability::Volatile).unwrap();
    assert_eq!(volumes[0].mapping(0).unwrap().length, MIB);
    let [first, second] = volumes.each_ref().map(|volume| volume.state());
    assert_eq!(first.path(), directory.path().join("disk.timedisk"));
    assert_eq!(second.path(), directory.path().join("disk.1048576.timedisk"));
    assert_ne!((first.serial(), first.naa()), (second.serial(), second.naa()));
    assert_eq!(calls.log().iter().filter(|(call, on)| *call == Call::Open && *on == path).count(), 1);
}

#[test]
fn the_identity_of_each_extent_is_stable() {
    let (directory, _calls, volumes) = pair();
    let identities = volumes.each_ref().map(|volume| volume.state().naa());
    drop(volumes);
    let files = ImageFiles::new();
    for number in [1, 0] {
        let volume = files.open(extent(&directory.path().join("disk"), number)).unwrap();
        assert_eq!(volume.state().naa(), identities[number as usize]);
    }
}

#[test]
fn disks_of_equal_state_names_never_get_one_identity() {
    let (directory, _calls, volumes) = pair();
    let namesake = directory.path().join("disk.1048576");
    let error = FileVolume::open(extent(&namesake, 0)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadState);
    assert!(error.to_string().contains("byte 1048576"), "{error}");
    drop(volumes);
    fs::remove_file(directory.path().join("disk.1048576.timedisk")).unwrap();
    FileVolume::open(extent(&namesake, 0)).unwrap();
    let error = FileVolume::open(extent(&directory.path().join("disk"), 1)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadState);
}

#[test]
fn a_file_is_known_by_what_it_is_and_not_by_its_name() {
    let (directory, path) = place();
    let files = ImageFiles::new();
    let first = files.open(extent(&path, 0)).unwrap();
    let (link, symlink) = (directory.path().join("link"), directory.path().join("symlink"));
    fs::hard_link(&path, &link).unwrap();
    std::os::unix::fs::symlink(&path, &symlink).unwrap();
    for name in [&link, &symlink] {
        assert_eq!(files.open(extent(name, 0)).unwrap_err().kind, ErrorKind::Overlap);
        files.open(extent(name, 1)).unwrap();
    }
    fs::rename(&path, directory.path().join("moved")).unwrap();
    fs::remove_file(directory.path().join("disk.timedisk")).unwrap();
    let other = files.open(extent(&path, 0)).unwrap();
    other.write(0, &[1], Durability::Volatile).unwrap();
    let mut byte = [7];
    first.read(0, &mut byte).unwrap();
    assert_eq!(byte, [0]);
}

#[test]
fn ranges_of_which_one_is_written_do_not_overlap() {
    let (_directory, path) = place();
    let files = ImageFiles::new();
    let middle = files.open(extent(&path, 1)).unwrap();
    for (start, length) in [(MIB, MIB), (0, MIB + 1), (2 * MIB - 1, 4096), (MIB + 4096, 512), (0, 4 * MIB)] {
        for read_only in [false, true] {
            let options = OpenOptions { start, read_only, ..OpenOptions::new(&path, Length::Bytes(length)) };
            let error = files.open(options).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Overlap);
            assert!(error.to_string().contains("1048576 to 2097151"), "{error}");
        }
    }
    assert_eq!(fs::metadata(&path).unwrap().len(), 2 * MIB);
    files.open(extent(&path, 0)).unwrap();
    files.open(extent(&path, 2)).unwrap();
    drop(middle);
    let readers = [files.open(reading(&path, 1)).unwrap(), files.open(reading(&path, 1)).unwrap()];
    assert_eq!(files.open(extent(&path, 1)).unwrap_err().kind, ErrorKind::Overlap);
    drop(readers);
    files.open(extent(&path, 1)).unwrap();
}

#[test]
fn a_reader_and_a_writer_share_a_file_in_either_order() {
    let (_directory, path) = place();
    fs::write(&path, vec![7; 2 * MIB as usize]).unwrap();
    for reader_first in [true, false] {
        let files = ImageFiles::new();
        let (reader, writer) = if reader_first {
            let reader = files.open(reading(&path, 0)).unwrap();
            (reader, files.open(extent(&path, 1)).unwrap())
        } else {
            let writer = files.open(extent(&path, 1)).unwrap();
            (files.open(reading(&path, 0)).unwrap(), writer)
        };
        writer.write(0, &[1; 512], Durability::Durable).unwrap();
        let mut read = [0; 512];
        reader.read(0, &mut read).unwrap();
        assert_eq!(read, [7; 512]);
        reader.flush().unwrap();
        assert_eq!(reader.write(0, &[1], Durability::Volatile).unwrap_err().kind, ErrorKind::ReadOnly);
        // The lock is a writer's now, for readers elsewhere too.
        assert_eq!(FileVolume::open(reading(&path, 0)).unwrap_err().kind, ErrorKind::Locked);
    }
    FileVolume::open(extent(&path, 0)).unwrap();
}

#[test]
fn a_writer_who_is_refused_leaves_the_reader_its_lock() {
    let (_directory, path) = place();
    fs::write(&path, vec![7; 2 * MIB as usize]).unwrap();
    let files = ImageFiles::new();
    let _reader = files.open(reading(&path, 0)).unwrap();
    let elsewhere = FileVolume::open(reading(&path, 0)).unwrap();
    assert_eq!(files.open(extent(&path, 1)).unwrap_err().kind, ErrorKind::Locked);
    drop(elsewhere);
    assert_eq!(FileVolume::open(extent(&path, 1)).unwrap_err().kind, ErrorKind::Locked);
    files.open(extent(&path, 1)).unwrap();
}

#[test]
fn opening_a_file_twice_without_sharing_it_is_refused() {
    let (_directory, path) = place();
    let _first = FileVolume::open(extent(&path, 0)).unwrap();
    assert_eq!(FileVolume::open(extent(&path, 1)).unwrap_err().kind, ErrorKind::Locked);
}

#[test]
fn a_failed_flush_of_one_extent_is_one_of_all_and_written_down_before_anyone_is_told() {
    let (directory, calls, [first, second]) = pair();
    let path = directory.path().join("disk");
    second.write(0, &[1; 512], Durability::Volatile).unwrap();
    calls.fail(Call::SynchronizeData, Errno::IO);
    calls.hold(Call::Rename);
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(first.flush().unwrap_err().kind, ErrorKind::FlushFailed));
        scope.spawn(|| assert_eq!(second.flush().unwrap_err().kind, ErrorKind::FlushFailed));
        calls.until_held(1);
        thread::sleep(Duration::from_millis(50));
        assert_eq!((first.health(), second.health()), (Health::Good, Health::Good));
        calls.release();
    });
    assert!(is_marked(&path, 0) && is_marked(&path, 1));
    for volume in [&first, &second] {
        assert_eq!(volume.health(), Health::FlushFailed);
        let refused = volume.write(0, &[1], Durability::Volatile).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::FlushFailed);
    }
    assert_eq!(calls.count(Call::SynchronizeData), 1);
}

#[test]
fn flushes_of_several_extents_share_one_fdatasync() {
    let (_directory, calls, [first, second]) = pair();
    calls.hold(Call::SynchronizeData);
    thread::scope(|scope| {
        scope.spawn(|| first.flush().unwrap());
        calls.until_held(1);
        for volume in [&first, &second] {
            for _ in 0..8 {
                scope.spawn(|| volume.flush().unwrap());
            }
        }
        thread::sleep(Duration::from_millis(200));
        calls.release();
    });
    // Two, unless the machine was so busy that some came late.
    assert!((2..=4).contains(&calls.count(Call::SynchronizeData)));
}

#[test]
fn an_extent_that_was_closed_unsynchronized_is_marked_too() {
    let (directory, calls, [first, second]) = pair();
    let path = directory.path().join("disk");
    second.write(0, &[1; 512], Durability::Volatile).unwrap();
    drop(second);
    calls.fail(Call::SynchronizeData, Errno::IO);
    first.flush().unwrap_err();
    assert!(is_marked(&path, 0) && is_marked(&path, 1));
}

#[test]
fn an_extent_that_was_closed_is_not_marked_for_what_came_after_its_writes_were_safe() {
    let (directory, calls, [first, second]) = pair();
    drop(second);
    first.flush().unwrap();
    calls.fail(Call::SynchronizeData, Errno::IO);
    first.flush().unwrap_err();
    assert!(!is_marked(&directory.path().join("disk"), 1));
}

#[test]
fn a_failure_to_make_the_length_of_a_shared_file_last_is_a_failed_flush_of_all() {
    let (_directory, path) = place();
    let calls = RecordingCalls::default();
    let files = images(&calls);
    let first = files.open(extent(&path, 0)).unwrap();
    calls.fail(Call::Synchronize, Errno::IO);
    assert_eq!(files.open(extent(&path, 1)).unwrap_err().kind, ErrorKind::FlushFailed);
    assert_eq!(first.health(), Health::FlushFailed);
    assert!(is_marked(&path, 0));
}

#[test]
fn the_state_of_an_extent_has_its_start_in_its_name_elsewhere_too() {
    let (directory, path) = place();
    let calls = RecordingCalls::default();
    let state = directory.path().join("state");
    fs::create_dir(&state).unwrap();
    let files = images(&calls);
    let volumes = [0, 1].map(|number| {
        calls.fail(Call::Remove, Errno::ROFS);
        files.open(OpenOptions { state_directory: Some(state.clone()), ..extent(&path, number) }).unwrap()
    });
    let names = volumes.each_ref().map(|volume| volume.state().path().file_name().unwrap().to_owned());
    assert!(volumes.iter().all(|volume| volume.state().path().starts_with(&state)));
    assert_eq!(
        names[1].to_str().unwrap(),
        names[0].to_str().unwrap().replace(".timedisk", ".1048576.timedisk")
    );
}
