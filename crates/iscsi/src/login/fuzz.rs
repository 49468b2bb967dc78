//! The login under arbitrary requests.

use super::{
    Authentication, Login, LoginRequest, LoginStatus, NewSession, Policy, Step, TargetAnswer, Wishes,
};
use super::{DATA_LIMIT, REQUESTS_LIMIT};

/// A house whose one locked target nobody here has the secret of.
struct Locked;

/// The target that can't be logged in to.
const LOCKED: &str = "iqn.2001-04.com.example:locked";

impl Policy for Locked {
    fn portal_group_tag(&self) -> u16 {
        1
    }
    fn target(&self, name: &str) -> TargetAnswer {
        assert!(!name.chars().any(char::is_control), "a name can be shown");
        let authentication = if name == LOCKED { Authentication::Chap } else { Authentication::None };
        TargetAnswer::Found { alias: Some("a disk".into()), authentication }
    }
    fn discovery_authentication(&self) -> Authentication {
        Authentication::Chap
    }
    fn secret(&self, _: Option<&str>, _: &str) -> Option<Vec<u8>> {
        Some(b"\xd0nobody's\xff secret".to_vec())
    }
    fn note_challenge(&self, _: &[u8]) {}
    fn has_issued(&self, _: &[u8]) -> bool {
        false
    }
    fn own_identity(&self, _: Option<&str>) -> Option<crate::chap::Identity> {
        None
    }
    fn admit(&mut self, session: &NewSession) -> Result<u16, LoginStatus> {
        let open = session.target.as_deref().is_some_and(|target| target != LOCKED);
        assert!(open && !session.is_discovery(), "nobody gets in without the secret");
        Ok(1)
    }
}

/// Gives a login arbitrary requests: of each, one byte has the flags and stages, the next the
/// length of the text that
/// follows (times eight). The first one is odd in other ways too if its upper bits say so.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let mut login = Login::new(Wishes::default());
    let mut rest = data;
    for count in 1.. {
        let Some(([flags, length], after)) =
            rest.split_first_chunk::<2>().map(|(head, after)| (*head, after))
        else {
            return;
        };
        let (text, after) = after.split_at((usize::from(length) * 8).min(after.len()));
        rest = after;
        let request = LoginRequest {
            transit: flags & 0x80 != 0,
            continue_: flags & 0x40 != 0,
            csg: flags >> 2 & 3,
            nsg: flags & 3,
            version_max: 0,
            version_min: u8::from(flags & 0x30 == 0x30 && length == 0xff),
            isid: [0x80, 0, 0, 0, 0, 1],
            tsih: u16::from(flags & 0x30 == 0x20 && length == 0xff),
            initiator_task_tag: count,
            cid: 0,
            cmd_sn: 7,
            exp_stat_sn: 0,
            data: text,
        };
        let step = login.request(&request, &mut Locked, &mut |bytes| bytes.fill(0x5a));
        let (Step::Respond(response) | Step::Established(response, _) | Step::Refused(response, _)) = &step;
        assert!(response.data.len() <= DATA_LIMIT, "every response fits");
        assert!(!response.transit || request.transit, "only the initiator changes the stage");
        assert!(!(response.transit && response.continue_), "a stage ends with the last piece");
        assert!(count <= REQUESTS_LIMIT || matches!(step, Step::Refused(..)), "a login ends");
        match step {
            Step::Respond(response) => assert_eq!(response.status, LoginStatus::SUCCESS),
            Step::Established(_, established) => {
                let parameters = established.parameters;
                assert!(parameters.first_burst_length <= parameters.max_burst_length);
                return;
            }
            Step::Refused(response, reason) => {
                assert_ne!(response.status, LoginStatus::SUCCESS);
                assert!(!reason.chars().any(char::is_control), "a log line stays one: {reason:?}");
                return;
            }
        }
    }
}
