//! One direction of a connection: bytes arrive in pieces of any size, late, damaged or not at all.

use std::collections::VecDeque;

use crate::random::Random;

/// How far a pipe delays and cuts what goes through it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Longest delay of a piece, in microseconds.
    pub(crate) delay: u64,
    /// Bytes of the longest piece.
    pub(crate) piece: u64,
    /// One piece in so many is damaged, where digests would tell; 0 for none.
    pub(crate) damage: u64,
}

/// Bytes that may be under way at once.
const ROOM: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Pipe {
    manner: Manner,
    pieces: VecDeque<(u64, Vec<u8>)>,
    under_way: usize,
    last: u64,
    /// What is sent never arrives.
    pub(crate) is_lost: bool,
    /// Damage would be noticed.
    pub(crate) has_digests: bool,
}

impl Pipe {
    pub(crate) fn new(manner: Manner) -> Pipe {
        Pipe { manner, pieces: VecDeque::new(), under_way: 0, last: 0, is_lost: false, has_digests: false }
    }

    /// Takes as many of the bytes as there is room for, and says how many.
    pub(crate) fn send(&mut self, now: u64, bytes: &[u8], random: &mut Random) -> usize {
        let taken = bytes.len().min(ROOM - self.under_way.min(ROOM));
        let mut rest = &bytes[..taken];
        while !rest.is_empty() {
            let length = (1 + random.below(self.manner.piece) as usize).min(rest.len());
            let (piece, after) = rest.split_at(length);
            rest = after;
            if self.is_lost {
                continue;
            }
            let mut piece = piece.to_vec();
            if self.has_digests && self.manner.damage > 0 && random.one_in(self.manner.damage) {
                let bit = random.below(8 * piece.len() as u64) as usize;
                piece[bit / 8] ^= 1 << (bit % 8);
            }
            self.last = self.last.max(now + random.below(self.manner.delay + 1));
            self.under_way += piece.len();
            self.pieces.push_back((self.last, piece));
        }
        taken
    }

    /// Nothing arrives before that.
    pub(crate) fn stall(&mut self, until: u64) {
        self.last = self.last.max(until);
        self.pieces.iter_mut().for_each(|(at, _)| *at = (*at).max(until));
    }

    /// From now on nothing arrives.
    pub(crate) fn lose(&mut self) {
        self.is_lost = true;
        self.pieces.clear();
        // It looks as if it were taken: the other side's buffer is large.
        self.under_way = 0;
    }

    pub(crate) fn has_room(&self) -> bool {
        self.under_way < ROOM
    }

    /// When the next piece arrives.
    pub(crate) fn next(&self) -> Option<u64> {
        self.pieces.front().map(|(at, _)| *at)
    }

    /// The piece that has arrived.
    pub(crate) fn receive(&mut self, now: u64) -> Option<Vec<u8>> {
        self.pieces.front().filter(|(at, _)| *at <= now)?;
        let (_, piece) = self.pieces.pop_front()?;
        self.under_way -= piece.len();
        Some(piece)
    }

    /// Takes back what there was no room for; it arrives next.
    pub(crate) fn give_back(&mut self, now: u64, rest: &[u8]) {
        self.under_way += rest.len();
        self.pieces.push_front((now, rest.to_vec()));
    }
}
