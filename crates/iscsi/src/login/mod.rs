//! The login phase, target side (RFC 7143 §6.3, §11.12, §11.13).
//!
//! Requests go in, responses come out. Who may come in is asked of a [`Policy`]. Whatever an initiator does, a login
//! ends after a bounded number of requests and with a bounded amount of text.

mod authentication;
mod stages;
mod status;

#[cfg(test)]
mod tests;

pub use stages::{Login, fuzz};
pub use status::LoginStatus;

pub use crate::parameters::{Parameters, Wishes};

/// A Login Request, decoded.
#[derive(Clone, Copy, Debug)]
pub struct LoginRequest<'a> {
    /// T: ready for the next stage.
    pub transit: bool,
    /// C: more text follows.
    pub continue_: bool,
    /// Current stage.
    pub csg: u8,
    /// Next stage.
    pub nsg: u8,
    /// §11.12.4.1
    pub version_max: u8,
    /// §11.12.4.2
    pub version_min: u8,
    /// §11.12.5
    pub isid: [u8; 6],
    /// §11.12.6
    pub tsih: u16,
    /// Names the login.
    pub initiator_task_tag: u32,
    /// §11.12.7
    pub cid: u16,
    /// §11.12.8
    pub cmd_sn: u32,
    /// §11.12.9
    pub exp_stat_sn: u32,
    /// Text.
    pub data: &'a [u8],
}

/// A Login Response, to be encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginResponse {
    /// T: on to the next stage.
    pub transit: bool,
    /// C: more text follows.
    pub continue_: bool,
    /// Current stage.
    pub csg: u8,
    /// Next stage.
    pub nsg: u8,
    /// §11.13.1
    pub version_max: u8,
    /// §11.13.2
    pub version_active: u8,
    /// As in the request.
    pub isid: [u8; 6],
    /// §11.13.3
    pub tsih: u16,
    /// Names the login.
    pub initiator_task_tag: u32,
    /// §11.13.4
    pub stat_sn: u32,
    /// Next expected.
    pub exp_cmd_sn: u32,
    /// Last acceptable.
    pub max_cmd_sn: u32,
    /// §11.13.5
    pub status: LoginStatus,
    /// Text.
    pub data: Vec<u8>,
}

/// What a session is for (RFC 7143 §13.21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionType {
    /// To use a target.
    Normal,
    /// To learn which targets there are.
    Discovery,
}

/// A session as its login describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// In normal form.
    pub initiator_name: String,
    /// What people call the initiator.
    pub initiator_alias: Option<String>,
    /// §11.12.5
    pub isid: [u8; 6],
    /// In normal form; `None` for discovery.
    pub target: Option<String>,
    /// Of the one connection.
    pub cid: u16,
    /// What it is for.
    pub session_type: SessionType,
    /// Who has proven to be it.
    pub authenticated_user: Option<String>,
}

impl NewSession {
    /// Whether it is for discovery only.
    pub fn is_discovery(&self) -> bool {
        self.session_type == SessionType::Discovery
    }

    #[cfg(test)]
    pub(crate) fn example() -> Self {
        NewSession {
            initiator_name: "iqn.2026-01.org.example:initiator".into(),
            initiator_alias: None,
            isid: [0; 6],
            target: Some("iqn.2026-01.org.example:disk".into()),
            cid: 0,
            session_type: SessionType::Normal,
            authenticated_user: None,
        }
    }
}

/// What an initiator has to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Nothing.
    None,
    /// Who it is, by CHAP.
    Chap,
}

/// What there is under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetAnswer {
    /// Nothing.
    NotFound,
    /// Something that is not for this initiator's address.
    Forbidden,
    /// A target.
    Found {
        /// What people call it.
        alias: Option<String>,
        /// What it asks for.
        authentication: Authentication,
    },
}

/// Who may come in.
pub trait Policy {
    /// TargetPortalGroupTag (RFC 7143 §13.9).
    fn portal_group_tag(&self) -> u16;

    /// What there is under this name, which is in normal form.
    fn target(&self, name: &str) -> TargetAnswer;

    /// What discovery asks for.
    fn discovery_authentication(&self) -> Authentication;

    /// The CHAP secret of a user who may log in to this target, or (`None`) discover.
    fn secret(&self, target: Option<&str>, user: &str) -> Option<Vec<u8>>;

    /// Gives the session its TSIH, which is not 0. Called once, when everything else is settled.
    fn admit(&mut self, session: &NewSession) -> Result<u16, LoginStatus>;
}

/// What follows from a request.
#[derive(Debug)]
pub enum Step {
    /// To be sent; the login goes on.
    Respond(LoginResponse),
    /// To be sent; the session begins.
    Established(LoginResponse, Box<Established>),
    /// To be sent before the connection is closed; and the reason, for the log.
    Refused(LoginResponse, String),
}

/// A login that has succeeded.
#[derive(Debug)]
pub struct Established {
    /// Who it is.
    pub session: NewSession,
    /// What was settled.
    pub parameters: Parameters,
    /// TSIH.
    pub tsih: u16,
    /// The first command's number.
    pub cmd_sn: u32,
    /// The next response's number.
    pub stat_sn: u32,
}
