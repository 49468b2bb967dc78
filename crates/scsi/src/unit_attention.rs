//! Unit attention conditions (SAM-5 5.14): what each nexus has yet to be told about a logical unit.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::NexusId;
use crate::sense::{
    ACCESS_STATE_CHANGED, BECAME_READY, CAPACITY_CHANGED, Condition, FAILURE_PREDICTED,
    MODE_PARAMETERS_CHANGED, REPORTED_LUNS_CHANGED, Sense, THRESHOLD_REACHED,
};

/// What can wait for a command that neither writes nor flushes.
const PATIENT: [&Condition; 2] = [&THRESHOLD_REACHED, &FAILURE_PREDICTED];

/// What clients are told that happened to a logical unit without their doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// It has become larger or smaller (2A/09).
    CapacityChanged,
    /// Logical units of the target have come, gone or changed places (3F/0E).
    LunsChanged,
    /// It was away, and its medium may be another (28/00).
    BecameReady,
    /// It is used otherwise through a target port group (2A/06).
    AccessStateChanged,
    /// It may be written now, or may not any more (2A/01).
    WriteProtectionChanged,
}

impl Attention {
    pub(crate) fn condition(self) -> &'static Condition {
        match self {
            Attention::CapacityChanged => &CAPACITY_CHANGED,
            Attention::LunsChanged => &REPORTED_LUNS_CHANGED,
            Attention::AccessStateChanged => &ACCESS_STATE_CHANGED,
            Attention::BecameReady => &BECAME_READY,
            Attention::WriteProtectionChanged => &MODE_PARAMETERS_CHANGED,
        }
    }

    /// Sense data of fixed format, as an asynchronous message bears them (RFC 7143 §11.9.4).
    pub fn sense(self) -> Vec<u8> {
        Sense::from(self.condition()).fixed().to_vec()
    }
}

/// No nexus has more conditions pending than this; the oldest is dropped for the next.
const MOST_PENDING: usize = 8;

type Queue = VecDeque<&'static Condition>;

/// The conditions pending for each nexus of one logical unit.
#[derive(Debug, Default)]
pub(crate) struct UnitAttentions {
    nexuses: Mutex<HashMap<NexusId, Queue>>,
}

impl UnitAttentions {
    fn nexuses(&self) -> MutexGuard<'_, HashMap<NexusId, Queue>> {
        self.nexuses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the nexus is told of what happens, and of `condition` first.
    pub(crate) fn join(&self, nexus: NexusId, condition: &'static Condition) {
        self.nexuses().insert(nexus, Queue::from([condition]));
    }

    pub(crate) fn leave(&self, nexus: NexusId) {
        self.nexuses().remove(&nexus);
    }

    /// For one nexus, if it is there.
    pub(crate) fn establish(&self, nexus: NexusId, condition: &'static Condition) {
        if let Some(queue) = self.nexuses().get_mut(&nexus) {
            push(queue, condition);
        }
    }

    /// For one nexus, if it is there and none of `alike` is pending for it.
    pub(crate) fn establish_one_of(
        &self,
        nexus: NexusId,
        condition: &'static Condition,
        alike: &[&'static Condition],
    ) {
        if let Some(queue) = self.nexuses().get_mut(&nexus)
            && !queue.iter().any(|pending| alike.contains(pending))
        {
            push(queue, condition);
        }
    }

    /// For every nexus.
    pub(crate) fn establish_for_all(&self, condition: &'static Condition) {
        self.nexuses().values_mut().for_each(|queue| push(queue, condition));
    }

    /// For every nexus but the one that caused it.
    pub(crate) fn establish_for_others(&self, cause: NexusId, condition: &'static Condition) {
        for (_, queue) in self.nexuses().iter_mut().filter(|(nexus, _)| **nexus != cause) {
            push(queue, condition);
        }
    }

    /// After a reset, for every nexus. What was pending tells of a state that is no more.
    pub(crate) fn reset(&self, condition: &'static Condition) {
        for queue in self.nexuses().values_mut() {
            *queue = Queue::from([condition]);
        }
    }

    /// The oldest condition; it is no longer pending after.
    pub(crate) fn take(&self, nexus: NexusId) -> Option<&'static Condition> {
        self.nexuses().get_mut(&nexus)?.pop_front()
    }

    /// The same for a command whose failure a file system may take for that of the disk: the oldest condition but one
    /// that can wait for another command.
    pub(crate) fn take_pressing(&self, nexus: NexusId) -> Option<&'static Condition> {
        let mut nexuses = self.nexuses();
        let queue = nexuses.get_mut(&nexus)?;
        queue.remove(queue.iter().position(|pending| !PATIENT.contains(pending))?)
    }

    /// A condition that was taken is pending again, as the oldest.
    pub(crate) fn put_back(&self, nexus: NexusId, condition: &'static Condition) {
        if let Some(queue) = self.nexuses().get_mut(&nexus)
            && !queue.contains(&condition)
        {
            queue.push_front(condition);
        }
    }

    /// The oldest condition, which stays, and whether there are more.
    pub(crate) fn pending(&self, nexus: NexusId) -> Option<(&'static Condition, bool)> {
        let nexuses = self.nexuses();
        let queue = nexuses.get(&nexus)?;
        Some((queue.front()?, queue.len() > 1))
    }

    /// Forgets one condition, for the nexus has learned of it in another way.
    pub(crate) fn clear(&self, nexus: NexusId, condition: &'static Condition) {
        if let Some(queue) = self.nexuses().get_mut(&nexus) {
            queue.retain(|pending| *pending != condition);
        }
    }
}

fn push(queue: &mut Queue, condition: &'static Condition) {
    if queue.contains(&condition) {
        return;
    }
    if queue.len() == MOST_PENDING {
        queue.pop_front();
    }
    queue.push_back(condition);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sense::{BUS_DEVICE_RESET, COMMANDS_CLEARED, MODE_PARAMETERS_CHANGED, POWER_ON_OR_RESET};

    const A: NexusId = NexusId(1);
    const B: NexusId = NexusId(2);

    fn of_a_and_b() -> UnitAttentions {
        let attentions = UnitAttentions::default();
        attentions.join(A, &POWER_ON_OR_RESET);
        attentions.join(B, &POWER_ON_OR_RESET);
        attentions
    }

    #[test]
    fn each_nexus_is_told_once_and_in_order() {
        let attentions = of_a_and_b();
        attentions.establish_for_others(A, &MODE_PARAMETERS_CHANGED);
        attentions.establish_for_others(A, &MODE_PARAMETERS_CHANGED);
        attentions.establish(A, &COMMANDS_CLEARED);
        assert_eq!(attentions.take(A), Some(&POWER_ON_OR_RESET));
        assert_eq!(attentions.take(A), Some(&COMMANDS_CLEARED));
        assert_eq!(attentions.take(A), None);
        assert_eq!(attentions.take(B), Some(&POWER_ON_OR_RESET));
        assert_eq!(attentions.take(B), Some(&MODE_PARAMETERS_CHANGED));
        assert_eq!(attentions.take(B), None);
    }

    #[test]
    fn a_threshold_waits_for_another_command_and_nothing_else_does() {
        let attentions = of_a_and_b();
        attentions.establish_for_all(&THRESHOLD_REACHED);
        attentions.establish_for_all(&MODE_PARAMETERS_CHANGED);
        assert_eq!(attentions.take_pressing(A), Some(&POWER_ON_OR_RESET));
        assert_eq!(attentions.take_pressing(A), Some(&MODE_PARAMETERS_CHANGED));
        assert_eq!(attentions.take_pressing(A), None);
        assert_eq!(attentions.take(A), Some(&THRESHOLD_REACHED));
    }

    #[test]
    fn a_reset_replaces_what_was_pending() {
        let attentions = of_a_and_b();
        attentions.reset(&BUS_DEVICE_RESET);
        assert_eq!(attentions.take(B), Some(&BUS_DEVICE_RESET));
        assert_eq!(attentions.take(B), None);
    }

    #[test]
    fn a_nexus_that_left_is_forgotten() {
        let attentions = of_a_and_b();
        attentions.leave(A);
        attentions.establish(A, &COMMANDS_CLEARED);
        assert_eq!(attentions.take(A), None);
        assert!(!attentions.nexuses().contains_key(&A));
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut queue = Queue::new();
        let conditions = [
            &crate::sense::NO_SENSE,
            &crate::sense::WRITE_ERROR,
            &crate::sense::UNRECOVERED_READ_ERROR,
            &crate::sense::LBA_OUT_OF_RANGE,
            &POWER_ON_OR_RESET,
            &BUS_DEVICE_RESET,
            &MODE_PARAMETERS_CHANGED,
            &COMMANDS_CLEARED,
            &crate::sense::WRITE_PROTECTED,
        ];
        for condition in conditions {
            push(&mut queue, condition);
        }
        assert_eq!(queue.len(), MOST_PENDING);
        assert_eq!(queue.front(), Some(&&crate::sense::WRITE_ERROR));
    }
}
