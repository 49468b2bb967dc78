//! Thin provisioning as an initiator sees it: which blocks hold data, and how to have others given back (SBC-3 4.7).

use std::ops::Range;

use crate::session::{Command, Payload, Transfer};

/// Bytes of GET LBA STATUS data that are asked for: 1,024 descriptors.
pub const LBA_STATUS_LENGTH: u32 = 8 + 1024 * 16;

/// Bytes of a vital product data page that are asked for.
pub const PAGE_LENGTH: u16 = 255;

/// Unit Serial Number (SPC-4 7.8.15).
pub const UNIT_SERIAL_NUMBER: u8 = 0x80;
/// Block Limits (SBC-3 6.5.3).
pub const BLOCK_LIMITS: u8 = 0xb0;
/// Logical Block Provisioning (SBC-3 6.5.4).
pub const LOGICAL_BLOCK_PROVISIONING: u8 = 0xb2;

/// INQUIRY of a vital product data page (SPC-4 6.6).
pub fn vital_product_data(lun: u16, page: u8) -> Command {
    let mut cdb = [0; 16];
    let [high, low] = PAGE_LENGTH.to_be_bytes();
    cdb[..6].copy_from_slice(&[0x12, 1, page, high, low, 0]);
    Command::new(lun, cdb, Transfer::Read(PAGE_LENGTH.into()))
}

/// GET LBA STATUS from a block on (SBC-3 5.5).
pub fn get_lba_status(lun: u16, address: u64) -> Command {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1]) = (0x9e, 0x12);
    cdb[2..10].copy_from_slice(&address.to_be_bytes());
    cdb[10..14].copy_from_slice(&LBA_STATUS_LENGTH.to_be_bytes());
    Command::new(lun, cdb, Transfer::Read(LBA_STATUS_LENGTH))
}

/// WRITE SAME (16) of one block of data over `blocks` blocks (SBC-3 5.42). With `unmap`, a disk may give back what is
/// all zeros, and has to write it otherwise.
pub fn write_same(lun: u16, address: u64, blocks: u32, block: Payload, unmap: bool) -> Command {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1]) = (0x93, if unmap { 1 << 3 } else { 0 });
    cdb[2..10].copy_from_slice(&address.to_be_bytes());
    cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
    Command::new(lun, cdb, Transfer::Write(block))
}

/// Blocks in a row, and whether they hold data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LbaStatus {
    /// Addresses.
    pub blocks: Range<u64>,
    /// Provisioning status "mapped", or one that is not known.
    pub is_mapped: bool,
}

/// The descriptors of GET LBA STATUS data, as far as they follow one another from `address` on. Empty where the data
/// make no sense.
pub fn lba_statuses(data: &[u8], address: u64) -> Vec<LbaStatus> {
    let Some((length, rest)) = data.split_first_chunk::<4>() else { return Vec::new() };
    let length = (u32::from_be_bytes(*length) as usize).saturating_sub(4);
    let descriptors = rest.get(4..).unwrap_or_default();
    let descriptors = descriptors.get(..length).unwrap_or(descriptors);
    let (descriptors, _) = descriptors.as_chunks::<16>();
    let (mut statuses, mut next) = (Vec::new(), address);
    for [a, b, c, d, e, f, g, h, i, j, k, l, status, ..] in descriptors {
        let first = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
        let end = first.checked_add(u32::from_be_bytes([*i, *j, *k, *l]).into());
        let Some(end) = end.filter(|end| first <= next && *end > next) else { break };
        // 1: deallocated, 2: anchored.
        statuses.push(LbaStatus { blocks: next..end, is_mapped: !matches!(status & 15, 1 | 2) });
        next = end;
    }
    statuses
}

/// Whether READ CAPACITY (16) data say that the disk is thin and that what holds no data reads as zeros (LBPME and
/// LBPRZ, SBC-3 5.16.2).
pub fn reads_holes_as_zeros(capacity: &[u8]) -> bool {
    capacity.get(14).is_some_and(|flags| flags & 0xc0 == 0xc0)
}

/// The serial number in a Unit Serial Number page; empty where there is none.
pub fn serial_number(page: &[u8]) -> String {
    let Some([_, UNIT_SERIAL_NUMBER, high, low]) = page.first_chunk::<4>() else { return String::new() };
    let text = page.get(4..).unwrap_or_default().iter().take(u16::from_be_bytes([*high, *low]).into());
    let shown = text.map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '?' });
    shown.collect::<String>().trim().to_owned()
}

/// The limits in a Block Limits page, in blocks: of a read or write, and of WRITE SAME. `None` where it sets none.
pub fn block_limits(page: &[u8]) -> (Option<u32>, Option<u64>) {
    let transfer = page.get(8..12).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    let same = page.get(36..44).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
    (transfer.filter(|blocks| *blocks > 0), same.filter(|blocks| *blocks > 0))
}

/// Whether a Logical Block Provisioning page says that WRITE SAME (16) may unmap (LBPWS).
pub fn write_same_unmaps(page: &[u8]) -> bool {
    page.get(5).is_some_and(|flags| flags & 0x40 != 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn descriptor(first: u64, blocks: u32, status: u8) -> Vec<u8> {
        let mut bytes = first.to_be_bytes().to_vec();
        bytes.extend(blocks.to_be_bytes());
        bytes.extend([status, 0, 0, 0]);
        bytes
    }

    #[test]
    fn statuses_are_read_from_the_block_that_was_asked_for_as_far_as_they_follow() {
        let mut data = vec![0, 0, 0, 4 + 4 * 16, 0, 0, 0, 0];
        for (first, blocks, status) in [(0, 16, 1), (16, 8, 0), (24, 100, 2), (200, 1, 0)] {
            data.extend(descriptor(first, blocks, status));
        }
        let read = lba_statuses(&data, 10);
        let plain: Vec<_> = read.into_iter().map(|status| (status.blocks, status.is_mapped)).collect();
        assert_eq!(plain, [(10..16, false), (16..24, true), (24..124, false)]);
        assert!(lba_statuses(&data, 300).is_empty(), "not of what was asked for");
    }

    #[test]
    fn the_pages_are_read_or_say_nothing() {
        assert_eq!(serial_number(b"\0\x80\0\x06 AB\x01C "), "AB?C");
        assert_eq!(serial_number(b"\0\x83\0\x04ABCD"), "");
        let mut limits = [0; 64];
        (limits[10], limits[40]) = (1, 2);
        assert_eq!(block_limits(&limits), (Some(256), Some(2 << 24)));
        assert_eq!(block_limits(&[0; 12]), (None, None));
        assert!(write_same_unmaps(&[0, 0xb2, 0, 4, 0, 0x40]) && !write_same_unmaps(&[0; 5]));
        let mut capacity = [0; 32];
        capacity[14] = 0x80;
        assert!(!reads_holes_as_zeros(&capacity), "holes may read as anything");
        capacity[14] = 0xc0;
        assert!(reads_holes_as_zeros(&capacity));
    }

    proptest! {
        #[test]
        fn statuses_go_on_without_gaps_whatever_comes(data in prop::collection::vec(any::<u8>(), 0..80), at: u64) {
            let mut next = at;
            for status in lba_statuses(&data, at) {
                prop_assert_eq!(status.blocks.start, next);
                prop_assert!(status.blocks.end > next);
                next = status.blocks.end;
            }
        }
    }
}
