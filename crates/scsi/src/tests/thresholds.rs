//! The log page and the mode page of logical block provisioning, and who is told when a threshold is reached.

use std::sync::atomic::Ordering::SeqCst;

use timedisk_volume::{ErrorKind, Space};

use super::*;
use crate::Wait;

const MIB: u64 = 1 << 20;
const REACHED: (u8, u8, u8) = (0x06, 0x38, 0x07);

/// LOG SENSE of the page.
const LOG: [u8; 10] = [0x4d, 0, 0x4c, 0, 0, 0, 0, 1, 0, 0];

/// A disk of 64 MiB, used by two nexuses.
fn shared() -> Bench {
    let bench = Bench::with(Probe::new(64 * MIB), BLOCK as u32);
    for nexus in [NEXUS, OTHER] {
        bench.server.nexus_established(nexus, &format!("iqn.x,i,0x{}", nexus.0));
        bench.run(nexus, LUN, &[0; 6], &[], 0);
    }
    bench
}

fn set_space(bench: &Bench, used: u64, available: u64) {
    *bench.volume.space.lock().unwrap() = Some(Space { used: used * MIB, available: available * MIB });
}

/// Thresholds that are enabled: of the available resources, the used ones, the available ones in percent.
#[derive(Clone, Copy, Default)]
struct Counts {
    available: Option<u32>,
    used: Option<u32>,
    percentage: Option<u32>,
}

/// The list of MODE SELECT(6) with the page and SITUA.
fn list(one_nexus: bool, counts: Counts) -> Vec<u8> {
    let mut page = vec![0; 44];
    (page[4], page[5], page[7], page[8]) = (0x5c, 0x02, 36, u8::from(one_nexus));
    let descriptors = [(0x00, 1, counts.available), (0x01, 2, counts.used), (0x08, 3, counts.percentage)];
    for (at, (kind, resource, count)) in [20, 28, 36].into_iter().zip(descriptors) {
        (page[at], page[at + 1]) = (kind | if count.is_some() { 0x80 } else { 0 }, resource);
        page[at + 4..at + 8].copy_from_slice(&count.unwrap_or(0).to_be_bytes());
    }
    page
}

fn set_thresholds(bench: &Bench, one_nexus: bool, counts: Counts) {
    bench.good_with(&[0x15, 0x11, 0, 0, 44, 0], &list(one_nexus, counts));
    // The other one is told that they are others.
    bench.run(OTHER, LUN, &[0; 6], &[], 0);
}

const fn available(count: u32) -> Counts {
    Counts { available: Some(count), used: None, percentage: None }
}

fn write(bench: &Bench) {
    bench.good_with(&block_cdb(0x8a, 0, 0, 2048), &vec![1; MIB as usize]);
}

/// What is pending for each of the two, as TEST UNIT READY has it.
fn told(bench: &Bench) -> [bool; 2] {
    [NEXUS, OTHER].map(|nexus| {
        let done = bench.run(nexus, LUN, &[0; 6], &[], 0).done;
        let is_told = done.status != Status::Good;
        assert!(!is_told || triple(&done) == REACHED, "{done:?}");
        is_told
    })
}

#[test]
fn resources_are_counted_in_threshold_sets() {
    let bench = shared();
    let page = |available: [u8; 4], used: [u8; 4], percentage: u8| {
        let mut page = vec![0x0c, 0, 0, 36, 0, 1, 3, 8];
        page.extend(available);
        page.extend([2, 0, 0, 0, 0, 2, 3, 8]);
        page.extend(used);
        page.extend([1, 0, 0, 0, 0, 3, 3, 8, 0, percentage, 0, 0, 2, 0, 0, 0]);
        page
    };
    write(&bench);
    assert_eq!(bench.good(&LOG), page([0, 0, 0, 63], [0, 0, 0, 1], 98));
    bench.good_with(&block_cdb(0x8a, 0, 4096, 1), &[1; BLOCK]);
    assert_eq!(bench.good(&LOG), page([0, 0, 0, 62], [0, 0, 0, 2], 98), "what is left is rounded down");
    set_space(&bench, 1 << 40, 1 << 33);
    assert_eq!(bench.good(&LOG), page([0xff; 4], [0xff; 4], 0));
    set_space(&bench, 0, 0);
    assert_eq!(bench.good(&LOG), page([0; 4], [0; 4], 0));
}

#[test]
fn the_file_system_is_asked_where_that_keeps_nobody_waiting() {
    let bench = shared();
    assert_eq!(bench.server.plan(LUN, &LOG).wait, Wait::Long);
    let mut room = [0; 256];
    assert_eq!(
        bench.server.execute_now(NEXUS, LUN, &LOG, bench.server.plan(LUN, &LOG), &[], &mut room),
        None
    );
    assert_eq!(bench.volume.asked_for_space.load(SeqCst), 0);
    let statistics = [0x4d, 0, 0x59, 0, 0, 0, 0, 1, 0, 0];
    assert_eq!(bench.server.plan(LUN, &statistics).wait, Wait::Nothing);
    bench.volume.fail(ErrorKind::ReadFailed);
    assert_eq!(bench.refused(&LOG), (0x03, 0x11, 0x00), "it does not tell");
    bench.server.unit(LUN).unwrap().medium().take(crate::Absence::Offline);
    assert_eq!(bench.good(&LOG), [0x0c, 0, 0, 0], "nothing is known of a disk that is away");
}

#[test]
fn nobody_is_told_of_thresholds_that_nobody_has_set() {
    let bench = shared();
    set_space(&bench, 64, 0);
    write(&bench);
    assert_eq!(told(&bench), [false; 2]);
    assert_eq!(bench.volume.asked_for_space.load(SeqCst), 0, "and it costs nothing");
}

#[test]
fn a_threshold_is_told_once_for_each_crossing() {
    let kinds = [
        (available(10), 16),
        (Counts { used: Some(90), ..Counts::default() }, 24),
        (Counts { percentage: Some(10), ..Counts::default() }, 32),
    ];
    for (counts, descriptor) in kinds {
        let bench = shared();
        set_thresholds(&bench, false, counts);
        set_space(&bench, 89, 11);
        write(&bench);
        assert_eq!(told(&bench), [false; 2], "not yet");
        for _ in 0..2 {
            set_space(&bench, 90, 10);
            write(&bench);
            let sense = bench.good(&[0x03, 0, 0, 0, 18, 0]);
            assert_eq!((sense[2], sense[12], sense[13]), REACHED);
            assert_eq!(sense[..7], [0xf0, 0, 0x06, 0, 0, 0, descriptor], "where it stands in the page");
            assert_eq!(told(&bench), [false, true]);
            set_space(&bench, 91, 9);
            write(&bench);
            assert_eq!(told(&bench), [false; 2], "once");
            set_space(&bench, 89, 11);
            write(&bench);
            assert_eq!(told(&bench), [false; 2], "and not that it is over");
        }
    }
}

#[test]
fn a_little_to_and_fro_is_not_told() {
    let kib = |used: u64, available: u64| Space { used: used * 1024, available: available * 1024 };
    let percentage = Counts { percentage: Some(10), ..Counts::default() };
    // In all 100 MiB: just there, within half a set or half a percent of it, and just out of that.
    for (counts, out) in [(available(10), 10_753), (Counts { used: Some(90), ..Counts::default() }, 10_753)]
        .into_iter()
        .chain([(percentage, 10_753)])
    {
        let bench = shared();
        set_thresholds(&bench, false, counts);
        let set = |left: u64| {
            *bench.volume.space.lock().unwrap() = Some(kib(102_400 - left, left));
            write(&bench);
            told(&bench)[0]
        };
        assert!(!set(10_241));
        assert!(set(10_240));
        for left in [10_241, 10_240, 10_751, 10_000] {
            assert!(!set(left), "{left}");
        }
        assert!(!set(out));
        assert!(set(10_240), "again");
    }
}

#[test]
fn a_reset_of_the_logical_unit_forgets_what_was_told() {
    let bench = shared();
    set_thresholds(&bench, false, available(10));
    set_space(&bench, 90, 4);
    write(&bench);
    assert_eq!(told(&bench), [true; 2]);
    bench.server.reset_unit(LUN);
    for nexus in [NEXUS, OTHER] {
        bench.run(nexus, LUN, &[0; 6], &[], 0);
    }
    write(&bench);
    assert_eq!(told(&bench), [true; 2]);
}

#[test]
fn who_gives_space_back_arms_a_threshold_again() {
    let bench = shared();
    set_thresholds(&bench, false, Counts { used: Some(3), ..Counts::default() });
    bench.good_with(&block_cdb(0x8a, 0, 0, 6144), &vec![1; 3 * MIB as usize]);
    assert_eq!(told(&bench), [true; 2]);
    let list = [&[0, 22, 0, 16, 0, 0, 0, 0][..], &[0; 8], &[0, 0, 8, 0, 0, 0, 0, 0]].concat();
    bench.good_with(&[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], &list);
    assert_eq!(told(&bench), [false; 2]);
    write(&bench);
    assert_eq!(told(&bench), [true; 2]);
    bench.good_with(&block_cdb(0x93, 0x01, 0, 2048), &[]);
    bench.good_with(&block_cdb(0x93, 0, 0, 2048), &[1; BLOCK]);
    assert_eq!(told(&bench), [true; 2], "a block that is repeated counts as often as it is written");
}

#[test]
fn no_write_and_no_flush_is_told() {
    let bench = shared();
    set_thresholds(&bench, false, available(10));
    set_space(&bench, 60, 4);
    let mut swap = block_cdb(0x89, 0, 0, 0);
    swap[13] = 1;
    write(&bench);
    write(&bench);
    bench.good_with(&block_cdb(0x2a, 0x08, 0, 1), &[1; BLOCK]);
    bench.good_with(&swap, &[1; 2 * BLOCK]);
    bench.good_with(&block_cdb(0x93, 0, 0, 1), &[1; BLOCK]);
    bench.good_with(&[0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[]);
    bench.good(&block_cdb(0x35, 0, 0, 0));
    assert_eq!(bench.refused(&block_cdb(0x28, 0, 0, 1)), REACHED, "a read is");
    bench.good(&block_cdb(0x28, 0, 0, 1));
}

#[test]
fn one_nexus_is_told_if_that_is_wished() {
    let bench = shared();
    set_thresholds(&bench, true, available(10));
    set_space(&bench, 60, 4);
    write(&bench);
    write(&bench);
    let done = bench.run(OTHER, LUN, &[0; 6], &[], 0).done;
    assert_eq!(triple(&done), REACHED, "whoever asks first");
    assert_eq!(told(&bench), [false; 2]);
}

#[test]
fn without_lbpere_nobody_is_told() {
    let bench = shared();
    set_thresholds(&bench, false, available(10));
    let mut list = [0; 16];
    (list[4], list[5]) = (0x01, 10);
    bench.good_with(&[0x15, 0x10, 0, 0, 16, 0], &list);
    bench.run(OTHER, LUN, &[0; 6], &[], 0);
    set_space(&bench, 60, 4);
    write(&bench);
    assert_eq!(told(&bench), [false; 2]);
}

#[test]
fn another_threshold_is_another_crossing() {
    let bench = shared();
    set_space(&bench, 60, 4);
    for count in [10, 12, 10] {
        set_thresholds(&bench, false, available(count));
        write(&bench);
        assert_eq!(told(&bench), [true; 2]);
        write(&bench);
        assert_eq!(told(&bench), [false; 2]);
    }
    set_thresholds(&bench, false, Counts::default());
    write(&bench);
    assert_eq!(told(&bench), [false; 2], "off again");
}

#[test]
fn small_writes_are_looked_at_together() {
    let bench = shared();
    set_thresholds(&bench, false, available(10));
    for _ in 0..512 {
        bench.good_with(&block_cdb(0x8a, 0, 0, 8), &[1; 8 * BLOCK]);
    }
    assert_eq!(bench.volume.asked_for_space.load(SeqCst), 2, "once for each MiB");
    bench.volume.fail(ErrorKind::NoSpace);
    let full = (0x07, 0x27, 0x07);
    assert_eq!(bench.refused_with(&block_cdb(0x8a, 0, 0, 1), &[1; BLOCK]), full, "what fails is not counted");
}

#[test]
fn thresholds_survive_a_restart() {
    let bench = shared();
    set_thresholds(
        &bench,
        true,
        Counts { available: Some(10), used: Some(0xfedc_ba98), percentage: Some(5) },
    );
    let unit = bench.server.unit(LUN).unwrap();
    let format = BlockFormat { logical_length: 512, physical_length: 4096 };
    let store: Arc<dyn SettingsStore> = bench.shelf.clone();
    let again = LogicalUnit::new(unit.volume().unwrap(), identity(), format, Some(store));
    assert_eq!(again.modes(), unit.modes());
}

#[test]
fn nothing_else_of_the_page_can_be_changed() {
    let bench = shared();
    let right = list(false, Counts::default());
    let select = [0x15, 0x10, 0, 0, 44, 0];
    bench.good_with(&select, &right);
    for (byte, at) in [(8, 8), (9, 9), (20, 20), (21, 21), (29, 29), (36, 36), (5, 5), (4, 4), (7, 6)] {
        let mut list = right.clone();
        list[byte] ^= 0x08;
        assert_eq!(bench.refused_with(&select, &list), INVALID_PARAMETER, "{byte}");
        assert_eq!(bench.pointed_at(&select, &list).0, at, "{byte}");
    }
    for length in 5..44 {
        assert_eq!(bench.refused_with(&[0x15, 0x10, 0, 0, length, 0], &right[..length.into()]), LIST_LENGTH);
    }
}
