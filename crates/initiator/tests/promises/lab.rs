//! A target in this process.

use std::sync::Arc;

use timedisk_initiator::{Connection, Settings, Url};
use timedisk_scsi::{BlockFormat, Identity, LogicalUnit};
use timedisk_target::{Authentication, Catalogue, Disk, Limits, Listening, Mount, Server, Target, User};
use timedisk_volume::MemoryVolume;

/// Bytes of a block.
pub(crate) const BLOCK: u32 = 512;

/// Bytes of the disk of a target.
pub(crate) const CAPACITY: u64 = 8 << 20;

/// A server on a port of its own, with targets that each have a disk at LUN 3.
pub(crate) struct Lab {
    server: Server,
}

impl Lab {
    pub(crate) fn new(targets: &[(&str, Authentication)]) -> Lab {
        let targets =
            targets.iter().map(|(name, authentication)| target(name, authentication.clone())).collect();
        let users = [("ann", "ann's long secret"), ("bob", "bob's long secret")];
        let users = users.map(|(name, secret)| User { name: name.into(), secret: secret.into() }).to_vec();
        let listening = Listening::on(&["127.0.0.1:0".parse().unwrap()], false).unwrap();
        let catalogue = Catalogue { targets, users, ..Catalogue::default() };
        Lab { server: Server::start(listening, catalogue, Limits::default()).unwrap() }
    }

    /// One target for everybody.
    pub(crate) fn open() -> Lab {
        Lab::new(&[("disk", Authentication::None)])
    }

    /// `[user%secret@]` and what stands behind the LUN, with the only disk of a target.
    pub(crate) fn url(&self, user: &str, name: &str, after: &str) -> Url {
        let portal = self.server.addresses()[0];
        format!("iscsi://{user}{portal}/{}/3{after}", full_name(name)).parse().unwrap()
    }

    pub(crate) fn portal(&self) -> timedisk_initiator::Portal {
        self.url("", "disk", "").portal
    }

    /// A session with the disk of an open lab.
    pub(crate) fn session(&self, settings: Settings) -> Connection {
        Connection::open(&self.url("", "disk", ""), &settings, 16).unwrap()
    }
}

pub(crate) fn settings() -> Settings {
    let mut identity = [0; 3];
    getrandom::fill(&mut identity).unwrap();
    Settings::new(identity)
}

pub(crate) fn full_name(name: &str) -> String {
    format!("iqn.2026-01.org.example:{name}")
}

fn target(name: &str, authentication: Authentication) -> Target {
    let identity = Identity {
        vendor: "timedisk".into(),
        product: "disk".into(),
        revision: "0.1".into(),
        serial: format!("serial-{name}"),
        naa: [0x3f, 0, 0, 0, 0, 0, 0, name.len() as u8],
    };
    let format = BlockFormat { logical_length: BLOCK, physical_length: 4096 };
    let unit = LogicalUnit::new(Arc::new(MemoryVolume::new(CAPACITY)), identity, format, None);
    let disk = Disk::new(name, Arc::new(unit));
    Target {
        name: full_name(name),
        alias: None,
        authentication,
        mounts: vec![Mount { lun: 3, disk, access: Arc::new(|_| true) }],
        portal_groups: Vec::new(),
    }
}
