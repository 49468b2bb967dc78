//! A target's connection, from its first byte to its last.
//!
//! The caller owns the socket: it receives into [`Connection::receive_space`], says so with
//! [`Connection::received`], sends what [`Connection::fill`] shows, and calls
//! [`Connection::handle_timeout`] when it is time. Time is a duration on a clock of the caller's choice.

use std::io::IoSlice;
use std::time::Duration;

use crate::full_feature::{AsyncEvent, Direction, Host, Outcome, PingTimes, Session, TaskId};
use crate::login::{Login, LoginRequest, LoginResponse, LoginStatus, NewSession, Step, Wishes};
use crate::pdu::layout::{self, BasicHeader};
use crate::pdu::{HEADER_LENGTH, Request, Response};
use crate::receive::{Incoming, ReceiveError, Receiver};
use crate::transmit::{Segment, Transmitter};

/// Longest data segment of a Login Request: what holds before anything else is negotiated (RFC 7143 §13.12).
const LOGIN_DATA_LIMIT: usize = 8192;

/// A peer that does not read what it is sent is not read from any more, once so many bytes of answers wait.
const OWN_BYTES_LIMIT: usize = 1024 * 1024;

/// Something worth telling people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A login has succeeded.
    LoggedIn(Box<NewSession>),
    /// A login was refused, for this reason.
    Refused(String),
    /// The initiator has logged out.
    LoggedOut,
    /// The connection has to be closed, for this reason.
    Broken(String),
}

/// How far [`Connection::proceed`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All that was received has been gone through.
    AllDone,
    /// There may be more; something is to be sent before.
    Stopped,
}

#[derive(Debug)]
enum Phase<B> {
    Login {
        login: Box<Login>,
        header: [u8; HEADER_LENGTH],
        text: Vec<u8>,
        misplaced: bool,
    },
    FullFeature(Box<Session<B>>),
    /// What is queued is still sent.
    Ending,
    /// Nothing is sent any more.
    Over,
}

/// Where the bytes come from that nobody can guess.
pub type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// A target's connection.
pub struct Connection<B> {
    receiver: Receiver,
    transmitter: Transmitter<B>,
    phase: Phase<B>,
    random: Random,
    ping_times: PingTimes,
    events: Vec<Event>,
    heard_from: bool,
}

impl<B> std::fmt::Debug for Connection<B> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connection").field("events", &self.events).finish_non_exhaustive()
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Connection<B> {
    /// A connection that was just accepted.
    pub fn new(wishes: Wishes, random: Random) -> Self {
        Connection {
            receiver: Receiver::new(LOGIN_DATA_LIMIT),
            transmitter: Transmitter::new(),
            phase: Phase::Login {
                login: Box::new(Login::new(wishes)),
                header: [0; HEADER_LENGTH],
                text: Vec::new(),
                misplaced: false,
            },
            random,
            ping_times: PingTimes::default(),
            events: Vec::new(),
            heard_from: false,
        }
    }

    /// With other times for pings.
    pub fn pinging(self, times: PingTimes) -> Self {
        Connection { ping_times: times, ..self }
    }

    /// The session, once there is one.
    pub fn session(&self) -> Option<&Session<B>> {
        match &self.phase {
            Phase::FullFeature(session) => Some(session),
            _ => None,
        }
    }

    /// Whether a valid login request has come.
    pub fn is_known(&self) -> bool {
        self.heard_from
    }

    /// Whether the login is still going on.
    pub fn is_logging_in(&self) -> bool {
        matches!(self.phase, Phase::Login { .. })
    }

    /// Whether the socket is to be closed, now that everything is sent that should be.
    pub fn is_over(&self) -> bool {
        match self.phase {
            Phase::Over => true,
            Phase::Ending => self.transmitter.is_empty(),
            _ => false,
        }
    }

    /// Whether more bytes should be received. Not from a peer that lets its answers pile up.
    pub fn wants_to_receive(&self) -> bool {
        let open = matches!(self.phase, Phase::Login { .. } | Phase::FullFeature(_));
        open && self.transmitter.own_bytes() < OWN_BYTES_LIMIT
    }

    /// What has happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Where to receive to: first the bytes of a command's own buffer (often none), then whatever follows.
    pub fn receive_space(&mut self) -> [&mut [u8]; 2] {
        let direct = self.receiver.direct();
        let first: &mut [u8] = match (&mut self.phase, direct) {
            (Phase::FullFeature(session), Some(length)) => session.direct_space(length).unwrap_or_default(),
            _ => &mut [],
        };
        // After a partial buffer (data that are to be dropped follow), nothing may go past it.
        let whole = first.is_empty() || Some(first.len()) == direct;
        [first, if whole { self.receiver.space() } else { &mut [] }]
    }

    /// Takes note of `count` bytes received to [`receive_space`](Connection::receive_space), whose first part had
    /// `direct` bytes. [`proceed`](Connection::proceed) is to be called then.
    pub fn received(&mut self, count: usize, direct: usize, now: Duration) {
        let placed = count.min(direct);
        if let Phase::FullFeature(session) = &mut self.phase {
            session.heard(now);
            if placed > 0 {
                self.receiver.took_directly(session.placed(placed));
            }
        }
        self.receiver.took(count - placed);
    }

    /// Goes through what was received. Stops early, and says so, once so many bytes wait to be sent: an initiator that
    /// gets its first answers early can go on with them at the same time.
    pub fn proceed(&mut self, most: usize, now: Duration, host: &mut impl Host<Buffer = B>) -> Progress {
        loop {
            if self.transmitter.queued() >= most && self.wants_to_send() {
                return Progress::Stopped;
            }
            match &mut self.phase {
                Phase::Login { header, text, misplaced, .. } => match self.receiver.advance() {
                    Ok(Incoming::Nothing) => return Progress::AllDone,
                    Ok(Incoming::Header(bytes, _)) => {
                        *header = *bytes;
                        *misplaced = Request::of(bytes[0]) != Some(Request::Login);
                        text.clear();
                    }
                    Ok(Incoming::Data(bytes)) => text.extend_from_slice(bytes),
                    Ok(Incoming::End { .. }) => self.end_login_request(now, host),
                    Err(error) => {
                        self.break_off(error, host);
                        return Progress::AllDone;
                    }
                },
                Phase::FullFeature(session) => match self.receiver.advance() {
                    Ok(Incoming::Nothing) => return Progress::AllDone,
                    Ok(Incoming::Header(bytes, more)) => {
                        session.header(bytes, more, &mut self.transmitter, host)
                    }
                    Ok(Incoming::Data(bytes)) => session.data(bytes),
                    Ok(Incoming::End { intact }) => {
                        session.end(intact, now, &mut self.transmitter, host);
                        self.follow_session(host);
                    }
                    Err(error) => {
                        self.break_off(error, host);
                        return Progress::AllDone;
                    }
                },
                Phase::Ending | Phase::Over => return Progress::AllDone,
            }
        }
    }

    /// Shows what is to be sent next, in as many of the slices as it takes; says how many those are.
    pub fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match self.phase {
            Phase::Over => 0,
            _ => self.transmitter.fill(slices),
        }
    }

    /// Whether there is something to send.
    pub fn wants_to_send(&self) -> bool {
        !matches!(self.phase, Phase::Over) && !self.transmitter.is_empty()
    }

    /// Takes note that `count` bytes were sent.
    pub fn sent(&mut self, count: usize) {
        self.transmitter.sent(count);
    }

    /// Takes the outcome of a command that was started.
    pub fn complete(&mut self, id: TaskId, outcome: Outcome<B>, host: &mut impl Host<Buffer = B>) {
        if let Phase::FullFeature(session) = &mut self.phase {
            session.complete(id, outcome, &mut self.transmitter, host);
        }
    }

    /// Memory has come free.
    pub fn memory_available(&mut self, host: &mut impl Host<Buffer = B>) {
        if let Phase::FullFeature(session) = &mut self.phase {
            session.memory_available(&mut self.transmitter, host);
        }
    }

    /// Another session had the tasks of a logical unit aborted: they end with TASK ABORTED if they are to be answered,
    /// else without a word. Returns whether there were any.
    pub fn aborted_by_another(
        &mut self,
        lun: [u8; 8],
        are_answered: bool,
        host: &mut impl Host<Buffer = B>,
    ) -> bool {
        match &mut self.phase {
            Phase::FullFeature(session) => {
                let aborted = session.aborted_by_another(lun, are_answered, &mut self.transmitter, host);
                session.memory_available(&mut self.transmitter, host);
                aborted
            }
            _ => false,
        }
    }

    /// When [`handle_timeout`](Connection::handle_timeout) is to be called. The login's deadline is the caller's.
    pub fn next_timeout(&self) -> Option<Duration> {
        self.session().map(Session::next_timeout)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Duration, host: &mut impl Host<Buffer = B>) {
        if let Phase::FullFeature(session) = &mut self.phase {
            session.handle_timeout(now, &mut self.transmitter);
            self.follow_session(host);
        }
    }

    /// Sends an asynchronous message, if there is a session.
    pub fn announce(&mut self, event: AsyncEvent) {
        if let Phase::FullFeature(session) = &mut self.phase {
            session.announce(event, &mut self.transmitter);
        }
    }

    /// Ends the connection: running commands are abandoned, and nothing more is sent.
    pub fn close(&mut self, host: &mut impl Host<Buffer = B>) {
        if let Phase::FullFeature(session) = &mut self.phase {
            session.abandon_all(host);
        }
        self.phase = Phase::Over;
    }

    fn follow_session(&mut self, host: &mut impl Host<Buffer = B>) {
        let Phase::FullFeature(session) = &self.phase else { return };
        match session.direction() {
            Direction::GoOn => {}
            Direction::CloseAfterSending => {
                self.events.push(Event::LoggedOut);
                self.phase = Phase::Ending;
            }
            Direction::Close(reason) => {
                self.events.push(Event::Broken(reason.to_string()));
                self.close(host);
            }
        }
    }

    fn break_off(&mut self, error: ReceiveError, host: &mut impl Host<Buffer = B>) {
        let text = match self.phase {
            Phase::Login { .. } => Event::Refused(error.to_string()),
            _ => Event::Broken(error.to_string()),
        };
        self.events.push(text);
        self.close(host);
    }

    fn end_login_request(&mut self, now: Duration, host: &mut impl Host<Buffer = B>) {
        let Phase::Login { login, header, text, misplaced } = &mut self.phase else { return };
        let request = login_request(header, text);
        if *misplaced {
            let response = login.refuse(&request, LoginStatus::INVALID_DURING_LOGIN);
            let opcode = header[0] & 0x3f;
            push_login(&response, &mut self.transmitter);
            self.events
                .push(Event::Refused(format!("a PDU with opcode {opcode:02X}h before the login was over")));
            self.phase = Phase::Ending;
            return;
        }
        self.heard_from = true;
        match login.request(&request, host, &mut *self.random) {
            Step::Respond(response) => push_login(&response, &mut self.transmitter),
            Step::Refused(response, reason) => {
                push_login(&response, &mut self.transmitter);
                self.events.push(Event::Refused(reason));
                self.phase = Phase::Ending;
            }
            Step::Established(response, established) => {
                push_login(&response, &mut self.transmitter);
                let parameters = established.parameters;
                let (header_digest, data_digest) = (parameters.header_digest, parameters.data_digest);
                let limit = parameters.max_recv_data_segment_length_target as usize;
                self.receiver.configure(header_digest, data_digest, limit);
                self.transmitter.configure(header_digest, data_digest);
                self.events.push(Event::LoggedIn(Box::new(established.session.clone())));
                let session = Session::new(
                    established.session,
                    parameters,
                    established.cmd_sn,
                    established.stat_sn,
                    now,
                    host,
                );
                self.phase = Phase::FullFeature(Box::new(session.pinging(self.ping_times)));
            }
        }
    }
}

fn login_request<'a>(header: &[u8; HEADER_LENGTH], data: &'a [u8]) -> LoginRequest<'a> {
    let fields = layout::LoginRequest::of(header);
    LoginRequest {
        transit: fields.flags & 0x80 != 0,
        continue_: fields.flags & 0x40 != 0,
        csg: fields.flags >> 2 & 3,
        nsg: fields.flags & 3,
        version_max: fields.version_max,
        version_min: fields.version_min,
        isid: fields.isid,
        tsih: fields.tsih.get(),
        initiator_task_tag: BasicHeader::of(header).initiator_task_tag.get(),
        cid: fields.cid.get(),
        cmd_sn: fields.cmd_sn.get(),
        exp_stat_sn: fields.exp_stat_sn.get(),
        data,
    }
}

fn push_login<B: AsRef<[u8]>>(response: &LoginResponse, out: &mut Transmitter<B>) {
    let mut header = layout::LoginResponse::zeroed();
    header.opcode = Response::Login as u8;
    let bits = [(response.transit, 0x80), (response.continue_, 0x40)];
    header.flags = bits.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum::<u8>()
        | response.csg << 2
        | response.nsg;
    header.version_max = response.version_max;
    header.version_active = response.version_active;
    header.isid = response.isid;
    header.tsih = response.tsih.into();
    header.initiator_task_tag = response.initiator_task_tag.into();
    header.stat_sn = response.stat_sn.into();
    header.exp_cmd_sn = response.exp_cmd_sn.into();
    header.max_cmd_sn = response.max_cmd_sn.into();
    header.status_class = response.status.class();
    header.status_detail = response.status.detail();
    out.push(header.bytes(), Segment::Owned(response.data.clone()));
}
