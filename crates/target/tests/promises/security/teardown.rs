//! Sessions that end in every way while their commands do: nothing of them is used afterwards, and all is given back.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use timedisk_iscsi::pdu::Response;
use timedisk_target::Catalogue;
use timedisk_volume::{MemoryVolume, Operation};

use super::super::wire::{BLOCK, Initiator, Lab, PATIENCE, Random, Scsi, block, held, limits, open_target};

const LOGICAL_UNIT_RESET: u8 = 5;
const COMMANDS: usize = 12;
/// Of the server's memory, twice what the commands of a session take.
const MEMORY: usize = 64 << 20;

/// Starts commands of all kinds, without waiting for any.
fn start_some(initiator: &mut Initiator, random: &mut Random) {
    for _ in 0..COMMANDS {
        let lba = random.below(64);
        let command = match random.below(5) {
            0 => Scsi::read(lba, 16),
            1 => Scsi::write(lba, &vec![1; 16 * BLOCK]),
            2 => Scsi::flush(),
            3 => Scsi::inquiry(),
            _ => Scsi::read(0, 1 + random.below(1024) as usize),
        };
        initiator.start(&command);
    }
}

/// Ends a session whose commands run: by closing or cutting it, by a second login, a kick, a reset and a logout.
fn end(lab: &Lab, mut initiator: Initiator, way: u64) {
    match way {
        0 => drop(initiator),
        1 => initiator.stream.shutdown(Shutdown::Both).unwrap(),
        2 => {
            initiator.stream.shutdown(Shutdown::Write).unwrap();
            initiator.await_close();
        }
        3 => {
            let mut again = Initiator::connect(lab.address);
            (again.name, again.isid) = (initiator.name.clone(), initiator.isid);
            again.log_in(Some("disk"), &[]).unwrap();
            initiator.await_close();
        }
        4 => {
            for session in lab.server().sessions() {
                lab.server().kick(session.tsih);
            }
            initiator.await_close();
        }
        5 => {
            let reset = initiator.task_management(LOGICAL_UNIT_RESET, 0, 0);
            initiator.send(&reset);
        }
        _ => {
            let logout = initiator.logout();
            initiator.send(&logout);
            initiator.await_close();
        }
    }
}

fn await_nobody(lab: &Lab) {
    let deadline = Instant::now() + PATIENCE;
    while !lab.server().sessions().is_empty() {
        assert!(Instant::now() < deadline, "{:?}", lab.server().sessions());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn sessions_may_end_in_any_way_while_their_commands_end_cve_2026_23216() {
    let volume = held(1 << 20);
    let targets = vec![open_target("disk", Arc::clone(&volume))];
    let lab = Lab::with(targets, Vec::new(), limits(MEMORY, MEMORY / 2));
    let stop = AtomicBool::new(false);
    let mut random = Random::new(11);
    std::thread::scope(|scope| {
        // Commands are held up and let go all the time, so that they end at any moment of the teardown.
        scope.spawn(|| {
            let mut random = Random::new(12);
            while !stop.load(Ordering::Relaxed) {
                volume.hold(random.pick(&[Operation::Read, Operation::Write, Operation::Flush]));
                std::thread::sleep(Duration::from_micros(random.below(2000)));
                volume.release_all();
                std::thread::sleep(Duration::from_micros(random.below(500)));
            }
        });
        for round in 0..210 {
            let mut initiator = lab.session("disk", &[("MaxRecvDataSegmentLength", "65536")]);
            start_some(&mut initiator, &mut random);
            end(&lab, initiator, round % 7);
        }
        stop.store(true, Ordering::Relaxed);
    });
    volume.release_all();
    await_nobody(&lab);
    // All memory is there again: commands that need half of it at once go through.
    let mut after = lab.session("disk", &[]);
    let tags: Vec<u32> = (0..32).map(|_| after.start(&Scsi::read(0, 2048))).collect();
    for tag in tags {
        assert_eq!(after.finish(tag).good().len(), 1 << 20);
    }
}

#[test]
fn a_target_may_go_while_its_sessions_come_and_their_commands_end() {
    let volume = held(1 << 20);
    let target = open_target("disk", Arc::clone(&volume));
    let other = open_target("other", MemoryVolume::new(1 << 20));
    let lab = Lab::new(vec![target.clone(), other.clone()]);
    let mut bystander = lab.session("other", &[]);
    for round in 0..40 {
        let mut initiator = lab.session("disk", &[]);
        volume.hold(if round % 2 == 0 { Operation::Write } else { Operation::Read });
        for lba in 0..8 {
            initiator.start(&if round % 2 == 0 { Scsi::write(lba, &block(1)) } else { Scsi::read(lba, 1) });
        }
        assert!(volume.await_waiting(1, PATIENCE));
        std::thread::scope(|scope| {
            scope.spawn(|| volume.release_all());
            let without = Catalogue { targets: vec![other.clone()], ..Catalogue::default() };
            lab.server().exchange(without);
        });
        initiator.await_close();
        let both = Catalogue { targets: vec![target.clone(), other.clone()], ..Catalogue::default() };
        lab.server().exchange(both);
        bystander.check_alive();
    }
}

#[test]
fn a_server_that_ends_while_commands_end_answers_or_closes() {
    for round in 0..20 {
        let volume = held(1 << 20);
        let lab = Lab::new(vec![open_target("disk", Arc::clone(&volume))]);
        let mut initiator = lab.session("disk", &[]);
        volume.hold(Operation::Write);
        let tags: Vec<u32> = (0..8).map(|lba| initiator.start(&Scsi::write(lba, &block(1)))).collect();
        assert!(volume.await_waiting(1, PATIENCE));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_micros(200 * round));
                volume.release_all();
            });
            scope.spawn(move || {
                while let Ok(pdu) = initiator.receive() {
                    let known =
                        [Response::ScsiResponse, Response::AsyncMessage, Response::NopIn, Response::Logout];
                    assert!(known.contains(&pdu.response()) && tags.len() == 8, "{pdu:02x?}");
                    if pdu.response() == Response::AsyncMessage {
                        let logout = initiator.logout();
                        initiator.send(&logout);
                    }
                }
            });
            lab.shutdown(PATIENCE).unwrap();
        });
    }
}
