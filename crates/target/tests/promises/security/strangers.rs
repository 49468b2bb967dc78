//! What comes before anybody is known: any PDU, in any pieces, and whatever length it has or claims to have.

use std::io::{Read, Write};
use std::net::Shutdown;

use timedisk_iscsi::pdu::{IMMEDIATE, Request, Response, data_segment_length, layout};
use timedisk_target::Limits;
use timedisk_volume::MemoryVolume;

use super::super::wire::{BLOCK, Initiator, Lab, Pdu, Random, Scsi, block, login_status, text};
use super::{guarded, people};

const SECURITY: u8 = 0;
const INVALID_DURING_LOGIN: u16 = 0x020b;
const OPERATIONAL_TO_FULL: u8 = 0x87;

fn lab() -> Lab {
    Lab::with(vec![guarded("disk", &["ann"], MemoryVolume::new(1 << 20))], people(), Limits::default())
}

/// All that the server sends until it closes the connection.
fn all_that_is_said(initiator: &mut Initiator) -> Vec<u8> {
    let mut said = Vec::new();
    // A connection that is reset has said what it had to.
    let _ = initiator.stream.read_to_end(&mut said);
    said
}

/// That nothing but login responses were sent, and none that lets anybody in.
fn assert_kept_out(said: &[u8], what: &str) {
    let mut rest = said;
    while let Some((header, after)) = rest.split_first_chunk::<48>() {
        assert_eq!(header[0], Response::Login as u8, "{what}: {said:02x?}");
        let header = layout::LoginResponse::of(header);
        let ends = header.flags & 0x80 != 0 && header.flags & 3 == 3 && header.status_class == 0;
        assert!(!ends, "{what} has logged in");
        let [a, b, c] = header.data_segment_length;
        let length = u32::from_be_bytes([0, a, b, c]).next_multiple_of(4) as usize;
        rest = after.get(length..).unwrap_or_default();
    }
}

#[test]
fn every_opcode_before_a_login_is_answered_by_a_refusal_and_no_other_cve_2011_0001() {
    let lab = lab();
    let mut random = Random::new(1);
    // Before the first login request, and after one that was answered; in either case without and with data.
    for has_begun in [false, true] {
        for opcode in 0..=255u8 {
            for length in [0, 1, 4, 1000, 8192] {
                let mut initiator = Initiator::connect(lab.address);
                if has_begun {
                    let mut keys = initiator.identity(Some("disk"));
                    keys.push(("AuthMethod".into(), "CHAP".into()));
                    assert_eq!(login_status(&initiator.login_step(SECURITY, &text(&keys))), 0);
                }
                let mut header = [0; 48];
                header.copy_from_slice(&random.bytes(48));
                (header[0], header[4]) = (opcode, 0);
                let pdu = Pdu::new(header, &random.bytes(length));
                let what = format!("{opcode:02x}h with {length} bytes, begun {has_begun}");
                let _ = initiator.stream.write_all(&pdu.encode(Default::default()));
                let _ = initiator.stream.shutdown(Shutdown::Write);
                let said = all_that_is_said(&mut initiator);
                assert_kept_out(&said, &what);
                // Of the requests that there are, each is refused in words.
                let known = [
                    Request::NopOut,
                    Request::ScsiCommand,
                    Request::TaskManagement,
                    Request::Text,
                    Request::DataOut,
                    Request::Logout,
                ];
                if known.iter().any(|known| *known as u8 == opcode & !IMMEDIATE) && opcode < 0x80 {
                    let header = said.first_chunk::<48>().expect("an answer");
                    let header = layout::LoginResponse::of(header);
                    let status = u16::from_be_bytes([header.status_class, header.status_detail]);
                    assert_eq!(status, INVALID_DURING_LOGIN, "{what}");
                }
            }
        }
    }
    assert_eq!(lab.server().sessions().len(), 0);
}

#[test]
fn a_login_request_without_data_or_with_a_wrong_length_lets_nobody_in_cve_2026_53176() {
    let lab = lab();
    for flags in [0x00, 0x04, 0x40, 0x81, 0x83, 0x87] {
        let mut initiator = Initiator::connect(lab.address);
        initiator.send(&initiator.login_request(flags, b""));
        let _ = initiator.stream.shutdown(Shutdown::Write);
        assert_kept_out(&all_that_is_said(&mut initiator), "a login of no length");
    }
    let open = Lab::memory(1 << 20);
    for (claims, additional) in
        [(0, 0), (1, 0), (7, 0), (8192, 0), (8193, 0), (0xff_ffff, 0), (20, 1), (20, 255)]
    {
        let mut initiator = Initiator::connect(open.address);
        let mut pdu = initiator.login_request(OPERATIONAL_TO_FULL, &text(&initiator.identity(Some("disk"))));
        pdu.header[4] = additional;
        pdu.header[5..8].copy_from_slice(&data_segment_length(claims));
        let _ = initiator.stream.write_all(&[&pdu.header[..], &pdu.data].concat());
        let _ = initiator.stream.shutdown(Shutdown::Write);
        assert_kept_out(&all_that_is_said(&mut initiator), &format!("{claims} bytes, {additional} words"));
    }
    open.session("disk", &[]).check_alive();
}

/// The PDUs of a session, from its login on.
fn conversation(initiator: &mut Initiator) -> Vec<Pdu> {
    let login = initiator.login_request(OPERATIONAL_TO_FULL, &text(&initiator.identity(Some("disk"))));
    let mut long = Scsi::read(0, 1);
    long.cdb = [&[0x7f, 0, 0, 0, 0, 0, 0, 0x18, 0, 0x09][..], &[0; 21], &[1]].concat();
    vec![
        login,
        initiator.command(1, &Scsi::write(0, &block(1)), &block(1)),
        initiator.command(2, &long, &[]),
        initiator.ping(b"ping"),
        initiator.text_request(3, 0xffff_ffff, b"SendTargets=\0"),
        initiator.task_management(1, 77, 0),
        initiator.data_out(9, 9, 0, 0, &block(1)),
        initiator.logout(),
    ]
}

#[test]
fn a_stream_that_is_cut_at_any_byte_does_no_harm() {
    let lab = Lab::memory(1 << 20);
    let mut bystander = lab.session("disk", &[]);
    let mut first = Initiator::connect(lab.address);
    let pdus = conversation(&mut first);
    let whole: Vec<u8> = pdus.iter().flat_map(|pdu| pdu.encode(Default::default())).collect();
    for end in 0..whole.len() {
        let mut initiator = Initiator::connect(lab.address);
        let _ = initiator.stream.write_all(&whole[..end]);
        let _ = initiator.stream.shutdown(Shutdown::Write);
        initiator.await_close();
    }
    bystander.check_alive();
    // Nothing of a command counts that has not come whole: what was written came with whole commands only.
    let read = bystander.run(&Scsi::read(0, 2)).good();
    assert_eq!((&read[..BLOCK], &read[BLOCK..]), (&block(1)[..], &block(0)[..]));
}

#[test]
fn a_write_that_is_cut_short_writes_nothing() {
    let lab = Lab::memory(1 << 20);
    let mut bystander = lab.session("disk", &[]);
    let mut initiator = lab.session("disk", &[]);
    let pdu = initiator.command(1, &Scsi::write(0, &block(1)), &block(1)).encode(Default::default());
    for end in (0..pdu.len()).step_by(7).chain(pdu.len() - 5..pdu.len()) {
        let mut initiator = lab.session("disk", &[]);
        let pdu = initiator.command(1, &Scsi::write(0, &block(1)), &block(1)).encode(Default::default());
        initiator.send_bytes(&pdu[..end]);
        initiator.stream.shutdown(Shutdown::Write).unwrap();
        initiator.await_close();
        assert_eq!(bystander.run(&Scsi::read(0, 1)).good(), block(0), "{end} bytes");
    }
}

#[test]
fn commands_and_data_of_no_length_are_taken_for_what_they_are_cve_2021_28361() {
    let lab = Lab::memory(1 << 20);
    for offers in [&[("ImmediateData", "No")][..], &[("InitialR2T", "No"), ("ImmediateData", "No")], &[]] {
        let mut initiator = lab.session("disk", offers);
        // Data are announced and none come with the command.
        let tag = initiator.tag();
        let mut write = initiator.command(tag, &Scsi::write(0, &block(1)), &[]);
        let unsolicited = offers.len() == 2;
        if unsolicited {
            write.header[1] &= 0x7f;
        }
        initiator.send(&write);
        let transfer_tag = match unsolicited {
            true => 0xffff_ffff,
            false => {
                let request = initiator.expect(Response::ReadyToTransfer);
                layout::ReadyToTransfer::of(&request.header).target_transfer_tag.get()
            }
        };
        // A Data-Out of no length, without F and with it; what comes of the task is an error or the whole data.
        let mut none = initiator.data_out(tag, transfer_tag, 0, 0, &[]);
        none.header[1] &= 0x7f;
        initiator.send(&none);
        let last = initiator.data_out(tag, transfer_tag, 1, 0, &[]);
        initiator.send(&last);
        initiator.follow(tag, u32::from(!unsolicited));
        let end = initiator.receive().unwrap();
        match end.response() {
            Response::ScsiResponse => {
                assert_ne!(
                    layout::ScsiResponse::of(&end.header).status,
                    0,
                    "{offers:?}: nothing was written"
                );
            }
            Response::ReadyToTransfer => assert!(unsolicited),
            other => panic!("{other:?}"),
        }
        initiator.check_alive();
        assert_eq!(lab.session("disk", &[]).run(&Scsi::read(0, 1)).good(), block(0));
    }
    let mut initiator = lab.session("disk", &[]);
    // Commands whose CDB wants a parameter list, and that have none to send.
    for cdb in [
        &[0x15, 0x10, 0, 0, 24, 0][..],
        &[0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0],
        &[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0],
    ] {
        let reply = initiator.run(&Scsi::none(cdb));
        assert_ne!(reply.status, 0, "{cdb:02x?}");
        let reply = initiator.run(&Scsi::output(cdb, &[]));
        assert_ne!(reply.status, 0, "{cdb:02x?}");
    }
    // A ping, a text request of no length.
    let ping = initiator.ping(b"");
    initiator.send(&ping);
    assert_eq!(initiator.expect(Response::NopIn).data, [0; 0]);
    assert_eq!(initiator.ask(b""), []);
    initiator.check_alive();
}
