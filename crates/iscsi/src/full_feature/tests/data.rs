//! Data: unsolicited, solicited, returned; and what does not add up.

use super::*;

fn writer() -> Bench {
    let mut bench = Bench::new(|_| {});
    bench.host.plan.data_out = 8192;
    bench
}

#[test]
fn immediate_unsolicited_and_solicited_data_come_together() {
    let mut bench = writer();
    let data = pattern(8192);
    assert!(
        bench.give(command(1, 100, W, 8192), &data[..512]).is_empty(),
        "no R2T before the unsolicited data end"
    );
    let asked = bench.give(data_out(1, NO_TAG, F, 0, 512), &data[512..1024]);
    let asked: Vec<_> = asked.iter().map(Sent::r2t).collect();
    let spans = asked
        .iter()
        .map(|r2t| (r2t.r2t_sn.get(), r2t.buffer_offset.get(), r2t.desired_data_transfer_length.get()));
    assert_eq!(spans.collect::<Vec<_>>(), [(0, 1024, 2048), (1, 3072, 2048)], "two at once, each a burst");
    let (first, second) = (asked[0].target_transfer_tag.get(), asked[1].target_transfer_tag.get());
    assert!(bench.give(data_out(1, first, 0, 0, 1024), &data[1024..2048]).is_empty());
    let third = bench.give(data_out(1, first, F, 1, 2048), &data[2048..3072])[0].r2t();
    assert_eq!((third.buffer_offset.get(), third.desired_data_transfer_length.get()), (5120, 2048));
    let fourth = bench.give(data_out(1, second, F, 0, 3072), &data[3072..5120])[0].r2t();
    assert_eq!((fourth.buffer_offset.get(), fourth.desired_data_transfer_length.get()), (7168, 1024));
    bench.give(data_out(1, third.target_transfer_tag.get(), F, 0, 5120), &data[5120..7168]);
    assert!(bench.host.started.is_empty());
    bench.give(data_out(1, fourth.target_transfer_tag.get(), F, 0, 7168), &data[7168..]);
    let (buffer, length) = bench.host.started[0].data_out.as_ref().unwrap();
    assert_eq!((buffer, *length), (&data, 8192));
    let answer = bench.finish(0, Outcome { data_out_length: 8192, ..good() });
    assert_eq!(answer[0].response().exp_data_sn.get(), 4);
    assert_eq!(answer[0].response().residual_count.get(), 0);
}

#[test]
fn without_memory_for_what_comes_unasked_the_command_is_told_to_try_again() {
    let mut bench = writer();
    bench.host.unsolicited = false;
    bench.host.memory = 0;
    assert!(bench.give(command(1, 100, W, 8192), &[1; 512]).is_empty(), "the rest of it comes first");
    let answer = bench.give(data_out(1, NO_TAG, F, 0, 512), &[2; 512]);
    assert_eq!(answer[0].response().status, 0x28);
    assert!(bench.host.started.is_empty());
    bench.host.unsolicited = true;
    bench.host.memory = 1 << 20;
    assert!(!bench.give(command(2, 101, F | W, 8192), &[3; 512]).is_empty(), "the next one is served");
}

#[test]
fn large_pieces_can_be_received_in_their_place() {
    let mut bench = Bench::new(|parameters| parameters.first_burst_length = 8192);
    bench.host.plan.data_out = 8192;
    let data = pattern(8192);
    let mut header = command(1, 100, F | W, 8192);
    header[5..8].copy_from_slice(&pdu::data_segment_length(8192));
    bench.session.header(&header, &[], &mut bench.out, &mut bench.host);
    bench.session.data(&data[..100]);
    let space = bench.session.direct_space(8092).unwrap();
    assert_eq!(space.len(), 8092);
    space[..5000].copy_from_slice(&data[100..5100]);
    assert_eq!(bench.session.placed(5000), &data[100..5100]);
    bench.session.data(&data[5100..]);
    bench.session.end(true, NOW, &mut bench.out, &mut bench.host);
    assert_eq!(bench.host.started[0].data_out.as_ref().unwrap().0, data);
}

#[test]
fn data_that_the_command_does_not_take_are_not_asked_for_and_counted_as_residual() {
    let mut bench = writer();
    bench.host.plan.data_out = 1024;
    let data = pattern(1024);
    bench.give(command(1, 100, F | W, 4096), &data);
    assert_eq!(bench.host.started[0].data_out.as_ref().unwrap().1, 1024);
    let answer = bench.finish(0, Outcome { data_out_length: 1024, ..good() });
    let response = answer[0].response();
    assert_eq!((response.flags & 0x06, response.residual_count.get()), (0x02, 3072));
}

#[test]
fn a_command_that_wants_more_than_the_initiator_has_gets_what_there_is() {
    let mut bench = writer();
    bench.give(command(1, 100, F | W, 512), &pattern(512));
    assert_eq!(bench.host.started[0].data_out.as_ref().unwrap().1, 512);
    let answer = bench.finish(0, Outcome { data_out_length: 8192, ..good() });
    let response = answer[0].response();
    assert_eq!((response.flags & 0x06, response.residual_count.get()), (0x04, 7680));
}

#[test]
fn data_nobody_allowed_end_the_task() {
    let mut bench = Bench::new(|parameters| parameters.immediate_data = false);
    bench.host.plan.data_out = 512;
    let answer = bench.give(command(1, 100, F | W, 512), &pattern(512));
    assert_eq!(answer[0].sense(), (0x0b, 0x0c, 0x0c));
    let mut bench = Bench::new(|parameters| parameters.initial_r2t = true);
    bench.host.plan.data_out = 4096;
    assert!(
        bench.give(command(1, 100, W, 4096), &pattern(512)).is_empty(),
        "first the data that were announced"
    );
    assert_eq!(bench.give(data_out(1, NO_TAG, F, 0, 512), &pattern(512))[0].sense(), (0x0b, 0x0c, 0x0c));
    let mut bench = writer();
    let answer = bench.give(command(1, 100, F | W, 4096), &pattern(1025));
    assert_eq!(answer[0].sense(), (0x0b, 0x0c, 0x0c), "more than FirstBurstLength");
    assert!(bench.host.started.is_empty());
}

#[test]
fn data_out_of_order_or_past_their_bounds_end_the_task_once_all_have_come() {
    for (data_sn, offset, length, sense) in
        [(1, 0, 512, (0x0b, 0x47, 0x05)), (0, 4, 512, (0x0b, 0x47, 0x05)), (0, 0, 2052, (0x0b, 0x0c, 0x0d))]
    {
        let mut bench = writer();
        bench.host.plan.data_out = 2048;
        let r2t = bench.give(command(1, 100, F | W, 2048), &[])[0].r2t();
        let tag = r2t.target_transfer_tag.get();
        assert!(bench.give(data_out(1, tag, 0, data_sn, offset), &pattern(length)).is_empty());
        assert_eq!(bench.give(data_out(1, tag, F, 1, 512), &pattern(512))[0].sense(), sense);
        assert!(bench.host.started.is_empty());
    }
}

#[test]
fn too_little_data_for_an_r2t_end_the_task() {
    let mut bench = writer();
    bench.host.plan.data_out = 2048;
    let r2t = bench.give(command(1, 100, F | W, 2048), &[])[0].r2t();
    let answer = bench.give(data_out(1, r2t.target_transfer_tag.get(), F, 0, 0), &pattern(512));
    assert_eq!(answer[0].sense(), (0x0b, 0x0c, 0x0d));
}

#[test]
fn data_for_no_task_are_rejected() {
    let mut bench = writer();
    let answer = bench.give(data_out(77, 5, F, 0, 0), &pattern(512));
    assert_eq!(
        (answer[0].kind(), answer[0].header[2]),
        (Response::Reject, RejectReason::InvalidPduField as u8)
    );
    assert_eq!(
        layout::BasicHeader::of(answer[0].data[..48].try_into().unwrap()).initiator_task_tag.get(),
        77
    );
}

#[test]
fn what_is_read_is_cut_to_segments_and_bursts_and_carries_its_status() {
    let mut bench = Bench::new(|parameters| {
        parameters.max_recv_data_segment_length_initiator = 1024;
        parameters.max_burst_length = 2048;
    });
    bench.host.plan.data_in = 5000;
    let data = pattern(5000);
    bench.host.answer = Some(data.clone());
    let sent = bench.give(command(1, 100, F | R, 5000), &[]);
    let headers: Vec<_> = sent.iter().map(|pdu| layout::DataIn::of(&pdu.header)).collect();
    let flags: Vec<_> = headers.iter().map(|header| header.flags).collect();
    assert_eq!(flags, [0, F, 0, F, F | 0x01], "F ends each burst, S comes with the last");
    let numbers: Vec<_> = headers.iter().map(|header| header.data_sn.get()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    let together: Vec<u8> = sent.iter().flat_map(|pdu| pdu.data.clone()).collect();
    assert_eq!(together, data);
    assert_eq!(sent[4].stat_sn(), 10);
}

#[test]
fn residuals_of_reads_count_both_ways() {
    for (expected, had, flags, count) in
        [(4096, 1000, 0x02, 3096), (1000, 4096, 0x04, 3096), (0, 512, 0x04, 512)]
    {
        let mut bench = Bench::new(|_| {});
        bench.host.plan.data_in = had;
        bench.host.answer = Some(pattern(had as usize));
        let sent = bench.give(command(1, 100, F | R, expected), &[]);
        let last = sent.last().unwrap();
        let residual = u32::from_be_bytes(last.header[44..48].try_into().unwrap());
        assert_eq!((last.header[1] & 0x06, residual), (flags, count), "expected {expected}, had {had}");
        let length: usize = sent.iter().map(|pdu| pdu.data.len()).sum();
        assert_eq!(length as u32, expected.min(had));
    }
}

#[test]
fn without_memory_solicited_data_wait_but_unsolicited_data_do_not() {
    let mut bench = writer();
    bench.host.memory = 0;
    let data = pattern(8192);
    assert!(bench.give(command(1, 100, F | W, 8192), &data[..1024]).is_empty(), "nothing is asked for");
    assert!(bench.session.waits_for_memory());
    bench.host.memory = 1 << 20;
    bench.session.memory_available(&mut bench.out, &mut bench.host);
    let mut asked = bench.sent();
    let mut offset = 1024;
    while let Some(r2t) = (!asked.is_empty()).then(|| asked.remove(0).r2t()) {
        let end = offset + r2t.desired_data_transfer_length.get() as usize;
        let more =
            bench.give(data_out(1, r2t.target_transfer_tag.get(), F, 0, offset as u32), &data[offset..end]);
        asked.extend(more);
        offset = end;
    }
    assert_eq!(bench.host.started[0].data_out.as_ref().unwrap().0, data, "what came first was kept");
}

#[test]
fn without_memory_reads_wait() {
    let mut bench = Bench::new(|_| {});
    bench.host.plan.data_in = 4096;
    bench.host.memory = 4095;
    bench.host.answer = Some(pattern(4096));
    assert!(bench.give(command(1, 100, F | R, 4096), &[]).is_empty());
    bench.host.memory = 4096;
    bench.session.memory_available(&mut bench.out, &mut bench.host);
    let together: Vec<u8> = bench.sent().into_iter().flat_map(|pdu| pdu.data).collect();
    assert!(together == pattern(4096));
}

#[test]
fn an_initiator_that_withholds_what_it_was_asked_for_is_given_up_on_even_if_it_pings() {
    let mut bench = writer();
    let r2t = bench.give(command(1, 100, F | W, 8192), &[])[0].r2t();
    let mut now = NOW;
    for _ in 0..2 {
        bench.session.heard(now + DATA_PATIENCE / 2);
        let header = data_out(1, r2t.target_transfer_tag.get(), 0, 0, 0);
        now += DATA_PATIENCE / 2;
        bench.session.header(&header, &[], &mut bench.out, &mut bench.host);
        bench.session.end(true, now, &mut bench.out, &mut bench.host);
        assert_eq!(bench.session.direction(), Direction::GoOn);
    }
    while bench.session.direction() == Direction::GoOn {
        now = bench.session.next_timeout();
        assert!(now <= NOW + DATA_PATIENCE * 3, "it is given up on in time");
        bench.session.handle_timeout(now, &mut bench.out);
        bench.session.heard(now);
    }
    assert!(matches!(bench.session.direction(), Direction::Close(_)));
}
