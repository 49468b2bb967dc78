//! The login of a connection, target side (RFC 7143 §6.3).
//!
//! Requests go in one by one; each gets a response, until one of them says that the login has
//! succeeded or failed.

mod fuzz;
mod pdu;
mod policy;
mod security;
mod status;
mod visitor;

#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use fuzz::fuzz;
pub use pdu::{LoginRequest, LoginResponse};
pub use policy::{Authentication, NewSession, Policy, SessionType, TargetAnswer};
pub use status::LoginStatus;

pub use crate::parameters::Wishes;

use crate::keys::Phase;
use crate::negotiation::{Negotiation, NegotiationError};
use crate::parameters::Parameters;
use crate::text::{Incoming, Outgoing, Writer};
use security::{Door, Exchange};
use visitor::Visitor;

/// The one version of the protocol (RFC 7143 §11.12.4).
const VERSION: u8 = 0;

/// Bytes of text in one response: the initiator's limit before it has declared another (RFC 7143
/// §6.3).
const DATA_LIMIT: usize = 8192;

/// Requests of one login. The longest that is known of takes a dozen.
const REQUESTS_LIMIT: u32 = 32;

/// StatSN of the first response.
const FIRST_STAT_SN: u32 = 1;

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this; the login goes on.
    Respond(LoginResponse),
    /// Send this; the session begins.
    Established(LoginResponse, Box<Established>),
    /// Send this, then close the connection. The text says why, for a log.
    Refused(LoginResponse, String),
}

/// A session that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Established {
    /// Who and where.
    pub session: NewSession,
    /// Target session identifying handle.
    pub tsih: u16,
    /// What was negotiated.
    pub parameters: Parameters,
    /// Number of the first command.
    pub cmd_sn: u32,
    /// Number of the next response.
    pub stat_sn: u32,
}

/// Why a login fails.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    status: LoginStatus,
    reason: String,
}

impl Refusal {
    fn new(status: LoginStatus, reason: impl Into<String>) -> Self {
        Refusal { status, reason: reason.into() }
    }

    fn initiator_error(reason: impl Into<String>) -> Self {
        Refusal::new(LoginStatus::INITIATOR_ERROR, reason)
    }
}

impl From<NegotiationError> for Refusal {
    fn from(error: NegotiationError) -> Self {
        Refusal::initiator_error(error.to_string())
    }
}

/// Stages of a login, by their codes (RFC 7143 §11.12.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Stage {
    Security = 0,
    Operational = 1,
    FullFeature = 3,
}

impl Stage {
    fn phase(self) -> Phase {
        match self {
            Stage::Security => Phase::Security,
            Stage::Operational => Phase::Operational,
            Stage::FullFeature => Phase::FullFeature,
        }
    }

    fn of(code: u8) -> Option<Stage> {
        [Stage::Security, Stage::Operational, Stage::FullFeature]
            .into_iter()
            .find(|stage| *stage as u8 == code)
    }
}

#[derive(Debug)]
enum State {
    /// The first text has not come in full.
    Start,
    Security(Visitor, Exchange),
    Operational(Visitor),
    Over,
}

/// What all requests of a login have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Constants {
    isid: [u8; 6],
    cid: u16,
    stage: Stage,
    cmd_sn: u32,
}

/// A login under way.
#[derive(Debug)]
pub struct Login {
    negotiation: Negotiation,
    incoming: Incoming,
    outgoing: Outgoing,
    constants: Option<Constants>,
    state: State,
    requests: u32,
    stat_sn: u32,
}

impl Login {
    /// Waits for the first request of a connection.
    pub fn new(wishes: Wishes) -> Self {
        Login {
            negotiation: Negotiation::new(wishes),
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            constants: None,
            state: State::Start,
            requests: 0,
            stat_sn: FIRST_STAT_SN,
        }
    }

    /// Takes the next request. `random` fills its argument with bytes that nobody can guess.
    pub fn request(
        &mut self,
        request: &LoginRequest<'_>,
        policy: &mut dyn Policy,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Step {
        match self.advance(request, policy, random) {
            Ok(step) => step,
            Err(refusal) => {
                self.state = State::Over;
                let reason = format!("{}: {}", refusal.status, refusal.reason);
                Step::Refused(self.refuse(request, refusal.status), reason)
            }
        }
    }

    /// The response that ends the login without success.
    pub fn refuse(&self, request: &LoginRequest<'_>, status: LoginStatus) -> LoginResponse {
        let cmd_sn = self.constants.map_or(request.cmd_sn, |constants| constants.cmd_sn);
        LoginResponse {
            transit: false,
            continue_: false,
            csg: 0,
            nsg: 0,
            version_max: VERSION,
            version_active: VERSION,
            isid: request.isid,
            tsih: request.tsih,
            initiator_task_tag: request.initiator_task_tag,
            stat_sn: self.stat_sn,
            exp_cmd_sn: cmd_sn,
            // A window of one command, which every session has.
            max_cmd_sn: cmd_sn,
            status,
            data: Vec::new(),
        }
    }

    fn advance(
        &mut self,
        request: &LoginRequest<'_>,
        policy: &mut dyn Policy,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Step, Refusal> {
        self.requests += 1;
        if self.requests > REQUESTS_LIMIT {
            return Err(Refusal::initiator_error(format!(
                "there were more than {REQUESTS_LIMIT} login requests"
            )));
        }
        let constants = self.check(request)?;
        if !self.outgoing.is_empty() {
            if request.continue_ || !request.data.is_empty() {
                return Err(Refusal::initiator_error(
                    "new text came before the rest of the answer was fetched",
                ));
            }
            return self.respond(request, constants, policy);
        }
        match self.incoming.piece(request.data, request.continue_).map_err(NegotiationError::from)? {
            None => Ok(Step::Respond(self.response(request, constants))),
            Some(text) => {
                self.take(&text, request, constants, policy, random)?;
                self.respond(request, constants, policy)
            }
        }
    }

    /// Checks the header (RFC 7143 §11.12).
    fn check(&mut self, request: &LoginRequest<'_>) -> Result<Constants, Refusal> {
        if request.version_min > VERSION {
            let (least, most) = (request.version_min, request.version_max);
            let reason = format!("the initiator speaks versions {least} to {most}, not {VERSION}");
            return Err(Refusal::new(LoginStatus::UNSUPPORTED_VERSION, reason));
        }
        if request.tsih != 0 {
            let reason = format!("there is no session with the handle {} to join", request.tsih);
            return Err(Refusal::new(LoginStatus::SESSION_DOES_NOT_EXIST, reason));
        }
        let stage = Stage::of(request.csg).filter(|stage| *stage != Stage::FullFeature);
        let Some(stage) = stage else {
            return Err(Refusal::initiator_error(format!("there is no stage {}", request.csg)));
        };
        let (isid, cid, cmd_sn) = (request.isid, request.cid, request.cmd_sn);
        let first = Constants { isid, cid, stage, cmd_sn };
        let constants = *self.constants.get_or_insert(first);
        let fits = (constants.isid, constants.cid, constants.stage) == (isid, cid, stage);
        if matches!(self.state, State::Over) || !fits {
            return Err(Refusal::initiator_error("the request does not fit the ones before it"));
        }
        if request.transit {
            let forward = Stage::of(request.nsg).is_some_and(|next| next as u8 > request.csg);
            if request.continue_ || !forward {
                return Err(Refusal::initiator_error("the request asks for a stage that can't follow"));
            }
        }
        Ok(constants)
    }

    /// Takes a whole text, and leaves the answer in `outgoing`.
    fn take(
        &mut self,
        text: &[u8],
        request: &LoginRequest<'_>,
        constants: Constants,
        policy: &mut dyn Policy,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), Refusal> {
        let mut out = Writer::default();
        self.negotiation.answer(text, constants.stage.phase(), &mut out)?;
        let introduction = self.negotiation.introduction();
        let state = match std::mem::replace(&mut self.state, State::Over) {
            State::Start => {
                let connection = (constants.isid, constants.cid);
                let visitor = Visitor::of(introduction, connection, policy)?;
                out.pair("TargetPortalGroupTag", &policy.portal_group_tag().to_string());
                begin(constants.stage, visitor)?
            }
            state => state,
        };
        self.state = match state {
            State::Security(mut visitor, exchange) => {
                visitor.check_session_type(introduction)?;
                let target = visitor.session.target.as_deref();
                let required = visitor.required;
                let mut door = Door { required, target, policy: &*policy, random };
                let credentials = self.negotiation.take_credentials();
                let exchange = exchange.step(credentials, &mut door, &mut out)?;
                if request.transit && exchange.is_skipped(required) {
                    let reason = "the initiator did not offer to authenticate itself";
                    return Err(Refusal::new(LoginStatus::AUTHENTICATION_FAILURE, reason));
                }
                if exchange.is_done(required) {
                    visitor.session.authenticated_user = exchange.user();
                    visitor.greet(&mut out);
                }
                State::Security(visitor, exchange)
            }
            State::Operational(mut visitor) => {
                visitor.check_session_type(introduction)?;
                visitor.greet(&mut out);
                self.negotiation.declare(&mut out);
                State::Operational(visitor)
            }
            other => other,
        };
        self.outgoing = Outgoing::new(out.finish());
        Ok(())
    }

    /// Sends the next piece of the answer, and with the last one goes on where the initiator
    /// wants to.
    fn respond(
        &mut self,
        request: &LoginRequest<'_>,
        constants: Constants,
        policy: &mut dyn Policy,
    ) -> Result<Step, Refusal> {
        let data = self.outgoing.piece(DATA_LIMIT);
        let more = !self.outgoing.is_empty();
        let next = Stage::of(request.nsg).filter(|_| request.transit && !more && self.state.may_be_left());
        let Some(next) = next else {
            let response = self.response(request, constants);
            return Ok(Step::Respond(LoginResponse { continue_: more, data, ..response }));
        };
        let state = std::mem::replace(&mut self.state, State::Over);
        let response = self.response(request, constants);
        let response = LoginResponse { transit: true, nsg: next as u8, data, ..response };
        let (State::Security(visitor, _) | State::Operational(visitor)) = state else {
            return Err(Refusal::initiator_error("the login is over"));
        };
        if next == Stage::Operational {
            self.state = State::Operational(visitor);
            self.constants = Some(Constants { stage: next, ..constants });
            return Ok(Step::Respond(response));
        }
        let established = self.establish(visitor.session, constants, policy)?;
        let response = LoginResponse { tsih: established.tsih, ..response };
        Ok(Step::Established(response, Box::new(established)))
    }

    /// Gives the session its place.
    fn establish(
        &self,
        mut session: NewSession,
        constants: Constants,
        policy: &mut dyn Policy,
    ) -> Result<Established, Refusal> {
        let alias = self.negotiation.introduction().initiator_alias.as_deref();
        let shown = |alias: &str| alias.chars().filter(|part| !part.is_control()).collect();
        session.initiator_alias = alias.map(shown);
        let parameters = self.negotiation.parameters();
        session.protocol_level = parameters.protocol_level;
        let tsih = match policy.admit(&session) {
            // A handle of 0 would be taken for a request for a new session.
            Ok(0) => Err(LoginStatus::TARGET_ERROR),
            answer => answer,
        };
        let tsih = tsih.map_err(|status| {
            let who = &session.initiator_name;
            Refusal::new(status, format!("there is no place for a session of {who}"))
        })?;
        let (cmd_sn, stat_sn) = (constants.cmd_sn, self.stat_sn);
        Ok(Established { session, tsih, parameters, cmd_sn, stat_sn })
    }

    /// A response without text that stays in its stage. It takes a StatSN.
    fn response(&mut self, request: &LoginRequest<'_>, constants: Constants) -> LoginResponse {
        let csg = constants.stage as u8;
        let response = LoginResponse { csg, ..self.refuse(request, LoginStatus::SUCCESS) };
        self.stat_sn = self.stat_sn.wrapping_add(1);
        response
    }
}

/// Enters the first stage. Who leaves out the security stage has to be welcome without it.
fn begin(stage: Stage, visitor: Visitor) -> Result<State, Refusal> {
    match (stage, visitor.required) {
        (Stage::Security, _) => Ok(State::Security(visitor, Exchange::Open)),
        (_, Authentication::None | Authentication::Optional) => Ok(State::Operational(visitor)),
        (_, Authentication::Chap) => {
            let reason = format!("{} did not authenticate itself", visitor.session.initiator_name);
            Err(Refusal::new(LoginStatus::AUTHENTICATION_FAILURE, reason))
        }
    }
}

impl State {
    /// Whether the next stage may follow.
    fn may_be_left(&self) -> bool {
        match self {
            State::Security(visitor, exchange) => exchange.is_done(visitor.required),
            State::Operational(_) => true,
            State::Start | State::Over => false,
        }
    }
}
