//! Text keys and their rules (RFC 7143 §12, §13; RFC 7144 §7.1.1).
//!
//! [`KEYS`] has one row for each key, with all that is known of it.

mod table;

pub use table::KEYS;

use crate::parameters::{Credentials, Introduction, Parameters, Wishes};
use crate::text;

/// When a key may be used (RFC 7143 §12, §13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Only in the security stage of the login.
    Security,
    /// IO and LO: only during login. With one connection per session the two are the same.
    Login,
    /// ALL: during login and after it.
    All,
    /// FFPO: only after login.
    FullFeature,
}

/// What is going on while a key arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// SecurityNegotiation.
    Security,
    /// LoginOperationalNegotiation.
    Operational,
    /// After the login.
    FullFeature,
}

/// Who may offer or declare a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The initiator only.
    Initiator,
    /// The target only.
    Target,
    /// Either.
    Both,
}

/// How an offer and a wish make a boolean (RFC 7143 §6.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BooleanRule {
    /// `Yes` if both say so.
    And,
    /// `Yes` if either says so.
    Or,
}

/// How an offer and a wish make a number (RFC 7143 §13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberRule {
    /// The lower.
    Minimum,
    /// The higher.
    Maximum,
}

/// A boolean key.
#[derive(Clone, Copy, Debug)]
pub struct Boolean {
    /// The result function.
    pub rule: BooleanRule,
    /// What we would like.
    pub wish: fn(&Wishes) -> bool,
    /// What it settles.
    pub field: fn(&mut Parameters) -> &mut bool,
}

/// A numerical key.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// The result function.
    pub rule: NumberRule,
    /// The lowest value that there is.
    pub least: u32,
    /// The highest value that there is.
    pub most: u32,
    /// What we would like.
    pub wish: fn(&Wishes) -> u32,
    /// What it settles.
    pub field: fn(&mut Parameters) -> &mut u32,
    /// Another parameter that it must not exceed.
    pub cap: Option<fn(&Parameters) -> u32>,
}

/// A list key: the first value of the offer that is among ours.
#[derive(Clone, Copy, Debug)]
pub struct List {
    /// Ours.
    pub choices: fn(&Wishes) -> &'static [&'static str],
    /// Takes note of the choice.
    pub settle: fn(&mut Parameters, &str),
}

/// A number that each side declares for itself.
#[derive(Clone, Copy, Debug)]
pub struct OwnNumber {
    /// The lowest value that there is.
    pub least: u32,
    /// The highest value that there is.
    pub most: u32,
    /// What we declare.
    pub wish: fn(&Wishes) -> u32,
    /// What the initiator's declaration settles.
    pub initiator: fn(&mut Parameters) -> &mut u32,
    /// What the target's declaration settles.
    pub target: fn(&mut Parameters) -> &mut u32,
}

/// What a key is, and what its value does.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Negotiated: one of a list.
    List(List),
    /// Negotiated: yes or no.
    Boolean(Boolean),
    /// Negotiated: a number.
    Number(Number),
    /// Declared: a number of each side's own.
    OwnNumber(OwnNumber),
    /// Declared: who the initiator is and what it wants.
    Introduction(fn(&mut Introduction, String)),
    /// Declared, and of no consequence here.
    Note,
    /// A step of authentication, answered by that.
    Credential(fn(&mut Credentials, String)),
    /// A question, answered with what is found.
    SendTargets,
    /// A key of older standards with the answer it still gets.
    Obsolete(&'static str),
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it stands in the text.
    pub name: &'static str,
    /// When it may be used.
    pub usage: Use,
    /// Whether it may also come in the security stage.
    pub any_stage: bool,
    /// Who may offer or declare it.
    pub sender: Sender,
    /// Whether it means anything in a discovery session.
    pub in_discovery: bool,
    /// The value that holds if there is none, in text; empty where nothing holds.
    pub default: &'static str,
    /// Bytes of its longest value.
    pub limit: usize,
    /// What it is.
    pub kind: Kind,
}

/// The offer can't be had (RFC 7143 §6.2).
pub const REJECT: &str = "Reject";

/// The key plays no part here (RFC 7143 §6.2).
pub const IRRELEVANT: &str = "Irrelevant";

/// The key is not in the table (RFC 7143 §6.2).
pub const NOT_UNDERSTOOD: &str = "NotUnderstood";

/// Whether a value can only be an answer to something that the other side said (RFC 7143 §6.2).
pub fn is_answer(value: &str) -> bool {
    [REJECT, IRRELEVANT, NOT_UNDERSTOOD].contains(&value)
}

/// The row of a key.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The defaults of all rows.
pub(crate) fn defaults() -> Parameters {
    let mut parameters = Parameters::UNSETTLED;
    for key in KEYS {
        let number = || text::number(key.default).and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
        match key.kind {
            Kind::List(list) => (list.settle)(&mut parameters, key.default),
            Kind::Boolean(boolean) => {
                *(boolean.field)(&mut parameters) = key.default == text::boolean_text(true)
            }
            Kind::Number(row) => *(row.field)(&mut parameters) = number(),
            Kind::OwnNumber(row) => {
                *(row.initiator)(&mut parameters) = number();
                *(row.target)(&mut parameters) = number();
            }
            _ => {}
        }
    }
    parameters
}

impl Key {
    /// Whether the key may come while this goes on.
    pub fn is_allowed(&self, phase: Phase) -> bool {
        match phase {
            Phase::Security => self.any_stage || self.usage == Use::Security,
            Phase::Operational => matches!(self.usage, Use::Login | Use::All),
            Phase::FullFeature => matches!(self.usage, Use::All | Use::FullFeature),
        }
    }

    /// Whether the value needs no answer.
    pub fn is_declaration(&self) -> bool {
        matches!(self.kind, Kind::OwnNumber(_) | Kind::Introduction(_) | Kind::Note)
    }

    /// In which order keys of one text take effect: declarations, then what depends on nothing
    /// else, then the rest.
    pub(crate) fn rank(&self) -> u8 {
        match self.kind {
            _ if self.is_declaration() => 0,
            Kind::Number(number) if number.cap.is_some() => 2,
            _ => 1,
        }
    }
}

impl Boolean {
    /// What an offer comes to.
    pub fn result(&self, offer: bool, wishes: &Wishes) -> bool {
        let wish = (self.wish)(wishes);
        match self.rule {
            BooleanRule::And => offer && wish,
            BooleanRule::Or => offer || wish,
        }
    }
}

impl Number {
    /// What an offer comes to; `None` where it is outside the key's limits.
    pub fn result(&self, offer: u64, wishes: &Wishes, settled: &Parameters) -> Option<u32> {
        let offer = u32::try_from(offer).ok().filter(|offer| (self.least..=self.most).contains(offer))?;
        let wish = (self.wish)(wishes).clamp(self.least, self.most);
        let result = match self.rule {
            NumberRule::Minimum => offer.min(wish),
            NumberRule::Maximum => offer.max(wish),
        };
        Some(self.cap.map_or(result, |cap| result.min(cap(settled))))
    }
}

impl List {
    /// What an offer comes to; `None` where nothing in it is among our choices.
    pub fn result(&self, offer: &str, wishes: &Wishes) -> Option<&'static str> {
        let choices = (self.choices)(wishes);
        text::list(offer).find_map(|item| choices.iter().find(|choice| **choice == item)).copied()
    }
}

impl OwnNumber {
    /// The declared value, if it is within the key's limits.
    pub fn value(&self, declared: u64) -> Option<u32> {
        u32::try_from(declared).ok().filter(|value| (self.least..=self.most).contains(value))
    }
}
