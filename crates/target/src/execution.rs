//! Where commands are carried out that may wait for a disk: on the thread of their connection as long as the disk is
//! brisk, else on threads of that disk's own, so that one stuck disk holds up nobody but its own users.
//!
//! A command that nobody waits for any more (aborted, or its session is gone) can't be taken back once it
//! runs. Until it ends nothing else starts on its disk: whatever comes later can rely on not being overtaken by it.

mod overhaul;
mod task_set;
mod visit;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use timedisk_iscsi::full_feature::{Attribute, Outcome, TaskId};
use timedisk_scsi::{LogicalUnit, NexusId, Wait};

use crate::control::{Control, Ended};
use crate::job::{Job, Round};
use crate::memory::Buffer;
use crate::pace::Pace;
pub(crate) use visit::Errand;

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

/// Carries out the commands of one disk.
pub(crate) struct Executor {
    name: RwLock<String>,
    unit: Arc<LogicalUnit>,
    state: Mutex<State>,
    /// A job was queued, or the last abandoned command has ended.
    work: Condvar,
    /// Nothing runs and nothing is queued.
    rest: Condvar,
    /// As many wait for a flush as were expected.
    gathered: Condvar,
    abandoned: AtomicUsize,
    /// What [`State::marked`] says.
    marked: AtomicBool,
    pace: Pace,
    complained: Mutex<Option<Instant>>,
    /// A thread carries an overhaul on.
    overhauling: AtomicBool,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    running: Vec<Running>,
    threads: usize,
    idle: usize,
    /// How many wait until nothing runs and nothing is queued: mostly nobody, and waking nobody costs a system call.
    waiting_for_rest: usize,
    /// Some command that runs or is queued is ORDERED or HEAD OF QUEUE.
    marked: bool,
    /// A thread sees to those that wait for a flush. Others that come while it flushes go together when it has ended.
    flushing: bool,
    /// The thread that sees to flushes still waits for more to come.
    gathering: bool,
    /// A part of what goes on without a command is being done.
    at_overhaul: bool,
    /// How many may be waiting for the next flush soon: those that the last one was for, as far as their initiators
    /// go on in the same way, and those that waited already when it ended.
    expected: usize,
}

impl State {
    fn is_at_rest(&self) -> bool {
        self.queue.is_empty() && self.running.is_empty() && !self.at_overhaul
    }

    fn waiting_for_flush(&self) -> usize {
        self.queue.iter().filter(|job| job.wait == Wait::Flush).count()
    }

    /// How many threads the queue has work for: one is enough for all that wait for a flush.
    fn threads_of_use(&self) -> usize {
        let flushes = self.waiting_for_flush();
        self.queue.len() - flushes + usize::from(flushes > 0 && !self.flushing)
    }

    /// The place of the next job that can be carried out, and whether it waits for a flush.
    fn next(&self) -> Option<(usize, bool)> {
        let gate = self.gate();
        let mut queued = self.queue.iter().enumerate();
        let next = queued.find(|(place, job)| {
            let joins_a_flush = job.wait == Wait::Flush && self.flushing;
            !joins_a_flush && gate.lets_in(*place, job.command.attribute)
        });
        next.map(|(place, job)| (place, job.wait == Wait::Flush))
    }

    /// Takes all that waits for a flush and for nothing else.
    fn take_flushes(&mut self, jobs: &mut Vec<Job>) {
        let gate = self.gate();
        let (mut index, mut taken) = (0, 0);
        while let Some(job) = self.queue.get(index) {
            match job.wait == Wait::Flush && gate.lets_in(index + taken, job.command.attribute) {
                true => {
                    jobs.extend(self.queue.remove(index));
                    taken += 1;
                }
                false => index += 1,
            }
        }
    }
}

struct Running {
    nexus: NexusId,
    id: TaskId,
    attribute: Attribute,
    abandoned: bool,
    /// Whether nothing else starts before it ends, if it is abandoned.
    is_in_the_way: bool,
    /// Of a command that works at other disks too.
    errand: Option<Arc<Errand>>,
    /// It belongs to another disk.
    is_visit: bool,
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
            gathered: Condvar::new(),
            abandoned: AtomicUsize::new(0),
            marked: AtomicBool::new(false),
            pace: Pace::default(),
            complained: Mutex::new(None),
            overhauling: AtomicBool::new(false),
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

    /// Whether what comes now may have to wait for a command that was abandoned, or for one that is not SIMPLE.
    pub(crate) fn holds_back(&self) -> bool {
        self.has_abandoned() || self.marked.load(Ordering::Acquire)
    }

    /// Takes note of what was added or has gone, if any of it is or was not SIMPLE.
    fn note_marked(&self, state: &mut State) {
        let before = state.marked;
        self.marked.store(state.mark(), Ordering::Release);
        if before {
            // What waited for it may start now.
            self.work.notify_all();
        }
    }

    /// Whether an abandoned command still runs.
    fn has_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire) > 0
    }

    /// Queues a command; its outcome is posted. One of a session whose place was taken is dropped.
    pub(crate) fn submit(self: &Arc<Self>, job: Job) {
        let mut state = self.state();
        if job.reply.is_replaced() {
            return;
        }
        let attribute = job.command.attribute;
        state.queue.push_back(job);
        if attribute != Attribute::Simple {
            self.note_marked(&mut state);
        }
        self.summon(state);
    }

    /// Sees to it that a thread comes for what was queued.
    fn summon(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.gathering && state.waiting_for_flush() >= state.expected {
            self.gathered.notify_one();
        }
        let of_use = state.threads_of_use();
        if of_use == 0 {
            return;
        }
        if of_use <= state.idle || state.threads >= THREADS {
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
                self.note_marked(&mut state);
                self.tell_of_rest(&state);
            }
        }
    }

    /// Whether commands that wait like this come to an end so soon that another thread is not worth its while.
    pub(crate) fn is_brisk(&self, wait: Wait) -> bool {
        self.pace.is_brisk(wait)
    }

    /// A command took so long that the connection was taken from its thread.
    pub(crate) fn has_stumbled(&self) {
        self.pace.stumble();
    }

    /// Carries commands of one session out on this thread, and puts those that somebody waits for into `ended`. Behind
    /// what holds them back they are queued instead, and their outcomes are posted.
    pub(crate) fn run_here(self: &Arc<Self>, jobs: &mut Vec<Job>, round: &mut Round, ended: &mut Vec<Ended>) {
        let may_run = {
            let mut state = self.state();
            let may_run = !self.holds_back();
            jobs.retain(|job| !job.reply.is_replaced());
            if may_run {
                state.running.extend(jobs.iter().map(Running::new));
            }
            may_run
        };
        if !may_run {
            return jobs.drain(..).for_each(|job| self.submit(job));
        }
        round.carry_out(jobs, &self.pace);
        self.end(round, |_, task| ended.push(task));
    }

    /// Nobody waits for this command any more.
    pub(crate) fn abandon(&self, nexus: NexusId, id: TaskId) {
        self.abandon_where(|job| (job.nexus, job.id) == (nexus, id));
    }

    /// Nobody waits for any command of this nexus any more.
    pub(crate) fn abandon_nexus(&self, nexus: NexusId) {
        self.abandon_where(|job| job.nexus == nexus);
    }

    fn abandon_where(&self, matches: impl Fn(&Running) -> bool) {
        let mut state = self.state();
        state.queue.retain(|job| !matches(&Running::new(job)));
        if state.marked {
            self.note_marked(&mut state);
        }
        self.tell_of_rest(&state);
        let mut errands = Vec::new();
        for running in state.running.iter_mut().filter(|running| matches(running)) {
            if !running.abandoned {
                running.abandoned = true;
                self.abandoned.fetch_add(usize::from(running.is_in_the_way), Ordering::AcqRel);
                errands.extend(running.recall());
            }
        }
        drop(state);
        // Not before: nobody holds the states of two disks at once.
        errands.iter().for_each(|(errand, nexus, id)| errand.abandon(*nexus, *id));
    }

    fn tell_of_rest(&self, state: &State) {
        if state.waiting_for_rest > 0 && state.is_at_rest() {
            self.rest.notify_all();
        }
    }

    /// Waits until nothing runs and nothing is queued, but not past `deadline`.
    pub(crate) fn wait_for_rest(&self, deadline: Instant) -> bool {
        let mut state = self.state();
        while !state.is_at_rest() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state.waiting_for_rest += 1;
            state = self.rest.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting_for_rest -= 1;
        }
        true
    }

    fn work(self: Arc<Self>) {
        let (mut jobs, mut round, mut ended) = (Vec::new(), Round::default(), Vec::new());
        while self.next_jobs(&mut jobs) {
            let flushes = jobs.iter().any(|job| job.wait == Wait::Flush);
            let for_so_many = jobs.len();
            round.carry_out(&mut jobs, &self.pace);
            if flushes {
                let mut state = self.state();
                state.flushing = false;
                state.expected = for_so_many + state.waiting_for_flush();
            }
            let mut last: Option<Arc<Control>> = None;
            self.end(&mut round, |reply, task| {
                if let Some(last) = last.as_ref().filter(|last| !Arc::ptr_eq(last, &reply)) {
                    last.post_ended(&mut ended);
                }
                ended.push(task);
                last = Some(reply);
            });
            last.iter().for_each(|last| last.post_ended(&mut ended));
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

    /// What to do next. `false` if nothing is to be done any more.
    fn next_jobs(&self, jobs: &mut Vec<Job>) -> bool {
        let mut state = self.state();
        loop {
            match state.next().filter(|_| !self.has_abandoned()) {
                Some((_, true)) => state = self.gather(state, jobs),
                Some((next, false)) => jobs.extend(state.queue.remove(next)),
                None => {}
            }
            if !jobs.is_empty() {
                state.running.extend(jobs.iter().map(Running::new));
                return true;
            }
            state.idle += 1;
            let (after, timeout) =
                self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = after;
            state.idle -= 1;
            if timeout.timed_out() && (state.queue.is_empty() || state.flushing) {
                state.threads -= 1;
                return false;
            }
        }
    }

    /// Waits a little for others that are expected to want a flush, too, and takes them all. None are taken if a
    /// command was abandoned meanwhile.
    fn gather<'a>(&'a self, mut state: MutexGuard<'a, State>, jobs: &mut Vec<Job>) -> MutexGuard<'a, State> {
        state.flushing = true;
        if state.waiting_for_flush() < state.expected {
            state.gathering = true;
            let until = Instant::now() + self.pace.worth_waiting();
            while state.waiting_for_flush() < state.expected {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                state = self.gathered.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
            state.gathering = false;
        }
        if !self.has_abandoned() {
            state.take_flushes(jobs);
        }
        state.flushing = !jobs.is_empty();
        state
    }

    /// Takes the commands of a round off the books, and hands on those that were not abandoned.
    fn end(&self, round: &mut Round, mut hand_on: impl FnMut(Arc<Control>, Ended)) {
        round.done().iter().for_each(|done| self.complain(&done.outcome.sense));
        let mut state = self.state();
        for done in round.done().drain(..) {
            let key = (done.nexus, done.id);
            let is_own = |running: &Running| !running.is_visit && (running.nexus, running.id) == key;
            let position = state.running.iter().position(is_own);
            let running = position.map(|position| state.running.swap_remove(position));
            match running.filter(|running| running.abandoned) {
                None => hand_on(done.reply, (done.id, done.outcome)),
                Some(Running { is_in_the_way: false, .. }) => {}
                Some(_) => self.end_abandoned(),
            }
        }
        if state.marked {
            self.note_marked(&mut state);
        }
        self.tell_of_rest(&state);
    }

    /// A command that nobody waited for has ended; what came after the last of them can begin.
    fn end_abandoned(&self) {
        if self.abandoned.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.work.notify_all();
        }
    }
}

impl Running {
    fn new(job: &Job) -> Self {
        let is_in_the_way = job.wait != Wait::Overhaul;
        let (nexus, id, attribute) = (job.nexus, job.command.id, job.command.attribute);
        let errand = job.errand.clone();
        Running { nexus, id, attribute, abandoned: false, is_in_the_way, errand, is_visit: false }
    }
}

fn busy() -> Outcome<Buffer> {
    Outcome::of_status(0x08, Vec::new())
}
