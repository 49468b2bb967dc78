//! Where a disk is: `iscsi://[user%secret@]host[:port]/target/lun`.

use std::fmt;
use std::str::FromStr;

use timedisk_iscsi::chap::Identity;
use timedisk_iscsi::names;

/// The port of iSCSI (RFC 7143 §5).
pub const DEFAULT_PORT: u16 = 3260;

/// What a URL of ours begins with.
const SCHEME: &str = "iscsi://";

/// Why a text is no place of a disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not `iscsi://`.
    #[error("a disk's URL begins with iscsi:// (iscsi://HOST[:PORT]/TARGET/LUN)")]
    Scheme,
    /// No host, or a bracket without its twin.
    #[error("there is no host: write HOST, HOST:PORT or, for IPv6, [ADDRESS]:PORT")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("{0:?} is no port: it is a number from 1 to 65535")]
    Port(String),
    /// A user without a secret, or a secret without a user.
    #[error("a user and a secret stand before the host as USER%SECRET@")]
    User,
    /// No target, or none that can be one.
    #[error(
        "{0:?} is no target: write its name after the host, as in iscsi://HOST/iqn.2026-01.org.example:disk/0"
    )]
    Target(String),
    /// Not a number from 0 to 16383.
    #[error("{0:?} is no LUN: it is a number from 0 to 16383, after the target's name")]
    Lun(String),
    /// After `?` stands something else than `target_user=` and `target_password=`, both of them.
    #[error(
        "after ? stand target_user=NAME&target_password=SECRET, for a target that has to prove itself, too"
    )]
    Argument,
    /// RFC 7143 §9.2.1: whoever knows it for one side could pretend to be the other one.
    #[error("the target's secret is the same as the user's: give each side one of its own")]
    SameSecret,
}

/// A host and a port. The host is a name or an address, IPv6 without brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Portal {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for Portal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(formatter, "[{}]:{}", self.host, self.port),
            false => write!(formatter, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Portal {
    type Err = UrlError;

    /// Reads `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT` or a bare IPv6 address.
    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or(UrlError::Host)?;
                match after.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if after.is_empty() => (host, None),
                    None => return Err(UrlError::Host),
                }
            }
            None if text.matches(':').count() > 1 => (text, None),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let fits = |c: char| c.is_alphanumeric() || "-._:%".contains(c);
        if host.is_empty() || host.len() > 255 || !host.chars().all(fits) {
            return Err(UrlError::Host);
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => {
                let number = port.parse().ok().filter(|number| *number != 0);
                number.ok_or_else(|| UrlError::Port(port.to_owned()))?
            }
        };
        Ok(Portal { host: host.to_owned(), port })
    }
}

/// Where a disk is and who asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Where the target listens.
    pub portal: Portal,
    /// The target's iSCSI name.
    pub target: String,
    /// Number of the logical unit.
    pub lun: u16,
    /// Who we are, where the target asks (CHAP).
    pub user: Option<Identity>,
    /// Who the target has to be, where we ask (mutual CHAP).
    pub peer: Option<Identity>,
}

/// Without user and secrets, so that it may be shown.
impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SCHEME}{}/{}/{}", self.portal, self.target, self.lun)
    }
}

impl FromStr for Url {
    type Err = UrlError;

    /// Reads `iscsi://[USER%SECRET@]HOST[:PORT]/TARGET/LUN[?target_user=NAME&target_password=SECRET]`.
    fn from_str(text: &str) -> Result<Self, UrlError> {
        let rest = text.strip_prefix(SCHEME).ok_or(UrlError::Scheme)?;
        let (rest, arguments) =
            rest.split_once('?').map_or((rest, None), |(rest, after)| (rest, Some(after)));
        let (authority, path) = split_authority(rest);
        let (user, portal) = user_and_portal(authority)?;
        let (target, lun) = path.split_once('/').unwrap_or((path, ""));
        // As it was typed: targets have been seen that compare names letter by letter.
        names::normalise(target).map_err(|_| UrlError::Target(target.to_owned()))?;
        let lun =
            lun.parse().ok().filter(|lun| *lun < 1 << 14).ok_or_else(|| UrlError::Lun(lun.to_owned()))?;
        let peer = arguments.map(peer).transpose()?;
        match (&user, &peer) {
            (None, Some(_)) => return Err(UrlError::User),
            (Some(user), Some(peer)) if user.secret == peer.secret => return Err(UrlError::SameSecret),
            _ => {}
        }
        Ok(Url { portal, target: target.to_owned(), lun, user, peer })
    }
}

/// Reads `[USER%SECRET@]HOST[:PORT]`.
///
/// # Errors
/// [`UrlError`] for what is not that.
pub fn user_and_portal(text: &str) -> Result<(Option<Identity>, Portal), UrlError> {
    match text.rsplit_once('@') {
        Some((user, host)) => Ok((Some(identity(user.split_once('%'))?), host.parse()?)),
        None => Ok((None, text.parse()?)),
    }
}

/// Splits at the first `/` behind the user and the secret, which may contain one.
fn split_authority(text: &str) -> (&str, &str) {
    let names = ["/iqn.", "/eui.", "/naa."];
    let lower = text.to_ascii_lowercase();
    let at = names.iter().filter_map(|name| lower.rfind(name)).max().or_else(|| text.find('/'));
    match at {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default()),
        None => (text, ""),
    }
}

fn identity(pair: Option<(&str, &str)>) -> Result<Identity, UrlError> {
    match pair {
        Some((name, secret)) if !name.is_empty() && !secret.is_empty() => {
            Ok(Identity { name: name.to_owned(), secret: secret.as_bytes().to_vec() })
        }
        _ => Err(UrlError::User),
    }
}

fn peer(arguments: &str) -> Result<Identity, UrlError> {
    let (mut name, mut secret) = (None, None);
    for argument in arguments.split('&') {
        match argument.split_once('=') {
            Some(("target_user", value)) => name = Some(value),
            Some(("target_password", value)) => secret = Some(value),
            _ => return Err(UrlError::Argument),
        }
    }
    identity(name.zip(secret)).map_err(|_| UrlError::Argument)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(text: &str) -> Result<Url, UrlError> {
        text.parse()
    }

    #[test]
    fn urls_are_read_in_every_usual_form() {
        let plain = url("iscsi://127.0.0.1/iqn.2026-01.org.example:disk/0").unwrap();
        assert_eq!((plain.portal.port, plain.lun, plain.user), (3260, 0, None));
        let six = url("iscsi://[::1]:99/iqn.2026-01.org.example:disk/3").unwrap();
        assert_eq!((six.portal.host.as_str(), six.portal.port, six.lun), ("::1", 99, 3));
        assert_eq!(six.to_string(), "iscsi://[::1]:99/iqn.2026-01.org.example:disk/3");
        let user = url("iscsi://joe%p@ss/word%x@host/eui.02004567a425678d/1").unwrap();
        let identity = user.user.clone().unwrap();
        assert_eq!((identity.name.as_str(), identity.secret.as_slice()), ("joe", &b"p@ss/word%x"[..]));
        assert!(!user.to_string().contains("p@ss"), "no secret is shown");
        assert!(!format!("{user:?}").contains("p@ss"), "no secret is shown");
        let mutual = url("iscsi://a%b@h/iqn.x:y/0?target_user=t&target_password=s").unwrap();
        assert_eq!(mutual.peer.unwrap().name, "t");
    }

    #[test]
    fn what_is_no_url_is_refused_with_the_part_that_is_wrong() {
        let cases = [
            ("http://h/iqn.x/0", UrlError::Scheme),
            ("iscsi:///iqn.x/0", UrlError::Host),
            ("iscsi://[::1/iqn.x/0", UrlError::Host),
            ("iscsi://h:0/iqn.x/0", UrlError::Port("0".into())),
            ("iscsi://h:99999/iqn.x/0", UrlError::Port("99999".into())),
            ("iscsi://joe@h/iqn.x/0", UrlError::User),
            ("iscsi://h", UrlError::Target("".into())),
            ("iscsi://h/disk/0", UrlError::Target("disk".into())),
            ("iscsi://h/iqn.x", UrlError::Lun("".into())),
            ("iscsi://h/iqn.x/16384", UrlError::Lun("16384".into())),
            ("iscsi://h/iqn.x/0?a=b", UrlError::Argument),
            ("iscsi://h/iqn.x/0?target_user=t&target_password=s", UrlError::User),
            ("iscsi://a%s@h/iqn.x/0?target_user=t&target_password=s", UrlError::SameSecret),
        ];
        for (text, error) in cases {
            assert_eq!(url(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_url_that_is_read_comes_back_the_same(
            text in "(iscsi://)?\\PC{0,10}[@:/\\[\\]%]{0,3}(/iqn\\.\\PC{1,9})?/[0-9]{0,6}",
        ) {
            if let Ok(read) = url(&text) {
                let again = url(&read.to_string()).unwrap();
                prop_assert_eq!(again.portal, read.portal);
                prop_assert_eq!((again.target, again.lun), (read.target, read.lun));
            }
        }
    }
}
