//! Atomic writes: by way of the redo record, so that a power cut leaves all of them or nothing.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::FileVolume;
use crate::redo::{self, Content, Left, RedoRecord};
use crate::{Result, range};

/// The record of a disk, and whether it stands in the way of other changes.
#[derive(Debug)]
pub(super) struct Redo {
    record: Mutex<RedoRecord>,
    /// An atomic write has failed before its end.
    is_unsettled: AtomicBool,
    /// These bytes of the disk are a mixture, and nobody is to read them.
    torn: Mutex<Option<Range<u64>>>,
    limit: u64,
}

/// What opening a disk has done about an atomic write that had not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// It was written again, whole.
    Redone {
        /// In bytes from the beginning of the disk.
        offset: u64,
        /// In bytes.
        length: u64,
    },
    /// It had not begun to change the disk, and never will.
    Dropped,
}

impl Redo {
    pub(super) fn new(record: RedoRecord) -> Self {
        let limit = if record.is_writable() { redo::MOST } else { 0 };
        Self {
            record: Mutex::new(record),
            is_unsettled: AtomicBool::new(false),
            torn: Mutex::default(),
            limit,
        }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Works with the record, alone, and notes for others what is left of that.
    fn with<T>(&self, work: impl FnOnce(&mut RedoRecord) -> Result<T>) -> Result<T> {
        let mut record: MutexGuard<'_, _> = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut record);
        if record.left() == Left::Nothing {
            *self.torn() = None;
        }
        self.is_unsettled.store(record.left() != Left::Nothing, Ordering::SeqCst);
        result
    }

    fn torn(&self) -> MutexGuard<'_, Option<Range<u64>>> {
        self.torn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a mixture within these bytes.
    pub(super) fn is_torn(&self, offset: u64, length: u64) -> bool {
        let within = |torn: &Range<u64>| torn.start < offset.saturating_add(length) && offset < torn.end;
        self.is_unsettled.load(Ordering::SeqCst) && self.torn().as_ref().is_some_and(within)
    }
}

impl FileVolume {
    /// What was found to be done about an atomic write when this was opened, if anything.
    pub fn recovery(&self) -> Option<Recovery> {
        self.recovery
    }

    /// Brings an atomic write to its end that the end of power, or of a process, has cut off.
    pub(super) fn recover(&self) -> Result<Option<Recovery>> {
        self.redo.with(|record| match record.content()? {
            Content::Nothing | Content::Torn if !record.is_writable() => Ok(None),
            // Also where nothing is there: an earlier life may have failed to make that last. Where this one fails,
            // nothing is written to the disk before it succeeds.
            Content::Nothing => {
                let _ = record.reset();
                Ok(None)
            }
            Content::Torn => {
                let _ = record.reset();
                Ok(Some(Recovery::Dropped))
            }
            Content::Pending { .. } if !record.is_writable() => Err(record.refusal(&format!(
                "has an atomic write that the end of power, or of timedisk, has cut off, so that {} may have a part of \
                 it only. It is written whole when the disk is opened for writing: do that once, or move the record \
                 away to have the disk as it is",
                self.path().display()
            ))),
            Content::Pending { offset, data } => {
                let length = range::length_of(&data);
                if range::check(self.extent.capacity(), offset, length).is_err() {
                    return Err(record.refusal(&format!(
                        "has an atomic write of {length} bytes at byte {offset}, beyond the end of the disk: bring \
                         back the length that it had, or move the record away"
                    )));
                }
                // It may be in the system's cache only, and a part of the image must not last before it does.
                record.keep(offset, &data)?;
                self.redo_it(record, offset, &data)?;
                Ok(Some(Recovery::Redone { offset, length }))
            }
        })
    }

    /// Makes way for a change where an atomic write has failed before its end.
    pub(super) fn settle(&self) -> Result<()> {
        match self.redo.is_unsettled.load(Ordering::SeqCst) {
            true => self.redo.with(|record| self.settle_record(record)),
            false => Ok(()),
        }
    }

    fn settle_record(&self, record: &mut RedoRecord) -> Result<()> {
        match record.left() {
            Left::Nothing => Ok(()),
            Left::Retire => record.retire(),
            Left::Redo => match record.content()? {
                Content::Pending { offset, data } => self.redo_it(record, offset, &data),
                Content::Nothing | Content::Torn => Err(record.refusal(
                    "does not have any more what was kept there of an atomic write that has failed: the disk takes no \
                     writes until it is opened again",
                )),
            },
        }
    }

    /// Leaves nothing in the record of what was ever there.
    pub(super) fn erase_record(&self) -> Result<()> {
        self.redo.with(|record| {
            self.settle_record(record)?;
            record.erase()
        })
    }

    fn redo_it(&self, record: &mut RedoRecord, offset: u64, data: &[u8]) -> Result<()> {
        let seen = self.shared.failures();
        self.extent.write(offset, data)?;
        self.commit(seen)?;
        record.retire()
    }

    /// The write itself; all has been checked.
    pub(super) fn put_whole(&self, offset: u64, data: &[u8], seen: u64) -> Result<()> {
        self.redo.with(|record| {
            self.settle_record(record)?;
            // What can't be read can't be put back, but it can be written over.
            let mut before = vec![0; data.len()];
            let is_known = self.extent.read(offset, &mut before).is_ok();
            record.keep(offset, data)?;
            let mut done = 0;
            if let Err(error) = self.extent.write_on(offset, data, &mut done) {
                // No room, mostly. What is there already is taken back, and if that fails too, it is done again whole
                // before anything else is written, or any of it is read.
                let (changed, _) = before.split_at(done);
                if !is_known || self.extent.write(offset, changed).is_err() {
                    *self.redo.torn() = Some(offset..offset + range::length_of(data));
                } else if self.commit(seen).is_ok() {
                    record.retire()?;
                }
                return Err(error);
            }
            self.commit(seen)?;
            record.retire()
        })
    }
}
