#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::*;
use crate::control::{Control, Message};

const MIB: usize = 1 << 20;

fn share(pool: &Arc<Pool>, limit: usize) -> (Share, Arc<Control>) {
    let control = Arc::new(Control::new().unwrap());
    (Share::new(pool, &control, limit), control)
}

#[test]
fn the_pool_is_never_overdrawn_and_waiters_are_told() {
    let pool = Pool::new(8 * MIB);
    let (mut share, control) = share(&pool, 8 * MIB);
    let first = share.allocate(4 * MIB).unwrap();
    assert!(share.allocate(5 * MIB).is_none(), "that is a piece of 8 MiB");
    assert!(control.take().is_empty());
    drop(first);
    assert!(matches!(control.take()[..], [Message::MemoryAvailable]));
    assert!(share.allocate(5 * MIB).is_some());
}

#[test]
fn one_session_can_not_take_it_all() {
    let pool = Pool::new(16 * MIB);
    let (mut share, _control) = share(&pool, 3 * MIB);
    let large = share.allocate(4 * MIB).unwrap();
    assert!(share.allocate(1).is_none());
    drop(large);
    let _small = share.allocate(2 * MIB).unwrap();
    assert!(share.allocate(2 * MIB).is_none());
}

#[test]
fn reservations_leave_half_and_end_with_their_session() {
    let pool = Pool::new(8 * MIB);
    let (mut first, _control) = share(&pool, 8 * MIB);
    assert!(first.reserve(4, MIB));
    assert!(!first.reserve(1, 1));
    let (mut second, _control) = share(&pool, 8 * MIB);
    assert!(second.allocate(5 * MIB).is_none());
    drop(first);
    assert!(second.reserve(4, MIB));
}

#[test]
fn who_only_has_begun_leaves_as_much_to_those_who_need_it() {
    let pool = Pool::new(8 * MIB);
    let (mut idle, _control) = share(&pool, 8 * MIB);
    assert!(idle.reserve_beforehand(2, MIB));
    assert!(!idle.reserve_beforehand(1, 1));
    let (mut busy, _control) = share(&pool, 8 * MIB);
    assert!(busy.reserve(2, MIB));
    assert!(!busy.reserve(1, 1));
}

#[test]
fn what_is_reserved_is_there_when_all_else_is_taken() {
    let pool = Pool::new(8 * MIB);
    let (mut first, _control) = share(&pool, 8 * MIB);
    assert!(first.reserve(2, MIB));
    let (mut second, _control) = share(&pool, 8 * MIB);
    let _all: Vec<_> = (0..6).map(|_| second.allocate(MIB).unwrap()).collect();
    let one = second.allocate_unsolicited(1).unwrap();
    assert!(second.allocate_unsolicited(1).is_none());
    drop(one);
    assert!(second.allocate_unsolicited(1).is_some());
    let mine: Vec<_> = (0..2).map(|_| first.allocate_unsolicited(MIB - 5).unwrap()).collect();
    let one_more = first.allocate_unsolicited(1).unwrap();
    assert!(first.allocate_unsolicited(1).is_none());
    drop((mine, one_more));
    assert!(first.allocate_unsolicited(MIB).is_some());
}

#[test]
fn what_others_keep_at_hand_is_given_back_when_it_is_needed() {
    let pool = Pool::new(8 * MIB);
    let (mut idle, _control) = share(&pool, 8 * MIB);
    drop((idle.allocate(4 * MIB).unwrap(), idle.allocate(4 * MIB).unwrap()));
    assert!(idle.keeps_memory());
    let (mut busy, _control) = share(&pool, 8 * MIB);
    let _all = busy.allocate(8 * MIB).unwrap();
    assert!(!idle.keeps_memory());
}

#[test]
fn a_session_at_rest_keeps_nothing() {
    let pool = Pool::new(8 * MIB);
    let (mut session, _control) = share(&pool, 8 * MIB);
    let used = session.allocate(1).unwrap();
    drop(session.allocate(MIB).unwrap());
    session.rest();
    assert!(!session.keeps_memory());
    let (mut other, _control) = share(&pool, 8 * MIB);
    let _most: Vec<_> = (0..7).map(|_| other.allocate(MIB).unwrap()).collect();
    drop(used);
}

#[test]
fn a_buffer_is_used_again_as_long_as_its_size_fits() {
    let pool = Pool::new(8 * MIB);
    let (mut share, _control) = share(&pool, 8 * MIB);
    let mut first = share.allocate(5000).unwrap();
    first.as_mut().fill(7);
    let place = first.as_ref().as_ptr();
    drop(first);
    let second = share.allocate(8192).unwrap();
    assert_eq!((second.as_ref().as_ptr(), second.as_ref().len()), (place, 8192));
    assert_ne!(share.allocate(8192).unwrap().as_ref().as_ptr(), place);
}
