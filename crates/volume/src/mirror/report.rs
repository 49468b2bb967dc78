//! How a mirror is.

use super::commit::Journal;
use super::{Header, MirrorVolume, Role};

/// A mirror at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorReport {
    /// In the order of the configuration.
    pub members: Vec<MemberReport>,
    /// Bytes of the mirror.
    pub capacity: u64,
    /// How much of the last comparison is done, in bytes; none if nobody has asked for one.
    pub scrubbed: Option<u64>,
    /// Bytes of the regions that it found to differ and repaired.
    pub repaired: u64,
    /// Whether it goes on.
    pub scrubbing: bool,
}

/// A member at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberReport {
    /// What people call it.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Bytes that it is still to get, counted in whole regions.
    pub lacking: u64,
    /// Reads that have failed.
    pub read_errors: u64,
    /// Why it is out.
    pub reason: String,
    /// A call to it has not returned, and nobody waits for that any more.
    pub hung: bool,
}

impl MirrorVolume {
    /// The member that counts where they differ: its place in the order of the configuration.
    pub fn first(&self) -> Option<usize> {
        self.shared().readable().first().map(|active| active.index)
    }

    /// How it is now.
    pub fn report(&self) -> MirrorReport {
        let shared = self.shared();
        let member = |member: &super::member::Member| MemberReport {
            name: member.name.clone(),
            role: member.role,
            lacking: member.todo.total().saturating_mul(self.region).min(self.capacity),
            read_errors: member.read_errors,
            reason: member.reason.clone(),
            hung: member.lane.is_hung(),
        };
        let members = shared.members.iter().map(member).collect();
        drop(shared);
        let scrub = self.scrub_state();
        MirrorReport {
            members,
            capacity: self.capacity,
            scrubbed: scrub.done,
            repaired: scrub.repaired,
            scrubbing: scrub.wanted,
        }
    }

    pub(super) fn header_now(&self, journal: &Journal) -> Header {
        self.header(journal, &self.shared(), false)
    }
}
