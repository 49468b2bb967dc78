//! How much room the files of disks take, looked up where a file that does not answer keeps nobody.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;

/// How long an answer is waited for. After that, what was known before has to do.
const PATIENCE: Duration = Duration::from_millis(250);

/// Files to look at, and who is told when that is done.
type Question = (Vec<PathBuf>, SyncSender<()>);

/// What files were found to take, and the thread that looks.
#[derive(Debug)]
pub(crate) struct Rooms {
    known: Arc<Known>,
    questions: SyncSender<Question>,
}

#[derive(Debug, Default)]
struct Known(Mutex<HashMap<PathBuf, u64>>);

impl Known {
    fn bytes(&self) -> MutexGuard<'_, HashMap<PathBuf, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, path: PathBuf) {
        let found = std::fs::metadata(&path);
        let mut bytes = self.bytes();
        match found {
            Ok(metadata) => bytes.insert(path, metadata.blocks() * 512),
            Err(_) => bytes.remove(&path),
        };
    }
}

impl Rooms {
    pub(crate) fn start() -> anyhow::Result<Rooms> {
        let known = Arc::<Known>::default();
        let (questions, asked): (_, Receiver<Question>) = sync_channel(1);
        let found = Arc::clone(&known);
        let look = move || {
            for (paths, done) in asked {
                paths.into_iter().for_each(|path| found.look(path));
                // Whoever asked may have gone on.
                let _ = done.try_send(());
            }
        };
        std::thread::Builder::new().name("rooms".into()).spawn(look).context("can't start a thread")?;
        Ok(Rooms { known, questions })
    }

    /// Looks at these files again, as far as they answer soon.
    pub(crate) fn look_at(&self, paths: Vec<PathBuf>) {
        let (done, answer) = sync_channel(1);
        // While an earlier question hangs, nothing newer is known.
        if self.questions.try_send((paths, done)).is_ok() {
            let _ = answer.recv_timeout(PATIENCE);
        }
    }

    /// Bytes that a file was found to take when it last answered; `None` if it never did.
    pub(crate) fn allocated(&self, path: &Path) -> Option<u64> {
        self.known.bytes().get(path).copied()
    }
}
