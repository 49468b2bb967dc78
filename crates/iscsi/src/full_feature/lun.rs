//! Logical unit numbers, which can be written in more than one way (SAM-5 4.7).

/// The form that the others are compared in: a flat number below 256 as a peripheral one of bus 0, which means the same
/// logical unit (SAM-5 4.7.7).
pub fn normal_lun(lun: [u8; 8]) -> [u8; 8] {
    match lun {
        [0x40, number, rest @ ..] if rest == [0; 6] => [0, number, 0, 0, 0, 0, 0, 0],
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_in_two_forms_is_one_number() {
        assert_eq!(normal_lun([0x40, 7, 0, 0, 0, 0, 0, 0]), [0, 7, 0, 0, 0, 0, 0, 0]);
        for other in [[0, 7, 0, 0, 0, 0, 0, 0], [0x41, 7, 0, 0, 0, 0, 0, 0], [0x40, 7, 0, 1, 0, 0, 0, 0]] {
            assert_eq!(normal_lun(other), other);
        }
    }
}
