//! A stand-in for tests: real files, with every call written down and any of them made to fail or to wait.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use rustix::io::Errno;

use super::{Access, FileCalls, FileIdentity, FileStatus, Lock, OpenFile, SpaceChange, SystemCalls};
use crate::Space;

/// The calls that a test can count, fail and hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Open,
    Rename,
    Remove,
    CreateDirectory,
    SynchronizeDirectory,
    Read,
    ReadWithoutWaiting,
    Write,
    Copy,
    SynchronizeData,
    Synchronize,
    SetLength,
    ChangeSpace,
    ForgetCached,
    Seek,
    Space,
}

#[derive(Debug, Default)]
struct Plan {
    log: Vec<(Call, PathBuf)>,
    faults: VecDeque<(Call, Errno)>,
    held: Option<Call>,
    waiting: usize,
    most: Option<usize>,
    device_names: Vec<String>,
}

/// Real calls, written down. Clones share one log.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordingCalls {
    plan: Arc<(Mutex<Plan>, Condvar)>,
}

#[allow(clippy::unwrap_used)]
impl RecordingCalls {
    /// The next such call fails so; several queue up.
    pub(crate) fn fail(&self, call: Call, errno: Errno) {
        self.plan.0.lock().unwrap().faults.push_back((call, errno));
    }

    /// Such calls wait until [`release`](Self::release).
    pub(crate) fn hold(&self, call: Call) {
        self.plan.0.lock().unwrap().held = Some(call);
    }

    /// Lets the waiting calls go.
    pub(crate) fn release(&self) {
        self.plan.0.lock().unwrap().held = None;
        self.plan.1.notify_all();
    }

    /// Returns when `count` calls are being held.
    pub(crate) fn until_held(&self, count: usize) {
        let plan = self.plan.0.lock().unwrap();
        drop(self.plan.1.wait_while(plan, |plan| plan.waiting < count).unwrap());
    }

    /// Moves at most so many bytes in one read or write.
    pub(crate) fn shorten(&self, most: usize) {
        self.plan.0.lock().unwrap().most = Some(most);
    }

    /// Every file is said to be the device of these names.
    pub(crate) fn name_device(&self, names: &[&str]) {
        self.plan.0.lock().unwrap().device_names = names.iter().map(|name| (*name).into()).collect();
    }

    /// What was called so far, and on which file.
    pub(crate) fn log(&self) -> Vec<(Call, PathBuf)> {
        self.plan.0.lock().unwrap().log.clone()
    }

    /// What was called so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.log().into_iter().map(|(call, _)| call).collect()
    }

    /// How often it was called.
    pub(crate) fn count(&self, call: Call) -> usize {
        self.calls().into_iter().filter(|&made| made == call).count()
    }

    fn note(&self, call: Call, path: &Path) -> Result<(), Errno> {
        let (plan, changed) = &*self.plan;
        let mut plan = plan.lock().unwrap();
        plan.log.push((call, path.to_owned()));
        if plan.held == Some(call) {
            plan.waiting += 1;
            changed.notify_all();
            plan = changed.wait_while(plan, |plan| plan.held == Some(call)).unwrap();
            plan.waiting -= 1;
        }
        match plan.faults.iter().position(|(failing, _)| *failing == call) {
            Some(place) => Err(plan.faults.remove(place).unwrap().1),
            None => Ok(()),
        }
    }

    fn named(&self) -> Vec<String> {
        self.plan.0.lock().unwrap().device_names.clone()
    }

    fn most(&self, length: usize) -> usize {
        self.plan.0.lock().unwrap().most.map_or(length, |most| most.min(length))
    }
}

impl FileCalls for RecordingCalls {
    fn identify(&self, path: &Path) -> Result<FileIdentity, Errno> {
        SystemCalls.identify(path)
    }

    fn device_names(&self, _: FileIdentity) -> Vec<String> {
        self.named()
    }

    fn open(&self, path: &Path, access: Access) -> Result<Box<dyn OpenFile>, Errno> {
        self.note(Call::Open, path)?;
        let file = SystemCalls.open(path, access)?;
        Ok(Box::new(RecordingFile { calls: self.clone(), path: path.to_owned(), file }))
    }

    fn open_direct(&self, path: &Path, access: Access) -> Result<Box<dyn OpenFile>, Errno> {
        self.note(Call::Open, path)?;
        let file = SystemCalls.open_direct(path, access)?;
        Ok(Box::new(RecordingFile { calls: self.clone(), path: path.to_owned(), file }))
    }

    fn create_directory(&self, path: &Path) -> Result<(), Errno> {
        self.note(Call::CreateDirectory, path)?;
        SystemCalls.create_directory(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        self.note(Call::Rename, to)?;
        SystemCalls.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<(), Errno> {
        self.note(Call::Remove, path)?;
        SystemCalls.remove(path)
    }

    fn synchronize_directory(&self, path: &Path) -> Result<(), Errno> {
        self.note(Call::SynchronizeDirectory, path)?;
        SystemCalls.synchronize_directory(path)
    }

    fn takes_files(&self, directory: &Path) -> bool {
        SystemCalls.takes_files(directory)
    }
}

#[derive(Debug)]
struct RecordingFile {
    calls: RecordingCalls,
    path: PathBuf,
    file: Box<dyn OpenFile>,
}

impl RecordingFile {
    fn note(&self, call: Call) -> Result<(), Errno> {
        self.calls.note(call, &self.path)
    }
}

impl OpenFile for RecordingFile {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.descriptor()
    }

    fn block(&self) -> Option<u64> {
        self.file.block()
    }

    fn copy_range(&self, offset: u64, to: &dyn OpenFile, position: u64, length: u64) -> Result<u64, Errno> {
        self.note(Call::Copy)?;
        self.file.copy_range(offset, to, position, self.calls.most(length as usize) as u64)
    }

    fn status(&self) -> Result<FileStatus, Errno> {
        self.file.status()
    }

    fn lock(&self, lock: Lock) -> Result<(), Errno> {
        self.file.lock(lock)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.note(Call::Read)?;
        let most = self.calls.most(buffer.len());
        self.file.read_at(offset, &mut buffer[..most])
    }

    fn read_at_without_waiting(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.note(Call::ReadWithoutWaiting)?;
        let most = self.calls.most(buffer.len());
        self.file.read_at_without_waiting(offset, &mut buffer[..most])
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize, Errno> {
        self.note(Call::Write)?;
        self.file.write_at(offset, &data[..self.calls.most(data.len())])
    }

    fn synchronize_data(&self) -> Result<(), Errno> {
        self.note(Call::SynchronizeData)?;
        self.file.synchronize_data()
    }

    fn synchronize(&self) -> Result<(), Errno> {
        self.note(Call::Synchronize)?;
        self.file.synchronize()
    }

    fn set_length(&self, length: u64) -> Result<(), Errno> {
        self.note(Call::SetLength)?;
        self.file.set_length(length)
    }

    fn change_space(&self, change: SpaceChange, offset: u64, length: u64) -> Result<(), Errno> {
        self.note(Call::ChangeSpace)?;
        self.file.change_space(change, offset, length)
    }

    fn forget_cached(&self, offset: u64, length: u64) -> Result<(), Errno> {
        self.note(Call::ForgetCached)?;
        self.file.forget_cached(offset, length)
    }

    fn space(&self) -> Result<Space, Errno> {
        self.note(Call::Space)?;
        self.file.space()
    }

    fn seek_data(&self, offset: u64) -> Result<u64, Errno> {
        self.note(Call::Seek)?;
        self.file.seek_data(offset)
    }

    fn seek_hole(&self, offset: u64) -> Result<u64, Errno> {
        self.note(Call::Seek)?;
        self.file.seek_hole(offset)
    }
}
