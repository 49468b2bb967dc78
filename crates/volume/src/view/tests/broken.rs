//! What can go wrong with a view never concerns a write; and no view shows what it can't know.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{REGION, SECOND, all_of, memory, point, scratch};
use crate::calls::double::{Call, RecordingCalls};
use crate::view::{Scratch, ViewedVolume};
use crate::{Durability, ErrorKind, FailingVolume, HeldVolume, MemoryVolume, Operation, Volume};

fn filled(regions: u64) -> Arc<ViewedVolume> {
    let volume = memory(regions * REGION);
    volume.write(0, &vec![1; (regions * REGION) as usize], Durability::Volatile).unwrap();
    volume
}

fn write(volume: &ViewedVolume, region: u64) {
    volume.write(region * REGION, &[2; 512], Durability::Volatile).unwrap();
}

#[test]
fn a_full_scratch_ends_the_view_and_no_write() {
    let volume = filled(4);
    let view = volume.take_point(scratch(2 * REGION), SECOND).unwrap();
    write(&volume, 0);
    write(&volume, 1);
    assert!(all_of(&view).iter().all(|byte| *byte == 1));
    write(&volume, 2);
    let error = view.read(3 * REGION, &mut [0; 16]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Broken);
    assert!(error.message.contains("full"), "{error}");
    assert_eq!(view.mapping(0).unwrap_err().kind, ErrorKind::Broken);
    write(&volume, 3);
    drop(view);
    assert!(all_of(&point(&volume))[..512] == [2; 512]);
}

#[test]
fn a_scratch_that_fails_ends_the_view_and_no_write() {
    let directory = tempfile::tempdir().unwrap();
    for errno in [Errno::NOSPC, Errno::IO] {
        let (volume, calls) = (filled(2), RecordingCalls::default());
        let scratch = Scratch::create(&calls, directory.path(), 1 << 20).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "it has no name");
        let view = volume.take_point(scratch, SECOND).unwrap();
        calls.fail(Call::Write, errno);
        write(&volume, 0);
        assert_eq!(view.read(0, &mut [0; 16]).unwrap_err().kind, ErrorKind::Broken);
        assert_eq!(view.read(REGION, &mut [0; 16]).unwrap_err().kind, ErrorKind::Broken);
    }
}

#[test]
fn old_data_that_cannot_be_read_end_the_view_and_no_write() {
    let inner = Arc::new(FailingVolume::new(MemoryVolume::new(2 * REGION)));
    let volume = ViewedVolume::new(Arc::clone(&inner) as Arc<dyn Volume>);
    volume.write(0, &[1; 512], Durability::Volatile).unwrap();
    let view = point(&volume);
    inner.fail_next(Operation::Read, 1, ErrorKind::ReadFailed);
    write(&volume, 0);
    assert_eq!(view.read(0, &mut [0; 16]).unwrap_err().kind, ErrorKind::Broken);
}

#[test]
fn a_volume_that_goes_away_takes_its_views_with_it() {
    let volume = filled(1);
    let view = point(&volume);
    volume.end_views("the disk was taken offline");
    assert!(view.read(0, &mut [0; 16]).unwrap_err().message.contains("taken offline"));
    let other = volume.take_point(scratch(1 << 20), SECOND).unwrap();
    drop(volume);
    assert_eq!(other.read(0, &mut [0; 16]).unwrap_err().kind, ErrorKind::Broken);
}

#[test]
fn a_stuck_write_has_the_point_refused_in_time_and_the_others_go_on() {
    let inner = Arc::new(HeldVolume::new(MemoryVolume::new(2 * REGION)));
    let volume = ViewedVolume::new(Arc::clone(&inner) as Arc<dyn Volume>);
    for watched in [false, true] {
        let _view = watched.then(|| point(&volume));
        inner.hold(Operation::Write);
        std::thread::scope(|scope| {
            scope.spawn(|| write(&volume, 0));
            assert!(inner.await_waiting(1, 10 * SECOND));
            let (begun, pause) = (Instant::now(), Duration::from_millis(200));
            let error = volume.take_point(scratch(1 << 20), pause).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Busy);
            assert!(begun.elapsed() >= pause && begun.elapsed() < 5 * SECOND);
            scope.spawn(|| write(&volume, 1));
            assert!(inner.await_waiting(2, 10 * SECOND), "who came later goes on");
            inner.release_all();
        });
    }
    assert!(volume.take_point(scratch(1 << 20), SECOND).is_ok());
}

#[test]
fn without_views_writes_read_nothing() {
    let inner = Arc::new(FailingVolume::new(MemoryVolume::new(2 * REGION)));
    let volume = ViewedVolume::new(Arc::clone(&inner) as Arc<dyn Volume>);
    drop(point(&volume));
    inner.fail_next(Operation::Read, 1, ErrorKind::ReadFailed);
    write(&volume, 0);
    assert!(volume.read(0, &mut [0; 16]).is_err(), "the fault was not used up before");
}
