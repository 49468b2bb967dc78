//! Additional header segments (RFC 7143 §11.2.2).

/// What the additional header segments of a SCSI Command say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdditionalHeaders {
    /// The CDB from its 17th byte on (§11.2.2.3).
    pub extended_cdb: Vec<u8>,
    /// Expected length of the data read by a bidirectional command, in bytes (§11.2.2.4).
    pub bidirectional_read_length: Option<u32>,
}

/// AHSType of an extended CDB.
const EXTENDED_CDB: u8 = 1;
/// AHSType of the expected read length of a bidirectional command.
const BIDIRECTIONAL_READ_LENGTH: u8 = 2;

/// Bytes of the longest CDB (SPC-4 4.2.3) beyond those of the basic header.
const MOST_EXTENDED: usize = 260 - 16;

/// Reads the additional header segments of a SCSI Command. `None` where they are malformed: a length that leaves
/// the segment or is not one of its type, an unknown type (§11.2.2.1 has none that may be passed over), or one of
/// them twice.
pub fn additional_headers(mut bytes: &[u8]) -> Option<AdditionalHeaders> {
    let mut found = AdditionalHeaders::default();
    while !bytes.is_empty() {
        // AHSLength counts the specific part only: neither itself, nor the type, nor the padding.
        let (head, rest) = bytes.split_at_checked(3)?;
        let &[high, low, kind] = head else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let specific = rest.get(..length)?;
        match kind & 0x3f {
            EXTENDED_CDB if found.extended_cdb.is_empty() => {
                // The first byte of the specific part is reserved.
                found.extended_cdb = specific.get(1..)?.to_vec();
                if !(1..=MOST_EXTENDED).contains(&found.extended_cdb.len()) {
                    return None;
                }
            }
            BIDIRECTIONAL_READ_LENGTH if found.bidirectional_read_length.is_none() => {
                let value: [u8; 4] = specific.get(1..)?.try_into().ok()?;
                found.bidirectional_read_length = Some(u32::from_be_bytes(value));
            }
            _ => return None,
        }
        bytes = bytes.get(super::padded(3 + length)..)?;
    }
    Some(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(0u8..8, 0..300)) {
            let whole = bytes.len() / 4 * 4;
            if let Some(found) = additional_headers(bytes.get(..whole).unwrap_or_default()) {
                prop_assert!(found.extended_cdb.len() <= whole);
            }
        }
    }

    #[test]
    fn an_extended_cdb_and_a_read_length_are_found() {
        let mut bytes = vec![0, 17, 1, 0];
        bytes.extend(16..32);
        bytes.extend([0, 5, 2, 0, 0, 0, 2, 0]);
        let found = additional_headers(&bytes).unwrap();
        assert_eq!(found.extended_cdb, (16..32).collect::<Vec<u8>>());
        assert_eq!(found.bidirectional_read_length, Some(512));
    }

    #[test]
    fn a_segment_of_every_length_is_taken_if_it_can_be_one() {
        for kind in 0..=255 {
            for length in 0..=1017_usize {
                let [high, low] = (length as u16).to_be_bytes();
                let mut bytes: Vec<u8> = [high, low, kind, 0].into();
                bytes.extend((0..length.saturating_sub(1)).map(|at| at as u8 | 1));
                bytes.resize(super::super::padded(3 + length), 0);
                let found = additional_headers(&bytes);
                // The two high bits of the type are reserved.
                let is_whole = match kind & 0x3f {
                    1 => (2..=245).contains(&length),
                    2 => length == 5,
                    _ => false,
                };
                assert_eq!(found.is_some(), is_whole, "type {kind}, {length} bytes");
                if let Some(found) = found.filter(|_| kind & 0x3f == 1) {
                    assert_eq!(found.extended_cdb, bytes[4..3 + length]);
                }
            }
        }
    }

    #[test]
    fn malformed_segments_are_refused() {
        assert_eq!(additional_headers(&[0, 200, 1, 0]), None, "longer than the segment");
        assert_eq!(additional_headers(&[0, 1, 1, 0]), None, "an extended CDB of no bytes");
        assert_eq!(additional_headers(&[0, 1, 9, 0]), None, "an unknown type");
        assert_eq!(additional_headers(&[0, 0]), None, "cut short");
        let twice = [0, 5, 2, 0, 0, 0, 2, 0, 0, 5, 2, 0, 0, 0, 2, 0];
        assert_eq!(additional_headers(&twice), None, "twice the same");
        assert_eq!(additional_headers(&[]), Some(AdditionalHeaders::default()));
    }
}
