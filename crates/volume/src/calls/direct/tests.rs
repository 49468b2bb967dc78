#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use super::super::{FileIdentity, FileKind};
use super::*;

const BLOCK: u64 = 4096;

/// A file that takes whole blocks of aligned memory only, as O_DIRECT does.
#[derive(Debug)]
struct Strict {
    bytes: Mutex<Vec<u8>>,
    block: u64,
    /// Between a read and what follows.
    pause: Duration,
}

impl Strict {
    fn check(&self, offset: u64, data: &[u8]) -> Result<(), Errno> {
        let aligned = [offset, data.len() as u64, data.as_ptr() as u64].iter().all(|n| n % self.block == 0);
        if aligned { Ok(()) } else { Err(Errno::INVAL) }
    }
}

impl OpenFile for Strict {
    fn status(&self) -> Result<FileStatus, Errno> {
        let identity = FileIdentity { kind: FileKind::Regular, device: 0, inode: 0 };
        Ok(FileStatus { identity, length: self.bytes.lock().unwrap().len() as u64 })
    }

    fn lock(&self, _: Lock) -> Result<(), Errno> {
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.check(offset, buffer)?;
        let bytes = self.bytes.lock().unwrap();
        let there = bytes.get(offset as usize..).unwrap_or_default();
        let count = there.len().min(buffer.len());
        buffer[..count].copy_from_slice(&there[..count]);
        drop(bytes);
        std::thread::sleep(self.pause);
        Ok(count)
    }

    fn read_at_without_waiting(&self, _: u64, _: &mut [u8]) -> Result<usize, Errno> {
        panic!("it would wait")
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize, Errno> {
        self.check(offset, data)?;
        let mut bytes = self.bytes.lock().unwrap();
        let (start, end) = (offset as usize, offset as usize + data.len());
        let length = bytes.len().max(end);
        bytes.resize(length, 0);
        bytes[start..end].copy_from_slice(data);
        Ok(data.len())
    }

    fn synchronize_data(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn synchronize(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn set_length(&self, length: u64) -> Result<(), Errno> {
        self.bytes.lock().unwrap().resize(length as usize, 0);
        Ok(())
    }

    fn change_space(&self, _: SpaceChange, offset: u64, length: u64) -> Result<(), Errno> {
        self.bytes.lock().unwrap()[offset as usize..(offset + length) as usize].fill(0);
        Ok(())
    }

    fn forget_cached(&self, _: u64, _: u64) -> Result<(), Errno> {
        Ok(())
    }

    fn space(&self) -> Result<Space, Errno> {
        Err(Errno::OPNOTSUPP)
    }

    fn seek_data(&self, _: u64) -> Result<u64, Errno> {
        Err(Errno::OPNOTSUPP)
    }

    fn seek_hole(&self, _: u64) -> Result<u64, Errno> {
        Err(Errno::OPNOTSUPP)
    }
}

fn direct(length: usize, block: u64, pause: Duration) -> DirectFile {
    let file = Strict { bytes: Mutex::new(vec![0; length]), block, pause };
    DirectFile::new(Box::new(file), block as u32, block as u32)
}

fn write(file: &DirectFile, offset: u64, data: &[u8]) {
    super::super::write_all(file, offset, data).unwrap();
}

fn read(file: &DirectFile, offset: u64, length: usize) -> Vec<u8> {
    let mut read = vec![0xee; length];
    let mut done = 0;
    while done < length {
        match file.read_at(offset + done as u64, &mut read[done..]).unwrap() {
            0 => break,
            count => done += count,
        }
    }
    read.truncate(done);
    read
}

#[derive(Clone, Debug)]
enum Step {
    Write(u64, usize, u8),
    Read(u64, usize),
    Zero(u64, u64),
}

fn step(length: u64) -> impl Strategy<Value = Step> {
    let place = (0..length, 1..400_000_u64).prop_map(move |(at, size)| (at, size.min(length - at)));
    (place, any::<u8>(), 0..3).prop_map(|((at, size), byte, kind)| match kind {
        0 => Step::Write(at, size as usize, byte),
        1 => Step::Read(at, size as usize),
        _ => Step::Zero(at, size),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_read_and_written_as_in_any_file(
        steps in prop::collection::vec(step(1 << 20), 1..20),
        block in prop::sample::select(vec![512_u64, 4096]),
    ) {
        let file = direct(1 << 20, block, Duration::ZERO);
        let mut model = vec![0_u8; 1 << 20];
        for step in steps {
            match step {
                Step::Write(at, size, byte) => {
                    write(&file, at, &vec![byte; size]);
                    model[at as usize..at as usize + size].fill(byte);
                }
                Step::Read(at, size) => {
                    prop_assert!(read(&file, at, size) == model[at as usize..at as usize + size]);
                }
                Step::Zero(at, size) => {
                    file.change_space(SpaceChange::ZeroRange, at, size).unwrap();
                    model[at as usize..(at + size) as usize].fill(0);
                }
            }
        }
        prop_assert!(read(&file, 0, 1 << 20) == model);
        prop_assert_eq!(file.status().unwrap().length, 1 << 20);
    }
}

#[test]
fn who_writes_parts_of_one_block_loses_nothing_of_the_others() {
    let file = Arc::new(direct(4 * BLOCK as usize, BLOCK, Duration::from_micros(300)));
    let parts: Vec<u64> = (0..32).collect();
    std::thread::scope(|scope| {
        for part in &parts {
            let file = Arc::clone(&file);
            scope.spawn(move || {
                for round in 1..=4_u8 {
                    write(&file, part * 512, &[round * 50; 512]);
                }
            });
        }
    });
    assert!(read(&file, 0, 4 * BLOCK as usize).iter().all(|byte| *byte == 200));
}

#[test]
fn a_part_of_a_block_brings_back_nothing_of_what_was_written_or_zeroed_meanwhile() {
    for _ in 0..20 {
        let file = Arc::new(direct(2 * BLOCK as usize, BLOCK, Duration::from_millis(1)));
        write(&file, 0, &[1; 2 * BLOCK as usize]);
        std::thread::scope(|scope| {
            let other = Arc::clone(&file);
            scope.spawn(move || write(&other, 100, &[2; 10]));
            let other = Arc::clone(&file);
            scope.spawn(move || {
                let whole = Aligned::new(BLOCK, BLOCK as usize);
                write(&other, 0, whole.as_slice());
            });
            let other = Arc::clone(&file);
            scope.spawn(move || other.change_space(SpaceChange::PunchHole, 4000, 2000).unwrap());
        });
        let now = read(&file, 0, 2 * BLOCK as usize);
        assert!(now[..100].iter().chain(&now[110..6000]).all(|byte| *byte == 0), "old data came back");
        assert!(now[6000..].iter().all(|byte| *byte == 1));
    }
}

#[test]
fn a_file_never_ends_within_a_block_and_never_grows_by_reading() {
    let file = direct(BLOCK as usize, BLOCK, Duration::ZERO);
    assert_eq!(file.set_length(BLOCK + 512), Err(Errno::INVAL));
    file.set_length(2 * BLOCK).unwrap();
    assert_eq!(read(&file, 2 * BLOCK - 10, 100), [0; 10]);
    assert_eq!(read(&file, 2 * BLOCK, 100), []);
    assert_eq!(read(&file, 5 * BLOCK + 1, 100), []);
    write(&file, 2 * BLOCK - 1, &[7]);
    assert_eq!(file.status().unwrap().length, 2 * BLOCK);
    assert_eq!(file.read_at_without_waiting(0, &mut [0; 4096]), Err(Errno::AGAIN));
}

#[test]
fn what_a_writer_before_the_end_of_a_shortened_file_finds_is_read_to_its_end() {
    // Something else has cut the file within a block.
    let file = direct(BLOCK as usize + 100, BLOCK, Duration::ZERO);
    assert_eq!(read(&file, BLOCK, 4096), [0; 100]);
    assert_eq!(read(&file, BLOCK + 50, 4096), [0; 50]);
    write(&file, BLOCK + 10, &[1; 10]);
    assert_eq!(read(&file, BLOCK, 20), [&[0; 10][..], &[1; 10]].concat());
}
