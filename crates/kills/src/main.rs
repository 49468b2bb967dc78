//! Kills timedisk's daemon (SIGKILL) at any moment, starts it again on the same files, and looks whether all that was
//! acknowledged is there: each sector, reservations, identity, the saved setting of the write cache.
//!
//! A killed process loses nothing that the kernel has: this finds answers that come too early, updates of state files
//! that are not all or nothing, locks that outlive their owner, and starts that can't cope with what they find. What a
//! power cut would take is for other tests.
//!
//! A seed decides what is done and when it is killed; moments differ a little from run to run, as processes do.

#![forbid(unsafe_code)]

mod commands;
mod daemon;
mod house;
mod judge;
mod lane;
mod plant;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use clap::Parser;

use house::{KINDS, Kind, Tally};
use plant::{PLANTS, Plant};

/// Rounds of one disk; then another one is made.
const TOGETHER: u64 = 50;
/// Rounds before harm is planted.
const BEFORE_HARM: u64 = 2;

/// Kills timedisk's daemon under clients that know what has to be there afterwards.
#[derive(Debug, Parser)]
struct Arguments {
    /// timedisk's binary.
    #[arg(long, default_value = "target/release/timedisk")]
    binary: PathBuf,
    /// Rounds: each has at least one kill.
    #[arg(long, default_value_t = 4 * TOGETHER)]
    rounds: u64,
    /// Decides all that is chosen; by default another one each time.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("timedisk-kills: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let binary = arguments.binary.canonicalize();
    let binary = binary.with_context(|| format!("{}: no binary", arguments.binary.display()))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64);
    let seed = arguments.seed.unwrap_or(now & !3);
    println!("seed {seed}; its choices again: timedisk-kills --seed {seed} --rounds {}", arguments.rounds);
    let (mut all_well, mut sum) = (true, Tally::default());
    for (name, plant, said) in PLANTS {
        all_well &= notices(&binary, seed, name, plant, said);
    }
    let begin = Instant::now();
    for (number, first) in (0..arguments.rounds).step_by(TOGETHER as usize).enumerate() {
        let rounds = TOGETHER.min(arguments.rounds - first);
        all_well &= house(&binary, seed.wrapping_add(number as u64), rounds, &mut sum);
    }
    let Tally { kills, commands, in_start, in_reload, in_resync } = sum;
    println!(
        "{kills} kills in {:.0} s: {in_start} in a start, {in_reload} in a reload, {in_resync} in a resync; {commands} \
         commands ended well",
        begin.elapsed().as_secs_f64()
    );
    Ok(all_well)
}

fn kind_of(seed: u64) -> Kind {
    KINDS[(seed % KINDS.len() as u64) as usize]
}

/// One disk.
fn house(binary: &Path, seed: u64, rounds: u64, sum: &mut Tally) -> bool {
    let kind = kind_of(seed);
    let name = format!("kills/{}-seed-{seed}", kind.name);
    match in_a_folder(|folder| house::run(binary, folder, seed, kind, rounds, None)) {
        Ok(tally) => {
            sum.kills += tally.kills;
            sum.commands += tally.commands;
            sum.in_start += tally.in_start;
            sum.in_reload += tally.in_reload;
            sum.in_resync += tally.in_resync;
            println!("test {name} ... ok");
            true
        }
        Err(error) => {
            let error = format!("{error:#}").replace('\n', " | ");
            println!("test {name} ... FAILED: {error} (again: --seed {seed} --rounds {rounds})");
            false
        }
    }
}

/// Harm is noticed, and called what it is.
fn notices(binary: &Path, seed: u64, name: &str, plant: Plant, said: &str) -> bool {
    let done = in_a_folder(|folder| house::run(binary, folder, seed, KINDS[0], BEFORE_HARM, Some(plant)));
    let why = match done {
        Ok(_) => "it was not noticed".to_owned(),
        Err(error) if format!("{error:#}").contains(said) => {
            println!("test kills/notices-{name} ... ok");
            return true;
        }
        Err(error) => format!("noticed as something else: {error:#}").replace('\n', " | "),
    };
    println!("test kills/notices-{name} ... FAILED: {why}");
    false
}

fn in_a_folder<T>(work: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let folder = tempfile::tempdir().context("no temporary directory")?;
    work(folder.path())
}
