//! Text in full feature phase, of which SendTargets is all that matters (RFC 7143 §11.10, §11.11, §13.3, appendix C).

use crate::keys;
use crate::login::NewSession;
use crate::names::normalise;
use crate::parameters::Parameters;
use crate::pdu::{NO_TAG, RejectReason};
use crate::text::{self, Incoming, Outgoing, Writer};

/// A Text Request, decoded.
#[derive(Clone, Copy, Debug)]
pub struct TextRequest<'a> {
    /// F: the initiator has said all it has to.
    pub final_: bool,
    /// C: more text follows.
    pub continue_: bool,
    /// Of the response that this goes on from.
    pub target_transfer_tag: u32,
    /// Text.
    pub data: &'a [u8],
}

/// A Text Response, to be encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextAnswer {
    /// F: so has the target.
    pub final_: bool,
    /// C: more text follows.
    pub continue_: bool,
    /// For the request that goes on from here.
    pub target_transfer_tag: u32,
    /// Text.
    pub data: Vec<u8>,
    /// What the initiator takes in one PDU from now on, if it has said so.
    pub max_recv_data_segment_length: Option<u32>,
}

/// Finds targets: all that the initiator may see, or that of a name.
pub type Discover<'a> = &'a mut dyn FnMut(Option<&str>) -> Vec<(String, Vec<String>)>;

/// The text exchange of a session; there is one at a time.
#[derive(Debug)]
pub struct TextExchange {
    own_target: Option<String>,
    limit: usize,
    incoming: Incoming,
    outgoing: Outgoing,
    /// The exchange that is going on.
    transfer_tag: Option<u32>,
    next_transfer_tag: u32,
}

impl TextExchange {
    /// None is going on.
    pub fn new(parameters: &Parameters, session: &NewSession) -> Self {
        TextExchange {
            own_target: session.target.clone(),
            limit: parameters.max_recv_data_segment_length_initiator as usize,
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            transfer_tag: None,
            next_transfer_tag: 1,
        }
    }

    /// Takes a request.
    pub fn request(&mut self, request: &TextRequest<'_>, discover: Discover<'_>) -> Result<TextAnswer, RejectReason> {
        if request.final_ && request.continue_ {
            return Err(RejectReason::ProtocolError);
        }
        match request.target_transfer_tag {
            // A new exchange; one that was going on is over.
            NO_TAG => (self.incoming, self.outgoing) = Default::default(),
            tag if self.transfer_tag == Some(tag) => {}
            _ => return Err(RejectReason::InvalidPduField),
        }
        if !self.outgoing.is_empty() {
            return if request.data.is_empty() { Ok(self.answer(request, None)) } else { Err(RejectReason::ProtocolError) };
        }
        let piece = self.incoming.piece(request.data, request.continue_);
        let Some(text) = piece.map_err(|_| RejectReason::ProtocolError)? else {
            return Ok(self.answer(request, None));
        };
        let pairs = text::pairs(&text).map_err(|_| RejectReason::ProtocolError)?;
        let (mut redeclared, mut answers) = (None, Writer::default());
        for pair in pairs {
            let (key, value) = (pair.key, pair.text().ok_or(RejectReason::ProtocolError)?);
            match key {
                "SendTargets" => self.send_targets(value, discover, &mut answers),
                "MaxRecvDataSegmentLength" => match text::number(value).filter(|value| (512..1 << 24).contains(value)) {
                    Some(value) => redeclared = Some(value as u32),
                    None => answers.pair(key, "Reject"),
                },
                _ => {
                    let answer = if keys::find(key).is_some() { "Reject" } else { "NotUnderstood" };
                    answers.pair(key, answer);
                }
            }
        }
        if let Some(value) = redeclared {
            self.limit = value as usize;
        }
        self.outgoing = Outgoing::new(answers.finish());
        Ok(self.answer(request, redeclared))
    }

    fn send_targets(&self, value: &str, discover: Discover<'_>, answers: &mut Writer) {
        let found = match (value, &self.own_target) {
            // All is for discovery; a session that uses a target may ask for that one only.
            ("All", None) => discover(None),
            ("", Some(own)) => discover(Some(own)),
            ("All", Some(_)) | ("", None) => return answers.pair("SendTargets", "Reject"),
            (name, own) => match normalise(name) {
                Ok(name) if own.as_ref().is_none_or(|own| *own == name) => discover(Some(&name)),
                _ => Vec::new(),
            },
        };
        for (name, addresses) in found {
            answers.pair("TargetName", &name);
            addresses.iter().for_each(|address| answers.pair("TargetAddress", address));
        }
    }

    fn answer(&mut self, request: &TextRequest<'_>, redeclared: Option<u32>) -> TextAnswer {
        let data = self.outgoing.piece(self.limit);
        let continue_ = !self.outgoing.is_empty();
        let final_ = request.final_ && !continue_;
        self.transfer_tag = (!final_).then_some(self.next_transfer_tag);
        if !final_ {
            self.next_transfer_tag = (self.next_transfer_tag + 1) & 0x7fff_ffff;
        }
        TextAnswer {
            final_,
            continue_,
            target_transfer_tag: self.transfer_tag.unwrap_or(NO_TAG),
            data,
            max_recv_data_segment_length: redeclared,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::login::SessionType;

    fn exchange(session_type: SessionType, limit: u32) -> TextExchange {
        let mut session = NewSession::example();
        session.session_type = session_type;
        if session_type == SessionType::Discovery {
            session.target = None;
        }
        TextExchange::new(&Parameters { max_recv_data_segment_length_initiator: limit, ..Parameters::default() }, &session)
    }

    fn targets(name: Option<&str>) -> Vec<(String, Vec<String>)> {
        let all = ["iqn.2026-01.org.example:disk", "iqn.2026-01.org.example:other"];
        let found = all.into_iter().filter(|target| name.is_none_or(|name| name == *target));
        found.map(|target| (target.to_string(), vec!["192.0.2.1:3260,1".to_string()])).collect()
    }

    fn ask(exchange: &mut TextExchange, text: &str, tag: u32) -> Result<TextAnswer, RejectReason> {
        let request =
            TextRequest { final_: true, continue_: false, target_transfer_tag: tag, data: text.as_bytes() };
        exchange.request(&request, &mut targets)
    }

    fn text_of(answer: &TextAnswer) -> String {
        String::from_utf8(answer.data.clone()).unwrap().replace('\0', " ")
    }

    const DISK: &str = "TargetName=iqn.2026-01.org.example:disk TargetAddress=192.0.2.1:3260,1 ";
    const OTHER: &str = "TargetName=iqn.2026-01.org.example:other TargetAddress=192.0.2.1:3260,1 ";

    #[test]
    fn discovery_lists_all_or_one() {
        let mut discovery = exchange(SessionType::Discovery, 8192);
        let all = ask(&mut discovery, "SendTargets=All\0", NO_TAG).unwrap();
        assert!(all.final_ && !all.continue_ && all.target_transfer_tag == NO_TAG);
        assert_eq!(text_of(&all), format!("{DISK}{OTHER}"));
        let one = ask(&mut discovery, "SendTargets=iqn.2026-01.org.example:OTHER\0", NO_TAG).unwrap();
        assert_eq!(text_of(&one), OTHER);
        assert_eq!(text_of(&ask(&mut discovery, "SendTargets=iqn.nobody\0", NO_TAG).unwrap()), "");
    }

    #[test]
    fn a_normal_session_learns_of_its_own_target_only() {
        let mut normal = exchange(SessionType::Normal, 8192);
        assert_eq!(text_of(&ask(&mut normal, "SendTargets=\0", NO_TAG).unwrap()), DISK);
        assert_eq!(text_of(&ask(&mut normal, "SendTargets=All\0", NO_TAG).unwrap()), "SendTargets=Reject ");
        assert_eq!(text_of(&ask(&mut normal, "SendTargets=iqn.2026-01.org.example:other\0", NO_TAG).unwrap()), "");
    }

    #[test]
    fn a_long_answer_is_continued_on_demand() {
        let mut discovery = exchange(SessionType::Discovery, 50);
        let mut answer = ask(&mut discovery, "SendTargets=All\0", NO_TAG).unwrap();
        let mut together = text_of(&answer);
        while answer.continue_ {
            assert!(!answer.final_ && answer.data.len() <= 50);
            answer = ask(&mut discovery, "", answer.target_transfer_tag).unwrap();
            together += &text_of(&answer);
        }
        assert_eq!(together, format!("{DISK}{OTHER}"));
        assert!(answer.final_);
        assert_eq!(ask(&mut discovery, "", 1), Err(RejectReason::InvalidPduField), "the exchange is over");
    }

    #[test]
    fn a_request_may_come_in_pieces() {
        let mut discovery = exchange(SessionType::Discovery, 8192);
        let first = TextRequest { final_: false, continue_: true, target_transfer_tag: NO_TAG, data: b"SendTar" };
        let answer = discovery.request(&first, &mut targets).unwrap();
        assert!(answer.data.is_empty() && !answer.final_);
        let all = ask(&mut discovery, "gets=All\0", answer.target_transfer_tag).unwrap();
        assert_eq!(text_of(&all), format!("{DISK}{OTHER}"));
    }

    #[test]
    fn other_keys_are_answered_and_a_new_segment_length_is_taken() {
        let mut normal = exchange(SessionType::Normal, 8192);
        let answer = ask(&mut normal, "HeaderDigest=None\0X-a=b\0MaxRecvDataSegmentLength=1024\0", NO_TAG).unwrap();
        assert_eq!(text_of(&answer), "HeaderDigest=Reject X-a=NotUnderstood ");
        assert_eq!(answer.max_recv_data_segment_length, Some(1024));
        assert_eq!(ask(&mut normal, "nonsense", NO_TAG), Err(RejectReason::ProtocolError));
    }
}
