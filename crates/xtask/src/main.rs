//! The project's own tasks: `cargo xtask test` runs every test there is and counts them, `cargo xtask bench` measures.

mod bench;
mod cargo;
mod counts;
mod install;
mod process;
mod report;
mod stages;
mod workspace;

use anyhow::{Result, bail};
use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask test [--only STAGE]... [--fuzz-seconds N]
       cargo xtask test --list
       cargo xtask bench [--quick]

`test` runs every test of the project, stage by stage, and ends with one line: `N passed, N failed, N skipped`.
The exit status is 0 only if something passed and nothing failed. A skipped test counts as failed unless
tests/allowed-skips.txt names it. Logs are written to target/xtask/.

  --only STAGE       only this stage (may be repeated)
  --fuzz-seconds N   how long each fuzz target runs (default 10)
  --list             name the stages
  --help             this text

`bench` compares timedisk with other servers and with the limits of the machine, runs the scenes of bench/scenes, and
writes the figures of docs/performance.md anew; it takes about an hour, and wants the machine for itself. The exit
status is 1 if a goal is short.

  --quick            some minutes; docs/performance.md stays as it is

TARGET_BIN names another timedisk binary for the stages `cli`, `libiscsi` and `vm` (default: target/release/timedisk,
built first).
GUEST_CACHE is where the guest of the stage `vm` is kept (default: timedisk-guest in the user's cache directory).";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    /// Names of the stages to run; empty means all.
    only: Vec<String>,
    fuzz_seconds: Option<u32>,
    list: bool,
    help: bool,
    task: Task,
    quick: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Task {
    #[default]
    Test,
    Bench,
}

fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Request> {
    let mut arguments = arguments.into_iter();
    let mut request = Request::default();
    match arguments.next().as_deref() {
        Some("test") => {}
        Some("bench") => request.task = Task::Bench,
        None | Some("--help" | "-h" | "help") => request.help = true,
        Some(other) => bail!("no task is named {other:?}; try: cargo xtask --help"),
    }
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => request.help = true,
            "--quick" if request.task == Task::Bench => request.quick = true,
            other if request.task == Task::Bench => {
                bail!("unknown option {other:?}; try: cargo xtask --help")
            }
            "--list" => request.list = true,
            "--only" => match arguments.next() {
                Some(name) if stages::find(&name).is_some() => request.only.push(name),
                Some(name) => bail!("no stage is named {name:?}; try: cargo xtask test --list"),
                None => bail!("--only needs the name of a stage; try: cargo xtask test --list"),
            },
            "--fuzz-seconds" => match arguments.next().map(|text| text.parse()) {
                Some(Ok(seconds)) if seconds > 0 => request.fuzz_seconds = Some(seconds),
                _ => bail!("--fuzz-seconds needs a number of seconds, 1 or more"),
            },
            other => bail!("unknown option {other:?}; try: cargo xtask --help"),
        }
    }
    Ok(request)
}

fn main() -> ExitCode {
    let outcome = parse(std::env::args().skip(1)).and_then(|request| {
        if request.help {
            println!("{USAGE}");
            Ok(true)
        } else if request.list {
            stages::list();
            Ok(true)
        } else if request.task == Task::Bench {
            bench::run(request.quick)
        } else {
            stages::run(&request.only, request.fuzz_seconds.unwrap_or(10))
        }
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::{Task, parse};

    fn request(line: &str) -> anyhow::Result<super::Request> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn only_takes_known_stages_and_may_be_repeated() {
        let parsed = request("test --only vm --only lint --fuzz-seconds 3").unwrap();
        assert_eq!(parsed.only, ["vm", "lint"]);
        assert_eq!(parsed.fuzz_seconds, Some(3));
        assert!(request("test --only nothing").is_err());
        assert!(request("test --only").is_err());
    }

    #[test]
    fn a_mistyped_task_or_option_is_refused() {
        assert!(request("tset").is_err());
        assert!(request("test --onyl vm").is_err());
        assert!(request("test --fuzz-seconds 0").is_err());
        assert!(request("bench --only vm").is_err());
        assert!(request("test --quick").is_err());
        assert!(request("").unwrap().help);
    }

    #[test]
    fn bench_is_a_task_of_its_own() {
        let parsed = request("bench --quick").unwrap();
        assert_eq!((parsed.task, parsed.quick), (Task::Bench, true));
        assert_eq!(request("test").unwrap().task, Task::Test);
    }
}
