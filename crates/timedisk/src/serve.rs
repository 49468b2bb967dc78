//! `timedisk serve`: from what was typed to a running server, and to its end.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use anyhow::{Context, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use timedisk_config::{Configuration, Target, netbsd};
use timedisk_target::{Listening, Server};

use crate::addresses::{reachable, to_listen_on};
use crate::command_line::{ServeOptions, Trace};
use crate::control::{self, Claim, Endpoint};
use crate::daemon::Daemon;
use crate::hints::{Shown, next_steps, url};
use crate::inventory::Inventory;
use crate::openness;
use crate::plan::{self, Disk, Plan, Unplanned};
use crate::portals;
use crate::service::{activation, notify};
use crate::state_directory;

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
    let gathered = match plan::gather(options) {
        Ok(gathered) => gathered,
        Err(Unplanned { error, remarks }) => {
            say(&remarks);
            return Err(error);
        }
    };
    say(&gathered.notices);
    if let Some(code) = refuse_as_netbsd(&gathered.plan, options) {
        return Ok(code);
    }
    check_ready_file(options.ready_file.as_deref())?;
    // Before any file is made: a port that is taken should leave nothing behind.
    let portals = portals::listening(&gathered.plan.portals, options)?;
    let passed = activation::sockets()?;
    let listening = match (passed.is_empty(), portals.is_empty()) {
        (true, true) => Listening::on(&listen.addresses, listen.lenient)?,
        (true, false) => Listening::on_groups(&portals)?,
        (false, unnamed) => Listening::from_sockets(passed)
            .and_then(|passed| if unnamed { Ok(passed) } else { passed.in_groups(&portals) })
            .context("the sockets that the service manager passed")?,
    };
    let state = state_directory::choose(options.state.as_ref());
    if let (Ok(directory), Some(_)) = (&state, &options.state) {
        state_directory::make(directory)?;
    }
    // Before anything is served: a signal in between must not be lost.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).context("can't wait for signals")?;
    let starting = stop_at_once_while_starting()?;
    let shown: Vec<Shown> = gathered.plan.disks.iter().map(shown).collect();
    let netbsd = gathered.plan.netbsd.clone();
    let open_doors = openness::notices(&gathered.plan);
    let daemon = Daemon::start(
        listening,
        gathered.plan,
        Inventory::new(state.as_ref().ok().cloned()),
        options.clone(),
    )?;
    let _endpoint = match state.and_then(|directory| look_after(&daemon, &directory)) {
        Ok(endpoint) => Some(endpoint),
        Err(error) => {
            tracing::warn!("status, reload and the like will not find this daemon: {error:#}");
            None
        }
    };
    say(&open_doors);
    match &netbsd {
        Some(netbsd) => announce_as_netbsd(&daemon, netbsd, options)?,
        None => announce(daemon.server(), &shown)?,
    }
    if let Some(path) = &options.ready_file {
        std::fs::write(path, "ready\n").with_context(|| format!("can't write {}", path.display()))?;
    }
    watch(&daemon)?;
    let reloads = reloader(&daemon)?;
    notify::ready(&daemon.summary());
    starting.store(false, Ordering::SeqCst);
    let signal = signals.forever().find(|signal| {
        // One that waits already will read the files as they are by then.
        if *signal == SIGHUP && reloads.try_send(()).is_err() {
            tracing::warn!("the reload before is still under way; another one follows it");
        }
        *signal != SIGHUP
    });
    notify::stopping();
    eprintln!("timedisk: told to stop{}", if signal == Some(SIGINT) { " (Ctrl-C)" } else { "" });
    match daemon.shutdown(GRACE) {
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

/// Until the flag is cleared, whoever tells the daemon to stop need not wait for files that don't answer.
fn stop_at_once_while_starting() -> anyhow::Result<Arc<AtomicBool>> {
    let starting = Arc::new(AtomicBool::new(true));
    for signal in [SIGTERM, SIGINT] {
        flag::register_conditional_shutdown(signal, 0, Arc::clone(&starting))
            .context("can't wait for signals")?;
    }
    Ok(starting)
}

/// Reloads on a thread of its own, one after the other: files that don't answer must not keep the daemon from hearing
/// that it is to stop.
fn reloader(daemon: &Arc<Daemon>) -> anyhow::Result<SyncSender<()>> {
    let (sender, reloads) = sync_channel(1);
    let daemon = Arc::clone(daemon);
    let thread = std::thread::Builder::new().name("reload".into());
    thread.spawn(move || reloads.iter().for_each(|()| reload(&daemon))).context("can't start a thread")?;
    Ok(sender)
}

/// Has the service manager told that the daemon lives, as long as its listeners come round and its sessions can be
/// listed.
fn watch(daemon: &Arc<Daemon>) -> anyhow::Result<()> {
    let daemon = Arc::clone(daemon);
    let mut before = Vec::new();
    let lives = move || {
        let now = daemon.server().rounds();
        daemon.server().sessions();
        let all_moved = now.iter().zip(&before).all(|(now, before)| now != before);
        before = now;
        all_moved
    };
    notify::watch(lives).context("can't start a thread")
}

/// Lets others look after the daemon, through the socket in its state directory.
fn look_after(daemon: &Arc<Daemon>, directory: &Path) -> anyhow::Result<Endpoint> {
    state_directory::make(directory)?;
    match Endpoint::claim(directory)? {
        Claim::Ours(endpoint) => {
            let owner = rustix::process::geteuid().as_raw();
            control::serve(&endpoint, Arc::clone(daemon) as Arc<dyn control::Daemon>, owner)?;
            Ok(endpoint)
        }
        Claim::Taken(process) => {
            let process = process.map_or(String::new(), |process| format!(" (process {process})"));
            let directory = directory.display();
            bail!("another timedisk{process} has {directory}; give each its own directory with --state DIR")
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

fn shown(disk: &Disk) -> Shown {
    Shown { iqn: disk.iqn.clone(), lun: disk.lun, chap: disk.chap.is_some(), portals: disk.portals.clone() }
}

/// What there is to say about a configuration.
fn say(remarks: &[String]) {
    remarks.iter().for_each(|remark| eprintln!("{remark}"));
}

/// SIGHUP: serves what the files say now, and tells how that went.
fn reload(daemon: &Daemon) {
    match daemon.reload_for_signal() {
        Ok(reloaded) => {
            say(&reloaded.notices);
            tracing::info!("reloaded: {}", reloaded.summary());
        }
        Err(Unplanned { error, remarks }) => {
            say(&remarks);
            tracing::error!("not reloaded, all goes on as before: {error:#}");
        }
    }
}

/// Where NetBSD's reading leaves nothing to serve, NetBSD's own words for that.
fn refuse_as_netbsd(plan: &Plan, options: &ServeOptions) -> Option<ExitCode> {
    let (file, configuration) = plan.netbsd.as_deref().filter(|_| plan.disks.is_empty())?;
    let text = netbsd::start_up(configuration, file, &options.iqn_base, &|_| 0);
    print!("{}", text.stdout);
    eprint!("{}", text.stderr);
    // There may be targets none of which can be served; that was said above.
    Some(ExitCode::FAILURE)
}

/// NetBSD's start-up text on stdout, byte for byte, for scripts that read it; the URLs on stderr.
fn announce_as_netbsd(
    daemon: &Daemon,
    (file, configuration): &(String, Configuration),
    options: &ServeOptions,
) -> anyhow::Result<()> {
    let shown = daemon.shown();
    let size_of = |target: &Target| {
        let disk = shown.iter().find(|shown| shown.disk.name == target.name);
        disk.map_or(0, |shown| shown.served.unit().medium().capacity())
    };
    let text = netbsd::start_up(configuration, file, &options.iqn_base, &size_of);
    let mut out = std::io::stdout().lock();
    out.write_all(text.stdout.as_bytes()).and_then(|()| out.flush()).context("can't write to stdout")?;
    eprint!("{}", text.stderr);
    for shown in shown.iter() {
        let disk = self::shown(&shown.disk);
        reachable(&daemon.server().addresses_of(&disk.portals))
            .iter()
            .for_each(|address| eprintln!("{}", url(*address, &disk)));
    }
    Ok(())
}

/// URLs on stdout, one a line and nothing else; on stderr, what to type next.
fn announce(server: &Server, shown: &[Shown]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for disk in shown {
        for address in reachable(&server.addresses_of(&disk.portals)) {
            writeln!(out, "{}", url(address, disk)).context("can't write to stdout")?;
        }
    }
    out.flush().context("can't write to stdout")?;
    if let Some(disk) = shown.first()
        && let Some(address) = reachable(&server.addresses_of(&disk.portals)).first()
    {
        eprint!("\n{}\n", next_steps(*address, disk));
    }
    Ok(())
}
