//! Serial number arithmetic for CmdSN, StatSN and DataSN (RFC 7143 §4.2.2.1, RFC 1982 with 32 bits).

/// Whether `a` comes before `b`.
pub fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Whether `a` comes after `b`.
pub fn after(a: u32, b: u32) -> bool {
    before(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_around() {
        assert!(before(1, 2) && !before(2, 1) && !before(2, 2));
        assert!(before(u32::MAX, 0) && after(0, u32::MAX));
        assert!(before(0x7fff_ffff, 0x8000_0000));
    }
}
