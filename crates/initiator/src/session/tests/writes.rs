//! Data that go: with the command, after it, and when they are asked for.

use proptest::prelude::*;

use super::*;

/// The terms that decide how data go.
fn any_terms() -> impl Strategy<Value = Parameters> {
    (any::<[bool; 4]>(), 512u32..5000, 512u32..9000, 512u32..9000).prop_map(
        |([immediate_data, initial_r2t, header_digest, data_digest], piece, first, most)| Parameters {
            immediate_data,
            initial_r2t,
            header_digest,
            data_digest,
            max_recv_data_segment_length_target: piece,
            first_burst_length: first.min(most),
            max_burst_length: most,
            ..parameters()
        },
    )
}

proptest! {
    #[test]
    fn a_write_arrives_whole_under_all_terms(
        parameters in any_terms(),
        length in 1usize..30_000,
        most in 1usize..3000,
    ) {
        let data: Vec<u8> = (0..length).map(|index| (index * 13 + index / 253) as u8).collect();
        let mut session = Session::new(terms(parameters), 4);
        let target = Target::of(&session);
        let tag = session.submit(write(&data)).unwrap();
        let mut arrived = Vec::new();

        let pdus = target.decode(&drain(&mut session, most));
        let (command, immediate) = &pdus[0];
        let command = layout::ScsiCommand::of(command);
        prop_assert_eq!(command.flags & 0x60, 0x20);
        prop_assert_eq!(command.expected_data_transfer_length.get() as usize, length);
        prop_assert!(parameters.immediate_data || immediate.is_empty());
        prop_assert_eq!(command.flags & FINAL != 0, pdus.len() == 1, "F tells whether data follow unasked");
        arrived.extend_from_slice(immediate);
        take_burst(&pdus[1..], &parameters, NO_TAG, &mut arrived)?;
        prop_assert!(pdus.len() == 1 || !parameters.initial_r2t);
        let first = (parameters.first_burst_length as usize).min(length);
        prop_assert!(arrived.len() <= first);
        if !parameters.initial_r2t {
            prop_assert_eq!(arrived.len(), first, "all that may go unasked does");
        }

        let mut number = 0;
        while arrived.len() < length {
            let wanted = (length - arrived.len()).min(parameters.max_burst_length as usize);
            let ready = target.ready(tag.0, number, arrived.len() as u32, wanted as u32);
            session.receive(&ready, &mut ()).unwrap();
            let before = arrived.len();
            take_burst(&target.decode(&drain(&mut session, most)), &parameters, 77, &mut arrived)?;
            prop_assert_eq!(arrived.len() - before, wanted);
            number += 1;
        }
        prop_assert_eq!(arrived, data);
    }
}

/// Takes a sequence of Data-Out PDUs.
fn take_burst(
    pdus: &[([u8; HEADER_LENGTH], Vec<u8>)],
    parameters: &Parameters,
    transfer_tag: u32,
    arrived: &mut Vec<u8>,
) -> Result<(), TestCaseError> {
    for (number, (header, data)) in pdus.iter().enumerate() {
        let header = layout::DataOut::of(header);
        prop_assert_eq!(header.opcode, Request::DataOut as u8);
        prop_assert_eq!(header.data_sn.get() as usize, number);
        prop_assert_eq!(header.target_transfer_tag.get(), transfer_tag);
        prop_assert_eq!(header.buffer_offset.get() as usize, arrived.len());
        prop_assert!(data.len() <= parameters.max_recv_data_segment_length_target as usize);
        prop_assert_eq!(header.flags & FINAL != 0, number + 1 == pdus.len());
        arrived.extend_from_slice(data);
    }
    Ok(())
}

#[test]
fn long_data_are_sent_from_where_they_are() {
    let bytes: Arc<[u8]> = vec![5; 4096].into();
    let mut session = session();
    let payload = Payload::new(&bytes, 0..4096).unwrap();
    session.submit(Command::new(0, [0; 16], Transfer::Write(payload))).unwrap();
    let mut slices = [IoSlice::new(&[]); 4];
    assert_eq!(session.outgoing(&mut slices), 2);
    assert_eq!(slices[1].as_ptr(), bytes.as_ptr());
}

#[test]
fn data_are_let_go_when_they_are_sent_and_the_command_has_ended() {
    let bytes: Arc<[u8]> = vec![5; 4096].into();
    let mut session = session();
    let mut target = Target::of(&session);
    let payload = Payload::new(&bytes, 0..4096).unwrap();
    let tag = session.submit(Command::new(0, [0; 16], Transfer::Write(payload))).unwrap();
    drain(&mut session, 10_000);
    assert_eq!(Arc::strong_count(&bytes), 2, "the target may ask for them again by R2T");
    session.receive(&target.response(tag.0, 0, &[]), &mut ()).unwrap();
    assert_eq!(Arc::strong_count(&bytes), 1);
}

#[test]
fn a_part_that_a_buffer_does_not_have_is_no_payload() {
    let bytes: Arc<[u8]> = vec![0; 10].into();
    assert!(Payload::new(&bytes, 0..11).is_none());
    #[allow(clippy::reversed_empty_ranges)]
    let backwards = 8..4;
    assert!(Payload::new(&bytes, backwards).is_none());
    assert_eq!(Payload::new(&bytes, 4..8).unwrap().length(), 4);
}
