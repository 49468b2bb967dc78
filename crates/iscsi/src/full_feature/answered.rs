//! Commands whose answers are on their way.

use std::collections::VecDeque;

use super::task::Task;
use super::{IMMEDIATE_LIMIT, WINDOW_LIMIT};
use crate::pdu::layout::TaskManagementRequest;
use crate::serial::before;

/// As many as there can be commands under way. An initiator that has sent more has seen the oldest answers.
const LIMIT: usize = (WINDOW_LIMIT + IMMEDIATE_LIMIT) as usize;

/// The last commands that were answered.
///
/// An initiator that asks for one of them to be aborted before it can have seen the answer names a valid task which has
/// come to a successful end (RFC 7143 §11.6.1 a). ESXi takes a target for sick which says that there is no such task.
#[derive(Debug)]
pub(super) struct Answered(VecDeque<Answer>);

#[derive(Debug)]
struct Answer {
    tag: u32,
    /// None of an immediate command, which has none of its own.
    cmd_sn: Option<u32>,
    stat_sn: u32,
}

impl Answered {
    pub(super) fn new() -> Self {
        Answered(VecDeque::with_capacity(LIMIT))
    }

    /// The task was answered with this StatSN.
    pub(super) fn note<B>(&mut self, task: &Task<B>, stat_sn: u32) {
        if self.0.len() >= LIMIT {
            self.0.pop_front();
        }
        let cmd_sn = Some(task.cmd_sn).filter(|_| !task.immediate);
        self.0.push_back(Answer { tag: task.id.tag, cmd_sn, stat_sn });
    }

    /// Whether the task that the request refers to was answered, and its initiator had not seen that.
    pub(super) fn is_on_its_way(&self, request: &TaskManagementRequest) -> bool {
        let is_meant = |answer: &&Answer| {
            let cmd_sn = answer.cmd_sn.unwrap_or(request.cmd_sn.get());
            (answer.tag, cmd_sn) == (request.referenced_task_tag.get(), request.ref_cmd_sn.get())
        };
        self.0.iter().filter(is_meant).any(|answer| !before(answer.stat_sn, request.exp_stat_sn.get()))
    }
}
