//! What NetBSD's daemon prints as it starts, byte for byte.

use crate::configuration::{Configuration, Target};
use crate::tree::Tree;
use std::fmt::Write;

/// What NetBSD's daemon prints as it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartUp {
    /// All of its standard output.
    pub stdout: String,
    /// What follows [`crate::Outcome::netbsd_messages`] on standard error.
    pub stderr: String,
    /// Whether there is anything to serve. If not, the exit status is 1.
    pub starts: bool,
}

/// The texts for a configuration that was read from `file`. Names without `=iqn` begin with `iqn_base`;
/// `size_of` gives the size of a disk in bytes. A disk that is not served is in the tree only.
#[must_use]
pub fn start_up(
    configuration: &Configuration,
    file: &str,
    iqn_base: &str,
    size_of: &dyn Fn(&Target) -> u64,
) -> StartUp {
    let mut stdout = format!("Reading configuration from `{file}'\n{}", Tree::bare(configuration));
    if configuration.targets.is_empty() {
        let stderr = "No targets to initialise\niscsi_target_start() failed\n".to_owned();
        return StartUp { stdout, stderr, starts: false };
    }
    for target in configuration.targets.iter().filter(|target| target.unserved.is_none()) {
        let (size, block) = (size_of(target), u64::from(target.block_length.max(1)));
        let read_only = if target.read_only { "readonly " } else { "" };
        // A `String` takes everything that is written to it.
        let _ = writeln!(
            stdout,
            "DISK: 1 logical unit ({} blocks, {block} bytes/block), type iscsi fs\n\
             DISK: LUN 0: {} MB {read_only}disk storage for \"{}\"",
            size / block,
            size >> 20,
            target.name
        );
    }
    let _ = writeln!(stdout, "TARGET: iSCSI Qualified Name (IQN) is {iqn_base}");
    StartUp { stdout, stderr: String::new(), starts: true }
}

/// What NetBSD's daemon says on stderr when it cannot open `file`, `reason` being the system's words, such as
/// `No such file or directory`. NetBSD goes on with nothing to serve; the caller does not.
#[must_use]
pub fn cannot_open(file: &str, reason: &str) -> String {
    format!("can't open `{file}' `r' ({reason})\nError: can't open `{file}'\nError: can't open `{file}'\n")
}
