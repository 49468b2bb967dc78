//! `timedisk status`: disks and sessions of a running daemon.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, ValueEnum};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::table::{Table, age, short};
use super::{DaemonOptions, TO_TELL, tell};
use crate::control::{Client, Disk, DiskState, Erasing, Mirror, Session, Status, Trouble};

/// Show the disks and sessions of a running daemon.
///
/// Example: timedisk status --watch
#[derive(Args, Debug)]
pub(crate) struct StatusOptions {
    /// Show them again each second, or as often as is said, with what went on in between. Ends with Ctrl-C.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1",
          value_parser = clap::value_parser!(u16).range(1..))]
    watch: Option<u16>,

    /// As JSON, one object on a line.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    daemon: DaemonOptions,
}

pub(crate) fn status(typed: &StatusOptions) -> anyhow::Result<ExitCode> {
    let client = typed.daemon.client_within(TO_TELL)?;
    match typed.watch {
        None => Ok(tell(client.status(), |status| shown(&status, None, typed.json))),
        Some(seconds) => watch(&client, Duration::from_secs(seconds.into()), typed.json),
    }
}

/// Shows it again and again; ends when there is nothing to show, or nobody to show it to.
fn watch(client: &Client, pause: Duration, json: bool) -> anyhow::Result<ExitCode> {
    end_well_on_signals()?;
    let redraws = std::io::stdout().is_terminal() && !json;
    let mut before: Option<(Instant, Status)> = None;
    loop {
        let status = match client.status() {
            Ok(status) => status,
            Err(trouble) => return Ok(tell(Err::<(), Trouble>(trouble), |()| String::new())),
        };
        let now = Instant::now();
        let text = shown(&status, before.as_ref().map(|(then, status)| (now - *then, status)), json);
        let clear = if redraws { "\x1b[H\x1b[J" } else { "" };
        let mut out = std::io::stdout().lock();
        if write!(out, "{clear}{text}").and_then(|()| out.flush()).is_err() {
            return Ok(ExitCode::SUCCESS);
        }
        drop(out);
        before = Some((now, status));
        std::thread::sleep(pause);
    }
}

/// Makes Ctrl-C an end like any other: with success, and with nothing cut in the middle.
fn end_well_on_signals() -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("can't wait for signals")?;
    std::thread::Builder::new().spawn(move || {
        if signals.forever().next().is_some() {
            // Who has this lock is not writing.
            let _whole = std::io::stdout().lock();
            std::process::exit(0);
        }
    })?;
    Ok(())
}

/// What there is to see; with an earlier status, what went on since as well.
fn shown(status: &Status, before: Option<(Duration, &Status)>, json: bool) -> String {
    if json {
        let line = serde_json::to_string(status).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
        return format!("{line}\n");
    }
    let head = format!(
        "timedisk {}, process {}, up {}, on {}",
        status.version,
        status.process,
        age(status.uptime_seconds),
        status.listening.join(", ")
    );
    let sessions = match status.sessions.is_empty() {
        true => "no sessions\n".to_owned(),
        false => sessions(&status.sessions).to_string(),
    };
    let access = match status.disks.iter().any(|disk| !disk.access.is_empty()) {
        true => format!("{}\n", access(&status.disks)),
        false => String::new(),
    };
    format!("{head}\n\n{}\n{access}{sessions}\n", disks(&status.disks, before))
}

/// How disks are used through portal groups.
fn access(disks: &[Disk]) -> Table {
    let mut table = Table::new(&["DISK", "LUN", "PORTAL", "ACCESS", "PREFERRED"]);
    for disk in disks {
        for access in &disk.access {
            let state = access.state.to_possible_value();
            table.line(vec![
                disk.name.clone(),
                disk.lun.to_string(),
                access.group.to_string(),
                state.map_or(String::new(), |state| state.get_name().to_owned()),
                if access.preferred { "yes" } else { "no" }.to_owned(),
            ]);
        }
    }
    table
}

fn disks(disks: &[Disk], before: Option<(Duration, &Status)>) -> Table {
    let rates = before.is_some();
    let (read, written) = if rates { ("READ/s", "WRITTEN/s") } else { ("READ", "WRITTEN") };
    let mut table = Table::new(&[
        "DISK", "LUN", "STATE", "SIZE", "TAKES", read, written, "BUSY", "SESSIONS", "TARGET", "FILE",
    ]);
    for disk in disks {
        let earlier = before.and_then(|(time, status)| {
            let same = |other: &&Disk| other.iqn == disk.iqn && other.lun == disk.lun;
            Some((time, status.disks.iter().find(same)?))
        });
        let rate = |count: fn(&Disk) -> u64| match earlier {
            Some((time, earlier)) => {
                let bytes = count(disk).saturating_sub(count(earlier)) as f64;
                short((bytes / time.as_secs_f64().max(0.001)) as u64)
            }
            None => short(count(disk)),
        };
        table.line(vec![
            disk.name.clone(),
            disk.lun.to_string(),
            state(disk),
            short(disk.size_bytes),
            disk.allocated_bytes.map_or("?".into(), short),
            rate(|disk| disk.read_bytes),
            rate(|disk| disk.written_bytes),
            disk.in_flight.to_string(),
            disk.sessions.to_string(),
            disk.iqn.clone(),
            disk.paths.join(" + "),
        ]);
    }
    table
}

fn state(disk: &Disk) -> String {
    let state = match disk.state {
        DiskState::Online => "online",
        DiskState::Offline => "offline",
        DiskState::Failed => "failed",
    };
    let erasing = match disk.erasing {
        None => String::new(),
        Some(Erasing::Percent(percent)) => format!(", erasing {percent}%"),
        Some(Erasing::Failed) => ", erasing failed".to_owned(),
    };
    let mirrors: String =
        disk.mirrors.iter().filter_map(Mirror::words).map(|words| format!(", {words}")).collect();
    let read_only = if disk.read_only { ", ro" } else { "" };
    format!("{state}{mirrors}{erasing}{read_only}")
}

fn sessions(sessions: &[Session]) -> Table {
    let mut table = Table::new(&[
        "SESSION",
        "AGE",
        "PEER",
        "BUSY",
        "COMMANDS",
        "READ",
        "WRITTEN",
        "DIGESTS",
        "USER",
        "TARGET",
        "INITIATOR",
    ]);
    for session in sessions {
        let digest = |key: &str, letter: &str| match session.negotiated.get(key).map(String::as_str) {
            Some("CRC32C") => letter.to_owned(),
            _ => String::new(),
        };
        let digests = [digest("HeaderDigest", "header"), digest("DataDigest", "data")];
        let digests: Vec<&str> = digests.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
        let alias = session.alias.as_ref().map_or(String::new(), |alias| format!(" ({alias})"));
        table.line(vec![
            session.id.to_string(),
            age(session.age_seconds),
            session.peer.clone(),
            format!("{}/{}", session.in_flight, session.window),
            session.commands.to_string(),
            short(session.read_bytes),
            short(session.written_bytes),
            if digests.is_empty() { "-".into() } else { digests.join("+") },
            or_none(&session.user),
            session.target.clone().unwrap_or_else(|| "discovery".into()),
            format!("{}{alias}", session.initiator),
        ]);
    }
    table
}
