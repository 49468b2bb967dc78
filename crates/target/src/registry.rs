//! Who is connected: sessions by who they are (RFC 7143 §6.3.5), and connections that have not logged in yet.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use timedisk_scsi::NexusId;

use crate::control::{Control, Message};
use crate::session_record::{SessionRecord, SessionStatus};
use crate::settings::Limits;

/// Who is connected.
#[derive(Debug)]
pub(crate) struct Registry {
    limit: usize,
    strangers_limit: usize,
    next_nexus: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<u16, Entry>,
    /// Connections without a session, in order of arrival; those admitted are weeded out as new ones come.
    strangers: VecDeque<Weak<Control>>,
    connections: usize,
}

impl State {
    /// Of too many connections that have said nothing valid, the oldest; and of far too many that don't finish their
    /// login either.
    fn one_too_many(&mut self, limit: usize) -> Option<Arc<Control>> {
        let silent = |stranger: &Weak<Control>| stranger.upgrade().is_some_and(|control| !control.is_known());
        let too_many_silent = self.strangers.iter().filter(|stranger| silent(stranger)).count() >= limit;
        let position = match too_many_silent {
            true => self.strangers.iter().position(silent)?,
            false if self.strangers.len() >= limit * Limits::LOGINS_FOR_A_STRANGER => 0,
            false => return None,
        };
        self.strangers.remove(position).and_then(|oldest| oldest.upgrade())
    }
}

#[derive(Debug)]
struct Entry {
    key: Key,
    nexus: NexusId,
    control: Arc<Control>,
    record: Arc<SessionRecord>,
}

/// What makes a session that session: a second login with the same takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) initiator: String,
    pub(crate) isid: [u8; 6],
    /// `None` for discovery.
    pub(crate) target: Option<String>,
    /// Its tag belongs to the name of the target port (RFC 7143 §4.2.7.3).
    pub(crate) portal_group: u16,
}

/// A session's place among the others.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) tsih: u16,
    pub(crate) nexus: NexusId,
    /// Whose place it takes.
    pub(crate) replaced: Option<NexusId>,
}

impl Registry {
    pub(crate) fn new(limit: usize, strangers_limit: usize) -> Self {
        Registry {
            limit,
            strangers_limit,
            next_nexus: AtomicU64::new(1),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection was accepted. Where too many have said nothing valid yet, the oldest of them has to go.
    pub(crate) fn arrive(&self, control: &Arc<Control>) {
        let mut state = self.state();
        state.connections += 1;
        state.strangers.retain(|stranger| stranger.upgrade().is_some_and(|control| !control.is_admitted()));
        if let Some(oldest) = state.one_too_many(self.strangers_limit) {
            oldest.post(Message::Close("it had not got on with its login when too many others came"));
        }
        state.strangers.push_back(Arc::downgrade(control));
    }

    /// The system has no room for another connection: the oldest that has not logged in has to make some.
    pub(crate) fn make_room(&self) {
        let mut state = self.state();
        state.strangers.retain(|stranger| stranger.upgrade().is_some_and(|control| !control.is_admitted()));
        if let Some(oldest) = state.strangers.pop_front().and_then(|oldest| oldest.upgrade()) {
            oldest.post(Message::Close("the system had no room for others, and it had not logged in"));
        }
    }

    /// Whether this challenge went out to a connection that has not logged in yet.
    pub(crate) fn has_issued(&self, challenge: &[u8]) -> bool {
        let strangers = &self.state().strangers;
        strangers.iter().filter_map(Weak::upgrade).any(|stranger| stranger.is_to_answer(challenge))
    }

    /// A connection has ended.
    pub(crate) fn leave(&self) {
        let mut state = self.state();
        state.connections = state.connections.saturating_sub(1);
        self.changed.notify_all();
    }

    /// Gives a new session its place. `None` where the house is full, or the system gives no random bytes.
    pub(crate) fn admit(
        &self,
        key: Key,
        control: &Arc<Control>,
        record: &Arc<SessionRecord>,
    ) -> Option<Admission> {
        // A handle is nobody's to guess. Without randomness there is no session.
        let drawn = getrandom::u32().ok()? as u16;
        let mut state = self.state();
        let same = state.sessions.iter().find(|(_, entry)| entry.key == key).map(|(tsih, _)| *tsih);
        if same.is_none() && state.sessions.len() >= self.limit {
            return None;
        }
        let mut tsihs = (0..=u16::MAX).map(|step| drawn.wrapping_add(step)).filter(|tsih| *tsih != 0);
        let tsih = tsihs.find(|tsih| !state.sessions.contains_key(tsih))?;
        let replaced = same.and_then(|tsih| state.sessions.remove(&tsih)).map(|old| {
            old.control.replace();
            old.control.post(Message::Close("the same initiator has logged in anew"));
            old.nexus
        });
        control.mark_admitted();
        let nexus = NexusId(self.next_nexus.fetch_add(1, Ordering::Relaxed));
        let (control, record) = (Arc::clone(control), Arc::clone(record));
        state.sessions.insert(tsih, Entry { key, nexus, control, record });
        Some(Admission { tsih, nexus, replaced })
    }

    /// A session has ended.
    pub(crate) fn dismiss(&self, nexus: NexusId) {
        let mut state = self.state();
        state.sessions.retain(|_, entry| entry.nexus != nexus);
        self.changed.notify_all();
    }

    /// Tells those sessions that are meant, by their target (none for discovery) and nexus, after `first` was done with
    /// each.
    pub(crate) fn tell_some(
        &self,
        is_meant: impl Fn(Option<&str>, NexusId) -> bool,
        first: impl Fn(NexusId),
        message: impl Fn() -> Message,
    ) {
        let state = self.state();
        let is_meant = |entry: &&Entry| is_meant(entry.key.target.as_deref(), entry.nexus);
        for entry in state.sessions.values().filter(is_meant) {
            first(entry.nexus);
            entry.control.post(message());
        }
    }

    /// Tells every session.
    pub(crate) fn tell_all(&self, message: impl Fn() -> Message) {
        self.state().sessions.values().for_each(|entry| entry.control.post(message()));
    }

    /// Tells one session; `false` where there is none of this handle.
    pub(crate) fn tell(&self, tsih: u16, message: Message) -> bool {
        let state = self.state();
        let Some(entry) = state.sessions.get(&tsih) else { return false };
        entry.control.post(message);
        true
    }

    /// All sessions, the oldest first.
    pub(crate) fn sessions(&self) -> Vec<SessionStatus> {
        let state = self.state();
        let statuses = state.sessions.iter().map(|(tsih, entry)| {
            entry.record.status(*tsih, &entry.key.initiator, entry.key.target.as_deref())
        });
        let mut statuses: Vec<SessionStatus> = statuses.collect();
        statuses.sort_by_key(|session| std::cmp::Reverse(session.age));
        statuses
    }

    /// Waits until there are no sessions, or no connections either, but not past `deadline`.
    pub(crate) fn wait_until_empty(&self, connections_too: bool, deadline: Instant) -> bool {
        let mut state = self.state();
        while !state.sessions.is_empty() || (connections_too && state.connections > 0) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let pause = left.min(Duration::from_secs(1));
            state = self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(initiator: &str) -> Key {
        Key { initiator: initiator.into(), isid: [0; 6], target: Some("iqn.t".into()), portal_group: 1 }
    }

    fn record() -> Arc<SessionRecord> {
        Arc::new(SessionRecord::new("127.0.0.1:1".parse().unwrap(), None, None))
    }

    #[test]
    fn the_same_initiator_takes_its_own_place_even_in_a_full_house() {
        let registry = Registry::new(1, 4);
        let (old, new) = (Arc::new(Control::new().unwrap()), Arc::new(Control::new().unwrap()));
        let first = registry.admit(key("a"), &old, &record()).unwrap();
        assert!(registry.admit(key("b"), &new, &record()).is_none(), "a full house refuses the newcomer");
        let second = registry.admit(key("a"), &new, &record()).unwrap();
        assert_eq!(second.replaced, Some(first.nexus));
        assert_ne!(second.tsih, first.tsih);
        assert!(old.is_replaced() && matches!(old.take()[..], [Message::Close(_)]));
        registry.dismiss(first.nexus);
        assert!(
            registry.admit(key("b"), &old, &record()).is_none(),
            "the end of the replaced session frees no place"
        );
        registry.dismiss(second.nexus);
        assert!(registry.admit(key("b"), &old, &record()).is_some());
    }

    #[test]
    fn the_oldest_stranger_goes_and_the_newest_is_never_refused() {
        let registry = Registry::new(1, 2);
        let controls: Vec<_> = (0..4).map(|_| Arc::new(Control::new().unwrap())).collect();
        controls[0].mark_known();
        controls.iter().for_each(|control| registry.arrive(control));
        let closed: Vec<bool> = controls.iter().map(|control| !control.take().is_empty()).collect();
        assert_eq!(closed, [false, true, false, false]);
    }

    #[test]
    fn logins_that_never_end_are_bounded_too() {
        let registry = Registry::new(1, 2);
        let controls: Vec<_> = (0..20).map(|_| Arc::new(Control::new().unwrap())).collect();
        for control in &controls {
            control.mark_known();
            registry.arrive(control);
        }
        let closed = controls.iter().filter(|control| !control.take().is_empty()).count();
        assert_eq!(closed, controls.len() - 2 * Limits::LOGINS_FOR_A_STRANGER);
    }
}
