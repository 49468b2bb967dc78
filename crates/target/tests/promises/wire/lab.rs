//! A server on a port of its own.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use timedisk_scsi::{BlockFormat, Identity, LogicalUnit};
use timedisk_target::{
    Authentication, Catalogue, Disk, Limits, Listening, Mount, PortalGroup, Server, Stuck, Target, User,
};
use timedisk_volume::{HeldVolume, MemoryVolume, Volume};

use super::{BLOCK, Initiator};

/// What panicked in the server's own threads, where nothing may.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A running server. When it is dropped, none of the server's threads may have panicked.
pub(crate) struct Lab {
    server: Option<Server>,
    pub(crate) address: SocketAddr,
}

impl Lab {
    /// With these targets and bounds that no test reaches by chance.
    pub(crate) fn new(targets: Vec<Target>) -> Lab {
        Lab::with(targets, Vec::new(), Limits::default())
    }

    pub(crate) fn with(targets: Vec<Target>, users: Vec<User>, limits: Limits) -> Lab {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        Lab::on(Listening::on(&listen, false).unwrap(), targets, users, limits)
    }

    /// With named portal groups, on a port each.
    pub(crate) fn of_groups(groups: &[u16], targets: Vec<Target>) -> Lab {
        let addresses = vec!["127.0.0.1:0".parse().unwrap()];
        let group = |tag: &u16| PortalGroup { tag: *tag, addresses: addresses.clone() };
        let groups: Vec<PortalGroup> = groups.iter().map(group).collect();
        Lab::on(Listening::on_groups(&groups).unwrap(), targets, Vec::new(), Limits::default())
    }

    fn on(listening: Listening, targets: Vec<Target>, users: Vec<User>, limits: Limits) -> Lab {
        watch_for_panics();
        let catalogue = Catalogue { targets, users, ..Catalogue::default() };
        let server = Server::start(listening, catalogue, limits).unwrap();
        let address = server.addresses()[0];
        Lab { server: Some(server), address }
    }

    /// One open target named `disk` with a disk in memory.
    pub(crate) fn memory(capacity: u64) -> Lab {
        Lab::new(vec![open_target("disk", MemoryVolume::new(capacity))])
    }

    /// The server itself.
    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    /// A session with a target, with nothing negotiated but these keys.
    pub(crate) fn session(&self, target: &str, offers: &[(&str, &str)]) -> Initiator {
        Initiator::session(self.address, target, offers)
    }

    pub(crate) fn shutdown(mut self, grace: Duration) -> Result<(), Stuck> {
        self.server.take().expect("it is shut down once").shutdown(grace)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(*PANICS.lock().unwrap(), [""; 0], "a thread of the server panicked");
        }
    }
}

fn watch_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or_default();
            if ["client ", "disk ", "listen ", "flush ", "lookout", "overhaul "]
                .iter()
                .any(|own| name.starts_with(own))
            {
                PANICS.lock().unwrap().push(format!("{name}: {info}"));
            }
            before(info);
        }));
    });
}

/// A logical unit with blocks of [`BLOCK`] bytes.
pub(crate) fn unit(name: &str, volume: impl Volume + 'static) -> Arc<LogicalUnit> {
    let identity = Identity {
        vendor: "timedisk".into(),
        product: "disk".into(),
        revision: "0.1".into(),
        serial: format!("serial-{name}"),
        naa: [0x3f, 0, 0, 0, 0, 0, 0, name.len() as u8],
    };
    let format = BlockFormat { logical_length: BLOCK as u32, physical_length: 4096 };
    Arc::new(LogicalUnit::new(Arc::new(volume), identity, format, None))
}

/// A target for everybody, with one disk at LUN 0.
pub(crate) fn open_target(name: &str, volume: impl Volume + 'static) -> Target {
    Target {
        name: full_name(name),
        alias: None,
        authentication: Authentication::None,
        mounts: vec![mount(0, &Disk::new(name, unit(name, volume)), |_| true)],
        portal_groups: Vec::new(),
    }
}

/// A disk's place in a target, for the addresses that `access` lets in.
pub(crate) fn mount(
    lun: u16,
    disk: &Arc<Disk>,
    access: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
) -> Mount {
    Mount { lun, disk: Arc::clone(disk), access: Arc::new(access) }
}

/// The same target, for these addresses only.
pub(crate) fn only_for(mut target: Target, access: fn(IpAddr) -> bool) -> Target {
    target.mounts.iter_mut().for_each(|mount| mount.access = Arc::new(access));
    target
}

/// The iSCSI name of a test's target.
pub(crate) fn full_name(name: &str) -> String {
    format!("iqn.2026-01.org.example:{name}")
}

/// A disk in memory that can be stuck, and a handle to stick it with.
pub(crate) fn held(capacity: u64) -> Arc<HeldVolume<MemoryVolume>> {
    Arc::new(HeldVolume::new(MemoryVolume::new(capacity)))
}

/// Bounds on memory.
pub(crate) fn limits(memory: usize, session_memory: usize) -> Limits {
    Limits { memory, session_memory, ..Limits::default() }
}

/// A block full of one byte.
pub(crate) fn block(byte: u8) -> [u8; BLOCK] {
    [byte; BLOCK]
}
