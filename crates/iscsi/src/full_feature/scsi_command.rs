//! SCSI commands: how they come in, wait for their turn, and are answered (RFC 7143 §11.3, §11.4, §11.7).

use super::host::{Attribute, Cdb, Command, Host, Outcome, TaskId};
use super::task::{Failure, Gathering, Stage, Task};
use super::window::Arrival;
use super::{Current, IMMEDIATE_LIMIT, Session, normal_lun, unsolicited_limit};
use crate::pdu::{NO_TAG, RejectReason, Response, additional_headers, layout};
use crate::transmit::{Segment, Transmitter};

/// Status code (SAM-5 5.3.1).
const GOOD: u8 = 0x00;

/// F: the last PDU of a sequence.
const FINAL: u8 = 0x80;
/// R and W of a SCSI Command.
const READS: u8 = 0x40;
const WRITES: u8 = 0x20;
/// O and U of a response: the command had more, or less, than was expected.
const OVERFLOW: u8 = 0x04;
const UNDERFLOW: u8 = 0x02;
/// S of a Data-In PDU: it carries the status.
const STATUS: u8 = 0x01;

impl<B: AsRef<[u8]> + AsMut<[u8]>> Session<B> {
    /// Takes a SCSI Command's header.
    pub(super) fn scsi_command(
        &mut self,
        additional: &[u8],
        out: &mut Transmitter<B>,
        host: &mut impl Host<Buffer = B>,
    ) -> Current {
        let header = layout::ScsiCommand::of(&self.header);
        let length = layout::BasicHeader::of(&self.header).data_length() as u32;
        let immediate = header.opcode & crate::pdu::IMMEDIATE != 0;
        let tag = header.initiator_task_tag.get();
        let arrival = self.window.arrival(header.cmd_sn.get());
        let is_known = || self.ahead.iter().any(|(known, _)| *known == header.cmd_sn.get());
        // One that came before, ahead of its turn, is as good as outside the window (RFC 7143 §4.2.2.1).
        if !immediate && (arrival == Arrival::Outside || is_known()) {
            return Current::Drop { reject: None };
        }
        if !immediate {
            self.window.note_use(header.cmd_sn.get(), header.exp_stat_sn.get());
        }
        let Some(more) = additional_headers(additional) else {
            return Current::Drop { reject: Some(RejectReason::InvalidPduField) };
        };
        if self.tasks.contains(tag) || tag == NO_TAG {
            return Current::Drop { reject: Some(RejectReason::TaskInProgress) };
        }
        if immediate && self.tasks.immediate() >= IMMEDIATE_LIMIT {
            return Current::Drop { reject: Some(RejectReason::TooManyImmediateCommands) };
        }
        let mut task = self.new_task(&header, &more, length, host);
        let first = length
            .max(task.data.wanted.min(unsolicited_limit(&self.parameters) as u32))
            .min(task.data.wanted);
        if task.data.wanted > first {
            // Not before those that wait already, nor before those that are still to come: an older one among them
            // might be waited for in turn. And no more than may come unasked, before all of that has come.
            let is_next = immediate || arrival == Arrival::Next;
            let in_turn = self.waiting_for_memory.is_empty() && is_next && !task.data.awaits_unsolicited();
            task.data.buffer = if in_turn { host.allocate(task.data.wanted as usize) } else { None };
        }
        if task.data.buffer.is_none() && first > 0 {
            task.data.buffer = host.allocate_unsolicited(first as usize);
            if task.data.buffer.is_none() {
                task.data.fail(Failure::TaskSetFull);
            }
        }
        self.tasks.insert(task);
        self.aborted.retain(|aborted| *aborted != tag);
        let last = header.flags & FINAL != 0;
        if length == 0 {
            self.end_command(tag, 0, last, true, out, host);
            return Current::Nothing;
        }
        Current::Command { tag, length, came: 0, last }
    }

    fn new_task(
        &mut self,
        header: &layout::ScsiCommand,
        more: &crate::pdu::AdditionalHeaders,
        length: u32,
        host: &mut impl Host<Buffer = B>,
    ) -> Task<B> {
        let (reads, writes) = (header.flags & READS != 0, header.flags & WRITES != 0);
        let expected = header.expected_data_transfer_length.get();
        let cdb = Cdb::new(header, &more.extended_cdb);
        let plan = host.plan(header.lun, cdb.bytes());
        let wanted = if writes { plan.data_out.min(expected) } else { 0 };
        let more_unsolicited = writes && header.flags & FINAL == 0;
        let limit = expected.min(self.parameters.first_burst_length);
        let mut data = Gathering::new(wanted, more_unsolicited.then_some(limit));
        let allowed = if writes && self.parameters.immediate_data { limit } else { 0 };
        if length > allowed || (more_unsolicited && self.parameters.initial_r2t) {
            data.fail(Failure::UnexpectedUnsolicitedData);
        }
        let attribute = Attribute::of(header.flags);
        if attribute.is_none() {
            data.fail(Failure::InvalidMessage);
        }
        let serial = self.next_serial;
        self.next_serial += 1;
        Task {
            id: TaskId { serial, tag: header.initiator_task_tag.get() },
            lun: header.lun,
            cdb,
            attribute: attribute.unwrap_or(Attribute::Simple),
            immediate: header.opcode & crate::pdu::IMMEDIATE != 0,
            cmd_sn: header.cmd_sn.get(),
            delivered: None,
            reads,
            writes,
            expected,
            expected_read: more.bidirectional_read_length.unwrap_or(if reads && !writes {
                expected
            } else {
                0
            }),
            plan,
            stage: Stage::Gathering,
            data,
            data_in: None,
        }
    }

    /// The command and its immediate data are complete.
    pub(super) fn end_command(
        &mut self,
        tag: u32,
        length: u32,
        last: bool,
        intact: bool,
        out: &mut Transmitter<B>,
        host: &mut impl Host<Buffer = B>,
    ) {
        if !intact {
            // The whole command counts as not received: its number stays open for another try (RFC 7143 §7.8).
            self.tasks.remove(tag);
            return self.reject(RejectReason::DataDigestError, out);
        }
        let Some(task) = self.tasks.get_mut(tag) else { return self.count_aborted(out, host) };
        task.data.end_immediate(length, last);
        if task.attribute == Attribute::Ordered {
            self.ordered += 1;
        }
        if task.immediate {
            return self.deliver(tag, out, host);
        }
        let cmd_sn = task.cmd_sn;
        match self.window.arrival(cmd_sn) {
            Arrival::Next => {
                self.mark_delivered(tag);
                self.advance(out, host);
                self.gather(tag, out, host);
            }
            Arrival::Ahead => {
                self.remember_ahead(cmd_sn, Some(tag));
                self.gather(tag, out, host);
            }
            Arrival::Outside => drop(self.tasks.remove(tag)),
        }
    }

    /// A command was aborted by another session while its data came: its number counts as used.
    fn count_aborted(&mut self, out: &mut Transmitter<B>, host: &mut impl Host<Buffer = B>) {
        let header = layout::ScsiCommand::of(&self.header);
        let immediate = header.opcode & crate::pdu::IMMEDIATE != 0;
        match self.window.arrival(header.cmd_sn.get()) {
            Arrival::Next if !immediate => self.advance(out, host),
            Arrival::Ahead if !immediate => self.remember_ahead(header.cmd_sn.get(), None),
            _ => {}
        }
    }

    /// Every command before this one has arrived.
    pub(super) fn deliver(&mut self, tag: u32, out: &mut Transmitter<B>, host: &mut impl Host<Buffer = B>) {
        self.mark_delivered(tag);
        match self.tasks.get(tag).map(|task| task.stage) {
            Some(Stage::Gathering) => self.gather(tag, out, host),
            Some(Stage::Ready) => self.try_start(tag, out, host),
            Some(Stage::Running) | None => {}
        }
    }

    fn mark_delivered(&mut self, tag: u32) {
        if let Some(task) = self.tasks.get_mut(tag) {
            task.delivered = Some(self.next_delivery);
            self.next_delivery += 1;
        }
    }

    /// Asks for data that are missing, or goes on with a task that has them all.
    pub(super) fn gather(&mut self, tag: u32, out: &mut Transmitter<B>, host: &mut impl Host<Buffer = B>) {
        let Some(task) = self.tasks.get_mut(tag).filter(|task| task.stage == Stage::Gathering) else {
            return;
        };
        if task.data.is_complete() {
            task.stage = Stage::Ready;
            return self.try_start(tag, out, host);
        }
        if task.data.awaits_unsolicited() {
            return self.expect_data();
        }
        if !task.data.has_room_for_all() && task.data.failure.is_none() {
            if task.delivered.is_none() {
                return;
            }
            let wanted = task.data.wanted as usize;
            let Some(larger) = self.allocate_in_turn(tag, wanted, host) else { return };
            if let Some(task) = self.tasks.get_mut(tag) {
                task.data.move_to(larger);
            }
        }
        self.request_data(tag, out);
    }

    fn request_data(&mut self, tag: u32, out: &mut Transmitter<B>) {
        loop {
            let transfer_tag = self.next_transfer_tag;
            let Some(task) = self.tasks.get_mut(tag) else { return };
            let Some(request) = task.data.request(transfer_tag, &self.parameters) else {
                return self.expect_data();
            };
            let lun = task.lun;
            self.next_transfer_tag = match transfer_tag.wrapping_add(1) {
                NO_TAG => 0,
                next => next,
            };
            let shared = self.respond(Response::ReadyToTransfer, tag, false);
            let mut header = layout::ReadyToTransfer::of(&shared.bytes());
            header.lun = lun;
            header.target_transfer_tag = transfer_tag.into();
            header.r2t_sn = request.r2t_sn.into();
            header.buffer_offset = request.offset.into();
            header.desired_data_transfer_length = request.length.into();
            out.push(header.bytes(), Segment::Empty);
        }
    }

    /// Memory for a task, if there is some and nobody came earlier; otherwise the task waits for it.
    fn allocate_in_turn(&mut self, tag: u32, length: usize, host: &mut impl Host<Buffer = B>) -> Option<B> {
        self.forget_idle_waiters();
        if self.waiting_for_memory.front().is_none_or(|first| *first == tag)
            && let Some(buffer) = host.allocate(length)
        {
            self.waiting_for_memory.pop_front();
            return Some(buffer);
        }
        if !self.waiting_for_memory.contains(&tag) {
            self.waiting_for_memory.push_back(tag);
        }
        None
    }

    /// Takes tasks from the head of the queue that were aborted, or have failed and need no memory any more.
    fn forget_idle_waiters(&mut self) {
        while let Some(first) = self.waiting_for_memory.front()
            && self
                .tasks
                .get(*first)
                .is_none_or(|task| task.stage == Stage::Running || task.data.failure.is_some())
        {
            self.waiting_for_memory.pop_front();
        }
    }

    /// Memory has come free, or is waited for by fewer: goes on with tasks that wait for it, oldest wish first.
    pub fn memory_available(&mut self, out: &mut Transmitter<B>, host: &mut impl Host<Buffer = B>) {
        self.forget_idle_waiters();
        while let Some(first) = self.waiting_for_memory.front().copied() {
            match self.tasks.get(first).map(|task| task.stage) {
                Some(Stage::Gathering) => self.gather(first, out, host),
                Some(Stage::Ready) => self.try_start(first, out, host),
                Some(Stage::Running) | None => {}
            }
            self.forget_idle_waiters();
            if self.waiting_for_memory.front() == Some(&first) {
                return;
            }
        }
    }

    /// Whether some task waits for memory.
    pub fn waits_for_memory(&self) -> bool {
        !self.waiting_for_memory.is_empty()
    }

    /// Whether the task's attribute lets it start among those of its logical unit (SAM-5 8.9).
    fn is_its_turn(&self, task: &Task<B>) -> bool {
        if self.ordered == 0 || task.attribute == Attribute::HeadOfQueue {
            return true;
        }
        let ordered = task.attribute == Attribute::Ordered;
        let is_older = |other: &&Task<B>| match (other.delivered, task.delivered) {
            (Some(other), Some(own)) => other < own,
            (other, _) => other.is_some(),
        };
        let same_unit = |other: &&Task<B>| normal_lun(other.lun) == normal_lun(task.lun);
        let mut older = self.tasks.iter().filter(same_unit).filter(is_older);
        !older.any(|other| ordered || other.attribute == Attribute::Ordered)
    }

    fn try_start(&mut self, tag: u32, out: &mut Transmitter<B>, host: &mut impl Host<Buffer = B>) {
        let Some(task) = self.tasks.get(tag) else { return };
        if let Some(failure) = task.data.failure {
            return self.finish(tag, failure.outcome(), out, host);
        }
        if task.delivered.is_none() {
            return;
        }
        // Memory before the turn: what is younger and waits for this one must not take it.
        let room = task.plan.data_in.min(task.expected_read) as usize;
        if room > 0 && task.data_in.is_none() {
            let Some(buffer) = self.allocate_in_turn(tag, room, host) else { return };
            if let Some(task) = self.tasks.get_mut(tag) {
                task.data_in = Some(buffer);
            }
        }
        if !self.tasks.get(tag).is_some_and(|task| self.is_its_turn(task)) {
            return;
        }
        let Some(task) = self.tasks.get_mut(tag) else { return };
        task.stage = Stage::Running;
        let length = task.data.received.min(task.data.wanted) as usize;
        let data_out = task.data.buffer.take().map(|buffer| (buffer, length));
        let (cdb, plan, data_in) = (task.cdb.clone(), task.plan, task.data_in.take());
        let (id, lun, attribute) = (task.id, task.lun, task.attribute);
        let command = Command { id, lun, cdb, attribute, plan, data_out, data_in };
        if let Some(outcome) = host.start(command) {
            self.finish(tag, outcome, out, host);
        }
    }

    /// Takes the outcome of a started command. That of an abandoned one is dropped.
    pub fn complete(
        &mut self,
        id: TaskId,
        outcome: Outcome<B>,
        out: &mut Transmitter<B>,
        host: &mut impl Host<Buffer = B>,
    ) {
        if self.tasks.get(id.tag).is_some_and(|task| task.id == id && task.stage == Stage::Running) {
            self.finish(id.tag, outcome, out, host);
        }
    }

    fn finish(
        &mut self,
        tag: u32,
        outcome: Outcome<B>,
        out: &mut Transmitter<B>,
        host: &mut impl Host<Buffer = B>,
    ) {
        let Some(task) = self.remove(tag) else { return };
        self.open_window(host);
        let status = outcome.status;
        self.answer(&task, outcome, out);
        if status != GOOD && host.failed(task.lun, status) {
            self.abort_unit(task.lun, host);
        }
        if self.ordered > 0 || task.attribute == Attribute::Ordered {
            self.start_ready(out, host);
        }
        self.memory_available(out, host);
    }

    /// Takes a task off the books.
    pub(super) fn remove(&mut self, tag: u32) -> Option<Task<B>> {
        let task = self.tasks.remove(tag)?;
        // Its number stays known, if it came ahead of its turn; another task of this tag is none of its business.
        for (_, brought) in self.ahead.iter_mut().filter(|(_, brought)| *brought == Some(tag)) {
            *brought = None;
        }
        if task.attribute == Attribute::Ordered {
            self.ordered = self.ordered.saturating_sub(1);
        }
        Some(task)
    }

    /// Starts what waited for its turn, oldest first.
    pub(super) fn start_ready(&mut self, out: &mut Transmitter<B>, host: &mut impl Host<Buffer = B>) {
        let ready = self.tasks.iter().filter(|task| task.stage == Stage::Ready);
        let mut ready: Vec<(Option<u64>, TaskId)> = ready.map(|task| (task.delivered, task.id)).collect();
        ready.sort_unstable();
        for (_, id) in ready {
            if self.tasks.get(id.tag).is_some_and(|task| task.id == id && task.stage == Stage::Ready) {
                self.try_start(id.tag, out, host);
            }
        }
    }

    pub(super) fn answer(&mut self, task: &Task<B>, outcome: Outcome<B>, out: &mut Transmitter<B>) {
        let (flags, residual) = residual(task, &outcome);
        let sent = outcome.data_in_length.min(u64::from(task.expected_read)) as usize;
        let mut data_sn = 0;
        if let Some(buffer) = outcome.data_in.filter(|_| sent > 0) {
            // A status without sense travels with the last piece of data (phase collapse, RFC 7143 §11.7.3).
            let collapsed = outcome.sense.is_empty() && !task.writes;
            let status = collapsed.then_some((outcome.status, flags, residual));
            data_sn = self.send_data(task, buffer, sent, status, out);
            if collapsed && data_sn > 0 {
                return;
            }
        }
        let shared = self.respond(Response::ScsiResponse, task.id.tag, true);
        let mut header = layout::ScsiResponse::of(&shared.bytes());
        header.flags = FINAL | flags;
        header.status = outcome.status;
        header.exp_data_sn = (data_sn + task.data.requests()).into();
        header.residual_count = residual.into();
        let sense = match outcome.sense.len() {
            0 => Segment::Empty,
            length => Segment::Owned([&(length as u16).to_be_bytes()[..], &outcome.sense].concat()),
        };
        out.push(header.bytes(), sense);
    }

    /// Sends `length` bytes of a buffer, and says how many PDUs that took.
    fn send_data(
        &mut self,
        task: &Task<B>,
        buffer: B,
        length: usize,
        status: Option<(u8, u8, u32)>,
        out: &mut Transmitter<B>,
    ) -> u32 {
        let length = length.min(buffer.as_ref().len());
        out.lend(buffer);
        let most = (self.parameters.max_recv_data_segment_length_initiator as usize).max(512);
        let burst = (self.parameters.max_burst_length as usize).max(512);
        let (mut offset, mut data_sn) = (0, 0u32);
        while offset < length {
            let burst_end = (offset / burst + 1) * burst;
            let end = (offset + most).min(burst_end).min(length);
            let carries = status.filter(|_| end == length);
            let shared = self.respond(Response::DataIn, task.id.tag, carries.is_some());
            let mut header = layout::DataIn::of(&shared.bytes());
            header.flags = if end == length || end == burst_end { FINAL } else { 0 };
            header.target_transfer_tag = NO_TAG.into();
            header.data_sn = data_sn.into();
            header.buffer_offset = (offset as u32).into();
            match carries {
                Some((status, flags, residual)) => {
                    header.flags |= STATUS | flags;
                    header.status = status;
                    header.residual_count = residual.into();
                }
                None => header.stat_sn = 0.into(),
            }
            out.push(header.bytes(), Segment::Lent(offset..end));
            (offset, data_sn) = (end, data_sn + 1);
        }
        data_sn
    }
}

/// Flags and count of what was expected and did not come, or the other way round (RFC 7143 §11.4.5).
fn residual<B>(task: &Task<B>, outcome: &Outcome<B>) -> (u8, u32) {
    let (had, expected) = match (task.writes, task.reads) {
        (true, _) => (outcome.data_out_length, task.expected),
        (false, true) => (outcome.data_in_length, task.expected_read),
        (false, false) => (outcome.data_in_length.max(outcome.data_out_length), 0),
    };
    let expected = u64::from(expected);
    let count = u32::try_from(had.abs_diff(expected)).unwrap_or(u32::MAX);
    match had.cmp(&expected) {
        std::cmp::Ordering::Greater => (OVERFLOW, count),
        std::cmp::Ordering::Less => (UNDERFLOW, count),
        std::cmp::Ordering::Equal => (0, 0),
    }
}
