//! timedisk's daemon as a process: started, told to reload, killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use timedisk_initiator::Url;

/// The longest that a start or an end may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a daemon is started with, again and again.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) binary: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
}

impl Place {
    /// The path of a file in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes the file of targets.
    pub(crate) fn configure(&self, lines: &[String]) -> Result<()> {
        fs::write(self.file("targets"), lines.join("\n") + "\n").context("cannot write the file of targets")
    }

    /// Begins to start a daemon.
    pub(crate) fn launch(&self) -> Result<Daemon> {
        let output = |name| File::create(self.file(name)).context("cannot write the daemon's output");
        let mut command = Command::new(&self.binary);
        command
            .arg("serve")
            .arg("--state")
            .arg(self.file("state"))
            .arg("-f")
            .arg(self.file("targets"))
            .args(["--listen", "127.0.0.1", "-p"]);
        command.arg(self.port.to_string()).stdin(Stdio::null()).stdout(output("url")?).stderr(output("log")?);
        Ok(Daemon { child: command.spawn().context("cannot start the daemon")? })
    }

    /// Does one of timedisk's own commands, and gives what it says.
    pub(crate) fn control(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.binary);
        command.args(words).arg("--state").arg(self.file("state"));
        let done = command.output().context("cannot run timedisk")?;
        if !done.status.success() {
            bail!("timedisk {}: {}", words.join(" "), String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// What the daemon has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }
}

/// A daemon that runs, until it is killed or dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    /// Waits until it serves, and gives where.
    pub(crate) fn ready(&mut self, place: &Place) -> Result<Url> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = fs::read_to_string(place.file("url")).unwrap_or_default();
            if let Some((url, _)) = said.split_once('\n') {
                return url.parse().with_context(|| format!("{url:?} is no URL"));
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the daemon does not start any more ({status}): {}", place.log().trim());
            }
            if Instant::now() > deadline {
                bail!("the daemon is not ready after {} s: {}", PATIENCE.as_secs(), place.log().trim());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends SIGHUP: it is to read its file again.
    pub(crate) fn reload(&self) -> Result<()> {
        self.signal(Signal::HUP)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process")?;
        kill_process(pid, signal).context("cannot send a signal")
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the daemon has ended by itself ({status})");
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it as an administrator does.
    pub(crate) fn stop(mut self, place: &Place) -> Result<()> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() { Ok(()) } else { bail!("{status}: {}", place.log().trim()) };
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("the daemon does not end when it is told to");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of this machine that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

/// Removes a member of a mirror, and all that is beside it.
pub(crate) fn remove_with_state(folder: &Path, name: &str) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.file_name();
        let found = found.to_string_lossy();
        if found == name || found.starts_with(&format!("{name}.timedisk")) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
