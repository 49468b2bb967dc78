//! One disk and its daemon, which is killed again and again.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use timedisk_initiator::{Connection, Url};
use timedisk_simulation::random::Random;

use crate::commands;
use crate::daemon::{Daemon, Place, free_port, remove_with_state};
use crate::judge::{self, Identity};
use crate::lane::{ATOMIC, Lane, Shared};
use crate::plant::Plant;

/// What the disk is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    is_mirror: bool,
    has_sums: bool,
}

/// All kinds, by turns.
pub(crate) const KINDS: [Kind; 4] = [
    Kind { name: "file", is_mirror: false, has_sums: false },
    Kind { name: "mirror", is_mirror: true, has_sums: false },
    Kind { name: "file-with-sums", is_mirror: false, has_sums: true },
    Kind { name: "mirror-with-sums", is_mirror: true, has_sums: true },
];

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) kills: u64,
    pub(crate) commands: u64,
    pub(crate) in_start: u64,
    pub(crate) in_reload: u64,
    pub(crate) in_resync: u64,
}

/// How a round's daemon comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    UnderLoad,
    Reloading,
    Resyncing,
}

struct House {
    kind: Kind,
    place: Place,
    random: Random,
    shared: Shared,
    lanes: Vec<Lane>,
    identity: Option<Identity>,
    write_cache: bool,
    reloads: u64,
    tally: Tally,
}

/// Kills the daemon so many times, and looks after each of them at what is there. `plant` does the disk some harm
/// before the last restart, which has to be noticed.
///
/// # Errors
/// What is not as it has to be.
pub(crate) fn run(
    binary: &Path,
    folder: &Path,
    seed: u64,
    kind: Kind,
    rounds: u64,
    plant: Option<Plant>,
) -> Result<Tally> {
    let mut random = Random::new(seed);
    let place = Place { binary: binary.to_owned(), folder: folder.to_owned(), port: free_port()? };
    let lanes = (0..2).map(|number| Lane::new(number, random.fork())).collect();
    let shared = Shared::new(seed);
    let mut house = House {
        kind,
        place,
        random,
        shared,
        lanes,
        identity: None,
        write_cache: true,
        reloads: 0,
        tally: Tally::default(),
    };
    house.configure()?;
    for round in 0..rounds {
        let last = plant.filter(|_| round + 1 == rounds);
        house.round(round).with_context(|| format!("round {round}"))?;
        if let Some(plant) = last {
            plant.harm(&house.place.folder, &house.shared.history())?;
        }
    }
    house.finish().context("at the end")?;
    house.tally.commands = house.lanes.iter().map(|lane| lane.done).sum();
    Ok(house.tally)
}

impl House {
    /// The file of targets; every other reload has another disk in it.
    fn configure(&self) -> Result<()> {
        let file = |name: &str| self.place.file(name).display().to_string();
        let sums = if self.kind.has_sums { " checksum=yes" } else { "" };
        let mut lines = match self.kind.is_mirror {
            false => vec![format!("extent0 {} 0 16MB{sums}", file("a")), "target0 rw extent0 any".into()],
            true => vec![
                format!("extent0 {} 0 16MB", file("a")),
                format!("extent1 {} 0 16MB", file("b")),
                format!("device0 RAID1 extent0 extent1{sums}"),
                "target0 rw device0 any".into(),
            ],
        };
        if self.reloads % 2 == 1 {
            lines.extend([format!("extent7 {} 0 1MB", file("other")), "target7 rw extent7 any".into()]);
        }
        self.place.configure(&lines)
    }

    /// A start, what is there, load, a kill.
    fn round(&mut self, round: u64) -> Result<()> {
        let end = match self.random.below(8) {
            0 | 1 => End::Reloading,
            2 | 3 if self.kind.is_mirror && round > 0 => End::Resyncing,
            _ => End::UnderLoad,
        };
        if end == End::Resyncing {
            remove_with_state(&self.place.folder, "b")?;
        }
        while self.random.one_in(4) {
            self.kill_in_start()?;
        }
        let mut daemon = self.place.launch()?;
        let url = daemon.ready(&self.place)?;
        let connections = self.look(&url)?;
        self.load_and_kill(daemon, connections, end)?;
        self.shared.history().kill();
        self.tally.kills += 1;
        Ok(())
    }

    fn kill_in_start(&mut self) -> Result<()> {
        let daemon = self.place.launch()?;
        std::thread::sleep(Duration::from_micros(self.random.below(25_000)));
        daemon.kill().with_context(|| format!("in a start: {}", self.place.log().trim()))?;
        self.tally.kills += 1;
        self.tally.in_start += 1;
        Ok(())
    }

    /// Looks whether all is as it has to be, and gives the sessions.
    fn look(&mut self, url: &Url) -> Result<Vec<Connection>> {
        let mut connections = Vec::new();
        for lane in &self.lanes {
            connections.push(judge::open(url, lane.number)?);
        }
        let first = connections.first_mut().context("no session")?;
        let identity = judge::identity(first)?;
        judge::read_all(first, &self.shared)?;
        match &self.identity {
            None => {
                self.lanes.iter_mut().for_each(|lane| lane.has_atomic = identity.has_atomic(ATOMIC));
                self.identity = Some(identity);
                self.register(&mut connections)?;
            }
            Some(known) => {
                ensure!(*known == identity, "the disk is another one: {identity:?}, and was {known:?}");
                judge::reservations(first, &mut self.lanes)?;
                judge::stranger_is_kept_out(url)?;
                let is_on = judge::write_cache(first)?;
                ensure!(is_on == self.write_cache, "the write cache is on: {is_on}, which was not saved");
            }
        }
        if self.random.one_in(3) {
            self.write_cache = !self.write_cache;
            let first = connections.first_mut().context("no session")?;
            judge::set_write_cache(first, self.write_cache)?;
        }
        Ok(connections)
    }

    fn register(&mut self, connections: &mut [Connection]) -> Result<()> {
        for (lane, connection) in self.lanes.iter_mut().zip(connections.iter_mut()) {
            lane.keys = vec![lane.new_key()];
            connection.expect("REGISTER", commands::register(lane.keys[0]))?;
        }
        let (lane, connection) = self.lanes.iter().zip(connections).next().context("no session")?;
        connection.expect("RESERVE", commands::reserve(lane.keys[0]))?;
        Ok(())
    }

    fn load_and_kill(&mut self, daemon: Daemon, connections: Vec<Connection>, end: End) -> Result<()> {
        let moment = Duration::from_micros(5_000 + self.random.below(120_000));
        let little = Duration::from_micros(self.random.below(8_000));
        if end == End::Reloading {
            self.reloads += 1;
            self.configure()?;
            self.tally.in_reload += 1;
        }
        self.tally.in_resync += u64::from(end == End::Resyncing);
        let (shared, place) = (&self.shared, &self.place);
        shared.is_killing.store(false, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let lanes = self.lanes.iter_mut().zip(connections);
            let lanes: Vec<_> =
                lanes.map(|(lane, connection)| scope.spawn(move || lane.work(connection, shared))).collect();
            std::thread::sleep(moment);
            let done = match end {
                End::UnderLoad => Ok(()),
                End::Reloading => daemon.reload(),
                End::Resyncing => place.control(&["mirror", "replace", "target0", "extent1"]).map(drop),
            };
            std::thread::sleep(little);
            shared.is_killing.store(true, Ordering::SeqCst);
            let killed = daemon.kill().with_context(|| place.log());
            for lane in lanes {
                lane.join().map_err(|_| anyhow::anyhow!("a session's thread panicked"))??;
            }
            done.and(killed)
        })
    }

    /// A last start, and the files themselves: what the daemon says is not taken for it.
    fn finish(&mut self) -> Result<()> {
        let mut daemon = self.place.launch()?;
        let url = daemon.ready(&self.place)?;
        drop(self.look(&url)?);
        if self.kind.is_mirror {
            self.make_whole()?;
        }
        daemon.stop(&self.place)?;
        judge::look_at(&self.place.file("a"), &mut self.shared.history())?;
        if self.kind.is_mirror {
            judge::look_at(&self.place.file("b"), &mut self.shared.history()).context("second member")?;
            let (a, b) = (fs::read(self.place.file("a"))?, fs::read(self.place.file("b"))?);
            ensure!(a == b, "the members of the mirror differ");
        }
        Ok(())
    }

    /// Waits until all members of the mirror are alike.
    fn make_whole(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            let status = self.place.control(&["status", "--json"])?;
            let status: String = status.split_whitespace().collect();
            if status.contains("\"state\":\"out\"") {
                self.place.control(&["mirror", "replace", "target0", "extent1"])?;
            }
            if status.contains("\"state\":\"whole\"") {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the mirror does not become whole: {}", self.place.control(&["status"])?);
    }
}
