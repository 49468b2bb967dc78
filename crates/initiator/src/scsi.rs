//! The SCSI commands that are needed here, as CDBs, and what comes back for them (SPC-4, SBC-3).

use crate::session::{Command, Payload, Transfer};

/// Bytes of READ CAPACITY (16) data that are asked for (SBC-3 5.16.2).
pub const CAPACITY_16_LENGTH: u32 = 32;

/// Bytes of READ CAPACITY (10) data (SBC-3 5.15.2).
pub const CAPACITY_10_LENGTH: u32 = 8;

/// Bytes of standard INQUIRY data that are asked for (SPC-4 6.6.2).
pub const INQUIRY_LENGTH: u32 = 96;

/// Bytes of REPORT LUNS data that are asked for: 1,024 logical units.
pub const LUNS_LENGTH: u32 = 8 + 1024 * 8;

const FUA: u8 = 1 << 3;

fn cdb<const N: usize>(bytes: [u8; N]) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
    cdb
}

/// TEST UNIT READY (SPC-4 6.47).
pub fn test_unit_ready(lun: u16) -> Command {
    Command::new(lun, cdb([0]), Transfer::None)
}

/// INQUIRY, standard data (SPC-4 6.6).
pub fn inquiry(lun: u16) -> Command {
    Command::new(lun, cdb([0x12, 0, 0, 0, INQUIRY_LENGTH as u8]), Transfer::Read(INQUIRY_LENGTH))
}

/// READ CAPACITY (16) (SBC-3 5.16).
pub fn read_capacity_16(lun: u16) -> Command {
    let cdb = cdb([0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, CAPACITY_16_LENGTH as u8]);
    Command::new(lun, cdb, Transfer::Read(CAPACITY_16_LENGTH))
}

/// READ CAPACITY (10) (SBC-3 5.15).
pub fn read_capacity_10(lun: u16) -> Command {
    Command::new(lun, cdb([0x25]), Transfer::Read(CAPACITY_10_LENGTH))
}

/// REPORT LUNS (SPC-4 6.33).
pub fn report_luns() -> Command {
    let [a, b, c, d] = LUNS_LENGTH.to_be_bytes();
    Command::new(0, cdb([0xa0, 0, 0, 0, 0, 0, a, b, c, d]), Transfer::Read(LUNS_LENGTH))
}

/// The numbers in REPORT LUNS data, as far as they fit peripheral device or flat addressing (SAM-5 4.7.7), in
/// order.
pub fn luns_of(data: &[u8]) -> Vec<u16> {
    let Some((length, rest)) = data.split_first_chunk::<4>() else { return Vec::new() };
    let length = (u32::from_be_bytes(*length) as usize).min(LUNS_LENGTH as usize);
    let entries = rest.get(4..).unwrap_or_default();
    let entries = entries.get(..length).unwrap_or(entries);
    let mut luns: Vec<u16> = entries
        .chunks_exact(8)
        .filter_map(|entry| match entry {
            [0, low, ..] => Some(u16::from(*low)),
            [high, low, ..] if high & 0xc0 == 0x40 => Some(u16::from_be_bytes([high & 0x3f, *low])),
            _ => None,
        })
        .collect();
    luns.sort_unstable();
    luns
}

/// SYNCHRONIZE CACHE (10) of the whole disk (SBC-3 5.22).
pub fn synchronize_cache(lun: u16) -> Command {
    Command::new(lun, cdb([0x35]), Transfer::None)
}

/// READ (10), or READ (16) where the address or the count needs it (SBC-3 5.11, 5.13), of `blocks` blocks
/// that are `bytes` bytes together.
pub fn read(lun: u16, address: u64, blocks: u32, bytes: u32) -> Command {
    Command::new(lun, addressed((0x28, 0x88), 0, address, blocks), Transfer::Read(bytes))
}

/// WRITE (10) or WRITE (16) (SBC-3 5.32, 5.34). With `fua`, GOOD means that the data are on the medium.
pub fn write(lun: u16, address: u64, blocks: u32, data: Payload, fua: bool) -> Command {
    let flags = if fua { FUA } else { 0 };
    Command::new(lun, addressed((0x2a, 0x8a), flags, address, blocks), Transfer::Write(data))
}

fn addressed((short, long): (u8, u8), flags: u8, address: u64, blocks: u32) -> [u8; 16] {
    let mut cdb = [0; 16];
    match (u32::try_from(address), u16::try_from(blocks)) {
        (Ok(address), Ok(blocks)) => {
            (cdb[0], cdb[1]) = (short, flags);
            cdb[2..6].copy_from_slice(&address.to_be_bytes());
            cdb[7..9].copy_from_slice(&blocks.to_be_bytes());
        }
        _ => {
            (cdb[0], cdb[1]) = (long, flags);
            cdb[2..10].copy_from_slice(&address.to_be_bytes());
            cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
        }
    }
    cdb
}

/// The size of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Number of blocks.
    pub blocks: u64,
    /// Bytes of one.
    pub block_length: u32,
}

impl Capacity {
    /// Bytes of the disk.
    pub fn bytes(self) -> u64 {
        self.blocks.saturating_mul(u64::from(self.block_length))
    }

    /// Reads READ CAPACITY (16) data; `None` where they are cut short or make no sense.
    pub fn of_16(data: &[u8]) -> Option<Capacity> {
        let (last, rest) = data.split_first_chunk::<8>()?;
        Capacity::sound(u64::from_be_bytes(*last), *rest.first_chunk::<4>()?)
    }

    /// Reads READ CAPACITY (10) data. A disk that is too large for them gives 2^32 blocks.
    pub fn of_10(data: &[u8]) -> Option<Capacity> {
        let (last, rest) = data.split_first_chunk::<4>()?;
        Capacity::sound(u64::from(u32::from_be_bytes(*last)), *rest.first_chunk::<4>()?)
    }

    fn sound(last: u64, length: [u8; 4]) -> Option<Capacity> {
        let block_length = u32::from_be_bytes(length);
        let fits = block_length.is_power_of_two() && (256..=1 << 24).contains(&block_length);
        let blocks = last.checked_add(1)?;
        blocks
            .checked_mul(u64::from(block_length))
            .filter(|_| fits)
            .map(|_| Capacity { blocks, block_length })
    }
}

/// Standard INQUIRY data, as far as they matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// 0 for a disk (SPC-4 table 173), 1Fh for no device at this LUN.
    pub device_type: u8,
    /// T10 vendor identification, without the spaces at its end.
    pub vendor: String,
    /// Product identification, without the spaces at its end.
    pub product: String,
}

impl Inquiry {
    /// Reads them; `None` where they are cut short.
    pub fn of(data: &[u8]) -> Option<Inquiry> {
        let text = |range| {
            let bytes: &[u8] = data.get::<std::ops::Range<usize>>(range)?;
            let shown =
                bytes.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '?' });
            Some(shown.collect::<String>().trim_end().to_owned())
        };
        Some(Inquiry { device_type: data.first()? & 0x1f, vendor: text(8..16)?, product: text(16..32)? })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_short_form_is_used_where_it_can_be() {
        let short = read(0, 0xffff_ffff, 0xffff, 0);
        assert_eq!(short.cdb[..10], [0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0]);
        let far = read(0, 1 << 32, 1, 512);
        assert_eq!(far.cdb, [0x88, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
        let many = read(0, 1, 0x1_0000, 0);
        assert_eq!(many.cdb[..14], [0x88, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0]);
        let fua = write(0, 1, 1, Payload::default(), true);
        assert_eq!(fua.cdb[..2], [0x2a, 8]);
    }

    #[test]
    fn capacities_that_make_no_sense_are_refused() {
        let mut data = [0; 32];
        data[7] = 9;
        data[10] = 2;
        assert_eq!(Capacity::of_16(&data), Some(Capacity { blocks: 10, block_length: 512 }));
        assert_eq!(Capacity::of_10(&[0, 0, 0, 1, 0, 0, 16, 0]).unwrap().bytes(), 8192);
        assert_eq!(Capacity::of_16(&[0xff; 32]), None);
        assert_eq!(Capacity::of_16(&data[..11]), None);
        assert_eq!(Capacity::of_10(&[0; 8]), None, "blocks of no bytes");
    }

    #[test]
    fn both_ways_of_addressing_are_read_from_the_list_of_luns() {
        let mut data = vec![0, 0, 0, 24, 0, 0, 0, 0];
        data.extend([0x41, 0, 0, 0, 0, 0, 0, 0]);
        data.extend([0, 7, 0, 0, 0, 0, 0, 0]);
        data.extend([0xc1, 1, 0, 0, 0, 0, 0, 0]);
        data.extend([0, 9, 0, 0, 0, 0, 0, 0]);
        assert_eq!(luns_of(&data), [7, 256]);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(luns_of(&data).len() < 13);
            if let Some(capacity) = Capacity::of_16(&data).or_else(|| Capacity::of_10(&data)) {
                prop_assert!(capacity.bytes() > 0);
            }
            if let Some(inquiry) = Inquiry::of(&data) {
                prop_assert!(!inquiry.vendor.chars().any(char::is_control));
            }
        }
    }
}
