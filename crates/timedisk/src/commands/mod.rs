//! What people type to look after a running daemon.

mod disk;
mod mirror;
mod status;
mod table;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::control::{Client, Trouble};
use crate::state_directory;
pub(crate) use disk::{
    DiskCommand, DiskOptions, ResizeOptions, accept_loss, access, offline, online, resize,
};
pub(crate) use mirror::{MirrorCommand, mirror};
pub(crate) use status::{StatusOptions, status};
pub(crate) use table::{age, short};

/// No daemon runs.
const ABSENT: u8 = 3;
/// It runs, and does not answer.
const HANGS: u8 = 4;

/// How long a daemon has for something to be done.
const TO_ACT: Duration = Duration::from_secs(30);
/// How long a daemon has to say how it is, which nothing it serves can hold up.
const TO_TELL: Duration = Duration::from_secs(5);

/// Which daemon is meant, and how long it is waited for.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct DaemonOptions {
    /// State directory of the daemon [default: /var/lib/timedisk for root, else ~/.local/state/timedisk].
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    /// Seconds to wait for its answer [default: 5 for `status`, else 30].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..))]
    timeout: Option<u16>,
}

impl DaemonOptions {
    fn client(&self) -> anyhow::Result<Client> {
        self.client_within(TO_ACT)
    }

    /// Where its state is.
    pub(crate) fn directory(&self) -> anyhow::Result<PathBuf> {
        state_directory::choose(self.state.as_ref())
    }

    /// A client that waits so long unless something else was typed.
    pub(crate) fn client_within(&self, patience: Duration) -> anyhow::Result<Client> {
        let directory = self.directory()?;
        let typed = self.timeout.map(|seconds| Duration::from_secs(seconds.into()));
        Ok(Client::new(directory, typed.unwrap_or(patience)))
    }
}

/// End a session. Its initiator may log in again; to keep it out, change the file and reload.
///
/// Example: timedisk kick 3 (the session's number is in `timedisk status`)
#[derive(Args, Debug)]
pub(crate) struct KickOptions {
    /// Its number.
    session: u16,
    #[command(flatten)]
    daemon: DaemonOptions,
}

/// Read the files again, and serve what they say: all of it, or nothing of it.
///
/// Example: timedisk reload
#[derive(Args, Debug)]
pub(crate) struct ReloadOptions {
    /// Make disks shorter where the files say so: what is on them loses its end.
    #[arg(long)]
    allow_shrink: bool,
    #[command(flatten)]
    daemon: DaemonOptions,
}

pub(crate) fn kick(typed: &KickOptions) -> anyhow::Result<ExitCode> {
    Ok(tell(typed.daemon.client()?.kick(typed.session), |()| String::new()))
}

pub(crate) fn reload(typed: &ReloadOptions) -> anyhow::Result<ExitCode> {
    let result = typed.daemon.client()?.reload(typed.allow_shrink);
    Ok(tell(result, |reloaded| {
        reloaded.notices.iter().for_each(|notice| eprintln!("{notice}"));
        format!("{}\n", reloaded.summary())
    }))
}

/// Writes to stdout in one piece. Whoever does not read on has seen enough, as with `| head`.
pub(crate) fn say(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("timedisk: can't write to stdout: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Says what an answer is shown as, or what the trouble is; and the status that this ends with.
fn tell<T>(result: Result<T, Trouble>, show: impl FnOnce(T) -> String) -> ExitCode {
    match result {
        Ok(answer) => say(&show(answer)),
        Err(trouble) => {
            if let Trouble::Refused(refusal) = &trouble {
                refusal.remarks.iter().for_each(|remark| eprintln!("{remark}"));
            }
            eprintln!("timedisk: {trouble}");
            match trouble {
                Trouble::Absent(_) => ExitCode::from(ABSENT),
                Trouble::Hangs(..) => ExitCode::from(HANGS),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
