//! Tokens for data, while others use the disks: they never bring data of another time.

use std::sync::Arc;
use std::time::Duration;

use timedisk_target::Disk;
use timedisk_volume::{Durability, HeldVolume, MemoryVolume, Operation, Volume};

use super::wire::{BLOCK, Initiator, Lab, PATIENCE, Scsi, block, held, mount, open_target, unit};

const CAPACITY: u64 = 8 << 20;
const FROM: u8 = 0;
const TO: u8 = 1;
const REVOKED: (u8, u8, u8) = (0x05, 0x23, 0x06);
const POPULATE: u8 = 0x10;
const WRITE: u8 = 0x11;

struct Pair {
    from: Arc<HeldVolume<MemoryVolume>>,
    to: Arc<HeldVolume<MemoryVolume>>,
    lab: Lab,
}

impl Pair {
    fn new() -> Pair {
        let (from, to) = (held(CAPACITY), held(CAPACITY));
        from.inner().write(0, &vec![7; CAPACITY as usize], Durability::Volatile).unwrap();
        let source = Disk::new("from", unit("from", Arc::clone(&from)));
        let destination = Disk::new("to", unit("to", Arc::clone(&to)));
        let mut target = open_target("disks", MemoryVolume::new(BLOCK as u64));
        target.mounts = vec![mount(FROM.into(), &source, |_| true), mount(TO.into(), &destination, |_| true)];
        Pair { from, to, lab: Lab::new(vec![target]) }
    }

    fn session(&self) -> Initiator {
        let mut initiator = self.lab.session("disks", &[]);
        for lun in [FROM, TO] {
            while initiator.run(&Scsi::test_unit_ready().at(lun)).status != 0 {}
        }
        initiator
    }
}

fn with_length(rest: &[u8]) -> Vec<u8> {
    [&(rest.len() as u16).to_be_bytes()[..], rest].concat()
}

fn all_blocks() -> Vec<u8> {
    let blocks = (CAPACITY / BLOCK as u64) as u32;
    [&16u16.to_be_bytes()[..], &[0; 8], &blocks.to_be_bytes(), &[0; 4]].concat()
}

fn command(action: u8, list: &[u8]) -> Scsi {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1], cdb[9]) = (0x83, action, 5);
    cdb[10..14].copy_from_slice(&(list.len() as u32).to_be_bytes());
    Scsi::output(&cdb, list)
}

fn information() -> Scsi {
    Scsi::input(&[0x84, 7, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0], 1024)
}

/// A token for all of the first disk.
fn token(initiator: &mut Initiator) -> Vec<u8> {
    initiator.run(&command(POPULATE, &with_length(&[&[0; 12][..], &all_blocks()].concat()))).good();
    initiator.run(&information()).good()[38..550].to_vec()
}

/// All of it to the second disk.
fn write(token: &[u8]) -> Scsi {
    command(WRITE, &with_length(&[&[0; 14][..], token, &[0; 6], &all_blocks()].concat())).at(TO)
}

fn last_of(volume: &HeldVolume<MemoryVolume>) -> [u8; BLOCK] {
    let mut last = [0; BLOCK];
    volume.inner().read(CAPACITY - BLOCK as u64, &mut last).unwrap();
    last
}

#[test]
fn a_token_is_used_over_the_wire() {
    let pair = Pair::new();
    let mut initiator = pair.session();
    let token = token(&mut initiator);
    initiator.run(&write(&token)).good();
    let told = initiator.run(&information().at(TO)).good();
    assert_eq!((told[4], told[5]), (WRITE, 0x01));
    assert_eq!(last_of(&pair.to), block(7));
}

#[test]
fn a_copy_ends_when_what_its_token_stands_for_is_changed() {
    let pair = Pair::new();
    let (mut own, mut other) = (pair.session(), pair.session());
    let token = token(&mut own);
    pair.from.hold(Operation::Read);
    let using = own.start(&write(&token));
    assert!(pair.from.await_waiting(1, PATIENCE));
    other.run(&Scsi::write(0, &block(9))).good();
    pair.from.release_all();
    assert_eq!(own.finish(using).condition(), REVOKED);
    assert_eq!(other.run(&Scsi::read(0, 1).at(TO)).good(), block(0));
    assert_eq!(own.run(&write(&token)).condition(), REVOKED);
}

#[test]
fn a_token_is_made_after_the_writes_that_are_under_way() {
    let pair = Pair::new();
    let (mut own, mut other) = (pair.session(), pair.session());
    pair.from.hold(Operation::Write);
    let writing = other.start(&Scsi::write(0, &block(9)));
    assert!(pair.from.await_waiting(1, PATIENCE));
    let list = with_length(&[&[0; 12][..], &all_blocks()].concat());
    let populating = own.start(&command(POPULATE, &list));
    std::thread::sleep(Duration::from_millis(100));
    own.check_alive();
    assert!(!own.has_ended(populating));
    pair.from.release_all();
    other.finish(writing).good();
    own.finish(populating).good();
    let token = own.run(&information()).good()[38..550].to_vec();
    own.run(&write(&token)).good();
    assert_eq!(own.run(&Scsi::read(0, 1).at(TO)).good(), block(9));
}

#[test]
fn a_copy_under_way_is_told_of_and_can_be_aborted() {
    let pair = Pair::new();
    let mut initiator = pair.session();
    let token = token(&mut initiator);
    pair.to.hold(Operation::Write);
    let using = initiator.start(&write(&token));
    assert!(pair.to.await_waiting(1, PATIENCE));
    let told = initiator.run(&information().at(TO)).good();
    assert_eq!((told.len(), told[4], told[5]), (36, WRITE, 0x11));
    assert_eq!(initiator.run(&write(&token)).condition(), (0x05, 0x00, 0x16), "its name is taken");
    let abort = [0x83, 0x1c, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    initiator.run(&Scsi::none(&abort).at(TO)).good();
    pair.to.release_all();
    assert_eq!(initiator.finish(using).condition(), (0x0a, 0x2f, 0x02));
    assert_eq!(initiator.run(&information().at(TO)).good()[5], 0x60);
    assert_eq!(last_of(&pair.to), block(0));
}
