#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::GroupCommit;

#[test]
fn every_flush_is_covered_by_a_synchronization_that_began_after_it_and_ended_before_its_answer() {
    let commit = GroupCommit::default();
    let clock = AtomicU64::new(0);
    let tick = || clock.fetch_add(1, Ordering::SeqCst);
    let synchronized = Mutex::new(Vec::new());
    let flushed = Mutex::new(Vec::new());
    let synchronize = || {
        let began = tick();
        thread::yield_now();
        synchronized.lock().unwrap().push((began, tick()));
        Ok(())
    };
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let called = tick();
                    commit.flush(0, synchronize).unwrap();
                    flushed.lock().unwrap().push((called, tick()));
                }
            });
        }
    });
    let synchronized = synchronized.into_inner().unwrap();
    assert!(synchronized.windows(2).all(|pair| pair[0].1 < pair[1].0), "one at a time");
    for (called, answered) in flushed.into_inner().unwrap() {
        assert!(synchronized.iter().any(|&(began, ended)| called < began && ended < answered));
    }
}

#[test]
fn one_failure_answers_all_who_had_not_seen_it() {
    let commit = GroupCommit::default();
    let synchronizations = AtomicU64::new(0);
    let fail_the_tenth = || match synchronizations.fetch_add(1, Ordering::SeqCst) {
        9 => Err("gone".to_owned()),
        _ => Ok(()),
    };
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..100).try_for_each(|_| commit.flush(0, fail_the_tenth)));
        }
    });
    assert_eq!(synchronizations.load(Ordering::SeqCst), 10);
    assert_eq!(commit.failures(), 1);
    assert_eq!(commit.flush(0, fail_the_tenth), Err("gone".to_owned()));
    assert_eq!(synchronizations.load(Ordering::SeqCst), 10);
    commit.flush(1, fail_the_tenth).unwrap();
}

#[test]
fn what_runs_alone_waits_for_what_runs_and_is_waited_for() {
    let commit = GroupCommit::default();
    let running = AtomicU64::new(0);
    let synchronize = || {
        assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
        thread::sleep(Duration::from_micros(100));
        running.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|_| commit.flush(0, synchronize).unwrap()));
            scope.spawn(|| (0..100).for_each(|_| commit.alone(synchronize).unwrap()));
        }
    });
}

#[test]
fn a_failure_is_told_to_those_who_waited_even_if_a_success_came_before_they_looked() {
    let commit = GroupCommit::default();
    commit.alone(|| Err("gone".to_owned())).unwrap_err();
    commit.alone(|| Ok(())).unwrap();
    assert_eq!(commit.flush(0, || Ok(())), Err("gone".to_owned()));
    commit.flush(1, || Ok(())).unwrap();
}
