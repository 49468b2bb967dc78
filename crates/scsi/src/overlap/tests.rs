//! Who is let through at once. That others wait, and for whom, is tested where there are threads: in the target.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn many_share_the_same_blocks() {
    let overlap = Overlap::default();
    let turns: Vec<_> = (0..5).map(|_| overlap.share(0..8, Patience::Now).unwrap()).collect();
    assert_eq!(overlap.unqueued.load(Ordering::SeqCst), 5);
    drop(turns);
    assert_eq!(overlap.unqueued.load(Ordering::SeqCst), 0);
}

#[test]
fn who_is_alone_keeps_others_from_its_blocks_and_no_others() {
    let overlap = Overlap::default();
    let alone = overlap.own(4..6);
    for (blocks, passes) in
        [(0..4, true), (0..5, false), (5..6, false), (5..9, false), (6..9, true), (5..5, true)]
    {
        assert_eq!(overlap.share(blocks.clone(), Patience::Now).is_some(), passes, "{blocks:?}");
    }
    let beside = overlap.own(6..7);
    assert!(overlap.share(6..7, Patience::Now).is_none());
    drop(alone);
    drop(overlap.share(4..6, Patience::Now).unwrap());
    drop(beside);
    drop(overlap.share(0..9, Patience::Now).unwrap());
    assert!(overlap.queue().entries.is_empty());
    assert_eq!((overlap.unqueued.into_inner(), overlap.alone.into_inner()), (0, 0));
}

#[test]
fn who_came_before_goes_before() {
    let mut queue = Queue::default();
    let first = queue.add(0..4, false);
    let second = queue.add(2..6, true);
    let third = queue.add(5..8, false);
    let fourth = queue.add(5..8, false);
    assert!(!queue.is_blocked(first, &(0..4), false));
    assert!(queue.is_blocked(second, &(2..6), true), "by the first");
    assert!(queue.is_blocked(third, &(5..8), false), "by the second, which waits itself");
    queue.entries.retain(|entry| entry.number != second);
    assert!(!queue.is_blocked(fourth, &(5..8), false), "those that share don't wait for each other");
    assert!(queue.is_blocked(u64::MAX, &(7..9), true));
}
