//! Text of any shape: keys that nobody knows, of any length, and text that never ends.

use timedisk_iscsi::pdu::{NO_TAG, RejectReason, Response, layout};
use timedisk_volume::MemoryVolume;

use super::super::wire::{Initiator, Lab, Random, login_status, open_target, pairs, text};

const OPERATIONAL: u8 = 1 << 2;
const OPERATIONAL_TO_FULL: u8 = 0x87;
const CONTINUE: u8 = 0x40;
/// The longest key of the standard (RFC 7143 §6.1), and the most that a PDU of a login has.
const KEY: usize = 63;
const SEGMENT: usize = 8192;
/// All of a text together.
const TEXT: usize = 64 << 10;

/// Sends text in as many login requests as it takes; the status and the text of the answer to the last one.
fn say(initiator: &mut Initiator, last: u8, text: &[u8]) -> (u16, Vec<u8>) {
    let mut pieces = text.chunks(SEGMENT).peekable();
    while let Some(piece) = pieces.next() {
        let flags = if pieces.peek().is_some() { OPERATIONAL | CONTINUE } else { last };
        let response = initiator.login_step(flags, piece);
        if login_status(&response) != 0 || pieces.peek().is_none() {
            return (login_status(&response), response.data);
        }
    }
    panic!("some text is said")
}

/// What comes of this text in a login, behind the keys that say who comes.
fn said(lab: &Lab, more: &[u8]) -> (u16, Vec<u8>) {
    let mut initiator = Initiator::connect(lab.address);
    let mut whole = text(&initiator.identity(Some("disk")));
    whole.extend_from_slice(more);
    let (status, data) = say(&mut initiator, OPERATIONAL, &whole);
    match status {
        0 => {
            let response = initiator.login_step(OPERATIONAL_TO_FULL, b"");
            initiator.settle(&response, &[]);
            initiator.check_alive();
        }
        _ => initiator.await_close(),
    }
    (status, data)
}

/// Lengths round every bound, and between them.
fn lengths() -> Vec<usize> {
    let around = |at: usize| [at.saturating_sub(1), at, at + 1];
    let mut all: Vec<usize> = [1, 16, KEY, 128, 255, 1024, SEGMENT, 16 << 10, 32 << 10, TEXT - 200]
        .into_iter()
        .flat_map(around)
        .collect();
    all.retain(|length| *length < TEXT - 150);
    all
}

#[test]
fn an_unknown_key_of_any_length_is_answered_or_refused_cve_2013_2850() {
    let lab = Lab::memory(1 << 20);
    for length in lengths() {
        let key = "X".repeat(length);
        let (status, data) = said(&lab, format!("{key}=1\0").as_bytes());
        match length {
            1..=KEY => {
                assert_eq!(status, 0, "{length} bytes");
                assert!(pairs(&data).contains(&(key, "NotUnderstood".into())), "{length} bytes");
            }
            // An empty key, or one that is too long: it is not said back to anybody.
            _ => assert_eq!((status, data.as_slice()), (0x0200, &b""[..]), "{length} bytes"),
        }
    }
}

#[test]
fn a_value_of_any_length_is_answered_or_refused() {
    let lab = Lab::memory(1 << 20);
    for length in lengths() {
        let value = "v".repeat(length);
        let (status, data) = said(&lab, format!("X-org.example.key={value}\0").as_bytes());
        let expected = if length <= 8192 { 0 } else { 0x0200 };
        assert_eq!(status, expected, "{length} bytes");
        assert!(!data.windows(9).any(|part| part == b"vvvvvvvvv"), "values are not said back");
    }
}

#[test]
fn text_without_equals_signs_or_zero_bytes_is_refused_or_read_to_its_end_cve_2013_2850() {
    let lab = Lab::memory(1 << 20);
    for length in lengths().into_iter().filter(|length| *length > 1) {
        let run = vec![b'A'; length];
        // No `=`; neither `=` nor a zero byte; only zero bytes; a zero byte in the middle of a key or of a value.
        assert_eq!(said(&lab, &[&run[..], b"\0"].concat()).0, 0x0200, "{length} bytes without a value");
        assert_eq!(said(&lab, &run).0, 0x0200, "{length} bytes without an end");
        assert_eq!(said(&lab, &vec![0; length]).0, 0, "{length} zero bytes");
        assert_eq!(said(&lab, &[&run[..length / 2], b"\0", &run[length / 2..], b"=1\0"].concat()).0, 0x0200);
    }
    for (more, status) in [
        (&b"X-a=1\0X-b=2"[..], 0),
        (b"X-a=1\x002\0", 0x0200),
        (b"X-a=\0", 0),
        (b"=\0", 0x0200),
        (b"=X-a\0", 0x0200),
        (b"==\0", 0x0200),
        (b"X-a=1\0\0\0\0X-b=2\0", 0),
        (b"X-\xff=1\0", 0x0200),
        (b"X-a=\xff\xfe\0", 0),
        (b"X-a\x1b[2J=1\0", 0x0200),
        (b"%n%n%n%n=%s%s\0", 0x0200),
        (b"X-a=%s%n%p\0", 0),
    ] {
        assert_eq!(said(&lab, more).0, status, "{more:?}");
    }
}

#[test]
fn more_keys_than_anybody_needs_are_refused() {
    let lab = Lab::memory(1 << 20);
    let many = |count: usize| (0..count).map(|number| format!("X{number}=1\0")).collect::<String>();
    assert_eq!(said(&lab, many(200).as_bytes()).0, 0);
    assert_eq!(said(&lab, many(300).as_bytes()).0, 0x0200);
    assert_eq!(said(&lab, many(7000).as_bytes()).0, 0x0200);
}

#[test]
fn a_login_that_is_continued_without_end_is_refused_at_64_kib() {
    let lab = Lab::memory(1 << 20);
    let mut initiator = Initiator::connect(lab.address);
    let mut sent = 0;
    let status = loop {
        let response = initiator.login_step(OPERATIONAL | CONTINUE, &vec![b'A'; SEGMENT]);
        if login_status(&response) != 0 {
            break login_status(&response);
        }
        sent += SEGMENT;
        assert!(sent <= TEXT, "{sent} bytes were taken");
    };
    assert_eq!((status, sent), (0x0200, TEXT));
    initiator.await_close();
}

#[test]
fn a_text_request_that_is_continued_without_end_is_rejected_at_64_kib() {
    let lab = Lab::memory(1 << 20);
    let mut initiator = lab.session("disk", &[]);
    let (tag, mut transfer_tag, mut sent) = (initiator.tag(), NO_TAG, 0);
    loop {
        let mut request = initiator.text_request(tag, transfer_tag, &[b'A'; SEGMENT]);
        request.header[1] = CONTINUE;
        initiator.send(&request);
        let answer = initiator.receive().unwrap();
        if answer.response() == Response::Reject {
            let reason = layout::TextResponse::of(&answer.header).reason;
            assert!(
                [RejectReason::ProtocolError as u8, RejectReason::InvalidPduField as u8,].contains(&reason),
                "{reason}"
            );
            break;
        }
        assert_eq!(answer.response(), Response::Text);
        transfer_tag = layout::TextResponse::of(&answer.header).target_transfer_tag.get();
        sent += SEGMENT;
        assert!(sent <= TEXT, "{sent} bytes were taken");
    }
    assert_eq!(sent, TEXT);
    initiator.check_alive();
    assert_eq!(initiator.ask(b"SendTargets=\0").len(), 2, "the next exchange is its own");
}

#[test]
fn text_requests_of_every_length_are_answered_with_digests_and_without() {
    let lab = Lab::memory(1 << 20);
    let mut random = Random::new(3);
    for offers in [&[][..], &[("HeaderDigest", "CRC32C"), ("DataDigest", "CRC32C")]] {
        let mut initiator = lab.session("disk", offers);
        let most = initiator.terms.max_recv_data_segment_length_target as usize;
        assert_eq!(initiator.ask(b""), [], "no data, so no data digest");
        assert!(most > TEXT);
        for length in [0, 1, 2, 3, 4, 5, 63, 64, 1000, 4096, TEXT - 1, TEXT, TEXT + 1, most - 1, most] {
            // Zero bytes are text that says nothing; the rest is no text.
            if length <= TEXT {
                assert_eq!(initiator.ask(&vec![0; length]), [], "{length} bytes");
            }
            for data in [vec![b'A'; length], random.bytes(length)] {
                let tag = initiator.tag();
                let request = initiator.text_request(tag, NO_TAG, &data);
                initiator.send(&request);
                let answer = initiator.receive().unwrap();
                assert!(
                    answer.response() == Response::Reject
                        || (length < 5 && answer.response() == Response::Text),
                    "{length} bytes: {answer:02x?}"
                );
                initiator.check_alive();
            }
        }
    }
}

#[test]
fn what_is_said_in_a_login_is_not_kept_in_its_answer_beyond_a_pdu() {
    // Answers to as many keys as are taken, of the greatest length: more than one PDU, each within its bound.
    let lab = Lab::new(vec![open_target("disk", MemoryVolume::new(1 << 20))]);
    let keys: String = (0..250).map(|number| format!("{number:X>63}=1\0")).collect();
    let mut initiator = Initiator::connect(lab.address);
    let mut whole = text(&initiator.identity(Some("disk")));
    whole.extend(keys.as_bytes());
    let (status, mut data) = say(&mut initiator, OPERATIONAL, &whole);
    assert_eq!(status, 0);
    let mut pieces = 1;
    while pairs_of(&data) < 250 {
        let response = initiator.login_step(OPERATIONAL, b"");
        assert_eq!(login_status(&response), 0);
        assert!(!response.data.is_empty() && response.data.len() <= SEGMENT);
        data.extend(response.data);
        pieces += 1;
    }
    assert!(pieces >= 3, "{pieces} pieces");
    let response = initiator.login_step(OPERATIONAL_TO_FULL, b"");
    initiator.settle(&response, &[]);
    initiator.check_alive();
}

fn pairs_of(data: &[u8]) -> usize {
    data.windows(14).filter(|part| part == b"=NotUnderstood").count()
}
