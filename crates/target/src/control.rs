//! How other threads speak to a connection's thread: a mailbox, and an event that wakes it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use timedisk_iscsi::full_feature::{Outcome, TaskId};
use timedisk_scsi::{Attention, LogicalUnit, NexusId};

use crate::berth::Berth;
use crate::memory::Buffer;

/// How an initiator hears that others have had its tasks aborted (SAM-5 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Each ends with TASK ABORTED.
    Status,
    /// By a unit attention condition, if there were any.
    Attention,
    /// In another way: all are told what has happened.
    Elsewhere,
}

/// What a connection is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// It is worth asking for memory again.
    MemoryAvailable,
    /// Another session had the tasks on a logical unit aborted.
    Aborted(Arc<LogicalUnit>, Notice),
    /// A command of this session has ended those of these others on the logical unit.
    Preempted([u8; 8], Vec<NexusId>),
    /// Ask the initiator to log out.
    AskForLogout,
    /// Take no more requests, answer what runs, then close.
    Drain,
    /// The catalogue is another: see whether the session may go on, and with what.
    Reload,
    /// Something has happened to a logical unit.
    Attention(Arc<LogicalUnit>, Attention),
    /// Drop the session, for this reason.
    Drop(&'static str),
    /// Close at once, for this reason.
    Close(&'static str),
}

/// A command that has ended.
pub(crate) type Ended = (TaskId, Outcome<Buffer>);

/// What a connection has been told, and which of its commands have ended elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    pub(crate) messages: Vec<Message>,
    pub(crate) ended: Vec<Ended>,
}

impl Mail {
    fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.ended.is_empty()
    }
}

/// A connection's mailbox, and where it can be found.
#[derive(Debug)]
pub(crate) struct Control {
    event: OwnedFd,
    mail: Mutex<Mail>,
    has_mail: AtomicBool,
    /// Where the connection lies while its thread works for a disk.
    pub(crate) berth: Berth,
    /// Set when another session has taken this one's place: it may start nothing more.
    replaced: AtomicBool,
    /// A valid login request has come.
    known: AtomicBool,
    /// What its peer is to answer (CHAP_C).
    challenge: Mutex<Option<Vec<u8>>>,
    /// The login has succeeded.
    admitted: AtomicBool,
}

impl Control {
    pub(crate) fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let no = || AtomicBool::new(false);
        let berth = Berth::default();
        Ok(Control {
            event,
            mail: Mutex::default(),
            has_mail: no(),
            berth,
            replaced: no(),
            known: no(),
            challenge: Mutex::default(),
            admitted: no(),
        })
    }

    pub(crate) fn post(&self, message: Message) {
        self.put(|mail| mail.messages.push(message));
    }

    /// Takes the outcomes out of `ended`.
    pub(crate) fn post_ended(&self, ended: &mut Vec<Ended>) {
        if !ended.is_empty() {
            self.put(|mail| mail.ended.append(ended));
        }
    }

    fn put(&self, put: impl FnOnce(&mut Mail)) {
        let was_empty = {
            let mut mail = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
            let was_empty = mail.is_empty();
            put(&mut mail);
            was_empty
        };
        if was_empty {
            self.has_mail.store(true, Ordering::Release);
            // It can only fail where the counter is full, and then the event is set anyway.
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        }
    }

    /// Exchanges what has come for `mail`, which is empty, and resets the event.
    pub(crate) fn exchange(&self, mail: &mut Mail) {
        let mut counter = [0; 8];
        // Would block where nothing was posted.
        let _ = rustix::io::read(&self.event, &mut counter);
        self.has_mail.store(false, Ordering::Release);
        std::mem::swap(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner), mail);
    }

    /// Whether something has come; soon after it has, where there was nothing before.
    pub(crate) fn has_mail(&self) -> bool {
        self.has_mail.load(Ordering::Acquire)
    }

    /// The messages that have come.
    #[cfg(test)]
    pub(crate) fn take(&self) -> Vec<Message> {
        let mut mail = Mail::default();
        self.exchange(&mut mail);
        mail.messages
    }

    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    pub(crate) fn replace(&self) {
        self.replaced.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::SeqCst)
    }

    pub(crate) fn mark_known(&self) {
        self.known.store(true, Ordering::Relaxed);
    }

    pub(crate) fn note_challenge(&self, challenge: &[u8]) {
        *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = Some(challenge.to_vec());
    }

    pub(crate) fn is_to_answer(&self, challenge: &[u8]) -> bool {
        self.challenge.lock().unwrap_or_else(PoisonError::into_inner).as_deref() == Some(challenge)
    }

    pub(crate) fn mark_admitted(&self) {
        self.admitted.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Relaxed)
    }

    pub(crate) fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }
}
