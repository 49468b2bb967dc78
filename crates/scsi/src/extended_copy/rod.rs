//! Representations of data (SPC-4 5.17.6): blocks as they were when a token was made for them.
//!
//! They are point in time copies, change vulnerable (ROD type 00800001h): nothing is copied for them, and a token is
//! revoked as soon as one of its blocks is to be changed. A token is of use only to the initiator (by its iSCSI name)
//! that has made it, through a target that lets it have both disks, and as far as reservations let it read and write
//! then. Whoever learns of another's token can do nothing with it.

use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use timedisk_volume::Volume;

use crate::cdb::Cdb;
use crate::overlap::Touch;
use crate::sense::{
    Condition, INSUFFICIENT_RESOURCES_FOR_TOKEN, TOKEN_DELETED, TOKEN_EXPIRED, TOKEN_REVOKED,
};
use crate::unmap;

/// Bytes of a token.
pub(crate) const TOKEN_LENGTH: usize = 512;

/// Tokens of one logical unit, and those of them that one initiator may have.
const MOST: usize = 64;
const MOST_OF_ONE: usize = 16;

/// What has become of a token.
const VALID: u8 = 0;
const REVOKED: u8 = 1;
const EXPIRED: u8 = 2;
const DELETED: u8 = 3;

/// A representation of data.
#[derive(Debug)]
pub(crate) struct Rod {
    /// The name of the initiator that it is for.
    pub(super) owner: String,
    /// As the initiator has it.
    pub(super) token: [u8; TOKEN_LENGTH],
    /// Blocks of the logical unit, in the order in which they make up the data.
    pub(super) extents: Vec<Range<u64>>,
    /// Where they are.
    pub(super) volume: Weak<dyn Volume>,
    /// INACTIVITY TIMEOUT.
    pub(super) inactivity: Duration,
    /// Milliseconds of uptime.
    last_use: AtomicU64,
    fate: AtomicU8,
}

/// All that belongs to a representation of data when it is made.
pub(super) struct Draft {
    pub(super) owner: String,
    pub(super) token: [u8; TOKEN_LENGTH],
    pub(super) extents: Vec<Range<u64>>,
    pub(super) volume: Weak<dyn Volume>,
    pub(super) inactivity: Duration,
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Rod {
    pub(super) fn new(draft: Draft, now: Duration) -> Rod {
        let Draft { owner, token, extents, volume, inactivity } = draft;
        let (last_use, fate) = (AtomicU64::new(milliseconds(now)), AtomicU8::new(VALID));
        Rod { owner, token, extents, volume, inactivity, last_use, fate }
    }

    /// Why it is of no use any more, if it is not.
    pub(super) fn invalidity(&self) -> Option<&'static Condition> {
        match self.fate.load(Ordering::Acquire) {
            VALID => None,
            REVOKED => Some(&TOKEN_REVOKED),
            EXPIRED => Some(&TOKEN_EXPIRED),
            _ => Some(&TOKEN_DELETED),
        }
    }

    /// The same, with a look at what was just read from: another volume has other data.
    pub(super) fn invalidity_on(&self, volume: &Arc<dyn Volume>) -> Option<&'static Condition> {
        if !std::ptr::addr_eq(self.volume.as_ptr(), Arc::as_ptr(volume)) {
            self.end(REVOKED);
        }
        self.invalidity()
    }

    /// It is used now, if it has not expired.
    pub(super) fn touch(&self, now: Duration) {
        let before = self.last_use.fetch_max(milliseconds(now), Ordering::AcqRel);
        if milliseconds(now).saturating_sub(before) > milliseconds(self.inactivity) {
            self.end(EXPIRED);
        }
    }

    fn expire(&self, now: Duration) {
        let unused = milliseconds(now).saturating_sub(self.last_use.load(Ordering::Acquire));
        if unused > milliseconds(self.inactivity) {
            self.end(EXPIRED);
        }
    }

    /// The initiator wants no more of it (DEL_TKN).
    pub(super) fn delete(&self) {
        self.end(DELETED);
    }

    /// The first reason counts.
    fn end(&self, fate: u8) {
        let _ = self.fate.compare_exchange(VALID, fate, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Takes the same time whatever is different.
    fn is(&self, token: &[u8; TOKEN_LENGTH]) -> bool {
        self.token.iter().zip(token).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

/// The representations of data of one logical unit.
#[derive(Debug, Default)]
pub(crate) struct Rods {
    /// How many there are: mostly none, and then no write looks at them.
    count: AtomicUsize,
    /// The oldest first.
    all: Mutex<Vec<Arc<Rod>>>,
    /// COPY MANAGER ROD TOKEN IDENTIFIER of the last one.
    last: AtomicU64,
}

impl Rods {
    fn all(&self) -> MutexGuard<'_, Vec<Arc<Rod>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no token of this logical unit has had since the daemon has started.
    pub(super) fn number(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// These blocks are about to be changed.
    pub(crate) fn revoke(&self, blocks: Range<u64>) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let is_hit = |extent: &Range<u64>| extent.start < blocks.end && blocks.start < extent.end;
        let all = self.all();
        all.iter().filter(|rod| rod.extents.iter().any(is_hit)).for_each(|rod| rod.end(REVOKED));
    }

    /// A command is about to change blocks.
    pub(crate) fn revoke_for(&self, touch: Touch, cdb: Cdb<'_>) {
        let range = cdb.block_range();
        self.revoke(match touch {
            Touch::Named | Touch::Alone => range.lba..range.lba.saturating_add(range.blocks),
            // It does so itself, for what its parameters name.
            Touch::Any if cdb.operation_code() == Some(unmap::OPERATION_CODE) => return,
            Touch::Any | Touch::Nothing => 0..u64::MAX,
        });
    }

    /// Keeps one more. Of too many of one initiator the oldest goes.
    pub(super) fn keep(&self, rod: Arc<Rod>, now: Duration) -> Result<(), &'static Condition> {
        let mut all = self.all();
        all.iter().for_each(|rod| rod.expire(now));
        let own = |other: &Arc<Rod>| other.owner == rod.owner;
        if all.iter().filter(|other| own(other)).count() >= MOST_OF_ONE
            && let Some(oldest) = all.iter().position(own)
        {
            all.remove(oldest);
        }
        if all.len() >= MOST {
            all.retain(|rod| rod.invalidity().is_none());
        }
        if all.len() >= MOST {
            return Err(&INSUFFICIENT_RESOURCES_FOR_TOKEN);
        }
        all.push(rod);
        self.count.store(all.len(), Ordering::SeqCst);
        Ok(())
    }

    /// The one that this token stands for, if it is this initiator's.
    pub(super) fn find(&self, token: &[u8; TOKEN_LENGTH], owner: &str) -> Option<Arc<Rod>> {
        self.all().iter().find(|rod| rod.is(token) && rod.owner == owner).cloned()
    }

    /// Whether a token stands for anything here, of whomever it is.
    pub(super) fn knows(&self, token: &[u8; TOKEN_LENGTH]) -> bool {
        self.all().iter().any(|rod| rod.is(token))
    }

    /// Those of an initiator that are of use.
    pub(super) fn of(&self, owner: &str, now: Duration) -> Vec<Arc<Rod>> {
        let all = self.all();
        all.iter().for_each(|rod| rod.expire(now));
        let is_meant = |rod: &&Arc<Rod>| rod.owner == owner && rod.invalidity().is_none();
        all.iter().filter(is_meant).cloned().collect()
    }
}
