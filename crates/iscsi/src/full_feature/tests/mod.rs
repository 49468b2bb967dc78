//! A session against a host made of promises: what is asked of it is written down, and outcomes come when told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod data;
mod digests;
mod hostile;
mod numbers;
mod requests;

use std::time::Duration;

use super::*;
use crate::login::{self, LoginStatus, Policy, TargetAnswer};
use crate::pdu::{self, Response};
use crate::receive::{Incoming, Receiver};

pub(super) const NOW: Duration = Duration::from_secs(1);
pub(super) const LUN: [u8; 8] = [0; 8];

/// A host that starts commands when told and has as much memory as told.
pub(super) struct Promises {
    pub(super) plan: Plan,
    pub(super) memory: usize,
    /// Whether there is memory for what comes unasked.
    pub(super) unsolicited: bool,
    pub(super) started: Vec<Command<Vec<u8>>>,
    pub(super) abandoned: Vec<TaskId>,
    pub(super) managed: Vec<(Function, [u8; 8])>,
    /// Statuses of commands that have failed, and whether others are aborted for them.
    pub(super) failed: Vec<u8>,
    pub(super) logouts: usize,
    pub(super) aborts_others: bool,
    /// What there is to be told.
    pub(super) event: Option<[u8; 3]>,
    /// Commands are answered at once with GOOD and this.
    pub(super) answer: Option<Vec<u8>>,
}

impl Policy for Promises {
    fn portal_group_tag(&self) -> u16 {
        1
    }
    fn target(&self, _: &str) -> TargetAnswer {
        TargetAnswer::NotFound
    }
    fn discovery_authentication(&self) -> login::Authentication {
        login::Authentication::None
    }
    fn secret(&self, _: Option<&str>, _: &str) -> Option<Vec<u8>> {
        None
    }
    fn note_challenge(&self, _: &[u8]) {}
    fn has_issued(&self, _: &[u8]) -> bool {
        false
    }
    fn own_identity(&self, _: Option<&str>) -> Option<crate::chap::Identity> {
        None
    }
    fn admit(&mut self, _: &NewSession) -> Result<u16, LoginStatus> {
        Ok(1)
    }
}

impl Host for Promises {
    type Buffer = Vec<u8>;

    fn plan(&mut self, _: [u8; 8], _: &[u8]) -> Plan {
        self.plan
    }
    fn allocate(&mut self, length: usize) -> Option<Vec<u8>> {
        self.memory = self.memory.checked_sub(length)?;
        Some(vec![0xee; length])
    }
    fn allocate_unsolicited(&mut self, length: usize) -> Option<Vec<u8>> {
        self.unsolicited.then(|| vec![0xee; length])
    }
    fn reserve_beforehand(&mut self, pieces: usize, length: usize) -> bool {
        self.reserve(pieces, length)
    }
    fn reserve(&mut self, _: usize, _: usize) -> bool {
        true
    }
    fn start(&mut self, mut command: Command<Vec<u8>>) -> Option<Outcome<Vec<u8>>> {
        let buffer = command.data_in.take();
        let answer = self.answer.clone().map(|bytes| good_with(bytes, buffer, command.data_out.as_ref()));
        self.started.push(command);
        answer
    }
    fn abandon(&mut self, id: TaskId) {
        self.abandoned.push(id);
    }
    fn failed(&mut self, _: [u8; 8], status: u8) -> bool {
        self.failed.push(status);
        self.aborts_others
    }
    fn unit_exists(&mut self, lun: [u8; 8]) -> bool {
        lun == LUN
    }
    fn logged_out(&mut self) {
        self.logouts += 1;
    }
    fn manage(&mut self, function: Function, lun: [u8; 8]) -> bool {
        self.managed.push((function, lun));
        true
    }
    fn asynchronous_event(&mut self, _: [u8; 8]) -> Option<[u8; 3]> {
        self.event
    }
    fn discover(&mut self, _: Option<&str>) -> Vec<(String, Vec<String>)> {
        Vec::new()
    }
}

fn good_with(bytes: Vec<u8>, buffer: Option<Vec<u8>>, out: Option<&(Vec<u8>, usize)>) -> Outcome<Vec<u8>> {
    let data_in = buffer.map(|mut buffer| {
        let fits = buffer.len().min(bytes.len());
        buffer[..fits].copy_from_slice(&bytes[..fits]);
        buffer
    });
    Outcome {
        status: 0,
        sense: Vec::new(),
        data_in_length: bytes.len() as u64,
        data_out_length: out.map_or(0, |(_, length)| *length as u64),
        data_in,
    }
}

/// GOOD and nothing else.
pub(super) fn good() -> Outcome<Vec<u8>> {
    Outcome { status: 0, sense: Vec::new(), data_in_length: 0, data_out_length: 0, data_in: None }
}

/// A PDU that the session has sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) header: [u8; 48],
    pub(super) data: Vec<u8>,
}

impl Sent {
    pub(super) fn kind(&self) -> Response {
        Response::of(self.header[0]).unwrap()
    }
    pub(super) fn max_cmd_sn(&self) -> u32 {
        layout::TextResponse::of(&self.header).max_cmd_sn.get()
    }
    pub(super) fn exp_cmd_sn(&self) -> u32 {
        layout::TextResponse::of(&self.header).exp_cmd_sn.get()
    }
    pub(super) fn stat_sn(&self) -> u32 {
        layout::TextResponse::of(&self.header).stat_sn.get()
    }
    pub(super) fn r2t(&self) -> layout::ReadyToTransfer {
        assert_eq!(self.kind(), Response::ReadyToTransfer);
        layout::ReadyToTransfer::of(&self.header)
    }
    pub(super) fn response(&self) -> layout::ScsiResponse {
        assert_eq!(self.kind(), Response::ScsiResponse, "{self:?}");
        layout::ScsiResponse::of(&self.header)
    }
    /// Sense key, ASC and ASCQ.
    pub(super) fn sense(&self) -> (u8, u8, u8) {
        assert_eq!(self.response().status, 0x02);
        (self.data[4], self.data[14], self.data[15])
    }
}

/// A session with its host and its wires.
pub(super) struct Bench {
    pub(super) session: Session<Vec<u8>>,
    pub(super) host: Promises,
    pub(super) out: Transmitter<Vec<u8>>,
}

impl Bench {
    pub(super) fn new(adjust: impl FnOnce(&mut Parameters)) -> Bench {
        let mut parameters =
            Parameters { max_recv_data_segment_length_initiator: 8192, ..Parameters::default() };
        parameters.initial_r2t = false;
        parameters.immediate_data = true;
        parameters.first_burst_length = 1024;
        parameters.max_burst_length = 2048;
        parameters.max_outstanding_r2t = 2;
        adjust(&mut parameters);
        let mut host = Promises {
            plan: Plan::default(),
            memory: 1 << 20,
            unsolicited: true,
            started: Vec::new(),
            abandoned: Vec::new(),
            managed: Vec::new(),
            failed: Vec::new(),
            logouts: 0,
            aborts_others: false,
            event: None,
            answer: None,
        };
        let session = Session::new(NewSession::example(), parameters, 100, 10, NOW, &mut host);
        Bench { session, host, out: Transmitter::new() }
    }

    /// Gives the session a PDU and returns what it sends.
    pub(super) fn give(&mut self, header: [u8; 48], data: &[u8]) -> Vec<Sent> {
        self.give_damaged(header, data, true)
    }

    pub(super) fn give_damaged(&mut self, mut header: [u8; 48], data: &[u8], intact: bool) -> Vec<Sent> {
        header[5..8].copy_from_slice(&pdu::data_segment_length(data.len()));
        self.session.header(&header, &[], &mut self.out, &mut self.host);
        let (first, second) = data.split_at(data.len() / 2);
        self.session.data(first);
        self.session.data(second);
        self.session.end(intact, NOW, &mut self.out, &mut self.host);
        self.sent()
    }

    /// Ends the command that was started as number `index`.
    pub(super) fn finish(&mut self, index: usize, outcome: Outcome<Vec<u8>>) -> Vec<Sent> {
        let id = self.host.started[index].id;
        self.session.complete(id, outcome, &mut self.out, &mut self.host);
        self.sent()
    }

    pub(super) fn sent(&mut self) -> Vec<Sent> {
        decode(&taken(&mut self.out))
    }
}

/// All that waits to be sent, a few slices at a time.
pub(super) fn taken(out: &mut Transmitter<Vec<u8>>) -> Vec<u8> {
    let mut wire = Vec::new();
    while !out.is_empty() {
        let mut slices = [std::io::IoSlice::new(&[]); 4];
        let filled = out.fill(&mut slices);
        let piece: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
        out.sent(piece.len());
        wire.extend(piece);
    }
    assert_eq!(out.queued(), 0);
    wire
}

/// Takes a stream without digests apart.
pub(super) fn decode(mut wire: &[u8]) -> Vec<Sent> {
    let mut receiver = Receiver::new(usize::MAX);
    let mut found: Vec<Sent> = Vec::new();
    loop {
        match receiver.advance().unwrap() {
            Incoming::Nothing => {
                if wire.is_empty() {
                    return found;
                }
                let space = receiver.space();
                let take = space.len().min(wire.len());
                space[..take].copy_from_slice(&wire[..take]);
                receiver.took(take);
                wire = &wire[take..];
            }
            Incoming::Header(header, _) => found.push(Sent { header: *header, data: Vec::new() }),
            Incoming::Data(bytes) => found.last_mut().unwrap().data.extend_from_slice(bytes),
            Incoming::End { .. } => {}
        }
    }
}

pub(super) const F: u8 = 0x80;
pub(super) const R: u8 = 0x40;
pub(super) const W: u8 = 0x20;

/// A SCSI Command.
pub(super) fn command(tag: u32, cmd_sn: u32, flags: u8, expected: u32) -> [u8; 48] {
    let mut header = layout::ScsiCommand::zeroed();
    header.opcode = Request::ScsiCommand as u8;
    header.flags = flags;
    header.initiator_task_tag = tag.into();
    header.cmd_sn = cmd_sn.into();
    header.expected_data_transfer_length = expected.into();
    header.bytes()
}

/// A Data-Out.
pub(super) fn data_out(tag: u32, transfer_tag: u32, flags: u8, data_sn: u32, offset: u32) -> [u8; 48] {
    let mut header = layout::DataOut::zeroed();
    header.opcode = Request::DataOut as u8;
    header.flags = flags;
    header.initiator_task_tag = tag.into();
    header.target_transfer_tag = transfer_tag.into();
    header.data_sn = data_sn.into();
    header.buffer_offset = offset.into();
    header.bytes()
}

/// Bytes that differ from place to place.
pub(super) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 256) as u8).collect()
}
