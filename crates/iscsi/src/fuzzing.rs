//! Entry points for the fuzzer, as plain functions, so that tests replay what it has found.
//!
//! Each takes arbitrary bytes and checks what must hold for all of them: no panic, no endless loop, and no more memory
//! than the limits say.

use std::time::Duration;

use crate::connection::{Connection, Progress};
use crate::full_feature::{Command, Function, Host, Outcome, Plan, TaskId, WINDOW_LIMIT};
use crate::login::{Authentication, LoginStatus, NewSession, Policy, TargetAnswer, Wishes};
use crate::pdu::{HEADER_LENGTH, Request, data_segment_length, layout};

/// Memory that the fuzzed host gives out.
const MEMORY: usize = 1 << 20;

/// Answers that may wait before the first of them are sent.
const SEND_EARLY: usize = 4096;

/// A house with one target, open to all, that answers every other command at once.
pub(crate) struct AnyHost {
    memory: usize,
    pending: Vec<TaskId>,
    count: usize,
}

impl AnyHost {
    pub(crate) fn new() -> Self {
        AnyHost { memory: MEMORY, pending: Vec::new(), count: 0 }
    }
}

impl Policy for AnyHost {
    fn portal_group_tag(&self) -> u16 {
        1
    }
    fn target(&self, name: &str) -> TargetAnswer {
        match name {
            "iqn.2026-01.org.example:secret" => {
                TargetAnswer::Found { alias: None, authentication: Authentication::Chap }
            }
            "iqn.2026-01.org.example:far" => TargetAnswer::Forbidden,
            "" => TargetAnswer::NotFound,
            _ => TargetAnswer::Found { alias: Some("disk".into()), authentication: Authentication::None },
        }
    }
    fn discovery_authentication(&self) -> Authentication {
        Authentication::None
    }
    fn secret(&self, _: Option<&str>, _: &str) -> Option<Vec<u8>> {
        Some(b"a secret of some length".to_vec())
    }
    fn note_challenge(&self, _: &[u8]) {}
    fn has_issued(&self, _: &[u8]) -> bool {
        false
    }
    fn own_identity(&self, _: Option<&str>) -> Option<crate::chap::Identity> {
        None
    }
    fn admit(&mut self, _: &NewSession) -> Result<u16, LoginStatus> {
        Ok(7)
    }
}

impl Host for AnyHost {
    type Buffer = Vec<u8>;

    fn plan(&mut self, _: [u8; 8], cdb: &[u8]) -> Plan {
        let byte = |index: usize| u32::from(cdb.get(index).copied().unwrap_or(0));
        Plan { data_in: byte(1) << 8 | byte(2), data_out: byte(3) << 8 | byte(4) }
    }
    fn allocate(&mut self, length: usize) -> Option<Vec<u8>> {
        self.memory = self.memory.checked_sub(length)?;
        Some(vec![0; length])
    }
    fn allocate_unsolicited(&mut self, length: usize) -> Option<Vec<u8>> {
        Some(vec![0; length])
    }
    fn reserve_beforehand(&mut self, pieces: usize, length: usize) -> bool {
        self.reserve(pieces, length)
    }
    fn reserve(&mut self, _: usize, _: usize) -> bool {
        true
    }
    fn start(&mut self, command: Command<Vec<u8>>) -> Option<Outcome<Vec<u8>>> {
        self.count += 1;
        if self.count.is_multiple_of(2) {
            self.pending.push(command.id);
            return None;
        }
        let length = command.data_in.as_ref().map_or(0, Vec::len) as u64;
        let (status, sense) =
            if self.count.is_multiple_of(3) { (2, vec![0x70; 18]) } else { (0, Vec::new()) };
        Some(Outcome { status, sense, data_in_length: length, data_out_length: 0, data_in: command.data_in })
    }
    fn abandon(&mut self, id: TaskId) {
        self.pending.retain(|pending| *pending != id);
    }
    fn failed(&mut self, _: [u8; 8], status: u8) -> bool {
        status != 0 && self.count.is_multiple_of(5)
    }
    fn unit_exists(&mut self, lun: [u8; 8]) -> bool {
        lun == [0; 8]
    }
    fn logged_out(&mut self) {}
    fn manage(&mut self, _: Function, _: [u8; 8]) -> bool {
        true
    }
    fn asynchronous_event(&mut self, _: [u8; 8]) -> Option<[u8; 3]> {
        self.count.is_multiple_of(2).then_some([0x16, 0x29, 0])
    }
    fn discover(&mut self, _: Option<&str>) -> Vec<(String, Vec<String>)> {
        let names = (0..100).map(|number| format!("iqn.2026-01.org.example:disk{number}"));
        names.map(|name| (name, vec!["192.0.2.1:3260,1".into(), "[2001:db8::1]:3260,1".into()])).collect()
    }
}

struct Bench {
    connection: Connection<Vec<u8>>,
    host: AnyHost,
    now: Duration,
}

impl Bench {
    fn new() -> Self {
        let random = Box::new(|bytes: &mut [u8]| bytes.fill(0x5a));
        Bench {
            connection: Connection::new(Wishes::default(), random),
            host: AnyHost::new(),
            now: Duration::ZERO,
        }
    }

    fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.connection.wants_to_receive() {
            let [direct, staging] = self.connection.receive_space();
            let first = direct.len().min(bytes.len());
            let (to_direct, rest) = bytes.split_at(first);
            if let Some(space) = direct.get_mut(..first) {
                space.copy_from_slice(to_direct);
            }
            let second = staging.len().min(rest.len());
            let (to_staging, rest) = rest.split_at(second);
            if let Some(space) = staging.get_mut(..second) {
                space.copy_from_slice(to_staging);
            }
            assert!(first + second > 0, "there is always room for more");
            let direct_length = direct.len();
            self.connection.received(first + second, direct_length, self.now);
            bytes = rest;
            while self.connection.proceed(SEND_EARLY, self.now, &mut self.host) == Progress::Stopped {
                self.settle();
            }
            self.settle();
        }
    }

    /// Time passes, commands end, and what is to be sent is sent.
    fn settle(&mut self) {
        assert!(self.host.pending.len() <= WINDOW_LIMIT as usize + 16, "the window bounds what is under way");
        self.now += Duration::from_secs(4);
        if self.connection.next_timeout().is_some_and(|due| due <= self.now) {
            self.connection.handle_timeout(self.now, &mut self.host);
        }
        if self.host.pending.len() > 5 {
            let id = self.host.pending.remove(0);
            let outcome = Outcome {
                status: 0,
                sense: Vec::new(),
                data_in_length: 0,
                data_out_length: 0,
                data_in: None,
            };
            self.connection.complete(id, outcome, &mut self.host);
        }
        let mut total = 0;
        while self.connection.wants_to_send() {
            let mut slices = [std::io::IoSlice::new(&[]); 64];
            let filled = self.connection.fill(&mut slices);
            let length = slices.iter().take(filled).map(|slice| slice.len()).sum();
            self.connection.sent(length);
            total += length;
            assert!(total < 16 * MEMORY, "answers are bounded: {total} bytes");
        }
        self.connection.take_events();
    }
}

/// Any bytes, from the first of a connection on.
pub fn stream(data: &[u8]) {
    let mut bench = Bench::new();
    for piece in data.chunks(977) {
        bench.receive(piece);
    }
}

/// A login that succeeds, then PDUs whose headers are arbitrary but for a length that fits the data that follow.
pub fn session(data: &[u8]) {
    let mut bench = Bench::new();
    bench.receive(&login());
    assert!(bench.connection.session().is_some(), "the login succeeds");
    let mut rest = data;
    while let Some((header, after)) = rest.split_first_chunk::<HEADER_LENGTH>() {
        let mut header = *header;
        let opcodes = [0x00, 0x01, 0x41, 0x02, 0x42, 0x04, 0x05, 0x05, 0x06, 0x10, 0x3f, 0x03];
        header[0] = opcodes[usize::from(header[0]) % opcodes.len()];
        // Up to a CDB of 32 bytes.
        header[4] %= 6;
        let length = (usize::from(header[5]) % 64).min(after.len());
        header[5..8].copy_from_slice(&data_segment_length(length));
        // Numbers near those that are expected lead further than arbitrary ones.
        header[16..19].fill(0);
        header[24..27].fill(0);
        let (body, after) = after.split_at(length);
        bench.receive(&header);
        let additional = [&[0, header[15] % 20, header[14] % 3, 0], &header[32..]].concat();
        bench.receive(&additional[..usize::from(header[4]) * 4]);
        bench.receive(body);
        bench.receive(&[0; 3][..length.next_multiple_of(4) - length]);
        rest = after;
    }
}

fn login() -> Vec<u8> {
    let text = b"InitiatorName=iqn.2026-01.org.example:fuzz\0TargetName=iqn.2026-01.org.example:disk\0InitialR2T=No\0";
    let mut header = layout::LoginRequest::zeroed();
    header.opcode = Request::Login as u8 | crate::pdu::IMMEDIATE;
    header.flags = 0x87;
    header.data_segment_length = data_segment_length(text.len());
    let mut bytes = header.bytes().to_vec();
    bytes.extend(text);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[test]
    fn a_closed_connection_with_answers_that_nobody_took_comes_to_an_end() {
        super::session(include_bytes!("../../../fuzz/seeds/session/closed-with-answers-queued"));
    }

    proptest! {
        #[test]
        fn no_stream_of_bytes_does_harm(data in proptest::collection::vec(any::<u8>(), 0..4096)) {
            super::stream(&data);
        }

        #[test]
        fn no_sequence_of_pdus_does_harm(data in proptest::collection::vec(any::<u8>(), 0..8192)) {
            super::session(&data);
        }
    }
}
