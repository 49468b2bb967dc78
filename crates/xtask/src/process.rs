//! Running a program: its output streamed, logged and read line by line, its time limited.

use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(20);
/// How long output is awaited from what a program that has ended left behind.
const LINGER: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(100);

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Well,
    /// The exit status, or `None` if a signal ended it.
    Badly(Option<i32>),
    /// It was stopped when its time was over.
    TimedOut,
}

/// A command that is ended when this process ends, however that comes about.
///
/// `setpriv` (util-linux) asks the kernel for it; where there is none, the terminal's own signal has to do.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

/// Runs `command` for at most `limit`, with nothing on its standard input.
///
/// Its output goes to this process's standard output and to `log`, and each line of it to `read`.
pub(crate) fn run(
    mut command: Command,
    limit: Duration,
    log: &mut File,
    mut read: impl FnMut(&str),
) -> Result<Ended> {
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child =
        command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    drop(command); // it holds the pipe's other end
    let lines = read_in_background(reader);
    let deadline = Instant::now() + limit;
    let mut timed_out = false;
    let mut ended: Option<(std::process::ExitStatus, Instant)> = None;
    loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => {
                println!("{line}");
                writeln!(log, "{line}")?;
                read(&line);
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if ended.is_none() {
            ended = child.try_wait()?.map(|status| (status, Instant::now()));
        }
        match ended {
            Some((_, at)) if at.elapsed() > LINGER => break,
            None if Instant::now() > deadline => {
                timed_out = true;
                end(&mut child)?;
            }
            _ => {}
        }
    }
    let status = child.wait()?;
    Ok(match (timed_out, status.success()) {
        (true, _) => Ended::TimedOut,
        (false, true) => Ended::Well,
        (false, false) => Ended::Badly(status.code()),
    })
}

fn read_in_background(source: std::io::PipeReader) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut source = BufReader::new(source);
        let mut bytes = Vec::new();
        while let Ok(1..) = source.read_until(b'\n', &mut bytes) {
            let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            bytes.clear();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Ends a child: SIGTERM first, so that it can clean up; then SIGKILL for it and all that came of it.
fn end(child: &mut Child) -> Result<()> {
    let family = descendants(child.id());
    signal("TERM", &[child.id()]);
    let patience = Instant::now() + GRACE;
    while child.try_wait()?.is_none() && Instant::now() < patience {
        std::thread::sleep(TICK);
    }
    let left: Vec<u32> =
        family.into_iter().filter(|&(pid, born)| birth(pid) == Some(born)).map(|(pid, _)| pid).collect();
    signal("KILL", &left);
    Ok(())
}

fn signal(name: &str, pids: &[u32]) {
    if !pids.is_empty() {
        // a process that has ended meanwhile is no failure
        let pids = pids.iter().map(u32::to_string);
        let _ = Command::new("kill").arg(format!("-{name}")).args(pids).stderr(Stdio::null()).status();
    }
}

/// The process, its children, their children and so on, each with the time it was born, so that a number used again
/// is not taken for the process that had it.
fn descendants(root: u32) -> Vec<(u32, u64)> {
    let all: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat_field(pid, 4)?.try_into().ok()?)))
        .collect();
    let mut family = vec![root];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(all.iter().filter(|&&(_, of)| of == parent).map(|&(pid, _)| pid));
        next += 1;
    }
    family.into_iter().filter_map(|pid| Some((pid, birth(pid)?))).collect()
}

/// When the process was started, in clock ticks since boot.
fn birth(pid: u32) -> Option<u64> {
    stat_field(pid, 22)
}

/// A field of `/proc/PID/stat`, counted as proc(5) does. The name in field 2 may itself hold blanks and brackets.
fn stat_field(pid: u32, number: usize) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(number.checked_sub(3)?)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
