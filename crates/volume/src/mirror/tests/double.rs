//! Disks, and records beside them, that forget in a power cut what was not flushed.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::mirror::{Bits, Header, MemberRecord, MirrorMember, MirrorOptions, MirrorVolume, Witness};
use crate::{Allocation, Durability, ErrorKind, Health, Mapping, Result, Volume, VolumeError, range};

pub(super) const SECTOR: u64 = 512;
pub(super) const CAPACITY: u64 = 32 * SECTOR;
/// Four sectors.
pub(super) const REGION: u64 = 4 * SECTOR;

/// The power, and what chance does.
#[derive(Debug)]
pub(super) struct Power {
    state: Mutex<(Option<u64>, u64)>,
}

impl Power {
    fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new((None, seed | 1)) })
    }

    /// Every call after so many more fails.
    pub(super) fn cut_after(&self, calls: Option<u64>) {
        self.state.lock().unwrap().0 = calls;
    }

    pub(super) fn is_cut(&self) -> bool {
        self.state.lock().unwrap().0 == Some(0)
    }

    /// Whether a call is still answered.
    fn call(&self) -> Result<()> {
        match &mut self.state.lock().unwrap().0 {
            None => Ok(()),
            Some(0) => Err(error(ErrorKind::WriteFailed)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    pub(super) fn chance(&self, one_in: u64) -> bool {
        let random = &mut self.state.lock().unwrap().1;
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        (*random >> 20).is_multiple_of(one_in)
    }
}

fn error(kind: ErrorKind) -> VolumeError {
    VolumeError::new(kind, format!("told to fail: {kind:?}"))
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) reads: bool,
    pub(super) writes: bool,
    pub(super) flushes: bool,
    pub(super) records: bool,
}

/// Calls that do not return.
#[derive(Debug, Default)]
struct Gate {
    /// How long each call takes; none if it is not stuck.
    shut: Option<Duration>,
    waiting: usize,
}

/// A disk with its record.
#[derive(Debug)]
pub(super) struct Disk {
    power: Arc<Power>,
    pub(super) name: String,
    pub(super) durable: Mutex<Vec<u8>>,
    cached: Mutex<Vec<u8>>,
    pub(super) faults: Mutex<Faults>,
    gate: Mutex<Gate>,
    opened: Condvar,
    failures: Mutex<(u64, bool)>,
    header: Mutex<Option<Header>>,
    bits: Mutex<(Vec<u8>, Vec<u8>)>,
    witness: Mutex<Option<Header>>,
    pub(super) made: Mutex<bool>,
    pub(super) born: Mutex<String>,
    pub(super) reads: Mutex<u64>,
    pub(super) written: Mutex<u64>,
}

impl Disk {
    pub(super) fn new(power: &Arc<Power>, name: &str, capacity: u64) -> Arc<Self> {
        let bytes = || Mutex::new(vec![0; capacity as usize]);
        Arc::new(Self {
            power: Arc::clone(power),
            name: name.into(),
            durable: bytes(),
            cached: bytes(),
            faults: Mutex::default(),
            gate: Mutex::default(),
            opened: Condvar::new(),
            failures: Mutex::default(),
            header: Mutex::default(),
            bits: Mutex::default(),
            witness: Mutex::default(),
            made: Mutex::new(true),
            born: Mutex::new("born".into()),
            reads: Mutex::new(0),
            written: Mutex::new(0),
        })
    }

    pub(super) fn content(&self) -> Vec<u8> {
        self.cached().clone()
    }

    pub(super) fn overwrite(&self, offset: usize, bytes: &[u8]) {
        self.cached()[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.durable.lock().unwrap()[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) fn grow(&self, capacity: u64) {
        self.cached().resize(capacity as usize, 0);
        self.durable.lock().unwrap().resize(capacity as usize, 0);
    }

    fn cached(&self) -> MutexGuard<'_, Vec<u8>> {
        self.cached.lock().unwrap()
    }

    /// Of what was not flushed, each sector is there or not.
    pub(super) fn lose_power(&self) {
        let mut cached = self.cached();
        let mut durable = self.durable.lock().unwrap();
        for (old, new) in durable.chunks_mut(SECTOR as usize).zip(cached.chunks(SECTOR as usize)) {
            if self.power.chance(2) {
                old.copy_from_slice(new);
            }
        }
        cached.clone_from(&durable);
        let mut bits = self.bits.lock().unwrap();
        let (old, new) = &mut *bits;
        for (old, new) in old.iter_mut().zip(new.iter()) {
            if self.power.chance(2) {
                *old = *new;
            }
        }
        new.clone_from(old);
    }

    /// A person takes it as it is after a failed flush.
    pub(super) fn accept(&self) {
        self.failures.lock().unwrap().1 = false;
    }

    /// A new daemon comes, and the cable is good again; but a flush that failed is remembered.
    pub(super) fn mend(&self) {
        self.free();
        *self.faults.lock().unwrap() = Faults::default();
        self.failures.lock().unwrap().0 = 0;
        *self.made.lock().unwrap() = false;
    }

    pub(super) fn forget_record(&self) {
        *self.header.lock().unwrap() = None;
        *self.witness.lock().unwrap() = None;
    }

    pub(super) fn forget_witness(&self) {
        *self.witness.lock().unwrap() = None;
    }

    /// The record as it is, to be brought back.
    pub(super) fn copy_record(&self) -> Option<Header> {
        self.header.lock().unwrap().clone()
    }

    pub(super) fn bring_record_back(&self, header: Option<Header>) {
        *self.header.lock().unwrap() = header;
    }

    /// From now on each call takes so long, or until it is [freed](Self::free).
    pub(super) fn stick(&self, time: Duration) {
        self.gate.lock().unwrap().shut = Some(time);
    }

    /// Lets calls go on, and waits until they have.
    pub(super) fn free(&self) {
        let mut gate = self.gate.lock().unwrap();
        gate.shut = None;
        self.opened.notify_all();
        while gate.waiting > 0 {
            gate = self.opened.wait(gate).unwrap();
        }
    }

    /// How many calls wait.
    pub(super) fn waiting(&self) -> usize {
        self.gate.lock().unwrap().waiting
    }

    /// Whether a call is answered, when it is.
    fn call(&self) -> Result<()> {
        let mut gate = self.gate.lock().unwrap();
        if let Some(time) = gate.shut.filter(|_| !self.power.is_cut()) {
            gate.waiting += 1;
            gate = self.opened.wait_timeout_while(gate, time, |gate| gate.shut.is_some()).unwrap().0;
            gate.waiting -= 1;
            self.opened.notify_all();
        }
        let answer = self.power.call();
        drop(gate);
        answer
    }

    fn flush_cached(&self) -> Result<()> {
        self.call()?;
        if self.failures.lock().unwrap().1 {
            return Err(error(ErrorKind::FlushFailed));
        }
        let mut cached = self.cached();
        let mut durable = self.durable.lock().unwrap();
        if self.faults.lock().unwrap().flushes {
            // The system forgets what it could not write.
            cached.clone_from(&durable);
            *self.failures.lock().unwrap() = (1, true);
            return Err(error(ErrorKind::FlushFailed));
        }
        durable.clone_from(&cached);
        Ok(())
    }
}

impl Volume for Disk {
    fn capacity(&self) -> u64 {
        range::length_of(&self.cached())
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn health(&self) -> Health {
        if self.failures.lock().unwrap().1 { Health::FlushFailed } else { Health::Good }
    }

    fn failed_flushes(&self) -> u64 {
        self.failures.lock().unwrap().0
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.call()?;
        if self.faults.lock().unwrap().reads {
            return Err(error(ErrorKind::ReadFailed));
        }
        *self.reads.lock().unwrap() += 1;
        let at = offset as usize;
        buffer.copy_from_slice(&self.cached()[at..at + buffer.len()]);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8], durability: Durability) -> Result<()> {
        self.call()?;
        if self.failures.lock().unwrap().1 {
            return Err(error(ErrorKind::FlushFailed));
        }
        if self.faults.lock().unwrap().writes {
            return Err(error(ErrorKind::WriteFailed));
        }
        *self.written.lock().unwrap() += data.len() as u64;
        let at = offset as usize;
        self.cached()[at..at + data.len()].copy_from_slice(data);
        match durability {
            Durability::Durable => self.flush_cached(),
            Durability::Volatile => Ok(()),
        }
    }

    fn flush(&self) -> Result<()> {
        self.flush_cached()
    }

    fn deallocate(&self, offset: u64, length: u64) -> Result<()> {
        self.write(offset, &vec![0; length as usize], Durability::Volatile)
    }

    fn write_zeroes(&self, offset: u64, length: u64, _: Allocation, durability: Durability) -> Result<()> {
        self.write(offset, &vec![0; length as usize], durability)
    }

    fn mapping(&self, offset: u64) -> Result<Mapping> {
        Ok(Mapping { allocated: true, length: self.capacity() - offset })
    }
}

#[derive(Debug)]
pub(super) struct Record(pub(super) Arc<Disk>);

impl Record {
    fn call(&self) -> Result<()> {
        self.0.call()?;
        if self.0.faults.lock().unwrap().records { Err(error(ErrorKind::WriteFailed)) } else { Ok(()) }
    }
}

impl MemberRecord for Record {
    fn header(&self) -> Result<Option<Header>> {
        Ok(self.0.header.lock().unwrap().clone())
    }

    fn bits(&self, regions: u64) -> Result<Bits> {
        Ok(Bits::from_bytes(Some(&self.0.bits.lock().unwrap().1), regions))
    }

    fn save_header(&self, header: &Header) -> Result<()> {
        self.call()?;
        let parsed = Header::parse(&header.render());
        assert_eq!(parsed.as_ref(), Some(header));
        *self.0.header.lock().unwrap() = parsed;
        Ok(())
    }

    fn save_bits(&self, bits: &Bits) -> Result<()> {
        self.call()?;
        *self.0.bits.lock().unwrap() = (bits.bytes().to_vec(), bits.bytes().to_vec());
        Ok(())
    }

    fn write_bits(&self, offset: usize, bytes: &[u8], durable: bool) -> Result<()> {
        self.call()?;
        let mut bits = self.0.bits.lock().unwrap();
        bits.1[offset..offset + bytes.len()].copy_from_slice(bytes);
        if durable {
            bits.0 = bits.1.clone();
        }
        Ok(())
    }
}

/// The witness of a place: it stays where the daemon is when the disk is away.
#[derive(Debug)]
struct DiskWitness(Arc<Disk>);

impl Witness for DiskWitness {
    fn header(&self) -> Result<Option<Header>> {
        Ok(self.0.witness.lock().unwrap().clone())
    }

    fn save_header(&self, header: &Header) -> Result<()> {
        self.0.power.call()?;
        *self.0.witness.lock().unwrap() = Some(header.clone());
        Ok(())
    }
}

/// Disks that are to be a mirror.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) power: Arc<Power>,
    pub(super) disks: Vec<Arc<Disk>>,
    pub(super) told: Arc<Mutex<Vec<String>>>,
    pub(super) patience: Option<Duration>,
}

impl Shelf {
    pub(super) fn new(count: usize, seed: u64) -> Self {
        let power = Power::new(seed);
        let disks = (0..count).map(|n| Disk::new(&power, &format!("extent{n}"), CAPACITY)).collect();
        Self { power, disks, told: Arc::default(), patience: None }
    }

    pub(super) fn member(&self, index: usize, missing: bool) -> MirrorMember {
        let disk = &self.disks[index];
        member(disk, index, missing)
    }

    pub(super) fn try_open(&self, missing: &[usize]) -> Result<Arc<MirrorVolume>> {
        let members = (0..self.disks.len()).map(|index| self.member(index, missing.contains(&index)));
        let told = Arc::clone(&self.told);
        let tell = Box::new(move |words: &str| told.lock().unwrap().push(words.to_owned()));
        let options =
            MirrorOptions { smallest_region: REGION, patience: self.patience, ..MirrorOptions::new(tell) };
        MirrorVolume::open(members.collect(), options)
    }

    pub(super) fn open(&self) -> Arc<MirrorVolume> {
        self.try_open(&[]).unwrap()
    }

    pub(super) fn open_without(&self, missing: usize) -> Arc<MirrorVolume> {
        self.try_open(&[missing]).unwrap()
    }

    /// The daemon starts anew, with all disks in order.
    pub(super) fn mend(&self) {
        self.power.cut_after(None);
        self.disks.iter().for_each(|disk| disk.mend());
    }

    /// Kills the daemon that has the mirror: what is written stays, nothing is put in order.
    pub(super) fn kill(&self, mirror: Arc<MirrorVolume>) {
        self.power.cut_after(Some(0));
        self.disks.iter().for_each(|disk| disk.free());
        drop(mirror);
        self.mend();
    }

    pub(super) fn lose_power(&self, mirror: Option<Arc<MirrorVolume>>) {
        self.power.cut_after(Some(0));
        self.disks.iter().for_each(|disk| disk.free());
        drop(mirror);
        self.disks.iter().for_each(|disk| disk.lose_power());
        self.mend();
    }
}

pub(super) fn member(disk: &Arc<Disk>, place: usize, missing: bool) -> MirrorMember {
    MirrorMember {
        name: disk.name.clone(),
        place: place as u64,
        volume: if missing {
            Err("its file is not there".into())
        } else {
            Ok(Arc::clone(disk) as Arc<dyn Volume>)
        },
        record: (!missing).then(|| Box::new(Record(Arc::clone(disk))) as Box<dyn MemberRecord>),
        witness: Some(Box::new(DiskWitness(Arc::clone(disk)))),
        born: disk.born.lock().unwrap().clone(),
        made: *disk.made.lock().unwrap(),
    }
}

/// Resyncs until there is nothing to do.
pub(super) fn resync(mirror: &MirrorVolume) {
    let mut from = 0;
    while mirror.resync(&mut from, &mut || true).unwrap() != crate::mirror::Resynced::Nothing {}
}
