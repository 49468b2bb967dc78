//! What one client has written or read is in no answer to another, whatever it asks for and however much of it.

use timedisk_volume::MemoryVolume;

use super::super::wire::{BLOCK, Initiator, Lab, Reply, Scsi, open_target};

/// In every block of a disk that the prying one may not use, and so in the memory that the server has moved it with.
const CANARY: u8 = 0xc5;
const CAPACITY: u64 = 1 << 20;

fn lab() -> Lab {
    let targets = ["hers", "his"].map(|name| open_target(name, MemoryVolume::new(CAPACITY)));
    Lab::new(targets.to_vec())
}

/// Moves canaries to the disk and back, in pieces of all sizes.
fn leave_canaries(owner: &mut Initiator) {
    for blocks in [1, 2, 8, 64, 512, 2048] {
        owner.run(&Scsi::write(0, &vec![CANARY; blocks * BLOCK])).good();
        assert!(owner.run(&Scsi::read(0, blocks)).good().iter().all(|byte| *byte == CANARY));
    }
}

fn assert_clean(reply: &Reply, what: &[u8]) {
    for bytes in [&reply.data, &reply.sense] {
        assert!(!bytes.windows(4).any(|part| part == [CANARY; 4]), "{what:02x?}: {bytes:02x?}");
    }
}

/// Where an allocation length most often stands, by the group of the operation code (SPC-4 4.2.5).
fn ask_for(cdb: &mut [u8], length: u32) {
    let bytes = length.to_be_bytes();
    match cdb[0] >> 5 {
        0 => cdb[4] = length.min(255) as u8,
        1 | 2 => cdb[7..9].copy_from_slice(&(length.min(0xffff) as u16).to_be_bytes()),
        5 => cdb[6..10].copy_from_slice(&bytes),
        _ => cdb[10..14].copy_from_slice(&bytes),
    }
}

#[test]
fn no_answer_on_the_wire_has_what_others_have_moved_cve_2024_43110_and_8178() {
    let lab = lab();
    let (mut owner, mut prying) = (lab.session("hers", &[]), lab.session("his", &[]));
    leave_canaries(&mut owner);
    for opcode in 0..=255u8 {
        // What overwrites, or waits for long, is not asked for.
        if [0x04, 0x48].contains(&opcode) {
            continue;
        }
        for action in [0, 1, 2, 3, 5, 7, 0x0a, 0x0b, 0x0c, 0x0d, 0x10, 0x12, 0x16, 0x1c, 0x1f] {
            for length in [4, 4096] {
                let mut cdb = [0; 16];
                (cdb[0], cdb[1]) = (opcode, action);
                ask_for(&mut cdb, length);
                // 65536 bytes are expected, whatever is asked for: the rest has to be told as residual, not sent.
                let reply = prying.run(&Scsi::input(&cdb, 1 << 16));
                assert_clean(&reply, &cdb);
                assert!(reply.data.len() <= 1 << 16);
                assert_eq!(
                    reply.data.len() + reply.residual as usize * usize::from(reply.flags == 2),
                    1 << 16
                );
            }
        }
        if opcode % 64 == 0 {
            leave_canaries(&mut owner);
        }
    }
    prying.check_alive();
}

/// READ BUFFER and WRITE BUFFER, echo buffer (SPC-4 6.18.8, 6.49.8).
fn echo(opcode: u8, length: u32) -> [u8; 10] {
    let [_, a, b, c] = length.to_be_bytes();
    [opcode, 0x0a, 0, 0, 0, 0, a, b, c, 0]
}

#[test]
fn buffers_have_the_sizes_that_are_told_and_nothing_of_others_cve_2024_42416() {
    let lab = lab();
    let (mut owner, mut prying) = (lab.session("hers", &[]), lab.session("his", &[]));
    leave_canaries(&mut owner);
    let told = prying.run(&Scsi::input(&[0x3c, 0x0b, 0, 0, 0, 0, 0, 0, 4, 0], 4)).good();
    let size = u32::from_be_bytes([0, told[1] & 0x1f, told[2], told[3]]);
    owner.run(&Scsi::output(&echo(0x3b, size), &vec![CANARY; size as usize])).good();
    for length in [0, 1, size - 1, size, size + 1, 2 * size, 0xff_ffff] {
        let reply = prying.run(&Scsi::input(&echo(0x3c, length), 1 << 16));
        assert_clean(&reply, &echo(0x3c, length));
        assert!(reply.data.len() as u32 <= size.min(length), "{length}: {} bytes", reply.data.len());
    }
    // What was written in part is told in part.
    prying.run(&Scsi::output(&echo(0x3b, 5), b"echo!")).good();
    for length in [5, 6, size] {
        let reply = prying.run(&Scsi::input(&echo(0x3c, length), 1 << 16));
        assert!(reply.data == b"echo!" || reply.data.starts_with(b"echo!\0"), "{:02x?}", reply.data);
        assert_clean(&reply, &[]);
    }
    for length in [size + 1, 0xff_ffff] {
        let data = vec![1; length.min(8192) as usize];
        assert_ne!(
            prying
                .run(&Scsi { expected: length.min(8192), ..Scsi::output(&echo(0x3b, length), &data) })
                .status,
            0
        );
    }
    for mode in 0..32 {
        for (id, offset) in [(0, 0), (1, 0), (255, 0), (0, 1), (0, 0xff_ffff)] {
            let [_, a, b, c] = u32::to_be_bytes(offset);
            let cdb = [0x3c, mode, id, a, b, c, 0xff, 0xff, 0xff, 0];
            assert_clean(&prying.run(&Scsi::input(&cdb, 1 << 16)), &cdb);
        }
    }
}

#[test]
fn every_operation_code_and_action_can_be_asked_about_cve_2024_39281() {
    let lab = lab();
    let mut prying = lab.session("his", &[]);
    leave_canaries(&mut lab.session("hers", &[]));
    for option in 0..=255u8 {
        for (code, action) in (0..=255).flat_map(|code| [(code, 0u16), (code, 0x1f), (code, 0xffff)]) {
            if option > 7 && code % 16 != 0 {
                continue;
            }
            let [high, low] = action.to_be_bytes();
            let cdb = [0xa3, 0x0c, option, code, high, low, 0, 0, 0x10, 0, 0, 0];
            assert_clean(&prying.run(&Scsi::input(&cdb, 4096)), &cdb);
        }
    }
    // Sense data that were not asked for, or never came about, are of nobody else.
    for length in [0, 1, 17, 18, 19, 252, 255] {
        for desc in [0, 1] {
            let reply = prying.run(&Scsi::input(&[0x03, desc, 0, 0, length, 0], 256));
            assert_clean(&reply, &[3, length]);
            assert!(reply.data.len() <= length.into() && reply.data.len() <= 252);
        }
    }
}
