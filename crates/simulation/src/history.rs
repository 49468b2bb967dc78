//! What clients have sent and seen, and what a read may return after it.
//!
//! The rule, for each sector by itself: a read returns what was written last, or what is being written meanwhile. A
//! write whose end nobody knows (its session is gone) may have been done or not, but not later than its initiator's
//! next login. After a power cut a sector holds what was made to last by FUA or a flush that was acknowledged, or
//! something that was sent after that, acknowledged or not.

use std::collections::BTreeMap;

use crate::SECTOR;
use crate::random::Random;

/// What a sector can hold: 0 for zeros, else the number of what was written.
pub type Content = u32;

/// Names something that was issued and has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// How a write came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Acknowledged.
    Done,
    /// Refused: it must never be seen.
    NotDone,
    /// It was done or not, and will not be done any more.
    Unknown,
}

/// A write as one sector has it.
#[derive(Clone, Copy, Debug)]
struct Version {
    content: Content,
    ticket: Ticket,
    issued: u64,
    /// Counted as everything here; of an open one the end of all time.
    ended: u64,
}

const NOT_YET: u64 = u64::MAX;

#[derive(Debug, Default)]
struct Sector {
    /// One of them is the last that has ended.
    settled: Vec<Version>,
    open: Vec<Version>,
    /// What may be there after a power cut.
    lasting: Vec<Version>,
    /// Nothing was written since the last power cut.
    is_untouched: bool,
}

#[derive(Debug)]
struct Write {
    first: u64,
    sectors: u64,
    is_durable: bool,
}

#[derive(Debug)]
struct Read {
    first: u64,
    /// For each sector what it may return, and whether nothing was written meanwhile.
    allowed: Vec<(Vec<Content>, bool)>,
}

/// What was in place or on its way when a flush was sent: tickets, by sector.
type Snapshot = Vec<Vec<Ticket>>;

/// All of it.
#[derive(Debug)]
pub struct History {
    seed: u64,
    sectors: Vec<Sector>,
    /// For each content the address that its sectors carry, where all of them carry the same (WRITE SAME).
    contents: Vec<Option<u64>>,
    writes: BTreeMap<Ticket, Write>,
    reads: BTreeMap<Ticket, Read>,
    flushes: BTreeMap<Ticket, (u64, Snapshot)>,
    clock: u64,
}

impl History {
    /// Of so many sectors, all of them zeros.
    pub fn new(seed: u64, sectors: u64) -> History {
        let zeros = Version { content: 0, ticket: Ticket(0), issued: 0, ended: 0 };
        let fresh = || Sector { settled: vec![zeros], lasting: vec![zeros], ..Sector::default() };
        History {
            seed,
            sectors: (0..sectors).map(|_| fresh()).collect(),
            contents: vec![None],
            writes: BTreeMap::new(),
            reads: BTreeMap::new(),
            flushes: BTreeMap::new(),
            clock: 0,
        }
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Something new to write; the same in all sectors if an address is given, which they then carry.
    pub fn content(&mut self, same: Option<u64>) -> Content {
        self.contents.push(same);
        self.contents.len() as Content - 1
    }

    /// The bytes of a sector.
    pub fn bytes(&self, content: Content, sector: u64) -> Vec<u8> {
        if content == 0 {
            return vec![0; SECTOR];
        }
        let address = self.contents[content as usize].unwrap_or(sector);
        let mut bytes = vec![0; SECTOR];
        Random::new(self.seed ^ u64::from(content) << 32 ^ address).fill(&mut bytes);
        bytes[..4].copy_from_slice(&content.to_be_bytes());
        bytes[4..12].copy_from_slice(&address.to_be_bytes());
        bytes
    }

    /// A write is sent.
    pub fn write(&mut self, content: Content, first: u64, sectors: u64, is_durable: bool) -> Ticket {
        let issued = self.tick();
        let ticket = Ticket(issued);
        let version = Version { content, ticket, issued, ended: NOT_YET };
        for (number, sector) in (first..).zip(&mut self.sectors[first as usize..][..sectors as usize]) {
            sector.open.push(version);
            sector.lasting.push(version);
            sector.is_untouched = false;
            for read in self.reads.values_mut() {
                if let Some((allowed, is_alone)) =
                    number.checked_sub(read.first).and_then(|at| read.allowed.get_mut(at as usize))
                {
                    allowed.push(content);
                    *is_alone = false;
                }
            }
        }
        self.writes.insert(ticket, Write { first, sectors, is_durable });
        ticket
    }

    /// A write has ended.
    pub fn end_write(&mut self, ticket: Ticket, end: End) {
        let now = self.tick();
        let Some(write) = self.writes.remove(&ticket) else { return };
        for sector in &mut self.sectors[write.first as usize..][..write.sectors as usize] {
            let Some(place) = sector.open.iter().position(|version| version.ticket == ticket) else {
                continue;
            };
            let version = Version { ended: now, ..sector.open.swap_remove(place) };
            sector.lasting.iter_mut().filter(|it| it.ticket == ticket).for_each(|it| it.ended = now);
            match end {
                End::Unknown => sector.settled.push(version),
                End::NotDone => sector.lasting.retain(|lasting| lasting.ticket != ticket),
                End::Done => {
                    sector.settled.retain(|settled| settled.ended > version.issued);
                    sector.settled.push(version);
                    if write.is_durable {
                        // What had ended before this began lies beneath it.
                        sector.lasting.retain(|lasting| lasting.ended > version.issued);
                    }
                }
            }
        }
    }

    /// A flush of all is sent.
    pub fn flush(&mut self) -> Ticket {
        let issued = self.tick();
        let tickets =
            |sector: &Sector| sector.settled.iter().chain(&sector.open).map(|it| it.ticket).collect();
        let snapshot = self.sectors.iter().map(tickets).collect();
        self.flushes.insert(Ticket(issued), (issued, snapshot));
        Ticket(issued)
    }

    /// A flush has ended, well or not.
    pub fn end_flush(&mut self, ticket: Ticket, is_done: bool) {
        let Some((issued, snapshot)) = self.flushes.remove(&ticket).filter(|_| is_done) else { return };
        for (sector, known) in self.sectors.iter_mut().zip(snapshot) {
            sector.lasting.retain(|version| version.issued > issued || known.contains(&version.ticket));
        }
    }

    /// A read is sent.
    pub fn read(&mut self, first: u64, sectors: u64) -> Ticket {
        let ticket = Ticket(self.tick());
        let allowed = |sector: &Sector| {
            let contents = sector.settled.iter().chain(&sector.open).map(|version| version.content);
            (contents.collect(), sector.open.is_empty())
        };
        let allowed = self.sectors[first as usize..][..sectors as usize].iter().map(allowed).collect();
        self.reads.insert(ticket, Read { first, allowed });
        ticket
    }

    /// A read has ended, with these data if it went well.
    ///
    /// # Errors
    /// What is wrong with the data.
    pub fn end_read(&mut self, ticket: Ticket, data: Option<&[u8]>) -> Result<(), String> {
        let Some(read) = self.reads.remove(&ticket) else { return Ok(()) };
        let Some(data) = data else { return Ok(()) };
        for ((number, bytes), (allowed, is_alone)) in
            (read.first..).zip(data.chunks(SECTOR)).zip(read.allowed)
        {
            let content = self.identify(number, bytes)?;
            if !allowed.contains(&content) {
                return Err(format!(
                    "sector {number} returned write {content}, and only {allowed:?} may be there"
                ));
            }
            let sector = &mut self.sectors[number as usize];
            if is_alone && sector.open.is_empty() {
                sector.settled.retain(|version| version.content == content);
                if sector.is_untouched {
                    sector.lasting.retain(|version| version.content == content);
                }
            }
        }
        Ok(())
    }

    fn identify(&self, number: u64, bytes: &[u8]) -> Result<Content, String> {
        let content = bytes.first_chunk().map_or(0, |stamp| u32::from_be_bytes(*stamp));
        let is_known = (content as usize) < self.contents.len();
        if !is_known || self.bytes(content, number) != bytes {
            let address =
                bytes.get(4..12).and_then(|bytes| bytes.first_chunk()).map(|it| u64::from_be_bytes(*it));
            let kind = match address {
                Some(address) if is_known && address != number => "misdirected",
                _ if is_known => "torn",
                _ => "unknown",
            };
            return Err(format!(
                "sector {number} returned what was never written there ({kind}): {content} {address:?}"
            ));
        }
        Ok(content)
    }

    /// What a sector holds, where only one thing can be there and nothing is under way.
    pub fn certain(&self, sector: u64) -> Option<Content> {
        match self.sectors.get(sector as usize)? {
            Sector { settled, open, .. } if settled.len() == 1 && open.is_empty() => Some(settled[0].content),
            _ => None,
        }
    }

    /// The target's process has ended: what was under way was done or not.
    pub fn kill(&mut self) {
        let open: Vec<Ticket> = self.writes.keys().copied().collect();
        open.into_iter().for_each(|ticket| self.end_write(ticket, End::Unknown));
        self.reads.clear();
        self.flushes.clear();
    }

    /// The power has gone.
    pub fn cut_power(&mut self) {
        self.kill();
        let ended = self.tick();
        for sector in &mut self.sectors {
            sector.lasting.iter_mut().for_each(|version| version.ended = ended);
            sector.settled.clone_from(&sector.lasting);
            sector.is_untouched = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(history: &mut History, first: u64, contents: &[Content]) -> Result<(), String> {
        let read = history.read(first, contents.len() as u64);
        let bytes = (first..).zip(contents).flat_map(|(sector, content)| history.bytes(*content, sector));
        let bytes: Vec<u8> = bytes.collect();
        history.end_read(read, Some(&bytes))
    }

    fn written(history: &mut History, is_durable: bool) -> Content {
        let content = history.content(None);
        let write = history.write(content, 0, 2, is_durable);
        history.end_write(write, End::Done);
        content
    }

    #[test]
    fn what_was_acknowledged_is_what_is_read() {
        let mut history = History::new(1, 4);
        seen(&mut history, 0, &[0, 0, 0]).unwrap();
        let content = written(&mut history, false);
        seen(&mut history, 0, &[content, content, 0]).unwrap();
        assert!(seen(&mut history, 0, &[0]).is_err(), "older data");
        assert!(seen(&mut history, 2, &[content]).is_err(), "data of another sector");
    }

    #[test]
    fn after_a_power_cut_nothing_is_older_than_what_was_made_to_last() {
        for by_flush in [false, true] {
            let mut history = History::new(1, 2);
            let first = written(&mut history, false);
            let second = written(&mut history, !by_flush);
            if by_flush {
                let flush = history.flush();
                history.end_flush(flush, true);
            }
            let third = written(&mut history, false);
            history.cut_power();
            assert!(seen(&mut history, 0, &[first]).is_err());
            seen(&mut history, 0, &[second, third]).unwrap();
            assert!(seen(&mut history, 1, &[second]).is_err(), "what was read once is what it is");
        }
    }

    #[test]
    fn what_was_written_while_a_forced_write_was_under_way_may_last_or_not() {
        let mut history = History::new(1, 2);
        let forced = history.content(None);
        let write = history.write(forced, 0, 2, true);
        let (second, third) = (written(&mut history, false), written(&mut history, false));
        history.end_write(write, End::Done);
        history.cut_power();
        seen(&mut history, 0, &[second, third]).unwrap();
        assert!(seen(&mut history, 1, &[0]).is_err());
    }

    #[test]
    fn a_flush_says_nothing_of_what_was_sent_after_it_began() {
        let mut history = History::new(1, 2);
        let first = written(&mut history, true);
        let flush = history.flush();
        let second = written(&mut history, false);
        history.end_flush(flush, true);
        history.cut_power();
        seen(&mut history, 0, &[first, second]).unwrap();
    }

    #[test]
    fn a_write_whose_end_nobody_knows_was_done_or_not() {
        let mut history = History::new(1, 2);
        let first = written(&mut history, true);
        let second = history.content(None);
        let write = history.write(second, 0, 2, false);
        seen(&mut history, 0, &[first, second]).unwrap();
        history.end_write(write, End::Unknown);
        seen(&mut history, 0, &[first, second]).unwrap();
        assert!(seen(&mut history, 0, &[second]).is_err(), "it is not done any more");
        let third = history.content(None);
        let write = history.write(third, 0, 2, false);
        history.end_write(write, End::NotDone);
        assert!(seen(&mut history, 0, &[third]).is_err(), "it was refused");
    }

    #[test]
    fn of_two_writes_at_once_either_may_be_the_last() {
        let mut history = History::new(1, 2);
        let (a, b) = (history.content(None), history.content(Some(7)));
        let (first, second) = (history.write(a, 0, 2, false), history.write(b, 0, 2, false));
        history.end_write(second, End::Done);
        history.end_write(first, End::Done);
        seen(&mut history, 0, &[a, b]).unwrap();
        assert!(seen(&mut history, 0, &[0]).is_err());
        assert!(seen(&mut history, 0, &[b]).is_err(), "what was read once is what it is");
    }
}
