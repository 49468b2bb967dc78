//! Mirrors, as the control socket shows them.

use serde::{Deserialize, Serialize};
use timedisk_volume::{MirrorReport, Role};
use utoipa::ToSchema;

/// A mirror of a disk.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Mirror {
    /// The device's name in the file.
    pub(crate) name: String,
    pub(crate) state: MirrorState,
    /// How much the members have that are resynced, and are in but may differ; 100 where there are none.
    pub(crate) resynced_percent: u8,
    /// In the order of the file.
    pub(crate) members: Vec<Member>,
    /// The last comparison of the members, if one was asked for since the disk is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scrub: Option<Scrub>,
    /// When the last comparison ended that the disk remembers, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_scrub: Option<u64>,
    /// When the next one begins without being asked for, likewise; none if none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_scrub: Option<u64>,
}

/// How a mirror is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MirrorState {
    /// All members are in and alike.
    Whole,
    /// Some get what they miss, and none is out.
    Resyncing,
    /// It goes on without a member; others may be resynced meanwhile.
    Degraded,
}

/// A member of a mirror.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Member {
    /// Its extent's or device's name in the file.
    pub(crate) name: String,
    pub(crate) state: MemberState,
    /// Bytes that it may still have to get.
    pub(crate) lacking_bytes: u64,
    /// Reads that have failed.
    pub(crate) read_errors: u64,
    /// Why it is out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// What a member is to its mirror.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MemberState {
    /// It is read and written.
    In,
    /// It is written, and gets what it misses.
    Resyncing,
    /// The mirror goes on without it.
    Out,
}

/// A comparison of the members.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Scrub {
    /// How much of it is done.
    pub(crate) percent: u8,
    /// Bytes of the parts that differed, and were made like the first member.
    pub(crate) repaired_bytes: u64,
}

/// Which member is to be replaced, and by what.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct ReplaceRequest {
    /// The member's extent or device.
    pub(crate) member: String,
    /// Where its file is from now on; the same as before if it is not there. Absolute.
    #[serde(default)]
    pub(crate) path: Option<String>,
}

impl Mirror {
    pub(crate) fn of(
        name: &str,
        report: &MirrorReport,
        [last_scrub, next_scrub]: [Option<u64>; 2],
    ) -> Mirror {
        let any = |role| report.members.iter().any(|member| member.role == role);
        let lacks = report.members.iter().map(|member| member.lacking).max().unwrap_or(0);
        let state = match (any(Role::Out), lacks > 0 || any(Role::Syncing)) {
            (true, _) => MirrorState::Degraded,
            (false, true) => MirrorState::Resyncing,
            (false, false) => MirrorState::Whole,
        };
        let member = |member: &timedisk_volume::MemberReport| Member {
            name: member.name.clone(),
            state: match member.role {
                Role::In => MemberState::In,
                Role::Syncing => MemberState::Resyncing,
                Role::Out => MemberState::Out,
            },
            lacking_bytes: member.lacking,
            read_errors: member.read_errors,
            reason: (member.role == Role::Out).then(|| reason(member)),
        };
        Mirror {
            name: name.into(),
            state,
            resynced_percent: percent(report.capacity.saturating_sub(lacks), report.capacity),
            members: report.members.iter().map(member).collect(),
            scrub: report.scrubbed.map(|done| Scrub {
                percent: percent(done, report.capacity),
                repaired_bytes: report.repaired,
            }),
            last_scrub,
            next_scrub,
        }
    }

    /// In a few words; none if there is nothing to be said.
    pub(crate) fn words(&self) -> Option<String> {
        let missing = self.members.iter().any(|member| member.state == MemberState::Resyncing);
        let resyncing = format!("resyncing {}%", self.resynced_percent);
        match self.state {
            MirrorState::Whole => None,
            MirrorState::Resyncing => Some(resyncing),
            MirrorState::Degraded if missing => Some(format!("degraded, {resyncing}")),
            MirrorState::Degraded => Some("degraded".into()),
        }
    }
}

fn reason(member: &timedisk_volume::MemberReport) -> String {
    let more = if member.hung { ", and a call to it has not returned yet" } else { "" };
    format!("{}{more}", member.reason)
}

/// 100 only when all is done.
fn percent(done: u64, whole: u64) -> u8 {
    let percent = u128::from(done) * 100 / u128::from(whole.max(1));
    u8::try_from(percent).unwrap_or(100)
}
