//! The full feature phase of a session, target side (RFC 7143 §4.2.5, §11), at error recovery level 0.
//!
//! PDUs come in as header, data and end; the session answers by queueing PDUs and by asking its [`Host`]. A session
//! has one connection, so commands arrive in order but for a PDU that was damaged on its way.

mod data_out;
mod exchanges;
mod host;
mod lun;
mod scsi_command;
mod task;
mod task_management;
mod task_table;
mod window;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

pub use exchanges::{AsyncEvent, DATA_PATIENCE, IDLE_BEFORE_PING, PING_PATIENCE, PingTimes};
pub use host::{Attribute, Cdb, Command, Function, FunctionResponse, Host, Outcome, Plan, TaskId};
pub use lun::normal_lun;
pub use window::{CommandWindow, WINDOW_LIMIT, WINDOW_START};

use crate::login::NewSession;
use crate::parameters::Parameters;
use crate::pdu::layout::BasicHeader;
use crate::pdu::{HEADER_LENGTH, NO_TAG, RejectReason, Request, layout};
use crate::send_targets::TextExchange;
use crate::transmit::{Segment, Transmitter};
use task::{DataPdu, Stage};
use task_table::TaskTable;
use window::Arrival;

/// Non-SCSI data that one PDU may bring (ping data, text); a longer segment is answered with a reject.
const COLLECT_LIMIT: usize = 64 * 1024;

/// Immediate commands that may be under way at once, outside the command window.
const IMMEDIATE_LIMIT: u32 = 16;

/// Tags of aborted tasks that are remembered, so that their late data are dropped without a fuss.
const ABORTED_LIMIT: usize = 128;

/// The PDU that is being received.
#[derive(Debug)]
enum Current {
    Nothing,
    /// Immediate data of a command.
    Command {
        tag: u32,
        length: u32,
        came: u32,
        last: bool,
    },
    DataOut {
        tag: u32,
        pdu: DataPdu,
        came: u32,
    },
    /// A request with data that are not a command's.
    Collect {
        bytes: Vec<u8>,
    },
    Drop {
        reject: Option<RejectReason>,
    },
}

/// What the connection is to do besides sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Go on.
    GoOn,
    /// Send what is queued, then close.
    CloseAfterSending,
    /// Close at once.
    Close(&'static str),
}

/// A target's session in its full feature phase.
#[derive(Debug)]
pub struct Session<B> {
    identity: NewSession,
    parameters: Parameters,
    window: CommandWindow,
    /// CmdSNs that arrived before one that is missing, with the task each one brought.
    ahead: Vec<(u32, Option<u32>)>,
    stat_sn: u32,
    tasks: TaskTable<B>,
    next_serial: u64,
    next_delivery: u64,
    next_transfer_tag: u32,
    /// Tasks with the ORDERED attribute that have not ended.
    ordered: usize,
    waiting_for_memory: VecDeque<u32>,
    aborted: VecDeque<u32>,
    current: Current,
    header: [u8; HEADER_LENGTH],
    text: TextExchange,
    ping: exchanges::Ping,
    /// When the last bytes came.
    now: Duration,
    /// When data that were asked for are given up on.
    data_due: Option<Duration>,
    direction: Direction,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Session<B> {
    /// Begins where the login ended: `cmd_sn` is the first command's number, `stat_sn` the next response's.
    pub fn new(
        identity: NewSession,
        parameters: Parameters,
        cmd_sn: u32,
        stat_sn: u32,
        now: Duration,
        host: &mut impl Host<Buffer = B>,
    ) -> Self {
        // Those who only look for targets have no data to send.
        let unsolicited = if identity.is_discovery() { 0 } else { unsolicited_limit(&parameters) };
        let more = WINDOW_START - 1;
        let start = if host.reserve_beforehand(more as usize, unsolicited) { WINDOW_START } else { 1 };
        Session {
            window: CommandWindow::new(cmd_sn, start),
            text: TextExchange::new(&parameters, &identity),
            identity,
            parameters,
            ahead: Vec::new(),
            stat_sn,
            tasks: TaskTable::new(),
            next_serial: 0,
            next_delivery: 0,
            next_transfer_tag: 0,
            ordered: 0,
            waiting_for_memory: VecDeque::new(),
            aborted: VecDeque::new(),
            current: Current::Nothing,
            header: [0; HEADER_LENGTH],
            ping: exchanges::Ping::new(now, PingTimes::default()),
            now,
            data_due: None,
            direction: Direction::GoOn,
        }
    }

    /// With other times for pings, before anything has come.
    pub fn pinging(self, times: PingTimes) -> Self {
        Session { ping: exchanges::Ping::new(self.now, times), ..self }
    }

    /// Who this is.
    pub fn identity(&self) -> &NewSession {
        &self.identity
    }

    /// What was negotiated.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// What the connection is to do.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Commands that have come and are not answered yet.
    pub fn in_flight(&self) -> u32 {
        self.tasks.count()
    }

    /// Commands that the initiator may have unanswered (RFC 7143 §4.2.2.1).
    pub fn window(&self) -> u32 {
        self.window.size()
    }

    /// Names of the tasks that the device server has.
    pub fn running(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.tasks.iter().filter(|task| task.stage == Stage::Running).map(|task| task.id)
    }

    /// Takes a PDU's header.
    pub fn header(
        &mut self,
        header: &[u8; HEADER_LENGTH],
        additional: &[u8],
        out: &mut Transmitter<B>,
        host: &mut impl Host<Buffer = B>,
    ) {
        self.header = *header;
        let basic = BasicHeader::of(header);
        let discovery = self.identity.is_discovery();
        self.current = match Request::of(basic.opcode) {
            Some(Request::ScsiCommand) if !discovery => self.scsi_command(additional, out, host),
            Some(Request::DataOut) if !discovery => self.data_out(),
            Some(Request::NopOut | Request::Text) if basic.data_length() <= COLLECT_LIMIT => {
                Current::Collect { bytes: Vec::with_capacity(basic.data_length()) }
            }
            Some(Request::TaskManagement) if !discovery => Current::Collect { bytes: Vec::new() },
            Some(Request::Logout) => Current::Collect { bytes: Vec::new() },
            Some(Request::NopOut | Request::Text) => {
                Current::Drop { reject: Some(RejectReason::InvalidPduField) }
            }
            Some(Request::Snack) => Current::Drop { reject: Some(RejectReason::SnackReject) },
            Some(_) => Current::Drop { reject: Some(RejectReason::ProtocolError) },
            None => Current::Drop { reject: Some(RejectReason::CommandNotSupported) },
        };
    }

    /// Takes the next piece of the PDU's data.
    pub fn data(&mut self, bytes: &[u8]) {
        match &mut self.current {
            Current::Command { tag, came, .. } | Current::DataOut { tag, came, .. } => {
                if let Some(task) = self.tasks.get_mut(*tag) {
                    task.data.place(*came, bytes);
                }
                *came += bytes.len() as u32;
            }
            Current::Collect { bytes: collected } => {
                let room = COLLECT_LIMIT.saturating_sub(collected.len()).min(bytes.len());
                collected.extend_from_slice(bytes.get(..room).unwrap_or_default());
            }
            Current::Nothing | Current::Drop { .. } => {}
        }
    }

    /// Where up to `length` next bytes of the PDU's data may be received directly, if anywhere. Afterwards
    /// [`placed`](Session::placed) is to be called.
    pub fn direct_space(&mut self, length: usize) -> Option<&mut [u8]> {
        match &self.current {
            Current::Command { tag, came, .. } | Current::DataOut { tag, came, .. } => {
                self.tasks.get_mut(*tag)?.data.space(*came, length).filter(|space| !space.is_empty())
            }
            _ => None,
        }
    }

    /// Takes note that `count` bytes were received directly, and shows them.
    pub fn placed(&mut self, count: usize) -> &[u8] {
        match &mut self.current {
            Current::Command { tag, came, .. } | Current::DataOut { tag, came, .. } => {
                let at = *came;
                *came += count as u32;
                let space = self.tasks.get_mut(*tag).and_then(|task| task.data.space(at, count));
                space.map_or(&[], |space| &*space)
            }
            _ => &[],
        }
    }

    /// Takes the end of the PDU.
    pub fn end(
        &mut self,
        intact: bool,
        now: Duration,
        out: &mut Transmitter<B>,
        host: &mut impl Host<Buffer = B>,
    ) {
        self.heard(now);
        match std::mem::replace(&mut self.current, Current::Nothing) {
            Current::Nothing => {}
            Current::Command { tag, length, last, .. } => {
                self.end_command(tag, length, last, intact, out, host)
            }
            Current::DataOut { tag, pdu, .. } => self.end_data_out(tag, pdu, intact, out, host),
            Current::Collect { .. } if !intact => self.reject(RejectReason::DataDigestError, out),
            Current::Collect { bytes } => self.end_request(bytes, out, host),
            Current::Drop { reject } => {
                if let Some(reason) = reject {
                    self.reject(reason, out);
                }
            }
        }
    }

    fn end_request(&mut self, bytes: Vec<u8>, out: &mut Transmitter<B>, host: &mut impl Host<Buffer = B>) {
        let basic = BasicHeader::of(&self.header);
        let unnumbered =
            basic.opcode & 0x3f == Request::NopOut as u8 && basic.initiator_task_tag.get() == NO_TAG;
        if !basic.is_immediate() && !unnumbered {
            // These have no data to wait for and change nothing that a missing command would: they need not be held
            // back behind a gap, only be counted.
            match self.window.arrival(basic.sequence_number.get()) {
                Arrival::Outside => return,
                Arrival::Next => self.advance(out, host),
                Arrival::Ahead => self.remember_ahead(basic.sequence_number.get(), None),
            }
        }
        match Request::of(basic.opcode) {
            Some(Request::NopOut) => self.nop_out(bytes, out),
            Some(Request::Text) => self.text_request(&bytes, out, host),
            Some(Request::TaskManagement) => self.task_management(out, host),
            Some(Request::Logout) => self.logout(out, host),
            _ => {}
        }
    }

    /// Counts the next CmdSN as arrived, and with it those that came ahead of it.
    fn advance(&mut self, out: &mut Transmitter<B>, host: &mut impl Host<Buffer = B>) {
        self.window.advance();
        while let Some(position) = self.ahead.iter().position(|(cmd_sn, _)| *cmd_sn == self.window.expected())
        {
            let (_, tag) = self.ahead.swap_remove(position);
            self.window.advance();
            if let Some(tag) = tag {
                self.deliver(tag, out, host);
            }
        }
        self.open_window(host);
    }

    fn remember_ahead(&mut self, cmd_sn: u32, tag: Option<u32>) {
        if self.ahead.len() < WINDOW_LIMIT as usize && !self.ahead.iter().any(|(known, _)| *known == cmd_sn) {
            self.ahead.push((cmd_sn, tag));
        }
    }

    /// Opens the window for what has ended, and widens it where it is used up and memory allows.
    fn open_window(&mut self, host: &mut impl Host<Buffer = B>) {
        let size = self.window.size();
        // Those who only look for targets have no commands to send.
        if self.window.is_used_up() && size < WINDOW_LIMIT && !self.identity.is_discovery() {
            let by = size.min(WINDOW_LIMIT - size);
            if host.reserve(by as usize, unsolicited_limit(&self.parameters)) {
                self.window.widen(by);
            }
        }
        self.window.open(self.tasks.count() - self.tasks.immediate());
    }

    /// The fields that responses share: StatSN (advanced if `counts`), ExpCmdSN, MaxCmdSN.
    fn respond(&mut self, opcode: crate::pdu::Response, tag: u32, counts: bool) -> layout::TextResponse {
        let mut response = layout::TextResponse::zeroed();
        response.opcode = opcode as u8;
        response.flags = 0x80;
        response.initiator_task_tag = tag.into();
        response.stat_sn = self.stat_sn.into();
        response.exp_cmd_sn = self.window.expected().into();
        response.max_cmd_sn = self.window.maximum().into();
        if counts {
            self.window.tell(self.stat_sn);
            self.stat_sn = self.stat_sn.wrapping_add(1);
        }
        response
    }

    fn reject(&mut self, reason: RejectReason, out: &mut Transmitter<B>) {
        let mut response = self.respond(crate::pdu::Response::Reject, NO_TAG, true);
        response.reason = reason as u8;
        out.push(response.bytes(), Segment::Owned(self.header.to_vec()));
    }
}

/// Unsolicited bytes that one command may bring.
fn unsolicited_limit(parameters: &Parameters) -> usize {
    if parameters.immediate_data || !parameters.initial_r2t {
        parameters.first_burst_length as usize
    } else {
        0
    }
}
