//! What an initiator can do to the memory and the order of its own session, and must not.

use super::*;

/// Memory comes free while an unsolicited Data-Out is half received.
#[test]
fn a_pdu_that_is_under_way_survives_the_move_to_a_larger_buffer() {
    let mut bench = Bench::new(|_| {});
    bench.host.plan.data_out = 4096;
    bench.host.memory = 0;
    let data = pattern(4096);
    bench.give(command(1, 100, W, 4096), &data[..512]);
    let mut header = data_out(1, NO_TAG, F, 0, 512);
    header[5..8].copy_from_slice(&pdu::data_segment_length(512));
    bench.session.header(&header, &[], &mut bench.out, &mut bench.host);
    bench.session.data(&data[512..900]);
    bench.host.memory = 1 << 20;
    bench.session.memory_available(&mut bench.out, &mut bench.host);
    bench.session.data(&data[900..1024]);
    bench.session.end(true, NOW, &mut bench.out, &mut bench.host);
    let mut at = 1024;
    for asked in bench.sent() {
        let r2t = asked.r2t();
        let end = at + r2t.desired_data_transfer_length.get() as usize;
        bench.give(data_out(1, r2t.target_transfer_tag.get(), F, 0, at as u32), &data[at..end]);
        at = end;
    }
    assert_eq!(at, 4096);
    let (buffer, length) = bench.host.started[0].data_out.as_ref().unwrap();
    assert!(
        buffer[..*length] == data[..],
        "first difference at {:?}",
        buffer.iter().zip(&data).position(|(a, b)| a != b)
    );
}

/// The same CmdSN again and again, ahead of a gap.
#[test]
fn commands_with_one_number_are_not_collected_without_end() {
    let mut bench = Bench::new(|_| {});
    bench.host.plan.data_out = 1024;
    bench.host.memory = 0;
    for tag in 0..10_000 {
        bench.give(command(tag, 101, F | W, 1024), &pattern(1024));
    }
    assert!(bench.session.in_flight() <= WINDOW_LIMIT, "{} tasks", bench.session.in_flight());
}

/// Small answers that are not read are not counted.
#[test]
fn small_answers_that_nobody_reads_are_bounded() {
    let mut bench = Bench::new(|_| {});
    bench.host.plan.data_in = 1;
    bench.host.answer = Some(vec![7]);
    for number in 0..100_000u32 {
        let header = command(number, 100 + number, F | R, 1);
        bench.session.header(&header, &[], &mut bench.out, &mut bench.host);
        bench.session.end(true, NOW, &mut bench.out, &mut bench.host);
    }
    assert!(
        bench.out.own_bytes() > 1 << 20,
        "100000 PDUs queued, {} bytes counted, {} of the pool",
        bench.out.own_bytes(),
        (1 << 20) - bench.host.memory
    );
}

/// A read between two ordered commands finds the memory taken by the younger.
#[test]
fn a_read_that_waited_for_an_ordered_command_gets_memory_before_younger_writes() {
    let mut bench = Bench::new(|_| {});
    bench.host.memory = 4096;
    bench.host.plan = Plan { data_in: 2048, data_out: 1024 };
    bench.host.answer = None;
    bench.give(command(1, 100, F | W | 2, 1024), &pattern(1024)); // ordered, runs; takes 1024
    bench.give(command(2, 101, F | R | 1, 2048), &[]); // simple read, its turn comes later
    bench.give(command(3, 102, F | W | 2, 1024), &pattern(1024)); // ordered
    bench.give(command(4, 103, F | W | 2, 1024), &pattern(1024)); // ordered
    bench.give(command(5, 104, F | W | 2, 1024), &pattern(1024)); // ordered: the pool is empty now
    assert_eq!(bench.host.started.len(), 1);
    drop(bench.host.started[0].data_out.take());
    bench.host.memory += 1024; // its buffer comes back
    bench.finish(0, good());
    bench.session.memory_available(&mut bench.out, &mut bench.host);
    assert_eq!(
        bench.host.started.len(),
        2,
        "nothing runs, nothing will ever free memory; {} tasks wait",
        bench.session.in_flight()
    );
}

/// Two ways to write one LUN.
#[test]
fn tasks_of_a_unit_are_aborted_however_its_number_was_written() {
    let mut bench = Bench::new(|_| {});
    bench.give(command(1, 100, F, 0), &[]);
    assert_eq!(bench.host.started.len(), 1);
    let flat = [0x40, 0, 0, 0, 0, 0, 0, 0];
    assert!(bench.session.aborted_by_another(flat, false, &mut bench.out, &mut bench.host));
}

#[test]
fn data_that_are_announced_and_never_come_hold_no_memory_and_end_the_session() {
    let mut bench = Bench::new(|_| {});
    bench.host.plan.data_out = 1 << 16;
    let before = bench.host.memory;
    bench.give(command(1, 100, W, 1 << 16), &[]);
    assert_eq!(bench.host.memory, before, "only what may come unasked is set aside");
    bench.session.handle_timeout(NOW + DATA_PATIENCE * 2, &mut bench.out);
    assert!(matches!(bench.session.direction(), Direction::Close(reason) if reason.contains("announced")));
}

#[test]
fn what_is_younger_than_a_gap_takes_no_memory_from_what_is_to_fill_it() {
    let mut bench = Bench::new(|_| {});
    (bench.host.memory, bench.host.plan.data_out) = (4096, 4096);
    bench.give(command(2, 101, F | W | 2, 4096), &[]);
    assert_eq!(bench.host.memory, 4096);
    let asked = bench.give(command(1, 100, F | W | 1, 4096), &[]);
    assert_eq!(
        layout::BasicHeader::of(&asked[0].header).initiator_task_tag.get(),
        1,
        "the older one is asked first"
    );
}

#[test]
fn a_number_that_was_aborted_before_it_came_is_used_up() {
    let mut bench = Bench::new(|_| {});
    let mut abort = layout::TaskManagementRequest::zeroed();
    abort.opcode = Request::TaskManagement as u8 | pdu::IMMEDIATE;
    abort.function = F | Function::AbortTask as u8;
    (abort.initiator_task_tag, abort.referenced_task_tag) = (9.into(), 1.into());
    (abort.cmd_sn, abort.ref_cmd_sn) = (103.into(), 101.into());
    bench.give(abort.bytes(), &[]);
    bench.give(command(1, 101, F, 0), &[]);
    bench.give(command(2, 100, F, 0), &[]);
    assert_eq!(bench.session.in_flight(), 1, "the aborted one does not linger");
    assert_eq!(bench.host.started.len(), 1);
}
