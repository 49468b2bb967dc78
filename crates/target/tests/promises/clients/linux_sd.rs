//! The SCSI disk driver of Linux (torvalds/linux: drivers/scsi/scsi_scan.c, scsi.c, sd.c): how it looks for logical
//! units, and what it asks each one before and after a change.

use std::sync::Arc;

use timedisk_scsi::Attention;
use timedisk_target::{Catalogue, Disk, Mount, Target};
use timedisk_volume::MemoryVolume;

use super::script::{capacity, number, open_lab, page, read_page};
use crate::wire::{BLOCK, Initiator, Lab, Scsi, mount, open_target, unit};

const INVALID_FIELD: (u8, u8, u8) = (0x05, 0x24, 0x00);

/// What it asks a disk that it has found, with a 255-byte buffer.
const PAGES: [u8; 6] = [0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2];

fn disk(name: &str) -> Arc<Disk> {
    Disk::new(name, unit(name, MemoryVolume::new(1 << 20)))
}

fn target(luns: &[(u16, &Arc<Disk>)]) -> Target {
    let mounts: Vec<Mount> = luns.iter().map(|(lun, disk)| mount(*lun, disk, |_| true)).collect();
    Target { mounts, ..open_target("disk", MemoryVolume::new(512)) }
}

/// REPORT LUNS with a buffer of this length: the length in the list, and the LUNs in it.
#[track_caller]
fn report_luns(linux: &mut Initiator, length: usize) -> (usize, Vec<u8>) {
    let mut cdb = [0; 12];
    cdb[0] = 0xa0;
    cdb[6..10].copy_from_slice(&(length as u32).to_be_bytes());
    let list = linux.run(&Scsi::input(&cdb, length)).good();
    (number(&list[..4]) as usize, list[8..].chunks(8).map(|lun| lun[1]).collect())
}

/// MODE SENSE(6) or (10) without block descriptors.
#[track_caller]
fn mode_sense(linux: &mut Initiator, long: bool, page: u8, length: u8) -> Vec<u8> {
    let cdb = match long {
        false => vec![0x1a, 0x08, page, 0, length, 0],
        true => vec![0x5a, 0x08, page, 0, 0, 0, 0, 0, length, 0],
    };
    linux.run(&Scsi::input(&cdb, length.into())).good()
}

#[test]
fn linux_reads_each_page_that_is_listed_and_the_list_is_right() {
    let lab = open_lab();
    let mut linux = lab.session("disk", &[]);
    let listed = read_page(&mut linux, 0x00)[4..].to_vec();
    for code in PAGES {
        assert!(listed.contains(&code), "{code:#x} is not listed");
        let whole = read_page(&mut linux, code);
        let short = linux.run(&Scsi::input(&[0x12, 1, code, 0, 255, 0], 255)).good();
        assert_eq!(short, whole[..whole.len().min(255)]);
    }
}

#[test]
fn linux_that_asks_for_the_ata_page_hears_that_there_is_none_and_goes_on() {
    let lab = open_lab();
    let mut linux = lab.session("disk", &[]);
    assert!(!read_page(&mut linux, 0x00)[4..].contains(&0x89));
    assert_eq!(linux.run(&page(0x89)).condition(), INVALID_FIELD);
    linux.run(&Scsi::test_unit_ready()).good();
}

#[test]
fn linux_learns_which_write_same_there_is_from_the_supported_operation_codes() {
    let lab = open_lab();
    let mut linux = lab.session("disk", &[]);
    for opcode in [0x41, 0x93] {
        let asked = Scsi::input(&[0xa3, 0x0c, 1, opcode, 0, 0, 0, 0, 2, 0, 0, 0], 512);
        let told = linux.run(&asked).good();
        assert_eq!(told[1] & 0x07, 3, "{opcode:#x} is supported as the standard has it");
        assert_eq!(told[4], opcode, "the usage data begin with the operation code");
    }
    let unknown = linux.run(&Scsi::input(&[0xa3, 0x0c, 1, 0xff, 0, 0, 0, 0, 2, 0, 0, 0], 512)).good();
    assert_eq!(unknown[1] & 0x07, 1, "it is not supported");
}

#[test]
fn linux_reads_cache_and_fua_from_the_caching_page_by_both_commands() {
    let lab = open_lab();
    let mut linux = lab.session("disk", &[]);
    for (long, header) in [(false, 4), (true, 8)] {
        // First the header alone, then as much as it says that there is.
        let head = mode_sense(&mut linux, long, 0x08, header as u8);
        assert_eq!(head.len(), header);
        let length = if long { number(&head[..2]) as usize + 2 } else { usize::from(head[0]) + 1 };
        let whole = mode_sense(&mut linux, long, 0x08, length as u8);
        assert_eq!((whole.len(), length), (header + 20, header + 20));
        let specific = whole[if long { 3 } else { 2 }];
        assert_eq!(specific & 0x90, 0x10, "DPOFUA, and not write protected");
        assert_eq!(whole[header] & 0x3f, 0x08);
        assert_eq!(whole[header + 2] & 0x04, 0x04, "WCE: it has to flush");
    }
}

#[test]
fn linux_reads_write_protection_from_all_pages_in_any_length() {
    let lab = open_lab();
    let mut linux = lab.session("disk", &[]);
    for length in [4, 192, 255] {
        let all = mode_sense(&mut linux, false, 0x3f, length);
        assert!(all.len() <= length.into() && all.len() >= 4);
        assert_eq!(all[2] & 0x80, 0, "not write protected");
        assert!(usize::from(all[0]) + 1 >= all.len(), "the length is of all pages");
    }
    for length in [8, 192, 255] {
        assert_eq!(mode_sense(&mut linux, true, 0x3f, length)[3] & 0x80, 0);
    }
    linux.run(&Scsi::test_unit_ready()).good();
}

#[test]
fn linux_is_told_of_a_new_capacity_by_a_unit_attention_and_reads_it() {
    let disk = disk("disk");
    let lab = Lab::new(vec![target(&[(0, &disk)])]);
    let mut linux = lab.session("disk", &[]);
    assert_eq!(capacity(&mut linux), ((1 << 20) / BLOCK as u64, BLOCK));
    lab.server().tell(disk.unit(), Attention::CapacityChanged);
    assert_eq!(linux.run(&Scsi::read(0, 1)).condition(), (0x06, 0x2a, 0x09));
    assert_eq!(capacity(&mut linux), ((1 << 20) / BLOCK as u64, BLOCK));
    linux.run(&Scsi::read(0, 1)).good();
}

#[test]
fn linux_only_logs_that_the_inventory_has_changed_and_its_next_scan_sees_it() {
    let (first, second) = (disk("first"), disk("second"));
    let lab = Lab::new(vec![target(&[(0, &first)])]);
    let mut linux = lab.session("disk", &[]);
    assert_eq!(report_luns(&mut linux, 4096), (8, vec![0]));
    let targets = vec![target(&[(0, &first), (7, &second)])];
    lab.server().exchange(Catalogue { targets, ..Catalogue::default() });
    assert_eq!(linux.run(&Scsi::read(0, 1)).condition(), (0x06, 0x3f, 0x0e));
    linux.run(&Scsi::read(0, 1)).good();
    assert_eq!(report_luns(&mut linux, 4096), (16, vec![0, 7]));
}

#[test]
fn linux_scans_with_any_length_and_is_told_how_long_the_list_would_be() {
    let disks = [disk("a"), disk("b"), disk("c")];
    let lab = Lab::new(vec![target(&[(0, &disks[0]), (1, &disks[1]), (9, &disks[2])])]);
    let mut linux = lab.session("disk", &[]);
    for (length, seen) in [(16, &[0][..]), (24, &[0, 1]), (32, &[0, 1, 9]), (4096, &[0, 1, 9])] {
        assert_eq!(report_luns(&mut linux, length), (24, seen.to_vec()), "in {length} bytes");
    }
}

#[test]
fn linux_scans_a_target_without_lun_0_and_finds_the_others() {
    let disk = disk("disk");
    let lab = Lab::new(vec![target(&[(5, &disk)])]);
    let mut linux = lab.session("disk", &[]);
    let inquiry = linux.run(&Scsi::inquiry()).good();
    assert!([0x7f, 0x3f, 0x20].contains(&inquiry[0]) || inquiry[0] >> 5 == 1, "{:#x}", inquiry[0]);
    assert_eq!(report_luns(&mut linux, 4096), (8, vec![5]));
    assert_eq!(linux.run(&Scsi::inquiry().at(5)).good()[0], 0);
    linux.become_ready(5, 4);
}
