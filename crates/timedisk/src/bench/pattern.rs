//! Data that tell where they belong: every 8 bytes are made of their address and of a number of this run.

/// Bytes that are made at once.
const WORD: u64 = 8;

/// The 8 bytes at an address that is a multiple of 8.
fn word(seed: u64, address: u64) -> [u8; 8] {
    // SplitMix64's finaliser.
    let mut z = seed ^ (address / WORD).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).to_le_bytes()
}

/// Fills a buffer that begins at an address that is a multiple of 8.
pub(crate) fn fill(seed: u64, address: u64, bytes: &mut [u8]) {
    for (index, chunk) in bytes.chunks_mut(8).enumerate() {
        let made = word(seed, address + index as u64 * WORD);
        chunk.iter_mut().zip(made).for_each(|(place, byte)| *place = byte);
    }
}

/// The address of the first byte that is not as [`fill`] made it. The bytes may begin and end anywhere.
pub(crate) fn first_difference(seed: u64, address: u64, bytes: &[u8]) -> Option<u64> {
    let lead = ((WORD - address % WORD) % WORD).min(bytes.len() as u64) as usize;
    let (head, body) = bytes.split_at(lead);
    let slow = |address: u64, bytes: &[u8]| {
        (address..).zip(bytes).find_map(|(address, byte)| {
            let made = word(seed, address - address % WORD);
            (made.get((address % WORD) as usize) != Some(byte)).then_some(address)
        })
    };
    let body_address = address + lead as u64;
    let (words, tail) = body.as_chunks::<8>();
    slow(address, head)
        .or_else(|| {
            let addresses = (0u64..).map(|index| body_address + index * WORD);
            let wrong = addresses.zip(words).find(|(address, bytes)| word(seed, *address) != **bytes);
            wrong.and_then(|(address, bytes)| slow(address, bytes))
        })
        .or_else(|| slow(body_address + (words.len() * 8) as u64, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_filled_is_recognised_in_pieces_that_begin_anywhere() {
        let mut bytes = [0; 4096];
        fill(7, 1 << 40, &mut bytes);
        for start in 0..40 {
            for end in (start..80).chain([4095, 4096]) {
                let piece = &bytes[start..end];
                assert_eq!(first_difference(7, (1 << 40) + start as u64, piece), None, "{start}..{end}");
            }
        }
    }

    #[test]
    fn a_changed_byte_another_address_and_another_run_are_noticed() {
        let mut bytes = [0; 512];
        fill(7, 4096, &mut bytes);
        assert_eq!(first_difference(8, 4096, &bytes), Some(4096));
        assert_eq!(first_difference(7, 4096 + 512, &bytes), Some(4096 + 512));
        for at in [0, 1, 7, 8, 255, 504, 511] {
            let mut changed = bytes;
            changed[at] ^= 1;
            for start in 0..=at.min(9) {
                let found = first_difference(7, 4096 + start as u64, &changed[start..]);
                assert_eq!(found, Some(4096 + at as u64));
            }
        }
    }
}
