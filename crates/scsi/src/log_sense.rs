//! LOG SENSE (SPC-4 6.8, 7.3): one table of the pages.

use crate::LogicalUnit;
use crate::cdb::{Cdb, Field};
use crate::running::{Outcome, Running, Stop};
use crate::sense::Sense;
use crate::{exceptions, thresholds};

pub(crate) const ALLOCATION_LENGTH: Field = Field { byte: 7, width: 2 };

/// A row of the table: a page code and the parameters of that page.
struct Page {
    code: u8,
    name: &'static str,
    parameters: fn(&LogicalUnit) -> Result<Vec<u8>, Stop>,
}

/// In ascending order; each has the subpage 00h only.
static PAGES: &[Page] = &[
    Page {
        code: 0x00,
        name: "Supported Log Pages",
        parameters: |_| Ok(PAGES.iter().map(|page| page.code).collect()),
    },
    Page { code: PROVISIONING, name: "Logical Block Provisioning", parameters: provisioning },
    Page { code: 0x0e, name: "Start-Stop Cycle Counter", parameters: |_| Ok(start_stop_cycles()) },
    Page {
        code: 0x19,
        name: "General Statistics and Performance",
        parameters: |unit| Ok(general_statistics(unit)),
    },
    Page {
        code: 0x2f,
        name: "Informational Exceptions",
        parameters: |unit| Ok(informational_exceptions(unit)),
    },
];

/// Codes and names of the pages.
pub(crate) fn names() -> impl Iterator<Item = (u8, &'static str)> {
    PAGES.iter().map(|page| (page.code, page.name))
}

/// The page that is about the file system under the disk.
const PROVISIONING: u8 = 0x0c;

/// SUBPAGE CODE of the list of all subpages.
const ALL_SUBPAGES: u8 = 0xff;

/// PC: cumulative values as they are now.
const CUMULATIVE: u8 = 0b01;

/// Whether the CDB is that of a LOG SENSE which asks what may not answer at once.
pub(crate) fn waits(cdb: Cdb<'_>) -> bool {
    cdb.operation_code() == Some(0x4d) && cdb.byte(2) & 0x3f == PROVISIONING
}

pub(crate) fn log_sense(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let cdb = command.cdb;
    let (control, code, subpage) = (cdb.byte(2) >> 6, cdb.byte(2) & 0x3f, cdb.byte(3));
    // SP: nothing is saved.
    if cdb.bit(1, 0) {
        return Err(Sense::invalid_cdb(1, 0).into());
    }
    if control != CUMULATIVE {
        return Err(Sense::invalid_cdb(2, 7).into());
    }
    let page = PAGES.iter().find(|page| page.code == code).ok_or(Sense::invalid_cdb(2, 5))?;
    let parameters = match (code, subpage) {
        (PROVISIONING, 0) => {
            command.wait()?;
            (page.parameters)(unit)?
        }
        (_, 0) => (page.parameters)(unit)?,
        (0x00, ALL_SUBPAGES) => PAGES.iter().flat_map(|page| [page.code, 0]).collect(),
        _ => return Err(Sense::invalid_cdb(3, None).into()),
    };
    // SPF, for the list of subpages.
    let first = code | if subpage == 0 { 0 } else { 0x40 };
    let [high, low] = (parameters.len() as u16).to_be_bytes();
    command.respond(&[&[first, subpage, high, low], &parameters[..]].concat(), ALLOCATION_LENGTH);
    Ok(())
}

/// A parameter in binary format that is kept in a list (SPC-4 7.3.2.2.2.5).
fn parameter(code: u16, value: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], &[0x03, value.len() as u8], value].concat()
}

/// Logical Block Provisioning (SBC-3 6.4.5): Available LBA Mapping Resource Count, which others may take too (SCOPE
/// 10b), Used LBA Mapping Resource Count, of this logical unit alone, and Available Provisioning Resource Percentage.
/// Nothing where that is not known.
fn provisioning(unit: &LogicalUnit) -> Result<Vec<u8>, Stop> {
    let Some(volume) = unit.medium().present() else { return Ok(Vec::new()) };
    let Some(resources) = thresholds::resources(unit, &*volume)? else { return Ok(Vec::new()) };
    let count =
        |code, count: u32, scope| parameter(code, &[&count.to_be_bytes()[..], &[scope, 0, 0, 0]].concat());
    let percentage = parameter(0x0003, &[0, resources.percentage, 0, 0, 0b10, 0, 0, 0]);
    Ok([count(0x0001, resources.available, 0b10), count(0x0002, resources.used, 0b01), percentage].concat())
}

/// Start-Stop Cycle Counter (SPC-4 7.3.20): accumulated start-stop cycles and load-unload cycles. START STOP UNIT stops
/// nothing, so there are none; when the disk was made, and how many it is made for, is not known.
fn start_stop_cycles() -> Vec<u8> {
    [parameter(0x0004, &[0; 4]), parameter(0x0006, &[0; 4])].concat()
}

/// General Statistics and Performance (SPC-4 7.3.9): commands and blocks. Times are not kept.
fn general_statistics(unit: &LogicalUnit) -> Vec<u8> {
    let traffic = unit.counters().traffic();
    let block = unit.block_length();
    let counts = [traffic.reads, traffic.writes, traffic.written_bytes / block, traffic.read_bytes / block];
    let mut value: Vec<u8> = counts.iter().flat_map(|count| count.to_be_bytes()).collect();
    value.resize(64, 0);
    // Idle Time and Time Interval, which sg_logs wants to see.
    [parameter(0x0001, &value), parameter(0x0002, &[0; 8]), parameter(0x0003, &[0; 8])].concat()
}

/// Informational Exceptions (SPC-4 7.3.11): FAILURE PREDICTION THRESHOLD EXCEEDED once a flush has failed, and as long
/// as a mirror is without a member. The temperature is not known.
fn informational_exceptions(unit: &LogicalUnit) -> Vec<u8> {
    let is_bad = unit.volume().is_err() || exceptions::is_predicted(unit);
    parameter(0x0000, &[if is_bad { 0x5d } else { 0 }, 0, 0xff, 0])
}
