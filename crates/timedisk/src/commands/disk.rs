//! `resize`, `offline`, `online` and `disk accept-loss`.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use super::{DaemonOptions, say, tell};
use crate::control::{AccessState, Trouble};
use crate::state_directory;

/// Make a disk larger while it is served. Clients learn of it, and use it after a rescan.
///
/// For disks of `--disk` and for extents whose length is `size`; where a length stands in the file, change it there and
/// reload.
///
/// Example: timedisk resize target0 1TB
#[derive(Args, Debug)]
pub(crate) struct ResizeOptions {
    /// The disk: its target's name, its iSCSI name, or its file.
    disk: String,
    /// The new size, such as 200GB.
    size: String,
    #[command(flatten)]
    daemon: DaemonOptions,
}

/// Which disk is meant, and whose.
#[derive(Args, Debug)]
pub(crate) struct DiskOptions {
    /// The disk: its target's name, its iSCSI name, or its file.
    disk: String,
    #[command(flatten)]
    daemon: DaemonOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DiskCommand {
    /// Take a disk as it is after a flush has failed, so that it can be written again.
    AcceptLoss(AcceptLossOptions),
    /// Change how clients may use a disk through a portal group (ALUA).
    Access(AccessOptions),
}

/// Take a disk as it is after a flush has failed, so that it can be written again.
///
/// When a flush fails, the system may have dropped what was written since the last good one, and nobody can tell what.
/// That is why the disk takes no writes. Check first what is on it (a file system check by the client, or of a copy).
///
/// Example: timedisk disk accept-loss target0
#[derive(Args, Debug)]
pub(crate) struct AcceptLossOptions {
    /// The disk: its target's name, its iSCSI name, or its file. If no timedisk runs: its file.
    disk: String,
    /// Where in the file the disk begins, in bytes; if no timedisk runs.
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    start: u64,
    /// Don't ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    daemon: DaemonOptions,
}

pub(crate) fn resize(typed: &ResizeOptions) -> anyhow::Result<ExitCode> {
    let bytes = timedisk_config::parse_size(&typed.size)?;
    Ok(tell(typed.daemon.client()?.resize(&named(&typed.disk), bytes), |()| String::new()))
}

pub(crate) fn offline(typed: &DiskOptions) -> anyhow::Result<ExitCode> {
    Ok(tell(typed.daemon.client()?.offline(&named(&typed.disk)), |()| String::new()))
}

pub(crate) fn online(typed: &DiskOptions) -> anyhow::Result<ExitCode> {
    Ok(tell(typed.daemon.client()?.online(&named(&typed.disk)), |()| String::new()))
}

/// Change how clients may use a disk through a portal group; they are told.
///
/// That lasts over restarts, until the file gives the group another state.
///
/// Example: timedisk disk access target0 2 standby
#[derive(Args, Debug)]
pub(crate) struct AccessOptions {
    /// The disk: its target's name, its iSCSI name, or its file.
    disk: String,
    /// The portal group's number: 2 for `portal2`.
    group: u16,
    /// The new state.
    #[arg(value_name = "STATE")]
    access: AccessState,
    #[command(flatten)]
    daemon: DaemonOptions,
}

pub(crate) fn access(typed: &AccessOptions) -> anyhow::Result<ExitCode> {
    let client = typed.daemon.client()?;
    Ok(tell(client.set_access(&named(&typed.disk), typed.group, typed.access), |()| String::new()))
}

pub(crate) fn accept_loss(typed: &AcceptLossOptions) -> anyhow::Result<ExitCode> {
    if !typed.yes {
        confirm(&typed.disk)?;
    }
    let client = typed.daemon.client()?;
    let path = Path::new(&typed.disk);
    match client.accept_loss(&named(&typed.disk)) {
        Err(Trouble::Absent(_)) if path.exists() => {
            let state = state_directory::choose(typed.daemon.state.as_ref()).ok();
            let reason = timedisk_volume::accept_loss_offline(path, typed.start, state.as_deref())?;
            Ok(say(&format!("accepted for {}: a flush had failed ({reason})\n", typed.disk)))
        }
        result => Ok(tell(result, |()| String::new())),
    }
}

/// What the daemon is to look for: a file that is named from this directory, by its whole path, for the daemon may have
/// been started in another. Links stay as they are written.
pub(super) fn named(disk: &str) -> String {
    let path = Path::new(disk);
    match std::path::absolute(path) {
        Ok(absolute) if disk.contains('/') && path.exists() => absolute.display().to_string(),
        _ => disk.to_owned(),
    }
}

/// Asks a person; who is none has to say `--yes`.
fn confirm(disk: &str) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!(
            "what was written to {disk} before its flush failed may be lost; if that is accepted, add --yes"
        );
    }
    eprint!(
        "What was written to {disk} since the last flush that went well may be lost, in part or in whole, and nobody \
         can tell which part. Accept that, and let it be written again? [y/N] "
    );
    std::io::stderr().flush().context("can't ask")?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("can't read an answer")?;
    if !matches!(answer.trim(), "y" | "Y" | "yes") {
        bail!("nothing was done");
    }
    Ok(())
}
