//! Bytes that last: the storage under a disk.
//!
//! [`Volume`] is the one interface that everything above speaks: a run of bytes that can be read, written,
//! flushed, given back to the file system and asked which parts of it hold data. It knows no blocks, no
//! SCSI and no client.
//!
//! [`FileVolume`] keeps them in a sparse file or a block device, [`MemoryVolume`] in memory, and
//! [`ConcatenatedVolume`] in others, one after another, and [`MirrorVolume`] in others, each a copy of the rest.
//! [`ImageFiles`] lets several disks lie in one file.
//! [`DiskState`] is the small file beside an image that remembers who the disk is. Both reach the file system only
//! through [`FileCalls`], in the order in which things must happen. [`FailingVolume`] and [`HeldVolume`] go
//! around another volume and make it misbehave; [`ViewedVolume`] goes around one and lets others read what it held
//! at one moment.

#![forbid(unsafe_code)]

mod bits;
mod calls;
mod checksum;
mod concatenated;
mod error;
mod fault;
mod file;
mod memory;
mod mirror;
#[cfg(test)]
mod model;
mod range;
mod ranges;
mod redo;
mod state;
mod view;
mod volume;

pub use bits::Bits;
pub use calls::{
    Access, FileCalls, FileIdentity, FileKind, FileStatus, Lock, OpenFile, Partition, SpaceChange,
    SystemCalls, available_space,
};
pub use checksum::{ChecksummedVolume, Found, SumsOptions};
pub use concatenated::ConcatenatedVolume;
pub use error::{ErrorKind, VolumeError};
pub use fault::{FailingVolume, HeldVolume, Operation};
pub use file::{
    FileVolume, Growth, ImageFiles, Length, OpenOptions, Recovery, accept_loss_offline,
    accept_loss_offline_with,
};
pub use memory::{MemoryFiles, MemoryVolume, half_of_memory};
pub use mirror::{
    FileRecord, Header, Listed, MemberRecord, MemberReport, MirrorMember, MirrorOptions, MirrorReport,
    MirrorVolume, Resynced, Role, Tell, Witness, mirror_headers,
};
pub use state::{DiskState, FileWitness};
pub use view::{Compacted, MOST_VIEWS, Scratch, View, ViewedVolume};
pub use volume::{Allocation, Durability, Health, Lent, Mapping, Space, Volume};

/// Shorthand for the results of this crate.
pub type Result<T> = std::result::Result<T, VolumeError>;
