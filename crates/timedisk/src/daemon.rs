//! The running daemon, as those see it who look after it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError, Weak};
use std::time::{Duration, Instant};

use anyhow::Context;
use timedisk_scsi::{Attention, OverhaulState};
use timedisk_target::{Disk as Served, Listening, PortalGroup, Server, SessionStatus, Stuck};
use timedisk_volume::{Health, MirrorVolume, Volume};

use crate::command_line::ServeOptions;
use crate::control::{self, AccessState, DiskState, Erasing, Refusal, RefusalKind, Reloaded, Status};
use crate::descriptors;
use crate::inventory::{Comparisons, Inventory, Mirror, check_path};
use crate::plan::{self, Disk, Part, Plan, Unplanned};
use crate::portals;
use crate::rooms::Rooms;
use crate::service::notify;

/// How long commands are given to end when a disk is to be taken away.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long another change that is under way is waited for.
const FOR_A_TURN: Duration = Duration::from_secs(4);

/// As long for a reload that nobody could ask for again: of changes that end at all, none takes longer.
const FOR_A_SIGNALS_TURN: Duration = Duration::from_secs(60);

/// How often is looked whether another change has ended.
const LOOK: Duration = Duration::from_millis(5);

/// The running daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    server: Server,
    /// Held while files are read and until what they say is served, so that what was read last is served last.
    reloading: Mutex<()>,
    inventory: Mutex<Inventory>,
    /// What is served, to be looked at without waiting for a change that is under way.
    shown: RwLock<Arc<Vec<Shown>>>,
    rooms: Rooms,
    /// Where it listens, if the groups are named.
    portals: Vec<PortalGroup>,
    options: ServeOptions,
    begun: Instant,
}

/// A disk that is served.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) disk: Disk,
    pub(crate) served: Arc<Served>,
    /// With the names of their devices. Who asks how they are must not keep them open.
    mirrors: Vec<(String, Weak<MirrorVolume>, Arc<Comparisons>)>,
}

impl Daemon {
    /// Opens the disks and serves them.
    pub(crate) fn start(
        listening: Listening,
        plan: Plan,
        mut inventory: Inventory,
        options: ServeOptions,
    ) -> anyhow::Result<Arc<Daemon>> {
        // Before files are opened: there may be more of them than is usual.
        let portals = portals::listening(&plan.portals, &options)?;
        let extents = plan.disks.iter().map(|disk| disk.parts.len()).sum();
        let limits = descriptors::limits(options.sessions, extents);
        let prepared = inventory.prepare(plan, options.allow_shrink)?;
        inventory.commit(prepared, Instant::now() + PATIENCE)?;
        inventory.warn_of_little_room();
        let server =
            Server::start(listening, inventory.catalogue(), limits).context("can't start a thread")?;
        let shown = RwLock::new(Arc::new(shown(&inventory)));
        let (inventory, begun) = (Mutex::new(inventory), Instant::now());
        let (reloading, rooms) = (Mutex::default(), Rooms::start()?);
        Ok(Arc::new(Daemon { server, reloading, inventory, shown, rooms, portals, options, begun }))
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// What is served now.
    pub(crate) fn shown(&self) -> Arc<Vec<Shown>> {
        Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn show(&self, inventory: &Inventory) {
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shown(inventory));
    }

    /// SIGHUP: reads the files again, and serves what they say: all of it, or else goes on as before.
    pub(crate) fn reload_for_signal(&self) -> Result<Reloaded, Unplanned> {
        self.reload_files(false, FOR_A_SIGNALS_TURN)
    }

    fn reload_files(&self, allow_shrink: bool, for_a_turn: Duration) -> Result<Reloaded, Unplanned> {
        notify::reloading();
        let result = self.change(allow_shrink, Instant::now() + for_a_turn);
        notify::ready(&self.summary());
        result
    }

    /// `turn` is until when other changes are waited for. Files may hang as long as they like: whoever has no need of
    /// them goes on meanwhile.
    fn change(&self, allow_shrink: bool, turn: Instant) -> Result<Reloaded, Unplanned> {
        let _reloading = lock(&self.reloading, turn)?;
        let gathered = plan::gather(&self.options)?;
        if gathered.plan.disks.is_empty() {
            // A file that is being written is empty for a moment.
            let error = anyhow::anyhow!("there is nothing to serve: to serve nothing, stop the daemon");
            return Err(Unplanned { error, remarks: gathered.notices });
        }
        if !portals::are_same(&portals::listening(&gathered.plan.portals, &self.options)?, &self.portals) {
            let error = anyhow::anyhow!(
                "portal groups have other addresses than when it was started; restart it to have it listen there"
            );
            return Err(Unplanned { error, remarks: gathered.notices });
        }
        let mut inventory = lock(&self.inventory, turn)?;
        let result = inventory.prepare(gathered.plan, allow_shrink).and_then(|prepared| {
            let deadline = Instant::now() + PATIENCE;
            inventory.commit(prepared, deadline)
        });
        let mut changes = match result {
            Ok(changes) => changes,
            Err(error) => return Err(Unplanned { error, remarks: gathered.notices }),
        };
        self.server.exchange(inventory.catalogue());
        self.show(&inventory);
        for (unit, attention) in std::mem::take(&mut changes.attentions) {
            self.server.tell(&unit, attention);
        }
        let mut notices = gathered.notices;
        notices.extend(changes.close_leaving(Instant::now() + PATIENCE));
        let (added, removed, changed) = (changes.added, changes.removed, changes.changed);
        Ok(Reloaded { added, removed, changed, notices })
    }

    /// Does something to the disk of this name, and tells its clients what it came to.
    fn on(
        &self,
        name: &str,
        act: impl FnOnce(&mut Inventory, usize) -> anyhow::Result<Vec<Attention>>,
    ) -> Result<(), Refusal> {
        let turn = Instant::now() + FOR_A_TURN;
        let mut inventory = lock(&self.inventory, turn)
            .map_err(|error| Refusal::new(RefusalKind::Busy, error.to_string()))?;
        let Some(position) = inventory.find(name) else {
            return Err(no_disk(name));
        };
        let result = act(&mut inventory, position);
        let served = inventory.unit(position).map(|unit| Arc::clone(&unit.served));
        self.show(&inventory);
        drop(inventory);
        let attentions = result.map_err(|error| Refusal::new(RefusalKind::Conflict, format!("{error:#}")))?;
        for (served, attention) in
            served.iter().flat_map(|served| attentions.iter().map(move |a| (served, a)))
        {
            self.server.tell(served.unit(), *attention);
        }
        Ok(())
    }

    /// In a few words, for the service manager.
    pub(crate) fn summary(&self) -> String {
        let (disks, addresses) = (self.shown().len(), self.server.addresses());
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        format!("{disks} disk{} on {}", if disks == 1 { "" } else { "s" }, addresses.join(", "))
    }

    /// Stops, and names disks that are stuck.
    pub(crate) fn shutdown(&self, grace: Duration) -> Result<(), Stuck> {
        let stopped = self.server.shutdown(grace);
        if stopped.is_ok()
            && let Ok(mut inventory) = lock(&self.inventory, Instant::now() + FOR_A_TURN)
        {
            inventory.close_all();
        }
        stopped
    }
}

impl control::Daemon for Daemon {
    fn status(&self) -> Status {
        let sessions = self.server.sessions();
        let at_target =
            |iqn: &str| sessions.iter().filter(|session| session.target.as_deref() == Some(iqn)).count();
        let shown = self.shown();
        let parts = shown.iter().flat_map(|shown| &shown.disk.parts);
        self.rooms.look_at(parts.map(|part| part.path.clone()).collect());
        let status = |shown: &Shown| shown.status(at_target(&shown.disk.iqn), &self.rooms);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process: std::process::id(),
            uptime_seconds: self.begun.elapsed().as_secs(),
            listening: self.server.addresses().iter().map(ToString::to_string).collect(),
            disks: shown.iter().map(status).collect(),
            sessions: sessions.into_iter().map(session_status).collect(),
        }
    }

    fn kick(&self, session: u16) -> Result<(), Refusal> {
        match self.server.kick(session) {
            true => Ok(()),
            false => Err(Refusal::new(
                RefusalKind::NotFound,
                format!("there is no session {session}; see `timedisk status` for those there are"),
            )),
        }
    }

    fn reload(&self, allow_shrink: bool) -> Result<Reloaded, Refusal> {
        let reloaded =
            self.reload_files(allow_shrink, FOR_A_TURN).map_err(|Unplanned { error, remarks }| {
                let kind = if remarks.is_empty() { RefusalKind::Conflict } else { RefusalKind::Invalid };
                Refusal {
                    kind,
                    error: format!("not reloaded, everything goes on as before: {error:#}"),
                    remarks,
                }
            })?;
        tracing::info!("reloaded: {}", reloaded.summary());
        Ok(reloaded)
    }

    fn resize(&self, disk: &str, bytes: u64) -> Result<(), Refusal> {
        self.on(disk, |inventory, position| {
            let grown = inventory.resize(position, bytes)?;
            Ok(grown.then_some(Attention::CapacityChanged).into_iter().collect())
        })
    }

    fn offline(&self, disk: &str) -> Result<(), Refusal> {
        self.on(disk, |inventory, position| {
            // From here on: waiting for others is not to be taken from what its commands are given.
            let deadline = Instant::now() + PATIENCE;
            inventory.take_offline(position, deadline).map(|()| Vec::new())
        })
    }

    fn online(&self, disk: &str) -> Result<(), Refusal> {
        self.on(disk, |inventory, position| inventory.bring_online(position))
    }

    fn set_access(&self, disk: &str, group: u16, state: AccessState) -> Result<(), Refusal> {
        self.on(disk, |inventory, position| {
            inventory.set_access_state(position, group, portals::state_of(state))
        })
    }

    fn replace_member(&self, disk: &str, member: &str, path: Option<&str>) -> Result<(), Refusal> {
        self.on(disk, |inventory, position| {
            inventory.replace_member(position, member, check_path(path)?).map(|()| Vec::new())
        })
    }

    fn scrub(&self, disk: &str) -> Result<(), Refusal> {
        self.on(disk, |inventory, position| inventory.scrub(position).map(|()| Vec::new()))
    }

    fn viewed(&self, disk: &str) -> Result<control::Viewed, Refusal> {
        let inventory = lock(&self.inventory, Instant::now() + FOR_A_TURN)
            .map_err(|error| Refusal::new(RefusalKind::Busy, error.to_string()))?;
        let unit = inventory.find(disk).and_then(|position| inventory.unit(position));
        let unit = unit.ok_or_else(|| no_disk(disk))?;
        let name = unit.disk.name.clone();
        match unit.viewed() {
            Some(volume) => Ok(control::Viewed { volume, scratch: inventory.scratch_directory(unit), name }),
            None => Err(Refusal::new(RefusalKind::Conflict, format!("{name} is offline: copy its file"))),
        }
    }

    fn accept_loss(&self, disk: &str) -> Result<(), Refusal> {
        self.on(disk, |inventory, position| inventory.accept_loss(position).map(|()| Vec::new()))
    }
}

impl Shown {
    fn status(&self, sessions: usize, rooms: &Rooms) -> control::Disk {
        let (disk, unit) = (&self.disk, self.served.unit());
        let state = match unit.medium().present().map(|volume| volume.health()) {
            None => DiskState::Offline,
            Some(Health::Good) => DiskState::Online,
            Some(Health::FlushFailed) => DiskState::Failed,
        };
        let mirror = |(name, mirror, comparisons): &(String, Weak<MirrorVolume>, Arc<Comparisons>)| {
            let times = [comparisons.last(), comparisons.next()];
            Some(control::Mirror::of(name, &mirror.upgrade()?.report(), times))
        };
        let allocated = |part: &Part| rooms.allocated(&part.path);
        let traffic = unit.counters().traffic();
        control::Disk {
            name: disk.name.clone(),
            iqn: disk.iqn.clone(),
            lun: disk.lun,
            paths: disk.parts.iter().map(|part| part.path.display().to_string()).collect(),
            size_bytes: unit.medium().capacity(),
            allocated_bytes: disk.parts.iter().map(allocated).sum(),
            block_length: disk.block_length,
            read_only: unit.is_read_only(),
            state,
            erasing: unit.overhaul_state().map(|state| match state {
                OverhaulState::GoesOn(percent) => Erasing::Percent(percent),
                OverhaulState::Failed => Erasing::Failed,
            }),
            mirrors: self.mirrors.iter().filter_map(mirror).collect(),
            serial: unit.identity().serial.clone(),
            sessions: sessions as u64,
            reads: traffic.reads,
            writes: traffic.writes,
            flushes: traffic.flushes,
            read_bytes: traffic.read_bytes,
            written_bytes: traffic.written_bytes,
            in_flight: self.served.in_flight() as u64,
            access: portals::shown(&unit.port_groups(), &disk.portals),
        }
    }
}

fn no_disk(name: &str) -> Refusal {
    let error = format!("there is no disk {name:?}; see `timedisk status` for those there are");
    Refusal::new(RefusalKind::NotFound, error)
}

/// What one change at a time has. Another one may be waiting for a file that never answers.
fn lock<T>(mutex: &Mutex<T>, turn: Instant) -> anyhow::Result<MutexGuard<'_, T>> {
    loop {
        match mutex.try_lock() {
            Ok(guard) => return Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() < turn => std::thread::sleep(LOOK),
            Err(TryLockError::WouldBlock) => {
                anyhow::bail!("another change is under way and waits for a file or a disk; try again later")
            }
        }
    }
}

fn session_status(session: SessionStatus) -> control::Session {
    let pairs = session.negotiated.into_iter();
    control::Session {
        id: session.tsih,
        initiator: session.initiator,
        alias: session.alias,
        peer: session.peer.to_string(),
        target: session.target,
        user: session.user,
        age_seconds: session.age.as_secs(),
        in_flight: session.in_flight,
        window: session.window,
        commands: session.commands,
        read_bytes: session.read_bytes,
        written_bytes: session.written_bytes,
        negotiated: pairs.map(|(key, value)| (key.to_owned(), value)).collect(),
    }
}

fn weakly(mirror: &Mirror) -> (String, Weak<MirrorVolume>, Arc<Comparisons>) {
    (mirror.name.clone(), Arc::downgrade(&mirror.volume), Arc::clone(&mirror.comparisons))
}

fn shown(inventory: &Inventory) -> Vec<Shown> {
    let one = |(disk, unit): (&Disk, &crate::inventory::Unit)| Shown {
        disk: disk.clone(),
        served: Arc::clone(&unit.served),
        mirrors: unit.healing.iter().flat_map(|healing| &healing.mirrors).map(weakly).collect(),
    };
    inventory.disks().map(one).collect()
}
