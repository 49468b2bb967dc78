//! Every command beside every reservation.

use super::*;

/// What a command is to others' reservations: let through always, where they may read, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tests) enum Class {
    Always,
    Looks,
    Never,
}

pub(in crate::tests) fn commands() -> Vec<(Class, Vec<u8>, Vec<u8>)> {
    use Class::*;
    let block = vec![0; BLOCK];
    let mut compare = vec![0; 16];
    (compare[0], compare[13]) = (0x89, 1);
    let mut capacity = vec![0; 16];
    (capacity[0], capacity[1], capacity[13]) = (0x9e, 0x10, 32);
    let mut lba_status = capacity.clone();
    lba_status[1] = 0x12;
    vec![
        (Always, vec![0; 6], vec![]),
        (Always, vec![0x03, 0, 0, 0, 18, 0], vec![]),
        (Always, vec![0x12, 0, 0, 0, 36, 0], vec![]),
        (Always, vec![0x1b, 0, 0, 0, 1, 0], vec![]),
        (Never, vec![0x1b, 0, 0, 0, 0, 0], vec![]),
        (Always, vec![0x1e, 0, 0, 0, 0, 0], vec![]),
        (Never, vec![0x1e, 0, 0, 0, 1, 0], vec![]),
        (Always, vec![0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], vec![]),
        (Always, capacity, vec![]),
        (Always, vec![0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], vec![]),
        (Always, vec![0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0], vec![]),
        (Always, vec![0xa3, 0x05, 0, 0, 0, 0, 0, 0, 0, 64, 0xfe, 0], vec![]),
        (Always, vec![0xa3, 0x0f, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0], vec![]),
        (Never, vec![0xa4, 0x0f, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0], vec![0; 12]),
        (Never, vec![0xa4, 0x06, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0], vec![1; 4]),
        (Always, vec![0x4d, 0, 0x40, 0, 0, 0, 0, 0, 255, 0], vec![]),
        (Never, vec![0x1d, 0x04, 0, 0, 0, 0], vec![]),
        (Never, vec![0x3b, 0x0a, 0, 0, 0, 0, 0, 0, 4, 0], vec![1; 4]),
        (Looks, vec![0x3c, 0x0b, 0, 0, 0, 0, 0, 0, 4, 0], vec![]),
        (Looks, vec![0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], vec![]),
        (Looks, vec![0x1a, 0, 0x3f, 0, 255, 0], vec![]),
        (Looks, vec![0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255, 0], vec![]),
        (Looks, vec![0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0], vec![]),
        (Looks, vec![0x37, 0, 0, 0, 0, 0, 0, 0, 8, 0], vec![]),
        (Looks, lba_status, vec![]),
        (Looks, block_cdb(0x08, 0, 0, 1), vec![]),
        (Looks, block_cdb(0x28, 0, 0, 1), vec![]),
        (Looks, block_cdb(0xa8, 0, 0, 1), vec![]),
        (Looks, block_cdb(0x88, 0, 0, 1), vec![]),
        (Looks, block_cdb(0x2f, 0, 0, 1), vec![]),
        (Looks, block_cdb(0x34, 0, 0, 1), vec![]),
        (Looks, long_cdb(0x09, 0, 0, 1), vec![]),
        (Looks, long_cdb(0x0a, 0, 0, 1), vec![]),
        (Looks, long_cdb(0x12, 0, 0, 24), vec![]),
        (Never, long_cdb(0x0b, 0, 0, 1), block.clone()),
        (Never, long_cdb(0x0e, 0, 0, 1), block.clone()),
        (Never, long_cdb(0x0c, 0, 0, 1), block.clone()),
        (Never, long_cdb(0x0d, 0, 0, 1), block.clone()),
        (Never, block_cdb(0x0a, 0, 0, 1), block.clone()),
        (Never, block_cdb(0x2a, 0, 0, 1), block.clone()),
        (Never, block_cdb(0xaa, 0, 0, 1), block.clone()),
        (Never, block_cdb(0x8a, 0, 0, 1), block.clone()),
        (Never, block_cdb(0x8b, 0, 0, 1), block.clone()),
        (Never, block_cdb(0x9c, 0, 0, 1), block.clone()),
        (Never, compare, vec![0; 2 * BLOCK]),
        (Never, block_cdb(0x2e, 0, 0, 1), block.clone()),
        (Never, block_cdb(0x41, 0, 0, 1), block.clone()),
        (Never, block_cdb(0x93, 0, 0, 1), block),
        (Never, vec![0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0], vec![]),
        (Never, block_cdb(0x35, 0, 0, 0), vec![]),
        (Never, block_cdb(0x91, 0, 0, 0), vec![]),
        (Never, vec![0x15, 0x10, 0, 0, 0, 0], vec![]),
        (Never, vec![0x04, 0, 0, 0, 0, 0], vec![]),
        (Never, vec![0x48, 0x02, 0, 0, 0, 0, 0, 0, 0, 0], vec![]),
        (Never, vec![0x48, 0x01, 0, 0, 0, 0, 0, 0, 5, 0], vec![1, 0, 0, 1, 7]),
        (Never, vec![0x48, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0], vec![]),
        (Never, vec![0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], vec![]),
        (Never, vec![0x83, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], vec![]),
        (Looks, vec![0x83, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], vec![]),
        (Never, vec![0x83, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], vec![]),
        (Looks, vec![0x84, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], vec![]),
        (Never, vec![0x84, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], vec![]),
    ]
}

#[test]
fn every_command_is_let_in_or_kept_out_as_the_table_says() {
    // Type; whether others may read; whether all who are registered may do all.
    let kinds = [
        (1, true, false),
        (3, false, false),
        (5, true, true),
        (6, false, true),
        (7, true, true),
        (8, false, true),
    ];
    for (kind, others_read, registrants) in kinds {
        let bench = reserved(kind);
        for (class, cdb, data) in commands() {
            for nexus in [HOLDER, REGISTERED, STRANGER] {
                let is_in = nexus == HOLDER || (nexus == REGISTERED && registrants);
                let expected = is_in || class == Class::Always || (class == Class::Looks && others_read);
                settle(&bench, nexus);
                let done = bench.run(nexus, LUN, &cdb, &data, usize::MAX).done;
                let good = done.status == Status::Good;
                assert_eq!(good, expected, "type {kind}, {nexus:?}, {class:?} {cdb:x?}: {done:?}");
                assert!(good || done.status == Status::ReservationConflict);
            }
        }
    }
}

#[test]
fn every_command_of_the_table_is_classified() {
    // What is not tried above stands here: about reservations, or the same as one that is tried.
    let tried: Vec<u8> = commands().iter().map(|(_, cdb, _)| cdb[0]).collect();
    let others = [0x16, 0x17, 0x56, 0x57, 0x5e, 0x5f, 0x55, 0x8e, 0xae, 0x8f, 0xaf, 0x90, 0xb7];
    for row in crate::command_table::COMMANDS {
        let code = row.operation_code;
        assert!(tried.contains(&code) || others.contains(&code), "{}", row.name);
    }
}
