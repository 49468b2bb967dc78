//! The window of command sequence numbers that an initiator may use (RFC 7143 §4.2.2.1).

use crate::serial::{after, before};

/// Commands that one session may have under way at once.
pub const WINDOW_LIMIT: u32 = 128;

/// Commands that a session may have under way before it has shown that it needs more, memory permitting.
pub const WINDOW_START: u32 = 8;

/// What to do with a request that carries a CmdSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is the next one.
    Next,
    /// One before it is missing yet.
    Ahead,
    /// Outside the window, or seen before: to be ignored silently.
    Outside,
}

/// ExpCmdSN and MaxCmdSN of one session, and how wide the window may open.
#[derive(Clone, Debug)]
pub struct CommandWindow {
    expected: u32,
    maximum: u32,
    size: u32,
    /// MaxCmdSN as responses have told it, by the last byte of their StatSN.
    told: [u32; 256],
    used_up: bool,
}

impl CommandWindow {
    /// Opens a window of `size` commands, the first of which has the number `first`.
    pub fn new(first: u32, size: u32) -> Self {
        let size = size.clamp(1, WINDOW_LIMIT);
        let maximum = first.wrapping_add(size).wrapping_sub(1);
        CommandWindow { expected: first, maximum, size, told: [maximum; 256], used_up: false }
    }

    /// ExpCmdSN: every number before it has arrived.
    pub fn expected(&self) -> u32 {
        self.expected
    }

    /// MaxCmdSN: the last number that is accepted now.
    pub fn maximum(&self) -> u32 {
        self.maximum
    }

    /// How many commands may be under way at once.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// A response with this StatSN tells MaxCmdSN.
    pub fn tell(&mut self, stat_sn: u32) {
        self.told[usize::from(stat_sn as u8)] = self.maximum;
    }

    /// A command has come whose initiator had seen all responses before `exp_stat_sn`: whether it has sent all that
    /// it knew it might. Commands that end at once leave no other trace of how many were on their way.
    pub fn note_use(&mut self, cmd_sn: u32, exp_stat_sn: u32) {
        let known = self.told[usize::from(exp_stat_sn.wrapping_sub(1) as u8)];
        self.used_up |= !before(cmd_sn, known);
    }

    /// Whether the initiator has sent all that it might: it could do with more.
    pub fn is_used_up(&self) -> bool {
        self.used_up
    }

    /// Lets that many more commands be under way at once.
    pub fn widen(&mut self, by: u32) {
        self.size = (self.size + by).min(WINDOW_LIMIT);
        self.used_up = false;
    }

    /// Where `cmd_sn` stands.
    pub fn arrival(&self, cmd_sn: u32) -> Arrival {
        if cmd_sn == self.expected && !after(cmd_sn, self.maximum) {
            Arrival::Next
        } else if before(cmd_sn, self.expected) || after(cmd_sn, self.maximum) {
            Arrival::Outside
        } else {
            Arrival::Ahead
        }
    }

    /// Counts the next expected number as arrived.
    pub fn advance(&mut self) {
        self.expected = self.expected.wrapping_add(1);
    }

    /// Opens the window as far as `under_way` commands leave room. MaxCmdSN never goes back.
    pub fn open(&mut self, under_way: u32) {
        let room = self.size.saturating_sub(under_way);
        let maximum = self.expected.wrapping_add(room).wrapping_sub(1);
        if after(maximum, self.maximum) {
            self.maximum = maximum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_the_window_are_told_from_those_inside() {
        let window = CommandWindow::new(u32::MAX - 1, 4);
        assert_eq!(window.maximum(), 1);
        assert_eq!(window.arrival(u32::MAX - 1), Arrival::Next);
        assert_eq!(window.arrival(u32::MAX), Arrival::Ahead);
        assert_eq!(window.arrival(1), Arrival::Ahead);
        assert_eq!(window.arrival(2), Arrival::Outside);
        assert_eq!(window.arrival(u32::MAX - 2), Arrival::Outside);
    }

    #[test]
    fn a_window_is_used_up_when_the_last_number_comes_that_its_initiator_knows_of() {
        let mut window = CommandWindow::new(u32::MAX, 2);
        window.note_use(u32::MAX, 10);
        assert!(!window.is_used_up());
        window.advance();
        window.open(0);
        window.tell(10);
        assert_eq!(window.maximum(), 1);
        // The initiator has seen the answer to the first one.
        window.note_use(0, 11);
        assert!(!window.is_used_up());
        // And now it has not: it has sent what it could.
        window.note_use(0, 10);
        assert!(window.is_used_up());
        window.widen(2);
        assert!(!window.is_used_up());
    }

    #[test]
    fn the_window_closes_with_commands_under_way_and_its_end_never_goes_back() {
        let mut window = CommandWindow::new(10, 2);
        window.advance();
        window.open(1);
        assert_eq!((window.expected(), window.maximum()), (11, 11));
        window.advance();
        window.open(2);
        assert_eq!((window.expected(), window.maximum()), (12, 11));
        assert_eq!(window.arrival(12), Arrival::Outside);
        window.open(0);
        assert_eq!(window.maximum(), 13);
        window.open(2);
        assert_eq!(window.maximum(), 13);
    }
}
