//! INQUIRY (SPC-4 6.6): standard data. Vital product data are in their own room.

use crate::LogicalUnit;
use crate::cdb::Field;
use crate::running::{Outcome, Running};
use crate::sense::Sense;
use crate::{target_ports, vital_product_data};

pub(crate) const ALLOCATION_LENGTH: Field = Field { byte: 3, width: 2 };

/// PERIPHERAL QUALIFIER and PERIPHERAL DEVICE TYPE of a disk that is there.
pub(crate) const DIRECT_ACCESS: u8 = 0x00;

/// The same where there is no logical unit: qualifier 011b, unknown type.
pub(crate) const NO_UNIT: u8 = 0x7f;

/// SAM-5, SPC-4, SBC-3 (SPC-4 table 148).
const VERSION_DESCRIPTORS: [u16; 3] = [0x00a0, 0x0460, 0x04c0];

/// iSCSI, no version claimed: to it the iSCSIProtocolLevel is added (RFC 7144 §4.2).
const ISCSI: u16 = 0x0960;

/// Bytes of standard INQUIRY data.
const LENGTH: usize = 96;

pub(crate) fn inquiry(command: &mut Running<'_>) -> Outcome {
    let vital_product_data = command.cdb.bit(1, 0);
    let page_code = command.cdb.byte(2);
    let data = if vital_product_data {
        vital_product_data::page(command, page_code).ok_or(Sense::invalid_cdb(2, None))?
    } else if page_code != 0 {
        return Err(Sense::invalid_cdb(2, None).into());
    } else {
        standard(command.unit.map(|unit| &**unit), command.server.protocol_level())
    };
    command.respond(&data, ALLOCATION_LENGTH);
    Ok(())
}

fn standard(unit: Option<&LogicalUnit>, protocol_level: u8) -> Vec<u8> {
    let mut data = vec![0; LENGTH];
    data[0] = if unit.is_some() { DIRECT_ACCESS } else { NO_UNIT };
    // SPC-4 or later.
    data[2] = 0x06;
    // HISUP, response data format 2.
    data[3] = 0x12;
    data[4] = (LENGTH - 5) as u8;
    // TPGS; 3PC: it copies.
    data[5] = target_ports::tpgs(unit) | 0x08;
    // CMDQUE.
    data[7] = 0x02;
    let (vendor, product, revision) = unit.map_or(("timedisk", "", ""), |unit| {
        let identity = unit.identity();
        (&identity.vendor, &identity.product, &identity.revision)
    });
    data[8..16].copy_from_slice(&padded::<8>(vendor));
    data[16..32].copy_from_slice(&padded::<16>(product));
    data[32..36].copy_from_slice(&padded::<4>(revision));
    let versions = VERSION_DESCRIPTORS.into_iter().chain([ISCSI + u16::from(protocol_level)]);
    for (at, version) in versions.enumerate() {
        data[58 + 2 * at..][..2].copy_from_slice(&version.to_be_bytes());
    }
    data
}

/// Printable ASCII, left-aligned, cut and filled with spaces to length (SPC-4 4.4.1).
pub(crate) fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [b' '; N];
    for (byte, letter) in field.iter_mut().zip(printable(text)) {
        *byte = letter;
    }
    field
}

/// The text with a question mark for every character that ASCII data may not have.
pub(crate) fn printable(text: &str) -> impl Iterator<Item = u8> {
    text.chars().map(|letter| match letter {
        ' '..='~' => letter as u8,
        _ => b'?',
    })
}
