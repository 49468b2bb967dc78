//! With little memory everything takes longer, and nothing gets stuck.

use timedisk_iscsi::pdu::{Response, layout};
use timedisk_target::Limits;
use timedisk_volume::MemoryVolume;

use super::wire::{BLOCK, Initiator, Lab, Random, Scsi, assert_same, limits, open_target};

const MIB: usize = 1 << 20;

fn lab(limits: Limits) -> Lab {
    Lab::with(vec![open_target("disk", MemoryVolume::new(256 << 20))], Vec::new(), limits)
}

/// Many large writes at once, then reads of the same, each in a region of this session's own.
fn write_and_read(mut initiator: Initiator, own: usize) {
    let mut random = Random::new(own as u64);
    let start = |place: usize| ((own * 32 + place * 4) * MIB / BLOCK) as u64;
    let sizes = [4 * MIB, 3 * MIB, MIB, BLOCK, 4 * MIB, 65536, 2 * MIB, 4 * MIB];
    let written: Vec<Vec<u8>> = sizes.iter().map(|size| vec![random.next() as u8; *size]).collect();
    let run = |initiator: &mut Initiator, commands: Vec<Scsi>| -> Vec<Vec<u8>> {
        let tags: Vec<u32> = commands.iter().map(|command| initiator.start(command)).collect();
        tags.into_iter().map(|tag| initiator.finish(tag).good()).collect()
    };
    let attribute = |place: usize, scsi: Scsi| if place % 3 == 1 { scsi.ordered() } else { scsi };
    let writes =
        written.iter().enumerate().map(|(place, data)| attribute(place, Scsi::write(start(place), data)));
    run(&mut initiator, writes.collect());
    let reads = sizes
        .iter()
        .enumerate()
        .map(|(place, size)| attribute(place, Scsi::read(start(place), size / BLOCK)));
    let read = run(&mut initiator, reads.collect());
    read.iter().zip(&written).for_each(|(read, written)| assert_same(read, written));
}

#[test]
fn large_commands_of_many_sessions_share_little_memory_and_all_end() {
    let lab = lab(limits(24 * MIB, 9 * MIB));
    let offers = [("MaxRecvDataSegmentLength", "262144"), ("InitialR2T", "No"), ("MaxOutstandingR2T", "4")];
    std::thread::scope(|scope| {
        for own in 0..4 {
            let initiator = lab.session("disk", if own % 2 == 0 { &offers } else { &[] });
            scope.spawn(move || write_and_read(initiator, own));
        }
    });
}

#[test]
fn an_ordered_command_that_waits_for_memory_is_not_kept_from_it_by_younger_ones() {
    let lab = lab(limits(64 * MIB, 8 * MIB));
    let mut initiator = lab.session("disk", &[("ImmediateData", "No")]);
    let tag = initiator.tag();
    let first = initiator.command(tag, &Scsi::write(0, &vec![1; 4 * MIB]), &[]);
    initiator.send(&first);
    let request = layout::ReadyToTransfer::of(&initiator.expect(Response::ReadyToTransfer).header);
    let ordered = initiator.start(&Scsi::write(0, &vec![2; 8 * MIB]).ordered());
    let younger = initiator.start(&Scsi::write(0, &vec![3; 3 * MIB]));
    initiator.check_alive();
    initiator.follow(tag, 1);
    let burst = request.desired_data_transfer_length.get() as usize;
    initiator.answer_request(tag, request.target_transfer_tag.get(), vec![1; 4 * MIB], burst);
    for tag in [tag, ordered, younger] {
        initiator.finish(tag).good();
    }
    let expected = [vec![3; 3 * MIB], vec![2; 5 * MIB]].concat();
    assert_same(&initiator.run(&Scsi::read(0, expected.len() / BLOCK)).good(), &expected);
}

#[test]
fn who_asks_to_write_and_sends_nothing_stops_nobody_else() {
    let lab = lab(limits(32 * MIB, 12 * MIB));
    let mut stingy = lab.session("disk", &[("ImmediateData", "No")]);
    for number in 0..6 {
        let tag = stingy.tag();
        let command = stingy.command(tag, &Scsi::write(number, &vec![0; 4 * MIB]), &[]);
        stingy.send(&command);
    }
    for _ in 0..3 {
        stingy.expect(Response::ReadyToTransfer);
    }
    write_and_read(lab.session("disk", &[]), 1);
    stingy.check_alive();
}

#[test]
fn who_asks_to_read_and_takes_nothing_stops_nobody_else() {
    let lab = lab(limits(32 * MIB, 12 * MIB));
    let mut lazy = lab.session("disk", &[]);
    let tags: Vec<u32> = (0..6).map(|_| lazy.start(&Scsi::read(0, 4 * MIB / BLOCK))).collect();
    write_and_read(lab.session("disk", &[]), 1);
    for tag in tags {
        assert_same(&lazy.finish(tag).good(), &vec![0; 4 * MIB]);
    }
}
