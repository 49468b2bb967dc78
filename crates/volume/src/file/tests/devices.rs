use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{MIB, images, open_recorded};
use crate::calls::double::{Call, RecordingCalls};
use crate::{DiskState, ErrorKind, FileVolume, Length, OpenOptions};

#[test]
fn nothing_is_made_among_the_devices() {
    for path in ["/dev/no-such-disk", "/dev/disk/by-id/no-such-disk"] {
        let error = FileVolume::open(OpenOptions::new(path, Length::Bytes(MIB))).unwrap_err();
        assert_eq!(error.kind, ErrorKind::CannotOpen);
        assert!(error.to_string().contains("attached"), "{error}");
        assert!(!Path::new(path).exists());
    }
}

#[test]
fn a_device_that_has_taken_the_path_of_another_is_refused_before_anything_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().join("disk");
    let calls = RecordingCalls::default();
    calls.name_device(&["wwn-1", "s"]);
    drop(open_recorded(&path, &calls).unwrap());
    drop(open_recorded(&path, &calls).unwrap());
    let writes = calls.count(Call::Write);
    calls.name_device(&["wwn-2", "t"]);
    let error = open_recorded(&path, &calls).unwrap_err();
    assert_eq!(error.kind, ErrorKind::CannotOpen);
    assert!(error.to_string().contains("wwn-2; t, not wwn-1; s"), "{error}");
    assert_eq!(calls.count(Call::Write), writes);
    // Another release of the system tells others of its names, or none.
    for names in [&["wwn-1", "s"][..], &["s"], &["eui-1", "s"], &[], &["eui-1"]] {
        calls.name_device(names);
        drop(open_recorded(&path, &calls).unwrap());
    }
}

#[test]
fn what_was_served_before_its_device_was_known_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    drop(FileVolume::open(OpenOptions::new(&path, Length::Bytes(MIB))).unwrap());
    let serial = DiskState::look_up(&path, 0, None).unwrap().unwrap().serial().to_owned();
    let calls = RecordingCalls::default();
    calls.name_device(&["wwn-1", "s"]);
    let volume = images(&calls).open(OpenOptions::new(&path, Length::WholeFile)).unwrap();
    assert_eq!(volume.state().serial(), serial);
    assert_eq!(Arc::clone(volume.state()).setting("device").as_deref(), Some("wwn-1; s"));
}
