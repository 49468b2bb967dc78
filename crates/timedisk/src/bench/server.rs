//! What a server on this machine uses: CPU time and memory, from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, bail};

/// A process that serves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pid: u32,
}

/// What it has used up to a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pid: u32,
    cpu: Duration,
    resident: u64,
}

/// What it has used from one moment to another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) pid: u32,
    pub(crate) cpu: Duration,
    /// Bytes of memory at the end.
    pub(crate) resident: u64,
}

impl Sample {
    pub(crate) fn until(self, end: Sample) -> Cost {
        Cost { pid: end.pid, cpu: end.cpu.saturating_sub(self.cpu), resident: end.resident }
    }
}

impl Server {
    /// The process with this number, if it runs.
    pub(crate) fn new(pid: u32) -> anyhow::Result<Server> {
        let server = Server { pid };
        server.sample().map(|_| server)
    }

    /// What it has used so far.
    pub(crate) fn sample(&self) -> anyhow::Result<Sample> {
        let read = |name: &str| {
            let path = format!("/proc/{}/{name}", self.pid);
            fs::read_to_string(&path).with_context(|| {
                format!("--server-pid {}: can't read {path}: is there such a process, on Linux?", self.pid)
            })
        };
        let (stat, status) = (read("stat")?, read("status")?);
        let Some((cpu, resident)) = ticks(&stat).zip(resident(&status)) else {
            bail!("--server-pid {}: the process has ended", self.pid);
        };
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let cpu = Duration::from_secs(cpu / per_second)
            + Duration::from_nanos(cpu % per_second * (1_000_000_000 / per_second));
        Ok(Sample { pid: self.pid, cpu, resident })
    }
}

/// utime and stime, of all threads, in clock ticks. The second field, a name in parentheses, may have
/// anything in it.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    user.checked_add(system)
}

/// Bytes of `VmRSS`; `None` for a process that has ended and was not waited for.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_proc_are_found_behind_any_name() {
        let stat = "42 (a ) 1 2 (x) R 1 1 1 0 -1 4194304 100 0 0 0 250 17 0 0 20 0 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(267));
        assert_eq!(ticks("42 (x) R 1"), None);
        assert_eq!(resident("Name:\tx\nVmRSS:\t    1234 kB\n"), Some(1234 * 1024));
        assert_eq!(resident("Name:\tx\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn our_own_process_has_used_something_and_no_process_nothing() {
        let server = Server::new(std::process::id()).unwrap();
        let sample = server.sample().unwrap();
        assert!(sample.resident > 100_000, "{sample:?}");
        let error = format!("{:#}", Server::new(u32::MAX >> 1).unwrap_err());
        assert!(error.contains("--server-pid 2147483647"), "{error}");
    }
}
