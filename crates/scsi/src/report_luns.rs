//! REPORT LUNS (SPC-4 6.33).

use crate::cdb::Field;
use crate::lun;
use crate::running::{Outcome, Running};
use crate::sense::{REPORTED_LUNS_CHANGED, Sense};

pub(crate) const ALLOCATION_LENGTH: Field = Field { byte: 6, width: 4 };

/// The longest answer in bytes.
pub(crate) const MOST: u32 = 8 + 8 * (lun::GREATEST as u32 + 1);

pub(crate) fn report_luns(command: &mut Running<'_>) -> Outcome {
    let select_report = command.cdb.byte(2);
    let all = match select_report {
        0x00 | 0x02 => true,
        // Well known logical units only, of which there are none.
        0x01 => false,
        _ => return Err(Sense::invalid_cdb(2, None).into()),
    };
    let luns: Vec<_> =
        command.server.units().filter(|_| all).flat_map(|(number, _)| lun::encode(number)).collect();
    let mut data = (luns.len() as u32).to_be_bytes().to_vec();
    data.extend([0; 4]);
    data.extend(luns);
    command.respond(&data, ALLOCATION_LENGTH);
    for (_, unit) in command.server.units() {
        unit.attentions().clear(command.nexus, &REPORTED_LUNS_CHANGED);
    }
    Ok(())
}
