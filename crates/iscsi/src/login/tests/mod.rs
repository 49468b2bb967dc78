//! Logins against a house with an open and a locked target.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod authentication;
mod refusals;
mod stages;

use super::*;
use crate::chap::Identity;
use crate::text;
use proptest::prelude::*;

pub(super) const INITIATOR: &str = "iqn.2001-04.com.example:initiator";
pub(super) const OPEN: &str = "iqn.2001-04.com.example:open";
pub(super) const LOCKED: &str = "iqn.2001-04.com.example:locked";
pub(super) const EITHER: &str = "iqn.2001-04.com.example:either";
pub(super) const USER: &str = "alice";
pub(super) const SECRET: &[u8] = b"1234567890123456";

/// A house with three targets, one user, and a note of who came in.
#[derive(Default)]
pub(super) struct House {
    pub(super) own: Option<Identity>,
    pub(super) full: bool,
    pub(super) without_handles: bool,
    pub(super) locked_discovery: bool,
    pub(super) admitted: Vec<NewSession>,
    pub(super) asked: std::cell::RefCell<Vec<(Option<String>, String)>>,
}

impl Policy for House {
    fn portal_group_tag(&self) -> u16 {
        3
    }
    fn target(&self, name: &str) -> TargetAnswer {
        let found = |alias: Option<&str>, authentication| TargetAnswer::Found {
            alias: alias.map(str::to_owned),
            authentication,
        };
        match name {
            OPEN => found(Some("Time Machine"), Authentication::None),
            EITHER => found(None, Authentication::Optional),
            LOCKED => found(Some("Vault"), Authentication::Chap),
            "iqn.2001-04.com.example:far" => TargetAnswer::Forbidden,
            _ => TargetAnswer::NotFound,
        }
    }
    fn discovery_authentication(&self) -> Authentication {
        if self.locked_discovery { Authentication::Chap } else { Authentication::None }
    }
    fn secret(&self, target: Option<&str>, user: &str) -> Option<Vec<u8>> {
        self.asked.borrow_mut().push((target.map(str::to_owned), user.to_owned()));
        (user == USER).then(|| SECRET.to_vec())
    }
    fn note_challenge(&self, _: &[u8]) {}
    fn has_issued(&self, _: &[u8]) -> bool {
        false
    }
    fn own_identity(&self, _: Option<&str>) -> Option<Identity> {
        self.own.clone()
    }
    fn admit(&mut self, session: &NewSession) -> Result<u16, LoginStatus> {
        if self.full {
            return Err(LoginStatus::OUT_OF_RESOURCES);
        }
        self.admitted.push(session.clone());
        Ok(if self.without_handles { 0 } else { 0x1234 })
    }
}

/// Stages as flags of a request: T, CSG and NSG.
pub(super) const STAY_SECURITY: u8 = 0x00;
pub(super) const SECURITY_TO_OPERATIONAL: u8 = 0x81;
pub(super) const SECURITY_TO_END: u8 = 0x83;
pub(super) const STAY_OPERATIONAL: u8 = 0x04;
pub(super) const OPERATIONAL_TO_END: u8 = 0x87;
pub(super) const CONTINUE: u8 = 0x40;

/// A login with the house it goes to.
pub(super) struct Bench {
    pub(super) house: House,
    pub(super) login: Login,
    pub(super) random: u8,
}

pub(super) fn request(flags: u8, data: &[u8]) -> LoginRequest<'_> {
    LoginRequest {
        transit: flags & 0x80 != 0,
        continue_: flags & CONTINUE != 0,
        csg: flags >> 2 & 3,
        nsg: flags & 3,
        version_max: 0,
        version_min: 0,
        isid: [0x80, 1, 2, 3, 4, 5],
        tsih: 0,
        initiator_task_tag: 0xabcd,
        cid: 9,
        cmd_sn: 123,
        exp_stat_sn: 0,
        data,
    }
}

/// Pairs written as words, with their zero bytes.
pub(super) fn words(text: &str) -> Vec<u8> {
    text.split_whitespace().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect()
}

pub(super) fn names(target: &str) -> String {
    format!("InitiatorName={INITIATOR} SessionType=Normal TargetName={target}")
}

impl Bench {
    pub(super) fn new() -> Self {
        Bench::with(House::default())
    }

    pub(super) fn with(house: House) -> Self {
        Bench { house, login: Login::new(Wishes::default()), random: 0x40 }
    }

    pub(super) fn give(&mut self, request: &LoginRequest<'_>) -> Step {
        let random = &mut self.random;
        self.login.request(request, &mut self.house, &mut |bytes| {
            *random += 1;
            bytes.fill(*random);
        })
    }

    pub(super) fn say(&mut self, flags: u8, text: &str) -> Step {
        self.give(&request(flags, &words(text)))
    }

    /// A request that is only answered.
    pub(super) fn ok(&mut self, flags: u8, text: &str) -> LoginResponse {
        match self.say(flags, text) {
            Step::Respond(response) => {
                assert_eq!(response.status, LoginStatus::SUCCESS);
                response
            }
            other => panic!("the login goes on, not {other:?}"),
        }
    }

    /// A request with which the login ends well.
    pub(super) fn end(&mut self, flags: u8, text: &str) -> (LoginResponse, Box<Established>) {
        match self.say(flags, text) {
            Step::Established(response, established) => (response, established),
            other => panic!("the login succeeds, not {other:?}"),
        }
    }

    /// A request with which the login ends badly.
    pub(super) fn fail(&mut self, flags: u8, text: &str) -> (LoginStatus, String) {
        refused(self.say(flags, text))
    }
}

pub(super) fn refused(step: Step) -> (LoginStatus, String) {
    match step {
        Step::Refused(response, reason) => {
            assert!(!response.transit && !response.continue_ && (response.csg, response.nsg) == (0, 0));
            assert!(reason.starts_with(response.status.words()), "{reason}");
            assert!(!reason.chars().any(char::is_control), "{reason:?}");
            (response.status, reason)
        }
        other => panic!("the login is refused, not {other:?}"),
    }
}

/// The text of a response as words.
pub(super) fn said(response: &LoginResponse) -> String {
    String::from_utf8(response.data.clone()).unwrap().replace('\0', " ").trim_end().to_owned()
}

/// A value of a response.
pub(super) fn value(response: &LoginResponse, key: &str) -> String {
    let pairs = text::pairs(&response.data).unwrap();
    let pair =
        pairs.iter().find(|pair| pair.key == key).unwrap_or_else(|| panic!("{key} in {}", said(response)));
    pair.text().unwrap().to_owned()
}

proptest! {
    #[test]
    fn no_sequence_of_requests_does_harm(data in proptest::collection::vec(any::<u8>(), 0..3000)) {
        fuzz(&data);
    }

    #[test]
    fn no_sequence_of_plausible_requests_does_harm(
        requests in proptest::collection::vec(
            (
                proptest::sample::select(vec![0x00u8, 0x81, 0x83, 0x04, 0x87, 0x40, 0x44]),
                "(InitiatorName=iqn\\.a:b\0|TargetName=iqn\\.2001-04\\.com\\.example:(open|locked)\0\
                 |SessionType=(Normal|Discovery)\0|AuthMethod=(CHAP|None|CHAP,None)\0\
                 |CHAP_A=(5|7|7,5|6)\0|CHAP_N=alice\0|CHAP_R=0x00\0|CHAP_I=0x1\0|CHAP_C=0bZm9v\0\
                 |InitialR2T=No\0|MaxBurstLength=512\0|X-a=b\0){0,6}",
            ),
            0..40,
        ),
    ) {
        let mut data = Vec::new();
        for (flags, text) in requests {
            let mut text = text.into_bytes();
            text.resize(text.len().next_multiple_of(8), 0);
            data.extend([flags, (text.len() / 8) as u8]);
            data.extend(text);
        }
        fuzz(&data);
    }
}
