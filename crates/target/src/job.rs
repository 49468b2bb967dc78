//! Commands on their way through a disk, some at a time: those that have to last share one flush.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use timedisk_iscsi::full_feature::{Cdb, Command, Outcome, TaskId};
use timedisk_scsi::{Begun, Completion, DeviceServer, FlushDebt, NexusId, Status, Wait};
use timedisk_volume::{ErrorKind, Volume};

use crate::control::{Control, Message};
use crate::execution::{Errand, Executor};
use crate::memory::Buffer;
use crate::pace::Pace;

/// The command that can end those of others (SPC-4 6.16).
const PERSISTENT_RESERVE_OUT: u8 = 0x5f;

/// A command on its way to a disk.
pub(crate) struct Job {
    pub(crate) executor: Arc<Executor>,
    pub(crate) server: Arc<DeviceServer>,
    pub(crate) nexus: NexusId,
    pub(crate) command: Command<Buffer>,
    pub(crate) wait: Wait,
    /// What it has to do at other disks.
    pub(crate) errand: Option<Arc<Errand>>,
    pub(crate) reply: Arc<Control>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Job").field("id", &self.command.id).finish_non_exhaustive()
    }
}

/// A command that has ended.
pub(crate) struct Done {
    pub(crate) nexus: NexusId,
    pub(crate) id: TaskId,
    pub(crate) reply: Arc<Control>,
    pub(crate) outcome: Outcome<Buffer>,
}

/// What a round through a disk has brought so far. Kept from one to the next for its memory.
#[derive(Default)]
pub(crate) struct Round {
    done: Vec<Done>,
    owing: Vec<(Job, FlushDebt)>,
}

impl Round {
    /// What has ended and was not taken out yet.
    pub(crate) fn done(&mut self) -> &mut Vec<Done> {
        &mut self.done
    }

    /// Carries jobs out on this thread, whatever they wait for, and flushes once for all that have to last.
    pub(crate) fn carry_out(&mut self, jobs: &mut Vec<Job>, pace: &Pace) {
        let mut written = false;
        let began = Instant::now();
        for mut job in jobs.drain(..) {
            written |= job.wait == Wait::Cache;
            match job.begin() {
                Some(Begun::Ended(completion)) => self.done.push(job.end(completion)),
                Some(Begun::OwesFlush(debt)) => self.owing.push((job, debt)),
                None => self.done.push(job.fail()),
            }
        }
        if written {
            pace.wrote_for(began.elapsed());
        }
        while let Some((_, first)) = self.owing.first() {
            let volume = Arc::clone(first.volume());
            let began = Instant::now();
            let flushed = flush(&*volume);
            pace.flushed_for(began.elapsed());
            let same = |(_, debt): &mut (Job, FlushDebt)| Arc::ptr_eq(debt.volume(), &volume);
            for (job, debt) in self.owing.extract_if(.., same) {
                self.done.push(match flushed {
                    Some(flushed) => job.end(debt.settle(flushed)),
                    None => job.fail(),
                });
            }
        }
    }
}

/// `None` for a defect.
fn flush(volume: &dyn Volume) -> Option<Result<(), ErrorKind>> {
    let flushed = catch_unwind(AssertUnwindSafe(|| volume.flush()));
    flushed.ok().map(|flushed| flushed.map_err(|error| error.kind))
}

impl Job {
    /// `None` for a defect.
    fn begin(&mut self) -> Option<Begun> {
        let Command { lun, ref cdb, plan, ref data_out, ref mut data_in, .. } = self.command;
        let (cdb, data_out, data_in) = parts(cdb, data_out, data_in);
        let (server, nexus, id) = (&self.server, self.nexus, self.command.id);
        let begin = || match &self.errand {
            None => server.begin(nexus, lun, cdb, planned(plan), data_out, data_in),
            Some(errand) => match errand.visit(nexus, id) {
                None => Begun::Ended(busy()),
                Some(_visits) => {
                    let who = (nexus, lun);
                    server.begin_copy(errand.recall(), who, cdb, planned(plan), data_out, data_in)
                }
            },
        };
        catch_unwind(AssertUnwindSafe(begin)).ok()
    }

    fn end(mut self, completion: Completion) -> Done {
        if self.command.cdb.bytes().first() == Some(&PERSISTENT_RESERVE_OUT) {
            let victims = self.executor.unit().take_preempted(self.nexus);
            if !victims.is_empty() {
                self.reply.post(Message::Preempted(self.command.lun, victims));
            }
        }
        if self.wait == Wait::Overhaul {
            self.executor.see_to_overhaul();
        }
        let outcome = outcome(completion, self.command.data_in.take());
        Done { nexus: self.nexus, id: self.command.id, reply: self.reply, outcome }
    }

    fn fail(self) -> Done {
        let code = self.command.cdb.bytes().first().copied().unwrap_or(0);
        tracing::error!("a defect ended the command {code:02X}h");
        Done { nexus: self.nexus, id: self.command.id, reply: self.reply, outcome: internal_failure() }
    }

    /// Ends it with this outcome, undone.
    pub(crate) fn answer(self, outcome: Outcome<Buffer>) {
        self.reply.post_ended(&mut vec![(self.command.id, outcome)]);
    }
}

/// Carries out a command on this thread if it waits for nothing. `None`, with nothing done, if it may.
pub(crate) fn execute_now(
    server: &DeviceServer,
    nexus: NexusId,
    command: &mut Command<Buffer>,
) -> Option<Outcome<Buffer>> {
    let (cdb, data_out, data_in) = parts(&command.cdb, &command.data_out, &mut command.data_in);
    let completion = server.execute_now(nexus, command.lun, cdb, planned(command.plan), data_out, data_in)?;
    Some(outcome(completion, command.data_in.take()))
}

/// Another disk can't take the command now.
fn busy() -> Completion {
    Completion { status: Status::Busy, sense: Vec::new(), data_in: 0, data_out: 0 }
}

/// What was planned when the command came, as the device server has it.
fn planned(plan: timedisk_iscsi::full_feature::Plan) -> timedisk_scsi::Plan {
    timedisk_scsi::Plan { data_in: plan.data_in, data_out: plan.data_out, wait: Wait::Long }
}

fn parts<'a>(
    cdb: &'a Cdb,
    data_out: &'a Option<(Buffer, usize)>,
    data_in: &'a mut Option<Buffer>,
) -> (&'a [u8], &'a [u8], &'a mut [u8]) {
    let out =
        data_out.as_ref().and_then(|(buffer, length)| buffer.as_ref().get(..*length)).unwrap_or_default();
    (cdb.bytes(), out, data_in.as_mut().map(|buffer| buffer.as_mut()).unwrap_or_default())
}

fn outcome(completion: Completion, data_in: Option<Buffer>) -> Outcome<Buffer> {
    if !completion.sense.is_empty() {
        let words = timedisk_scsi::describe_sense(&completion.sense).unwrap_or("unknown sense");
        tracing::debug!(target: "scsi", "CHECK CONDITION: {words}");
    }
    Outcome {
        status: completion.status as u8,
        sense: completion.sense,
        data_in_length: completion.data_in,
        data_out_length: completion.data_out,
        data_in,
    }
}

/// HARDWARE ERROR, INTERNAL TARGET FAILURE (SPC-4 4.5.6).
pub(crate) fn internal_failure() -> Outcome<Buffer> {
    Outcome::of_status(0x02, vec![0x70, 0, 0x04, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x44, 0, 0, 0, 0, 0])
}
