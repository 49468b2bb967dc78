//! What is served changes while it is used.

use std::sync::Arc;
use std::time::{Duration, Instant};

use timedisk_iscsi::pdu::{Response, layout};
use timedisk_target::{Authentication, Catalogue, Limits, Target, User};
use timedisk_volume::{MemoryVolume, Operation};

use super::wire::{
    Initiator, Lab, PATIENCE, Proof, Scsi, TRANSIT, block, full_name, held, login_status, only_for,
    open_target, text,
};

const OPERATIONAL: u8 = 1 << 2;

fn target(name: &str) -> Target {
    open_target(name, MemoryVolume::new(1 << 20))
}

fn serve(lab: &Lab, targets: &[Target]) {
    lab.server().exchange(Catalogue { targets: targets.to_vec(), ..Catalogue::default() });
}

/// The session is told that it ends, and ends.
#[track_caller]
fn assert_dropped(mut initiator: Initiator) {
    let message = layout::AsyncMessage::of(&initiator.expect(Response::AsyncMessage).header);
    assert_eq!(message.event, 3, "the target drops all connections of the session");
    initiator.await_close();
}

#[track_caller]
fn wait_for_sessions(lab: &Lab, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    while lab.server().sessions().len() != count {
        assert!(Instant::now() < deadline, "{:?}", lab.server().sessions());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_session_that_is_not_concerned_notices_nothing() {
    let (kept, other) = (target("kept"), target("other"));
    let lab = Lab::new(vec![kept.clone()]);
    let mut initiator = lab.session("kept", &[]);
    for round in 0..20_u8 {
        match round % 2 {
            0 => serve(&lab, &[other.clone(), kept.clone(), target("third")]),
            _ => serve(&lab, std::slice::from_ref(&kept)),
        }
        initiator.run(&Scsi::write(0, &block(round))).good();
        assert_eq!(initiator.run(&Scsi::read(0, 1)).good(), block(round));
    }
    initiator.check_alive();
}

#[test]
fn a_new_target_is_there_and_one_that_is_gone_is_not() {
    let (first, second) = (target("first"), target("second"));
    let lab = Lab::new(vec![first.clone()]);
    let old = lab.session("first", &[]);
    serve(&lab, std::slice::from_ref(&second));
    assert_dropped(old);
    assert_eq!(Initiator::connect(lab.address).log_in(Some("first"), &[]), Err(0x0203));
    lab.session("second", &[]).run(&Scsi::inquiry()).good();
}

#[test]
fn who_loses_permission_is_logged_out_and_the_others_stay() {
    let (kept, masked, asked) = (target("kept"), target("masked"), target("asked"));
    let ann = User { name: "ann".into(), secret: "ann's long secret".into() };
    let chap = |users: &[&str]| {
        let users = users.iter().map(|name| name.to_string()).collect();
        Target { authentication: Authentication::Chap { users, own: None }, ..asked.clone() }
    };
    let catalogue = |targets| Catalogue { targets, users: vec![ann.clone()], ..Catalogue::default() };
    let lab =
        Lab::with(vec![kept.clone(), masked.clone(), asked.clone()], vec![ann.clone()], Limits::default());
    let mut stays = lab.session("kept", &[]);
    let (behind_mask, unknown) = (lab.session("masked", &[]), lab.session("asked", &[]));
    let closed = only_for(masked, |_| false);
    lab.server().exchange(catalogue(vec![kept.clone(), closed, chap(&["ann"])]));
    assert_dropped(behind_mask);
    assert_dropped(unknown);
    assert_eq!(Initiator::connect(lab.address).log_in(Some("masked"), &[]), Err(0x0202));
    let proof = Proof { algorithm: "5", user: "ann", secret: "ann's long secret", more: &[] };
    let (mut known, _) = proof.log_in(&lab, Some("asked")).unwrap();
    known.run(&Scsi::test_unit_ready());
    lab.server().exchange(catalogue(vec![kept.clone(), chap(&["ANN", "bob"])]));
    known.run(&Scsi::inquiry()).good();
    lab.server().exchange(catalogue(vec![kept, chap(&["bob"])]));
    assert_dropped(known);
    stays.run(&Scsi::test_unit_ready()).good();
}

#[test]
fn sessions_are_listed_with_who_they_are_and_what_they_did() {
    let lab = Lab::new(vec![target("disk")]);
    let mut initiator = lab.session("disk", &[("InitiatorAlias", "Ann's Mac"), ("HeaderDigest", "CRC32C")]);
    initiator.run(&Scsi::write(0, &[block(1), block(2)].concat())).good();
    initiator.run(&Scsi::read(0, 1)).good();
    let sessions = lab.server().sessions();
    let [session] = sessions.as_slice() else { panic!("{sessions:?}") };
    assert_eq!(session.initiator, initiator.name);
    assert_eq!(session.alias.as_deref(), Some("Ann's Mac"));
    assert_eq!(session.target, Some(full_name("disk")));
    assert_eq!(session.peer, initiator.stream.local_addr().unwrap());
    assert_eq!((session.written_bytes, session.read_bytes), (1024, 512));
    assert!(session.commands >= 3 && session.window >= 1);
    assert!(session.negotiated.contains(&("HeaderDigest", "CRC32C".to_owned())));
    let discovery = Initiator::discovery(lab.address, &[]);
    wait_for_sessions(&lab, 2);
    assert_eq!(lab.server().sessions()[1].target, None, "the oldest comes first");
    drop((initiator, discovery));
    wait_for_sessions(&lab, 0);
}

#[test]
fn a_session_that_is_kicked_ends_and_may_come_again() {
    let lab = Lab::new(vec![target("disk")]);
    let (kicked, mut other) = (lab.session("disk", &[]), lab.session("disk", &[]));
    let tsih = lab.server().sessions()[0].tsih;
    assert!(lab.server().kick(tsih));
    assert_dropped(kicked);
    wait_for_sessions(&lab, 1);
    assert!(!lab.server().kick(tsih), "it is gone");
    other.run(&Scsi::test_unit_ready()).good();
    lab.session("disk", &[]).run(&Scsi::test_unit_ready()).good();
}

#[test]
fn what_has_begun_when_a_session_is_dropped_is_answered_and_a_stuck_disk_holds_nothing_up() {
    let volume = held(1 << 20);
    let lab = Lab::new(vec![open_target("disk", Arc::clone(&volume))]);
    let kick = |lab: &Lab| lab.server().kick(lab.server().sessions()[0].tsih);
    let mut initiator = lab.session("disk", &[]);
    volume.hold(Operation::Flush);
    let flush = initiator.start(&Scsi::flush());
    assert!(volume.await_waiting(1, PATIENCE));
    assert!(kick(&lab));
    initiator.expect(Response::AsyncMessage);
    volume.release(Operation::Flush);
    initiator.finish(flush).good();
    initiator.await_close();
    let mut initiator = lab.session("disk", &[]);
    volume.hold(Operation::Flush);
    initiator.start(&Scsi::flush());
    assert!(volume.await_waiting(1, PATIENCE));
    let before = Instant::now();
    assert!(kick(&lab));
    assert_dropped(initiator);
    assert!(before.elapsed() < PATIENCE);
    volume.release_all();
}

#[test]
fn a_login_that_began_before_a_change_ends_under_it() {
    let disk = target("disk");
    let lab = Lab::new(vec![disk.clone()]);
    let mut initiators: Vec<Initiator> = (0..3).map(|_| Initiator::connect(lab.address)).collect();
    for initiator in &mut initiators {
        let keys = text(&initiator.identity(Some("disk")));
        assert_eq!(login_status(&initiator.login_step(OPERATIONAL, &keys)), 0);
    }
    let chap = Authentication::Chap { users: vec!["ann".into()], own: None };
    let changed = [Target { authentication: chap, ..disk.clone() }, only_for(disk.clone(), |_| false)];
    let catalogues = [vec![changed[0].clone()], vec![changed[1].clone()], vec![target("other")]];
    for ((initiator, targets), status) in initiators.iter_mut().zip(catalogues).zip([0x0201, 0x0202, 0x0203])
    {
        serve(&lab, &targets);
        assert_eq!(login_status(&initiator.login_step(TRANSIT | OPERATIONAL | 3, b"")), status);
    }
    wait_for_sessions(&lab, 0);
}
