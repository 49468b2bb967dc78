//! What mirrors have to do when nobody waits for it: a thread for each disk that has some.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use timedisk_scsi::SettingsStore;
use timedisk_volume::{MirrorVolume, Resynced};

use super::mirrors::Mirror;
use super::opened::Saved;
use super::schedule::Schedule;

/// How often is looked whether there is something to do.
const LOOK: Duration = Duration::from_millis(200);

/// How often marks are taken away.
const TIDY: Duration = Duration::from_secs(5);

/// How long a region that can't be read is left alone.
const AFTER_A_BAD_REGION: Duration = Duration::from_secs(30);

/// While clients use a mirror, the work takes at most one part in so many of the time.
const SHARE: u32 = 5;

/// The mirrors of a disk, and the thread that works on them.
#[derive(Debug)]
pub(crate) struct Healing {
    pub(crate) mirrors: Vec<Mirror>,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Stop {
    told: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Waits for so long, or until the thread is to end; answers whether it is.
    fn within(&self, time: Duration) -> bool {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self.changed.wait_timeout_while(told, time, |told| !*told);
        *wait.unwrap_or_else(PoisonError::into_inner).0
    }

    fn tell(&self) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

impl Healing {
    /// Starts the work, if there is any.
    pub(super) fn start(name: &str, mirrors: Vec<Mirror>, saved: &Arc<Saved>) -> Option<Healing> {
        if mirrors.is_empty() {
            return None;
        }
        let stop = Arc::new(Stop::default());
        let rounds: Vec<Round> = mirrors.iter().map(|mirror| Round::new(mirror, saved)).collect();
        let told = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("mirror".into());
        let thread = thread.spawn(move || work(rounds, &told));
        if let Err(error) = &thread {
            tracing::error!("{name}: no thread could be started that resyncs its mirrors: {error}");
        }
        Some(Healing { mirrors, stop, thread: thread.ok() })
    }

    /// Ends the work, as soon as what is being copied is; answers whether it has ended in time.
    pub(super) fn stop(&mut self, deadline: Instant) -> bool {
        self.stop.tell();
        let Some(thread) = &self.thread else { return true };
        while !thread.is_finished() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

impl Drop for Healing {
    fn drop(&mut self) {
        self.stop.tell();
    }
}

/// What is known of one mirror from one round to the next.
struct Round {
    volume: Arc<MirrorVolume>,
    from: u64,
    since: u64,
    rest: Option<Instant>,
    schedule: Schedule,
}

fn work(mut rounds: Vec<Round>, stop: &Stop) {
    rounds.iter().for_each(Round::begin_what_is_due);
    let mut tidied = Instant::now();
    let mut pause = Duration::ZERO;
    while !stop.within(pause) {
        let mut is_busy = false;
        for round in &mut rounds {
            is_busy |= round.heal(stop) | round.scrub(stop);
        }
        if tidied.elapsed() >= TIDY {
            tidied = Instant::now();
            rounds.iter_mut().for_each(Round::tidy);
            rounds.iter().for_each(Round::begin_what_is_due);
        }
        pause = if is_busy { Duration::ZERO } else { LOOK };
    }
}

impl Round {
    fn new(mirror: &Mirror, saved: &Arc<Saved>) -> Round {
        let store: Arc<dyn SettingsStore> = Arc::<Saved>::clone(saved);
        let shown = Arc::clone(&mirror.comparisons);
        let schedule = Schedule::new(&mirror.name, mirror.scrub, store, shown, SystemTime::now());
        Round { volume: Arc::clone(&mirror.volume), from: 0, since: 0, rest: None, schedule }
    }

    fn begin_what_is_due(&self) {
        if !self.volume.is_scrubbing() && self.schedule.is_due(SystemTime::now()) {
            self.volume.start_scrub();
        }
    }

    /// Makes one region alike. Answers whether there may be more to do.
    fn heal(&mut self, stop: &Stop) -> bool {
        if self.rest.is_some_and(|rest| Instant::now() < rest) {
            return false;
        }
        let mut giving_way = GivingWay::new(&self.volume, stop);
        match self.volume.resync(&mut self.from, &mut || giving_way.go_on()) {
            Ok(Resynced::Region | Resynced::Stopped) => true,
            Ok(Resynced::Nothing) => false,
            Ok(Resynced::Unreadable) => {
                self.rest = Some(Instant::now() + AFTER_A_BAD_REGION);
                false
            }
            Err(error) => {
                tracing::error!("a mirror can't be resynced: {error}");
                self.rest = Some(Instant::now() + AFTER_A_BAD_REGION);
                false
            }
        }
    }

    fn scrub(&mut self, stop: &Stop) -> bool {
        if !self.volume.is_scrubbing() {
            return false;
        }
        let mut giving_way = GivingWay::new(&self.volume, stop);
        match self.volume.scrub_step() {
            Ok(true) => giving_way.go_on(),
            Ok(false) => {
                if !self.volume.is_scrubbing() {
                    self.schedule.ended(SystemTime::now());
                }
                false
            }
            Err(error) => {
                tracing::error!("the members of a mirror can't be compared: {error}");
                false
            }
        }
    }

    fn tidy(&mut self) {
        match self.volume.tidy(self.since) {
            Ok(since) => self.since = since,
            Err(error) => tracing::error!("a mirror can't be flushed: {error}"),
        }
    }
}

/// Lets clients go first.
struct GivingWay<'a> {
    volume: &'a MirrorVolume,
    stop: &'a Stop,
    calls: u64,
    begun: Instant,
}

impl<'a> GivingWay<'a> {
    fn new(volume: &'a MirrorVolume, stop: &'a Stop) -> Self {
        GivingWay { volume, stop, calls: volume.client_calls(), begun: Instant::now() }
    }

    /// Waits if clients have done something meanwhile. Answers whether the work goes on.
    fn go_on(&mut self) -> bool {
        let calls = self.volume.client_calls();
        let pause = if calls == self.calls { Duration::ZERO } else { self.begun.elapsed() * (SHARE - 1) };
        let stopped = self.stop.within(pause.min(LOOK));
        (self.calls, self.begun) = (self.volume.client_calls(), Instant::now());
        !stopped
    }
}
