//! What a service manager is told (sd_notify(3)). Without one that listens, nothing is said.
//!
//! `NOTIFY_SOCKET` stays in the environment: timedisk starts no programs that could inherit it, and with
//! `NotifyAccess=main` systemd would not listen to them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;

/// From then on parts of the server stand still as they should.
static STOPPING: AtomicBool = AtomicBool::new(false);

/// The daemon serves.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The daemon reads its files again; [`ready`] follows.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The daemon is about to end.
pub(crate) fn stopping() {
    STOPPING.store(true, Ordering::Relaxed);
    tell(&[NotifyState::Stopping]);
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::warn!("the service manager can't be told: {error}");
    }
}

/// Tells the service manager again and again that the daemon lives, as long as `lives` says so. One that does
/// not is restarted. That ends with [`stopping`]: from there on the service manager has a limit of its own.
pub(crate) fn watch(mut lives: impl FnMut() -> bool + Send + 'static) -> std::io::Result<()> {
    let Some(limit) = sd_notify::watchdog_enabled() else { return Ok(()) };
    let pause = (limit / 2).max(Duration::from_millis(10));
    let thread = std::thread::Builder::new().name("watchdog".into());
    thread.spawn(move || {
        loop {
            std::thread::sleep(pause);
            if STOPPING.load(Ordering::Relaxed) {
                return;
            }
            if lives() {
                tell(&[NotifyState::Watchdog]);
            } else {
                tracing::error!(
                    "a part of the server stands still: the service manager is not told that it lives"
                );
            }
        }
    })?;
    Ok(())
}
