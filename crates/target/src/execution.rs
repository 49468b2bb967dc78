//! Where commands that may wait for a disk are carried out: on threads of that disk's own, so that one
//! stuck disk holds up nobody but its own users.
//!
//! A command that nobody waits for any more (aborted, or its session is gone) can't be taken back once it
//! runs. Until it ends nothing else starts on its disk: whatever comes later can rely on not being overtaken by it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use timedisk_iscsi::full_feature::{Cdb, Command, Outcome, TaskId};
use timedisk_scsi::{Completion, DeviceServer, LogicalUnit, NexusId};

use crate::control::{Control, Message};
use crate::memory::Buffer;

/// Threads that one disk may have at once.
const THREADS: usize = 16;

/// A thread that had nothing to do for so long ends.
const IDLE: Duration = Duration::from_secs(10);

/// How often the log repeats that a disk is in trouble.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Sense keys (SPC-4 4.5.6) and an additional sense code that concern the administrator too.
const MEDIUM_ERROR: u8 = 0x03;
const HARDWARE_ERROR: u8 = 0x04;
const SPACE_ALLOCATION_FAILED: [u8; 2] = [0x27, 0x07];

/// A command on its way to a disk.
pub(crate) struct Job {
    pub(crate) server: Arc<DeviceServer>,
    pub(crate) nexus: NexusId,
    pub(crate) command: Command<Buffer>,
    pub(crate) reply: Arc<Control>,
}

/// Carries out the commands of one disk.
pub(crate) struct Executor {
    name: RwLock<String>,
    unit: Arc<LogicalUnit>,
    state: Mutex<State>,
    /// A job was queued, or the last abandoned command has ended.
    work: Condvar,
    /// Nothing runs and nothing is queued.
    rest: Condvar,
    abandoned: AtomicUsize,
    complained: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    running: Vec<Running>,
    threads: usize,
    idle: usize,
}

struct Running {
    nexus: NexusId,
    id: TaskId,
    abandoned: bool,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Executor").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Executor {
    pub(crate) fn new(name: String, unit: Arc<LogicalUnit>) -> Arc<Self> {
        Arc::new(Executor {
            name: RwLock::new(name),
            unit,
            state: Mutex::default(),
            work: Condvar::new(),
            rest: Condvar::new(),
            abandoned: AtomicUsize::new(0),
            complained: Mutex::new(None),
        })
    }

    pub(crate) fn unit(&self) -> &Arc<LogicalUnit> {
        &self.unit
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> String {
        self.name.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn rename(&self, name: &str) {
        *self.name.write().unwrap_or_else(PoisonError::into_inner) = name.to_owned();
    }

    /// Commands that run or are queued.
    pub(crate) fn in_flight(&self) -> usize {
        let state = self.state();
        state.queue.len() + state.running.len()
    }

    /// Whether an abandoned command still runs.
    pub(crate) fn has_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire) > 0
    }

    /// Queues a command; its outcome is posted. One of a session whose place was taken is dropped.
    pub(crate) fn submit(self: &Arc<Self>, job: Job) {
        let mut state = self.state();
        if job.reply.is_replaced() {
            return;
        }
        state.queue.push_back(job);
        if state.queue.len() <= state.idle || state.threads >= THREADS {
            drop(state);
            self.work.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        let executor = Arc::clone(self);
        let name = format!("disk {}", self.name());
        let spawned = std::thread::Builder::new().name(name).spawn(move || executor.work());
        if let Err(error) = spawned {
            let mut state = self.state();
            state.threads -= 1;
            if state.threads == 0 {
                tracing::error!("no thread for the disk {}: {error}", self.name());
                state.queue.drain(..).for_each(|job| job.answer(busy()));
                self.rest.notify_all();
            }
        }
    }

    /// Nobody waits for this command any more.
    pub(crate) fn abandon(&self, nexus: NexusId, id: TaskId) {
        self.abandon_where(|job_nexus, job_id| (job_nexus, job_id) == (nexus, id));
    }

    /// Nobody waits for any command of this nexus any more.
    pub(crate) fn abandon_nexus(&self, nexus: NexusId) {
        self.abandon_where(|job_nexus, _| job_nexus == nexus);
    }

    fn abandon_where(&self, matches: impl Fn(NexusId, TaskId) -> bool) {
        let mut state = self.state();
        state.queue.retain(|job| !matches(job.nexus, job.command.id));
        if state.queue.is_empty() && state.running.is_empty() {
            self.rest.notify_all();
        }
        for running in state.running.iter_mut().filter(|running| matches(running.nexus, running.id)) {
            if !running.abandoned {
                running.abandoned = true;
                self.abandoned.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    /// Waits until nothing runs and nothing is queued, but not past `deadline`.
    pub(crate) fn wait_for_rest(&self, deadline: Instant) -> bool {
        let mut state = self.state();
        while !(state.queue.is_empty() && state.running.is_empty()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.rest.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn work(self: Arc<Self>) {
        while let Some(job) = self.next_job() {
            let (nexus, id) = (job.nexus, job.command.id);
            let (reply, outcome) = job.carry_out();
            self.complain(&outcome.sense);
            if !self.end(nexus, id) {
                reply.post(Message::Completed(id, Box::new(outcome)));
            }
        }
    }

    /// Tells the administrator of a disk that fails or is full; once in a while, not for each command.
    fn complain(&self, sense: &[u8]) {
        let (key, code) = (sense.get(2).map(|byte| byte & 0x0f), sense.get(12..14));
        if !(matches!(key, Some(MEDIUM_ERROR | HARDWARE_ERROR)) || code == Some(&SPACE_ALLOCATION_FAILED)) {
            return;
        }
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|before| before.elapsed() >= COMPLAIN_EVERY) {
            *complained = Some(Instant::now());
            let words = timedisk_scsi::describe_sense(sense).unwrap_or("an error");
            tracing::error!("the disk {}: a client was told: {words}", self.name());
        }
    }

    fn next_job(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if !self.has_abandoned()
                && let Some(job) = state.queue.pop_front()
            {
                state.running.push(Running { nexus: job.nexus, id: job.command.id, abandoned: false });
                return Some(job);
            }
            state.idle += 1;
            let (after, timeout) =
                self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = after;
            state.idle -= 1;
            if timeout.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return None;
            }
        }
    }

    /// Takes a command off the books and says whether it was abandoned.
    fn end(&self, nexus: NexusId, id: TaskId) -> bool {
        let mut state = self.state();
        let position = state.running.iter().position(|running| (running.nexus, running.id) == (nexus, id));
        let abandoned = position.is_some_and(|position| state.running.swap_remove(position).abandoned);
        if abandoned && self.abandoned.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.work.notify_all();
        }
        if state.queue.is_empty() && state.running.is_empty() {
            self.rest.notify_all();
        }
        abandoned
    }
}

impl Job {
    fn carry_out(self) -> (Arc<Control>, Outcome<Buffer>) {
        let Job { server, nexus, mut command, reply } = self;
        let outcome = catch_unwind(AssertUnwindSafe(|| execute(&server, nexus, &mut command)));
        let outcome = outcome.unwrap_or_else(|_| {
            tracing::error!(
                "a defect ended the command {:02X}h",
                command.cdb.bytes().first().copied().unwrap_or(0)
            );
            internal_failure()
        });
        (reply, outcome)
    }

    fn answer(self, outcome: Outcome<Buffer>) {
        self.reply.post(Message::Completed(self.command.id, Box::new(outcome)));
    }
}

/// Carries out a command on this thread, whatever it waits for.
fn execute(server: &DeviceServer, nexus: NexusId, command: &mut Command<Buffer>) -> Outcome<Buffer> {
    let (cdb, data_out, data_in) = parts(&command.cdb, &command.data_out, &mut command.data_in);
    let completion = server.execute(nexus, command.lun, cdb, planned(command.plan), data_out, data_in);
    outcome(completion, command.data_in.take())
}

/// Carries out a command on this thread if it waits for nothing. `None`, with nothing done, if it may.
pub(crate) fn execute_now(
    server: &DeviceServer,
    nexus: NexusId,
    command: &mut Command<Buffer>,
) -> Option<Outcome<Buffer>> {
    let (cdb, data_out, data_in) = parts(&command.cdb, &command.data_out, &mut command.data_in);
    let completion = server.execute_now(nexus, command.lun, cdb, planned(command.plan), data_out, data_in)?;
    Some(outcome(completion, command.data_in.take()))
}

/// What was planned when the command came, as the device server has it.
fn planned(plan: timedisk_iscsi::full_feature::Plan) -> timedisk_scsi::Plan {
    timedisk_scsi::Plan { data_in: plan.data_in, data_out: plan.data_out, may_wait: true }
}

fn parts<'a>(
    cdb: &'a Cdb,
    data_out: &'a Option<(Buffer, usize)>,
    data_in: &'a mut Option<Buffer>,
) -> (&'a [u8], &'a [u8], &'a mut [u8]) {
    let out =
        data_out.as_ref().and_then(|(buffer, length)| buffer.as_ref().get(..*length)).unwrap_or_default();
    (cdb.bytes(), out, data_in.as_mut().map(|buffer| buffer.as_mut()).unwrap_or_default())
}

fn outcome(completion: Completion, data_in: Option<Buffer>) -> Outcome<Buffer> {
    if !completion.sense.is_empty() {
        let words = timedisk_scsi::describe_sense(&completion.sense).unwrap_or("unknown sense");
        tracing::debug!(target: "scsi", "CHECK CONDITION: {words}");
    }
    Outcome {
        status: completion.status as u8,
        sense: completion.sense,
        data_in_length: completion.data_in,
        data_out_length: completion.data_out,
        data_in,
    }
}

fn busy() -> Outcome<Buffer> {
    Outcome { status: 0x08, sense: Vec::new(), data_in_length: 0, data_out_length: 0, data_in: None }
}

/// HARDWARE ERROR, INTERNAL TARGET FAILURE (SPC-4 4.5.6).
pub(crate) fn internal_failure() -> Outcome<Buffer> {
    let sense = vec![0x70, 0, 0x04, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x44, 0, 0, 0, 0, 0];
    Outcome { status: 0x02, sense, data_in_length: 0, data_out_length: 0, data_in: None }
}
