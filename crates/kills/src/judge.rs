//! What has to be there after a restart.

use anyhow::{Context as _, Result, bail, ensure};
use timedisk_initiator::{Connection, Settings, Url, provisioning, scsi};
use timedisk_simulation::SECTOR;
use timedisk_simulation::history::History;

use crate::commands;
use crate::lane::{ATOMIC, DEPTH, Lane, SECTORS, Shared, atomic_extents};

/// Sectors of one read.
const TOGETHER: u64 = 512;

/// What must never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Vital product data: serial number, designators, limits.
    pages: Vec<Vec<u8>>,
    capacity: Vec<u8>,
}

impl Identity {
    /// Whether atomic writes of so many blocks are offered: Maximum Atomic Transfer Length (SBC-4 6.6.4).
    pub(crate) fn has_atomic(&self, blocks: u64) -> bool {
        let most = self.pages.last().and_then(|page| page.get(44..48)?.first_chunk::<4>());
        most.is_some_and(|most| u64::from(u32::from_be_bytes(*most)) >= blocks)
    }
}

const DEVICE_IDENTIFICATION: u8 = 0x83;

/// Opens the session of a lane, with the same name and ISID as ever.
pub(crate) fn open(url: &Url, number: u64) -> Result<Connection> {
    let settings = Settings::new([0x11, 0x22, number as u8]);
    let connection = Connection::open(url, &settings, DEPTH);
    let mut connection = connection.with_context(|| format!("session {number} can't log in"))?;
    connection.greet(0).with_context(|| format!("session {number}"))?;
    Ok(connection)
}

/// Asks who the disk is.
pub(crate) fn identity(connection: &mut Connection) -> Result<Identity> {
    let pages = [provisioning::UNIT_SERIAL_NUMBER, DEVICE_IDENTIFICATION, provisioning::BLOCK_LIMITS];
    let pages = pages.map(|page| connection.expect("INQUIRY", provisioning::vital_product_data(0, page)));
    let pages = pages.into_iter().collect::<Result<_, _>>()?;
    Ok(Identity { pages, capacity: connection.expect("READ CAPACITY (16)", scsi::read_capacity_16(0))? })
}

/// Reads every sector by the daemon.
pub(crate) fn read_all(connection: &mut Connection, shared: &Shared) -> Result<()> {
    let ticket = shared.history().read(0, SECTORS);
    let mut all = Vec::new();
    for first in (0..SECTORS).step_by(TOGETHER as usize) {
        let bytes = (TOGETHER as usize * SECTOR) as u32;
        let data = connection.expect("READ", scsi::read(0, first, TOGETHER as u32, bytes))?;
        ensure!(data.len() == bytes as usize, "a read of {bytes} bytes gave {}", data.len());
        all.extend(data);
    }
    whole_extents(&all)?;
    shared.history().end_read(ticket, Some(&all)).map_err(anyhow::Error::msg)
}

/// Looks at an image by itself, past the daemon.
pub(crate) fn look_at(image: &std::path::Path, history: &mut History) -> Result<()> {
    let data = std::fs::read(image).with_context(|| format!("{}", image.display()))?;
    let data = data.get(..SECTORS as usize * SECTOR).context("the image is too short")?;
    whole_extents(data)?;
    let ticket = history.read(0, SECTORS);
    history.end_read(ticket, Some(data)).map_err(anyhow::Error::msg).context("in the image itself")
}

/// An atomic write is there as a whole or not at all: all sectors of its extent are of one write.
fn whole_extents(data: &[u8]) -> Result<()> {
    for first in atomic_extents() {
        let sectors = data.chunks(SECTOR).skip(first as usize).take(ATOMIC as usize);
        let mut stamps = sectors.filter_map(|sector| sector.first_chunk::<4>());
        let stamp = stamps.next().context("too few data")?;
        if let Some(other) = stamps.find(|other| *other != stamp) {
            bail!("the atomic writes at sector {first} are torn: {stamp:?} beside {other:?}");
        }
    }
    Ok(())
}

/// The registrations and the reservation are those that were acknowledged; then they are known again.
pub(crate) fn reservations(connection: &mut Connection, lanes: &mut [Lane]) -> Result<()> {
    let found = commands::keys_of(&connection.expect("READ KEYS", commands::read_keys())?);
    ensure!(found.len() == lanes.len(), "{found:x?} are registered, of {} sessions", lanes.len());
    for lane in lanes.iter_mut() {
        let known = found.iter().find(|key| lane.keys.contains(key)).copied();
        let Some(key) = known else {
            bail!("session {} is registered with none of {:x?}, but {found:x?}", lane.number, lane.keys);
        };
        lane.keys = vec![key];
    }
    let data = connection.expect("READ RESERVATION", commands::read_reservation())?;
    let held = commands::reservation_of(&data).context("the reservation is gone")?;
    let expected = (lanes[0].keys[0], commands::WRITE_EXCLUSIVE_REGISTRANTS_ONLY);
    ensure!(held == expected, "the reservation is {held:x?} and was {expected:x?}");
    Ok(())
}

/// Somebody who is not registered can't write.
pub(crate) fn stranger_is_kept_out(url: &Url) -> Result<()> {
    const RESERVATION_CONFLICT: u8 = 0x18;
    let mut stranger = open(url, 99)?;
    let data = commands::payload(vec![0xee; SECTOR]);
    let (outcome, _) = stranger.call(scsi::write(0, 0, 1, data, false))?;
    ensure!(outcome.status == RESERVATION_CONFLICT, "a stranger's write ended with {outcome}");
    Ok(())
}

/// Whether the write cache is on.
pub(crate) fn write_cache(connection: &mut Connection) -> Result<bool> {
    let data = connection.expect("MODE SENSE", commands::caching_page())?;
    commands::write_cache(&data).context("no Caching page")
}

/// Turns the write cache on or off, to last.
pub(crate) fn set_write_cache(connection: &mut Connection, is_on: bool) -> Result<()> {
    let data = connection.expect("MODE SENSE", commands::caching_page())?;
    connection.expect("MODE SELECT", commands::set_write_cache(&data, is_on))?;
    Ok(())
}
