//! The commands that are under way, each at the place that its tag names.

use super::command::{Command, Direction, Payload, Tag, Transfer};

/// A command under way.
#[derive(Debug)]
pub(super) struct Slot {
    /// The tag of the command that is here, or of the next one.
    tag: u32,
    is_busy: bool,
    pub(super) direction: Direction,
    pub(super) lun: [u8; 8],
    /// Expected Data Transfer Length, in bytes.
    pub(super) length: u32,
    /// Bytes that came, or that are asked for or sent unasked: the next offset.
    pub(super) moved: u32,
    /// DataSN or R2TSN that is next.
    pub(super) next_number: u32,
    payload: Option<Payload>,
}

impl Slot {
    /// What it writes.
    pub(super) fn payload(&self) -> Option<&Payload> {
        self.payload.as_ref()
    }
}

/// A fixed number of slots.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u16>,
}

impl Slots {
    /// So many, below 2^16 - 1: the lower half of a tag is a place, and no tag may have only ones.
    pub(super) fn new(depth: usize) -> Slots {
        let slot = |index| Slot {
            tag: index,
            is_busy: false,
            direction: Direction::None,
            lun: [0; 8],
            length: 0,
            moved: 0,
            next_number: 0,
            payload: None,
        };
        let indices = 0..u16::try_from(depth).unwrap_or(u16::MAX - 2);
        Slots { slots: indices.clone().map(u32::from).map(slot).collect(), free: indices.rev().collect() }
    }

    pub(super) fn depth(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn busy(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Gives a command a place.
    pub(super) fn take(
        &mut self,
        command: Command,
        direction: Direction,
        length: u32,
    ) -> Option<(Tag, &mut Slot)> {
        let index = self.free.pop()?;
        let slot = self.slots.get_mut(usize::from(index))?;
        slot.is_busy = true;
        slot.direction = direction;
        slot.lun = command.lun;
        (slot.length, slot.moved, slot.next_number) = (length, 0, 0);
        slot.payload = match command.transfer {
            Transfer::Write(payload) => Some(payload),
            _ => None,
        };
        Some((Tag(slot.tag), slot))
    }

    /// The command with this tag, if it is under way.
    pub(super) fn find(&mut self, tag: u32) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(Tag(tag).index())?;
        (slot.is_busy && slot.tag == tag).then_some(slot)
    }

    /// The command is over. The next one at its place has another tag, so that a late answer is told from one
    /// to it.
    pub(super) fn release(&mut self, tag: Tag) {
        if let Some(slot) = self.find(tag.0) {
            slot.is_busy = false;
            slot.payload = None;
            slot.tag = tag.0.wrapping_add(1 << 16);
            self.free.push((tag.0 & 0xffff) as u16);
        }
    }
}
