//! What passed, what failed, what was skipped, and whether it was allowed to be.

use crate::counts::Verdict;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// A test that failed, and where to look.
#[derive(Debug)]
struct Failure {
    name: String,
    reason: String,
    log: PathBuf,
}

/// The counts of a run, with the names that matter at its end.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: usize,
    failures: Vec<Failure>,
    skips: Vec<(String, String)>,
    allowed: AllowedSkips,
}

/// The tests that may be skipped, from `tests/allowed-skips.txt` and the suite's list of wrong expectations.
#[derive(Debug, Default)]
pub(crate) struct AllowedSkips {
    names: Vec<String>,
    used: BTreeSet<String>,
}

impl AllowedSkips {
    /// Reads the lists. A line without a reason is a mistake.
    pub(crate) fn load(paths: &[PathBuf]) -> Result<Self> {
        let mut all = Self::default();
        for path in paths {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let list = Self::parse(&text).with_context(|| path.display().to_string())?;
            all.names.extend(list.names);
        }
        Ok(all)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut names = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            match line.split_once('\t') {
                Some((name, reason)) if !name.trim().is_empty() && !reason.trim().is_empty() => {
                    names.push(name.trim().to_owned());
                }
                _ => bail!("line {number}: write the test's name, a TAB and the reason: {line:?}"),
            }
        }
        Ok(Self { names, used: BTreeSet::new() })
    }

    fn allows(&mut self, name: &str) -> bool {
        let line = self.names.iter().find(|line| match line.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == line.as_str(),
        });
        if let Some(line) = line {
            self.used.insert(line.clone());
        }
        line.is_some()
    }
}

impl Report {
    /// An empty report with the list of allowed skips.
    pub(crate) fn new(allowed: AllowedSkips) -> Self {
        Self { allowed, ..Self::default() }
    }

    /// Counts tests that passed and whose names do not matter.
    pub(crate) fn pass(&mut self, tests: usize) {
        self.passed += tests;
    }

    /// Counts one test.
    pub(crate) fn record(&mut self, name: &str, verdict: Verdict, log: &Path) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed(reason) => self.fail(name, &reason, log),
            Verdict::Skipped(reason) if self.allowed.allows(name) => {
                self.skips.push((name.to_owned(), reason))
            }
            Verdict::Skipped(reason) => {
                let reason = format!("skipped ({reason}), and tests/allowed-skips.txt does not name it");
                self.fail(name, &reason, log);
            }
        }
    }

    fn fail(&mut self, name: &str, reason: &str, log: &Path) {
        self.failures.push(Failure { name: name.to_owned(), reason: reason.to_owned(), log: log.to_owned() });
    }

    /// The numbers so far.
    pub(crate) fn counts(&self) -> Counts {
        Counts { passed: self.passed, failed: self.failures.len(), skipped: self.skips.len() }
    }

    /// Prints what a person has to look at.
    pub(crate) fn print(&self, whole: bool) {
        for (name, reason) in &self.skips {
            println!("skipped: {name}: {reason}");
        }
        if whole {
            for line in self.allowed.names.iter().filter(|line| !self.allowed.used.contains(*line)) {
                println!("note: {line} may be skipped, and nothing skipped it");
            }
        }
        for Failure { name, reason, log } in &self.failures {
            let separator = if reason.is_empty() { "" } else { ": " };
            println!("FAILED: {name}{separator}{reason} (log: {})", log.display());
        }
    }
}

/// Three numbers, shown as the last line of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Counts {
    /// Whether the run as a whole may be called good.
    pub(crate) fn good(self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    /// What was counted since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            passed: self.passed - earlier.passed,
            failed: self.failed - earlier.failed,
            skipped: self.skipped - earlier.skipped,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::{AllowedSkips, Report};
    use crate::counts::Verdict;
    use std::path::Path;

    fn report(list: &str) -> Report {
        Report::new(AllowedSkips::parse(list).unwrap())
    }

    #[test]
    fn a_skip_that_is_not_listed_counts_as_failed() {
        let mut report = report("# comment\n\na/b\treason\nc/*\treason\n");
        for name in ["a/b", "a/bc", "c/anything"] {
            report.record(name, Verdict::Skipped("why".into()), Path::new("log"));
        }
        assert_eq!(report.counts().to_string(), "0 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn a_listed_skip_needs_a_reason() {
        assert!(AllowedSkips::parse("a/b\n").is_err());
        assert!(AllowedSkips::parse("a/b\t \n").is_err());
    }

    #[test]
    fn a_run_is_good_only_if_something_passed_and_nothing_failed() {
        let mut report = report("");
        assert!(!report.counts().good());
        report.pass(2);
        assert!(report.counts().good());
        report.record("x", Verdict::Failed(String::new()), Path::new("log"));
        assert!(!report.counts().good());
    }
}
