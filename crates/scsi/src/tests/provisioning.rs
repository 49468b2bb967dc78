//! UNMAP, WRITE SAME and GET LBA STATUS.

use super::*;

fn unmap_list(extents: &[(u64, u32)]) -> Vec<u8> {
    let length = (extents.len() * 16) as u16;
    let mut list = (length + 6).to_be_bytes().to_vec();
    list.extend(length.to_be_bytes());
    list.extend([0; 4]);
    for (lba, blocks) in extents {
        list.extend(lba.to_be_bytes());
        list.extend(blocks.to_be_bytes());
        list.extend([0; 4]);
    }
    list
}

fn unmap_cdb(length: usize) -> [u8; 10] {
    let [high, low] = (length as u16).to_be_bytes();
    [0x42, 0, 0, 0, 0, 0, 0, high, low, 0]
}

fn unmap(bench: &Bench, extents: &[(u64, u32)]) -> Completion {
    let list = unmap_list(extents);
    bench.send(&unmap_cdb(list.len()), &list).done
}

/// LBA, blocks and provisioning status of each descriptor.
fn status(bench: &Bench, lba: u64, allocated: u32) -> Vec<(u64, u32, u8)> {
    let mut cdb = block_cdb(0x9e, 0x12, lba, allocated);
    cdb[14] = 0;
    descriptors(&bench.good(&cdb))
}

fn descriptors(data: &[u8]) -> Vec<(u64, u32, u8)> {
    let descriptors = data.get(8..).unwrap_or_default().chunks_exact(16);
    descriptors
        .map(|bytes| {
            let lba = u64::from_be_bytes(bytes[..8].try_into().unwrap());
            let blocks = u32::from_be_bytes(bytes[8..12].try_into().unwrap());
            (lba, blocks, bytes[12])
        })
        .collect()
}

/// A disk that is full of ones.
fn full() -> Bench {
    let bench = Bench::new();
    bench.good_with(&block_cdb(0x41, 0, 0, BLOCKS as u32), &[1; BLOCK]);
    assert_eq!(bench.volume.allocated(), BLOCKS * BLOCK as u64);
    bench
}

fn block(bench: &Bench, lba: u64) -> u8 {
    let data = bench.good(&block_cdb(0x28, 0, lba, 1));
    assert!(data.iter().all(|byte| *byte == data[0]));
    data[0]
}

#[test]
fn unmapped_blocks_read_as_zeros_and_give_their_space_back() {
    let bench = full();
    assert_eq!(unmap(&bench, &[(8, 16), (100, 3), (7, 0)]).status, Status::Good);
    let zeros: Vec<_> = (0..BLOCKS).filter(|lba| block(&bench, *lba) == 0).collect();
    let expected: Vec<_> = (8..24).chain(100..103).collect();
    assert_eq!(zeros, expected);
    assert_eq!(bench.volume.allocated(), BLOCKS * BLOCK as u64 - 2 * 4096);
}

#[test]
fn no_descriptor_is_carried_out_unless_all_can_be() {
    let bench = full();
    for bad in [(BLOCKS, 1), (BLOCKS - 1, 2), (u64::MAX, 1), (BLOCKS + 1, 0)] {
        assert_eq!(triple(&unmap(&bench, &[(0, 8), bad])), OUT_OF_RANGE);
    }
    assert_eq!(block(&bench, 0), 1);
    for none in [&[][..], &[(BLOCKS, 0)], &[(5, 0); 256]] {
        assert_eq!(unmap(&bench, none).status, Status::Good);
    }
    bench.good(&unmap_cdb(0));
}

#[test]
fn the_limits_of_unmap_are_enforced() {
    let bench = Bench::with(Probe::new(1 << 40), 512);
    assert_eq!(unmap(&bench, &[(0, 1 << 20)]).status, Status::Good);
    assert_eq!(triple(&unmap(&bench, &[(0, (1 << 20) + 1)])), INVALID_PARAMETER);
    assert_eq!(triple(&unmap(&bench, &[(0, 1 << 20), (9, 1)])), INVALID_PARAMETER);
    assert_eq!(unmap(&bench, &[(0, 1); 256]).status, Status::Good);
    assert_eq!(triple(&unmap(&bench, &[(0, 1); 257])), INVALID_PARAMETER);
    let list = unmap_list(&[(0, 1)]);
    let mut anchor = unmap_cdb(list.len());
    anchor[1] = 1;
    assert_eq!(bench.pointed_at(&anchor, &list), (1, Some(0)));
}

#[test]
fn an_unmap_list_must_be_as_long_as_it_says() {
    let bench = full();
    let list = unmap_list(&[(0, 8), (16, 8)]);
    for length in 1..list.len() {
        assert_eq!(bench.refused_with(&unmap_cdb(length), &list[..length]), LIST_LENGTH);
        assert_eq!(bench.refused_with(&unmap_cdb(list.len()), &list[..length]), LIST_LENGTH);
    }
    assert_eq!((block(&bench, 0), block(&bench, 16)), (1, 1));
    // A descriptor that is cut off by the descriptors' own length is ignored.
    let mut cut = list.clone();
    cut[3] = 31;
    bench.good_with(&unmap_cdb(cut.len()), &cut);
    assert_eq!((block(&bench, 0), block(&bench, 16)), (0, 1));
}

#[test]
fn write_same_repeats_its_block() {
    for code in [0x41, 0x93] {
        for flags in [0, 0x08] {
            let bench = Bench::new();
            let pattern: Vec<u8> = (0..BLOCK).map(|at| (at % 253) as u8).collect();
            bench.good_with(&block_cdb(code, flags, 3, 1500), &pattern);
            let data = bench.good(&block_cdb(0x28, 0, 2, 1502));
            assert_eq!(data[..BLOCK], [0; BLOCK]);
            assert!(data[BLOCK..][..1500 * BLOCK].chunks(BLOCK).all(|block| block == pattern));
            assert_eq!(data[1501 * BLOCK..], [0; BLOCK]);
        }
    }
}

#[test]
fn zeros_make_holes() {
    for (code, flags, data) in [
        (0x41, 0, &[0; BLOCK][..]),
        (0x41, 0x08, &[0; BLOCK]),
        (0x93, 0, &[0; BLOCK]),
        (0x93, 0x08, &[0; BLOCK]),
        (0x93, 0x01, &[]),
        (0x93, 0x09, &[]),
    ] {
        let bench = full();
        let cdb = block_cdb(code, flags, 0, BLOCKS as u32 - 8);
        assert_eq!(bench.server.plan(LUN, &cdb).data_out as usize, data.len() + BLOCK);
        bench.good_with(&cdb, data);
        assert_eq!(bench.volume.allocated(), 4096);
        assert_eq!((block(&bench, BLOCKS - 9), block(&bench, BLOCKS - 8)), (0, 1));
    }
}

#[test]
fn more_than_a_block_is_gathered_for_write_same_and_refused() {
    let bench = full();
    for code in [0x41, 0x93] {
        let cdb = block_cdb(code, 0, 0, 8);
        let gathered = bench.server.plan(LUN, &cdb).data_out as usize;
        assert_eq!(gathered, 2 * BLOCK);
        for sent in [BLOCK - 1, BLOCK + 1, 2 * BLOCK] {
            let done = bench.send(&cdb, &[0; 2 * BLOCK][..sent]).done;
            assert_eq!(triple(&done), INVALID_FIELD);
            assert_eq!(done.data_out, BLOCK as u64);
        }
        assert_eq!(block(&bench, 0), 1);
    }
    let done = bench.send(&block_cdb(0x41, 0, 0, 8), &[0; BLOCK]).done;
    assert_eq!((done.status, done.data_out), (Status::Good, BLOCK as u64));
    assert_eq!((block(&bench, 7), block(&bench, 8)), (0, 1));
}

#[test]
fn without_a_data_out_buffer_data_that_came_do_not_count() {
    let bench = full();
    bench.good_with(&block_cdb(0x93, 0x01, 0, 8), &[7; BLOCK]);
    assert_eq!((block(&bench, 0), block(&bench, 8)), (0, 1));
}

#[test]
fn without_a_write_cache_unmapping_is_durable() {
    let bench = full();
    let flushes = || bench.volume.flushes.load(std::sync::atomic::Ordering::SeqCst);
    unmap(&bench, &[(0, 8)]);
    assert_eq!(flushes(), 0);
    let mut list = [0; 24];
    list[4..6].copy_from_slice(&[0x08, 18]);
    bench.good_with(&[0x15, 0x10, 0, 0, 24, 0], &list);
    let before = flushes();
    unmap(&bench, &[(8, 8)]);
    assert_eq!(flushes(), before + 1);
}

#[test]
fn write_same_refuses_what_it_cannot_do() {
    let bench = Bench::with(Probe::new(1 << 40), 512);
    for code in [0x41, 0x93] {
        let zeros = &[0; BLOCK];
        let length_byte = if code == 0x41 { 7 } else { 10 };
        for (flags, bit) in [(0x10, 4), (0x18, 4), (0x04, 2), (0x02, 1)] {
            assert_eq!(bench.pointed_at(&block_cdb(code, flags, 0, 1), zeros), (1, Some(bit)));
        }
        let none = block_cdb(code, 0, 0, 0);
        assert_eq!(bench.pointed_at(&none, zeros), (length_byte, None));
        for sent in [0, BLOCK / 2, BLOCK * 2] {
            let data = vec![0; sent];
            assert_eq!(bench.refused_with(&block_cdb(code, 8, 0, 1), &data), INVALID_FIELD);
        }
    }
    let most = 32_768;
    bench.good_with(&block_cdb(0x93, 1, 0, most), &[]);
    assert_eq!(bench.pointed_at(&block_cdb(0x93, 1, 0, most + 1), &[]), (10, None));
    let beyond = block_cdb(0x93, 1, (1 << 31) - 1, 2);
    assert_eq!(bench.refused(&beyond), OUT_OF_RANGE);
}

#[test]
fn status_starts_where_it_is_asked_and_merges() {
    let bench = full();
    unmap(&bench, &[(16, 16), (64, 8)]);
    let expected = [(0, 16, 0), (16, 16, 1), (32, 32, 0), (64, 8, 1), (72, 1976, 0)];
    assert_eq!(status(&bench, 0, 4096), expected);
    assert_eq!(status(&bench, 20, 4096)[..2], [(20, 12, 1), (32, 32, 0)]);
    assert_eq!(status(&bench, BLOCKS - 1, 24), [(BLOCKS - 1, 1, 0)]);
    // Room for two and a half.
    assert_eq!(status(&bench, 0, 8 + 40), expected[..2]);
    for lba in [BLOCKS, BLOCKS + 1, 1 << 63, u64::MAX] {
        assert_eq!(bench.refused(&block_cdb(0x9e, 0x12, lba, 24)), OUT_OF_RANGE);
    }
}

/// GET LBA STATUS(16) and (32): REPORT TYPE, what comes, and the last byte of the header.
fn reports(bench: &Bench, lba: u64, kind: u8, room: u32) -> (Vec<(u64, u32, u8)>, u8) {
    let mut short = block_cdb(0x9e, 0x12, lba, room);
    short[14] = kind;
    let data = bench.good(&short);
    assert_eq!(data, bench.good(&long_cdb(0x12, kind, lba, room)), "32 bytes");
    (descriptors(&data), data[7])
}

#[test]
fn status_is_reported_of_the_blocks_that_are_asked_for() {
    let bench = full();
    unmap(&bench, &[(16, 16), (64, 8)]);
    let (holes, data) = ([(16, 16, 1), (64, 8, 1)], [(0, 16, 0), (32, 32, 0), (72, 1976, 0)]);
    let (by_length, by_capacity) = (0x02, 0x06);
    for kind in [0x01, 0x03] {
        assert_eq!(reports(&bench, 0, kind, 4096), (holes.to_vec(), by_capacity | 1));
        assert_eq!(reports(&bench, 0, kind, 24), (holes[..1].to_vec(), by_length | 1));
        assert_eq!(reports(&bench, 72, kind, 24), (vec![], by_capacity | 1));
        assert_eq!(reports(&bench, 20, kind, 24).0, [(20, 12, 1)]);
    }
    assert_eq!(reports(&bench, 0, 0x02, 4096), (data.to_vec(), by_capacity | 1));
    assert_eq!(reports(&bench, 0, 0x04, 4096), (vec![], by_capacity | 1), "nothing is anchored");
    assert_eq!(reports(&bench, 0, 0x00, 40).1, by_length | 1);
    let (all, unprocessed) = reports(&bench, 0, 0x10, 4096);
    assert_eq!((all.len(), unprocessed), (5, by_capacity), "of blocks that can't be read nobody knows");
    for kind in [0x05, 0x0f, 0x11, 0xff] {
        let mut short = block_cdb(0x9e, 0x12, 0, 24);
        short[14] = kind;
        assert_eq!(bench.pointed_at(&short, &[]), (14, None));
        assert_eq!(bench.pointed_at(&long_cdb(0x12, kind, 0, 24), &[]), (10, None));
    }
}

#[test]
fn status_of_a_range_ends_where_the_range_does() {
    let bench = full();
    unmap(&bench, &[(16, 16)]);
    let mut cdb = long_cdb(0x12, 0, 8, 4096);
    cdb[20..24].copy_from_slice(&12_u32.to_be_bytes());
    let data = bench.good(&cdb);
    assert_eq!((descriptors(&data), data[7]), (vec![(8, 8, 0), (16, 4, 1)], 0x05));
    cdb[20..24].fill(0xff);
    assert_eq!(bench.good(&cdb)[7], 0x07, "longer than the disk");
    cdb[27] = 1;
    assert_eq!(bench.pointed_at(&cdb, &[]), (24, None), "there are no elements");
    for lba in [BLOCKS, u64::MAX] {
        assert_eq!(bench.refused(&long_cdb(0x12, 0, lba, 24)), OUT_OF_RANGE);
    }
}

#[test]
fn a_search_in_a_shredded_volume_comes_to_an_end() {
    let mut volume = Probe::new(8 << 20);
    volume.mappings = (0..16_384).map(|_| (true, 512)).collect();
    let bench = Bench::with(volume, 512);
    assert_eq!(reports(&bench, 0, 0x03, 4096), (vec![], 0x01), "not said how far it came");
}

#[test]
fn a_block_that_holds_any_data_is_mapped() {
    let mut volume = Probe::new(1 << 20);
    volume.mappings = vec![
        (false, 100),
        (true, 10),
        (false, 402 + 512 + 300),
        (false, 212),
        (true, 1),
        (false, 4000),
        (true, (1 << 20) - 4000 - 1 - 1536),
    ];
    let bench = Bench::with(volume, 512);
    let expected = [(0, 1, 0), (1, 2, 1), (3, 1, 0), (4, 6, 1), (10, 2038, 0)];
    assert_eq!(status(&bench, 0, 4096), expected);
}

#[test]
fn a_range_too_long_for_a_descriptor_is_told_in_parts() {
    let blocks: u64 = (1 << 32) + 5;
    let bench = Bench::with(Probe::new(blocks * 512), 512);
    let expected = [(0, u32::MAX, 1), (u64::from(u32::MAX), 6, 1)];
    assert_eq!(status(&bench, 0, 4096), expected);
}

#[test]
fn a_shredded_volume_gets_a_bounded_answer() {
    let mut volume = Probe::new(16 << 20);
    volume.mappings = (0..32768).map(|at| (at % 2 == 0, 512)).collect();
    let bench = Bench::with(volume, 512);
    let descriptors = status(&bench, 1, u32::MAX);
    assert_eq!(descriptors.len(), 1024);
    assert_eq!(descriptors[..2], [(1, 1, 1), (2, 1, 0)]);
}
