use super::double::{CAPACITY, REGION, Shelf, resync};
use crate::mirror::Role;
use crate::{Durability, ErrorKind, Volume};

fn roles(mirror: &crate::MirrorVolume) -> Vec<Role> {
    mirror.report().members.iter().map(|member| member.role).collect()
}

#[test]
fn members_that_were_made_together_are_a_mirror_at_once() {
    let shelf = Shelf::new(3, 1);
    let mirror = shelf.open();
    assert_eq!(roles(&mirror), [Role::In; 3]);
    assert_eq!((mirror.capacity(), mirror.is_read_only()), (CAPACITY, false));
    assert!(mirror.report().members.iter().all(|member| member.lacking == 0));
}

#[test]
fn what_was_there_before_the_mirror_is_not_overwritten_unless_it_is_asked_for() {
    let shelf = Shelf::new(2, 1);
    shelf.disks.iter().for_each(|disk| disk.mend());
    shelf.disks[0].overwrite(0, &[7; 512]);
    shelf.disks[1].overwrite(0, &[8; 512]);
    let mirror = shelf.open();
    assert_eq!(roles(&mirror), [Role::In, Role::Out]);
    resync(&mirror);
    assert_eq!(shelf.disks[1].content()[0], 8);
    mirror.replace(1, shelf.member(1, false)).unwrap();
    resync(&mirror);
    assert_eq!(roles(&mirror), [Role::In, Role::In]);
    assert_eq!(shelf.disks[1].content(), shelf.disks[0].content());
    assert_eq!(shelf.disks[1].content()[0], 7);
}

#[test]
fn a_member_that_was_away_gets_what_it_missed_and_no_more() {
    let shelf = Shelf::new(2, 1);
    drop(shelf.open());
    shelf.mend();
    let mirror = shelf.open_without(1);
    mirror.write(5 * REGION, &[9; 512], Durability::Durable).unwrap();
    shelf.kill(mirror);
    *shelf.disks[1].written.lock().unwrap() = 0;
    let mirror = shelf.open();
    assert_eq!(roles(&mirror), [Role::In, Role::Syncing]);
    assert_eq!(mirror.report().members[1].lacking, REGION);
    resync(&mirror);
    assert_eq!(roles(&mirror), [Role::In, Role::In]);
    assert_eq!(*shelf.disks[1].written.lock().unwrap(), REGION);
    assert_eq!(shelf.disks[1].content(), shelf.disks[0].content());
}

#[test]
fn a_member_that_was_dropped_is_not_believed_when_the_others_are_away() {
    for has_witness in [true, false] {
        let shelf = Shelf::new(2, 1);
        let mirror = shelf.open();
        shelf.disks[0].faults.lock().unwrap().writes = true;
        mirror.write(0, &[9; 512], Durability::Durable).unwrap();
        shelf.kill(mirror);
        if !has_witness {
            // Nor does anything tell so but what it could be told itself.
            shelf.disks.iter().for_each(|disk| disk.forget_witness());
        }
        let error = shelf.try_open(&[1]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::CannotOpen);
        assert!(error.message.contains("extent1: its file is not there"), "{error}");
        let mirror = shelf.open();
        assert_eq!(roles(&mirror), [Role::Syncing, Role::In]);
        let mut first = [0];
        mirror.read(0, &mut first).unwrap();
        assert_eq!(first, [9]);
    }
}

#[test]
fn a_dead_member_is_known_for_dead_by_the_witness_alone() {
    let shelf = Shelf::new(2, 1);
    let mirror = shelf.open();
    {
        let mut faults = shelf.disks[0].faults.lock().unwrap();
        (faults.writes, faults.records) = (true, true);
    }
    mirror.write(0, &[9; 512], Durability::Durable).unwrap();
    shelf.kill(mirror);
    assert_eq!(shelf.try_open(&[1]).unwrap_err().kind, ErrorKind::CannotOpen);
}

#[test]
fn a_file_that_was_made_anew_is_neither_read_nor_overwritten() {
    let shelf = Shelf::new(2, 1);
    let mirror = shelf.open();
    mirror.write(0, &[9; 512], Durability::Durable).unwrap();
    drop(mirror);
    shelf.mend();
    shelf.disks[0].overwrite(0, &[0; 512]);
    *shelf.disks[0].born.lock().unwrap() = "another".into();
    let mirror = shelf.open();
    assert_eq!(roles(&mirror), [Role::Out, Role::In]);
    assert!(mirror.report().members[0].reason.contains("made anew"));
    resync(&mirror);
    assert_eq!(shelf.disks[0].content()[0], 0);
    mirror.replace(0, shelf.member(0, false)).unwrap();
    resync(&mirror);
    assert_eq!(shelf.disks[0].content()[0], 9);
}

#[test]
fn a_member_from_an_old_copy_is_out() {
    let shelf = Shelf::new(2, 1);
    drop(shelf.open());
    let old = shelf.disks[1].copy_record();
    shelf.mend();
    drop(shelf.open());
    shelf.mend();
    shelf.disks[1].bring_record_back(old);
    let mirror = shelf.open();
    assert_eq!(roles(&mirror), [Role::In, Role::Out]);
    assert!(mirror.report().members[1].reason.contains("older"));
}

#[test]
fn a_member_without_a_record_is_out() {
    let shelf = Shelf::new(2, 1);
    drop(shelf.open());
    shelf.mend();
    shelf.disks[0].forget_record();
    assert_eq!(roles(&shelf.open()), [Role::Out, Role::In]);
}

#[test]
fn members_that_were_written_apart_are_refused() {
    let shelf = Shelf::new(2, 1);
    drop(shelf.open());
    for alone in [0, 1] {
        shelf.disks.iter().for_each(|disk| disk.forget_witness());
        shelf.mend();
        let mirror = shelf.open_without(1 - alone);
        mirror.write(0, &[alone as u8; 512], Durability::Durable).unwrap();
        drop(mirror);
    }
    shelf.mend();
    let error = shelf.try_open(&[]).unwrap_err();
    assert!(error.message.contains("without the other"), "{error}");
}

#[test]
fn with_nobody_there_it_does_not_start() {
    let shelf = Shelf::new(2, 1);
    assert!(shelf.try_open(&[0, 1]).unwrap_err().message.contains("no member"));
    drop(shelf.open());
    shelf.mend();
    assert!(shelf.try_open(&[0, 1]).unwrap_err().message.contains("no member"));
}

#[test]
fn members_of_two_mirrors_are_refused() {
    let (one, other) = (Shelf::new(2, 1), Shelf::new(2, 2));
    drop((one.open(), other.open()));
    let members = vec![one.member(0, false), other.member(1, false)];
    let options = crate::MirrorOptions::new(Box::new(|_| ()));
    let error = crate::MirrorVolume::open(members, options).unwrap_err();
    assert!(error.message.contains("different mirrors"), "{error}");
}

#[test]
fn a_mirror_in_order_has_nothing_to_resync_and_one_that_was_killed_what_was_written() {
    let shelf = Shelf::new(2, 1);
    let mirror = shelf.open();
    mirror.write(0, &[9; 512], Durability::Volatile).unwrap();
    drop(mirror);
    shelf.mend();
    let mirror = shelf.open();
    assert_eq!(mirror.report().members[1].lacking, 0);
    mirror.write(3 * REGION, &[9; 512], Durability::Volatile).unwrap();
    shelf.lose_power(Some(mirror));
    let mirror = shelf.open();
    assert_eq!(mirror.report().members[1].lacking, REGION);
    assert_eq!(roles(&mirror), [Role::In, Role::In]);
}
