use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use tempfile::TempDir;

use super::{MIB, images};
use crate::calls::double::{Call, RecordingCalls};
use crate::{Allocation, Durability, ErrorKind, FileVolume, ImageFiles, Length, OpenOptions, Volume};

fn options(path: &Path, length: u64) -> OpenOptions {
    OpenOptions { direct: true, ..OpenOptions::new(path, Length::Bytes(length)) }
}

/// A place for files, unless its file system has no direct I/O: then a disk there is refused, as it should be.
fn place() -> Option<(TempDir, PathBuf)> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    match FileVolume::open(options(&path, MIB)) {
        Ok(volume) => drop(volume),
        Err(error) => {
            assert!(error.to_string().contains("no direct I/O"), "{error}");
            assert!(!path.exists());
            return None;
        }
    }
    Some((directory, path))
}

#[test]
fn bytes_past_the_cache_are_those_of_the_file() {
    let Some((_directory, path)) = place() else { return };
    let volume = FileVolume::open(options(&path, MIB)).unwrap();
    let data: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    volume.write(777, &data, Durability::Volatile).unwrap();
    volume.write_zeroes(5000, 3000, Allocation::Keep, Durability::Volatile).unwrap();
    volume.deallocate(20_001, 9000).unwrap();
    volume.write_atomic(30_001, &[7; 5000]).unwrap();
    let mut expected = vec![0; 777];
    expected.extend(&data);
    expected[5000..8000].fill(0);
    expected[20_001..29_001].fill(0);
    expected[30_001..35_001].fill(7);
    let mut read = vec![1; expected.len()];
    volume.read(0, &mut read).unwrap();
    assert!(read == expected);
    volume.flush().unwrap();
    drop(volume);
    let file = fs::read(&path).unwrap();
    assert!(file[..expected.len()] == expected && file.len() as u64 == MIB);
}

#[test]
fn writes_wait_and_reads_are_never_at_hand() {
    let Some((_directory, path)) = place() else { return };
    let volume = FileVolume::open(options(&path, MIB)).unwrap();
    volume.write(0, &[1; 4096], Durability::Volatile).unwrap();
    assert!(volume.writes_wait() && volume.tells_what_is_cached());
    assert!(!volume.read_cached(0, &mut [0; 4096]).unwrap());
    assert_eq!(volume.copy_from(&volume.lend(0, 4096).unwrap().unwrap(), 8192).unwrap(), 0);
    drop(volume);
    let through = FileVolume::open(OpenOptions::new(&path, Length::WholeFile)).unwrap();
    assert!(!through.writes_wait());
}

#[test]
fn a_flush_is_asked_of_the_device_all_the_same() {
    let Some((_directory, path)) = place() else { return };
    let calls = RecordingCalls::default();
    let volume = images(&calls).open(options(&path, MIB)).unwrap();
    let before = calls.count(Call::SynchronizeData);
    volume.write(0, &[1; 4096], Durability::Durable).unwrap();
    volume.flush().unwrap();
    assert_eq!(calls.count(Call::SynchronizeData), before + 2);
    calls.fail(Call::SynchronizeData, Errno::IO);
    assert_eq!(volume.flush().unwrap_err().kind, ErrorKind::FlushFailed);
}

#[test]
fn a_file_that_ends_within_a_block_is_refused_and_left_as_it_is() {
    let Some((directory, path)) = place() else { return };
    let odd = directory.path().join("odd");
    fs::write(&odd, vec![7; 5000]).unwrap();
    for length in [512, 5000, 6000] {
        let error = FileVolume::open(options(&odd, length)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::CannotOpen);
        assert!(error.to_string().contains("multiple of"), "{error}");
    }
    assert_eq!(fs::read(&odd).unwrap(), vec![7; 5000]);
    let new = directory.path().join("new");
    FileVolume::open(options(&new, MIB + 1)).unwrap_err();
    assert!(!new.exists());
    let volume = FileVolume::open(options(&path, MIB)).unwrap();
    assert_eq!(volume.grow(Length::Bytes(2 * MIB + 1)).unwrap_err().kind, ErrorKind::CannotGrow);
    volume.grow(Length::Bytes(2 * MIB)).unwrap().commit();
    assert_eq!(volume.capacity(), 2 * MIB);
}

#[test]
fn all_extents_of_a_file_are_read_and_written_in_one_way() {
    let Some((_directory, path)) = place() else { return };
    let files = ImageFiles::new();
    let _first = files.open(options(&path, 4096)).unwrap();
    let second = OpenOptions { start: 8192, ..options(&path, 4096) };
    let error = files.open(OpenOptions { direct: false, ..second.clone() }).unwrap_err();
    assert!(error.to_string().contains("direct=yes"), "{error}");
    let _second = files.open(second).unwrap();
}

#[test]
fn a_file_system_without_direct_transfers_is_named_and_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let calls = RecordingCalls::default();
    calls.fail(Call::Open, Errno::INVAL);
    let error = images(&calls).open(options(&path, MIB)).unwrap_err();
    assert!(error.to_string().contains("direct=yes"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let memory = crate::MemoryFiles::with_limit(MIB);
    let in_memory =
        ImageFiles::with_calls(std::sync::Arc::new(memory)).open(options(Path::new("memory:/a"), 4096));
    assert_eq!(in_memory.unwrap_err().kind, ErrorKind::CannotOpen);
}
