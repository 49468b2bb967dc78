//! A copy between two disks is at both of them: it ends when either is taken from it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use timedisk_scsi::Absence;
use timedisk_target::{Disk, Unrest};
use timedisk_volume::{
    Durability, FileVolume, HeldVolume, Length, MemoryVolume, OpenOptions, Operation, Volume,
};

use super::wire::{BLOCK, Initiator, Lab, PATIENCE, Scsi, block, held, mount, open_target, unit};

const ABORT_TASK: u8 = 1;
const LOGICAL_UNIT_RESET: u8 = 5;
const CAPACITY: u64 = 8 << 20;
const FROM: u8 = 0;
const TO: u8 = 1;
const COPY_ABORTED: u8 = 0x0a;
const UNIT_ATTENTION: u8 = 0x06;

/// Two disks of one target; the first is full.
struct Pair {
    to: Arc<HeldVolume<MemoryVolume>>,
    destination: Arc<Disk>,
    lab: Lab,
}

impl Pair {
    fn new() -> Pair {
        let (from, to) = (MemoryVolume::new(CAPACITY), held(CAPACITY));
        from.write(0, &vec![7; CAPACITY as usize], Durability::Volatile).unwrap();
        let source = Disk::new("from", unit("from", from));
        let destination = Disk::new("to", unit("to", Arc::clone(&to)));
        let mut target = open_target("disks", MemoryVolume::new(BLOCK as u64));
        target.mounts = vec![mount(FROM.into(), &source, |_| true), mount(TO.into(), &destination, |_| true)];
        Pair { to, destination, lab: Lab::new(vec![target]) }
    }

    /// A copy that is stuck in its first step.
    fn stuck_copy(&self, initiator: &mut Initiator) -> u32 {
        self.to.hold(Operation::Write);
        let tag = initiator.start(&copy());
        assert!(self.to.await_waiting(1, PATIENCE));
        tag
    }

    /// Whether the last block was copied.
    fn is_copied_whole(&self) -> bool {
        let mut last = [0; BLOCK];
        self.to.inner().read(CAPACITY - BLOCK as u64, &mut last).unwrap();
        last == block(7)
    }
}

/// The whole disk, from the first to the second, with its results discarded.
fn copy() -> Scsi {
    copy_blocks((0, 0), (1, 0), (CAPACITY / BLOCK as u64) as u16)
}

/// From disk and block to disk and block.
fn copy_blocks(from: (u8, u64), to: (u8, u64), count: u16) -> Scsi {
    let mut list = vec![0; 16 + 2 * 32 + 28];
    (list[1], list[3], list[11]) = (3 << 3, 64, 28);
    for (at, name) in [(16, "from"), (48, "to")] {
        list[at] = 0xe4;
        list[at + 4..at + 16].copy_from_slice(&[1, 3, 0, 8, 0x3f, 0, 0, 0, 0, 0, 0, name.len() as u8]);
    }
    let segment = &mut list[80..];
    (segment[0], segment[3], segment[5], segment[7]) = (0x02, 24, from.0, to.0);
    segment[10..12].copy_from_slice(&count.to_be_bytes());
    segment[12..20].copy_from_slice(&from.1.to_be_bytes());
    segment[20..28].copy_from_slice(&to.1.to_be_bytes());
    let mut cdb = [0; 16];
    (cdb[0], cdb[13]) = (0x83, list.len() as u8);
    Scsi::output(&cdb, &list)
}

fn settled(lab: &Lab) -> Initiator {
    let mut initiator = lab.session("disks", &[]);
    settle(&mut initiator);
    initiator
}

/// Takes what either disk has to tell.
fn settle(initiator: &mut Initiator) {
    for lun in [FROM, TO] {
        while initiator.run(&Scsi::test_unit_ready().at(lun)).status != 0 {}
    }
}

fn reset(initiator: &mut Initiator, lun: u8) {
    let mut request = initiator.task_management(LOGICAL_UNIT_RESET, 0, 0);
    request.header[9] = lun;
    initiator.send(&request);
    initiator.expect(timedisk_iscsi::pdu::Response::TaskManagement);
}

fn reserve_out(action: u8, key: u64, new: u64) -> Scsi {
    let list = [&key.to_be_bytes()[..], &new.to_be_bytes(), &[0; 8]].concat();
    Scsi::output(&[0x5f, action, 1, 0, 0, 0, 0, 0, 24, 0], &list).at(TO)
}

#[test]
fn a_copy_runs_to_its_end_if_nobody_minds() {
    let pair = Pair::new();
    let mut initiator = settled(&pair.lab);
    let tag = pair.stuck_copy(&mut initiator);
    pair.to.release_all();
    initiator.finish(tag).good();
    assert!(pair.is_copied_whole());
}

/// How a copy is ended from outside, and whether its initiator still hears of it.
type End = (fn(&mut Initiator, &mut Initiator, u32), bool);

const ENDS: [End; 6] = [
    (|own, _, tag| assert_eq!(own.manage(ABORT_TASK, tag, own.cmd_sn.wrapping_sub(1)), 0), false),
    (|_, other, _| reset(other, FROM), false),
    (|_, other, _| reset(other, TO), true),
    (|own, _, _| reset(own, TO), true),
    (|_, other, _| drop(other.run(&reserve_out(5, 2, 1)).good()), true),
    (|own, _, _| own.stream.shutdown(std::net::Shutdown::Both).unwrap(), false),
];

#[test]
fn a_copy_that_is_aborted_at_either_disk_ends_with_its_step_and_lands_on_nothing_later() {
    for (number, (end, is_told)) in ENDS.into_iter().enumerate() {
        let pair = Pair::new();
        let (mut own, mut other) = (settled(&pair.lab), settled(&pair.lab));
        own.run(&reserve_out(0, 0, 1)).good();
        other.run(&reserve_out(0, 0, 2)).good();
        let tag = pair.stuck_copy(&mut own);
        end(&mut own, &mut other, tag);
        // Whose connection is gone has left when the session has.
        while number == ENDS.len() - 1 && pair.lab.server().sessions().len() > 1 {
            std::thread::yield_now();
        }
        settle_ready(&mut other);
        let later = other.start(&Scsi::write(0, &block(9)).at(TO));
        other.check_alive();
        assert!(!other.has_ended(later) && pair.to.waiting() == 1, "{number}: it has to wait for the copy");
        pair.to.release_all();
        let ended = other.finish(later);
        assert_eq!(ended.status, 0, "{number}: {ended:?}");
        if is_told {
            let condition = own.finish(tag).condition();
            assert_eq!(condition, (COPY_ABORTED, 0x0d, 0x01), "{number}");
        }
        other.run(&Scsi::read(0, 1)).good();
        assert_eq!(other.run(&Scsi::read(0, 1).at(TO)).good(), block(9), "{number}");
        assert!(!pair.is_copied_whole(), "{number}: it went on");
    }
}

#[test]
fn a_copy_does_not_begin_behind_a_command_that_was_aborted_at_its_other_end() {
    let pair = Pair::new();
    let (mut own, mut other) = (settled(&pair.lab), settled(&pair.lab));
    pair.to.hold(Operation::Write);
    other.start(&Scsi::write(0, &block(9)).at(TO));
    assert!(pair.to.await_waiting(1, PATIENCE));
    reset(&mut own, TO);
    assert_eq!(own.run(&copy()).status, 0x08, "BUSY");
    pair.to.release_all();
    settle(&mut own);
    own.run(&copy()).good();
    assert!(pair.is_copied_whole());
}

/// Takes attentions with commands that wait for nothing.
fn settle_ready(initiator: &mut Initiator) {
    for lun in [FROM, TO] {
        let reply = initiator.run(&Scsi::test_unit_ready().at(lun));
        assert!(reply.status == 0 || reply.condition().0 == UNIT_ATTENTION);
    }
}

#[test]
fn a_disk_is_taken_away_when_no_copy_is_at_it_any_more() {
    let pair = Pair::new();
    let mut initiator = settled(&pair.lab);
    let tag = pair.stuck_copy(&mut initiator);
    assert_eq!(pair.destination.in_flight(), 1);
    let soon = Instant::now() + Duration::from_millis(50);
    assert!(matches!(pair.destination.take(Absence::Exchange, soon), Err(Unrest::Stuck(_))));
    let asked = Arc::clone(&pair.destination);
    let taking = std::thread::spawn(move || asked.take(Absence::Exchange, Instant::now() + PATIENCE));
    while pair.destination.unit().medium().absence().is_none() {
        std::thread::yield_now();
    }
    pair.to.release_all();
    taking.join().unwrap().unwrap().expect("it was there");
    let fresh = held(CAPACITY);
    pair.destination.unit().medium().put(Arc::clone(&fresh) as Arc<dyn Volume>);
    assert_eq!(initiator.finish(tag).condition(), (0x02, 0x04, 0x01));
    assert!(!pair.is_copied_whole());
    for at in (0..CAPACITY).step_by(BLOCK) {
        let mut raw = [0; BLOCK];
        fresh.inner().read(at, &mut raw).unwrap();
        assert_eq!(raw, block(0), "it went on at another volume");
    }
}

/// A target with these two disks.
fn lab(from: impl Volume + 'static, to: impl Volume + 'static) -> Lab {
    let (source, destination) = (Disk::new("from", unit("from", from)), Disk::new("to", unit("to", to)));
    let mut target = open_target("disks", MemoryVolume::new(BLOCK as u64));
    target.mounts = vec![mount(FROM.into(), &source, |_| true), mount(TO.into(), &destination, |_| true)];
    Lab::new(vec![target])
}

#[test]
fn files_are_copied_with_their_holes_and_what_overlaps_is_moved_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        let options = OpenOptions::new(directory.path().join(name), Length::Bytes(CAPACITY));
        Arc::new(FileVolume::open(options).unwrap())
    };
    let (from, to) = (open("from.img"), open("to.img"));
    // Data, a hole, data that end within a block of the file system; and what is to be copied over.
    let mut expected = vec![0; CAPACITY as usize];
    for (begin, end) in [(0, 1 << 20), (3 << 20, (3 << 20) + 700 * BLOCK), (7 << 20, 8 << 20)] {
        let numbers = (begin..end).map(|at| (at / BLOCK % 255) as u8 + 1).collect::<Vec<_>>();
        from.write(begin as u64, &numbers, Durability::Volatile).unwrap();
        expected[begin..end].copy_from_slice(&numbers);
    }
    to.write(0, &vec![9; CAPACITY as usize], Durability::Volatile).unwrap();
    let lab = lab(Arc::clone(&from), Arc::clone(&to));
    let mut initiator = settled(&lab);
    let content = |volume: &FileVolume| {
        let mut content = vec![0; CAPACITY as usize];
        volume.read(0, &mut content).unwrap();
        content
    };
    let blocks = (CAPACITY / BLOCK as u64) as u16;
    initiator.run(&copy()).good();
    assert!(content(&to) == expected);
    to.flush().unwrap();
    let allocated = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(to.path()).unwrap()) * 512;
    assert!(allocated < 3 << 20, "{allocated} bytes are allocated");
    // By a block that no file system has, to another disk and on the same one, up and down.
    for (begin, end, count) in
        [((0, 3), (1, 8), blocks - 8), ((0, 0), (0, 5), blocks - 5), ((0, 5), (0, 0), 99)]
    {
        let (source, target) = if end.0 == 0 { (&from, &from) } else { (&from, &to) };
        let (before, mut after) = (content(source), content(target));
        let bytes = |block: u64| block as usize * BLOCK;
        let length = usize::from(count) * BLOCK;
        after[bytes(end.1)..][..length].copy_from_slice(&before[bytes(begin.1)..][..length]);
        initiator.run(&copy_blocks(begin, end, count)).good();
        assert!(content(target) == after, "{begin:?} {end:?}");
    }
}

#[test]
fn copies_in_both_directions_and_steps_at_both_ends_keep_none_waiting_for_ever() {
    const ROUNDS: usize = 150;
    let lab = lab(MemoryVolume::new(CAPACITY), MemoryVolume::new(CAPACITY));
    settled(&lab).run(&Scsi::write(0, &[7; 64 * BLOCK])).good();
    std::thread::scope(|scope| {
        for (from, to) in [((FROM, 0), (TO, 32)), ((TO, 0), (FROM, 32)), ((FROM, 32), (FROM, 0))] {
            let mut copier = settled(&lab);
            let copies = copy_blocks(from, to, 64);
            scope.spawn(move || (0..ROUNDS).for_each(|_| drop(copier.run(&copies).good())));
        }
        for lun in [FROM, TO] {
            let mut stepper = settled(&lab);
            let mut cdb = [0; 16];
            (cdb[0], cdb[9], cdb[13]) = (0x89, 40, 1);
            let step = Scsi::output(&cdb, &[block(7), block(7)].concat()).at(lun);
            scope.spawn(move || (0..ROUNDS).for_each(|_| drop(stepper.run(&step))));
        }
    });
}
