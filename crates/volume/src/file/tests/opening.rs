use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;
use tempfile::TempDir;

use super::{MIB, images, open_recorded};
use crate::calls::double::{Call, RecordingCalls};
use crate::{
    Access, Durability, ErrorKind, FileCalls, FileIdentity, FileVolume, ImageFiles, Length, OpenFile,
    OpenOptions, SystemCalls, Volume, available_space,
};

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    (directory, path)
}

fn refused(options: OpenOptions) -> (ErrorKind, String) {
    let error = FileVolume::open(options).unwrap_err();
    (error.kind, error.to_string())
}

#[test]
fn a_new_file_is_sparse_private_and_all_zeros() {
    let (_directory, path) = place();
    let volume = FileVolume::open(OpenOptions::new(&path, Length::Bytes(100 * MIB))).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.len(), 100 * MIB);
    assert_eq!(metadata.blocks(), 0);
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert_eq!(volume.capacity(), 100 * MIB);
    let mut last = [1; 512];
    volume.read(100 * MIB - 512, &mut last).unwrap();
    assert_eq!(last, [0; 512]);
}

#[test]
fn a_new_file_survives_power_loss_before_it_is_used() {
    let (directory, path) = place();
    let calls = RecordingCalls::default();
    open_recorded(&path, &calls).unwrap();
    let log = calls.log();
    let image: Vec<Call> = log.iter().filter(|(_, on)| *on == path).map(|(call, _)| *call).collect();
    assert_eq!(image, [Call::Open, Call::SetLength, Call::Synchronize]);
    let synchronized = log.iter().position(|(call, _)| *call == Call::Synchronize).unwrap();
    assert_eq!(log[synchronized + 1], (Call::SynchronizeDirectory, directory.path().to_owned()));
}

#[test]
fn a_longer_file_is_never_shrunk_nor_written_at_open() {
    let (_directory, path) = place();
    fs::write(&path, vec![7; 3000]).unwrap();
    let calls = RecordingCalls::default();
    let options = OpenOptions { start: 512, ..OpenOptions::new(&path, Length::Bytes(1024)) };
    let volume = images(&calls).open(options).unwrap();
    assert_eq!(volume.capacity(), 1024);
    assert_eq!(fs::read(&path).unwrap(), vec![7; 3000]);
    assert!(!calls.log().contains(&(Call::SetLength, path.clone())));
    assert!(!calls.log().contains(&(Call::Write, path)));
}

#[test]
fn a_shorter_file_is_extended_with_a_hole() {
    let (_directory, path) = place();
    fs::write(&path, vec![7; 512]).unwrap();
    let options = OpenOptions { start: 256, ..OpenOptions::new(&path, Length::Bytes(MIB)) };
    let volume = FileVolume::open(options).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.len(), 256 + MIB);
    assert!(metadata.blocks() <= 8);
    let mut start = [0; 512];
    volume.read(0, &mut start).unwrap();
    assert_eq!((&start[..256], &start[256..]), (&[7; 256][..], &[0; 256][..]));
}

#[test]
fn a_read_only_disk_is_neither_made_nor_extended_nor_written() {
    let (_directory, path) = place();
    let options = OpenOptions { read_only: true, ..OpenOptions::new(&path, Length::Bytes(1024)) };
    assert_eq!(refused(options.clone()).0, ErrorKind::CannotOpen);
    assert!(!path.exists());
    fs::write(&path, [7; 512]).unwrap();
    assert_eq!(refused(options.clone()).0, ErrorKind::CannotOpen);
    assert_eq!(fs::metadata(&path).unwrap().len(), 512);
    let volume = FileVolume::open(OpenOptions { length: Length::WholeFile, ..options }).unwrap();
    assert_eq!(volume.write(0, &[1], Durability::Volatile).unwrap_err().kind, ErrorKind::ReadOnly);
    assert_eq!(volume.deallocate(0, 512).unwrap_err().kind, ErrorKind::ReadOnly);
    volume.flush().unwrap();
    assert_eq!(fs::read(&path).unwrap(), [7; 512]);
}

#[test]
fn a_second_opener_is_told_that_the_file_is_in_use() {
    let (_directory, path) = place();
    let options = OpenOptions::new(&path, Length::Bytes(MIB));
    let reading = OpenOptions { read_only: true, ..options.clone() };
    let first = FileVolume::open(options.clone()).unwrap();
    for second in [options.clone(), reading.clone()] {
        let (kind, message) = refused(second);
        assert_eq!(kind, ErrorKind::Locked);
        assert!(message.contains(path.to_str().unwrap()) && message.contains("in use"), "{message}");
    }
    drop(first);
    let readers = [FileVolume::open(reading.clone()).unwrap(), FileVolume::open(reading).unwrap()];
    assert_eq!(refused(options.clone()).0, ErrorKind::Locked);
    drop(readers);
    FileVolume::open(options).unwrap();
}

#[test]
fn the_whole_file_is_served_in_whole_blocks() {
    let (_directory, path) = place();
    fs::write(&path, [7; 5000]).unwrap();
    let options = OpenOptions { start: 100, ..OpenOptions::new(&path, Length::WholeFile) };
    assert_eq!(FileVolume::open(options.clone()).unwrap().capacity(), 4608);
    let large = OpenOptions { block_length: 4096, ..options };
    assert_eq!(FileVolume::open(large).unwrap().capacity(), 4096);
    assert_eq!(fs::metadata(&path).unwrap().len(), 5000);
}

#[test]
fn a_file_that_another_program_made_longer_is_served_as_long_as_asked_and_left_as_it_is() {
    let (_directory, path) = place();
    // What NetBSD's second start leaves: a copy of the last block after the extent.
    let (start, length) = (1024, 8192);
    let mut content = vec![7; start + length + 512];
    content[start + length - 512..].fill(9);
    fs::write(&path, &content).unwrap();
    let options =
        OpenOptions { start: start as u64, ..OpenOptions::new(&path, Length::Bytes(length as u64)) };
    for read_only in [false, true] {
        let volume = FileVolume::open(OpenOptions { read_only, ..options.clone() }).unwrap();
        assert_eq!((volume.capacity(), volume.surplus().unwrap()), (length as u64, 512));
        volume.flush().unwrap();
        let mut last = [0; 512];
        volume.read(length as u64 - 512, &mut last).unwrap();
        assert_eq!(last, [9; 512]);
        assert_eq!(volume.read(length as u64, &mut last).unwrap_err().kind, ErrorKind::OutOfRange);
    }
    assert_eq!(fs::read(&path).unwrap(), content);
}

#[test]
fn what_lies_between_or_in_extents_is_no_surplus() {
    let (_directory, path) = place();
    fs::write(&path, vec![7; 5000]).unwrap();
    let files = ImageFiles::new();
    let at = |start, length| OpenOptions { start, ..OpenOptions::new(&path, length) };
    let first = files.open(at(0, Length::Bytes(512))).unwrap();
    assert_eq!(first.surplus().unwrap(), 4488);
    let last = files.open(at(1024, Length::WholeFile)).unwrap();
    // The rest of a block at the end of the whole file belongs to what was asked for.
    assert_eq!((first.surplus().unwrap(), last.surplus().unwrap()), (0, 0));
    drop(last);
    assert_eq!(first.surplus().unwrap(), 4488);
    first.grow(Length::Bytes(4096)).unwrap().commit();
    assert_eq!(first.surplus().unwrap(), 904);
}

#[test]
fn what_cannot_hold_a_disk_is_refused_with_a_reason() {
    let (directory, path) = place();
    let (kind, message) = refused(OpenOptions::new(directory.path(), Length::WholeFile));
    assert_eq!(kind, ErrorKind::CannotOpen);
    assert!(message.contains("is a directory"), "{message}");
    let (_, message) = refused(OpenOptions::new("/dev/null", Length::Bytes(512)));
    assert!(message.contains("neither a file nor a block device"), "{message}");
    let fifo = directory.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    let (_, message) = refused(OpenOptions { read_only: true, ..OpenOptions::new(&fifo, Length::WholeFile) });
    assert!(message.contains("neither a file nor a block device"), "{message}");
    let (_, message) = refused(OpenOptions::new(&path, Length::WholeFile));
    assert!(message.contains("how long"), "{message}");
    let (_, message) = refused(OpenOptions { create: false, ..OpenOptions::new(&path, Length::Bytes(512)) });
    assert!(message.contains("does not exist"), "{message}");
    for (start, length) in [(0, 511), (u64::MAX, 512), (512, u64::MAX), (0, i64::MAX as u64 + 1), (0, 0)] {
        let options = OpenOptions { start, ..OpenOptions::new(&path, Length::Bytes(length)) };
        assert_eq!(refused(options).0, ErrorKind::CannotOpen, "{length} from {start}");
        assert!(!path.exists());
    }
}

#[test]
fn a_directory_is_made_only_where_asked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/disk");
    let options = OpenOptions::new(&path, Length::Bytes(MIB));
    let (_, message) = refused(options.clone());
    assert!(message.contains("a/b does not exist"), "{message}");
    FileVolume::open(OpenOptions { create_parents: true, ..options }).unwrap();
    let above = fs::metadata(directory.path().join("a")).unwrap();
    assert_eq!(above.permissions().mode() & 0o7777, 0o700);
}

#[test]
fn no_room_for_the_file_leaves_none_behind() {
    let (_directory, path) = place();
    let calls = RecordingCalls::default();
    calls.fail(Call::SetLength, Errno::FBIG);
    assert_eq!(open_recorded(&path, &calls).unwrap_err().kind, ErrorKind::NoSpace);
    assert!(!path.exists());
}

#[test]
fn the_state_file_goes_elsewhere_if_it_cannot_be_beside_the_image() {
    let (directory, path) = place();
    let calls = RecordingCalls::default();
    fs::write(&path, [7; 512]).unwrap();
    let options = OpenOptions {
        read_only: true,
        state_directory: Some(directory.path().join("state")),
        ..OpenOptions::new(&path, Length::WholeFile)
    };
    fs::create_dir(directory.path().join("state")).unwrap();
    let open = || images(&calls).open(options.clone());
    calls.fail(Call::Remove, Errno::ROFS);
    let first = open().unwrap().state().clone();
    assert!(first.path().starts_with(directory.path().join("state")));
    let second = open().unwrap().state().clone();
    assert_eq!((first.path(), first.serial()), (second.path(), second.serial()));
    fs::remove_file(first.path()).unwrap();
    calls.fail(Call::Remove, Errno::ACCESS);
    let nowhere = OpenOptions { state_directory: None, ..options.clone() };
    let error = images(&calls).open(nowhere).unwrap_err();
    assert!(error.to_string().contains("state directory"), "{error}");
}

#[test]
fn space_can_be_asked_for_before_the_file_exists() {
    let directory = tempfile::tempdir().unwrap();
    let here = available_space(directory.path()).unwrap();
    assert!(here > 0);
    let there = available_space(&directory.path().join("not/yet")).unwrap();
    // Others use the file system at the same time.
    assert!(here.abs_diff(there) < here / 2 + 1);
}

#[test]
fn what_opening_has_made_is_taken_back_and_nothing_else() {
    let (directory, path) = place();
    let names = || {
        let entries = fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let further = OpenOptions { start: 4096, ..OpenOptions::new(&path, Length::Bytes(MIB)) };
    let volume = FileVolume::open(further).unwrap();
    assert_eq!(names(), ["disk", "disk.4096.timedisk"]);
    volume.take_back();
    assert_eq!(names(), [""; 0]);
    volume.write(0, &[1; 512], Durability::Durable).unwrap();
    drop(volume);

    fs::write(&path, vec![7; 4096]).unwrap();
    let open = || FileVolume::open(OpenOptions::new(&path, Length::WholeFile)).unwrap();
    open().take_back();
    assert_eq!(names(), ["disk"], "the image was there");
    drop(open());
    open().take_back();
    assert_eq!(names(), ["disk", "disk.timedisk"], "so was its state");
}

#[test]
fn what_has_taken_the_place_of_a_new_file_is_not_removed() {
    let (directory, path) = place();
    let volume = FileVolume::open(OpenOptions::new(&path, Length::Bytes(MIB))).unwrap();
    assert!(volume.is_at(&path));
    let other = directory.path().join("other");
    fs::write(&other, "precious").unwrap();
    fs::rename(&other, &path).unwrap();
    assert!(!volume.is_at(&path));
    volume.take_back();
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

/// Somebody else removes what is opened, before it is locked.
#[derive(Debug)]
struct Removing;

impl FileCalls for Removing {
    fn identify(&self, path: &Path) -> Result<FileIdentity, Errno> {
        SystemCalls.identify(path)
    }
    fn open(&self, path: &Path, access: Access) -> Result<Box<dyn OpenFile>, Errno> {
        let file = SystemCalls.open(path, access)?;
        SystemCalls.remove(path)?;
        Ok(file)
    }
    fn create_directory(&self, path: &Path) -> Result<(), Errno> {
        SystemCalls.create_directory(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        SystemCalls.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<(), Errno> {
        SystemCalls.remove(path)
    }
    fn synchronize_directory(&self, path: &Path) -> Result<(), Errno> {
        SystemCalls.synchronize_directory(path)
    }
    fn takes_files(&self, directory: &Path) -> bool {
        SystemCalls.takes_files(directory)
    }
}

#[test]
fn a_file_that_is_removed_while_it_is_opened_is_refused() {
    let (_directory, path) = place();
    for exists in [true, false] {
        if exists {
            fs::write(&path, vec![7; 4096]).unwrap();
        }
        let images = ImageFiles::with_calls(Arc::new(Removing));
        let error = images.open(OpenOptions::new(&path, Length::Bytes(4096))).unwrap_err();
        assert!(error.to_string().contains("removed just now: try again"), "{error}");
    }
}
