//! Asymmetric logical unit access (SPC-4 5.16): how a logical unit can be used through each target port group, and who
//! has changed that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::SettingsStore;
use crate::running::Outcome;
use crate::sense::{Condition, OFFLINE, PORT_IN_STANDBY, PORT_UNAVAILABLE};

/// Target port groups that a target may have: what is told of them stays short.
pub const MOST_PORT_GROUPS: usize = 64;

/// Asymmetric access state of a target port group (SPC-4 5.16.2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum AccessState {
    /// As well as it goes.
    #[default]
    ActiveOptimized = 0x0,
    /// All commands, but other ways are better.
    ActiveNonOptimized = 0x1,
    /// No medium: who waits here may take over.
    Standby = 0x2,
    /// Nothing but questions about the way.
    Unavailable = 0x3,
    /// The same, and only an administrator can change it.
    Offline = 0xe,
}

/// The states with their words.
const STATES: [(AccessState, &str); 5] = [
    (AccessState::ActiveOptimized, "optimized"),
    (AccessState::ActiveNonOptimized, "non-optimized"),
    (AccessState::Standby, "standby"),
    (AccessState::Unavailable, "unavailable"),
    (AccessState::Offline, "offline"),
];

impl AccessState {
    /// Its word in what is saved, and for people.
    pub fn word(self) -> &'static str {
        STATES.iter().find(|(state, _)| *state == self).map_or("", |(_, word)| word)
    }

    /// The state of this word.
    pub fn of(word: &str) -> Option<AccessState> {
        STATES.iter().find(|(_, known)| *known == word).map(|(state, _)| *state)
    }

    /// What a command has to be for, to be carried out in this state; and what it is told otherwise.
    fn limit(self) -> Option<(Reach, &'static Condition)> {
        match self {
            AccessState::ActiveOptimized | AccessState::ActiveNonOptimized => None,
            AccessState::Standby => Some((Reach::Standby, &PORT_IN_STANDBY)),
            AccessState::Unavailable => Some((Reach::Unavailable, &PORT_UNAVAILABLE)),
            AccessState::Offline => Some((Reach::Offline, &OFFLINE)),
        }
    }
}

/// In which states of its target port group a command is carried out: in the one named, and in those that are better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// In the active ones.
    #[default]
    Active,
    /// Standby (SPC-4 5.16.2.4.4).
    Standby,
    /// Unavailable (SPC-4 5.16.2.4.5).
    Unavailable,
    /// In all.
    Offline,
}

/// A target port group, and how a logical unit is used through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortGroup {
    /// Its identifier, which is the iSCSI target portal group tag, and the relative identifier of its port. Not 0.
    pub tag: u16,
    /// Its state.
    pub state: AccessState,
    /// PREF: initiators should rather use this one.
    pub is_preferred: bool,
}

/// Who has changed a state last: STATUS CODE (SPC-4 table 252).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cause {
    Nobody = 0,
    /// SET TARGET PORT GROUPS.
    Initiator = 1,
    /// An administrator, by hand or by the configuration.
    Administrator = 2,
}

/// A group as it is now.
#[derive(Clone, Copy, Debug)]
struct Group {
    now: PortGroup,
    /// As the configuration has it.
    configured: AccessState,
    cause: Cause,
}

/// The states of one logical unit's target port groups.
#[derive(Debug, Default)]
pub(crate) struct AccessStates {
    /// Whether any is not active: mostly not, and then nothing else is looked at.
    is_limited: AtomicBool,
    is_explicit: AtomicBool,
    /// None where nothing is configured: then all is active and optimized, and stays so.
    current: Mutex<Vec<Group>>,
    /// Held by who changes them, while that is saved too.
    changing: Mutex<()>,
}

/// The key that changed states are saved under.
const KEY: &str = "target-port-groups";

/// Why a state was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unchanged {
    /// There is no group of this tag.
    NoGroup(u16),
    /// It could not be made to outlive a restart, for this reason.
    NotSaved(String),
}

impl std::fmt::Display for Unchanged {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unchanged::NoGroup(tag) => write!(formatter, "there is no portal group {tag}"),
            Unchanged::NotSaved(reason) => write!(formatter, "the access state can't be saved: {reason}"),
        }
    }
}

impl std::error::Error for Unchanged {}

impl AccessStates {
    fn current(&self) -> MutexGuard<'_, Vec<Group>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchange(&self, groups: Vec<Group>) {
        let is_limited = groups.iter().any(|group| group.now.state.limit().is_some());
        *self.current() = groups;
        self.is_limited.store(is_limited, Ordering::Release);
    }

    /// What is configured from now on. States that were changed since stay as they are, over restarts too, as long as
    /// the configuration says of their group what it said then. Answers whether initiators see a difference.
    pub(crate) fn configure(
        &self,
        configured: &[PortGroup],
        is_explicit: bool,
        settings: Option<&dyn SettingsStore>,
    ) -> Result<bool, Unchanged> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.current().clone();
        let saved = settings.and_then(|settings| settings.load(KEY)).unwrap_or_default();
        let group = |configured: &PortGroup| {
            let same = |known: &&Group| known.now.tag == configured.tag;
            match before.iter().find(same) {
                Some(known) if known.configured == configured.state => {
                    let now = PortGroup { is_preferred: configured.is_preferred, ..known.now };
                    Group { now, ..*known }
                }
                Some(_) => {
                    let cause = Cause::Administrator;
                    Group { now: *configured, configured: configured.state, cause }
                }
                None => {
                    let state = read(&saved, configured).unwrap_or(configured.state);
                    let now = PortGroup { state, ..*configured };
                    Group { now, configured: configured.state, cause: Cause::Nobody }
                }
            }
        };
        let groups: Vec<Group> = configured.iter().take(MOST_PORT_GROUPS).map(group).collect();
        let seen = |groups: &[Group]| groups.iter().map(|group| group.now).collect::<Vec<_>>();
        let differs = seen(&groups) != seen(&before);
        // What is out of date must not come back with a configuration that it was made for.
        let result = save(&groups, &saved, settings);
        self.is_explicit.store(is_explicit && !groups.is_empty(), Ordering::Relaxed);
        self.exchange(groups);
        result.map(|()| differs && !before.is_empty())
    }

    /// Changes the states of these groups, all or none; answers whether any is another now.
    pub(crate) fn set(
        &self,
        wanted: &[(u16, AccessState)],
        cause: Cause,
        settings: Option<&dyn SettingsStore>,
    ) -> Result<bool, Unchanged> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut groups = self.current().clone();
        let mut differs = false;
        for (tag, state) in wanted {
            let group = groups.iter_mut().find(|group| group.now.tag == *tag);
            let group = group.ok_or(Unchanged::NoGroup(*tag))?;
            if group.now.state != *state {
                (group.now.state, group.cause, differs) = (*state, cause, true);
            }
        }
        let saved = settings.and_then(|settings| settings.load(KEY)).unwrap_or_default();
        save(&groups, &saved, settings)?;
        self.exchange(groups);
        Ok(differs)
    }

    /// Refuses a command that is not carried out in the state of the group that it came through.
    pub(crate) fn check(&self, tag: u16, reach: Reach) -> Outcome {
        if !self.is_limited.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.group(tag).and_then(|(group, _)| group.state.limit()) {
            Some((least, condition)) if reach < least => Err(condition.into()),
            _ => Ok(()),
        }
    }

    /// A group as it is now, if it is configured.
    pub(crate) fn group(&self, tag: u16) -> Option<(PortGroup, Cause)> {
        let current = self.current();
        current.iter().find(|group| group.now.tag == tag).map(|group| (group.now, group.cause))
    }

    /// All that are configured, as they are now.
    pub(crate) fn groups(&self) -> Vec<PortGroup> {
        self.current().iter().map(|group| group.now).collect()
    }

    /// Whether SET TARGET PORT GROUPS is offered.
    pub(crate) fn is_explicit(&self) -> bool {
        self.is_explicit.load(Ordering::Relaxed)
    }
}

/// Saves the states that are not as configured, `TAG:CONFIGURED:STATE` for each, if that is not what is saved already.
fn save(groups: &[Group], saved: &str, settings: Option<&dyn SettingsStore>) -> Result<(), Unchanged> {
    let changed = groups.iter().filter(|group| group.now.state != group.configured);
    let words: Vec<String> = changed
        .map(|Group { now, configured, .. }| {
            format!("{}:{}:{}", now.tag, configured.word(), now.state.word())
        })
        .collect();
    let text = words.join(" ");
    match settings {
        Some(settings) if text != saved => settings.save(KEY, &text).map_err(Unchanged::NotSaved),
        _ => Ok(()),
    }
}

/// The state that was saved for a group, while it was configured as now.
fn read(saved: &str, configured: &PortGroup) -> Option<AccessState> {
    let prefix = format!("{}:{}:", configured.tag, configured.state.word());
    saved.split(' ').find_map(|word| AccessState::of(word.strip_prefix(&prefix)?))
}
