//! Taking marks away.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Bits, MirrorVolume, Role};
use crate::{Health, Result, Volume};

impl MirrorVolume {
    /// Takes the marks of regions away in which nothing was written since `since` was counted, after all members were
    /// flushed. Answers what is counted now, for the next time.
    ///
    /// # Errors
    /// The flush failed, or that a member is out could not be written down.
    pub fn tidy(&self, since: u64) -> Result<u64> {
        let now = self.shared().sequence;
        if self.read_only || self.closed.load(Ordering::SeqCst) || self.health() != Health::Good {
            return Ok(now);
        }
        let idle = self.idle(since);
        if idle.is_empty() {
            return Ok(now);
        }
        self.flush_members()?;
        let mut journal = self.journal();
        let (marked, active, bytes) = {
            let mut shared = self.shared();
            if shared.is_any_out() {
                return Ok(now);
            }
            let is_idle = |region: u64, shared: &super::Shared| {
                shared.touched.get(&region).is_none_or(|touched| *touched <= since)
                    && !self.ranges.is_taken(region * self.region, self.region)
                    && !shared.members.iter().any(|member| member.todo.get(region))
            };
            let idle: Vec<u64> = idle.into_iter().filter(|region| is_idle(*region, &shared)).collect();
            for region in &idle {
                shared.marked.clear(*region);
                shared.touched.remove(region);
            }
            let mut bytes: Vec<usize> = idle.iter().map(|region| Bits::byte_of(*region)).collect();
            bytes.dedup();
            (shared.marked.clone(), shared.active(), bytes)
        };
        // A crash may leave them: then more is compared than is needed.
        let mut failed = Vec::new();
        for run in bytes.chunk_by(|one, next| one + 1 == *next) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let cleared = marked.bytes().get(*first..=*last).unwrap_or_default();
            let (first, cleared): (usize, Arc<[u8]>) = (*first, cleared.into());
            failed = journal.each(&active, |_| {
                let cleared = Arc::clone(&cleared);
                move |record| record.write_bits(first, &cleared, false)
            });
            if !failed.is_empty() {
                break;
            }
        }
        if !failed.is_empty() {
            self.drop_locked(&mut journal, failed)?;
        }
        Ok(now)
    }

    /// Regions whose marks are of no use.
    fn idle(&self, since: u64) -> Vec<u64> {
        let shared = self.shared();
        if shared.is_any_out() {
            return Vec::new();
        }
        let mut todo = Bits::none(shared.marked.count());
        shared.members.iter().filter(|m| m.role != Role::Out).for_each(|m| todo.merge(&m.todo));
        let is_old = |region: &u64| shared.touched.get(region).is_none_or(|touched| *touched <= since);
        shared.marked.set_from(0).filter(|region| !todo.get(*region)).filter(is_old).collect()
    }
}
