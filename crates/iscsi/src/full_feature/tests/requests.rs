//! Task management, logout, rejects.

use super::*;

#[test]
fn a_cdb_of_every_length_arrives_as_it_was_sent() {
    for length in 17..=1000_usize {
        let mut bench = Bench::new(|_| {});
        let cdb: Vec<u8> = (0..length).map(|at| (at * 3) as u8).collect();
        let mut header = command(1, 100, F, 0);
        header[32..].copy_from_slice(&cdb[..16]);
        let specific = (length - 15) as u16;
        let mut additional = [&specific.to_be_bytes()[..], &[1, 0], &cdb[16..]].concat();
        additional.resize(pdu::padded(additional.len()), 0xff);
        header[4] = (additional.len() / 4) as u8;
        bench.session.header(&header, &additional, &mut bench.out, &mut bench.host);
        bench.session.end(true, NOW, &mut bench.out, &mut bench.host);
        if length <= 260 {
            assert_eq!(bench.host.started[0].cdb.bytes(), cdb, "and no byte of the padding");
        } else {
            assert!(bench.host.started.is_empty());
            assert_eq!(bench.sent()[0].kind(), Response::Reject, "no CDB has {length} bytes");
        }
    }
}

fn manage(function: Function, tag: u32, ref_cmd_sn: u32, lun: [u8; 8]) -> [u8; 48] {
    let mut header = layout::TaskManagementRequest::zeroed();
    header.opcode = Request::TaskManagement as u8 | pdu::IMMEDIATE;
    header.function = F | function as u8;
    header.lun = lun;
    header.initiator_task_tag = 1000.into();
    header.referenced_task_tag = tag.into();
    header.cmd_sn = 105.into();
    header.ref_cmd_sn = ref_cmd_sn.into();
    header.bytes()
}

fn answer(sent: &[Sent]) -> u8 {
    let last = sent.last().unwrap();
    assert_eq!(last.kind(), Response::TaskManagement);
    last.header[2]
}

#[test]
fn an_aborted_task_is_never_answered_and_is_abandoned_where_it_runs() {
    let mut bench = Bench::new(|_| {});
    bench.give(command(1, 100, F, 0), &[]);
    let id = bench.host.started[0].id;
    assert_eq!(answer(&bench.give(manage(Function::AbortTask, 1, 100, LUN), &[])), 0);
    assert_eq!(bench.host.abandoned, [id]);
    assert!(bench.finish(0, good()).is_empty());
    bench.give(command(1, 101, F, 0), &[]);
    assert!(bench.finish(0, good()).is_empty(), "nor for a new task of the same tag");
    assert_eq!(bench.finish(1, good()).len(), 1);
}

#[test]
fn late_data_of_an_aborted_task_are_dropped_without_a_fuss() {
    let mut bench = Bench::new(|_| {});
    bench.host.plan.data_out = 512;
    let r2t = bench.give(command(1, 100, F | W, 512), &[])[0].r2t();
    bench.give(manage(Function::AbortTask, 1, 100, LUN), &[]);
    assert!(bench.give(data_out(1, r2t.target_transfer_tag.get(), F, 0, 0), &pattern(512)).is_empty());
    assert!(bench.host.started.is_empty() && bench.host.abandoned.is_empty());
}

#[test]
fn aborting_what_is_not_there_depends_on_its_number() {
    let mut bench = Bench::new(|_| {});
    bench.host.answer = Some(Vec::new());
    bench.give(command(1, 100, F, 0), &[]);
    assert_eq!(answer(&bench.give(manage(Function::AbortTask, 1, 100, LUN), &[])), 1, "it has ended");
    let sent = bench.give(manage(Function::AbortTask, 7, 101, LUN), &[]);
    assert_eq!((answer(&sent), sent[0].exp_cmd_sn()), (0, 102), "its number counts as used");
    assert!(bench.give(command(7, 101, F, 0), &[]).is_empty());
    assert_eq!(answer(&bench.give(manage(Function::AbortTask, 8, 5000, LUN), &[])), 1);
}

#[test]
fn a_task_set_is_aborted_on_its_own_unit_only() {
    let mut bench = Bench::new(|_| {});
    let mut other = command(2, 101, F, 0);
    other[9] = 1;
    bench.give(command(1, 100, F, 0), &[]);
    bench.give(other, &[]);
    assert_eq!(answer(&bench.give(manage(Function::AbortTaskSet, NO_TAG, 0, LUN), &[])), 0);
    assert_eq!(bench.host.abandoned, [bench.host.started[0].id]);
    assert_eq!(answer(&bench.give(manage(Function::LogicalUnitReset, NO_TAG, 0, LUN), &[])), 0);
    assert_eq!(bench.host.managed, [(Function::LogicalUnitReset, LUN)]);
    let missing = [0, 9, 0, 0, 0, 0, 0, 0];
    assert_eq!(answer(&bench.give(manage(Function::LogicalUnitReset, NO_TAG, 0, missing), &[])), 2);
    assert_eq!(answer(&bench.give(manage(Function::TaskReassign, 2, 0, LUN), &[])), 4);
}

#[test]
fn what_others_have_aborted_is_answered_if_that_is_wanted_and_only_once() {
    let mut bench = Bench::new(|_| {});
    let mut other = command(3, 102, F, 0);
    other[9] = 1;
    bench.give(command(1, 100, F, 0), &[]);
    bench.host.plan.data_out = 512;
    let r2t = bench.give(command(2, 101, F | W, 512), &[])[0].r2t();
    bench.give(other, &[]);
    let abort = |bench: &mut Bench| {
        let any = bench.session.aborted_by_another(LUN, true, &mut bench.out, &mut bench.host);
        (any, bench.sent())
    };
    let (any, sent) = abort(&mut bench);
    let answered: Vec<_> = sent.iter().map(|sent| (sent.response().initiator_task_tag.get(), sent)).collect();
    assert!(any && answered.iter().all(|(_, sent)| sent.response().status == 0x40 && sent.data.is_empty()));
    assert_eq!(answered.iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(bench.host.abandoned, [bench.host.started[0].id]);
    assert!(bench.finish(0, good()).is_empty());
    assert!(bench.give(data_out(2, r2t.target_transfer_tag.get(), F, 0, 0), &pattern(512)).is_empty());
    assert!(!abort(&mut bench).0);
    assert_eq!(bench.finish(1, good()).len(), 1, "that of another unit goes on");
    assert!(bench.host.failed.is_empty(), "they have not failed");
}

#[test]
fn others_are_aborted_for_a_command_that_fails_where_the_host_says_so() {
    for aborts_others in [false, true] {
        let mut bench = Bench::new(|_| {});
        bench.host.aborts_others = aborts_others;
        let mut other = command(3, 102, F, 0);
        other[9] = 1;
        bench.give(command(1, 100, F, 0), &[]);
        bench.give(command(2, 101, F, 0), &[]);
        bench.give(other, &[]);
        assert_eq!(bench.finish(0, Outcome::of_status(2, vec![0x70; 18])).len(), 1);
        assert_eq!(bench.host.failed, [2]);
        assert_eq!(bench.host.abandoned.len(), usize::from(aborts_others));
        assert_eq!(bench.finish(1, good()).len(), usize::from(!aborts_others), "the other one there");
        assert_eq!(bench.finish(2, good()).len(), 1, "that of another unit goes on");
        assert_eq!(bench.host.failed, [2], "what ends well has not failed");
    }
}

/// A session that has agreed on RFC 7144.
fn newer() -> Bench {
    Bench::new(|parameters| parameters.protocol_level = 2)
}

#[test]
fn a_task_can_be_asked_about_while_it_is_there() {
    let mut bench = newer();
    bench.give(command(1, 100, F, 0), &[]);
    assert_eq!(answer(&bench.give(manage(Function::QueryTask, 1, 100, LUN), &[])), 7);
    let elsewhere = [0, 1, 0, 0, 0, 0, 0, 0];
    assert_eq!(answer(&bench.give(manage(Function::QueryTask, 1, 100, elsewhere), &[])), 1);
    assert_eq!(answer(&bench.give(manage(Function::QueryTaskSet, NO_TAG, 0, LUN), &[])), 7);
    assert_eq!(answer(&bench.give(manage(Function::QueryTaskSet, NO_TAG, 0, elsewhere), &[])), 2);
    assert_eq!(bench.finish(0, good()).len(), 1, "it was not touched");
    assert_eq!(answer(&bench.give(manage(Function::QueryTask, 1, 100, LUN), &[])), 1, "it has ended");
    assert_eq!(answer(&bench.give(manage(Function::QueryTaskSet, NO_TAG, 0, LUN), &[])), 0);
    let sent = bench.give(manage(Function::QueryTask, 7, 101, LUN), &[]);
    assert_eq!((answer(&sent), sent[0].exp_cmd_sn()), (0, 102), "a lost one can't come any more");
}

#[test]
fn a_pending_event_is_told_and_stays() {
    let mut bench = newer();
    let ask = manage(Function::QueryAsynchronousEvent, NO_TAG, 0, LUN);
    let told = |sent: Vec<Sent>| (answer(&sent), sent[0].header[8..16].to_vec());
    assert_eq!(told(bench.give(ask, &[])), (0, vec![0; 8]));
    bench.host.event = Some([0x26, 0x29, 0x03]);
    assert_eq!(told(bench.give(ask, &[])), (7, vec![0x26, 0x29, 0x03, 0, 0, 0, 0, 0]));
    let missing = manage(Function::QueryAsynchronousEvent, NO_TAG, 0, [0, 9, 0, 0, 0, 0, 0, 0]);
    assert_eq!(told(bench.give(missing, &[])), (2, vec![0; 8]));
}

#[test]
fn a_reset_of_the_nexus_is_answered_and_ends_the_session() {
    let mut bench = newer();
    let mut other = command(2, 101, F, 0);
    other[9] = 1;
    bench.give(command(1, 100, F, 0), &[]);
    bench.give(other, &[]);
    assert_eq!(answer(&bench.give(manage(Function::NexusReset, NO_TAG, 0, LUN), &[])), 0);
    assert_eq!(bench.host.abandoned.len(), 2, "on every logical unit");
    assert_eq!(bench.host.managed, [(Function::NexusReset, LUN)]);
    assert_eq!(bench.session.direction(), Direction::CloseAfterSending);
}

#[test]
fn newer_functions_need_the_newer_protocol_level() {
    for level in [0, 1] {
        let mut bench = Bench::new(|parameters| parameters.protocol_level = level);
        bench.give(command(1, 100, F, 0), &[]);
        for function in [
            Function::QueryTask,
            Function::QueryTaskSet,
            Function::NexusReset,
            Function::QueryAsynchronousEvent,
        ] {
            let sent = bench.give(manage(function, 1, 100, LUN), &[]);
            assert_eq!(answer(&sent), 5, "{function:?} at level {level}");
        }
        assert_eq!(bench.session.direction(), Direction::GoOn);
        assert!(bench.host.abandoned.is_empty() && bench.host.managed.is_empty());
    }
    let mut unknown = manage(Function::AbortTask, 1, 100, LUN);
    unknown[1] = F | 13;
    assert_eq!(answer(&newer().give(unknown, &[])), 5);
}

#[test]
fn a_function_is_no_task_that_others_apply_to() {
    let mut bench = newer();
    for function in [Function::AbortTask, Function::QueryTask] {
        assert_eq!(answer(&bench.give(manage(function, 1000, 105, LUN), &[])), 255);
    }
}

#[test]
fn what_is_not_understood_is_rejected_with_its_header() {
    let mut bench = Bench::new(|_| {});
    for (opcode, reason) in [(0x1d, 5), (0x10, 3), (0x03, 4)] {
        let mut header = [0; 48];
        header[0] = opcode;
        let sent = bench.give(header, &[]);
        assert_eq!((sent[0].kind(), sent[0].header[2]), (Response::Reject, reason), "opcode {opcode:02x}");
        assert_eq!(sent[0].data[..], header[..]);
    }
    bench.give(command(1, 100, F, 0), &[]);
    let sent = bench.give(command(1, 101, F, 0), &[]);
    assert_eq!(sent[0].header[2], RejectReason::TaskInProgress as u8);
}

#[test]
fn logout_abandons_what_runs_and_closes_after_its_answer() {
    let mut bench = Bench::new(|_| {});
    bench.give(command(1, 100, F, 0), &[]);
    let mut header = layout::LogoutRequest::zeroed();
    header.opcode = Request::Logout as u8 | pdu::IMMEDIATE;
    header.reason = F | 2;
    header.initiator_task_tag = 4.into();
    assert_eq!(bench.give(header.bytes(), &[])[0].header[2], 2, "there is no recovery");
    assert_eq!((bench.session.direction(), bench.host.logouts), (Direction::GoOn, 0));
    header.reason = F;
    let sent = bench.give(header.bytes(), &[]);
    assert_eq!((sent[0].kind(), sent[0].header[2]), (Response::Logout, 0));
    assert_eq!(bench.session.direction(), Direction::CloseAfterSending);
    assert_eq!((bench.host.abandoned.len(), bench.host.logouts), (1, 1));
}

#[test]
fn an_asynchronous_message_about_a_logical_unit_bears_its_number_and_sense_data() {
    let mut bench = Bench::new(|_| {});
    let event = AsyncEvent::Scsi { lun: [0, 3, 0, 0, 0, 0, 0, 0], sense: vec![0x70, 0, 6] };
    bench.session.announce(event, &mut bench.out);
    bench.session.announce(AsyncEvent::DropSession, &mut bench.out);
    let sent = bench.sent();
    let message = layout::AsyncMessage::of(&sent[0].header);
    assert_eq!(sent[0].kind(), Response::AsyncMessage);
    assert_eq!(
        (message.event, message.lun, message.initiator_task_tag.get()),
        (0, [0, 3, 0, 0, 0, 0, 0, 0], NO_TAG)
    );
    assert_eq!(sent[1].stat_sn(), sent[0].stat_sn() + 1, "it takes a number of its own (RFC 7143 §11.9)");
    assert_eq!(sent[0].data[..5], [0, 3, 0x70, 0, 6]);
}
