//! SCSI device server (SAM-5, SPC-4, SBC-3): a CDB comes in, an action on a
//! [`Volume`](timedisk_volume::Volume) follows, data and sense go out.
//!
//! Sans-IO: no sockets, no threads of its own, no clock but one that it is given, no files. The caller brings the
//! thread that a command runs on, and may run many commands of one logical unit at once.
//!
//! A [`DeviceServer`] serves one target. Before data move, [`plan`](DeviceServer::plan) tells how much;
//! then [`execute_now`](DeviceServer::execute_now) does what needs no waiting, and
//! [`begin`](DeviceServer::begin) the rest, up to a flush that many commands can share.

#![forbid(unsafe_code)]

mod absent;
mod access_states;
mod buffer;
mod capacity;
mod cdb;
mod cdb_usage;
mod command_table;
mod compare_and_write;
mod conformance;
mod defect_data;
mod device_server;
mod exceptions;
mod extended_copy;
mod flush_debt;
#[doc(hidden)]
pub mod fuzzing;
mod identifying_information;
mod inquiry;
mod lba_status;
mod limits;
mod log_sense;
mod logical_unit;
mod lun;
mod medium;
mod mode_pages;
mod mode_select;
mod mode_sense;
mod or_write;
mod overhaul;
mod overlap;
mod pre_fetch;
mod read_write;
mod readiness;
mod report_luns;
mod request_sense;
mod reservations;
mod running;
mod sense;
mod supported_operation_codes;
mod surroundings;
mod synchronize_cache;
mod target_ports;
mod task;
mod thresholds;
mod timestamp;
mod traffic;
mod unit_attention;
mod unmap;
mod verify;
mod vital_product_data;
mod write_and_verify;
mod write_atomic;
mod write_same;

#[cfg(test)]
mod tests;

pub use access_states::{AccessState, MOST_PORT_GROUPS, PortGroup, Unchanged};
pub use command_table::command_name;
pub use conformance::conformance;
pub use device_server::DeviceServer;
pub use flush_debt::{Begun, FlushDebt};
pub use logical_unit::{BlockFormat, Identity, LogicalUnit, QueryError, SettingsStore};
pub use medium::{Absence, Medium};
pub use overhaul::{OverhaulState, Overhauled};
pub use sense::describe_sense;
pub use surroundings::Surroundings;
pub use task::{Completion, NexusId, Plan, Status, Wait};
pub use timestamp::Clock;
pub use traffic::{Counters, Traffic};
pub use unit_attention::Attention;
