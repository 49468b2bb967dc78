//! Damage on the way (RFC 7143 §7.8).

use super::*;

#[test]
fn a_command_with_damaged_data_counts_as_not_received_and_may_be_sent_again() {
    let mut bench = Bench::new(|_| {});
    bench.host.plan.data_out = 512;
    let sent = bench.give_damaged(command(1, 100, F | W, 512), &pattern(512), false);
    assert_eq!((sent[0].kind(), sent[0].header[2]), (Response::Reject, RejectReason::DataDigestError as u8));
    assert_eq!(sent[0].exp_cmd_sn(), 100);
    assert!(bench.host.started.is_empty());
    bench.give(command(1, 100, F | W, 512), &pattern(512));
    assert_eq!(bench.host.started.len(), 1);
}

#[test]
fn damaged_data_are_rejected_and_end_their_task_once_all_have_come() {
    let mut bench = Bench::new(|_| {});
    bench.host.plan.data_out = 1024;
    let tag = bench.give(command(1, 100, F | W, 1024), &[])[0].r2t().target_transfer_tag.get();
    let sent = bench.give_damaged(data_out(1, tag, 0, 0, 0), &pattern(512), false);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].header[2], RejectReason::DataDigestError as u8);
    assert_eq!(bench.give(data_out(1, tag, F, 1, 512), &pattern(512))[0].sense(), (0x0b, 0x47, 0x05));
    assert!(bench.host.started.is_empty());
}

#[test]
fn damaged_pings_are_rejected_and_not_answered() {
    let mut bench = Bench::new(|_| {});
    let mut header = layout::TextRequest::zeroed();
    header.opcode = pdu::IMMEDIATE;
    header.initiator_task_tag = 5.into();
    header.target_transfer_tag = NO_TAG.into();
    let sent = bench.give_damaged(header.bytes(), b"ping", false);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].header[2], RejectReason::DataDigestError as u8);
}

/// Each single bit of a PDU with both digests, flipped: it is noticed wherever it is.
#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let mut out: Transmitter<Vec<u8>> = Transmitter::new();
    out.configure(true, true);
    let mut header = command(1, 100, F | W, 512);
    header[4] = 2;
    out.push(header, Segment::Owned(pattern(509)));
    let wire = taken(&mut out);
    // The transmitter sends no additional header segments: put two words in, and the digest of the whole.
    let mut covered = wire[..48].to_vec();
    covered.extend([0, 5, 2, 0, 0, 0, 2, 0]);
    let digest = crate::digest::crc32c(&covered);
    let wire = [&covered[..], &digest[..], &wire[52..]].concat();
    assert_eq!(verdict(&wire), Some(true));
    for bit in 0..wire.len() * 8 {
        let mut damaged = wire.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let intact = verdict(&damaged);
        assert_ne!(intact, Some(true), "bit {bit} of {}", wire.len() * 8);
        assert_eq!(intact.is_none(), bit / 8 < 60, "headers break the connection, data only their PDU");
    }
}

/// Whether the one PDU in there is intact; `None` where its header is damaged (a length that is too long counts).
fn verdict(wire: &[u8]) -> Option<bool> {
    let mut receiver = Receiver::new(1 << 16);
    receiver.configure(true, true, 1 << 16);
    receiver.space()[..wire.len()].copy_from_slice(wire);
    receiver.took(wire.len());
    loop {
        match receiver.advance() {
            Err(_) | Ok(Incoming::Nothing) => return None,
            Ok(Incoming::End { intact }) => return Some(intact),
            Ok(_) => {}
        }
    }
}
