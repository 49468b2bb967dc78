#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use rustix::io::Errno;
use tempfile::TempDir;

use super::DiskState;
use super::text::{StateText, Unreadable};
use crate::calls::double::{Call, RecordingCalls};
use crate::{ErrorKind, Result, SystemCalls};

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("disk");
    (directory, image)
}

fn open_at(path: &Path) -> Result<DiskState> {
    DiskState::load(Arc::new(SystemCalls), path, 0).map(|state| state.unwrap())
}

fn with_checksum(lines: &str) -> String {
    let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, lines.as_bytes());
    format!("{lines}crc32c={checksum:08x}\n")
}

fn bad(path: &Path) -> String {
    let before = fs::read(path).unwrap();
    let error = open_at(path).unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadState, "{error}");
    assert_eq!(fs::read(path).unwrap(), before, "a file that can't be used is left as it is");
    error.to_string()
}

#[test]
fn the_identity_is_stable_and_each_disk_has_its_own() {
    let (directory, image) = place();
    let first = DiskState::open(&image, 0, None).unwrap();
    let again = DiskState::open(&image, 0, None).unwrap();
    assert_eq!((first.serial(), first.naa()), (again.serial(), again.naa()));
    assert_eq!(first.path(), directory.path().join("disk.timedisk"));
    assert_eq!(fs::metadata(first.path()).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(first.serial().len(), 16);
    assert!(first.serial().bytes().all(|digit| digit.is_ascii_hexdigit()));
    assert_eq!(first.naa()[0] >> 4, 3);
    let other = DiskState::open(&directory.path().join("other"), 0, None).unwrap();
    assert_ne!((first.serial(), first.naa()), (other.serial(), other.naa()));
}

#[test]
fn settings_last() {
    let (_directory, image) = place();
    let state = DiskState::open(&image, 0, None).unwrap();
    assert_eq!(state.setting("mode.caching.wce"), None);
    state.set_setting("mode.caching.wce", "1").unwrap();
    state.set_setting("mode.caching.wce", "0").unwrap();
    state.set_setting("note", " a=b ").unwrap();
    let again = DiskState::open(&image, 0, None).unwrap();
    assert_eq!(again.setting("mode.caching.wce").as_deref(), Some("0"));
    assert_eq!(again.setting("note").as_deref(), Some(" a=b "));
    for (key, value) in
        [("serial", "0"), ("crc32c", "0"), ("", "0"), ("a=b", "0"), ("a\nb", "0"), ("a", "0\nnaa=1")]
    {
        assert_eq!(state.set_setting(key, value).unwrap_err().kind, ErrorKind::BadState, "{key:?}");
    }
}

#[test]
fn the_capacity_that_was_served_is_remembered_and_written_only_if_it_differs() {
    let (_directory, image) = place();
    let calls = RecordingCalls::default();
    let state = DiskState::open_with(Arc::new(calls.clone()), &image, 0, None).unwrap();
    assert_eq!(state.last_served(), None);
    for capacity in [0, 1 << 40, u64::MAX, 512] {
        state.note_served(capacity).unwrap();
        assert_eq!(DiskState::open(&image, 0, None).unwrap().last_served(), Some(capacity));
    }
    let before = calls.calls().len();
    state.note_served(512).unwrap();
    assert_eq!(calls.calls().len(), before);
    calls.fail(Call::Write, Errno::NOSPC);
    assert_eq!(state.note_served(1024).unwrap_err().kind, ErrorKind::NoSpace);
    assert_eq!(state.last_served(), Some(512));
    assert_eq!(state.set_setting("last-served", "0").unwrap_err().kind, ErrorKind::BadState);
}

#[test]
fn a_file_from_before_capacities_and_starts_were_noted_still_reads() {
    let (_directory, image) = place();
    let path = DiskState::open(&image, 0, None).unwrap().path().to_owned();
    let old = "timedisk-state 1\nserial=0123456789abcdef\nnaa=3123456789abcdef\nmode.caching.wce=0\n";
    fs::write(&path, with_checksum(old)).unwrap();
    let state = DiskState::open(&image, 0, None).unwrap();
    assert_eq!((state.serial(), state.last_served()), ("0123456789abcdef", None));
    state.note_served(1 << 30).unwrap();
    let expected = with_checksum(&format!("{old}last-served=1073741824\n"));
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
}

#[test]
fn a_change_is_written_aside_synchronized_and_then_renamed() {
    let (directory, image) = place();
    let calls = RecordingCalls::default();
    let state = DiskState::open_with(Arc::new(calls.clone()), &image, 0, None).unwrap();
    let before = calls.log().len();
    state.set_setting("a", "b").unwrap();
    let (aside, file) = (directory.path().join("disk.timedisk.new"), directory.path().join("disk.timedisk"));
    let expected = [
        (Call::Remove, aside.clone()),
        (Call::Open, aside.clone()),
        (Call::Write, aside.clone()),
        (Call::Synchronize, aside),
        (Call::Rename, file),
        (Call::SynchronizeDirectory, directory.path().to_owned()),
    ];
    assert_eq!(calls.log()[before..], expected);
}

#[test]
fn a_change_that_fails_leaves_the_old_value() {
    let (_directory, image) = place();
    let calls = RecordingCalls::default();
    let state = DiskState::open_with(Arc::new(calls.clone()), &image, 0, None).unwrap();
    state.set_setting("a", "old").unwrap();
    for (call, errno, kind) in [
        (Call::Open, Errno::ACCESS, ErrorKind::CannotOpen),
        (Call::Write, Errno::NOSPC, ErrorKind::NoSpace),
        (Call::Synchronize, Errno::IO, ErrorKind::CannotOpen),
        (Call::Rename, Errno::IO, ErrorKind::CannotOpen),
    ] {
        calls.fail(call, errno);
        assert_eq!(state.set_setting("a", "new").unwrap_err().kind, kind);
        assert_eq!(state.setting("a").as_deref(), Some("old"));
        // What the failure has left beside it disturbs nobody.
        assert_eq!(DiskState::open(&image, 0, None).unwrap().setting("a").as_deref(), Some("old"));
    }
    state.set_setting("a", "new").unwrap();
    assert_eq!(DiskState::open(&image, 0, None).unwrap().setting("a").as_deref(), Some("new"));
}

#[test]
fn leftovers_of_a_crash_are_not_followed() {
    let (directory, image) = place();
    let precious = directory.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    std::os::unix::fs::symlink(&precious, directory.path().join("disk.timedisk.new")).unwrap();
    DiskState::open(&image, 0, None).unwrap();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
}

#[test]
fn unknown_keys_are_kept() {
    let (_directory, image) = place();
    let path = DiskState::open(&image, 0, None).unwrap().path().to_owned();
    let lines = "timedisk-state 1\nserial=0123456789abcdef\nfuture.Thing=x = y\nnaa=3123456789abcdef\n";
    fs::write(&path, with_checksum(lines)).unwrap();
    let state = open_at(&path).unwrap();
    assert_eq!(state.naa(), [0x31, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
    state.set_setting("a", "b").unwrap();
    state.mark_flush_failed("device\nerror").unwrap();
    let expected = with_checksum(&format!("{lines}a=b\nflush-failed=device error\n"));
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    state.accept_loss().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), with_checksum(&format!("{lines}a=b\n")));
}

#[test]
fn a_newer_version_is_refused_politely() {
    let (_directory, image) = place();
    fs::write(&image, "timedisk-state 2\nsomething else\n").unwrap();
    let message = bad(&image);
    assert!(message.contains("version 2") && message.contains("newer"), "{message}");
}

#[test]
fn a_torn_file_is_refused_at_every_length_and_never_replaced() {
    let (_directory, image) = place();
    let path = DiskState::open(&image, 0, None).unwrap().path().to_owned();
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(bad(&path).contains("damaged"));
    }
    fs::write(&path, vec![b'a'; 2 << 20]).unwrap();
    bad(&path);
    fs::write(&path, with_checksum("timedisk-state 1\nserial=0123456789abcdef\n")).unwrap();
    bad(&path);
    fs::write(&path, with_checksum("timedisk-state 1\nserial=0123456789abcdef\nnaa=5123456789abcdef\n"))
        .unwrap();
    bad(&path);
    for line in ["last-served=", "last-served=-1", "start=x", "start=99999999999999999999"] {
        let lines = format!("timedisk-state 1\nserial=0123456789abcdef\nnaa=3123456789abcdef\n{line}\n");
        fs::write(&path, with_checksum(&lines)).unwrap();
        bad(&path);
    }
    fs::write(&path, &whole).unwrap();
    open_at(&path).unwrap();
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = StateText::parse(&bytes);
    }

    #[test]
    fn any_lines_are_parsed_without_panic(
        lines in "(timedisk-state 1\n)?([a-z0=]{0,9}\n){0,4}(crc32c=[0-9]{8}\n?)?",
    ) {
        let _ = StateText::parse(lines.as_bytes());
        if let Ok(text) = StateText::parse(with_checksum(&lines).as_bytes()) {
            let _ = (text.serial(), text.naa());
        }
    }

    #[test]
    fn what_is_written_reads_back(
        random: u64,
        settings in proptest::collection::vec(("[a-z][a-z0-9.-]{0,8}", "[^\\p{Cc}]{0,20}"), 0..8),
    ) {
        let mut text = StateText::of_new_disk(random, 0);
        for (key, value) in &settings {
            text.set(key, value);
        }
        prop_assert_eq!(StateText::parse(&text.render()), Ok(text));
    }

    #[test]
    fn a_flipped_bit_is_noticed(random: u64, place: prop::sample::Index, bit in 0..8u8) {
        let mut bytes = StateText::of_new_disk(random, 0).render();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        let refused = matches!(StateText::parse(&bytes), Err(Unreadable::Damaged(_) | Unreadable::Newer(_)));
        prop_assert!(refused);
    }
}
