//! Commands nobody would send.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Runs a command with every promise of the interface checked.
fn check(bench: &Bench, lun: [u8; 8], cdb: &[u8], data_out: &[u8], room: usize) {
    let plan = bench.server.plan(lun, cdb);
    assert!(plan.data_in <= 8 << 20 && plan.data_out <= 8 << 20);
    assert!(plan.data_in == 0 || plan.data_out == 0);
    let sent = &data_out[..data_out.len().min(plan.data_out as usize)];
    let mut data = vec![0; room.min(plan.data_in as usize)];
    let prompt = bench.server.execute_now(NEXUS, lun, cdb, plan, sent, &mut data);
    assert!(prompt.is_some() || plan.wait != crate::Wait::Nothing, "{cdb:x?}");
    let reply = bench.run(NEXUS, lun, cdb, sent, room);
    match reply.done.status {
        Status::Good => assert!(reply.done.sense.is_empty()),
        _ => assert_eq!(reply.done.sense.len(), 18),
    }
    // These have more gathered than they take.
    let gathered = match cdb.first() {
        Some(0x41 | 0x89 | 0x93) if plan.data_out > 0 => reply.done.data_out + BLOCK as u64,
        Some(0x7f) if plan.data_out > 0 && cdb[9] == 0x0d => reply.done.data_out + BLOCK as u64,
        _ => reply.done.data_out,
    };
    assert_eq!(gathered, u64::from(plan.data_out), "{cdb:x?}");
}

#[test]
fn every_operation_code_and_service_action_has_an_answer() {
    let bench = Bench::new();
    for code in 0..=255 {
        for action in 0..32 {
            for (fill, length) in [(0, 16), (0xff, 16), (1, 32), (0, 6), (0, 260)] {
                let mut cdb = vec![fill; length];
                (cdb[0], cdb[1]) = (code, action);
                // Without NACA more of the code is reached.
                cdb.iter_mut().skip(5).for_each(|byte| *byte &= !0x04);
                if code == 0x7f && length > 9 {
                    (cdb[1], cdb[7], cdb[8], cdb[9]) = (0, (length - 8) as u8, 0, action);
                }
                check(&bench, LUN, &cdb, &[fill; 1024], 4096);
            }
        }
    }
}

#[test]
fn what_the_fuzzer_begins_with_does_no_harm() {
    for seed in [
        &include_bytes!("../../../../fuzz/seeds/cdb/read-32")[..],
        include_bytes!("../../../../fuzz/seeds/cdb/write-32"),
        include_bytes!("../../../../fuzz/seeds/cdb/write-same-32"),
        include_bytes!("../../../../fuzz/seeds/cdb/verify-32"),
        include_bytes!("../../../../fuzz/seeds/cdb/get-lba-status-32"),
        include_bytes!("../../../../fuzz/seeds/cdb/mode-select-thresholds"),
        include_bytes!("../../../../fuzz/seeds/cdb/log-sense-provisioning"),
        include_bytes!("../../../../fuzz/seeds/cdb/set-timestamp"),
    ] {
        crate::fuzzing::cdb(seed);
    }
}

proptest! {
    #[test]
    fn no_cdb_breaks_a_promise(
        code: u8,
        rest in vec(prop_oneof![Just(0), Just(1), any::<u8>()], 0..40),
        data in vec(any::<u8>(), 0..600),
        room in 0..2000_usize,
    ) {
        let cdb = [&[code], &rest[..]].concat();
        check(&Bench::new(), LUN, &cdb, &data, room);
    }

    #[test]
    fn no_known_command_breaks_a_promise(
        row in 0..crate::command_table::COMMANDS.len(),
        rest in vec(prop_oneof![3 => Just(0), 1 => any::<u8>()], 32),
        data in vec(prop_oneof![3 => Just(0), 1 => any::<u8>()], 0..1200),
        room in 0..5000_usize,
        lun in prop_oneof![Just(LUN), any::<[u8; 8]>()],
    ) {
        let command = &crate::command_table::COMMANDS[row];
        let mut cdb = [&[command.operation_code], &rest[..]].concat();
        cdb.truncate(command.usage.len());
        match (command.operation_code, command.service_action) {
            (0x7f, Some(action)) => cdb[7..10].copy_from_slice(&[24, 0, action]),
            (_, Some(action)) => cdb[1] = (cdb[1] & !0x1f) | action,
            (_, None) => {}
        }
        check(&Bench::new(), lun, &cdb, &data, room);
    }

    #[test]
    fn the_fuzzer_finds_nothing(data in vec(any::<u8>(), 0..300)) {
        crate::fuzzing::cdb(&data);
    }

    /// The disk behaves like an array of blocks.
    #[test]
    fn the_disk_is_what_was_done_to_it(
        steps in vec((0..13_usize, 0..64_u64, 1..24_u32, any::<u8>()), 1..40),
    ) {
        let bench = Bench::with(Probe::new(64 * BLOCK as u64), BLOCK as u32);
        let mut model = [0_u8; 64];
        for (kind, lba, blocks, value) in steps {
            let on_disk = lba + u64::from(blocks) <= 64;
            let block = [value; BLOCK];
            let range = lba as usize..((lba as usize) + blocks as usize).min(64);
            let data = vec![value; blocks as usize * BLOCK];
            let expected: Vec<u8> = model[range.clone()]
                .iter()
                .flat_map(|byte| [*byte; BLOCK])
                .collect();
            let (cdb, sent): (Vec<u8>, &[u8]) = match kind {
                0 => (block_cdb(0x2a, 0, lba, blocks), &data),
                1 => (block_cdb(0x8a, 0x08, lba, blocks), &data),
                2 => (block_cdb(0x41, 0x08, lba, blocks), &block),
                3 => (block_cdb(0x93, 0, lba, blocks), &block),
                4 => (block_cdb(0x93, 0x01, lba, blocks), &[]),
                7 => (block_cdb(0xae, 0x02, lba, blocks), &data),
                12 => (block_cdb(0x9c, 0, lba, blocks), &data),
                5 => (block_cdb(0x28, 0, lba, blocks), &[]),
                8 => (long_cdb(0x0b, 0, lba, blocks), &data),
                9 => (long_cdb(0x0d, 0, lba, blocks), &block),
                10 => (long_cdb(0x09, 0x08, lba, blocks), &[]),
                11 => (long_cdb(0x0a, 0x02, lba, blocks), &expected),
                _ => (block_cdb(0x2f, 0x02, lba, blocks), &expected),
            };
            let reply = bench.send(&cdb, sent);
            prop_assert_eq!(reply.done.status == Status::Good, on_disk);
            match kind {
                _ if !on_disk => {}
                0..=3 | 7..=9 | 12 => model[range].fill(value),
                4 => model[range].fill(0),
                5 | 10 => prop_assert_eq!(reply.data, expected),
                _ => {}
            }
        }
        let whole = bench.good(&block_cdb(0x28, 0, 0, 64));
        let expected: Vec<u8> = model.iter().flat_map(|byte| [*byte; BLOCK]).collect();
        prop_assert_eq!(whole, expected);
    }
}
