//! `timedisk serve`: from what was typed to a running server, and to its end.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use timedisk_target::{
    Authentication, Catalogue, Disk as Served, Limits, Listening, Mount, Server, Target, User,
};

use crate::addresses::{reachable, to_listen_on};
use crate::command_line::{ServeOptions, Trace};
use crate::hints::{Shown, next_steps, url};
use crate::plan::{Disk, Plan};
use crate::{disks, plan, state_directory};

/// For commands in flight when the server is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Serves until told to stop.
pub(crate) fn run(options: &ServeOptions) -> anyhow::Result<ExitCode> {
    if options.version {
        println!("timedisk {}", env!("CARGO_PKG_VERSION"));
        return Ok(ExitCode::SUCCESS);
    }
    start_log(&options.verbose);
    let listen = to_listen_on(options)?;
    let plan = plan::gather(options)?;
    check_ready_file(options.ready_file.as_deref())?;
    // Before any file is made: a port that is taken should leave nothing behind.
    let listening = Listening::on(&listen.addresses, listen.lenient)?;
    // Only some disks need it: those that can't have their state beside them. They say so.
    let state = state_directory::choose(options.state.as_ref()).ok();
    if let (Some(state), Some(_)) = (&state, &options.state) {
        state_directory::make(state)?;
    }
    // Before anything is served: a signal in between must not be lost.
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("can't wait for signals")?;
    let units = open_all(&plan, options.block_length, state.as_deref())?;
    disks::warn_of_little_space(&plan.disks, &units);
    let shown: Vec<Shown> = plan.disks.iter().map(shown).collect();
    let server = start(listening, plan, units, options)?;
    announce(&server, &shown)?;
    if let Some(path) = &options.ready_file {
        std::fs::write(path, "ready\n").with_context(|| format!("can't write {}", path.display()))?;
    }
    let signal = signals.forever().next();
    eprintln!("timedisk: told to stop{}", if signal == Some(SIGINT) { " (Ctrl-C)" } else { "" });
    match server.shutdown(GRACE) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(stuck) => {
            let waited = GRACE.as_secs();
            eprintln!(
                "timedisk: stopped after {waited} seconds although {stuck}; see to the storage under them"
            );
            // Threads that hang in the kernel would keep an orderly exit waiting.
            std::process::exit(1)
        }
    }
}

/// Looks whether the file can be written later, without making it now.
fn check_ready_file(path: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    anyhow::ensure!(
        folder.is_dir() && !path.is_dir(),
        "the ready file {} can't be written there",
        path.display()
    );
    // One of an earlier run would tell whoever waits for it too early.
    if path.exists() {
        std::fs::remove_file(path).with_context(|| format!("can't replace {}", path.display()))?;
    }
    Ok(())
}

/// One line on stderr for each thing worth knowing.
fn start_log(verbose: &[Trace]) {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let asked = |trace: Trace| verbose.contains(&trace) || verbose.contains(&Trace::All);
    let level = |trace| if asked(trace) { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let levels = [("net", Trace::Net), ("iscsi", Trace::Iscsi), ("scsi", Trace::Scsi)];
    let filter = Targets::new().with_default(LevelFilter::INFO);
    let filter = filter.with_targets(levels.map(|(target, trace)| (target, level(trace))));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(terminal);
    tracing_subscriber::registry().with(lines).with(filter).init();
}

fn open_all(plan: &Plan, block_length: u32, state: Option<&Path>) -> anyhow::Result<Vec<Arc<Served>>> {
    let mut units: Vec<Arc<Served>> = Vec::new();
    for (index, disk) in plan.disks.iter().enumerate() {
        // Targets may share an extent that nobody writes: it is one disk then.
        let same =
            |other: &Disk| (&other.path, other.start, other.length) == (&disk.path, disk.start, disk.length);
        let twin =
            plan.disks.iter().take(index).position(|other| same(other) && other.read_only && disk.read_only);
        let unit = match twin.and_then(|position| units.get(position)) {
            Some(unit) => Arc::clone(unit),
            None => disks::open(disk, block_length, state)?,
        };
        units.push(unit);
    }
    Ok(units)
}

fn start(
    listening: Listening,
    plan: Plan,
    units: Vec<Arc<Served>>,
    options: &ServeOptions,
) -> anyhow::Result<Server> {
    let target = |(disk, served): (&Disk, Arc<Served>)| Target {
        name: disk.iqn.clone(),
        alias: Some(disk.name.clone()),
        authentication: match &disk.chap {
            None => Authentication::None,
            Some(users) => Authentication::Chap { users: users.clone(), own: None },
        },
        mounts: vec![Mount { lun: 0, disk: served, access: disk.allows() }],
    };
    let catalogue = Catalogue {
        targets: plan.disks.iter().zip(units).map(target).collect(),
        users: plan.users.into_iter().map(|(name, secret)| User { name, secret }).collect(),
        ..Catalogue::default()
    };
    let limits = Limits { sessions: options.sessions.into(), ..Limits::default() };
    Server::start(listening, catalogue, limits).context("can't start a thread")
}

fn shown(disk: &Disk) -> Shown {
    Shown { iqn: disk.iqn.clone(), lun: 0, chap: disk.chap.is_some() }
}

/// URLs on stdout, one a line and nothing else; on stderr, what to type next.
fn announce(server: &Server, shown: &[Shown]) -> anyhow::Result<()> {
    let addresses = reachable(server.addresses());
    let mut out = std::io::stdout().lock();
    for disk in shown {
        for address in &addresses {
            writeln!(out, "{}", url(*address, disk)).context("can't write to stdout")?;
        }
    }
    out.flush().context("can't write to stdout")?;
    if let (Some(address), Some(disk)) = (addresses.first(), shown.first()) {
        eprint!("\n{}\n", next_steps(*address, disk));
    }
    Ok(())
}
