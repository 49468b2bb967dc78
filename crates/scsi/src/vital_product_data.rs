//! Vital product data (SPC-4 7.8, SBC-3 6.6): one table of the pages.

use crate::extended_copy::page::third_party_copy;
use crate::inquiry::{DIRECT_ACCESS, NO_UNIT, padded, printable};
use crate::running::Running;
use crate::{DeviceServer, LogicalUnit, compare_and_write, limits, thresholds};

/// Bytes of sense data of fixed format.
const SENSE_LENGTH: u8 = 18;

/// A row of the table.
struct Page {
    code: u8,
    name: &'static str,
    /// All after the PAGE LENGTH field.
    body: fn(&DeviceServer, &LogicalUnit) -> Vec<u8>,
}

/// Supported pages, in ascending order.
static PAGES: &[Page] = &[
    Page {
        code: 0x00,
        name: "Supported VPD Pages",
        body: |_, _| PAGES.iter().map(|page| page.code).collect(),
    },
    Page {
        code: 0x80,
        name: "Unit Serial Number",
        body: |_, unit| printable(&unit.identity().serial).collect(),
    },
    Page { code: 0x83, name: "Device Identification", body: device_identification },
    Page { code: 0x86, name: "Extended INQUIRY Data", body: |_, _| extended_inquiry() },
    Page { code: 0x87, name: "Mode Page Policy", body: |_, _| mode_page_policy() },
    Page { code: 0x88, name: "SCSI Ports", body: |server, _| scsi_ports(server) },
    Page { code: 0x8f, name: "Third-Party Copy", body: |_, unit| third_party_copy(unit) },
    Page { code: 0xb0, name: "Block Limits", body: |_, unit| block_limits(unit) },
    Page { code: 0xb1, name: "Block Device Characteristics", body: |_, _| block_device_characteristics() },
    Page { code: 0xb2, name: "Logical Block Provisioning", body: |_, unit| logical_block_provisioning(unit) },
];

/// Codes and names of the pages.
pub(crate) fn names() -> impl Iterator<Item = (u8, &'static str)> {
    PAGES.iter().map(|page| (page.code, page.name))
}

/// A page, if it is supported. Where there is no logical unit only the list of pages is, and it names
/// itself.
pub(crate) fn page(command: &Running<'_>, code: u8) -> Option<Vec<u8>> {
    let (peripheral, body) = match (command.unit, code) {
        (Some(unit), _) => {
            let page = PAGES.iter().find(|page| page.code == code)?;
            (DIRECT_ACCESS, (page.body)(command.server, unit))
        }
        (None, 0x00) => (NO_UNIT, vec![0x00]),
        (None, _) => return None,
    };
    let [high, low] = u16::try_from(body.len()).ok()?.to_be_bytes();
    Some([&[peripheral, code, high, low], &body[..]].concat())
}

/// CODE SET of a designator (SPC-4 table 531).
#[derive(Clone, Copy)]
#[repr(u8)]
enum CodeSet {
    Binary = 1,
    Ascii = 2,
    Utf8 = 3,
}

/// ASSOCIATION of a designator (SPC-4 table 532).
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Association {
    LogicalUnit = 0,
    TargetPort = 1,
    TargetDevice = 2,
}

/// DESIGNATOR TYPE (SPC-4 table 533).
#[derive(Clone, Copy)]
#[repr(u8)]
enum DesignatorType {
    T10Vendor = 0x1,
    Naa = 0x3,
    RelativeTargetPort = 0x4,
    TargetPortGroup = 0x5,
    ScsiName = 0x8,
}

/// Device Identification (SPC-4 7.8.6).
fn device_identification(server: &DeviceServer, unit: &LogicalUnit) -> Vec<u8> {
    use Association::{LogicalUnit, TargetDevice, TargetPort};
    use CodeSet::{Ascii, Binary, Utf8};
    use DesignatorType::{Naa, RelativeTargetPort, ScsiName, T10Vendor, TargetPortGroup};

    let identity = unit.identity();
    let target = server.target_name();
    // A group has one port of a target, and both have the same number.
    let port = server.portal_group_tag().to_be_bytes();
    // Some clients compare only the first letters after the vendor, so the serial number stands there.
    let t10: Vec<u8> = padded::<8>(&identity.vendor).into_iter().chain(printable(&identity.serial)).collect();
    let unit_name = format!("{target},L,0x{:016x}", u64::from_be_bytes(identity.naa));
    [
        designator(LogicalUnit, Naa, Binary, &identity.naa),
        designator(LogicalUnit, T10Vendor, Ascii, &t10),
        designator(LogicalUnit, ScsiName, Utf8, &name_string(&unit_name)),
        designator(TargetPort, RelativeTargetPort, Binary, &[0, 0, port[0], port[1]]),
        designator(TargetPort, TargetPortGroup, Binary, &[0, 0, port[0], port[1]]),
        port_name(server, server.portal_group_tag()),
        designator(TargetDevice, ScsiName, Utf8, &name_string(target)),
    ]
    .concat()
}

/// The name of the target port (RFC 7143 §4.2.7.3).
fn port_name(server: &DeviceServer, group: u16) -> Vec<u8> {
    let name = format!("{},t,0x{group:04x}", server.target_name());
    designator(Association::TargetPort, DesignatorType::ScsiName, CodeSet::Utf8, &name_string(&name))
}

/// Extended INQUIRY Data (SPC-4 7.8.8): HEADSUP, ORDSUP and SIMPSUP; V_SUP, for the cache is a volatile one; the length
/// of sense data.
fn extended_inquiry() -> Vec<u8> {
    let mut body = vec![0; 60];
    (body[1], body[2], body[9]) = (0x07, 0x01, SENSE_LENGTH);
    body
}

/// Mode Page Policy (SPC-4 7.8.11): all nexuses share all pages.
fn mode_page_policy() -> Vec<u8> {
    vec![0x3f, 0xff, 0, 0]
}

/// SCSI Ports (SPC-4 7.8.15): that of each portal group, and nothing of initiators.
fn scsi_ports(server: &DeviceServer) -> Vec<u8> {
    let port = |group: &u16| {
        let name = port_name(server, *group);
        let length = (name.len() as u16).to_be_bytes();
        [&[0, 0], &group.to_be_bytes()[..], &[0; 6], &length, &name].concat()
    };
    server.portal_groups().iter().flat_map(port).collect()
}

/// A designation descriptor. Ports and devices name their protocol, iSCSI.
fn designator(association: Association, kind: DesignatorType, set: CodeSet, name: &[u8]) -> Vec<u8> {
    let name = &name[..name.len().min(255)];
    let (protocol, protocol_valid) = match association {
        Association::LogicalUnit => (0x00, 0x00),
        Association::TargetPort | Association::TargetDevice => (0x50, 0x80),
    };
    let first = protocol | set as u8;
    let second = protocol_valid | (association as u8) << 4 | kind as u8;
    [&[first, second, 0, name.len() as u8], name].concat()
}

/// A SCSI name string: ended by a zero and filled with more to a multiple of four (SPC-4 7.8.6.11).
fn name_string(name: &str) -> Vec<u8> {
    // iSCSI names have 223 bytes at most (RFC 7143 §4.2.7.1), so that this cuts none of them.
    let mut bytes = name.as_bytes()[..name.len().min(251)].to_vec();
    bytes.resize((bytes.len() / 4 + 1) * 4, 0);
    bytes
}

/// Block Limits (SBC-3 6.6.4, SBC-4 6.6.4). Atomic writes need no alignment, and have no boundaries.
fn block_limits(unit: &LogicalUnit) -> Vec<u8> {
    let in_blocks = |bytes| limits::blocks(bytes, unit.block_length());
    let granularity: u16 = 1 << unit.physical_exponent();
    let mut body = vec![0; 60];
    let mut put = |at: usize, bytes: &[u8]| body[at - 4..][..bytes.len()].copy_from_slice(bytes);
    // WSNZ: WRITE SAME wants to be told how many blocks.
    put(4, &[0x01, compare_and_write::MOST_BLOCKS]);
    put(6, &granularity.to_be_bytes());
    put(8, &in_blocks(limits::TRANSFER).to_be_bytes());
    put(12, &in_blocks(limits::OPTIMAL_TRANSFER).to_be_bytes());
    put(20, &in_blocks(limits::UNMAP).to_be_bytes());
    put(24, &(limits::UNMAP_DESCRIPTORS as u32).to_be_bytes());
    put(28, &u32::from(granularity).to_be_bytes());
    // UGAVALID, and the first block is aligned.
    put(32, &[0x80, 0, 0, 0]);
    put(36, &limits::WRITE_SAME_BLOCKS.to_be_bytes());
    put(44, &unit.atomic_blocks().to_be_bytes());
    body
}

/// Block Device Characteristics (SBC-4 6.6.2): a non-rotating medium; WABEREQ, that what was erased can be read; VBULS,
/// that unmapped blocks can be verified.
fn block_device_characteristics() -> Vec<u8> {
    let mut body = vec![0; 60];
    (body[1], body[3], body[4]) = (0x01, 0x40, 0x01);
    body
}

/// Logical Block Provisioning (SBC-3 6.6.5): the exponent of threshold sets; LBPU, LBPWS, LBPWS10, LBPRZ, for holes
/// read as zeros; blocks can't be anchored; thin provisioned; the range of thresholds in percent.
fn logical_block_provisioning(unit: &LogicalUnit) -> Vec<u8> {
    vec![thresholds::exponent(unit), 0x80 | 0x40 | 0x20 | 0x04, 0x02, thresholds::PERCENTAGE]
}
