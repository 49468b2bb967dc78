//! What is registered and reserved, and the rules of its changes (SPC-4 5.13).

use super::port::Port;
use super::{Admission, Told};
use crate::running::Stop;
use crate::sense::{
    INSUFFICIENT_REGISTRATION_RESOURCES, INVALID_RELEASE, REGISTRATIONS_PREEMPTED, RESERVATIONS_PREEMPTED,
    RESERVATIONS_RELEASED, Sense,
};

/// Registrations that a logical unit keeps.
const MOST: usize = 256;

/// Where SERVICE ACTION RESERVATION KEY stands in the parameter list.
const NEW_KEY: usize = 8;

/// TYPE of a persistent reservation (SPC-4 table 67).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    WriteExclusive = 1,
    ExclusiveAccess = 3,
    WriteExclusiveRegistrantsOnly = 5,
    ExclusiveAccessRegistrantsOnly = 6,
    WriteExclusiveAllRegistrants = 7,
    ExclusiveAccessAllRegistrants = 8,
}

use Kind::*;

impl Kind {
    pub(crate) const ALL: [Kind; 6] = [
        WriteExclusive,
        ExclusiveAccess,
        WriteExclusiveRegistrantsOnly,
        ExclusiveAccessRegistrantsOnly,
        WriteExclusiveAllRegistrants,
        ExclusiveAccessAllRegistrants,
    ];

    pub(crate) fn of(code: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == code)
    }

    /// Whether others may not even read.
    fn is_exclusive(self) -> bool {
        matches!(self, ExclusiveAccess | ExclusiveAccessRegistrantsOnly | ExclusiveAccessAllRegistrants)
    }

    /// Whether all that are registered may use the logical unit.
    fn is_for_registrants(self) -> bool {
        !matches!(self, WriteExclusive | ExclusiveAccess)
    }

    /// Whether all that are registered hold the reservation.
    pub(crate) fn is_held_by_all(self) -> bool {
        matches!(self, WriteExclusiveAllRegistrants | ExclusiveAccessAllRegistrants)
    }
}

/// A registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Registrant {
    pub(crate) port: Port,
    pub(crate) key: u64,
}

/// A persistent reservation. The scope is always the logical unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) kind: Kind,
    /// Who made it; where all registrants hold it, that says nothing.
    pub(crate) by: Port,
}

/// What is registered and reserved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// PRGENERATION.
    pub(crate) generation: u32,
    pub(crate) registrants: Vec<Registrant>,
    pub(crate) held: Option<Held>,
    /// APTPL: it survives the loss of power.
    pub(crate) persists: bool,
}

impl State {
    fn registrant(&self, port: &Port) -> Option<&Registrant> {
        self.registrants.iter().find(|registrant| registrant.port.is(port))
    }

    /// The key of a nexus.
    pub(crate) fn key(&self, port: &Port) -> Option<u64> {
        self.registrant(port).map(|registrant| registrant.key)
    }

    /// Whether a registrant holds the reservation.
    pub(crate) fn is_holder(&self, port: &Port) -> bool {
        self.held.as_ref().is_some_and(|held| held.kind.is_held_by_all() || held.by == *port)
    }

    fn is_holding_nexus(&self, port: &Port) -> bool {
        self.registrant(port).is_some_and(|registrant| self.is_holder(&registrant.port))
    }

    /// Whether a reservation keeps this command of this nexus out.
    pub(super) fn shuts_out(&self, port: Option<&Port>, admission: Admission) -> bool {
        let Some(held) = &self.held else { return false };
        let is_registered = port.is_some_and(|port| self.registrant(port).is_some());
        let may = port.is_some_and(|port| self.is_holding_nexus(port))
            || (is_registered && held.kind.is_for_registrants());
        match admission {
            Admission::Always | Admission::Own => false,
            Admission::Looks => !may && held.kind.is_exclusive(),
            Admission::Never => !may,
        }
    }

    /// Only a registered nexus that knows its key goes on.
    fn authorize(&self, port: &Port, key: u64) -> Result<Port, Stop> {
        let registrant = self.registrant(port).filter(|registrant| registrant.key == key);
        registrant.map(|registrant| registrant.port.clone()).ok_or(Stop::Conflict)
    }

    fn tell(&self, but: &Port, condition: &'static crate::sense::Condition) -> Told {
        let others = self.registrants.iter().filter(|registrant| registrant.port != *but);
        others.map(|registrant| (registrant.port.clone(), condition)).collect()
    }

    fn count_change(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// REGISTER, and REGISTER AND IGNORE EXISTING KEY where `key` is `None`. `others` are registered along with it.
    pub(super) fn register(
        &mut self,
        port: &Port,
        key: Option<u64>,
        new: u64,
        others: &[Port],
        for_all_targets: bool,
    ) -> Result<Told, Stop> {
        let known = self.registrant(port).cloned();
        let expected = known.as_ref().map_or(0, |known| known.key);
        if key.is_some_and(|key| key != expected) {
            return Err(Stop::Conflict);
        }
        match known {
            None if new == 0 => return Ok(Told::new()),
            None => {
                for one in std::iter::once(port).chain(others) {
                    let target = one.target.clone().filter(|_| !for_all_targets);
                    self.add(Port { target, ..one.clone() }, new)?;
                }
            }
            Some(known) if new == 0 => {
                let told = self.unregister(&known.port);
                self.count_change();
                return Ok(told);
            }
            Some(known) => {
                let mut registrants = self.registrants.iter_mut();
                if let Some(own) = registrants.find(|registrant| registrant.port == known.port) {
                    own.key = new;
                }
            }
        }
        self.count_change();
        Ok(Told::new())
    }

    /// Registers a port; answers what its registration stands for.
    fn add(&mut self, port: Port, key: u64) -> Result<Port, Stop> {
        if let Some(known) = self.registrants.iter_mut().find(|registrant| registrant.port.is(&port)) {
            known.key = key;
            return Ok(known.port.clone());
        }
        // What was registered for one of the targets is now registered for all, and so is what it held.
        self.registrants.retain(|registrant| !port.is(&registrant.port));
        if self.registrants.len() >= MOST {
            return Err((&INSUFFICIENT_REGISTRATION_RESOURCES).into());
        }
        if let Some(held) = self.held.as_mut().filter(|held| port.is(&held.by)) {
            held.by = port.clone();
        }
        self.registrants.push(Registrant { port: port.clone(), key });
        Ok(port)
    }

    /// Takes a registration away, and the reservation with it if nobody holds that any more (SPC-4 5.13.11.2.3).
    fn unregister(&mut self, port: &Port) -> Told {
        let was_holder = self.is_holder(port);
        self.registrants.retain(|registrant| registrant.port != *port);
        let ends = self
            .held
            .as_ref()
            .filter(|held| was_holder && (!held.kind.is_held_by_all() || self.registrants.is_empty()));
        let Some(kind) = ends.map(|held| held.kind) else { return Told::new() };
        self.held = None;
        match kind.is_for_registrants() {
            true => self.tell(port, &RESERVATIONS_RELEASED),
            false => Told::new(),
        }
    }

    /// RESERVE.
    pub(super) fn reserve(&mut self, port: &Port, key: u64, kind: Kind) -> Result<Told, Stop> {
        let own = self.authorize(port, key)?;
        match &self.held {
            None => self.held = Some(Held { kind, by: own }),
            Some(held) if held.kind == kind && self.is_holder(&own) => {}
            Some(_) => return Err(Stop::Conflict),
        }
        Ok(Told::new())
    }

    /// RELEASE.
    pub(super) fn release(&mut self, port: &Port, key: u64, kind: Kind) -> Result<Told, Stop> {
        let own = self.authorize(port, key)?;
        let Some(held) = self.held.clone().filter(|_| self.is_holder(&own)) else { return Ok(Told::new()) };
        if held.kind != kind {
            return Err((&INVALID_RELEASE).into());
        }
        self.held = None;
        Ok(match kind.is_for_registrants() {
            true => self.tell(&own, &RESERVATIONS_RELEASED),
            false => Told::new(),
        })
    }

    /// CLEAR.
    pub(super) fn clear(&mut self, port: &Port, key: u64) -> Result<Told, Stop> {
        let own = self.authorize(port, key)?;
        let told = self.tell(&own, &RESERVATIONS_PREEMPTED);
        self.registrants.clear();
        self.held = None;
        self.count_change();
        Ok(told)
    }

    /// PREEMPT: those with the key `victim` are no longer registered, and the reservation, if it was theirs, is this
    /// nexus's (SPC-4 5.13.11.2.6).
    /// `kind` counts only in the latter case.
    pub(super) fn preempt(
        &mut self,
        port: &Port,
        key: u64,
        victim: u64,
        kind: Result<Kind, Stop>,
    ) -> Result<Told, Stop> {
        let own = self.authorize(port, key)?;
        let takes = match &self.held {
            Some(held) if held.kind.is_held_by_all() => victim == 0,
            Some(held) => self.registrants.iter().any(|one| one.key == victim && one.port == held.by),
            None => false,
        };
        if victim == 0 && !takes {
            return Err(Sense::invalid_parameter(NEW_KEY, None).into());
        }
        if !takes && !self.registrants.iter().any(|registrant| registrant.key == victim) {
            return Err(Stop::Conflict);
        }
        let kind = if takes { Some(kind?) } else { None };
        let is_victim = |one: &Registrant| (one.key == victim || victim == 0) && (one.port != own || !takes);
        let victims = self.registrants.extract_if(.., |one| is_victim(one)).collect::<Vec<_>>();
        let mut told: Told = victims.into_iter().map(|one| (one.port, &REGISTRATIONS_PREEMPTED)).collect();
        if let Some(kind) = kind {
            let before = self.held.replace(Held { kind, by: own.clone() });
            if before.is_some_and(|held| held.kind != kind) {
                told.extend(self.tell(&own, &RESERVATIONS_RELEASED));
            }
        } else if self.registrants.is_empty() || self.holder_is_gone() {
            self.held = None;
        }
        self.count_change();
        Ok(told)
    }

    fn holder_is_gone(&self) -> bool {
        let held = self.held.as_ref().filter(|held| !held.kind.is_held_by_all());
        held.is_some_and(|held| !self.registrants.iter().any(|one| one.port == held.by))
    }

    /// REGISTER AND MOVE: the reservation is another's, who is registered with `new` (SPC-4 5.13.8).
    pub(super) fn hand_over(
        &mut self,
        port: &Port,
        key: u64,
        new: u64,
        to: Port,
        unregisters: bool,
    ) -> Result<Told, Stop> {
        let own = self.authorize(port, key)?;
        let held = self.held.clone().filter(|held| held.by == own && !held.kind.is_held_by_all());
        let Some(Held { kind, .. }) = held else { return Err(Stop::Conflict) };
        if new == 0 {
            return Err(Sense::invalid_parameter(NEW_KEY, None).into());
        }
        if own.is(&to) {
            return Err(Sense::invalid_parameter(24, None).into());
        }
        let to = self.add(to, new)?;
        self.held = Some(Held { kind, by: to });
        if unregisters {
            self.registrants.retain(|registrant| registrant.port != own);
        }
        self.count_change();
        Ok(Told::new())
    }
}
