//! VMware ESXi: VMFS locks blocks with COMPARE AND WRITE (ATS), has copies, zeros and free space made by the disk
//! (VAAI), and aborts in storms where a disk is slow. Its login has the values that VMware documents, in the order of
//! open-iscsi, from which its initiator has come; it was not measured.

use std::sync::Arc;

use timedisk_volume::{MemoryVolume, Operation, Volume};

use super::script::{
    BLOCKS, OPERATIONAL_TO_FULL, SECURITY_TO_OPERATIONAL, connect, designators, number, open_lab, read_page,
    two_disks, with_read_bit,
};
use crate::wire::{BLOCK, Initiator, Lab, PATIENCE, Reply, Scsi, assert_same, block, held, open_target};

const TARGET: &str = "TargetName=iqn.2026-01.org.example:disk";
const ABORT_TASK: u8 = 1;
const COMPLETE: u8 = 0;
const TASK_DOES_NOT_EXIST: u8 = 1;
const CONFLICT: u8 = 0x18;
const MISCOMPARE: (u8, u8, u8) = (0x0e, 0x1d, 0x00);
/// Blocks of a file block of VMFS, 1 MiB.
const MIB: u32 = 2048;

/// VMware's defaults.
const OFFERS: [&str; 16] = [
    "HeaderDigest=None",
    "DataDigest=None",
    "DefaultTime2Wait=0",
    "DefaultTime2Retain=0",
    "IFMarker=No",
    "OFMarker=No",
    "ErrorRecoveryLevel=0",
    "InitialR2T=No",
    "ImmediateData=Yes",
    "MaxBurstLength=262144",
    "FirstBurstLength=262144",
    "MaxOutstandingR2T=1",
    "MaxConnections=1",
    "DataPDUInOrder=Yes",
    "DataSequenceInOrder=Yes",
    "MaxRecvDataSegmentLength=131072",
];

fn host(lab: &Lab, number: u8) -> Initiator {
    let name = format!("iqn.1998-01.com.vmware:host{number}-0a1b2c3d");
    let mut esxi = connect(lab.address, &name, [0x00, 0x02, 0x3d, 0x01, 0, 0], 1);
    let who = format!("InitiatorName={name}");
    let alias = format!("InitiatorAlias=host{number}");
    let keys = [&*who, &alias, TARGET, "SessionType=Normal", "AuthMethod=None"];
    assert_eq!(esxi.say(SECURITY_TO_OPERATIONAL, &keys).flags(), SECURITY_TO_OPERATIONAL);
    esxi.enter(OPERATIONAL_TO_FULL, &OFFERS);
    esxi
}

fn ready(lab: &Lab, number: u8, luns: &[u8]) -> Initiator {
    let mut esxi = host(lab, number);
    for lun in luns {
        esxi.become_ready(*lun, 4);
    }
    esxi
}

/// COMPARE AND WRITE of one block.
fn ats(lba: u64, expected: &[u8], new: &[u8]) -> Scsi {
    let mut cdb = [0; 16];
    (cdb[0], cdb[13]) = (0x89, 1);
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    Scsi::output(&cdb, &[expected, new].concat())
}

/// WRITE SAME(16) of zeros.
fn zero(lba: u64, count: u32, flags: u8) -> Scsi {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1]) = (0x93, flags);
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    cdb[10..14].copy_from_slice(&count.to_be_bytes());
    Scsi::output(&cdb, &[0; BLOCK])
}

fn unmap(lba: u64, count: u32) -> Scsi {
    let list = [&[0, 22, 0, 16, 0, 0, 0, 0][..], &lba.to_be_bytes(), &count.to_be_bytes(), &[0; 4]].concat();
    Scsi::output(&[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], &list)
}

/// The designator by which a copy names a disk: its NAA identifier.
fn naa(esxi: &mut Initiator, lun: u8) -> Vec<u8> {
    let page = esxi.run(&Scsi::input(&[0x12, 1, 0x83, 0x04, 0, 0], 1024).at(lun)).good();
    let found = designators(&page);
    found.into_iter().find(|(_, kind, _)| *kind == 0x03).expect("it needs an NAA identifier").2
}

/// EXTENDED COPY with list identifiers of a byte, sent to the destination: blocks from here to there.
fn copy(from: (&[u8], u64), to: (&[u8], u64), count: u16) -> Scsi {
    let mut list = vec![0; 16];
    (list[0], list[1], list[3], list[11]) = (0x2a, 0x10, 64, 28);
    for name in [from.0, to.0] {
        let mut descriptor = [0; 32];
        descriptor[..8].copy_from_slice(&[0xe4, 0, 0, 0, 1, 3, 0, 8]);
        descriptor[8..16].copy_from_slice(name);
        descriptor[29..32].copy_from_slice(&[0, 2, 0]);
        list.extend(descriptor);
    }
    let mut segment = [0; 28];
    (segment[0], segment[1], segment[3], segment[7]) = (0x02, 0x02, 24, 1);
    segment[10..12].copy_from_slice(&count.to_be_bytes());
    segment[12..20].copy_from_slice(&from.1.to_be_bytes());
    segment[20..28].copy_from_slice(&to.1.to_be_bytes());
    list.extend(segment);
    let mut cdb = [0; 16];
    (cdb[0], cdb[13]) = (0x83, list.len() as u8);
    Scsi::output(&cdb, &list)
}

#[test]
fn esxi_finds_all_four_parts_of_vaai() {
    let lab = two_disks();
    let mut esxi = ready(&lab, 1, &[0]);
    let inquiry = esxi.run(&Scsi::inquiry()).good();
    assert_eq!(inquiry[5] & 0x08, 0x08, "3PC: it copies");
    let limits = read_page(&mut esxi, 0xb0);
    assert!(limits[5] >= 1, "MAXIMUM COMPARE AND WRITE LENGTH: {}", limits[5]);
    assert!(number(&limits[20..24]) >= u64::from(MIB), "MAXIMUM UNMAP LBA COUNT");
    let longest = number(&limits[36..44]);
    assert!(longest == 0 || longest >= u64::from(MIB), "MAXIMUM WRITE SAME LENGTH: {longest}");
    let provisioning = read_page(&mut esxi, 0xb2);
    assert_eq!(provisioning[5] & 0xc4, 0xc4, "LBPU, LBPWS, LBPRZ");
}

#[test]
fn ats_of_one_block_takes_a_lock_that_is_free_and_no_other() {
    let lab = open_lab();
    let (mut first, mut second) = (ready(&lab, 1, &[0]), ready(&lab, 2, &[0]));
    first.run(&ats(7, &block(0), &block(1))).good();
    assert_eq!(second.run(&ats(7, &block(0), &block(2))).condition(), MISCOMPARE);
    assert_eq!(second.run(&Scsi::read(7, 1)).good(), block(1));
    first.run(&ats(7, &block(1), &block(0))).good();
    second.run(&ats(7, &block(0), &block(2))).good();
}

#[test]
fn ats_of_two_hosts_at_once_is_won_by_one_of_them() {
    let lab = open_lab();
    let mut hosts = [1, 2].map(|number| ready(&lab, number, &[0]));
    for round in 0..100u8 {
        let tags = [0, 1].map(|index| {
            let new = block(100 + index as u8);
            hosts[index].start(&ats(u64::from(round), &block(0), &new))
        });
        let ended = [0, 1].map(|index| hosts[index].finish(tags[index]));
        let won = ended.iter().position(|reply| reply.status == 0).expect("one of them wins");
        assert_eq!(ended[1 - won].condition(), MISCOMPARE, "round {round}");
        assert_eq!(hosts[0].run(&Scsi::read(round.into(), 1)).good(), block(100 + won as u8));
    }
}

#[test]
fn ats_and_a_reservation_of_another_host_never_overlap() {
    let volume = held(1 << 20);
    let lab = Lab::new(vec![open_target("disk", Arc::clone(&volume))]);
    let (mut first, mut second) = (ready(&lab, 1, &[0]), ready(&lab, 2, &[0]));
    let (reserve, release) = (Scsi::none(&[0x16, 0, 0, 0, 0, 0]), Scsi::none(&[0x17, 0, 0, 0, 0, 0]));
    second.run(&reserve).good();
    assert_eq!(first.run(&ats(7, &block(0), &block(1))).status, CONFLICT);
    second.run(&release).good();
    // It has compared, or is about to, and has not written.
    for operation in [Operation::Read, Operation::Write] {
        volume.inner().write(7 * BLOCK as u64, &block(0), timedisk_volume::Durability::Volatile).unwrap();
        volume.hold(operation);
        let locking = first.start(&ats(7, &block(0), &block(1)));
        assert!(volume.await_waiting(1, PATIENCE));
        let reserving = second.start(&reserve);
        second.check_alive();
        let came_early = second.has_ended(reserving);
        volume.release_all();
        first.finish(locking).good();
        second.finish(reserving).good();
        assert!(!came_early, "the disk is reserved, and the other host's lock comes after it");
        second.run(&release).good();
    }
}

#[test]
fn ats_changes_nothing_while_another_host_has_the_disk_reserved() {
    let lab = open_lab();
    let (mut first, mut second) = (ready(&lab, 1, &[0]), ready(&lab, 2, &[0]));
    let (reserve, release) = (Scsi::none(&[0x16, 0, 0, 0, 0, 0]), Scsi::none(&[0x17, 0, 0, 0, 0, 0]));
    let locking = std::thread::spawn(move || {
        let (mut last, mut taken, mut refused) = (0, 0, 0);
        while taken < 200 || refused < 20 {
            match first.run(&ats(7, &block(last), &block(last.wrapping_add(1)))).status {
                0 => (last, taken) = (last.wrapping_add(1), taken + 1),
                status => {
                    assert_eq!(status, CONFLICT);
                    refused += 1;
                }
            }
        }
    });
    while !locking.is_finished() {
        second.run(&reserve).good();
        let seen = second.run(&Scsi::read(7, 1)).good();
        for _ in 0..3 {
            assert_same(&second.run(&Scsi::read(7, 1)).good(), &seen);
        }
        second.run(&release).good();
    }
    locking.join().unwrap();
}

#[test]
fn xcopy_finds_its_limits_and_disks_of_one_product() {
    let lab = two_disks();
    let mut esxi = ready(&lab, 1, &[0, 1]);
    let product = |esxi: &mut Initiator, lun| esxi.run(&Scsi::inquiry().at(lun)).good()[16..32].to_vec();
    assert_eq!(product(&mut esxi, 0), product(&mut esxi, 1), "between others it does not copy");
    let mut cdb = [0; 16];
    (cdb[0], cdb[1], cdb[12]) = (0x84, 0x03, 0x02);
    let limits = esxi.run(&Scsi::input(&cdb, 512)).good();
    assert_eq!(number(&limits[..4]) as usize, limits.len() - 4);
    assert!(number(&limits[8..10]) >= 2, "MAXIMUM CSCD DESCRIPTOR COUNT");
    assert!(number(&limits[10..12]) >= 1, "MAXIMUM SEGMENT DESCRIPTOR COUNT");
    assert!(number(&limits[12..16]) >= 64 + 28, "MAXIMUM DESCRIPTOR LIST LENGTH");
    assert!(number(&limits[16..20]) >= 4 << 20, "MAXIMUM SEGMENT LENGTH, of which it uses 4 MiB");
    let kinds = &limits[44..44 + usize::from(limits[43])];
    assert!(
        kinds.contains(&0x02) && kinds.contains(&0xe4),
        "blocks to blocks, by identification: {kinds:02x?}"
    );
}

#[test]
fn xcopy_clones_a_file_between_disks_4_mib_at_a_time() {
    let lab = two_disks();
    let mut esxi = ready(&lab, 1, &[0, 1]);
    let names = [naa(&mut esxi, 0), naa(&mut esxi, 1)];
    assert_ne!(names[0], names[1]);
    let step = 4 * MIB as u16;
    esxi.run(&copy((&names[0], 0), (&names[1], 0), step).at(1)).good();
    // And within one disk, as of a template.
    esxi.run(&copy((&names[1], 0), (&names[1], u64::from(step)), step).at(1)).good();
    for lba in [0, u64::from(step) - 256, u64::from(step), BLOCKS - 256] {
        let expected: Vec<u8> = (lba..lba + 256).flat_map(|lba| block(lba as u8)).collect();
        assert_same(&esxi.run(&Scsi::read(lba, 256).at(1)).good(), &expected);
    }
}

#[test]
fn xcopy_to_a_disk_that_is_not_there_fails_and_esxi_copies_by_itself() {
    let lab = two_disks();
    let mut esxi = ready(&lab, 1, &[0, 1]);
    let name = naa(&mut esxi, 0);
    let unknown = [0x60, 0, 0, 0, 0, 0, 0, 9];
    let reply = esxi.run(&copy((&name, 0), (&unknown, 0), 8));
    assert!([0x05, 0x0a].contains(&reply.condition().0), "{reply:?}");
    esxi.check_alive();
}

#[test]
fn write_same_of_zeros_clears_file_blocks_with_and_without_unmap() {
    let lab = two_disks();
    let mut esxi = ready(&lab, 1, &[0]);
    for (lba, flags) in [(0, 0x00), (u64::from(MIB) + 3, 0x08)] {
        esxi.run(&zero(lba, MIB, flags)).good();
        let cleared = esxi.run(&Scsi::read(lba, MIB as usize)).good();
        assert!(cleared.iter().all(|byte| *byte == 0), "from {lba}");
        let next = lba + u64::from(MIB);
        assert_eq!(esxi.run(&Scsi::read(next, 1)).good(), block(next as u8), "and no more");
    }
}

#[test]
fn unmap_of_a_file_block_at_any_place_is_taken() {
    let lab = two_disks();
    let mut esxi = ready(&lab, 1, &[0]);
    for lba in [1u64, 3 * u64::from(MIB) + 1, 6 * u64::from(MIB) + 7] {
        esxi.run(&unmap(lba, MIB)).good();
        let freed = esxi.run(&Scsi::read(lba, MIB as usize)).good();
        assert!(freed.iter().all(|byte| *byte == 0), "from {lba}");
        for beside in [lba - 1, lba + u64::from(MIB)] {
            assert_eq!(
                esxi.run(&Scsi::read(beside, 1)).good(),
                block(beside as u8),
                "{beside} is another file's"
            );
        }
    }
}

#[test]
fn test_unit_ready_with_the_read_bit_is_good_and_moves_nothing() {
    let lab = open_lab();
    let mut esxi = ready(&lab, 1, &[0]);
    let good = |flags, residual| Reply { flags, residual, ..Reply::default() };
    assert_eq!(esxi.run(&with_read_bit(&[0; 6], 0)), good(0, 0));
    assert_eq!(esxi.run(&with_read_bit(&[0; 6], 512)), good(2, 512), "it is told that nothing came");
    assert_eq!(esxi.run(&with_read_bit(&[0; 6], 512).at(9)).condition(), (0x05, 0x25, 0x00));
}

#[test]
fn esxi_sees_the_same_disk_by_each_path() {
    let lab = Lab::of_groups(&[1, 2], vec![open_target("disk", MemoryVolume::new(1 << 20))]);
    let seen = lab.server().addresses().iter().map(|address| {
        let mut path = Initiator::session(*address, "disk", &[]);
        let found = designators(&read_page(&mut path, 0x83));
        // Of the logical unit, not of the port.
        let of_unit: Vec<_> = found.into_iter().filter(|(_, kind, _)| kind >> 4 == 0).collect();
        (of_unit, read_page(&mut path, 0x80))
    });
    let seen: Vec<_> = seen.collect();
    assert!(seen[0].0.iter().any(|(_, kind, name)| *kind == 0x03 && name.len() == 8));
    assert_eq!(seen[0], seen[1]);
}

/// An abort of a command that has ended is answered as RFC 7143 §11.6.1 c asks: there is no such task. Some ESXi take
/// that for a sick target; but to say that it was aborted would be wrong, for its response has been sent.
#[test]
fn a_storm_of_aborts_ends_what_runs_and_says_each_time_that_there_is_no_task_that_has_ended() {
    let volume = held(1 << 20);
    let lab = Lab::new(vec![open_target("disk", Arc::clone(&volume))]);
    let mut esxi = ready(&lab, 1, &[0]);
    for round in 0..3u8 {
        let ended: Vec<(u32, u32)> = (0..16)
            .map(|lba| {
                let number = esxi.cmd_sn;
                let tag = esxi.start(&Scsi::write(lba, &block(round)));
                esxi.finish(tag).good();
                (tag, number)
            })
            .collect();
        volume.hold(Operation::Write);
        let running: Vec<(u32, u32)> = (0..8)
            .map(|lba| {
                let tag = esxi.start(&Scsi::write(100 + lba, &block(9)));
                (tag, esxi.cmd_sn.wrapping_sub(1))
            })
            .collect();
        assert!(volume.await_waiting(1, PATIENCE));
        for (tag, number) in &running {
            assert_eq!(esxi.manage(ABORT_TASK, *tag, *number), COMPLETE);
        }
        for (tag, number) in ended.iter().chain(&running) {
            for _ in 0..3 {
                assert_eq!(esxi.manage(ABORT_TASK, *tag, *number), TASK_DOES_NOT_EXIST);
            }
        }
        volume.release_all();
        // The session goes on, with nothing to tell and its window as it was.
        esxi.run(&Scsi::test_unit_ready()).good();
        let tags: Vec<u32> = (0..8).map(|lba| esxi.start(&Scsi::read(lba, 1))).collect();
        for tag in tags {
            assert_eq!(esxi.finish(tag).good(), block(round));
        }
    }
}
