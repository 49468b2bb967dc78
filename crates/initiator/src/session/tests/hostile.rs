//! Targets that break the rules: an error that says which, never a panic, never memory without end.

use proptest::prelude::*;

use super::*;

/// What comes of a stream that a target sends while one read of 8192 bytes and one write of 100,000 are under
/// way.
fn outcome(make: impl Fn(&mut Target, u32, u32) -> Vec<u8>) -> ProtocolError {
    let mut session = session();
    let mut target = Target::of(&session);
    let reading = session.submit(read(8192)).unwrap();
    let writing = session.submit(write(&[0; 100_000])).unwrap();
    let bytes = make(&mut target, reading.0, writing.0);
    session.receive(&bytes, &mut ()).expect_err("that is an error")
}

#[test]
fn data_out_of_order_beyond_the_end_or_for_nobody_are_refused() {
    let data = [0; 4096];
    let cases = [
        (
            outcome(|target, read, _| target.data_in(read, 1, 0, &data, None)),
            "Data-In number 1, where number 0",
        ),
        (
            outcome(|target, read, _| target.data_in(read, 0, 4, &data, None)),
            "Data-In for offset 4, where offset 0",
        ),
        (
            outcome(|target, read, _| {
                let mut bytes = target.data_in(read, 0, 0, &data, None);
                bytes.extend(target.data_in(read, 1, 4096, &[0; 4100], None));
                bytes
            }),
            "up to byte 8196 of a command that has 8192",
        ),
        (outcome(|target, read, _| target.data_in(read, 0, u32::MAX, &data, None)), "offset 4294967295"),
        (outcome(|target, read, _| target.data_in(read + 1000, 0, 0, &data, None)), "not under way"),
        (outcome(|target, read, _| target.data_in(read + 0x1_0000, 0, 0, &data, None)), "not under way"),
        (outcome(|target, _, _| target.data_in(NO_TAG, 0, 0, &data, None)), "not under way"),
        (outcome(|target, _, write| target.data_in(write, 0, 0, &data, None)), "no data in that direction"),
        (outcome(|target, read, _| target.data_in(read, 0, 0, &[], None)), "without data and without status"),
        (
            outcome(|target, read, _| {
                let mut bytes = target.data_in(read, 0, 0, &data, Some(0));
                bytes[1] = 1;
                bytes
            }),
            "not the last",
        ),
        (
            outcome(|target, _, _| {
                let mut bytes = target.data_in(NO_TAG, 0, 0, &[], None);
                bytes[5..8].copy_from_slice(&[0x10, 0, 1]);
                bytes
            }),
            "1048577 bytes, where at most 1048576",
        ),
    ];
    for (error, words) in cases {
        assert!(error.to_string().contains(words), "{error} / {words}");
    }
}

#[test]
fn requests_for_data_that_make_no_sense_are_refused() {
    // So many go with the command.
    let next = 8192;
    let cases = [
        (outcome(|target, _, write| target.ready(write, 1, next, 100)), "R2T number 1, where number 0"),
        (outcome(|target, _, write| target.ready(write, 0, 0, 100)), "R2T for offset 0, where offset"),
        (outcome(|target, _, write| target.ready(write, 0, next, 0)), "asked for 0 bytes"),
        (outcome(|target, _, write| target.ready(write, 0, next, 1 << 19)), "asked for 524288 bytes"),
        (outcome(|target, _, write| target.ready(write, 0, next, 91_809)), "up to byte 100001"),
        (outcome(|target, read, _| target.ready(read, 0, 0, 100)), "no data in that direction"),
        (outcome(|target, _, _| target.ready(12345, 0, 0, 100)), "not under way"),
        (
            outcome(|target, _, write| {
                let mut bytes = target.ready(write, 0, next, 100);
                bytes[20..24].fill(0xff);
                bytes
            }),
            "without a target transfer tag",
        ),
    ];
    for (error, words) in cases {
        assert!(error.to_string().contains(words), "{error} / {words}");
    }
}

#[test]
fn numbers_that_are_missing_and_answers_that_come_twice_are_refused() {
    let cases = [
        (
            outcome(|target, read, _| {
                target.stat_sn = target.stat_sn.wrapping_add(1);
                target.response(read, 0, &[])
            }),
            "status number 0, where number 4294967295",
        ),
        (
            outcome(|target, read, _| {
                let mut bytes = target.response(read, 0, &[]);
                bytes.extend(target.response(read, 0, &[]));
                bytes
            }),
            "SCSI Response for a task",
        ),
        (outcome(|target, _, _| target.text_like(Response::NopIn, 5, 5, &[])), "NOP-In for a task 00000005h"),
        (outcome(|target, _, _| target.text_like(Response::Text, 5, 5, &[])), "opcode 24h"),
        (
            outcome(|target, _, _| target.text_like(Response::Reject, NO_TAG, NO_TAG, &[1; 48])),
            "(opcode 01h): protocol error",
        ),
        (outcome(|target, _, _| target.text_like(Response::Reject, NO_TAG, NO_TAG, &[])), "rejects"),
        (outcome(|target, _, _| target.encode([0x3e; HEADER_LENGTH], &[0; 1000])), "opcode 3eh"),
        (outcome(|_, _, _| vec![0x01; 48 + 4]), "opcode 01h"),
        (outcome(|_, _, _| vec![0xff; 48 + 1020]), "16777215 bytes, where at most"),
        (outcome(|target, _, _| target.event(1)), "asks us to log out"),
        (outcome(|target, _, _| target.event(2)), "drops this connection"),
        (outcome(|target, _, _| target.event(3)), "drops the connections"),
        (outcome(|target, _, _| target.event(5)), "ended all tasks"),
    ];
    for (error, words) in cases {
        assert!(error.to_string().contains(words), "{error} / {words}");
    }
}

#[test]
fn a_late_answer_is_told_from_one_to_the_next_command_at_its_place() {
    let mut session = Session::new(terms(parameters()), 1);
    let mut target = Target::of(&session);
    let first = session.submit(read(4)).unwrap();
    session.receive(&target.data_in(first.0, 0, 0, &[0; 4], Some(0)), &mut ()).unwrap();
    let second = session.submit(read(4)).unwrap();
    assert_eq!(first.index(), second.index());
    assert_ne!(first, second);
    let late = session.receive(&target.data_in(first.0, 0, 0, &[0; 4], Some(0)), &mut ());
    assert!(matches!(late, Err(ProtocolError::UnknownTag { .. })), "{late:?}");
}

#[test]
fn pings_without_end_are_an_error_before_they_fill_the_memory() {
    let mut session = session();
    let ping = Target::of(&session).text_like(Response::NopIn, NO_TAG, 1, &[0; 4000]);
    let mut most = 0;
    let error = (0..1_000_000).find_map(|_| {
        most = most.max(session.outbox.own_bytes());
        session.receive(&ping, &mut ()).err()
    });
    assert_eq!(error, Some(ProtocolError::Flood));
    assert!(most < 2 << 20, "{most} bytes");
    assert!(session.inbox.kept.capacity() < 10_000, "data of pings are not kept");
}

#[test]
fn unknown_events_and_changes_of_a_disk_go_by() {
    let mut session = session();
    let mut target = Target::of(&session);
    for event in [0, 4, 9, 255] {
        session.receive(&target.event(event), &mut ()).unwrap();
    }
    let tag = session.submit(read(4)).unwrap();
    session.receive(&target.data_in(tag.0, 0, 0, &[0; 4], Some(0)), &mut ()).unwrap();
    assert!(session.next_completion().is_some());
}

fn any_pdu() -> impl Strategy<Value = Vec<u8>> {
    let opcode = proptest::sample::select(vec![0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x31, 0x32, 0x3f]);
    let small =
        proptest::sample::select(vec![0u32, 1, 2, 4, 0x1_0000, 0x1_0001, NO_TAG, LOGOUT_TAG, 0xffff_ffff]);
    let fields = proptest::collection::vec(small, 11);
    (opcode, any::<[u8; 3]>(), 0usize..40, fields).prop_map(|(opcode, flags, length, fields)| {
        let mut bytes = vec![opcode, flags[0], flags[1], flags[2] & 3, 0];
        bytes.extend(data_segment_length(length));
        fields.iter().skip(1).for_each(|field| bytes.extend(field.to_be_bytes()));
        bytes.resize(HEADER_LENGTH + padded(length), 0x70);
        bytes
    })
}

proptest! {
    #[test]
    fn no_stream_does_harm(
        pdus in proptest::collection::vec(any_pdu(), 1..30),
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        pieces in proptest::collection::vec(1usize..99, 0..40),
        (header_digest, data_digest) in any::<(bool, bool)>(),
    ) {
        let terms = Terms {
            exp_stat_sn: 0,
            ..terms(Parameters { header_digest, data_digest, ..parameters() })
        };
        let mut session = Session::new(terms, 4);
        session.submit(read(100));
        session.submit(write(&[1; 200_000]));
        session.submit(Command::new(0, [0; 16], Transfer::None));
        let stream: Vec<u8> = pdus.into_iter().flatten().chain(noise).collect();
        let mut kept = |_: Tag, offset: u32, bytes: &[u8]| assert!(offset as usize + bytes.len() <= 100);
        struct Check<'a>(&'a mut dyn FnMut(Tag, u32, &[u8]));
        impl Sink for Check<'_> {
            fn data(&mut self, tag: Tag, offset: u32, bytes: &[u8]) {
                (self.0)(tag, offset, bytes);
            }
        }
        let _ = feed(&mut session, &stream, &pieces, &mut Check(&mut kept));
        prop_assert!(session.completions().count() <= 3);
        prop_assert!(session.outbox.own_bytes() < 1 << 20);
        drain(&mut session, 5000);
    }
}
