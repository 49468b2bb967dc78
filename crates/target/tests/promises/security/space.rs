//! What nobody has written reads as zeros: of a new disk, of the tail of a grown one, and of what was given back.

use std::sync::Arc;

use timedisk_scsi::Attention;
use timedisk_target::Disk;
use timedisk_volume::{FileVolume, Length, OpenOptions, Volume};

use super::super::wire::{BLOCK, Initiator, Lab, Scsi, mount, open_target, unit};

const CAPACITY: u64 = 1 << 20;
const BLOCKS: usize = CAPACITY as usize / BLOCK;

/// Blocks of the disk, from there on.
fn read(initiator: &mut Initiator, lba: usize, count: usize) -> Vec<u8> {
    loop {
        let reply = initiator.run(&Scsi::read(lba as u64, count));
        // What is to be told of a growth comes first.
        if reply.status == 0 {
            return reply.data;
        }
        assert_eq!(reply.condition().0, 0x06, "{reply:x?}");
    }
}

#[test]
fn what_was_never_written_reads_as_zeros_cve_2014_4027() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.img");
    let volume = Arc::new(FileVolume::open(OpenOptions::new(path, Length::Bytes(CAPACITY))).unwrap());
    let disk = Disk::new("disk", unit("disk", Arc::clone(&volume)));
    let mut target = open_target("disk", timedisk_volume::MemoryVolume::new(CAPACITY));
    target.mounts = vec![mount(0, &disk, |_| true)];
    let lab = Lab::new(vec![target]);
    let mut initiator = lab.session("disk", &[]);
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    assert!(is_zero(&read(&mut initiator, 0, BLOCKS)), "of a new disk");
    // All memory that the server reads into has had something else in it.
    initiator.run(&Scsi::write(0, &vec![0xa5; CAPACITY as usize])).good();
    assert!(read(&mut initiator, 0, BLOCKS).iter().all(|byte| *byte == 0xa5));
    for step in 2..5 {
        volume.grow(Length::Bytes(step * CAPACITY + 700)).unwrap().commit();
        lab.server().tell(disk.unit(), Attention::CapacityChanged);
        let (tail, length) = ((step as usize - 1) * BLOCKS, BLOCKS + 1);
        assert!(is_zero(&read(&mut initiator, tail, length)), "the tail that growth {step} has made");
        let read = read(&mut initiator, tail - 1, 2);
        assert!(is_zero(&read[BLOCK..]), "its first block");
        initiator.run(&Scsi::write(tail as u64, &vec![0xa5; BLOCKS * BLOCK])).good();
    }
    // UNMAP of blocks that had something.
    let mut list = vec![0, 22, 0, 16, 0, 0, 0, 0];
    list.extend([&0u64.to_be_bytes()[..], &(BLOCKS as u32).to_be_bytes(), &[0; 4]].concat());
    initiator.run(&Scsi::output(&[0x42, 0, 0, 0, 0, 0, 0, 0, list.len() as u8, 0], &list)).good();
    assert!(is_zero(&read(&mut initiator, 0, BLOCKS)), "what was given back");
    assert_eq!(volume.capacity() / CAPACITY, 4);
}
