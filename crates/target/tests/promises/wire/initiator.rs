//! A connection of an initiator: how it logs in, sends and receives.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use timedisk_iscsi::parameters::Parameters;
use timedisk_iscsi::pdu::{IMMEDIATE, NO_TAG, Request, Response, layout};

use super::Scsi;
use super::lab::full_name;
use super::pdu::{Digests, Part, Pdu};
use super::session::Task;

/// What takes longer than this does not happen at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// T, and the stages.
pub(crate) const TRANSIT: u8 = 0x80;
const CONTINUE: u8 = 0x40;
const OPERATIONAL_TO_FULL: u8 = 1 << 2 | 3;

pub(crate) struct Initiator {
    pub(crate) stream: TcpStream,
    reader: BufReader<TcpStream>,
    pub(super) digests: Digests,
    pub(crate) name: String,
    pub(crate) isid: [u8; 6],
    /// Of the next numbered request.
    pub(crate) cmd_sn: u32,
    pub(super) max_cmd_sn: u32,
    pub(super) exp_stat_sn: u32,
    next_tag: u32,
    /// What was negotiated.
    pub(crate) terms: Parameters,
    pub(super) tasks: HashMap<u32, Task>,
    pub(super) inbox: VecDeque<Pdu>,
    /// Opcodes that were received.
    pub(crate) seen: HashSet<u8>,
    /// Not those of firmware.
    pub(crate) answers_pings: bool,
}

/// Status class and detail of a login response.
pub(crate) fn login_status(response: &Pdu) -> u16 {
    let header = layout::LoginResponse::of(&response.header);
    u16::from_be_bytes([header.status_class, header.status_detail])
}

impl Initiator {
    /// Only connects. No two initiators of a test have the same ISID, unless it is set.
    pub(crate) fn connect(address: SocketAddr) -> Initiator {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let [_, a, b, c] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Initiator {
            reader: BufReader::with_capacity(1 << 16, stream.try_clone().unwrap()),
            stream,
            digests: Digests::default(),
            name: "iqn.2026-01.org.example:initiator".into(),
            isid: [0x80, 0, 0, a, b, c],
            // Numbers wrap around soon.
            cmd_sn: 0xffff_fffc,
            max_cmd_sn: 0xffff_fffc,
            exp_stat_sn: 0,
            next_tag: 0x1000,
            terms: Parameters::default(),
            tasks: HashMap::new(),
            inbox: VecDeque::new(),
            seen: HashSet::new(),
            answers_pings: true,
        }
    }

    /// Logged in to a target (named without its prefix), with the first unit attention out of the way.
    pub(crate) fn session(address: SocketAddr, target: &str, offers: &[(&str, &str)]) -> Initiator {
        let mut initiator = Initiator::connect(address);
        initiator.log_in(Some(target), offers).unwrap();
        initiator.run(&Scsi::test_unit_ready());
        initiator
    }

    /// A discovery session.
    pub(crate) fn discovery(address: SocketAddr, offers: &[(&str, &str)]) -> Initiator {
        let mut initiator = Initiator::connect(address);
        initiator.log_in(None, offers).unwrap();
        initiator
    }

    /// The keys that say who wants what.
    pub(crate) fn identity(&self, target: Option<&str>) -> Vec<(String, String)> {
        let mut keys = vec![("InitiatorName".to_string(), self.name.clone())];
        keys.push(match target {
            Some(target) => ("TargetName".into(), full_name(target)),
            None => ("SessionType".into(), "Discovery".into()),
        });
        keys
    }

    /// Logs in with one request, in the operational stage. The answers, or the status of a refusal.
    pub(crate) fn log_in(
        &mut self,
        target: Option<&str>,
        offers: &[(&str, &str)],
    ) -> Result<HashMap<String, String>, u16> {
        let mut keys = self.identity(target);
        keys.extend(offers.iter().map(|(key, value)| (key.to_string(), value.to_string())));
        let response = self.login_step(TRANSIT | OPERATIONAL_TO_FULL, &text(&keys));
        match login_status(&response) {
            0 => Ok(self.settle(&response, offers)),
            status => Err(status),
        }
    }

    /// Sends a login request and receives the answer.
    pub(crate) fn login_step(&mut self, flags: u8, text: &[u8]) -> Pdu {
        let request = self.login_request(flags, text);
        self.send(&request);
        let response = self.receive().expect("a login response");
        assert_eq!(response.response(), Response::Login);
        let header = layout::LoginResponse::of(&response.header);
        if header.status_class == 0 {
            assert_eq!(header.isid, self.isid);
            self.exp_stat_sn = header.stat_sn.get().wrapping_add(1);
        }
        response
    }

    pub(crate) fn login_request(&self, flags: u8, text: &[u8]) -> Pdu {
        let mut header = layout::LoginRequest::zeroed();
        header.opcode = Request::Login as u8 | IMMEDIATE;
        header.flags = flags;
        header.isid = self.isid;
        header.initiator_task_tag = 1.into();
        header.cmd_sn = self.cmd_sn.into();
        header.exp_stat_sn = self.exp_stat_sn.into();
        Pdu::new(header.bytes(), text)
    }

    /// Takes over what the last login response has settled.
    pub(crate) fn settle(&mut self, response: &Pdu, offers: &[(&str, &str)]) -> HashMap<String, String> {
        let header = layout::LoginResponse::of(&response.header);
        assert_eq!(header.flags & (TRANSIT | CONTINUE), TRANSIT, "the session begins");
        assert_ne!(header.tsih.get(), 0);
        self.max_cmd_sn = header.max_cmd_sn.get();
        let answers: HashMap<String, String> = pairs(&response.data).into_iter().collect();
        let number =
            |key: &str, default: u32| answers.get(key).map_or(default, |value| value.parse().unwrap());
        let yes = |key: &str, default: bool| answers.get(key).map_or(default, |value| value == "Yes");
        let own = offers.iter().find(|(key, _)| *key == "MaxRecvDataSegmentLength");
        let before = Parameters::default();
        self.terms = Parameters {
            header_digest: answers.get("HeaderDigest").is_some_and(|value| value == "CRC32C"),
            data_digest: answers.get("DataDigest").is_some_and(|value| value == "CRC32C"),
            max_recv_data_segment_length_initiator: own.map_or(8192, |(_, value)| value.parse().unwrap()),
            max_recv_data_segment_length_target: number("MaxRecvDataSegmentLength", 8192),
            max_burst_length: number("MaxBurstLength", before.max_burst_length),
            first_burst_length: number("FirstBurstLength", before.first_burst_length),
            initial_r2t: yes("InitialR2T", before.initial_r2t),
            immediate_data: yes("ImmediateData", before.immediate_data),
            max_outstanding_r2t: number("MaxOutstandingR2T", before.max_outstanding_r2t),
            ..before
        };
        self.digests = Digests { header: self.terms.header_digest, data: self.terms.data_digest };
        answers
    }

    pub(crate) fn tag(&mut self) -> u32 {
        self.next_tag += 1;
        self.next_tag
    }

    /// The number of a request that takes one.
    pub(crate) fn take_cmd_sn(&mut self) -> u32 {
        let number = self.cmd_sn;
        self.cmd_sn = number.wrapping_add(1);
        number
    }

    pub(crate) fn send(&mut self, pdu: &Pdu) {
        self.send_bytes(&pdu.encode(self.digests));
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends a PDU with one bit of this part flipped; `false` where it has no such part.
    pub(crate) fn send_damaged(&mut self, pdu: &Pdu, part: Part) -> bool {
        let damaged = pdu.damaged(part, self.digests);
        damaged.iter().for_each(|bytes| self.send_bytes(bytes));
        damaged.is_some()
    }

    /// The next PDU, whatever it is. Its digests, its length and its StatSN have to be right.
    pub(crate) fn receive(&mut self) -> io::Result<Pdu> {
        let pdu = Pdu::read(&mut self.reader, self.digests)?;
        let response = pdu.response();
        self.seen.insert(response as u8);
        let limit = self.terms.max_recv_data_segment_length_initiator as usize;
        assert!(
            pdu.data.len() <= limit,
            "a data segment of {} bytes, where {limit} are allowed",
            pdu.data.len()
        );
        if response != Response::Login {
            self.check_numbers(&pdu, response);
        }
        Ok(pdu)
    }

    fn check_numbers(&mut self, pdu: &Pdu, response: Response) {
        let header = layout::TextResponse::of(&pdu.header);
        let counts = match response {
            Response::ReadyToTransfer => false,
            Response::DataIn => header.flags & 1 != 0,
            Response::NopIn => header.initiator_task_tag.get() != NO_TAG,
            _ => true,
        };
        if counts {
            assert_eq!(header.stat_sn.get(), self.exp_stat_sn, "StatSN of {pdu:02x?}");
            self.exp_stat_sn = self.exp_stat_sn.wrapping_add(1);
        }
        assert!(
            !timedisk_iscsi::serial::before(header.max_cmd_sn.get(), self.max_cmd_sn),
            "MaxCmdSN goes back"
        );
        self.max_cmd_sn = header.max_cmd_sn.get();
    }

    /// Waits until the server closes the connection, whatever it sends before.
    #[track_caller]
    pub(crate) fn await_close(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.reader.read(&mut [0; 4096]) {
                Ok(0) => return,
                Ok(_) => assert!(Instant::now() < deadline, "the connection is still open, and used"),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return,
                Err(error) => panic!("the connection is still open: {error}"),
            }
        }
    }
}

/// Text of keys and values.
pub(crate) fn text(pairs: &[(String, String)]) -> Vec<u8> {
    pairs.iter().flat_map(|(key, value)| format!("{key}={value}\0").into_bytes()).collect()
}

/// Keys and values of text.
pub(crate) fn pairs(text: &[u8]) -> Vec<(String, String)> {
    assert!(text.is_empty() || text.ends_with(b"\0"), "text ends with a zero byte");
    let text = String::from_utf8(text.to_vec()).unwrap();
    let pairs = text.split_terminator('\0').map(|pair| pair.split_once('=').expect("a key and a value"));
    pairs.map(|(key, value)| (key.to_string(), value.to_string())).collect()
}
