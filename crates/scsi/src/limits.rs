//! How much one command may ask for, in bytes unless said otherwise. The Block Limits VPD page tells
//! clients, and the commands enforce it.

/// READ, WRITE, VERIFY, and WRITE AND VERIFY.
pub(crate) const TRANSFER: u64 = 8 << 20;

/// A good size for reads and writes of much data.
pub(crate) const OPTIMAL_TRANSFER: u64 = 1 << 20;

/// PRE-FETCH: of more than this, the first part is read.
pub(crate) const PRE_FETCH: u64 = 16 << 20;

/// UNMAP, the sum of all its descriptors.
pub(crate) const UNMAP: u64 = 512 << 20;

/// Descriptors of one UNMAP.
pub(crate) const UNMAP_DESCRIPTORS: u64 = 256;

/// WRITE SAME, in blocks of any length. Fewer than 65536: test suites that find so many admitted send a
/// WRITE of as many too, which would exceed the limit of that.
pub(crate) const WRITE_SAME_BLOCKS: u64 = 32_768;

/// Bytes that a command which works through a long range holds in memory at a time.
pub(crate) const CHUNK: usize = 256 << 10;

/// A limit in blocks.
pub(crate) fn blocks(bytes: u64, block_length: u64) -> u32 {
    u32::try_from(bytes / block_length.max(1)).unwrap_or(u32::MAX)
}
