//! A connection's thread: receives, lets the protocol decide, sends.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use timedisk_iscsi::connection::{Connection, Event};
use timedisk_iscsi::full_feature::AsyncEvent;
use timedisk_iscsi::login::Wishes;

use crate::control::{Control, Message};
use crate::guest::{Adoption, Guest};
use crate::house::House;
use crate::listener::prepare;
use crate::memory::Buffer;

/// Slices given to one send: what the kernel takes at once is 1024.
const SLICES: usize = 256;

/// Receives in a row before answers are sent and mail is looked at.
const RECEIVES: usize = 16;

/// Seconds that an initiator is given to log out when the server stops.
const LOGOUT_WITHIN: u16 = 2;

/// How long the commands of a session that is dropped are given to end.
const DROP_PATIENCE: Duration = Duration::from_secs(2);

/// How long the last words of a session may take to be sent.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Serves one connection until it ends. A defect ends this connection only.
pub(crate) fn serve(house: &Arc<House>, stream: TcpStream, peer: SocketAddr, control: &Arc<Control>) {
    tracing::debug!(target: "net", "{peer}: connected");
    let served = catch_unwind(AssertUnwindSafe(|| {
        let mut thread = Thread::new(house, &stream, peer, control)?;
        thread.run()
    }));
    match served {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(target: "net", "{peer}: the connection has ended: {error}"),
        Err(_) => tracing::error!("a defect ended the connection from {peer}; the others go on"),
    }
}

struct Thread<'a> {
    stream: &'a TcpStream,
    peer: SocketAddr,
    control: &'a Arc<Control>,
    guest: Guest,
    connection: Connection<Buffer>,
    began: Instant,
    login_limit: Duration,
    /// The socket takes nothing more for now.
    send_blocked: bool,
    draining: bool,
    /// When a session that is dropped is closed, whatever still runs.
    close_by: Option<Duration>,
    /// For the log: who it is, once that is known.
    who: String,
}

impl<'a> Thread<'a> {
    fn new(
        house: &Arc<House>,
        stream: &'a TcpStream,
        peer: SocketAddr,
        control: &'a Arc<Control>,
    ) -> io::Result<Self> {
        prepare(stream)?;
        let guest = Guest::new(house, control, peer, stream.local_addr()?);
        let random = Box::new(|bytes: &mut [u8]| fill_random(bytes));
        Ok(Thread {
            stream,
            peer,
            control,
            guest,
            connection: Connection::new(Wishes::default(), random),
            began: Instant::now(),
            login_limit: house.limits.login,
            send_blocked: false,
            draining: false,
            close_by: None,
            who: format!("{peer}"),
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let result = self.serve();
        if let (Err(error), Some(_)) = (&result, self.connection.session()) {
            tracing::info!("{}: the connection is gone: {error}", self.who);
        }
        self.connection.close(&mut self.guest);
        self.guest.leave();
        result
    }

    fn serve(&mut self) -> io::Result<()> {
        while !self.connection.is_over() {
            let readable = self.wait()?;
            self.read_mail();
            self.look_at_the_clock();
            if readable && !self.draining {
                self.receive()?;
            }
            self.send()?;
            self.tell();
            if let (Some(session), Some(record)) = (self.connection.session(), self.guest.record()) {
                record.gauge(session.in_flight(), session.window());
            }
            if self.draining && !self.connection.wants_to_send() && !self.has_running() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn has_running(&self) -> bool {
        self.connection.session().is_some_and(|session| session.running().next().is_some())
    }

    /// Waits for the socket, for mail or for time to pass. Says whether there may be something to receive.
    fn wait(&self) -> io::Result<bool> {
        let mut interest = PollFlags::empty();
        if self.connection.wants_to_receive() && !self.draining {
            interest |= PollFlags::IN;
        }
        if self.send_blocked && self.connection.wants_to_send() {
            interest |= PollFlags::OUT;
        }
        let due = match self.connection.is_logging_in() {
            true => Some(self.login_limit),
            false => self.connection.next_timeout().into_iter().chain(self.close_by).min(),
        };
        let left = due.map(|due| due.saturating_sub(self.now()) + Duration::from_millis(1));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let event = self.control.event();
        let mut polled =
            [PollFd::from_borrowed_fd(self.stream.as_fd(), interest), PollFd::new(&event, PollFlags::IN)];
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [socket, _] = &polled;
        let seen = socket.revents();
        if interest.is_empty() && seen.intersects(PollFlags::ERR | PollFlags::HUP) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(seen.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR))
    }

    fn read_mail(&mut self) {
        for message in self.control.take() {
            match message {
                Message::Completed(id, outcome) => {
                    self.guest.count(&outcome);
                    self.connection.complete(id, *outcome, &mut self.guest);
                }
                Message::MemoryAvailable => self.connection.memory_available(&mut self.guest),
                Message::Aborted(lun) => drop(self.connection.aborted_by_another(lun, &mut self.guest)),
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

    fn receive(&mut self) -> io::Result<()> {
        for _ in 0..RECEIVES {
            if !self.connection.wants_to_receive() {
                return Ok(());
            }
            let [direct, staging] = self.connection.receive_space();
            let (direct_length, room) = (direct.len(), direct.len() + staging.len());
            let mut slices = [IoSliceMut::new(direct), IoSliceMut::new(staging)];
            let received = match (&mut &*self.stream).read_vectored(&mut slices) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let now = self.now();
            self.connection.received(received, direct_length, now, &mut self.guest);
            if self.connection.is_known() {
                self.control.mark_known();
            }
            if received < room {
                return Ok(());
            }
        }
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        self.send_blocked = false;
        while self.connection.wants_to_send() {
            let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(SLICES);
            self.connection.slices(SLICES, &mut slices);
            match (&mut &*self.stream).write_vectored(&slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => {
                    drop(slices);
                    self.connection.sent(sent);
                }
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

/// Random bytes from the operating system.
#[allow(clippy::panic, reason = "the thread's own catch ends this connection, and no other")]
fn fill_random(bytes: &mut [u8]) {
    // Without randomness there is no authentication: ending this connection is the only honest answer.
    if let Err(error) = getrandom::fill(bytes) {
        std::panic::panic_any(format!("the operating system gives no random bytes: {error}"));
    }
}
