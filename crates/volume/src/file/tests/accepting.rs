use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use rustix::io::Errno;
use tempfile::TempDir;

use super::{MIB, images, open_recorded, recorded};
use crate::calls::double::{Call, RecordingCalls};
use crate::{
    Allocation, DiskState, Durability, ErrorKind, FileVolume, Health, Length, OpenOptions, Result, Volume,
    accept_loss_offline, accept_loss_offline_with,
};

/// A volume of which a flush has failed.
fn failed() -> (TempDir, RecordingCalls, FileVolume) {
    let (directory, calls, volume) = recorded();
    calls.fail(Call::SynchronizeData, Errno::IO);
    volume.flush().unwrap_err();
    (directory, calls, volume)
}

/// A file of a disk that is not served, of which a flush has failed.
fn abandoned() -> (TempDir, PathBuf) {
    let (directory, _calls, volume) = failed();
    drop(volume);
    let path = directory.path().join("disk");
    (directory, path)
}

fn kind_of<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind
}

#[test]
fn a_disk_whose_loss_is_accepted_takes_writes_without_being_reopened() {
    let (directory, calls, volume) = failed();
    assert_eq!(kind_of(volume.write(0, &[1], Durability::Volatile)), ErrorKind::FlushFailed);
    volume.accept_loss().unwrap();
    assert_eq!(volume.health(), Health::Good);
    volume.write(0, &[1], Durability::Durable).unwrap();
    volume.flush().unwrap();
    let state = DiskState::open(&directory.path().join("disk"), 0, None).unwrap();
    assert_eq!(state.flush_failure(), None);
    // And it can fail again.
    calls.fail(Call::SynchronizeData, Errno::IO);
    assert_eq!(kind_of(volume.flush()), ErrorKind::FlushFailed);
    assert_eq!(kind_of(volume.write(0, &[1], Durability::Volatile)), ErrorKind::FlushFailed);
}

#[test]
fn acceptance_is_synchronized_and_forgets_the_cache_before_it_is_written_down() {
    let (directory, calls, volume) = failed();
    let before = calls.calls().len();
    volume.accept_loss().unwrap();
    assert_eq!(
        calls.calls()[before..],
        [
            Call::SynchronizeData,
            Call::ForgetCached,
            Call::Remove,
            Call::Open,
            Call::Write,
            Call::Synchronize,
            Call::Rename,
            Call::SynchronizeDirectory
        ]
    );
    drop((directory, volume));
}

#[test]
fn writes_are_refused_until_the_acceptance_is_on_stable_storage() {
    let (_directory, calls, volume) = failed();
    calls.hold(Call::SynchronizeDirectory);
    thread::scope(|scope| {
        let accepting = scope.spawn(|| volume.accept_loss());
        calls.until_held(1);
        assert_eq!(volume.health(), Health::FlushFailed);
        assert_eq!(kind_of(volume.write(0, &[1], Durability::Volatile)), ErrorKind::FlushFailed);
        assert_eq!(kind_of(volume.flush()), ErrorKind::FlushFailed);
        calls.release();
        accepting.join().unwrap().unwrap();
    });
    volume.write(0, &[1], Durability::Durable).unwrap();
}

#[test]
fn what_still_fails_cannot_be_accepted() {
    let (directory, calls, volume) = failed();
    calls.fail(Call::SynchronizeData, Errno::IO);
    let error = volume.accept_loss().unwrap_err();
    assert_eq!(error.kind, ErrorKind::FlushFailed);
    assert!(error.to_string().contains("still can't be flushed"), "{error}");
    calls.fail(Call::Rename, Errno::ROFS);
    assert_eq!(kind_of(volume.accept_loss()), ErrorKind::CannotOpen);
    assert_eq!(kind_of(volume.write(0, &[1], Durability::Volatile)), ErrorKind::FlushFailed);
    let path = directory.path().join("disk");
    assert!(DiskState::open(&path, 0, None).unwrap().flush_failure().is_some());
    volume.accept_loss().unwrap();
    volume.flush().unwrap();
}

#[test]
fn where_no_flush_has_failed_there_is_nothing_to_accept() {
    let (directory, calls, volume) = recorded();
    let before = calls.calls().len();
    assert_eq!(kind_of(volume.accept_loss()), ErrorKind::NothingToAccept);
    assert_eq!(calls.calls().len(), before);
    drop(volume);
    let path = directory.path().join("disk");
    assert_eq!(kind_of(accept_loss_offline(&path, 0, None)), ErrorKind::NothingToAccept);
    assert_eq!(kind_of(accept_loss_offline(&path, 512, None)), ErrorKind::NothingToAccept);
    assert!(!directory.path().join("disk.512.timedisk").exists());
}

#[test]
fn a_change_that_was_going_on_while_a_flush_failed_is_not_acknowledged_after_acceptance() {
    for durability in [Durability::Volatile, Durability::Durable] {
        let (_directory, calls, volume) = recorded();
        calls.hold(Call::ChangeSpace);
        thread::scope(|scope| {
            let changing = scope.spawn(|| volume.write_zeroes(0, 512, Allocation::Release, durability));
            calls.until_held(1);
            calls.fail(Call::SynchronizeData, Errno::IO);
            volume.flush().unwrap_err();
            volume.accept_loss().unwrap();
            calls.release();
            assert_eq!(kind_of(changing.join().unwrap()), ErrorKind::FlushFailed);
        });
        volume.write(0, &[1], Durability::Durable).unwrap();
    }
}

#[test]
fn acceptance_counts_for_one_extent_and_leaves_the_others_marked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let calls = RecordingCalls::default();
    let files = images(&calls);
    let [first, second] = [0, MIB].map(|start| {
        files.open(OpenOptions { start, ..OpenOptions::new(&path, Length::Bytes(MIB)) }).unwrap()
    });
    calls.fail(Call::SynchronizeData, Errno::IO);
    first.flush().unwrap_err();
    first.accept_loss().unwrap();
    first.write(0, &[1], Durability::Durable).unwrap();
    assert_eq!(second.health(), Health::FlushFailed);
    assert_eq!(kind_of(second.flush()), ErrorKind::FlushFailed);
    assert!(DiskState::open(&path, MIB, None).unwrap().flush_failure().is_some());
    // The file fails again for the second, which is a failure for the first too.
    calls.fail(Call::SynchronizeData, Errno::IO);
    assert_eq!(kind_of(second.accept_loss()), ErrorKind::FlushFailed);
    assert_eq!(first.health(), Health::FlushFailed);
    assert!(DiskState::open(&path, 0, None).unwrap().flush_failure().is_some());
    for volume in [&first, &second] {
        volume.accept_loss().unwrap();
        volume.write(0, &[1], Durability::Durable).unwrap();
    }
}

#[test]
fn loss_is_accepted_offline_for_the_disk_that_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let calls = RecordingCalls::default();
    let files = images(&calls);
    let pair = [0, MIB].map(|start| {
        files.open(OpenOptions { start, ..OpenOptions::new(&path, Length::Bytes(MIB)) }).unwrap()
    });
    calls.fail(Call::SynchronizeData, Errno::IO);
    pair[0].flush().unwrap_err();
    drop(pair);
    accept_loss_offline(&path, MIB, None).unwrap();
    assert!(DiskState::open(&path, 0, None).unwrap().flush_failure().is_some());
    let second = OpenOptions { start: MIB, ..OpenOptions::new(&path, Length::Bytes(MIB)) };
    FileVolume::open(second).unwrap().write(0, &[1], Durability::Durable).unwrap();
    accept_loss_offline(&path, 0, None).unwrap();
    assert_eq!(kind_of(accept_loss_offline(&path, 0, None)), ErrorKind::NothingToAccept);
}

#[test]
fn loss_is_not_accepted_behind_the_back_of_a_daemon() {
    let (directory, _calls, _volume) = failed();
    let path = directory.path().join("disk");
    let error = accept_loss_offline(&path, 0, None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Locked);
    assert!(error.to_string().contains("--state"), "{error}");
    assert!(DiskState::open(&path, 0, None).unwrap().flush_failure().is_some());
}

#[test]
fn the_loss_of_a_member_is_not_accepted_behind_the_back_of_its_mirror() {
    let (_directory, path) = abandoned();
    let state = DiskState::open(&path, 0, None).unwrap();
    state.set_setting("mirror.2", "generation=1").unwrap();
    drop(state);
    let error = accept_loss_offline(&path, 0, None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::CannotOpen);
    assert!(error.to_string().contains("mirror status"), "{error}");
    assert!(DiskState::open(&path, 0, None).unwrap().flush_failure().is_some());
}

#[test]
fn offline_what_still_fails_cannot_be_accepted_either() {
    let (_directory, path) = abandoned();
    let calls = RecordingCalls::default();
    let accept = || accept_loss_offline_with(Arc::new(calls.clone()), &path, 0, None);
    calls.fail(Call::SynchronizeData, Errno::IO);
    assert_eq!(kind_of(accept()), ErrorKind::FlushFailed);
    calls.fail(Call::Open, Errno::ACCESS);
    accept().unwrap();
    assert_eq!(open_recorded(&path, &calls).unwrap().health(), Health::Good);
}

#[test]
fn offline_nothing_is_made_that_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let error = accept_loss_offline(&path, 0, None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::CannotOpen);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    fs::write(&path, [7; 512]).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(kind_of(accept_loss_offline(&path, 0, None)), ErrorKind::NothingToAccept);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}
