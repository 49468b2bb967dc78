//! What a service manager is told (sd_notify(3)). Without one that listens, nothing is said.

use std::time::Duration;

use sd_notify::NotifyState;

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
    tell(&[NotifyState::Stopping]);
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::warn!("the service manager can't be told: {error}");
    }
}

/// Tells the service manager again and again that the daemon lives, as long as `lives` says so. One that does not is
/// restarted.
pub(crate) fn watch(mut lives: impl FnMut() -> bool + Send + 'static) -> std::io::Result<()> {
    let Some(limit) = sd_notify::watchdog_enabled() else { return Ok(()) };
    let pause = (limit / 2).max(Duration::from_millis(10));
    let thread = std::thread::Builder::new().name("watchdog".into());
    thread.spawn(move || {
        loop {
            std::thread::sleep(pause);
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
