//! Disks of one target: each for its own addresses, and coming, going and growing while they are used.

use std::sync::Arc;
use std::time::{Duration, Instant};

use timedisk_iscsi::pdu::{Response, layout};
use timedisk_scsi::{Absence, Attention};
use timedisk_target::{Catalogue, Disk, Mount, Target, Unrest};
use timedisk_volume::{MemoryVolume, Operation};

use super::wire::{Initiator, Lab, PATIENCE, Scsi, block, full_name, held, mount, open_target, unit};

const LUNS_CHANGED: (u8, u8, u8) = (0x06, 0x3f, 0x0e);
const NO_SUCH_UNIT: (u8, u8, u8) = (0x05, 0x25, 0x00);

fn disk(name: &str) -> Arc<Disk> {
    Disk::new(name, unit(name, MemoryVolume::new(1 << 20)))
}

fn target(mounts: Vec<Mount>) -> Target {
    Target { mounts, ..open_target("disks", MemoryVolume::new(512)) }
}

fn serve(lab: &Lab, mounts: Vec<Mount>) {
    lab.server().exchange(Catalogue { targets: vec![target(mounts)], ..Catalogue::default() });
}

fn everyone(lun: u16, disk: &Arc<Disk>) -> Mount {
    mount(lun, disk, |_| true)
}

/// Logical unit numbers as REPORT LUNS has them.
fn luns(initiator: &mut Initiator) -> Vec<u8> {
    let data = initiator.run(&Scsi::input(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0], 512)).good();
    data[8..].chunks(8).map(|lun| lun[1]).collect()
}

/// What the next asynchronous message says: LUN, additional sense code and its qualifier.
#[track_caller]
fn told(initiator: &mut Initiator) -> (u8, u8, u8) {
    let pdu = initiator.expect(Response::AsyncMessage);
    let message = layout::AsyncMessage::of(&pdu.header);
    assert_eq!((message.event, pdu.data[1]), (0, 18), "a SCSI event with sense data");
    (message.lun[1], pdu.data[2 + 12], pdu.data[2 + 13])
}

#[test]
fn an_initiator_sees_the_disks_that_are_for_its_address() {
    let (seen, hidden) = (disk("seen"), disk("hidden"));
    let lab = Lab::new(vec![target(vec![mount(0, &hidden, |_| false), everyone(5, &seen)])]);
    let mut initiator = lab.session("disks", &[]);
    assert_eq!(luns(&mut initiator), [5]);
    assert_eq!(initiator.run(&Scsi::test_unit_ready()).condition(), NO_SUCH_UNIT);
    initiator.run(&Scsi::test_unit_ready().at(5));
    initiator.run(&Scsi::write(0, &block(1)).at(5)).good();
}

#[test]
fn new_neighbours_are_told_of_by_unit_attention_and_asynchronous_message() {
    let (first, second) = (disk("first"), disk("second"));
    let lab = Lab::new(vec![target(vec![everyone(0, &first)])]);
    let mut initiator = lab.session("disks", &[]);
    serve(&lab, vec![everyone(0, &first), everyone(1, &second)]);
    assert_eq!(told(&mut initiator), (0, 0x3f, 0x0e));
    assert_eq!(initiator.run(&Scsi::test_unit_ready()).condition(), LUNS_CHANGED);
    assert_eq!(luns(&mut initiator), [0, 1]);
    assert_eq!(initiator.run(&Scsi::test_unit_ready().at(1)).condition(), (0x06, 0x29, 0x00));
    initiator.run(&Scsi::write(0, &block(7)).at(1)).good();
    serve(&lab, vec![everyone(0, &first)]);
    assert_eq!(told(&mut initiator), (0, 0x3f, 0x0e));
    assert_eq!(initiator.run(&Scsi::read(0, 1).at(1)).condition(), NO_SUCH_UNIT);
}

#[test]
fn a_new_size_is_told_to_all_who_use_the_disk_at_its_place() {
    let (grown, other) = (disk("grown"), disk("other"));
    let lab = Lab::new(vec![target(vec![everyone(0, &other), everyone(3, &grown)])]);
    let mut initiators = [lab.session("disks", &[]), lab.session("disks", &[])];
    for initiator in &mut initiators {
        initiator.run(&Scsi::test_unit_ready().at(3));
    }
    lab.server().tell(grown.unit(), Attention::CapacityChanged);
    for initiator in &mut initiators {
        assert_eq!(told(initiator), (3, 0x2a, 0x09));
        assert_eq!(initiator.run(&Scsi::test_unit_ready().at(3)).condition(), (0x06, 0x2a, 0x09));
        initiator.run(&Scsi::test_unit_ready().at(3)).good();
        initiator.run(&Scsi::test_unit_ready()).good();
    }
}

#[test]
fn a_disk_is_taken_away_only_once_it_is_at_rest() {
    let volume = held(1 << 20);
    let disk = Disk::new("disk", unit("disk", Arc::clone(&volume)));
    let lab = Lab::new(vec![target(vec![everyone(0, &disk)])]);
    let mut initiator = lab.session("disks", &[]);
    volume.hold(Operation::Write);
    let write = initiator.start(&Scsi::write(0, &block(9)));
    assert!(volume.await_waiting(1, PATIENCE));
    let soon = Instant::now() + Duration::from_millis(50);
    assert!(matches!(disk.take(Absence::Offline, soon), Err(Unrest::Stuck(name)) if name == "disk"));
    assert!(disk.unit().medium().absence().is_none(), "it is back in its place");
    volume.release(Operation::Write);
    initiator.finish(write).good();
    let taken = disk.take(Absence::Offline, Instant::now() + PATIENCE).unwrap().unwrap();
    assert_eq!(initiator.run(&Scsi::read(0, 1)).condition(), (0x02, 0x04, 0x12));
    disk.unit().medium().put(taken);
    lab.server().tell(disk.unit(), Attention::BecameReady);
    assert_eq!(told(&mut initiator), (0, 0x28, 0x00));
    assert_eq!(initiator.run(&Scsi::read(0, 1)).condition(), (0x06, 0x28, 0x00));
    assert_eq!(initiator.run(&Scsi::read(0, 1)).good(), block(9));
}

#[test]
fn a_disk_whose_flush_hangs_is_back_in_its_place_when_the_time_is_over() {
    let volume = held(1 << 20);
    let disk = Disk::new("disk", unit("disk", Arc::clone(&volume)));
    let lab = Lab::new(vec![target(vec![everyone(0, &disk)])]);
    let mut initiator = lab.session("disks", &[]);
    initiator.run(&Scsi::write(0, &block(9))).good();
    volume.hold(Operation::Flush);
    for _ in 0..3 {
        let (sender, receiver) = std::sync::mpsc::channel();
        let asked = Arc::clone(&disk);
        let soon = Instant::now() + Duration::from_millis(50);
        std::thread::spawn(move || sender.send(asked.take(Absence::Offline, soon).map(drop)));
        let refused = receiver.recv_timeout(PATIENCE).expect("it gives up when its time is over");
        let said = refused.expect_err("what was written does not last yet").to_string();
        assert!(said.contains("flush of disk did not end in time"), "{said}");
        assert_eq!(initiator.run(&Scsi::read(0, 1)).good(), block(9), "it is back in its place");
    }
    assert_eq!(volume.waiting(), 1, "one thread hangs, however often it was asked");
    volume.release_all();
    let taken = disk.take(Absence::Offline, Instant::now() + PATIENCE).unwrap();
    assert!(taken.is_some() && disk.unit().medium().absence().is_some());
}

#[test]
fn a_command_that_runs_on_a_disk_that_leaves_its_target_is_answered() {
    let volume = held(1 << 20);
    let (leaves, stays) = (Disk::new("leaves", unit("leaves", Arc::clone(&volume))), disk("stays"));
    let lab = Lab::new(vec![target(vec![everyone(0, &stays), everyone(1, &leaves)])]);
    let mut initiator = lab.session("disks", &[]);
    initiator.run(&Scsi::test_unit_ready().at(1));
    volume.hold(Operation::Flush);
    let flush = initiator.start(&Scsi::flush().at(1));
    assert!(volume.await_waiting(1, PATIENCE));
    serve(&lab, vec![everyone(0, &stays)]);
    assert_eq!(told(&mut initiator), (0, 0x3f, 0x0e));
    volume.release_all();
    initiator.finish(flush).good();
    assert_eq!(full_name("disks"), lab.server().sessions()[0].target.clone().unwrap());
}

#[test]
fn what_a_session_had_begun_on_a_disk_that_left_it_is_not_overtaken_once_the_session_is_gone() {
    let volume = held(1 << 20);
    let (moves, stays) = (Disk::new("moves", unit("moves", Arc::clone(&volume))), disk("stays"));
    let lab = Lab::new(vec![target(vec![everyone(0, &stays), everyone(1, &moves)])]);
    let mut old = lab.session("disks", &[]);
    old.run(&Scsi::test_unit_ready().at(1));
    volume.hold(Operation::Write);
    old.start(&Scsi::write(0, &block(1)).at(1));
    assert!(volume.await_waiting(1, PATIENCE));
    let other = Target { name: full_name("other"), ..target(vec![everyone(0, &moves)]) };
    let targets = vec![target(vec![everyone(0, &stays)]), other];
    lab.server().exchange(Catalogue { targets, ..Catalogue::default() });
    told(&mut old);
    drop(old);
    let deadline = Instant::now() + PATIENCE;
    while !lab.server().sessions().is_empty() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut new = lab.session("other", &[]);
    let write = new.start(&Scsi::write(0, &block(2)));
    assert!(!volume.await_waiting(2, Duration::from_millis(200)), "the new write waits for the old one");
    volume.release_all();
    new.finish(write).good();
    assert_eq!(new.run(&Scsi::read(0, 1)).good(), block(2));
}
