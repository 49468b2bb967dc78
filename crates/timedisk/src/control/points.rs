//! Points of disks that somebody reads, until they are released or forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use timedisk_volume::{ErrorKind, Scratch, SystemCalls, View, VolumeError, available_space};

use super::point::{Map, MapPart, Point};
use super::{Refusal, RefusalKind, Viewed};

/// Of all disks together.
const MOST: usize = 8;

/// Writes wait no longer for a point.
const PAUSE: Duration = Duration::from_secs(1);

/// A point that nobody has read from for so long is dropped.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// How often is looked for such.
const LOOK: Duration = Duration::from_secs(1);

/// Bytes that are kept aside for a point, unless something else is asked for.
const SCRATCH: u64 = 1 << 30;

/// Bytes that are read at once.
pub(crate) const LONGEST_READ: u64 = 4 << 20;

/// Parts of a map that are told at once, and how long they are looked for.
const MOST_PARTS: usize = 4096;
const FOR_PARTS: Duration = Duration::from_millis(500);

/// The points that are being read.
#[derive(Debug, Default)]
pub(super) struct Points {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    views: HashMap<String, Entry>,
    /// A thread looks for those that are forgotten.
    is_watched: bool,
}

#[derive(Debug)]
struct Entry {
    view: Arc<View>,
    disk: String,
    touched: Instant,
}

impl Points {
    /// Takes a point of a disk.
    pub(super) fn take(
        self: &Arc<Self>,
        disk: &Viewed,
        scratch_bytes: Option<u64>,
    ) -> Result<Point, Refusal> {
        if self.held().views.len() >= MOST {
            let error = format!("{MOST} points of disks are being read; wait for one to end");
            return Err(Refusal::new(RefusalKind::Busy, error));
        }
        // It must not take the last space from what it shares a file system with.
        let room = available_space(&disk.scratch).map_err(refusal)? / 2;
        let scratch =
            Scratch::create(&SystemCalls, &disk.scratch, scratch_bytes.unwrap_or(SCRATCH).min(room));
        let scratch = scratch.map_err(refusal)?;
        let scratch_bytes = scratch.limit();
        let id = random_id()?;
        let view = disk.volume.take_point(scratch, PAUSE).map_err(refusal)?;
        let taken = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let point = Point {
            id: id.clone(),
            disk: disk.name.clone(),
            size_bytes: view.capacity(),
            taken: taken.as_secs(),
            pause_microseconds: view.pause().as_micros() as u64,
            scratch_bytes,
        };
        let entry = Entry { view: Arc::new(view), disk: disk.name.clone(), touched: Instant::now() };
        let mut held = self.held();
        held.views.insert(id, entry);
        if !held.is_watched {
            let points = Arc::clone(self);
            let thread = std::thread::Builder::new().name("points".into());
            let watching = thread.spawn(move || {
                while points.forget(FORGOTTEN) {
                    std::thread::sleep(LOOK)
                }
            });
            held.is_watched = watching.is_ok();
        }
        drop(held);
        tracing::info!("{}: a point was taken; writes waited {} µs", point.disk, point.pause_microseconds);
        Ok(point)
    }

    /// Drops those that nobody has read for so long. Answers whether there are others.
    fn forget(&self, after: Duration) -> bool {
        let mut forgotten = Vec::new();
        let mut held = self.held();
        held.views.retain(|_, entry| {
            let is_read = entry.touched.elapsed() < after || Arc::strong_count(&entry.view) > 1;
            if !is_read {
                forgotten.push((entry.disk.clone(), Arc::clone(&entry.view)));
            }
            is_read
        });
        held.is_watched = !held.views.is_empty();
        let goes_on = held.is_watched;
        drop(held);
        for (disk, view) in forgotten {
            tracing::warn!("{disk}: nobody reads the point that was taken; it is dropped");
            drop(view);
        }
        goes_on
    }

    fn view(&self, id: &str) -> Result<Arc<View>, Refusal> {
        let mut held = self.held();
        let entry = held.views.get_mut(id).ok_or_else(no_point)?;
        entry.touched = Instant::now();
        Ok(Arc::clone(&entry.view))
    }

    /// Parts that may hold data, from a byte on.
    pub(super) fn map(&self, id: &str, offset: u64) -> Result<Map, Refusal> {
        let view = self.view(id)?;
        let (mut at, begun) = (offset, Instant::now());
        let mut data: Vec<MapPart> = Vec::new();
        while at < view.capacity() && data.len() < MOST_PARTS && begun.elapsed() < FOR_PARTS {
            let mapping = view.mapping(at).map_err(refusal)?;
            if mapping.allocated {
                match data.last_mut() {
                    Some(last) if last.offset + last.length == at => last.length += mapping.length,
                    _ => data.push(MapPart { offset: at, length: mapping.length }),
                }
            }
            at += mapping.length;
        }
        Ok(Map { data, next: (at < view.capacity()).then_some(at) })
    }

    pub(super) fn read(&self, id: &str, offset: u64, length: u64) -> Result<Vec<u8>, Refusal> {
        if length > LONGEST_READ {
            let error = format!("{length} bytes are too many at once: read {LONGEST_READ} at most");
            return Err(Refusal::new(RefusalKind::Invalid, error));
        }
        let view = self.view(id)?;
        let mut data = vec![0; length as usize];
        view.read(offset, &mut data).map_err(refusal)?;
        Ok(data)
    }

    pub(super) fn release(&self, id: &str) -> Result<(), Refusal> {
        let released = self.held().views.remove(id);
        released.map(drop).ok_or_else(no_point)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_point() -> Refusal {
    Refusal::new(
        RefusalKind::NotFound,
        format!(
            "there is no such point; one that nobody reads for {} seconds is dropped",
            FORGOTTEN.as_secs()
        ),
    )
}

/// What a volume says, as a refusal.
pub(super) fn refusal(error: VolumeError) -> Refusal {
    let kind = match error.kind {
        ErrorKind::Busy => RefusalKind::Busy,
        ErrorKind::OutOfRange => RefusalKind::Invalid,
        _ => RefusalKind::Conflict,
    };
    Refusal::new(kind, format!("{:#}", anyhow::Error::from(error)))
}

/// Never the same again, not even after a restart: else a copy could go on with another point.
fn random_id() -> Result<String, Refusal> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Refusal::new(RefusalKind::Conflict, error.to_string()))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use timedisk_volume::{Durability, MemoryVolume, ViewedVolume, Volume};

    use super::*;

    fn disk() -> Viewed {
        let volume = ViewedVolume::new(Arc::new(MemoryVolume::new(1 << 20)));
        volume.write(4096, &[1; 100], Durability::Volatile).unwrap();
        Viewed { name: "target0".into(), volume, scratch: std::env::temp_dir() }
    }

    #[test]
    fn a_point_that_nobody_reads_is_dropped_and_others_are_not() {
        let (points, disk) = (Arc::new(Points::default()), disk());
        let id = points.take(&disk, None).unwrap().id;
        let other = points.take(&disk, Some(1 << 20)).unwrap().id;
        assert_ne!(id, other);
        assert_eq!(points.take(&disk, None).unwrap_err().kind, RefusalKind::Busy, "two of one disk");
        assert!(points.forget(FORGOTTEN), "both are read");
        std::thread::sleep(Duration::from_millis(20));
        let being_read = points.held().views.get(&id).map(|entry| Arc::clone(&entry.view));
        assert!(points.forget(Duration::from_millis(10)), "one is just being read");
        assert_eq!(points.read(&other, 0, 1).unwrap_err().kind, RefusalKind::NotFound);
        disk.volume.write(4096, &[2; 100], Durability::Volatile).unwrap();
        assert_eq!(points.read(&id, 4096, 100).unwrap(), [1; 100]);
        drop(being_read);
        std::thread::sleep(Duration::from_millis(20));
        assert!(!points.forget(Duration::from_millis(10)));
        assert_eq!(points.release(&id).unwrap_err().kind, RefusalKind::NotFound);
    }

    #[test]
    fn what_is_asked_of_a_point_is_bounded() {
        let (points, disk) = (Arc::new(Points::default()), disk());
        let id = points.take(&disk, None).unwrap().id;
        let kind = |result: Result<Vec<u8>, Refusal>| result.unwrap_err().kind;
        assert_eq!(kind(points.read(&id, 0, LONGEST_READ + 1)), RefusalKind::Invalid);
        assert_eq!(kind(points.read(&id, u64::MAX, 1)), RefusalKind::Invalid);
        assert_eq!(kind(points.read(&id, (1 << 20) - 1, 2)), RefusalKind::Invalid);
        assert_eq!(kind(points.read("0", 0, 1)), RefusalKind::NotFound);
        let map = points.map(&id, u64::MAX).unwrap();
        assert!(map.data.is_empty() && map.next.is_none());
        disk.volume.end_views("the disk was taken away");
        assert_eq!(kind(points.read(&id, 0, 1)), RefusalKind::Conflict);
        points.release(&id).unwrap();
    }
}
