//! An initiator that has said who it is and what it wants.

use super::{Authentication, LoginStatus, NewSession, Policy, Refusal, SessionType, TargetAnswer};
use crate::names;
use crate::parameters::Introduction;
use crate::text::{self, Writer};

/// An initiator whose wants exist. It may still have to show who it is.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) session: NewSession,
    pub(super) required: Authentication,
    /// Said once the initiator may hear it.
    target_alias: Option<String>,
}

fn missing(key: &str) -> Refusal {
    Refusal::new(LoginStatus::MISSING_PARAMETER, format!("{key} is missing"))
}

impl Visitor {
    /// Looks at who comes, and whether what it wants exists.
    pub(super) fn of(
        introduction: &Introduction,
        (isid, cid): ([u8; 6], u16),
        policy: &dyn Policy,
    ) -> Result<Visitor, Refusal> {
        let initiator = introduction.initiator_name.as_deref();
        let initiator = initiator.ok_or_else(|| missing("InitiatorName"))?;
        let initiator_name = names::normalise(initiator).map_err(|error| {
            Refusal::initiator_error(format!("InitiatorName={}: {error}", text::shown(initiator)))
        })?;
        let session_type = session_type(introduction)?;
        let mut visitor = Visitor {
            session: NewSession {
                initiator_name,
                initiator_alias: None,
                isid,
                target: None,
                cid,
                session_type,
                authenticated_user: None,
                protocol_level: 1,
            },
            required: Authentication::None,
            target_alias: None,
        };
        match session_type {
            SessionType::Discovery => visitor.required = policy.discovery_authentication(),
            SessionType::Normal => visitor.find_target(introduction, policy)?,
        }
        Ok(visitor)
    }

    fn find_target(&mut self, introduction: &Introduction, policy: &dyn Policy) -> Result<(), Refusal> {
        let target = introduction.target_name.as_deref();
        let target = target.ok_or_else(|| missing("TargetName"))?;
        let about = |status: LoginStatus, words: &str| {
            let (who, what) = (&self.session.initiator_name, text::shown(target));
            Refusal::new(status, format!("{who} wants {what}, {words}"))
        };
        let name =
            names::normalise(target).map_err(|_| about(LoginStatus::NOT_FOUND, "which is no iSCSI name"))?;
        match policy.target(&name) {
            TargetAnswer::NotFound => Err(about(LoginStatus::NOT_FOUND, "which is not here")),
            TargetAnswer::Forbidden => {
                let words = "which is closed to its address";
                Err(about(LoginStatus::AUTHORIZATION_FAILURE, words))
            }
            TargetAnswer::Found { alias, authentication } => {
                self.session.target = Some(name);
                self.required = authentication;
                self.target_alias = alias;
                Ok(())
            }
        }
    }

    /// The type of the session is settled by the first text; later ones may only repeat it.
    pub(super) fn check_session_type(&self, introduction: &Introduction) -> Result<(), Refusal> {
        if introduction.is_discovery() == self.session.is_discovery() {
            return Ok(());
        }
        let reason = "SessionType came after the first text and says something else";
        Err(Refusal::initiator_error(reason))
    }

    /// Tells the target's alias, once.
    pub(super) fn greet(&mut self, out: &mut Writer) {
        if let Some(alias) = self.target_alias.take() {
            out.pair("TargetAlias", &alias);
        }
    }
}

fn session_type(introduction: &Introduction) -> Result<SessionType, Refusal> {
    match introduction.session_type.as_deref() {
        Some("Discovery") => Ok(SessionType::Discovery),
        // globalSAN leaves it out.
        None | Some("Normal") => Ok(SessionType::Normal),
        Some(other) => {
            let reason = format!("there is no session type {}", text::shown(other));
            Err(Refusal::new(LoginStatus::SESSION_TYPE_NOT_SUPPORTED, reason))
        }
    }
}
