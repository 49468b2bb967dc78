//! What a copy is measured by, for those who watch it: data, as far as they could be counted soon enough.

use std::time::{Duration, Instant};

use super::end::End;
use crate::progress::Progress;

/// How long it is counted.
const COUNTING: Duration = Duration::from_secs(1);

/// How far the copy is.
#[derive(Debug)]
pub(super) struct Scale {
    progress: Progress,
    /// The beginning, if it is measured by the position in the source.
    by_position: Option<u64>,
}

impl Scale {
    /// Counts what is to be copied from a byte on.
    pub(super) fn of(source: &mut End, from: u64) -> anyhow::Result<Scale> {
        let (began, mut at, mut bytes) = (Instant::now(), from, 0);
        while let Some(data) = source.next_data(at)? {
            bytes += data.end - data.start;
            at = data.end;
            if began.elapsed() > COUNTING {
                let left = source.length().saturating_sub(from);
                return Ok(Scale { progress: Progress::new("copy", left), by_position: Some(from) });
            }
        }
        Ok(Scale { progress: Progress::new("copy", bytes), by_position: None })
    }

    /// It has come to a byte, and has read so many bytes of data.
    pub(super) fn at(&mut self, position: u64, read: u64) {
        let done = self.by_position.map_or(read, |from| position.saturating_sub(from));
        self.progress.at(done);
    }
}
