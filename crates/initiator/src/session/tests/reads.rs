//! Data that come, in whatever pieces.

use proptest::prelude::*;

use super::*;

/// A stream of reads: for each its data in PDUs, and its status with the last one or behind it.
fn stream(session: &mut Session, lengths: &[(u32, u32, bool)]) -> (Vec<u8>, Vec<Tag>) {
    let mut target = Target::of(session);
    let (mut bytes, mut tags) = (Vec::new(), Vec::new());
    for (length, piece, in_data) in lengths {
        let tag = session.submit(read(*length)).unwrap();
        tags.push(tag);
        let data: Vec<u8> = (0..*length).map(|index| (index * 7 + index / 251) as u8).collect();
        let count = data.chunks(*piece as usize).count();
        for (index, chunk) in data.chunks(*piece as usize).enumerate() {
            let status = (*in_data && index + 1 == count).then_some(0);
            bytes.extend(target.data_in(tag.0, index as u32, index as u32 * piece, chunk, status));
        }
        if !in_data {
            bytes.extend(target.response(tag.0, 0, &[]));
        }
    }
    (bytes, tags)
}

proptest! {
    #[test]
    fn reads_come_whole_however_the_stream_is_cut(
        (length, piece, in_data) in (1u32..9000, 1u32..5000, any::<bool>()),
        (header_digest, data_digest) in any::<(bool, bool)>(),
        pieces in proptest::collection::vec(1usize..700, 0..60),
    ) {
        let parameters = Parameters { header_digest, data_digest, ..parameters() };
        let mut session = Session::new(terms(parameters), 4);
        let (bytes, tags) = stream(&mut session, &[(length, piece, in_data)]);
        let mut kept = Kept::default();
        feed(&mut session, &bytes, &pieces, &mut kept).unwrap();
        let completion = session.next_completion().unwrap();
        prop_assert_eq!(completion.tag, tags[0]);
        prop_assert!(completion.outcome.is_good());
        prop_assert_eq!(completion.outcome.moved, length);
        let expected: Vec<u8> = (0..length).map(|index| (index * 7 + index / 251) as u8).collect();
        prop_assert_eq!(kept.0, expected);
        prop_assert_eq!(session.in_flight(), 0);
    }

    #[test]
    fn a_damaged_stream_with_digests_never_brings_wrong_data_as_good(
        at in 0usize..4000, bit in 0u8..8,
    ) {
        let parameters = Parameters { header_digest: true, data_digest: true, ..parameters() };
        let mut session = Session::new(terms(parameters), 4);
        let (mut bytes, _) = stream(&mut session, &[(2000, 600, true), (1500, 1500, false)]);
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let result = feed(&mut session, &bytes, &[], &mut ());
        let damage = matches!(result, Err(ProtocolError::HeaderDigest | ProtocolError::DataDigest));
        // A damaged length may make a header longer than what is left.
        prop_assert!(damage || session.completions().count() < 2, "{result:?}");
    }
}

#[test]
fn all_that_one_receive_brings_ends_together_and_makes_room() {
    let mut session = session();
    let (bytes, tags) = stream(&mut session, &[(4096, 4096, true); 8]);
    assert!(!session.can_submit(), "all slots are taken");
    assert_eq!(session.submit(read(1)), None);
    assert_eq!(session.receive(&bytes, &mut ()), Ok(bytes.len()));
    let mut ended: Vec<usize> = session.completions().map(|completion| completion.tag.index()).collect();
    ended.sort_unstable();
    assert_eq!(ended, tags.iter().map(|tag| tag.index()).collect::<Vec<_>>());
    assert!(session.can_submit());
}

#[test]
fn headers_of_commands_go_out_as_one_piece() {
    let mut session = session();
    for _ in 0..8 {
        session.submit(read(4096)).unwrap();
    }
    let mut slices = [IoSlice::new(&[]); 16];
    assert_eq!(session.outgoing(&mut slices), 1);
    assert_eq!(slices[0].len(), 8 * HEADER_LENGTH);
    assert_eq!(session.outgoing_whole(), Some(&slices[0][..]));
    let mut sent = session.outgoing_whole().unwrap()[..70].to_vec();
    session.sent(70);
    assert_eq!(session.outgoing_whole().unwrap().len(), 8 * HEADER_LENGTH - 70);
    sent.extend(drain(&mut session, 100));
    assert_eq!(session.outgoing_whole(), None);
    let target = Target::of(&session);
    let numbers =
        target.decode(&sent).into_iter().map(|(header, _)| layout::ScsiCommand::of(&header).cmd_sn.get());
    assert_eq!(numbers.collect::<Vec<_>>(), [0xffff_fffe, 0xffff_ffff, 0, 1, 2, 3, 4, 5]);
}

#[test]
fn sense_and_residuals_are_told() {
    let mut session = session();
    let mut target = Target::of(&session);
    let tag = session.submit(read(96)).unwrap();
    let mut bytes = target.response(tag.0, 2, &[0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24, 0, 0, 0, 0, 0]);
    bytes[1] |= 2;
    bytes[44..48].copy_from_slice(&96u32.to_be_bytes());
    session.receive(&bytes, &mut ()).unwrap();
    let outcome = session.next_completion().unwrap().outcome;
    assert_eq!(outcome.residual, Residual::Underflow(96));
    assert_eq!(outcome.to_string(), "CHECK CONDITION (ILLEGAL REQUEST, 24/00)");
    assert!(!outcome.is_good());
}

#[test]
fn the_window_opens_and_never_closes() {
    let mut session = Session::new(Terms { max_cmd_sn: 0xffff_fffe, ..terms(parameters()) }, 8);
    let mut target = Target::of(&session);
    let first = session.submit(read(4)).unwrap();
    assert!(!session.can_submit(), "the window has room for one command");
    (target.exp_cmd_sn, target.max_cmd_sn) = (0xffff_ffff, 1);
    session.receive(&target.data_in(first.0, 0, 0, &[0; 4], Some(0)), &mut ()).unwrap();
    assert!(session.can_submit());
    // Older numbers, and numbers that contradict each other, are passed over.
    for (exp, max) in [(0xffff_fff0, 0xffff_fff8), (0x4000_0000, 0x3fff_0000)] {
        (target.exp_cmd_sn, target.max_cmd_sn) = (exp, max);
        session.receive(&target.text_like(Response::NopIn, NO_TAG, NO_TAG, &[]), &mut ()).unwrap();
    }
    for _ in 0..3 {
        session.submit(read(4)).unwrap();
    }
    assert!(!session.can_submit(), "0xffffffff, 0 and 1 were in the window");
}

#[test]
fn a_ping_is_answered_with_its_tag_and_a_show_of_numbers_is_not() {
    let mut session = session();
    let target = Target::of(&session);
    session.receive(&target.text_like(Response::NopIn, NO_TAG, NO_TAG, &[]), &mut ()).unwrap();
    assert!(!session.wants_to_send());
    session.receive(&target.text_like(Response::NopIn, NO_TAG, 0x1234, &[]), &mut ()).unwrap();
    let sent = drain(&mut session, 1000);
    let [(header, data)] = target.decode(&sent).try_into().unwrap();
    let answer = layout::TextRequest::of(&header);
    assert_eq!((answer.opcode, answer.flags, data.len()), (0x40, 0x80, 0));
    assert_eq!(answer.initiator_task_tag.get(), NO_TAG);
    assert_eq!(answer.target_transfer_tag.get(), 0x1234);
    assert_eq!(answer.cmd_sn.get(), 0xffff_fffe, "it takes no number");
}

#[test]
fn a_logout_ends_the_session_in_peace() {
    let mut session = session();
    session.log_out();
    assert!(!session.can_submit());
    drain(&mut session, 1000);
    let mut header = layout::ShortResponse::zeroed();
    header.opcode = Response::Logout as u8;
    header.flags = 0x80;
    header.initiator_task_tag = LOGOUT_TAG.into();
    header.stat_sn = session.terms.exp_stat_sn.into();
    session.receive(&header.bytes(), &mut ()).unwrap();
    assert!(session.is_logged_out());
}

#[test]
fn connections_of_one_session_number_their_commands_together() {
    let begin = Terms {
        max_cmd_sn: 1,
        parameters: Parameters { max_connections: 2, ..parameters() },
        ..terms(parameters())
    };
    let mut first = Session::new(begin.clone(), 8);
    let late = Terms { cid: 1, exp_stat_sn: 100, max_cmd_sn: 0xffff_fffe, ..begin };
    let mut second = Session::joining(late, 8, Arc::clone(first.window()));
    let target = Target::of(&first);
    let mut numbers = Vec::new();
    for session in [&mut first, &mut second] {
        session.submit(read(4)).unwrap();
        session.submit(read(4)).unwrap();
        let sent = target.decode(&drain(session, 1000));
        numbers.extend(sent.iter().map(|(header, _)| layout::ScsiCommand::of(header).cmd_sn.get()));
    }
    assert_eq!(numbers, [0xffff_fffe, 0xffff_ffff, 0, 1]);
    assert!(!first.can_submit() && !second.can_submit(), "one window for both");
    let mut of_second = Target { exp_cmd_sn: 2, max_cmd_sn: 2, ..Target::of(&second) };
    assert_eq!(of_second.stat_sn, 100, "each connection counts its own status");
    let tag = second.submit(read(4));
    assert_eq!(tag, None);
    second.receive(&of_second.data_in(0, 0, 0, &[0; 4], Some(0)), &mut ()).unwrap();
    assert!(first.can_submit(), "what opens it for one opens it for all");
    first.log_out();
    let sent = target.decode(&drain(&mut first, 1000));
    assert_eq!(layout::LogoutRequest::of(&sent[0].0).reason, 0x81, "only this connection ends");
}
