//! Data go both ways unchanged, whatever was negotiated and however they are cut.

use timedisk_iscsi::pdu::{RejectReason, Response, layout};

use super::wire::{BLOCK, Lab, Random, Scsi, assert_same, block};

const CAPACITY: usize = 24 << 20;

/// From 512 bytes to 8 MiB, small ones more often.
fn length(random: &mut Random) -> usize {
    let most = 1 << random.below(15);
    (1 + random.below(most) as usize) * BLOCK
}

fn offers(random: &mut Random) -> Vec<(&'static str, &'static str)> {
    vec![
        ("InitialR2T", random.pick(&["Yes", "No"])),
        ("ImmediateData", random.pick(&["Yes", "No"])),
        ("MaxBurstLength", random.pick(&["512", "8192", "10000", "262144", "16776192"])),
        ("FirstBurstLength", random.pick(&["512", "4096", "5001", "65536", "262144"])),
        ("MaxRecvDataSegmentLength", random.pick(&["512", "1001", "8192", "65536", "262144", "16777215"])),
        ("MaxOutstandingR2T", random.pick(&["1", "2", "8"])),
        ("HeaderDigest", random.pick(&["None", "CRC32C"])),
        ("DataDigest", random.pick(&["None", "CRC32C"])),
    ]
}

#[test]
fn what_was_written_is_read_whatever_was_negotiated() {
    let lab = Lab::memory(CAPACITY as u64);
    let mut random = Random::new(7143);
    let noise = random.bytes(9 << 20);
    let mut model = vec![0; CAPACITY];
    for _ in 0..40 {
        let offers = offers(&mut random);
        let mut initiator = lab.session("disk", &offers);
        for _ in 0..6 {
            let length = length(&mut random);
            let start = random.below(((CAPACITY - length) / BLOCK) as u64 + 1) as usize;
            let range = start * BLOCK..start * BLOCK + length;
            let from = random.below(1 << 19) as usize;
            initiator.run(&Scsi::write(start as u64, &noise[from..from + length])).good();
            model[range].copy_from_slice(&noise[from..from + length]);
            let length = self::length(&mut random);
            let start = random.below(((CAPACITY - length) / BLOCK) as u64 + 1) as usize;
            let read = initiator.run(&Scsi::read(start as u64, length / BLOCK)).good();
            assert_same(&read, &model[start * BLOCK..start * BLOCK + length]);
        }
    }
}

#[test]
fn the_largest_command_and_the_smallest_segments_go_together() {
    let lab = Lab::memory(CAPACITY as u64);
    let offers =
        [("MaxRecvDataSegmentLength", "512"), ("MaxBurstLength", "512"), ("FirstBurstLength", "512")];
    let mut initiator = lab.session("disk", &offers);
    let data = Random::new(1).bytes(8 << 20);
    initiator.run(&Scsi::write(1, &data)).good();
    assert_same(&initiator.run(&Scsi::read(1, data.len() / BLOCK)).good(), &data);
}

#[test]
fn no_more_r2ts_are_outstanding_than_agreed() {
    let lab = Lab::memory(CAPACITY as u64);
    let keys = [("MaxOutstandingR2T", "3"), ("MaxBurstLength", "4096"), ("ImmediateData", "No")];
    let mut initiator = lab.session("disk", &keys);
    let data = Random::new(2).bytes(8 * 4096);
    let tag = initiator.tag();
    let command = initiator.command(tag, &Scsi::write(0, &data), &[]);
    initiator.send(&command);
    let mut outstanding = std::collections::VecDeque::new();
    for number in 0..8 {
        while outstanding.len() < 3.min(8 - number) {
            let request = initiator.expect(Response::ReadyToTransfer);
            outstanding.push_back(layout::ReadyToTransfer::of(&request.header));
        }
        // The answer to a ping is the next thing that comes.
        initiator.check_alive();
        let request = outstanding.pop_front().unwrap();
        let start = request.buffer_offset.get() as usize;
        assert_eq!((request.r2t_sn.get(), start), (number as u32, number * 4096));
        if number == 7 {
            initiator.follow(tag, 8);
        }
        initiator.send_data(tag, request.target_transfer_tag.get(), &data, start..start + 4096);
    }
    initiator.finish(tag).good();
    assert_same(&initiator.run(&Scsi::read(0, 64)).good(), &data);
}

#[test]
fn residuals_tell_what_was_too_much_or_too_little() {
    const OVERFLOW: u8 = 4;
    const UNDERFLOW: u8 = 2;
    let lab = Lab::memory(1 << 20);
    let mut initiator = lab.session("disk", &[]);
    initiator.run(&Scsi::write(0, &[block(1), block(2)].concat())).good();
    let expecting = |scsi: Scsi, expected: usize| Scsi { expected: expected as u32, ..scsi };
    let mut check = |scsi: Scsi, data: &[u8], flags: u8, residual: usize| {
        let reply = initiator.run(&scsi);
        assert_eq!(
            (reply.status, reply.flags, reply.residual as usize),
            (0, flags, residual),
            "{:02x?}",
            scsi.cdb
        );
        assert_same(&reply.data, data);
    };
    check(Scsi::read(0, 1), &block(1), 0, 0);
    check(expecting(Scsi::read(0, 1), 4096), &block(1), UNDERFLOW, 4096 - BLOCK);
    check(expecting(Scsi::read(0, 2), BLOCK), &block(1), OVERFLOW, BLOCK);
    check(expecting(Scsi::read(0, 2), 100), &block(1)[..100], OVERFLOW, 2 * BLOCK - 100);
    check(expecting(Scsi::read(0, 1), 0), &[], OVERFLOW, BLOCK);
    check(Scsi::input(&[0; 6], BLOCK), &[], UNDERFLOW, BLOCK);
    let two = Scsi::write(0, &[block(3), block(4)].concat());
    let short = Scsi { data: block(5).to_vec(), ..expecting(two.clone(), BLOCK) };
    check(short, &[], OVERFLOW, BLOCK);
    check(Scsi::read(0, 2), &[block(5), block(2)].concat(), 0, 0);
    let mut long = Scsi::write(0, &[block(6), block(7)].concat());
    long.cdb[13] = 1;
    check(long, &[], UNDERFLOW, BLOCK);
    check(Scsi::read(0, 2), &[block(6), block(2)].concat(), 0, 0);
}

/// READ(32), WRITE(32) and their like.
fn long(action: u8, lba: u64, blocks: u32) -> Vec<u8> {
    let mut cdb = vec![0; 32];
    (cdb[0], cdb[7], cdb[9]) = (0x7f, 24, action);
    cdb[12..20].copy_from_slice(&lba.to_be_bytes());
    cdb[28..].copy_from_slice(&blocks.to_be_bytes());
    cdb
}

#[test]
fn commands_of_32_bytes_come_through() {
    let lab = Lab::memory(1 << 20);
    for offers in [&[][..], &[("HeaderDigest", "CRC32C"), ("DataDigest", "CRC32C")]] {
        let mut initiator = lab.session("disk", offers);
        initiator.run(&Scsi::output(&long(0x0b, 5, 2), &[block(1), block(2)].concat())).good();
        let read = Scsi::input(&long(0x09, 4, 4), 4 * BLOCK);
        assert_eq!(initiator.run(&read).good(), [block(0), block(1), block(2), block(0)].concat());
        initiator.run(&Scsi::output(&long(0x0d, 5, 2), &block(0))).good();
        assert_eq!(initiator.run(&read).good(), [0; 4 * BLOCK]);
        for length in (17..=260).filter(|length| *length != 32) {
            let mut cdb = long(0x09, 4, 1);
            cdb.resize(length, 0);
            assert_eq!(initiator.run(&Scsi::input(&cdb, BLOCK)).condition(), (0x05, 0x24, 0x00), "{length}");
        }
        let mut cdb = long(0x09, 4, 1);
        cdb[7] = 25;
        assert_eq!(initiator.run(&Scsi::input(&cdb, BLOCK)).condition(), (0x05, 0x24, 0x00));
    }
}

#[test]
fn an_additional_header_is_taken_and_a_malformed_one_is_rejected() {
    let lab = Lab::memory(1 << 20);
    let mut initiator = lab.session("disk", &[]);
    initiator.run(&Scsi::write(0, &block(1))).good();
    let mut read = Scsi::read(0, 1);
    read.cdb.extend([0; 13]);
    assert_eq!(initiator.run(&read).good(), block(1));
    let tag = initiator.tag();
    let good = initiator.command(tag, &Scsi::read(0, 1), &[]);
    for malformed in [&[0, 200, 1, 0][..], &[0, 1, 1, 0], &[0, 1, 9, 0], &[0, 5, 3, 0, 0, 0, 0, 0]] {
        let bad = good.clone().with_additional(malformed);
        initiator.send(&bad);
        let reject = initiator.expect(Response::Reject);
        assert_eq!(layout::TextResponse::of(&reject.header).reason, RejectReason::InvalidPduField as u8);
    }
    // Its number was not used up (RFC 7143 §7.3).
    initiator.send(&good);
    initiator.follow(tag, 0);
    assert_eq!(initiator.finish(tag).good(), block(1));
}

#[test]
fn the_disk_knows_what_time_it_is() {
    let lab = Lab::memory(1 << 20);
    let mut initiator = lab.session("disk", &[]);
    let report = Scsi::input(&[0xa3, 0x0f, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0], 12);
    let data = initiator.run(&report).good();
    let told = data[4..10].iter().fold(0, |time, byte| time << 8 | u128::from(*byte));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert!(told <= now && now - told < 60_000, "{told} at {now}");
}
