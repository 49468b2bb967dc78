//! The stages that are cargo's own: lint, deny, tidy, test, fuzz; and the release build the others need.

use crate::counts::{Summary, Verdict, summary_line, test_line};
use crate::process::Ended;
use crate::stages::{Context, verdict};
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

const BUILD_LIMIT: Duration = Duration::from_secs(15 * 60);
const TEST_LIMIT: Duration = Duration::from_secs(15 * 60);
/// The version that was tried with the stable compiler.
const CARGO_FUZZ: &str = "0.13.2";

pub(crate) fn lint(context: &mut Context<'_>) -> Result<()> {
    let mut fmt = context.command("cargo");
    fmt.args(["fmt", "--all", "--check"]);
    context.run_as_test("lint/fmt", fmt, BUILD_LIMIT)?;
    let mut clippy = context.command("cargo");
    clippy.args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    context.run_as_test("lint/clippy", clippy, BUILD_LIMIT)
}

pub(crate) fn deny(context: &mut Context<'_>) -> Result<()> {
    if !has_subcommand(context, "deny") {
        context.record("deny/cargo-deny", Verdict::Skipped("cargo-deny is not installed".into()));
        return Ok(());
    }
    let mut command = context.command("cargo");
    command.args(["deny", "--locked", "check", "bans", "licenses", "sources"]);
    context.run_as_test("deny/cargo-deny", command, BUILD_LIMIT)
}

pub(crate) fn tidy(context: &mut Context<'_>) -> Result<()> {
    harness(context, "tidy", &["--package", "xtask"])
}

pub(crate) fn test(context: &mut Context<'_>) -> Result<()> {
    harness(context, "test", &["--workspace", "--exclude", "xtask"])
}

/// Builds the binary that the clients are tried on, unless `TARGET_BIN` names one.
pub(crate) fn release_build(context: &mut Context<'_>) -> Result<()> {
    if std::env::var_os("TARGET_BIN").is_some() {
        return Ok(());
    }
    let mut build = context.command("cargo");
    build.args(["build", "--locked", "--release", "--package", "timedisk"]);
    match context.run(build, BUILD_LIMIT, |_| {})? {
        Ended::Well => Ok(()),
        _ => bail!("cargo build --release failed"),
    }
}

fn has_subcommand(context: &Context<'_>, name: &str) -> bool {
    let mut command = context.command("cargo");
    command.args([name, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs `cargo test` and counts what the harness of each test binary says.
fn harness(context: &mut Context<'_>, name: &str, packages: &[&str]) -> Result<()> {
    let mut command = context.command("cargo");
    command.args(["test", "--locked", "--no-fail-fast"]).args(packages);
    let mut tally = Tally::default();
    let ended = context.run(command, TEST_LIMIT, |line| tally.read(line))?;
    tally.settle(context, name);
    if ended != Ended::Well && tally.sum.failed == 0 {
        context.record(&format!("cargo {name}"), verdict(ended, TEST_LIMIT));
    }
    Ok(())
}

/// What `cargo test` said: the sums of its `test result:` lines, and the names that are not simply good.
#[derive(Default)]
struct Tally {
    sum: Summary,
    failed: BTreeSet<String>,
    ignored: Vec<(String, String)>,
}

impl Tally {
    fn read(&mut self, line: &str) {
        if let Some(Summary { passed, failed, ignored }) = summary_line(line) {
            self.sum.passed += passed;
            self.sum.failed += failed;
            self.sum.ignored += ignored;
        } else if let Some((name, verdict)) = test_line(line) {
            match verdict {
                Verdict::Passed => {}
                Verdict::Failed(_) => drop(self.failed.insert(name.to_owned())),
                Verdict::Skipped(reason) => self.ignored.push((name.to_owned(), reason)),
            }
        }
    }

    /// Puts it into the report. The sums rule: a test whose own line was torn apart by other output still counts.
    fn settle(&self, context: &mut Context<'_>, stage: &str) {
        context.report.pass(self.sum.passed);
        let named = self.failed.iter().map(String::as_str);
        for name in named.chain(std::iter::repeat("(name not seen)")).take(self.sum.failed) {
            context.record(&format!("{stage}/{name}"), Verdict::Failed(String::new()));
        }
        let named = self.ignored.iter().map(|(name, reason)| (name.as_str(), reason.as_str()));
        for (name, reason) in named.chain(std::iter::repeat(("(name not seen)", ""))).take(self.sum.ignored) {
            context.record(&format!("{stage}/{name}"), Verdict::Skipped(reason.to_owned()));
        }
    }
}

pub(crate) fn fuzz(context: &mut Context<'_>) -> Result<()> {
    let directory = context.workspace.root.join("fuzz");
    if !directory.join("Cargo.toml").exists() {
        bail!("there is no fuzz/Cargo.toml");
    }
    let targets = fuzz_targets(&directory)?;
    if targets.is_empty() {
        bail!("there is no target in fuzz/fuzz_targets");
    }
    if !has_subcommand(context, "fuzz") {
        context.say("cargo-fuzz is missing; installing it (some minutes)")?;
        let mut install = context.command("cargo");
        install.args(["install", "cargo-fuzz", "--version", CARGO_FUZZ, "--locked"]);
        if context.run(install, BUILD_LIMIT, |_| {})? != Ended::Well {
            bail!(
                "cargo-fuzz could not be installed; type: cargo install cargo-fuzz --version {CARGO_FUZZ} --locked"
            );
        }
    }
    let built = context.workspace.target.join("fuzz");
    // no sanitizer: that needs a nightly compiler, and code without `unsafe` hardly needs it
    let mut build = context.command("cargo");
    build.args(["fuzz", "build", "-s", "none", "--target-dir"]).arg(&built);
    if context.run(build, BUILD_LIMIT, |_| {})? != Ended::Well {
        bail!("cargo fuzz build failed");
    }
    let seconds = context.fuzz_seconds;
    let limit = Duration::from_secs(u64::from(seconds) + 120);
    for target in targets {
        // what is found goes into the first directory; the second, with the seeds, stays as it is
        let found = context.workspace.logs.join("corpus").join(&target);
        std::fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
        let mut run = context.command("cargo");
        run.args(["fuzz", "run", "-s", "none", "--target-dir"]).arg(&built).arg(&target).arg(found);
        let seeds = ["seeds", "corpus"].map(|name| directory.join(name).join(&target));
        run.args(seeds.iter().filter(|seeds| seeds.is_dir()));
        run.args(["--", &format!("-max_total_time={seconds}"), "-timeout=10", "-print_final_stats=1"]);
        context.run_as_test(&format!("fuzz/{target}"), run, limit)?;
    }
    Ok(())
}

/// The names of the fuzz targets: the files in `fuzz_targets`.
fn fuzz_targets(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory.join("fuzz_targets"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::Tally;

    #[test]
    fn the_results_of_several_test_binaries_are_added_up() {
        let mut tally = Tally::default();
        for line in [
            "test a ... ok",
            "test b ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test src/lib.rs - x (line 3) ... ignored",
            "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ] {
            tally.read(line);
        }
        assert_eq!((tally.sum.passed, tally.sum.failed, tally.sum.ignored), (5, 1, 1));
        assert!(tally.failed.contains("b"));
        assert_eq!(tally.ignored[0].0, "src/lib.rs - x (line 3)");
    }
}
