//! What a login asks of the house it leads into.

use super::LoginStatus;
use crate::chap::Identity;

/// How initiators have to show who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Not at all.
    None,
    /// Not at all; but those who insist on showing it may, with CHAP.
    Optional,
    /// With CHAP (RFC 7143 §12.1.3).
    Chap,
}

/// What there is to a target's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetAnswer {
    /// No such target.
    NotFound,
    /// Not for a peer at this address.
    Forbidden,
    /// It may be logged in to.
    Found {
        /// TargetAlias, if it has one.
        alias: Option<String>,
        /// How.
        authentication: Authentication,
    },
}

/// What a session is for (RFC 7143 §13.21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionType {
    /// To find targets.
    Discovery,
    /// To use one.
    Normal,
}

/// A session that is about to begin, or has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// In normal form.
    pub initiator_name: String,
    /// What the initiator likes to be called, without control characters.
    pub initiator_alias: Option<String>,
    /// The initiator's part of the session identifier (RFC 7143 §11.12.5).
    pub isid: [u8; 6],
    /// In normal form; `None` for discovery.
    pub target: Option<String>,
    /// Connection identifier (RFC 7143 §11.12.7).
    pub cid: u16,
    /// What it is for.
    pub session_type: SessionType,
    /// Who has logged in, where authentication was required.
    pub authenticated_user: Option<String>,
    /// iSCSIProtocolLevel: 1 stands for RFC 7143, 2 for RFC 7144.
    pub protocol_level: u32,
}

impl NewSession {
    /// Whether it is only for discovery.
    pub fn is_discovery(&self) -> bool {
        self.session_type == SessionType::Discovery
    }

    /// Some session.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        NewSession {
            initiator_name: "iqn.2001-04.com.example:initiator".into(),
            initiator_alias: None,
            isid: [0x80, 0, 0, 0, 0, 1],
            target: Some("iqn.2001-04.com.example:disk".into()),
            cid: 1,
            session_type: SessionType::Normal,
            authenticated_user: None,
            protocol_level: 1,
        }
    }
}

/// Who may come in, and where. It knows the address of the peer already.
pub trait Policy {
    /// The portal group that this connection came in by (RFC 7143 §13.9).
    fn portal_group_tag(&self) -> u16;

    /// What there is to this name, which is in normal form.
    fn target(&self, name: &str) -> TargetAnswer;

    /// How initiators that only look for targets have to show who they are.
    fn discovery_authentication(&self) -> Authentication;

    /// The CHAP secret of a user, if he may log in to the target; `None` stands for discovery.
    /// Names have to be compared in full.
    fn secret(&self, target: Option<&str>, user: &str) -> Option<Vec<u8>>;

    /// A challenge goes out to this peer, who is to answer it.
    fn note_challenge(&self, challenge: &[u8]);

    /// Whether this is a challenge that went out to any peer whose login has not ended: no other peer may have it
    /// answered (RFC 7143 §9.2.1).
    fn has_issued(&self, challenge: &[u8]) -> bool;

    /// With what the target shows who it is, to initiators that ask for it; `None` stands for discovery. Its secret
    /// may be no user's (RFC 7143 §9.2.1).
    fn own_identity(&self, target: Option<&str>) -> Option<Identity>;

    /// Gives a session its place, just before the last response: its TSIH, which is not 0.
    ///
    /// # Errors
    /// The status to refuse it with.
    fn admit(&mut self, session: &NewSession) -> Result<u16, LoginStatus>;
}
