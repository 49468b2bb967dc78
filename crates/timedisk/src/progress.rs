//! How far something is that takes long: one line that changes, on a terminal; a line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::commands::{age, short};

/// Between two lines on a terminal, where each takes the place of the last one.
const ON_TERMINAL: Duration = Duration::from_millis(200);

/// Between two lines elsewhere.
const ELSEWHERE: Duration = Duration::from_secs(10);

/// Ctrl-C, or SIGTERM, raises the flag; a second one ends the process at once.
pub(crate) fn stop_on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the first signal passes by here before the flag is up.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Shown on stderr, so that it is not among the results.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    total: u64,
    began: Instant,
    next: Instant,
    is_terminal: bool,
    is_shown: bool,
}

impl Progress {
    /// Of `total` bytes, none are done.
    pub(crate) fn new(what: &'static str, total: u64) -> Progress {
        let is_terminal = std::io::stderr().is_terminal();
        let now = Instant::now();
        let next = now + if is_terminal { ON_TERMINAL } else { ELSEWHERE };
        Progress { what, total, began: now, next, is_terminal, is_shown: false }
    }

    /// So many bytes are done.
    pub(crate) fn at(&mut self, done: u64) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + if self.is_terminal { ON_TERMINAL } else { ELSEWHERE };
        let line = line(self.what, done, self.total, now - self.began);
        let mut out = std::io::stderr().lock();
        // Who does not look at it misses nothing.
        let _ = match self.is_terminal {
            true => write!(out, "\r{line}\x1b[K"),
            false => writeln!(out, "{line}"),
        };
        let _ = out.flush();
        self.is_shown = true;
    }
}

/// Leaves the terminal's line to what comes next.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal && self.is_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(what: &str, done: u64, total: u64, time: Duration) -> String {
    let percent = match total {
        0 => 100.0,
        _ => (done as f64 * 100.0 / total as f64).min(100.0),
    };
    let rate = done as f64 / time.as_secs_f64().max(0.001);
    let left = match total.saturating_sub(done) as f64 / rate {
        seconds if seconds.is_finite() => format!("{} left", age(seconds.ceil() as u64)),
        _ => "nothing moves".to_owned(),
    };
    format!("{what} {percent:.0}%, {} of {}, {}/s, {left}", short(done), short(total), short(rate as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_part_the_rate_and_the_time_left() {
        let second = Duration::from_secs(1);
        assert_eq!(line("copy", 1 << 20, 4 << 20, second), "copy 25%, 1.0MB of 4.0MB, 1.0MB/s, 3s left");
        assert_eq!(line("copy", 0, 0, second), "copy 100%, 0B of 0B, 0B/s, nothing moves");
    }
}
