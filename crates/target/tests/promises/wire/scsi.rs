//! SCSI commands that the tests send, and what comes of them.

/// Bytes of a logical block.
pub(crate) const BLOCK: usize = 512;

/// A command with its data.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scsi {
    /// Longer than 16 bytes with an extended CDB.
    pub(crate) cdb: Vec<u8>,
    pub(crate) lun: u8,
    pub(crate) reads: bool,
    pub(crate) writes: bool,
    /// Expected Data Transfer Length.
    pub(crate) expected: u32,
    pub(crate) data: Vec<u8>,
    /// 0: untagged, 1: simple, 2: ordered, 3: head of queue, 4: ACA.
    pub(crate) attribute: u8,
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u8,
    pub(crate) sense: Vec<u8>,
    pub(crate) data: Vec<u8>,
    /// O and U.
    pub(crate) flags: u8,
    pub(crate) residual: u32,
}

impl Reply {
    /// Sense key, additional sense code and its qualifier.
    pub(crate) fn condition(&self) -> (u8, u8, u8) {
        assert_eq!(self.status, 0x02, "CHECK CONDITION expected: {self:?}");
        (self.sense[2] & 0x0f, self.sense[12], self.sense[13])
    }

    #[track_caller]
    pub(crate) fn good(self) -> Vec<u8> {
        assert_eq!((self.status, self.sense.as_slice()), (0, &[][..]), "GOOD expected");
        self.data
    }
}

/// READ(16), WRITE(16) and their like.
fn blocks(opcode: u8, lba: u64, count: usize) -> Vec<u8> {
    let mut cdb = vec![0; 16];
    cdb[0] = opcode;
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    cdb[10..14].copy_from_slice(&(count as u32).to_be_bytes());
    cdb
}

impl Scsi {
    pub(crate) fn none(cdb: &[u8]) -> Scsi {
        Scsi { cdb: cdb.to_vec(), ..Scsi::default() }
    }

    pub(crate) fn input(cdb: &[u8], expected: usize) -> Scsi {
        Scsi { reads: true, expected: expected as u32, ..Scsi::none(cdb) }
    }

    pub(crate) fn output(cdb: &[u8], data: &[u8]) -> Scsi {
        Scsi { writes: true, expected: data.len() as u32, data: data.to_vec(), ..Scsi::none(cdb) }
    }

    pub(crate) fn read(lba: u64, count: usize) -> Scsi {
        Scsi::input(&blocks(0x88, lba, count), count * BLOCK)
    }

    pub(crate) fn write(lba: u64, data: &[u8]) -> Scsi {
        Scsi::output(&blocks(0x8a, lba, data.len() / BLOCK), data)
    }

    /// SYNCHRONIZE CACHE(16) of everything.
    pub(crate) fn flush() -> Scsi {
        Scsi::none(&blocks(0x91, 0, 0))
    }

    pub(crate) fn inquiry() -> Scsi {
        Scsi::input(&[0x12, 0, 0, 0, 36, 0], 36)
    }

    pub(crate) fn test_unit_ready() -> Scsi {
        Scsi::none(&[0; 6])
    }

    /// The same for another logical unit.
    pub(crate) fn at(self, lun: u8) -> Scsi {
        Scsi { lun, ..self }
    }

    pub(crate) fn head_of_queue(self) -> Scsi {
        Scsi { attribute: 3, ..self }
    }

    pub(crate) fn ordered(self) -> Scsi {
        Scsi { attribute: 2, ..self }
    }
}
