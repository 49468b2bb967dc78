//! Discovery: which targets a portal has, and where they are (RFC 7143 §4.3, appendix C).

use timedisk_iscsi::pdu::{IMMEDIATE, NO_TAG, Request, Response, layout};
use timedisk_iscsi::text::{self, Pair, TextError, Writer};

use crate::control::Pdu;
use crate::session::{ProtocolError, Terms};

/// Bytes of the whole answer: some 40,000 targets.
const LIST_LIMIT: usize = 4 << 20;

/// PDUs that the answer may come in.
const MOST_ROUNDS: u32 = 10_000;

const FINAL: u8 = 0x80;
const CONTINUE: u8 = 0x40;

/// The Initiator Task Tag of the question.
const TAG: u32 = 2;

/// A target, and where it says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// iSCSI name.
    pub name: String,
    /// `host:port`, without the portal group's number; maybe none.
    pub addresses: Vec<String>,
}

/// Why the list can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// The connection is of no more use.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// Text that can't be taken apart.
    #[error("the list of targets can't be read: {0}")]
    Text(TextError),
    /// More than 4 MiB, or too many pieces.
    #[error("the list of targets does not end")]
    Endless,
}

impl From<TextError> for DiscoveryError {
    fn from(error: TextError) -> DiscoveryError {
        DiscoveryError::Text(error)
    }
}

/// What follows a PDU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the answer is still to come.
    Wait,
    /// Another request.
    Send(Pdu),
    /// All of them.
    Done(Vec<Found>),
}

/// The question for all targets.
#[derive(Debug)]
pub struct Discovery {
    terms: Terms,
    text: Vec<u8>,
    rounds: u32,
}

impl Discovery {
    /// In a discovery session. Gives the question.
    pub fn begin(terms: Terms) -> (Discovery, Pdu) {
        let mut discovery = Discovery { terms, text: Vec::new(), rounds: 0 };
        let mut text = Writer::default();
        text.pair("SendTargets", "All");
        let first = discovery.request(NO_TAG, text.finish());
        (discovery, first)
    }

    fn request(&mut self, transfer_tag: u32, data: Vec<u8>) -> Pdu {
        let mut header = layout::TextRequest::zeroed();
        header.opcode = Request::Text as u8 | IMMEDIATE;
        header.flags = FINAL;
        header.initiator_task_tag = TAG.into();
        header.target_transfer_tag = transfer_tag.into();
        header.cmd_sn = self.terms.cmd_sn.into();
        header.exp_stat_sn = self.terms.exp_stat_sn.into();
        Pdu { header: header.bytes(), data }
    }

    /// Takes what the target sends.
    ///
    /// # Errors
    /// [`DiscoveryError`], after which the connection is to be closed.
    pub fn receive(&mut self, pdu: &Pdu) -> Result<Next, DiscoveryError> {
        let header = layout::TextResponse::of(&pdu.header);
        self.rounds += 1;
        if self.rounds > MOST_ROUNDS {
            return Err(DiscoveryError::Endless);
        }
        match Response::of(header.opcode) {
            Some(Response::Text) => {}
            Some(Response::NopIn) => return Ok(self.pong(&header)),
            Some(Response::AsyncMessage) => {
                return Err(ProtocolError::Ended("ends the discovery session").into());
            }
            _ => return Err(ProtocolError::Opcode(header.opcode).into()),
        }
        let tag = header.initiator_task_tag.get();
        if tag != TAG {
            return Err(ProtocolError::UnknownTag { what: "Text Response", tag }.into());
        }
        let (expected, found) = (self.terms.exp_stat_sn, header.stat_sn.get());
        if found != expected {
            return Err(ProtocolError::StatusNumber { expected, found }.into());
        }
        self.terms.exp_stat_sn = expected.wrapping_add(1);
        let is_last = header.flags & (FINAL | CONTINUE) == FINAL;
        let transfer_tag = header.target_transfer_tag.get();
        if self.text.len() + pdu.data.len() > LIST_LIMIT {
            return Err(DiscoveryError::Endless);
        }
        self.text.extend_from_slice(&pdu.data);
        if is_last {
            return Ok(Next::Done(found_in(&self.text)?));
        }
        if transfer_tag == NO_TAG {
            return Err(ProtocolError::Malformed("a text that goes on, without saying where").into());
        }
        Ok(Next::Send(self.request(transfer_tag, Vec::new())))
    }

    fn pong(&self, header: &layout::TextResponse) -> Next {
        if header.target_transfer_tag.get() == NO_TAG {
            return Next::Wait;
        }
        let mut answer = layout::TextRequest::zeroed();
        answer.opcode = Request::NopOut as u8 | IMMEDIATE;
        answer.flags = FINAL;
        answer.lun = header.lun;
        answer.initiator_task_tag = NO_TAG.into();
        answer.target_transfer_tag = header.target_transfer_tag;
        answer.cmd_sn = self.terms.cmd_sn.into();
        answer.exp_stat_sn = self.terms.exp_stat_sn.into();
        Next::Send(Pdu { header: answer.bytes(), data: Vec::new() })
    }

    /// The request that ends the session; its answer need not be waited for.
    pub fn log_out(&self) -> Pdu {
        let mut header = layout::LogoutRequest::zeroed();
        header.opcode = Request::Logout as u8 | IMMEDIATE;
        header.reason = FINAL;
        header.initiator_task_tag = (TAG + 1).into();
        header.cid = self.terms.cid.into();
        header.cmd_sn = self.terms.cmd_sn.into();
        header.exp_stat_sn = self.terms.exp_stat_sn.into();
        Pdu { header: header.bytes(), data: Vec::new() }
    }
}

fn found_in(text: &[u8]) -> Result<Vec<Found>, TextError> {
    let mut found: Vec<Found> = Vec::new();
    // Pair by pair: a list has more of them than any other text.
    for piece in text.split(|byte| *byte == 0) {
        for pair in text::pairs(piece)? {
            note(&pair, &mut found);
        }
    }
    Ok(found)
}

fn note(pair: &Pair<'_>, found: &mut Vec<Found>) {
    let Some(value) = pair.text() else { return };
    match (pair.key, found.last_mut()) {
        ("TargetName", _) if timedisk_iscsi::names::normalise(value).is_ok() => {
            found.push(Found { name: value.to_owned(), addresses: Vec::new() });
        }
        ("TargetAddress", Some(last)) => {
            let address = value.rsplit_once(',').map_or(value, |(address, _)| address);
            last.addresses.push(text::shown(address));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
