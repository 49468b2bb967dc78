//! Reservations: who is let in, cell by cell, and what changes them.

mod matrix;

use super::*;
pub(super) use matrix::commands;

/// The three kinds of nexus: who has made the reservation, who is registered, and who is neither.
const HOLDER: NexusId = NexusId(1);
const REGISTERED: NexusId = NexusId(2);
const STRANGER: NexusId = NexusId(3);

const KEYS: [(NexusId, u64); 2] = [(HOLDER, 0x1111), (REGISTERED, 0x2222)];

fn key_of(nexus: NexusId) -> u64 {
    KEYS.iter().find(|(known, _)| *known == nexus).map_or(0, |(_, key)| *key)
}

fn port(nexus: NexusId) -> String {
    format!("iqn.2026-01.org.example:client{0},i,0x00023d00000{0}", nexus.0)
}

fn joined(bench: &Bench) {
    for nexus in [HOLDER, REGISTERED, STRANGER] {
        bench.server.nexus_established(nexus, &port(nexus));
        settle(bench, nexus);
    }
}

/// Takes what is pending, and says what it was.
fn settle(bench: &Bench, nexus: NexusId) -> Vec<(u8, u8)> {
    let mut told = Vec::new();
    loop {
        let sense = bench.run(nexus, LUN, &[0x03, 0, 0, 0, 18, 0], &[], 18).data;
        match sense[2] & 0x0f {
            0x06 => told.push((sense[12], sense[13])),
            _ => return told,
        }
    }
}

fn out(action: u8, kind: u8) -> [u8; 10] {
    [0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0]
}

fn list(key: u64, new: u64, flags: u8) -> Vec<u8> {
    [&key.to_be_bytes()[..], &new.to_be_bytes(), &[0, 0, 0, 0, flags, 0, 0, 0]].concat()
}

/// PERSISTENT RESERVE OUT; its status, or its sense.
fn change(bench: &Bench, nexus: NexusId, action: u8, kind: u8, key: u64, new: u64) -> Result<(), Refusal> {
    refusal(bench.run(nexus, LUN, &out(action, kind), &list(key, new, 0), 0).done)
}

#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Conflict,
    Sense(u8, u8, u8),
}

fn refusal(done: Completion) -> Result<(), Refusal> {
    match done.status {
        Status::Good => Ok(()),
        Status::ReservationConflict => Err(Refusal::Conflict),
        _ => {
            let (key, code, qualifier) = triple(&done);
            Err(Refusal::Sense(key, code, qualifier))
        }
    }
}

const REGISTER: u8 = 0;
const RESERVE: u8 = 1;
const RELEASE: u8 = 2;
const CLEAR: u8 = 3;
const PREEMPT: u8 = 4;
const PREEMPT_AND_ABORT: u8 = 5;
const REGISTER_AND_IGNORE: u8 = 6;
const MOVE: u8 = 7;

fn register_both(bench: &Bench) {
    for (nexus, key) in KEYS {
        assert_eq!(change(bench, nexus, REGISTER, 0, 0, key), Ok(()));
    }
}

fn reserved(kind: u8) -> Bench {
    let bench = Bench::new();
    joined(&bench);
    register_both(&bench);
    assert_eq!(change(&bench, HOLDER, RESERVE, kind, key_of(HOLDER), 0), Ok(()));
    bench
}

/// PERSISTENT RESERVE IN, without PRGENERATION and ADDITIONAL LENGTH.
fn read(bench: &Bench, action: u8) -> Vec<u8> {
    let data = bench.good(&[0x5e, action, 0, 0, 0, 0, 0, 255, 255, 0]);
    assert_eq!(u32::from_be_bytes(data[4..8].try_into().unwrap()) as usize, data.len() - 8);
    data[8..].to_vec()
}

fn generation(bench: &Bench) -> u32 {
    let data = bench.good(&[0x5e, 0, 0, 0, 0, 0, 0, 255, 255, 0]);
    u32::from_be_bytes(data[..4].try_into().unwrap())
}

fn keys(bench: &Bench) -> Vec<u64> {
    read(bench, 0).chunks(8).map(|key| u64::from_be_bytes(key.try_into().unwrap())).collect()
}

/// Key and type of the reservation.
fn reservation(bench: &Bench) -> Option<(u64, u8)> {
    let data = read(bench, 1);
    let key = data.first_chunk::<8>()?;
    Some((u64::from_be_bytes(*key), data[13]))
}

#[test]
fn a_registration_needs_the_key_that_is_known() {
    let bench = Bench::new();
    joined(&bench);
    assert_eq!(change(&bench, HOLDER, REGISTER, 0, 5, 7), Err(Refusal::Conflict));
    assert_eq!(change(&bench, HOLDER, REGISTER, 0, 0, 0), Ok(()));
    assert_eq!((keys(&bench), generation(&bench)), (vec![], 0));
    assert_eq!(change(&bench, HOLDER, REGISTER, 0, 0, 7), Ok(()));
    assert_eq!(change(&bench, HOLDER, REGISTER, 0, 0, 8), Err(Refusal::Conflict));
    assert_eq!(change(&bench, HOLDER, REGISTER, 0, 7, 8), Ok(()));
    assert_eq!(change(&bench, HOLDER, REGISTER_AND_IGNORE, 0, 1, 9), Ok(()));
    assert_eq!((keys(&bench), generation(&bench)), (vec![9], 3));
    assert_eq!(change(&bench, HOLDER, REGISTER, 0, 9, 0), Ok(()));
    assert_eq!((keys(&bench), generation(&bench)), (vec![], 4));
}

#[test]
fn only_who_is_registered_and_knows_his_key_reserves() {
    let bench = Bench::new();
    joined(&bench);
    register_both(&bench);
    for action in [RESERVE, RELEASE, CLEAR, PREEMPT] {
        assert_eq!(change(&bench, STRANGER, action, 1, 0, 1), Err(Refusal::Conflict), "{action}");
        assert_eq!(change(&bench, HOLDER, action, 1, 1, 1), Err(Refusal::Conflict), "{action}");
    }
    for kind in [0, 2, 4, 9, 15] {
        let refused = change(&bench, HOLDER, RESERVE, kind, key_of(HOLDER), 0);
        assert_eq!(refused, Err(Refusal::Sense(0x05, 0x24, 0)), "{kind}");
    }
    assert_eq!(change(&bench, HOLDER, RESERVE, 0x11, key_of(HOLDER), 0), Err(Refusal::Sense(0x05, 0x24, 0)));
    for length in [0, 23, 25] {
        let done = bench.run(HOLDER, LUN, &out(RESERVE, 1), &vec![0; length], 0).done;
        let mut cdb = out(RESERVE, 1);
        cdb[8] = length as u8;
        let other = bench.run(HOLDER, LUN, &cdb, &vec![0; length], 0).done;
        assert_eq!(triple(&other), LIST_LENGTH);
        assert!(length > 24 || triple(&done) == LIST_LENGTH);
    }
    assert_eq!(reservation(&bench), None);
}

#[test]
fn a_reservation_is_made_once_and_released_by_its_holder() {
    for kind in [1, 3, 5, 6] {
        let bench = reserved(kind);
        let (own, other) = (key_of(HOLDER), key_of(REGISTERED));
        assert_eq!(reservation(&bench), Some((own, kind)));
        assert_eq!(change(&bench, HOLDER, RESERVE, kind, own, 0), Ok(()), "again");
        let other_kind = if kind == 1 { 3 } else { 1 };
        assert_eq!(change(&bench, HOLDER, RESERVE, other_kind, own, 0), Err(Refusal::Conflict), "otherwise");
        assert_eq!(change(&bench, REGISTERED, RESERVE, kind, other, 0), Err(Refusal::Conflict));
        assert_eq!(change(&bench, REGISTERED, RELEASE, kind, other, 0), Ok(()), "not his: nothing happens");
        assert_eq!(reservation(&bench), Some((own, kind)));
        let wrong = if kind == 1 { 3 } else { 1 };
        let refused = change(&bench, HOLDER, RELEASE, wrong, own, 0);
        assert_eq!(refused, Err(Refusal::Sense(0x05, 0x26, 0x04)));
        assert_eq!(change(&bench, HOLDER, RELEASE, kind, own, 0), Ok(()));
        assert_eq!(reservation(&bench), None);
        let told = if kind > 4 { vec![(0x2a, 0x04)] } else { vec![] };
        assert_eq!(settle(&bench, REGISTERED), told);
        assert_eq!(settle(&bench, STRANGER), []);
    }
}

#[test]
fn a_reservation_of_all_registrants_ends_with_the_last() {
    for kind in [7, 8] {
        let bench = reserved(kind);
        assert_eq!(reservation(&bench), Some((0, kind)));
        assert_eq!(change(&bench, HOLDER, REGISTER, 0, key_of(HOLDER), 0), Ok(()));
        assert_eq!(reservation(&bench), Some((0, kind)));
        assert_eq!(change(&bench, REGISTERED, REGISTER, 0, key_of(REGISTERED), 0), Ok(()));
        assert_eq!(reservation(&bench), None);
    }
}

#[test]
fn who_unregisters_gives_his_reservation_up() {
    for (kind, told) in [(1, vec![]), (3, vec![]), (5, vec![(0x2a, 0x04)]), (6, vec![(0x2a, 0x04)])] {
        let bench = reserved(kind);
        assert_eq!(change(&bench, HOLDER, REGISTER, 0, key_of(HOLDER), 0), Ok(()));
        assert_eq!((reservation(&bench), settle(&bench, REGISTERED)), (None, told));
    }
}

#[test]
fn clear_ends_all_and_tells_the_others() {
    let bench = reserved(3);
    assert_eq!(change(&bench, REGISTERED, CLEAR, 0, key_of(REGISTERED), 0), Ok(()));
    assert_eq!(settle(&bench, HOLDER), [(0x2a, 0x03)]);
    assert_eq!((keys(&bench), reservation(&bench), generation(&bench)), (vec![], None, 3));
    assert_eq!(settle(&bench, REGISTERED), []);
}

#[test]
fn preempting_takes_registrations_and_the_reservation() {
    let bench = reserved(5);
    let (own, other) = (key_of(HOLDER), key_of(REGISTERED));
    assert_eq!(change(&bench, REGISTERED, PREEMPT, 3, other, 0x9999), Err(Refusal::Conflict));
    assert_eq!(change(&bench, REGISTERED, PREEMPT, 3, other, 0), Err(Refusal::Sense(0x05, 0x26, 0)));
    assert_eq!(change(&bench, REGISTERED, PREEMPT, 3, other, own), Ok(()));
    assert_eq!(settle(&bench, HOLDER), [(0x2a, 0x05)]);
    assert_eq!((keys(&bench), reservation(&bench)), (vec![other], Some((other, 3))));

    let bench = reserved(1);
    assert_eq!(change(&bench, HOLDER, PREEMPT, 1, own, other), Ok(()));
    assert_eq!((keys(&bench), reservation(&bench)), (vec![own], Some((own, 1))), "the reservation stays");
    assert_eq!(settle(&bench, REGISTERED), [(0x2a, 0x05)]);

    let bench = reserved(7);
    assert_eq!(change(&bench, REGISTERED, PREEMPT, 8, other, 0), Ok(()));
    assert_eq!(settle(&bench, HOLDER), [(0x2a, 0x05)]);
    assert_eq!((keys(&bench), reservation(&bench)), (vec![other], Some((0, 8))), "from all others");

    let bench = reserved(1);
    assert_eq!(change(&bench, HOLDER, PREEMPT, 3, own, own), Ok(()));
    assert_eq!((keys(&bench), reservation(&bench)), (vec![own, other], Some((own, 3))), "from oneself");
    assert_eq!(settle(&bench, REGISTERED), [(0x2a, 0x04)], "it has another type");

    let bench = reserved(1);
    assert_eq!(
        change(&bench, HOLDER, PREEMPT, 0xff, own, other),
        Ok(()),
        "the type counts for a reservation only"
    );
    assert_eq!((keys(&bench), reservation(&bench)), (vec![own], Some((own, 1))));
    let refused = change(&bench, HOLDER, PREEMPT, 0xff, own, own);
    assert_eq!((refused, reservation(&bench)), (Err(Refusal::Sense(0x05, 0x24, 0)), Some((own, 1))));
}

#[test]
fn preempting_and_aborting_names_those_whose_commands_end() {
    let bench = reserved(1);
    let unit = bench.server.unit(LUN).unwrap();
    let (own, other) = (key_of(HOLDER), key_of(REGISTERED));
    assert_eq!(change(&bench, HOLDER, PREEMPT, 1, own, other), Ok(()));
    assert_eq!(unit.take_preempted(HOLDER), [], "not without being asked to");
    settle(&bench, REGISTERED);
    assert_eq!(change(&bench, REGISTERED, REGISTER, 0, 0, other), Ok(()));
    assert_eq!(change(&bench, HOLDER, PREEMPT_AND_ABORT, 1, own, 0x9999), Err(Refusal::Conflict));
    assert_eq!(unit.take_preempted(HOLDER), []);
    assert_eq!(change(&bench, HOLDER, PREEMPT_AND_ABORT, 1, own, other), Ok(()));
    assert_eq!(unit.take_preempted(STRANGER), [], "each its own");
    assert_eq!((unit.take_preempted(HOLDER), unit.take_preempted(HOLDER)), (vec![REGISTERED], vec![]));
    assert_eq!(settle(&bench, REGISTERED), [(0x2a, 0x05)]);
}

fn move_to(key: u64, new: u64, flags: u8, to: NexusId) -> Vec<u8> {
    let id = crate::reservations::transport_id(&port(to));
    [&key.to_be_bytes()[..], &new.to_be_bytes(), &[0, flags, 0, 1], &(id.len() as u32).to_be_bytes(), &id]
        .concat()
}

#[test]
fn a_reservation_can_be_handed_over() {
    let moved = |bench: &Bench, nexus: NexusId, data: &[u8]| {
        let mut cdb = out(MOVE, 0);
        cdb[5..9].copy_from_slice(&(data.len() as u32).to_be_bytes());
        refusal(bench.run(nexus, LUN, &cdb, data, 0).done)
    };
    for unregisters in [false, true] {
        let bench = reserved(3);
        let own = key_of(HOLDER);
        let good = move_to(own, 0x3333, u8::from(unregisters) << 1, STRANGER);
        let other = move_to(key_of(REGISTERED), 0x3333, 0, STRANGER);
        assert_eq!(moved(&bench, REGISTERED, &other), Err(Refusal::Conflict), "not his");
        assert_eq!(moved(&bench, HOLDER, &move_to(own, 0, 0, STRANGER)), Err(Refusal::Sense(5, 0x26, 0)));
        assert_eq!(moved(&bench, HOLDER, &move_to(own, 1, 0, HOLDER)), Err(Refusal::Sense(5, 0x26, 0)));
        assert_eq!(moved(&bench, HOLDER, &good[..good.len() - 1]), Err(Refusal::Sense(5, 0x1a, 0)));
        assert_eq!(moved(&bench, HOLDER, &good), Ok(()));
        assert_eq!(reservation(&bench), Some((0x3333, 3)));
        assert_eq!(keys(&bench).contains(&own), !unregisters);
        let write = block_cdb(0x2a, 0, 0, 1);
        let done = |nexus| bench.run(nexus, LUN, &write, &[0; BLOCK], 0).done.status;
        assert_eq!((done(STRANGER), done(HOLDER)), (Status::Good, Status::ReservationConflict));
    }
    let bench = reserved(3);
    let everywhere = list(key_of(REGISTERED), 0x4444, 0x04);
    assert_eq!(change(&bench, REGISTERED, REGISTER, 0, key_of(REGISTERED), 0), Ok(()));
    settle(&bench, REGISTERED);
    assert_eq!(
        refusal(bench.run(REGISTERED, LUN, &out(REGISTER_AND_IGNORE, 0), &everywhere, 0).done),
        Ok(())
    );
    assert_eq!(moved(&bench, HOLDER, &move_to(key_of(HOLDER), 0x3333, 0, REGISTERED)), Ok(()));
    assert_eq!(
        (keys(&bench), reservation(&bench)),
        (vec![key_of(HOLDER), 0x3333], Some((0x3333, 3))),
        "once"
    );
    assert_eq!(change(&bench, REGISTERED, RELEASE, 3, 0x3333, 0), Ok(()));
    assert_eq!(reservation(&bench), None, "and he holds it");
    let all = reserved(7);
    let data = move_to(key_of(HOLDER), 0x3333, 0, STRANGER);
    assert_eq!(moved(&all, HOLDER, &data), Err(Refusal::Conflict), "held by all");
}

#[test]
fn others_can_be_registered_along() {
    let bench = Bench::new();
    joined(&bench);
    let ids = [REGISTERED, STRANGER].map(|nexus| crate::reservations::transport_id(&port(nexus))).concat();
    let data = [&list(0, 7, 0x08)[..], &(ids.len() as u32).to_be_bytes(), &ids].concat();
    let mut cdb = out(REGISTER, 0);
    cdb[5..9].copy_from_slice(&(data.len() as u32).to_be_bytes());
    let mut ignoring = cdb;
    ignoring[1] = REGISTER_AND_IGNORE;
    assert_eq!(triple(&bench.run(HOLDER, LUN, &ignoring, &data, 0).done), INVALID_PARAMETER);
    let mut short = data.clone();
    short[27] -= 1;
    assert_eq!(triple(&bench.run(HOLDER, LUN, &cdb, &short, 0).done), LIST_LENGTH);
    let mut wrong = data.clone();
    wrong[28] = 0x03;
    assert_eq!(triple(&bench.run(HOLDER, LUN, &cdb, &wrong, 0).done), INVALID_PARAMETER);
    assert!(keys(&bench).is_empty());
    assert_eq!(refusal(bench.run(HOLDER, LUN, &cdb, &data, 0).done), Ok(()));
    assert_eq!(keys(&bench), [7, 7, 7]);
    assert_eq!(change(&bench, STRANGER, RESERVE, 1, 7, 0), Ok(()));
}

#[test]
fn the_full_status_names_every_port() {
    let bench = reserved(3);
    let status = read(&bench, 3);
    let mut rest = &status[..];
    for (nexus, key) in KEYS {
        assert_eq!(rest[..8], key.to_be_bytes());
        let holds = nexus == HOLDER;
        assert_eq!(rest[12..14], if holds { [1, 3] } else { [0, 0] });
        assert_eq!(rest[18..20], [0, 1]);
        let length = u32::from_be_bytes(rest[20..24].try_into().unwrap()) as usize;
        let id = &rest[24..24 + length];
        assert_eq!(id, crate::reservations::transport_id(&port(nexus)));
        rest = &rest[24 + length..];
    }
    assert!(rest.is_empty());
    let capabilities = bench.good(&[0x5e, 2, 0, 0, 0, 0, 0, 0, 8, 0]);
    assert_eq!(capabilities, [0, 8, 0x1d, 0x80, 0xea, 0x01, 0, 0]);
}

#[test]
fn what_is_to_last_lasts() {
    let bench = Bench::new();
    joined(&bench);
    let again = || {
        let unit = LogicalUnit::new(
            bench.volume.clone(),
            identity(),
            BlockFormat { logical_length: 512, physical_length: 4096 },
            Some(bench.shelf.clone()),
        );
        let name = "iqn.1994-04.org.netbsd.iscsi-target:target0";
        let server = DeviceServer::new(name, 1, vec![(0, Arc::new(unit))]);
        let after = Bench { server, volume: bench.volume.clone(), shelf: bench.shelf.clone() };
        joined(&after);
        after
    };
    assert_eq!(refusal(bench.run(HOLDER, LUN, &out(REGISTER, 0), &list(0, 7, 1), 0).done), Ok(()));
    assert_eq!(change(&bench, HOLDER, RESERVE, 6, 7, 0), Ok(()));
    let after = again();
    assert_eq!((keys(&after), reservation(&after), generation(&after)), (vec![7], Some((7, 6)), 0));
    let write = block_cdb(0x2a, 0, 0, 1);
    let status = |nexus| after.run(nexus, LUN, &write, &[0; BLOCK], 0).done.status;
    assert_eq!((status(HOLDER), status(STRANGER)), (Status::Good, Status::ReservationConflict));
    assert_eq!(change(&bench, STRANGER, REGISTER, 0, 0, 0), Ok(()), "it registers nothing");
    assert_eq!(keys(&again()), [7]);
    // Without APTPL nothing of it lasts any more.
    assert_eq!(change(&bench, HOLDER, REGISTER_AND_IGNORE, 0, 0, 7), Ok(()));
    assert!(keys(&again()).is_empty());
}

#[test]
fn who_leaves_stays_registered() {
    let bench = reserved(3);
    bench.server.nexus_lost(HOLDER);
    assert_eq!(reservation(&bench), Some((key_of(HOLDER), 3)));
    let back = NexusId(9);
    bench.server.nexus_established(back, &port(HOLDER));
    settle(&bench, back);
    let write = block_cdb(0x2a, 0, 0, 1);
    assert_eq!(bench.run(back, LUN, &write, &[0; BLOCK], 0).done.status, Status::Good);
}

const RESERVE_6: [u8; 6] = [0x16, 0, 0, 0, 0, 0];
const RELEASE_6: [u8; 6] = [0x17, 0, 0, 0, 0, 0];
const RESERVE_10: [u8; 10] = [0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn status(bench: &Bench, nexus: NexusId, cdb: &[u8]) -> Status {
    bench.run(nexus, LUN, cdb, &[], usize::MAX).done.status
}

#[test]
fn reserve_keeps_everybody_else_out() {
    for reserve in [&RESERVE_6[..], &RESERVE_10] {
        let bench = Bench::new();
        joined(&bench);
        assert_eq!(status(&bench, HOLDER, reserve), Status::Good);
        assert_eq!(status(&bench, HOLDER, reserve), Status::Good, "again");
        for (class, cdb, data) in commands() {
            settle(&bench, STRANGER);
            let done = bench.run(STRANGER, LUN, &cdb, &data, usize::MAX).done.status;
            let passes = matches!(cdb[0], 0x03 | 0x12 | 0xa0);
            assert_eq!(done == Status::Good, passes, "{class:?} {cdb:x?}");
            assert_eq!(bench.run(HOLDER, LUN, &cdb, &data, usize::MAX).done.status, Status::Good);
        }
        assert_eq!(status(&bench, STRANGER, reserve), Status::ReservationConflict);
        assert_eq!(status(&bench, STRANGER, &RELEASE_6), Status::Good, "it is not his");
        assert_eq!(status(&bench, STRANGER, reserve), Status::ReservationConflict);
        // The two kinds don't mix.
        for nexus in [HOLDER, STRANGER] {
            assert_eq!(change(&bench, nexus, REGISTER, 0, 0, 7), Err(Refusal::Conflict));
            let keys = status(&bench, nexus, &[0x5e, 0, 0, 0, 0, 0, 0, 0, 8, 0]);
            assert_eq!(keys, Status::ReservationConflict);
        }
        assert_eq!(status(&bench, HOLDER, &RELEASE_6), Status::Good);
        assert_eq!(status(&bench, STRANGER, reserve), Status::Good);
        bench.server.reset_unit(LUN);
        settle(&bench, HOLDER);
        assert_eq!(status(&bench, HOLDER, reserve), Status::Good, "a reset ends it");
        bench.server.nexus_lost(HOLDER);
        settle(&bench, STRANGER);
        assert_eq!(status(&bench, STRANGER, reserve), Status::Good, "and so does its end");
    }
}

#[test]
fn the_registered_need_no_reserve() {
    let bench = reserved(1);
    assert_eq!(status(&bench, HOLDER, &RESERVE_6), Status::Good);
    assert_eq!(status(&bench, HOLDER, &RELEASE_6), Status::Good);
    assert_eq!(reservation(&bench), Some((key_of(HOLDER), 1)), "and it changes nothing");
    for nexus in [REGISTERED, STRANGER] {
        assert_eq!(status(&bench, nexus, &RESERVE_6), Status::ReservationConflict);
        assert_eq!(status(&bench, nexus, &RELEASE_6), Status::ReservationConflict);
    }
    assert_eq!(bench.refused(&[0x16, 0x10, 0, 0, 0, 0]), INVALID_FIELD);
    assert_eq!(change(&bench, HOLDER, RELEASE, 1, key_of(HOLDER), 0), Ok(()));
    for nexus in [HOLDER, REGISTERED, STRANGER] {
        assert_eq!(status(&bench, nexus, &RESERVE_6), Status::ReservationConflict, "nothing lets anybody in");
        assert_eq!(status(&bench, nexus, &RELEASE_6), Status::ReservationConflict);
    }
}
