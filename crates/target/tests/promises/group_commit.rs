//! Writes that must last share flushes, and none is acknowledged before one that began after it has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use timedisk_volume::{Allocation, Durability, Health, Mapping, MemoryVolume, Result, Volume};

use super::wire::{BLOCK, Lab, Scsi, open_target};

/// Blocks of the disk.
const BLOCKS: usize = 64;

/// A volume that knows what would survive a power cut, and whose flushes take their time.
#[derive(Debug)]
struct Ledger {
    inner: MemoryVolume,
    /// Counts what happens, in order.
    clock: AtomicU64,
    /// When the last write of each block had ended.
    written: [AtomicU64; BLOCKS],
    /// When the last flush that has ended had begun.
    flushed: AtomicU64,
    flushes: AtomicU64,
    flush_takes: Duration,
}

impl Ledger {
    fn new(flush_takes: Duration) -> Arc<Ledger> {
        Arc::new(Ledger {
            inner: MemoryVolume::new((BLOCKS * BLOCK) as u64),
            clock: AtomicU64::new(1),
            written: [const { AtomicU64::new(0) }; BLOCKS],
            flushed: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            flush_takes,
        })
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, SeqCst)
    }

    /// Whether the last write of this block would survive.
    fn lasts(&self, block: usize) -> bool {
        let written = self.written[block].load(SeqCst);
        written > 0 && written < self.flushed.load(SeqCst)
    }
}

impl Volume for Ledger {
    fn capacity(&self) -> u64 {
        self.inner.capacity()
    }
    fn is_read_only(&self) -> bool {
        false
    }
    fn health(&self) -> Health {
        Health::Good
    }
    fn failed_flushes(&self) -> u64 {
        0
    }
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.inner.read(offset, buffer)
    }
    fn write(&self, offset: u64, data: &[u8], durability: Durability) -> Result<()> {
        self.inner.write(offset, data, Durability::Volatile)?;
        let first = offset as usize / BLOCK;
        for block in first..first + data.len() / BLOCK {
            self.written[block].store(self.tick(), SeqCst);
        }
        if durability == Durability::Durable { self.flush() } else { Ok(()) }
    }
    fn flush(&self) -> Result<()> {
        let began = self.tick();
        std::thread::sleep(self.flush_takes);
        self.flushed.fetch_max(began, SeqCst);
        self.flushes.fetch_add(1, SeqCst);
        Ok(())
    }
    fn deallocate(&self, offset: u64, length: u64) -> Result<()> {
        self.inner.deallocate(offset, length)
    }
    fn write_zeroes(&self, offset: u64, length: u64, _: Allocation, durability: Durability) -> Result<()> {
        self.inner.write_zeroes(offset, length, Allocation::Keep, durability)
    }
    fn mapping(&self, offset: u64) -> Result<Mapping> {
        self.inner.mapping(offset)
    }
}

fn forced(block: usize, byte: u8) -> Scsi {
    let mut scsi = Scsi::write(block as u64, &[byte; BLOCK]);
    scsi.cdb[1] |= 0x08;
    scsi
}

/// Flushes on the connection's thread, and on the disk's own.
const PACES: [Duration; 2] = [Duration::from_micros(100), Duration::from_millis(3)];

#[test]
fn writes_that_come_together_share_flushes_and_each_lasts_when_it_is_acknowledged() {
    const TOGETHER: usize = 32;
    const ROUNDS: usize = 40;
    for pace in PACES {
        let ledger = Ledger::new(pace);
        let lab = Lab::new(vec![open_target("disk", Arc::clone(&ledger))]);
        let mut initiator = lab.session("disk", &[]);
        // Until the window is as wide as it is used.
        for _ in 0..4 {
            let tags: Vec<_> = (0..BLOCKS).map(|block| initiator.start(&forced(block, 1))).collect();
            tags.into_iter().for_each(|tag| drop(initiator.finish(tag).good()));
        }
        let before = ledger.flushes.load(SeqCst);
        for round in 0..ROUNDS {
            let blocks: Vec<usize> = (0..TOGETHER).map(|at| (round * 7 + at) % BLOCKS).collect();
            let writes: Vec<_> = blocks.iter().map(|block| forced(*block, round as u8)).collect();
            let tags = initiator.start_together(&writes);
            for (tag, block) in tags.into_iter().zip(blocks) {
                initiator.finish(tag).good();
                assert!(ledger.lasts(block), "acknowledged before it lasts, at {pace:?}");
            }
        }
        let flushes = ledger.flushes.load(SeqCst) - before;
        let most = (ROUNDS * TOGETHER / 16) as u64;
        assert!(flushes <= most, "{flushes} flushes for {} writes at {pace:?}", ROUNDS * TOGETHER);
    }
}

/// How many flushes are made of forced writes, of which there are always so many under way.
fn flushes_of(writes: usize, depth: usize) -> u64 {
    let ledger = Ledger::new(Duration::from_millis(3));
    let lab = Lab::new(vec![open_target("disk", Arc::clone(&ledger))]);
    let mut initiator = lab.session("disk", &[]);
    let mut under_way = std::collections::VecDeque::new();
    let mut before = 0;
    for write in 0..writes + writes / 4 {
        if under_way.len() == depth {
            let (tag, block) = under_way.pop_front().unwrap();
            initiator.finish(tag).good();
            assert!(ledger.lasts(block), "acknowledged before it lasts");
        }
        if write == writes / 4 {
            before = ledger.flushes.load(SeqCst);
        }
        let block = write % BLOCKS;
        under_way.push_back((initiator.start(&forced(block, write as u8)), block));
    }
    ledger.flushes.load(SeqCst) - before
}

#[test]
fn a_flush_waits_a_little_for_those_that_the_last_one_was_for() {
    const DEPTH: usize = 32;
    const WRITES: usize = 30 * DEPTH;
    let most = (WRITES / 24) as u64;
    // Where others keep the machine busy, an initiator may come too late for any wait; it does not each time.
    let flushes = (0..3).map(|_| flushes_of(WRITES, DEPTH)).find(|flushes| *flushes <= most);
    assert!(flushes.is_some(), "more than {most} flushes for {WRITES} writes, {DEPTH} at a time, each time");
}

#[test]
fn synchronize_cache_covers_what_was_written_before_it_and_no_session_waits_for_another_to_stop() {
    for pace in PACES {
        let ledger = Ledger::new(pace);
        let lab = Lab::new(vec![open_target("disk", Arc::clone(&ledger))]);
        std::thread::scope(|scope| {
            for session in 0..4 {
                let (ledger, lab) = (&ledger, &lab);
                scope.spawn(move || {
                    let mut initiator = lab.session("disk", &[]);
                    for round in 0..50 {
                        let block = session * 16 + round % 16;
                        initiator.run(&Scsi::write(block as u64, &[round as u8; BLOCK])).good();
                        initiator.run(&Scsi::flush()).good();
                        assert!(ledger.lasts(block), "at {pace:?}");
                        initiator.run(&forced(block, 7)).good();
                        assert!(ledger.lasts(block), "at {pace:?}");
                    }
                });
            }
        });
    }
}
