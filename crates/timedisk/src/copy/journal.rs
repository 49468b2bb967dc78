//! How far a copy is, for when it goes on after an end that was not foreseen.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::sparse::synchronize_directory_of;

const TITLE: &str = "timedisk-copy 1";

/// No journal is longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// A small file: of what the copy is, and where to, and up to which byte it is on stable storage.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    source: String,
    destination: String,
    done: u64,
}

impl Journal {
    /// One that says that nothing is done.
    pub(super) fn begin(path: PathBuf, source: String, destination: String) -> anyhow::Result<Journal> {
        let mut journal = Journal { path, source, destination, done: 0 };
        journal.note(0)?;
        Ok(journal)
    }

    /// The one that is there, if there is one.
    ///
    /// # Errors
    /// It is of another copy, or can't be read.
    pub(super) fn load(path: &Path, source: &str, destination: &str) -> anyhow::Result<Option<Journal>> {
        let failed = || format!("can't read {}", path.display());
        let text = match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(failed),
            Ok(metadata) if metadata.len() > LONGEST => bail!("{} is no journal of a copy", path.display()),
            Ok(_) => std::fs::read_to_string(path).with_context(failed)?,
        };
        let Some((was_source, was_destination, done)) = parse(&text) else {
            bail!("{} is no journal of a copy: add --restart to begin again", path.display())
        };
        if was_source != source {
            bail!(
                "the source has changed since the copy was begun, or is another: it was {was_source}, and is {source}. \
                 What is done belongs to the old one; add --restart to begin again"
            );
        }
        if was_destination != destination {
            bail!(
                "the copy that was begun had another destination: {was_destination}, now {destination}; add --restart \
                 to begin again"
            );
        }
        Ok(Some(Journal { path: path.to_owned(), source: was_source, destination: was_destination, done }))
    }

    pub(super) fn done(&self) -> u64 {
        self.done
    }

    /// All before byte `done` is on stable storage.
    pub(super) fn note(&mut self, done: u64) -> anyhow::Result<()> {
        self.done = done;
        self.replace().with_context(|| format!("can't write {}", self.path.display()))
    }

    fn replace(&self) -> anyhow::Result<()> {
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let mut file = std::fs::File::create(&new)?;
        let Journal { source, destination, done, .. } = self;
        write!(file, "{TITLE}\nsource={source}\ndestination={destination}\ndone={done}\n")?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        synchronize_directory_of(&self.path)
    }

    /// The copy is whole.
    pub(super) fn remove(self) -> anyhow::Result<()> {
        std::fs::remove_file(&self.path).with_context(|| format!("can't remove {}", self.path.display()))
    }
}

fn parse(text: &str) -> Option<(String, String, u64)> {
    let mut lines = text.strip_prefix(TITLE)?.strip_prefix('\n')?.lines();
    let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix('=').map(str::to_owned);
    Some((value("source")?, value("destination")?, value("done")?.parse().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_goes_on_with_the_same_copy_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("j");
        assert!(Journal::load(&path, "a", "b").unwrap().is_none());
        Journal::begin(path.clone(), "a".into(), "b".into()).unwrap().note(4096).unwrap();
        assert_eq!(Journal::load(&path, "a", "b").unwrap().unwrap().done(), 4096);
        let said = |source, destination| Journal::load(&path, source, destination).unwrap_err().to_string();
        assert!(
            said("c", "b").contains("source has changed") && said("a", "c").contains("another destination")
        );
        for damaged in ["", "timedisk-copy 2\n", "timedisk-copy 1\nsource=a\ndestination=b\ndone=x\n"] {
            std::fs::write(&path, damaged).unwrap();
            assert!(said("a", "b").contains("--restart"), "{damaged}");
        }
    }
}
