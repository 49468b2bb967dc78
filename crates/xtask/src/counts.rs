//! Reading counts out of what the stages print.

/// How one test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    /// With the reason, empty if none was given.
    Failed(String),
    /// With the reason, empty if none was given.
    Skipped(String),
}

/// The numbers of a `test result:` line of the Rust test harness.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) ignored: usize,
}

/// Reads `test NAME ... ok`, `... FAILED[: why]`, `... skipped[: why]` or `... ignored[, why]`.
///
/// The scripts under `tests/` and the Rust test harness both print such lines. Anything else is `None`.
pub(crate) fn test_line(line: &str) -> Option<(&str, Verdict)> {
    let (name, verdict) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let name = name.trim_end_matches(" - should panic");
    let (word, reason) =
        verdict.split_once([':', ',']).map_or((verdict, ""), |(word, reason)| (word, reason.trim()));
    match word.trim_end() {
        "ok" => Some((name, Verdict::Passed)),
        "FAILED" => Some((name, Verdict::Failed(reason.to_owned()))),
        "skipped" | "ignored" => Some((name, Verdict::Skipped(reason.to_owned()))),
        _ => None,
    }
}

/// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
pub(crate) fn summary_line(line: &str) -> Option<Summary> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut summary = Summary::default();
    for part in counts.split(';') {
        let (number, what) = part.trim().split_once(' ')?;
        match what {
            "passed" => summary.passed = number.parse().ok()?,
            "failed" => summary.failed = number.parse().ok()?,
            "ignored" => summary.ignored = number.parse().ok()?,
            _ => {}
        }
    }
    Some(summary)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::{Summary, Verdict, summary_line, test_line};

    #[test]
    fn a_test_line_gives_name_and_verdict() {
        assert_eq!(test_line("test vm/boot ... ok"), Some(("vm/boot", Verdict::Passed)));
        assert_eq!(
            test_line("test a::b - should panic ... FAILED"),
            Some(("a::b", Verdict::Failed(String::new())))
        );
        assert_eq!(
            test_line("test x/y ... FAILED: status 1: see log"),
            Some(("x/y", Verdict::Failed("status 1: see log".into())))
        );
        assert_eq!(
            test_line("test x ... skipped: not here"),
            Some(("x", Verdict::Skipped("not here".into())))
        );
        assert_eq!(
            test_line("test slow ... ignored, by hand"),
            Some(("slow", Verdict::Skipped("by hand".into())))
        );
    }

    #[test]
    fn other_lines_are_no_verdicts() {
        for line in ["test result: ok. 1 passed", "[ 2.1] ok: reached", "test x ... maybe", " test x ... ok"]
        {
            assert_eq!(test_line(line), None, "{line}");
        }
    }

    #[test]
    fn a_summary_line_gives_its_numbers() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(summary_line(line), Some(Summary { passed: 12, failed: 3, ignored: 1 }));
        assert_eq!(summary_line("test results are good"), None);
        assert_eq!(summary_line("test result: ok. many passed"), None);
    }
}
