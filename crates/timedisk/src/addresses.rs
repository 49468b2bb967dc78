//! Where to listen, and what clients call that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::bail;

use crate::command_line::ServeOptions;

/// Where to listen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) addresses: Vec<SocketAddr>,
    /// Whether one that this machine has no protocol for may be left out: so where nobody asked for it by name.
    pub(crate) lenient: bool,
}

/// What was typed, or else loopback; with a file of targets, all addresses as NetBSD has it.
pub(crate) fn to_listen_on(options: &ServeOptions) -> anyhow::Result<Listen> {
    let typed = !options.listen.is_empty();
    let candidates: Vec<(IpAddr, Option<u16>)> = if typed {
        options.listen.clone()
    } else if options.targets.is_some() || options.netbsd_compat {
        vec![(Ipv4Addr::UNSPECIFIED.into(), None), (Ipv6Addr::UNSPECIFIED.into(), None)]
    } else if options.ipv6_only {
        vec![(Ipv6Addr::LOCALHOST.into(), None)]
    } else {
        vec![(Ipv4Addr::LOCALHOST.into(), None)]
    };
    let chosen = candidates.into_iter().filter(|(address, _)| wants(options, address));
    let addresses: Vec<SocketAddr> =
        chosen.map(|(address, port)| SocketAddr::new(address, port.unwrap_or(options.port))).collect();
    if addresses.is_empty() {
        bail!("no address is left to listen on: -4 and -6 leave out every --listen; drop one of them");
    }
    Ok(Listen { addresses, lenient: !typed && !options.ipv6_only })
}

/// Whether an address is of a family that is asked for.
pub(crate) fn wants(options: &ServeOptions, address: &IpAddr) -> bool {
    match (options.ipv4_only, options.ipv6_only) {
        (true, _) => address.is_ipv4(),
        (_, true) => address.is_ipv6(),
        _ => true,
    }
}

/// The addresses that a client could use to reach what listens here: never a wildcard.
pub(crate) fn reachable(listening: &[SocketAddr]) -> Vec<SocketAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let own: Vec<IpAddr> = interfaces.iter().map(if_addrs::Interface::ip).collect();
    expand(listening, &own)
}

fn expand(listening: &[SocketAddr], own: &[IpAddr]) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = Vec::new();
    for address in listening {
        let same_family = |ip: &&IpAddr| ip.is_ipv4() == address.is_ipv4() && !needs_scope(ip);
        let mut these: Vec<SocketAddr> = match address.ip().is_unspecified() {
            true => own.iter().filter(same_family).map(|ip| SocketAddr::new(*ip, address.port())).collect(),
            false => vec![*address],
        };
        // What others can use comes first.
        these.sort_by_key(|address| address.ip().is_loopback());
        found.extend(these);
    }
    found.dedup();
    found
}

/// A link-local IPv6 address is no use without the name of the client's own interface.
fn needs_scope(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn options(port: u16) -> ServeOptions {
        ServeOptions { port, ..ServeOptions::default() }
    }

    #[test]
    fn without_a_file_only_this_machine_can_connect() {
        let listen = to_listen_on(&options(3260)).unwrap();
        assert!(listen.addresses.iter().all(|address| address.ip().is_loopback()));
        let six = to_listen_on(&ServeOptions { ipv6_only: true, ..options(1) }).unwrap();
        assert_eq!(six.addresses, ["[::1]:1".parse().unwrap()]);
    }

    #[test]
    fn with_a_file_everybody_can_unless_told_otherwise() {
        let with_file = || ServeOptions { targets: Some("targets".into()), ..options(3260) };
        let all = to_listen_on(&with_file()).unwrap();
        assert_eq!(all.addresses, ["0.0.0.0:3260".parse().unwrap(), "[::]:3260".parse().unwrap()]);
        let four = to_listen_on(&ServeOptions { ipv4_only: true, ..with_file() }).unwrap();
        assert_eq!(four.addresses, ["0.0.0.0:3260".parse().unwrap()]);
        let listen = vec![("10.0.0.1".parse().unwrap(), Some(99))];
        let typed = to_listen_on(&ServeOptions { listen, ..with_file() }).unwrap();
        assert_eq!(typed.addresses, ["10.0.0.1:99".parse().unwrap()]);
    }

    #[test]
    fn contradictions_are_named() {
        let listen = vec![("10.0.0.1".parse().unwrap(), None)];
        assert!(to_listen_on(&ServeOptions { listen, ipv6_only: true, ..options(1) }).is_err());
    }

    #[test]
    fn a_wildcard_is_never_shown() {
        let own = ["127.0.0.1", "192.168.1.5", "::1", "fe80::1", "fd00::5"].map(|ip| ip.parse().unwrap());
        let listening = ["0.0.0.0:3260".parse().unwrap(), "[::]:3260".parse().unwrap()];
        let shown: Vec<String> = expand(&listening, &own).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.168.1.5:3260", "127.0.0.1:3260", "[fd00::5]:3260", "[::1]:3260"]);
    }
}
