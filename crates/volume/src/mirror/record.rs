//! Where a mirror writes down what it must not forget.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Bits, Header};
use crate::calls::{Access, FileCalls, OpenFile, uninterrupted};
use crate::state::store;
use crate::{DiskState, ErrorKind, Result, SystemCalls, VolumeError};

/// The record beside one member: the header, and a bit for each region.
pub trait MemberRecord: Send + Sync + Debug {
    /// The header as it was last saved; none if there never was one.
    ///
    /// # Errors
    /// [`ErrorKind::BadState`] if it is damaged.
    fn header(&self) -> Result<Option<Header>>;

    /// The bits as they were last saved, for a mirror of `regions`.
    ///
    /// # Errors
    /// They can't be read.
    fn bits(&self, regions: u64) -> Result<Bits>;

    /// Replaces the header: after a crash it is the old one or this one, and once this returns it lasts.
    ///
    /// # Errors
    /// It may be the old one or this one.
    fn save_header(&self, header: &Header) -> Result<()>;

    /// Replaces all bits, likewise.
    ///
    /// # Errors
    /// They may be the old ones or these.
    fn save_bits(&self, bits: &Bits) -> Result<()>;

    /// Overwrites some bytes of the bits. With `durable`, they survive power loss when this returns; if it comes
    /// earlier, or without, each byte may be the old one or the new one.
    ///
    /// # Errors
    /// Each byte may be the old one or the new one.
    fn write_bits(&self, offset: usize, bytes: &[u8], durable: bool) -> Result<()>;
}

/// A copy of the header elsewhere than on the member, so that a member that was dropped is known for that even when the
/// others are not there.
pub trait Witness: Send + Sync + Debug {
    /// The header as it was last saved.
    ///
    /// # Errors
    /// [`ErrorKind::BadState`] if it is damaged.
    fn header(&self) -> Result<Option<Header>>;

    /// Replaces the header, durably.
    ///
    /// # Errors
    /// It may be the old one or this one.
    fn save_header(&self, header: &Header) -> Result<()>;
}

/// A record in the state file of an image, and in a file of bits beside that. Where a member is a mirror itself there
/// is one for each of its members; the newest counts.
#[derive(Debug)]
pub struct FileRecord {
    calls: Arc<dyn FileCalls>,
    key: String,
    places: Mutex<Vec<Place>>,
}

#[derive(Debug)]
struct Place {
    state: Arc<DiskState>,
    bits: PathBuf,
    file: Option<Box<dyn OpenFile>>,
}

/// Under this name a state has the header of the lowest mirror that the disk is a member of.
const KEY: &str = "mirror";

/// What the name of a higher one has after it, before its height.
const HIGHER: &str = ".";

/// What a state remembers of the mirrors that its disk is a member of; `None` for what can't be understood.
#[must_use]
pub fn mirror_headers(state: &DiskState) -> Vec<Option<Header>> {
    let is_mirror =
        |key: &str| key.strip_prefix(KEY).is_some_and(|rest| rest.is_empty() || rest.starts_with(HIGHER));
    let records = state.settings().into_iter().filter(|(key, _)| is_mirror(key));
    records.map(|(_, text)| Header::parse(&text)).collect()
}

impl FileRecord {
    /// The record beside the disks of these states, for the mirror that is the `height`th above them, from 1.
    #[must_use]
    pub fn new(states: &[Arc<DiskState>], height: usize) -> Self {
        Self::with_calls(Arc::new(SystemCalls), states, height)
    }

    /// Like [`new`](Self::new), through `calls`.
    #[must_use]
    pub fn with_calls(calls: Arc<dyn FileCalls>, states: &[Arc<DiskState>], height: usize) -> Self {
        let ending = if height == 1 { String::new() } else { format!("{HIGHER}{height}") };
        let place = |state: &Arc<DiskState>| {
            let mut bits = state.path().as_os_str().to_owned();
            bits.push(format!(".bitmap{ending}"));
            Place { state: Arc::clone(state), bits: bits.into(), file: None }
        };
        let places = Mutex::new(states.iter().map(place).collect());
        Self { calls, key: format!("{KEY}{ending}"), places }
    }

    /// The files of bits.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.places().iter().map(|place| place.bits.clone()).collect()
    }

    fn places(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn each(&self, save: impl FnMut(&mut Place) -> Result<()>) -> Result<()> {
        self.places().iter_mut().try_for_each(save)
    }
}

impl Place {
    fn header(&self, key: &str) -> Result<Option<Header>> {
        let Some(text) = self.state.setting(key) else { return Ok(None) };
        let damaged = || {
            let message =
                format!("{} has a record of a mirror that can't be understood", self.state.path().display());
            VolumeError::new(ErrorKind::BadState, message).at(self.state.path())
        };
        Header::parse(&text).map(Some).ok_or_else(damaged)
    }
}

impl MemberRecord for FileRecord {
    fn header(&self) -> Result<Option<Header>> {
        let mut newest: Option<Header> = None;
        for place in self.places().iter() {
            let header = place.header(&self.key)?;
            newest = [newest, header]
                .into_iter()
                .flatten()
                .max_by_key(|header| (header.settled, header.generation));
        }
        Ok(newest)
    }

    /// Those of the newest header only.
    fn bits(&self, regions: u64) -> Result<Bits> {
        let newest = self.header()?.map(|header| header.generation);
        let mut bits = Bits::none(regions);
        for place in self.places().iter() {
            if place.header(&self.key)?.map(|header| header.generation) == newest {
                let bytes = store::read(&*self.calls, &place.bits)?;
                bits.merge(&Bits::from_bytes(bytes.as_deref(), regions));
            }
        }
        Ok(bits)
    }

    fn save_header(&self, header: &Header) -> Result<()> {
        let text = header.render();
        self.each(|place| place.state.set_setting(&self.key, &text))
    }

    fn save_bits(&self, bits: &Bits) -> Result<()> {
        self.each(|place| {
            place.file = None;
            store::replace(&*self.calls, &place.bits, bits.bytes())
        })
    }

    fn write_bits(&self, offset: usize, bytes: &[u8], durable: bool) -> Result<()> {
        self.each(|place| {
            let failure = |errno: rustix::io::Errno| {
                let message = format!("can't write {}", place.bits.display());
                VolumeError::new(ErrorKind::WriteFailed.unless_no_space(errno), message)
                    .at(&place.bits)
                    .caused_by(errno)
            };
            if place.file.is_none() {
                place.file = Some(self.calls.open(&place.bits, Access::ReadWrite).map_err(failure)?);
            }
            let Some(file) = &place.file else { return Ok(()) };
            let mut written = 0;
            while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
                let count = uninterrupted(|| file.write_at((offset + written) as u64, rest));
                match count.map_err(failure)? {
                    0 => return Err(failure(rustix::io::Errno::IO)),
                    count => written += count,
                }
            }
            if durable { file.synchronize_data().map_err(failure) } else { Ok(()) }
        })
    }
}
