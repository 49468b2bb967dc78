//! Task management functions (RFC 7143 §11.5, §11.6, RFC 7144 §6).
//!
//! They never wait for a disk. A task that the device server has is abandoned: its outcome is dropped, and the host
//! sees to it that nothing which starts later is overtaken by what that task may still do.

use super::host::{Function, FunctionResponse, Host, Outcome};
use super::task::{Stage, Task};
use super::window::Arrival;
use super::{ABORTED_LIMIT, Direction, Session, normal_lun};
use crate::pdu::{Response, layout};
use crate::transmit::{Segment, Transmitter};

/// Status code (SAM-5 5.3.1).
const TASK_ABORTED: u8 = 0x40;

impl<B: AsRef<[u8]> + AsMut<[u8]>> Session<B> {
    pub(super) fn task_management(&mut self, out: &mut Transmitter<B>, host: &mut impl Host<Buffer = B>) {
        let header = layout::TaskManagementRequest::of(&self.header);
        let level = self.parameters.protocol_level;
        let mut additional = [0; 3];
        let answer = match Function::of(header.function & 0x7f) {
            Some(function) if level < function.protocol_level() => FunctionResponse::NotSupported,
            Some(function) => self.manage(function, &header, &mut additional, out, host),
            None => FunctionResponse::NotSupported,
        };
        self.open_window(host);
        let shared = self.respond(Response::TaskManagement, header.initiator_task_tag.get(), true);
        let mut response = layout::ShortResponse::of(&shared.bytes());
        response.response = answer as u8;
        response.additional = additional;
        out.push(response.bytes(), Segment::Empty);
        self.start_ready(out, host);
        self.memory_available(out, host);
    }

    fn manage(
        &mut self,
        function: Function,
        header: &layout::TaskManagementRequest,
        additional: &mut [u8; 3],
        out: &mut Transmitter<B>,
        host: &mut impl Host<Buffer = B>,
    ) -> FunctionResponse {
        let lun = header.lun;
        let of_task = matches!(function, Function::AbortTask | Function::QueryTask);
        if of_task && header.referenced_task_tag == header.initiator_task_tag {
            // The only task management request that can be there is this one (§11.5.1, RFC 7144 §6.3).
            return FunctionResponse::Rejected;
        }
        if !of_task && function.is_of_unit() && !host.unit_exists(lun) {
            return FunctionResponse::LunDoesNotExist;
        }
        match function {
            Function::AbortTask => self.abort_task(header, out, host),
            Function::QueryTask => match self.is_of(header.referenced_task_tag.get(), lun) {
                true => FunctionResponse::Succeeded,
                false => self.absent_task(header, out, host),
            },
            Function::QueryTaskSet => {
                found(self.tasks.iter().any(|task| normal_lun(task.lun) == normal_lun(lun)))
            }
            Function::QueryAsynchronousEvent => {
                let event = host.asynchronous_event(lun);
                *additional = event.unwrap_or_default();
                found(event.is_some())
            }
            Function::NexusReset => {
                if !host.manage(function, lun) {
                    return FunctionResponse::NotSupported;
                }
                self.abort_where(|_| true, host);
                self.direction = Direction::CloseAfterSending;
                FunctionResponse::Complete
            }
            Function::AbortTaskSet => {
                self.abort_unit(lun, host);
                FunctionResponse::Complete
            }
            Function::ClearAca => FunctionResponse::NotSupported,
            Function::TaskReassign => FunctionResponse::ReassignmentNotSupported,
            Function::ClearTaskSet | Function::LogicalUnitReset => {
                if !host.manage(function, lun) {
                    return FunctionResponse::NotSupported;
                }
                self.abort_unit(lun, host);
                FunctionResponse::Complete
            }
            Function::TargetWarmReset | Function::TargetColdReset => {
                if !host.manage(function, lun) {
                    return FunctionResponse::NotSupported;
                }
                self.abort_where(|_| true, host);
                if function == Function::TargetColdReset {
                    self.direction = Direction::CloseAfterSending;
                }
                FunctionResponse::Complete
            }
        }
    }

    fn abort_task(
        &mut self,
        header: &layout::TaskManagementRequest,
        out: &mut Transmitter<B>,
        host: &mut impl Host<Buffer = B>,
    ) -> FunctionResponse {
        let tag = header.referenced_task_tag.get();
        if self.tasks.contains(tag) {
            self.abort(tag, host);
            return FunctionResponse::Complete;
        }
        self.absent_task(header, out, host)
    }

    /// Whether there is a task of this tag on the logical unit.
    fn is_of(&self, tag: u32, lun: [u8; 8]) -> bool {
        self.tasks.get(tag).is_some_and(|task| normal_lun(task.lun) == normal_lun(lun))
    }

    /// What there is to say of a task that is not there: its number tells whether it can still come.
    fn absent_task(
        &mut self,
        header: &layout::TaskManagementRequest,
        out: &mut Transmitter<B>,
        host: &mut impl Host<Buffer = B>,
    ) -> FunctionResponse {
        let referenced = header.ref_cmd_sn.get();
        if !crate::serial::before(referenced, header.cmd_sn.get()) {
            // No command of that number can have been sent before this request (§11.6.1).
            return FunctionResponse::TaskDoesNotExist;
        }
        match self.window.arrival(referenced) {
            // It never came, or was damaged on its way; its number counts as used from now on.
            Arrival::Next => {
                self.advance(out, host);
                FunctionResponse::Complete
            }
            Arrival::Ahead => {
                self.remember_ahead(referenced, None);
                FunctionResponse::Complete
            }
            // It has ended, and its response is on its way (§11.6.1 c).
            Arrival::Outside => FunctionResponse::TaskDoesNotExist,
        }
    }

    fn abort(&mut self, tag: u32, host: &mut impl Host<Buffer = B>) -> Option<Task<B>> {
        let task = self.remove(tag)?;
        if task.stage == Stage::Running {
            host.abandon(task.id);
        }
        if self.aborted.len() >= ABORTED_LIMIT {
            self.aborted.pop_front();
        }
        self.aborted.push_back(tag);
        Some(task)
    }

    fn tags(&self, lun_matches: impl Fn([u8; 8]) -> bool) -> Vec<u32> {
        self.tasks.iter().filter(|task| lun_matches(task.lun)).map(|task| task.id.tag).collect()
    }

    fn abort_where(&mut self, lun_matches: impl Fn([u8; 8]) -> bool, host: &mut impl Host<Buffer = B>) {
        for tag in self.tags(lun_matches) {
            self.abort(tag, host);
        }
    }

    /// Aborts all tasks of this session on a logical unit.
    pub(super) fn abort_unit(&mut self, lun: [u8; 8], host: &mut impl Host<Buffer = B>) {
        self.abort_where(|task_lun| normal_lun(task_lun) == normal_lun(lun), host);
    }

    /// Another session had the tasks of a logical unit aborted: they end with TASK ABORTED if they are to be answered,
    /// else without a word. Returns whether there were any.
    pub fn aborted_by_another(
        &mut self,
        lun: [u8; 8],
        are_answered: bool,
        out: &mut Transmitter<B>,
        host: &mut impl Host<Buffer = B>,
    ) -> bool {
        let doomed = self.tags(|task_lun| normal_lun(lun) == normal_lun(task_lun));
        let aborted: Vec<Task<B>> = doomed.iter().filter_map(|tag| self.abort(*tag, host)).collect();
        self.open_window(host);
        for task in aborted.iter().filter(|_| are_answered) {
            self.answer(task, Outcome::of_status(TASK_ABORTED, Vec::new()), out);
        }
        !aborted.is_empty()
    }

    /// The connection ends: everything that runs is abandoned.
    pub fn abandon_all(&mut self, host: &mut impl Host<Buffer = B>) {
        self.abort_where(|_| true, host);
    }
}

/// The answer to a question.
fn found(is_there: bool) -> FunctionResponse {
    if is_there { FunctionResponse::Succeeded } else { FunctionResponse::Complete }
}
