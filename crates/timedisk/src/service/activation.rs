//! Sockets that a service manager listens on for us (sd_listen_fds(3)).

use std::net::TcpListener;

use anyhow::{Context, bail};
use listenfd::ListenFd;

/// More than anybody listens on; a number beyond is no number of sockets.
const MOST: u32 = 1024;

/// The sockets that were passed, in order; none where nobody passed any to this very process. To be called
/// before there are other threads: the variables that tell of them are taken out of the environment.
///
/// # Errors
/// One of them is no TCP socket that listens, or the variables make no sense.
pub(crate) fn sockets() -> anyhow::Result<Vec<TcpListener>> {
    let variable = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let (process, count) = (variable("LISTEN_PID"), variable("LISTEN_FDS"));
    if passed_to(std::process::id(), process.as_deref(), count.as_deref())? == 0 {
        return Ok(Vec::new());
    }
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

/// How many sockets were passed to the process `own`: the variables may be meant for another one, that left
/// them behind.
fn passed_to(own: u32, process: Option<&str>, count: Option<&str>) -> anyhow::Result<u32> {
    let (Some(process), Some(count)) = (process, count) else { return Ok(0) };
    if process.parse() != Ok(own) {
        return Ok(0);
    }
    match count.parse() {
        Ok(count) if count <= MOST => Ok(count),
        _ => bail!(
            "LISTEN_FDS={count} is not a number of sockets; whoever started timedisk should set it right"
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::passed_to;

    #[test]
    fn sockets_are_taken_only_by_the_process_they_were_passed_to() {
        assert_eq!(passed_to(7, Some("7"), Some("2")).unwrap(), 2);
        assert_eq!(passed_to(7, Some("8"), Some("2")).unwrap(), 0);
        assert_eq!(passed_to(7, None, Some("2")).unwrap(), 0, "left behind by somebody");
        assert_eq!(passed_to(7, Some("7"), None).unwrap(), 0);
    }

    #[test]
    fn a_number_of_sockets_that_is_none_is_refused() {
        for count in ["", "x", "-1", "99999999999999", "1025"] {
            assert!(passed_to(7, Some("7"), Some(count)).is_err(), "{count}");
        }
    }
}
