//! The two ends of an I_T nexus, by name, and how they stand in parameter lists (SPC-4 7.6.4).

/// An initiator port and the target that it uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    /// `NAME,i,0xISID`.
    pub(crate) initiator: String,
    /// The [target port](target_port); `None` for every one that has the logical unit (ALL_TG_PT).
    pub(crate) target: Option<String>,
}

/// Nexuses that a registration stands for.
pub(crate) type Nexus = Port;

impl Port {
    /// Whether what this stands for includes `other`, which is one nexus.
    pub(crate) fn is(&self, other: &Port) -> bool {
        let same_target = self.target.is_none() || self.target == other.target;
        self.initiator == other.initiator && same_target
    }
}

/// The portal group that goes without saying.
const FIRST_GROUP: u16 = 1;

/// Between a target's name and the tag of another portal group (RFC 7143 §4.2.7.3).
const GROUP: &str = ",t,0x";

/// What a target's port in a portal group goes by here, and where it is saved.
pub(crate) fn target_port(target: &str, group: u16) -> String {
    match group {
        FIRST_GROUP => target.to_owned(),
        _ => format!("{target}{GROUP}{group:04x}"),
    }
}

impl Port {
    /// The target's name and the portal group of the port.
    fn target_and_group(&self) -> (&str, u16) {
        let port = self.target.as_deref().unwrap_or_default();
        let parts = port.rsplit_once(GROUP);
        let parts = parts.and_then(|(target, tag)| Some((target, u16::from_str_radix(tag, 16).ok()?)));
        parts.unwrap_or((port, FIRST_GROUP))
    }

    /// RELATIVE TARGET PORT IDENTIFIER.
    pub(crate) fn relative_target_port(&self) -> u16 {
        self.target_and_group().1
    }

    /// Another initiator's port, with the port of the same target that has this relative identifier.
    pub(crate) fn of_same_target(&self, initiator: String, group: u16) -> Port {
        Port { initiator, target: Some(target_port(self.target_and_group().0, group)) }
    }
}

/// PROTOCOL IDENTIFIER of iSCSI, and the format with an ISID.
const ISCSI_PORT: u8 = 0x45;

/// Bytes of a TransportID before the name.
const HEADER: usize = 4;

/// The TransportID of an initiator port.
pub(crate) fn transport_id(initiator_port: &str) -> Vec<u8> {
    let mut name = initiator_port.as_bytes().to_vec();
    // Ended by a zero, and filled up: the whole has 24 bytes at least.
    name.resize((name.len() / 4 + 1).max(5) * 4, 0);
    let [high, low] = u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[ISCSI_PORT, 0, high, low], &name[..]].concat()
}

/// Takes a TransportID off the front, and gives the port's name as it is when it logs in: in lower case. `None` if it
/// is none of an iSCSI initiator port.
pub(crate) fn take_transport_id(bytes: &mut &[u8]) -> Option<String> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] != ISCSI_PORT || !length.is_multiple_of(4) || length < 20 {
        return None;
    }
    let (name, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    let name = name.split(|byte| *byte == 0).next()?;
    let name = std::str::from_utf8(name).ok()?;
    // What is saved is a line of bounded length, with spaces between names.
    let is_name =
        |name: &str| name.len() <= 223 && !name.contains(|c: char| c.is_whitespace() || c.is_control());
    let is_isid =
        |isid: &str| matches!(isid.len(), 1..=12) && isid.bytes().all(|digit| digit.is_ascii_hexdigit());
    let is_port = name.split_once(",i,0x").is_some_and(|(name, isid)| is_name(name) && is_isid(isid));
    is_port.then(|| name.to_lowercase())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for name in ["iqn.2026-01.org.example:a,i,0x00023d000001", "a,i,0x0", "iqn.2026-01.example:abc,i,0x1"]
        {
            let id = transport_id(name);
            assert_eq!((id.len() % 4, id.len() >= 24, id.last()), (0, true, Some(&0)));
            let mut rest = &[&id[..], &[1, 2]].concat()[..];
            assert_eq!(take_transport_id(&mut rest).as_deref(), Some(name));
            assert_eq!(rest, [1, 2]);
        }
    }

    #[test]
    fn other_things_are_refused() {
        let good = transport_id("iqn.2026-01.org.example:a,i,0x00023d000001");
        for (at, value) in [(0, 0x05), (0, 0x40), (2, 0xff), (3, 3), (3, 16), (5, 0xff), (6, b' ')] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(take_transport_id(&mut &bad[..]), None, "{at} {value}");
        }
        assert_eq!(take_transport_id(&mut &good[..good.len() - 1]), None);
        assert_eq!(take_transport_id(&mut &[][..]), None);
        let long = format!("{},i,0x1", "a".repeat(224));
        for name in ["a\u{1},i,0x1", "a b,i,0x1", "a,i,0x", "a,i,0xg", "a,i,0x1234567890abc", "a", &long] {
            assert_eq!(take_transport_id(&mut &transport_id(name)[..]), None, "{name}");
        }
    }
}
