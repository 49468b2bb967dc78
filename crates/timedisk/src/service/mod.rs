//! timedisk as a service: files for service managers, and what is said to the one that runs us.

pub(crate) mod activation;
mod kinds;
pub(crate) mod notify;
mod systemd;
mod unit;

use std::ffi::OsString;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use kinds::Kind;
use unit::{Typed, Unit};

use crate::command_line::listen_address;

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Print the file that `install` would write.
    Print(PrintOptions),
    /// Write the file that starts timedisk at boot, and say what to type next.
    Install(InstallOptions),
    /// Remove that file.
    Uninstall(UninstallOptions),
}

/// What the service is to serve.
#[derive(Args, Debug)]
pub(crate) struct UnitOptions {
    /// File of targets.
    #[arg(short = 'f', value_name = "TARGETS", default_value = "/etc/iscsi/targets")]
    targets: PathBuf,

    /// Users and their CHAP secrets [default: `auths` beside TARGETS].
    #[arg(long, value_name = "FILE")]
    auths: Option<PathBuf>,

    /// Read the files as NetBSD's own daemon does, mistakes and all.
    #[arg(long)]
    netbsd_compat: bool,

    /// State directory.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/timedisk")]
    state: PathBuf,

    /// Listen on this address. May be given several times [default: all].
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = listen_address)]
    listen: Vec<(IpAddr, Option<u16>)>,
}

/// Print the file that `install` would write.
///
/// Example: timedisk service print systemd
#[derive(Args, Debug)]
pub(crate) struct PrintOptions {
    /// For which service manager.
    kind: Kind,
    #[command(flatten)]
    unit: UnitOptions,
}

/// Write the file that starts timedisk at boot, and say what to type next.
///
/// Example: timedisk service install --now
#[derive(Args, Debug)]
pub(crate) struct InstallOptions {
    /// For which service manager [default: this machine's].
    kind: Option<Kind>,

    /// Write below this directory instead of /.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,

    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,

    /// Write over a file that is there and differs.
    #[arg(long)]
    force: bool,

    /// Also do what is to be typed next.
    #[arg(long, conflicts_with = "dry_run")]
    now: bool,

    #[command(flatten)]
    unit: UnitOptions,
}

/// Remove the file that starts timedisk at boot.
#[derive(Args, Debug)]
pub(crate) struct UninstallOptions {
    /// For which service manager [default: this machine's].
    kind: Option<Kind>,

    /// Below this directory instead of /.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,

    /// Also do what is to be typed next.
    #[arg(long)]
    now: bool,
}

pub(crate) fn run(command: &ServiceCommand) -> anyhow::Result<ExitCode> {
    match command {
        ServiceCommand::Print(typed) => {
            let unit = typed.unit.unit()?;
            std::io::stdout()
                .write_all(typed.kind.text(&unit).as_bytes())
                .context("can't write to stdout")?;
            remark(&unit, &[typed.kind]);
        }
        ServiceCommand::Install(typed) => install(typed)?,
        ServiceCommand::Uninstall(typed) => uninstall(typed)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl UnitOptions {
    /// What was typed, with absolute paths.
    fn unit(&self) -> anyhow::Result<Unit> {
        let program = std::env::current_exe().context("can't tell where this program is")?;
        let absolute = |path: &Path| std::path::absolute(path).context("can't tell the current directory");
        let (targets, state) = (absolute(&self.targets)?, absolute(&self.state)?);
        let auths = self.auths.as_deref().map(absolute).transpose()?;
        Unit::new(&Typed {
            program: &program,
            targets: &targets,
            auths: auths.as_deref(),
            netbsd_compat: self.netbsd_compat,
            state: &state,
            listen: &self.listen,
        })
    }
}

/// What there is to say of a unit, to those who get a file that confines the daemon to what its disks need.
fn remark(unit: &Unit, kinds: &[Kind]) {
    if kinds.contains(&Kind::Systemd) {
        unit.remarks.iter().for_each(|remark| eprintln!("timedisk: {remark}"));
    }
}

fn kind(typed: Option<Kind>) -> anyhow::Result<Kind> {
    typed.or_else(Kind::of_this_machine).context(
        "this machine has no service manager that is known; `timedisk service print --help` names them",
    )
}

/// The file's place, below `root`.
fn place(kind: Kind, root: &Path) -> PathBuf {
    root.join(kind.file().path.trim_start_matches('/'))
}

/// Steps can be taken only on the machine that the file is for.
fn check_root(now: bool, root: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        !now || root == Path::new("/"),
        "--now goes without --root: nothing runs below {}",
        root.display()
    );
    Ok(())
}

fn install(typed: &InstallOptions) -> anyhow::Result<()> {
    check_root(typed.now, &typed.root)?;
    let (kind, unit) = (kind(typed.kind)?, typed.unit.unit()?);
    let mut missing = Vec::new();
    // All of them are looked at before the first is written.
    for kind in kind.with_what_it_needs() {
        let (path, text) = (place(*kind, &typed.root), kind.text(&unit));
        match std::fs::read(&path) {
            Ok(there) if there == text.as_bytes() => println!("{} is as it should be", path.display()),
            Ok(_) if !typed.force => {
                bail!("{} is there and differs; look at it, and add --force to write over it", path.display())
            }
            _ => missing.push((path, text, kind.file().mode)),
        }
    }
    for (path, text, mode) in missing {
        if typed.dry_run {
            println!("would write {}", path.display());
            continue;
        }
        write(&path, &text, mode).map_err(|error| denied(error, "write", &path))?;
        println!("wrote {}", path.display());
    }
    remark(&unit, kind.with_what_it_needs());
    steps(kind.file().next, typed.now)
}

/// Whole or not at all.
fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut beside = OsString::from(path);
    beside.push(".new");
    let written = std::fs::File::create(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    });
    written.inspect_err(|_| drop(std::fs::remove_file(&beside)))
}

/// What could not be done, and what to do if that was for want of permission.
fn denied(error: std::io::Error, what: &str, path: &Path) -> anyhow::Error {
    let hint = match error.kind() {
        std::io::ErrorKind::PermissionDenied => "; do it as root",
        _ => "",
    };
    anyhow::anyhow!("can't {what} {}: {error}{hint}", path.display())
}

/// Lines that are typed next: shown, or done.
fn steps(lines: &[&str], now: bool) -> anyhow::Result<()> {
    for line in lines {
        if !now {
            println!("next: {line}");
            continue;
        }
        println!("{line}");
        let status = Command::new("/bin/sh").args(["-c", line]).status().context("can't start /bin/sh")?;
        if !status.success() {
            bail!("`{line}` failed ({status})");
        }
    }
    Ok(())
}

fn uninstall(typed: &UninstallOptions) -> anyhow::Result<()> {
    check_root(typed.now, &typed.root)?;
    let kind = kind(typed.kind)?;
    let path = place(kind, &typed.root);
    match std::fs::remove_file(&path) {
        Ok(()) => println!("removed {}", path.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("{} is not there", path.display());
            return Ok(());
        }
        Err(error) => return Err(denied(error, "remove", &path)),
    }
    steps(kind.file().after_removal, typed.now)
}

#[cfg(test)]
mod tests;
