//! Calls to members that may never return.
//!
//! Each call runs on a thread of its member, with buffers of its own, so that whoever asked for it can go on without
//! it. He does so only where somebody else has what is asked for: for the last one everybody waits, as for a disk that
//! is no mirror. A call that was given up may still do what it was to do, at any time. So nothing else is asked of its
//! member before it has returned: the member answers with an error at once.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{ErrorKind, Result, VolumeError};

/// A member has so many threads at most; further calls wait for one of them.
const MOST_THREADS: usize = 64;

/// A thread that has nothing to do ends after so long.
const IDLE: Duration = Duration::from_secs(5);

/// How often those who wait look whether their member was given up for another call.
const LOOK: Duration = Duration::from_millis(50);

/// Where the calls to one member go.
#[derive(Debug)]
pub(super) struct Lane {
    /// How long a call may take; none for ever, and then it runs on the thread that asks for it.
    patience: Option<Duration>,
    queue: Arc<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Box<dyn FnOnce() + Send>>,
    threads: usize,
    idle: usize,
    /// Calls that were given up and have not returned.
    hung: usize,
    closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("threads", &self.threads)
            .field("hung", &self.hung)
            .finish_non_exhaustive()
    }
}

/// What is asked of one member.
pub(super) struct Call<T> {
    pub(super) lane: Arc<Lane>,
    /// Whether the others can be given up once this is answered.
    pub(super) counts: bool,
    pub(super) run: Box<dyn FnOnce() -> Result<T> + Send>,
}

/// What has come of calls, and who waits for that.
struct Answers<T> {
    slots: Mutex<Vec<Slot<T>>>,
    changed: Condvar,
}

enum Slot<T> {
    NotAsked,
    Waiting,
    GivenUp,
    Done(Result<T>),
}

impl Lane {
    pub(super) fn new(patience: Option<Duration>) -> Arc<Self> {
        Arc::new(Lane { patience, queue: Arc::default() })
    }

    /// Whether a call that was given up has not returned yet.
    pub(super) fn is_hung(&self) -> bool {
        self.queue.state().hung > 0
    }

    fn error(&self) -> VolumeError {
        let patience = self.patience.unwrap_or_default();
        VolumeError::new(
            ErrorKind::WriteFailed,
            format!("it did not answer for {} s", patience.as_secs_f32()),
        )
    }

    /// # Errors
    /// The system has no thread for it.
    fn begin(&self, job: Box<dyn FnOnce() + Send>) -> std::io::Result<()> {
        let mut state = self.queue.state();
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() || state.threads >= MOST_THREADS {
            self.queue.changed.notify_one();
            return Ok(());
        }
        let queue = Arc::clone(&self.queue);
        match std::thread::Builder::new().name("member".into()).spawn(move || queue.work()) {
            Ok(_) => state.threads += 1,
            Err(error) if state.threads == 0 => {
                state.jobs.pop_back();
                return Err(error);
            }
            // One of those that are there will take it.
            Err(_) => {}
        }
        Ok(())
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.queue.state().closed = true;
        self.queue.changed.notify_all();
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job();
                state = self.state();
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let (again, waited) =
                self.changed.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = again;
            state.idle -= 1;
            if waited.timed_out() && state.jobs.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

impl<T: Send + 'static> Answers<T> {
    fn new(count: usize) -> Arc<Self> {
        let slots = std::iter::repeat_with(|| Slot::NotAsked).take(count).collect();
        Arc::new(Answers { slots: Mutex::new(slots), changed: Condvar::new() })
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot<T>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, index: usize, result: Result<T>, queue: &Queue) {
        if let Some(slot) = self.slots().get_mut(index) {
            match slot {
                Slot::GivenUp => queue.state().hung -= 1,
                _ => *slot = Slot::Done(result),
            }
        }
        self.changed.notify_all();
    }

    fn ask(self: &Arc<Self>, index: usize, lane: &Lane, run: Box<dyn FnOnce() -> Result<T> + Send>) {
        if lane.is_hung() {
            return self.put(index, Err(lane.error()), &lane.queue);
        }
        if let Some(slot) = self.slots().get_mut(index) {
            *slot = Slot::Waiting;
        }
        let (answers, queue) = (Arc::clone(self), Arc::clone(&lane.queue));
        let job = move || {
            if matches!(answers.slots().get(index), Some(Slot::GivenUp)) {
                queue.state().hung -= 1;
                return;
            }
            // All that the call holds is let go before anybody hears of its end.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            let defect = || VolumeError::new(ErrorKind::WriteFailed, "a call to it ended with a defect");
            answers.put(index, result.unwrap_or_else(|_| Err(defect())), &queue);
        };
        if let Err(error) = lane.begin(Box::new(job)) {
            let message = "the system has no thread for a member of the mirror";
            let error = VolumeError::new(ErrorKind::WriteFailed, message).caused_by(error);
            self.put(index, Err(error), &lane.queue);
        }
    }

    /// Goes on without this answer, if it is not there.
    fn give_up(&self, index: usize, lane: &Lane) {
        if let Some(slot @ Slot::Waiting) = self.slots().get_mut(index) {
            *slot = Slot::GivenUp;
            lane.queue.state().hung += 1;
        }
    }

    fn is_waited_for(&self, index: usize) -> bool {
        matches!(self.slots().get(index), Some(Slot::Waiting))
    }

    fn is_good(&self, index: usize) -> bool {
        matches!(self.slots().get(index), Some(Slot::Done(Ok(_))))
    }

    /// Waits a moment for any answer, as long as there is one to wait for that `is_wanted`.
    fn wait(&self, is_wanted: impl Fn(usize) -> bool) {
        let slots = self.slots();
        let waits = |(index, slot): (usize, &Slot<T>)| matches!(slot, Slot::Waiting) && is_wanted(index);
        if slots.iter().enumerate().any(waits) {
            drop(self.changed.wait_timeout(slots, LOOK));
        }
    }

    /// What is there, for the one who has waited for it.
    fn taken(&self, index: usize) -> Slot<T> {
        match self.slots().get_mut(index) {
            Some(slot @ Slot::Done(_)) => std::mem::replace(slot, Slot::NotAsked),
            // This stays, for the call to find it.
            Some(Slot::GivenUp) => Slot::GivenUp,
            _ => Slot::NotAsked,
        }
    }
}

/// Asks all at once. Whoever has not answered in time has failed, as soon as one that counts has answered well, or if
/// `others_have` what is asked for.
pub(super) fn together<T: Send + 'static>(calls: Vec<Call<T>>, others_have: bool) -> Vec<Result<T>> {
    let nobody_else = calls.len() == 1 && !others_have;
    if nobody_else || calls.iter().any(|call| call.lane.patience.is_none()) {
        let one = |call: Call<T>| if call.lane.is_hung() { Err(call.lane.error()) } else { (call.run)() };
        return calls.into_iter().map(one).collect();
    }
    let answers = Answers::new(calls.len());
    let mut lanes = Vec::new();
    for (index, Call { lane, counts, run }) in calls.into_iter().enumerate() {
        answers.ask(index, &lane, run);
        lanes.push((lane, counts));
    }
    let begun = Instant::now();
    let mut well = others_have.then_some(begun);
    loop {
        if well.is_none() && (0..lanes.len()).any(|n| lanes.get(n).is_some_and(|l| l.1) && answers.is_good(n))
        {
            well = Some(Instant::now());
        }
        let mut waits = false;
        for (index, (lane, _)) in lanes.iter().enumerate().filter(|(index, _)| answers.is_waited_for(*index))
        {
            let patience = lane.patience.unwrap_or_default();
            // Where all were slow, the rest has a moment more than the first.
            let is_late = well.is_some_and(|at| begun.elapsed() >= patience && at.elapsed() >= patience / 5);
            if is_late || lane.is_hung() {
                answers.give_up(index, lane);
            } else {
                waits = true;
            }
        }
        if !waits {
            break;
        }
        answers.wait(|_| true);
    }
    let taken = |(index, (lane, _)): (usize, &(Arc<Lane>, bool))| match answers.taken(index) {
        Slot::Done(result) => result,
        _ => Err(lane.error()),
    };
    lanes.iter().enumerate().map(taken).collect()
}

/// What asking one after another has come to.
pub(super) struct Asked<T> {
    /// Who has answered, and what.
    pub(super) answer: Option<(usize, T)>,
    /// Who could not.
    pub(super) failed: Vec<(usize, VolumeError)>,
    /// Who did not answer in time while somebody else did.
    pub(super) hung: Vec<(usize, VolumeError)>,
}

/// Asks one after another: the next when one has failed or lets wait too long. The first good answer counts.
pub(super) fn in_turn<T: Send + 'static>(calls: Vec<Call<T>>) -> Asked<T> {
    let mut asked = Asked { answer: None, failed: Vec::new(), hung: Vec::new() };
    let answers = Answers::new(calls.len());
    let count = calls.len();
    let mut lanes: Vec<Arc<Lane>> = Vec::new();
    for (index, Call { lane, run, .. }) in calls.into_iter().enumerate() {
        let is_last = index + 1 == count;
        if lane.is_hung() {
            asked.hung.push((index, lane.error()));
        } else if lane.patience.is_none() || (is_last && !(0..index).any(|n| answers.is_waited_for(n))) {
            answers.put(index, run(), &lane.queue);
        } else {
            answers.ask(index, &lane, run);
        }
        let begun = Instant::now();
        let patience = lane.patience.unwrap_or_default();
        lanes.push(lane);
        let is_on = |answers: &Answers<T>| match is_last {
            true => (0..count).any(|n| answers.is_waited_for(n)),
            false => answers.is_waited_for(index) && begun.elapsed() < patience,
        };
        while !(0..count).any(|n| answers.is_good(n)) && is_on(&answers) {
            answers.wait(|n| is_last || n == index);
            // Who is given up for another call is not waited for here.
            lanes
                .iter()
                .enumerate()
                .filter(|(_, lane)| lane.is_hung())
                .for_each(|(n, lane)| answers.give_up(n, lane));
        }
        if (0..count).any(|n| answers.is_good(n)) {
            break;
        }
    }
    for (index, lane) in lanes.iter().enumerate() {
        answers.give_up(index, lane);
        match answers.taken(index) {
            Slot::Done(Ok(value)) if asked.answer.is_none() => asked.answer = Some((index, value)),
            Slot::Done(Err(error)) => asked.failed.push((index, error)),
            Slot::GivenUp => asked.hung.push((index, lane.error())),
            _ => {}
        }
    }
    asked
}
