//! Logical unit numbers (SAM-5 4.7): single level, in peripheral device and flat space addressing.

/// Logical unit numbers go up to this.
pub(crate) const GREATEST: u16 = 0x3fff;

/// The number of a logical unit, if this is one of the two addressing methods that are used here.
pub(crate) fn decode(lun: [u8; 8]) -> Option<u16> {
    let [first, second, rest @ ..] = lun;
    if rest != [0; 6] {
        return None;
    }
    match first >> 6 {
        // Peripheral device addressing; a bus other than 0 is a second level.
        0b00 => (first == 0).then_some(u16::from(second)),
        0b01 => Some(u16::from_be_bytes([first & 0x3f, second])),
        _ => None,
    }
}

/// The addressing method that every initiator understands, where the number fits it; flat space for the
/// others.
pub(crate) fn encode(number: u16) -> [u8; 8] {
    let flat = if number > 0xff { 0x4000 } else { 0 };
    let [first, second] = ((number & GREATEST) | flat).to_be_bytes();
    [first, second, 0, 0, 0, 0, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back() {
        for number in 0..=GREATEST {
            assert_eq!(decode(encode(number)), Some(number));
        }
        assert_eq!(encode(255), [0, 255, 0, 0, 0, 0, 0, 0]);
        assert_eq!(encode(256), [0x41, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn flat_space_addressing_reaches_small_numbers_too() {
        assert_eq!(decode([0x40, 3, 0, 0, 0, 0, 0, 0]), Some(3));
    }

    #[test]
    fn other_methods_and_second_levels_name_nothing() {
        for lun in [
            [0x01, 0, 0, 0, 0, 0, 0, 0],
            [0x80, 0, 0, 0, 0, 0, 0, 0],
            [0xc1, 1, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 1, 0, 0, 0, 0],
        ] {
            assert_eq!(decode(lun), None, "{lun:x?}");
        }
    }
}
