//! An overhaul as a way through the medium, in passes of small parts.

use timedisk_volume::{Durability, Result, Volume};

/// Bytes that are written at a time.
const WRITTEN: u64 = 4 << 20;

/// Bytes that are given back at a time.
const RELEASED: u64 = 1 << 30;

/// How far it goes, in bytes, until that is made to last.
const MILESTONE: u64 = 1 << 30;

/// What it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// SANITIZE; `may_be_left` is AUSE, that a failure can be left by EXIT FAILURE MODE.
    Sanitize { may_be_left: bool },
    /// FORMAT UNIT.
    Format,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Every block is written `times`, with a pattern that begins anew in each; every other time inverted, if
    /// `inverts`.
    Overwrite { pattern: Vec<u8>, times: u8, inverts: bool },
    /// What holds data is written with zeros, so that it is gone from where it lay, then given back.
    Erase,
    /// All is given back.
    Release,
}

/// An overhaul, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) purpose: Purpose,
    pub(super) method: Method,
    /// The pass that it is in, from 0.
    pub(super) pass: u8,
    /// Bytes of the medium that this pass has gone over.
    pub(super) at: u64,
    /// Bytes of the medium, as far as it is known.
    end: u64,
}

impl Operation {
    pub(super) fn new(purpose: Purpose, method: Method) -> Self {
        Self::at(purpose, method, 0, 0)
    }

    /// One that has come so far.
    pub(super) fn at(purpose: Purpose, method: Method, pass: u8, at: u64) -> Self {
        Operation { purpose, method, pass, at, end: 0 }
    }

    fn passes(&self) -> u8 {
        match self.method {
            Method::Overwrite { times, .. } => times,
            Method::Erase => 2,
            Method::Release => 1,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.pass >= self.passes()
    }

    /// PROGRESS INDICATION: how much of 65536 is done (SPC-4 4.5.2.4.4).
    pub(super) fn progress(&self) -> u16 {
        let end = u128::from(self.end.max(1));
        let done = u128::from(self.pass) * end + u128::from(self.at).min(end);
        let all = u128::from(self.passes().max(1)) * end;
        u16::try_from((done << 16) / all).unwrap_or(u16::MAX)
    }

    /// Does the next part, on a medium of `end` bytes. `true` where it is worth making it last.
    pub(super) fn carry_on(&mut self, volume: &dyn Volume, end: u64, block_length: u64) -> Result<bool> {
        self.end = end;
        let before = self.at;
        if before == 0 && matches!(self.purpose, Purpose::Sanitize { .. }) {
            volume.erase_leftovers()?;
        }
        if self.at < end {
            self.at += self.do_part(volume, end - self.at, block_length)?;
        }
        if self.at < end {
            return Ok(before / MILESTONE != self.at / MILESTONE);
        }
        (self.pass, self.at) = (self.pass + 1, 0);
        Ok(true)
    }

    /// Answers how many bytes are done, of those that are `left`.
    fn do_part(&self, volume: &dyn Volume, left: u64, block_length: u64) -> Result<u64> {
        let (at, some) = (self.at, left.min(WRITTEN));
        match &self.method {
            Method::Overwrite { pattern, inverts, .. } => {
                let inverts = *inverts && self.pass % 2 == 1;
                volume.write(at, &filled(pattern, inverts, some, block_length), Durability::Volatile)?;
                Ok(some)
            }
            Method::Erase if self.pass == 0 => {
                let mapping = volume.mapping(at)?;
                let length = mapping.length.clamp(1, left);
                if !mapping.allocated {
                    return Ok(length);
                }
                let length = length.min(some);
                volume.write(at, &vec![0; length as usize], Durability::Volatile)?;
                Ok(length)
            }
            Method::Erase | Method::Release => {
                let length = left.min(RELEASED);
                volume.deallocate(at, length)?;
                Ok(length)
            }
        }
    }
}

/// Blocks that hold the pattern, over and over.
fn filled(pattern: &[u8], inverts: bool, length: u64, block_length: u64) -> Vec<u8> {
    let invert = if inverts { 0xff } else { 0 };
    let block: Vec<u8> =
        pattern.iter().map(|byte| byte ^ invert).cycle().take(block_length as usize).collect();
    block.iter().copied().cycle().take(length as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_begins_with_the_pattern() {
        assert_eq!(filled(&[1, 2, 3], false, 8, 4), [1, 2, 3, 1, 1, 2, 3, 1]);
        assert_eq!(filled(&[0xf0], true, 2, 4), [0x0f; 2]);
    }

    #[test]
    fn progress_is_of_all_passes() {
        let method = Method::Overwrite { pattern: vec![0], times: 2, inverts: false };
        let mut operation = Operation::new(Purpose::Format, method);
        assert_eq!(operation.progress(), 0);
        (operation.end, operation.pass, operation.at) = (1 << 60, 1, 1 << 59);
        assert_eq!(operation.progress(), 0xc000);
        (operation.pass, operation.at) = (2, 0);
        assert_eq!(operation.progress(), u16::MAX);
    }
}
