//! What goes wrong.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::World;
use crate::client::Client;
use crate::house::{House, LinkId};

impl World {
    pub(super) fn trouble(&mut self) {
        self.next_trouble = self.now + 1 + self.random.below(20_000_000);
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        let chosen = (!ids.is_empty()).then(|| ids[self.random.below(ids.len() as u64) as usize]);
        match (self.random.below(12), chosen) {
            (0 | 1, Some(id)) => {
                self.report.troubles.resets += 1;
                self.drop_link(id);
            }
            (2 | 3, Some(id)) => {
                self.report.troubles.silences += 1;
                let which = 1 + self.random.below(3);
                let Some(link) = self.links.get_mut(&id) else { return };
                if which & 1 != 0 {
                    link.to_target.lose();
                }
                if which & 2 != 0 {
                    link.to_client.lose();
                }
            }
            (4 | 5, Some(id)) => {
                self.report.troubles.stalls += 1;
                let until = self.now + self.random.below(30_000_000);
                let Some(link) = self.links.get_mut(&id) else { return };
                link.to_target.stall(until);
                link.to_client.stall(until);
            }
            (6 | 7, _) => {
                self.report.troubles.stuck += 1;
                let until = self.now + self.random.below(60_000_000);
                self.house.borrow_mut().stuck_until = until;
            }
            (8, _) => {
                self.report.troubles.kills += 1;
                self.end_process(false);
            }
            (9, _) => {
                self.report.troubles.power_cuts += 1;
                self.end_process(true);
            }
            _ => {}
        }
    }

    /// The target's process ends, perhaps with its machine's power, and starts again.
    pub(super) fn end_process(&mut self, with_power: bool) {
        self.clients.iter_mut().for_each(Client::forget);
        match with_power {
            true => {
                self.history.cut_power();
                self.medium.cut_power(&mut self.random);
            }
            false => self.history.kill(),
        }
        let (medium, settings) = (Arc::clone(&self.medium), Arc::clone(&self.settings));
        let mut house = House::new(medium, settings, self.pace, self.random.fork());
        house.now = self.now;
        self.house = Rc::new(RefCell::new(house));
        self.down_until = self.now + self.random.below(5_000_000);
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        ids.into_iter().for_each(|id| self.drop_link(id));
        // Those whose connection was lost before hear nothing, and find out by themselves.
        self.clients.iter_mut().for_each(Client::forget);
    }
}
