//! What is not SCSI: pings both ways, text, logout, asynchronous messages (RFC 7143 §11.9, §11.10, §11.14, §11.18).

use std::time::Duration;

use super::host::Host;
use super::{Direction, Session};
use crate::pdu::{NO_TAG, Response, layout};
use crate::transmit::{Segment, Transmitter};

/// An initiator that is silent for so long is asked whether it is there.
pub const IDLE_BEFORE_PING: Duration = Duration::from_secs(15);

/// One that has answered before and stays silent for so long after a ping is taken for dead.
pub const PING_PATIENCE: Duration = Duration::from_secs(15);

/// An initiator that was asked for data and sends none of them for so long keeps others from the memory set aside
/// for it.
pub const DATA_PATIENCE: Duration = Duration::from_secs(60);

/// How long a silent initiator is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingTimes {
    /// Before it is asked: [`IDLE_BEFORE_PING`].
    pub idle: Duration,
    /// After that, if it has ever answered: [`PING_PATIENCE`].
    pub patience: Duration,
}

impl Default for PingTimes {
    fn default() -> Self {
        PingTimes { idle: IDLE_BEFORE_PING, patience: PING_PATIENCE }
    }
}

/// Whether the initiator is there.
#[derive(Debug)]
pub(super) struct Ping {
    times: PingTimes,
    heard: Duration,
    asked: Option<Duration>,
    /// iPXE and EDK2 never answer; they must not be closed for it.
    answers: bool,
}

impl Ping {
    pub(super) fn new(now: Duration, times: PingTimes) -> Self {
        Ping { times, heard: now, asked: None, answers: false }
    }

    pub(super) fn heard(&mut self, now: Duration) {
        self.heard = now;
        self.asked = None;
    }

    fn due(&self) -> Duration {
        match self.asked {
            Some(asked) => asked + self.times.patience,
            None => self.heard + self.times.idle,
        }
    }
}

/// Asynchronous messages (RFC 7143 §11.9.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AsyncEvent {
    /// Something has happened to a logical unit.
    Scsi {
        /// Which.
        lun: [u8; 8],
        /// What, as sense data of at most 252 bytes.
        sense: Vec<u8>,
    },
    /// The target wants the initiator to log out, within so many seconds.
    RequestLogout {
        /// Seconds.
        within: u16,
    },
    /// The target will close all connections of the session.
    DropSession,
}

/// C of a Text Request: more text follows.
const CONTINUE: u8 = 0x40;

/// Reason codes of a Logout Request (RFC 7143 §11.14.1).
mod logout_reason {
    pub(super) const CLOSE_SESSION: u8 = 0;
    pub(super) const CLOSE_CONNECTION: u8 = 1;
}

/// Answers to a Logout Request (RFC 7143 §11.15.1).
mod logout_response {
    pub(super) const CLOSED: u8 = 0;
    pub(super) const NO_SUCH_CONNECTION: u8 = 1;
    pub(super) const NO_RECOVERY: u8 = 2;
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Session<B> {
    /// When [`handle_timeout`](Session::handle_timeout) is to be called, on the caller's clock.
    pub fn next_timeout(&self) -> Duration {
        self.data_due.map_or(self.ping.due(), |due| due.min(self.ping.due()))
    }

    /// The peer is alive: bytes came, or went.
    pub fn heard(&mut self, now: Duration) {
        self.ping.heard(now);
        self.now = now;
    }

    /// Data have come that were asked for or announced, or are now: the patience with the rest begins anew.
    pub(super) fn expect_data(&mut self) {
        let awaited = self.tasks.iter().any(|task| task.data.awaits_data());
        self.data_due = awaited.then(|| self.now + DATA_PATIENCE);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Duration, out: &mut Transmitter<B>) {
        self.now = now;
        if self.data_due.is_some_and(|due| now >= due) {
            let awaited = self.tasks.iter().any(|task| task.data.awaits_data());
            self.data_due = None;
            if awaited {
                self.direction =
                    Direction::Close("it did not send the data that it was asked for or had announced");
                return;
            }
        }
        if now < self.ping.due() {
            return;
        }
        if self.ping.asked.is_some() && self.ping.answers && self.tasks.is_empty() {
            self.direction = Direction::Close("it did not answer a ping");
            return;
        }
        self.ping.asked = Some(now);
        // StatSN is shown, not consumed (RFC 7143 §11.19.2): EDK2 checks it.
        let mut ping = self.respond(Response::NopIn, NO_TAG, false);
        ping.target_transfer_tag = self.next_transfer_tag.into();
        self.next_transfer_tag = self.next_transfer_tag.wrapping_add(1) & 0x7fff_ffff;
        out.push(ping.bytes(), Segment::Empty);
    }

    pub(super) fn nop_out(&mut self, mut bytes: Vec<u8>, out: &mut Transmitter<B>) {
        let request = layout::TextRequest::of(&self.header);
        if request.target_transfer_tag.get() != NO_TAG {
            self.ping.answers = true;
        }
        if request.initiator_task_tag.get() == NO_TAG {
            return;
        }
        let mut answer = self.respond(Response::NopIn, request.initiator_task_tag.get(), true);
        answer.lun = request.lun;
        answer.target_transfer_tag = NO_TAG.into();
        bytes.truncate(self.parameters.max_recv_data_segment_length_initiator as usize);
        out.push(answer.bytes(), Segment::Owned(bytes));
    }

    pub(super) fn text_request(
        &mut self,
        bytes: &[u8],
        out: &mut Transmitter<B>,
        host: &mut impl Host<Buffer = B>,
    ) {
        let request = layout::TextRequest::of(&self.header);
        let fields = crate::send_targets::TextRequest {
            final_: request.flags & 0x80 != 0,
            continue_: request.flags & CONTINUE != 0,
            target_transfer_tag: request.target_transfer_tag.get(),
            data: bytes,
        };
        match self.text.request(&fields, &mut |name| host.discover(name)) {
            Ok(answer) => {
                if let Some(length) = answer.max_recv_data_segment_length {
                    self.parameters.max_recv_data_segment_length_initiator = length;
                }
                let tag = request.initiator_task_tag.get();
                let mut response = self.respond(Response::Text, tag, true);
                response.flags =
                    if answer.final_ { 0x80 } else { 0 } | if answer.continue_ { CONTINUE } else { 0 };
                response.target_transfer_tag = answer.target_transfer_tag.into();
                out.push(response.bytes(), Segment::Owned(answer.data));
            }
            Err(reason) => self.reject(reason, out),
        }
    }

    pub(super) fn logout(&mut self, out: &mut Transmitter<B>, host: &mut impl Host<Buffer = B>) {
        let request = layout::LogoutRequest::of(&self.header);
        let answer = match request.reason & 0x7f {
            logout_reason::CLOSE_SESSION => logout_response::CLOSED,
            logout_reason::CLOSE_CONNECTION if request.cid.get() == self.identity.cid => {
                logout_response::CLOSED
            }
            logout_reason::CLOSE_CONNECTION => logout_response::NO_SUCH_CONNECTION,
            _ => logout_response::NO_RECOVERY,
        };
        if answer == logout_response::CLOSED {
            self.abandon_all(host);
            host.logged_out();
            self.direction = Direction::CloseAfterSending;
        }
        let shared = self.respond(Response::Logout, request.initiator_task_tag.get(), true);
        let mut response = layout::ShortResponse::of(&shared.bytes());
        response.response = answer;
        response.time2wait = 0.into();
        response.time2retain = 0.into();
        out.push(response.bytes(), Segment::Empty);
    }

    /// Sends an asynchronous message.
    pub fn announce(&mut self, event: AsyncEvent, out: &mut Transmitter<B>) {
        let shared = self.respond(Response::AsyncMessage, NO_TAG, true);
        let mut message = layout::AsyncMessage::of(&shared.bytes());
        let mut data = Segment::Empty;
        match event {
            AsyncEvent::Scsi { lun, mut sense } => {
                message.lun = lun;
                sense.truncate(252);
                // SenseLength and the sense data (RFC 7143 §11.9.4).
                data = Segment::Owned([&(sense.len() as u16).to_be_bytes(), &sense[..]].concat());
            }
            AsyncEvent::RequestLogout { within } => {
                message.event = 1;
                message.parameter3 = within.into();
            }
            AsyncEvent::DropSession => message.event = 3,
        }
        out.push(message.bytes(), data);
    }
}
