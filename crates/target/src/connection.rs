//! A connection's thread: receives, lets the protocol decide, sends.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use timedisk_iscsi::connection::{Connection, Event, Progress};
use timedisk_iscsi::full_feature::AsyncEvent;
use timedisk_iscsi::login::Wishes;
use timedisk_scsi::{LogicalUnit, Wait};

use crate::control::{Control, Ended, Mail, Message, Notice};
use crate::execution::Executor;
use crate::guest::{Adoption, Guest};
use crate::house::Presence;
use crate::job::{Job, Round};
use crate::listener::prepare;
use crate::memory::Buffer;

/// Slices given to one send: what the kernel takes at once is 1024.
const SLICES: usize = 512;

/// So many bytes of answers are sent before the rest of what came is looked at: the initiator can go on meanwhile.
const SEND_EARLY: usize = 576 * 1024;

/// A flush waits for no more than so many commands.
const FLUSH_FOR: usize = 128;

/// Seconds that an initiator is given to log out when the server stops.
const LOGOUT_WITHIN: u16 = 2;

/// How long the commands of a session that is dropped are given to end.
const DROP_PATIENCE: Duration = Duration::from_secs(2);

/// How long the last words of a session may take to be sent.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// A connection that has nothing to do for so long gives back the memory that it keeps at hand.
const REST: Duration = Duration::from_secs(1);

/// Serves one connection until it ends. A defect ends this connection only. `peer` is who it comes from, and the tag of
/// the portal group that it comes in by.
pub(crate) fn serve(stream: TcpStream, peer: (SocketAddr, u16), control: &Arc<Control>, presence: Presence) {
    let (peer, portal_group) = peer;
    tracing::debug!(target: "net", "{peer}: connected");
    match Serving::new(presence, stream, (peer, portal_group), control) {
        Ok(serving) => go_on(Box::new(serving), peer),
        Err(error) => tracing::debug!(target: "net", "{peer}: the connection has ended: {error}"),
    }
}

/// Goes on with a connection whose thread has worked for a disk for too long.
pub(crate) fn take_over(control: &Control) {
    let Some(mut serving) = control.berth.take_up() else { return };
    if let Some(executor) = serving.works_for.take() {
        executor.has_stumbled();
    }
    let peer = serving.peer;
    go_on(serving, peer);
}

fn go_on(serving: Box<Serving>, peer: SocketAddr) {
    if catch_unwind(AssertUnwindSafe(|| run(serving))).is_err() {
        tracing::error!("a defect ended the connection from {peer}; the others go on");
    }
}

/// Turns until the connection ends, or another thread goes on with it.
fn run(mut serving: Box<Serving>) {
    let (mut work, mut round, mut ended) = (Vec::new(), Round::default(), Vec::new());
    let control = Arc::clone(&serving.control);
    let lookout = Arc::clone(&serving.guest.house().lookout);
    loop {
        match serving.turn(&mut work) {
            Ok(Turn::GoOn) => {}
            Ok(Turn::Over) => return serving.end(None),
            Err(error) => return serving.end(Some(&error)),
            Ok(Turn::Work(executor)) => {
                serving.works_for = Some(Arc::clone(&executor));
                lookout.lay(&control, serving);
                executor.run_here(&mut work, &mut round, &mut ended);
                let Some(taken_up) = control.berth.take_up() else { return control.post_ended(&mut ended) };
                serving = taken_up;
                serving.complete(&mut ended);
            }
        }
    }
}

/// What a turn has led to.
enum Turn {
    GoOn,
    /// Commands are to be carried out on this thread, for this disk.
    Work(Arc<Executor>),
    Over,
}

/// A connection with all that belongs to it. One thread at a time has it.
pub(crate) struct Serving {
    stream: TcpStream,
    peer: SocketAddr,
    control: Arc<Control>,
    guest: Guest,
    connection: Connection<Buffer>,
    mail: Mail,
    began: Instant,
    login_limit: Duration,
    /// When something came or went last.
    active: Duration,
    /// The socket takes nothing more for now.
    send_blocked: bool,
    /// The last receive brought all that there was room for: there may be more.
    more_came: bool,
    draining: bool,
    /// When a session that is dropped is closed, whatever still runs.
    close_by: Option<Duration>,
    /// The disk that its thread works for, while it lies in its berth.
    works_for: Option<Arc<Executor>>,
    /// For the log: who it is, once that is known.
    who: String,
    _presence: Presence,
}

impl Serving {
    fn new(
        presence: Presence,
        stream: TcpStream,
        (peer, portal_group): (SocketAddr, u16),
        control: &Arc<Control>,
    ) -> io::Result<Self> {
        prepare(&stream)?;
        let house = presence.house();
        let guest = Guest::new(house, control, peer, (stream.local_addr()?, portal_group));
        let random = Box::new(|bytes: &mut [u8]| fill_random(bytes));
        Ok(Serving {
            stream,
            peer,
            control: Arc::clone(control),
            guest,
            connection: Connection::new(Wishes::default(), random).pinging(house.limits.pings),
            mail: Mail::default(),
            began: Instant::now(),
            login_limit: house.limits.login,
            active: Duration::ZERO,
            send_blocked: false,
            more_came: false,
            draining: false,
            close_by: None,
            works_for: None,
            who: format!("{peer}"),
            _presence: presence,
        })
    }

    fn end(mut self: Box<Self>, error: Option<&io::Error>) {
        if let Some(error) = error {
            match self.connection.session() {
                Some(_) => tracing::info!("{}: the connection is gone: {error}", self.who),
                None => tracing::debug!(target: "net", "{}: the connection has ended: {error}", self.who),
            }
        }
        self.connection.close(&mut self.guest);
        self.guest.leave();
    }

    /// Goes through what has come, answers, and waits for more. Commands for this thread go into `work`.
    fn turn(&mut self, work: &mut Vec<Job>) -> io::Result<Turn> {
        let mut progress = self.proceed();
        // A flush is worth more the more it is for: first comes what has arrived already.
        while self.guest.awaits_flush(FLUSH_FOR) && self.more_came && progress == Progress::AllDone {
            if !self.receive()? {
                break;
            }
            progress = self.proceed();
        }
        if let Some(executor) = self.guest.exchange_work(work) {
            if work.iter().any(|job| job.wait == Wait::Flush) {
                self.send()?;
            }
            return Ok(Turn::Work(executor));
        }
        self.send()?;
        self.tell();
        if let (Some(session), Some(record)) = (self.connection.session(), self.guest.record()) {
            record.gauge(session.in_flight(), session.window());
        }
        let is_drained = self.draining && !self.connection.wants_to_send() && !self.has_running();
        if is_drained || self.connection.is_over() {
            return Ok(Turn::Over);
        }
        if progress == Progress::Stopped && !self.send_blocked {
            return Ok(Turn::GoOn);
        }
        let ready = match self.more_came {
            true => Ready { socket: true, mail: self.control.has_mail() },
            false => self.wait()?,
        };
        if ready.mail {
            self.read_mail();
        }
        self.look_at_the_clock();
        if ready.socket {
            self.receive()?;
        }
        Ok(Turn::GoOn)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn has_running(&self) -> bool {
        self.connection.session().is_some_and(|session| session.running().next().is_some())
    }

    /// Waits for the socket, for mail or for time to pass.
    fn wait(&mut self) -> io::Result<Ready> {
        let mut interest = PollFlags::empty();
        if self.connection.wants_to_receive() && !self.draining {
            interest |= PollFlags::IN;
        }
        if self.send_blocked && self.connection.wants_to_send() {
            interest |= PollFlags::OUT;
        }
        let now = self.now();
        let due = match self.connection.is_logging_in() {
            true => Some(self.login_limit),
            false => self.connection.next_timeout().into_iter().chain(self.close_by).min(),
        };
        let rest = self.guest.keeps_memory().then(|| self.active + REST);
        if rest.is_some_and(|rest| now >= rest) {
            self.guest.rest();
        }
        let due = due.into_iter().chain(rest.filter(|rest| now < *rest)).min();
        let left = due.map(|due| due.saturating_sub(now) + Duration::from_millis(1));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let event = self.control.event();
        let mut polled =
            [PollFd::from_borrowed_fd(self.stream.as_fd(), interest), PollFd::new(&event, PollFlags::IN)];
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [socket, mail] = &polled;
        let seen = socket.revents();
        if interest.is_empty() && seen.intersects(PollFlags::ERR | PollFlags::HUP) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let socket = seen.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
        Ok(Ready { socket, mail: mail.revents().intersects(PollFlags::IN) })
    }

    /// Takes the outcomes of commands, leaving nothing in `ended`.
    fn complete(&mut self, ended: &mut Vec<Ended>) {
        for (id, outcome) in ended.drain(..) {
            self.guest.count(&outcome);
            self.connection.complete(id, outcome, &mut self.guest);
        }
    }

    fn read_mail(&mut self) {
        let mut mail = std::mem::take(&mut self.mail);
        self.control.exchange(&mut mail);
        self.complete(&mut mail.ended);
        for message in mail.messages.drain(..) {
            match message {
                Message::MemoryAvailable => self.connection.memory_available(&mut self.guest),
                Message::Aborted(unit, notice) => self.abort(&unit, notice),
                Message::Preempted(lun, victims) => self.guest.abort_preempted(lun, &victims),
                Message::AskForLogout => {
                    self.connection.announce(AsyncEvent::RequestLogout { within: LOGOUT_WITHIN });
                }
                Message::Drain => self.draining = true,
                Message::Reload => match self.guest.adopt() {
                    Adoption::GoOn(event) => {
                        event.into_iter().for_each(|event| self.connection.announce(event));
                    }
                    Adoption::Leave(reason) => self.drop_session(reason),
                },
                Message::Attention(unit, attention) => {
                    let events = self.guest.events(&unit, attention);
                    events.into_iter().for_each(|event| self.connection.announce(event));
                }
                Message::Drop(reason) => self.drop_session(reason),
                Message::Close(reason) => {
                    tracing::info!("{}: closed: {reason}", self.who);
                    self.connection.close(&mut self.guest);
                }
            }
        }
        self.mail = mail;
    }

    /// Another session had the tasks on this logical unit aborted.
    fn abort(&mut self, unit: &Arc<LogicalUnit>, notice: Notice) {
        for lun in self.guest.places(unit) {
            let are_answered = notice == Notice::Status;
            let any = self.connection.aborted_by_another(lun, are_answered, &mut self.guest);
            if any && notice == Notice::Attention {
                self.guest.tell_of_cleared(lun);
            }
        }
    }

    /// Says goodbye, lets end what has begun, and closes.
    fn drop_session(&mut self, reason: &str) {
        tracing::info!("{}: logged out: {reason}", self.who);
        self.connection.announce(AsyncEvent::DropSession);
        self.draining = true;
        self.close_by = Some(self.now() + DROP_PATIENCE);
    }

    fn look_at_the_clock(&mut self) {
        let now = self.now();
        if self.close_by.is_some_and(|due| now >= due) {
            self.connection.close(&mut self.guest);
        } else if self.connection.is_logging_in() && now >= self.login_limit {
            tracing::info!("{}: closed: no login within {} seconds", self.who, self.login_limit.as_secs());
            self.connection.close(&mut self.guest);
        } else if self.connection.next_timeout().is_some_and(|due| now >= due) {
            self.connection.handle_timeout(now, &mut self.guest);
        }
    }

    fn proceed(&mut self) -> Progress {
        // Who does not take his answers may have to send before he can.
        let most = if self.send_blocked { usize::MAX } else { SEND_EARLY };
        self.connection.proceed(most, self.now(), &mut self.guest)
    }

    /// Whether anything was received.
    fn receive(&mut self) -> io::Result<bool> {
        self.more_came = false;
        if self.draining || !self.connection.wants_to_receive() {
            return Ok(false);
        }
        let [direct, staging] = self.connection.receive_space();
        let (direct_length, room) = (direct.len(), direct.len() + staging.len());
        let mut slices = [IoSliceMut::new(direct), IoSliceMut::new(staging)];
        let received = match (&self.stream).read_vectored(&mut slices) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(received) => received,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        self.more_came = received == room;
        self.active = self.now();
        self.connection.received(received, direct_length, self.active);
        if self.connection.is_known() {
            self.control.mark_known();
        }
        Ok(true)
    }

    fn send(&mut self) -> io::Result<()> {
        self.send_blocked = false;
        while self.connection.wants_to_send() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = self.connection.fill(&mut slices);
            match (&self.stream).write_vectored(slices.get(..filled).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => self.connection.sent(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.send_blocked = true;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// One line for what people want to know of.
    fn tell(&mut self) {
        for event in self.connection.take_events() {
            match event {
                Event::LoggedIn(session) => {
                    let what = session.target.as_deref().unwrap_or("discovery");
                    self.who = format!("{} at {}", session.initiator_name, self.peer);
                    tracing::info!("{}: logged in to {what}", self.who);
                    if let (Some(session), Some(record)) = (self.connection.session(), self.guest.record()) {
                        record.settle(session.parameters().pairs());
                    }
                    if let Some(session) = self.connection.session() {
                        tracing::debug!(target: "iscsi", "{}: {:?}", self.who, session.parameters());
                    }
                }
                Event::Refused(reason) => tracing::info!("{}: login refused: {reason}", self.who),
                Event::LoggedOut => {
                    tracing::info!("{}: logged out", self.who);
                    // A peer that does not read the last words keeps its place no longer than this.
                    self.close_by = Some(self.now() + LAST_WORDS);
                }
                Event::Broken(reason) => tracing::info!("{}: closed: {reason}", self.who),
            }
        }
    }
}

/// What has something for the connection.
struct Ready {
    socket: bool,
    mail: bool,
}

/// Random bytes from the operating system.
#[allow(clippy::panic, reason = "the thread's own catch ends this connection, and no other")]
fn fill_random(bytes: &mut [u8]) {
    // Without randomness there is no authentication: ending this connection is the only honest answer.
    if let Err(error) = getrandom::fill(bytes) {
        std::panic::panic_any(format!("the operating system gives no random bytes: {error}"));
    }
}
