//! Entry points for fuzzers, which live in another workspace. Not an interface to build on.

use std::sync::Arc;

use timedisk_volume::MemoryVolume;

use crate::{BlockFormat, DeviceServer, Identity, LogicalUnit, NexusId};

/// Bytes of the disk under test.
const CAPACITY: u64 = 1 << 20;

/// Runs a CDB (1 byte of length, then the CDB, then Data-Out) against a small disk in memory.
///
/// # Panics
///
/// When the device server breaks a promise.
#[allow(clippy::panic)]
pub fn cdb(data: &[u8]) {
    let Some((&length, rest)) = data.split_first() else {
        return;
    };
    let (cdb, sent) = rest.split_at(usize::from(length).min(rest.len()));
    let server = disk();
    let lun = [0; 8];
    let plan = server.plan(lun, cdb);
    let mut data_in = vec![0xa5; plan.data_in as usize];
    let taken = &sent[..sent.len().min(plan.data_out as usize)];
    let prompt = server.execute_now(NexusId(1), lun, cdb, plan, taken, &mut data_in);
    assert!(plan.wait != crate::Wait::Nothing || prompt.is_some(), "waits against its plan: {cdb:x?}");
    let done = server.execute(NexusId(1), lun, cdb, plan, taken, &mut data_in);
    assert!(done.data_in <= u64::from(plan.data_in), "more than planned: {cdb:x?}");
}

fn disk() -> DeviceServer {
    let identity = Identity {
        vendor: "timedisk".into(),
        product: "disk".into(),
        revision: "1".into(),
        serial: "0123456789".into(),
        naa: [0x30, 1, 2, 3, 4, 5, 6, 7],
    };
    let format = BlockFormat { logical_length: 512, physical_length: 4096 };
    let volume = Arc::new(MemoryVolume::new(CAPACITY));
    let unit = LogicalUnit::new(volume, identity, format, None);
    DeviceServer::new("iqn.2001-04.com.example:fuzz", 1, vec![(0, Arc::new(unit))])
}
