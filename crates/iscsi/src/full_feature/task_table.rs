//! The tasks of a session, found by their Initiator Task Tag.

use super::task::Task;

/// The tasks that have not ended, in no particular order.
///
/// There are never more than the command window and a few immediate ones, and most end as soon as they have come: a
/// look through the tags, side by side in memory, costs less than hashing one.
#[derive(Debug)]
pub(super) struct TaskTable<B> {
    tags: Vec<u32>,
    tasks: Vec<Task<B>>,
    immediate: u32,
}

impl<B> TaskTable<B> {
    pub(super) fn new() -> Self {
        TaskTable { tags: Vec::new(), tasks: Vec::new(), immediate: 0 }
    }

    fn position(&self, tag: u32) -> Option<usize> {
        // The task that is asked for is mostly the one that came last.
        self.tags.iter().rposition(|known| *known == tag)
    }

    pub(super) fn contains(&self, tag: u32) -> bool {
        self.position(tag).is_some()
    }

    pub(super) fn get(&self, tag: u32) -> Option<&Task<B>> {
        self.tasks.get(self.position(tag)?)
    }

    pub(super) fn get_mut(&mut self, tag: u32) -> Option<&mut Task<B>> {
        let position = self.position(tag)?;
        self.tasks.get_mut(position)
    }

    /// Adds a task. No other has its tag.
    pub(super) fn insert(&mut self, task: Task<B>) {
        self.immediate += u32::from(task.immediate);
        self.tags.push(task.id.tag);
        self.tasks.push(task);
    }

    pub(super) fn remove(&mut self, tag: u32) -> Option<Task<B>> {
        let position = self.position(tag)?;
        self.tags.swap_remove(position);
        let task = self.tasks.swap_remove(position);
        self.immediate -= u32::from(task.immediate);
        Some(task)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Task<B>> {
        self.tasks.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        // Bounded by the window and by the immediate commands that are let in.
        self.tags.len() as u32
    }

    /// How many of them are immediate: outside the command window.
    pub(super) fn immediate(&self) -> u32 {
        self.immediate
    }
}
