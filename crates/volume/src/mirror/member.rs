//! The members of a mirror that runs.

use std::collections::HashMap;
use std::sync::Arc;

use super::commit::Failed;
use super::lane::{Call, Lane};
use super::{Bits, Role};
use crate::{Health, Result, Volume, VolumeError};

/// What is known of all members.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) members: Vec<Member>,
    /// Regions in which members may differ; marked beside all members that are not out.
    pub(super) marked: Bits,
    /// Somebody was dropped, and that is not written down yet.
    pub(super) unsaved: bool,
    /// Counts writes that have ended.
    pub(super) sequence: u64,
    /// Of each region that was written of late, the last write.
    pub(super) touched: HashMap<u64, u64>,
    /// Counts how often regions were found to differ anew.
    pub(super) differing: u64,
}

/// One member.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) id: u64,
    pub(super) place: u64,
    pub(super) role: Role,
    pub(super) floor: u64,
    pub(super) left: u64,
    pub(super) volume: Option<Arc<dyn Volume>>,
    pub(super) lane: Arc<Lane>,
    /// Counts those that had this place.
    pub(super) life: u64,
    /// Regions that it does not have yet as the first member does.
    pub(super) todo: Bits,
    /// Flushes that had failed before it became a member.
    pub(super) failures_before: u64,
    pub(super) read_errors: u64,
    /// Why it is out.
    pub(super) reason: String,
}

/// A member at one time, to work with while things change.
#[derive(Clone, Debug)]
pub(super) struct Active {
    pub(super) index: usize,
    pub(super) life: u64,
    pub(super) role: Role,
    pub(super) volume: Arc<dyn Volume>,
    pub(super) lane: Arc<Lane>,
    pub(super) failures_before: u64,
}

impl Active {
    /// What is to be asked of it.
    pub(super) fn call<T>(&self, run: impl FnOnce(&Active) -> Result<T> + Send + 'static) -> Call<T> {
        let active = self.clone();
        let (lane, counts) = (Arc::clone(&self.lane), self.role == Role::In);
        Call { lane, counts, run: Box::new(move || run(&active)) }
    }

    pub(super) fn failed(&self, error: VolumeError) -> Failed {
        Failed { index: self.index, life: self.life, error }
    }

    /// Whether a flush has failed that took writes of this mirror along, whoever asked for it.
    pub(super) fn has_lost(&self) -> bool {
        self.volume.failed_flushes() != self.failures_before
    }
}

impl Member {
    fn active(&self, index: usize) -> Option<Active> {
        let volume = self.volume.clone().filter(|_| self.role != Role::Out)?;
        let Self { life, role, failures_before, .. } = *self;
        Some(Active { index, life, role, volume, lane: Arc::clone(&self.lane), failures_before })
    }
}

impl Shared {
    /// Members that are written, in order.
    pub(super) fn active(&self) -> Vec<Active> {
        self.members.iter().enumerate().filter_map(|(index, member)| member.active(index)).collect()
    }

    /// Members that are in, in order: the first is the one that counts where they differ.
    pub(super) fn readable(&self) -> Vec<Active> {
        self.active().into_iter().filter(|active| active.role == Role::In).collect()
    }

    pub(super) fn is_any_out(&self) -> bool {
        self.members.iter().any(|member| member.role == Role::Out)
    }

    pub(super) fn all_in_are_healthy(&self) -> bool {
        self.readable().iter().all(|active| active.volume.health() == Health::Good)
    }

    /// Whether a member that is in may differ from the first in one of the regions.
    pub(super) fn readers_differ(&self, mut regions: impl Iterator<Item = u64>) -> bool {
        let readers = || self.members.iter().filter(|member| member.role == Role::In);
        regions.any(|region| readers().any(|member| member.todo.get(region)))
    }

    /// Nobody knows what these regions hold on any member but the first.
    pub(super) fn differ_in(&mut self, regions: impl Iterator<Item = u64> + Clone) {
        self.differing += 1;
        let first = self.members.iter().position(|member| member.role == Role::In);
        for (index, member) in self.members.iter_mut().enumerate() {
            if member.role != Role::Out && Some(index) != first {
                regions.clone().for_each(|region| member.todo.set(region));
            }
        }
    }

    /// Takes a member out that is the same as it was. Answers whether it was in or about to be.
    pub(super) fn drop_member(&mut self, index: usize, life: u64, generation: u64, reason: &str) -> bool {
        let first = self.members.iter().position(|member| member.role == Role::In);
        let Some(member) =
            self.members.get_mut(index).filter(|member| member.life == life && member.role != Role::Out)
        else {
            return false;
        };
        member.role = Role::Out;
        member.left = generation;
        reason.clone_into(&mut member.reason);
        member.todo = Bits::none(member.todo.count());
        self.unsaved = true;
        if first == Some(index) {
            self.choose_first();
        }
        true
    }

    /// The next one that is in counts now: where it differed from the first, the others differ from it.
    fn choose_first(&mut self) {
        let Some(first) = self.members.iter().position(|member| member.role == Role::In) else { return };
        let Some(new) = self.members.get_mut(first) else { return };
        let none = Bits::none(new.todo.count());
        let differs = std::mem::replace(&mut new.todo, none);
        self.differing += 1;
        for (index, member) in self.members.iter_mut().enumerate() {
            if index != first && member.role != Role::Out {
                member.todo.merge(&differs);
            }
        }
    }
}
