//! Text requests after the login: which targets are there, and parameters that may still change
//! (RFC 7143 §6.4, §11.10, §11.11, appendix C).

use crate::keys::{Phase, REJECT};
use crate::login::NewSession;
use crate::names;
use crate::negotiation::{Negotiation, NegotiationError};
use crate::parameters::Parameters;
use crate::pdu::{NO_TAG, RejectReason};
use crate::text::{Incoming, Outgoing, Writer};

/// The fields of a text request that matter to an exchange (RFC 7143 §11.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextRequest<'a> {
    /// F: the initiator has nothing more to say.
    pub final_: bool,
    /// C: the text goes on in the next request.
    pub continue_: bool,
    /// All ones for a new exchange.
    pub target_transfer_tag: u32,
    /// Text, without padding.
    pub data: &'a [u8],
}

/// The fields of a text response (RFC 7143 §11.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextAnswer {
    /// F: the exchange is over.
    pub final_: bool,
    /// C: the text goes on in the next response.
    pub continue_: bool,
    /// All ones if the exchange is over.
    pub target_transfer_tag: u32,
    /// Text, without padding.
    pub data: Vec<u8>,
    /// What the initiator takes in a data segment from now on, in bytes, where it has declared that
    /// anew.
    pub max_recv_data_segment_length: Option<u32>,
}

/// Looks for targets that the initiator may log in to: all, or the one of this name. Each has its
/// addresses
/// (`host:port,tag`).
pub type Discover<'a> = &'a mut dyn FnMut(Option<&str>) -> Vec<(String, Vec<String>)>;

/// The text requests of a session. It has one exchange at a time.
#[derive(Debug)]
pub struct TextExchange {
    parameters: Parameters,
    /// The session's target; `None` for discovery.
    target: Option<String>,
    negotiation: Negotiation,
    incoming: Incoming,
    outgoing: Outgoing,
    /// Names the exchange that is under way.
    tag: Option<u32>,
    next_tag: u32,
}

impl TextExchange {
    /// Waits for the first text request of a session.
    pub fn new(parameters: &Parameters, session: &NewSession) -> Self {
        TextExchange {
            parameters: *parameters,
            target: session.target.clone(),
            negotiation: Negotiation::after_login(*parameters),
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            tag: None,
            next_tag: 0,
        }
    }

    /// Takes a text request.
    ///
    /// # Errors
    /// Why it is to be rejected; the exchange is over then.
    pub fn request(
        &mut self,
        request: &TextRequest<'_>,
        discover: Discover<'_>,
    ) -> Result<TextAnswer, RejectReason> {
        let answer = self.advance(request, discover);
        if answer.is_err() {
            self.reset();
        }
        answer
    }

    fn advance(
        &mut self,
        request: &TextRequest<'_>,
        discover: Discover<'_>,
    ) -> Result<TextAnswer, RejectReason> {
        match request.target_transfer_tag {
            NO_TAG => self.reset(),
            tag if Some(tag) == self.tag => {}
            _ => return Err(RejectReason::InvalidPduField),
        }
        if request.final_ && request.continue_ {
            return Err(RejectReason::InvalidPduField);
        }
        if self.outgoing.is_empty() {
            let text = self.incoming.piece(request.data, request.continue_);
            match text.map_err(|_| RejectReason::ProtocolError)? {
                None => return Ok(self.answer(false, false, Vec::new())),
                Some(text) => self.take(&text, discover)?,
            }
        } else if request.continue_ || !request.data.is_empty() {
            return Err(RejectReason::ProtocolError);
        }
        let data = self.outgoing.piece(self.parameters.max_recv_data_segment_length_initiator as usize);
        let more = !self.outgoing.is_empty();
        Ok(self.answer(request.final_ && !more, more, data))
    }

    /// Takes a whole text, and leaves the answer in `outgoing`.
    fn take(&mut self, text: &[u8], discover: Discover<'_>) -> Result<(), RejectReason> {
        let mut out = Writer::default();
        let taken = self.negotiation.answer(text, Phase::FullFeature, &mut out);
        taken.map_err(|_: NegotiationError| RejectReason::ProtocolError)?;
        if let Some(question) = self.negotiation.take_send_targets() {
            match self.targets(&question, discover) {
                Some(found) => list(&found, &mut out),
                None => out.pair("SendTargets", REJECT),
            }
        }
        self.outgoing = Outgoing::new(out.finish());
        Ok(())
    }

    /// The targets that a question is about; `None` where it may not be asked.
    fn targets(&self, question: &str, discover: Discover<'_>) -> Option<Vec<(String, Vec<String>)>> {
        match (question, &self.target) {
            ("All", None) => Some(discover(None)),
            ("All", Some(_)) | ("", None) => None,
            ("", Some(own)) => Some(discover(Some(own))),
            (name, own) => {
                let name = names::normalise(name).ok();
                let name = name.filter(|name| own.as_ref().is_none_or(|own| own == name));
                Some(name.map_or_else(Vec::new, |name| discover(Some(&name))))
            }
        }
    }

    fn answer(&mut self, last: bool, more: bool, data: Vec<u8>) -> TextAnswer {
        if !last {
            let tag = *self.tag.get_or_insert(self.next_tag);
            return TextAnswer {
                final_: false,
                continue_: more,
                target_transfer_tag: tag,
                data,
                max_recv_data_segment_length: None,
            };
        }
        let declared = self.negotiation.parameters();
        let length = declared.max_recv_data_segment_length_initiator;
        let is_new = length != self.parameters.max_recv_data_segment_length_initiator;
        self.parameters = declared;
        self.reset();
        TextAnswer {
            final_: true,
            continue_: false,
            target_transfer_tag: NO_TAG,
            data,
            max_recv_data_segment_length: is_new.then_some(length),
        }
    }

    /// Forgets the exchange that was under way, and what it had not yet settled.
    fn reset(&mut self) {
        if self.tag.take().is_some() {
            self.next_tag = self.next_tag.wrapping_add(1) & (NO_TAG >> 1);
        }
        self.negotiation = Negotiation::after_login(self.parameters);
        self.incoming = Incoming::default();
        self.outgoing = Outgoing::default();
    }
}

fn list(targets: &[(String, Vec<String>)], out: &mut Writer) {
    for (name, addresses) in targets {
        out.pair("TargetName", name);
        addresses.iter().for_each(|address| out.pair("TargetAddress", address));
    }
}

#[cfg(test)]
mod tests;
