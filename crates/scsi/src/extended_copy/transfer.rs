//! Bytes on their way from one logical unit to another, a step at a time.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use timedisk_volume::{Allocation, Durability, Volume};

use super::rod::Rod;
use crate::LogicalUnit;
use crate::access_states::Reach;
use crate::flush_debt::Owed;
use crate::limits::CHUNK;
use crate::overlap::Turn;
use crate::reservations::Admission;
use crate::running::{Outcome, Patience, Running, Stop};
use crate::sense::{BECOMING_READY, COPY_CANCELLED, THIRD_PARTY_DEVICE_FAILURE};

/// Bytes that the system copies in one step, at most.
const DIRECT_STEP: u64 = 8 << 20;

/// Where bytes begin on a logical unit.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) unit: Arc<LogicalUnit>,
    /// In bytes.
    pub(super) offset: u64,
}

impl Place {
    /// So many bytes further on.
    pub(super) fn after(&self, bytes: u64) -> Place {
        Place { unit: Arc::clone(&self.unit), offset: self.offset + bytes }
    }
}

/// All that one command copies. What it has written may have to last: so it is brought to its end.
#[must_use]
pub(super) struct Transfer<'a, 'b> {
    command: &'a Running<'b>,
    /// What logical units were mounted on when the command came to them, and stay mounted on until it has ended.
    mounted: Vec<Mounted>,
    buffer: Vec<u8>,
    /// Bytes.
    written: u64,
    /// Set by COPY OPERATION ABORT.
    cancel: Option<&'a AtomicBool>,
    /// What is copied, if it is to be as it was.
    rod: Option<Arc<Rod>>,
}

#[derive(Debug)]
struct Mounted {
    unit: Arc<LogicalUnit>,
    owed: Owed,
    is_written: bool,
}

impl<'a, 'b> Transfer<'a, 'b> {
    pub(super) fn new(command: &'a Running<'b>) -> Self {
        Transfer { command, mounted: Vec::new(), buffer: Vec::new(), written: 0, cancel: None, rod: None }
    }

    /// The same, until this is set.
    pub(super) fn until(self, cancel: &'a AtomicBool) -> Self {
        Transfer { cancel: Some(cancel), ..self }
    }

    /// Bytes that were written so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Copies bytes as long as they are as they were when a token was made for them.
    pub(super) fn copy_of(&mut self, rod: &Arc<Rod>, from: &Place, to: &Place, bytes: u64) -> Outcome {
        self.rod = Some(Arc::clone(rod));
        let outcome = self.copy(from, to, bytes);
        self.rod = None;
        outcome
    }

    /// Copies bytes; what overlaps is moved as a whole.
    pub(super) fn copy(&mut self, from: &Place, to: &Place, bytes: u64) -> Outcome {
        self.buffer.resize(CHUNK, 0);
        // Whoever may not do this is told so even if there is nothing to do.
        self.check(&from.unit, Admission::Looks)?;
        self.check(&to.unit, Admission::Never)?;
        if Arc::ptr_eq(&from.unit, &to.unit) && from.offset < to.offset {
            return self.copy_backwards(from, to, bytes);
        }
        let (mut done, mut directly) = (0, true);
        while done < bytes {
            let (from, to, left) = (from.after(done), to.after(done), bytes - done);
            let at_once = if directly { self.copy_directly(&from, &to, left.min(DIRECT_STEP))? } else { 0 };
            directly &= at_once > 0;
            done += match at_once {
                0 => {
                    let length = left.min(CHUNK as u64);
                    self.step(&from, &to, length as usize)?;
                    length
                }
                at_once => at_once,
            };
        }
        Ok(())
    }

    /// From the end, so that nothing is written over before it was read.
    fn copy_backwards(&mut self, from: &Place, to: &Place, bytes: u64) -> Outcome {
        let mut left = bytes;
        while left > 0 {
            let length = left.min(CHUNK as u64);
            left -= length;
            self.step(&from.after(left), &to.after(left), length as usize)?;
        }
        Ok(())
    }

    /// Lets the system copy, as many bytes as it does at once, without taking them through memory here; 0 where it
    /// doesn't. A hole stays one.
    fn copy_directly(&mut self, from: &Place, to: &Place, length: u64) -> Result<u64, Stop> {
        let _turns = both_turns(from, to, length);
        let source = self.check(&from.unit, Admission::Looks)?;
        let volume = self.check(&to.unit, Admission::Never)?;
        let mapping = source.mapping(from.offset)?;
        let length = length.min(mapping.length);
        to.unit.rods().revoke(blocks(to, length));
        let copied = if mapping.allocated {
            let Some(lent) = source.lend(from.offset, length)? else { return Ok(0) };
            volume.copy_from(&lent, to.offset)?
        } else {
            volume.write_zeroes(to.offset, length, Allocation::Release, Durability::Volatile)?;
            length
        };
        self.check_rod(&source)?;
        self.written += copied;
        Ok(copied)
    }

    /// Whether what was read is still what a token stands for: whoever changes it says so before.
    fn check_rod(&self, volume: &Arc<dyn Volume>) -> Outcome {
        match self.rod.as_ref().and_then(|rod| rod.invalidity_on(volume)) {
            Some(condition) => Err(condition.into()),
            None => Ok(()),
        }
    }

    /// Copies one step; a hole stays one. Each end is held for itself: who holds both could wait for who wants both.
    fn step(&mut self, from: &Place, to: &Place, length: usize) -> Outcome {
        let mut buffer = std::mem::take(&mut self.buffer);
        let part = buffer.get_mut(..length).unwrap_or_default();
        let is_hole = self.read(from, part);
        let outcome = match is_hole {
            Ok(true) => self.write_zeros(to, length as u64),
            Ok(false) => self.write(to, part),
            Err(stop) => Err(stop),
        };
        self.buffer = buffer;
        outcome
    }

    /// Whether it is all a hole; if not, the buffer has it.
    fn read(&mut self, from: &Place, buffer: &mut [u8]) -> Result<bool, Stop> {
        let length = buffer.len() as u64;
        let _turn = turn(from, length);
        let volume = self.check(&from.unit, Admission::Looks)?;
        let mapping = volume.mapping(from.offset)?;
        let is_hole = !mapping.allocated && mapping.length >= length;
        if !is_hole {
            volume.read(from.offset, buffer)?;
        }
        self.check_rod(&volume)?;
        Ok(is_hole)
    }

    fn write(&mut self, to: &Place, data: &[u8]) -> Outcome {
        let _turn = turn(to, data.len() as u64);
        let volume = self.check(&to.unit, Admission::Never)?;
        to.unit.rods().revoke(blocks(to, data.len() as u64));
        volume.write(to.offset, data, Durability::Volatile)?;
        self.written += data.len() as u64;
        Ok(())
    }

    /// Writes zeros, which become a hole.
    pub(super) fn write_zeros(&mut self, to: &Place, length: u64) -> Outcome {
        if length == 0 {
            return Ok(());
        }
        let _turn = turn(to, length);
        let volume = self.check(&to.unit, Admission::Never)?;
        to.unit.rods().revoke(blocks(to, length));
        volume.write_zeroes(to.offset, length, Allocation::Release, Durability::Volatile)?;
        self.written += length;
        Ok(())
    }

    /// The volume that the copy is at, as long as it may go on: whoever is preempted or aborted meanwhile goes no
    /// further.
    fn check(&mut self, unit: &Arc<LogicalUnit>, admission: Admission) -> Result<Arc<dyn Volume>, Stop> {
        if self.command.is_recalled() {
            // If anybody is still to hear of it, it was ended at its other end.
            return Err((&THIRD_PARTY_DEVICE_FAILURE).into());
        }
        unit.access_states().check(self.command.server.portal_group_tag(), Reach::Active)?;
        if self.cancel.is_some_and(|cancel| cancel.load(Ordering::Acquire)) {
            return Err((&COPY_CANCELLED).into());
        }
        unit.reservations().check(self.command.nexus, admission)?;
        let writes = admission == Admission::Never;
        if let Some(condition) = unit.write_protection().filter(|_| writes) {
            return Err(condition.into());
        }
        if let Some(sense) = unit.overhaul().sense() {
            return Err(sense.into());
        }
        let volume = unit.volume()?;
        let mounted = self.mounted(unit, &volume);
        mounted.is_written |= writes;
        match Arc::ptr_eq(mounted.owed.volume(), &volume) {
            true => Ok(volume),
            false => Err((&BECOMING_READY).into()),
        }
    }

    fn mounted(&mut self, unit: &Arc<LogicalUnit>, volume: &Arc<dyn Volume>) -> &mut Mounted {
        let known = self.mounted.iter().position(|mounted| Arc::ptr_eq(&mounted.unit, unit));
        let at = known.unwrap_or(self.mounted.len());
        if known.is_none() {
            let owed = Owed::new(Arc::clone(volume));
            self.mounted.push(Mounted { unit: Arc::clone(unit), owed, is_written: false });
        }
        &mut self.mounted[at]
    }

    /// Makes last what is promised to, whatever has become of the rest.
    pub(super) fn end(self, copied: Outcome) -> Outcome {
        let is_promised =
            |mounted: &&Mounted| mounted.is_written && mounted.unit.durability(false) == Durability::Durable;
        let pay = |mounted: &Mounted| mounted.owed.pay().map_err(|kind| Stop::Sense(kind.into()));
        let paid: Vec<Outcome> = self.mounted.iter().filter(is_promised).map(pay).collect();
        copied.and(paid.into_iter().collect())
    }
}

fn blocks(place: &Place, length: u64) -> Range<u64> {
    let block_length = place.unit.block_length();
    place.offset / block_length..(place.offset + length).div_ceil(block_length)
}

fn turn(place: &Place, length: u64) -> Option<Turn<'_>> {
    place.unit.overlap().share(blocks(place, length), Patience::MayWait)
}

/// The right to be at both ends. Everybody comes to two logical units in the same order, so that nobody waits for
/// somebody who waits for him; and at one, both ends are one range.
fn both_turns<'a>(from: &'a Place, to: &'a Place, length: u64) -> [Option<Turn<'a>>; 2] {
    if Arc::ptr_eq(&from.unit, &to.unit) {
        let (first, second) = if from.offset < to.offset { (from, to) } else { (to, from) };
        return [turn(first, second.offset + length - first.offset), None];
    }
    match Arc::as_ptr(&from.unit) < Arc::as_ptr(&to.unit) {
        true => [turn(from, length), turn(to, length)],
        false => [turn(to, length), turn(from, length)],
    }
}
