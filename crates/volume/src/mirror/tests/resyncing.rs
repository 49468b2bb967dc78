use super::double::{CAPACITY, Disk, REGION, Shelf, member, resync};
use crate::mirror::{Resynced, Role};
use crate::{Durability, ErrorKind, Volume};

#[test]
fn a_longer_member_takes_the_place_of_one_that_is_out_and_a_shorter_one_does_not() {
    let shelf = Shelf::new(2, 1);
    let mirror = shelf.open();
    mirror.write(0, &[3; 2048], Durability::Volatile).unwrap();
    let spare = |capacity| Disk::new(&shelf.power, "spare", capacity);
    let longer = spare(CAPACITY + 512);
    let error = mirror.replace(1, member(&longer, 9, false)).unwrap_err();
    assert!(error.message.contains("not out"), "{error}");
    shelf.disks[1].faults.lock().unwrap().writes = true;
    mirror.write(2048, &[3; 2048], Durability::Volatile).unwrap();
    let error = mirror.replace(1, member(&spare(CAPACITY - 512), 9, false)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::CannotOpen);
    assert!(error.message.contains("fewer"), "{error}");
    mirror.replace(1, member(&longer, 9, false)).unwrap();
    resync(&mirror);
    assert!(mirror.report().members.iter().all(|member| member.role == Role::In));
    assert_eq!(longer.content()[..CAPACITY as usize], shelf.disks[0].content()[..]);
}

#[test]
fn a_resync_goes_on_where_a_killed_daemon_left_it() {
    let shelf = Shelf::new(2, 1);
    drop(shelf.open());
    shelf.mend();
    let mirror = shelf.open_without(1);
    mirror.write(0, &[6; CAPACITY as usize], Durability::Durable).unwrap();
    shelf.kill(mirror);
    let mirror = shelf.open();
    let mut from = 0;
    for _ in 0..3 {
        assert_eq!(mirror.resync(&mut from, &mut || true).unwrap(), Resynced::Region);
    }
    mirror.tidy(u64::MAX).unwrap();
    // Marks that were taken away are written, and need not have lasted; here they did.
    mirror.write(7 * REGION, &[7; 512], Durability::Durable).unwrap();
    shelf.kill(mirror);
    let mirror = shelf.open();
    assert_eq!(mirror.report().members[1].role, Role::Syncing);
    assert_eq!(mirror.report().members[1].lacking, CAPACITY - 3 * REGION);
    resync(&mirror);
    assert_eq!(shelf.disks[1].content(), shelf.disks[0].content());
}

#[test]
fn a_member_that_is_resynced_is_not_believed_alone() {
    let shelf = Shelf::new(2, 1);
    drop(shelf.open());
    shelf.mend();
    let mirror = shelf.open_without(1);
    mirror.write(0, &[6; CAPACITY as usize], Durability::Durable).unwrap();
    shelf.kill(mirror);
    let mirror = shelf.open();
    assert_eq!(mirror.resync(&mut 0, &mut || true).unwrap(), Resynced::Region);
    shelf.kill(mirror);
    let error = shelf.try_open(&[0]).unwrap_err();
    assert!(error.message.contains("had not got all"), "{error}");
}

#[test]
fn a_resync_stops_when_it_is_told_to() {
    let shelf = Shelf::new(2, 1);
    shelf.disks.iter().for_each(|disk| disk.mend());
    let mirror = shelf.open();
    mirror.replace(1, shelf.member(1, false)).unwrap();
    assert_eq!(mirror.resync(&mut 0, &mut || false).unwrap(), Resynced::Stopped);
    assert_eq!(mirror.report().members[1].lacking, CAPACITY);
}

#[test]
fn writes_go_on_while_a_member_is_resynced() {
    let shelf = Shelf::new(2, 1);
    shelf.disks.iter().for_each(|disk| disk.mend());
    let mirror = shelf.open();
    mirror.replace(1, shelf.member(1, false)).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..2000_u64 {
                let at = n * 7 % 31 * 512;
                mirror.write(at, &[n as u8; 1024], Durability::Volatile).unwrap();
                let mut data = [0; 1024];
                mirror.read(at, &mut data).unwrap();
                assert_eq!(data, [n as u8; 1024]);
            }
        });
        resync(&mirror);
        writer.join().unwrap();
    });
    resync(&mirror);
    mirror.flush().unwrap();
    assert_eq!(shelf.disks[1].content(), shelf.disks[0].content());
}

#[test]
fn two_writes_to_the_same_bytes_leave_all_members_alike() {
    let shelf = Shelf::new(3, 1);
    let mirror = shelf.open();
    std::thread::scope(|scope| {
        for byte in 1..5_u8 {
            let mirror = &mirror;
            scope.spawn(move || {
                for n in 0..500_u64 {
                    let at = n % 3 * 512;
                    mirror.write(at, &[byte; 1024], Durability::Volatile).unwrap();
                }
            });
        }
    });
    let first = shelf.disks[0].content();
    assert!(shelf.disks.iter().all(|disk| disk.content() == first));
}

#[test]
fn marks_are_taken_away_when_nothing_was_written_for_a_while() {
    let shelf = Shelf::new(2, 1);
    let mirror = shelf.open();
    mirror.write(0, &[6; 512], Durability::Volatile).unwrap();
    let since = mirror.tidy(0).unwrap();
    let marked = |mirror: &crate::MirrorVolume| mirror.shared().marked.total();
    assert_eq!(marked(&mirror), 1, "it was written just now");
    mirror.tidy(since).unwrap();
    assert_eq!(marked(&mirror), 0);
    assert_eq!(*shelf.disks[1].durable.lock().unwrap(), shelf.disks[1].content(), "all were flushed before");
}

#[test]
fn a_scrub_finds_what_differs_and_makes_it_like_the_first() {
    let shelf = Shelf::new(3, 1);
    let mirror = shelf.open();
    mirror.write(0, &[6; 4096], Durability::Durable).unwrap();
    shelf.disks[1].overwrite(700, &[9; 10]);
    mirror.start_scrub();
    while mirror.scrub_step().unwrap() {}
    let report = mirror.report();
    assert_eq!((report.scrubbed, report.scrubbing), (Some(CAPACITY), false));
    assert!(report.repaired > 0);
    assert_eq!(shelf.disks[1].content(), shelf.disks[0].content());
    mirror.start_scrub();
    while mirror.scrub_step().unwrap() {}
    assert_eq!(mirror.report().repaired, 0);
}

#[test]
fn members_that_became_longer_make_the_mirror_longer() {
    let shelf = Shelf::new(2, 1);
    drop(shelf.open());
    shelf.mend();
    shelf.disks.iter().for_each(|disk| disk.grow(CAPACITY + 3 * 512));
    shelf.disks[1].overwrite(CAPACITY as usize, &[5; 512]);
    let mirror = shelf.open();
    assert_eq!(mirror.capacity(), CAPACITY + 3 * 512);
    resync(&mirror);
    assert_eq!(shelf.disks[1].content(), shelf.disks[0].content());
}
