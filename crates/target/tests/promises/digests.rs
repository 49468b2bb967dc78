//! With digests negotiated, damage is noticed in every part of every PDU, and what it does is bounded (RFC
//! 7143 §7.8).

use timedisk_iscsi::pdu::{NO_TAG, RejectReason, Response, layout};

use super::wire::{
    BLOCK, BOTH_DIGESTS, Initiator, Lab, PATIENCE, Part, Pdu, Scsi, assert_same, block, open_target,
};
use timedisk_volume::MemoryVolume;

const DIGESTS: [(&str, &str); 3] =
    [("HeaderDigest", "CRC32C"), ("DataDigest", "CRC32C"), ("InitialR2T", "No")];

/// Parts whose damage leaves the rest of the stream readable.
const DATA_PARTS: [Part; 3] = [Part::Data, Part::Padding, Part::DataDigest];

/// Everything that an initiator sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Command,
    UnsolicitedData,
    SolicitedData,
    Ping,
    Text,
    TaskManagement,
    Logout,
}

const KINDS: [Kind; 7] = [
    Kind::Command,
    Kind::UnsolicitedData,
    Kind::SolicitedData,
    Kind::Ping,
    Kind::Text,
    Kind::TaskManagement,
    Kind::Logout,
];

/// Bytes of the first PDU of a write in two: padding is needed.
const PIECE: usize = BLOCK - 3;

fn lab() -> Lab {
    Lab::memory(1 << 20)
}

fn two_blocks() -> Scsi {
    Scsi::write(8, &[block(1), block(2)].concat())
}

/// Sends what has to come before a PDU of this kind; returns that PDU.
fn prepare(initiator: &mut Initiator, kind: Kind) -> Pdu {
    let tag = initiator.tag();
    match kind {
        Kind::Command => {
            let mut command = initiator.command(tag, &two_blocks(), &two_blocks().data[..PIECE]);
            command.header[1] &= 0x7f;
            // An extended CDB that the command does not need.
            command.with_additional(&[0, 5, 1, 0, 0, 0, 0, 0])
        }
        Kind::UnsolicitedData => {
            let mut command = initiator.command(tag, &two_blocks(), &[]);
            command.header[1] &= 0x7f;
            initiator.send(&command);
            let mut data = initiator.data_out(tag, NO_TAG, 0, 0, &two_blocks().data[..PIECE]);
            data.header[1] = 0;
            data
        }
        Kind::SolicitedData => {
            let command = initiator.command(tag, &two_blocks(), &[]);
            initiator.send(&command);
            let request = layout::ReadyToTransfer::of(&initiator.expect(Response::ReadyToTransfer).header);
            let transfer_tag = request.target_transfer_tag.get();
            let mut data = initiator.data_out(tag, transfer_tag, 0, 0, &two_blocks().data[..PIECE]);
            data.header[1] = 0;
            data
        }
        Kind::Ping => initiator.ping(b"thirteen byte"),
        Kind::Text => initiator.text_request(tag, NO_TAG, b"SendTargets=\0"),
        Kind::TaskManagement => initiator.task_management(5, 0, 0),
        Kind::Logout => initiator.logout(),
    }
}

fn expect_reject(initiator: &mut Initiator, damaged: &Pdu) {
    let reject = initiator.expect(Response::Reject);
    assert_eq!(layout::TextResponse::of(&reject.header).reason, RejectReason::DataDigestError as u8);
    assert_eq!(reject.data, damaged.header, "a reject shows the header");
}

#[test]
fn a_damaged_header_ends_its_connection_and_no_other() {
    let lab = lab();
    let mut bystander = lab.session("disk", &[]);
    let mut tried = 0;
    for kind in KINDS {
        for part in [Part::Header, Part::AdditionalHeader, Part::HeaderDigest] {
            let mut initiator = lab.session("disk", &DIGESTS);
            let pdu = prepare(&mut initiator, kind);
            if initiator.send_damaged(&pdu, part) {
                initiator.await_close();
                tried += 1;
            }
        }
        bystander.check_alive();
    }
    assert_eq!(tried, KINDS.len() * 2 + 1);
    assert_eq!(bystander.run(&Scsi::read(8, 2)).good(), [0; 2 * BLOCK], "nothing was written");
}

#[test]
fn every_single_byte_of_a_header_is_covered() {
    let lab = lab();
    // All but the bytes that say how long the header is: then it is not complete yet.
    for place in (0..52).filter(|place| *place != 4) {
        let mut initiator = lab.session("disk", &DIGESTS);
        let ping = initiator.ping(b"");
        let mut bytes = ping.encode(BOTH_DIGESTS);
        bytes[place] ^= 1;
        initiator.send_bytes(&bytes);
        initiator.await_close();
    }
}

#[test]
fn damaged_requests_without_a_task_are_rejected_and_may_be_sent_again() {
    let lab = lab();
    for (kind, answer) in [(Kind::Ping, Response::NopIn), (Kind::Text, Response::Text)] {
        let mut initiator = lab.session("disk", &DIGESTS);
        for part in DATA_PARTS {
            let pdu = prepare(&mut initiator, kind);
            assert!(initiator.send_damaged(&pdu, part));
            expect_reject(&mut initiator, &pdu);
            initiator.check_alive();
            initiator.send(&pdu);
            assert_eq!(initiator.expect(answer).tag(), pdu.tag(), "{kind:?} with damaged {part:?}");
        }
        assert_eq!(initiator.run(&Scsi::read(0, 1)).good().len(), BLOCK);
    }
}

#[test]
fn a_command_with_damaged_data_never_came_and_what_follows_waits_for_it() {
    let lab = lab();
    let mut initiator = lab.session("disk", &DIGESTS);
    for part in DATA_PARTS {
        let write = initiator.run(&Scsi::write(8, &[0; 2 * BLOCK]));
        write.good();
        let command = prepare(&mut initiator, Kind::Command);
        assert!(initiator.send_damaged(&command, part));
        expect_reject(&mut initiator, &command);
        let follower = initiator.start(&Scsi::read(8, 2).ordered());
        initiator.check_alive();
        assert!(!initiator.has_ended(follower), "it has overtaken the command before it");
        initiator.send(&command);
        initiator.follow(command.tag(), 0);
        initiator.send_data(command.tag(), NO_TAG, &two_blocks().data, PIECE..2 * BLOCK);
        initiator.finish(command.tag()).good();
        assert_same(&initiator.finish(follower).good(), &two_blocks().data);
    }
}

#[test]
fn a_task_with_damaged_data_fails_once_all_its_data_have_come() {
    let lab = lab();
    let mut bystander = lab.session("disk", &[]);
    for kind in [Kind::UnsolicitedData, Kind::SolicitedData] {
        for part in DATA_PARTS {
            let mut initiator = lab.session("disk", &DIGESTS);
            let first = prepare(&mut initiator, kind);
            assert!(initiator.send_damaged(&first, part));
            expect_reject(&mut initiator, &first);
            initiator.follow(first.tag(), u32::from(kind == Kind::SolicitedData));
            initiator.check_alive();
            assert!(!initiator.has_ended(first.tag()), "more data were asked for");
            let transfer_tag = layout::DataOut::of(&first.header).target_transfer_tag.get();
            let last = initiator.data_out(first.tag(), transfer_tag, 1, PIECE, &two_blocks().data[PIECE..]);
            initiator.send(&last);
            // Protocol service CRC error (RFC 7143 §11.4.7.2).
            assert_eq!(initiator.finish(first.tag()).condition(), (0x0b, 0x47, 0x05), "{kind:?}, {part:?}");
            assert_eq!(initiator.run(&Scsi::read(8, 2)).good(), [0; 2 * BLOCK], "nothing was written");
            bystander.check_alive();
        }
    }
}

#[test]
fn whatever_the_target_sends_carries_right_digests() {
    // Receiving checks them.
    let lab = Lab::new(vec![open_target("disk", MemoryVolume::new(1 << 20))]);
    let offers = [DIGESTS[0], DIGESTS[1], ("MaxRecvDataSegmentLength", "1000")];
    let mut initiator = lab.session("disk", &offers);
    initiator.run(&Scsi::write(0, &[7; 3 * BLOCK])).good();
    let large = vec![8; 300_000 / BLOCK * BLOCK];
    initiator.run(&Scsi::write(4, &large)).good();
    assert_same(&initiator.run(&Scsi::read(4, large.len() / BLOCK)).good(), &large);
    let out_of_range = initiator.run(&Scsi::read(1 << 40, 1));
    assert_eq!(out_of_range.condition(), (0x05, 0x21, 0x00));
    assert_eq!(initiator.manage(1, 77, initiator.cmd_sn.wrapping_sub(1)), 1, "task does not exist");
    for length in [1, 2, 3, 4, 999] {
        let ping = initiator.ping(&vec![3; length]);
        initiator.send(&ping);
        assert_eq!(initiator.expect(Response::NopIn).data, ping.data);
    }
    initiator.ask(b"SendTargets=\0");
    let damaged = initiator.ping(b"data");
    initiator.send_damaged(&damaged, Part::Data);
    expect_reject(&mut initiator, &damaged);
    let stopping = std::thread::spawn(move || lab.shutdown(PATIENCE));
    initiator.expect(Response::AsyncMessage);
    let logout = initiator.logout();
    initiator.send(&logout);
    initiator.expect(Response::Logout);
    initiator.await_close();
    stopping.join().unwrap().unwrap();
    let unseen = Response::ALL.iter().filter(|response| !initiator.seen.contains(&(**response as u8)));
    assert_eq!(unseen.collect::<Vec<_>>(), Vec::<&Response>::new());
}
