//! What Windows does to save work: it gives space back (Optimize-Volume), and has copies made by the disks (ODX).

use super::script::{BLOCKS, capacity, number, read_page, two_disks, whole};
use super::windows;
use crate::wire::{BLOCK, Initiator, Scsi, assert_same, block};

const POPULATE_TOKEN: u8 = 0x10;
const WRITE_USING_TOKEN: u8 = 0x11;
const TOKEN: usize = 512;

/// UNMAP, with as many ranges as it has for one file.
fn unmap(ranges: &[(u64, u32)]) -> Scsi {
    let length = (ranges.len() * 16) as u16;
    let mut list = [&(length + 6).to_be_bytes()[..], &length.to_be_bytes(), &[0; 4]].concat();
    for (lba, count) in ranges {
        list.extend([&lba.to_be_bytes()[..], &count.to_be_bytes(), &[0; 4]].concat());
    }
    let [high, low] = (list.len() as u16).to_be_bytes();
    Scsi::output(&[0x42, 0, 0, 0, 0, 0, 0, high, low, 0], &list)
}

/// GET LBA STATUS from a block on: first block, blocks and provisioning status of each descriptor.
#[track_caller]
fn status(windows: &mut Initiator, lba: u64) -> Vec<(u64, u64, u8)> {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1], cdb[12]) = (0x9e, 0x12, 0x10);
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    let data = windows.run(&Scsi::input(&cdb, 4096)).good();
    assert_eq!(number(&data[..4]) as usize, data.len() - 4, "parameter data length");
    data[8..].chunks(16).map(|one| (number(&one[..8]), number(&one[8..12]), one[12] & 0x0f)).collect()
}

/// A token's command with its list and list identifier.
fn third_party(action: u8, identifier: u32, body: &[u8]) -> Scsi {
    let list = [&(body.len() as u16).to_be_bytes()[..], body].concat();
    let mut cdb = [0; 16];
    (cdb[0], cdb[1]) = (0x83, action);
    cdb[6..10].copy_from_slice(&identifier.to_be_bytes());
    cdb[10..14].copy_from_slice(&(list.len() as u32).to_be_bytes());
    Scsi::output(&cdb, &list)
}

fn ranges(of: &[(u64, u32)]) -> Vec<u8> {
    let each =
        of.iter().flat_map(|(lba, count)| [&lba.to_be_bytes()[..], &count.to_be_bytes(), &[0; 4]].concat());
    [&((of.len() * 16) as u16).to_be_bytes()[..], &each.collect::<Vec<u8>>()].concat()
}

fn populate(identifier: u32, of: &[(u64, u32)]) -> Scsi {
    // IMMED clear, default inactivity timeout, no ROD type of its own.
    third_party(POPULATE_TOKEN, identifier, &[&[0; 12][..], &ranges(of)].concat())
}

fn write_using(identifier: u32, token: &[u8], offset: u64, to: &[(u64, u32)]) -> Scsi {
    let head = [&[0; 6][..], &offset.to_be_bytes(), token, &[0; 6]].concat();
    third_party(WRITE_USING_TOKEN, identifier, &[head, ranges(to)].concat()).at(1)
}

/// RECEIVE ROD TOKEN INFORMATION.
fn information(identifier: u32) -> Scsi {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1], cdb[12]) = (0x84, 0x07, 0x04);
    cdb[2..6].copy_from_slice(&identifier.to_be_bytes());
    Scsi::input(&cdb, 1024)
}

#[test]
fn optimise_finds_a_thin_disk_that_can_give_space_back() {
    let lab = two_disks();
    let mut windows = windows::session(&lab, &[0]);
    let supported = read_page(&mut windows, 0x00);
    assert!(supported[4..].contains(&0xb0) && supported[4..].contains(&0xb2));
    let limits = read_page(&mut windows, 0xb0);
    let (blocks, descriptors) = (number(&limits[20..24]), number(&limits[24..28]));
    assert!(blocks > 0 && descriptors > 0, "UNMAP may be used: {blocks} blocks, {descriptors} ranges");
    assert!(number(&limits[28..32]) > 0, "optimal granularity");
    let provisioning = read_page(&mut windows, 0xb2);
    assert_eq!(
        (provisioning[5] & 0x80, provisioning[5] & 0x04, provisioning[6] & 0x07),
        (0x80, 0x04, 2),
        "thin"
    );
    let mut cdb = [0; 16];
    (cdb[0], cdb[1], cdb[13]) = (0x9e, 0x10, 32);
    let long = whole(windows.run(&Scsi::input(&cdb, 32)), 32);
    assert_eq!(long[14] & 0xc0, 0xc0, "LBPME, LBPRZ");
    assert_eq!(capacity(&mut windows), (BLOCKS, BLOCK));
}

#[test]
fn optimise_sees_what_is_in_use_and_gives_the_rest_back() {
    let lab = two_disks();
    let mut windows = windows::session(&lab, &[0]);
    assert_eq!(status(&mut windows, 0), [(0, BLOCKS, 0)], "all of it");
    windows.run(&unmap(&[(1024, 1024), (4096, 2048)])).good();
    let expected =
        [(0, 1024, 0), (1024, 1024, 1), (2048, 2048, 0), (4096, 2048, 1), (6144, BLOCKS - 6144, 0)];
    assert_eq!(status(&mut windows, 0), expected);
    assert_eq!(status(&mut windows, 1500)[0], (1500, 548, 1), "from within");
    assert_eq!(windows.run(&Scsi::read(4096, 1)).good(), block(0));
    assert_eq!(windows.run(&Scsi::read(6145, 1)).good(), block(1), "what is in use stays");
}

#[test]
fn optimise_may_unmap_in_as_many_ranges_as_the_limits_say() {
    let lab = two_disks();
    let mut windows = windows::session(&lab, &[0]);
    let most = number(&read_page(&mut windows, 0xb0)[24..28]).min(4096) as usize;
    let of: Vec<(u64, u32)> = (0..most as u64).map(|number| (number * 16, 8)).collect();
    windows.run(&unmap(&of)).good();
    assert_eq!(status(&mut windows, 0)[..2], [(0, 8, 1), (8, 8, 0)]);
}

#[test]
fn odx_finds_out_how_much_a_token_may_stand_for() {
    let lab = two_disks();
    let mut windows = windows::session(&lab, &[0]);
    let page = read_page(&mut windows, 0x8f);
    let mut rest = &page[4..];
    let mut found = Vec::new();
    while let [a, b, c, d, more @ ..] = rest {
        let (body, next) = more.split_at(usize::from(u16::from_be_bytes([*c, *d])));
        found.push((u16::from_be_bytes([*a, *b]), body));
        rest = next;
    }
    let limits = found.iter().find(|(kind, _)| *kind == 0).expect("block device ROD token limits").1;
    assert!(number(&limits[6..8]) >= 1, "ranges");
    assert!(number(&limits[8..12]) >= number(&limits[12..16]), "most and usual inactivity timeout");
    assert!(number(&limits[16..24]) >= BLOCKS, "blocks of a token");
    let commands = found.iter().find(|(kind, _)| *kind == 1).expect("supported commands").1;
    let has = |code: u8, action: u8| {
        let mut rest = &commands[1..];
        while let [operation, count, more @ ..] = rest {
            let (actions, next) = more.split_at(usize::from(*count).min(more.len()));
            if *operation == code && actions.contains(&action) {
                return true;
            }
            rest = next;
        }
        false
    };
    assert!(has(0x83, POPULATE_TOKEN) && has(0x83, WRITE_USING_TOKEN) && has(0x84, 0x07));
}

#[test]
fn odx_copies_a_file_between_disks_with_a_token() {
    let lab = two_disks();
    let mut windows = windows::session(&lab, &[0, 1]);
    // A file of two runs.
    windows.run(&populate(1, &[(100, 64), (1000, 200)])).good();
    let made = windows.run(&information(1)).good();
    assert_eq!((made[4], made[5]), (POPULATE_TOKEN, 0x01), "completed without errors");
    assert_eq!(number(&made[16..24]), 264, "blocks that it stands for");
    let token = &made[38..38 + TOKEN];
    windows.run(&write_using(2, token, 0, &[(8, 264)])).good();
    let used = windows.run(&information(2).at(1)).good();
    assert_eq!((used[4], used[5], number(&used[16..24])), (WRITE_USING_TOKEN, 0x01, 264));
    let expected: Vec<u8> = (100..164).chain(1000..1200).flat_map(|lba: u32| block(lba as u8)).collect();
    assert_same(&windows.run(&Scsi::read(8, 264).at(1)).good(), &expected);
    // The rest of a file that was too long for one command: the same token, further on.
    windows.run(&write_using(3, token, 64, &[(2000, 200)])).good();
    assert_same(&windows.run(&Scsi::read(2000, 200).at(1)).good(), &expected[64 * BLOCK..]);
}

#[test]
fn odx_writes_zeros_with_the_token_that_is_known_to_all() {
    let lab = two_disks();
    let mut windows = windows::session(&lab, &[0, 1]);
    windows.run(&Scsi::write(0, &vec![7; 64 * BLOCK]).at(1)).good();
    let mut zeros = [0; TOKEN];
    zeros[..8].copy_from_slice(&[0xff, 0xff, 0x00, 0x01, 0, 0, 0x01, 0xf8]);
    windows.run(&write_using(4, &zeros, 0, &[(16, 16)])).good();
    let read = windows.run(&Scsi::read(0, 64).at(1)).good();
    assert_same(&read, &[&[7; 16 * BLOCK][..], &[0; 16 * BLOCK], &[7; 32 * BLOCK]].concat());
}

#[test]
fn odx_with_a_token_that_is_out_of_date_fails_and_windows_copies_by_itself() {
    let lab = two_disks();
    let mut windows = windows::session(&lab, &[0, 1]);
    windows.run(&populate(1, &[(0, 64)])).good();
    let made = windows.run(&information(1)).good();
    windows.run(&Scsi::write(10, &block(0xee))).good();
    let refused = windows.run(&write_using(2, &made[38..38 + TOKEN], 0, &[(0, 64)]));
    let (key, code, _) = refused.condition();
    assert_eq!((key, code), (0x05, 0x23), "the token is no longer valid");
    assert_eq!(windows.run(&Scsi::read(0, 64).at(1)).good(), vec![0; 64 * BLOCK], "nothing was written");
    let data = windows.run(&Scsi::read(0, 64)).good();
    windows.run(&Scsi::write(0, &data).at(1)).good();
}
