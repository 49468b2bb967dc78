use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use super::{MIB, images, open_recorded, recorded};
use crate::calls::double::{Call, RecordingCalls};
use crate::{Durability, ErrorKind, FileVolume, Health, ImageFiles, Length, OpenOptions, Volume};

fn refusal(volume: &FileVolume, length: Length) -> (ErrorKind, String) {
    let error = volume.grow(length).unwrap_err();
    (error.kind, error.to_string())
}

#[test]
fn a_disk_grows_when_its_growth_is_committed_and_not_before() {
    let (directory, _calls, volume) = recorded();
    let path = directory.path().join("disk");
    volume.write(MIB - 512, &[1; 512], Durability::Volatile).unwrap();
    let growth = volume.grow(Length::Bytes(3 * MIB + 700)).unwrap();
    assert_eq!((volume.capacity(), growth.capacity()), (MIB, 3 * MIB + 512));
    assert_eq!(fs::metadata(&path).unwrap().len(), 3 * MIB + 700);
    let outside = volume.write(MIB, &[2; 512], Durability::Volatile).unwrap_err();
    assert_eq!(outside.kind, ErrorKind::OutOfRange);
    growth.commit();
    assert_eq!(volume.capacity(), 3 * MIB + 512);
    volume.write(3 * MIB, &[2; 512], Durability::Volatile).unwrap();
    let mut read = [7; 1024];
    volume.read(MIB - 512, &mut read).unwrap();
    assert_eq!((&read[..512], &read[512..]), (&[1; 512][..], &[0; 512][..]));
    assert!(fs::metadata(&path).unwrap().blocks() * 512 < MIB);
}

#[test]
fn the_new_length_survives_power_loss_before_anyone_sees_it() {
    let (directory, calls, volume) = recorded();
    let path = directory.path().join("disk");
    let before = calls.calls().len();
    let growth = volume.grow(Length::Bytes(2 * MIB)).unwrap();
    assert_eq!(calls.log()[before..], [(Call::SetLength, path.clone()), (Call::Synchronize, path)]);
    growth.commit();
    assert_eq!(calls.calls().len(), before + 2);
}

#[test]
fn a_growth_that_is_given_up_leaves_the_disk_and_its_data_as_they_were() {
    let (directory, calls, volume) = recorded();
    volume.write(0, &[1; 512], Durability::Volatile).unwrap();
    drop(volume.grow(Length::Bytes(2 * MIB)).unwrap());
    assert_eq!(volume.capacity(), MIB);
    assert_eq!(fs::metadata(directory.path().join("disk")).unwrap().len(), 2 * MIB);
    calls.fail(Call::SetLength, Errno::FBIG);
    assert_eq!(refusal(&volume, Length::Bytes(8 * MIB)).0, ErrorKind::NoSpace);
    calls.fail(Call::SetLength, Errno::IO);
    assert_eq!(refusal(&volume, Length::Bytes(8 * MIB)).0, ErrorKind::CannotGrow);
    assert_eq!((volume.capacity(), volume.health()), (MIB, Health::Good));
    // Neither is in the way of the next.
    volume.grow(Length::Bytes(8 * MIB)).unwrap().commit();
    assert_eq!(volume.capacity(), 8 * MIB);
}

#[test]
fn a_disk_never_shrinks_and_neither_does_its_file() {
    let (directory, calls, volume) = recorded();
    let path = directory.path().join("disk");
    let (kind, message) = refusal(&volume, Length::Bytes(MIB - 1));
    assert_eq!(kind, ErrorKind::Shrinks);
    assert!(message.contains("never shrinks while it is served"), "{message}");
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(4 * MIB).unwrap();
    volume.grow(Length::Bytes(MIB + 512)).unwrap().commit();
    assert_eq!((volume.capacity(), fs::metadata(&path).unwrap().len()), (MIB + 512, 4 * MIB));
    assert_eq!(calls.count(Call::SetLength), 1, "the one that made the file");
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(512).unwrap();
    assert_eq!(refusal(&volume, Length::WholeFile).0, ErrorKind::Shrinks);
}

#[test]
fn a_disk_grows_to_where_its_file_ends_now() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    fs::write(&path, vec![7; 8192]).unwrap();
    for read_only in [false, true] {
        let options = OpenOptions { start: 512, read_only, ..OpenOptions::new(&path, Length::Bytes(4096)) };
        let volume = FileVolume::open(OpenOptions { block_length: 4096, ..options }).unwrap();
        volume.grow(Length::WholeFile).unwrap().commit();
        assert_eq!(volume.capacity(), 4096);
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(9000).unwrap();
        volume.grow(Length::WholeFile).unwrap().commit();
        assert_eq!(volume.capacity(), 8192);
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(8192).unwrap();
    }
}

#[test]
fn what_cannot_grow_is_refused_with_a_reason() {
    let (directory, _calls, volume) = recorded();
    let (kind, message) = refusal(&volume, Length::Bytes(u64::MAX));
    assert_eq!(kind, ErrorKind::CannotGrow);
    assert!(message.contains("2^63"), "{message}");
    let first = volume.grow(Length::Bytes(2 * MIB)).unwrap();
    assert!(refusal(&volume, Length::Bytes(3 * MIB)).1.contains("at once"));
    drop(first);
    drop(volume);
    let path = directory.path().join("disk");
    let reading = OpenOptions { read_only: true, ..OpenOptions::new(path, Length::Bytes(MIB)) };
    let reader = FileVolume::open(reading).unwrap();
    let (kind, message) = refusal(&reader, Length::Bytes(3 * MIB));
    assert_eq!(kind, ErrorKind::CannotGrow);
    assert!(message.contains("read-only"), "{message}");
    reader.grow(Length::Bytes(2 * MIB)).unwrap().commit();
    assert_eq!(reader.capacity(), 2 * MIB);
}

#[test]
fn a_disk_does_not_grow_into_another_nor_another_into_its_growth() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let files = ImageFiles::new();
    let at = |start, length| OpenOptions { start, ..OpenOptions::new(&path, Length::Bytes(length)) };
    let first = files.open(at(0, MIB)).unwrap();
    let other = files.open(at(2 * MIB, MIB)).unwrap();
    assert_eq!(refusal(&first, Length::WholeFile).0, ErrorKind::Overlap);
    assert_eq!(refusal(&first, Length::Bytes(2 * MIB + 1)).0, ErrorKind::Overlap);
    let growth = first.grow(Length::Bytes(2 * MIB)).unwrap();
    assert_eq!(files.open(at(MIB, MIB)).unwrap_err().kind, ErrorKind::Overlap);
    growth.commit();
    assert_eq!(files.open(at(2 * MIB - 512, 512)).unwrap_err().kind, ErrorKind::Overlap);
    other.grow(Length::Bytes(4 * MIB)).unwrap().commit();
    drop(other);
    let growth = first.grow(Length::Bytes(3 * MIB)).unwrap();
    drop(growth);
    files.open(at(2 * MIB, MIB)).unwrap();
}

#[test]
fn a_failure_to_make_the_length_last_is_a_failed_flush() {
    let (directory, calls, volume) = recorded();
    calls.fail(Call::Synchronize, Errno::IO);
    assert_eq!(refusal(&volume, Length::Bytes(2 * MIB)).0, ErrorKind::FlushFailed);
    assert_eq!((volume.health(), volume.capacity()), (Health::FlushFailed, MIB));
    assert_eq!(refusal(&volume, Length::Bytes(2 * MIB)).0, ErrorKind::FlushFailed);
    drop(volume);
    let again = open_recorded(&directory.path().join("disk"), &RecordingCalls::default()).unwrap();
    assert_eq!(again.health(), Health::FlushFailed);
}

#[test]
fn two_who_lengthen_a_file_at_once_never_shorten_it() {
    for low_is_first in [true, false].repeat(8) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        let calls = RecordingCalls::default();
        let files = images(&calls);
        let at = |start, length| OpenOptions { start, ..OpenOptions::new(&path, Length::Bytes(length)) };
        let low = files.open(at(0, MIB)).unwrap();
        let grow = || low.grow(Length::Bytes(2 * MIB)).unwrap().commit();
        let open = || drop(files.open(at(8 * MIB, MIB)).unwrap());
        let pair: [&(dyn Fn() + Sync); 2] = if low_is_first { [&grow, &open] } else { [&open, &grow] };
        calls.hold(Call::SetLength);
        thread::scope(|scope| {
            scope.spawn(pair[0]);
            calls.until_held(1);
            scope.spawn(pair[1]);
            thread::sleep(Duration::from_millis(10));
            calls.release();
        });
        assert_eq!(fs::metadata(&path).unwrap().len(), 9 * MIB);
    }
}

#[test]
fn reads_and_writes_go_on_while_a_disk_grows() {
    let (_directory, _calls, volume) = recorded();
    thread::scope(|scope| {
        let growing = scope.spawn(|| {
            for blocks in 1..200 {
                volume.grow(Length::Bytes(MIB + blocks * 512)).unwrap().commit();
            }
        });
        while !growing.is_finished() {
            let last = volume.capacity() - 512;
            volume.write(last, &[1; 512], Durability::Durable).unwrap();
            let mut read = [0; 512];
            volume.read(last, &mut read).unwrap();
            assert_eq!(read, [1; 512]);
        }
    });
}
