//! The target's side behind its connections: sessions, the logical unit, and a disk that carries commands out when it
//! likes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use timedisk_iscsi::chap::Identity;
use timedisk_iscsi::full_feature::{Command, Function, Host, Outcome, Plan, TaskId};
use timedisk_iscsi::login::{Authentication, LoginStatus, NewSession, Policy, TargetAnswer};
use timedisk_scsi::{
    Begun, BlockFormat, Completion, DeviceServer, FlushDebt, LogicalUnit, NexusId, SettingsStore, Wait,
};

use crate::SECTOR;
use crate::medium::Medium;
use crate::random::Random;

pub(crate) const TARGET: &str = "iqn.2026-01.io.timedisk:simulated";

/// Names a connection; never used twice.
pub(crate) type LinkId = usize;

/// Commands that the disk works at side by side.
const SIDE_BY_SIDE: usize = 4;

/// How slow, and how stingy with memory, the target is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Longest time of a step of a command, in microseconds.
    pub(crate) step: u64,
    /// Memory is refused in one of so many cases; 0 for never.
    pub(crate) refusal: u64,
}

/// Mode parameters and what else is to last, which does.
#[derive(Debug, Default)]
pub(crate) struct Settings(Mutex<BTreeMap<String, String>>);

impl SettingsStore for Settings {
    fn load(&self, key: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn save(&self, key: &str, value: &str) -> Result<(), String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), value.to_owned());
        Ok(())
    }
}

/// How far a command is at the disk.
#[derive(Debug)]
enum Stage {
    Queued,
    Started,
    Owing(FlushDebt),
    Ended(Outcome<Vec<u8>>),
}

#[derive(Debug)]
struct Job {
    link: LinkId,
    nexus: NexusId,
    command: Command<Vec<u8>>,
    stage: Stage,
    /// When its next step is due.
    due: u64,
    is_abandoned: bool,
}

#[derive(Debug)]
struct Member {
    link: LinkId,
    nexus: NexusId,
    initiator: String,
    isid: [u8; 6],
}

/// One life of the target's process.
#[derive(Debug)]
pub(crate) struct House {
    server: DeviceServer,
    members: Vec<Member>,
    jobs: Vec<Job>,
    next_nexus: u64,
    random: Random,
    pace: Pace,
    /// The disk does nothing before that.
    pub(crate) stuck_until: u64,
    /// Connections whose place another one has taken.
    pub(crate) replaced: Vec<LinkId>,
    /// Connections that wait for memory.
    pub(crate) hungry: Vec<LinkId>,
    pub(crate) now: u64,
}

impl House {
    pub(crate) fn new(medium: Arc<Medium>, settings: Arc<Settings>, pace: Pace, random: Random) -> House {
        let identity = timedisk_scsi::Identity {
            vendor: "timedisk".into(),
            product: "simulated".into(),
            revision: "1".into(),
            serial: "SIMULATED-1".into(),
            naa: [0x30, 1, 2, 3, 4, 5, 6, 7],
        };
        let format = BlockFormat { logical_length: SECTOR as u32, physical_length: SECTOR as u32 };
        let unit = Arc::new(LogicalUnit::new(medium, identity, format, Some(settings)));
        House {
            server: DeviceServer::new(TARGET, 1, vec![(0, unit)]),
            members: Vec::new(),
            jobs: Vec::new(),
            next_nexus: 1,
            random,
            pace,
            stuck_until: 0,
            replaced: Vec::new(),
            hungry: Vec::new(),
            now: 0,
        }
    }

    fn later(&mut self) -> u64 {
        self.now + self.random.below(self.pace.step + 1)
    }

    /// A command that nobody waits for has started and not ended: nothing else starts before it ends.
    fn is_held_back(&self) -> bool {
        self.jobs.iter().any(|job| job.is_abandoned)
    }

    fn may_start(&self) -> bool {
        let started = self.jobs.iter().filter(|job| !matches!(job.stage, Stage::Queued)).count();
        !self.is_held_back() && started < SIDE_BY_SIDE
    }

    /// When the disk has something to do.
    pub(crate) fn next(&self) -> Option<u64> {
        let may_start = self.may_start();
        let ready = self.jobs.iter().filter(|job| may_start || !matches!(job.stage, Stage::Queued));
        ready.map(|job| job.due.max(self.stuck_until)).min()
    }

    /// The disk goes on with one of the commands that are due. The outcome of one that has ended and that somebody
    /// waits for.
    pub(crate) fn step(&mut self) -> Option<(LinkId, TaskId, Outcome<Vec<u8>>)> {
        let may_start = self.may_start();
        let is_due = |job: &Job| job.due <= self.now && (may_start || !matches!(job.stage, Stage::Queued));
        let due: Vec<usize> = (0..self.jobs.len()).filter(|place| is_due(&self.jobs[*place])).collect();
        let place = *due.get(self.random.below(due.len().max(1) as u64) as usize)?;
        let due = self.later();
        let mut job = self.jobs.remove(place);
        job.due = due;
        job.stage = match job.stage {
            Stage::Queued => Stage::Started,
            Stage::Started => begin(&self.server, job.nexus, &mut job.command),
            Stage::Owing(debt) => {
                let flushed = debt.volume().flush().map_err(|error| error.kind);
                Stage::Ended(outcome(debt.settle(flushed), &mut job.command))
            }
            Stage::Ended(outcome) => {
                return (!job.is_abandoned).then_some((job.link, job.command.id, outcome));
            }
        };
        self.jobs.insert(place, job);
        None
    }

    fn abandon(&mut self, concerns: impl Fn(&Job) -> bool) {
        self.jobs.retain(|job| !(concerns(job) && matches!(job.stage, Stage::Queued)));
        // The longer it takes, the more there is that must not overtake it.
        let due = self.now + self.random.below(50 * self.pace.step);
        for job in self.jobs.iter_mut().filter(|job| concerns(job)) {
            job.is_abandoned = true;
            job.due = job.due.max(due);
        }
    }

    fn admit(&mut self, link: LinkId, session: &NewSession) -> NexusId {
        let (name, isid) = (&session.initiator_name, session.isid);
        while let Some(place) = self.members.iter().position(|it| (&it.initiator, it.isid) == (name, isid)) {
            // RFC 7143 §6.3.5: the session is reinstated.
            let member = self.members.remove(place);
            self.abandon(|job| job.nexus == member.nexus);
            self.server.nexus_lost(member.nexus);
            self.replaced.push(member.link);
        }
        let nexus = NexusId(self.next_nexus);
        self.next_nexus += 1;
        self.members.push(Member { link, nexus, initiator: name.clone(), isid });
        self.server.nexus_established(nexus, &format!("{name},i,0x{:x}", self.next_nexus));
        nexus
    }

    fn leave(&mut self, nexus: NexusId) {
        self.abandon(|job| job.nexus == nexus);
        self.members.retain(|member| member.nexus != nexus);
        self.server.nexus_lost(nexus);
    }

    /// How many commands have not ended.
    pub(crate) fn in_flight(&self) -> usize {
        self.jobs.len()
    }
}

fn begin(server: &DeviceServer, nexus: NexusId, command: &mut Command<Vec<u8>>) -> Stage {
    let plan = planned(command.plan);
    let Command { lun, ref cdb, ref data_out, ref mut data_in, .. } = *command;
    let out = data_out.as_ref().map_or(&[][..], |(buffer, length)| &buffer[..*length]);
    let input = data_in.as_mut().map_or(&mut [][..], |buffer| &mut buffer[..]);
    match server.begin(nexus, lun, cdb.bytes(), plan, out, input) {
        Begun::Ended(completion) => Stage::Ended(outcome(completion, command)),
        Begun::OwesFlush(debt) => Stage::Owing(debt),
    }
}

fn planned(plan: Plan) -> timedisk_scsi::Plan {
    timedisk_scsi::Plan { data_in: plan.data_in, data_out: plan.data_out, wait: Wait::Long }
}

fn outcome(completion: Completion, command: &mut Command<Vec<u8>>) -> Outcome<Vec<u8>> {
    Outcome {
        status: completion.status as u8,
        sense: completion.sense,
        data_in_length: completion.data_in,
        data_out_length: completion.data_out,
        data_in: command.data_in.take(),
    }
}

/// What a connection sees of it.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) house: Rc<RefCell<House>>,
    pub(crate) link: LinkId,
    nexus: Option<NexusId>,
}

impl Guest {
    pub(crate) fn new(house: &Rc<RefCell<House>>, link: LinkId) -> Guest {
        Guest { house: Rc::clone(house), link, nexus: None }
    }

    /// The connection is over.
    pub(crate) fn leave(&mut self) {
        if let Some(nexus) = self.nexus.take() {
            self.house.borrow_mut().leave(nexus);
        }
    }

    fn is_refused(&self) -> bool {
        let mut house = self.house.borrow_mut();
        let refusal = house.pace.refusal;
        refusal > 0 && house.random.one_in(refusal)
    }
}

impl Policy for Guest {
    fn portal_group_tag(&self) -> u16 {
        1
    }

    fn target(&self, name: &str) -> TargetAnswer {
        match name {
            TARGET => TargetAnswer::Found { alias: None, authentication: Authentication::None },
            _ => TargetAnswer::NotFound,
        }
    }

    fn discovery_authentication(&self) -> Authentication {
        Authentication::None
    }

    fn secret(&self, _: Option<&str>, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn note_challenge(&self, _: &[u8]) {}

    fn has_issued(&self, _: &[u8]) -> bool {
        false
    }

    fn own_identity(&self, _: Option<&str>) -> Option<Identity> {
        None
    }

    fn admit(&mut self, session: &NewSession) -> Result<u16, LoginStatus> {
        let nexus = self.house.borrow_mut().admit(self.link, session);
        self.nexus = Some(nexus);
        Ok(1 + (nexus.0 % 0xfffe) as u16)
    }
}

impl Host for Guest {
    type Buffer = Vec<u8>;

    fn plan(&mut self, lun: [u8; 8], cdb: &[u8]) -> Plan {
        let plan = self.house.borrow().server.plan(lun, cdb);
        Plan { data_in: plan.data_in, data_out: plan.data_out }
    }

    fn allocate(&mut self, length: usize) -> Option<Vec<u8>> {
        if self.is_refused() {
            self.house.borrow_mut().hungry.push(self.link);
            return None;
        }
        // Whatever was there before: it must not reach anybody.
        Some(vec![0xa5; length])
    }

    fn allocate_unsolicited(&mut self, length: usize) -> Option<Vec<u8>> {
        Some(vec![0xa5; length])
    }

    fn reserve(&mut self, _: usize, _: usize) -> bool {
        !self.is_refused()
    }

    fn reserve_beforehand(&mut self, _: usize, _: usize) -> bool {
        !self.is_refused()
    }

    fn start(&mut self, mut command: Command<Vec<u8>>) -> Option<Outcome<Vec<u8>>> {
        let nexus = self.nexus?;
        let mut house = self.house.borrow_mut();
        let wait = house.server.plan(command.lun, command.cdb.bytes()).wait;
        let is_short = !matches!(wait, Wait::Cache | Wait::Flush);
        if wait == Wait::Nothing || is_short && !house.is_held_back() && house.random.one_in(2) {
            let plan = planned(command.plan);
            let Command { lun, ref cdb, ref data_out, ref mut data_in, .. } = command;
            let out = data_out.as_ref().map_or(&[][..], |(buffer, length)| &buffer[..*length]);
            let input = data_in.as_mut().map_or(&mut [][..], |buffer| &mut buffer[..]);
            if let Some(completion) = house.server.execute_now(nexus, lun, cdb.bytes(), plan, out, input) {
                return Some(outcome(completion, &mut command));
            }
        }
        let due = house.later();
        let link = self.link;
        house.jobs.push(Job { link, nexus, command, stage: Stage::Queued, due, is_abandoned: false });
        None
    }

    fn abandon(&mut self, id: TaskId) {
        let link = self.link;
        self.house.borrow_mut().abandon(|job| (job.link, job.command.id) == (link, id));
    }

    fn failed(&mut self, _: [u8; 8], _: u8) -> bool {
        false
    }

    fn unit_exists(&mut self, lun: [u8; 8]) -> bool {
        self.house.borrow().server.unit(lun).is_some()
    }

    fn logged_out(&mut self) {
        if let Some(nexus) = self.nexus {
            self.house.borrow().server.nexus_lost(nexus);
        }
    }

    fn manage(&mut self, _: Function, _: [u8; 8]) -> bool {
        false
    }

    fn asynchronous_event(&mut self, lun: [u8; 8]) -> Option<[u8; 3]> {
        let nexus = self.nexus?;
        self.house.borrow().server.asynchronous_event(nexus, lun)
    }

    fn discover(&mut self, _: Option<&str>) -> Vec<(String, Vec<String>)> {
        Vec::new()
    }
}
