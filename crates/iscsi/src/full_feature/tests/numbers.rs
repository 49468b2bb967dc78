//! Sequence numbers, the command window, and the order in which commands start.

use super::*;

fn ping(tag: u32, cmd_sn: u32, immediate: bool) -> [u8; 48] {
    let mut header = layout::TextRequest::zeroed();
    header.opcode = if immediate { pdu::IMMEDIATE } else { 0 };
    header.flags = F;
    header.initiator_task_tag = tag.into();
    header.target_transfer_tag = NO_TAG.into();
    header.cmd_sn = cmd_sn.into();
    header.bytes()
}

#[test]
fn numbers_outside_the_window_are_ignored_silently() {
    let mut bench = Bench::new(|_| {});
    assert!(bench.give(command(1, 99, F, 0), &[]).is_empty());
    assert!(bench.give(command(2, 100 + WINDOW_START, F, 0), &[]).is_empty());
    assert!(bench.host.started.is_empty());
    bench.give(command(3, 100, F, 0), &[]);
    assert_eq!(bench.host.started.len(), 1);
}

#[test]
fn a_command_ahead_of_its_turn_waits_for_those_before_it() {
    let mut bench = Bench::new(|_| {});
    bench.give(command(1, 102, F, 0), &[]);
    bench.give(command(2, 101, F, 0), &[]);
    assert!(bench.host.started.is_empty());
    bench.give(command(3, 100, F, 0), &[]);
    let mut tags: Vec<_> = bench.host.started.iter().map(|command| command.id.tag).collect();
    tags.sort_unstable();
    assert_eq!(tags, [1, 2, 3]);
    assert_eq!(bench.give(ping(9, 103, false), &[])[0].exp_cmd_sn(), 104);
}

#[test]
fn the_window_counts_what_is_under_way_and_widens_with_use() {
    let mut bench = Bench::new(|_| {});
    let mut cmd_sn = 100;
    while bench.session.window.arrival(cmd_sn) == Arrival::Next {
        bench.give(command(cmd_sn, cmd_sn, F, 0), &[]);
        cmd_sn += 1;
        assert!(cmd_sn < 1000, "the window never closes");
    }
    assert_eq!(bench.host.started.len(), WINDOW_LIMIT as usize);
    let answer = bench.finish(0, good());
    assert_eq!(answer[0].max_cmd_sn(), cmd_sn, "one has ended, one more may come");
    bench.give(command(cmd_sn, cmd_sn, F, 0), &[]);
    assert_eq!(bench.host.started.len(), WINDOW_LIMIT as usize + 1);
}

/// Sends as many commands at a time as `queue` and the window allow, all of them answered at once; says how wide the
/// window is in the end.
fn window_after(queue: u32) -> u32 {
    let mut bench = Bench::new(|_| {});
    bench.host.answer = Some(Vec::new());
    let (mut cmd_sn, mut seen, mut maximum) = (100, 10, 100 + WINDOW_START - 1);
    for _ in 0..20 {
        let mut answers = Vec::new();
        for _ in 0..queue {
            if crate::serial::after(cmd_sn, maximum) {
                break;
            }
            let mut header = command(cmd_sn, cmd_sn, F, 0);
            header[28..32].copy_from_slice(&u32::to_be_bytes(seen));
            answers.extend(bench.give(header, &[]));
            cmd_sn += 1;
        }
        let last = answers.last().unwrap();
        (seen, maximum) = (last.stat_sn() + 1, last.max_cmd_sn());
    }
    bench.session.window()
}

#[test]
fn commands_that_end_at_once_widen_the_window_as_far_as_it_is_used() {
    assert_eq!(window_after(1), WINDOW_START);
    assert_eq!(window_after(WINDOW_START - 1), WINDOW_START);
    assert_eq!(window_after(32), 64);
    assert_eq!(window_after(1000), WINDOW_LIMIT);
}

#[test]
fn status_numbers_rise_by_one() {
    let mut bench = Bench::new(|_| {});
    bench.host.answer = Some(Vec::new());
    let numbers: Vec<_> =
        (0..3).map(|index| bench.give(command(index, 100 + index, F, 0), &[])[0].stat_sn()).collect();
    assert_eq!(numbers, [10, 11, 12]);
}

#[test]
fn a_ping_brings_back_its_data_even_while_commands_run() {
    let mut bench = Bench::new(|_| {});
    bench.give(command(1, 100, F, 0), &[]);
    let answer = bench.give(ping(5, 101, false), b"are you there");
    assert_eq!((answer[0].kind(), &answer[0].data[..]), (Response::NopIn, &b"are you there"[..]));
    assert_eq!(answer[0].exp_cmd_sn(), 102);
    let answer = bench.give(ping(6, 102, true), b"x");
    assert_eq!(answer[0].exp_cmd_sn(), 102, "an immediate request takes no number");
}

#[test]
fn an_idle_initiator_is_asked_and_one_that_never_answers_is_let_be() {
    let mut bench = Bench::new(|_| {});
    let mut now = NOW;
    for _ in 0..3 {
        now = bench.session.next_timeout();
        bench.session.handle_timeout(now, &mut bench.out);
        let asked = bench.sent();
        assert_eq!((asked[0].kind(), asked[0].stat_sn()), (Response::NopIn, 10), "StatSN is not consumed");
        assert_ne!(layout::TextResponse::of(&asked[0].header).target_transfer_tag.get(), NO_TAG);
        assert_eq!(bench.session.direction(), Direction::GoOn);
    }
    let mut answer = layout::TextRequest::of(&ping(NO_TAG, 100, true));
    answer.target_transfer_tag = 0.into();
    assert!(bench.give(answer.bytes(), &[]).is_empty());
    bench.session.heard(now);
    for _ in 0..2 {
        now = bench.session.next_timeout();
        bench.session.handle_timeout(now, &mut bench.out);
    }
    assert!(
        matches!(bench.session.direction(), Direction::Close(_)),
        "one that has answered before is missed"
    );
}

#[test]
fn an_ordered_command_starts_after_all_before_it_and_before_all_after_it() {
    let mut bench = Bench::new(|_| {});
    for (tag, attribute) in [(0, 1), (1, 2), (2, 1), (3, 3)] {
        bench.give(command(tag, 100 + tag, F | attribute, 0), &[]);
    }
    let started = |bench: &Bench| bench.host.started.iter().map(|command| command.id.tag).collect::<Vec<_>>();
    assert_eq!(started(&bench), [0, 3], "head of queue does not wait");
    bench.finish(1, good());
    assert_eq!(started(&bench), [0, 3]);
    bench.finish(0, good());
    assert_eq!(started(&bench), [0, 3, 1]);
    bench.finish(2, good());
    assert_eq!(started(&bench), [0, 3, 1, 2]);
}

#[test]
fn the_host_is_told_the_attributes_and_aca_is_none() {
    let mut bench = Bench::new(|_| {});
    bench.host.answer = Some(Vec::new());
    let mut number = 100;
    let mut give = |bench: &mut Bench, attribute| {
        number += 1;
        bench.give(command(number, number - 1, F | attribute, 0), &[])
    };
    for attribute in [0, 1, 2, 3] {
        assert_eq!(give(&mut bench, attribute)[0].response().status, 0);
    }
    let told: Vec<_> = bench.host.started.iter().map(|command| command.attribute).collect();
    use Attribute::{HeadOfQueue, Ordered, Simple};
    assert_eq!(told, [Simple, Simple, Ordered, HeadOfQueue]);
    assert_eq!(give(&mut bench, 4)[0].sense(), (0x05, 0x49, 0x00), "INVALID MESSAGE ERROR");
    assert_eq!(bench.host.started.len(), 4);
}

#[test]
fn immediate_commands_are_bounded() {
    let mut bench = Bench::new(|_| {});
    let header = |tag| {
        let mut header = command(tag, 100, F, 0);
        header[0] |= pdu::IMMEDIATE;
        header
    };
    for tag in 0..IMMEDIATE_LIMIT {
        assert!(bench.give(header(tag), &[]).is_empty());
    }
    let answer = bench.give(header(99), &[]);
    assert_eq!(answer[0].header[2], RejectReason::TooManyImmediateCommands as u8);
}
