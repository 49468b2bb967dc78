//! One session under load: several commands at once, until the daemon is gone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, bail};
use timedisk_initiator::session::{Completion, Outcome, Sink};
use timedisk_initiator::{Command, Connection, Tag, scsi};
use timedisk_simulation::SECTOR;
use timedisk_simulation::history::{Content, End, History, Ticket};
use timedisk_simulation::random::Random;

use crate::commands;

/// Commands of one session at once.
pub(crate) const DEPTH: usize = 12;

/// Sectors that all write to.
pub(crate) const SECTORS: u64 = 8192;
/// The sectors at the front that COMPARE AND WRITE has for itself, for each session.
const COMPARED: u64 = 32;
/// Behind them, those for atomic writes: in extents of so many sectors.
pub(crate) const ATOMIC: u64 = 16;
/// All extents of atomic writes.
pub(crate) fn atomic_extents() -> impl Iterator<Item = u64> {
    (2 * COMPARED..FREE).step_by(ATOMIC as usize)
}
/// Where everything else begins.
const FREE: u64 = 2 * COMPARED + 8 * ATOMIC;

/// Statuses and sense keys after which nothing was done (SAM-5 5.3.1, SPC-4 4.5.6).
const BUSY: u8 = 0x08;
const TASK_SET_FULL: u8 = 0x28;
const ABORTED_COMMAND: u8 = 0x0b;

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    history: Mutex<History>,
    /// The daemon is about to be killed: from now on a session may be lost.
    pub(crate) is_killing: AtomicBool,
}

impl Shared {
    pub(crate) fn new(seed: u64) -> Shared {
        Shared { history: Mutex::new(History::new(seed, SECTORS)), is_killing: AtomicBool::new(false) }
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Read,
    Write { content: Content, is_forced: bool },
    Atomic { content: Content, is_forced: bool },
    Same { content: Content },
    Compare { expected: Content, content: Content },
    Unmap,
    Flush,
    Register { key: u64 },
}

#[derive(Debug)]
struct Task {
    deed: Deed,
    first: u64,
    sectors: u64,
    ticket: Option<Ticket>,
    data: Vec<u8>,
}

/// A session and what it has to remember over restarts of the daemon.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) number: u64,
    pub(crate) random: Random,
    /// The disk takes atomic writes of a whole extent.
    pub(crate) has_atomic: bool,
    /// The key that it is registered with, and those that it may be registered with since a kill.
    pub(crate) keys: Vec<u64>,
    tasks: BTreeMap<usize, Task>,
    /// Commands that ended well.
    pub(crate) done: u64,
}

/// Keeps the data of reads.
struct Landing<'a>(&'a mut BTreeMap<usize, Task>);

impl Sink for Landing<'_> {
    fn data(&mut self, tag: Tag, offset: u32, bytes: &[u8]) {
        let task = self.0.get_mut(&tag.index());
        let place = task.and_then(|task| task.data.get_mut(offset as usize..)?.get_mut(..bytes.len()));
        if let Some(place) = place {
            place.copy_from_slice(bytes);
        }
    }
}

impl Lane {
    pub(crate) fn new(number: u64, random: Random) -> Lane {
        Lane { number, random, has_atomic: false, keys: Vec::new(), tasks: BTreeMap::new(), done: 0 }
    }

    /// A new key, which is never 0.
    pub(crate) fn new_key(&mut self) -> u64 {
        self.random.number() << 8 | 1 << 4 | self.number
    }

    /// Sends commands and looks at what comes back, until the daemon is killed.
    pub(crate) fn work(&mut self, mut connection: Connection, shared: &Shared) -> Result<()> {
        self.tasks.clear();
        loop {
            while connection.session().can_submit() && self.tasks.len() < DEPTH {
                self.submit(&mut connection, &mut shared.history());
            }
            let stepped = connection.step(&mut Landing(&mut self.tasks));
            let ended: Vec<Completion> = connection.session_mut().completions().collect();
            for completion in ended {
                self.end(completion, &mut shared.history())?;
            }
            match stepped {
                Ok(_) => {}
                Err(_) if shared.is_killing.load(Ordering::SeqCst) => return Ok(()),
                Err(error) => bail!("a session was lost before the kill: {error}"),
            }
        }
    }

    fn submit(&mut self, connection: &mut Connection, history: &mut History) {
        let (deed, first, sectors) = self.invent(history);
        let (command, room) = command(deed, first, sectors, history);
        let Some(tag) = connection.session_mut().submit(command) else { return };
        let ticket = match deed {
            Deed::Read => Some(history.read(first, sectors)),
            Deed::Write { content, is_forced } | Deed::Atomic { content, is_forced } => {
                Some(history.write(content, first, sectors, is_forced))
            }
            Deed::Same { content } | Deed::Compare { content, .. } => {
                Some(history.write(content, first, sectors, false))
            }
            Deed::Unmap => Some(history.write(0, first, sectors, false)),
            Deed::Flush => Some(history.flush()),
            Deed::Register { key } => {
                self.keys.push(key);
                None
            }
        };
        self.tasks.insert(tag.index(), Task { deed, first, sectors, ticket, data: vec![0; room] });
    }

    fn is_under_way(&self, is_it: impl Fn(Deed) -> bool) -> bool {
        self.tasks.values().any(|task| is_it(task.deed))
    }

    fn invent(&mut self, history: &mut History) -> (Deed, u64, u64) {
        let choice = self.random.below(40);
        let is_forced = self.random.one_in(4);
        if choice < 3 && !self.is_under_way(|deed| matches!(deed, Deed::Compare { .. })) {
            let first = COMPARED * self.number + self.random.below(COMPARED - 8);
            if let Some(expected) = history.certain(first) {
                let alike = (first..first + 8).take_while(|at| history.certain(*at) == Some(expected));
                let sectors = 1 + self.random.below(alike.count().max(1) as u64);
                return (Deed::Compare { expected, content: history.content(None) }, first, sectors);
            }
        }
        if choice < 8 && self.has_atomic {
            let first = 2 * COMPARED + ATOMIC * self.random.below(8);
            return (Deed::Atomic { content: history.content(None), is_forced }, first, ATOMIC);
        }
        if choice == 8 && !self.is_under_way(|deed| matches!(deed, Deed::Register { .. })) {
            return (Deed::Register { key: self.new_key() }, 0, 0);
        }
        let first = FREE + self.random.below(SECTORS - FREE);
        let most = if self.random.one_in(8) { 256 } else { 16 };
        let sectors = 1 + self.random.below(most.min(SECTORS - first));
        let deed = match choice {
            9..16 => Deed::Read,
            16..19 => Deed::Unmap,
            19..21 => Deed::Same { content: history.content(Some(first)) },
            21..24 => Deed::Flush,
            _ => Deed::Write { content: history.content(None), is_forced },
        };
        (deed, first, sectors)
    }

    fn end(&mut self, completion: Completion, history: &mut History) -> Result<()> {
        let Some(task) = self.tasks.remove(&completion.tag.index()) else {
            bail!("{completion:?} was not under way");
        };
        let outcome = completion.outcome;
        let is_good = outcome.is_good();
        if !is_good && !is_refusal(&outcome) {
            bail!("{:?} of {} sectors at {} ended with {outcome}", task.deed, task.sectors, task.first);
        }
        self.done += u64::from(is_good);
        let Some(ticket) = task.ticket else {
            self.end_registration(task.deed, is_good);
            return Ok(());
        };
        match task.deed {
            Deed::Read => history.end_read(ticket, is_good.then_some(&task.data)).map_err(anyhow::Error::msg),
            Deed::Flush => {
                history.end_flush(ticket, is_good);
                Ok(())
            }
            _ => {
                history.end_write(ticket, if is_good { End::Done } else { End::NotDone });
                Ok(())
            }
        }
    }

    fn end_registration(&mut self, deed: Deed, is_good: bool) {
        if let Deed::Register { key } = deed {
            self.keys.retain(|known| (*known == key) == is_good);
        }
    }
}

fn is_refusal(outcome: &Outcome) -> bool {
    let key = outcome.sense.map(|sense| sense.key);
    let attention = outcome.sense.is_some_and(|sense| sense.is_unit_attention());
    let is_refused =
        matches!(outcome.status, BUSY | TASK_SET_FULL) || key == Some(ABORTED_COMMAND) || attention;
    is_refused && outcome.response == 0
}

/// The command, and how many bytes it returns.
fn command(deed: Deed, first: u64, sectors: u64, history: &History) -> (Command, usize) {
    let blocks = sectors as u32;
    let data = |content| -> Vec<u8> {
        (first..first + sectors).flat_map(|sector| history.bytes(content, sector)).collect()
    };
    let command = match deed {
        Deed::Read => {
            let bytes = sectors as usize * SECTOR;
            return (scsi::read(0, first, blocks, bytes as u32), bytes);
        }
        Deed::Write { content, is_forced } => {
            scsi::write(0, first, blocks, commands::payload(data(content)), is_forced)
        }
        Deed::Atomic { content, is_forced } => {
            commands::write_atomic(first, sectors as u16, data(content), is_forced)
        }
        Deed::Same { content } => {
            let block = commands::payload(history.bytes(content, first));
            timedisk_initiator::provisioning::write_same(0, first, blocks, block, false)
        }
        Deed::Compare { expected, content } => {
            commands::compare_and_write(first, sectors as u8, [data(expected), data(content)].concat())
        }
        Deed::Unmap => commands::unmap(first, blocks),
        Deed::Flush => scsi::synchronize_cache(0),
        Deed::Register { key } => commands::register(key),
    };
    (command, 0)
}
