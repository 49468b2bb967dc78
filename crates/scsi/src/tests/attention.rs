//! Unit attention conditions, as commands meet them.

use super::*;

const READY: [u8; 6] = [0; 6];
const POWER_ON: (u8, u8, u8) = (0x06, 0x29, 0x00);
const RESET: (u8, u8, u8) = (0x06, 0x29, 0x03);

fn ready(bench: &Bench, nexus: NexusId) -> Completion {
    bench.run(nexus, LUN, &READY, &[], 0).done
}

fn told(bench: &Bench, nexus: NexusId) -> (u8, u8, u8) {
    triple(&ready(bench, nexus))
}

/// Two clients that know that power came on.
fn settled() -> Bench {
    let bench = Bench::new();
    for nexus in [NEXUS, OTHER] {
        bench.server.nexus_established(nexus, "iqn.x,i,0x1");
        assert_eq!(told(&bench, nexus), POWER_ON);
    }
    bench
}

#[test]
fn a_new_client_learns_once_that_power_came_on() {
    let bench = settled();
    assert_eq!(ready(&bench, NEXUS).status, Status::Good);
    bench.server.nexus_lost(NEXUS);
    bench.server.nexus_established(NexusId(3), "iqn.x,i,0x1");
    assert_eq!(told(&bench, NexusId(3)), POWER_ON);
}

#[test]
fn inquiry_report_luns_and_request_sense_go_before() {
    let bench = Bench::new();
    bench.server.nexus_established(NEXUS, "iqn.x,i,0x1");
    bench.good(&[0x12, 0, 0, 0, 96, 0]);
    bench.good(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0]);
    let sense = bench.good(&[0x03, 0, 0, 0, 18, 0]);
    assert_eq!((sense[2], sense[12], sense[13]), POWER_ON);
    let sense = bench.good(&[0x03, 0, 0, 0, 18, 0]);
    assert_eq!((sense[2], sense[12], sense[13]), (0, 0, 0));
    assert_eq!(ready(&bench, NEXUS).status, Status::Good);
}

#[test]
fn request_sense_reports_in_descriptor_format_if_asked() {
    let bench = Bench::new();
    bench.server.nexus_established(NEXUS, "iqn.x,i,0x1");
    let sense = bench.good(&[0x03, 1, 0, 0, 252, 0]);
    assert_eq!(sense, [0x72, 0x06, 0x29, 0x00, 0, 0, 0, 0]);
}

#[test]
fn what_is_pending_can_be_asked_for_and_stays() {
    let bench = Bench::new();
    let asked = || bench.server.asynchronous_event(NEXUS, LUN);
    assert_eq!(asked(), None);
    bench.server.nexus_established(NEXUS, "iqn.x,i,0x1");
    assert_eq!(asked(), Some([0x16, 0x29, 0x00]));
    bench.server.tasks_cleared(LUN, NEXUS);
    assert_eq!(asked(), Some([0x26, 0x29, 0x00]), "and more than one");
    assert_eq!(told(&bench, NEXUS), POWER_ON);
    assert_eq!(asked(), Some([0x16, 0x2f, 0x00]));
    assert_eq!(bench.server.asynchronous_event(NEXUS, [0, 9, 0, 0, 0, 0, 0, 0]), None);
}

/// Sets UA_INTLCK_CTRL.
fn interlock(bench: &Bench, control: u8) {
    let page = [0, 0, 0, 0, 0x0a, 10, 0x02, 0x10, control << 4, 0, 0, 0, 0, 0, 0, 0];
    bench.good_with(&[0x15, 0x10, 0, 0, 16, 0], &page);
    assert_eq!(told(bench, OTHER), (0x06, 0x2a, 0x01));
}

#[test]
fn interlocked_attentions_stay_until_request_sense_asks() {
    for control in [0b10, 0b11] {
        let bench = settled();
        interlock(&bench, control);
        let sense = bench.run(OTHER, LUN, &[0x03, 0, 0, 0, 18, 0], &[], 18).data;
        assert_eq!((sense[2], sense[12], sense[13]), (0x06, 0x2a, 0x01), "already it stays");
        bench.server.tasks_cleared(LUN, NEXUS);
        for _ in 0..3 {
            assert_eq!(told(&bench, NEXUS), (0x06, 0x2f, 0x00));
        }
        bench.good(&[0x12, 0, 0, 0, 96, 0]);
        assert_eq!(told(&bench, NEXUS), (0x06, 0x2f, 0x00));
        let sense = bench.good(&[0x03, 0, 0, 0, 18, 0]);
        assert_eq!((sense[2], sense[12], sense[13]), (0x06, 0x2f, 0x00));
        assert_eq!(ready(&bench, NEXUS).status, Status::Good);
    }
}

#[test]
fn statuses_leave_an_attention_if_that_is_asked_for_and_one_only() {
    let (busy, full, conflict) = (0x08, 0x28, 0x18);
    for (control, leaves) in [(0b00, false), (0b10, false), (0b11, true)] {
        let bench = settled();
        if control != 0 {
            interlock(&bench, control);
        }
        for (status, qualifier) in [(busy, 0x07), (full, 0x08), (conflict, 0x09)] {
            for failed in [0x02, 0x40, status, busy, full, conflict] {
                bench.server.failed(NEXUS, LUN, failed);
            }
            let expected = if leaves { (0x06, 0x2c, qualifier) } else { (0, 0, 0) };
            let sense = bench.good(&[0x03, 0, 0, 0, 18, 0]);
            assert_eq!((sense[2], sense[12], sense[13]), expected);
            assert_eq!(ready(&bench, NEXUS).status, Status::Good);
        }
    }
}

#[test]
fn a_command_that_would_wait_consumes_nothing() {
    let bench = settled();
    let read = block_cdb(0x28, 0, 0, 1);
    let mut data = [0; BLOCK];
    let prompt = bench.server.execute_now(NEXUS, LUN, &read, bench.server.plan(LUN, &read), &[], &mut data);
    assert_eq!(prompt, None);
    bench.server.tasks_cleared(LUN, NEXUS);
    // Now there is something to tell, and that needs no waiting.
    let prompt = bench.server.execute_now(NEXUS, LUN, &read, bench.server.plan(LUN, &read), &[], &mut data);
    assert_eq!(triple(&prompt.unwrap()), (0x06, 0x2f, 0x00));
    let prompt = bench.server.execute_now(NEXUS, LUN, &read, bench.server.plan(LUN, &read), &[], &mut data);
    assert_eq!(prompt, None);
}

#[test]
fn a_reset_is_told_to_everybody_and_restores_saved_mode_parameters() {
    let bench = settled();
    let on = [0, 0, 0, 0, 0x0a, 10, 0x02, 0x10, 0x08, 0, 0, 0, 0, 0, 0, 0];
    bench.good_with(&[0x15, 0x10, 0, 0, 16, 0], &on);
    assert_eq!(told(&bench, OTHER), (0x06, 0x2a, 0x01));
    assert_eq!(bench.refused_with(&block_cdb(0x2a, 0, 0, 1), &[0; BLOCK]), (0x07, 0x27, 0x02));
    bench.server.reset_unit(LUN);
    assert_eq!(told(&bench, NEXUS), RESET);
    assert_eq!(told(&bench, OTHER), RESET);
    bench.good_with(&block_cdb(0x2a, 0, 0, 1), &[0; BLOCK]);
}

#[test]
fn only_the_victim_is_told_of_cleared_commands() {
    let bench = settled();
    bench.server.tasks_cleared(LUN, OTHER);
    assert_eq!(ready(&bench, NEXUS).status, Status::Good);
    assert_eq!(told(&bench, OTHER), (0x06, 0x2f, 0x00));
    assert_eq!(ready(&bench, OTHER).status, Status::Good);
}

#[test]
fn report_luns_clears_only_what_it_answers() {
    use crate::sense::{COMMANDS_CLEARED, REPORTED_LUNS_CHANGED};
    let bench = settled();
    let attentions = bench.server.unit(LUN).unwrap().attentions();
    attentions.establish(NEXUS, &REPORTED_LUNS_CHANGED);
    attentions.establish(NEXUS, &COMMANDS_CLEARED);
    bench.good(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0]);
    assert_eq!(told(&bench, NEXUS), (0x06, 0x2f, 0x00));
    assert_eq!(ready(&bench, NEXUS).status, Status::Good);
}
