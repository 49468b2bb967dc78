//! The stages of `cargo xtask test`, in the order in which they run.

use crate::counts::{Verdict, test_line};
use crate::process::{self, Ended};
use crate::report::{AllowedSkips, Counts, Report};
use crate::workspace::Workspace;
use crate::{cargo, install};
use anyhow::{Context as _, Result};
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// One row of the table of stages.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    what: &'static str,
    run: fn(&mut Context<'_>) -> Result<()>,
}

/// Quick ones first, so that a mistake shows early.
static STAGES: &[Stage] = &[
    Stage { name: "install", what: "the packages that the tests need are there", run: install::stage },
    Stage { name: "lint", what: "cargo fmt and cargo clippy, warnings denied", run: cargo::lint },
    Stage { name: "deny", what: "licences and sources of the dependencies (cargo-deny)", run: cargo::deny },
    Stage { name: "tidy", what: "the rules of the house, and the tests of this task", run: cargo::tidy },
    Stage { name: "test", what: "unit, property and integration tests (cargo test)", run: cargo::test },
    Stage {
        name: "simulation",
        what: "target and initiator in a world that fails by a seed",
        run: simulation,
    },
    Stage { name: "cli", what: "what a person meets at the command line, from the first start on", run: cli },
    Stage { name: "control", what: "a daemon that is looked after, is not there, or hangs", run: control },
    Stage { name: "mirror", what: "members of mirrors that fail, go missing and come back", run: mirror },
    Stage { name: "kills", what: "a daemon that is killed at any moment, 200 times and more", run: kills },
    Stage { name: "forms", what: "all that a disk can be made of: devices, large files, memory", run: forms },
    Stage { name: "image", what: "the tools for images: copied, compacted, checked, resized", run: image },
    Stage { name: "service", what: "as a service: files, readiness, watchdog, passed sockets", run: service },
    Stage {
        name: "libiscsi",
        what: "libiscsi's tools and suite, and QEMU's tools, on loopback",
        run: libiscsi,
    },
    Stage {
        name: "bench",
        what: "the bench keeps its promises; speed beside tgt, with generous floors",
        run: bench,
    },
    Stage { name: "boot", what: "machines that boot from a disk by their firmware's initiators", run: boot },
    Stage { name: "vm", what: "Linux's own initiator in a virtual machine", run: vm },
    Stage { name: "fuzz", what: "each fuzz target for some seconds", run: cargo::fuzz },
];

/// Where the tests are named that may be skipped.
const SKIP_LISTS: [&str; 2] = ["tests/allowed-skips.txt", "tests/libiscsi/wrong-expectations.txt"];

/// What a stage works with.
pub(crate) struct Context<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) report: &'a mut Report,
    pub(crate) fuzz_seconds: u32,
    /// Everything the stage prints is in here as well.
    pub(crate) log: File,
    pub(crate) log_path: PathBuf,
}

impl Context<'_> {
    /// A command in the checkout.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = process::command(program);
        command.current_dir(&self.workspace.root);
        command
    }

    /// Says something on the terminal and in the log.
    pub(crate) fn say(&mut self, text: &str) -> Result<()> {
        println!("{text}");
        writeln!(self.log, "{text}").context("cannot write the stage's log")
    }

    /// Counts one test.
    pub(crate) fn record(&mut self, name: &str, verdict: Verdict) {
        self.report.record(name, verdict, &self.log_path);
    }

    /// Runs a command to its end; `read` sees each line of its output.
    pub(crate) fn run(&mut self, command: Command, limit: Duration, read: impl FnMut(&str)) -> Result<Ended> {
        process::run(command, limit, &mut self.log, read)
    }

    /// Runs a command that is one test by itself.
    pub(crate) fn run_as_test(&mut self, name: &str, command: Command, limit: Duration) -> Result<()> {
        let ended = self.run(command, limit, |_| {})?;
        self.record(name, verdict(ended, limit));
        Ok(())
    }
}

/// Whether a command's end is a success, and what to say if it is not.
pub(crate) fn verdict(ended: Ended, limit: Duration) -> Verdict {
    match ended {
        Ended::Well => Verdict::Passed,
        Ended::Badly(Some(status)) => Verdict::Failed(format!("ended with status {status}")),
        Ended::Badly(None) => Verdict::Failed("ended by a signal".into()),
        Ended::TimedOut => Verdict::Failed(format!("not done after {} s", limit.as_secs())),
    }
}

pub(crate) fn find(name: &str) -> Option<&'static Stage> {
    STAGES.iter().find(|stage| stage.name == name)
}

pub(crate) fn list() {
    for Stage { name, what, .. } in STAGES {
        println!("{name:10} {what}");
    }
}

/// Runs the stages and prints the counts. `Ok(false)` if the run was not good.
pub(crate) fn run(only: &[String], fuzz_seconds: u32) -> Result<bool> {
    let workspace = Workspace::find()?;
    let lists = SKIP_LISTS.map(|list| workspace.root.join(list));
    let allowed = AllowedSkips::load(&lists)?;
    let mut report = Report::new(allowed);
    let mut times = Vec::new();
    for stage in STAGES.iter().filter(|stage| only.is_empty() || only.iter().any(|name| name == stage.name)) {
        let before = report.counts();
        let begin = Instant::now();
        run_stage(stage, &workspace, &mut report, fuzz_seconds)?;
        times.push((stage.name, begin.elapsed(), report.counts().since(before)));
    }
    println!("== the whole");
    for (name, time, counts) in &times {
        println!("{name:10} {:7.1} s  {counts}", time.as_secs_f64());
    }
    report.print(only.is_empty());
    let counts = report.counts();
    println!("{counts}");
    Ok(counts.good())
}

/// Runs one stage. A stage that cannot do its work, or that counts no test, is a failure.
fn run_stage(stage: &Stage, workspace: &Workspace, report: &mut Report, fuzz_seconds: u32) -> Result<()> {
    println!("== {}: {}", stage.name, stage.what);
    let log_path = workspace.logs.join(format!("{}.log", stage.name));
    let log = File::create(&log_path).with_context(|| format!("cannot write {}", log_path.display()))?;
    let before = report.counts();
    let mut context = Context { workspace, report, fuzz_seconds, log, log_path };
    if let Err(error) = (stage.run)(&mut context) {
        context.say(&format!("{}: {error:#}", stage.name))?;
        context.record(stage.name, Verdict::Failed(format!("{error:#}")));
    } else if context.report.counts() == before {
        context.record(stage.name, Verdict::Failed("not one test was counted".into()));
    }
    let Counts { passed, failed, skipped } = context.report.counts().since(before);
    println!("== {}: {passed} passed, {failed} failed, {skipped} skipped", stage.name);
    Ok(())
}

/// Runs of the simulation: half a minute.
const SEEDS: &str = "2000";

fn simulation(context: &mut Context<'_>) -> Result<()> {
    let mut command = context.command("cargo");
    command.args(["run", "--release", "--quiet", "--package", "timedisk-simulation", "--", SEEDS]);
    counted(context, "simulation", command, Duration::from_secs(6 * 60))
}

fn cli(context: &mut Context<'_>) -> Result<()> {
    script(context, "tests/first-run/run", Duration::from_secs(3 * 60))
}

fn control(context: &mut Context<'_>) -> Result<()> {
    script(context, "tests/control/run", Duration::from_secs(4 * 60))
}

fn mirror(context: &mut Context<'_>) -> Result<()> {
    script(context, "tests/mirror/run", Duration::from_secs(6 * 60))
}

/// At most 2 minutes, for 200 rounds; `timedisk-kills --rounds N` does more.
fn kills(context: &mut Context<'_>) -> Result<()> {
    cargo::release_build(context)?;
    let mut command = context.command("cargo");
    command.args(["run", "--release", "--quiet", "--package", "timedisk-kills", "--", "--binary"]);
    command.arg(context.workspace.binary()?);
    counted(context, "kills", command, Duration::from_secs(6 * 60))
}

fn forms(context: &mut Context<'_>) -> Result<()> {
    script(context, "tests/forms/run", Duration::from_secs(5 * 60))
}

fn image(context: &mut Context<'_>) -> Result<()> {
    script(context, "tests/image/run", Duration::from_secs(4 * 60))
}

fn service(context: &mut Context<'_>) -> Result<()> {
    script(context, "tests/service/run", Duration::from_secs(3 * 60))
}

fn libiscsi(context: &mut Context<'_>) -> Result<()> {
    script(context, "tests/libiscsi/run", Duration::from_secs(10 * 60))
}

fn boot(context: &mut Context<'_>) -> Result<()> {
    script(context, "tests/boot/run", Duration::from_secs(4 * 60))
}

/// Its share of the budget is 6 minutes; the limit leaves room for the first build of the guest and a slow machine.
fn vm(context: &mut Context<'_>) -> Result<()> {
    script(context, "tests/vm/run", Duration::from_secs(12 * 60))
}

/// The comparison takes under a minute, and twice that where a floor is missed and measured again.
fn bench(context: &mut Context<'_>) -> Result<()> {
    cargo::release_build(context)?;
    let promises = context.command("bench/promises");
    counted(context, "bench/promises", promises, Duration::from_secs(60))?;
    let mut smoke = context.command("bench/compare");
    smoke.arg("--smoke").arg("--binary").arg(context.workspace.binary()?);
    smoke.env("CARGO_TARGET_DIR", &context.workspace.target);
    counted(context, "bench/compare", smoke, Duration::from_secs(4 * 60))
}

/// Runs a script of bash with the binary under test in `TARGET_BIN`.
fn script(context: &mut Context<'_>, path: &str, limit: Duration) -> Result<()> {
    cargo::release_build(context)?;
    let mut command = context.command("bash");
    command
        .arg(path)
        .env("TARGET_BIN", context.workspace.binary()?)
        .env("CARGO_TARGET_DIR", &context.workspace.target);
    counted(context, path, command, limit)
}

/// Runs a program that prints a `test NAME ... VERDICT` line for each of its tests.
fn counted(context: &mut Context<'_>, name: &str, command: Command, limit: Duration) -> Result<()> {
    let mut verdicts = Vec::new();
    let ended = context.run(command, limit, |line| {
        verdicts.extend(test_line(line).map(|(name, verdict)| (name.to_owned(), verdict)));
    })?;
    let said_so = verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::Failed(_)));
    for (name, verdict) in verdicts {
        context.record(&name, verdict);
    }
    // status 1 is how the script says again that a test failed
    if ended != Ended::Well && !(said_so && ended == Ended::Badly(Some(1))) {
        context.record(name, verdict(ended, limit));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::{STAGES, find};

    #[test]
    fn stage_names_are_unique() {
        for stage in STAGES {
            assert!(std::ptr::eq(find(stage.name).unwrap(), stage), "{}", stage.name);
        }
    }
}
