//! From the first request to full feature phase.

use super::authentication::{Keys, Proof, Refusal};
use super::{
    Authentication, Established, LoginRequest, LoginResponse, LoginStatus, NewSession, Policy, SessionType, Step,
    TargetAnswer, Wishes,
};
use crate::names::normalise;
use crate::negotiation::Negotiator;
use crate::text::{self, Incoming, Outgoing, Writer, shown};

/// Requests that one login may take.
const REQUESTS_LIMIT: usize = 64;

/// Text that one response may have: what holds before anything else is negotiated (RFC 7143 §13.12).
const RESPONSE_LIMIT: usize = 8192;

/// Stages (RFC 7143 §11.12.3).
const SECURITY: u8 = 0;
const OPERATIONAL: u8 = 1;
const FULL_FEATURE: u8 = 3;

/// A login that is going on.
#[derive(Debug)]
pub struct Login {
    negotiator: Negotiator,
    wishes: Wishes,
    requests: usize,
    stat_sn: u32,
    stage: Option<u8>,
    /// Text of requests that are continued.
    incoming: Incoming,
    /// Text that did not fit into the last response.
    outgoing: Outgoing,
    names: Names,
    /// Once both names are known.
    identity: Option<Identity>,
    proof: Proof,
    connection: Option<([u8; 6], u16)>,
    declared: bool,
}

/// Who the initiator says it is, and whom it wants.
#[derive(Debug, Default)]
struct Names {
    initiator: Option<String>,
    alias: Option<String>,
    target: Option<String>,
    session_type: Option<String>,
}

/// The same, checked.
#[derive(Debug)]
struct Identity {
    initiator: String,
    target: Option<String>,
    target_alias: Option<String>,
    session_type: SessionType,
    required: Authentication,
}

fn initiator_error<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    Err((LoginStatus::INITIATOR_ERROR, reason.into()))
}

impl Login {
    /// Nothing has come yet.
    pub fn new(wishes: Wishes) -> Self {
        Login {
            negotiator: Negotiator::new(wishes),
            wishes,
            requests: 0,
            stat_sn: 1,
            stage: None,
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            names: Names::default(),
            identity: None,
            proof: Proof::Open,
            connection: None,
            declared: false,
        }
    }

    /// Takes a request.
    pub fn request(
        &mut self,
        request: &LoginRequest<'_>,
        policy: &mut dyn Policy,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Step {
        match self.advance(request, policy, random) {
            Ok(step) => step,
            Err((status, reason)) => {
                let who = self.names.initiator.as_deref().map(|name| format!("{}: ", shown(name)));
                let reason = format!("{}{reason} ({})", who.unwrap_or_default(), status.words());
                Step::Refused(self.refuse(request, status), reason)
            }
        }
    }

    /// The response that ends the login.
    pub fn refuse(&mut self, request: &LoginRequest<'_>, status: LoginStatus) -> LoginResponse {
        LoginResponse { status, ..self.response(request) }
    }

    fn advance(
        &mut self,
        request: &LoginRequest<'_>,
        policy: &mut dyn Policy,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Step, Refusal> {
        self.check_header(request)?;
        if !self.outgoing.is_empty() {
            if !request.data.is_empty() || request.transit {
                return initiator_error("it goes on before it has the whole answer");
            }
            return Ok(Step::Respond(self.respond(request)));
        }
        let piece = self.incoming.piece(request.data, request.continue_);
        let Some(text) = piece.or_else(|error| initiator_error(error.to_string()))? else {
            return Ok(Step::Respond(self.response(request)));
        };
        self.take_text(&text, request, policy, random)?;
        self.leave_stage(request, policy)
    }

    fn check_header(&mut self, request: &LoginRequest<'_>) -> Result<(), Refusal> {
        self.requests += 1;
        if self.requests > REQUESTS_LIMIT {
            return initiator_error("the login has no end");
        }
        if request.version_min > 0 {
            return Err((LoginStatus::UNSUPPORTED_VERSION, format!("it speaks version {} and later", request.version_min)));
        }
        if request.tsih != 0 {
            let reason = format!("a further connection for session {}", request.tsih);
            return Err((LoginStatus::SESSION_DOES_NOT_EXIST, reason));
        }
        let connection = (request.isid, request.cid);
        if *self.connection.get_or_insert(connection) != connection {
            return initiator_error("ISID or CID changed during the login");
        }
        if request.csg > OPERATIONAL || self.stage.is_some_and(|stage| stage != request.csg) {
            return initiator_error(format!("a request of stage {} out of turn", request.csg));
        }
        self.stage = Some(request.csg);
        let forward = matches!((request.csg, request.nsg), (SECURITY, OPERATIONAL) | (_, FULL_FEATURE));
        if request.transit && (request.continue_ || !forward) {
            return initiator_error(format!("a step from stage {} to {}", request.csg, request.nsg));
        }
        Ok(())
    }

    fn take_text(
        &mut self,
        text: &[u8],
        request: &LoginRequest<'_>,
        policy: &mut dyn Policy,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), Refusal> {
        let pairs = text::pairs(text).or_else(|error| initiator_error(error.to_string()))?;
        let (mut security, mut operational) = (Keys::default(), Vec::new());
        for pair in pairs {
            let key = pair.key;
            let Some(value) = pair.text() else { return initiator_error(format!("the value of {key} is not UTF-8")) };
            if let Some(taken) = self.names.take(key, value).or_else(|| security.take(key, value)) {
                taken?;
            } else {
                operational.push((key, value));
            }
        }
        let mut answers = Writer::default();
        let (required, target) = self.identify(policy, &mut answers)?;
        if request.csg == OPERATIONAL && !self.proof.suffices(required) {
            return Err((LoginStatus::AUTHENTICATION_FAILURE, "it does not authenticate, which is required".into()));
        }
        let secret = |user: &str| policy.secret(target.as_deref(), user);
        let proof = std::mem::replace(&mut self.proof, Proof::Open);
        let (proof, proofs) = proof.go_on(&security, required, &secret, random)?;
        self.proof = proof;
        proofs.iter().for_each(|(key, value)| answers.pair(key, value));
        for (key, value) in operational {
            let answer = self.negotiator.offer(key, value).or_else(|error| initiator_error(error.to_string()))?;
            if let Some(answer) = answer {
                answers.pair(key, &answer);
            }
        }
        if request.csg == OPERATIONAL && !std::mem::replace(&mut self.declared, true) {
            answers.pair("MaxRecvDataSegmentLength", &self.wishes.max_recv_data_segment_length.to_string());
        }
        self.outgoing = Outgoing::new(answers.finish());
        Ok(())
    }

    /// Finds out who wants what, once; and says who we are.
    fn identify(
        &mut self,
        policy: &dyn Policy,
        answers: &mut Writer,
    ) -> Result<(Authentication, Option<String>), Refusal> {
        let identity = match &self.identity {
            Some(identity) => identity,
            None => {
                let identity = self.names.check(policy)?;
                if identity.session_type == SessionType::Normal {
                    if let Some(alias) = &identity.target_alias {
                        answers.pair("TargetAlias", alias);
                    }
                    answers.pair("TargetPortalGroupTag", &policy.portal_group_tag().to_string());
                }
                self.identity.insert(identity)
            }
        };
        Ok((identity.required, identity.target.clone()))
    }

    fn leave_stage(&mut self, request: &LoginRequest<'_>, policy: &mut dyn Policy) -> Result<Step, Refusal> {
        let required = self.identity.as_ref().map_or(Authentication::Chap, |identity| identity.required);
        let waits_for_proof = matches!(self.proof, Proof::AlgorithmDue | Proof::ResponseDue(_));
        let response = self.respond(request);
        if !request.transit || response.continue_ || waits_for_proof {
            return Ok(Step::Respond(response));
        }
        if !self.proof.suffices(required) {
            return Err((LoginStatus::AUTHENTICATION_FAILURE, "it does not authenticate, which is required".into()));
        }
        if request.nsg != FULL_FEATURE {
            self.stage = Some(request.nsg);
            return Ok(Step::Respond(LoginResponse { transit: true, nsg: request.nsg, ..response }));
        }
        let session = self.session(request)?;
        let tsih = policy.admit(&session).map_err(|status| (status, "it can't be admitted".to_string()))?;
        let response = LoginResponse { transit: true, nsg: FULL_FEATURE, tsih, ..response };
        let (parameters, cmd_sn, stat_sn) = (self.negotiator.parameters(), request.cmd_sn, self.stat_sn);
        Ok(Step::Established(response, Box::new(Established { session, parameters, tsih, cmd_sn, stat_sn })))
    }

    fn session(&self, request: &LoginRequest<'_>) -> Result<NewSession, Refusal> {
        let Some(identity) = &self.identity else { return initiator_error("nobody knows who it is") };
        Ok(NewSession {
            initiator_name: identity.initiator.clone(),
            initiator_alias: self.names.alias.as_deref().map(shown),
            isid: request.isid,
            target: identity.target.clone(),
            cid: request.cid,
            session_type: identity.session_type,
            authenticated_user: match &self.proof {
                Proof::Done { user } => Some(user.clone()),
                _ => None,
            },
        })
    }

    /// A response with as much of the waiting text as fits.
    fn respond(&mut self, request: &LoginRequest<'_>) -> LoginResponse {
        let data = self.outgoing.piece(RESPONSE_LIMIT);
        LoginResponse { continue_: !self.outgoing.is_empty(), data, ..self.response(request) }
    }

    fn response(&mut self, request: &LoginRequest<'_>) -> LoginResponse {
        let stat_sn = self.stat_sn;
        self.stat_sn = self.stat_sn.wrapping_add(1);
        LoginResponse {
            transit: false,
            continue_: false,
            csg: request.csg,
            nsg: 0,
            version_max: 0,
            version_active: 0,
            isid: request.isid,
            tsih: request.tsih,
            initiator_task_tag: request.initiator_task_tag,
            stat_sn,
            exp_cmd_sn: request.cmd_sn,
            max_cmd_sn: request.cmd_sn,
            status: LoginStatus::SUCCESS,
            data: Vec::new(),
        }
    }
}

impl Names {
    /// Takes a pair if it says who is who. The same may be said again.
    fn take(&mut self, key: &str, value: &str) -> Option<Result<(), Refusal>> {
        let place = match key {
            "InitiatorName" => &mut self.initiator,
            "InitiatorAlias" => &mut self.alias,
            "TargetName" => &mut self.target,
            "SessionType" => &mut self.session_type,
            _ => return None,
        };
        if place.as_deref().is_some_and(|before| before != value) {
            return Some(initiator_error(format!("{key} changed during the login")));
        }
        *place = Some(value.to_string());
        Some(Ok(()))
    }

    fn check(&self, policy: &dyn Policy) -> Result<Identity, Refusal> {
        let missing = |what: &str| (LoginStatus::MISSING_PARAMETER, format!("{what} is missing"));
        let initiator = self.initiator.as_deref().ok_or_else(|| missing("InitiatorName"))?;
        let initiator = normalise(initiator).or_else(|error| initiator_error(format!("its name: {error}")))?;
        let session_type = match self.session_type.as_deref() {
            None | Some("Normal") => SessionType::Normal,
            Some("Discovery") => SessionType::Discovery,
            Some(other) => {
                let reason = format!("a session of type {}", shown(other));
                return Err((LoginStatus::SESSION_TYPE_NOT_SUPPORTED, reason));
            }
        };
        if session_type == SessionType::Discovery {
            let required = policy.discovery_authentication();
            return Ok(Identity { initiator, target: None, target_alias: None, session_type, required });
        }
        let wanted = self.target.as_deref().ok_or_else(|| missing("TargetName"))?;
        let not_found = || (LoginStatus::NOT_FOUND, format!("there is no target {}", shown(wanted)));
        let target = normalise(wanted).map_err(|_| not_found())?;
        match policy.target(&target) {
            TargetAnswer::NotFound => Err(not_found()),
            TargetAnswer::Forbidden => {
                Err((LoginStatus::AUTHORIZATION_FAILURE, format!("{target} is not for its address (netmask)")))
            }
            TargetAnswer::Found { alias, authentication } => Ok(Identity {
                initiator,
                target: Some(target),
                target_alias: alias,
                session_type,
                required: authentication,
            }),
        }
    }
}

/// For the fuzzer: a dialogue of arbitrary requests, which has to end and to stay within bounds.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let mut login = Login::new(Wishes::default());
    let mut policy = crate::fuzzing::AnyHost::new();
    let mut rest = data;
    for _ in 0..=REQUESTS_LIMIT {
        let Some((&[flags, length], after)) = rest.split_first_chunk::<2>() else { return };
        let (text, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        let request = LoginRequest {
            transit: flags & 0x80 != 0,
            continue_: flags & 0x40 != 0,
            csg: flags >> 2 & 3,
            nsg: flags & 3,
            version_max: 0,
            version_min: u8::from(flags & 0x30 == 0x30),
            isid: [0; 6],
            tsih: 0,
            initiator_task_tag: 0,
            cid: 0,
            cmd_sn: 0,
            exp_stat_sn: 0,
            data: text,
        };
        match login.request(&request, &mut policy, &mut |bytes| bytes.fill(1)) {
            Step::Respond(response) => assert!(response.data.len() <= RESPONSE_LIMIT),
            Step::Established(..) | Step::Refused(..) => return,
        }
    }
    assert!(login.requests <= REQUESTS_LIMIT, "a login ends");
}
