//! `timedisk bench`: how fast an iSCSI target is.
//!
//! Each session has a thread of its own with a closed loop: as soon as a command ends, another one takes its
//! place.

mod options;
mod pattern;
mod plan;
mod report;
mod server;
mod session;
mod tally;
mod target;

use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use timedisk_initiator::{Connection, Url};

use crate::progress::stop_on_signals;
pub(crate) use options::BenchOptions;
use plan::Plan;
use server::Server;
use session::{Measured, Worker};
use tally::Tally;

/// Runs the command.
pub(crate) fn run(options: &BenchOptions) -> anyhow::Result<ExitCode> {
    let Some(place) = target::find(options)? else { return Ok(ExitCode::FAILURE) };
    let server = options.server_pid.map(Server::new).transpose()?;
    let (connections, plan) = open(options, &place)?;
    if plan.overwrites() {
        eprintln!("timedisk: bench overwrites {} of {place}", plan.place_in_words());
    }
    let stop = stop_on_signals()?;
    let (result, cost) = measure(connections, &plan, &stop, server.as_ref())?;
    let report = report::Report::new(&place, options, &plan, &result, cost)?;
    report.print(options.json)?;
    for failure in &result.failures {
        eprintln!("timedisk: {place}: {failure}");
    }
    Ok(if result.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Logs in all connections of all sessions, and lays out the work.
fn open(options: &BenchOptions, place: &Url) -> anyhow::Result<(Vec<Connection>, Plan)> {
    let mut connections = Vec::new();
    let mut plan = None;
    for number in 1..=options.sessions {
        let (first, capacity) = target::lead(options, place).with_context(|| match options.sessions {
            1 => place.to_string(),
            several => format!("{place}: session {number} of {several}"),
        })?;
        if plan.is_none() {
            plan = Some(Plan::new(options, place.lun, capacity).with_context(|| place.to_string())?);
        }
        connections.extend(first);
    }
    match plan {
        Some(plan) => Ok((connections, plan)),
        None => bail!("--sessions is at least 1"),
    }
}

/// What all sessions together have come to.
struct Outcome {
    tally: Tally,
    /// From the start to the last command that counts.
    seconds: f64,
    client_cpu: Duration,
    failures: Vec<String>,
}

fn measure(
    connections: Vec<Connection>,
    plan: &Plan,
    stop: &AtomicBool,
    server: Option<&Server>,
) -> anyhow::Result<(Outcome, Option<server::Cost>)> {
    let workers = connections.into_iter().enumerate();
    let workers = workers.map(|(number, connection)| Worker::new(connection, plan, number, stop));
    let workers = workers.collect::<anyhow::Result<Vec<_>>>()?;
    let sessions = workers.len();
    let gates = [(); 3].map(|()| Barrier::new(sessions + 1));
    let [ready, go, done] = &gates;
    thread::scope(|scope| {
        let spawn = |worker| {
            let run = move || work(worker, [ready, go, done]);
            thread::Builder::new().spawn_scoped(scope, run).unwrap_or_else(|error| {
                // Those that have begun wait for all, and would wait for ever.
                eprintln!("timedisk: no thread for each of {sessions} connections: {error}");
                std::process::exit(1)
            })
        };
        let workers: Vec<_> = workers.into_iter().map(spawn).collect();
        ready.wait();
        let before = (client_cpu(), server.map(Server::sample).transpose());
        go.wait();
        done.wait();
        let after = (client_cpu(), server.map(Server::sample).transpose());
        let mut outcome = Outcome {
            tally: Tally::new()?,
            seconds: 0.0,
            client_cpu: after.0.saturating_sub(before.0),
            failures: Vec::new(),
        };
        for worker in workers {
            let Ok(measured) = worker.join() else { bail!("a session's thread has a defect") };
            outcome.tally.add(&measured.tally)?;
            outcome.seconds = outcome.seconds.max(measured.time.as_secs_f64());
            outcome.failures.extend(measured.failure);
        }
        let cost = match (before.1?, after.1) {
            (Some(before), Ok(Some(after))) => Some(before.until(after)),
            (_, Err(error)) => {
                outcome.failures.push(format!("{error:#}"));
                None
            }
            _ => None,
        };
        Ok((outcome, cost))
    })
}

/// One session from its start to its logout. All meet at the gates, whatever has failed by then.
fn work(mut worker: Worker<'_>, [ready, go, done]: [&Barrier; 3]) -> Measured {
    let prepared = worker.prepare();
    ready.wait();
    go.wait();
    let began = Instant::now();
    let measured = prepared.and_then(|()| worker.run());
    let time = began.elapsed();
    if measured.is_err() {
        // What the others would go on to measure is not what was asked for.
        worker.stop();
    }
    done.wait();
    let checked = measured.and_then(|time| worker.check().map(|()| time));
    match checked {
        Ok(time) => worker.finish(time, None),
        Err(failure) => worker.finish(time, Some(failure)),
    }
}

/// CPU time of this process so far.
fn client_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Whether a signal has come.
fn is_stopped(stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed)
}
