//! timedisk as a service: files for service managers, and what is said to the one that runs us.

pub(crate) mod activation;
mod kinds;
pub(crate) mod notify;
mod unit;

use std::ffi::OsString;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use kinds::Kind;
use unit::Unit;

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

    /// State directory.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/timedisk")]
    state: PathBuf,

    /// Listen on this address. May be given several times [default: all].
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    listen: Vec<String>,
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
}

pub(crate) fn run(command: &ServiceCommand) -> anyhow::Result<ExitCode> {
    match command {
        ServiceCommand::Print(typed) => {
            print!("{}", typed.kind.text(&typed.unit.unit()?));
            Ok(ExitCode::SUCCESS)
        }
        ServiceCommand::Install(typed) => install(typed),
        ServiceCommand::Uninstall(typed) => uninstall(typed),
    }
}

impl UnitOptions {
    fn unit(&self) -> anyhow::Result<Unit> {
        let program = std::env::current_exe().context("can't tell where this program is")?;
        let absolute = |path: &Path| std::path::absolute(path).context("can't tell the current directory");
        let (targets, state) = (absolute(&self.targets)?, absolute(&self.state)?);
        let auths = self.auths.as_deref().map(absolute).transpose()?;
        Ok(Unit::new(&program, &targets, auths.as_deref(), &state, self.listen.clone()))
    }
}

fn kind(typed: Option<Kind>) -> anyhow::Result<Kind> {
    typed.or_else(Kind::of_this_machine).context(
        "this machine has no service manager that is known; see `timedisk service print --help` for those that are",
    )
}

/// The file's place, below `root`.
fn place(kind: Kind, root: &Path) -> PathBuf {
    root.join(kind.file().path.trim_start_matches('/'))
}

fn install(typed: &InstallOptions) -> anyhow::Result<ExitCode> {
    let kind = kind(typed.kind)?;
    let (file, path) = (kind.file(), place(kind, &typed.root));
    let text = kind.text(&typed.unit.unit()?);
    match std::fs::read_to_string(&path) {
        Ok(there) if there == text => println!("{} is as it should be", path.display()),
        Ok(_) if !typed.force => {
            bail!("{} is there and differs; look at it, and add --force to write over it", path.display())
        }
        _ if typed.dry_run => println!("would write {}", path.display()),
        _ => {
            write(&path, &text, file.mode).with_context(|| format!("can't write {}", path.display()))?;
            println!("wrote {}", path.display());
        }
    }
    for words in file.next {
        match typed.now {
            false => println!("next: {}", words.join(" ")),
            true => do_next(words)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whole or not at all.
fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    use std::io::Write;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut beside = OsString::from(path);
    beside.push(".new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

fn do_next(words: &[&str]) -> anyhow::Result<()> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    println!("{}", words.join(" "));
    let status = Command::new(program).args(arguments).status();
    let status = status.with_context(|| format!("can't start {program}"))?;
    if !status.success() {
        bail!("`{}` failed ({status})", words.join(" "));
    }
    Ok(())
}

fn uninstall(typed: &UninstallOptions) -> anyhow::Result<ExitCode> {
    let kind = kind(typed.kind)?;
    let path = place(kind, &typed.root);
    match std::fs::remove_file(&path) {
        Ok(()) => println!("removed {}; if it runs: {}", path.display(), kind.file().before_removal),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("{} is not there", path.display())
        }
        Err(error) => return Err(error).with_context(|| format!("can't remove {}", path.display())),
    }
    Ok(ExitCode::SUCCESS)
}
