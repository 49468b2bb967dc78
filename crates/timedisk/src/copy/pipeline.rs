//! The copying itself: one thread reads, another one writes, and holes are stepped over.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};

use super::end::End;
use super::journal::Journal;
use super::scale::Scale;
use crate::sparse::runs;

/// Bytes of data that are read before they are written.
pub(super) const BUFFER: usize = 4 << 20;

/// Buffers on their way.
const BUFFERS: usize = 4;

/// Runs of data in one buffer.
const MOST_RANGES: usize = 512;

/// How often an end that nothing is wanted of is looked after.
const TEND: Duration = Duration::from_secs(1);

/// Between two notes in the journal, each of which takes a flush.
const NOTE: Duration = Duration::from_secs(5);

/// A part of the source: data in these ranges, and holes between them.
struct Part {
    whole: Range<u64>,
    ranges: Vec<Range<u64>>,
    buffer: Arc<[u8]>,
}

/// What went over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    /// Bytes of data that were read.
    pub(super) read: u64,
    /// Bytes that were written, which are fewer where zeros were among them.
    pub(super) written: u64,
    /// It was ended before all was done.
    pub(super) is_stopped: bool,
}

/// Copies what the journal says is still to be done. When this returns, whatever it returns, the journal is right.
pub(super) fn run(
    source: &mut End,
    destination: &mut End,
    journal: &mut Journal,
    stop: &AtomicBool,
) -> anyhow::Result<Moved> {
    let blocks = source.block_length().max(destination.block_length());
    ensure!(blocks <= BUFFER as u64, "blocks of {blocks} bytes are too long");
    let (length, from) = (source.length(), journal.done());
    let mut scale = Scale::of(source, from)?;
    let (full_sender, full) = sync_channel(BUFFERS);
    let (empty_sender, empty) = sync_channel(BUFFERS);
    for _ in 0..BUFFERS {
        empty_sender.send(vec![0; BUFFER].into())?;
    }
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().spawn_scoped(scope, move || {
            let mut reader = Reader { source, at: from, length, blocks, empty, stop };
            if let Err(error) = reader.run(&full_sender) {
                // If nobody hears of it, the writer has an error of its own.
                let _ = full_sender.send(Err(error));
            }
        })?;
        let mut writer = Writer {
            destination,
            journal,
            moved: Moved::default(),
            done: from,
            noted: Instant::now(),
            has_failed_to_flush: false,
        };
        let result = writer.run(&full, &empty_sender, &mut scale);
        // Both ends of what the reader may wait for.
        drop((full, empty_sender));
        let is_sound = reader.join().is_ok();
        result?;
        ensure!(is_sound, "the reading thread has a defect");
        let mut moved = writer.moved;
        moved.is_stopped = writer.done < length;
        Ok(moved)
    })
}

struct Reader<'a> {
    source: &'a mut End,
    at: u64,
    length: u64,
    blocks: u64,
    empty: Receiver<Arc<[u8]>>,
    stop: &'a AtomicBool,
}

impl Reader<'_> {
    fn run(&mut self, full: &SyncSender<anyhow::Result<Part>>) -> anyhow::Result<()> {
        while self.at < self.length && !self.stop.load(Ordering::Relaxed) {
            let Some(buffer) = self.buffer()? else { return Ok(()) };
            let part = self.part(buffer)?;
            if full.send(Ok(part)).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// An empty buffer; `None` if the writer is gone.
    fn buffer(&mut self) -> anyhow::Result<Option<Arc<[u8]>>> {
        loop {
            match self.empty.recv_timeout(TEND) {
                Ok(buffer) => return Ok(Some(buffer)),
                Err(RecvTimeoutError::Timeout) => self.source.tend()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    /// As many runs of data as fill a buffer.
    fn part(&mut self, mut buffer: Arc<[u8]>) -> anyhow::Result<Part> {
        let (start, mut filled, mut ranges) = (self.at, 0, Vec::new());
        while self.at < self.length && filled < BUFFER as u64 && ranges.len() < MOST_RANGES {
            let Some(data) = self.source.next_data(self.at)? else {
                self.at = self.length;
                break;
            };
            let first = (data.start - data.start % self.blocks).max(self.at);
            let end = data.end.next_multiple_of(self.blocks).min(self.length);
            let end = end.min(first + BUFFER as u64 - filled);
            filled = (filled + end - first).next_multiple_of(self.blocks);
            ranges.push(first..end);
            self.at = end;
        }
        if Arc::get_mut(&mut buffer).is_none() {
            // The target has ended a command before it took all data, and they are still to be sent.
            buffer = vec![0; BUFFER].into();
        }
        let bytes = Arc::get_mut(&mut buffer).ok_or_else(|| anyhow!("a buffer is held twice"))?;
        self.source.read(&ranges, bytes)?;
        Ok(Part { whole: start..self.at, ranges, buffer })
    }
}

struct Writer<'a> {
    destination: &'a mut End,
    journal: &'a mut Journal,
    moved: Moved,
    /// All before it is written, but for the last flush.
    done: u64,
    noted: Instant,
    has_failed_to_flush: bool,
}

impl Writer<'_> {
    fn run(
        &mut self,
        full: &Receiver<anyhow::Result<Part>>,
        empty: &SyncSender<Arc<[u8]>>,
        scale: &mut Scale,
    ) -> anyhow::Result<()> {
        let result = self.write_all(full, empty, scale);
        // What is done is kept, whatever has ended it; but the first error is the one to tell.
        let noted = self.note();
        result.and(noted)
    }

    fn write_all(
        &mut self,
        full: &Receiver<anyhow::Result<Part>>,
        empty: &SyncSender<Arc<[u8]>>,
        scale: &mut Scale,
    ) -> anyhow::Result<()> {
        loop {
            let part = match full.recv_timeout(TEND) {
                Ok(part) => part?,
                Err(RecvTimeoutError::Timeout) => {
                    self.destination.tend()?;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            self.write(&part)?;
            self.done = part.whole.end;
            scale.at(self.done, self.moved.read);
            // A reader that has read all needs no buffer any more.
            let _ = empty.send(part.buffer);
            if self.noted.elapsed() >= NOTE {
                self.note()?;
            }
        }
    }

    fn note(&mut self) -> anyhow::Result<()> {
        if self.done > self.journal.done() && !self.has_failed_to_flush {
            // A second flush may succeed, and what the first one has lost be lost all the same: the next copy has to
            // write it again.
            self.has_failed_to_flush = true;
            self.destination.flush()?;
            self.has_failed_to_flush = false;
            self.journal.note(self.done)?;
        }
        self.noted = Instant::now();
        Ok(())
    }

    fn write(&mut self, part: &Part) -> anyhow::Result<()> {
        let grain = self.destination.grain() as usize;
        let (mut parts, mut holes) = (Vec::new(), Vec::new());
        let (mut at, mut offset) = (part.whole.start, 0);
        for range in &part.ranges {
            add_hole(&mut holes, at..range.start);
            let end = offset + (range.end - range.start) as usize;
            let bytes = part.buffer.get(offset..end).unwrap_or_default();
            for (is_zero, run) in runs(bytes, grain) {
                let place = range.start + run.start as u64;
                match is_zero {
                    true => add_hole(&mut holes, place..place + run.len() as u64),
                    false => parts.push((place, offset + run.start..offset + run.end)),
                }
            }
            (at, offset) = (range.end, end);
            self.moved.read += range.end - range.start;
        }
        add_hole(&mut holes, at..part.whole.end);
        holes.into_iter().try_for_each(|hole| self.destination.clear(hole))?;
        self.moved.written += parts.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
        self.destination.write(&parts, &part.buffer)
    }
}

/// Adds a hole to those before it, or to the last of them if it begins where that ends.
fn add_hole(holes: &mut Vec<Range<u64>>, hole: Range<u64>) {
    match holes.last_mut() {
        _ if hole.is_empty() => {}
        Some(last) if last.end == hole.start => last.end = hole.end,
        _ => holes.push(hole),
    }
}
