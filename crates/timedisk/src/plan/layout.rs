//! How the parts of a disk make one.

use timedisk_config::{Care, Configuration, Level, Storage, Target};

/// A part, or several seen as one. Parts are indexes into [`Disk::parts`](super::Disk::parts), in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Part(usize),
    /// One after the other.
    Chain(Vec<Layout>),
    /// Each a copy of the others.
    Mirror {
        /// The device's.
        name: String,
        /// With the names of their extents or devices.
        members: Vec<(String, Layout)>,
        care: Care,
    },
}

impl Layout {
    /// What a target of a file stands on.
    pub(super) fn of(configuration: &Configuration, target: &Target) -> Layout {
        layout(configuration, target.storage, &mut 0)
    }

    /// Whether any of it is a mirror.
    pub(crate) fn has_mirror(&self) -> bool {
        match self {
            Layout::Part(_) => false,
            Layout::Chain(members) => members.iter().any(Layout::has_mirror),
            Layout::Mirror { .. } => true,
        }
    }

    /// The same, looked after as if nothing were said of that.
    pub(crate) fn without_care(&self) -> Layout {
        match self {
            Layout::Part(index) => Layout::Part(*index),
            Layout::Chain(members) => Layout::Chain(members.iter().map(Layout::without_care).collect()),
            Layout::Mirror { name, members, .. } => {
                let members = members.iter().map(|(name, layout)| (name.clone(), layout.without_care()));
                Layout::Mirror { name: name.clone(), members: members.collect(), care: Care::default() }
            }
        }
    }

    /// The names of all mirrors.
    pub(crate) fn mirrors(&self) -> Vec<String> {
        match self {
            Layout::Part(_) => Vec::new(),
            Layout::Chain(members) => members.iter().flat_map(Layout::mirrors).collect(),
            Layout::Mirror { name, members, .. } => {
                let inner = members.iter().flat_map(|(_, layout)| layout.mirrors());
                [name.clone()].into_iter().chain(inner).collect()
            }
        }
    }

    /// All parts, in order.
    pub(crate) fn parts(&self) -> Vec<usize> {
        match self {
            Layout::Part(index) => vec![*index],
            Layout::Chain(members) => members.iter().flat_map(Layout::parts).collect(),
            Layout::Mirror { members, .. } => members.iter().flat_map(|(_, layout)| layout.parts()).collect(),
        }
    }

    /// The part that it begins with.
    pub(crate) fn first(&self) -> Option<usize> {
        self.parts().first().copied()
    }

    /// How many mirrors are above each other in it.
    pub(crate) fn height(&self) -> usize {
        match self {
            Layout::Part(_) => 0,
            Layout::Chain(members) => members.iter().map(Layout::height).max().unwrap_or(0),
            Layout::Mirror { members, .. } => {
                1 + members.iter().map(|(_, layout)| layout.height()).max().unwrap_or(0)
            }
        }
    }
}

/// `next` is the number of parts before it. Devices name only what was described before them, so this ends.
fn layout(configuration: &Configuration, storage: Storage, next: &mut usize) -> Layout {
    let Storage::Device(index) = storage else {
        let part = Layout::Part(*next);
        *next += 1;
        return part;
    };
    let Some(device) = configuration.devices.get(index) else { return Layout::Chain(Vec::new()) };
    match device.level {
        Level::Mirror => {
            let member =
                |storage: &Storage| (name_of(configuration, *storage), layout(configuration, *storage, next));
            let members = device.members.iter().map(member).collect();
            Layout::Mirror { name: device.name.clone(), members, care: device.care }
        }
        Level::Concatenation | Level::Other(_) => {
            let member = |storage: &Storage| layout(configuration, *storage, next);
            Layout::Chain(device.members.iter().map(member).collect())
        }
    }
}

fn name_of(configuration: &Configuration, storage: Storage) -> String {
    let name = match storage {
        Storage::Extent(index) => configuration.extents.get(index).map(|extent| extent.name.as_str()),
        Storage::Device(index) => configuration.devices.get(index).map(|device| device.name.as_str()),
    };
    name.unwrap_or_default().to_owned()
}
