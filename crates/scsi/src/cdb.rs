//! Command descriptor blocks (SPC-4 4.2): where their fields are, and typed values made of them.

/// Where an unsigned big-endian number stands in a CDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// The first byte.
    pub(crate) byte: usize,
    /// How many bytes it has, 1 to 8.
    pub(crate) width: usize,
}

/// OPERATION CODE of the commands of 32 bytes (SPC-4 4.2.3): which one it is tells the SERVICE ACTION.
pub(crate) const VARIABLE_LENGTH: u8 = 0x7f;

/// SERVICE ACTION of those.
pub(crate) const LONG_SERVICE_ACTION: Field = Field { byte: 8, width: 2 };

/// ADDITIONAL CDB LENGTH of those: the bytes after it.
pub(crate) const ADDITIONAL_LENGTH: usize = 7;

/// The bytes of a command. What lies beyond their end reads as zeros.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cdb<'a>(&'a [u8]);

impl<'a> Cdb<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn len(self) -> usize {
        self.0.len()
    }

    /// OPERATION CODE. Zero bytes have none.
    pub(crate) fn operation_code(self) -> Option<u8> {
        self.0.first().copied()
    }

    /// SERVICE ACTION, of the operation codes that have one.
    pub(crate) fn service_action(self) -> u16 {
        match self.byte(0) {
            VARIABLE_LENGTH => self.number(LONG_SERVICE_ACTION) as u16,
            _ => u16::from(self.byte(1) & 0x1f),
        }
    }

    /// Where the flags of block commands stand: protection, DPO, FUA, BYTCHK, UNMAP and the like. Six-byte commands
    /// have none.
    pub(crate) fn flags_byte(self) -> usize {
        if self.byte(0) == VARIABLE_LENGTH { 10 } else { 1 }
    }

    /// A bit of those flags.
    pub(crate) fn flag(self, bit: u8) -> bool {
        self.bit(self.flags_byte(), bit)
    }

    /// BYTCHK of VERIFY, and WRITE AND VERIFY.
    pub(crate) fn byte_check(self) -> u8 {
        self.byte(self.flags_byte()) >> 1 & 0b11
    }

    pub(crate) fn byte(self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    pub(crate) fn bit(self, byte: usize, bit: u8) -> bool {
        self.byte(byte) & (1 << bit) != 0
    }

    pub(crate) fn number(self, field: Field) -> u64 {
        (field.byte..field.byte + field.width).fold(0, |number, at| number << 8 | u64::from(self.byte(at)))
    }

    /// The LOGICAL BLOCK ADDRESS and length fields, which stand where the group code of the operation
    /// code says (SPC-4 4.2.2).
    pub(crate) fn block_range(self) -> BlockRange {
        let layout = BlockLayout::of(self.byte(0));
        let mut lba = self.number(layout.lba);
        let mut blocks = self.number(layout.length);
        if self.byte(0) >> 5 == 0 {
            // Six-byte commands have 21 bits of address, and their zero means 256 (SBC-3 5.10).
            lba &= 0x1f_ffff;
            blocks = if blocks == 0 { 256 } else { blocks };
        }
        BlockRange { lba, blocks, length_byte: layout.length.byte }
    }

    /// The flags that READ, WRITE, VERIFY and WRITE SAME share. Six-byte commands have none.
    pub(crate) fn access(self) -> Access {
        let flags = if self.byte(0) >> 5 == 0 { 0 } else { self.byte(self.flags_byte()) };
        Access { protect: flags >> 5, force_unit_access: flags & 0x08 != 0 }
    }
}

/// Blocks as a CDB names them, not checked against any disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockRange {
    pub(crate) lba: u64,
    pub(crate) blocks: u64,
    /// Where the length stands, for a field pointer.
    pub(crate) length_byte: usize,
}

/// How blocks are to be accessed. DPO asks for nothing that could be told from its absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// RDPROTECT, WRPROTECT or VRPROTECT.
    pub(crate) protect: u8,
    /// FUA; the same bit means something else in VERIFY and WRITE SAME.
    pub(crate) force_unit_access: bool,
}

struct BlockLayout {
    lba: Field,
    length: Field,
}

impl BlockLayout {
    fn of(operation_code: u8) -> Self {
        let field = |byte, width| Field { byte, width };
        let (lba, length) = match operation_code >> 5 {
            // COMPARE AND WRITE counts its blocks in one byte (SBC-3 5.2).
            _ if operation_code == 0x89 => (field(2, 8), field(13, 1)),
            // WRITE ATOMIC(16) in two, behind the ATOMIC BOUNDARY field (SBC-4 5.48).
            _ if operation_code == 0x9c => (field(2, 8), field(12, 2)),
            _ if operation_code == VARIABLE_LENGTH => (field(12, 8), field(28, 4)),
            0 => (field(1, 3), field(4, 1)),
            4 => (field(2, 8), field(10, 4)),
            5 => (field(2, 4), field(6, 4)),
            _ => (field(2, 4), field(7, 2)),
        };
        Self { lba, length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(bytes: &[u8]) -> (u64, u64) {
        let range = Cdb::new(bytes).block_range();
        (range.lba, range.blocks)
    }

    #[test]
    fn addresses_and_lengths_stand_where_the_group_code_says() {
        assert_eq!(range(&[0x08, 0xff, 2, 3, 4, 0]), (0x1f_0203, 4));
        assert_eq!(range(&[0x08, 0, 0, 0, 0, 0]), (0, 256));
        assert_eq!(range(&[0x28, 0, 1, 2, 3, 4, 0, 5, 6, 0]), (0x0102_0304, 0x0506));
        assert_eq!(range(&[0xa8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0]), (0x0102_0304, 0x0506_0708));
        assert_eq!(
            range(&[0x88, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0]),
            (0x0102_0304_0506_0708, 0x090a_0b0c)
        );
        assert_eq!(
            range(&[0x89, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 13, 0]),
            (0x0102_0304_0506_0708, 0)
        );
        assert_eq!(
            range(&[0x9c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0]),
            (0x0102_0304_0506_0708, 0x0b0c)
        );
        let mut long: Vec<u8> = (0..32).collect();
        long[0] = 0x7f;
        assert_eq!(range(&long), (0x0c0d_0e0f_1011_1213, 0x1c1d_1e1f));
        assert_eq!(Cdb::new(&long).service_action(), 0x0809);
        assert_eq!(Cdb::new(&[0x9e, 0xf0]).service_action(), 0x10);
    }

    #[test]
    fn six_byte_commands_have_no_flags() {
        assert_eq!(Cdb::new(&[0x08, 0xff]).access().protect, 0);
        assert!(!Cdb::new(&[0x0a, 0xff]).access().force_unit_access);
        assert_eq!(Cdb::new(&[0x28, 0x68]).access().protect, 3);
        assert!(Cdb::new(&[0x28, 0x68]).access().force_unit_access);
        assert_eq!(Cdb::new(&[0x7f, 0xff]).access().protect, 0);
        assert_eq!(Cdb::new(&[0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x68]).access().protect, 3);
    }

    #[test]
    fn what_lies_beyond_the_end_reads_as_zeros() {
        assert_eq!(Cdb::new(&[]).operation_code(), None);
        assert_eq!(range(&[0x88, 0, 1]), (0x0100_0000_0000_0000, 0));
    }
}
