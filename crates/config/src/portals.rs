//! `portalN ADDRESS[:PORT][,…] [state=] [preferred=]`: portal groups, and which of them serve a target.

use crate::configuration::{AccessState, Configuration, PortalGroup};
use crate::journal::Journal;
use crate::keys::{Holder, Keys};
use crate::lines::{Field, Line};
use crate::reader::Reader;
use crate::value::quoted;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// What the line begins with.
pub(crate) const PORTAL: &str = "portal";

/// As many as a target can have.
const MOST: usize = 64;

/// The states with their words.
pub(crate) const STATES: [(&str, AccessState); 5] = [
    ("optimized", AccessState::ActiveOptimized),
    ("non-optimized", AccessState::ActiveNonOptimized),
    ("standby", AccessState::Standby),
    ("unavailable", AccessState::Unavailable),
    ("offline", AccessState::Offline),
];

/// What a target's line says of portal groups.
pub(crate) struct Choice {
    /// The target's iSCSI name, if the line has one.
    pub(crate) iqn: Option<String>,
    pub(crate) portals: Option<(Vec<u16>, Range<usize>)>,
    /// Where it says who may change states.
    pub(crate) alua: Option<Range<usize>>,
}

/// The tag that a name such as `portal2` says.
pub(crate) fn tag(number: &str) -> Option<u16> {
    let plain = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
    number.parse().ok().filter(|_| plain)
}

/// `ADDRESS` or `ADDRESS:PORT`, an IPv6 address in brackets where a port follows.
fn address(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(text).parse::<IpAddr>() {
        return (bare.is_none() || ip.is_ipv6()).then_some((ip, None));
    }
    let address: SocketAddr = text.parse().ok()?;
    (address.port() > 0).then_some((address.ip(), Some(address.port())))
}

impl Reader<'_, '_> {
    /// Reads a portal group.
    pub(crate) fn portal(&mut self, line: &Line, first: &Field, name: &str, rest: &[Field]) {
        let mistakes_before = self.journal.mistakes.len();
        let (positional, keyed) = self.split_at_keys(rest, "the addresses come first");
        let keys = Keys::read(keyed, Holder::Portal, self.people, self.journal);
        let tag = tag(name.get(PORTAL.len()..).unwrap_or(""));
        if tag.is_none() {
            let message = format!("{} is not `portal` and a tag", quoted(name));
            let help = "write `portal1`, with a number from 1 to 65535: initiators are told it";
            self.journal.mistake(first.span.clone(), message, help);
        }
        let addresses = match positional {
            [list] => self.addresses(list),
            [] => {
                let help = format!("write {}", quoted(&format!("{name} 10.0.0.1")));
                self.journal.mistake(line.span.clone(), format!("{} has no address", quoted(name)), help);
                return;
            }
            [_, more, ..] => {
                let help = "several addresses have commas between, and no blanks";
                self.journal.mistake(more.span.clone(), "there is more after the addresses", help);
                return;
            }
        };
        if let (Some(tag), true) = (tag, self.journal.mistakes.len() == mistakes_before) {
            self.configuration.portals.push(PortalGroup {
                tag,
                addresses,
                state: keys.state.map_or(AccessState::ActiveOptimized, |said| said.0),
                preferred: keys.preferred.is_some_and(|said| said.0),
                span: line.span.clone(),
            });
        }
    }

    fn addresses(&mut self, list: &Field) -> Vec<(IpAddr, Option<u16>)> {
        let mut addresses = Vec::new();
        let mut at = 0;
        for text in list.text.split(',') {
            let span = list.span_of(at..at + text.len());
            at += text.len() + 1;
            let others = self.configuration.portals.iter().flat_map(|group| &group.addresses);
            match address(text) {
                None => self.journal.mistake(
                    span,
                    format!("{} is not an address, nor an address with a port", quoted(text)),
                    "write `10.0.0.1`, `10.0.0.1:3261`, `fd00::1` or `[fd00::1]:3261`",
                ),
                Some((ip, _)) if ip.is_unspecified() || ip.is_multicast() => self.journal.mistake(
                    span,
                    format!("{} is no address that initiators could be told", quoted(text)),
                    "write one of this machine's own; see `ip address` for those it has",
                ),
                Some(address) if others.chain(&addresses).any(|other| *other == address) => {
                    let message = format!("{} is in a portal group already", quoted(text));
                    self.journal.mistake(span, message, "give each portal to one group");
                }
                Some(address) => addresses.push(address),
            }
        }
        addresses
    }

    /// Keeps what a target's line says of portal groups.
    pub(crate) fn choose(&mut self, iqn: Option<String>, keys: &Keys<'_>) {
        let (portals, alua) = (keys.portals.clone(), keys.explicit.as_ref().map(|said| said.1.clone()));
        self.choices.push(Choice { iqn, portals, alua });
    }
}

/// Settles which groups serve each target. The lines of one target mean the same: a line that says nothing follows the
/// one that does. `is_known` tells of groups, those with a mistake in their line among them.
pub(crate) fn settle(
    choices: &[Choice],
    is_known: impl Fn(u16) -> bool,
    configuration: &mut Configuration,
    journal: &mut Journal<'_>,
) {
    if let Some(one_too_many) = configuration.portals.get(MOST) {
        let help = format!("there can be {MOST}; give several addresses to one");
        journal.mistake(one_too_many.span.clone(), "there are too many portal groups", help);
    }
    let mut first: HashMap<&str, (&Vec<u16>, usize)> = HashMap::new();
    for Choice { iqn, portals, alua } in choices {
        if let (Some(span), true) = (alua, configuration.portals.is_empty()) {
            let help = "name the groups, such as `portal1 10.0.0.1` and `portal2 10.0.1.1`, or leave it out";
            journal.mistake(span.clone(), "`alua=` has no meaning without portal groups", help);
        }
        let Some((tags, span)) = portals else { continue };
        for tag in tags.iter().filter(|tag| !is_known(**tag)) {
            let help = format!("add the line `portal{tag} ADDRESS`, or name others");
            journal.mistake(span.clone(), format!("there is no `portal{tag}`"), help);
        }
        let line = journal.line_of(span.start);
        match iqn.as_deref().map(|iqn| (iqn, first.get(iqn))) {
            Some((_, Some((same, _)))) if *same == tags => {}
            Some((_, Some((_, earlier)))) => journal.mistake(
                span.clone(),
                format!("this is not what line {earlier} has, which is a disk of the same target"),
                "a portal group serves the whole target: write the same `portals=` on each, or on one line only",
            ),
            Some((iqn, None)) => drop(first.insert(iqn, (tags, line))),
            None => {}
        }
    }
    for target in &mut configuration.targets {
        if let Some((tags, _)) = first.get(target.iqn.as_str()) {
            target.portals.clone_from(tags);
        }
    }
}
