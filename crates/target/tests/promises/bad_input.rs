//! Whatever an initiator sends: it harms nobody but itself, and the server is there afterwards.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use timedisk_iscsi::pdu::{NO_TAG, RejectReason, Response, layout};
use timedisk_volume::MemoryVolume;

use super::wire::{BLOCK, BOTH_DIGESTS, Initiator, Lab, Pdu, Random, Scsi, assert_same, block, open_target};

/// A PDU with this first byte and otherwise mostly chance.
fn any_pdu(random: &mut Random, opcode: u8, initiator: &Initiator) -> Pdu {
    let mut header = [0; 48];
    header.copy_from_slice(&random.bytes(48));
    header[0] = opcode;
    header[4] = 0;
    if random.below(2) == 0 {
        // One that is more likely to get past the first checks.
        header[8..16].fill(0);
        header[16..20].copy_from_slice(&(random.below(4) as u32).to_be_bytes());
        let cmd_sn = initiator.cmd_sn.wrapping_add(random.below(6) as u32);
        header[24..28].copy_from_slice(&cmd_sn.to_be_bytes());
        header[32] =
            random.pick(&[0x00, 0x12, 0x28, 0x2a, 0x88, 0x8a, 0x42, 0x93, 0x41, 0x15, 0x55, 0x9e, 0xa3]);
        header[20..22].fill(0);
        header[34..40].fill(0);
    }
    let most = random.pick(&[1, 100, 5000]);
    let length = random.below(most) as usize;
    let pdu = Pdu::new(header, &random.bytes(length));
    match random.below(4) {
        0 => {
            let length = random.below(4) as usize * 4;
            let additional = random.bytes(length);
            pdu.with_additional(&additional)
        }
        _ => pdu,
    }
}

/// Writes and reads until it is told to stop; says how often.
fn work(mut initiator: Initiator, stop: &AtomicBool) -> u32 {
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        let data = Random::new(rounds.into()).bytes(16 * BLOCK);
        initiator.run(&Scsi::write(u64::from(rounds % 64), &data)).good();
        assert_same(&initiator.run(&Scsi::read(u64::from(rounds % 64), 16)).good(), &data);
        rounds += 1;
    }
    rounds
}

#[test]
fn random_pdus_of_every_opcode_disturb_nobody() {
    let well = open_target("well", MemoryVolume::new(1 << 20));
    let lab = Lab::new(vec![open_target("attacked", MemoryVolume::new(1 << 20)), well]);
    let stop = AtomicBool::new(false);
    let mut random = Random::new(7);
    let rounds = std::thread::scope(|scope| {
        let bystander = lab.session("well", &[]);
        let worker = scope.spawn(|| work(bystander, &stop));
        for round in 0..512 {
            let offers = [("InitialR2T", "No"), ("HeaderDigest", "CRC32C"), ("DataDigest", "CRC32C")];
            let digests = round % 3 == 0;
            let mut attacker = lab.session("attacked", &offers[..if digests { 3 } else { 1 }]);
            for step in 0..16u64 {
                // Three of four of the same opcode, so that tasks come together.
                let opcode = if step % 4 == 3 { random.next() as u8 } else { (round % 256) as u8 };
                let pdu = any_pdu(&mut random, opcode, &attacker);
                let bytes = pdu.encode(if digests { BOTH_DIGESTS } else { Default::default() });
                if attacker.stream.write_all(&bytes).is_err() {
                    break;
                }
            }
            let _ = attacker.stream.shutdown(std::net::Shutdown::Write);
            attacker.await_close();
        }
        stop.store(true, Ordering::Relaxed);
        worker.join().unwrap()
    });
    assert!(rounds > 10, "the bystander got {rounds} rounds only");
    let mut after = lab.session("attacked", &[]);
    after.run(&Scsi::write(0, &block(1))).good();
    assert_eq!(after.run(&Scsi::read(0, 1)).good(), block(1));
}

#[test]
fn a_segment_longer_than_was_declared_closes_the_connection() {
    let lab = Lab::memory(1 << 20);
    let mut initiator = lab.session("disk", &[]);
    let mut ping = initiator.ping(b"");
    let most = initiator.terms.max_recv_data_segment_length_target;
    ping.header[5..8].copy_from_slice(&(most + 1).to_be_bytes()[1..]);
    initiator.send_bytes(&ping.header);
    initiator.await_close();
    lab.session("disk", &[]).check_alive();
}

#[test]
fn a_task_tag_in_use_is_rejected_and_its_task_goes_on() {
    let lab = Lab::memory(1 << 20);
    let mut initiator = lab.session("disk", &[("ImmediateData", "No")]);
    let tag = initiator.tag();
    let write = initiator.command(tag, &Scsi::write(0, &block(1)), &[]);
    initiator.send(&write);
    let request = layout::ReadyToTransfer::of(&initiator.expect(Response::ReadyToTransfer).header);
    let mut twice = initiator.command(tag, &Scsi::read(0, 1), &[]);
    initiator.send(&twice);
    let reject = initiator.expect(Response::Reject);
    assert_eq!(layout::TextResponse::of(&reject.header).reason, RejectReason::TaskInProgress as u8);
    initiator.follow(tag, 1);
    initiator.send_data(tag, request.target_transfer_tag.get(), &block(1), 0..BLOCK);
    initiator.finish(tag).good();
    // The rejected one's number is still to be used (RFC 7143 §7.3).
    let other = initiator.tag();
    twice.header[16..20].copy_from_slice(&other.to_be_bytes());
    initiator.send(&twice);
    initiator.follow(other, 0);
    assert_eq!(initiator.finish(other).good(), block(1));
}

#[test]
fn commands_outside_the_window_are_ignored() {
    let lab = Lab::memory(1 << 20);
    let mut initiator = lab.session("disk", &[]);
    let tag = initiator.tag();
    let next = initiator.command(tag, &Scsi::write(0, &block(1)), &block(1));
    let number = initiator.cmd_sn.wrapping_sub(1);
    for wrong in [number.wrapping_sub(1), number.wrapping_add(200), number.wrapping_sub(1000)] {
        let mut pdu = next.clone();
        pdu.header[24..28].copy_from_slice(&wrong.to_be_bytes());
        initiator.send(&pdu);
    }
    // Nothing but the ping is answered.
    initiator.check_alive();
    assert_eq!(initiator.run_with_number(number, &Scsi::read(0, 1)).good(), block(0), "nothing was written");
}

#[test]
fn data_that_nobody_asked_for_fail_their_task_and_change_nothing() {
    let lab = Lab::memory(1 << 20);
    // Which offset and how many bytes the wrong Data-Out has, with which number and tag; and what comes of
    // it.
    let (right, wrong) = (0, 1);
    for (offset, length, data_sn, tag_offset, sense) in [
        (0, 3 * BLOCK, 0, right, (0x0b, 0x0c, 0x0d)),
        (BLOCK, 2 * BLOCK, 0, right, (0x0b, 0x47, 0x05)),
        (0xffff_fe00, BLOCK, 0, right, (0x0b, 0x47, 0x05)),
        (0, 2 * BLOCK, 9, right, (0x0b, 0x47, 0x05)),
        (0, BLOCK, 0, right, (0x0b, 0x0c, 0x0d)),
        (0, 2 * BLOCK, 0, wrong, (0x0b, 0x0c, 0x0c)),
    ] {
        let mut initiator = lab.session("disk", &[("ImmediateData", "No")]);
        let tag = initiator.tag();
        let write = initiator.command(tag, &Scsi::write(4, &[1; 2 * BLOCK]), &[]);
        initiator.send(&write);
        let request = layout::ReadyToTransfer::of(&initiator.expect(Response::ReadyToTransfer).header);
        let transfer_tag = request.target_transfer_tag.get() + tag_offset;
        let data = initiator.data_out(tag, transfer_tag, data_sn, offset, &vec![1; length]);
        initiator.send(&data);
        initiator.follow(tag, 1);
        assert_eq!(initiator.finish(tag).condition(), sense, "{offset} {length} {data_sn} {tag_offset}");
        assert_eq!(initiator.run(&Scsi::read(0, 16)).good(), [0; 16 * BLOCK]);
    }
    let mut initiator = lab.session("disk", &[]);
    let stray = initiator.data_out(0x7777, NO_TAG, 0, 0, &block(1));
    initiator.send(&stray);
    let reject = initiator.expect(Response::Reject);
    assert_eq!(layout::TextResponse::of(&reject.header).reason, RejectReason::InvalidPduField as u8);
    let tag = initiator.tag();
    let mut unasked = initiator.command(tag, &Scsi::write(4, &[1; 2 * BLOCK]), &[]);
    unasked.header[1] &= 0x7f;
    initiator.send(&unasked);
    let data = initiator.data_out(tag, NO_TAG, 0, 0, &[1; 2 * BLOCK]);
    initiator.send(&data);
    initiator.follow(tag, 0);
    assert_eq!(initiator.finish(tag).condition(), (0x0b, 0x0c, 0x0c), "InitialR2T=Yes");
    assert_eq!(initiator.run(&Scsi::read(0, 16)).good(), [0; 16 * BLOCK]);
}

#[test]
fn who_floods_and_never_reads_is_throttled_alone() {
    const MOST: usize = 256 << 20;
    let lab = Lab::memory(1 << 20);
    let mut flooder = lab.session("disk", &[("MaxRecvDataSegmentLength", "65536")]);
    let ping = flooder.ping(&vec![0x5a; 32768]);
    let bytes = ping.encode(Default::default());
    flooder.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut sent = 0;
    while sent < MOST {
        match flooder.stream.write(&bytes[sent % bytes.len()..]) {
            Ok(count) => sent += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(sent < MOST, "it took {sent} bytes without a pause");
    let mut other = lab.session("disk", &[]);
    other.run(&Scsi::write(0, &block(1))).good();
    assert_eq!(other.run(&Scsi::read(0, 1)).good(), block(1));
    // Once it reads, it gets an answer to each.
    for _ in 0..sent / bytes.len() {
        assert_same(&flooder.expect(Response::NopIn).data, &ping.data);
    }
}
