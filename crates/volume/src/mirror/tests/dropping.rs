use super::double::{Faults, REGION, SECTOR, Shelf, resync};
use crate::mirror::Role;
use crate::{Durability, ErrorKind, Health, MirrorVolume, Volume};

fn roles(mirror: &MirrorVolume) -> Vec<Role> {
    mirror.report().members.iter().map(|member| member.role).collect()
}

fn fault(shelf: &Shelf, index: usize, set: impl FnOnce(&mut Faults)) {
    set(&mut shelf.disks[index].faults.lock().unwrap());
}

#[test]
fn a_member_that_fails_a_write_is_dropped_and_the_write_is_good() {
    let shelf = Shelf::new(3, 1);
    let mirror = shelf.open();
    fault(&shelf, 1, |faults| faults.writes = true);
    mirror.write(0, &[9; 512], Durability::Volatile).unwrap();
    assert_eq!(roles(&mirror), [Role::In, Role::Out, Role::In]);
    let told = shelf.told.lock().unwrap().clone();
    assert!(told.iter().any(|words| words.contains("goes on without extent1")), "{told:?}");
    assert_eq!((mirror.health(), mirror.failed_flushes()), (Health::Good, 0));
    assert!(mirror.is_degraded());
    fault(&shelf, 1, |faults| faults.writes = false);
    mirror.replace(1, shelf.member(1, false)).unwrap();
    assert!(mirror.is_degraded(), "until it has all");
    resync(&mirror);
    assert!(!mirror.is_degraded());
}

#[test]
fn a_write_is_not_good_before_it_is_written_down_who_missed_it() {
    let shelf = Shelf::new(2, 1);
    let mirror = shelf.open();
    // Marked already, so that the failing record is only found when somebody is dropped.
    mirror.write(0, &[1; 512], Durability::Durable).unwrap();
    fault(&shelf, 1, |faults| faults.writes = true);
    fault(&shelf, 0, |faults| faults.records = true);
    assert!(mirror.write(0, &[2; 512], Durability::Durable).is_err());
    assert!(mirror.write(0, &[3; 512], Durability::Durable).is_err());
    assert!(mirror.flush().is_err());
    fault(&shelf, 0, |faults| faults.records = false);
    mirror.write(0, &[4; 512], Durability::Durable).unwrap();
    assert_eq!(roles(&mirror), [Role::In, Role::Out]);
}

#[test]
fn a_flush_that_fails_on_one_member_drops_it_and_on_all_fails() {
    let shelf = Shelf::new(2, 1);
    let mirror = shelf.open();
    fault(&shelf, 0, |faults| faults.flushes = true);
    mirror.write(0, &[1; 512], Durability::Volatile).unwrap();
    mirror.flush().unwrap();
    assert_eq!(roles(&mirror), [Role::Out, Role::In]);
    assert_eq!((mirror.health(), mirror.failed_flushes()), (Health::Good, 0));
    fault(&shelf, 1, |faults| faults.flushes = true);
    mirror.write(0, &[2; 512], Durability::Volatile).unwrap();
    assert_eq!(mirror.flush().unwrap_err().kind, ErrorKind::FlushFailed);
    assert_eq!((mirror.health(), mirror.failed_flushes()), (Health::FlushFailed, 1));
    assert_eq!(mirror.write(0, &[3], Durability::Volatile).unwrap_err().kind, ErrorKind::FlushFailed);
    fault(&shelf, 1, |faults| faults.flushes = false);
    shelf.disks[1].accept();
    assert_eq!(mirror.health(), Health::Good);
    mirror.write(0, &[4; 512], Durability::Durable).unwrap();
    assert_eq!(roles(&mirror), [Role::Out, Role::In]);
}

#[test]
fn a_bad_read_is_answered_by_another_member_and_repaired() {
    let shelf = Shelf::new(2, 1);
    let mirror = shelf.open();
    mirror.write(0, &[7; 512], Durability::Durable).unwrap();
    fault(&shelf, 0, |faults| faults.reads = true);
    *shelf.disks[0].written.lock().unwrap() = 0;
    let mut data = [0; 512];
    mirror.read(0, &mut data).unwrap();
    assert_eq!(data, [7; 512]);
    assert_eq!(*shelf.disks[0].written.lock().unwrap(), SECTOR);
    assert_eq!(roles(&mirror), [Role::In, Role::In]);
    assert_eq!(mirror.report().members[0].read_errors, 1);
    fault(&shelf, 1, |faults| faults.reads = true);
    assert_eq!(mirror.read(0, &mut data).unwrap_err().kind, ErrorKind::ReadFailed);
    assert_eq!(roles(&mirror), [Role::In, Role::In]);
}

#[test]
fn a_bad_read_that_cannot_be_repaired_drops_the_member() {
    let shelf = Shelf::new(2, 1);
    let mirror = shelf.open();
    mirror.write(0, &[7; 512], Durability::Durable).unwrap();
    fault(&shelf, 0, |faults| (faults.reads, faults.writes) = (true, true));
    mirror.read(0, &mut [0; 512]).unwrap();
    assert_eq!(roles(&mirror), [Role::Out, Role::In]);
}

#[test]
fn where_members_differ_after_a_crash_what_was_read_once_is_read_ever_after() {
    let shelf = Shelf::new(2, 1);
    let mirror = shelf.open();
    mirror.write(0, &[1; 512], Durability::Durable).unwrap();
    shelf.kill(mirror);
    // A write that reached one member only.
    shelf.disks[0].overwrite(0, &[2; 512]);
    let mirror = shelf.open();
    let mut data = [0; 512];
    mirror.read(0, &mut data).unwrap();
    assert_eq!(data, [2; 512]);
    fault(&shelf, 0, |faults| (faults.reads, faults.writes) = (true, true));
    mirror.read(0, &mut data).unwrap();
    assert_eq!(data, [2; 512]);
}

#[test]
fn the_mark_lasts_before_any_member_is_written() {
    let shelf = Shelf::new(2, 1);
    // The marks are two durable writes, one beside each member, and only then comes the first write.
    for calls in 0..2 {
        let mirror = shelf.open();
        resync(&mirror);
        mirror.tidy(0).unwrap();
        shelf.disks.iter().for_each(|disk| *disk.written.lock().unwrap() = 0);
        shelf.power.cut_after(Some(calls));
        assert!(mirror.write(4 * REGION, &[5; 512], Durability::Volatile).is_err());
        assert!(shelf.disks.iter().all(|disk| *disk.written.lock().unwrap() == 0), "{calls}");
        shelf.lose_power(Some(mirror));
    }
    let mirror = shelf.open();
    resync(&mirror);
    mirror.tidy(0).unwrap();
    shelf.power.cut_after(Some(3));
    assert!(mirror.write(4 * REGION, &[5; 512], Durability::Volatile).is_err());
    assert_eq!(shelf.disks[0].content()[4 * REGION as usize], 5, "it was written to one member");
    shelf.lose_power(Some(mirror));
    assert_eq!(shelf.open().report().members[1].lacking, REGION);
}

#[test]
fn what_lies_side_by_side_is_read_from_one_member() {
    let shelf = Shelf::new(2, 1);
    let mirror = shelf.open();
    for _ in 0..4 {
        mirror.read(0, &mut [0; 512]).unwrap();
    }
    let reads: Vec<u64> = shelf.disks.iter().map(|disk| *disk.reads.lock().unwrap()).collect();
    // What lies beside each other is read from one member.
    assert_eq!(reads, [4, 0]);
}
