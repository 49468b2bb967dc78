//! Windows Server Failover Clustering: what its validation does with persistent reservations, from two nodes and a
//! stranger.

use std::sync::Arc;

use timedisk_volume::Operation;

use super::script::{number, open_lab};
use super::windows;
use crate::wire::{BLOCK, Initiator, Lab, PATIENCE, Reply, Scsi, block, held, open_target};

const REGISTER: u8 = 0;
const RESERVE: u8 = 1;
const RELEASE: u8 = 2;
const CLEAR: u8 = 3;
const PREEMPT: u8 = 4;
const PREEMPT_AND_ABORT: u8 = 5;
const REGISTER_AND_IGNORE: u8 = 6;

const READ_KEYS: u8 = 0;
const READ_RESERVATION: u8 = 1;
const REPORT_CAPABILITIES: u8 = 2;
const READ_FULL_STATUS: u8 = 3;

const WRITE_EXCLUSIVE_REGISTRANTS: u8 = 5;
const EXCLUSIVE_REGISTRANTS: u8 = 6;
const WRITE_EXCLUSIVE_ALL: u8 = 7;
const EXCLUSIVE_ALL: u8 = 8;
const TYPES: [u8; 4] =
    [WRITE_EXCLUSIVE_REGISTRANTS, EXCLUSIVE_REGISTRANTS, WRITE_EXCLUSIVE_ALL, EXCLUSIVE_ALL];

const CONFLICT: u8 = 0x18;
const PREEMPTED: (u8, u8, u8) = (0x06, 0x2a, 0x03);
const RELEASED: (u8, u8, u8) = (0x06, 0x2a, 0x04);
const UNREGISTERED: (u8, u8, u8) = (0x06, 0x2a, 0x05);

/// As cluster nodes have them: a number of the node, and a word.
const KEY_A: u64 = 0x0000_0001_7066_6d74;
const KEY_B: u64 = 0x0000_0002_7066_6d74;

/// PERSISTENT RESERVE OUT.
fn change(action: u8, kind: u8, key: u64, new: u64) -> Scsi {
    let list = [&key.to_be_bytes()[..], &new.to_be_bytes(), &[0; 8]].concat();
    Scsi::output(&[0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0], &list)
}

/// PERSISTENT RESERVE IN: PRGENERATION (or the first bytes of REPORT CAPABILITIES), and what follows the header.
#[track_caller]
fn told(node: &mut Initiator, action: u8) -> (u64, Vec<u8>) {
    let data = node.run(&Scsi::input(&[0x5e, action, 0, 0, 0, 0, 0, 0x20, 0, 0], 8192)).good();
    if action != REPORT_CAPABILITIES {
        assert_eq!(number(&data[4..8]) as usize, data.len() - 8, "additional length");
    }
    (number(&data[..4]), data[8..].to_vec())
}

#[track_caller]
fn keys(node: &mut Initiator) -> Vec<u64> {
    let mut keys: Vec<u64> = told(node, READ_KEYS).1.chunks(8).map(number).collect();
    keys.sort_unstable();
    keys
}

/// Two nodes, and a host that is none.
struct Cluster {
    a: Initiator,
    b: Initiator,
    stranger: Initiator,
    _lab: Lab,
}

fn node(lab: &Lab, name: &str) -> Initiator {
    let mut node = windows::log_in(lab, &format!("iqn.1991-05.com.microsoft:{name}"), 0);
    node.become_ready(0, 4);
    node
}

fn cluster_on(lab: Lab) -> Cluster {
    let [a, b, stranger] = ["node-a", "node-b", "backup"].map(|name| node(&lab, name));
    Cluster { a, b, stranger, _lab: lab }
}

/// Both nodes have registered; the first has reserved the disk.
fn reserved(kind: u8) -> Cluster {
    let mut cluster = cluster_on(open_lab());
    cluster.a.run(&change(REGISTER, 0, 0, KEY_A)).good();
    cluster.b.run(&change(REGISTER, 0, 0, KEY_B)).good();
    cluster.a.run(&change(RESERVE, kind, KEY_A, 0)).good();
    cluster
}

fn write(node: &mut Initiator) -> Reply {
    node.run(&Scsi::write(0, &block(1)))
}

fn read(node: &mut Initiator) -> Reply {
    node.run(&Scsi::read(0, 1))
}

fn is_exclusive(kind: u8) -> bool {
    [EXCLUSIVE_REGISTRANTS, EXCLUSIVE_ALL].contains(&kind)
}

fn is_everybodys(kind: u8) -> bool {
    [WRITE_EXCLUSIVE_ALL, EXCLUSIVE_ALL].contains(&kind)
}

#[test]
fn validation_registers_nodes_and_reads_their_keys_back() {
    let mut cluster = cluster_on(open_lab());
    let before = told(&mut cluster.a, READ_KEYS);
    assert_eq!(before.1, [0; 0], "none yet");
    cluster.a.run(&change(REGISTER, 0, 0, KEY_A)).good();
    cluster.b.run(&change(REGISTER, 0, 0, KEY_B)).good();
    for node in [&mut cluster.a, &mut cluster.b, &mut cluster.stranger] {
        assert_eq!(keys(node), [KEY_A, KEY_B]);
        assert_eq!(told(node, READ_RESERVATION).1, [0; 0]);
    }
    assert_eq!(told(&mut cluster.a, READ_KEYS).0, before.0 + 2, "PRGENERATION");
    // A key that is not the node's own changes nothing.
    assert_eq!(cluster.a.run(&change(REGISTER, 0, KEY_B, 9)).status, CONFLICT);
    // One that has lost its own key takes another.
    cluster.a.run(&change(REGISTER_AND_IGNORE, 0, 0, 9)).good();
    assert_eq!(keys(&mut cluster.b), [9, KEY_B]);
    cluster.a.run(&change(REGISTER, 0, 9, 0)).good();
    assert_eq!(keys(&mut cluster.b), [KEY_B]);
}

#[test]
fn validation_finds_the_types_of_reservation_that_it_needs() {
    let mut cluster = cluster_on(open_lab());
    let all = cluster.a.run(&Scsi::input(&[0x5e, REPORT_CAPABILITIES, 0, 0, 0, 0, 0, 0, 8, 0], 8)).good();
    assert_eq!((number(&all[..2]), all[3] & 0x80), (8, 0x80), "its length, and that it has a mask of types");
    let mask = all[4];
    // WR_EX_AR, EX_AC_RO, WR_EX_RO; EX_AC_AR is in the next byte.
    assert_eq!((mask & 0xe0, all[5] & 0x01), (0xe0, 0x01), "{all:02x?}");
}

#[test]
fn each_type_keeps_the_stranger_out_and_lets_the_nodes_in() {
    for kind in TYPES {
        let mut cluster = reserved(kind);
        let (_, reservation) = told(&mut cluster.b, READ_RESERVATION);
        assert_eq!((reservation.len(), reservation[13]), (16, kind), "scope and type");
        let holder = if is_everybodys(kind) { 0 } else { KEY_A };
        assert_eq!(number(&reservation[..8]), holder);
        assert_eq!(write(&mut cluster.stranger).status, CONFLICT, "type {kind}");
        let reading = if is_exclusive(kind) { CONFLICT } else { 0 };
        assert_eq!(read(&mut cluster.stranger).status, reading, "type {kind}");
        for node in [&mut cluster.a, &mut cluster.b] {
            write(node).good();
            read(node).good();
        }
        // What tells it that there is a disk, and who has it.
        cluster.stranger.run(&Scsi::inquiry()).good();
        cluster.stranger.run(&Scsi::test_unit_ready()).good();
        assert_eq!(keys(&mut cluster.stranger), [KEY_A, KEY_B]);
        assert_eq!(cluster.stranger.run(&change(RESERVE, kind, 0, 0)).status, CONFLICT);
    }
}

#[test]
fn a_node_that_takes_over_preempts_the_other() {
    for (kind, action) in TYPES.into_iter().flat_map(|kind| [(kind, PREEMPT), (kind, PREEMPT_AND_ABORT)]) {
        let mut cluster = reserved(kind);
        cluster.b.run(&change(action, kind, KEY_B, KEY_A)).good();
        assert_eq!(keys(&mut cluster.b), [KEY_B]);
        let (_, reservation) = told(&mut cluster.b, READ_RESERVATION);
        let holder = if is_everybodys(kind) { 0 } else { KEY_B };
        assert_eq!((number(&reservation[..8]), reservation[13]), (holder, kind));
        let lost = cluster.a.run(&Scsi::test_unit_ready()).condition();
        assert_eq!(lost, UNREGISTERED, "type {kind}");
        assert_eq!(write(&mut cluster.a).status, CONFLICT);
        write(&mut cluster.b).good();
        // It joins again, and may write.
        cluster.a.run(&change(REGISTER, 0, 0, KEY_A)).good();
        write(&mut cluster.a).good();
    }
}

#[test]
fn a_node_that_takes_over_ends_what_the_other_has_under_way() {
    let volume = held(1 << 20);
    let lab = Lab::new(vec![open_target("disk", Arc::clone(&volume))]);
    let mut cluster = cluster_on(lab);
    cluster.a.run(&change(REGISTER, 0, 0, KEY_A)).good();
    cluster.b.run(&change(REGISTER, 0, 0, KEY_B)).good();
    cluster.a.run(&change(RESERVE, WRITE_EXCLUSIVE_REGISTRANTS, KEY_A, 0)).good();
    // One is under way, the other one waits for its turn at the same disk.
    volume.hold(Operation::Write);
    let old = cluster.a.start(&Scsi::write(0, &block(7)));
    assert!(volume.await_waiting(1, PATIENCE));
    let later = cluster.a.start(&Scsi::write(1, &block(7)).ordered());
    cluster.a.check_alive();
    cluster.b.run(&change(PREEMPT_AND_ABORT, WRITE_EXCLUSIVE_REGISTRANTS, KEY_B, KEY_A)).good();
    volume.release_all();
    cluster.b.run(&Scsi::write(0, &block(8))).good();
    assert_eq!(cluster.b.run(&Scsi::read(0, 1)).good(), block(8), "no late write lands on top");
    assert_eq!(cluster.b.run(&Scsi::read(1, 1)).good(), [0; BLOCK]);
    cluster.a.check_alive();
    assert!(!cluster.a.has_ended(old) && !cluster.a.has_ended(later), "they are gone without an answer");
    assert_eq!(cluster.a.run(&Scsi::test_unit_ready()).condition().0, 0x06);
}

#[test]
fn a_release_tells_the_other_node_and_keeps_the_registrations() {
    for kind in TYPES {
        let mut cluster = reserved(kind);
        cluster.a.run(&change(RELEASE, kind, KEY_A, 0)).good();
        assert_eq!(cluster.b.run(&Scsi::test_unit_ready()).condition(), RELEASED, "type {kind}");
        assert_eq!(told(&mut cluster.b, READ_RESERVATION).1, [0; 0]);
        assert_eq!(keys(&mut cluster.b), [KEY_A, KEY_B]);
        write(&mut cluster.stranger).good();
    }
}

#[test]
fn clear_ends_everything_and_tells_the_other_node() {
    for kind in TYPES {
        let mut cluster = reserved(kind);
        cluster.b.run(&change(CLEAR, 0, KEY_B, 0)).good();
        assert_eq!(cluster.a.run(&Scsi::test_unit_ready()).condition(), PREEMPTED, "type {kind}");
        assert_eq!(keys(&mut cluster.a), [0; 0]);
        assert_eq!(told(&mut cluster.a, READ_RESERVATION).1, [0; 0]);
        write(&mut cluster.stranger).good();
    }
}

#[test]
fn full_status_names_each_node_with_its_key_and_the_holder() {
    for kind in TYPES {
        let mut cluster = reserved(kind);
        let (_, mut rest) = told(&mut cluster.stranger, READ_FULL_STATUS);
        let mut seen = Vec::new();
        while !rest.is_empty() {
            let length = 24 + number(&rest[20..24]) as usize;
            let next = rest.split_off(length);
            let name = String::from_utf8(rest[28..].to_vec()).unwrap();
            assert_eq!((rest[24] & 0x4f, number(&rest[18..20])), (0x45, 1), "iSCSI, with an ISID; the port");
            seen.push((number(&rest[..8]), rest[12] & 1, name.trim_end_matches('\0').to_string()));
            assert_eq!(rest[13], if rest[12] & 1 == 1 { kind } else { 0 }, "scope and type");
            rest = next;
        }
        seen.sort();
        let name = |node: &str| format!("iqn.1991-05.com.microsoft:{node},i,0x400001370000");
        let second = u8::from(is_everybodys(kind));
        assert_eq!(seen, [(KEY_A, 1, name("node-a")), (KEY_B, second, name("node-b"))], "type {kind}");
    }
}

#[test]
fn a_node_that_reconnects_is_still_registered_and_one_that_moves_is_not() {
    let mut cluster = reserved(WRITE_EXCLUSIVE_REGISTRANTS);
    let mut again = node(&cluster._lab, "node-a");
    write(&mut again).good();
    assert_eq!(keys(&mut again), [KEY_A, KEY_B]);
    // The same host by another session is another nexus.
    let mut other = windows::log_in(&cluster._lab, "iqn.1991-05.com.microsoft:node-a", 1);
    other.become_ready(0, 4);
    assert_eq!(write(&mut other).status, CONFLICT);
    write(&mut cluster.b).good();
}
