//! What a session does: commands with their data, any number at once, and the other requests.

use std::time::Instant;

use timedisk_iscsi::pdu::{IMMEDIATE, NO_TAG, Request, Response, layout};
use timedisk_iscsi::serial::after;

use super::initiator::{Initiator, PATIENCE, pairs};
use super::pdu::Pdu;
use super::{Reply, Scsi};

const FINAL: u8 = 0x80;

/// A command that has not ended.
#[derive(Debug, Default)]
pub(super) struct Task {
    out: Vec<u8>,
    r2t_sn: u32,
    requested: usize,
    input: Vec<u8>,
    data_sn: u32,
    in_burst: usize,
    reply: Option<Reply>,
}

impl Initiator {
    /// Sends a command, as soon as the window allows, with all data that may go unasked.
    pub(crate) fn start(&mut self, scsi: &Scsi) -> u32 {
        let deadline = Instant::now() + PATIENCE;
        while after(self.cmd_sn, self.max_cmd_sn) {
            self.step_before(deadline);
        }
        let tag = self.tag();
        let terms = self.terms;
        let first = scsi.data.len().min(terms.first_burst_length as usize);
        let most = terms.max_recv_data_segment_length_target as usize;
        let immediate = if terms.immediate_data { first.min(most) } else { 0 };
        let unsolicited = if terms.initial_r2t { immediate } else { first };
        let mut pdu = self.command(tag, scsi, &scsi.data[..immediate]);
        if unsolicited > immediate {
            pdu.header[1] &= !FINAL;
        }
        self.send(&pdu);
        self.send_data(tag, NO_TAG, &scsi.data, immediate..unsolicited);
        self.tasks.insert(tag, Task { out: scsi.data.clone(), requested: unsolicited, ..Task::default() });
        tag
    }

    /// Sends commands in one go, with all of their data, which are few enough to be immediate.
    pub(crate) fn start_together(&mut self, commands: &[Scsi]) -> Vec<u32> {
        let deadline = Instant::now() + PATIENCE;
        while after(self.cmd_sn.wrapping_add(commands.len() as u32 - 1), self.max_cmd_sn) {
            // Answers to pings tell how far the window is open.
            assert!(Instant::now() < deadline, "the window does not open so far");
            self.check_alive();
        }
        let mut wire = Vec::new();
        let tags = commands.iter().map(|scsi| {
            let tag = self.tag();
            wire.extend(self.command(tag, scsi, &scsi.data).encode(self.digests));
            let (out, requested) = (scsi.data.clone(), scsi.data.len());
            self.tasks.insert(tag, Task { out, requested, ..Task::default() });
            tag
        });
        let tags = tags.collect();
        self.send_bytes(&wire);
        tags
    }

    /// A SCSI Command PDU with the next number and with F; not sent.
    pub(crate) fn command(&mut self, tag: u32, scsi: &Scsi, immediate: &[u8]) -> Pdu {
        let mut header = layout::ScsiCommand::zeroed();
        header.opcode = Request::ScsiCommand as u8;
        let bits = u8::from(scsi.reads) << 6 | u8::from(scsi.writes) << 5;
        header.flags = FINAL | bits | scsi.attribute;
        header.lun[1] = scsi.lun;
        header.initiator_task_tag = tag.into();
        header.expected_data_transfer_length = scsi.expected.into();
        header.cmd_sn = self.take_cmd_sn().into();
        header.exp_stat_sn = self.exp_stat_sn.into();
        let short = scsi.cdb.len().min(16);
        header.cdb[..short].copy_from_slice(&scsi.cdb[..short]);
        let pdu = Pdu::new(header.bytes(), immediate);
        match &scsi.cdb[short..] {
            [] => pdu,
            more => pdu.with_additional(&extended_cdb(more)),
        }
    }

    /// Data-Out PDUs for a part of a command's data.
    pub(crate) fn send_data(
        &mut self,
        tag: u32,
        transfer_tag: u32,
        data: &[u8],
        part: std::ops::Range<usize>,
    ) {
        let most = self.terms.max_recv_data_segment_length_target as usize;
        let pieces = part.clone().step_by(most);
        for (data_sn, start) in pieces.enumerate() {
            let end = part.end.min(start + most);
            let mut pdu = self.data_out(tag, transfer_tag, data_sn as u32, start, &data[start..end]);
            if end < part.end {
                pdu.header[1] = 0;
            }
            self.send(&pdu);
        }
    }

    /// A Data-Out PDU with F; not sent.
    pub(crate) fn data_out(
        &self,
        tag: u32,
        transfer_tag: u32,
        data_sn: u32,
        offset: usize,
        data: &[u8],
    ) -> Pdu {
        let mut header = layout::DataOut::zeroed();
        header.opcode = Request::DataOut as u8;
        header.flags = FINAL;
        header.initiator_task_tag = tag.into();
        header.target_transfer_tag = transfer_tag.into();
        header.exp_stat_sn = self.exp_stat_sn.into();
        header.data_sn = data_sn.into();
        header.buffer_offset = (offset as u32).into();
        Pdu::new(header.bytes(), data)
    }

    /// From now on the outcome of this command, which was sent by hand and got so many R2Ts, is awaited like
    /// others.
    pub(crate) fn follow(&mut self, tag: u32, requests: u32) {
        self.tasks.insert(tag, Task { r2t_sn: requests, ..Task::default() });
    }

    /// Receives one PDU and does what it asks for. Pings go on coming while nothing else does: so there is a
    /// deadline.
    #[track_caller]
    fn step_before(&mut self, deadline: Instant) {
        assert!(Instant::now() < deadline, "what is waited for does not come");
        let pdu = self.receive().expect("a PDU in time");
        let tag = pdu.tag();
        match (pdu.response(), self.tasks.contains_key(&tag)) {
            (Response::DataIn, true) => self.take_data(tag, &pdu),
            (Response::ReadyToTransfer, true) => self.take_request(tag, &pdu),
            (Response::ScsiResponse, true) => self.take_status(tag, &pdu),
            (Response::NopIn, _) if tag == NO_TAG => self.answer_ping(&pdu),
            _ => self.inbox.push_back(pdu),
        }
    }

    fn take_data(&mut self, tag: u32, pdu: &Pdu) {
        let header = layout::DataIn::of(&pdu.header);
        let burst = self.terms.max_burst_length as usize;
        let task = self.tasks.get_mut(&tag).unwrap();
        assert_eq!(
            (header.data_sn.get(), header.buffer_offset.get()),
            (task.data_sn, task.input.len() as u32)
        );
        task.data_sn += 1;
        task.in_burst += pdu.data.len();
        assert!(task.in_burst <= burst, "a sequence of {} bytes", task.in_burst);
        task.input.extend_from_slice(&pdu.data);
        if header.flags & FINAL != 0 {
            task.in_burst = 0;
        }
        if header.flags & 1 != 0 {
            assert_ne!(header.flags & FINAL, 0, "the status comes at the end");
            let (flags, residual) = (header.flags & 6, header.residual_count.get());
            let data = std::mem::take(&mut task.input);
            task.reply = Some(Reply { status: header.status, sense: Vec::new(), data, flags, residual });
        }
    }

    fn take_request(&mut self, tag: u32, pdu: &Pdu) {
        let header = layout::ReadyToTransfer::of(&pdu.header);
        let (start, length) =
            (header.buffer_offset.get() as usize, header.desired_data_transfer_length.get());
        let task = self.tasks.get_mut(&tag).unwrap();
        assert_eq!((header.r2t_sn.get(), start), (task.r2t_sn, task.requested));
        assert!(length > 0 && length <= self.terms.max_burst_length);
        task.r2t_sn += 1;
        let out = std::mem::take(&mut task.out);
        self.answer_request(tag, header.target_transfer_tag.get(), out, start + length as usize);
    }

    /// Sends what an R2T has asked for, up to `end`; what follows of the data is sent when it is asked for.
    pub(crate) fn answer_request(&mut self, tag: u32, transfer_tag: u32, out: Vec<u8>, end: usize) {
        let start = self.tasks[&tag].requested;
        self.send_data(tag, transfer_tag, &out, start..end);
        let task = self.tasks.get_mut(&tag).unwrap();
        (task.out, task.requested) = (out, end);
    }

    fn take_status(&mut self, tag: u32, pdu: &Pdu) {
        let header = layout::ScsiResponse::of(&pdu.header);
        assert_eq!(header.response, 0, "the command was carried out at the target");
        let task = self.tasks.get_mut(&tag).unwrap();
        assert_eq!(header.exp_data_sn.get(), task.data_sn + task.r2t_sn);
        let sense = match pdu.data.split_first_chunk::<2>() {
            Some((length, sense)) => sense[..u16::from_be_bytes(*length) as usize].to_vec(),
            None => Vec::new(),
        };
        let (flags, residual) = (header.flags & 6, header.residual_count.get());
        let data = std::mem::take(&mut task.input);
        task.reply = Some(Reply { status: header.status, sense, data, flags, residual });
    }

    fn answer_ping(&mut self, pdu: &Pdu) {
        let ping = layout::TextResponse::of(&pdu.header);
        if self.answers_pings && ping.target_transfer_tag.get() != NO_TAG {
            let mut answer = self.ping(b"");
            answer.header[16..20].copy_from_slice(&NO_TAG.to_be_bytes());
            answer.header[20..24].copy_from_slice(&ping.target_transfer_tag.get().to_be_bytes());
            self.send(&answer);
        }
    }

    /// Waits for the end of a command.
    #[track_caller]
    pub(crate) fn finish(&mut self, tag: u32) -> Reply {
        let deadline = Instant::now() + PATIENCE;
        while self.tasks[&tag].reply.is_none() {
            self.step_before(deadline);
        }
        self.tasks.remove(&tag).and_then(|task| task.reply).unwrap()
    }

    /// Whether a command has ended, as far as PDUs were received.
    pub(crate) fn has_ended(&self, tag: u32) -> bool {
        self.tasks.get(&tag).is_none_or(|task| task.reply.is_some())
    }

    /// Carries a command out.
    #[track_caller]
    pub(crate) fn run(&mut self, scsi: &Scsi) -> Reply {
        let tag = self.start(scsi);
        self.finish(tag)
    }

    /// Carries a command out under this CmdSN.
    #[track_caller]
    pub(crate) fn run_with_number(&mut self, number: u32, scsi: &Scsi) -> Reply {
        self.cmd_sn = number;
        self.run(scsi)
    }

    /// The next PDU that belongs to no command of [`start`](Initiator::start).
    #[track_caller]
    pub(crate) fn expect(&mut self, response: Response) -> Pdu {
        let deadline = Instant::now() + PATIENCE;
        while self.inbox.is_empty() {
            self.step_before(deadline);
        }
        let pdu = self.inbox.pop_front().unwrap();
        assert_eq!(pdu.response(), response, "{pdu:02x?}");
        pdu
    }

    /// An immediate NOP-Out with data; not sent.
    pub(crate) fn ping(&mut self, data: &[u8]) -> Pdu {
        let mut header = layout::TextRequest::zeroed();
        header.opcode = Request::NopOut as u8 | IMMEDIATE;
        header.flags = FINAL;
        header.initiator_task_tag = self.tag().into();
        header.target_transfer_tag = NO_TAG.into();
        header.cmd_sn = self.cmd_sn.into();
        header.exp_stat_sn = self.exp_stat_sn.into();
        Pdu::new(header.bytes(), data)
    }

    /// Sends a NOP-Out and receives its answer, before anything else that is no command's.
    #[track_caller]
    pub(crate) fn check_alive(&mut self) {
        let ping = self.ping(b"are you there");
        self.send(&ping);
        let pong = self.expect(Response::NopIn);
        assert_eq!((pong.tag(), pong.data.as_slice()), (ping.tag(), &b"are you there"[..]));
    }

    /// An immediate task management request; not sent.
    pub(crate) fn task_management(&mut self, function: u8, referenced: u32, ref_cmd_sn: u32) -> Pdu {
        let mut header = layout::TaskManagementRequest::zeroed();
        header.opcode = Request::TaskManagement as u8 | IMMEDIATE;
        header.function = FINAL | function;
        header.initiator_task_tag = self.tag().into();
        header.referenced_task_tag = referenced.into();
        header.cmd_sn = self.cmd_sn.into();
        header.exp_stat_sn = self.exp_stat_sn.into();
        header.ref_cmd_sn = ref_cmd_sn.into();
        Pdu::new(header.bytes(), &[])
    }

    /// Carries out a task management function on LUN 0 and says what came of it. An aborted task is
    /// forgotten.
    #[track_caller]
    pub(crate) fn manage(&mut self, function: u8, referenced: u32, ref_cmd_sn: u32) -> u8 {
        let (answer, _) = self.ask_about(function, referenced, ref_cmd_sn);
        self.tasks.remove(&referenced);
        answer
    }

    /// The same, with the additional response information (RFC 7144 §6.4.1), for functions that abort nothing.
    #[track_caller]
    pub(crate) fn ask_about(&mut self, function: u8, referenced: u32, ref_cmd_sn: u32) -> (u8, [u8; 3]) {
        let request = self.task_management(function, referenced, ref_cmd_sn);
        self.send(&request);
        let response = self.expect(Response::TaskManagement);
        assert_eq!(response.tag(), request.tag());
        let header = layout::ShortResponse::of(&response.header);
        (header.response, header.additional)
    }

    /// A Text Request with the next number; not sent.
    pub(crate) fn text_request(&mut self, tag: u32, transfer_tag: u32, text: &[u8]) -> Pdu {
        let mut header = layout::TextRequest::zeroed();
        header.opcode = Request::Text as u8;
        header.flags = FINAL;
        header.initiator_task_tag = tag.into();
        header.target_transfer_tag = transfer_tag.into();
        header.cmd_sn = self.take_cmd_sn().into();
        header.exp_stat_sn = self.exp_stat_sn.into();
        Pdu::new(header.bytes(), text)
    }

    /// Asks for text until there is no more; the keys and values of all answers together.
    #[track_caller]
    pub(crate) fn ask(&mut self, text: &[u8]) -> Vec<(String, String)> {
        let (tag, mut transfer_tag) = (self.tag(), NO_TAG);
        let (mut whole, mut text) = (Vec::new(), text);
        loop {
            let request = self.text_request(tag, transfer_tag, text);
            self.send(&request);
            let answer = self.expect(Response::Text);
            assert_eq!(answer.tag(), tag);
            whole.extend_from_slice(&answer.data);
            let header = layout::TextResponse::of(&answer.header);
            transfer_tag = header.target_transfer_tag.get();
            if header.flags & 0x40 == 0 {
                assert_eq!((header.flags, transfer_tag), (FINAL, NO_TAG));
                return pairs(&whole);
            }
            assert_ne!(transfer_tag, NO_TAG);
            text = b"";
        }
    }

    /// A Logout Request that closes the session; not sent.
    pub(crate) fn logout(&mut self) -> Pdu {
        let mut header = layout::LogoutRequest::zeroed();
        header.opcode = Request::Logout as u8;
        header.reason = FINAL;
        header.initiator_task_tag = self.tag().into();
        header.cmd_sn = self.take_cmd_sn().into();
        header.exp_stat_sn = self.exp_stat_sn.into();
        Pdu::new(header.bytes(), &[])
    }
}

/// An additional header segment with a CDB from its 17th byte on (RFC 7143 §11.2.2.3).
fn extended_cdb(more: &[u8]) -> Vec<u8> {
    let length = (more.len() as u16 + 1).to_be_bytes();
    let mut segment = [&length[..], &[1, 0], more].concat();
    segment.resize(segment.len().next_multiple_of(4), 0);
    segment
}
