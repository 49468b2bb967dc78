//! Members that do not answer, and what their calls do when they return after all.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::double::{Disk, REGION, Shelf, member, resync};
use crate::mirror::Role;
use crate::{Durability, MirrorVolume, Volume};

const PATIENCE: Duration = Duration::from_millis(50);
const FOR_EVER: Duration = Duration::from_secs(600);

fn shelf(count: usize) -> Shelf {
    Shelf { patience: Some(PATIENCE), ..Shelf::new(count, 1) }
}

fn roles(mirror: &MirrorVolume) -> Vec<Role> {
    mirror.report().members.iter().map(|member| member.role).collect()
}

fn await_return(mirror: &MirrorVolume) {
    let until = Instant::now() + Duration::from_secs(20);
    while mirror.report().members.iter().any(|member| member.hung) {
        assert!(Instant::now() < until, "a call has not returned");
        thread::sleep(Duration::from_millis(1));
    }
}

fn await_waiting(disk: &Disk, count: usize) {
    let until = Instant::now() + Duration::from_secs(20);
    while disk.waiting() < count {
        assert!(Instant::now() < until, "{count} calls do not wait");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_member_that_does_not_answer_a_write_is_dropped_and_its_late_write_does_no_harm() {
    let shelf = shelf(2);
    let mirror = shelf.open();
    mirror.write(0, &[1; 512], Durability::Durable).unwrap();
    shelf.disks[1].stick(FOR_EVER);
    mirror.write(0, &[2; 512], Durability::Volatile).unwrap();
    assert_eq!(roles(&mirror), [Role::In, Role::Out]);
    let told = shelf.told.lock().unwrap().clone();
    assert!(
        told.iter().any(|words| words.contains("goes on without extent1: it did not answer")),
        "{told:?}"
    );
    assert!(mirror.report().members[1].hung);
    mirror.write(0, &[3; 512], Durability::Durable).unwrap();
    // The write that hangs may still come: until then the member can't be taken back.
    let refused = mirror.replace(1, shelf.member(1, false)).unwrap_err();
    assert!(refused.message.contains("wait until it has"), "{refused}");
    shelf.disks[1].free();
    await_return(&mirror);
    assert_eq!(shelf.disks[1].content()[0], 2, "the late write has come");
    let mut data = [0; 512];
    mirror.read(0, &mut data).unwrap();
    assert_eq!(data, [3; 512]);
    mirror.replace(1, shelf.member(1, false)).unwrap();
    resync(&mirror);
    assert_eq!(roles(&mirror), [Role::In, Role::In]);
    drop(mirror);
    assert_eq!(shelf.disks[0].content(), shelf.disks[1].content());
}

#[test]
fn a_member_that_does_not_answer_a_flush_or_its_record_is_dropped() {
    let shelf = shelf(3);
    let mirror = shelf.open();
    mirror.write(0, &[1; 512], Durability::Volatile).unwrap();
    shelf.disks[0].stick(FOR_EVER);
    mirror.flush().unwrap();
    assert_eq!(roles(&mirror), [Role::Out, Role::In, Role::In]);
    shelf.disks[1].stick(FOR_EVER);
    // Here the mark is what hangs.
    mirror.write(5 * REGION, &[2; 512], Durability::Volatile).unwrap();
    assert_eq!(roles(&mirror), [Role::Out, Role::Out, Role::In]);
    mirror.read(5 * REGION, &mut [0; 512]).unwrap();
    shelf.disks.iter().for_each(|disk| disk.free());
}

#[test]
fn a_member_that_does_not_answer_a_read_is_dropped_and_another_answers() {
    let shelf = shelf(2);
    let mirror = shelf.open();
    mirror.write(0, &[7; 512], Durability::Durable).unwrap();
    shelf.disks[0].stick(FOR_EVER);
    let mut data = [0; 512];
    mirror.read(0, &mut data).unwrap();
    assert_eq!(data, [7; 512]);
    assert_eq!(roles(&mirror), [Role::Out, Role::In]);
    shelf.disks[0].free();
}

#[test]
fn many_who_wait_for_one_member_go_on_together() {
    let shelf = shelf(2);
    let mirror = shelf.open();
    shelf.disks[1].stick(FOR_EVER);
    let begun = Instant::now();
    thread::scope(|scope| {
        for n in 0..8 {
            let mirror = &mirror;
            scope.spawn(move || mirror.write(n * REGION, &[1; 512], Durability::Volatile).unwrap());
        }
    });
    assert!(begun.elapsed() < PATIENCE * 8, "{:?}", begun.elapsed());
    assert_eq!(roles(&mirror), [Role::In, Role::Out]);
    shelf.disks[1].free();
}

#[test]
fn when_no_member_answers_all_wait_and_nobody_is_dropped() {
    // What comes a moment later than the first is in time then, on a machine that is busy too.
    let shelf = Shelf { patience: Some(PATIENCE * 20), ..Shelf::new(2, 1) };
    let mirror = shelf.open();
    mirror.write(0, &[1; 512], Durability::Durable).unwrap();
    shelf.disks.iter().for_each(|disk| disk.stick(FOR_EVER));
    let writing = thread::spawn({
        let mirror = Arc::clone(&mirror);
        move || mirror.write(0, &[2; 512], Durability::Volatile)
    });
    shelf.disks.iter().for_each(|disk| await_waiting(disk, 1));
    thread::sleep(PATIENCE * 24);
    assert!(!writing.is_finished());
    shelf.disks.iter().for_each(|disk| disk.free());
    writing.join().unwrap().unwrap();
    assert_eq!(roles(&mirror), [Role::In, Role::In]);
}

#[test]
fn the_last_member_is_waited_for() {
    let shelf = shelf(2);
    let mirror = shelf.open_without(1);
    shelf.disks[0].stick(FOR_EVER);
    let reading = thread::spawn({
        let mirror = Arc::clone(&mirror);
        move || mirror.read(0, &mut [0; 512])
    });
    await_waiting(&shelf.disks[0], 1);
    thread::sleep(PATIENCE * 3);
    assert!(!reading.is_finished());
    shelf.disks[0].free();
    reading.join().unwrap().unwrap();
    assert_eq!(roles(&mirror), [Role::In, Role::Out]);
}

#[test]
fn a_member_that_hangs_can_be_replaced_by_another_at_once() {
    let shelf = shelf(3);
    let mirror = {
        let members = (0..2).map(|index| shelf.member(index, false)).collect();
        let options = crate::MirrorOptions {
            smallest_region: REGION,
            patience: Some(PATIENCE),
            ..crate::MirrorOptions::new(Box::new(|_| ()))
        };
        MirrorVolume::open(members, options).unwrap()
    };
    shelf.disks[1].stick(FOR_EVER);
    mirror.write(0, &[2; 512], Durability::Durable).unwrap();
    mirror.replace(1, member(&shelf.disks[2], 2, false)).unwrap();
    resync(&mirror);
    assert_eq!(roles(&mirror), [Role::In, Role::In]);
    assert_eq!(shelf.disks[0].content(), shelf.disks[2].content());
    shelf.disks[1].free();
}

#[test]
fn a_newcomer_that_does_not_answer_is_refused_or_dropped() {
    let shelf = shelf(2);
    let mirror = shelf.open_without(1);
    mirror.write(0, &[2; 512], Durability::Durable).unwrap();
    shelf.disks[1].stick(FOR_EVER);
    assert!(mirror.replace(1, shelf.member(1, false)).is_err());
    shelf.disks[1].free();
    mirror.replace(1, shelf.member(1, false)).unwrap();
    shelf.disks[1].stick(FOR_EVER);
    // While it is resynced.
    resync(&mirror);
    assert_eq!(roles(&mirror), [Role::In, Role::Out]);
    mirror.write(0, &[3; 512], Durability::Durable).unwrap();
    shelf.disks[1].free();
}
