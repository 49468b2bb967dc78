//! What can be typed after `timedisk bench`.

use std::time::Duration;

use clap::{Args, ValueEnum};

/// Measure how fast an iSCSI target is: this one, or any other.
///
/// Each session keeps --qd commands under way, as soon as one ends the next one begins. With HOST:PORT, the
/// target is asked for its disks; if it has one target, its first disk is measured.
///
/// Writing overwrites what is on the disk, and so does --verify.
///
/// Example: timedisk bench iscsi://127.0.0.1/iqn.1994-04.org.netbsd.iscsi-target:target0/0 --qd 128 --time 10
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchOptions {
    /// The disk, iscsi://[USER%SECRET@]HOST[:PORT]/TARGET/LUN, or where its target listens,
    /// [USER%SECRET@]HOST[:PORT].
    #[arg(value_name = "URL|HOST:PORT")]
    pub(crate) place: String,

    /// What to do; mixed is 70 % reads.
    #[arg(long, value_enum, default_value = "read", value_name = "WHAT")]
    pub(crate) rw: Access,

    /// Bytes of a command: a multiple of the disk's block length.
    #[arg(long, default_value = "4k", value_parser = command_size, value_name = "SIZE")]
    pub(crate) bs: u32,

    /// Commands under way at once, in each session (shared out among its connections).
    #[arg(long, default_value_t = 32, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) qd: u16,

    /// Sessions. Each has a thread.
    #[arg(long, default_value_t = 1, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) sessions: u16,

    /// Connections of each session, as far as the target grants them. Each has a thread.
    #[arg(long, default_value_t = 1, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) connections: u16,

    /// One block after the other; each session (and connection) has a part of the span to
    /// itself.
    #[arg(long, conflicts_with = "random")]
    pub(crate) seq: bool,

    /// Any block of the span, in no order [default].
    #[arg(long)]
    pub(crate) random: bool,

    /// How long: seconds, maybe with a fraction.
    #[arg(long, default_value = "5", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) time: Duration,

    /// Use only the first part of the disk, this long [default: all of it].
    #[arg(long, value_parser = size, value_name = "SIZE")]
    pub(crate) span: Option<u64>,

    /// What CRC32C digests guard.
    #[arg(long, value_enum, default_value = "none", value_name = "WHAT")]
    pub(crate) digest: Digest,

    /// Write with FUA: GOOD means that the data are on the medium.
    #[arg(long)]
    pub(crate) fua: bool,

    /// Check that reads bring what was written. Each block is written with a pattern made of its address and
    /// a number of this run. Each session has a part of the span to itself. With --rw write, all that was
    /// written is read back after the time is up. With --rw mixed, a block is written before it is read for
    /// the first time. With --rw read, the whole span (--span has to be given) is written before the time
    /// begins.
    #[arg(long)]
    pub(crate) verify: bool,

    /// Process number of the server, if it runs on this machine: its CPU time and memory are measured, too.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "PID")]
    pub(crate) server_pid: Option<u32>,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Reads, writes or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Access {
    Read,
    Write,
    Mixed,
}

impl Access {
    /// As it is typed.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Access::Read => "read",
            Access::Write => "write",
            Access::Mixed => "mixed",
        }
    }
}

/// What digests guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Digest {
    None,
    Header,
    Data,
    Both,
}

impl Digest {
    /// As it is typed.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Digest::None => "none",
            Digest::Header => "header",
            Digest::Data => "data",
            Digest::Both => "both",
        }
    }

    pub(crate) fn header(self) -> bool {
        matches!(self, Digest::Header | Digest::Both)
    }

    pub(crate) fn data(self) -> bool {
        matches!(self, Digest::Data | Digest::Both)
    }
}

impl BenchOptions {
    /// The pattern of addresses, as it is typed.
    pub(crate) fn pattern(&self) -> &'static str {
        if self.seq { "seq" } else { "random" }
    }
}

/// Bytes of the longest command: what a transfer may have in one burst.
const LONGEST: u64 = 16 << 20;

fn size(text: &str) -> Result<u64, String> {
    timedisk_config::parse_size(text).map_err(|error| format!("{}: {}", error.message, error.help))
}

fn command_size(text: &str) -> Result<u32, String> {
    match size(text)? {
        bytes @ 512..=LONGEST if bytes % 512 == 0 => u32::try_from(bytes).map_err(|error| error.to_string()),
        _ => Err("choose a multiple of 512, up to 16M".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "write seconds: 5 or 0.5".to_owned())?;
    let within = (0.001..=1e6).contains(&number);
    let time = within.then(|| Duration::try_from_secs_f64(number).ok()).flatten();
    time.ok_or_else(|| "choose from 0.001 to 1000000 seconds".into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_and_bounded() {
        assert_eq!(command_size("4k"), Ok(4096));
        assert_eq!(command_size("16M"), Ok(16 << 20));
        for wrong in ["0", "511", "700", "17M", "x", "-4k"] {
            assert!(command_size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for wrong in ["0", "-1", "nan", "inf", "1e9", ""] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
