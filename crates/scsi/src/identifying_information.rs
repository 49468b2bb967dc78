//! REPORT IDENTIFYING INFORMATION and SET IDENTIFYING INFORMATION (SPC-4 6.32, 6.44): what an administrator has written
//! on the disk's label.

use crate::LogicalUnit;
use crate::cdb::{Cdb, Field};
use crate::running::{Outcome, Running};
use crate::sense::{DEVICE_IDENTIFIER_CHANGED, INTERNAL_TARGET_FAILURE, PARAMETER_LIST_LENGTH_ERROR, Sense};

/// Both lengths stand in the same place.
pub(crate) const LENGTH: Field = Field { byte: 6, width: 4 };

/// The longest answer in bytes.
pub(crate) const MOST: u32 = 4 + 256;

const INFORMATION_TYPE: usize = 10;

/// A row of the table of INFORMATION TYPEs.
struct Label {
    code: u8,
    /// Its longest value in bytes.
    most: u16,
    /// Under which it is saved.
    key: &'static str,
}

static LABELS: [Label; 2] = [
    // Logical unit identifying information.
    Label { code: 0x00, most: 64, key: "identifying-information" },
    // Its text: UTF-8, ended by a zero.
    Label { code: 0x02, most: 256, key: "identifying-text" },
];

/// Asks for the list of types.
const SUPPORTED: u8 = 0x7f;

fn requested(cdb: Cdb<'_>) -> u8 {
    cdb.byte(INFORMATION_TYPE) >> 1
}

fn label(cdb: Cdb<'_>) -> Result<&'static Label, Sense> {
    let code = requested(cdb);
    LABELS.iter().find(|label| label.code == code).ok_or(Sense::invalid_cdb(INFORMATION_TYPE, 7))
}

/// Saved values are text: two digits for each byte.
fn saved(unit: &LogicalUnit, label: &Label) -> Vec<u8> {
    let text = unit.settings().and_then(|settings| settings.load(label.key)).unwrap_or_default();
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).take(label.most.into()).collect()
}

pub(crate) fn report_identifying_information(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let body = match requested(command.cdb) {
        SUPPORTED => {
            let lengths = LABELS.iter().map(|label| (label.code, label.most.to_be_bytes()));
            lengths.flat_map(|(code, [high, low])| [code << 1, 0, high, low]).collect()
        }
        _ => saved(unit, label(command.cdb)?),
    };
    let [high, low] = (body.len() as u16).to_be_bytes();
    command.respond(&[&[0, 0, high, low], &body[..]].concat(), LENGTH);
    Ok(())
}

/// Bytes of Data-Out that SET IDENTIFYING INFORMATION takes.
pub(crate) fn data_out(_: &LogicalUnit, cdb: Cdb<'_>) -> Result<u64, Sense> {
    match cdb.number(LENGTH) {
        length if length <= label(cdb)?.most.into() => Ok(length),
        _ => Err((&PARAMETER_LIST_LENGTH_ERROR).into()),
    }
}

pub(crate) fn set_identifying_information(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let label = label(command.cdb)?;
    let length = data_out(unit, command.cdb)? as usize;
    let value = command.data_out.get(..length).ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
    if label.code != 0 && value.last().is_some_and(|last| *last != 0) {
        return Err(Sense::invalid_parameter(length - 1, None).into());
    }
    command.wait()?;
    let text: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    let settings = unit.settings().ok_or(&INTERNAL_TARGET_FAILURE)?;
    settings.save(label.key, &text).map_err(|_| &INTERNAL_TARGET_FAILURE)?;
    unit.attentions().establish_for_others(command.nexus, &DEVICE_IDENTIFIER_CHANGED);
    Ok(())
}
