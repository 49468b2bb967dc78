//! READ BUFFER and WRITE BUFFER (SPC-4 6.18, 6.49): an echo buffer, for who wants to try the way there and back.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cdb::{Cdb, Field};
use crate::running::{Outcome, Running};
use crate::sense::{COMMAND_SEQUENCE_ERROR, PARAMETER_LIST_LENGTH_ERROR, Sense};
use crate::{LogicalUnit, NexusId};

/// Both lengths stand in the same place.
pub(crate) const LENGTH: Field = Field { byte: 6, width: 3 };

/// Bytes that are kept for a nexus.
pub(crate) const CAPACITY: u16 = 4096;

/// MODE.
const ECHO: u8 = 0x0a;
const ECHO_DESCRIPTOR: u8 = 0x0b;

/// What each nexus has written last.
#[derive(Debug, Default)]
pub(crate) struct Echoes(Mutex<Vec<(NexusId, Vec<u8>)>>);

impl Echoes {
    fn kept(&self) -> MutexGuard<'_, Vec<(NexusId, Vec<u8>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn leave(&self, nexus: NexusId) {
        self.kept().retain(|(known, _)| *known != nexus);
    }
}

fn mode(cdb: Cdb<'_>) -> u8 {
    cdb.byte(1) & 0x1f
}

/// Bytes of Data-Out that WRITE BUFFER takes.
pub(crate) fn data_out(_: &LogicalUnit, cdb: Cdb<'_>) -> Result<u64, Sense> {
    match (mode(cdb), cdb.number(LENGTH)) {
        (ECHO, length) if length <= CAPACITY.into() => Ok(length),
        (ECHO, _) => Err(Sense::invalid_cdb(LENGTH.byte, None)),
        _ => Err(Sense::invalid_cdb(1, 4)),
    }
}

pub(crate) fn write_buffer(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let length = data_out(unit, command.cdb)? as usize;
    let data = command.data_out.get(..length).ok_or(&PARAMETER_LIST_LENGTH_ERROR)?;
    unit.echoes().leave(command.nexus);
    unit.echoes().kept().push((command.nexus, data.to_vec()));
    Ok(())
}

pub(crate) fn read_buffer(unit: &LogicalUnit, command: &mut Running<'_>) -> Outcome {
    let data = match mode(command.cdb) {
        ECHO => {
            let kept = unit.echoes().kept();
            let own = kept.iter().find(|(nexus, _)| *nexus == command.nexus);
            own.map(|(_, data)| data.clone()).ok_or(&COMMAND_SEQUENCE_ERROR)?
        }
        ECHO_DESCRIPTOR => {
            // EBOS clear: nobody else's data take the place of what was written.
            let [high, low] = CAPACITY.to_be_bytes();
            vec![0, 0, high, low]
        }
        _ => return Err(Sense::invalid_cdb(1, 4).into()),
    };
    command.respond(&data, LENGTH);
    Ok(())
}
