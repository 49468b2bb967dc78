//! The running daemon, as those see it who look after it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use timedisk_scsi::Attention;
use timedisk_target::{Disk as Served, Limits, Listening, Server, SessionStatus, Stuck};

use crate::command_line::ServeOptions;
use crate::inventory::Inventory;
use crate::plan::{self, Disk, Plan, Unplanned};

/// How long commands are given to end when a disk is to be taken away.
const PATIENCE: Duration = Duration::from_secs(10);

/// The running daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    server: Server,
    inventory: Mutex<Inventory>,
    /// What is served, to be looked at without waiting for a change that is under way.
    shown: RwLock<Arc<Vec<Shown>>>,
    options: ServeOptions,
    begun: Instant,
}

/// A disk that is served.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) disk: Disk,
    pub(crate) served: Arc<Served>,
}

/// What a reload did.
#[derive(Debug, Default)]
pub(crate) struct Reloaded {
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) changed: Vec<String>,
    pub(crate) notices: Vec<String>,
}

impl Reloaded {
    /// In a few words.
    pub(crate) fn summary(&self) -> String {
        let lists = [("added", &self.added), ("removed", &self.removed), ("changed", &self.changed)];
        let said = lists.iter().filter(|(_, names)| !names.is_empty());
        let said: Vec<String> = said.map(|(what, names)| format!("{what} {}", names.join(", "))).collect();
        if said.is_empty() { "nothing has changed".to_owned() } else { said.join("; ") }
    }
}

impl Daemon {
    /// Opens the disks and serves them.
    pub(crate) fn start(
        listening: Listening,
        plan: Plan,
        mut inventory: Inventory,
        options: ServeOptions,
    ) -> anyhow::Result<Arc<Daemon>> {
        let prepared = inventory.prepare(plan, options.allow_shrink)?;
        inventory.commit(prepared, Instant::now() + PATIENCE)?;
        inventory.warn_of_little_room();
        let limits = Limits { sessions: options.sessions.into(), ..Limits::default() };
        let server =
            Server::start(listening, inventory.catalogue(), limits).context("can't start a thread")?;
        let shown = RwLock::new(Arc::new(shown(&inventory)));
        let (inventory, begun) = (Mutex::new(inventory), Instant::now());
        Ok(Arc::new(Daemon { server, inventory, shown, options, begun }))
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// What is served now.
    pub(crate) fn shown(&self) -> Arc<Vec<Shown>> {
        Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn sessions(&self) -> Vec<SessionStatus> {
        self.server.sessions()
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.begun.elapsed()
    }

    fn inventory(&self) -> MutexGuard<'_, Inventory> {
        self.inventory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, inventory: &Inventory) {
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shown(inventory));
    }

    /// Reads the files again, and serves what they say: all of it, or else goes on as before.
    pub(crate) fn reload(&self, allow_shrink: bool) -> Result<Reloaded, Unplanned> {
        let mut inventory = self.inventory();
        let gathered = plan::gather(&self.options)?;
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

    /// Does something to the disk of this name. `None` where there is none.
    fn on<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Inventory, usize) -> anyhow::Result<(T, Vec<Attention>)>,
    ) -> Option<anyhow::Result<T>> {
        let mut inventory = self.inventory();
        let position = inventory.find(name)?;
        let result = act(&mut inventory, position);
        let served = inventory.unit(position).map(|unit| Arc::clone(&unit.served));
        self.show(&inventory);
        drop(inventory);
        Some(result.map(|(value, attentions)| {
            for (served, attention) in
                served.iter().flat_map(|served| attentions.iter().map(move |a| (served, a)))
            {
                self.server.tell(served.unit(), *attention);
            }
            value
        }))
    }

    /// Makes a disk larger. `None` where there is no such disk.
    pub(crate) fn resize_disk(&self, name: &str, bytes: u64) -> Option<anyhow::Result<bool>> {
        self.on(name, |inventory, position| {
            let grown = inventory.resize(position, bytes)?;
            Ok((grown, grown.then_some(Attention::CapacityChanged).into_iter().collect()))
        })
    }

    pub(crate) fn take_offline(&self, name: &str) -> Option<anyhow::Result<()>> {
        let deadline = Instant::now() + PATIENCE;
        self.on(name, |inventory, position| Ok((inventory.take_offline(position, deadline)?, Vec::new())))
    }

    pub(crate) fn bring_online(&self, name: &str) -> Option<anyhow::Result<()>> {
        self.on(name, |inventory, position| Ok(((), inventory.bring_online(position)?)))
    }

    pub(crate) fn accept_loss_of(&self, name: &str) -> Option<anyhow::Result<()>> {
        self.on(name, |inventory, position| Ok((inventory.accept_loss(position)?, Vec::new())))
    }

    /// Stops, and names disks that are stuck.
    pub(crate) fn shutdown(&self, grace: Duration) -> Result<(), Stuck> {
        self.server.shutdown(grace)
    }
}

fn shown(inventory: &Inventory) -> Vec<Shown> {
    let one = |(disk, unit): (&Disk, &crate::inventory::Unit)| Shown {
        disk: disk.clone(),
        served: Arc::clone(&unit.served),
    };
    inventory.disks().map(one).collect()
}
