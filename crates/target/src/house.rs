//! What a connection finds in the house: targets, users, memory, other sessions.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use timedisk_iscsi::full_feature::{Command, Function, Host, Outcome, Plan, TaskId};
use timedisk_iscsi::login::{self, LoginStatus, NewSession, Policy, TargetAnswer};
use timedisk_scsi::{DeviceServer, LogicalUnit, NexusId};

use crate::control::{Control, Message};
use crate::execution::{Executor, Job, execute_now, internal_failure};
use crate::memory::{Buffer, Pool, Share};
use crate::registry::{Key, Registry};
use crate::settings::{Authentication, Limits, Target, User};

/// The one portal group of this server (RFC 7143 §13.9).
pub(crate) const PORTAL_GROUP_TAG: u16 = 1;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) targets: Vec<Arc<Served>>,
    pub(crate) users: Vec<User>,
    pub(crate) registry: Registry,
    pub(crate) pool: Arc<Pool>,
    pub(crate) limits: Limits,
}

/// A target with its device server.
pub(crate) struct Served {
    pub(crate) target: Target,
    pub(crate) server: Arc<DeviceServer>,
    executors: Vec<Arc<Executor>>,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Served").field("target", &self.target).finish_non_exhaustive()
    }
}

impl House {
    pub(crate) fn new(targets: Vec<Target>, users: Vec<User>, limits: Limits) -> Self {
        // A disk that is served under two names still has one executor.
        let mut executors: Vec<Arc<Executor>> = Vec::new();
        for (_, unit) in targets.iter().flat_map(|target| &target.units) {
            if !executors.iter().any(|executor| Arc::ptr_eq(executor.unit(), unit)) {
                executors.push(Executor::new(Arc::clone(unit)));
            }
        }
        let served = targets.into_iter().map(|target| {
            let server = Arc::new(DeviceServer::new(&target.name, PORTAL_GROUP_TAG, target.units.clone()));
            let own = |executor: &&Arc<Executor>| {
                target.units.iter().any(|(_, unit)| Arc::ptr_eq(unit, executor.unit()))
            };
            let executors = executors.iter().filter(own).map(Arc::clone).collect();
            Arc::new(Served { target, server, executors })
        });
        House {
            targets: served.collect(),
            users,
            registry: Registry::new(limits.sessions, limits.strangers),
            pool: Pool::new(limits.memory),
            limits,
        }
    }

    /// Every disk's executor, once.
    pub(crate) fn executors(&self) -> Vec<Arc<Executor>> {
        let mut all: Vec<Arc<Executor>> = Vec::new();
        for executor in self.targets.iter().flat_map(|served| &served.executors) {
            if !all.iter().any(|known| Arc::ptr_eq(known, executor)) {
                all.push(Arc::clone(executor));
            }
        }
        all
    }

    fn find(&self, name: &str) -> Option<&Arc<Served>> {
        self.targets.iter().find(|served| served.target.name == name)
    }
}

impl Served {
    fn executor(&self, unit: &Arc<LogicalUnit>) -> Option<&Arc<Executor>> {
        self.executors.iter().find(|executor| Arc::ptr_eq(executor.unit(), unit))
    }
}

/// A connection's view of the house.
#[derive(Debug)]
pub(crate) struct Guest {
    house: Arc<House>,
    control: Arc<Control>,
    peer: IpAddr,
    local: SocketAddr,
    share: Share,
    /// Once logged in.
    nexus: Option<NexusId>,
    /// Once logged in to a target.
    served: Option<Arc<Served>>,
}

impl Guest {
    pub(crate) fn new(house: &Arc<House>, control: &Arc<Control>, peer: IpAddr, local: SocketAddr) -> Self {
        Guest {
            house: Arc::clone(house),
            control: Arc::clone(control),
            peer: peer.to_canonical(),
            local,
            share: Share::new(&house.pool, control, house.limits.session_memory),
            nexus: None,
            served: None,
        }
    }

    fn may_see(&self, served: &Served) -> bool {
        (served.target.access)(self.peer)
    }

    /// The session, if there was one, is over.
    pub(crate) fn leave(&mut self) {
        let Some(nexus) = self.nexus.take() else { return };
        if let Some(served) = self.served.take() {
            served.executors.iter().for_each(|executor| executor.abandon_nexus(nexus));
            served.server.nexus_lost(nexus);
        }
        self.house.registry.dismiss(nexus);
    }

    fn reset(&self, served: &Served, nexus: NexusId, function: Function, lun: Option<[u8; 8]>) {
        let unit = lun.and_then(|lun| served.server.unit(lun));
        let concerned = |executor: &&Arc<Executor>| {
            lun.is_none() || unit.is_some_and(|unit| Arc::ptr_eq(unit, executor.unit()))
        };
        // First what runs, then the word: what a session starts after it has heard must not be abandoned as well.
        let abandon = |victim: NexusId| {
            served.executors.iter().filter(concerned).for_each(|executor| executor.abandon_nexus(victim));
        };
        let told = || Message::Aborted(lun);
        let others = self.house.registry.tell_others(&served.target.name, nexus, abandon, told);
        let units = served.server.units().map(|(number, _)| lun_field(number));
        for unit in units.filter(|unit| lun.is_none_or(|lun| lun == *unit)) {
            match function {
                Function::ClearTaskSet => {
                    others.iter().for_each(|victim| served.server.tasks_cleared(unit, *victim))
                }
                _ => served.server.reset_unit(unit),
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A command, for the log.
struct Described<'a>(&'a Command<Buffer>);

impl std::fmt::Display for Described<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cdb = self.0.cdb.bytes();
        let name = timedisk_scsi::command_name(cdb).unwrap_or("unknown command");
        write!(formatter, "task {:08x}h: {name}, CDB", self.0.id.tag)?;
        cdb.iter().try_for_each(|byte| write!(formatter, " {byte:02x}"))
    }
}

/// A logical unit number as REPORT LUNS gives it: peripheral addressing below 256, flat above (SAM-5 4.7.7).
fn lun_field(number: u16) -> [u8; 8] {
    let [high, low] = if number < 256 { number.to_be_bytes() } else { (number | 0x4000).to_be_bytes() };
    [high, low, 0, 0, 0, 0, 0, 0]
}

impl Policy for Guest {
    fn portal_group_tag(&self) -> u16 {
        PORTAL_GROUP_TAG
    }

    fn target(&self, name: &str) -> TargetAnswer {
        match self.house.find(name) {
            None => TargetAnswer::NotFound,
            Some(served) if !self.may_see(served) => TargetAnswer::Forbidden,
            Some(served) => TargetAnswer::Found {
                alias: served.target.alias.clone(),
                authentication: match served.target.authentication {
                    Authentication::None => login::Authentication::None,
                    Authentication::Chap { .. } => login::Authentication::Chap,
                },
            },
        }
    }

    fn discovery_authentication(&self) -> login::Authentication {
        login::Authentication::None
    }

    fn secret(&self, target: Option<&str>, user: &str) -> Option<Vec<u8>> {
        let served = self.house.find(target?)?;
        let Authentication::Chap { users } = &served.target.authentication else { return None };
        let allowed = users.iter().any(|name| name == user);
        let found = self.house.users.iter().find(|known| known.name == user);
        found.filter(|_| allowed).map(|found| found.secret.clone())
    }

    fn admit(&mut self, session: &NewSession) -> Result<u16, LoginStatus> {
        let key = Key {
            initiator: session.initiator_name.clone(),
            isid: session.isid,
            target: session.target.clone(),
        };
        let admission = self.house.registry.admit(key, &self.control).ok_or(LoginStatus::OUT_OF_RESOURCES)?;
        self.nexus = Some(admission.nexus);
        let Some(served) = session.target.as_deref().and_then(|name| self.house.find(name)).map(Arc::clone)
        else {
            return Ok(admission.tsih);
        };
        if let Some(replaced) = admission.replaced {
            // The old session starts nothing more; what it has started, the new one's commands wait for.
            served.executors.iter().for_each(|executor| executor.abandon_nexus(replaced));
            served.server.nexus_lost(replaced);
        }
        let [a, b, c, d, e, f] = session.isid;
        let port = format!("{},i,0x{a:02x}{b:02x}{c:02x}{d:02x}{e:02x}{f:02x}", session.initiator_name);
        served.server.nexus_established(admission.nexus, &port);
        self.served = Some(served);
        Ok(admission.tsih)
    }
}

impl Host for Guest {
    type Buffer = Buffer;

    fn plan(&mut self, lun: [u8; 8], cdb: &[u8]) -> Plan {
        let Some(served) = &self.served else { return Plan::default() };
        let plan = served.server.plan(lun, cdb);
        Plan { data_in: plan.data_in, data_out: plan.data_out }
    }

    fn allocate(&mut self, length: usize) -> Option<Buffer> {
        self.share.allocate(length)
    }

    fn allocate_reserved(&mut self, length: usize) -> Buffer {
        self.share.allocate_reserved(length)
    }

    fn reserve(&mut self, bytes: usize) -> bool {
        self.share.reserve(bytes)
    }

    fn start(&mut self, mut command: Command<Buffer>) -> Option<Outcome<Buffer>> {
        let (Some(served), Some(nexus)) = (&self.served, self.nexus) else { return Some(internal_failure()) };
        tracing::debug!(target: "scsi", "{}: {}", served.target.name, Described(&command));
        let executor = served.server.unit(command.lun).and_then(|unit| served.executor(unit));
        // Behind an abandoned command waits what it might overtake, and not what the medium has no part in.
        let free = || !served.server.plan(command.lun, command.cdb.bytes()).may_wait;
        if (executor.is_none_or(|executor| !executor.has_abandoned()) || free())
            && let Some(outcome) = execute_now(&served.server, nexus, &mut command)
        {
            return Some(outcome);
        }
        let Some(executor) = executor else { return Some(internal_failure()) };
        let (server, reply) = (Arc::clone(&served.server), Arc::clone(&self.control));
        executor.submit(Job { server, nexus, command, reply });
        None
    }

    fn abandon(&mut self, id: TaskId) {
        if let (Some(served), Some(nexus)) = (&self.served, self.nexus) {
            served.executors.iter().for_each(|executor| executor.abandon(nexus, id));
        }
    }

    fn unit_exists(&mut self, lun: [u8; 8]) -> bool {
        self.served.as_ref().is_some_and(|served| served.server.unit(lun).is_some())
    }

    fn manage(&mut self, function: Function, lun: [u8; 8]) -> bool {
        let (Some(served), Some(nexus)) = (&self.served, self.nexus) else { return false };
        match function {
            Function::ClearTaskSet | Function::LogicalUnitReset => {
                self.reset(served, nexus, function, Some(lun))
            }
            Function::TargetWarmReset => self.reset(served, nexus, function, None),
            _ => return false,
        }
        true
    }

    fn discover(&mut self, name: Option<&str>) -> Vec<(String, Vec<String>)> {
        let visible = self.house.targets.iter().filter(|served| self.may_see(served));
        let named = visible.filter(|served| name.is_none_or(|name| name == served.target.name));
        let address = format!("{},{PORTAL_GROUP_TAG}", canonical(self.local));
        named.map(|served| (served.target.name.clone(), vec![address.clone()])).collect()
    }
}

/// An IPv4 address that came in over an IPv6 socket, as what it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
