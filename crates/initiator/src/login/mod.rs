//! The login, from the first request to the terms of a session (RFC 7143 §6.3, §11.12, §11.13).
//!
//! Sans-IO: [`Login::begin`] gives the first request, [`Login::receive`] takes each response and gives what
//! follows it.

mod offers;
mod security;
#[cfg(test)]
mod tests;

use timedisk_iscsi::chap::Identity;
use timedisk_iscsi::login::LoginStatus;
use timedisk_iscsi::parameters::{Parameters, Wishes};
use timedisk_iscsi::pdu::{IMMEDIATE, Request, Response, layout};
use timedisk_iscsi::text::{self, TextError};

use crate::control::Pdu;
use crate::session::{ProtocolError, Terms};
use offers::Offers;
use security::Security;

/// T and C of login requests and responses (§11.12.2, §11.12.3).
const TRANSIT: u8 = 0x80;
const CONTINUE: u8 = 0x40;

/// Stages (§11.12.3).
const SECURITY: u8 = 0;
const OPERATIONAL: u8 = 1;
const FULL_FEATURE: u8 = 3;

/// Responses that a login may take: the longest sound one has about ten.
const MOST_ROUNDS: u32 = 40;

/// The Initiator Task Tag of all requests of a login.
const TAG: u32 = 1;

/// Who logs in, and what for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our iSCSI name.
    pub initiator_name: String,
    /// Our part of the session's identifier (§11.12.5).
    pub isid: [u8; 6],
    /// Connection identifier (§11.12.7).
    pub cid: u16,
    /// The session that the connection is to join; none for a new one.
    pub joined: Option<Joined>,
    /// What we would have the parameters be.
    pub wishes: Wishes,
    /// Connections of the session that we would like (§13.2).
    pub connections: u16,
    /// Who we are, where the target asks (CHAP).
    pub user: Option<Identity>,
    /// Who the target has to be (mutual CHAP).
    pub peer: Option<Identity>,
}

/// A session that another connection joins (RFC 7143 §6.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The target's part of its identifier (§11.12.6).
    pub tsih: u16,
    /// Number of its next command (§11.12.8).
    pub cmd_sn: u32,
    /// What was settled for all its connections.
    pub parameters: Parameters,
}

impl Settings {
    /// For a new session of one connection, with `identity` for the parts that have to differ between the
    /// sessions of one initiator: 3 random bytes.
    pub fn new(identity: [u8; 3]) -> Settings {
        let [a, b, c] = identity;
        Settings {
            initiator_name: "iqn.2026-01.io.timedisk:initiator".into(),
            // A random ISID (§11.12.5): type 10b, 24 bits, and a qualifier.
            isid: [0x80, a, b, c, 0, 1],
            cid: 0,
            joined: None,
            wishes: Wishes {
                header_digests: &["None"],
                data_digests: &["None"],
                max_recv_data_segment_length: 1 << 20,
                max_burst_length: (1 << 24) - 512,
                first_burst_length: 1 << 20,
                initial_r2t: false,
                immediate_data: true,
                max_outstanding_r2t: 16,
                default_time2wait: 0,
                default_time2retain: 0,
            },
            connections: 1,
            user: None,
            peer: None,
        }
    }

    /// Asks for digests of headers, of data or of both. Whether the target has them, the session's parameters
    /// say.
    pub fn with_digests(mut self, header: bool, data: bool) -> Settings {
        // Alone: some targets choose None wherever they may.
        const WITH: &[&str] = &["CRC32C"];
        const WITHOUT: &[&str] = &["None"];
        self.wishes.header_digests = if header { WITH } else { WITHOUT };
        self.wishes.data_digests = if data { WITH } else { WITHOUT };
        self
    }
}

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The target says no (§11.13.5).
    #[error("the target refuses the login: {0}{hint}", hint = hint(*.0))]
    Refused(LoginStatus),
    /// The target is elsewhere (§11.13.5, class 1).
    #[error("the target has moved to {address}")]
    Moved {
        /// `host[:port]`, as the target says it.
        address: String,
    },
    /// An answer that fits no request.
    #[error("the target's answer to the login makes no sense: {0}")]
    Senseless(&'static str),
    /// Keys that can't be taken apart.
    #[error("the target's answer to the login can't be read: {0}")]
    Text(TextError),
    /// A value that breaks the key's rule.
    #[error("the target answers {key}={value}, which was not on offer")]
    Answer {
        /// The key.
        key: String,
        /// Fit to be shown.
        value: String,
    },
    /// AuthMethod or CHAP_A.
    #[error(
        "the target asks for a way to log in that we don't have ({0}): only CHAP and None are known here"
    )]
    Method(String),
    /// The target wants CHAP and there is no user.
    #[error("the target wants a user and a secret: write them into the URL, iscsi://USER%SECRET@HOST/…")]
    SecretWanted,
    /// Mutual CHAP was asked for and has failed.
    #[error("the target has not proved that it is {0}: its secret is another one, or it is another target")]
    Impostor(String),
    /// The target never comes to an end.
    #[error("the target does not end the login after {MOST_ROUNDS} answers")]
    Endless,
    /// A PDU that belongs nowhere.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

impl From<TextError> for LoginError {
    fn from(error: TextError) -> LoginError {
        LoginError::Text(error)
    }
}

fn hint(status: LoginStatus) -> &'static str {
    match status {
        LoginStatus::AUTHENTICATION_FAILURE => {
            ": user and secret are wrong or missing (iscsi://USER%SECRET@HOST/…)"
        }
        LoginStatus::NOT_FOUND => ": give HOST:PORT alone to see which targets there are",
        _ => "",
    }
}

/// What follows a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another request.
    Send(Pdu),
    /// The session.
    Done(Box<Terms>),
}

/// A login under way.
#[derive(Debug)]
pub struct Login {
    settings: Settings,
    target: Option<String>,
    stage: u8,
    /// The stage that the last request asked for, if it did.
    asked: Option<u8>,
    security: Security,
    offers: Offers,
    text: text::Incoming,
    rounds: u32,
    cmd_sn: u32,
    exp_stat_sn: u32,
}

impl Login {
    /// The login to a target, or for discovery where there is none, and its first request. `random` fills
    /// bytes for challenges; it is asked at once.
    pub fn begin(
        settings: Settings,
        target: Option<&str>,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> (Login, Pdu) {
        let security = Security::new(&settings, random);
        let mut login = Login {
            offers: Offers::new(&settings, target.is_none()),
            target: target.map(str::to_owned),
            stage: SECURITY,
            asked: None,
            security,
            text: text::Incoming::default(),
            rounds: 0,
            cmd_sn: settings.joined.as_ref().map_or(1, |joined| joined.cmd_sn),
            exp_stat_sn: 0,
            settings,
        };
        let mut text = text::Writer::default();
        text.pair("InitiatorName", &login.settings.initiator_name);
        match &login.target {
            Some(target) => {
                text.pair("SessionType", "Normal");
                text.pair("TargetName", target);
            }
            None => text.pair("SessionType", "Discovery"),
        }
        let is_ready = login.security.offer(&mut text);
        let first = login.request(is_ready.then_some(OPERATIONAL), text.finish());
        (login, first)
    }

    fn request(&mut self, next: Option<u8>, data: Vec<u8>) -> Pdu {
        let mut header = layout::LoginRequest::zeroed();
        header.opcode = Request::Login as u8 | IMMEDIATE;
        header.flags = self.stage << 2 | next.map_or(0, |next| TRANSIT | next);
        header.isid = self.settings.isid;
        header.tsih = self.settings.joined.as_ref().map_or(0, |joined| joined.tsih).into();
        header.initiator_task_tag = TAG.into();
        header.cid = self.settings.cid.into();
        header.cmd_sn = self.cmd_sn.into();
        header.exp_stat_sn = self.exp_stat_sn.into();
        self.asked = next;
        Pdu { header: header.bytes(), data }
    }

    /// Takes a response.
    ///
    /// # Errors
    /// [`LoginError`]: the login has failed, and the connection is to be closed.
    pub fn receive(&mut self, pdu: &Pdu) -> Result<Next, LoginError> {
        let header = layout::LoginResponse::of(&pdu.header);
        self.check(&header, &pdu.data)?;
        let more = header.flags & CONTINUE != 0;
        let transit = header.flags & TRANSIT != 0;
        if more && transit {
            return Err(LoginError::Senseless("the text goes on, and the stage ends"));
        }
        let Some(text) = self.text.piece(&pdu.data, more)? else {
            return Ok(Next::Send(self.request(None, Vec::new())));
        };
        let next = header.flags & 3;
        if transit && self.asked != Some(next) {
            return Err(LoginError::Senseless("it ends a stage that we did not end"));
        }
        match self.stage {
            SECURITY => self.secure(&text, transit),
            _ => self.settle(&text, transit.then_some(&header)),
        }
    }

    /// What has to be right in every response.
    fn check(&mut self, header: &layout::LoginResponse, data: &[u8]) -> Result<(), LoginError> {
        if header.opcode & 0x3f != Response::Login as u8 {
            return Err(ProtocolError::Opcode(header.opcode).into());
        }
        self.rounds += 1;
        if self.rounds > MOST_ROUNDS {
            return Err(LoginError::Endless);
        }
        match (header.status_class, header.status_detail) {
            (0, 0) => {}
            (1, _) => return Err(moved(data)),
            (class, detail) => return Err(LoginError::Refused(LoginStatus::of(class, detail))),
        }
        if header.initiator_task_tag.get() != TAG {
            return Err(LoginError::Senseless("it names another task"));
        }
        if header.isid != self.settings.isid {
            return Err(LoginError::Senseless("it is for another session"));
        }
        if header.flags >> 2 & 3 != self.stage {
            return Err(LoginError::Senseless("it is for another stage"));
        }
        let number = header.stat_sn.get();
        if self.rounds > 1 && number != self.exp_stat_sn {
            let expected = self.exp_stat_sn;
            return Err(ProtocolError::StatusNumber { expected, found: number }.into());
        }
        self.exp_stat_sn = number.wrapping_add(1);
        Ok(())
    }

    /// A whole text of the security stage.
    fn secure(&mut self, data: &[u8], transit: bool) -> Result<Next, LoginError> {
        let step = self.security.take(&text::pairs(data)?, transit)?;
        Ok(Next::Send(match step {
            security::Step::Say { text, is_last } => self.request(is_last.then_some(OPERATIONAL), text),
            security::Step::Done => {
                self.stage = OPERATIONAL;
                let text = self.offers.text();
                self.request(Some(FULL_FEATURE), text)
            }
        }))
    }

    /// A whole text of the operational stage, with the response that ends it, if it does.
    fn settle(&mut self, data: &[u8], last: Option<&layout::LoginResponse>) -> Result<Next, LoginError> {
        let answers = self.offers.take(&text::pairs(data)?)?;
        let Some(header) = last else {
            return Ok(Next::Send(self.request(Some(FULL_FEATURE), answers)));
        };
        let tsih = header.tsih.get();
        if tsih == 0 {
            return Err(LoginError::Senseless("the session has no identifier (TSIH 0)"));
        }
        if self.settings.joined.as_ref().is_some_and(|joined| joined.tsih != tsih) {
            return Err(LoginError::Senseless("it is for another session"));
        }
        let parameters = self.offers.parameters();
        Ok(Next::Done(Box::new(Terms {
            parameters,
            cid: self.settings.cid,
            tsih,
            cmd_sn: self.cmd_sn,
            max_cmd_sn: header.max_cmd_sn.get(),
            exp_stat_sn: self.exp_stat_sn,
        })))
    }
}

fn moved(data: &[u8]) -> LoginError {
    let found = text::pairs(data).unwrap_or_default();
    let address = found.iter().find(|pair| pair.key == "TargetAddress").and_then(|pair| pair.text());
    LoginError::Moved { address: address.map_or_else(|| "a place that it does not name".into(), text::shown) }
}
