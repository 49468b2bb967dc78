//! The window of command sequence numbers that an initiator may use (RFC 7143 §4.2.2.1).

use crate::serial::{after, before};

/// Commands that one session may have under way at once.
pub const WINDOW_LIMIT: u32 = 64;

/// Commands that a new session may have under way, memory permitting.
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
}

impl CommandWindow {
    /// Opens a window of `size` commands, the first of which has the number `first`.
    pub fn new(first: u32, size: u32) -> Self {
        let size = size.clamp(1, WINDOW_LIMIT);
        CommandWindow { expected: first, maximum: first.wrapping_add(size).wrapping_sub(1), size }
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

    /// Lets that many more commands be under way at once.
    pub fn widen(&mut self, by: u32) {
        self.size = (self.size + by).min(WINDOW_LIMIT);
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
