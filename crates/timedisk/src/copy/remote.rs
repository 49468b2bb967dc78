//! A disk of an iSCSI target as an end of a copy.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use timedisk_initiator::provisioning::{self, LbaStatus};
use timedisk_initiator::scsi::{self, Capacity};
use timedisk_initiator::{Command, Connection, Error, Payload, Settings, Sink, Tag, Url};

/// Commands under way at once.
const DEPTH: usize = 16;

/// Bytes of one read or write, unless the disk takes fewer.
const PIECE: u64 = 256 * 1024;

/// Bytes that one WRITE SAME makes zeros, unless the disk takes fewer: a disk that has to write them needs its time.
const SAME: u64 = 64 << 20;

/// How long an answer may take: a flush of a slow disk is long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Times that commands are tried again because the disk has something to tell, or has no room for them now.
const MOST_AGAIN: u32 = 10_000;

/// Between two tries of a disk that has no room.
const PAUSE: Duration = Duration::from_millis(10);

/// BUSY and TASK SET FULL (SAM-5 5.3): later.
const LATER: [u8; 2] = [0x08, 0x28];

/// A session with a disk.
#[derive(Debug)]
pub(super) struct RemoteDisk {
    url: Url,
    connection: Connection,
    capacity: Capacity,
    /// Who it is, as far as it says.
    name: String,
    /// Holes read as zeros, and it tells where they are.
    tells_holes: bool,
    write_same_unmaps: bool,
    /// Blocks of a read or write, and of WRITE SAME.
    piece: u64,
    same: u64,
    zeros: Arc<[u8]>,
    /// What it last told of holes.
    known: Vec<LbaStatus>,
    again: u32,
}

/// Blocks to be read into a part of a buffer, or to be written from it.
#[derive(Clone, Debug)]
struct Piece {
    address: u64,
    blocks: u32,
    bytes: Range<usize>,
}

impl RemoteDisk {
    pub(super) fn open(url: &Url) -> anyhow::Result<RemoteDisk> {
        let mut identity = [0; 3];
        getrandom::fill(&mut identity)?;
        let connection = Connection::open_within(url, &Settings::new(identity), DEPTH, PATIENCE);
        RemoteDisk::begin(url, connection.with_context(|| url.to_string())?).with_context(|| url.to_string())
    }

    fn begin(url: &Url, mut connection: Connection) -> anyhow::Result<RemoteDisk> {
        let lun = url.lun;
        let (inquiry, capacity) = connection.greet(lun)?;
        let mut ask = |what, command| match connection.expect(what, command) {
            Ok(data) => Ok(data),
            // An old disk need not know it.
            Err(Error::Command { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let thin = ask("READ CAPACITY (16)", scsi::read_capacity_16(lun))?;
        let mut page = |page| ask("INQUIRY", provisioning::vital_product_data(lun, page));
        let serial = provisioning::serial_number(&page(provisioning::UNIT_SERIAL_NUMBER)?);
        let (most, same) = provisioning::block_limits(&page(provisioning::BLOCK_LIMITS)?);
        let write_same_unmaps =
            provisioning::write_same_unmaps(&page(provisioning::LOGICAL_BLOCK_PROVISIONING)?);
        let block = u64::from(capacity.block_length);
        let piece = most.map_or(u64::MAX, u64::from).min(u64::from(u16::MAX)).min((PIECE / block).max(1));
        Ok(RemoteDisk {
            url: url.clone(),
            connection,
            name: format!("{} {} {serial}", inquiry.vendor, inquiry.product),
            tells_holes: provisioning::reads_holes_as_zeros(&thin),
            write_same_unmaps,
            piece,
            same: same.unwrap_or(u64::MAX).min((SAME / block).max(1)),
            zeros: vec![0; capacity.block_length as usize].into(),
            capacity,
            known: Vec::new(),
            again: 0,
        })
    }

    /// Vendor, product, serial number.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn length(&self) -> u64 {
        self.capacity.bytes()
    }

    pub(super) fn block_length(&self) -> u64 {
        self.capacity.block_length.into()
    }

    /// The next run of data at or after a byte.
    pub(super) fn next_data(&mut self, at: u64) -> anyhow::Result<Option<Range<u64>>> {
        let block = self.block_length();
        let (mut address, mut data) = (at / block, None::<Range<u64>>);
        while address < self.capacity.blocks && self.tells_holes {
            let status = self.status(address)?;
            match (&mut data, status.is_mapped) {
                (None, true) => data = Some(status.blocks.clone()),
                (None, false) => {}
                (Some(data), true) if data.end - data.start < self.same => data.end = status.blocks.end,
                (Some(_), _) => break,
            }
            address = status.blocks.end;
        }
        if !self.tells_holes && address < self.capacity.blocks {
            data = Some(address..self.capacity.blocks);
        }
        let bytes =
            |data: Range<u64>| (data.start * block).max(at)..data.end.min(self.capacity.blocks) * block;
        Ok(data.map(bytes))
    }

    /// What is at a block, and for how long.
    fn status(&mut self, address: u64) -> anyhow::Result<LbaStatus> {
        let whole = LbaStatus { blocks: address..self.capacity.blocks, is_mapped: true };
        if let Some(known) = self.known.iter().find(|status| status.blocks.contains(&address)) {
            return Ok(LbaStatus { blocks: address..known.blocks.end, is_mapped: known.is_mapped });
        }
        let command = provisioning::get_lba_status(self.url.lun, address);
        match self.connection.expect("GET LBA STATUS", command) {
            Ok(data) => self.known = provisioning::lba_statuses(&data, address),
            // It does not know the command: all may be data.
            Err(Error::Command { .. }) => {
                self.tells_holes = false;
                return Ok(whole);
            }
            Err(error) => return Err(error).with_context(|| self.url.to_string()),
        }
        match self.known.first() {
            Some(status) => Ok(status.clone()),
            None => bail!("{}: the answer to GET LBA STATUS makes no sense", self.url),
        }
    }

    /// Reads ranges of whole blocks, one after the other, into a buffer.
    pub(super) fn read(&mut self, ranges: &[Range<u64>], buffer: &mut [u8]) -> anyhow::Result<()> {
        let mut at = 0;
        let mut pieces = Vec::new();
        for range in ranges {
            at = self.cut(range.clone(), at, &mut pieces)?;
        }
        let lun = self.url.lun;
        let make = |piece: &Piece| scsi::read(lun, piece.address, piece.blocks, piece.bytes.len() as u32);
        self.drive("reading", &pieces, make, buffer)
    }

    /// Writes parts of a buffer. What does not fill its last block is filled up with zeros.
    pub(super) fn write(&mut self, parts: &[(u64, Range<usize>)], buffer: &Arc<[u8]>) -> anyhow::Result<()> {
        let block = self.block_length() as usize;
        let mut pieces = Vec::new();
        let mut rest = None;
        for (offset, bytes) in parts {
            let whole = bytes.len() - bytes.len() % block;
            self.cut(*offset..*offset + whole as u64, bytes.start, &mut pieces)?;
            if whole < bytes.len() {
                rest = Some((offset + whole as u64, bytes.start + whole..bytes.end));
            }
        }
        let lun = self.url.lun;
        let write = |piece: &Piece, buffer: &Arc<[u8]>| {
            let data = Payload::new(buffer, piece.bytes.clone()).unwrap_or_default();
            scsi::write(lun, piece.address, piece.blocks, data, false)
        };
        self.drive("writing", &pieces, |piece| write(piece, buffer), &mut [])?;
        if let Some((offset, bytes)) = rest {
            let mut last = buffer.get(bytes).unwrap_or_default().to_vec();
            last.resize(block, 0);
            let (last, mut pieces) = (last.into(), Vec::new());
            self.cut(offset..offset + block as u64, 0, &mut pieces)?;
            self.drive("writing", &pieces, |piece| write(piece, &last), &mut [])?;
        }
        Ok(())
    }

    /// Cuts a range into what one command takes. Gives where the buffer goes on.
    fn cut(&self, range: Range<u64>, mut at: usize, pieces: &mut Vec<Piece>) -> anyhow::Result<usize> {
        let block = self.block_length();
        let is_whole = range.start.is_multiple_of(block) && range.end.is_multiple_of(block);
        ensure!(is_whole && range.end <= self.length(), "{}: bytes {range:?} are no blocks of it", self.url);
        let (mut address, end) = (range.start / block, range.end / block);
        while address < end {
            let blocks = self.piece.min(end - address);
            let bytes = at..at + (blocks * block) as usize;
            (address, at) = (address + blocks, bytes.end);
            pieces.push(Piece { address: address - blocks, blocks: blocks as u32, bytes });
        }
        Ok(at)
    }

    /// Makes a range read as zeros where it holds data.
    pub(super) fn clear(&mut self, range: Range<u64>) -> anyhow::Result<()> {
        let block = self.block_length();
        let end = range.end.next_multiple_of(block).min(self.length());
        let mut at = range.start;
        while let Some(data) = self.next_data(at)?.filter(|data| data.start < end) {
            let stop = data.end.min(end);
            self.zero(data.start / block..stop / block)?;
            at = stop;
        }
        Ok(())
    }

    fn zero(&mut self, blocks: Range<u64>) -> anyhow::Result<()> {
        let (mut pieces, mut address) = (Vec::new(), blocks.start);
        while address < blocks.end {
            let count = self.same.min(blocks.end - address).min(u64::from(u32::MAX));
            pieces.push(Piece { address, blocks: count as u32, bytes: 0..self.zeros.len() });
            address += count;
        }
        let (lun, unmap, zeros) = (self.url.lun, self.write_same_unmaps, Arc::clone(&self.zeros));
        let make = |piece: &Piece| {
            let block = Payload::new(&zeros, piece.bytes.clone()).unwrap_or_default();
            provisioning::write_same(lun, piece.address, piece.blocks, block, unmap)
        };
        self.drive("writing zeros with WRITE SAME", &pieces, make, &mut [])
    }

    /// Has all that was written survive power loss.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        self.known.clear();
        let done = self.connection.expect("SYNCHRONIZE CACHE", scsi::synchronize_cache(self.url.lun));
        done.map(drop).with_context(|| self.url.to_string())
    }

    /// Answers what the target asks while nothing is wanted of it.
    pub(super) fn tend(&mut self) -> anyhow::Result<()> {
        self.connection.step(&mut ()).map(drop).with_context(|| self.url.to_string())
    }

    /// Has all pieces done, several at once.
    fn drive(
        &mut self,
        what: &str,
        pieces: &[Piece],
        make: impl Fn(&Piece) -> Command,
        buffer: &mut [u8],
    ) -> anyhow::Result<()> {
        let mut waiting: VecDeque<&Piece> = pieces.iter().collect();
        let mut landing = Landing { pieces: vec![None; self.connection.session().depth()], buffer };
        let mut last = Instant::now();
        while !waiting.is_empty() || self.connection.session().in_flight() > 0 {
            while self.connection.session().can_submit()
                && let Some(piece) = waiting.pop_front()
            {
                match self.connection.session_mut().submit(make(piece)) {
                    Some(tag) => landing.put(tag, piece.clone()),
                    None => waiting.push_front(piece),
                }
            }
            if self.connection.step(&mut landing).with_context(|| self.url.to_string())? {
                last = Instant::now();
            }
            while let Some(completion) = self.connection.session_mut().next_completion() {
                let Some(piece) = landing.take(completion.tag) else { continue };
                let outcome = completion.outcome;
                if outcome.is_good() && outcome.moved as usize == piece.bytes.len() {
                    continue;
                }
                let is_attention = outcome.sense.is_some_and(|sense| sense.is_unit_attention());
                let is_later = outcome.response == 0 && LATER.contains(&outcome.status);
                self.again += 1;
                ensure!(
                    (is_attention || is_later) && self.again < MOST_AGAIN,
                    "{}: {what} {} blocks at block {} failed: {outcome}, {} of {} bytes moved",
                    self.url,
                    piece.blocks,
                    piece.address,
                    outcome.moved,
                    piece.bytes.len()
                );
                if is_later {
                    std::thread::sleep(PAUSE);
                }
                waiting.extend(pieces.iter().find(|known| known.address == piece.address));
            }
            ensure!(last.elapsed() < PATIENCE, "{}: no answer for {} s", self.url, PATIENCE.as_secs());
        }
        Ok(())
    }

    /// Logs out.
    pub(super) fn close(self) {
        // Whether it is answered or not: all is done.
        let _ = self.connection.close();
    }
}

/// Where data of reads go.
struct Landing<'a> {
    pieces: Vec<Option<Piece>>,
    buffer: &'a mut [u8],
}

impl Landing<'_> {
    fn put(&mut self, tag: Tag, piece: Piece) {
        if let Some(place) = self.pieces.get_mut(tag.index()) {
            *place = Some(piece);
        }
    }

    fn take(&mut self, tag: Tag) -> Option<Piece> {
        self.pieces.get_mut(tag.index())?.take()
    }
}

impl Sink for Landing<'_> {
    fn data(&mut self, tag: Tag, offset: u32, bytes: &[u8]) {
        let Some(Some(piece)) = self.pieces.get(tag.index()) else { return };
        let place = self.buffer.get_mut(piece.bytes.clone());
        let place = place.and_then(|place| place.get_mut(offset as usize..)?.get_mut(..bytes.len()));
        if let Some(place) = place {
            place.copy_from_slice(bytes);
        }
    }
}
