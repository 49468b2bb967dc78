//! Allocation lengths: what is returned never exceeds them, nor the room there is, and holds nothing but
//! answers.

use super::*;
use crate::cdb::Field;
use crate::command_table::{COMMANDS, Transfer};
use crate::{inquiry, mode_sense};

/// CDBs of every command that returns parameter data, with interesting bits set.
fn commands() -> Vec<(Vec<u8>, Field, u32)> {
    let mut all = Vec::new();
    for row in COMMANDS {
        let Transfer::ParameterData { allocation_length, most } = row.transfer else {
            continue;
        };
        let mut cdb = blank(row);
        match row.name {
            "READ BUFFER" => cdb[1] = 0x0b,
            "LOG SENSE" => cdb[2] = 0x40,
            _ => {}
        }
        if row.name.contains("COPY STATUS") || row.name.contains("TOKEN INFORMATION") {
            // It has nothing to say where nothing was copied.
            continue;
        }
        all.push((cdb.clone(), allocation_length, most));
        if allocation_length == inquiry::ALLOCATION_LENGTH {
            cdb[1] = 1;
            cdb[2] = 0x83;
            all.push((cdb.clone(), allocation_length, most));
        }
        if row.name.starts_with("MODE SENSE") {
            cdb[2] = 0x3f;
            all.retain(|(other, ..)| other[0] != cdb[0]);
            all.push((cdb.clone(), allocation_length, most));
        }
    }
    assert!(all.iter().any(|(cdb, ..)| cdb[0] == 0x5a));
    assert_eq!(mode_sense::ALLOCATION_LENGTH_6.width, 1);
    all
}

fn with_length(cdb: &[u8], field: Field, length: u64) -> Vec<u8> {
    let mut cdb = cdb.to_vec();
    let bytes = length.to_be_bytes();
    cdb[field.byte..field.byte + field.width].copy_from_slice(&bytes[8 - field.width..]);
    cdb
}

#[test]
fn every_allocation_length_cuts_the_same_answer() {
    for (cdb, field, most) in commands() {
        let bench = Bench::new();
        let greatest = (1 << (8 * field.width)) - 1;
        let whole = bench.good(&with_length(&cdb, field, greatest));
        let length = whole.len() as u64;
        assert!((1..=u64::from(most)).contains(&length), "{cdb:x?}");
        for allocated in [0, 1, length - 1, length, length + 1, greatest] {
            let allocated = allocated.min(greatest);
            let cdb = with_length(&cdb, field, allocated);
            let plan = bench.server.plan(LUN, &cdb);
            assert!(u64::from(plan.data_in) <= allocated);
            for room in [0, 1, length as usize, usize::MAX] {
                let reply = bench.run(NEXUS, LUN, &cdb, &[], room);
                assert_eq!(reply.done.status, Status::Good);
                assert_eq!(reply.done.data_in, length.min(allocated), "{cdb:x?}");
                let shown = room.min(allocated as usize).min(whole.len());
                // GET LBA STATUS counts fewer descriptors where there is less room; here there is one.
                assert_eq!(reply.data, whole[..shown], "{cdb:x?} {allocated}");
            }
        }
    }
}

#[test]
fn every_byte_that_is_claimed_was_written() {
    for (cdb, field, _) in commands() {
        let bench = Bench::new();
        let greatest = (1 << (8 * field.width)) - 1;
        let cdb = with_length(&cdb, field, greatest);
        let plan = bench.server.plan(LUN, &cdb);
        let answers = [0x00, 0xff, CANARY].map(|garbage| {
            let mut data = vec![garbage; plan.data_in as usize];
            let done = bench.server.execute(NEXUS, LUN, &cdb, bench.server.plan(LUN, &cdb), &[], &mut data);
            let length = done.data_in as usize;
            assert!(data[length..].iter().all(|byte| *byte == garbage), "{cdb:x?}");
            data.truncate(length);
            data
        });
        assert_eq!(answers[0], answers[1], "{cdb:x?}");
        assert_eq!(answers[0], answers[2], "{cdb:x?}");
    }
}
