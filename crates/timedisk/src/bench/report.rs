//! What is printed at the end.

use std::io::Write;

use hdrhistogram::Histogram;
use serde::Serialize;
use timedisk_initiator::Url;

use super::Outcome;
use super::options::BenchOptions;
use super::plan::Plan;
use super::server::Cost;

/// All of it.
#[derive(Serialize)]
pub(crate) struct Report {
    target: String,
    rw: &'static str,
    pattern: &'static str,
    block_bytes: u32,
    queue_depth: u16,
    sessions: u16,
    connections: u16,
    digest: &'static str,
    fua: bool,
    seconds: f64,
    commands: u64,
    commands_per_second: f64,
    bytes_per_second: f64,
    latency_us: Latency,
    read: Option<Side>,
    write: Option<Side>,
    client_cpu_seconds: f64,
    server: Option<ServerReport>,
    #[serde(skip)]
    client_cpu_us: f64,
}

/// Reads or writes alone.
#[derive(Serialize)]
struct Side {
    commands: u64,
    commands_per_second: f64,
    bytes_per_second: f64,
    latency_us: Latency,
}

/// In microseconds.
#[derive(Serialize)]
struct Latency {
    min: f64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

#[derive(Serialize)]
struct ServerReport {
    pid: u32,
    cpu_seconds: f64,
    cpu_seconds_per_gib: f64,
    cpu_seconds_per_million_commands: f64,
    resident_bytes: u64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Latency {
        let us = |nanoseconds: u64| round(nanoseconds as f64 / 1e3);
        let at = |quantile: f64| us(histogram.value_at_quantile(quantile));
        if histogram.is_empty() {
            return Latency { min: 0.0, mean: 0.0, p50: 0.0, p90: 0.0, p99: 0.0, p999: 0.0, max: 0.0 };
        }
        Latency {
            min: us(histogram.min()),
            mean: round(histogram.mean() / 1e3),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: us(histogram.max()),
        }
    }
}

/// To a thousandth.
fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// A rate or a share; 0 where there is nothing to divide by.
fn ratio(value: f64, by: f64) -> f64 {
    if by > 0.0 { round(value / by) } else { 0.0 }
}

impl Side {
    fn of(histogram: &Histogram<u64>, seconds: f64, bytes: u32) -> Option<Side> {
        let commands = histogram.len();
        (commands > 0).then(|| Side {
            commands,
            commands_per_second: ratio(commands as f64, seconds),
            bytes_per_second: ratio(commands as f64 * f64::from(bytes), seconds),
            latency_us: Latency::of(histogram),
        })
    }
}

impl Report {
    pub(crate) fn new(
        place: &Url,
        options: &BenchOptions,
        plan: &Plan,
        outcome: &Outcome,
        cost: Option<Cost>,
    ) -> anyhow::Result<Report> {
        let all = outcome.tally.all()?;
        let (commands, seconds) = (all.len() as f64, outcome.seconds);
        let bytes = f64::from(plan.unit_bytes);
        // CPU time was spent on those that came too late, too.
        let paid = commands + outcome.tally.late as f64;
        let client_cpu = outcome.client_cpu.as_secs_f64();
        let server = cost.map(|cost| {
            let cpu = cost.cpu.as_secs_f64();
            ServerReport {
                pid: cost.pid,
                cpu_seconds: round(cpu),
                cpu_seconds_per_gib: ratio(cpu, paid * bytes / f64::from(1 << 30)),
                cpu_seconds_per_million_commands: ratio(cpu, paid / 1e6),
                resident_bytes: cost.resident,
            }
        });
        Ok(Report {
            target: place.to_string(),
            rw: options.rw.word(),
            pattern: options.pattern(),
            block_bytes: plan.unit_bytes,
            queue_depth: options.qd,
            sessions: options.sessions,
            connections: options.connections,
            digest: options.digest.word(),
            fua: options.fua,
            seconds: round(seconds),
            commands: all.len(),
            commands_per_second: ratio(commands, seconds),
            bytes_per_second: ratio(commands * bytes, seconds),
            latency_us: Latency::of(&all),
            read: Side::of(&outcome.tally.reads, seconds, plan.unit_bytes),
            write: Side::of(&outcome.tally.writes, seconds, plan.unit_bytes),
            client_cpu_seconds: round(client_cpu),
            server,
            client_cpu_us: ratio(client_cpu * 1e6, paid),
        })
    }

    /// Prints it on stdout. A reader that has left is no mistake.
    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        let text = if json { serde_json::to_string(self)? + "\n" } else { self.text() };
        match std::io::stdout().write_all(text.as_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn text(&self) -> String {
        let mut lines = vec![format!("{}", self.target), self.work()];
        let mut line = |name: &str, text: String| lines.push(format!("{name:<9}{text}"));
        let rate = |commands: f64, bytes: f64| {
            format!("{commands:.0} commands/s, {:.1} MiB/s", bytes / f64::from(1 << 20))
        };
        line("all", rate(self.commands_per_second, self.bytes_per_second));
        line("latency", self.latency_us.text());
        for (name, side) in [("reads", &self.read), ("writes", &self.write)] {
            if let (Some(side), true) = (side, self.read.is_some() && self.write.is_some()) {
                line(name, rate(side.commands_per_second, side.bytes_per_second));
                line("", side.latency_us.text());
            }
        }
        let cpu = |seconds: f64| 100.0 * seconds / self.seconds.max(0.001);
        line(
            "client",
            format!(
                "{:.2} µs of CPU per command, {:.0} % of a core",
                self.client_cpu_us,
                cpu(self.client_cpu_seconds)
            ),
        );
        if let Some(server) = &self.server {
            let mebibytes = server.resident_bytes as f64 / f64::from(1 << 20);
            let (each, gib) = (server.cpu_seconds_per_million_commands, server.cpu_seconds_per_gib);
            line(
                "server",
                format!(
                    "{each:.2} µs of CPU per command, {gib:.2} s per GiB, {:.0} % of a core, \
                     {mebibytes:.1} MiB resident",
                    cpu(server.cpu_seconds),
                ),
            );
        }
        lines.join("\n") + "\n"
    }

    fn work(&self) -> String {
        let digest = match self.digest {
            "none" => String::new(),
            what => format!(", digest {what}"),
        };
        let connections = match self.connections {
            1 => String::new(),
            several => format!(" of {several} connections"),
        };
        let fua = if self.fua { ", FUA" } else { "" };
        format!(
            "{} {}, {} bytes, {} at once, {} session(s){connections}{digest}{fua}, {:.3} s, {} commands",
            self.pattern,
            self.rw,
            self.block_bytes,
            self.queue_depth,
            self.sessions,
            self.seconds,
            self.commands
        )
    }
}

impl Latency {
    fn text(&self) -> String {
        format!(
            "min {:.1}  mean {:.1}  p50 {:.1}  p90 {:.1}  p99 {:.1}  p99.9 {:.1}  max {:.1} µs",
            self.min, self.mean, self.p50, self.p90, self.p99, self.p999, self.max
        )
    }
}
