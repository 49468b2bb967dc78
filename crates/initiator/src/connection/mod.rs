//! A session over TCP, driven by the thread that uses it.
//!
//! [`Connection::step`] sends all that waits with one system call and takes in all that has arrived with
//! another one. The socket blocks, so that a thread with nothing to send waits in the receive itself.

mod dialogue;
mod error;

use std::io::IoSlice;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};

use crate::login::{Joined, Settings};
use crate::scsi::{self, Capacity, Inquiry};
use crate::session::{Command, Outcome, Session, Sink, Tag};
use crate::url::Url;

use dialogue::Dialogue;

pub use dialogue::discover;
pub use error::Error;

/// How long anything may take that is not a command under load: connecting, the login, a single command.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The longest that one [`Connection::step`] waits.
pub const TICK: Duration = Duration::from_millis(100);

/// Bytes that one receive takes in: about what stays in a core's own cache.
const BUFFER: usize = 512 * 1024;

/// Slices of one send; the kernel takes 1024.
const SLICES: usize = 256;

/// How often a command is tried again that has told of something else (unit attention).
const ATTENTIONS: usize = 32;

/// A session with a target.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    session: Session,
    buffer: Vec<u8>,
    filled: usize,
    patience: Duration,
}

impl Connection {
    /// Connects to a disk's target and logs in, for up to `depth` commands at once. User and secrets of the
    /// URL are put into the settings.
    ///
    /// # Errors
    /// [`Error`]: there is no session.
    pub fn open(url: &Url, settings: &Settings, depth: usize) -> Result<Connection, Error> {
        Connection::open_within(url, settings, depth, PATIENCE)
    }

    /// The same with another patience than [`PATIENCE`], for the login and for each
    /// [`call`](Connection::call).
    ///
    /// # Errors
    /// [`Error`]: there is no session.
    pub fn open_within(
        url: &Url,
        settings: &Settings,
        depth: usize,
        patience: Duration,
    ) -> Result<Connection, Error> {
        let (dialogue, terms) = dialogue::log_in(url, settings, patience)?;
        Connection::begin(dialogue, Session::new(terms, depth))
    }

    /// Opens another connection of the same session (RFC 7143 §6.3.4), with the settings of the first one,
    /// for commands of its own. Its number (CID) is no other's of the session. The target has to grant so
    /// many: MaxConnections.
    ///
    /// # Errors
    /// [`Error`]: the target does not let it in.
    pub fn join(&self, url: &Url, settings: &Settings, cid: u16, depth: usize) -> Result<Connection, Error> {
        let (terms, window) = (self.session.terms(), self.session.window());
        let joined = Joined { tsih: terms.tsih, cmd_sn: window.next(), parameters: terms.parameters };
        let settings = Settings { cid, joined: Some(joined), ..settings.clone() };
        let (dialogue, terms) = dialogue::log_in(url, &settings, self.patience)?;
        Connection::begin(dialogue, Session::joining(terms, depth, Arc::clone(window)))
    }

    fn begin(dialogue: Dialogue, session: Session) -> Result<Connection, Error> {
        let Dialogue { stream, arrived: rest, patience, .. } = dialogue;
        stream.set_read_timeout(Some(TICK))?;
        let mut buffer = vec![0; BUFFER.max(rest.len())];
        if let Some(front) = buffer.get_mut(..rest.len()) {
            front.copy_from_slice(&rest);
        }
        Ok(Connection { stream, session, buffer, filled: rest.len(), patience })
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The session, for submitting commands and for taking what has ended.
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Sends what waits, and takes in what has arrived. Waits up to [`TICK`] for something to arrive, or to
    /// be sendable. `false` if nothing has arrived.
    ///
    /// # Errors
    /// [`Error`]: the session is gone.
    pub fn step(&mut self, sink: &mut impl Sink) -> Result<bool, Error> {
        self.send()?;
        let mut flags = RecvFlags::empty();
        if self.session.wants_to_send() {
            flags = RecvFlags::DONTWAIT;
            self.wait()?;
        }
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        match recv(&self.stream, room, flags) {
            Ok((_, 0)) => return Err(Error::Closed),
            Ok((_, count)) => self.filled += count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
        let arrived = self.buffer.get(..self.filled).unwrap_or_default();
        let used = self.session.receive(arrived, sink)?;
        if used < self.filled {
            self.buffer.copy_within(used..self.filled, 0);
        }
        self.filled -= used;
        Ok(true)
    }

    /// Sends until nothing waits, or the socket takes no more.
    fn send(&mut self) -> Result<(), Error> {
        while self.session.wants_to_send() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let sent = match self.session.outgoing_whole() {
                Some(bytes) => send(&self.stream, bytes, flags),
                None => {
                    let mut slices = [IoSlice::new(&[]); SLICES];
                    let count = self.session.outgoing(&mut slices);
                    let slices = slices.get(..count).unwrap_or_default();
                    sendmsg(&self.stream, slices, &mut SendAncillaryBuffer::default(), flags)
                }
            };
            match sent {
                Ok(count) => self.session.sent(count),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(std::io::Error::from(error).into()),
            }
        }
        Ok(())
    }

    fn wait(&self) -> Result<(), Error> {
        let timeout = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
        let mut polled = [PollFd::new(&self.stream, PollFlags::IN | PollFlags::OUT)];
        match poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(std::io::Error::from(error).into()),
        }
    }

    /// Does one command while no other is under way, and gives what it has read.
    ///
    /// # Errors
    /// [`Error`]: the session is gone, or the command takes longer than [`PATIENCE`].
    pub fn call(&mut self, command: Command) -> Result<(Outcome, Vec<u8>), Error> {
        let deadline = Instant::now() + self.patience;
        let mut data = Collected(Vec::new());
        let mut submitted = None;
        loop {
            if submitted.is_none() {
                submitted = self.session.submit(command.clone());
            }
            self.step(&mut data)?;
            if let Some(completion) = self.session.next_completion() {
                return Ok((completion.outcome, data.0));
            }
            if Instant::now() > deadline {
                return Err(Error::Unanswered(self.patience));
            }
        }
    }

    /// Does a command, again where a unit attention came in its place, and gives what it has read if it ends
    /// well.
    ///
    /// # Errors
    /// [`Error`]: as [`call`](Connection::call), or the command did not end well.
    pub fn expect(&mut self, what: &'static str, command: Command) -> Result<Vec<u8>, Error> {
        for _ in 0..ATTENTIONS {
            let (outcome, data) = self.call(command.clone())?;
            match outcome.sense {
                Some(sense) if sense.is_unit_attention() => {}
                _ if outcome.is_good() => return Ok(data),
                _ => return Err(Error::Command { what, outcome }),
            }
        }
        Err(Error::Attentions(ATTENTIONS))
    }

    /// Waits until a disk says that it is ready, and asks what it is and how large.
    ///
    /// # Errors
    /// [`Error`]: there is no disk, or it is not ready.
    pub fn greet(&mut self, lun: u16) -> Result<(Inquiry, Capacity), Error> {
        let data = self.expect("INQUIRY", scsi::inquiry(lun))?;
        let inquiry = Inquiry::of(&data).ok_or(Error::Short("INQUIRY"))?;
        if inquiry.device_type != 0 {
            return Err(Error::NoDisk { lun, device_type: inquiry.device_type });
        }
        self.expect("TEST UNIT READY", scsi::test_unit_ready(lun))?;
        let capacity = match self.expect("READ CAPACITY (16)", scsi::read_capacity_16(lun)) {
            Ok(data) => Capacity::of_16(&data),
            Err(Error::Command { .. }) => {
                let data = self.expect("READ CAPACITY (10)", scsi::read_capacity_10(lun))?;
                Capacity::of_10(&data)
            }
            Err(error) => return Err(error),
        };
        Ok((inquiry, capacity.ok_or(Error::Short("READ CAPACITY"))?))
    }

    /// The numbers of the target's logical units, in order.
    ///
    /// # Errors
    /// [`Error`]: it does not say.
    pub fn luns(&mut self) -> Result<Vec<u16>, Error> {
        Ok(scsi::luns_of(&self.expect("REPORT LUNS", scsi::report_luns())?))
    }

    /// Logs out and closes the connection, within a second. What is under way is given up.
    ///
    /// # Errors
    /// [`Error`]: the target did not answer; the connection is closed all the same.
    pub fn close(mut self) -> Result<(), Error> {
        const LIMIT: Duration = Duration::from_secs(1);
        let deadline = Instant::now() + LIMIT;
        self.session.log_out();
        while !self.session.is_logged_out() {
            if Instant::now() > deadline {
                return Err(Error::Unanswered(LIMIT));
            }
            self.step(&mut ())?;
        }
        Ok(())
    }
}

/// Keeps what comes.
struct Collected(Vec<u8>);

impl Sink for Collected {
    fn data(&mut self, _: Tag, _: u32, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}
