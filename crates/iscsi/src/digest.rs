//! Header and data digests: CRC32C (RFC 7143 §13.1, RFC 3385).

use crc_fast::{CrcAlgorithm, Digest};

/// Bytes of a digest on the wire.
pub const LENGTH: usize = 4;

/// The CRC32C of `bytes`, as it stands on the wire (least significant byte first).
pub fn crc32c(bytes: &[u8]) -> [u8; LENGTH] {
    crc_fast::crc32_iscsi(bytes).to_le_bytes()
}

/// A CRC32C made piece by piece, as a data segment arrives.
#[derive(Clone, Debug)]
pub struct Running(Digest);

impl Running {
    /// Of nothing yet.
    pub fn new() -> Self {
        Running(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    /// Goes on with `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest as it stands on the wire.
    pub fn finish(&self) -> [u8; LENGTH] {
        // crc-fast widens every CRC to 64 bits; CRC32C fills the lower half.
        (self.0.finalize() as u32).to_le_bytes()
    }
}

impl Default for Running {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slow definition: reflected polynomial 82F63B78h, bit by bit.
    fn bitwise(bytes: &[u8]) -> [u8; 4] {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
            }
        }
        (!crc).to_le_bytes()
    }

    /// RFC 3720 B.4 gives these values, byte by byte as they are sent.
    #[test]
    fn the_examples_of_the_standard_come_out() {
        assert_eq!(crc32c(&[0; 32]), [0xaa, 0x36, 0x91, 0x8a]);
        assert_eq!(crc32c(&[0xff; 32]), [0x43, 0xab, 0xa8, 0x62]);
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&rising), [0x4e, 0x79, 0xdd, 0x46]);
    }

    #[test]
    fn pieces_give_what_the_whole_gives_and_what_the_definition_gives() {
        let bytes: Vec<u8> = (0..5000u32).map(|i| (i * 31 % 251) as u8).collect();
        for length in [0, 1, 47, 48, 49, 511, 512, 4096, 5000] {
            let whole = &bytes[..length];
            assert_eq!(crc32c(whole), bitwise(whole));
            let mut running = Running::new();
            whole.chunks(7).for_each(|piece| running.update(piece));
            assert_eq!(running.finish(), bitwise(whole));
        }
    }
}
