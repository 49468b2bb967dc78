//! MODE SENSE and MODE SELECT.

use super::*;

const RECOVERY: [u8; 12] = [0x81, 10, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0];
const CACHING: [u8; 20] = [0x88, 18, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const CONTROL: [u8; 12] = [0x8a, 10, 0x02, 0x10, 0, 0, 0, 0, 0, 0, 0, 0];
const EXTENSION: [u8; 5] = [0xca, 0x01, 0, 28, 0x06];
const EXCEPTIONS: [u8; 12] = [0x9c, 10, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const PROVISIONING: [u8; 40] = [
    0xdc, 0x02, 0, 36, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // header
    0x00, 0x01, 0, 0, 0, 0, 0, 0, // of the available resources
    0x01, 0x02, 0, 0, 0, 0, 0, 0, // of the used ones
    0x08, 0x03, 0, 0, 0, 0, 0, 0, // of the available ones in percent
];

fn sense_6(page: u8, subpage: u8) -> [u8; 6] {
    [0x1a, 0x08, page, subpage, 255, 0]
}

fn caching(bench: &Bench, page_control: u8) -> u8 {
    bench.good(&sense_6(page_control << 6 | 0x08, 0))[6]
}

/// MODE SELECT(6) of one page. `flags` is PF and SP.
fn select(bench: &Bench, flags: u8, page: &[u8]) -> Reply {
    let list = [&[0; 4], page].concat();
    bench.send(&[0x15, flags, 0, 0, list.len() as u8, 0], &list)
}

fn cache_off() -> [u8; 20] {
    let mut page = CACHING;
    (page[0], page[2]) = (0x08, 0);
    page
}

#[test]
fn all_pages_come_in_ascending_order() {
    let bench = Bench::new();
    let golden = [&[59, 0, 0x10, 0][..], &RECOVERY, &CACHING, &CONTROL, &EXCEPTIONS].concat();
    assert_eq!(bench.good(&sense_6(0x3f, 0)), golden);
    let all = bench.good(&sense_6(0x3f, 0xff));
    assert_eq!(usize::from(all[0]), all.len() - 1);
    let extension = [&EXTENSION[..], &[0; 27]].concat();
    let pages = [&RECOVERY[..], &CACHING, &CONTROL, &extension, &EXCEPTIONS, &PROVISIONING].concat();
    assert_eq!(all[4..], pages);
    assert_eq!(bench.good(&sense_6(0x0a, 1))[4..], extension);
    assert_eq!(bench.good(&sense_6(0x08, 0xff))[4..], CACHING);
    assert_eq!(bench.good(&sense_6(0x1c, 0))[4..], EXCEPTIONS);
    assert_eq!(bench.good(&sense_6(0x1c, 2))[4..], PROVISIONING);
    assert_eq!(bench.good(&sense_6(0x1c, 0xff))[4..], [&EXCEPTIONS[..], &PROVISIONING].concat());
    assert_eq!(bench.pointed_at(&sense_6(0x02, 0), &[]), (2, Some(5)));
    assert_eq!(bench.pointed_at(&sense_6(0x1c, 1), &[]), (3, None));
    assert_eq!(bench.pointed_at(&sense_6(0x3f, 1), &[]), (3, None));
}

#[test]
fn block_descriptors_come_unless_disabled() {
    let bench = Bench::new();
    let data = bench.good(&[0x1a, 0, 0x0a, 0, 255, 0]);
    assert_eq!(data[..12], [23, 0, 0x10, 8, 0, 0, 8, 0, 0, 0, 2, 0]);
    let data = bench.good(&[0x5a, 0, 0x0a, 0, 0, 0, 0, 0, 255, 0]);
    let golden = [0, 26, 0, 0x10, 0, 0, 0, 8, 0, 0, 8, 0, 0, 0, 2, 0];
    assert_eq!(data[..16], golden);
    let data = bench.good(&[0x5a, 0x10, 0x0a, 0, 0, 0, 0, 0, 255, 0]);
    let descriptor = [0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2, 0];
    assert_eq!(data[..8], [0, 34, 0, 0x10, 1, 0, 0, 16]);
    assert_eq!(data[8..24], descriptor);
    let data = bench.good(&[0x5a, 0x18, 0x0a, 0, 0, 0, 0, 0, 255, 0]);
    assert_eq!(data[..8], [0, 18, 0, 0x10, 0, 0, 0, 0]);
}

#[test]
fn changeable_default_and_saved_values_are_told_apart() {
    let bench = Bench::new();
    select(&bench, 0x11, &cache_off());
    let mut on = cache_off();
    on[2] = 0x04;
    select(&bench, 0x10, &on);
    assert_eq!([0, 1, 2, 3].map(|control| caching(&bench, control)), [0x04, 0x04, 0x04, 0x00]);
    let mask = bench.good(&sense_6(0x4a, 0));
    assert_eq!(mask[4..], [0x8a, 10, 0, 0x06, 0x38, 0x40, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn saved_parameters_survive_a_restart() {
    let bench = Bench::new();
    assert_eq!(select(&bench, 0x11, &cache_off()).done.status, Status::Good);
    let unit = bench.server.unit(LUN).unwrap();
    let format = BlockFormat { logical_length: 512, physical_length: 4096 };
    let store: Arc<dyn SettingsStore> = bench.shelf.clone();
    let again = LogicalUnit::new(unit.volume().unwrap(), identity(), format, Some(store));
    assert!(!again.modes().write_cache);
}

#[test]
fn without_a_store_nothing_can_be_saved() {
    let volume = Arc::new(Probe::new(1 << 20));
    let format = BlockFormat { logical_length: 512, physical_length: 4096 };
    let unit = LogicalUnit::new(volume.clone(), identity(), format, None);
    let bench = Bench {
        server: DeviceServer::new("iqn.x", 1, vec![(0, Arc::new(unit))]),
        volume,
        shelf: Arc::default(),
    };
    assert_eq!(bench.refused(&sense_6(0xc8, 0)), (0x05, 0x39, 0x00));
    assert_eq!(triple(&select(&bench, 0x11, &cache_off()).done), INVALID_FIELD);
    assert_eq!(bench.good(&sense_6(0x08, 0))[4], 0x08);
}

#[test]
fn without_a_write_cache_every_write_is_durable() {
    let bench = Bench::new();
    let write = |flags| bench.good_with(&block_cdb(0x2a, flags, 0, 1), &[1; BLOCK]);
    let lasts = || bench.volume.all_lasts();
    write(0);
    assert!(!lasts());
    write(0x08);
    assert!(lasts());
    write(0);
    select(&bench, 0x10, &cache_off());
    // What was written under the cache is on the medium from here on.
    assert!(lasts());
    write(0);
    assert!(lasts());
    bench.good_with(&block_cdb(0x41, 0, 0, 4), &[0; BLOCK]);
    assert!(lasts());
    bench.good_with(&block_cdb(0x41, 0, 0, 4), &[1; BLOCK]);
    assert!(lasts());
}

#[test]
fn a_cache_that_cannot_be_flushed_stays_on() {
    let bench = Bench::new();
    bench.volume.fail(timedisk_volume::ErrorKind::FlushFailed);
    let done = select(&bench, 0x11, &cache_off()).done;
    assert_eq!(triple(&done), (0x03, 0x0c, 0x00));
    assert_eq!(caching(&bench, 0), 0x04);
    assert_eq!(caching(&bench, 3), 0x04);
}

#[test]
fn software_write_protection_can_be_set_and_taken_off() {
    let bench = Bench::new();
    let mut page = CONTROL;
    page[4] = 0x08;
    assert_eq!(select(&bench, 0x10, &page).done.status, Status::Good);
    assert_eq!(bench.good(&sense_6(0x0a, 0))[2], 0x90);
    let write = block_cdb(0x2a, 0, 0, 1);
    assert_eq!(bench.server.plan(LUN, &write).data_out, 0);
    assert_eq!(bench.refused_with(&write, &[0; BLOCK]), (0x07, 0x27, 0x02));
    bench.good(&block_cdb(0x28, 0, 0, 1));
    assert_eq!(select(&bench, 0x10, &CONTROL).done.status, Status::Good);
    bench.good_with(&write, &[0; BLOCK]);
}

/// A control mode page with these in bytes 3, 4 and 5.
fn control(bytes: [u8; 3]) -> [u8; 12] {
    let mut page = CONTROL;
    page[0] = 0x0a;
    page[3..6].copy_from_slice(&bytes);
    page
}

#[test]
fn what_becomes_of_aborted_commands_and_attentions_can_be_set_and_saved() {
    let bench = Bench::new();
    let now = |bench: &Bench, page_control: u8| {
        let page = bench.good(&sense_6(page_control << 6 | 0x0a, 0));
        [page[7], page[8], page[9]]
    };
    for set in [[0x12, 0x20, 0x40], [0x16, 0x30, 0], [0x10, 0, 0]] {
        assert_eq!(select(&bench, 0x11, &control(set)).done.status, Status::Good);
        assert_eq!([0, 2, 3].map(|page_control| now(&bench, page_control)), [set, [0x10, 0, 0], set]);
        let format = BlockFormat { logical_length: 512, physical_length: 4096 };
        let store: Arc<dyn SettingsStore> = bench.shelf.clone();
        let volume = bench.server.unit(LUN).unwrap().volume().unwrap();
        let again = LogicalUnit::new(volume, identity(), format, Some(store));
        assert_eq!(again.modes(), bench.server.unit(LUN).unwrap().modes(), "after a restart");
    }
    select(&bench, 0x10, &control([0x12, 0x20, 0x40]));
    assert_eq!(now(&bench, 3), [0x10, 0, 0], "it was not saved");
    for (bytes, pointer) in [([0x14, 0, 0], (7, Some(2))), ([0x10, 0x10, 0], (8, Some(5)))] {
        assert_eq!(triple(&select(&bench, 0x10, &control(bytes)).done), INVALID_PARAMETER, "reserved");
        let list = [&[0; 4][..], &control(bytes)].concat();
        assert_eq!(bench.pointed_at(&[0x15, 0x10, 0, 0, list.len() as u8, 0], &list), pointer);
        assert_eq!(now(&bench, 0), [0x12, 0x20, 0x40]);
    }
}

#[test]
fn other_clients_are_told_of_a_changed_control_page() {
    let bench = Bench::new();
    for nexus in [NEXUS, OTHER] {
        bench.server.nexus_established(nexus, "iqn.x,i,0x1");
        bench.run(nexus, LUN, &[0; 6], &[], 0);
    }
    select(&bench, 0x10, &control([0x10, 0, 0x40]));
    assert_eq!(triple(&bench.run(OTHER, LUN, &[0; 6], &[], 0).done), (0x06, 0x2a, 0x01));
    assert_eq!(bench.send(&[0; 6], &[]).done.status, Status::Good);
}

#[test]
fn what_was_saved_and_is_no_value_counts_for_nothing() {
    let bench = Bench::new();
    for (key, value) in
        [("query-error", "2"), ("unit-attention-interlock", "x"), ("task-aborted-status", "1")]
    {
        bench.shelf.save(key, value).unwrap();
    }
    bench.server.reset_unit(LUN);
    assert_eq!(bench.good(&sense_6(0x0a, 0))[4..], CONTROL);
}

#[test]
fn a_read_only_unit_is_write_protected() {
    let bench = Bench::new();
    bench.server.unit(LUN).unwrap().set_read_only(true);
    assert_eq!(bench.good(&sense_6(0x0a, 0))[2], 0x90);
    for code in [0x0a, 0x2a, 0x2e, 0x41, 0x42, 0x8a, 0x8e, 0x93, 0xaa, 0xae] {
        let cdb = block_cdb(code, 0, 0, 1);
        assert_eq!(bench.refused(&cdb), (0x07, 0x27, 0x00), "{code:x}");
        assert_eq!(bench.server.plan(LUN, &cdb).data_out, 0);
    }
}

#[test]
fn a_refused_page_changes_nothing_and_is_pointed_at() {
    let bench = Bench::new();
    let mut control = CONTROL;
    control[2] |= 0x04;
    let list = [&[0; 4][..], &cache_off(), &control].concat();
    let cdb = [0x15, 0x11, 0, 0, list.len() as u8, 0];
    assert_eq!(bench.refused_with(&cdb, &list), INVALID_PARAMETER);
    assert_eq!(bench.pointed_at(&cdb, &list), (4 + 20 + 2, Some(2)));
    assert_eq!(caching(&bench, 0), 0x04);
    assert!(bench.shelf.0.lock().unwrap().is_empty());
}

#[test]
fn a_block_descriptor_may_say_only_what_is_so() {
    let bench = Bench::new();
    let run = |descriptor: &[u8], long: bool| {
        let length = descriptor.len() as u8;
        let header = [0, 0, 0, 0, u8::from(long), 0, 0, length];
        let list = [&header, descriptor].concat();
        let cdb = [0x55, 0x10, 0, 0, 0, 0, 0, 0, list.len() as u8, 0];
        bench.send(&cdb, &list).done
    };
    for good in [[0, 0, 8, 0, 0, 0, 2, 0], [0, 0, 0, 0, 0, 0, 2, 0], [255, 255, 255, 255, 0, 0, 2, 0]] {
        assert_eq!(run(&good, false).status, Status::Good);
    }
    assert_eq!(triple(&run(&[0, 0, 8, 0, 0, 0, 4, 0], false)), INVALID_PARAMETER);
    assert_eq!(triple(&run(&[0, 0, 7, 0, 0, 0, 2, 0], false)), INVALID_PARAMETER);
    assert_eq!(triple(&run(&[0; 7], false)), INVALID_PARAMETER);
    let long = [0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2, 0];
    assert_eq!(run(&long, true).status, Status::Good);
    assert_eq!(triple(&run(&long, false)), INVALID_PARAMETER);
}

#[test]
fn lists_that_are_cut_off_are_refused() {
    let bench = Bench::new();
    let list = [&[0; 4][..], &cache_off()].concat();
    for claimed in (1..4).chain(5..24) {
        let cdb = [0x15, 0x10, 0, 0, claimed, 0];
        let sent = &list[..usize::from(claimed)];
        assert_eq!(bench.refused_with(&cdb, sent), LIST_LENGTH, "{claimed}");
        // Less came than was claimed.
        assert_eq!(bench.refused_with(&cdb, &sent[1..]), LIST_LENGTH);
    }
    assert_eq!(caching(&bench, 0), 0x04);
    for empty in [0, 4] {
        bench.good_with(&[0x15, 0x10, 0, 0, empty, 0], &list[..empty.into()]);
    }
    assert_eq!(bench.pointed_at(&[0x15, 0, 0, 0, 24, 0], &list), (1, Some(4)));
}
