//! Which commands are to be done.

use std::ops::Range;
use std::time::Duration;

use anyhow::bail;
use timedisk_config::format_size;
use timedisk_initiator::scsi::Capacity;

use super::options::{Access, BenchOptions};

/// Units that --verify keeps track of at most: 128 MiB of bits.
const MOST_TRACKED: u64 = 1 << 30;

/// Reads of 100 commands, where both are done.
const READS_OF_100: u64 = 70;

/// The work of a run. A unit is what one command moves.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) lun: u16,
    pub(crate) access: Access,
    pub(crate) is_sequential: bool,
    pub(crate) fua: bool,
    /// With --verify: the number that the pattern is made of.
    pub(crate) seed: Option<u64>,
    pub(crate) time: Duration,
    /// Connections of all sessions together.
    pub(crate) workers: u64,
    /// Bytes of a unit.
    pub(crate) unit_bytes: u32,
    /// Blocks of a unit.
    pub(crate) unit_blocks: u32,
    /// Units of the span.
    pub(crate) units: u64,
}

impl Plan {
    pub(crate) fn new(options: &BenchOptions, lun: u16, capacity: Capacity) -> anyhow::Result<Plan> {
        if options.qd < options.connections {
            bail!("--qd {} is too few for {} connections", options.qd, options.connections);
        }
        let (bytes, block) = (options.bs, capacity.block_length);
        if !bytes.is_multiple_of(block) {
            bail!("--bs {bytes} does not fit: the disk's blocks have {block} bytes");
        }
        let span = options.span.unwrap_or(capacity.bytes());
        if span > capacity.bytes() {
            bail!("--span {span} is more than the disk has ({} bytes)", capacity.bytes());
        }
        let units = span / u64::from(bytes);
        let workers = u64::from(options.sessions) * u64::from(options.connections);
        let has_parts = options.seq || options.verify;
        if units == 0 || has_parts && units < workers {
            bail!("{span} bytes are too few for {workers} connections with commands of {bytes} bytes");
        }
        if options.verify && units > MOST_TRACKED {
            bail!("--verify keeps track of {MOST_TRACKED} blocks at most: give --span or a larger --bs");
        }
        if options.verify && options.rw == Access::Read && options.span.is_none() {
            bail!(
                "--verify with --rw read writes the whole span first: say with --span how much of the disk"
            );
        }
        let seed = if options.verify { Some(getrandom::u64()?) } else { None };
        Ok(Plan {
            lun,
            access: options.rw,
            is_sequential: options.seq,
            fua: options.fua,
            seed,
            time: options.time,
            workers,
            unit_bytes: bytes,
            unit_blocks: bytes / block,
            units,
        })
    }

    /// Whether anything is written.
    pub(crate) fn overwrites(&self) -> bool {
        self.access != Access::Read || self.seed.is_some()
    }

    /// What is overwritten.
    pub(crate) fn place_in_words(&self) -> String {
        format!("the first {}", format_size(self.units * u64::from(self.unit_bytes)))
    }

    /// The units of a connection: its own part, where connections have parts.
    pub(crate) fn part(&self, number: usize) -> Range<u64> {
        if !self.is_sequential && self.seed.is_none() {
            return 0..self.units;
        }
        let bound = |number: u64| {
            let bound = u128::from(self.units) * u128::from(number) / u128::from(self.workers.max(1));
            u64::try_from(bound).unwrap_or(self.units)
        };
        let number = number as u64;
        bound(number)..bound(number + 1)
    }
}

/// What a command does with which unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) is_write: bool,
    pub(crate) unit: u64,
}

/// One step after the other, without end.
#[derive(Clone, Debug)]
pub(crate) struct Steps {
    access: Access,
    is_sequential: bool,
    part: Range<u64>,
    next: u64,
    random: u64,
}

impl Steps {
    pub(crate) fn new(plan: &Plan, number: usize, seed: u64) -> Steps {
        let part = plan.part(number);
        let (access, is_sequential) = (plan.access, plan.is_sequential);
        // Zero would stay zero.
        Steps { access, is_sequential, next: part.start, part, random: seed | 1 }
    }

    /// xorshift64.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// A number below a bound.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.random()) * u128::from(bound)) >> 64) as u64
    }

    pub(crate) fn next(&mut self) -> Step {
        let unit = if self.is_sequential {
            let unit = self.next;
            self.next = if unit + 1 < self.part.end { unit + 1 } else { self.part.start };
            unit
        } else {
            let count = self.part.end - self.part.start;
            self.part.start + self.below(count)
        };
        let is_write = match self.access {
            Access::Read => false,
            Access::Write => true,
            Access::Mixed => self.below(100) >= READS_OF_100,
        };
        Step { is_write, unit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(units: u64, workers: u64, access: Access, is_sequential: bool) -> Plan {
        Plan {
            lun: 0,
            access,
            is_sequential,
            fua: false,
            seed: None,
            time: Duration::from_secs(1),
            workers,
            unit_bytes: 4096,
            unit_blocks: 8,
            units,
        }
    }

    #[test]
    fn the_parts_of_sessions_make_the_whole_without_overlap() {
        let plan = plan(1001, 7, Access::Read, true);
        let mut end = 0;
        for number in 0..7 {
            let part = plan.part(number);
            assert_eq!(part.start, end);
            assert!((143..=144).contains(&(part.end - part.start)));
            end = part.end;
        }
        assert_eq!(end, 1001);
    }

    #[test]
    fn a_sequence_goes_round_its_part() {
        let mut steps = Steps::new(&plan(10, 2, Access::Write, true), 1, 9);
        let units: Vec<u64> = (0..7).map(|_| steps.next().unit).collect();
        assert_eq!(units, [5, 6, 7, 8, 9, 5, 6]);
    }

    #[test]
    fn random_steps_reach_every_unit_and_mixed_ones_are_seven_tenths_reads() {
        let mut steps = Steps::new(&plan(16, 1, Access::Mixed, false), 0, 0);
        let (mut seen, mut writes) = ([0; 16], 0);
        for _ in 0..10_000 {
            let step = steps.next();
            seen[step.unit as usize] += 1;
            writes += u32::from(step.is_write);
        }
        assert!(seen.iter().all(|count| (400..900).contains(count)), "{seen:?}");
        assert!((2800..3200).contains(&writes), "{writes}");
    }
}
