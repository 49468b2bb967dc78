//! What all connections share: the catalogue, who is connected, memory.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use timedisk_scsi::{DeviceServer, LogicalUnit};

use crate::berth::Lookout;
use crate::control::Control;
use crate::disk::Disk;
use crate::memory::Pool;
use crate::registry::Registry;
use crate::settings::{Authentication, Catalogue, Limits, Target, User};
use crate::surroundings::System;

/// The portal group of a server that has no named ones (RFC 7143 §13.9).
pub(crate) const PORTAL_GROUP_TAG: u16 = 1;

/// The portals of a server whose portal groups are named, with their groups' tags; none of one whose groups are not.
#[derive(Debug, Default)]
pub(crate) struct Portals(pub(crate) Vec<(u16, SocketAddr)>);

impl Portals {
    /// The tags of the groups that serve a target.
    fn groups_of(&self, target: &Target) -> Vec<u16> {
        self.0.iter().map(|(tag, _)| *tag).filter(|tag| target.is_served_by(*tag)).collect()
    }

    /// TargetAddress of each portal that serves a target (RFC 7143 §13.8); `local` where the initiator came in.
    pub(crate) fn addresses_of(&self, target: &Target, local: SocketAddr) -> Vec<String> {
        if self.0.is_empty() {
            return vec![format!("{local},{PORTAL_GROUP_TAG}")];
        }
        let portals = self.0.iter().filter(|(tag, _)| target.is_served_by(*tag));
        portals.map(|(tag, address)| format!("{address},{tag}")).collect()
    }
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct House {
    catalogue: RwLock<Arc<Index>>,
    pub(crate) registry: Registry,
    pub(crate) pool: Arc<Pool>,
    pub(crate) limits: Limits,
    pub(crate) portals: Portals,
    pub(crate) lookout: Arc<Lookout>,
}

/// A connection counts as being there for as long as this lives.
#[derive(Debug)]
pub(crate) struct Presence(Arc<House>);

impl Presence {
    pub(crate) fn new(house: &Arc<House>, control: &Arc<Control>) -> Self {
        house.registry.arrive(control);
        Presence(Arc::clone(house))
    }

    pub(crate) fn house(&self) -> &Arc<House> {
        &self.0
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.registry.leave();
    }
}

/// A catalogue, to look things up in.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) discovery: Authentication,
    users: Vec<User>,
}

impl House {
    pub(crate) fn new(catalogue: Catalogue, limits: Limits, portals: Portals) -> std::io::Result<Self> {
        Ok(House {
            catalogue: RwLock::new(Arc::new(Index::new(catalogue))),
            registry: Registry::new(limits.sessions, limits.strangers),
            pool: Pool::new(limits.memory),
            limits,
            portals,
            lookout: Lookout::start()?,
        })
    }

    /// The catalogue as it is now.
    pub(crate) fn catalogue(&self) -> Arc<Index> {
        Arc::clone(&self.catalogue.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn exchange(&self, catalogue: Catalogue) {
        let index = Arc::new(Index::new(catalogue));
        *self.catalogue.write().unwrap_or_else(PoisonError::into_inner) = index;
    }
}

impl Index {
    fn new(catalogue: Catalogue) -> Self {
        let Catalogue { targets, users, discovery } = catalogue;
        Index { targets: targets.into_iter().map(Arc::new).collect(), discovery, users }
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Target>> {
        self.targets.iter().find(|target| target.name == name)
    }

    pub(crate) fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name.eq_ignore_ascii_case(name))
    }

    pub(crate) fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// What is asked of those who want this target, or who want to look for targets.
    pub(crate) fn authentication(&self, target: Option<&str>) -> Option<&Authentication> {
        match target {
            Some(name) => self.find(name).map(|target| &target.authentication),
            None => Some(&self.discovery),
        }
    }

    /// Every disk, once.
    pub(crate) fn disks(&self) -> Vec<Arc<Disk>> {
        let mut all: Vec<Arc<Disk>> = Vec::new();
        for mount in self.targets.iter().flat_map(|target| &target.mounts) {
            if !all.iter().any(|known| Arc::ptr_eq(known, &mount.disk)) {
                all.push(Arc::clone(&mount.disk));
            }
        }
        all
    }
}

/// What an initiator at some address has of a target.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) target: Arc<Target>,
    pub(crate) server: Arc<DeviceServer>,
    pub(crate) disks: Vec<(u16, Arc<Disk>)>,
}

impl View {
    /// For a session with this iSCSIProtocolLevel that came in by this portal group of these. `None` where it may use
    /// nothing of the target.
    pub(crate) fn of(
        target: &Arc<Target>,
        peer: IpAddr,
        (portal_group, portals): (u16, &Portals),
        protocol_level: u8,
    ) -> Option<View> {
        let open = target.mounts.iter().filter(|mount| (mount.access)(peer));
        let disks: Vec<_> = open.map(|mount| (mount.lun, Arc::clone(&mount.disk))).collect();
        if disks.is_empty() {
            return None;
        }
        let units = disks.iter().map(|(lun, disk)| (*lun, Arc::clone(disk.unit()))).collect();
        let server = DeviceServer::new(&target.name, portal_group, units).with_clock(milliseconds);
        let server = server.among(&portals.groups_of(target)).at_protocol_level(protocol_level);
        let server = server.in_surroundings(Arc::new(System));
        let server = Arc::new(server);
        Some(View { target: Arc::clone(target), server, disks })
    }

    pub(crate) fn disk(&self, unit: &Arc<LogicalUnit>) -> Option<&Arc<Disk>> {
        self.disks.iter().map(|(_, disk)| disk).find(|disk| Arc::ptr_eq(disk.unit(), unit))
    }
}

/// Since the beginning of 1970; none before.
fn milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
