use super::{Ended, birth, command, run};
use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

/// Runs a line of shell; gives how it ended, what it printed, and what is in the log.
fn shell(line: &str, limit: Duration) -> (Ended, Vec<String>, String) {
    let path = std::env::temp_dir().join(format!(
        "xtask-{}-{:?}.log",
        std::process::id(),
        std::thread::current().id()
    ));
    let mut log = File::create(&path).unwrap();
    let mut command = command("bash");
    command.args(["-c", line]);
    let mut lines = Vec::new();
    let ended = run(command, limit, &mut log, |line| lines.push(line.to_owned())).unwrap();
    let mut logged = String::new();
    File::open(&path).unwrap().read_to_string(&mut logged).unwrap();
    std::fs::remove_file(&path).unwrap();
    (ended, lines, logged)
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn output_and_errors_are_read_and_logged_in_order() {
    let (ended, lines, logged) = shell("echo one; echo two >&2; printf three", LONG);
    assert_eq!(ended, Ended::Well);
    assert_eq!(lines, ["one", "two", "three"]);
    assert_eq!(logged, "one\ntwo\nthree\n");
}

#[test]
fn a_bad_end_keeps_its_status() {
    assert_eq!(shell("exit 7", LONG).0, Ended::Badly(Some(7)));
    assert_eq!(shell("kill -KILL $$", LONG).0, Ended::Badly(None));
}

#[test]
fn there_is_nothing_on_standard_input() {
    assert_eq!(shell("read -r line && exit 1; exit 0", LONG).0, Ended::Well);
}

#[test]
fn what_outlives_its_parent_does_not_hold_the_run_up() {
    let begin = Instant::now();
    let (ended, lines, _) = shell("sleep 30 & echo $!", LONG);
    assert_eq!(ended, Ended::Well);
    assert!(begin.elapsed() < Duration::from_secs(20));
    super::signal("KILL", &[lines[0].parse().unwrap()]);
}

#[test]
fn a_program_that_takes_too_long_may_clean_up() {
    let (ended, lines, _) = shell(
        "trap 'echo cleaned; exit 0' TERM; echo up; while :; do sleep 0.1; done",
        Duration::from_secs(1),
    );
    assert_eq!(ended, Ended::TimedOut);
    assert_eq!(lines, ["up", "cleaned"]);
}

#[test]
fn the_children_of_a_program_that_took_too_long_are_ended_too() {
    let (ended, lines, _) = shell("sleep 300 & echo $!; sleep 300", Duration::from_secs(1));
    assert_eq!(ended, Ended::TimedOut);
    let pid: u32 = lines[0].parse().unwrap();
    let patience = Instant::now() + Duration::from_secs(5);
    while birth(pid).is_some() && !zombie(pid) && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(birth(pid).is_none() || zombie(pid), "process {pid} is still there");
}

/// Ended, but not collected yet by whoever adopted it.
fn zombie(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}
