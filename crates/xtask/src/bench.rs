//! The task `bench`: the whole comparison and the scenes, and what `docs/performance.md` shows of them.

use crate::process::Ended;
use crate::report::{AllowedSkips, Report};
use crate::stages::Context;
use crate::workspace::Workspace;
use crate::{cargo, install};
use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const COMPARE_LIMIT: Duration = Duration::from_secs(3 * 60 * 60);
const SCENES_LIMIT: Duration = Duration::from_secs(60 * 60);
const SHORT_LIMIT: Duration = Duration::from_secs(60);
const COMPARE: &str = "bench/compare";
const SCENES: &str = "bench/scenes/run";

/// Measures everything. `Ok(false)` if a goal is short. With `quick`, a few minutes' look that leaves the docs alone.
///
/// # Errors
/// Something that the bench needs is missing, or a part of it could not run to its end.
pub(crate) fn run(quick: bool) -> Result<bool> {
    let workspace = Workspace::find()?;
    let mut report = Report::new(AllowedSkips::load(&[])?);
    let log_path = workspace.logs.join("bench-full.log");
    let log = File::create(&log_path).with_context(|| format!("cannot write {}", log_path.display()))?;
    let mut context = Context { workspace: &workspace, report: &mut report, fuzz_seconds: 0, log, log_path };
    install::stage(&mut context)?;
    if !context.report.counts().good() {
        bail!("what the bench needs is not installed");
    }
    cargo::release_build(&mut context)?;
    let compared = workspace.logs.join("bench-compare.json");
    let seen = workspace.logs.join("bench-scenes.json");
    compare(&mut context, quick, &compared)?;
    let scenes_met = scenes(&mut context, quick, &seen)?;
    if !quick {
        document(&mut context, &compared, &seen)?;
    }
    let mut judge = command(&context, COMPARE)?;
    judge.arg("--from").arg(&compared).arg("--check");
    Ok(goals(&mut context, COMPARE, judge, SHORT_LIMIT)? && scenes_met)
}

/// A program of the bench, with the binary under test.
fn command(context: &Context<'_>, program: &str) -> Result<Command> {
    let mut command = context.command(program);
    command.arg("--binary").arg(context.workspace.binary()?);
    command.env("CARGO_TARGET_DIR", &context.workspace.target);
    Ok(command)
}

fn compare(context: &mut Context<'_>, quick: bool, save: &Path) -> Result<()> {
    let mut compare = command(context, COMPARE)?;
    compare.arg("--json").arg(save).args(quick.then_some("--quick"));
    match context.run(compare, COMPARE_LIMIT, |_| {})? {
        Ended::Well => Ok(()),
        _ => bail!("{COMPARE} did not run to its end"),
    }
}

fn scenes(context: &mut Context<'_>, quick: bool, save: &Path) -> Result<bool> {
    if !context.workspace.root.join(SCENES).exists() {
        return Ok(true);
    }
    let mut scenes = command(context, SCENES)?;
    scenes.arg("--check").arg("--json").arg(save).args(quick.then_some("--quick"));
    goals(context, SCENES, scenes, SCENES_LIMIT)
}

/// Runs a program whose status is 1 if a goal is short.
fn goals(context: &mut Context<'_>, name: &str, command: Command, limit: Duration) -> Result<bool> {
    match context.run(command, limit, |_| {})? {
        Ended::Well => Ok(true),
        Ended::Badly(Some(1)) => Ok(false),
        _ => bail!("{name} did not run to its end"),
    }
}

fn document(context: &mut Context<'_>, compared: &Path, seen: &Path) -> Result<()> {
    let mut document = context.command("bench/document");
    document.arg("--compare").arg(compared);
    if seen.exists() {
        document.arg("--scenes").arg(seen);
    }
    match context.run(document, SHORT_LIMIT, |_| {})? {
        Ended::Well => Ok(()),
        _ => bail!("docs/performance.md could not be written"),
    }
}
