//! One session's closed loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use timedisk_initiator::connection::PATIENCE;
use timedisk_initiator::{Completion, Connection, Payload, Sink, Tag, scsi};

use super::is_stopped;
use super::pattern;
use super::plan::{Plan, Step, Steps};
use super::tally::Tally;

/// How often it is looked for commands that were forgotten.
const ROUND: Duration = Duration::from_secs(1);

/// How long other connections of a session are waited for, before the window is looked at again, and how many
/// such waits there are before a look at the socket.
const OTHERS: Duration = Duration::from_micros(100);
const LISTEN_EVERY: u32 = 100;

/// Unit attentions that a run may meet, each of which costs a command another try.
const MOST_ATTENTIONS: u32 = 1000;

/// What a session has come to.
pub(crate) struct Measured {
    pub(crate) tally: Tally,
    /// Up to the last command that counts.
    pub(crate) time: Duration,
    pub(crate) failure: Option<String>,
}

/// Where the steps come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Every unit of the part is written once.
    Fill(u64),
    /// The measured one.
    Main,
    /// Every unit that was written is read once.
    ReadBack(u64),
}

/// A command under way.
#[derive(Clone, Debug)]
struct Flight {
    is_busy: bool,
    issued: Duration,
    step: Step,
    buffer: Option<Arc<[u8]>>,
}

/// One session with its work.
pub(crate) struct Worker<'a> {
    connection: Connection,
    plan: &'a Plan,
    number: usize,
    stop: &'a AtomicBool,
    began: Instant,
    steps: Steps,
    /// By the place of the command's tag.
    flights: Vec<Flight>,
    tally: Tally,
    /// What is written without --verify.
    data: Payload,
    /// Buffers for what is written with --verify.
    buffers: Vec<Arc<[u8]>>,
    written: Vec<u64>,
    damage: Option<u64>,
    attentions: u32,
    again: Vec<Step>,
    waits: u32,
    next_round: Duration,
    last_sign: Duration,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(
        connection: Connection,
        plan: &'a Plan,
        number: usize,
        stop: &'a AtomicBool,
    ) -> anyhow::Result<Self> {
        let random = getrandom::u64()?;
        let mut bytes = vec![0; if plan.overwrites() { plan.unit_bytes as usize } else { 0 }];
        // Not zeros, which a server may treat as nothing.
        pattern::fill(random, 0, &mut bytes);
        let bytes: Arc<[u8]> = bytes.into();
        let part = plan.part(number);
        let tracked = if plan.seed.is_some() { (part.end - part.start).div_ceil(64) as usize } else { 0 };
        let idle = Flight {
            is_busy: false,
            issued: Duration::ZERO,
            step: Step { is_write: false, unit: 0 },
            buffer: None,
        };
        Ok(Worker {
            flights: vec![idle; connection.session().depth()],
            connection,
            plan,
            number,
            stop,
            began: Instant::now(),
            steps: Steps::new(plan, number, random),
            tally: Tally::new()?,
            data: Payload::new(&bytes, 0..bytes.len()).unwrap_or_default(),
            buffers: Vec::new(),
            written: vec![0; tracked],
            damage: None,
            attentions: 0,
            again: Vec::new(),
            waits: 0,
            next_round: ROUND,
            last_sign: Duration::ZERO,
        })
    }

    /// What has to be written before the time begins.
    pub(crate) fn prepare(&mut self) -> Result<(), String> {
        let part = self.plan.part(self.number);
        match (self.plan.seed, self.plan.access) {
            (Some(_), super::options::Access::Read) => self.drive(Phase::Fill(part.start), None).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// What is measured. Gives the time up to the last command that counts.
    pub(crate) fn run(&mut self) -> Result<Duration, String> {
        self.tally = Tally::new().map_err(|error| format!("{error:#}"))?;
        self.drive(Phase::Main, Some(self.plan.time))
    }

    /// What is read back afterwards.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        if self.plan.seed.is_none() || self.plan.access != super::options::Access::Write {
            return Ok(());
        }
        let (start, tally) = (self.plan.part(self.number).start, self.tally.clone());
        let result = self.drive(Phase::ReadBack(start), None);
        self.tally = tally;
        result?;
        match is_stopped(self.stop) {
            true => Err(self.failed("it was stopped before all that was written was read back")),
            false => Ok(()),
        }
    }

    /// Ends the run of all connections.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Logs out.
    pub(crate) fn finish(self, time: Duration, failure: Option<String>) -> Measured {
        if failure.is_none() {
            // Whether it is answered or not: all is measured.
            let _ = self.connection.close();
        }
        Measured { tally: self.tally, time, failure }
    }

    fn failed(&self, what: impl std::fmt::Display) -> String {
        match self.plan.workers {
            1 => what.to_string(),
            _ => format!("connection {}: {what}", self.number + 1),
        }
    }

    /// Keeps commands under way until the phase has no more of them, or the time is up, and waits for the
    /// last ones.
    fn drive(&mut self, mut phase: Phase, limit: Option<Duration>) -> Result<Duration, String> {
        self.began = Instant::now();
        let (mut now, mut last) = (Duration::ZERO, Duration::ZERO);
        (self.next_round, self.last_sign) = (ROUND, Duration::ZERO);
        let (mut is_over, mut counts) = (false, true);
        loop {
            while !is_over && self.connection.session().can_submit() {
                match self.next_step(&mut phase) {
                    Some(step) => self.submit(step, now),
                    None => is_over = true,
                }
            }
            if is_over && self.connection.session().in_flight() == 0 {
                return Ok(if last.is_zero() { now } else { last });
            }
            if self.receive()? {
                self.last_sign = now;
            }
            now = self.began.elapsed();
            counts &= limit.is_none_or(|limit| now <= limit);
            is_over |= !counts || is_stopped(self.stop);
            while let Some(completion) = self.connection.session_mut().next_completion() {
                self.complete(&completion, now, counts)?;
                if counts {
                    last = now;
                }
            }
            if now >= self.next_round {
                self.look_for_the_forgotten(now)?;
            }
        }
    }

    fn receive(&mut self) -> Result<bool, String> {
        if self.plan.workers > 1 && self.must_wait_for_others() {
            std::thread::sleep(OTHERS);
            return Ok(false);
        }
        let arrived = match self.plan.seed {
            None => self.connection.step(&mut ()),
            Some(seed) => {
                let unit_bytes = u64::from(self.plan.unit_bytes);
                let mut check = Check { seed, unit_bytes, flights: &self.flights, damage: &mut self.damage };
                self.connection.step(&mut check)
            }
        };
        let arrived = arrived.map_err(|error| self.failed(error))?;
        match self.damage {
            None => Ok(arrived),
            Some(address) => Err(self.failed(format!(
                "--verify: byte {address} of the disk was read and is not as it was written"
            ))),
        }
    }

    /// Whether other connections of the session have filled its window, while this one has nothing to wait
    /// for. Every now and then it listens all the same: the target may open the window here.
    fn must_wait_for_others(&mut self) -> bool {
        let session = self.connection.session();
        let is_shut_out = session.in_flight() == 0
            && session.parameters().max_connections > 1
            && !session.wants_to_send()
            && !session.window().is_open();
        self.waits = if is_shut_out { self.waits + 1 } else { 0 };
        is_shut_out && !self.waits.is_multiple_of(LISTEN_EVERY)
    }

    fn next_step(&mut self, phase: &mut Phase) -> Option<Step> {
        if let Some(step) = self.again.pop() {
            return Some(step);
        }
        let part = self.plan.part(self.number);
        match phase {
            Phase::Fill(next) => {
                let unit = *next;
                *next += 1;
                (unit < part.end).then_some(Step { is_write: true, unit })
            }
            Phase::ReadBack(next) => {
                let unit = (*next..part.end).find(|unit| self.is_written(*unit))?;
                *next = unit + 1;
                Some(Step { is_write: false, unit })
            }
            Phase::Main => {
                let mut step = self.steps.next();
                step.is_write |= self.plan.seed.is_some() && !self.is_written(step.unit);
                Some(step)
            }
        }
    }

    fn submit(&mut self, step: Step, now: Duration) {
        let plan = self.plan;
        let address = step.unit * u64::from(plan.unit_blocks);
        let mut buffer = None;
        let command = if step.is_write {
            let data = match plan.seed {
                None => self.data.clone(),
                Some(seed) => {
                    let made = self.made(seed, step.unit);
                    let data = Payload::new(&made, 0..made.len()).unwrap_or_default();
                    buffer = Some(made);
                    data
                }
            };
            scsi::write(plan.lun, address, plan.unit_blocks, data, plan.fua)
        } else {
            scsi::read(plan.lun, address, plan.unit_blocks, plan.unit_bytes)
        };
        match self.connection.session_mut().submit(command) {
            Some(tag) => {
                if let Some(flight) = self.flights.get_mut(tag.index()) {
                    *flight = Flight { is_busy: true, issued: now, step, buffer };
                }
            }
            // Another connection of the session was faster, and has closed the window.
            None => {
                self.buffers.extend(buffer);
                self.again.push(step);
            }
        }
    }

    /// A buffer with what belongs into a unit.
    fn made(&mut self, seed: u64, unit: u64) -> Arc<[u8]> {
        let length = self.plan.unit_bytes as usize;
        let mut buffer = self.buffers.pop().unwrap_or_else(|| vec![0; length].into());
        if Arc::get_mut(&mut buffer).is_none() {
            // The target has ended the command before it took all data, and they are still to be sent.
            buffer = vec![0; length].into();
        }
        if let Some(bytes) = Arc::get_mut(&mut buffer) {
            pattern::fill(seed, unit * u64::from(self.plan.unit_bytes), bytes);
        }
        buffer
    }

    fn complete(&mut self, completion: &Completion, now: Duration, counts: bool) -> Result<(), String> {
        let Some(flight) = self.flights.get_mut(completion.tag.index()) else { return Ok(()) };
        flight.is_busy = false;
        let (step, issued) = (flight.step, flight.issued);
        self.buffers.extend(flight.buffer.take());
        let outcome = &completion.outcome;
        if outcome.is_good() && outcome.moved == self.plan.unit_bytes {
            if counts {
                self.tally.count(step.is_write, now.saturating_sub(issued));
            } else {
                self.tally.late += 1;
            }
            if step.is_write && self.plan.seed.is_some() {
                self.mark_written(step.unit);
            }
            return Ok(());
        }
        if outcome.sense.is_some_and(|sense| sense.is_unit_attention()) && self.attentions < MOST_ATTENTIONS {
            self.attentions += 1;
            self.again.push(step);
            return Ok(());
        }
        let verb = if step.is_write { "writing" } else { "reading" };
        let block = step.unit * u64::from(self.plan.unit_blocks);
        let what = format!("{verb} {} blocks at block {block}", self.plan.unit_blocks);
        Err(self.failed(match outcome.is_good() {
            true => format!(
                "{what} ended with GOOD after {} of {} bytes: data are missing",
                outcome.moved, self.plan.unit_bytes
            ),
            false => format!("{what} failed: {outcome}"),
        }))
    }

    /// A command that is not answered ends the run.
    fn look_for_the_forgotten(&mut self, now: Duration) -> Result<(), String> {
        self.next_round = now + ROUND;
        let oldest = self.flights.iter().filter(|flight| flight.is_busy).map(|flight| flight.issued).min();
        if oldest.is_some_and(|issued| now.saturating_sub(issued) > PATIENCE) {
            let count = self.connection.session().in_flight();
            let seconds = PATIENCE.as_secs();
            return Err(self.failed(format!(
                "a command has had no answer for {seconds} s, {count} are under way: does the disk hang?"
            )));
        }
        if oldest.is_none() && now.saturating_sub(self.last_sign) > PATIENCE {
            return Err(self.failed("the target takes no command: its command window stays closed"));
        }
        Ok(())
    }

    fn place_of(&self, unit: u64) -> (usize, u64) {
        let index = unit - self.plan.part(self.number).start;
        ((index / 64) as usize, 1 << (index % 64))
    }

    fn is_written(&self, unit: u64) -> bool {
        let (index, bit) = self.place_of(unit);
        self.written.get(index).is_some_and(|bits| bits & bit != 0)
    }

    fn mark_written(&mut self, unit: u64) {
        let (index, bit) = self.place_of(unit);
        if let Some(bits) = self.written.get_mut(index) {
            *bits |= bit;
        }
    }
}

/// Compares what is read with what was written.
struct Check<'a> {
    seed: u64,
    unit_bytes: u64,
    flights: &'a [Flight],
    damage: &'a mut Option<u64>,
}

impl Sink for Check<'_> {
    fn data(&mut self, tag: Tag, offset: u32, bytes: &[u8]) {
        let Some(flight) = self.flights.get(tag.index()) else { return };
        let address = flight.step.unit * self.unit_bytes + u64::from(offset);
        if let Some(found) = pattern::first_difference(self.seed, address, bytes) {
            self.damage.get_or_insert(found);
        }
    }
}
