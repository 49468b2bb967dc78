//! The full feature phase of one connection: commands go out, data move, outcomes come back (RFC 7143 §4.2,
//! §4.5, §11).
//!
//! Nothing is allocated for a command that ends well: each has a slot that its Initiator Task Tag points to,
//! headers are written into one buffer, and data to be written stay where they are. What a target can make
//! this keep is bounded by the commands that are under way.

mod answers;
mod command;
mod error;
mod inbox;
mod outbox;
mod slots;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;

use timedisk_iscsi::parameters::Parameters;
use timedisk_iscsi::pdu::layout;
use timedisk_iscsi::pdu::{IMMEDIATE, NO_TAG, Request};

pub use command::{Command, Completion, Outcome, Payload, Residual, Tag, Transfer};
pub use error::ProtocolError;
pub use inbox::Sink;
pub use window::Window;

use command::Direction;
use inbox::Inbox;
use outbox::Outbox;
use slots::{Slot, Slots};

/// F: the last PDU of a sequence (RFC 7143 §11.3.1, §11.7.1).
const FINAL: u8 = 0x80;

/// Most commands of a session that may be under way at once.
pub const MOST_COMMANDS: usize = 4096;

/// What a login has settled: with it, a session begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The parameters of session and connection.
    pub parameters: Parameters,
    /// Connection identifier.
    pub cid: u16,
    /// The target's part of the session's identifier.
    pub tsih: u16,
    /// Number of the next command.
    pub cmd_sn: u32,
    /// Number of the last command that the target takes for now.
    pub max_cmd_sn: u32,
    /// Number of the next status of the target.
    pub exp_stat_sn: u32,
}

/// The full feature phase of one connection, from the login to the logout.
#[derive(Debug)]
pub struct Session {
    terms: Terms,
    window: Arc<Window>,
    slots: Slots,
    outbox: Outbox,
    inbox: Inbox,
    completions: Vec<Completion>,
    logout: Logout,
}

/// How far the logout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Logout {
    No,
    Asked,
    Done,
}

/// Reasons of a logout (§11.14.1).
const CLOSE_SESSION: u8 = 0;
const CLOSE_CONNECTION: u8 = 1;

/// The tag of the logout request, which no command has.
const LOGOUT_TAG: u32 = 0xffff_fffe;

impl Session {
    /// A session on these terms, for up to `depth` commands at once (at least 1, at most [`MOST_COMMANDS`]).
    pub fn new(terms: Terms, depth: usize) -> Session {
        let window = Window::new(terms.cmd_sn, terms.max_cmd_sn);
        Session::joining(terms, depth, Arc::new(window))
    }

    /// Another connection of a session, whose commands are numbered together with those of the others.
    pub fn joining(terms: Terms, depth: usize, window: Arc<Window>) -> Session {
        window.open(terms.cmd_sn, terms.max_cmd_sn);
        let depth = depth.clamp(1, MOST_COMMANDS);
        let parameters = &terms.parameters;
        Session {
            slots: Slots::new(depth),
            outbox: Outbox::new(parameters.header_digest, parameters.data_digest),
            inbox: Inbox::new(parameters),
            completions: Vec::with_capacity(depth),
            logout: Logout::No,
            window,
            terms,
        }
    }

    /// The terms that it began with.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The numbers of the session's commands, for another connection of it.
    pub fn window(&self) -> &Arc<Window> {
        &self.window
    }

    /// What holds in this session.
    pub fn parameters(&self) -> &Parameters {
        &self.terms.parameters
    }

    /// The most commands at once that this session was made for.
    pub fn depth(&self) -> usize {
        self.slots.depth()
    }

    /// Commands that are under way.
    pub fn in_flight(&self) -> usize {
        self.slots.busy()
    }

    /// Whether a command can be submitted now: there is a slot for it, and the target's window is open.
    pub fn can_submit(&self) -> bool {
        self.slots.has_free() && self.logout == Logout::No && self.window.is_open()
    }

    /// Sends a command on its way. `None`, and nothing done, where [`can_submit`](Session::can_submit) says
    /// no.
    pub fn submit(&mut self, command: Command) -> Option<Tag> {
        if !self.slots.has_free() || self.logout != Logout::No {
            return None;
        }
        let cmd_sn = self.window.take()?;
        let (direction, length) = command.extent();
        let parameters = &self.terms.parameters;
        let most = parameters.first_burst_length.min(length);
        let (immediate, unsolicited) = match direction {
            Direction::Write => {
                let piece = parameters.max_recv_data_segment_length_target;
                let immediate = if parameters.immediate_data { most.min(piece) } else { 0 };
                (immediate, if parameters.initial_r2t { immediate } else { most })
            }
            _ => (0, 0),
        };
        let mut header = layout::ScsiCommand::zeroed();
        header.opcode = Request::ScsiCommand as u8;
        header.flags = direction.flags() | if unsolicited > immediate { 0 } else { FINAL };
        header.lun = command.lun;
        header.expected_data_transfer_length = length.into();
        header.cmd_sn = cmd_sn.into();
        header.exp_stat_sn = self.terms.exp_stat_sn.into();
        header.cdb = command.cdb;
        let lun = command.lun;
        let (tag, slot) = self.slots.take(command, direction, length)?;
        header.initiator_task_tag = tag.0.into();
        slot.moved = unsolicited;
        match slot.payload() {
            Some(payload) if immediate > 0 => {
                self.outbox.push(header.bytes(), Some(payload.part(0, immediate)));
                if unsolicited > immediate {
                    let burst = Burst { tag, lun, transfer_tag: NO_TAG, start: immediate, end: unsolicited };
                    let payload = payload.clone();
                    self.push_data(&burst, &payload);
                }
            }
            Some(payload) if unsolicited > 0 => {
                let payload = payload.clone();
                self.outbox.push(header.bytes(), None);
                let burst = Burst { tag, lun, transfer_tag: NO_TAG, start: 0, end: unsolicited };
                self.push_data(&burst, &payload);
            }
            _ => self.outbox.push(header.bytes(), None),
        }
        Some(tag)
    }

    /// Queues a sequence of Data-Out PDUs (RFC 7143 §11.7).
    fn push_data(&mut self, burst: &Burst, payload: &Payload) {
        let piece = self.terms.parameters.max_recv_data_segment_length_target.max(1);
        let (mut at, mut number) = (burst.start, 0u32);
        while at < burst.end {
            let length = piece.min(burst.end - at);
            let mut header = layout::DataOut::zeroed();
            header.opcode = Request::DataOut as u8;
            header.flags = if at + length == burst.end { FINAL } else { 0 };
            header.lun = burst.lun;
            header.initiator_task_tag = burst.tag.0.into();
            header.target_transfer_tag = burst.transfer_tag.into();
            header.exp_stat_sn = self.terms.exp_stat_sn.into();
            header.data_sn = number.into();
            header.buffer_offset = at.into();
            self.outbox.push(header.bytes(), Some(payload.part(at, length)));
            (at, number) = (at + length, number.wrapping_add(1));
        }
    }

    /// Asks the target to end the session, or this connection of it where there may be several (RFC 7143
    /// §11.14). No command can be submitted after it.
    pub fn log_out(&mut self) {
        if self.logout != Logout::No {
            return;
        }
        self.logout = Logout::Asked;
        let mut header = layout::LogoutRequest::zeroed();
        header.opcode = Request::Logout as u8 | IMMEDIATE;
        let is_alone = self.terms.parameters.max_connections == 1;
        header.reason = FINAL | if is_alone { CLOSE_SESSION } else { CLOSE_CONNECTION };
        header.initiator_task_tag = LOGOUT_TAG.into();
        header.cid = self.terms.cid.into();
        header.cmd_sn = self.window.next().into();
        header.exp_stat_sn = self.terms.exp_stat_sn.into();
        self.outbox.push(header.bytes(), None);
    }

    /// Whether the target has answered the logout.
    pub fn is_logged_out(&self) -> bool {
        self.logout == Logout::Done
    }

    /// Takes in what has arrived, and gives data of reads to `sink` as they come. Returns how many of the
    /// bytes were taken: the rest, less than a header with its additional segments, is to be shown again with
    /// what follows it.
    ///
    /// # Errors
    /// [`ProtocolError`], after which the connection is of no more use.
    pub fn receive(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<usize, ProtocolError> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..) {
            let step = self.step(rest, sink)?;
            at += step.used;
            if step.is_starved {
                break;
            }
        }
        Ok(at)
    }

    /// Commands that have ended since the last call.
    pub fn completions(&mut self) -> impl Iterator<Item = Completion> + '_ {
        self.completions.drain(..)
    }

    /// The next command that has ended. Those that ended last come first.
    pub fn next_completion(&mut self) -> Option<Completion> {
        self.completions.pop()
    }

    /// Whether there is something to send.
    pub fn wants_to_send(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// What is to be sent next, in as many slices as `slices` has room for, at most. The number of slices
    /// that were filled.
    pub fn outgoing<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        self.outbox.slices(slices)
    }

    /// All that is to be sent, where it lies in one piece: commands without long data.
    pub fn outgoing_whole(&self) -> Option<&[u8]> {
        self.outbox.whole()
    }

    /// Takes note that the first `count` bytes of what was to be sent are gone.
    pub fn sent(&mut self, count: usize) {
        self.outbox.sent(count);
    }

    /// Notes a command's end.
    fn complete(&mut self, tag: Tag, outcome: Outcome) {
        self.slots.release(tag);
        self.completions.push(Completion { tag, outcome });
    }

    fn slot(&mut self, tag: u32, what: &'static str) -> Result<&mut Slot, ProtocolError> {
        self.slots.find(tag).ok_or(ProtocolError::UnknownTag { what, tag })
    }
}

/// A sequence of Data-Out PDUs.
struct Burst {
    tag: Tag,
    lun: [u8; 8],
    transfer_tag: u32,
    start: u32,
    end: u32,
}
