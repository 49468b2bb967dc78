//! The fields of login requests and responses that the login is concerned with.

use super::LoginStatus;

/// A login request (RFC 7143 §11.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRequest<'a> {
    /// T: ready for the next stage.
    pub transit: bool,
    /// C: the text goes on in the next request.
    pub continue_: bool,
    /// Current stage.
    pub csg: u8,
    /// Next stage, if T is set.
    pub nsg: u8,
    /// Highest version of the initiator.
    pub version_max: u8,
    /// Lowest version of the initiator.
    pub version_min: u8,
    /// The initiator's part of the session identifier.
    pub isid: [u8; 6],
    /// 0 for a new session.
    pub tsih: u16,
    /// Comes back in the response.
    pub initiator_task_tag: u32,
    /// Connection identifier.
    pub cid: u16,
    /// Number of the first command after the login.
    pub cmd_sn: u32,
    /// Next StatSN that the initiator expects.
    pub exp_stat_sn: u32,
    /// Text, without padding.
    pub data: &'a [u8],
}

/// A login response (RFC 7143 §11.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginResponse {
    /// T: this stage is over.
    pub transit: bool,
    /// C: the text goes on in the next response.
    pub continue_: bool,
    /// Current stage.
    pub csg: u8,
    /// Next stage, if T is set; 3 is the end of the login.
    pub nsg: u8,
    /// Highest version of the target.
    pub version_max: u8,
    /// The version in use.
    pub version_active: u8,
    /// As in the request.
    pub isid: [u8; 6],
    /// The new session's in the last response of a login, else as in the request.
    pub tsih: u16,
    /// As in the request.
    pub initiator_task_tag: u32,
    /// Number of this response.
    pub stat_sn: u32,
    /// Number of the first command after the login.
    pub exp_cmd_sn: u32,
    /// Number of the last command that may be sent.
    pub max_cmd_sn: u32,
    /// How the login stands.
    pub status: LoginStatus,
    /// Text, without padding.
    pub data: Vec<u8>,
}
