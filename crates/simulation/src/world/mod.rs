//! Everything together, one event after the other.

mod trouble;
mod wire;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use timedisk_initiator::Settings as ClientSettings;
use timedisk_iscsi::connection::Connection;
use timedisk_iscsi::login::Wishes;

use crate::client::Client;
use crate::history::History;
use crate::house::{Guest, House, LinkId, Pace, Settings};
use crate::medium::Medium;
use crate::pipe::{Manner, Pipe};
use crate::random::Random;

/// Sectors of the disk.
const SECTORS: u64 = 192;

/// A login has to be done with after so many microseconds.
const LOGIN_PATIENCE: u64 = 15_000_000;

/// If nothing has come to its end for so long, nothing goes on any more.
const STANDSTILL: u64 = 900_000_000;

/// Events of one run, at most.
const MOST_EVENTS: u64 = 3_000_000;

/// What happened besides commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Troubles {
    /// Connections that were cut.
    pub resets: u64,
    /// Connections on which one direction or both went silent.
    pub silences: u64,
    /// Connections that stood still for a while.
    pub stalls: u64,
    /// Times that the disk did nothing for a while.
    pub stuck: u64,
    /// Ends of the target's process.
    pub kills: u64,
    /// Power cuts.
    pub power_cuts: u64,
}

/// What a run has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Commands that have ended well.
    pub commands: u64,
    /// Sessions that were begun.
    pub sessions: u64,
    /// Microseconds of the world's time.
    pub time: u64,
    /// What happened meanwhile.
    pub troubles: Troubles,
    /// A digest of all bytes that were moved, for comparing runs.
    pub trace: u64,
}

/// Does a run.
///
/// # Errors
/// What was wrong, for people.
pub fn run(seed: u64) -> Result<Report, String> {
    let mut world = World::new(seed);
    world.live()?;
    Ok(world.report)
}

/// The target's end of a connection.
struct Server {
    connection: Connection<Vec<u8>>,
    guest: Guest,
    since: u64,
}

struct Link {
    client: usize,
    to_target: Pipe,
    to_client: Pipe,
    /// `None` once it has closed.
    server: Option<Server>,
    is_cut: bool,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    ToTarget(LinkId),
    ToClient(LinkId),
    ServerTimeout(LinkId),
    Memory,
    Disk,
    Client(usize),
    Trouble,
}

struct World {
    random: Random,
    now: u64,
    medium: Arc<Medium>,
    settings: Arc<Settings>,
    pace: Pace,
    manner: Manner,
    wishes: Wishes,
    house: Rc<RefCell<House>>,
    /// The target takes no connection before that.
    down_until: u64,
    /// Those that are not over, by their numbers.
    links: std::collections::BTreeMap<LinkId, Link>,
    next_link: LinkId,
    clients: Vec<Client>,
    history: History,
    next_trouble: u64,
    is_calm: bool,
    memory_due: u64,
    report: Report,
    last_progress: (u64, u64),
}

fn wishes(random: &mut Random) -> Wishes {
    const DIGESTS: [&[&str]; 3] = [&["None"], &["CRC32C"], &["CRC32C", "None"]];
    Wishes {
        header_digests: random.pick(&DIGESTS),
        data_digests: random.pick(&DIGESTS),
        max_recv_data_segment_length: random.pick(&[512, 1024, 8192, 65536, 262_144]),
        max_burst_length: random.pick(&[512, 4096, 65536, 1 << 20]),
        first_burst_length: random.pick(&[512, 2048, 65536]),
        initial_r2t: random.one_in(2),
        immediate_data: random.one_in(2),
        max_outstanding_r2t: random.pick(&[1, 1, 4, 16]),
        default_time2wait: 0,
        default_time2retain: 0,
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let (medium, settings) = (Arc::new(Medium::new(SECTORS)), Arc::new(Settings::default()));
        let pace = Pace { step: random.pick(&[10, 1000, 200_000]), refusal: random.pick(&[0, 2, 5, 50]) };
        let manner = Manner {
            delay: random.pick(&[0, 100, 5_000, 100_000]),
            piece: random.pick(&[7, 100, 1448, 65536]),
            damage: random.pick(&[0, 0, 300, 3000]),
        };
        let mut wishes_of_target = wishes(&mut random);
        // What both sides want, or they never come together.
        wishes_of_target.header_digests = &["CRC32C", "None"];
        wishes_of_target.data_digests = &["CRC32C", "None"];
        let clients = 1 + random.below(3);
        let clients = (0..clients).map(|number| client(number, &mut random)).collect();
        let house = House::new(Arc::clone(&medium), Arc::clone(&settings), pace, random.fork());
        World {
            now: 0,
            medium,
            settings,
            pace,
            manner,
            wishes: wishes_of_target,
            house: Rc::new(RefCell::new(house)),
            down_until: 0,
            links: std::collections::BTreeMap::new(),
            next_link: 0,
            clients,
            history: History::new(seed, SECTORS),
            next_trouble: random.below(2_000_000),
            is_calm: false,
            memory_due: 0,
            report: Report::default(),
            last_progress: (0, 0),
            random,
        }
    }

    /// All of it: work among troubles, then a look at everything in calm, and one more after a power cut.
    fn live(&mut self) -> Result<(), String> {
        self.go_on()?;
        self.is_calm = true;
        for _ in 0..2 {
            self.clients.iter_mut().for_each(Client::inspect);
            self.go_on()?;
            self.end_process(true);
        }
        self.report.time = self.now;
        self.report.commands = self.clients.iter().map(|client| client.done).sum();
        Ok(())
    }

    fn go_on(&mut self) -> Result<(), String> {
        let mut events = 0;
        while !self.clients.iter().all(|client| client.is_content(SECTORS)) {
            events += 1;
            let done: u64 = self.clients.iter().map(|client| client.done).sum();
            if done > self.last_progress.1 || !self.is_calm {
                self.last_progress = (self.now, done);
            }
            if self.now - self.last_progress.0 > STANDSTILL || events > MOST_EVENTS {
                let in_flight = self.house.borrow().in_flight();
                let clients = &self.clients;
                return Err(format!(
                    "nothing goes on at {}; {in_flight} commands at the disk; {clients:?}",
                    self.now
                ));
            }
            let event = self.next_event().ok_or_else(|| "nothing is left to happen".to_string())?;
            self.happen(event)?;
        }
        Ok(())
    }

    /// One of the events that are due now; the clock goes on if there is none.
    fn next_event(&mut self) -> Option<Event> {
        let mut due = Vec::new();
        let mut next = u64::MAX;
        let now = self.now;
        let mut at = |time: u64, event: Event| {
            if time <= now {
                due.push(event);
            } else {
                next = next.min(time);
            }
        };
        for (id, link) in &self.links {
            if let Some(time) = link.to_target.next() {
                let takes = |server: &Server| {
                    server.connection.wants_to_receive()
                        && (link.to_client.has_room() || !server.connection.wants_to_send())
                };
                if link.server.as_ref().is_none_or(takes) {
                    at(time, Event::ToTarget(*id));
                }
            }
            link.to_client.next().iter().for_each(|time| at(*time, Event::ToClient(*id)));
            let Some(server) = &link.server else { continue };
            let timeout = match server.connection.next_timeout() {
                Some(time) => time.as_micros() as u64,
                None => server.since + LOGIN_PATIENCE,
            };
            at(timeout, Event::ServerTimeout(*id));
        }
        let house = self.house.borrow();
        house.next().iter().for_each(|time| at(*time, Event::Disk));
        if !house.hungry.is_empty() {
            at(self.memory_due, Event::Memory);
        }
        for (number, client) in self.clients.iter().enumerate() {
            if let Some(time) = client.next() {
                let time = if client.link.is_none() { time.max(self.down_until) } else { time };
                at(time, Event::Client(number));
            }
            if client.pause_until > now {
                at(client.pause_until, Event::Client(number));
            }
        }
        if !self.is_calm {
            at(self.next_trouble, Event::Trouble);
        }
        drop(house);
        if due.is_empty() {
            if next == u64::MAX {
                return None;
            }
            self.now = next;
            self.house.borrow_mut().now = next;
            return self.next_event();
        }
        Some(due[self.random.below(due.len() as u64) as usize])
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::ToTarget(id) => self.arrive_at_target(id),
            Event::ToClient(id) => self.arrive_at_client(id)?,
            Event::ServerTimeout(id) => self.time_out(id),
            Event::Memory => self.feed(),
            Event::Disk => self.step_disk(),
            Event::Client(number) => self.wake(number),
            Event::Trouble => self.trouble(),
        }
        self.house.borrow_mut().now = self.now;
        self.close_replaced();
        for number in 0..self.clients.len() {
            self.clients[number].work(self.now, SECTORS, &mut self.history);
            self.transmit_client(number);
        }
        Ok(())
    }

    fn time_out(&mut self, id: LinkId) {
        let now = Duration::from_micros(self.now);
        let Some(server) = self.links.get_mut(&id).and_then(|link| link.server.as_mut()) else { return };
        if server.connection.is_logging_in() {
            return self.close_server(id);
        }
        server.connection.handle_timeout(now, &mut server.guest);
        self.pump(id);
    }

    fn feed(&mut self) {
        let hungry = std::mem::take(&mut self.house.borrow_mut().hungry);
        for id in hungry {
            if let Some(server) = self.links.get_mut(&id).and_then(|link| link.server.as_mut()) {
                server.connection.memory_available(&mut server.guest);
                self.pump(id);
            }
        }
        self.memory_due = self.now + 1 + self.random.below(10_000);
    }

    fn step_disk(&mut self) {
        let ended = self.house.borrow_mut().step();
        let Some((id, task, outcome)) = ended else { return };
        if let Some(server) = self.links.get_mut(&id).and_then(|link| link.server.as_mut()) {
            server.connection.complete(task, outcome, &mut server.guest);
            self.pump(id);
        }
    }

    fn wake(&mut self, number: usize) {
        let client = &mut self.clients[number];
        if client.wants_to_connect(self.now) {
            if self.now < self.down_until {
                return;
            }
            let id = self.next_link;
            self.next_link += 1;
            self.report.sessions += 1;
            client.connected(id, self.now);
            let mut random = self.random.fork();
            let fill = Box::new(move |bytes: &mut [u8]| random.fill(bytes));
            let server = Server {
                connection: Connection::new(self.wishes.clone(), fill),
                guest: Guest::new(&self.house, id),
                since: self.now,
            };
            let pipe = || Pipe::new(self.manner);
            let link = Link {
                client: number,
                to_target: pipe(),
                to_client: pipe(),
                server: Some(server),
                is_cut: false,
            };
            self.links.insert(id, link);
        } else if !client.is_patient(self.now)
            && let Some(id) = client.link
        {
            self.leave_link(id);
        }
    }

    fn transmit_client(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let Some(link) = client.link.and_then(|id| self.links.get_mut(&id)) else { return };
        let (now, random) = (self.now, &mut self.random);
        client.transmit(|bytes| link.to_target.send(now, bytes, random));
    }
}

fn client(number: u64, random: &mut Random) -> Client {
    let settings = ClientSettings {
        initiator_name: format!("iqn.2026-01.io.timedisk:client{number}"),
        wishes: wishes(random),
        ..ClientSettings::new([0, 0, number as u8])
    };
    let depth = random.pick(&[1, 2, 8, 32]);
    let commands = random.pick(&[50, 150, 400]);
    Client::new(settings, depth, commands, random.fork())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_does_the_same_each_time() {
        for seed in 0..5 {
            assert_eq!(run(seed), run(seed));
        }
    }

    #[test]
    fn no_acknowledged_data_are_lost_and_nothing_stands_still() {
        for seed in 100_000..100_050 {
            run(seed).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
    }
}
