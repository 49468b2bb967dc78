//! Lists of targets that are sound and that are not.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use timedisk_iscsi::parameters::Parameters;
use timedisk_iscsi::pdu::HEADER_LENGTH;

use super::*;

fn begin() -> (Discovery, Pdu) {
    let parameters = Parameters::default();
    Discovery::begin(Terms { parameters, cid: 0, tsih: 1, cmd_sn: 1, max_cmd_sn: 1, exp_stat_sn: 5 })
}

fn response(flags: u8, number: u32, transfer_tag: u32, text: &str) -> Pdu {
    let mut header = layout::TextResponse::zeroed();
    header.opcode = Response::Text as u8;
    header.flags = flags;
    header.initiator_task_tag = TAG.into();
    header.target_transfer_tag = transfer_tag.into();
    header.stat_sn = number.into();
    Pdu { header: header.bytes(), data: text.as_bytes().to_vec() }
}

#[test]
fn a_list_in_pieces_is_put_together() {
    let (mut discovery, question) = begin();
    assert_eq!(question.data, b"SendTargets=All\0");
    let first = response(CONTINUE, 5, 3, "TargetName=iqn.x:A\0TargetAddress=[::1]:99,1\0TargetAddr");
    let Next::Send(more) = discovery.receive(&first).unwrap() else { panic!() };
    let more = layout::TextRequest::of(&more.header);
    assert_eq!((more.target_transfer_tag.get(), more.exp_stat_sn.get()), (3, 6));
    let last = response(FINAL, 6, NO_TAG, "ess=host:1,2\0TargetName=iqn.x:b\0");
    let expected = vec![
        Found { name: "iqn.x:A".into(), addresses: vec!["[::1]:99".into(), "host:1".into()] },
        Found { name: "iqn.x:b".into(), addresses: Vec::new() },
    ];
    assert_eq!(discovery.receive(&last), Ok(Next::Done(expected)));
}

#[test]
fn thousands_of_targets_are_found() {
    let (mut discovery, _) = begin();
    let names = |range: std::ops::Range<u32>| {
        range
            .map(|number| format!("TargetName=iqn.x:{number}\0TargetAddress=1.2.3.4:3260,1\0"))
            .collect::<String>()
    };
    let mut number = 5;
    for start in (0..4900).step_by(100) {
        discovery.receive(&response(0, number, 3, &names(start..start + 100))).unwrap();
        number += 1;
    }
    let Next::Done(found) = discovery.receive(&response(FINAL, number, NO_TAG, &names(4900..5000))).unwrap()
    else {
        panic!()
    };
    assert_eq!((found.len(), found[4321].name.as_str()), (5000, "iqn.x:4321"));
}

#[test]
fn a_ping_in_between_is_answered() {
    let (mut discovery, _) = begin();
    let mut ping = response(FINAL, 5, 9, "");
    ping.header[0] = Response::NopIn as u8;
    let Next::Send(answer) = discovery.receive(&ping).unwrap() else { panic!() };
    assert_eq!(layout::TextRequest::of(&answer.header).target_transfer_tag.get(), 9);
}

#[test]
fn answers_that_make_no_sense_are_refused() {
    let refused = |change: fn(&mut Pdu)| {
        let (mut discovery, _) = begin();
        let mut answer = response(FINAL, 5, NO_TAG, "");
        change(&mut answer);
        discovery.receive(&answer).unwrap_err().to_string()
    };
    assert!(refused(|pdu| pdu.header[0] = 0x21).contains("opcode 21h"));
    assert!(refused(|pdu| pdu.header[19] = 9).contains("a task 00000009h"));
    assert!(refused(|pdu| pdu.header[27] = 9).contains("status number 9"));
    assert!(refused(|pdu| pdu.header[1] = 0).contains("without saying where"));
    assert!(refused(|pdu| pdu.data = vec![b'x'; 4]).contains("can't be read"));
}

#[test]
fn a_list_without_end_is_refused_before_it_fills_the_memory() {
    let (mut discovery, _) = begin();
    let long = "x".repeat(8000);
    let error = (5..).find_map(|number| discovery.receive(&response(CONTINUE, number, 3, &long)).err());
    assert_eq!(error, Some(DiscoveryError::Endless));
    assert!(discovery.text.len() <= LIST_LIMIT && discovery.rounds < MOST_ROUNDS);
    let (mut discovery, _) = begin();
    let error = (5..).find_map(|number| discovery.receive(&response(CONTINUE, number, 3, "")).err());
    assert_eq!(error, Some(DiscoveryError::Endless));
}

proptest! {
    #[test]
    fn no_answer_does_harm(
        header in any::<[u8; HEADER_LENGTH]>(),
        text in "(TargetName=iqn\\.\\PC{0,9}\0|TargetAddress=\\PC{0,9}\0|\\PC{0,9}){0,9}",
        is_text in any::<bool>(),
    ) {
        let (mut discovery, _) = begin();
        let sound = response(FINAL, 5, NO_TAG, &text);
        let header = if is_text { sound.header } else { header };
        if let Ok(Next::Done(found)) = discovery.receive(&Pdu { header, ..sound }) {
            prop_assert!(found.iter().all(|found| !found.name.chars().any(char::is_control)));
        }
    }
}
