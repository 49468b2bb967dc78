//! REPORT SUPPORTED OPERATION CODES, and what is refused of commands in general.

use super::*;

fn report(option: u8, code: u8, action: u8) -> [u8; 12] {
    [0xa3, 0x0c, option, code, 0, action, 0, 0, 0xff, 0xff, 0, 0]
}

#[test]
fn all_commands_are_reported_and_each_is_found_again() {
    let bench = Bench::new();
    let all = bench.good(&report(0, 0, 0));
    assert_eq!(u32::from_be_bytes(all[..4].try_into().unwrap()) as usize, all.len() - 4);
    let descriptors: Vec<_> = all[4..].chunks_exact(8).collect();
    // All but SET TARGET PORT GROUPS, which this disk is not configured for.
    assert_eq!(descriptors.len(), crate::command_table::COMMANDS.len() - 1);
    assert!(descriptors.is_sorted_by_key(|row| (row[0], row[3])));
    for row in descriptors {
        let (code, action, has_action) = (row[0], row[3], row[5] & 1 != 0);
        assert!(has_action || action == 0);
        let (right, wrong) = if has_action { (2, 1) } else { (1, 2) };
        assert_eq!(bench.refused(&report(wrong, code, action)), INVALID_FIELD);
        for option in [right, 3] {
            let one = bench.good(&report(option, code, action));
            assert_eq!(one[..2], [0, 0x03]);
            assert_eq!(one[2..4], row[6..8]);
            assert_eq!(one.len(), 4 + usize::from(row[7]));
            assert_eq!(one[4], code);
            match code {
                _ if !has_action => {}
                0x7f => assert_eq!(one[12..14], [0, action]),
                _ => assert_eq!(one[5] & 0x1f, action),
            }
            let length = [6, 10, 10, 32, 16, 12][usize::from(code >> 5)];
            assert_eq!(row[7], length, "{code:x}");
        }
        let timed = bench.good(&report(0x80 | right, code, action));
        assert_eq!(timed[1], 0x83);
        assert_eq!(timed[timed.len() - 12..][..2], [0, 10]);
    }
    let timed = bench.good(&report(0x80, 0, 0));
    assert_eq!(timed.len() - 4, (all.len() - 4) / 8 * 20);
    assert!(timed[4..].chunks_exact(20).all(|row| row[5] & 2 != 0 && row[9] == 10));
}

#[test]
fn unknown_commands_are_reported_as_such() {
    let bench = Bench::new();
    for (option, code, action) in [(1, 0xff, 0), (2, 0xff, 1), (3, 0x9e, 0x1f), (3, 0x28, 1)] {
        assert_eq!(bench.good(&report(option, code, action)), [0, 1, 0, 0]);
    }
    assert_eq!(bench.refused(&report(4, 0, 0)), INVALID_FIELD);
}

#[test]
fn usage_data_show_dpo_and_fua() {
    let bench = Bench::new();
    for code in [0x28, 0x2a, 0xa8, 0xaa, 0x88, 0x8a] {
        assert_eq!(bench.good(&report(1, code, 0))[5], 0x18);
    }
    for code in [0x2f, 0xaf, 0x8f, 0x2e, 0xae, 0x8e] {
        assert_eq!(bench.good(&report(1, code, 0))[5] & 0x1e, 0x16);
    }
}

#[test]
fn commands_that_are_not_there_are_refused() {
    let bench = Bench::new();
    for code in [0x01, 0x18, 0x7e, 0x9d, 0xff] {
        assert_eq!(bench.refused(&[code; 16]), NO_SUCH_COMMAND);
    }
    let mut cdb = [0; 16];
    (cdb[0], cdb[1]) = (0x9e, 0x13);
    assert_eq!(bench.refused(&cdb), INVALID_FIELD);
    assert_eq!(bench.pointed_at(&cdb, &[]), (1, Some(4)));
    assert_eq!(bench.pointed_at(&long_cdb(0x07, 0, 0, 0), &[]), (8, None));
    let mut other = long_cdb(0x09, 0, 0, 0);
    other[8] = 1;
    assert_eq!(bench.pointed_at(&other, &[]), (8, None), "the service action has 16 bits");
    assert_eq!(bench.refused(&[]), NO_SUCH_COMMAND);
}

#[test]
fn short_cdbs_and_naca_are_refused() {
    let bench = Bench::new();
    for row in crate::command_table::COMMANDS {
        let mut cdb = blank(row);
        assert_eq!(bench.refused(&cdb[..cdb.len() - 1]), INVALID_FIELD, "{}", row.name);
        assert_eq!(crate::command_name(&cdb), Some(row.name));
        let control = if cdb[0] == 0x7f { 1 } else { cdb.len() - 1 };
        cdb[control] = 0x04;
        assert_eq!(bench.pointed_at(&cdb, &[]), (control as u16, Some(2)), "{}", row.name);
    }
}
