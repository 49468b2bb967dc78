//! NetBSD's `targets` and `auths` files: texts in, a checked description or all located mistakes out.
//!
//! The crate is pure. It opens no file and looks at no clock: the caller reads the files, hands in their
//! texts, and renders what comes back. A [`Mistake`] refuses the whole configuration; a [`Notice`] is worth
//! saying at each start and refuses nothing. Both carry a byte range of the text they are about.
//!
//! The way of a file: `lines` splits a text into lines of fields, one module for each kind of record
//! (`extent`, `device`, `target`, `auths`) reads a line into a description, with `keys` for what stands after
//! its last field. `demands`, `served`, `blocks` and `sharing` look at the whole. [`netbsd`] reads the same
//! files as NetBSD's own daemon does, and has what that daemon prints. `print` turns a configuration into a
//! text again.
#![forbid(unsafe_code)]

mod access;
mod auths;
mod blocks;
mod configuration;
mod demands;
mod device;
mod extent;
#[doc(hidden)]
pub mod fuzzing;
mod journal;
mod keys;
mod lines;
mod name;
mod nearest;
pub mod netbsd;
mod portals;
mod print;
mod reader;
mod secret;
mod served;
mod sharing;
mod size;
mod target;
mod tree;
mod value;

pub use access::AccessList;
pub use auths::{User, redacted};
pub use configuration::{
    AccessState, Authentication, Care, Configuration, DEFAULT_IQN_BASE, Device, Discovery, Extent, FileSize,
    Length, Level, Options, Outcome, PortalGroup, Reading, Scrub, Storage, Target,
};
pub use journal::{File, Mistake, Notice, Remark, Source};
pub use name::iscsi_name;
pub use print::Printed;
pub use secret::Secret;
pub use size::{format_size, parse_size};
pub use tree::Tree;
pub use value::ValueError;

#[cfg(test)]
mod tests;
