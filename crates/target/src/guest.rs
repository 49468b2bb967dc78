//! What a connection finds in the house: its target, users, memory, other sessions.

mod aborts;

use std::net::SocketAddr;
use std::sync::Arc;

use timedisk_iscsi::chap::Identity;
use timedisk_iscsi::full_feature::{AsyncEvent, Attribute, Command, Function, Host, Outcome, Plan, TaskId};
use timedisk_iscsi::login::{self, LoginStatus, NewSession, Policy, TargetAnswer};
use timedisk_scsi::{Attention, LogicalUnit, NexusId, Wait};

use crate::control::{Control, Message, Notice};
use crate::disk::Disk;
use crate::execution::{Errand, Executor};
use crate::house::{House, Index, View};
use crate::job::{Job, execute_now, internal_failure};
use crate::memory::{Buffer, Share};
use crate::registry::Key;
use crate::session_record::SessionRecord;
use crate::settings::{Authentication, Target};

/// Status code (SAM-5 5.3.1).
const CHECK_CONDITION: u8 = 0x02;

/// A connection's view of the house.
#[derive(Debug)]
pub(crate) struct Guest {
    house: Arc<House>,
    control: Arc<Control>,
    peer: SocketAddr,
    local: SocketAddr,
    /// The tag of the portal group that it came in by.
    portal_group: u16,
    share: Share,
    /// Once logged in.
    session: Option<Admitted>,
    /// Commands that this thread is to carry out itself.
    work: Vec<Job>,
}

/// What a guest has once it is logged in.
#[derive(Debug)]
struct Admitted {
    nexus: NexusId,
    /// Name of the initiator port (RFC 7143 §4.2.7.3).
    port: String,
    /// iSCSIProtocolLevel.
    protocol_level: u8,
    record: Arc<SessionRecord>,
    /// Once logged in to a target.
    view: Option<View>,
    /// Disks that are no longer in the view and may still have commands of this session.
    former: Vec<Arc<Disk>>,
}

/// What a new catalogue means for a session.
#[derive(Debug)]
pub(crate) enum Adoption {
    /// It goes on, with this to be told.
    GoOn(Option<AsyncEvent>),
    /// It has to end, for this reason.
    Leave(&'static str),
}

impl Guest {
    pub(crate) fn new(
        house: &Arc<House>,
        control: &Arc<Control>,
        peer: SocketAddr,
        (local, portal_group): (SocketAddr, u16),
    ) -> Self {
        Guest {
            house: Arc::clone(house),
            control: Arc::clone(control),
            peer: canonical(peer),
            local: canonical(local),
            portal_group,
            share: Share::new(&house.pool, control, house.limits.session_memory),
            session: None,
            work: Vec::new(),
        }
    }

    pub(crate) fn record(&self) -> Option<&Arc<SessionRecord>> {
        self.session.as_ref().map(|session| &session.record)
    }

    fn may_see(&self, target: &Target) -> bool {
        target.mounts.iter().any(|mount| (mount.access)(self.peer.ip()))
    }

    fn user(&self) -> Option<&str> {
        self.session.as_ref().and_then(|session| session.record.user.as_deref())
    }

    fn view(&self) -> Option<(&View, NexusId)> {
        let session = self.session.as_ref()?;
        Some((session.view.as_ref()?, session.nexus))
    }

    /// The session, if there was one, is over.
    pub(crate) fn leave(&mut self) {
        self.work.clear();
        let Some(session) = self.session.take() else { return };
        let in_view = session.view.iter().flat_map(|view| view.disks.iter().map(|(_, disk)| disk));
        in_view.chain(&session.former).for_each(|disk| disk.executor().abandon_nexus(session.nexus));
        if let Some(view) = &session.view {
            view.server.nexus_lost(session.nexus);
        }
        self.house.registry.dismiss(session.nexus);
    }

    /// Commands that the connection's thread is to carry out itself, all of one disk, are exchanged for `work`, which
    /// is empty.
    pub(crate) fn exchange_work(&mut self, work: &mut Vec<Job>) -> Option<Arc<Executor>> {
        let executor = Arc::clone(&self.work.first()?.executor);
        if self.work.iter().all(|job| Arc::ptr_eq(&job.executor, &executor)) {
            std::mem::swap(&mut self.work, work);
        } else {
            work.extend(self.work.extract_if(.., |job| Arc::ptr_eq(&job.executor, &executor)));
        }
        Some(executor)
    }

    /// Whether this thread has a flush to wait for, and it is for fewer commands than that.
    pub(crate) fn awaits_flush(&self, commands: usize) -> bool {
        self.work.len() < commands && self.work.last().is_some_and(|job| job.wait == Wait::Flush)
    }

    /// Whether memory is kept that is not in use.
    pub(crate) fn keeps_memory(&self) -> bool {
        self.share.keeps_memory()
    }

    /// Gives back what is not in use.
    pub(crate) fn rest(&mut self) {
        self.share.rest();
    }

    pub(crate) fn house(&self) -> &Arc<House> {
        &self.house
    }

    /// The house has another catalogue.
    pub(crate) fn adopt(&mut self) -> Adoption {
        let catalogue = self.house.catalogue();
        let Some(session) = &mut self.session else { return Adoption::GoOn(None) };
        let Some(before) = &session.view else { return Adoption::GoOn(None) };
        let Some(target) = catalogue.find(&before.target.name) else {
            return Adoption::Leave("its target is gone");
        };
        if !target.authentication.is_satisfied_by(session.record.user.as_deref()) {
            return Adoption::Leave(
                "the target is not for it any more: it has not proved to be one of its users",
            );
        }
        if !target.is_served_by(self.portal_group) {
            return Adoption::Leave("its portal group does not serve the target any more");
        }
        let view = View::of(
            target,
            self.peer.ip(),
            (self.portal_group, &self.house.portals),
            session.protocol_level,
        );
        let Some(view) = view else {
            return Adoption::Leave("the target is not for its address any more");
        };
        let changed = view.server.succeed(&before.server, session.nexus, &session.port);
        let lost = before.disks.iter().map(|(_, disk)| disk).filter(|disk| view.disk(disk.unit()).is_none());
        session.former.retain(|disk| disk.in_flight() > 0);
        session.former.extend(lost.cloned());
        session.view = Some(view);
        Adoption::GoOn(changed.then(|| scsi_event(0, Attention::LunsChanged)))
    }

    /// What there is to tell the initiator of something that has happened to a logical unit.
    pub(crate) fn events(&self, unit: &Arc<LogicalUnit>, attention: Attention) -> Vec<AsyncEvent> {
        let sense = attention.sense();
        self.places(unit).into_iter().map(|lun| AsyncEvent::Scsi { lun, sense: sense.clone() }).collect()
    }

    /// Where the session has this logical unit.
    pub(crate) fn places(&self, unit: &Arc<LogicalUnit>) -> Vec<[u8; 8]> {
        let Some((view, _)) = self.view() else { return Vec::new() };
        let places = view.disks.iter().filter(|(_, disk)| Arc::ptr_eq(disk.unit(), unit));
        places.map(|(lun, _)| lun_field(*lun)).collect()
    }

    /// A command has ended, here or on a disk's thread.
    pub(crate) fn count(&self, outcome: &Outcome<Buffer>) {
        if let Some(record) = self.record().filter(|_| outcome.status == 0) {
            record.moved(outcome.data_in_length, outcome.data_out_length);
        }
    }
}

/// What a command has to do at other disks than its own.
fn errand(view: &View, own: &Arc<Executor>, command: &Command<Buffer>) -> Option<Arc<Errand>> {
    let data_out = command.data_out.as_ref().and_then(|(buffer, length)| buffer.as_ref().get(..*length));
    let parties = view.server.parties(command.cdb.bytes(), data_out.unwrap_or_default())?;
    let disks = parties.iter().filter_map(|unit| view.disk(unit));
    Some(Errand::new(own, disks.map(|disk| Arc::clone(disk.executor()))))
}

fn scsi_event(lun: u16, attention: Attention) -> AsyncEvent {
    AsyncEvent::Scsi { lun: lun_field(lun), sense: attention.sense() }
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
        self.portal_group
    }

    fn target(&self, name: &str) -> TargetAnswer {
        let catalogue = self.house.catalogue();
        match catalogue.find(name) {
            None => TargetAnswer::NotFound,
            // It does not exist at this address (RFC 7143 §11.13.5).
            Some(target) if !target.is_served_by(self.portal_group) => TargetAnswer::NotFound,
            Some(target) if !self.may_see(target) => TargetAnswer::Forbidden,
            Some(target) => TargetAnswer::Found {
                alias: target.alias.clone(),
                authentication: method(&target.authentication, &catalogue),
            },
        }
    }

    fn discovery_authentication(&self) -> login::Authentication {
        let catalogue = self.house.catalogue();
        method(&catalogue.discovery, &catalogue)
    }

    fn secret(&self, target: Option<&str>, user: &str) -> Option<Vec<u8>> {
        let catalogue = self.house.catalogue();
        let found = catalogue.user(user)?;
        // Where nothing is asked for, every user may show who he is.
        catalogue.authentication(target)?.is_satisfied_by(Some(user)).then(|| found.secret.clone())
    }

    fn note_challenge(&self, challenge: &[u8]) {
        self.control.note_challenge(challenge);
    }

    fn has_issued(&self, challenge: &[u8]) -> bool {
        self.house.registry.has_issued(challenge)
    }

    fn own_identity(&self, target: Option<&str>) -> Option<Identity> {
        match self.house.catalogue().authentication(target)? {
            Authentication::Chap { own: Some(own), .. } => {
                Some(Identity { name: own.name.clone(), secret: own.secret.clone() })
            }
            _ => None,
        }
    }

    fn admit(&mut self, session: &NewSession) -> Result<u16, LoginStatus> {
        let key = Key {
            initiator: session.initiator_name.clone(),
            isid: session.isid,
            target: session.target.clone(),
            portal_group: self.portal_group,
        };
        let user = session.authenticated_user.clone();
        let record = Arc::new(SessionRecord::new(self.peer, session.initiator_alias.clone(), user));
        let admission = self.house.registry.admit(key, &self.control, &record);
        let admission = admission.ok_or(LoginStatus::OUT_OF_RESOURCES)?;
        // From here on the session hears of new catalogues; what it was promised at the login's beginning may be
        // history already.
        let catalogue = self.house.catalogue();
        let target = session.target.as_deref();
        let (nexus, former) = (admission.nexus, Vec::new());
        let [a, b, c, d, e, f] = session.isid;
        let port = format!("{},i,0x{a:02x}{b:02x}{c:02x}{d:02x}{e:02x}{f:02x}", session.initiator_name);
        let protocol_level = u8::try_from(session.protocol_level).unwrap_or(0);
        self.session =
            Some(Admitted { nexus, port: port.clone(), protocol_level, record, view: None, former });
        self.house.lookout.watch(&self.control);
        let view = match catalogue.authentication(target).map(|asked| asked.is_satisfied_by(self.user())) {
            None => Err(LoginStatus::NOT_FOUND),
            Some(false) => Err(LoginStatus::AUTHENTICATION_FAILURE),
            Some(true) => match target.and_then(|name| catalogue.find(name)) {
                Some(target) if !target.is_served_by(self.portal_group) => Err(LoginStatus::NOT_FOUND),
                Some(target) => {
                    View::of(target, self.peer.ip(), (self.portal_group, &self.house.portals), protocol_level)
                        .map(Some)
                        .ok_or(LoginStatus::AUTHORIZATION_FAILURE)
                }
                None => Ok(None),
            },
        };
        let view = match view {
            Ok(Some(view)) => view,
            Ok(None) => return Ok(admission.tsih),
            Err(status) => {
                self.leave();
                return Err(status);
            }
        };
        if let Some(replaced) = admission.replaced {
            // The old session starts nothing more; what it has started, the new one's commands wait for.
            view.disks.iter().for_each(|(_, disk)| disk.executor().abandon_nexus(replaced));
            view.server.nexus_lost(replaced);
        }
        view.server.nexus_established(nexus, &port);
        if let Some(admitted) = &mut self.session {
            admitted.view = Some(view);
        }
        Ok(admission.tsih)
    }
}

/// How it is to be proved. Where nothing is asked for, initiators that are set up to prove themselves still may.
fn method(authentication: &Authentication, catalogue: &Index) -> login::Authentication {
    match authentication {
        Authentication::None if catalogue.has_users() => login::Authentication::Optional,
        Authentication::None => login::Authentication::None,
        Authentication::Chap { .. } => login::Authentication::Chap,
    }
}

impl Host for Guest {
    type Buffer = Buffer;

    fn plan(&mut self, lun: [u8; 8], cdb: &[u8]) -> Plan {
        let Some((view, _)) = self.view() else { return Plan::default() };
        let plan = view.server.plan(lun, cdb);
        Plan { data_in: plan.data_in, data_out: plan.data_out }
    }

    fn allocate(&mut self, length: usize) -> Option<Buffer> {
        self.share.allocate(length)
    }

    fn allocate_unsolicited(&mut self, length: usize) -> Option<Buffer> {
        self.share.allocate_unsolicited(length)
    }

    fn reserve(&mut self, pieces: usize, length: usize) -> bool {
        self.share.reserve(pieces, length)
    }

    fn reserve_beforehand(&mut self, pieces: usize, length: usize) -> bool {
        self.share.reserve_beforehand(pieces, length)
    }

    fn start(&mut self, mut command: Command<Buffer>) -> Option<Outcome<Buffer>> {
        let Some((view, nexus)) = self.view() else { return Some(internal_failure()) };
        tracing::debug!(target: "scsi", "{}: {}", view.target.name, Described(&command));
        if let Some(record) = self.record() {
            record.command_started();
        }
        let disk = view.server.unit(command.lun).and_then(|unit| view.disk(unit));
        let wait = view.server.plan(command.lun, command.cdb.bytes()).wait;
        // Behind an abandoned command waits what it might overtake, and not what the medium has no part in. The same
        // goes for commands that begin before or after others: the disk's task set tells when.
        let simple = command.attribute == Attribute::Simple;
        let free = wait == Wait::Nothing || disk.is_none_or(|disk| simple && !disk.executor().holds_back());
        let is_long = matches!(wait, Wait::Cache | Wait::Flush);
        if free
            && !is_long
            && let Some(outcome) = execute_now(&view.server, nexus, &mut command)
        {
            self.count(&outcome);
            return Some(outcome);
        }
        let Some(disk) = disk else { return Some(internal_failure()) };
        let (server, reply) = (Arc::clone(&view.server), Arc::clone(&self.control));
        let executor = Arc::clone(disk.executor());
        let errand = errand(view, &executor, &command);
        let job = Job { executor, server, nexus, command, wait, errand, reply };
        match free && job.executor.is_brisk(wait) {
            true => self.work.push(job),
            false => disk.executor().submit(job),
        }
        None
    }

    fn abandon(&mut self, id: TaskId) {
        self.work.retain(|job| job.command.id != id);
        let Some(session) = &self.session else { return };
        let in_view = session.view.iter().flat_map(|view| view.disks.iter().map(|(_, disk)| disk));
        in_view.chain(&session.former).for_each(|disk| disk.executor().abandon(session.nexus, id));
    }

    fn failed(&mut self, lun: [u8; 8], status: u8) -> bool {
        let Some((view, nexus)) = self.view() else { return false };
        view.server.failed(nexus, lun, status);
        let disk = view.server.unit(lun).and_then(|unit| view.disk(unit));
        let Some(disk) = disk.filter(|_| status == CHECK_CONDITION) else { return false };
        self.abort_for_error(disk)
    }

    fn unit_exists(&mut self, lun: [u8; 8]) -> bool {
        self.view().is_some_and(|(view, _)| view.server.unit(lun).is_some())
    }

    fn logged_out(&mut self) {
        if let Some((view, nexus)) = self.view() {
            view.server.nexus_lost(nexus);
        }
    }

    fn manage(&mut self, function: Function, lun: [u8; 8]) -> bool {
        let Some((view, nexus)) = self.view() else { return false };
        match function {
            Function::ClearTaskSet => {
                let Some(disk) = view.server.unit(lun).and_then(|unit| view.disk(unit)) else { return false };
                self.abort_others(disk, |_| true, Notice::Attention);
            }
            Function::LogicalUnitReset => self.reset(view, Some(lun)),
            Function::TargetWarmReset => self.reset(view, None),
            Function::TargetColdReset => {
                self.reset(view, None);
                // All connections end (RFC 7143 §11.5.1); this one with the answer.
                let others =
                    |target: Option<&str>, other| other != nexus && target == Some(view.target.name.as_str());
                let close = || Message::Close("an initiator has reset the target");
                self.house.registry.tell_some(others, |_| {}, close);
            }
            Function::NexusReset => {
                view.disks.iter().for_each(|(_, disk)| disk.executor().abandon_nexus(nexus));
                view.server.nexus_lost(nexus);
            }
            _ => return false,
        }
        true
    }

    fn asynchronous_event(&mut self, lun: [u8; 8]) -> Option<[u8; 3]> {
        let (view, nexus) = self.view()?;
        view.server.asynchronous_event(nexus, lun)
    }

    fn discover(&mut self, name: Option<&str>) -> Vec<(String, Vec<String>)> {
        let catalogue = self.house.catalogue();
        // A session that has logged in to a target knows of that one; who looks for targets must have proved what is
        // asked for now, and is then shown what he may log in to.
        let looks = self.view().is_none();
        let user = self.user();
        if looks && !catalogue.discovery.is_satisfied_by(user) {
            return Vec::new();
        }
        let for_user = |target: &Target| match (user, &target.authentication) {
            (Some(_), asked) if looks => asked.is_satisfied_by(user),
            _ => true,
        };
        let visible = catalogue.targets.iter().filter(|target| self.may_see(target) && for_user(target));
        let named = visible.filter(|target| name.is_none_or(|name| name == target.name));
        named
            .map(|target| (target.name.clone(), self.house.portals.addresses_of(target, self.local)))
            .collect()
    }
}

/// An IPv4 address that came in over an IPv6 socket, as what it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
