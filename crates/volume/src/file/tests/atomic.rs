//! Atomic writes, the record beside the image, and what is found there when a disk is opened.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{MIB, images, recorded};
use crate::calls::double::{Call, RecordingCalls};
use crate::calls::power::PowerCalls;
use crate::redo::RedoRecord;
use crate::{
    ConcatenatedVolume, Durability, ErrorKind, FailingVolume, FileVolume, ImageFiles, Length, MemoryVolume,
    OpenOptions, Operation, Recovery, SystemCalls, Volume, VolumeError,
};

fn options(path: &Path) -> OpenOptions {
    OpenOptions::new(path, Length::Bytes(MIB))
}

fn redo_of(path: &Path) -> PathBuf {
    path.with_file_name("disk.timedisk.redo")
}

/// A disk of ones whose process has ended when this write was in its record, and in the image in part.
fn cut_off(directory: &Path, offset: u64, data: &[u8]) -> PathBuf {
    let path = directory.join("disk");
    let volume = FileVolume::open(options(&path)).unwrap();
    volume.write(0, &vec![1; MIB as usize], Durability::Durable).unwrap();
    let mut record = RedoRecord::open(Arc::new(SystemCalls), volume.state(), false).unwrap();
    record.keep(offset, data).unwrap();
    let half = data.len() / 2;
    if offset + (half as u64) < MIB {
        volume.write(offset, &data[..half], Durability::Durable).unwrap();
    }
    path
}

fn refused(options: OpenOptions) -> VolumeError {
    let (record, image) = (fs::read(redo_of(&options.path)).unwrap(), fs::read(&options.path).unwrap());
    let error = FileVolume::open(options.clone()).unwrap_err();
    assert_eq!(fs::read(redo_of(&options.path)).unwrap(), record, "it is left as it is");
    assert!(fs::read(&options.path).unwrap() == image, "and so is the image");
    error
}

#[test]
fn the_record_lasts_before_the_image_changes_and_goes_when_that_lasts() {
    use Call::{Open, Read, Synchronize, SynchronizeData, SynchronizeDirectory, Write};
    let (directory, calls, volume) = recorded();
    let before = calls.calls().len();
    assert_eq!(volume.atomic_limit(), MIB);
    volume.write_atomic(4096, &[7; 8192]).unwrap();
    let log = calls.log().split_off(before);
    let names = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let log: Vec<(Call, String)> = log.iter().map(|(call, path)| (*call, names(path))).collect();
    let (image, record) = ("disk", "disk.timedisk.redo");
    let above = directory.path().file_name().unwrap().to_str().unwrap();
    let made = [
        (Read, image),
        (Open, record),
        (Write, record),
        (Synchronize, record),
        (SynchronizeDirectory, above),
    ];
    let done = [
        (Write, record),
        (Write, record),
        (SynchronizeData, record),
        (Write, image),
        (SynchronizeData, image),
        (Write, record),
        (SynchronizeData, record),
    ];
    let expected: Vec<(Call, String)> =
        made.iter().chain(&done).map(|(call, name)| (*call, (*name).to_owned())).collect();
    assert_eq!(log, expected);
    let record = RedoRecord::open(Arc::new(SystemCalls), volume.state(), true).unwrap();
    assert_eq!(record.content().unwrap(), crate::redo::Content::Nothing);
}

#[test]
fn what_was_cut_off_is_written_whole_when_the_disk_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let data: Vec<u8> = (0..100_000).map(|at| (at % 251) as u8).collect();
    let path = cut_off(directory.path(), 5000, &data);
    let volume = FileVolume::open(options(&path)).unwrap();
    assert_eq!(volume.recovery(), Some(Recovery::Redone { offset: 5000, length: 100_000 }));
    let mut expected = vec![1; MIB as usize];
    expected[5000..105_000].copy_from_slice(&data);
    assert!(fs::read(&path).unwrap() == expected);
    // And not a second time.
    volume.write(5000, &[9; 4], Durability::Durable).unwrap();
    drop(volume);
    let volume = FileVolume::open(options(&path)).unwrap();
    assert_eq!(volume.recovery(), None);
    assert_eq!(fs::read(&path).unwrap()[5000..5004], [9; 4]);
}

#[test]
fn a_torn_record_is_dropped() {
    for cut in [1, 64, 4096, 4097, 4100] {
        let directory = tempfile::tempdir().unwrap();
        let path = cut_off(directory.path(), 0, &[1; 10]);
        let whole = fs::read(redo_of(&path)).unwrap();
        let torn: Vec<u8> = if cut == 1 { vec![0; whole.len()] } else { whole[..cut].to_vec() };
        fs::write(redo_of(&path), torn).unwrap();
        let read_only = OpenOptions { read_only: true, ..options(&path) };
        assert_eq!(FileVolume::open(read_only).unwrap().recovery(), None);
        let volume = FileVolume::open(options(&path)).unwrap();
        assert_eq!(volume.recovery(), Some(Recovery::Dropped), "{cut}");
        volume.write_atomic(0, &[3; 512]).unwrap();
    }
}

#[test]
fn a_record_of_another_disk_is_refused() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = cut_off(one.path(), 0, &[2; 512]);
    let foreign = cut_off(other.path(), 0, &[2; 512]);
    fs::copy(redo_of(&foreign), redo_of(&path)).unwrap();
    let error = refused(options(&path));
    assert_eq!(error.kind, ErrorKind::BadState);
    assert!(error.to_string().contains("which is not this one: bring it back beside"), "{error}");
    // A disk that is made in the place of one that is lost gets nothing of it, and leaves nothing behind.
    for name in ["disk", "disk.timedisk"] {
        fs::remove_file(one.path().join(name)).unwrap();
    }
    assert_eq!(FileVolume::open(options(&path)).unwrap_err().kind, ErrorKind::BadState);
    let left: Vec<_> = fs::read_dir(one.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["disk.timedisk.redo"]);
}

#[test]
fn a_disk_that_is_refused_for_its_record_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    fs::create_dir(redo_of(&path)).unwrap();
    let error = FileVolume::open(options(&path)).unwrap_err();
    assert!(error.to_string().contains("is some other file: move it away"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn an_empty_record_of_another_disk_is_no_hindrance() {
    let directory = tempfile::tempdir().unwrap();
    let path = cut_off(directory.path(), 0, &[2; 512]);
    drop(FileVolume::open(options(&path)).unwrap());
    fs::remove_file(directory.path().join("disk.timedisk")).unwrap();
    let volume = FileVolume::open(options(&path)).unwrap();
    volume.write_atomic(0, &[3; 512]).unwrap();
}

#[test]
fn what_is_no_record_or_does_not_fit_is_refused_with_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let path = cut_off(directory.path(), MIB, &[2; 512]);
    let error = refused(options(&path));
    assert!(error.to_string().contains("512 bytes at byte 1048576, beyond the end"), "{error}");
    let mut newer = fs::read(redo_of(&path)).unwrap();
    newer[12] = 9;
    fs::write(redo_of(&path), newer).unwrap();
    let error = refused(options(&path));
    assert!(error.to_string().contains("is of version 9"), "{error}");
    fs::write(redo_of(&path), "notes").unwrap();
    let error = refused(options(&path));
    assert!(error.to_string().contains("is some other file: move it away"), "{error}");
}

#[test]
fn a_disk_that_is_only_read_is_not_served_torn() {
    let directory = tempfile::tempdir().unwrap();
    let path = cut_off(directory.path(), 0, &[2; 1024]);
    let read_only = OpenOptions { read_only: true, ..options(&path) };
    let error = refused(read_only.clone());
    assert_eq!(error.kind, ErrorKind::BadState);
    assert!(
        error.to_string().contains("opened for writing: do that once, or move the record away"),
        "{error}"
    );
    drop(FileVolume::open(options(&path)).unwrap());
    let volume = FileVolume::open(read_only).unwrap();
    assert_eq!(volume.atomic_limit(), 0);
    let mut buffer = [0; 1024];
    volume.read(0, &mut buffer).unwrap();
    assert_eq!(buffer, [2; 1024]);
}

#[test]
fn where_no_record_can_be_made_there_are_no_atomic_writes() {
    let calls = PowerCalls::with_noise(0);
    let images = ImageFiles::with_calls(Arc::new(calls));
    assert_eq!(images.open(options(Path::new("/sealed/disk"))).unwrap().atomic_limit(), 0);
    assert_eq!(images.open(options(Path::new("/images/disk"))).unwrap().atomic_limit(), MIB);
}

#[test]
fn a_record_that_can_not_be_made_fails_the_write_and_changes_nothing() {
    let (directory, calls, volume) = recorded();
    for call in [Call::Open, Call::Synchronize, Call::SynchronizeDirectory] {
        calls.fail(call, rustix::io::Errno::NOSPC);
        assert_eq!(volume.write_atomic(0, &[1; 512]).unwrap_err().kind, ErrorKind::NoSpace);
        assert!(!redo_of(&directory.path().join("disk")).exists());
        let mut buffer = [9; 512];
        volume.read(0, &mut buffer).unwrap();
        assert_eq!(buffer, [0; 512]);
        volume.write(4096, &[1; 512], Durability::Volatile).unwrap();
    }
    volume.write_atomic(0, &[1; 512]).unwrap();
}

#[test]
fn nothing_of_what_was_written_is_left_in_the_record_if_that_is_asked_for() {
    let (directory, calls, volume) = recorded();
    volume.erase_leftovers().unwrap();
    let path = redo_of(&directory.path().join("disk"));
    assert!(!path.exists(), "none is made for that");
    volume.write_atomic(0, &[7; 8192]).unwrap();
    volume.write_atomic(0, &[8; 512]).unwrap();
    assert!(fs::read(&path).unwrap().contains(&7), "it keeps what it had until then");
    let before = calls.count(Call::SynchronizeData);
    volume.erase_leftovers().unwrap();
    assert_eq!(calls.count(Call::SynchronizeData), before + 1);
    let record = fs::read(&path).unwrap();
    assert_eq!(record.len(), 4096 + 8192);
    assert!(record[64..].iter().all(|&byte| byte == 0));
    calls.fail(Call::SynchronizeData, rustix::io::Errno::IO);
    assert_eq!(volume.erase_leftovers().unwrap_err().kind, ErrorKind::WriteFailed);
    volume.write_atomic(0, &[9; 512]).unwrap();
}

#[test]
fn what_is_torn_is_not_read() {
    let calls = PowerCalls::with_noise(0);
    let volume =
        ImageFiles::with_calls(Arc::new(calls.clone())).open(options(Path::new("/images/disk"))).unwrap();
    volume.write_atomic(4096, &[1; 4096]).unwrap();
    // In turn: three writes and a header into the record, its flush, one write into the image, and then one that fails;
    // what would take the first back fails too, and so does the first try to do it all again.
    (6..9).for_each(|call| calls.fail_after(call));
    assert_eq!(volume.write_atomic(4096, &[2; 4096]).unwrap_err().kind, ErrorKind::NoSpace);
    let mut buffer = [9; 4096];
    assert!(!volume.read_cached(4096, &mut buffer).unwrap());
    volume.read(0, &mut buffer).unwrap();
    assert_eq!(volume.read(8191, &mut buffer[..1]).unwrap_err().kind, ErrorKind::NoSpace);
    volume.read(4096, &mut buffer).unwrap();
    assert_eq!(buffer, [2; 4096], "it is done again, whole");
}

#[test]
fn too_much_and_beyond_the_end_is_refused() {
    let calls = RecordingCalls::default();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let volume = images(&calls).open(OpenOptions::new(&path, Length::Bytes(4 * MIB))).unwrap();
    let limit = vec![1; MIB as usize];
    let more = vec![1; MIB as usize + 1];
    assert_eq!(volume.write_atomic(0, &more).unwrap_err().kind, ErrorKind::OutOfRange);
    assert_eq!(volume.write_atomic(4 * MIB - 1, &[1; 2]).unwrap_err().kind, ErrorKind::OutOfRange);
    assert!(!redo_of(&path).exists());
    volume.write_atomic(4 * MIB, &[]).unwrap();
    volume.write_atomic(3 * MIB, &limit).unwrap();
    assert!(fs::read(&path).unwrap()[3 * MIB as usize..] == limit);
}

#[test]
fn a_concatenation_tells_of_no_atomic_writes_since_no_record_is_for_two_files() {
    let member = || Arc::new(MemoryVolume::new(4096)) as Arc<dyn Volume>;
    let volume = ConcatenatedVolume::new(vec![member(), member()]).unwrap();
    assert_eq!(volume.atomic_limit(), 0);
    assert_eq!(volume.write_atomic(0, &[1; 512]).unwrap_err().kind, ErrorKind::OutOfRange);
}

#[test]
fn a_disk_in_memory_and_one_that_fails_write_all_or_nothing() {
    let memory = MemoryVolume::with_limit(MIB, 8192);
    memory.write_atomic(4096, &[1; 8192]).unwrap();
    memory.write_atomic(5000, &[2; 7000]).unwrap();
    assert_eq!(memory.write_atomic(8192, &[3; 8192]).unwrap_err().kind, ErrorKind::NoSpace);
    let mut buffer = [9; 1];
    memory.read(8192, &mut buffer).unwrap();
    assert_eq!(buffer, [2]);
    for operation in [Operation::Write, Operation::Flush] {
        let failing = FailingVolume::new(MemoryVolume::new(MIB));
        failing.fail_next(operation, 1, ErrorKind::WriteFailed);
        assert_eq!(failing.write_atomic(0, &[1; 512]).unwrap_err().kind, ErrorKind::WriteFailed);
        assert_eq!(failing.inner().allocated(), 0);
        failing.heal();
        failing.write_atomic(0, &[1; 512]).unwrap();
        assert_eq!(failing.atomic_limit(), MIB);
    }
}

#[test]
fn a_write_that_was_cut_off_is_told_and_done_only_when_the_disk_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    drop(FileVolume::open(options(&path)).unwrap());
    let state = crate::DiskState::look_up(&path, 0, None).unwrap().unwrap();
    assert_eq!(state.cut_off_write().unwrap(), None);
    RedoRecord::open(std::sync::Arc::new(crate::SystemCalls), &state, false)
        .unwrap()
        .keep(512, &[7; 512])
        .unwrap();
    assert_eq!(state.cut_off_write().unwrap(), Some(512..1024));
    assert_eq!(fs::read(&path).unwrap()[512], 0, "it was only looked at");
    drop(FileVolume::open(options(&path)).unwrap());
    assert_eq!((state.cut_off_write().unwrap(), fs::read(&path).unwrap()[512]), (None, 7));
}
