//! Tests of the device server as a whole, through its public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod absence;
mod access_states;
mod addressing;
mod atomic;
mod attention;
mod boundaries;
mod copies;
mod device_identification;
mod exceptions;
mod faults;
mod flush_debts;
mod long_commands;
mod medium;
mod modes;
mod operation_codes;
mod overhauls;
mod parameter_data;
mod provisioning;
mod random;
mod reservations;
mod steps;
mod talk;
mod thresholds;
mod timestamps;
mod tokens;
mod volume;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::{BlockFormat, Completion, DeviceServer, Identity, LogicalUnit, NexusId, SettingsStore, Status};
use volume::Probe;

const BLOCK: usize = 512;
const BLOCKS: u64 = 2048;
const NEXUS: NexusId = NexusId(1);
const OTHER: NexusId = NexusId(2);
const LUN: [u8; 8] = [0; 8];
const CANARY: u8 = 0xa5;

/// Settings in memory.
#[derive(Default)]
struct Shelf(Mutex<HashMap<String, String>>);

impl SettingsStore for Shelf {
    fn load(&self, key: &str) -> Option<String> {
        self.0.lock().unwrap().get(key).cloned()
    }

    fn save(&self, key: &str, value: &str) -> Result<(), String> {
        self.0.lock().unwrap().insert(key.into(), value.into());
        Ok(())
    }
}

fn identity() -> Identity {
    Identity {
        vendor: "timedisk".into(),
        product: "disk".into(),
        revision: "0.1".into(),
        serial: "9f86d081884c7d65".into(),
        naa: [0x3f, 0x86, 0xd0, 0x81, 0x88, 0x4c, 0x7d, 0x65],
    }
}

/// One disk of [`BLOCKS`] blocks at LUN 0, and what is behind it.
struct Bench {
    server: DeviceServer,
    volume: Arc<Probe>,
    shelf: Arc<Shelf>,
}

/// What a command led to.
#[derive(Debug)]
struct Reply {
    done: Completion,
    data: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Probe::new(BLOCKS * BLOCK as u64), BLOCK as u32)
    }

    fn with(volume: Probe, block: u32) -> Self {
        let (volume, shelf) = (Arc::new(volume), Arc::new(Shelf::default()));
        let format = BlockFormat { logical_length: block, physical_length: 4096 };
        let unit = LogicalUnit::new(volume.clone(), identity(), format, Some(shelf.clone()));
        let server =
            DeviceServer::new("iqn.1994-04.org.netbsd.iscsi-target:target0", 1, vec![(0, Arc::new(unit))]);
        Self { server, volume, shelf }
    }

    /// Runs a command as a transport would; `expected` limits Data-In.
    fn run(&self, nexus: NexusId, lun: [u8; 8], cdb: &[u8], data_out: &[u8], expected: usize) -> Reply {
        let plan = self.server.plan(lun, cdb);
        let room = expected.min(plan.data_in as usize);
        let mut data = vec![CANARY; room + 16];
        let (buffer, beyond) = data.split_at_mut(room);
        let done = self.server.execute(nexus, lun, cdb, plan, data_out, buffer);
        assert_eq!(beyond, [CANARY; 16]);
        assert!(done.data_in <= u64::from(plan.data_in), "{cdb:x?} {done:?} {plan:?}");
        let length = room.min(done.data_in as usize);
        data.truncate(length);
        Reply { done, data }
    }

    fn send(&self, cdb: &[u8], data_out: &[u8]) -> Reply {
        self.run(NEXUS, LUN, cdb, data_out, usize::MAX)
    }

    /// What a command returns that succeeds.
    fn good(&self, cdb: &[u8]) -> Vec<u8> {
        self.good_with(cdb, &[])
    }

    fn good_with(&self, cdb: &[u8], data_out: &[u8]) -> Vec<u8> {
        let Reply { done, data } = self.send(cdb, data_out);
        assert_eq!(done.status, Status::Good, "{cdb:x?} {:x?}", done.sense);
        assert!(done.sense.is_empty());
        data
    }

    /// Sense key, code, qualifier of a command that fails.
    fn refused(&self, cdb: &[u8]) -> (u8, u8, u8) {
        self.refused_with(cdb, &[])
    }

    fn refused_with(&self, cdb: &[u8], data_out: &[u8]) -> (u8, u8, u8) {
        triple(&self.send(cdb, data_out).done)
    }

    /// Byte and bit (if any) that the sense data of a command that fails point at.
    fn pointed_at(&self, cdb: &[u8], data_out: &[u8]) -> (u16, Option<u8>) {
        let sense = self.send(cdb, data_out).done.sense;
        assert_ne!(sense[15] & 0x80, 0, "no field pointer in {sense:x?}");
        let bit = (sense[15] & 0x08 != 0).then_some(sense[15] & 0x07);
        (u16::from_be_bytes([sense[16], sense[17]]), bit)
    }
}

fn triple(done: &Completion) -> (u8, u8, u8) {
    assert_eq!(done.status, Status::CheckCondition, "{done:?}");
    assert_eq!(done.sense.len(), 18);
    assert_eq!(done.data_in, 0);
    (done.sense[2] & 0x0f, done.sense[12], done.sense[13])
}

const INVALID_FIELD: (u8, u8, u8) = (0x05, 0x24, 0x00);
const INVALID_PARAMETER: (u8, u8, u8) = (0x05, 0x26, 0x00);
const LIST_LENGTH: (u8, u8, u8) = (0x05, 0x1a, 0x00);
const OUT_OF_RANGE: (u8, u8, u8) = (0x05, 0x21, 0x00);
const NO_SUCH_UNIT: (u8, u8, u8) = (0x05, 0x25, 0x00);
const NO_SUCH_COMMAND: (u8, u8, u8) = (0x05, 0x20, 0x00);

/// The CDB of a command, all zeros but for what tells it from others.
fn blank(row: &crate::command_table::Command) -> Vec<u8> {
    let mut cdb = vec![0; row.usage.len()];
    cdb[0] = row.operation_code;
    match (row.operation_code, row.service_action) {
        (0x7f, Some(action)) => (cdb[7], cdb[9]) = (24, action),
        (_, Some(action)) => cdb[1] = action,
        (_, None) => {}
    }
    cdb
}

/// CDBs of 32 bytes of the block commands.
fn long_cdb(action: u8, flags: u8, lba: u64, blocks: u32) -> Vec<u8> {
    let mut cdb = vec![0; 32];
    (cdb[0], cdb[7], cdb[9], cdb[10]) = (0x7f, 24, action, flags);
    cdb[12..20].copy_from_slice(&lba.to_be_bytes());
    cdb[28..].copy_from_slice(&blocks.to_be_bytes());
    cdb
}

/// CDBs of the block commands, in the form that `code` has.
fn block_cdb(code: u8, flags: u8, lba: u64, blocks: u32) -> Vec<u8> {
    let mut cdb = match code >> 5 {
        0 => {
            let [_, a, b, c] = (lba as u32).to_be_bytes();
            return vec![code, a, b, c, blocks as u8, 0];
        }
        1 | 2 => vec![0; 10],
        5 => vec![0; 12],
        _ => vec![0; 16],
    };
    (cdb[0], cdb[1]) = (code, flags);
    match cdb.len() {
        10 => {
            cdb[2..6].copy_from_slice(&(lba as u32).to_be_bytes());
            cdb[7..9].copy_from_slice(&(blocks as u16).to_be_bytes());
        }
        12 => {
            cdb[2..6].copy_from_slice(&(lba as u32).to_be_bytes());
            cdb[6..10].copy_from_slice(&blocks.to_be_bytes());
        }
        _ => {
            cdb[2..10].copy_from_slice(&lba.to_be_bytes());
            cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
        }
    }
    cdb
}
