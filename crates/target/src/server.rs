//! A running server: listeners, connections, and an orderly end.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use timedisk_scsi::{Attention, LogicalUnit};

use crate::connection;
use crate::control::{Control, Message};
use crate::disk::{Disk, Unrest};
use crate::house::{House, PORTAL_GROUP_TAG, Portals, Presence};
use crate::listener::Listening;
use crate::session_record::SessionStatus;
use crate::settings::{Catalogue, Limits};

/// How long initiators are given to log out by themselves when the server stops.
const LOGOUT: Duration = Duration::from_secs(2);

/// How often a listener looks whether it is to stop.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// A pause when the system has no more file descriptors or threads.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// A running server.
#[derive(Debug)]
pub struct Server {
    house: Arc<House>,
    addresses: Vec<SocketAddr>,
    stopping: Arc<AtomicBool>,
    listeners: Mutex<Vec<JoinHandle<()>>>,
    /// Of each listener, how often it has come round.
    rounds: Vec<Arc<AtomicU64>>,
}

/// Disks that did not come to rest in time.
#[derive(Debug, thiserror::Error)]
#[error("commands on {} did not end in time", disks.join(", "))]
pub struct Stuck {
    /// Their names.
    pub disks: Vec<String>,
}

impl Server {
    /// Starts to serve.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(listening: Listening, catalogue: Catalogue, limits: Limits) -> std::io::Result<Server> {
        let Listening { sockets, groups } = listening;
        let locals = sockets.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
        let portals = Portals(groups.iter().copied().zip(locals).collect());
        let house = Arc::new(House::new(catalogue, limits, portals)?);
        let stopping = Arc::new(AtomicBool::new(false));
        let mut server = Server {
            house,
            addresses: Vec::new(),
            stopping,
            listeners: Mutex::default(),
            rounds: Vec::new(),
        };
        // Where groups are not named there is one.
        let groups = groups.into_iter().chain(std::iter::repeat(PORTAL_GROUP_TAG));
        for (socket, group) in sockets.into_iter().zip(groups) {
            let local = socket.local_addr()?;
            server.addresses.push(local);
            let (house, stopping) = (Arc::clone(&server.house), Arc::clone(&server.stopping));
            let thread = std::thread::Builder::new().name(format!("listen {local}"));
            let round = Arc::new(AtomicU64::new(0));
            server.rounds.push(Arc::clone(&round));
            let spawned = thread.spawn(move || accept(&house, (&socket, group), &stopping, &round));
            server.threads().push(spawned?);
        }
        Ok(server)
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it listens, with the ports that the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Those of the addresses at which a target is served by these portal groups, none meaning all.
    pub fn addresses_of(&self, portal_groups: &[u16]) -> Vec<SocketAddr> {
        let groups = &self.house.portals.0;
        let serves = |address: &&SocketAddr| {
            portal_groups.is_empty()
                || groups.iter().any(|(tag, at)| at == *address && portal_groups.contains(tag))
        };
        self.addresses.iter().filter(serves).copied().collect()
    }

    /// How often each listener has come round: what does not go up stands still.
    pub fn rounds(&self) -> Vec<u64> {
        self.rounds.iter().map(|round| round.load(Ordering::Relaxed)).collect()
    }

    /// Serves this from now on. Sessions that it does not concern notice nothing; those that may not go on are logged
    /// out; the others are told what is new to them.
    pub fn exchange(&self, catalogue: Catalogue) {
        self.house.exchange(catalogue);
        self.house.registry.tell_all(|| Message::Reload);
    }

    /// Tells all who use a logical unit, by unit attention and by an asynchronous message.
    pub fn tell(&self, unit: &Arc<LogicalUnit>, attention: Attention) {
        unit.tell(attention);
        self.house.registry.tell_all(|| Message::Attention(Arc::clone(unit), attention));
    }

    /// All sessions, the oldest first.
    pub fn sessions(&self) -> Vec<SessionStatus> {
        self.house.registry.sessions()
    }

    /// Ends a session; its initiator may log in again. `false` where there is none of this handle.
    pub fn kick(&self, tsih: u16) -> bool {
        self.house.registry.tell(tsih, Message::Drop("an administrator has ended it"))
    }

    /// Stops: accepts nothing more, lets initiators log out, lets commands in flight end, flushes. Disks that are not
    /// at rest when `grace` is over are named.
    pub fn shutdown(&self, grace: Duration) -> Result<(), Stuck> {
        let deadline = Instant::now() + grace;
        self.stopping.store(true, Ordering::Relaxed);
        let listeners = std::mem::take(&mut *self.threads());
        for listener in listeners {
            let _ = listener.join();
        }
        // Some of the time is kept for the flushes: a session that waits for a stuck disk must not cost the other
        // disks theirs.
        let answered = deadline.checked_sub(grace / 4).unwrap_or(deadline);
        let registry = &self.house.registry;
        registry.tell_all(|| Message::AskForLogout);
        registry.wait_until_empty(false, answered.min(Instant::now() + LOGOUT));
        registry.tell_all(|| Message::Drain);
        registry.wait_until_empty(false, answered);
        flush(self.house.catalogue().disks(), deadline)
    }
}

/// Flushes every disk at once, each on a thread of its own: a stuck one must not keep the others from it.
fn flush(disks: Vec<Arc<Disk>>, deadline: Instant) -> Result<(), Stuck> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut waiting: Vec<String> = Vec::new();
    for disk in disks {
        let Some(volume) = disk.unit().medium().present() else { continue };
        disk.unit().halt_overhaul();
        let (sender, name) = (sender.clone(), disk.name());
        waiting.push(name.clone());
        let thread = std::thread::Builder::new().name(format!("flush {name}"));
        let spawned = thread.spawn(move || {
            let result = disk.bring_to_rest(&volume, deadline);
            if let Err(error @ (Unrest::Flush(..) | Unrest::NoThread(..))) = &result {
                tracing::error!("{error}");
            }
            let _ = sender.send((name, !matches!(result, Err(Unrest::Stuck(_) | Unrest::FlushHangs(_)))));
        });
        if let Err(error) = spawned {
            tracing::error!("no thread for the last flush: {error}");
        }
    }
    drop(sender);
    while let Ok((name, at_rest)) = receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    {
        if at_rest && let Some(position) = waiting.iter().position(|waits| *waits == name) {
            waiting.swap_remove(position);
        }
    }
    if waiting.is_empty() { Ok(()) } else { Err(Stuck { disks: waiting }) }
}

fn accept(
    house: &Arc<House>,
    (socket, group): (&TcpListener, u16),
    stopping: &AtomicBool,
    round: &AtomicU64,
) {
    while !stopping.load(Ordering::Relaxed) {
        round.fetch_add(1, Ordering::Relaxed);
        let mut polled = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
        let _ = poll(&mut polled, Some(&LOOK));
        match socket.accept() {
            Ok((stream, peer)) => {
                if let Err(error) = welcome(house, stream, peer, group) {
                    tracing::error!("connection from {peer} closed: {error}");
                    house.registry.make_room();
                    std::thread::sleep(EXHAUSTED);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!("can't accept connections: {error}");
                house.registry.make_room();
                std::thread::sleep(EXHAUSTED);
            }
        }
    }
}

fn welcome(
    house: &Arc<House>,
    stream: std::net::TcpStream,
    peer: SocketAddr,
    portal_group: u16,
) -> std::io::Result<()> {
    let control = Arc::new(Control::new()?);
    let presence = Presence::new(house, &control);
    let thread = std::thread::Builder::new().name(format!("client {peer}"));
    thread.spawn(move || connection::serve(stream, (peer, portal_group), &control, presence)).map(drop)
}
