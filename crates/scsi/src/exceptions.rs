//! Informational exceptions (SPC-4 7.5.12): who wants to be told that the
//! disk may fail.
//!
//! The log page says it to whoever looks. Nobody else is told unless a client has asked for it by the mode page: with a
//! unit attention, once for each time that it begins, and never as the status of a command that writes; or in the
//! answer to REQUEST SENSE.

use std::sync::atomic::{AtomicBool, Ordering};

use timedisk_volume::Health;

use crate::LogicalUnit;
use crate::mode_pages::ModeParameters;
use crate::sense::{FAILURE_PREDICTED, FAILURE_PREDICTED_ON_REQUEST, Sense};

/// MRIE (SPC-4 7.5.12): nobody is told, all nexuses are by a unit attention, those that send REQUEST SENSE are.
pub(crate) const METHODS: [u8; 3] = [0, UNIT_ATTENTION, ON_REQUEST];
const UNIT_ATTENTION: u8 = 2;
const ON_REQUEST: u8 = 6;

/// Whether the disk may fail: a flush has failed, or a mirror goes on without a member.
pub(crate) fn is_predicted(unit: &LogicalUnit) -> bool {
    let volume = unit.medium().present();
    volume.is_some_and(|volume| volume.health() != Health::Good || volume.is_degraded())
}

/// What was told of it.
#[derive(Debug, Default)]
pub(crate) struct Exceptions {
    /// All are to be told by a unit attention.
    is_asked: AtomicBool,
    /// They were.
    is_told: AtomicBool,
}

impl Exceptions {
    pub(crate) fn new(modes: &ModeParameters) -> Self {
        let exceptions = Self::default();
        exceptions.follow(modes);
        exceptions
    }

    /// The mode parameters are these now.
    pub(crate) fn follow(&self, modes: &ModeParameters) {
        let is_asked = !modes.exceptions_disabled && modes.exceptions_method == UNIT_ATTENTION;
        self.is_asked.store(is_asked, Ordering::Relaxed);
    }

    /// Before a nexus is told what is pending.
    pub(crate) fn look(&self, unit: &LogicalUnit) {
        if !self.is_asked.load(Ordering::Relaxed) {
            return;
        }
        let now = is_predicted(unit);
        if !self.is_told.swap(now, Ordering::Relaxed) && now {
            unit.attentions().establish_for_all(&FAILURE_PREDICTED);
        }
    }

    /// After a logical unit reset it is told anew.
    pub(crate) fn reset(&self) {
        self.is_told.store(false, Ordering::Relaxed);
    }
}

/// What REQUEST SENSE answers, where that is how it is to be told.
pub(crate) fn on_request(unit: &LogicalUnit) -> Option<Sense> {
    let modes = unit.modes();
    let is_asked = !modes.exceptions_disabled && modes.exceptions_method == ON_REQUEST;
    (is_asked && is_predicted(unit)).then(|| (&FAILURE_PREDICTED_ON_REQUEST).into())
}
