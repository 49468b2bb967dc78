//! Sockets that initiators connect to.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use crate::settings::PortalGroup;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A peer's machine that is silent for so long is asked whether it is there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
/// And asked again, so often.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
/// Data that stay unacknowledged for so long mean that the peer is gone.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// An address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {}", explain(source))]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// The system's word on it.
    pub source: io::Error,
}

impl ListenError {
    /// Whether this machine does not speak the address's protocol at all, as one without IPv6.
    pub(crate) fn is_unspoken(&self) -> bool {
        let code = self.source.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
        let unavailable = self.source.kind() == io::ErrorKind::AddrNotAvailable && self.address.is_ipv6();
        code == Some(rustix::io::Errno::AFNOSUPPORT) || unavailable
    }
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there already; stop it, or choose another port with -p PORT".into()
        }
        io::ErrorKind::PermissionDenied => {
            "no permission; ports below 1024 are for root, choose one with -p PORT".into()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; see `ip address` for those it has".into()
        }
        _ => error.to_string(),
    }
}

/// Sockets that listen. Connections wait in them until a server takes them over.
#[derive(Debug)]
pub struct Listening {
    pub(crate) sockets: Vec<TcpListener>,
    /// The portal group of each socket. None where groups are not named: then all is one.
    pub(crate) groups: Vec<u16>,
}

impl Listening {
    /// Listens on every address, or on none. An IPv6 wildcard takes IPv6 only. With `lenient`, an address whose
    /// protocol this machine does not speak is left out, as long as another one is left.
    ///
    /// # Errors
    /// An address is taken, or not this machine's, or not for this user.
    pub fn on(addresses: &[SocketAddr], lenient: bool) -> Result<Listening, ListenError> {
        let mut sockets = Vec::new();
        let mut unspoken = None;
        for address in addresses {
            match listen(*address) {
                Ok(socket) => sockets.push(socket),
                Err(error) if lenient && error.is_unspoken() => unspoken = Some(error),
                Err(error) => return Err(error),
            }
        }
        match unspoken {
            Some(error) if sockets.is_empty() => Err(error),
            _ => Ok(Listening { sockets, groups: Vec::new() }),
        }
    }
}

impl Listening {
    /// Takes over sockets that listen already.
    ///
    /// # Errors
    /// A socket does not listen, or is not for TCP.
    pub fn from_sockets(sockets: Vec<TcpListener>) -> io::Result<Listening> {
        for socket in &sockets {
            if !SockRef::from(socket).is_listener()? {
                let error = format!("the socket at {} does not listen", socket.local_addr()?);
                return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
            }
            socket.set_nonblocking(true)?;
        }
        Ok(Listening { sockets, groups: Vec::new() })
    }

    /// Listens on every address of these portal groups.
    ///
    /// # Errors
    /// As for [`on`](Self::on).
    pub fn on_groups(groups: &[PortalGroup]) -> Result<Listening, ListenError> {
        let mut listening = Listening { sockets: Vec::new(), groups: Vec::new() };
        for group in groups {
            for address in &group.addresses {
                listening.sockets.push(listen(*address)?);
                listening.groups.push(group.tag);
            }
        }
        Ok(listening)
    }

    /// Sorts sockets that listen already into these portal groups, by their addresses.
    ///
    /// # Errors
    /// A socket's address is in no group, or an address of a group has no socket.
    pub fn in_groups(mut self, groups: &[PortalGroup]) -> io::Result<Listening> {
        let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidInput, error);
        let mut missing: Vec<SocketAddr> = groups.iter().flat_map(|group| group.addresses.clone()).collect();
        self.groups.clear();
        for socket in &self.sockets {
            let local = socket.local_addr()?;
            let group = groups.iter().find(|group| group.addresses.contains(&local));
            let group = group.ok_or_else(|| invalid(format!("no portal group has the address {local}")))?;
            self.groups.push(group.tag);
            missing.retain(|address| *address != local);
        }
        match missing.first() {
            Some(address) => Err(invalid(format!("there is no socket for the portal {address}"))),
            None => Ok(self),
        }
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let make = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Connections of an earlier run that linger must not keep this one from starting.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    make().map_err(|source| ListenError { address, source })
}

/// Prepares an accepted connection.
pub(crate) fn prepare(stream: &std::net::TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY))?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}
