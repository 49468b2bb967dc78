//! Sockets that a service manager listens on for us (sd_listen_fds(3)).

use std::net::TcpListener;

use anyhow::Context;
use listenfd::ListenFd;

/// The sockets that were passed, in order; none where nobody passed any.
///
/// # Errors
/// One of them is no TCP socket that listens.
pub(crate) fn sockets() -> anyhow::Result<Vec<TcpListener>> {
    let mut passed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for position in 0..passed.len() {
        let socket = passed.take_tcp_listener(position);
        let socket = socket.with_context(|| {
            format!(
                "socket {position} that the service manager passed is no TCP socket; write ListenStream=3260"
            )
        })?;
        sockets.extend(socket);
    }
    Ok(sockets)
}
