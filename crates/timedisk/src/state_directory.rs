//! Where timedisk keeps what is its own.

use std::path::PathBuf;

use anyhow::{Context, bail};

/// The directory: as typed, or by who runs this (XDG Base Directory, FHS).
pub(crate) fn choose(typed: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(directory) = typed {
        return Ok(directory.clone());
    }
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/timedisk".into());
    }
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    match (from("XDG_STATE_HOME"), from("HOME")) {
        (Some(state), _) => Ok(state.join("timedisk")),
        (None, Some(home)) => Ok(home.join(".local/state/timedisk")),
        (None, None) => {
            bail!("no home directory is known (HOME is not set); say where to keep things with --state DIR")
        }
    }
}

/// Makes the directory, for its owner's eyes only.
pub(crate) fn make(directory: &std::path::Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.with_context(|| {
        format!("can't make the directory {}; choose another with --state DIR", directory.display())
    })
}
