//! An initiator that proves who it is by CHAP.

use std::collections::HashMap;

use timedisk_iscsi::chap;
use timedisk_iscsi::encoding::{decode, encode_hex};

use super::{Initiator, Lab, TRANSIT, login_status, pairs, text};

/// What an initiator proves itself with.
pub(crate) struct Proof<'a> {
    /// Its offer of CHAP_A.
    pub(crate) algorithm: &'a str,
    pub(crate) user: &'a str,
    pub(crate) secret: &'a str,
    /// Keys to go with the response.
    pub(crate) more: &'a [(&'a str, &'a str)],
}

const SECURITY: u8 = 0;
const SECURITY_TO_OPERATIONAL: u8 = TRANSIT | 1;
const OPERATIONAL_TO_FULL: u8 = TRANSIT | 1 << 2 | 3;

fn owned(keys: &[(&str, &str)]) -> Vec<(String, String)> {
    keys.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

impl Proof<'_> {
    /// Logs in to a target, or to look for targets: the session and what came with the last step of CHAP, or the
    /// status of the refusal.
    pub(crate) fn log_in(
        &self,
        lab: &Lab,
        target: Option<&str>,
    ) -> Result<(Initiator, HashMap<String, String>), u16> {
        let mut initiator = Initiator::connect(lab.address);
        let mut keys = initiator.identity(target);
        keys.extend(owned(&[("AuthMethod", "CHAP")]));
        let response = initiator.login_step(SECURITY_TO_OPERATIONAL, &text(&keys));
        assert_eq!(login_status(&response), 0);
        assert!(pairs(&response.data).contains(&("AuthMethod".into(), "CHAP".into())));
        let response = initiator.login_step(SECURITY, &text(&owned(&[("CHAP_A", self.algorithm)])));
        if login_status(&response) != 0 {
            return Err(login_status(&response));
        }
        let asked: HashMap<String, String> = pairs(&response.data).into_iter().collect();
        let chosen = chap::choose(&asked["CHAP_A"]).unwrap();
        let challenge = decode(&asked["CHAP_C"], 1024).unwrap();
        let answer = chosen.response(asked["CHAP_I"].parse().unwrap(), self.secret.as_bytes(), &challenge);
        let mut keys = owned(&[("CHAP_N", self.user), ("CHAP_R", &encode_hex(&answer))]);
        keys.extend(owned(self.more));
        let response = initiator.login_step(SECURITY_TO_OPERATIONAL, &text(&keys));
        if login_status(&response) != 0 {
            initiator.await_close();
            return Err(login_status(&response));
        }
        let shown = pairs(&response.data).into_iter().collect();
        let response = initiator.login_step(OPERATIONAL_TO_FULL, b"");
        initiator.settle(&response, &[]);
        Ok((initiator, shown))
    }
}
