#![allow(clippy::unwrap_used)]

use super::*;
use crate::login::SessionType;
use proptest::prelude::*;

const DISK: &str = "iqn.2001-04.com.example:disk";

fn all() -> Vec<(String, Vec<String>)> {
    vec![
        (DISK.into(), vec!["192.0.2.1:3260,1".into(), "[2001:db8::1]:3260,1".into()]),
        ("iqn.2001-04.com.example:other".into(), Vec::new()),
    ]
}

fn discover(name: Option<&str>) -> Vec<(String, Vec<String>)> {
    all().into_iter().filter(|(known, _)| name.is_none_or(|name| name == known)).collect()
}

fn exchange(session_type: SessionType, limit: u32) -> TextExchange {
    let parameters = Parameters { max_recv_data_segment_length_initiator: limit, ..Parameters::default() };
    let target = (session_type == SessionType::Normal).then(|| DISK.to_owned());
    TextExchange::new(&parameters, &NewSession { session_type, target, ..NewSession::example() })
}

fn last(data: &[u8]) -> TextRequest<'_> {
    TextRequest { final_: true, continue_: false, target_transfer_tag: NO_TAG, data }
}

fn ask(exchange: &mut TextExchange, text: &str) -> String {
    let answer = exchange.request(&last(text.replace(' ', "\0").as_bytes()), &mut discover).unwrap();
    assert!(answer.final_ && !answer.continue_ && answer.target_transfer_tag == NO_TAG);
    String::from_utf8(answer.data).unwrap().replace('\0', " ").trim_end().to_owned()
}

const DISK_RECORD: &str = "TargetName=iqn.2001-04.com.example:disk \
    TargetAddress=192.0.2.1:3260,1 TargetAddress=[2001:db8::1]:3260,1";

#[test]
fn a_discovery_session_finds_all_targets_or_the_one_it_names() {
    let mut exchange = exchange(SessionType::Discovery, 8192);
    let everything = format!("{DISK_RECORD} TargetName=iqn.2001-04.com.example:other");
    assert_eq!(ask(&mut exchange, "SendTargets=All "), everything);
    assert_eq!(ask(&mut exchange, "SendTargets=IQN.2001-04.com.example:Disk "), DISK_RECORD);
    assert_eq!(ask(&mut exchange, "SendTargets=iqn.2001-04.com.example:none "), "");
    assert_eq!(ask(&mut exchange, "SendTargets=nonsense "), "");
    assert_eq!(ask(&mut exchange, "SendTargets= "), "SendTargets=Reject");
}

#[test]
fn a_normal_session_finds_its_own_target_only() {
    let mut exchange = exchange(SessionType::Normal, 8192);
    assert_eq!(ask(&mut exchange, "SendTargets= "), DISK_RECORD);
    assert_eq!(ask(&mut exchange, &format!("SendTargets={DISK} ")), DISK_RECORD);
    assert_eq!(ask(&mut exchange, "SendTargets=iqn.2001-04.com.example:other "), "");
    assert_eq!(ask(&mut exchange, "SendTargets=All "), "SendTargets=Reject");
}

#[test]
fn a_long_answer_comes_in_pieces_that_the_initiator_fetches() {
    let mut exchange = exchange(SessionType::Discovery, 512);
    let mut many =
        |_: Option<&str>| (0..40).map(|number| (format!("{DISK}{number}"), all()[0].1.clone())).collect();
    let mut answer = exchange.request(&last(b"SendTargets=All\0"), &mut many).unwrap();
    let mut text = Vec::new();
    let mut pieces = 1;
    while !answer.final_ {
        assert!(answer.continue_ && answer.target_transfer_tag != NO_TAG);
        assert!(!answer.data.is_empty() && answer.data.len() <= 512);
        assert_eq!(answer.data.last(), Some(&0), "each piece ends with a whole pair");
        text.extend(answer.data);
        let next = TextRequest { target_transfer_tag: answer.target_transfer_tag, ..last(b"") };
        answer = exchange.request(&next, &mut many).unwrap();
        pieces += 1;
    }
    assert!(!answer.continue_);
    text.extend(answer.data);
    assert!(pieces > 5, "{pieces} pieces");
    assert_eq!(crate::text::pairs(&text).unwrap().len(), 120);
}

#[test]
fn a_question_may_come_in_pieces() {
    let mut exchange = exchange(SessionType::Discovery, 8192);
    let first = TextRequest { final_: false, continue_: true, ..last(b"SendTar") };
    let answer = exchange.request(&first, &mut discover).unwrap();
    assert!(!answer.final_ && !answer.continue_ && answer.data.is_empty());
    let rest = TextRequest { target_transfer_tag: answer.target_transfer_tag, ..last(b"gets=All\0") };
    let answer = exchange.request(&rest, &mut discover).unwrap();
    assert!(answer.final_ && answer.data.starts_with(b"TargetName="));
}

#[test]
fn a_length_that_is_declared_anew_holds_once_the_exchange_is_over() {
    let mut exchange = exchange(SessionType::Normal, 8192);
    let request = TextRequest { final_: false, ..last(b"MaxRecvDataSegmentLength=65536\0") };
    let answer = exchange.request(&request, &mut discover).unwrap();
    assert!(!answer.final_ && answer.data.is_empty() && answer.max_recv_data_segment_length.is_none());
    let end = TextRequest { target_transfer_tag: answer.target_transfer_tag, ..last(b"") };
    let answer = exchange.request(&end, &mut discover).unwrap();
    assert!(answer.final_);
    assert_eq!(answer.max_recv_data_segment_length, Some(65_536));
    // One that is given up changes nothing.
    let request = TextRequest { final_: false, ..last(b"MaxRecvDataSegmentLength=512\0") };
    exchange.request(&request, &mut discover).unwrap();
    let answer = exchange.request(&last(b""), &mut discover).unwrap();
    assert_eq!(answer.max_recv_data_segment_length, None);
}

#[test]
fn what_can_not_be_changed_any_more_is_rejected_key_by_key() {
    let mut exchange = exchange(SessionType::Normal, 8192);
    let offers = "MaxBurstLength=4096 X-a=1 AuthMethod=None InitiatorAlias=me TargetName=iqn.x ";
    let expected = "MaxBurstLength=Reject X-a=NotUnderstood AuthMethod=Reject TargetName=Reject";
    assert_eq!(ask(&mut exchange, offers), expected);
}

#[test]
fn a_broken_exchange_is_rejected_and_the_next_one_works() {
    let mut exchange = exchange(SessionType::Discovery, 8192);
    let broken = [
        TextRequest { continue_: true, ..last(b"") },
        TextRequest { target_transfer_tag: 0, ..last(b"") },
        last(b"no pair\0"),
        last(b"SendTargets=All\0SendTargets=All\0"),
    ];
    for request in broken {
        assert!(exchange.request(&request, &mut discover).is_err(), "{request:?}");
        assert!(ask(&mut exchange, "SendTargets=All ").starts_with("TargetName="));
    }
    let piece = TextRequest { final_: false, continue_: true, ..last(&[b'A'; 8192]) };
    let mut tag = NO_TAG;
    let refused = (0..9).find_map(|_| {
        let answer =
            exchange.request(&TextRequest { target_transfer_tag: tag, ..piece.clone() }, &mut discover);
        tag = answer.as_ref().map_or(NO_TAG, |answer| answer.target_transfer_tag);
        answer.err()
    });
    assert_eq!(refused, Some(RejectReason::ProtocolError), "the text of one exchange is bounded");
}

#[test]
fn only_the_tag_of_the_exchange_that_is_under_way_goes_on_with_it() {
    let mut exchange = exchange(SessionType::Discovery, 8192);
    let open = TextRequest { final_: false, ..last(b"X-a=1\0") };
    let tag = exchange.request(&open, &mut discover).unwrap().target_transfer_tag;
    let wrong = TextRequest { target_transfer_tag: tag + 1, ..last(b"") };
    assert_eq!(exchange.request(&wrong, &mut discover), Err(RejectReason::InvalidPduField));
}

#[test]
fn a_tag_of_an_exchange_that_is_over_is_stale() {
    let mut exchange = exchange(SessionType::Discovery, 8192);
    let open = TextRequest { final_: false, ..last(b"X-a=1\0") };
    let old = exchange.request(&open, &mut discover).unwrap().target_transfer_tag;
    let end = TextRequest { target_transfer_tag: old, ..last(b"") };
    assert!(exchange.request(&end, &mut discover).unwrap().final_);
    assert_eq!(exchange.request(&end, &mut discover), Err(RejectReason::InvalidPduField));
}

proptest! {
    #[test]
    fn no_sequence_of_text_requests_does_harm(
        requests in proptest::collection::vec(
            (any::<[bool; 3]>(), "(SendTargets=|All|iqn\\.x|MaxRecvDataSegmentLength=|9999|\0|A){0,9}"),
            0..20,
        ),
    ) {
        let mut exchange = exchange(SessionType::Discovery, 512);
        let mut tag = NO_TAG;
        for ([final_, continue_, fresh], text) in requests {
            let target_transfer_tag = if fresh { NO_TAG } else { tag };
            let request = TextRequest { final_, continue_, target_transfer_tag, data: text.as_bytes() };
            tag = match exchange.request(&request, &mut discover) {
                Ok(answer) => {
                    prop_assert!(answer.data.len() <= 9999);
                    prop_assert!(final_ || !answer.final_, "only the initiator ends an exchange");
                    prop_assert_eq!(answer.final_, answer.target_transfer_tag == NO_TAG);
                    prop_assert!(!(answer.final_ && answer.continue_));
                    answer.target_transfer_tag
                }
                Err(_) => NO_TAG,
            };
        }
    }
}
