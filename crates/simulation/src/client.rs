//! A client: it logs in, writes and reads as it likes, and logs in again when its session is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use timedisk_initiator::control::Pdu;
use timedisk_initiator::login::{Login, Next, Settings};
use timedisk_initiator::session::{Completion, Residual, Sink};
use timedisk_initiator::{Command, Payload, Session, Tag, Transfer, scsi};

use crate::SECTOR;
use crate::history::{Content, End, History, Ticket};
use crate::house::{LinkId, TARGET};
use crate::random::Random;

/// Patience with a login and with a command, in microseconds.
const LOGIN_PATIENCE: u64 = 20_000_000;
const COMMAND_PATIENCE: u64 = 40_000_000;

/// Statuses and sense keys after which a command is sent again (SAM-5 5.3.1, SPC-4 4.5.6).
const BUSY: u8 = 0x08;
const TASK_SET_FULL: u8 = 0x28;
const ABORTED_COMMAND: u8 = 0x0b;

/// What a client does to sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Read,
    Write {
        content: Content,
        is_forced: bool,
    },
    /// WRITE SAME (10) with a block, without a flush.
    Same {
        content: Content,
    },
    /// UNMAP.
    Unmap,
    Flush,
}

#[derive(Clone, Copy, Debug)]
struct Errand {
    deed: Deed,
    first: u64,
    sectors: u64,
}

#[derive(Debug)]
struct Task {
    errand: Errand,
    ticket: Ticket,
    data: Vec<u8>,
    deadline: u64,
}

#[derive(Debug)]
enum State {
    Away { until: u64 },
    LoggingIn { login: Box<Login>, deadline: u64, unsent: Vec<u8> },
    In(Box<Session>),
}

/// One initiator port.
#[derive(Debug)]
pub(crate) struct Client {
    settings: Settings,
    depth: usize,
    random: Random,
    state: State,
    arrived: Vec<u8>,
    pub(crate) link: Option<LinkId>,
    tasks: BTreeMap<usize, Task>,
    /// To be sent again, before anything new.
    again: Vec<Errand>,
    /// Writes of sessions that are gone, which may still be done.
    ghosts: Vec<Ticket>,
    /// How many it still has to do.
    pub(crate) left: u64,
    /// All sectors are read once more.
    pub(crate) inspects: bool,
    inspected: u64,
    /// Nothing is sent before that.
    pub(crate) pause_until: u64,
    pub(crate) done: u64,
}

/// Keeps the data of reads.
struct Landing<'a>(&'a mut BTreeMap<usize, Task>);

impl Sink for Landing<'_> {
    fn data(&mut self, tag: Tag, offset: u32, bytes: &[u8]) {
        if let Some(task) = self.0.get_mut(&tag.index()) {
            task.data[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
    }
}

impl Client {
    pub(crate) fn new(settings: Settings, depth: usize, commands: u64, random: Random) -> Client {
        Client {
            settings,
            depth,
            random,
            state: State::Away { until: 0 },
            arrived: Vec::new(),
            link: None,
            tasks: BTreeMap::new(),
            again: Vec::new(),
            ghosts: Vec::new(),
            left: commands,
            inspects: false,
            inspected: 0,
            pause_until: 0,
            done: 0,
        }
    }

    /// Whether it has done all it was to do.
    pub(crate) fn is_content(&self, sectors: u64) -> bool {
        let is_idle = self.left == 0 && self.tasks.is_empty() && self.again.is_empty();
        is_idle && (!self.inspects || self.inspected >= sectors)
    }

    /// Reads everything once more.
    pub(crate) fn inspect(&mut self) {
        (self.inspects, self.inspected) = (true, 0);
    }

    /// When it does something by itself.
    pub(crate) fn next(&self) -> Option<u64> {
        match &self.state {
            State::Away { until } => Some(*until),
            State::LoggingIn { deadline, .. } => Some(*deadline),
            State::In(_) => self.tasks.values().map(|task| task.deadline).min(),
        }
    }

    /// Whether damage to what it sends and gets would be noticed.
    pub(crate) fn has_digests(&self) -> bool {
        match &self.state {
            State::In(session) => session.parameters().header_digest && session.parameters().data_digest,
            _ => false,
        }
    }

    pub(crate) fn wants_to_connect(&self, now: u64) -> bool {
        matches!(self.state, State::Away { until } if until <= now)
    }

    /// There is a connection.
    pub(crate) fn connected(&mut self, link: LinkId, now: u64) {
        let mut random = self.random.fork();
        let (login, first) =
            Login::begin(self.settings.clone(), Some(TARGET), &mut |bytes| random.fill(bytes));
        self.link = Some(link);
        self.arrived.clear();
        let deadline = now + LOGIN_PATIENCE;
        self.state = State::LoggingIn { login: Box::new(login), deadline, unsent: first.encode() };
    }

    /// There is none any more. What was under way is sent again, perhaps.
    pub(crate) fn disconnected(&mut self, now: u64, history: &mut History) {
        self.link = None;
        let until = now + self.random.below(3_000_000);
        self.state = State::Away { until };
        for (_, task) in std::mem::take(&mut self.tasks) {
            match task.errand.deed {
                Deed::Read => drop(history.end_read(task.ticket, None)),
                Deed::Flush => history.end_flush(task.ticket, false),
                _ => self.ghosts.push(task.ticket),
            }
            if self.random.one_in(2) {
                self.again.push(task.errand);
            }
        }
    }

    /// The target's process has ended, and with it all that was under way.
    pub(crate) fn forget(&mut self) {
        self.ghosts.clear();
    }

    /// Time has passed. `false` if it gives its connection up.
    pub(crate) fn is_patient(&self, now: u64) -> bool {
        match &self.state {
            State::Away { .. } => true,
            State::LoggingIn { deadline, .. } => now < *deadline,
            State::In(_) => self.tasks.values().all(|task| now < task.deadline),
        }
    }

    /// Bytes have come.
    ///
    /// # Errors
    /// What is wrong: in the inner one with the connection, in the outer one with the target.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        now: u64,
        history: &mut History,
    ) -> Result<Result<(), String>, String> {
        self.arrived.extend_from_slice(bytes);
        while let State::LoggingIn { login, unsent, .. } = &mut self.state {
            let pdu = match Pdu::decode(&self.arrived) {
                Err(error) => return Ok(Err(error.to_string())),
                Ok(None) => return Ok(Ok(())),
                Ok(Some((pdu, length))) => {
                    self.arrived.drain(..length);
                    pdu
                }
            };
            match login.receive(&pdu) {
                Err(error) => return Ok(Err(error.to_string())),
                Ok(Next::Send(pdu)) => unsent.extend(pdu.encode()),
                Ok(Next::Done(terms)) => {
                    self.state = State::In(Box::new(Session::new(*terms, self.depth)));
                    // The session before is gone for the target, too.
                    self.ghosts.drain(..).for_each(|ticket| history.end_write(ticket, End::Unknown));
                }
            }
        }
        let State::In(session) = &mut self.state else { return Ok(Ok(())) };
        let used = session.receive(&self.arrived, &mut Landing(&mut self.tasks));
        let ended: Vec<Completion> = session.completions().collect();
        for completion in ended {
            self.end(completion, now, history)?;
        }
        match used {
            Ok(used) => {
                self.arrived.drain(..used);
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    fn end(&mut self, completion: Completion, now: u64, history: &mut History) -> Result<(), String> {
        let Some(task) = self.tasks.remove(&completion.tag.index()) else {
            return Err(format!("{completion:?} was not under way"));
        };
        let outcome = completion.outcome;
        let errand = task.errand;
        if outcome.is_good() {
            let expected = task.data.len() as u32;
            if errand.deed == Deed::Read && (outcome.moved, outcome.residual) != (expected, Residual::None) {
                return Err(format!(
                    "{errand:?} ended well with {} bytes, {:?}",
                    outcome.moved, outcome.residual
                ));
            }
            self.done += 1;
            match errand.deed {
                Deed::Read => history.end_read(task.ticket, Some(&task.data))?,
                Deed::Flush => history.end_flush(task.ticket, true),
                _ => history.end_write(task.ticket, End::Done),
            }
            return Ok(());
        }
        let key = outcome.sense.map(|sense| sense.key);
        let attention = outcome.sense.is_some_and(|sense| sense.is_unit_attention());
        let is_refused =
            matches!(outcome.status, BUSY | TASK_SET_FULL) || key == Some(ABORTED_COMMAND) || attention;
        if !is_refused || outcome.response != 0 {
            return Err(format!("{errand:?} ended with {outcome}"));
        }
        match errand.deed {
            Deed::Read => history.end_read(task.ticket, None)?,
            Deed::Flush => history.end_flush(task.ticket, false),
            _ => history.end_write(task.ticket, End::NotDone),
        }
        self.again.push(errand);
        if !attention {
            self.pause_until = now + 1 + self.random.below(50_000);
        }
        Ok(())
    }

    /// Sends commands, as far as it likes to.
    pub(crate) fn work(&mut self, now: u64, sectors: u64, history: &mut History) {
        if now < self.pause_until {
            return;
        }
        while matches!(&self.state, State::In(session) if session.can_submit()) {
            let Some(errand) = self.next_errand(sectors, history) else { return };
            let (command, room) = command(&errand, history);
            let State::In(session) = &mut self.state else { return };
            let Some(tag) = session.submit(command) else { return self.again.push(errand) };
            let Errand { deed, first, sectors } = errand;
            let ticket = match deed {
                Deed::Read => history.read(first, sectors),
                Deed::Write { content, is_forced } => history.write(content, first, sectors, is_forced),
                Deed::Same { content } => history.write(content, first, sectors, false),
                Deed::Unmap => history.write(0, first, sectors, false),
                Deed::Flush => history.flush(),
            };
            let task = Task { errand, ticket, data: vec![0; room], deadline: now + COMMAND_PATIENCE };
            self.tasks.insert(tag.index(), task);
            if self.random.one_in(6) {
                self.pause_until = now + self.random.below(20_000);
                return;
            }
        }
    }

    fn next_errand(&mut self, sectors: u64, history: &mut History) -> Option<Errand> {
        if let Some(errand) = self.again.pop() {
            return Some(errand);
        }
        if self.left > 0 {
            self.left -= 1;
            return Some(self.invent(sectors, history));
        }
        if self.inspects && self.inspected < sectors {
            let first = self.inspected;
            self.inspected = (first + 16).min(sectors);
            return Some(Errand { deed: Deed::Read, first, sectors: self.inspected - first });
        }
        None
    }

    fn invent(&mut self, sectors: u64, history: &mut History) -> Errand {
        let random = &mut self.random;
        let first = random.below(sectors);
        let most = if random.one_in(8) { 128 } else { 8 };
        let count = 1 + random.below(most.min(sectors - first));
        let deed = match random.below(20) {
            0..8 => Deed::Read,
            8..16 => Deed::Write { content: history.content(None), is_forced: random.one_in(4) },
            16 => Deed::Same { content: history.content(Some(first)) },
            17 => Deed::Unmap,
            _ => Deed::Flush,
        };
        Errand { deed, first, sectors: count }
    }

    /// Sends what waits, through `send`, which says how much it has taken.
    pub(crate) fn transmit(&mut self, mut send: impl FnMut(&[u8]) -> usize) {
        match &mut self.state {
            State::Away { .. } => {}
            State::LoggingIn { unsent, .. } => {
                let taken = send(unsent);
                unsent.drain(..taken);
            }
            State::In(session) => {
                while session.wants_to_send() {
                    let mut slices = [std::io::IoSlice::new(&[]); 16];
                    let count = session.outgoing(&mut slices);
                    let mut taken = 0;
                    for slice in &slices[..count] {
                        let part = send(slice);
                        taken += part;
                        if part < slice.len() {
                            break;
                        }
                    }
                    if taken == 0 {
                        return;
                    }
                    session.sent(taken);
                }
            }
        }
    }
}

/// The command, and how many bytes it returns.
fn command(errand: &Errand, history: &History) -> (Command, usize) {
    let Errand { deed, first, sectors } = *errand;
    let bytes = sectors as usize * SECTOR;
    let blocks = sectors as u32;
    let payload = |data: Vec<u8>| {
        let length = data.len();
        Payload::new(&Arc::from(data), 0..length).unwrap_or_default()
    };
    match deed {
        Deed::Read => (scsi::read(0, first, blocks, bytes as u32), bytes),
        Deed::Write { content, is_forced } => {
            let data = (first..first + sectors).flat_map(|sector| history.bytes(content, sector)).collect();
            (scsi::write(0, first, blocks, payload(data), is_forced), 0)
        }
        Deed::Same { content } => {
            let mut cdb = [0; 16];
            cdb[0] = 0x41;
            cdb[2..6].copy_from_slice(&(first as u32).to_be_bytes());
            cdb[7..9].copy_from_slice(&(sectors as u16).to_be_bytes());
            (Command::new(0, cdb, Transfer::Write(payload(history.bytes(content, first)))), 0)
        }
        Deed::Unmap => {
            let mut list = vec![0, 22, 0, 16, 0, 0, 0, 0];
            list.extend(first.to_be_bytes());
            list.extend(blocks.to_be_bytes());
            list.extend([0; 4]);
            let mut cdb = [0; 16];
            (cdb[0], cdb[8]) = (0x42, list.len() as u8);
            (Command::new(0, cdb, Transfer::Write(payload(list))), 0)
        }
        Deed::Flush => (scsi::synchronize_cache(0), 0),
    }
}
