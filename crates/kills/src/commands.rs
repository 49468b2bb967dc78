//! The commands that are tried, as CDBs with their data.

use std::sync::Arc;

use timedisk_initiator::{Command, Payload, Transfer};

/// Type of a persistent reservation: writing is for those who are registered (SPC-4 table 61).
pub(crate) const WRITE_EXCLUSIVE_REGISTRANTS_ONLY: u8 = 5;

/// Bytes of what is asked of PERSISTENT RESERVE IN and MODE SENSE.
const ROOM: u8 = 255;

/// Data to be sent.
pub(crate) fn payload(data: Vec<u8>) -> Payload {
    let length = data.len();
    Payload::new(&Arc::from(data), 0..length).unwrap_or_default()
}

fn with_data(cdb: [u8; 16], data: Vec<u8>) -> Command {
    Command::new(0, cdb, Transfer::Write(payload(data)))
}

/// UNMAP of blocks in a row (SBC-3 5.28).
pub(crate) fn unmap(first: u64, blocks: u32) -> Command {
    let mut list = vec![0, 22, 0, 16, 0, 0, 0, 0];
    list.extend(first.to_be_bytes());
    list.extend(blocks.to_be_bytes());
    list.extend([0; 4]);
    let mut cdb = [0; 16];
    (cdb[0], cdb[8]) = (0x42, list.len() as u8);
    with_data(cdb, list)
}

/// COMPARE AND WRITE (SBC-3 5.2): what has to be there, and behind it what is written then.
pub(crate) fn compare_and_write(first: u64, blocks: u8, both: Vec<u8>) -> Command {
    let mut cdb = [0; 16];
    cdb[0] = 0x89;
    cdb[2..10].copy_from_slice(&first.to_be_bytes());
    cdb[13] = blocks;
    with_data(cdb, both)
}

/// WRITE ATOMIC (16) (SBC-4 5.47).
pub(crate) fn write_atomic(first: u64, blocks: u16, data: Vec<u8>, fua: bool) -> Command {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1]) = (0x9c, if fua { 1 << 3 } else { 0 });
    cdb[2..10].copy_from_slice(&first.to_be_bytes());
    cdb[12..14].copy_from_slice(&blocks.to_be_bytes());
    with_data(cdb, data)
}

/// PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY, with APTPL: it outlives a loss of power (SPC-4 6.14).
pub(crate) fn register(key: u64) -> Command {
    const REGISTER_AND_IGNORE_EXISTING_KEY: u8 = 6;
    reserve_out(REGISTER_AND_IGNORE_EXISTING_KEY, 0, key)
}

/// PERSISTENT RESERVE OUT, RESERVE.
pub(crate) fn reserve(key: u64) -> Command {
    const RESERVE: u8 = 1;
    reserve_out(RESERVE, key, 0)
}

fn reserve_out(action: u8, key: u64, new: u64) -> Command {
    const APTPL: u8 = 1;
    let mut list = [key.to_be_bytes(), new.to_be_bytes(), [0; 8]].concat();
    list[20] = if action == 1 { 0 } else { APTPL };
    let mut cdb = [0; 16];
    (cdb[0], cdb[1], cdb[8]) = (0x5f, action, list.len() as u8);
    cdb[2] = if action == 1 { WRITE_EXCLUSIVE_REGISTRANTS_ONLY } else { 0 };
    with_data(cdb, list)
}

/// PERSISTENT RESERVE IN, READ KEYS (SPC-4 6.13.2).
pub(crate) fn read_keys() -> Command {
    reserve_in(0)
}

/// PERSISTENT RESERVE IN, READ RESERVATION (SPC-4 6.13.3).
pub(crate) fn read_reservation() -> Command {
    reserve_in(1)
}

fn reserve_in(action: u8) -> Command {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1], cdb[8]) = (0x5e, action, ROOM);
    Command::new(0, cdb, Transfer::Read(ROOM.into()))
}

/// The keys in READ KEYS data, in order.
pub(crate) fn keys_of(data: &[u8]) -> Vec<u64> {
    let (keys, _) = data.get(8..).unwrap_or_default().as_chunks::<8>();
    let mut keys: Vec<u64> = keys.iter().map(|key| u64::from_be_bytes(*key)).collect();
    keys.sort_unstable();
    keys
}

/// Holder's key and type in READ RESERVATION data; `None` where nobody holds one.
pub(crate) fn reservation_of(data: &[u8]) -> Option<(u64, u8)> {
    let key = data.get(8..16)?.first_chunk::<8>()?;
    Some((u64::from_be_bytes(*key), data.get(21)? & 15))
}

/// MODE SENSE (6) of the Caching page, without block descriptors (SPC-4 6.11, SBC-3 6.4.5).
pub(crate) fn caching_page() -> Command {
    let mut cdb = [0; 16];
    cdb[..5].copy_from_slice(&[0x1a, 1 << 3, 0x08, 0, ROOM]);
    Command::new(0, cdb, Transfer::Read(ROOM.into()))
}

/// Whether MODE SENSE (6) data say that the write cache is on (WCE).
pub(crate) fn write_cache(data: &[u8]) -> Option<bool> {
    data.get(6).map(|flags| flags & WCE != 0)
}

const WCE: u8 = 1 << 2;

/// MODE SELECT (6) that turns the write cache on or off and saves that (SP), from what MODE SENSE gave.
pub(crate) fn set_write_cache(sensed: &[u8], is_on: bool) -> Command {
    let page = sensed.get(4..24).unwrap_or_default();
    let mut list = [&[0; 4], page].concat();
    if let [_, _, _, _, code, _, flags, ..] = list.as_mut_slice() {
        *code &= 0x3f;
        *flags = *flags & !WCE | if is_on { WCE } else { 0 };
    }
    let mut cdb = [0; 16];
    cdb[..5].copy_from_slice(&[0x15, 0x11, 0, 0, list.len() as u8]);
    with_data(cdb, list)
}
