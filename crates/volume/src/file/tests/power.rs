//! Power cuts and failures at every system call: atomic writes are whole or not at all, and what was flushed lasts.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use crate::calls::power::PowerCalls;
use crate::{Durability, FileVolume, ImageFiles, Length, OpenOptions, Volume};

const BLOCK: usize = 512;
const BLOCKS: usize = 16;

#[derive(Clone, Debug)]
enum Step {
    Write(Range<usize>, Durability),
    Atomic(Range<usize>),
    Flush,
    AcceptLoss,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let range = || (0..BLOCKS, 1..9_usize).prop_map(|(at, count)| at..(at + count).min(BLOCKS));
    let durability = prop_oneof![3 => Just(Durability::Volatile), 1 => Just(Durability::Durable)];
    let step = prop_oneof![
        3 => (range(), durability).prop_map(|(range, durability)| Step::Write(range, durability)),
        4 => range().prop_map(Step::Atomic),
        2 => Just(Step::Flush),
        1 => Just(Step::AcceptLoss),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..16)
}

fn open(calls: &PowerCalls) -> crate::Result<FileVolume> {
    let length = Length::Bytes((BLOCKS * BLOCK) as u64);
    ImageFiles::with_calls(Arc::new(calls.clone())).open(OpenOptions::new(Path::new("/images/disk"), length))
}

/// The number of the write that each block is from. Blocks are never torn themselves.
fn content(volume: &FileVolume) -> Vec<u8> {
    let mut bytes = vec![0; BLOCKS * BLOCK];
    volume.read(0, &mut bytes).unwrap();
    let one = |block: &[u8]| {
        assert!(block.iter().all(|&byte| byte == block[0]));
        block[0]
    };
    bytes.chunks(BLOCK).map(one).collect()
}

/// What may be on the disk after a cut.
#[derive(Debug)]
struct Model {
    allowed: Vec<BTreeSet<u8>>,
    /// The last atomic write, if it failed, and the number of it; and whether others have tried to write there since.
    failed: Option<(Range<usize>, u8, bool)>,
}

impl Model {
    fn check(&self, content: &[u8]) {
        for (block, (is, may)) in content.iter().zip(&self.allowed).enumerate() {
            assert!(may.contains(is), "block {block} is from {is} and not one of {may:?}: {content:?}");
        }
        if let Some((range, number, false)) = &self.failed {
            let there = content[range.clone()].iter().filter(|is| *is == number).count();
            assert!(there == 0 || there == range.len(), "{number} at {range:?} is torn: {content:?}");
        }
    }

    fn tried(&mut self, range: &Range<usize>, number: u8) {
        if let Some((failed, _, is_over)) = &mut self.failed {
            *is_over |= failed.start < range.end && range.start < failed.end;
        }
        self.allowed[range.clone()].iter_mut().for_each(|may| may.extend([number]));
    }

    fn lasts(&mut self, range: Range<usize>, content: &[u8]) {
        for block in range {
            let pending = self.failed.as_ref().filter(|(range, ..)| range.contains(&block));
            let pending = pending.map(|(_, number, _)| *number);
            self.allowed[block] = [content[block]].into_iter().chain(pending).collect();
        }
    }

    /// Does the steps until the power goes.
    fn follow(&mut self, calls: &PowerCalls, mut volume: FileVolume, steps: &[Step]) {
        for (step, number) in steps.iter().zip(1..=255) {
            if let Step::Write(range, _) | Step::Atomic(range) = step {
                self.tried(range, number);
            }
            let data = |range: &Range<usize>| vec![number; range.len() * BLOCK];
            let at = |range: &Range<usize>| (range.start * BLOCK) as u64;
            let done = match step {
                Step::Write(range, durability) => volume.write(at(range), &data(range), *durability),
                Step::Atomic(range) => volume.write_atomic(at(range), &data(range)),
                Step::Flush => volume.flush(),
                Step::AcceptLoss => volume.accept_loss(),
                Step::Reopen => {
                    drop(volume);
                    let Ok(again) = open(calls) else { return };
                    volume = again;
                    Ok(())
                }
            };
            if let (Step::Atomic(range), Err(_)) = (step, &done) {
                self.failed = Some((range.clone(), number, false));
            }
            if !calls.has_power() {
                return;
            }
            let content = content(&volume);
            if let (Step::Write(range, _) | Step::Atomic(range), Ok(())) = (step, &done) {
                assert!(content[range.clone()].iter().all(|&is| is == number));
                // It came after the failed one, which is settled therefore.
                self.failed = None;
            }
            self.check(&content);
            match (step, &done) {
                (Step::Write(range, Durability::Durable) | Step::Atomic(range), Ok(())) => {
                    self.lasts(range.clone(), &content);
                }
                (Step::Flush, Ok(())) => self.lasts(0..BLOCKS, &content),
                _ => {}
            }
        }
    }
}

/// Does the steps on a new disk; at most one call fails, and then the power goes. So it does again while the disk is
/// opened. Answers how many calls there were.
fn live(noise: u64, steps: &[Step], fault: Option<usize>, cut: usize, second: usize) -> usize {
    let calls = PowerCalls::with_noise(noise);
    let volume = open(&calls).unwrap();
    let begun = calls.count();
    fault.into_iter().for_each(|fault| calls.fail_after(fault));
    calls.cut_after(cut);
    let mut model = Model { allowed: vec![BTreeSet::from([0]); BLOCKS], failed: None };
    model.follow(&calls, volume, steps);
    let count = calls.count() - begun;
    let calls = calls.after_the_cut();
    calls.cut_after(second);
    let opened = open(&calls).ok().filter(|_| calls.has_power()).map(|volume| content(&volume));
    let calls = calls.after_the_cut();
    let volume = open(&calls).unwrap();
    let now = content(&volume);
    model.check(&now);
    if let Some(before) = opened {
        assert_eq!(before, now, "what was served changes");
    }
    // From here on it is a disk like any other: nothing of before comes up again.
    volume.write(0, &[255; BLOCKS * BLOCK], Durability::Volatile).unwrap_or_else(|error| {
        assert_eq!(volume.health(), crate::Health::FlushFailed, "{error}");
    });
    let written = volume.flush().is_ok();
    drop(volume);
    let last = content(&open(&calls.after_the_cut()).unwrap());
    assert!(!written || last == [255; BLOCKS], "{last:?}");
    count
}

#[test]
fn power_may_go_at_every_call_of_an_atomic_write() {
    use Durability::Volatile;
    let script = [
        Step::Write(0..12, Volatile),
        Step::Flush,
        Step::Atomic(2..10),
        Step::Write(4..6, Volatile),
        Step::Flush,
        Step::Write(7..9, Volatile),
        Step::Atomic(0..8),
        Step::Atomic(6..14),
        Step::Flush,
    ];
    let whole = live(1, &script, None, usize::MAX >> 1, usize::MAX >> 1);
    assert!(whole > 20, "{whole}");
    for cut in 0..=whole {
        for noise in 0..24 {
            live(noise * 77 + 1, &script, None, cut, 1000);
            live(noise * 77 + 2, &script, None, cut, noise as usize % 8);
        }
    }
}

#[test]
fn any_call_of_an_atomic_write_may_fail_and_then_the_power_goes() {
    use Durability::Volatile;
    let failing = [Step::Write(0..12, Volatile), Step::Flush, Step::Atomic(2..10)];
    let then = [
        [Step::AcceptLoss, Step::Write(4..6, Volatile), Step::Flush, Step::Write(7..8, Volatile)],
        [Step::Reopen, Step::Write(3..5, Volatile), Step::Flush, Step::Reopen],
    ];
    for then in then {
        let script = [&failing[..], &then].concat();
        let whole = live(1, &script, None, usize::MAX >> 1, usize::MAX >> 1);
        for fault in 0..whole {
            for cut in (fault..fault + 14).chain([1000]) {
                for noise in 0..16 {
                    live(noise * 77 + 1, &script, Some(fault), cut, 1000);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_cut_leaves_atomic_writes_whole_and_flushed_ones_alone(
        noise: u64,
        steps in steps(),
        fault in proptest::option::of(0..120_usize),
        cut in 0..160_usize,
        second in 0..24_usize,
    ) {
        live(noise, &steps, fault, cut, second);
    }
}
