//! `simulate [SEEDS [FIRST]]`: so many runs from a seed on, on all processors. A seed that fails is said again by
//! `simulate 1 SEED`.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use timedisk_simulation::{Report, run};

/// Runs that are counted as one test.
const TOGETHER: u64 = 500;

/// What is shown of an error.
const SHOWN: usize = 2000;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Ok(seeds), Ok(first)) = (numbers.next().unwrap_or(Ok(TOGETHER)), numbers.next().unwrap_or(Ok(0)))
    else {
        eprintln!("simulate [SEEDS [FIRST]]: how many runs, and from which seed on");
        return ExitCode::from(2);
    };
    let mut sum = Report::default();
    let mut all_well = true;
    let end = first.saturating_add(seeds);
    for from in (first..end).step_by(TOGETHER as usize) {
        let to = end.min(from + TOGETHER);
        all_well &= block(from, to, &mut sum);
    }
    let troubles = sum.troubles;
    println!(
        "{seeds} seeds: {} commands, {} sessions, {} hours of their time; {} resets, {} silences, {} stalls, {} times \
         a stuck disk, {} kills, {} power cuts",
        sum.commands,
        sum.sessions,
        sum.time / 3_600_000_000,
        troubles.resets,
        troubles.silences,
        troubles.stalls,
        troubles.stuck,
        troubles.kills,
        troubles.power_cuts,
    );
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the seeds from one up to another, and says how that ended.
fn block(from: u64, to: u64, sum: &mut Report) -> bool {
    let next = AtomicU64::new(from);
    let work = || {
        let seeds = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let results = seeds.take_while(|seed| *seed < to).map(|seed| {
            let result = std::panic::catch_unwind(|| run(seed));
            (seed, result.unwrap_or_else(|_| Err("it panicked, see above".into())))
        });
        results.collect::<Vec<_>>()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    let mut failed = 0;
    for (seed, result) in &results {
        match result {
            Ok(report) => add(sum, report),
            Err(error) => {
                failed += 1;
                let error: String = error.chars().take(SHOWN).collect();
                println!("test simulation/seed-{seed} ... FAILED: {error}");
            }
        }
    }
    let is_well = failed == 0 && results.len() as u64 == to - from;
    if is_well {
        println!("test simulation/seeds-{from}-to-{} ... ok", to - 1);
    }
    is_well
}

fn add(sum: &mut Report, report: &Report) {
    sum.commands += report.commands;
    sum.sessions += report.sessions;
    sum.time += report.time;
    let (all, one) = (&mut sum.troubles, &report.troubles);
    all.resets += one.resets;
    all.silences += one.silences;
    all.stalls += one.stalls;
    all.stuck += one.stuck;
    all.kills += one.kills;
    all.power_cuts += one.power_cuts;
}
