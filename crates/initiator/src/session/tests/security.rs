//! What other initiators have been broken by: each answer here is checked against what was asked (docs/security.md).

use super::*;
use crate::sense::Sense;

/// SCSI Response with CHECK CONDITION and this data segment.
fn check_condition(target: &mut Target, tag: u32, segment: &[u8]) -> Vec<u8> {
    let mut header = layout::ScsiResponse::zeroed();
    header.opcode = Response::ScsiResponse as u8;
    header.flags = 0x80;
    header.status = 0x02;
    header.initiator_task_tag = tag.into();
    header.stat_sn = target.stat_sn.into();
    header.exp_cmd_sn = target.exp_cmd_sn.into();
    header.max_cmd_sn = target.max_cmd_sn.into();
    target.stat_sn = target.stat_sn.wrapping_add(1);
    target.encode(header.bytes(), segment)
}

/// What is made of the sense data in this segment.
fn sense_in(segment: &[u8]) -> Option<Sense> {
    let mut session = session();
    let mut target = Target::of(&session);
    let tag = session.submit(read(512)).unwrap();
    session.receive(&check_condition(&mut target, tag.0, segment), &mut ()).unwrap();
    let completion = session.next_completion().expect("the command has ended");
    assert_eq!(completion.outcome.status, 0x02);
    completion.outcome.sense
}

const FIXED: [u8; 18] = [0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24, 1, 0, 0, 0, 0];

#[test]
fn sense_data_are_read_within_their_segment_and_their_length() {
    let with_length = |length: u16| [&length.to_be_bytes()[..], &FIXED].concat();
    let whole = Some(Sense { key: 5, code: 0x24, qualifier: 1 });
    assert_eq!(sense_in(&with_length(18)), whole);
    // Nothing, half a length, a length and nothing else.
    for segment in [&[][..], &[0], &[18], &[0, 0], &[0, 18], &[0xff, 0xff]] {
        assert_eq!(sense_in(segment), None, "{segment:?}");
    }
    // Longer than what there is: what there is, is read.
    for length in [19, 252, 0x7fff, 0xffff] {
        assert_eq!(sense_in(&with_length(length)), whole, "{length}");
        assert_eq!(sense_in(&with_length(length)[..2 + 3]), Some(Sense { key: 5, code: 0, qualifier: 0 }));
        assert_eq!(sense_in(&with_length(length)[..2 + 2]), None);
    }
    // Shorter: what is behind them is no sense data.
    assert_eq!(sense_in(&with_length(0)), None);
    assert_eq!(sense_in(&with_length(2)), None);
    assert_eq!(sense_in(&with_length(3)), Some(Sense { key: 5, code: 0, qualifier: 0 }));
    assert_eq!(sense_in(&with_length(13)), Some(Sense { key: 5, code: 0x24, qualifier: 0 }));
}

#[test]
fn what_answers_no_command_is_an_error_whatever_its_tag() {
    for depth in [0, 1] {
        for tag in [0, 1, 2, 7, 8, 9, 0xffff, 0x1_0000, 0x1_0001, 0x7fff_ffff, LOGOUT_TAG, NO_TAG] {
            type Make = fn(&mut Target, u32) -> Vec<u8>;
            let kinds: [Make; 7] = [
                |target, tag| target.data_in(tag, 0, 0, &[1; 512], None),
                |target, tag| target.data_in(tag, 0, 0, &[], Some(0)),
                |target, tag| target.ready(tag, 0, 0, 512),
                |target, tag| target.response(tag, 0, &[]),
                |target, tag| check_condition(target, tag, &[0, 18]),
                |target, tag| target.text_like(Response::TaskManagement, tag, 0, &[]),
                |target, tag| target.text_like(Response::Logout, tag, 0, &[]),
            ];
            for (number, make) in kinds.iter().enumerate() {
                let mut session = session();
                let mut target = Target::of(&session);
                // A command that has no data, or none at all.
                let own =
                    (depth > 0).then(|| session.submit(Command::new(0, [0; 16], Transfer::None)).unwrap());
                if number > 2 && own.is_some_and(|own| own.0 == tag) {
                    continue;
                }
                let bytes = make(&mut target, tag);
                let outcome = session.receive(&bytes, &mut ());
                let is_status_of_own = number == 1 && own.is_some_and(|own| own.0 == tag);
                assert!(outcome.is_err() || is_status_of_own, "{number}: {tag:08x}h, {depth} under way");
                assert_eq!(session.completions().count(), 0);
            }
        }
    }
}

#[test]
fn an_offset_and_a_length_that_overflow_32_bits_are_refused_cve_2021_38575() {
    const END: u32 = u32::MAX;
    for (moved, length) in [(END, 1), (END - 3, 8), (END - 3, 4096), (END - 511, 4096)] {
        // As if so many bytes had come, or been asked for, before.
        let mut session = session();
        let mut target = Target::of(&session);
        let tag = session.submit(read(END)).unwrap();
        session.slots.find(tag.0).unwrap().moved = moved;
        let bytes = target.data_in(tag.0, 0, moved, &vec![1; length as usize], None);
        let error = session.receive(&bytes, &mut ()).unwrap_err();
        let end = u64::from(moved) + u64::from(length);
        assert_eq!(error, ProtocolError::Overrun { what: "Data-In", end, length: END });
        let mut session = super::session();
        let target = Target::of(&session);
        let tag = session.submit(write(&[0; 100_000])).unwrap();
        let slot = session.slots.find(tag.0).unwrap();
        (slot.moved, slot.length) = (moved, END);
        let error = session.receive(&target.ready(tag.0, 0, moved, length), &mut ()).unwrap_err();
        assert_eq!(error, ProtocolError::Overrun { what: "R2T", end, length: END });
    }
}

#[test]
fn a_segment_that_is_longer_than_we_declared_is_refused_before_it_comes() {
    let session_of = |limit: u32| {
        let parameters = Parameters { max_recv_data_segment_length_initiator: limit, ..parameters() };
        Session::new(terms(parameters), 8)
    };
    for (limit, length) in [(512, 513), (8192, 8193), (1 << 20, (1 << 20) + 1), (512, 0xff_ffff)] {
        for kind in [Response::ScsiResponse, Response::DataIn, Response::NopIn, Response::Reject] {
            let mut session = session_of(limit);
            let mut header = [0; HEADER_LENGTH];
            header[0] = kind as u8;
            header[5..8].copy_from_slice(&data_segment_length(length));
            let error = session.receive(&header, &mut ()).unwrap_err();
            assert_eq!(error, ProtocolError::TooLong { length, limit: limit as usize });
        }
    }
}
