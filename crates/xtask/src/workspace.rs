//! Where things are: the checkout, the build directory, the logs.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The directories that the stages work with.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// Cargo's build directory.
    pub(crate) target: PathBuf,
    /// Where the stages write their logs.
    pub(crate) logs: PathBuf,
}

impl Workspace {
    /// Finds the checkout from the place of this crate in it, and makes the directory for logs.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .context("crates/xtask is not two levels below the checkout")?
            .to_owned();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(given) => std::path::absolute(given).context("CARGO_TARGET_DIR is no usable path")?,
            None => root.join("target"),
        };
        let logs = target.join("xtask");
        std::fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
        Ok(Self { root, target, logs })
    }

    /// The binary under test: `TARGET_BIN`, or the release build.
    pub(crate) fn binary(&self) -> Result<PathBuf> {
        match std::env::var_os("TARGET_BIN") {
            Some(given) => std::path::absolute(given).context("TARGET_BIN is no usable path"),
            None => Ok(self.target.join("release/timedisk")),
        }
    }
}
