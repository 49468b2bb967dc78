//! Question and answer over TCP: login and discovery.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::{Error, PATIENCE};
use crate::control::Pdu;
use crate::discovery::{self, Discovery, Found};
use crate::login::{Login, LoginError, Next, Settings};
use crate::session::Terms;
use crate::url::{Portal, Url};

/// How often a target may send us elsewhere.
const REDIRECTIONS: usize = 4;

/// A connection on which one side speaks at a time.
pub(super) struct Dialogue {
    pub(super) stream: TcpStream,
    /// What has arrived and belongs to nothing that was asked yet.
    pub(super) arrived: Vec<u8>,
    deadline: Instant,
    pub(super) patience: Duration,
}

impl Dialogue {
    fn open(portal: &Portal, patience: Duration) -> Result<Dialogue, Error> {
        let deadline = Instant::now() + patience;
        let resolve = |cause| Error::Resolve { portal: portal.clone(), cause };
        let mut failure = std::io::Error::from(std::io::ErrorKind::NotFound);
        for address in (portal.host.as_str(), portal.port).to_socket_addrs().map_err(resolve)? {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Dialogue { stream, arrived: Vec::new(), deadline, patience });
                }
                Err(error) => failure = error,
            }
        }
        Err(Error::Connect { portal: portal.clone(), cause: failure })
    }

    fn left(&self) -> Result<Duration, Error> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Error::Unanswered(self.patience)) } else { Ok(left) }
    }

    fn send(&mut self, pdu: &Pdu) -> Result<(), Error> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        Ok(self.stream.write_all(&pdu.encode())?)
    }

    fn receive(&mut self) -> Result<Pdu, Error> {
        let mut piece = [0; 4096];
        loop {
            if let Some((pdu, length)) = Pdu::decode(&self.arrived)? {
                self.arrived.drain(..length);
                return Ok(pdu);
            }
            self.stream.set_read_timeout(Some(self.left()?))?;
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(Error::Closed),
                Ok(count) => self.arrived.extend_from_slice(piece.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn log_in(&mut self, settings: &Settings, target: Option<&str>) -> Result<Terms, Error> {
        let mut failure = Ok(());
        let mut random = |bytes: &mut [u8]| {
            if let Err(error) = getrandom::fill(bytes) {
                failure = Err(Error::Random(error));
            }
        };
        let (mut login, first) = Login::begin(settings.clone(), target, &mut random);
        failure?;
        self.send(&first)?;
        loop {
            match login.receive(&self.receive()?)? {
                Next::Send(pdu) => self.send(&pdu)?,
                Next::Done(terms) => return Ok(*terms),
            }
        }
    }
}

/// Connects and logs in.
pub(super) fn log_in(url: &Url, settings: &Settings, patience: Duration) -> Result<(Dialogue, Terms), Error> {
    let settings = Settings { user: url.user.clone(), peer: url.peer.clone(), ..settings.clone() };
    let mut portal = url.portal.clone();
    for _ in 0..=REDIRECTIONS {
        let mut dialogue = Dialogue::open(&portal, patience)?;
        match dialogue.log_in(&settings, Some(&url.target)) {
            Ok(terms) => return Ok((dialogue, terms)),
            Err(Error::Login(LoginError::Moved { address })) => match address.parse() {
                Ok(elsewhere) => portal = elsewhere,
                Err(_) => return Err(LoginError::Moved { address }.into()),
            },
            Err(error) => return Err(error),
        }
    }
    Err(Error::Redirections(REDIRECTIONS))
}

/// Asks a portal which targets it has.
///
/// # Errors
/// [`Error`]: it does not say.
pub fn discover(portal: &Portal, settings: &Settings) -> Result<Vec<Found>, Error> {
    let mut dialogue = Dialogue::open(portal, PATIENCE)?;
    let terms = dialogue.log_in(settings, None)?;
    let (mut discovery, question) = Discovery::begin(terms);
    dialogue.send(&question)?;
    loop {
        match discovery.receive(&dialogue.receive()?)? {
            discovery::Next::Wait => {}
            discovery::Next::Send(pdu) => dialogue.send(&pdu)?,
            discovery::Next::Done(found) => {
                // Whether it is taken or not: the list is here.
                let _ = dialogue.send(&discovery.log_out());
                return Ok(found);
            }
        }
    }
}
