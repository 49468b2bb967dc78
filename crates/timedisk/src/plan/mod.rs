//! What is to be served, from whichever place it was described in.

mod in_memory;
mod layout;
mod typed;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::Level;
use timedisk_config::{AccessList, Authentication, Configuration, Length, PortalGroup, netbsd};

use crate::check::{Files, count, options};
use crate::command_line::ServeOptions;
use crate::state_directory;
pub(crate) use layout::Layout;

/// Where NetBSD's daemon has its file.
const NETBSDS_TARGETS: &str = "/etc/iscsi/targets";

/// The default disk's size: that of the tutorial.
const DEFAULT_SIZE: u64 = 100 << 20;

/// A disk to be served, as one logical unit of one target.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    /// What people call it.
    pub(crate) name: String,
    /// The target's iSCSI name.
    pub(crate) iqn: String,
    pub(crate) lun: u16,
    /// What it is made of, in written order; at least one.
    pub(crate) parts: Vec<Part>,
    /// How the parts make one.
    pub(crate) layout: Layout,
    pub(crate) read_only: bool,
    pub(crate) access: AccessList,
    pub(crate) chap: Option<Chap>,
    /// Bytes of a logical block.
    pub(crate) block_length: u32,
    /// The length of the blocks below that clients are told of; no less.
    pub(crate) physical_block_length: u32,
    /// Instead of the one in its state file.
    pub(crate) serial: Option<String>,
    pub(crate) origin: Origin,
    /// The tags of the portal groups that serve its target; none for all.
    pub(crate) portals: Vec<u16>,
    /// Whether initiators may change the groups' access states.
    pub(crate) explicit: bool,
}

/// Bytes of a block below the logical ones: reads and writes of less cost the file system a detour.
pub(crate) const USUAL_PHYSICAL_BLOCK: u32 = 4096;

/// A part of a file, or of a block device.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) path: PathBuf,
    /// Bytes into the file.
    pub(crate) start: u64,
    pub(crate) length: Length,
    /// Whether it is read and written past the system's cache.
    pub(crate) direct: bool,
    /// Whether a sum of each block is kept beside it.
    pub(crate) checksum: bool,
    /// Whether it is an image in QEMU's format.
    pub(crate) qcow2: bool,
    /// Where it is described, for a part of a file of targets.
    pub(crate) written: Option<Written>,
}

/// A line of a file of targets.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) file: String,
    pub(crate) line: usize,
    /// The extent's name.
    pub(crate) extent: String,
}

/// Where a disk is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    File,
    /// With `--disk`.
    Typed,
    /// Nowhere: it is the one that is served when nothing is said.
    Default,
}

/// What CHAP is asked for with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chap {
    /// Who may come in.
    pub(crate) users: Vec<String>,
    /// As whom the target proves itself.
    pub(crate) own: Option<String>,
}

impl Disk {
    /// Whether it is in an image in QEMU's format, which is only read.
    pub(crate) fn is_qcow2(&self) -> bool {
        self.parts.iter().any(|part| part.qcow2)
    }

    /// Who may see it.
    pub(crate) fn allows(&self) -> Arc<dyn Fn(IpAddr) -> bool + Send + Sync> {
        let access = self.access.clone();
        Arc::new(move |address| {
            let allowed = access.allows(address);
            if let Some(complaint) = access.netbsd_complaint().filter(|_| !allowed) {
                eprintln!("{complaint}");
            }
            allowed
        })
    }

    /// The file that it begins in.
    pub(crate) fn path(&self) -> &Path {
        self.parts.first().map_or(Path::new(""), |part| &part.path)
    }
}

/// What is to be served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) disks: Vec<Disk>,
    /// CHAP users and their secrets.
    pub(crate) users: Vec<(String, Vec<u8>)>,
    /// Portal groups, if they are named.
    pub(crate) portals: Vec<PortalGroup>,
    /// What those are asked for who look for targets.
    pub(crate) discovery: Option<Chap>,
    /// The file's name and what NetBSD's reading made of it, for NetBSD's start-up text.
    pub(crate) netbsd: Option<Box<(String, Configuration)>>,
}

/// A plan, and what is worth saying about it.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) plan: Plan,
    /// Ready to be shown.
    pub(crate) notices: Vec<String>,
}

/// Why there is no plan.
#[derive(Debug)]
pub(crate) struct Unplanned {
    /// In one sentence.
    pub(crate) error: anyhow::Error,
    /// The mistakes of a file, and what else is worth saying about it, ready to be shown.
    pub(crate) remarks: Vec<String>,
}

impl<E: Into<anyhow::Error>> From<E> for Unplanned {
    fn from(error: E) -> Self {
        Unplanned { error: error.into(), remarks: Vec::new() }
    }
}

/// Gathers what was typed: a file of targets, single disks, or the default disk. Files are read anew each time.
pub(crate) fn gather(typed: &ServeOptions) -> Result<Gathered, Unplanned> {
    let mut plan = Plan::default();
    let mut notices = Vec::new();
    let options = options(&typed.iqn_base, typed.block_length, typed.netbsd_compat)?;
    let netbsds = (typed.netbsd_compat && typed.disks.is_empty()).then(|| Path::new(NETBSDS_TARGETS));
    if let Some(targets) = typed.targets.as_deref().or(netbsds) {
        let (files, more) = match Files::read(targets, typed.auths.as_ref()) {
            Err(_) if typed.netbsd_compat && !targets.exists() => {
                let text = netbsd::cannot_open(&targets.display().to_string(), "No such file or directory");
                let error = anyhow::anyhow!("there is nothing to serve");
                return Err(Unplanned { error, remarks: vec![text.trim_end().to_owned()] });
            }
            read => read?,
        };
        notices.extend(more);
        let outcome = files.parse(&options);
        notices.extend(outcome.netbsd_messages);
        notices.extend(files.render(&outcome.notices, Level::WARNING));
        match outcome.configuration {
            Some(configuration) => {
                let unserved: Vec<_> =
                    configuration.targets.iter().filter_map(|t| t.unserved.clone()).collect();
                notices.extend(files.render(&unserved, Level::ERROR));
                plan.take(&files, &configuration, typed.netbsd_compat);
                plan.netbsd =
                    typed.netbsd_compat.then(|| Box::new((files.targets_name().to_owned(), configuration)));
            }
            None => {
                notices.extend(files.render(&outcome.mistakes, Level::ERROR));
                return Err(Unplanned { error: count(outcome.mistakes.len()), remarks: notices });
            }
        }
    } else if let Some(auths) = &typed.auths {
        // No targets, only users: an empty file of targets gives them.
        let files = Files::read_users(auths)?;
        let outcome = files.parse(&options);
        let of_users = |remark: &&timedisk_config::Mistake| remark.file == timedisk_config::File::Auths;
        let mistakes: Vec<_> = outcome.mistakes.iter().filter(of_users).cloned().collect();
        if !mistakes.is_empty() {
            let remarks = files.render(&mistakes, Level::ERROR);
            return Err(Unplanned { error: count(mistakes.len()), remarks });
        }
        plan.users = files.users(&options);
    }
    for text in &typed.disks {
        plan.add_typed(text, &options)?;
    }
    if plan.disks.is_empty() && plan.netbsd.is_none() {
        let state = state_directory::choose(typed.state.as_ref())?;
        plan.disks.push(default_disk(&state, &options));
    }
    plan.check_names()?;
    plan.name_disks_in_memory(typed.state.as_ref())?;
    Ok(Gathered { plan, notices })
}

fn default_disk(state: &Path, options: &timedisk_config::Options) -> Disk {
    let path = state.join("target0.img");
    let length = typed::at_least(&path, DEFAULT_SIZE);
    Disk {
        name: "target0".into(),
        iqn: format!("{}:target0", options.iqn_base),
        lun: 0,
        parts: vec![Part {
            path,
            start: 0,
            length,
            direct: false,
            checksum: false,
            qcow2: false,
            written: None,
        }],
        layout: Layout::Part(0),
        read_only: false,
        access: AccessList::everyone(),
        chap: None,
        block_length: options.block_length,
        physical_block_length: options.block_length.max(USUAL_PHYSICAL_BLOCK),
        serial: None,
        origin: Origin::Default,
        portals: Vec::new(),
        explicit: false,
    }
}

impl Plan {
    /// With `plain_paths` all paths are of files, as NetBSD has them.
    fn take(&mut self, files: &Files, configuration: &Configuration, plain_paths: bool) {
        for target in configuration.targets.iter().filter(|target| target.unserved.is_none()) {
            let extents = target.extents.iter().filter_map(|index| configuration.extents.get(*index));
            let path = |extent: &timedisk_config::Extent| match plain_paths && extent.is_in_memory() {
                true => Path::new(".").join(&extent.path),
                false => PathBuf::from(&extent.path),
            };
            let parts = extents.map(|extent| Part {
                path: path(extent),
                start: extent.start,
                length: extent.length,
                direct: extent.direct,
                checksum: extent.checksum,
                qcow2: extent.qcow2,
                written: Some(Written {
                    file: files.targets_name().to_owned(),
                    line: files.line_of(extent.span.start),
                    extent: extent.name.clone(),
                }),
            });
            self.disks.push(Disk {
                name: target.name.clone(),
                iqn: target.iqn.clone(),
                lun: target.lun,
                parts: parts.collect(),
                layout: Layout::of(configuration, target),
                read_only: target.read_only,
                access: target.access.clone(),
                chap: chap(&target.authentication, target.mutual.as_ref()),
                block_length: target.block_length,
                physical_block_length: target
                    .physical
                    .unwrap_or(USUAL_PHYSICAL_BLOCK)
                    .max(target.block_length),
                serial: target.serial.clone(),
                origin: Origin::File,
                portals: target.portals.clone(),
                explicit: target.explicit,
            });
        }
        self.portals.clone_from(&configuration.portals);
        let discovery = &configuration.discovery;
        self.discovery = chap(&discovery.authentication, discovery.mutual.as_ref());
        let users = configuration.users.iter();
        self.users = users.map(|user| (user.name.clone(), user.secret.bytes().to_vec())).collect();
    }

    /// Names are the file's to give; what is typed beside it must not take them.
    fn check_names(&self) -> anyhow::Result<()> {
        for (index, disk) in self.disks.iter().enumerate().filter(|(_, disk)| disk.origin != Origin::File) {
            let taken = |other: &Disk| other.iqn == disk.iqn;
            anyhow::ensure!(
                !self.disks.iter().take(index).any(taken),
                "two disks would be called {}; name one with iqn=NAME",
                disk.iqn
            );
        }
        Ok(())
    }
}

fn chap(authentication: &Authentication, own: Option<&String>) -> Option<Chap> {
    match authentication {
        Authentication::None => None,
        Authentication::Chap { users } => Some(Chap { users: users.clone(), own: own.cloned() }),
    }
}
