//! What a persistent reservation of others leaves to a nexus (SPC-4 tables 65 and 66, SBC-3 table 14).

use crate::cdb::Cdb;

/// How a command is treated that comes from somebody else than a reservation is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is let through.
    #[default]
    Always,
    /// It looks at the medium, or at what the logical unit is set to: let through where others may read.
    Looks,
    /// It changes something.
    Never,
    /// It is about reservations and sees to that itself.
    Own,
}

/// Where it depends on more than the operation code.
pub(crate) fn admission(usual: Admission, cdb: Cdb<'_>) -> Admission {
    match cdb.operation_code() {
        // START STOP UNIT that starts, PREVENT ALLOW MEDIUM REMOVAL that allows.
        Some(0x1b) if cdb.byte(4) & 0xf3 == 0x01 => Admission::Always,
        Some(0x1e) if cdb.byte(4) & 0x03 == 0 => Admission::Always,
        _ => usual,
    }
}
