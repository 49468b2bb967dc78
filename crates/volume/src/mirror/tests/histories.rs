//! Whatever happens to the members of a mirror and to its daemon, in whatever order: what was flushed is read, what was
//! read once is not followed by older data, and in the end all members are alike.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::double::{CAPACITY, SECTOR, Shelf, resync};
use crate::mirror::{MirrorVolume, Role};
use crate::{Durability, Health, Volume};

/// Members may take so long while others have answered.
const PATIENCE: Duration = Duration::from_millis(4);

/// Members that are stuck take so long.
const SLOW: Duration = Duration::from_millis(15);

const SECTORS: u64 = CAPACITY / SECTOR;

#[derive(Clone, Debug)]
enum Step {
    Write(u64, u64, bool),
    Read(u64, u64),
    Flush,
    Resync,
    Tidy,
    Scrub,
    FailReads(usize),
    FailWrites(usize),
    FailFlushes(usize),
    FailRecords(usize),
    /// Its calls take longer than anybody waits for while there is another.
    Stick(usize),
    Free(usize),
    /// A member that is out is taken back.
    Replace(usize),
    /// A person accepts the loss of failed flushes.
    Accept,
    /// After so many calls nothing works.
    CutAfter(u64),
    /// The daemon ends in order and comes back, perhaps without a member.
    Restart(Option<usize>),
    Kill(Option<usize>),
    LosePower(Option<usize>),
}

fn steps(count: usize) -> impl Strategy<Value = Step> {
    let range = || (0..SECTORS, 1..6u64).prop_map(|(at, n)| (at, n.min(SECTORS - at)));
    let missing = move || proptest::option::of(0..count);
    prop_oneof![
        12 => (range(), any::<bool>()).prop_map(|((at, n), durable)| Step::Write(at, n, durable)),
        6 => range().prop_map(|(at, n)| Step::Read(at, n)),
        4 => Just(Step::Flush),
        3 => Just(Step::Resync),
        2 => Just(Step::Tidy),
        1 => Just(Step::Scrub),
        1 => (0..count).prop_map(Step::FailReads),
        1 => (0..count).prop_map(Step::FailWrites),
        1 => (0..count).prop_map(Step::FailFlushes),
        1 => (0..count).prop_map(Step::FailRecords),
        1 => (0..count).prop_map(Step::Stick),
        1 => (0..count).prop_map(Step::Free),
        2 => (0..count).prop_map(Step::Replace),
        1 => Just(Step::Accept),
        2 => (0..40u64).prop_map(Step::CutAfter),
        1 => missing().prop_map(Step::Restart),
        2 => missing().prop_map(Step::Kill),
        2 => missing().prop_map(Step::LosePower),
    ]
}

/// How many members there are, and what happens to each of them.
fn histories() -> impl Strategy<Value = (usize, Vec<Step>)> {
    (2..4usize).prop_flat_map(|members| (Just(members), proptest::collection::vec(steps(members), 1..60)))
}

/// What a sector may hold: the number of a write to it.
#[derive(Clone, Copy, Debug, Default)]
struct Sector {
    /// Flushed, or read since the last power cut: nothing older may be read.
    least: u64,
    /// Acknowledged, and flushed by the next flush.
    acknowledged: u64,
    flushed: u64,
    /// Written, whatever came of it.
    last: u64,
}

struct Run {
    shelf: Shelf,
    mirror: Option<Arc<MirrorVolume>>,
    sectors: Vec<Sector>,
    number: u64,
    since: u64,
    from: u64,
}

impl Run {
    fn new(members: usize, seed: u64) -> Self {
        Self::on(Shelf::new(members, seed))
    }

    fn on(shelf: Shelf) -> Self {
        let mirror = Some(shelf.open());
        Self {
            shelf,
            mirror,
            sectors: vec![Sector::default(); SECTORS as usize],
            number: 0,
            since: 0,
            from: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        let Some(mirror) = self.mirror.clone() else {
            match step {
                Step::Restart(_) | Step::Kill(_) | Step::LosePower(_) => self.start(None),
                _ => {}
            }
            return;
        };
        let disk = |index: usize| self.shelf.disks[index].faults.lock().unwrap();
        match *step {
            Step::Write(at, count, durable) => self.write(&mirror, at, count, durable),
            Step::Read(at, count) => self.read(&mirror, at, count),
            Step::Flush => self.flush(&mirror),
            Step::Resync => {
                let _ = mirror.resync(&mut self.from, &mut || true);
                self.note_failed_flush(&mirror, false);
            }
            Step::Tidy => {
                self.since = mirror.tidy(self.since).unwrap_or(self.since);
                self.note_failed_flush(&mirror, false);
            }
            Step::Scrub => {
                mirror.start_scrub();
                while matches!(mirror.scrub_step(), Ok(true)) {}
            }
            Step::FailReads(index) => disk(index).reads = true,
            Step::FailWrites(index) => disk(index).writes = true,
            Step::FailFlushes(index) => disk(index).flushes = true,
            Step::FailRecords(index) => disk(index).records = true,
            Step::Stick(index) if self.shelf.patience.is_some() => self.shelf.disks[index].stick(SLOW),
            Step::Stick(_) => {}
            Step::Free(index) => self.shelf.disks[index].free(),
            Step::Replace(index) if mirror.report().members[index].role == Role::Out => {
                if mirror.write_down().is_ok() {
                    self.shelf.disks[index].accept();
                    let _ = mirror.replace(index, self.shelf.member(index, false));
                }
                self.note_failed_flush(&mirror, false);
            }
            Step::Replace(_) => {}
            Step::Accept if mirror.write_down().is_err() => {}
            Step::Accept => {
                self.shelf.disks.iter().for_each(|disk| disk.accept());
                self.flush(&mirror);
            }
            Step::CutAfter(calls) => self.shelf.power.cut_after(Some(calls)),
            Step::Restart(missing) => {
                // As the daemon does; what can't be flushed then may be lost.
                self.flush(&mirror);
                self.mirror = None;
                drop(mirror);
                self.shelf.mend();
                self.start(missing);
            }
            Step::Kill(missing) => {
                self.mirror = None;
                self.shelf.kill(mirror);
                self.start(missing);
            }
            Step::LosePower(missing) => {
                self.mirror = None;
                self.shelf.lose_power(Some(mirror));
                for sector in &mut self.sectors {
                    (sector.least, sector.acknowledged) = (sector.flushed, sector.flushed);
                }
                self.start(missing);
            }
        }
    }

    fn flush(&mut self, mirror: &MirrorVolume) {
        let result = mirror.flush();
        if result.is_ok() {
            for sector in &mut self.sectors {
                sector.flushed = sector.flushed.max(sector.acknowledged);
                sector.least = sector.least.max(sector.flushed);
            }
        }
        self.note_failed_flush(mirror, result.is_err());
    }

    fn start(&mut self, missing: Option<usize>) {
        self.shelf.mend();
        (self.since, self.from) = (0, 0);
        let missing: Vec<usize> = missing.into_iter().collect();
        self.mirror = self.shelf.try_open(&missing).ok();
        if let Some(mirror) = self.mirror.clone() {
            self.note_failed_flush(&mirror, false);
        }
    }

    /// When no member could be flushed, what was not flushed before may be lost, and the disk says so.
    fn note_failed_flush(&mut self, mirror: &MirrorVolume, failed: bool) {
        if mirror.health() != Health::Good || failed && !self.shelf.power.is_cut() {
            for sector in &mut self.sectors {
                (sector.least, sector.acknowledged) = (sector.flushed, sector.flushed);
            }
        }
    }

    fn write(&mut self, mirror: &MirrorVolume, at: u64, count: u64, durable: bool) {
        self.number += 1;
        let mut data = vec![0; (count * SECTOR) as usize];
        data.chunks_mut(8).for_each(|word| word.copy_from_slice(&self.number.to_le_bytes()));
        let durability = if durable { Durability::Durable } else { Durability::Volatile };
        let result = mirror.write(at * SECTOR, &data, durability);
        self.note_failed_flush(mirror, durable && result.is_err());
        for sector in &mut self.sectors[at as usize..(at + count) as usize] {
            sector.last = self.number;
            if result.is_ok() {
                sector.acknowledged = self.number;
                sector.least = self.number;
                if durable {
                    sector.flushed = self.number;
                }
            }
        }
    }

    fn read(&mut self, mirror: &MirrorVolume, at: u64, count: u64) {
        let mut data = vec![0xee; (count * SECTOR) as usize];
        if mirror.read(at * SECTOR, &mut data).is_err() {
            return;
        }
        let sectors = self.sectors[at as usize..].iter_mut();
        for (index, (sector, found)) in sectors.zip(data.chunks(SECTOR as usize)).enumerate() {
            let first = u64::from_le_bytes(found[..8].try_into().unwrap());
            assert!(found.chunks(8).all(|word| word == &found[..8]), "a torn sector");
            let (least, last) = (sector.least, sector.last);
            assert!(
                (least..=last).contains(&first),
                "sector {} has {first}, and may have {least} to {last}",
                at + index as u64
            );
            sector.least = first;
        }
    }

    /// All members are back and in order: each has all.
    fn end(mut self) {
        if let Some(mirror) = self.mirror.take() {
            self.shelf.kill(mirror);
        }
        self.shelf.patience = None;
        // With all members there the mirror starts.
        let mirror = self.shelf.open();
        self.note_failed_flush(&mirror, false);
        (0..SECTORS).for_each(|at| self.read(&mirror, at, 1));
        self.shelf.disks.iter().for_each(|disk| disk.accept());
        self.flush(&mirror);
        (0..SECTORS).for_each(|at| self.read(&mirror, at, 1));
        for (index, member) in mirror.report().members.iter().enumerate() {
            if member.role == Role::Out {
                assert!(member.reason.to_lowercase().contains("flush"), "{member:?}");
                mirror.replace(index, self.shelf.member(index, false)).unwrap();
            }
        }
        resync(&mirror);
        for member in mirror.report().members {
            assert_eq!((member.role, member.lacking), (Role::In, 0), "{member:?}");
        }
        (0..SECTORS).for_each(|at| self.read(&mirror, at, 1));
        drop(mirror);
        let first = self.shelf.disks[0].content();
        assert!(self.shelf.disks.iter().all(|disk| disk.content() == first), "members differ");
        let again = self.shelf.open();
        (0..SECTORS).for_each(|at| self.read(&again, at, 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_read_returns_older_data_than_was_promised(
        (members, steps) in histories(),
        seed in any::<u64>(),
    ) {
        let mut run = Run::new(members, seed);
        steps.iter().for_each(|step| run.step(step));
        run.end();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn no_read_returns_older_data_even_if_calls_return_when_nobody_waits_for_them(
        (members, steps) in histories(),
        seed in any::<u64>(),
    ) {
        let mut run = Run::on(Shelf { patience: Some(PATIENCE), ..Shelf::new(members, seed) });
        steps.iter().for_each(|step| run.step(step));
        run.end();
    }
}

#[test]
fn the_loss_of_a_member_is_not_accepted_before_it_is_written_down_that_it_is_out() {
    for (cut, accept) in (0..40).flat_map(|cut| [(cut, Step::Replace(0)), (cut, Step::Accept)]) {
        let mut run = Run::new(3, 0);
        run.step(&Step::CutAfter(cut));
        run.step(&Step::FailFlushes(0));
        run.step(&Step::Write(8, 5, false));
        run.step(&Step::Write(0, 1, false));
        run.step(&Step::Write(8, 1, false));
        run.step(&Step::Write(0, 5, true));
        run.step(&accept);
        run.end();
    }
}

#[test]
fn what_a_restart_might_not_have_any_more_is_not_read() {
    let mut run = Run::new(2, 0);
    run.step(&Step::Write(0, 1, false));
    run.step(&Step::FailWrites(0));
    run.step(&Step::FailRecords(1));
    // The second member has it, and that only it has it can't be written down.
    run.step(&Step::Write(0, 2, false));
    run.step(&Step::Read(0, 1));
    run.end();
}

#[test]
fn wherever_the_power_goes_while_a_member_is_taken_back_the_mirror_starts_again() {
    for cut in 0..20 {
        let mut run = Run::new(2, 0);
        run.step(&Step::Write(0, 1, false));
        run.step(&Step::Kill(Some(1)));
        run.step(&Step::Write(4, 1, false));
        run.step(&Step::CutAfter(cut));
        run.step(&Step::Replace(1));
        run.end();
    }
}

#[test]
fn wherever_the_power_goes_while_a_member_is_dropped_the_mirror_starts_again() {
    for cut in 0..30 {
        for seed in 0..4 {
            let mut run = Run::new(2, seed);
            run.step(&Step::CutAfter(cut));
            run.step(&Step::Read(0, 1));
            run.step(&Step::Write(0, 1, false));
            run.step(&Step::Flush);
            run.step(&Step::FailFlushes(0));
            run.step(&Step::Restart(Some(1)));
            run.end();
        }
    }
}
